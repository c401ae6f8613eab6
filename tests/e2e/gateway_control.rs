//! Policy on its way from its author to live connections, and what becomes of it when the control plane is away.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{
    Authority, Client, Daemon, Driver, Etcd, Kafka, Oidc, Records, SluiceOptions, cli, free_port,
    free_ports, json_lines, run_dir, start, unique, wait_for,
};

use crate::gateway::{
    TOPIC_AUTHORIZATION_FAILED, close, document, group, policy, produce_open, sluice_with_policy,
    stored_end,
};

const PATIENCE: Duration = Duration::from_secs(60);
const PRODUCE: i64 = 0;
const SHARDS_COUNT: usize = 2;
/// Enough that the kernel or the acceptor gives some to each shard.
const CLIENTS_COUNT: usize = 6;

#[test]
fn a_binding_that_joins_conflicting_duties_in_one_person_is_refused() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions::default());
    let before = sluice.cli_ok(oidc, "frank", &["get"]);
    let conflicting = "kind: Binding\nmetadata: {name: alice-administers}\n\
         spec: {match: {issuer: demo, claims: {sub: alice}}, principal: alice, roles: [topic-admin]}\n";
    let refused = sluice.try_apply(oidc, "frank", conflicting);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for named in [
        "alice",
        "topic-admin",
        "orders-writer",
        "no-one-writes-and-deletes",
    ] {
        assert!(said.contains(named), "{named} is not named: {said}");
    }

    let file = run_dir("plan").join("policy.yaml");
    let plan = |who: &str, text: &str| -> Output {
        fs::write(&file, sluice.policy(text)).expect("a policy can be written");
        sluice.cli(oidc, who, &["plan", "--file", &file.display().to_string()])
    };
    assert_eq!(plan("frank", conflicting).status.code(), Some(1));
    let harmless = "kind: Role\nmetadata: {name: reader}\nspec: {permissions: [{operations: [Read], topics: [orders@T@]}]}\n";
    let planned = plan("frank", harmless);
    assert!(planned.status.success(), "{planned:?}");
    assert!(
        String::from_utf8_lossy(&planned.stdout).contains("reader"),
        "{planned:?}"
    );
    assert_eq!(
        sluice.cli_ok(oidc, "frank", &["get"]),
        before,
        "a plan changed something"
    );

    // Who is no author applies nothing, and neither does who shows no good token.
    for who in ["alice", "erin", "svc-orders", "mallory"] {
        let refused = sluice.try_apply(oidc, who, harmless);
        assert_eq!(refused.status.code(), Some(1), "{who}: {refused:?}");
    }
    let refused = sluice.cli_with("not.a.token", &["get"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(sluice.cli_ok(oidc, "frank", &["get"]), before);
}

#[test]
fn a_change_of_policy_takes_effect_on_live_connections_of_every_shard() {
    let oidc = Oidc::shared();
    let sluice = sluice_with_policy(&SluiceOptions {
        shards_count: SHARDS_COUNT,
        ..SluiceOptions::default()
    });
    let topic = sluice.topic("orders");
    let writers: Vec<(&Driver, Client, String)> = (0..CLIENTS_COUNT)
        .map(|n| {
            let name = unique("writer");
            let client = sluice
                .client(oidc.login("svc-orders"))
                .with("client.id", &name);
            (Driver::all()[n % 2], client, name)
        })
        .collect();
    let produce = |value: &str| {
        writers
            .iter()
            .map(|(driver, client, name)| produce_open(driver, client, name, &topic, value))
            .collect::<Vec<_>>()
    };
    let readers: Vec<(&Driver, Client, String)> = Driver::all()
        .into_iter()
        .map(|driver| {
            (
                driver,
                sluice
                    .client(oidc.login("analytics-clear"))
                    .with("group.id", group()),
                unique("reader"),
            )
        })
        .collect();
    // All that is there, or the rest would come out of the client's own buffer.
    let read = |count: usize| {
        readers
            .iter()
            .map(|(driver, client, name)| {
                let order = json!({"client": name, "assign": [{"topic": topic, "offset": 0}], "count": count});
                driver.order("consume", client, order)
            })
            .collect::<Vec<_>>()
    };

    for answer in produce("before") {
        answer.offsets();
    }
    for answer in read(CLIENTS_COUNT) {
        answer.ok();
        assert_eq!(answer.records().len(), CLIENTS_COUNT);
    }
    let end = stored_end(&topic);
    let elsewhere = |role: &str| document("Role", role).replace("orders@T@", "elsewhere");
    sluice.apply(
        oidc,
        "frank",
        &format!(
            "{}\n---\n{}",
            elsewhere("orders-writer"),
            elsewhere("analytics-clear")
        ),
    );
    for answer in produce("between") {
        assert_eq!(
            answer.error_code(),
            Some(TOPIC_AUTHORIZATION_FAILED),
            "{answer:?}"
        );
    }
    assert_eq!(stored_end(&topic), end, "somebody wrote after the change");
    // Written behind the gateway's back, so that there is something to deliver.
    let secret = unique("after-the-change");
    Driver::java()
        .produce(
            &Kafka::shared().client("harness"),
            &topic,
            &Records::values([secret.as_str()]),
        )
        .offsets();
    for answer in read(1) {
        assert_eq!(
            answer.error_code(),
            Some(TOPIC_AUTHORIZATION_FAILED),
            "{answer:?}"
        );
        assert!(!format!("{answer:?}").contains(&secret), "{answer:?}");
    }

    sluice.apply(oidc, "frank", &policy());
    for (driver, client, name) in &writers {
        let order = json!({"client": name, "topic": topic, "records": [{"value": "after"}], "refresh": true});
        driver.order("produce", client, order).offsets();
    }
    let mut logs = BTreeSet::new();
    for (_, _, name) in &writers {
        let records = wait_for("all of a writer's evidence", PATIENCE, || {
            let of_principal = sluice.evidence(oidc, &["--principal", "User:svc-orders"]);
            let of_writer = of_principal
                .into_iter()
                .filter(|record| record["client_id"] == json!(name));
            let writes: Vec<Value> = of_writer
                .filter(|record| record["api_key"] == PRODUCE)
                .collect();
            let count = |kind: &str| {
                writes
                    .iter()
                    .filter(|record| record["kind"] == kind)
                    .count()
            };
            (count("Outcome") >= 2 && count("Denied") >= 1).then_some(writes)
        });
        let sessions: BTreeSet<&str> = records
            .iter()
            .filter_map(|record| record["session"].as_str())
            .collect();
        assert_eq!(sessions.len(), 1, "{name} was dropped: {sessions:?}");
        for session in sessions {
            let replay = sluice.cli_ok(oidc, "erin", &["sessions", "replay", session]);
            let heading = replay.lines().next().unwrap_or_default();
            logs.extend(heading.split_once("log ").map(|(_, log)| log.to_owned()));
        }
    }
    assert_eq!(
        logs.len(),
        SHARDS_COUNT,
        "not every shard had a writer: {logs:?}"
    );
    for (driver, client, name) in writers.iter().chain(&readers) {
        close(driver, client, name);
    }
}

/// A control plane with its store in etcd, and a gateway, each a process of its own.
struct Planes {
    dir: PathBuf,
    control_config: String,
    gateway_config: String,
    control: Daemon,
    gateway: Daemon,
    grpc_port: u16,
    bootstrap_port: u16,
    roots: PathBuf,
}

impl Planes {
    fn start(kafka: &Kafka, oidc: &Oidc, etcd: &Etcd) -> Self {
        let dir = run_dir("planes");
        let authority = Authority::new();
        let (certificate, key) = authority.sign("control-1");
        let roots = authority.certificate_pem.clone();
        let (grpc_port, bootstrap_port) = (free_port(), free_port());
        let issuers = format!("issuers: [{{name: demo, url: '{}'}}]", oidc.issuer());
        let control_config = format!(
            "name: control-1\nstate_dir: state-control\n{issuers}\n\
             control:\n  grpc: 127.0.0.1:{grpc_port}\n  dashboard: false\n  \
             store: {{etcd: {{endpoints: ['{}']}}}}\n  \
             tls: {{certificate: {}, key: {}, gateway_ca: {}}}\n  \
             bootstrap_author: {{issuer: demo, claim: sub, value: frank}}\n",
            etcd.endpoint(),
            certificate.display(),
            key.display(),
            roots.display(),
        );
        let (certificate, key) = authority.sign("gateway-1");
        let gateway_config = format!(
            "name: gateway-1\nstate_dir: state-gateway\n{issuers}\n\
             listen: {{host: 127.0.0.1, bootstrap_port: {bootstrap_port}, broker_port_base: {}}}\n\
             brokers:\n  bootstrap: [{}]\n  credential: {{scram-sha-512: {{username: sluice-gateway, password: '{}'}}}}\n\
             link: {{endpoint: 'https://127.0.0.1:{grpc_port}', certificate: {}, key: {}, roots: {}}}\n",
            free_ports(4),
            kafka.bootstrap(),
            kafka.password("sluice-gateway"),
            certificate.display(),
            key.display(),
            roots.display(),
        );
        let control = start("control", &dir, "control", &control_config);
        let gateway = start("gateway", &dir, "gateway", &gateway_config);
        Self {
            dir,
            control_config,
            gateway_config,
            control,
            gateway,
            grpc_port,
            bootstrap_port,
            roots,
        }
    }

    fn restart_control(&mut self) {
        self.control = start("control", &self.dir, "control", &self.control_config);
    }

    fn restart_gateway(&mut self) {
        self.gateway.kill();
        self.gateway = start("gateway", &self.dir, "gateway", &self.gateway_config);
    }

    fn client(&self, who: &str) -> Client {
        Client::new(
            format!("127.0.0.1:{}", self.bootstrap_port),
            Oidc::shared().login(who),
        )
    }

    fn cli(&self, who: &str, arguments: &[&str]) -> Output {
        cli(
            self.grpc_port,
            &self.roots,
            &Oidc::shared().token(who),
            arguments,
        )
    }

    #[track_caller]
    fn cli_ok(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.cli(who, arguments);
        assert!(
            output.status.success(),
            "sluice {arguments:?} as {who}: {output:?}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Offsets of the topic in the evidence of writes that the control plane holds.
    fn recorded_offsets(&self, topic: &str) -> BTreeSet<i64> {
        let arguments = [
            "evidence", "search", "--json", "--limit", "10000", "--kind", "Outcome", "--topic",
            topic,
        ];
        let outcomes = json_lines(&self.cli_ok("erin", &arguments));
        let writes = outcomes
            .iter()
            .filter(|record| record["api_key"] == PRODUCE);
        writes
            .flat_map(|record| crate::gateway::items(record, topic))
            .filter_map(|item| item["first_offset"].as_i64())
            .collect()
    }
}

/// Allowed, denied and masked, as ever: by clients of both libraries that log in now. Returns the token that the mask
/// made of the one address that it knows, and adds the offsets written.
#[track_caller]
fn enforces(planes: &Planes, topic: &str, written: &mut BTreeSet<i64>) -> String {
    let value = r#"{"customer":{"email":"ada@example.org"}}"#;
    let mut tokens = BTreeSet::new();
    for driver in Driver::all() {
        let produced = driver.produce(
            &planes.client("svc-orders"),
            topic,
            &Records::values([value]),
        );
        let offset = produced.offsets()[0];
        written.insert(offset);
        let denied = driver.produce(
            &planes.client("svc-payments"),
            topic,
            &Records::values(["not mine"]),
        );
        assert_eq!(
            denied.error_code(),
            Some(TOPIC_AUTHORIZATION_FAILED),
            "{denied:?}"
        );
        let reader = planes.client("analytics").with("group.id", group());
        let read = driver.order(
            "consume",
            &reader,
            json!({"assign": [{"topic": topic, "offset": offset}], "count": 1}),
        );
        read.ok();
        let masked: Value = serde_json::from_str(read.values()[0]).expect("a masked value is JSON");
        tokens.insert(
            masked["customer"]["email"]
                .as_str()
                .expect("a token")
                .to_owned(),
        );
    }
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    let token = tokens.pop_first().unwrap_or_default();
    assert!(token.starts_with("tok_"), "{token}");
    token
}

#[test]
fn the_gateway_goes_on_with_the_last_good_snapshot_while_the_control_plane_is_away() {
    let (kafka, oidc, etcd) = (Kafka::shared(), Oidc::shared(), Etcd::start());
    let mut planes = Planes::start(kafka, oidc, &etcd);
    let (orders, suffix) = {
        let orders = kafka.create_topic("orders", 1);
        let suffix = orders.trim_start_matches("orders").to_owned();
        (orders, suffix)
    };
    let file = planes.dir.join("policy.yaml");
    fs::write(&file, policy().replace("@T@", &suffix)).expect("a policy can be written");
    planes.cli_ok("frank", &["apply", "--file", &file.display().to_string()]);
    let stored = planes.cli_ok("frank", &["get"]);
    assert!(
        etcd.ctl(&["get", "--prefix", "/sluice/", "--keys-only"])
            .contains("/sluice/"),
        "etcd holds nothing"
    );
    wait_for("the policy in force", PATIENCE, || {
        let produced =
            Driver::java().produce(&planes.client("svc-orders"), &orders, &Records::numbered(1));
        produced.error_code().is_none().then_some(())
    });
    let mut written = BTreeSet::new();
    let token = enforces(&planes, &orders, &mut written);
    let (driver, open, name) = (
        Driver::librdkafka(),
        planes.client("svc-orders"),
        unique("open"),
    );
    written.extend(produce_open(driver, &open, &name, &orders, "with").offsets());

    planes.control.kill();
    assert!(
        !planes.cli("frank", &["get"]).status.success(),
        "the control plane answers after its death"
    );
    written.extend(produce_open(driver, &open, &name, &orders, "without").offsets());
    assert_eq!(
        enforces(&planes, &orders, &mut written),
        token,
        "another key"
    );
    close(driver, &open, &name);

    planes.restart_gateway();
    assert_eq!(
        enforces(&planes, &orders, &mut written),
        token,
        "another key after the gateway's restart"
    );

    planes.restart_control();
    assert_eq!(planes.cli_ok("frank", &["get"]), stored, "policy was lost");
    wait_for("the evidence of all that was written", PATIENCE, || {
        let recorded = planes.recorded_offsets(&orders);
        written.is_subset(&recorded).then_some(())
    });
    // And takes changes again.
    fs::write(
        &file,
        document("Role", "orders-writer").replace("orders@T@", "elsewhere"),
    )
    .expect("a policy can be written");
    planes.cli_ok("frank", &["apply", "--file", &file.display().to_string()]);
    wait_for("the change in force", PATIENCE, || {
        let produced =
            Driver::java().produce(&planes.client("svc-orders"), &orders, &Records::numbered(1));
        (produced.error_code() == Some(TOPIC_AUTHORIZATION_FAILED)).then_some(())
    });
}

#[test]
fn a_gateway_without_the_authority_s_certificate_gets_no_policy() {
    let (kafka, oidc, etcd) = (Kafka::shared(), Oidc::shared(), Etcd::start());
    let planes = Planes::start(kafka, oidc, &etcd);
    let (certificate, key) = Authority::new().sign("gateway-2");
    let own = |name: &str| {
        planes
            .gateway_config
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a line")
            .to_owned()
    };
    let config = planes
        .gateway_config
        .replace(&own("name:"), "name: gateway-2")
        .replace(&own("state_dir:"), "state_dir: state-stranger")
        .replace(
            &own("listen:"),
            &format!(
                "listen: {{host: 127.0.0.1, bootstrap_port: {}, broker_port_base: {}}}",
                free_port(),
                free_ports(4)
            ),
        )
        .replace(
            &own("link:"),
            &format!(
                "link: {{endpoint: 'https://127.0.0.1:{}', certificate: {}, key: {}, roots: {}}}",
                planes.grpc_port,
                certificate.display(),
                key.display(),
                planes.roots.display()
            ),
        );
    let file = planes.dir.join("stranger.yaml");
    fs::write(&file, config).expect("a configuration can be written");
    let stranger = sluice_tests::spawn("gateway", &planes.dir, "stranger");
    wait_for("the refused link in its log", PATIENCE, || {
        stranger.log().contains("control link").then_some(())
    });
    assert!(
        !stranger.log().contains("sluice is ready"),
        "{}",
        stranger.log()
    );
    assert!(
        !planes
            .dir
            .join("state-stranger/snapshot.last-good")
            .exists()
    );
    assert!(
        !planes
            .dir
            .join("state-stranger/gateway/snapshot.last-good")
            .exists()
    );
}
