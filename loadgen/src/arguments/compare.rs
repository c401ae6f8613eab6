//! `loadgen compare`: several targets, each with its own way in.

use std::time::Duration;

use clap::Args;

use super::{Access, Load, argument, watched, within};
use crate::compare::Comparison;
use crate::limits::{ROUNDS_MAX, SECONDS_MAX};
use crate::{Error, report};

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

impl Compare {
    /// Checks everything that can be checked before the first byte is sent.
    pub fn check(&self) -> Result<Comparison, Error> {
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
        let plan = self.load.plan()?;
        if plan.mode.has_parts() {
            return argument(format!(
                "--mode {}: it has results of several kinds, and a table has room for one; use `loadgen run` for each target",
                plan.mode.name()
            ));
        }
        Ok(Comparison {
            targets: targets.collect::<Result<_, _>>()?,
            baseline: baseline.transpose()?.unwrap_or(0),
            plan,
            rounds_count: self.rounds,
            warm_up: Duration::from_secs(self.warm_up_seconds),
            watched: watched(&self.watch)?,
        })
    }
}
