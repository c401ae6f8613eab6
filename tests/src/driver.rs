//! Orders to real Kafka clients (tests/drivers/README.md has the protocol).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{self, Client};
use crate::{kafka, place};

/// Longer than any order's own time-out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a client may take to send before it gives up, unless a test says otherwise.
const DELIVERY_TIMEOUT_MS: u32 = 30_000;

/// Which client library a driver drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Java,
    Librdkafka,
    FranzGo,
    Kafkajs,
    Aiokafka,
}

/// Real Kafka clients in one process of their own; as many sessions at a time as a test asks for, from any thread.
#[derive(Debug)]
pub struct Driver {
    library: Library,
    child: Mutex<Child>,
    orders: Mutex<Orders>,
    waiting: Waiting,
}

type Waiting = Arc<Mutex<HashMap<u64, Sender<Value>>>>;

#[derive(Debug)]
struct Orders {
    pipe: ChildStdin,
    last_id: u64,
    /// Java refuses to ask an endpoint for tokens that is not named in a property of the whole machine.
    token_endpoints: Vec<String>,
}

/// Records to produce.
#[derive(Debug, Clone, Default)]
pub struct Records(Vec<Value>);

impl Records {
    /// `key-0: value-0`, `key-1: value-1`, ...
    pub fn numbered(count: usize) -> Self {
        Self(
            (0..count)
                .map(|n| json!({"key": format!("key-{n}"), "value": format!("value-{n}")}))
                .collect(),
        )
    }

    /// One record for each value.
    pub fn values<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self(
            values
                .into_iter()
                .map(|value| json!({ "value": value }))
                .collect(),
        )
    }

    /// In the drivers' own form: `{topic?, partition?, key, value, headers, timestamp_ms?}`.
    pub fn of(records: Vec<Value>) -> Self {
        Self(records)
    }
}

impl Driver {
    /// Java's clients; one machine for all tests of this process.
    pub fn java() -> &'static Self {
        static JAVA: OnceLock<Driver> = OnceLock::new();
        JAVA.get_or_init(|| {
            let classes = place::installed(".cache/java");
            let jars = kafka::jars("broker");
            let log_config = place::root().join("tests/kafka/log4j2-clients.properties");
            let mut command = Command::new("java");
            command
                .args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                // Names of brokers for tests, without a name server.
                .arg(format!(
                    "-Djdk.net.hosts.file={}",
                    place::root().join("tests/drivers/java/hosts").display()
                ))
                .arg(format!(
                    "-Dlog4j2.configurationFile={}",
                    log_config.display()
                ))
                .arg("-cp")
                .arg(format!("{}:{jars}", classes.display()))
                .arg("Driver");
            Self::start(Library::Java, command)
        })
    }

    /// librdkafka; one process for all tests of this process.
    pub fn librdkafka() -> &'static Self {
        static LIBRDKAFKA: OnceLock<Driver> = OnceLock::new();
        LIBRDKAFKA.get_or_init(|| {
            let mut command = Command::new(place::installed(".cache/venv/bin/python"));
            command.arg(place::root().join("tests/drivers/driver.py"));
            Self::start(Library::Librdkafka, command)
        })
    }

    /// franz-go, for Go; one process for all tests of this process.
    pub fn franz_go() -> &'static Self {
        static FRANZ_GO: OnceLock<Driver> = OnceLock::new();
        FRANZ_GO.get_or_init(|| {
            let command = Command::new(place::installed(".cache/go/driver"));
            Self::start(Library::FranzGo, command)
        })
    }

    /// kafkajs, for Node; one process for all tests of this process.
    pub fn kafkajs() -> &'static Self {
        static KAFKAJS: OnceLock<Driver> = OnceLock::new();
        KAFKAJS.get_or_init(|| {
            place::installed("tests/drivers/node/node_modules");
            let mut command = Command::new(place::installed(".cache/bin/node"));
            command.arg(place::root().join("tests/drivers/node/driver.mjs"));
            Self::start(Library::Kafkajs, command)
        })
    }

    /// aiokafka, for Python; one process for all tests of this process.
    pub fn aiokafka() -> &'static Self {
        static AIOKAFKA: OnceLock<Driver> = OnceLock::new();
        AIOKAFKA.get_or_init(|| {
            let mut command = Command::new(place::installed(".cache/venv/bin/python"));
            command.arg(place::root().join("tests/drivers/aiokafka_driver.py"));
            Self::start(Library::Aiokafka, command)
        })
    }

    /// Java's and librdkafka, which most tests ask, for what must hold with either.
    pub fn all() -> [&'static Self; 2] {
        [Self::java(), Self::librdkafka()]
    }

    /// Every library, for what must hold with any client.
    pub fn every() -> [&'static Self; 5] {
        [
            Self::java(),
            Self::librdkafka(),
            Self::franz_go(),
            Self::kafkajs(),
            Self::aiokafka(),
        ]
    }

    /// The library's name, for what a failed test says.
    pub fn library(&self) -> String {
        format!("{:?}", self.library)
    }

    /// Produces and waits for every answer.
    pub fn produce(&self, client: &Client, topic: &str, records: &Records) -> Answer {
        self.order(
            "produce",
            client,
            json!({"topic": topic, "records": records.0}),
        )
    }

    /// Reads `topic` from its start in the group, until `count` records are there or 20 seconds are over.
    pub fn consume(&self, client: &Client, group: &str, topic: &str, count: usize) -> Answer {
        let client = client
            .clone()
            .with("group.id", group)
            .with("auto.offset.reset", "earliest");
        self.order(
            "consume",
            &client,
            json!({"topics": [topic], "count": count}),
        )
    }

    /// Any order: `extra` holds what the verb needs beside the client's configuration.
    pub fn order(&self, verb: &str, client: &Client, extra: Value) -> Answer {
        let mut order = match extra {
            Value::Object(order) => order,
            other => panic!("an order's extra is an object, not {other}"),
        };
        order.insert("verb".to_owned(), json!(verb));
        order.insert("config".to_owned(), self.config(verb, client));
        let (id, answer) = self.send(order, client);
        match answer.recv_timeout(ANSWER_TIMEOUT) {
            Ok(answer) => Answer(answer),
            Err(_) => {
                let ended = self.child.lock().expect("not poisoned").try_wait();
                panic!(
                    "{:?} driver has no answer to order {id} ({verb}) after {ANSWER_TIMEOUT:?}; its process: {ended:?}",
                    self.library
                )
            }
        }
    }

    fn start(library: Library, mut command: Command) -> Self {
        let log = place::run_dir(&format!("{library:?}").to_lowercase()).join("log");
        let log = File::create(&log)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        // No leash: a driver ends by itself when its orders end.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let pipe = child.stdin.take().expect("standard input was asked for");
        let answers = child.stdout.take().expect("standard output was asked for");
        let waiting = Waiting::default();
        let readers = Arc::clone(&waiting);
        thread::spawn(move || {
            for line in BufReader::new(answers).lines().map_while(Result::ok) {
                let answer: Value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
                let id = answer["id"].as_u64().unwrap_or_default();
                if let Some(waiting) = readers.lock().expect("not poisoned").remove(&id) {
                    // Whoever asked may have given up.
                    let _ = waiting.send(answer);
                }
            }
            // The driver is gone: whoever waits hears it at once.
            readers.lock().expect("not poisoned").clear();
        });
        let orders = Orders {
            pipe,
            last_id: 0,
            token_endpoints: Vec::new(),
        };
        Self {
            library,
            child: Mutex::new(child),
            orders: Mutex::new(orders),
            waiting,
        }
    }

    fn send(
        &self,
        mut order: serde_json::Map<String, Value>,
        client: &Client,
    ) -> (u64, Receiver<Value>) {
        let mut orders = self.orders.lock().expect("not poisoned");
        if self.library == Library::Java
            && let Some(endpoint) = client.token_endpoint()
            && !orders.token_endpoints.iter().any(|known| known == endpoint)
        {
            orders.token_endpoints.push(endpoint.to_owned());
            let urls = orders.token_endpoints.join(",");
            let allow = json!({"verb": "allow_token_endpoint", "urls": urls});
            let (_, allowed) =
                self.write(&mut orders, allow.as_object().expect("an object").clone());
            allowed
                .recv_timeout(ANSWER_TIMEOUT)
                .expect("the driver allows a token endpoint");
        }
        self.write(&mut orders, std::mem::take(&mut order))
    }

    fn write(
        &self,
        orders: &mut Orders,
        mut order: serde_json::Map<String, Value>,
    ) -> (u64, Receiver<Value>) {
        orders.last_id += 1;
        let id = orders.last_id;
        order.insert("id".to_owned(), json!(id));
        let (sender, answer) = mpsc::channel();
        self.waiting
            .lock()
            .expect("not poisoned")
            .insert(id, sender);
        let line = format!("{}\n", Value::Object(order));
        orders
            .pipe
            .write_all(line.as_bytes())
            .unwrap_or_else(|error| {
                panic!("the {:?} driver takes no orders: {error}", self.library)
            });
        (id, answer)
    }

    /// The client's properties, over defaults that make a client give up within a test's patience.
    fn config(&self, verb: &str, client: &Client) -> Value {
        let (defaults, properties): (&[(&str, u32)], _) = match (self.library, verb) {
            (Library::Java, "produce") => (
                &[
                    ("delivery.timeout.ms", DELIVERY_TIMEOUT_MS),
                    ("request.timeout.ms", 10_000),
                    ("max.block.ms", 20_000),
                ],
                client.java(),
            ),
            (Library::Java, "consume") => (&[("default.api.timeout.ms", 20_000)], client.java()),
            (Library::Java, _) => (
                &[
                    ("default.api.timeout.ms", 20_000),
                    ("request.timeout.ms", 10_000),
                ],
                client.java(),
            ),
            (Library::Librdkafka | Library::FranzGo | Library::Aiokafka, "produce") => (
                &[("message.timeout.ms", DELIVERY_TIMEOUT_MS)],
                client.librdkafka(),
            ),
            // kafkajs gives up by itself within half a minute.
            (Library::Librdkafka | Library::FranzGo | Library::Kafkajs | Library::Aiokafka, _) => {
                (&[], client.librdkafka())
            }
        };
        let mut config: Vec<(String, String)> = defaults
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_string()))
            .collect();
        config.extend(properties);
        client::json(config)
    }
}

/// What a client answered.
#[derive(Debug, Clone)]
pub struct Answer(Value);

impl Answer {
    /// The answer itself.
    ///
    /// # Panics
    /// When the order failed.
    #[track_caller]
    pub fn ok(&self) -> &Value {
        assert!(
            self.0.get("error").is_none(),
            "the client failed: {}",
            self.0["error"]
        );
        &self.0
    }

    /// The error code of the order, or of its first record that failed: the Kafka protocol's if it is positive, else
    /// librdkafka's own, or -1 for what is no Kafka error.
    pub fn error_code(&self) -> Option<i64> {
        self.error()
            .map(|error| error["code"].as_i64().expect("an error has a code"))
    }

    /// The error of the order, or of its first record that failed: `{class, code, name, message, retriable}`.
    pub fn error(&self) -> Option<&Value> {
        let of_records = self.0["results"].as_array().into_iter().flatten();
        std::iter::once(&self.0)
            .chain(of_records)
            .find_map(|answer| answer.get("error"))
    }

    /// Whether the order asks for something that the library does not have.
    pub fn is_not_offered(&self) -> bool {
        self.0["error"]["class"] == "NotOffered"
    }

    /// The offsets of the records that were produced.
    ///
    /// # Panics
    /// When one was not.
    #[track_caller]
    pub fn offsets(&self) -> Vec<i64> {
        assert!(
            self.error().is_none(),
            "not everything was produced: {}",
            self.0
        );
        let results = self.0["results"].as_array().expect("an answer to produce");
        results
            .iter()
            .map(|result| result["offset"].as_i64().expect("an offset"))
            .collect()
    }

    /// The values of the records that were consumed; also of those before an error.
    pub fn values(&self) -> Vec<&str> {
        self.records()
            .iter()
            .map(|record| record["value"].as_str().expect("a value that is text"))
            .collect()
    }

    /// The records that were consumed; also those before an error.
    pub fn records(&self) -> &[Value] {
        self.0["records"].as_array().expect("an answer to consume")
    }
}
