//! A real Kafka; `scripts/lib/kafka.sh` knows how it is configured.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use crate::client::{Client, Login};
use crate::daemon::Daemon;
use crate::driver::Driver;
use crate::{place, ports};

const SCRIPT: &str = "scripts/lib/kafka.sh";
const READY_LINE: &str = "Kafka Server started";
/// One starts in four seconds on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// What kind of cluster.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Nodes, each broker and controller: 1 or 3.
    pub nodes_count: usize,
    /// Server properties to add or to replace.
    pub overrides: Vec<(String, String)>,
    /// Options for the nodes' Java, separated by blanks.
    pub java_options: String,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            nodes_count: 1,
            overrides: Vec::new(),
            java_options: String::new(),
        }
    }
}

/// A cluster that wants SASL (PLAIN or SCRAM-SHA-512) and authorises nobody but its super users: `sluice-gateway`, and
/// `harness` for looking behind the gateway's back. `stranger` has a password and no permission.
#[derive(Debug)]
pub struct Kafka {
    dir: PathBuf,
    nodes: Vec<Daemon>,
    bootstrap: Vec<String>,
    java_options: String,
}

impl Kafka {
    /// One node, shared by all tests of this process.
    pub fn shared() -> &'static Self {
        static KAFKA: OnceLock<Kafka> = OnceLock::new();
        KAFKA.get_or_init(|| Self::start(&KafkaOptions::default()))
    }

    /// A cluster of one's own.
    ///
    /// # Panics
    /// When it does not start, with the end of its log.
    pub fn start(options: &KafkaOptions) -> Self {
        place::installed(".cache/kafka/broker");
        let dir = place::run_dir("kafka");
        let overrides: Vec<String> = options
            .overrides
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let configured = Command::new(place::root().join(SCRIPT))
            .arg("configure")
            .arg(&dir)
            .args((0..2 * options.nodes_count).map(|_| ports::free_port().to_string()))
            .env("KAFKA_OVERRIDES", overrides.join("\n"))
            .output()
            .expect("kafka.sh runs");
        assert!(
            configured.status.success(),
            "Kafka cannot be configured: {configured:?}"
        );

        let bootstrap =
            fs::read_to_string(dir.join("bootstrap")).expect("kafka.sh wrote the addresses");
        let mut kafka = Self {
            dir,
            nodes: Vec::new(),
            bootstrap: bootstrap.lines().map(str::to_owned).collect(),
            java_options: options.java_options.clone(),
        };
        kafka.nodes = (1..=options.nodes_count)
            .map(|node| kafka.spawn(node))
            .collect();
        for node in &mut kafka.nodes {
            wait_until_started(node);
        }
        kafka
    }

    /// `host:port[,host:port]`.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.join(",")
    }

    /// The addresses, node 1 first.
    pub fn addresses(&self) -> &[String] {
        &self.bootstrap
    }

    /// The password of `sluice-gateway`, `harness` or `stranger`.
    pub fn password(&self, user: &str) -> String {
        let credentials = fs::read_to_string(self.dir.join("credentials"))
            .expect("kafka.sh wrote the credentials");
        credentials
            .lines()
            .find_map(|line| line.strip_prefix(user)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("Kafka has no user {user}"))
            .to_owned()
    }

    /// A client that goes straight to the brokers, by SASL/PLAIN.
    pub fn client(&self, user: &str) -> Client {
        Client::new(
            self.bootstrap(),
            Login::Plain {
                user: user.to_owned(),
                password: self.password(user),
            },
        )
    }

    /// A client that goes straight to the brokers, by SCRAM-SHA-512.
    pub fn scram_client(&self, user: &str) -> Client {
        Client::new(
            self.bootstrap(),
            Login::Scram512 {
                user: user.to_owned(),
                password: self.password(user),
            },
        )
    }

    /// Makes a topic with a name of its own that begins with `name`, on every node, and returns the name.
    pub fn create_topic(&self, name: &str, partitions: u32) -> String {
        self.create_topic_named(&place::unique(name), partitions)
    }

    /// Makes a topic of this very name, and returns the name.
    pub(crate) fn create_topic_named(&self, topic: &str, partitions: u32) -> String {
        Driver::java()
            .order(
                "create_topic",
                &self.client("harness"),
                json!({"topic": topic, "partitions": partitions}),
            )
            .ok();
        topic.to_owned()
    }

    /// Ends node `node` (1 is the first) as a crash would.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node - 1].kill();
    }

    /// Starts node `node` again, with its data.
    pub fn restart_node(&mut self, node: usize) {
        self.nodes[node - 1].kill();
        // A new log, or the ready line of the first start would be found.
        let _ = fs::rename(
            self.log_path(node),
            self.log_path(node).with_extension("before"),
        );
        self.nodes[node - 1] = self.spawn(node);
        wait_until_started(&mut self.nodes[node - 1]);
    }

    /// Moves node `node` to another port, with its data, as an operator would: it restarts with other settings.
    pub fn move_node(&mut self, node: usize) {
        let file = self.dir.join(format!("node-{node}/server.properties"));
        let moved = format!("127.0.0.1:{}", ports::free_port());
        let settings = fs::read_to_string(&file).expect("kafka.sh wrote the settings");
        let settings = settings.replace(
            &format!("CLIENT://{}", self.bootstrap[node - 1]),
            &format!("CLIENT://{moved}"),
        );
        fs::write(&file, settings).expect("settings can be written");
        self.bootstrap[node - 1] = moved;
        self.restart_node(node);
    }

    /// The process of node `node`, to pause it or to read its log.
    pub fn node(&self, node: usize) -> &Daemon {
        &self.nodes[node - 1]
    }

    fn spawn(&self, node: usize) -> Daemon {
        Daemon::start(
            &format!("Kafka node {node}"),
            place::root().join(SCRIPT),
            &self.log_path(node),
            |command| {
                command
                    .env("KAFKA_OPTS", &self.java_options)
                    .arg("run")
                    .arg(&self.dir)
                    .arg(node.to_string());
            },
        )
    }

    fn log_path(&self, node: usize) -> PathBuf {
        self.dir.join(format!("node-{node}")).join("log")
    }
}

fn wait_until_started(node: &mut Daemon) {
    node.wait_until_ready(READY_WITHIN, |node| node.log().contains(READY_LINE));
}

/// A Java class path: `broker` (with the clients of the same release) or `tools` (the console tools).
pub(crate) fn jars(module: &str) -> String {
    format!(
        "{}/*",
        place::installed(".cache/kafka").join(module).display()
    )
}
