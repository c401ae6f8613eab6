//! `docs/kafka-apis.md` is written from the tables that decide, and is as new as they are.

use std::fmt::Write as _;
use std::path::Path;

use sluice_kafka::api::{Addresses, Api, Treatment, apis};
use sluice_session::{Need, served};

const HEAD: &str = "\
# Kafka's APIs

What becomes of each API of Kafka 4.4 behind the gateway. Written from the tables in `dataplane/kafka/src/api.rs` and
`dataplane/session/src/apis/table.rs` by `SLUICE_WRITE_DOCS=1 cargo test -p sluice-session --test docs`; not edited by hand.

A client is offered, for each API, the versions that it, the gateway and the broker speak. What is not offered is rejected:
the connection ends, as a broker would end it, and the rejection is recorded. Where ids replace names
(KIP-516), a topic is decided by the name that a broker's answer gave for its id, and forwarded by the id.

Beside the codes of the table: a change that an immutable topic withstands is 44 (POLICY_VIOLATION) where the answer has room for a
message or clients show that code, a write that waits for an approval 19, a producer id of another principal 29 in Produce and 49 in
InitProducerId, an id that no broker has named 100.

";

fn range((from, to): (i16, i16)) -> String {
    match to - from {
        ..0 => "none".to_owned(),
        0 => from.to_string(),
        _ => format!("{from}-{to}"),
    }
}

fn need(need: &Need) -> String {
    let (operation, on) = (need.operation.name(), need.on.name());
    format!("{operation} on {on}: {}, {}", need.error, need.place.name())
}

fn topics_by(api: &Api) -> String {
    use sluice_kafka::api::Names;
    let (name, id) = (Names::TOPIC, Names::TOPIC_ID);
    match (
        api.topic_ids_from,
        api.names.contains(name),
        api.names.contains(id),
    ) {
        (Some(first), ..) => format!("name, id from {first}"),
        (None, true, true) => "name or id".to_owned(),
        (None, true, false) => "name".to_owned(),
        _ => String::new(),
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(
        "## Decided\n\n| key | API | versions | topics by | asked of policy: error code of a denial, where | changed on the way |\n|--|--|--|--|--|--|\n",
    );
    for served in served() {
        let api = sluice_kafka::api::api(served.key).unwrap();
        let needs: Vec<String> = served.needs.iter().map(need).collect();
        let needs = match needs.as_slice() {
            [] => "nothing; any principal".to_owned(),
            needs => needs.join("<br>"),
        };
        let (key, name, topics) = (api.key, api.name, topics_by(api));
        let versions = range(api.versions);
        let changes = served.changes;
        if api.addresses == Addresses::Carried {
            assert!(changes.contains("addresses"), "{name} carries addresses");
        }
        writeln!(
            page,
            "| {key} | {name} | {versions} | {topics} | {needs} | {changes} |"
        )
        .unwrap();
    }
    page.push_str("\n## Answered by the gateway itself\n\n| key | API | versions |\n|--|--|--|\n");
    for api in apis()
        .iter()
        .filter(|api| api.treatment == Treatment::Local)
    {
        writeln!(
            page,
            "| {} | {} | {} |",
            api.key,
            api.name,
            range(api.versions)
        )
        .unwrap();
    }
    page.push_str("\n## Withheld\n\nNot offered to anybody, whatever their roles.\n\n| key | API | versions that exist | because |\n|--|--|--|--|\n");
    for api in apis()
        .iter()
        .filter(|api| api.treatment == Treatment::Withheld)
    {
        let (key, name, because) = (api.key, api.name, api.withheld_because);
        writeln!(
            page,
            "| {key} | {name} | {} | {because} |",
            range(api.versions)
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_of_apis_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kafka-apis.md");
    if std::env::var_os("SLUICE_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/kafka-apis.md is older than the tables: run SLUICE_WRITE_DOCS=1 cargo test -p sluice-session --test docs"
    );
}
