//! What is sent, and when.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Beside, ChurnArguments, RecordsArguments, argument, within};
use crate::limits::{CONNECTIONS_MAX, IN_FLIGHT_MAX, RATE_MAX, SECONDS_MAX};
use crate::partitions::Partitions;
use crate::plan::{Acks, Pace, Plan, Progress};
use crate::{Codec, Error};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// One batch a request.
    Produce,
    /// Fetch what comes next; at the end begin anew.
    Consume,
    /// Fetch at the end, waiting for nothing: the shortest round trip.
    Ping,
    /// Produce, with readers beside (--readers), reported apart.
    Mixed,
    /// Whole handshakes at the rate: connect, log in, ask for the topic's metadata, close. Failures are counted by kind.
    Storm,
    /// Consume, alone and then beside connections that hardly read (--slow), reported apart.
    SlowConsumer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AcksName {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    All,
}

impl From<AcksName> for Acks {
    fn from(acks: AcksName) -> Self {
        match acks {
            AcksName::None => Self::None,
            AcksName::Leader => Self::Leader,
            AcksName::All => Self::All,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// What is sent, and when.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// What a request is.
    #[arg(long, value_enum)]
    pub mode: ModeName,
    /// The topic, which must exist: `loadgen create-topic` makes one.
    #[arg(long)]
    pub topic: String,
    /// The partitions that are used, such as 0-3,7: connections are spread over them in turn, as readers beside them are, so
    /// there must be as many connections as partitions that are to have one. All unless stated.
    #[arg(long, value_name = "PARTITIONS")]
    pub only_partitions: Option<String>,
    /// Requests per second over all connections, sent on time whatever the target does; or `max` for a closed loop.
    #[arg(long)]
    pub rate: String,
    /// How long requests are due.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How long to wait for answers after the last request was due.
    #[arg(long, default_value_t = 10)]
    pub grace_seconds: u64,
    /// Connections that carry the rate; 1 unless stated. storm: handshakes under way at once, 64 unless stated; one that is
    /// due and finds no room waits, and its wait counts.
    #[arg(long)]
    pub connections: Option<usize>,
    /// Threads of the generator, each with its share of the connections.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Requests on their way per connection. A due request that finds no room waits, and its wait counts.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// Records in one produced batch.
    #[arg(long, default_value_t = 1)]
    pub records_per_batch: usize,
    #[command(flatten)]
    pub records: RecordsArguments,
    /// Whose word a Produce waits for: all in-sync replicas, the leader (1), nobody (0). With 0 no answer comes: latency is
    /// the time until the request is in the socket, and a question behind the last write tells whether all was taken.
    #[arg(long, value_enum, default_value_t = AcksName::All)]
    pub acks: AcksName,
    /// What one Fetch asks for.
    #[arg(long, default_value_t = 1024 * 1024)]
    pub fetch_bytes: i32,
    #[command(flatten)]
    pub beside: Beside,
    #[command(flatten)]
    pub churn: ChurnArguments,
    /// No progress lines on standard error.
    #[arg(long)]
    pub quiet: bool,
}

impl Load {
    /// Options of the readers' login.
    pub(super) fn readers_as(&self) -> impl Iterator<Item = &str> {
        self.beside.readers_as.iter().map(String::as_str)
    }

    fn partitions(&self) -> Result<Option<Partitions>, Error> {
        let Some(text) = &self.only_partitions else {
            return Ok(None);
        };
        if self.mode == ModeName::Storm {
            return argument(
                "--only-partitions: a storm uses no partition; leave it out".to_owned(),
            );
        }
        match Partitions::parse(text) {
            Some(partitions) => Ok(Some(partitions)),
            None => argument(format!(
                "--only-partitions {text}: write numbers and ranges, such as 0-3,7"
            )),
        }
    }

    pub(super) fn plan(&self) -> Result<Plan, Error> {
        let pace = match self.rate.as_str() {
            "max" => Pace::Saturate,
            text => match text.parse::<u64>() {
                Ok(rate) if (1..=RATE_MAX).contains(&rate) => Pace::PerSecond(rate),
                _ => {
                    return argument(format!(
                        "--rate {text}: write requests per second, 1 to {RATE_MAX}, or max"
                    ));
                }
            },
        };
        within("--seconds", self.seconds, 1, SECONDS_MAX)?;
        within("--grace-seconds", self.grace_seconds, 0, SECONDS_MAX)?;
        let connections = self.connections.unwrap_or(match self.mode {
            ModeName::Storm => 64,
            _ => 1,
        });
        within("--connections", connections, 1, CONNECTIONS_MAX)?;
        within("--threads", self.threads, 1, connections)?;
        within("--in-flight", self.in_flight, 1, IN_FLIGHT_MAX)?;
        within("--records-per-batch", self.records_per_batch, 1, 1_000_000)?;
        within("--fetch-bytes", self.fetch_bytes, 1, 50 * 1024 * 1024)?;
        if self.topic.is_empty() || self.topic.len() > 249 {
            return argument("--topic: a name of 1 to 249 characters".to_owned());
        }
        let produces = matches!(self.mode, ModeName::Produce | ModeName::Mixed);
        if self.acks != AcksName::All && !produces {
            let advice = "use it with --mode produce or --mode mixed";
            return argument(format!(
                "--acks: only what is produced is acknowledged; {advice}"
            ));
        }
        Ok(Plan {
            mode: self.beside.mode(
                self.mode,
                connections,
                self.fetch_bytes.unsigned_abs() as usize,
            )?,
            topic: self.topic.clone(),
            partitions: self.partitions()?,
            acks: self.acks.into(),
            pace,
            duration: Duration::from_secs(self.seconds),
            grace: Duration::from_secs(self.grace_seconds),
            connections_count: connections,
            threads_count: self.threads,
            in_flight_max: self.in_flight,
            shape: self.records.shape()?,
            records_per_batch: self.records_per_batch,
            seed: self.records.seed,
            fetch_bytes: self.fetch_bytes,
            churn: self.churn.check()?,
            progress: match self.quiet {
                true => Progress::Silent,
                false => Progress::EverySecond,
            },
            stage: String::new(),
        })
    }
}
