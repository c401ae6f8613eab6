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
    /// How to reach one target: NAME.KEY=VALUE, where KEY is an option of `loadgen run` from sasl to tls-name.
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
        let plan = self.load.plan()?;
        let known: Vec<&str> = named.iter().map(|(name, _, _)| *name).collect();
        let mut targets = Vec::new();
        for (name, address, access) in &named {
            let mut readers_as = Vec::new();
            for text in self.load.readers_as() {
                readers_as.extend(of_target(name, &known, text)?);
            }
            targets.push(access.target_with(name, address, &readers_as)?);
        }
        Ok(Comparison {
            targets,
            baseline: baseline.transpose()?.unwrap_or(0),
            plan,
            rounds_count: self.rounds,
            warm_up: Duration::from_secs(self.warm_up_seconds),
            watched: watched(&self.watch)?,
        })
    }
}

/// The `KEY=VALUE` of `--readers-as` as far as it is for this target: `NAME.KEY=VALUE` is for one, without a name for all.
fn of_target<'t>(name: &str, known: &[&str], text: &'t str) -> Result<Option<&'t str>, Error> {
    let key = text.split_once('=').map_or(text, |(key, _)| key);
    let Some((owner, _)) = key.split_once('.') else {
        return Ok(Some(text));
    };
    if !known.contains(&owner) {
        return argument(format!(
            "--readers-as {text}: there is no --target {owner}=HOST:PORT"
        ));
    }
    Ok(match owner == name {
        true => text.get(owner.len() + 1..),
        false => None,
    })
}
