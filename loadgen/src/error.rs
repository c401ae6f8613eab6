//! What can go wrong, whose fault it is, and what to do next.

use std::io;
use std::path::PathBuf;

use sluice_kafka::ErrorCode;

use crate::limits::TARGET_TEXT_MAX;

/// Why a run or a comparison has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    OperatorArgument(String),
    #[error("cannot read {path}: {source}; check the path and its permissions", path = path.display())]
    OperatorFileUnreadable { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}; check that the directory exists and its permissions", path = path.display())]
    OperatorFileUnwritable { path: PathBuf, source: io::Error },
    #[error("{path} holds {fault}", path = path.display())]
    OperatorFileUnusable { path: PathBuf, fault: String },
    #[error("the credential of target {target} cannot be sent: {fault}")]
    OperatorCredentialUnusable { target: String, fault: String },
    #[error(
        "the token endpoint {url} gave no token: {fault}; check the client id, its secret and that the issuer runs"
    )]
    TokenEndpointFailed { url: String, fault: String },
    #[error(
        "cannot connect to {address} of target {target}: {source}; check that it listens there"
    )]
    TargetUnreachable {
        target: String,
        address: String,
        source: io::Error,
    },
    #[error("TLS with {address} of target {target} failed: {fault}; check tls-roots and tls-name")]
    TargetTlsFailed {
        target: String,
        address: String,
        fault: String,
    },
    #[error(
        "{address} of target {target} did not answer {what} within {seconds} s; is it Kafka, and does it expect TLS?"
    )]
    TargetSilent {
        target: String,
        address: String,
        what: &'static str,
        seconds: u64,
    },
    #[error(
        "{address} of target {target} took {open_count} connections and did not answer {what} on the next within {seconds} s; does it, or \
         what stands in front of it, bound their number (maxconn, open files)?"
    )]
    TargetFull {
        target: String,
        address: String,
        open_count: usize,
        what: &'static str,
        seconds: u64,
    },
    #[error("{address} of target {target} closed the connection during {during}{advice}")]
    TargetClosed {
        target: String,
        address: String,
        during: &'static str,
        advice: &'static str,
    },
    #[error("connection to {address} of target {target} failed during {during}: {source}")]
    TargetConnectionFailed {
        target: String,
        address: String,
        during: &'static str,
        source: io::Error,
    },
    #[error("{address} of target {target} sent bytes that are no answer to {what}: {fault}")]
    TargetMalformed {
        target: String,
        address: String,
        what: &'static str,
        fault: String,
    },
    #[error("target {target} does not speak {what} in versions {version_min} to {version_max}")]
    TargetVersionMissing {
        target: String,
        what: &'static str,
        version_min: i16,
        version_max: i16,
    },
    #[error(
        "target {target} refused the login by {mechanism}: {fault}; check the credential, and that a binding matches it"
    )]
    TargetLoginRefused {
        target: String,
        mechanism: &'static str,
        fault: String,
    },
    #[error("target {target} answered {what} of {topic} with {code}: {advice}", code = code_text(*code), advice = advice(*code))]
    TargetError {
        target: String,
        what: &'static str,
        topic: String,
        code: ErrorCode,
    },
    #[error(
        "topic {topic} on target {target} has no partition {partition}, it has {partitions_count}; choose others with --only-partitions"
    )]
    OperatorPartitionMissing {
        target: String,
        topic: String,
        partition: i32,
        partitions_count: usize,
    },
    #[error("topic {topic} is empty on target {target}; fill it first with --mode produce")]
    OperatorTopicEmpty { target: String, topic: String },
    #[error(
        "cannot look at process {pid} ({name}): {fault}; check the process id given to --watch"
    )]
    OperatorProcessUnreadable {
        name: String,
        pid: u32,
        fault: String,
    },
    #[error("a thread of the generator ended without a result; this is a fault of loadgen")]
    GeneratorBroken,
    #[error("the sink: {fault}")]
    SinkRefused { fault: String },
    #[error("the operating system failed {doing}: {source}")]
    SystemFailed {
        doing: &'static str,
        source: io::Error,
    },
}

impl Error {
    /// Silence on a connection that others came before has another cause than silence on the first one.
    pub(crate) fn after(self, open_count: usize) -> Self {
        match self {
            Self::TargetSilent {
                target,
                address,
                what,
                seconds,
            } if open_count > 0 => Self::TargetFull {
                target,
                address,
                open_count,
                what,
                seconds,
            },
            other => other,
        }
    }
}

/// What failures are counted by.
pub(crate) fn kind(error: &Error) -> String {
    match error {
        Error::TargetUnreachable { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::TimedOut => "connecting timed out".to_owned(),
            io::ErrorKind::AddrNotAvailable => {
                "no local port left (lower --rate: closed connections keep theirs for a minute)"
                    .to_owned()
            }
            other => format!("cannot connect: {other}"),
        },
        Error::TargetTlsFailed { .. } => "TLS failed".to_owned(),
        Error::TargetSilent { what, .. } | Error::TargetFull { what, .. } => {
            format!("no answer to {what}")
        }
        Error::TargetClosed { during, .. } => format!("closed during {during}"),
        Error::TargetConnectionFailed { during, .. } => format!("broken during {during}"),
        Error::TargetMalformed { what, .. } => format!("no answer to {what} that can be read"),
        Error::TargetLoginRefused { .. } => "login refused".to_owned(),
        Error::TargetError { what, code, .. } => format!("{what} answered with error {}", code.0),
        _ => "other".to_owned(),
    }
}

/// A code by name if it has one, else by number.
pub(crate) fn code_text(code: ErrorCode) -> String {
    match code.name() {
        Some(name) => format!("{name} ({})", code.0),
        None => format!("error {}", code.0),
    }
}

fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
            "this principal may not; give it a role that allows the operation"
        }
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            "create the topic first with `loadgen create-topic`"
        }
        ErrorCode::NOT_ENOUGH_REPLICAS => "too few replicas, or the write waits for an approval",
        ErrorCode::MESSAGE_TOO_LARGE => "use fewer or smaller records per batch",
        _ => "see the target's log",
    }
}

/// What a target said, for a line of a report: without what would begin another line or cell, or command a terminal.
pub(crate) fn printable(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter {
        '|' => '/',
        letter if letter.is_control() => ' ',
        letter => letter,
    });
    letters.take(TARGET_TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_after_many_connections_asks_for_a_bound_on_their_number() {
        let silent = || Error::TargetSilent {
            target: "t".to_owned(),
            address: "h:1".to_owned(),
            what: "ApiVersions",
            seconds: 10,
        };
        let text = silent().after(1_000).to_string();
        assert!(
            text.contains("took 1000 connections") && text.contains("maxconn"),
            "{text}"
        );
        assert!(silent().after(0).to_string().contains("is it Kafka"));
    }

    #[test]
    fn what_a_target_says_stays_in_its_cell() {
        let said = "no\n| CPU s per GB | 0.1 |\u{1b}[2J\u{9b}2J";
        assert_eq!(printable(said), "no / CPU s per GB / 0.1 / [2J 2J");
        let long = printable(&"é".repeat(1_000));
        assert_eq!(long.chars().count(), TARGET_TEXT_MAX);
    }
}
