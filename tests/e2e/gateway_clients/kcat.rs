//! kcat, which people have at hand, one process for each order. It has no administration, so nothing of that is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sluice_tests::{
    Client, Daemon, Kafka, Oidc, json_lines, kcat, kcat_command, kcat_running, unique, wait_for,
};

use super::{EMAIL, PATIENCE, SETTLED, SHARED, SHARED_PARTITIONS, sluice};
use crate::gateway::{group, stored_end};

const TOPIC_DENIED: &str = "Topic authorization failed";
const TRANSACTIONAL_ID_DENIED: &str = "Transactional Id authorization failed";

/// kcat fetches its tokens itself.
fn client(who: &str) -> Client {
    sluice().client(Oidc::shared().own_login(who))
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// It ends with a failure, and says this.
#[track_caller]
fn assert_fails(output: &Output, said: &str) {
    assert!(!output.status.success(), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(said), "{errors}");
}

/// Everything in the topic from `offset` to its end, as kcat's JSON.
#[track_caller]
fn read(reader: &Client, topic: &str, offset: &str) -> Vec<Value> {
    let arguments = ["-C", "-q", "-J", "-t", topic, "-o", offset, "-e"];
    json_lines(&printed(&kcat(reader, &arguments, "")))
}

fn with_key<'r>(records: &'r [Value], key: &str) -> Option<&'r Value> {
    records.iter().find(|record| record["key"] == key)
}

#[test]
fn kcat_writes_and_reads_what_policy_allows_and_no_more() {
    let topic = sluice().topic("orders");
    let hidden = Kafka::shared().create_topic("hidden", 1);
    let writer = client("svc-orders");
    let value = serde_json::json!({"customer": {"email": EMAIL}}).to_string();
    let (first, second) = (unique("first"), unique("second"));
    let arguments = ["-P", "-t", &topic, "-K", "|", "-H", "colour=green"];
    let lines = format!("{first}|{value}\n{second}|{value}\n");
    printed(&kcat(&writer, &arguments, &lines));

    let reader = client("analytics-clear");
    let all = read(&reader, &topic, "beginning");
    let (first, second) = (with_key(&all, &first), with_key(&all, &second));
    let (first, second) = (first.expect("the first"), second.expect("the second"));
    assert_eq!(second["payload"], value);
    assert_eq!(second["headers"], serde_json::json!(["colour", "green"]));
    let offset = |record: &Value| record["offset"].as_i64().expect("an offset");
    assert!(offset(first) < offset(second), "{first} {second}");
    let later = read(&reader, &topic, &offset(second).to_string());
    assert_eq!(later.first(), Some(second), "from its offset on");
    let end = format!("{topic}:0:-1");
    let asked = printed(&kcat(&reader, &["-Q", "-t", &end], ""));
    let end = asked.split_whitespace().last().and_then(|n| n.parse().ok());
    assert!(end.is_some_and(|end: i64| end > offset(second)), "{asked}");

    let masked = read(&client("analytics"), &topic, &offset(second).to_string());
    let payload = masked[0]["payload"].as_str().expect("a value");
    let payload: Value = serde_json::from_str(payload).expect("a masked value is JSON");
    let email = payload["customer"]["email"].as_str().expect("a token");
    assert!(email.starts_with("tok_"), "{payload}");

    let before = stored_end(&topic);
    for (who, topic) in [(&writer, &hidden), (&reader, &topic)] {
        let kept_out = kcat(who, &["-P", "-t", topic], "denied\n");
        assert_fails(&kept_out, TOPIC_DENIED);
    }
    let arguments = ["-C", "-t", &hidden, "-o", "beginning", "-e"];
    assert_fails(&kcat(&reader, &arguments, ""), TOPIC_DENIED);
    assert_eq!(stored_end(&hidden), 0, "somebody wrote after all");
    let arguments = ["-C", "-q", "-t", &topic, "-o", &before.to_string(), "-e"];
    let since = printed(&kcat(&reader, &arguments, ""));
    assert!(!since.contains("denied"), "{since}");
}

#[test]
fn kcat_lists_what_may_be_described_and_the_gateway_s_addresses() {
    let listed = kcat(&client("svc-orders"), &["-L", "-J"], "");
    let listed: Value = serde_json::from_str(&printed(&listed)).expect("JSON");
    let topics = listed["topics"].as_array().expect("topics").iter();
    let topics: BTreeMap<&str, usize> = topics
        .map(|topic| {
            let partitions = topic["partitions"].as_array().expect("partitions");
            (topic["topic"].as_str().expect("a name"), partitions.len())
        })
        .collect();
    let names = ["orders", SETTLED, SHARED].map(|name| sluice().topic(name));
    let visible = names.iter().map(String::as_str);
    let visible: BTreeMap<&str, usize> = visible.zip([1, 1, SHARED_PARTITIONS as usize]).collect();
    assert_eq!(topics, visible);

    let brokers = listed["brokers"].as_array().expect("brokers");
    assert_eq!(brokers.len(), 1, "{listed}");
    let direct = Kafka::shared().addresses();
    for name in [&brokers[0]["name"], &listed["originating_broker"]["name"]] {
        let name = name.as_str().expect("an address");
        // sasl_ssl://HOST:PORT/NODE of the one that answered, HOST:PORT of the others.
        let at = name.split_once("://").map_or(name, |(_, after)| after);
        let at = at.split('/').next().expect("a first part");
        assert!(at.starts_with("127.0.0.1:"), "{name}");
        assert!(!direct.contains(&at.to_owned()), "{name} is the broker's");
    }

    let hidden = Kafka::shared().create_topic("hidden", 1);
    let asked = kcat(&client("svc-orders"), &["-L", "-t", &hidden], "");
    let said = printed(&asked);
    assert!(said.contains(TOPIC_DENIED), "{said}");
}

#[test]
fn kcat_s_transactions_are_committed_or_taken_back() {
    let topic = sluice().topic(SETTLED);
    let (kept, taken_back) = (unique("kcat-kept"), unique("kcat-taken-back"));
    let writer = |id: &str| client("svc-orders").with("transactional.id", unique(id));
    let committed = kcat(&writer("orders-kcat"), &["-P", "-t", &topic], &kept);
    printed(&committed);

    // Interrupted when its record is there and its input has not ended.
    let end = stored_end(&topic);
    let mut open = kcat_command(&writer("orders-kcat"))
        .args(["-P", "-t", &topic])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat runs");
    let mut input = open.stdin.take().expect("standard input was asked for");
    // It reads by the buffer, so a second line fills that, to its last byte.
    let rest = 16 * 1024 - taken_back.len() - 2;
    writeln!(input, "{taken_back}\n{}", "x".repeat(rest)).expect("kcat reads");
    let everything = client("analytics-clear").with("isolation.level", "read_uncommitted");
    let since = |reader: &Client| read(reader, &topic, &end.to_string());
    let has = |records: &[Value], value: &str| records.iter().any(|r| r["payload"] == value);
    wait_for("the record of the open transaction", PATIENCE, || {
        has(&since(&everything), &taken_back).then_some(())
    });
    let interrupted = Command::new("bash")
        .args(["-c", "kill -s INT \"$0\"", &open.id().to_string()])
        .status();
    assert!(interrupted.is_ok_and(|status| status.success()));
    drop(input);
    let ended = open.wait_with_output().expect("a child can be waited for");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("Aborting transaction"), "{said}");

    let settled = client("analytics-clear").with("isolation.level", "read_committed");
    let last = unique("kcat-last");
    printed(&kcat(&writer("orders-kcat"), &["-P", "-t", &topic], &last));
    // Transactions of other tests that are still open end what a reader of committed ones sees.
    let settled = wait_for("the last transaction", PATIENCE, || {
        let settled = read(&settled, &topic, "beginning");
        has(&settled, &last).then_some(settled)
    });
    assert!(has(&settled, &kept), "{settled:?}");
    assert!(!has(&settled, &taken_back), "{settled:?}");

    let foreign = kcat(&writer("foreign"), &["-P", "-t", &topic], "denied\n");
    assert_fails(&foreign, TRANSACTIONAL_ID_DENIED);
}

/// A kcat in a group. It says what it is assigned, and prints the values that it reads.
struct Member(Daemon);

impl Member {
    fn new(group: &str) -> Self {
        let client = client("analytics-clear")
            .with("auto.offset.reset", "earliest")
            // Who leaves and who comes is heard of at a heartbeat.
            .with("heartbeat.interval.ms", 500);
        let topic = sluice().topic(SHARED);
        Self(kcat_running(&client, &["-u", "-G", group, &topic]))
    }

    /// The partitions that it was assigned last, unless they were revoked since.
    fn assigned(&self) -> BTreeSet<String> {
        let log = self.0.log();
        let whole_lines = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let last = whole_lines
            .lines()
            .rfind(|line| line.contains(" rebalanced "));
        let assigned = last.and_then(|line| line.split_once("assigned: "));
        let assigned = assigned.map_or("", |(_, partitions)| partitions);
        let each = assigned.split(", ").filter(|one| !one.is_empty());
        each.map(str::to_owned).collect()
    }

    fn read(&self) -> BTreeSet<String> {
        self.0.log().lines().map(str::to_owned).collect()
    }
}

#[test]
fn kcat_shares_a_topic_among_two_members_and_takes_over_from_one_that_leaves() {
    let (topic, group) = (sluice().topic(SHARED), group());
    // One record to each partition.
    let send = || {
        let values = (0..SHARED_PARTITIONS).map(|partition| {
            let value = unique("kcat-shared");
            let arguments = ["-P", "-t", &topic, "-p", &partition.to_string()];
            printed(&kcat(&client("svc-orders"), &arguments, &value));
            value
        });
        values.collect::<BTreeSet<_>>()
    };
    let stays = Member::new(&group);
    wait_for("both partitions of the first member", PATIENCE, || {
        (stays.assigned().len() == 2).then_some(())
    });
    let mut leaves = Member::new(&group);
    wait_for("a half for each", PATIENCE, || {
        let (one, other) = (stays.assigned(), leaves.assigned());
        (one.len() == 1 && other.len() == 1 && one != other).then_some(())
    });
    let sent = send();
    wait_for("every record, by one or the other", PATIENCE, || {
        let both = &stays.read() | &leaves.read();
        sent.is_subset(&both).then_some(())
    });
    for member in [&stays, &leaves] {
        let read = member.read();
        assert_eq!(sent.intersection(&read).count(), 1, "a partition each");
    }

    leaves.0.stop(PATIENCE);
    wait_for("the takeover", PATIENCE, || {
        (stays.assigned().len() == 2).then_some(())
    });
    let sent = send();
    wait_for("every record, by who stayed", PATIENCE, || {
        sent.is_subset(&stays.read()).then_some(())
    });
}
