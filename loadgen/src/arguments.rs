//! The command line, and what it comes to.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::limits::{CONNECTIONS_MAX, IN_FLIGHT_MAX, RATE_MAX, ROUNDS_MAX, SECONDS_MAX};
use crate::plan::{Credential, Mode, Pace, Payload, Plan, Progress, Target};
use crate::watch::Watched;
use crate::{Codec, Error, compare, report, sink};

/// Open-loop load for Kafka, and a comparison of two ways to the same cluster.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put load on one target and say what it answered, and when.
    Run(Run),
    /// Put the same load on several targets in interleaved rounds, and say how they differ.
    Compare(Compare),
    /// Turn JSON results into a page with plots, CSV, and percentile files for the HdrHistogram plotter.
    Report(report::ReportArguments),
    /// Create a topic, unless it exists.
    CreateTopic(CreateTopic),
    /// Serve as a broker that keeps nothing, to put behind a proxy that is to be measured.
    Sink(sink::Arguments),
}

#[derive(Debug, Args)]
pub struct Run {
    /// Bootstrap address.
    #[arg(long, value_name = "HOST:PORT")]
    pub target: String,
    #[command(flatten)]
    pub access: Access,
    #[command(flatten)]
    pub load: Load,
    /// Processes whose CPU time and memory are reported; with /THREAD,... the CPU time of the threads with such names alone.
    #[arg(long, value_name = "NAME=PID[/THREAD,...]")]
    pub watch: Vec<String>,
    #[command(flatten)]
    pub output: report::Output,
}

#[derive(Debug, Args)]
pub struct Compare {
    /// A target and what to call it.
    #[arg(long, value_name = "NAME=HOST:PORT", required = true)]
    pub target: Vec<String>,
    /// The target that the others are compared with; the first unless stated.
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// How to reach one target: NAME.KEY=VALUE, where KEY is an option of `loadgen run` from username to tls-name.
    #[arg(long, value_name = "NAME.KEY=VALUE")]
    pub with: Vec<String>,
    #[command(flatten)]
    pub load: Load,
    /// How often each target is measured.
    #[arg(long, default_value_t = 4)]
    pub rounds: usize,
    /// How long each target gets the load before the first round, unmeasured.
    #[arg(long, default_value_t = 2)]
    pub warm_up_seconds: u64,
    /// Processes whose CPU time and memory are reported; with /THREAD,... the CPU time of the threads with such names alone.
    /// If several targets each have a process of their own name, these stand in one row: each while its own target was loaded.
    #[arg(long, value_name = "NAME=PID[/THREAD,...]")]
    pub watch: Vec<String>,
    #[command(flatten)]
    pub output: report::Output,
}

#[derive(Debug, Args)]
pub struct CreateTopic {
    /// Bootstrap address.
    #[arg(long, value_name = "HOST:PORT")]
    pub target: String,
    #[command(flatten)]
    pub access: Access,
    #[arg(long)]
    pub topic: String,
    #[arg(long, default_value_t = 1)]
    pub partitions: i32,
    #[arg(long, default_value_t = 1)]
    pub replicas: i16,
}

/// Login and TLS of a target.
#[derive(Debug, Default, Clone, Args)]
pub struct Access {
    /// SASL mechanism; told from the other options if left out.
    #[arg(long, value_enum)]
    pub sasl: Option<Mechanism>,
    /// PLAIN: user name.
    #[arg(long)]
    pub username: Option<String>,
    /// PLAIN: file with the password.
    #[arg(long)]
    pub password_file: Option<PathBuf>,
    /// OAUTHBEARER: file with an access token that outlives the run.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// OAUTHBEARER: token endpoint, asked with client credentials before each run.
    #[arg(long)]
    pub token_url: Option<String>,
    /// Client id for the token endpoint.
    #[arg(long)]
    pub client_id: Option<String>,
    /// File with the client secret for the token endpoint.
    #[arg(long)]
    pub client_secret_file: Option<PathBuf>,
    /// PEM roots of an https token endpoint.
    #[arg(long)]
    pub token_roots: Option<PathBuf>,
    /// PEM roots of the target's certificate; without them there is no TLS.
    #[arg(long)]
    pub tls_roots: Option<PathBuf>,
    /// Name in the target's certificate, if not its host.
    #[arg(long)]
    pub tls_name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    None,
    Plain,
    Oauthbearer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    Produce,
    Consume,
    Ping,
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
    /// produce: one batch a request; consume: fetch what comes next; ping: fetch at the end, waiting for nothing.
    #[arg(long, value_enum)]
    pub mode: ModeName,
    #[arg(long)]
    pub topic: String,
    /// Requests per second over all connections, sent on time whatever the target does; or `max` for a closed loop.
    #[arg(long)]
    pub rate: String,
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How long to wait for answers after the last request was due.
    #[arg(long, default_value_t = 10)]
    pub grace_seconds: u64,
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Threads of the generator, each with its share of the connections.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Requests on their way per connection. A due request that finds no room waits, and its wait counts.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    #[arg(long, default_value_t = 1024)]
    pub record_bytes: usize,
    #[arg(long, default_value_t = 1)]
    pub records_per_batch: usize,
    /// JSON orders with personal fields as values, instead of letters.
    #[arg(long)]
    pub json_records: bool,
    /// Bytes of each record's key; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub key_bytes: usize,
    /// How batches are compressed.
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub compression: Compression,
    /// What one Fetch asks for.
    #[arg(long, default_value_t = 1024 * 1024)]
    pub fetch_bytes: i32,
    /// No progress lines on standard error.
    #[arg(long)]
    pub quiet: bool,
}

impl Run {
    /// Checks everything that can be checked before the first byte is sent.
    pub fn check(&self) -> Result<(Target, Plan, Vec<Watched>), Error> {
        let target = self.access.target(&self.target, &self.target)?;
        Ok((target, self.load.plan()?, watched(&self.watch)?))
    }
}

impl CreateTopic {
    pub fn check(&self) -> Result<Target, Error> {
        within("--partitions", self.partitions, 1, 10_000)?;
        within("--replicas", self.replicas, 1, 100)?;
        self.access.target(&self.target, &self.target)
    }
}

impl Compare {
    /// Checks everything that can be checked before the first byte is sent.
    pub fn check(&self) -> Result<compare::Comparison, Error> {
        within("--rounds", self.rounds, 1, ROUNDS_MAX)?;
        within("--warm-up-seconds", self.warm_up_seconds, 0, SECONDS_MAX)?;
        let mut named = Vec::new();
        for text in &self.target {
            let Some((name, address)) = text.split_once('=') else {
                return argument(format!(
                    "--target {text}: write NAME=HOST:PORT, such as direct=127.0.0.1:9092"
                ));
            };
            if named.iter().any(|(other, _, _)| *other == name) {
                return argument(format!(
                    "--target {name} is there twice: give each its own name"
                ));
            }
            named.push((name, address, Access::default()));
        }
        if named.len() < 2 {
            return argument(
                "one --target alone has nothing to be compared with: give two".to_owned(),
            );
        }
        for text in &self.with {
            let parts = text
                .split_once('=')
                .and_then(|(path, value)| Some((path.split_once('.')?, value)));
            let Some(((name, key), value)) = parts else {
                return argument(format!(
                    "--with {text}: write NAME.KEY=VALUE, such as direct.username=alice"
                ));
            };
            let Some((_, _, access)) = named.iter_mut().find(|(other, _, _)| *other == name) else {
                return argument(format!(
                    "--with {text}: there is no --target {name}=HOST:PORT"
                ));
            };
            access.set(key, value)?;
        }
        let baseline = self.baseline.as_deref().map(|wanted| {
            let found = named.iter().position(|(name, _, _)| *name == wanted);
            found.ok_or_else(|| {
                Error::OperatorArgument(format!(
                    "--baseline {wanted}: there is no --target {wanted}=HOST:PORT"
                ))
            })
        });
        let targets = named
            .iter()
            .map(|(name, address, access)| access.target(name, address));
        Ok(compare::Comparison {
            targets: targets.collect::<Result<_, _>>()?,
            baseline: baseline.transpose()?.unwrap_or(0),
            plan: self.load.plan()?,
            rounds_count: self.rounds,
            warm_up: Duration::from_secs(self.warm_up_seconds),
            watched: watched(&self.watch)?,
        })
    }
}

impl Load {
    fn plan(&self) -> Result<Plan, Error> {
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
        within("--connections", self.connections, 1, CONNECTIONS_MAX)?;
        within("--threads", self.threads, 1, self.connections)?;
        within("--in-flight", self.in_flight, 1, IN_FLIGHT_MAX)?;
        within("--record-bytes", self.record_bytes, 1, 16 * 1024 * 1024)?;
        within("--key-bytes", self.key_bytes, 0, 64 * 1024)?;
        within("--records-per-batch", self.records_per_batch, 1, 1_000_000)?;
        within("--fetch-bytes", self.fetch_bytes, 1, 50 * 1024 * 1024)?;
        if self.topic.is_empty() || self.topic.len() > 249 {
            return argument("--topic: a name of 1 to 249 characters".to_owned());
        }
        Ok(Plan {
            mode: match self.mode {
                ModeName::Produce => Mode::Produce,
                ModeName::Consume => Mode::Consume,
                ModeName::Ping => Mode::Ping,
            },
            topic: self.topic.clone(),
            pace,
            duration: Duration::from_secs(self.seconds),
            grace: Duration::from_secs(self.grace_seconds),
            connections_count: self.connections,
            threads_count: self.threads,
            in_flight_max: self.in_flight,
            record_bytes: self.record_bytes,
            records_per_batch: self.records_per_batch,
            payload: match self.json_records {
                true => Payload::Json,
                false => Payload::Text,
            },
            key_bytes: self.key_bytes,
            codec: self.compression.into(),
            fetch_bytes: self.fetch_bytes,
            progress: match self.quiet {
                true => Progress::Silent,
                false => Progress::EverySecond,
            },
        })
    }
}

impl Access {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let text = || Some(value.to_owned());
        let path = || Some(PathBuf::from(value));
        match key {
            "sasl" => {
                let mechanism = Mechanism::from_str(value, true);
                self.sasl = Some(mechanism.map_err(|_| {
                    Error::OperatorArgument(format!(
                        "sasl={value}: the mechanisms are none, plain and oauthbearer"
                    ))
                })?);
            }
            "username" => self.username = text(),
            "password-file" => self.password_file = path(),
            "token-file" => self.token_file = path(),
            "token-url" => self.token_url = text(),
            "client-id" => self.client_id = text(),
            "client-secret-file" => self.client_secret_file = path(),
            "token-roots" => self.token_roots = path(),
            "tls-roots" => self.tls_roots = path(),
            "tls-name" => self.tls_name = text(),
            _ => {
                return argument(format!(
                    "--with: no option {key}; there are sasl, username, password-file, token-file, token-url, client-id, \
                     client-secret-file, token-roots, tls-roots and tls-name"
                ));
            }
        }
        Ok(())
    }

    fn target(&self, name: &str, address: &str) -> Result<Target, Error> {
        let port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return argument(format!(
                "--target {address}: write HOST:PORT, such as 127.0.0.1:9092"
            ));
        }
        if self.tls_name.is_some() && self.tls_roots.is_none() {
            return argument(
                "--tls-name without --tls-roots: there is no TLS without roots".to_owned(),
            );
        }
        Ok(Target {
            name: name.to_owned(),
            address: address.to_owned(),
            credential: self.credential(name)?,
            tls_roots: self.tls_roots.clone(),
            tls_name: self.tls_name.clone(),
        })
    }

    fn credential(&self, name: &str) -> Result<Credential, Error> {
        let bearer_given = self.token_file.is_some() || self.token_url.is_some();
        let mechanism = self.sasl.unwrap_or(match (&self.username, bearer_given) {
            (Some(_), _) => Mechanism::Plain,
            (None, true) => Mechanism::Oauthbearer,
            (None, false) => Mechanism::None,
        });
        match mechanism {
            Mechanism::None if self.username.is_none() && !bearer_given => Ok(Credential::None),
            Mechanism::Plain if !bearer_given => match (&self.username, &self.password_file) {
                (Some(username), Some(file)) => Ok(Credential::Plain {
                    username: username.clone(),
                    password_file: file.clone(),
                }),
                _ => argument(format!(
                    "PLAIN for {name} takes both username and password-file"
                )),
            },
            Mechanism::Oauthbearer if self.username.is_none() => {
                let (url, id, secret) =
                    (&self.token_url, &self.client_id, &self.client_secret_file);
                match (&self.token_file, url, id, secret) {
                    (Some(file), None, None, None) => Ok(Credential::TokenFile(file.clone())),
                    (None, Some(url), Some(client_id), Some(secret_file)) => {
                        Ok(Credential::ClientCredentials {
                            url: url.clone(),
                            client_id: client_id.clone(),
                            secret_file: secret_file.clone(),
                            roots: self.token_roots.clone(),
                        })
                    }
                    _ => argument(format!(
                        "OAUTHBEARER for {name} takes token-file, or all of token-url, client-id and client-secret-file"
                    )),
                }
            }
            _ => argument(format!(
                "the login options of {name} contradict each other: give those of one mechanism"
            )),
        }
    }
}

fn watched(texts: &[String]) -> Result<Vec<Watched>, Error> {
    texts
        .iter()
        .map(|text| {
            let parts = text.split_once('=').and_then(|(name, process)| {
                let (pid, threads) = process.split_once('/').unwrap_or((process, ""));
                Some((name, pid.parse().ok()?, threads))
            });
            match parts {
                Some((name, pid, "")) => Watched::new(name, pid, &[]),
                Some((name, pid, threads)) => {
                    Watched::new(name, pid, &threads.split(',').collect::<Vec<_>>())
                }
                None => argument(format!(
                    "--watch {text}: write NAME=PID, such as gateway=4711, or NAME=PID/THREAD,THREAD"
                )),
            }
        })
        .collect()
}

pub(crate) fn within<N: PartialOrd + std::fmt::Display>(
    option: &str,
    value: N,
    min: N,
    max: N,
) -> Result<(), Error> {
    match value >= min && value <= max {
        true => Ok(()),
        false => argument(format!("{option} {value}: it must be from {min} to {max}")),
    }
}

pub(crate) fn argument<T>(text: String) -> Result<T, Error> {
    Err(Error::OperatorArgument(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: &[&str] = &["--mode", "ping", "--topic", "t", "--rate", "5"];

    fn fault(arguments: &[&str]) -> String {
        let arguments = [&["loadgen"], arguments].concat();
        match Arguments::try_parse_from(arguments).unwrap().command {
            Command::Run(run) => run.check().unwrap_err().to_string(),
            Command::Compare(compare) => compare.check().unwrap_err().to_string(),
            Command::CreateTopic(create) => create.check().unwrap_err().to_string(),
            Command::Report(_) => unreachable!(),
            Command::Sink(sink) => sink.check().unwrap_err().to_string(),
        }
    }

    fn compare_fault(arguments: &[&str]) -> String {
        fault(&[&["compare"], LOAD, arguments].concat())
    }

    fn run_fault(arguments: &[&str]) -> String {
        fault(&[&["run", "--target", "h:1"], LOAD, arguments].concat())
    }

    #[test]
    fn faults_say_what_to_write() {
        assert!(fault(&[&["run", "--target", "h"], LOAD].concat()).contains("HOST:PORT"));
        assert!(run_fault(&["--connections", "0"]).contains("from 1 to"));
        assert!(run_fault(&["--threads", "2"]).contains("--threads 2: it must be from 1 to 1"));
        assert!(run_fault(&["--watch", "gateway"]).contains("NAME=PID"));
        assert!(run_fault(&["--username", "a"]).contains("password-file"));
        assert!(run_fault(&["--token-url", "http://h/"]).contains("client-secret-file"));
        assert!(run_fault(&["--username", "a", "--token-file", "f"]).contains("contradict"));
        assert!(run_fault(&["--tls-name", "n"]).contains("--tls-roots"));
        assert!(compare_fault(&["--target", "a=h:1"]).contains("give two"));
        assert!(compare_fault(&["--target", "a=h:1", "--target", "a=h:2"]).contains("twice"));
        let two = ["--target", "a=h:1", "--target", "b=h:2", "--with"];
        assert!(compare_fault(&[&two[..], &["c.sasl=none"]].concat()).contains("no --target c"));
        assert!(
            compare_fault(&[&two[..], &["a.colour=red"]].concat()).contains("no option colour")
        );
        assert!(compare_fault(&[&two[..], &["a"]].concat()).contains("NAME.KEY=VALUE"));
        let stranger = [&two[..4], &["--baseline", "c"]].concat();
        assert!(compare_fault(&stranger).contains("there is no --target c=HOST:PORT"));
    }

    #[test]
    fn a_rate_is_a_number_or_max() {
        for rate in ["0", "-1", "fast", "10000001"] {
            let rate = format!("--rate={rate}");
            let arguments = [
                "run", "--target", "h:1", "--mode", "ping", "--topic", "t", &rate,
            ];
            assert!(fault(&arguments).contains("or max"), "{rate}");
        }
    }

    #[test]
    fn targets_of_a_comparison_get_their_own_login() {
        let own = [
            "--target",
            "a=h:1",
            "--target",
            "b=h:2",
            "--with",
            "b.token-file=/t",
        ];
        let arguments = Arguments::try_parse_from([&["loadgen", "compare"], LOAD, &own].concat());
        let Command::Compare(compare) = arguments.unwrap().command else {
            unreachable!()
        };
        let comparison = compare.check().unwrap();
        assert_eq!(comparison.targets[0].credential, Credential::None);
        assert_eq!(
            comparison.targets[1].credential,
            Credential::TokenFile("/t".into())
        );
    }
}
