//! Evidence rows as a timeline that people read: when, how long after the start, what, on which resource, with what end.

use std::fmt::Write as _;

use serde_json::Value;
use sluice_kafka::ErrorCode;
use sluice_proto::v1::EvidenceRow;

use crate::table::clean;
use crate::time::{clock_ms, rfc3339_ms};

/// Renders the rows of one session, oldest first.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    start_unix_ns: Option<i64>,
}

impl Timeline {
    /// One row, ending with a line end; the first one comes with a heading.
    pub(super) fn render(&mut self, row: &EvidenceRow) -> String {
        let mut text = String::new();
        let start_unix_ns = *self.start_unix_ns.get_or_insert_with(|| {
            let at = rfc3339_ms(row.time_unix_ns.div_euclid(1_000_000));
            let _ = writeln!(
                text,
                "session {} from {at}, log {}",
                clean(&row.session),
                clean(&row.log)
            );
            row.time_unix_ns
        });
        let since_ms = row
            .time_unix_ns
            .saturating_sub(start_unix_ns)
            .div_euclid(1_000_000);
        let sign = if since_ms < 0 { '-' } else { '+' };
        let (s, ms) = (
            since_ms.unsigned_abs() / 1_000,
            since_ms.unsigned_abs() % 1_000,
        );
        let relative = format!("{sign}{s}.{ms:03}s");
        let clock = clock_ms(row.time_unix_ns.div_euclid(1_000_000));
        let _ = write!(
            text,
            "{clock}  {relative:>10}  {}",
            told(row, Subject::Known)
        );
        text
    }

    /// One row by itself, ending with a line end, with its date and its principal.
    pub(super) fn line_of(row: &EvidenceRow) -> String {
        let at = rfc3339_ms(row.time_unix_ns.div_euclid(1_000_000));
        format!("{at}  {}", told(row, Subject::Told))
    }
}

/// Whether the reader knows whose row it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Known,
    Told,
}

fn told(row: &EvidenceRow, subject: Subject) -> String {
    let record: Value = serde_json::from_str(&row.json).unwrap_or(Value::Null);
    let mut words = Vec::new();
    let introduces = matches!(
        row.kind.as_str(),
        "SessionOpened" | "Authenticated" | "AuthenticationFailed"
    );
    if subject == Subject::Told || introduces {
        words.extend(text(&record, "principal").map(str::to_owned));
    }
    if introduces {
        words.extend(text(&record, "client_id").map(|id| format!("client id {id:?}")));
        words.extend(text(&record, "peer").map(|peer| format!("from {peer}")));
    }
    words.extend(number(&record, "sequence").map(|sequence| format!("#{sequence}")));
    words.extend(number(&record, "answers").map(|answers| format!("(answers #{answers})")));
    words.extend(api(&record));
    words.extend(number(&record, "part").map(|part| format!("part {part}")));
    if let Some(code) = text(&record, "reason_code") {
        words.push(match text(&record, "reason") {
            Some(reason) => format!("{code}: {reason}"),
            None => code.to_owned(),
        });
    } else {
        words.extend(text(&record, "reason").map(str::to_owned));
    }
    words.extend(text(&record, "denial_id").map(|id| format!("[denial {id}]")));
    if subject == Subject::Told && !row.session.is_empty() {
        words.push(format!("[session {}]", row.session));
    }
    let items: Vec<String> = record["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(item)
        .collect();
    let mut out = format!("{:<20} {}", clean(&row.kind), clean(&words.join(" ")))
        .trim_end()
        .to_owned();
    match items.as_slice() {
        [only] => {
            let _ = write!(out, "  {}", clean(only));
        }
        several => {
            for item in several {
                let _ = write!(out, "\n{:26}{}", "", clean(item));
            }
        }
    }
    out.push('\n');
    out
}

/// `Produce v11`.
fn api(record: &Value) -> Option<String> {
    let key = i16::try_from(number(record, "api_key")?).ok()?;
    let name =
        sluice_kafka::api::api(key).map_or_else(|| format!("API {key}"), |api| api.name.to_owned());
    Some(match number(record, "api_version") {
        Some(version) => format!("{name} v{version}"),
        None => name,
    })
}

/// `Write orders-3 offsets 10..12, 3 records, masked 2 fields by personal-data, delivered`.
fn item(item: &Value) -> String {
    let mut head: Vec<String> = text(item, "operation")
        .map(str::to_owned)
        .into_iter()
        .collect();
    let kind = text(item, "resource_kind").unwrap_or("Topic");
    if kind != "Topic" {
        head.push(kind.to_owned());
    }
    let resource = text(item, "resource").unwrap_or_default();
    head.push(match number(item, "partition") {
        Some(partition) => format!("{resource}-{partition}"),
        None => resource.to_owned(),
    });
    let mut parts = vec![head.join(" ").trim().to_owned()];
    match (number(item, "first_offset"), number(item, "last_offset")) {
        (Some(first), Some(last)) => parts.push(format!("offsets {first}..{last}")),
        (Some(first), None) => parts.push(format!("from offset {first}")),
        (None, Some(last)) => parts.push(format!("to offset {last}")),
        (None, None) => {}
    }
    parts.extend(number(item, "records_count").map(|count| format!("{count} records")));
    if let Some(producer) = number(item, "producer_id") {
        let sequence = number(item, "base_sequence")
            .map(|sequence| format!(" sequence {sequence}"))
            .unwrap_or_default();
        parts.push(format!("producer {producer}{sequence}"));
    }
    if let Some(plan) = text(item, "mask_plan") {
        let count = number(item, "masked_fields_count").unwrap_or(0);
        parts.push(format!("masked {count} fields by {plan}"));
    }
    if let Some(code) = number(item, "error_code").and_then(|code| i16::try_from(code).ok()) {
        parts.push(ErrorCode(code).to_string());
    }
    parts.extend(text(item, "reason_code").map(|code| format!("denied: {code}")));
    parts.extend(
        item["flags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    parts.join(", ")
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value[key].as_str().filter(|text| !text.is_empty())
}

fn number(value: &Value, key: &str) -> Option<i64> {
    value[key].as_i64()
}

#[cfg(test)]
mod tests {
    use sluice_evidence::{
        Api, Item, ItemFlags, Kind, Record, RecordHead, RecordWriter, SessionId,
    };

    use super::*;

    const START_UNIX_NS: u64 = 1_795_476_879_000_000_000;

    fn row(head: &RecordHead<'_>, items: &[Item<'_>]) -> EvidenceRow {
        let head = RecordHead {
            session: SessionId(0xfeed),
            ..*head
        };
        let mut leaf = Vec::new();
        let mut writer = RecordWriter::begin(&mut leaf, &head).unwrap();
        for item in items {
            writer.item(item).unwrap();
        }
        writer.finish();
        let record = Record::decode(&leaf).unwrap();
        EvidenceRow {
            log: "sluice.test/gateway-1/shard-0".into(),
            leaf: 0,
            time_unix_ns: head.time_unix_ns as i64,
            session: head.session.to_string(),
            kind: head.kind.name().into(),
            principal: head.principal.into(),
            json: record.to_json().to_string(),
        }
    }

    fn produce(kind: Kind, ms: u64) -> RecordHead<'static> {
        RecordHead {
            kind,
            time_unix_ns: START_UNIX_NS + ms * 1_000_000,
            sequence: 7,
            principal: "User:svc-orders",
            api: Some(Api {
                key: 0,
                version: 11,
            }),
            ..RecordHead::default()
        }
    }

    #[test]
    fn a_session_reads_as_a_story_from_its_start() {
        let opened = RecordHead {
            kind: Kind::SessionOpened,
            time_unix_ns: START_UNIX_NS,
            client_id: "evil\u{1b}[2J",
            peer: "127.0.0.1:5000",
            ..RecordHead::default()
        };
        let written = Item {
            operation: 4,
            resource_kind: 2,
            resource: "orders",
            partition: 3,
            first_offset: 10,
            last_offset: 12,
            records_count: 3,
            ..Item::default()
        };
        let denied = Item {
            operation: 4,
            resource_kind: 2,
            resource: "payments",
            partition: 0,
            error_code: 29,
            reason_code: "not-permitted",
            flags: ItemFlags::DENIED,
            ..Item::default()
        };
        let mut timeline = Timeline::default();
        let mut text = timeline.render(&row(&opened, &[]));
        text += &timeline.render(&row(
            &RecordHead {
                answers: Some(7),
                ..produce(Kind::Outcome, 1_250)
            },
            &[written, denied],
        ));
        text += &timeline.render(&row(
            &RecordHead {
                reason_code: "not-permitted",
                reason: "no role allows Write",
                denial_id: "d-1",
                ..produce(Kind::Denied, 61_000)
            },
            &[denied],
        ));
        let expected = "\
session 0000000000000000000000000000feed from 2026-11-23T23:34:39.000Z, log sluice.test/gateway-1/shard-0
23:34:39.000     +0.000s  SessionOpened        client id \"evil\\u{1b}[2J\" from 127.0.0.1:5000
23:34:40.250     +1.250s  Outcome              #7 (answers #7) Produce v11
                          Write orders-3, offsets 10..12, 3 records
                          Write payments-0, TOPIC_AUTHORIZATION_FAILED(29), denied: not-permitted, denied
23:35:40.000    +61.000s  Denied               #7 Produce v11 not-permitted: no role allows Write [denial d-1]  Write payments-0, TOPIC_AUTHORIZATION_FAILED(29), denied: not-permitted, denied
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_row_by_itself_says_who_and_where() {
        let item = Item {
            operation: 3,
            resource_kind: 3,
            resource: "analytics-1",
            ..Item::default()
        };
        let line = Timeline::line_of(&row(&produce(Kind::Intent, 0), &[item]));
        assert!(line.starts_with("2026-11-23T23:34:39.000Z  Intent               User:svc-orders #7 Produce v11 [session "), "{line}");
        assert!(line.ends_with("  Read Group analytics-1\n"), "{line}");
    }

    #[test]
    fn masked_and_delivered_intervals_are_told() {
        let read = Item {
            operation: 3,
            resource_kind: 2,
            resource: "orders",
            partition: 0,
            first_offset: 5,
            last_offset: 6,
            mask_plan: "personal-data",
            masked_fields_count: 4,
            flags: ItemFlags::DELIVERED,
            ..Item::default()
        };
        let line = Timeline::line_of(&row(&produce(Kind::Outcome, 0), &[read]));
        assert!(
            line.ends_with(
                "Read orders-0, offsets 5..6, masked 4 fields by personal-data, delivered\n"
            ),
            "{line}"
        );
    }

    #[test]
    fn rows_that_are_not_json_are_still_told() {
        let row = EvidenceRow {
            kind: "Alarm".into(),
            json: "{".into(),
            ..EvidenceRow::default()
        };
        assert!(Timeline::line_of(&row).contains("Alarm"));
    }
}
