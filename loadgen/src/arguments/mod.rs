//! The command line, and what it comes to.

mod access;
mod beside;
mod churn;
mod compare;
mod load;
mod records;

use clap::{Args, Parser, Subcommand};

use crate::plan::{Plan, Target};
use crate::watch::Watched;
use crate::{Error, report, sink};
pub use access::{Access, Mechanism};
pub use beside::{Beside, FromName};
pub use churn::ChurnArguments;
pub use compare::Compare;
pub use load::{AcksName, Compression, Load, ModeName};
pub use records::RecordsArguments;

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
    Run(Box<Run>),
    /// Put the same load on several targets in interleaved rounds, and say how they differ.
    Compare(Box<Compare>),
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

impl Run {
    /// Checks everything that can be checked before the first byte is sent.
    pub fn check(&self) -> Result<(Target, Plan, Vec<Watched>), Error> {
        let plan = self.load.plan()?;
        let readers_as: Vec<&str> = self.load.readers_as().collect();
        let target = self
            .access
            .target_with(&self.target, &self.target, &readers_as)?;
        Ok((target, plan, watched(&self.watch)?))
    }
}

impl CreateTopic {
    pub fn check(&self) -> Result<Target, Error> {
        within("--partitions", self.partitions, 1, 10_000)?;
        within("--replicas", self.replicas, 1, 100)?;
        self.access.target(&self.target, &self.target)
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
    use crate::Credential;

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
        assert!(run_fault(&["--acks", "1"]).contains("--mode produce"));
        assert!(run_fault(&["--readers", "1"]).contains("--mode mixed"));
        assert!(run_fault(&["--slow", "1"]).contains("--mode slow-consumer"));
        let slow = "run --target h:1 --topic t --rate 5 --mode slow-consumer --slow 2000";
        let slow: Vec<&str> = slow.split_whitespace().collect();
        assert!(fault(&slow).contains("lower either"));
        assert!(run_fault(&["--churn-interval", "1s"]).contains("--churn-command"));
        let often = ["--churn-command", "true", "--churn-interval", "5ms"];
        assert!(run_fault(&often).contains("from 100ms to 24h"));
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
    fn readers_log_in_as_those_that_write_but_for_what_is_given() {
        let run = "loadgen run --target h:1 --topic t --rate 5 --mode mixed --username a --password-file /a";
        let run: Vec<&str> = run.split_whitespace().collect();
        let readers_as = |options: &[&str]| {
            let parsed = Arguments::try_parse_from([&run, options].concat()).unwrap();
            let Command::Run(run) = parsed.command else {
                unreachable!()
            };
            run.check().map(|(target, _, _)| target.readers_as)
        };
        assert!(readers_as(&[]).unwrap().is_none());
        let other = readers_as(&["--readers-as", "username=b"])
            .unwrap()
            .unwrap();
        let expected = Credential::Plain {
            username: "b".to_owned(),
            password_file: "/a".into(),
        };
        assert_eq!(other.credential, expected);
        let fault = readers_as(&["--readers-as", "b"]).unwrap_err().to_string();
        assert!(fault.contains("KEY=VALUE"), "{fault}");
        assert!(run_fault(&["--readers-as", "username=b"]).contains("--mode mixed"));
    }

    #[test]
    fn readers_of_a_comparison_log_in_by_what_is_for_their_target_and_for_all() {
        let compare = "loadgen compare --topic t --rate 5 --mode mixed --target a=h:1 --target b=h:2 --with b.username=w \
            --with b.password-file=/b --readers-as password-file=/all --readers-as a.username=r";
        let checked = |more: &[&str]| {
            let words: Vec<&str> = compare.split_whitespace().collect();
            match Arguments::try_parse_from([&words, more].concat())
                .unwrap()
                .command
            {
                Command::Compare(compare) => compare.check(),
                _ => unreachable!(),
            }
        };
        let comparison = checked(&[]).unwrap();
        let readers: Vec<_> = comparison
            .targets
            .iter()
            .map(|target| target.readers_as.as_ref().unwrap().credential.clone())
            .collect();
        let plain = |username: &str| Credential::Plain {
            username: username.to_owned(),
            password_file: "/all".into(),
        };
        assert_eq!(readers, [plain("r"), plain("w")]);
        assert_eq!(comparison.targets[0].credential, Credential::None);
        let fault = checked(&["--readers-as", "c.username=r"]).unwrap_err();
        assert!(fault.to_string().contains("no --target c"), "{fault}");
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
