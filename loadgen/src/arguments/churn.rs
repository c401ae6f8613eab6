//! A command beside the load.

use std::time::Duration;

use clap::Args;

use super::argument;
use crate::Error;
use crate::limits::{CHURN_COMMAND_BYTES_MAX, CHURN_INTERVAL_MAX, CHURN_INTERVAL_MIN};
use crate::plan::Churn;

#[derive(Debug, Default, Clone, Args)]
pub struct ChurnArguments {
    /// A command for `sh -c` to run over and over beside the load, such as 'sluice apply --file policy.yaml'. The report says
    /// how it ended, and what the load felt while it ran and shortly after, against the rest. The command finds the name of
    /// the target under load in $LOADGEN_TARGET; compare runs it beside every target, so that all bear what it takes itself.
    #[arg(long, value_name = "COMMAND")]
    pub churn_command: Option<String>,
    /// How often: 500ms, 10s, 2m; 10s unless stated. A run that is due while the last one has not ended is skipped.
    #[arg(long, value_name = "DURATION")]
    pub churn_interval: Option<String>,
}

impl ChurnArguments {
    pub(super) fn check(&self) -> Result<Option<Churn>, Error> {
        let Some(command) = &self.churn_command else {
            return match self.churn_interval {
                None => Ok(None),
                Some(_) => {
                    argument("--churn-interval: say what to run with --churn-command".to_owned())
                }
            };
        };
        if command.trim().is_empty() || command.len() > CHURN_COMMAND_BYTES_MAX {
            return argument(format!(
                "--churn-command: a command of 1 to {CHURN_COMMAND_BYTES_MAX} bytes; put longer ones into a script"
            ));
        }
        let text = self.churn_interval.as_deref().unwrap_or("10s");
        let interval = duration(text)
            .filter(|interval| (CHURN_INTERVAL_MIN..=CHURN_INTERVAL_MAX).contains(interval));
        match interval {
            Some(interval) => Ok(Some(Churn {
                command: command.clone(),
                interval,
            })),
            None => argument(format!(
                "--churn-interval {text}: write a duration from 100ms to 24h, such as 500ms, 10s or 2m"
            )),
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number = number.parse::<u64>().ok()?;
    Some(Duration::from_millis(number.checked_mul(milliseconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_its_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for text in ["", "5", "s", "-1s", "1.5s", "99999999999999999999s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
