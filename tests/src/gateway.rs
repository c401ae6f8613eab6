//! Sluice itself, as its users run it: `sluice up`, or `sluice control` and `sluice gateway`, and the command line.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::client::{Client, Login};
use crate::daemon::{Daemon, wait_for};
use crate::http::http_get;
use crate::kafka::Kafka;
use crate::oidc::Oidc;
use crate::{place, ports};

/// A debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_LINE: &str = "sluice is ready";
/// One for each broker, at the base port plus its node id.
const BROKER_PORTS: u16 = 4;
/// How the configuration calls the OpenID provider.
const ISSUER: &str = "demo";

/// A configured `sluice`, running or not: its folder, ports and processes.
#[derive(Debug)]
pub struct Sluice {
    dir: PathBuf,
    host: String,
    bootstrap_port: u16,
    grpc_port: u16,
    metrics_port: u16,
    control_roots: PathBuf,
    client_ca: Option<PathBuf>,
    suffix: String,
    daemon: Daemon,
}

/// What to run, beside what every test needs.
#[derive(Debug, Clone, Default)]
pub struct SluiceOptions {
    /// Certificate and key that the gateway shows its clients; the certificate is its own authority unless there is one.
    pub client_tls: Option<(PathBuf, PathBuf)>,
    /// The authority of that certificate.
    pub client_authority: Option<PathBuf>,
    /// Host name at which clients bootstrap; 127.0.0.1 unless stated.
    pub advertised_host: Option<String>,
    /// Names of brokers, told apart by TLS; a port for each broker unless stated.
    pub broker_names: Option<String>,
    /// Shards, on CPUs 0 and up; 0 leaves it to the gateway.
    pub shards_count: usize,
    /// Memory that all connections may hold together; 0 leaves it to the gateway.
    pub connections_memory_mib: usize,
}

impl Sluice {
    /// Both planes in one process, with the embedded store, and no policy yet.
    pub fn up(kafka: &Kafka, oidc: &Oidc, options: &SluiceOptions) -> Self {
        let dir = place::run_dir("sluice");
        let bootstrap_port = ports::free_port();
        let grpc_port = ports::free_port();
        let metrics_port = ports::free_port();
        let tls = options
            .client_tls
            .as_ref()
            .map_or(String::new(), |(certificate, key)| {
                format!(
                    "  tls: {{certificate: {}, key: {}}}\n",
                    certificate.display(),
                    key.display()
                )
            });
        let shards = match options.shards_count {
            0 => String::new(),
            count => format!("shards: {{cpus: {:?}}}\n", (0..count).collect::<Vec<_>>()),
        };
        let memory = match options.connections_memory_mib {
            0 => String::new(),
            mib => format!("connections_memory_mib: {mib}\n"),
        };
        let host = options.advertised_host.as_deref().unwrap_or("127.0.0.1");
        let brokers = match &options.broker_names {
            Some(pattern) => format!("broker_names: '{pattern}'"),
            None => format!("broker_port_base: {}", ports::free_ports(BROKER_PORTS)),
        };
        let config = format!(
            "name: gateway-1\n\
             state_dir: state\n\
             listen:\n  host: 127.0.0.1\n  advertised_host: {host}\n  bootstrap_port: {bootstrap_port}\n  {brokers}\n{tls}\
             brokers:\n  bootstrap: [{}]\n  credential: {{scram-sha-512: {{username: sluice-gateway, password: '{}'}}}}\n\
             {shards}{memory}metrics: {{listen: 127.0.0.1:{metrics_port}}}\n\
             issuers: [{{name: {ISSUER}, url: '{}', development: true}}]\n\
             control:\n  grpc: 127.0.0.1:{grpc_port}\n  dashboard: false\n  store: embedded\n  \
             bootstrap_author: {{issuer: {ISSUER}, claim: sub, value: frank}}\n",
            kafka.bootstrap(),
            kafka.password("sluice-gateway"),
            oidc.issuer(),
        );
        let daemon = start("up", &dir, "sluice", &config);
        Self {
            control_roots: dir.join("state/control/ca.pem"),
            client_ca: options.client_authority.clone().or(options
                .client_tls
                .as_ref()
                .map(|(certificate, _)| certificate.clone())),
            host: host.to_owned(),
            suffix: place::unique(""),
            bootstrap_port,
            grpc_port,
            metrics_port,
            daemon,
            dir,
        }
    }

    /// Ends it as a crash would, and starts it again with its configuration and its state.
    pub fn crash_and_restart(&mut self) {
        self.daemon.kill();
        let config = fs::read_to_string(self.dir.join("sluice.yaml")).expect("its configuration");
        self.daemon = start("up", &self.dir, "sluice", &config);
    }

    /// A client that goes through the gateway.
    pub fn client(&self, login: Login) -> Client {
        let client = Client::new(format!("{}:{}", self.host, self.bootstrap_port), login);
        match &self.client_ca {
            Some(ca) => client.with_tls(ca),
            None => client,
        }
    }

    /// Where clients bootstrap.
    pub fn bootstrap_port(&self) -> u16 {
        self.bootstrap_port
    }

    /// This gateway's own topic of that name: tests share brokers.
    pub fn topic(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// Makes that topic behind the gateway's back, and returns its name.
    pub fn create_topic(&self, kafka: &Kafka, name: &str, partitions: u32) -> String {
        kafka.create_topic_named(&self.topic(name), partitions)
    }

    /// `text` with this gateway's topics for `@T@`.
    pub fn policy(&self, text: &str) -> String {
        text.replace("@T@", &self.suffix)
    }

    /// `sluice VERB ..` as the person or service whose token this is.
    pub fn cli_with(&self, token: &str, arguments: &[&str]) -> Output {
        cli(self.grpc_port, &self.control_roots, token, arguments)
    }

    /// The same, as somebody of tests/oidc/clients.json.
    pub fn cli(&self, oidc: &Oidc, who: &str, arguments: &[&str]) -> Output {
        self.cli_with(&oidc.token(who), arguments)
    }

    /// What it prints.
    ///
    /// # Panics
    /// When it does not end with 0.
    #[track_caller]
    pub fn cli_ok(&self, oidc: &Oidc, who: &str, arguments: &[&str]) -> String {
        let output = self.cli(oidc, who, arguments);
        assert!(
            output.status.success(),
            "sluice {arguments:?} as {who}: {output:?}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `sluice apply` of a document's text, with this gateway's topics for `@T@`.
    pub fn try_apply(&self, oidc: &Oidc, who: &str, text: &str) -> Output {
        let file = place::run_dir("policy").join("policy.yaml");
        fs::write(&file, self.policy(text)).expect("a policy can be written");
        self.cli(oidc, who, &["apply", "--file", &file.display().to_string()])
    }

    /// Applies, and waits until the gateway has it in force.
    #[track_caller]
    pub fn apply(&self, oidc: &Oidc, who: &str, text: &str) {
        let output = self.try_apply(oidc, who, text);
        assert!(output.status.success(), "sluice apply as {who}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        wait_for("the applied revision in force", READY_WITHIN, || {
            let gateways = self.cli(oidc, "oscar", &["gateways"]);
            in_force(&String::from_utf8_lossy(&gateways.stdout), &said).then_some(())
        });
    }

    /// Evidence that a search finds, oldest last; `arguments` as `sluice evidence search` takes them.
    #[track_caller]
    pub fn evidence(&self, oidc: &Oidc, arguments: &[&str]) -> Vec<Value> {
        let arguments = [
            &["evidence", "search", "--json", "--limit", "10000"],
            arguments,
        ]
        .concat();
        json_lines(&self.cli_ok(oidc, "erin", &arguments))
    }

    /// A metric without labels, by its whole name.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let answer = http_get(&format!("http://127.0.0.1:{}/metrics", self.metrics_port)).ok()?;
        let line = answer.body.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then(|| value.to_owned())
        });
        line?.parse().ok()
    }

    /// Its working folder, with sluice.yaml, `state` and the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process, to stop, kill or pause it.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// The same, to look at.
    pub fn process(&self) -> &Daemon {
        &self.daemon
    }
}

/// `sluice VERB ..` against any control plane on loopback.
pub fn cli(grpc_port: u16, control_roots: &Path, token: &str, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env("SLUICE_CONTROL", format!("https://127.0.0.1:{grpc_port}"))
        .env("SLUICE_CONTROL_ROOTS", control_roots)
        .env("SLUICE_TOKEN", token)
        .output()
        .expect("sluice runs")
}

/// `sluice VERB` with this configuration in `dir`, once it says that it is ready.
pub fn start(verb: &str, dir: &Path, name: &str, config: &str) -> Daemon {
    let file = dir.join(format!("{name}.yaml"));
    fs::write(&file, config).expect("a configuration can be written");
    let mut daemon = spawn(verb, dir, name);
    daemon.wait_until_ready(READY_WITHIN, |daemon| daemon.log().contains(READY_LINE));
    daemon
}

/// `sluice VERB` with the configuration `dir/NAME.yaml`, whatever becomes of it. Its log is `dir/NAME.log`.
pub fn spawn(verb: &str, dir: &Path, name: &str) -> Daemon {
    let file = dir.join(format!("{name}.yaml"));
    let log = dir.join(format!("{name}.log"));
    // A new log, or the ready line of an earlier start would be found.
    let _ = fs::rename(&log, log.with_extension(place::unique("before")));
    Daemon::start(name, binary(), &log, |command| {
        command
            .arg(verb)
            .arg("--config")
            .arg(&file)
            .current_dir(dir);
    })
}

/// JSON objects, one a line.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

/// Whether every gateway's revision is at least the one that `apply` printed.
fn in_force(gateways: &str, applied: &str) -> bool {
    let Some(wanted) = last_number(applied) else {
        panic!("`sluice apply` names no revision: {applied}");
    };
    let mut rows = gateways.lines().skip(1).peekable();
    rows.peek().is_some()
        && rows.all(|row| {
            let revision = row
                .split_whitespace()
                .nth(1)
                .and_then(|text| text.parse::<u64>().ok());
            revision.is_some_and(|revision| revision >= wanted)
        })
}

fn last_number(text: &str) -> Option<u64> {
    let after = text.rsplit("revision ").next()?;
    after
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The binary that `SLUICE_BIN` names, or the one that cargo built beside these tests.
fn binary() -> PathBuf {
    if let Some(named) = env::var_os("SLUICE_BIN") {
        return named.into();
    }
    // target/debug/deps/e2e-0123 -> target/debug/sluice
    let tests = env::current_exe().expect("a process knows its file");
    let beside = tests
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two folders deep")
        .join("sluice");
    assert!(
        beside.exists(),
        "{} is not there: cargo build -p sluice",
        beside.display()
    );
    beside
}
