//! The same load on several targets, in rounds A B B A, so that what drifts on the machine meets all of them.

use std::time::Duration;

use crate::measure::Measured;
use crate::run::run;
use crate::watch::Watched;
use crate::{Error, Mode, Plan, Target};

/// What is compared with what.
#[derive(Debug)]
pub struct Comparison {
    pub targets: Vec<Target>,
    /// The index of the target that the others are compared with.
    pub baseline: usize,
    pub plan: Plan,
    pub rounds_count: usize,
    /// How long each target gets the load before the first round, unmeasured.
    pub warm_up: Duration,
    pub watched: Vec<Watched>,
}

/// All rounds of all targets.
#[derive(Debug)]
pub struct Compared {
    pub targets: Vec<TargetRounds>,
    /// The index of the target that the others are compared with.
    pub baseline: usize,
    /// Name and peak resident bytes of each watched process, at the end.
    pub resident_bytes_max: Vec<(String, u64)>,
}

/// The rounds of one target.
#[derive(Debug)]
pub struct TargetRounds {
    pub name: String,
    pub rounds: Vec<Round>,
}

/// One run of one target.
#[derive(Debug)]
pub struct Round {
    pub measured: Measured,
    /// CPU seconds of each watched process while it ran.
    pub cpu_seconds: Vec<f64>,
}

/// A middle value with its extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Comparison {
    /// Runs all rounds, one after the other.
    ///
    /// # Errors
    /// The first run that has no result ends the comparison.
    pub fn run(&self) -> Result<Compared, Error> {
        let mut targets: Vec<TargetRounds> = self
            .targets
            .iter()
            .map(|target| TargetRounds {
                name: target.name.clone(),
                rounds: Vec::new(),
            })
            .collect();
        let warm_up = Plan {
            // Of slow consumers the half that is alone warms up, and a command has nothing to be measured by.
            mode: match self.plan.mode {
                Mode::SlowConsumer { .. } => Mode::Consume,
                mode => mode,
            },
            churn: None,
            duration: self.warm_up,
            stage: "warm-up, ".to_owned(),
            ..self.plan.clone()
        };
        for target in self.targets.iter().filter(|_| !self.warm_up.is_zero()) {
            run(target, &warm_up)?;
        }
        for round in 0..self.rounds_count {
            let plan = Plan {
                stage: format!("round {} of {}, ", round + 1, self.rounds_count),
                ..self.plan.clone()
            };
            for index in order(round, targets.len()) {
                let before = self.cpu()?;
                let measured = run(&self.targets[index], &plan)?;
                let after = self.cpu()?;
                let cpu_seconds = before
                    .iter()
                    .zip(&after)
                    .map(|(before, after)| after - before)
                    .collect();
                targets[index].rounds.push(Round {
                    measured,
                    cpu_seconds,
                });
            }
        }
        let peak = |watched: &Watched| Ok((watched.name.clone(), watched.resident_bytes_max()?));
        let resident_bytes_max = self
            .watched
            .iter()
            .map(peak)
            .collect::<Result<_, Error>>()?;
        Ok(Compared {
            targets,
            baseline: self.baseline,
            resident_bytes_max,
        })
    }

    fn cpu(&self) -> Result<Vec<f64>, Error> {
        self.watched
            .iter()
            .map(|watched| Ok(watched.cpu()?.as_secs_f64()))
            .collect()
    }
}

impl Compared {
    /// For each target the index of the watched process that has its name. `None` unless there are two of them: one alone
    /// has nothing to stand beside, and says more with what it took while the other targets were loaded.
    pub(crate) fn own_processes(&self) -> Option<Vec<Option<usize>>> {
        let own = |target: &TargetRounds| {
            let mut watched = self.resident_bytes_max.iter();
            watched.position(|(name, _)| *name == target.name)
        };
        let own: Vec<Option<usize>> = self.targets.iter().map(own).collect();
        (own.iter().flatten().count() >= 2).then_some(own)
    }
}

impl TargetRounds {
    /// What `figure` makes of each round.
    pub(crate) fn spread(&self, figure: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(known(self.rounds.iter().map(figure)))
    }

    /// The ratio of `figure` to that of the baseline, which has its own, in the same round.
    pub(crate) fn ratio(
        &self,
        figure: impl Fn(&Round) -> f64,
        baseline: &Self,
        baseline_figure: impl Fn(&Round) -> f64,
    ) -> Spread {
        let pairs = self.rounds.iter().zip(&baseline.rounds);
        Spread::of(known(
            pairs.map(|(own, other)| figure(own) / baseline_figure(other)),
        ))
    }
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 if !values.is_empty() => f64::midpoint(at(middle - 1), at(middle)),
            _ => at(middle),
        };
        Self {
            median,
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }
}

/// Without what a round had nothing to tell of. What is infinite, such as errors beside none, is a figure.
fn known(values: impl Iterator<Item = f64>) -> Vec<f64> {
    values.filter(|value| !value.is_nan()).collect()
}

/// Forwards in even rounds, backwards in odd ones.
fn order(round: usize, targets_count: usize) -> Vec<usize> {
    match round % 2 {
        0 => (0..targets_count).collect(),
        _ => (0..targets_count).rev().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_go_forth_and_back() {
        assert_eq!(
            [order(0, 2), order(1, 2), order(2, 2)],
            [[0, 1], [1, 0], [0, 1]]
        );
    }

    #[test]
    fn errors_beside_none_are_not_left_out() {
        let found = known([f64::INFINITY, f64::NAN, 1.0].into_iter());
        assert_eq!(found, [f64::INFINITY, 1.0]);
    }

    #[test]
    fn a_spread_is_the_median_between_its_extremes() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(
            odd,
            Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            }
        );
        let even = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            even,
            Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            }
        );
    }
}
