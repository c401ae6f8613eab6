//! What to do, checked: what the arguments come to.

use std::path::PathBuf;
use std::time::Duration;

use sluice_identity::scram::Mechanism as ScramMechanism;

use crate::partitions::Partitions;
use crate::records::Shape;

/// One way to a Kafka cluster.
#[derive(Debug, Clone)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// The bootstrap address, `HOST:PORT`.
    pub address: String,
    pub credential: Credential,
    /// TLS by these roots (PEM), or plain text.
    pub tls_roots: Option<PathBuf>,
    /// The name that the certificate must carry, if it is not the host of each address.
    pub tls_name: Option<String>,
    /// How readers beside the load log in, if not as the load.
    pub readers_as: Option<Box<Self>>,
}

/// How to log in. Secrets stand in files, so that they show in no list of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    None,
    Plain {
        username: String,
        password_file: PathBuf,
    },
    /// SCRAM-SHA-256 or SCRAM-SHA-512 (RFC 7677).
    Scram {
        mechanism: ScramMechanism,
        username: String,
        password_file: PathBuf,
    },
    TokenFile(PathBuf),
    /// The client credentials grant of OAuth 2 (RFC 6749, section 4.4).
    ClientCredentials {
        url: String,
        client_id: String,
        secret_file: PathBuf,
        roots: Option<PathBuf>,
    },
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One batch to one partition, acknowledged as [`Plan::acks`] says.
    Produce,
    /// A Fetch of what comes next in one partition; at its end it begins anew.
    Consume,
    /// A Fetch at the partition's end that waits for nothing: the shortest round trip that policy decides about.
    Ping,
    /// A new connection: TCP, TLS and SASL if the target wants them, ApiVersions, Metadata, and its end.
    Storm,
    /// Consume, first alone and then beside connections that read their answers slowly.
    SlowConsumer {
        slow_count: usize,
        /// Of each.
        bytes_per_second: u64,
    },
    /// Produce, and beside it connections that read the same topic.
    Mixed {
        readers_count: usize,
        from: ReadFrom,
    },
}

/// Where readers begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// With the first record; at the end they begin anew.
    Start,
    /// With what is written from now on.
    End,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Ping => "ping",
            Self::Storm => "storm",
            Self::SlowConsumer { .. } => "slow-consumer",
            Self::Mixed { .. } => "mixed",
        }
    }

    /// What reports call the connections with the load and those beside them.
    pub(crate) fn part_names(self) -> &'static [&'static str] {
        match self {
            Self::Produce | Self::Consume | Self::Ping | Self::Storm => &["load"],
            Self::Mixed { .. } => &["producers", "readers"],
            Self::SlowConsumer { .. } => &["normal", "slow"],
        }
    }

    /// Whether connections of other kinds stand beside those with the load.
    pub(crate) fn has_parts(self) -> bool {
        self.part_names().len() > 1
    }

    /// Whether the connections with the load write.
    pub(crate) fn produces(self) -> bool {
        matches!(self, Self::Produce | Self::Mixed { .. })
    }

    /// Connections beside those with the load.
    pub(crate) fn beside_count(self) -> usize {
        match self {
            Self::Mixed { readers_count, .. } => readers_count,
            Self::SlowConsumer { slow_count, .. } => slow_count,
            Self::Produce | Self::Consume | Self::Ping | Self::Storm => 0,
        }
    }
}

/// Whose word a Produce waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nobody's: there is no answer, and what is measured is the way into the socket.
    None,
    Leader,
    /// All in-sync replicas.
    All,
}

impl Acks {
    /// As Kafka writes it.
    pub(crate) fn wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// When requests are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Open loop: so many per second over all connections, whatever the target does.
    PerSecond(u64),
    /// Closed loop: as fast as answers return. Latencies then hide what a stall would have cost others.
    Saturate,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub mode: Mode,
    pub topic: String,
    /// The partitions that connections are spread over; all unless stated.
    pub partitions: Option<Partitions>,
    /// Of what is produced.
    pub acks: Acks,
    pub pace: Pace,
    pub duration: Duration,
    /// How long after the last intended time answers are waited for.
    pub grace: Duration,
    pub connections_count: usize,
    pub threads_count: usize,
    pub in_flight_max: usize,
    /// What produced records look like.
    pub shape: Shape,
    pub records_per_batch: usize,
    /// Decides everything that is drawn for produced records.
    pub seed: u64,
    pub fetch_bytes: i32,
    /// A command beside the load.
    pub churn: Option<Churn>,
    pub progress: Progress,
    /// Which part of a longer course this is, for progress lines: nothing, or words that end with a comma and a space.
    pub stage: String,
}

/// A command that is run at each interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Churn {
    /// For `sh -c`.
    pub command: String,
    pub interval: Duration,
}

/// What record values hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Letters.
    Text,
    /// JSON orders with personal fields, all different, for masks to work on.
    Json,
}

/// Whether there is a line on standard error each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    EverySecond,
    Silent,
}

/// What reports say of a plan.
pub(crate) fn plan_line(plan: &Plan) -> String {
    if plan.mode == Mode::Storm {
        let pace = match plan.pace {
            Pace::PerSecond(rate) => format!("{rate} handshakes/s intended (open loop)"),
            Pace::Saturate => "handshakes as fast as they end (closed loop)".to_owned(),
        };
        let (at_once, seconds) = (plan.connections_count, plan.duration.as_secs());
        let churn = churn_words(plan);
        return format!("storm: {pace}, {at_once} under way at most, {seconds} s{churn}");
    }
    let pace = match plan.pace {
        Pace::PerSecond(rate) => format!("{rate} requests/s intended (open loop)"),
        Pace::Saturate => format!(
            "as fast as answers return, {} in flight each (closed loop)",
            plan.in_flight_max
        ),
    };
    let what = match plan.mode {
        Mode::Produce | Mode::Mixed { .. } => format!(
            ", {} x {} bytes a batch{}{}",
            plan.records_per_batch,
            plan.shape.sizes,
            plan.shape.words(plan.seed),
            acks_words(plan.acks)
        ),
        Mode::Consume | Mode::SlowConsumer { .. } => {
            format!(", {} bytes a Fetch", plan.fetch_bytes)
        }
        Mode::Ping | Mode::Storm => String::new(),
    };
    let beside = match plan.mode {
        Mode::Mixed {
            readers_count,
            from,
        } => {
            let from = match from {
                ReadFrom::Start => "what was there",
                ReadFrom::End => "what is written",
            };
            format!(" and beside them {readers_count} that read {from},")
        }
        Mode::SlowConsumer {
            slow_count,
            bytes_per_second,
        } => {
            format!(" then beside {slow_count} that read {bytes_per_second} bytes/s each, twice")
        }
        _ => String::new(),
    };
    let partitions = plan.partitions.as_ref();
    let partitions =
        partitions.map_or_else(String::new, |chosen| format!(" to partitions {chosen}"));
    let (mode, seconds) = (plan.mode.name(), plan.duration.as_secs());
    format!(
        "{mode}: {pace}{what}, {} connections{partitions},{beside} {seconds} s{}",
        plan.connections_count,
        churn_words(plan)
    )
}

fn churn_words(plan: &Plan) -> String {
    let churn = plan.churn.as_ref();
    churn.map_or_else(String::new, |churn| {
        format!(", beside a command each {:?}", churn.interval)
    })
}

fn acks_words(acks: Acks) -> &'static str {
    match acks {
        Acks::None => ", acks 0 (never answered: latencies are those of the send)",
        Acks::Leader => ", acks 1",
        Acks::All => "",
    }
}
