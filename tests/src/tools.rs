//! Kafka's console tools and kcat: clients that people have at hand, one process for each order.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::{kafka, place};

/// Runs Kafka's console producer with one record for each line. Its exit code says little: look at the topic.
pub fn console_producer(client: &Client, topic: &str, lines: &[&str]) -> Output {
    let mut tool = console_tool("ConsoleProducer");
    tool.args(["--bootstrap-server", &bootstrap(client), "--topic", topic]);
    tool.arg("--command-config").arg(java_properties(client));
    run(tool, &(lines.join("\n") + "\n"))
}

/// Runs Kafka's console consumer from the topic's start until `count` records are printed, a line each.
pub fn console_consumer(client: &Client, group: &str, topic: &str, count: usize) -> Output {
    let mut tool = console_tool("consumer.ConsoleConsumer");
    tool.args([
        "--bootstrap-server",
        &bootstrap(client),
        "--topic",
        topic,
        "--group",
        group,
        "--from-beginning",
    ]);
    tool.args([
        "--max-messages",
        &count.to_string(),
        "--timeout-ms",
        "20000",
    ]);
    tool.arg("--command-config").arg(java_properties(client));
    run(tool, "")
}

/// Runs kcat with these arguments until it ends by itself, `input` on its standard input.
pub fn kcat(client: &Client, arguments: &[&str], input: &str) -> Output {
    let mut command = kcat_command(client);
    command.args(arguments);
    run(command, input)
}

/// The same, for a kcat that is started here and ended later.
pub fn kcat_running(client: &Client, arguments: &[&str]) -> Daemon {
    let log = place::run_dir("kcat").join("log");
    let kcat = kcat_command(client);
    Daemon::start("kcat", kcat.get_program(), &log, |command| {
        for (name, value) in kcat.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.args(kcat.get_args()).args(arguments);
    })
}

/// Debian's kcat on a librdkafka that fetches tokens, which Debian's does not.
pub fn kcat_command(client: &Client) -> Command {
    let mut command = Command::new("kcat");
    command.env("LD_LIBRARY_PATH", place::installed(".cache/kcat"));
    for (name, value) in client.librdkafka() {
        command.arg("-X").arg(format!("{name}={value}"));
    }
    command.args(["-m", "20"]);
    command
}

fn console_tool(class: &str) -> Command {
    let log_config = place::root().join("tests/kafka/log4j2-clients.properties");
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            log_config.display()
        ))
        // The folder of the driver, too: its class TokenFile reads a token for a client that has one.
        .arg("-cp")
        .arg(format!(
            "{}:{}",
            kafka::jars("tools"),
            place::installed(".cache/java").display()
        ))
        .arg(format!("org.apache.kafka.tools.{class}"));
    command
}

fn bootstrap(client: &Client) -> String {
    let of_client =
        |(name, value): (String, String)| (name == "bootstrap.servers").then_some(value);
    client
        .java()
        .into_iter()
        .find_map(of_client)
        .unwrap_or_default()
}

fn java_properties(client: &Client) -> PathBuf {
    let path = place::run_dir("tool").join("client.properties");
    let lines: Vec<String> = client
        .java()
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    std::fs::write(&path, lines.concat())
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    path
}

fn run(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{command:?} does not run ({error}): run scripts/test once, it installs it")
        });
    let mut pipe = child.stdin.take().expect("standard input was asked for");
    let input = input.to_owned();
    // From a thread of its own: the tool may write before it has read everything. One that leaves early stops reading.
    let writer = thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("a child can be waited for");
    writer.join().expect("the writer does not panic");
    output
}
