//! The program as somebody would type it, and a sink for it to load.

use std::path::Path;
use std::process::{Command, Output};

use sluice_loadgen::Shape;
use sluice_loadgen::sink::{Sink, SinkConfig, SinkListener};

use crate::short::TOPIC;

/// A sink whose topic has so many partitions.
pub(crate) fn sink(partitions: i32) -> Sink {
    let config = SinkConfig {
        listeners: vec![SinkListener {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertised: None,
            tls: None,
        }],
        cpus: Vec::new(),
        topics: vec![(TOPIC.to_owned(), partitions)],
        shape: Shape::text(100),
        records_per_batch: 10,
        seed: 1,
    };
    Sink::start(&config).unwrap()
}

pub(crate) fn command(line: &str, more: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command
        .args(line.split_whitespace())
        .args(more)
        .current_dir(directory);
    command
}

pub(crate) fn output(line: &str, more: &[&str], directory: &Path) -> Output {
    command(line, more, directory).output().unwrap()
}

/// Standard output of a run that ends well.
pub(crate) fn loadgen(line: &str, more: &[&str], directory: &Path) -> String {
    let output = output(line, more, directory);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {fault}");
    String::from_utf8(output.stdout).unwrap()
}
