//! A comparison for people: a table in Markdown, and below it what went wrong.

use std::fmt::Write;

use super::figures::{Figure, figures, note_faults};
use crate::Plan;
use crate::compare::{Compared, Round, Spread, TargetRounds};
use crate::plan::plan_line;

pub(super) fn compare_markdown(plan: &Plan, compared: &Compared) -> String {
    let mut text = format!("**{}**\n\n", plan_line(plan));
    let Some(baseline) = compared.targets.get(compared.baseline) else {
        return text;
    };
    let mut header = String::from("| |");
    for target in &compared.targets {
        let _ = write!(header, " {} |", target.name);
    }
    for (_, target) in others(compared) {
        let _ = write!(header, " {} / {} |", target.name, baseline.name);
    }
    let columns = 2 * compared.targets.len();
    let _ = writeln!(text, "{header}\n|{}", "---|".repeat(columns));
    for Figure { name, digits, of } in figures(plan) {
        row(&mut text, compared, &name, digits, |_, round| of(round));
    }
    let own = compared.own_processes();
    if let Some(own) = &own {
        own_process_rows(&mut text, compared, own);
    }
    for (index, (name, resident_bytes)) in compared.resident_bytes_max.iter().enumerate() {
        if own.iter().flatten().any(|own| *own == Some(index)) {
            continue;
        }
        for (what, digits, figure) in [
            (
                "CPU s per GB",
                3,
                cpu_per_gb(index) as Box<dyn Fn(&Round) -> f64>,
            ),
            ("CPU us per request", 1, cpu_per_request(index)),
        ] {
            let _ = write!(text, "| {what}, {name} |");
            for target in &compared.targets {
                let _ = write!(text, " {} |", spread_text(target.spread(&figure), digits));
            }
            let _ = writeln!(text, "{}", " - |".repeat(compared.targets.len() - 1));
        }
        let resident = *resident_bytes as f64 / 1e6;
        let _ = writeln!(
            text,
            "| peak RSS MB, {name} | {resident:.1} |{}",
            " - |".repeat(columns - 2)
        );
    }
    let _ = writeln!(
        text,
        "\nMedian of {} rounds (least to most).",
        baseline.rounds.len()
    );
    for target in &compared.targets {
        note_faults(plan, target, &mut text);
    }
    text
}

/// All targets but the baseline, with their indices.
fn others(compared: &Compared) -> impl Iterator<Item = (usize, &TargetRounds)> {
    let targets = compared.targets.iter().enumerate();
    targets.filter(|(index, _)| *index != compared.baseline)
}

/// One figure of every target, by its index, then the ratios to the baseline.
fn row(
    text: &mut String,
    compared: &Compared,
    name: &str,
    digits: usize,
    figure: impl Fn(usize, &Round) -> f64,
) {
    let _ = write!(text, "| {name} |");
    for (index, target) in compared.targets.iter().enumerate() {
        let spread = target.spread(|round| figure(index, round));
        let _ = write!(text, " {} |", spread_text(spread, digits));
    }
    if let Some(baseline) = compared.targets.get(compared.baseline) {
        for (index, target) in others(compared) {
            let of_baseline = |round: &Round| figure(compared.baseline, round);
            let ratio = target.ratio(|round| figure(index, round), baseline, of_baseline);
            let _ = write!(text, " {} |", spread_text(ratio, 2));
        }
    }
    text.push('\n');
}

/// What the process of each target took while that target was loaded. `own` has its index by that of the target.
fn own_process_rows(text: &mut String, compared: &Compared, own: &[Option<usize>]) {
    type OfProcess = fn(usize) -> Box<dyn Fn(&Round) -> f64>;
    let figures: [(&str, usize, OfProcess); 2] = [
        ("CPU s per GB, own process", 3, cpu_per_gb),
        ("CPU us per request, own process", 1, cpu_per_request),
    ];
    let process = |target: usize| own.get(target).copied().flatten();
    for (name, digits, figure) in figures {
        row(text, compared, name, digits, |target, round| {
            process(target).map_or(f64::NAN, |process| figure(process)(round))
        });
    }
    let resident = |target: usize| {
        let found = process(target).and_then(|process| compared.resident_bytes_max.get(process));
        found.map_or(f64::NAN, |(_, bytes)| *bytes as f64 / 1e6)
    };
    let cell = |value: f64, digits: usize| match value.is_finite() {
        true => format!(" {value:.digits$} |"),
        false => " - |".to_owned(),
    };
    text.push_str("| peak RSS MB, own process |");
    for target in 0..compared.targets.len() {
        text.push_str(&cell(resident(target), 1));
    }
    for (target, _) in others(compared) {
        text.push_str(&cell(resident(target) / resident(compared.baseline), 2));
    }
    text.push('\n');
}

fn cpu_per_gb(index: usize) -> Box<dyn Fn(&Round) -> f64> {
    Box::new(move |round| cpu(round, index) / (round.measured.moved_bytes() as f64 / 1e9))
}

fn cpu_per_request(index: usize) -> Box<dyn Fn(&Round) -> f64> {
    Box::new(move |round| cpu(round, index) * 1e6 / round.measured.all_answered_count() as f64)
}

fn cpu(round: &Round, index: usize) -> f64 {
    round.cpu_seconds.get(index).copied().unwrap_or(f64::NAN)
}

fn spread_text(spread: Spread, digits: usize) -> String {
    if !spread.median.is_finite() {
        return "-".to_owned();
    }
    let Spread { median, min, max } = spread;
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::arguments;
    use crate::measure::Measured;

    /// One round of `requests` answers in a second with a gigabyte of records.
    fn target(name: &str, requests: u64, cpu_seconds: [f64; 3]) -> TargetRounds {
        let mut measured = Measured::new();
        measured.answered_count = requests;
        measured.record_bytes = 1_000_000_000;
        measured.elapsed = Duration::from_secs(1);
        let cpu_seconds = cpu_seconds.to_vec();
        TargetRounds {
            name: name.to_owned(),
            rounds: vec![Round {
                measured,
                cpu_seconds,
            }],
        }
    }

    #[test]
    fn ratios_are_to_the_baseline_and_own_processes_share_a_row() {
        let load = "loadgen compare --mode consume --topic t --rate max --baseline haproxy \
                    --target direct=h:1 --target haproxy=h:2 --target gateway=h:3";
        let parsed = arguments::Arguments::try_parse_from(load.split_whitespace()).unwrap();
        let arguments::Command::Compare(compare) = parsed.command else {
            unreachable!()
        };
        let comparison = compare.check().unwrap();
        let watched = [("gateway", 30), ("haproxy", 10), ("kafka", 300)];
        let mut compared = Compared {
            targets: vec![
                target("direct", 400, [0.1, 0.1, 1.0]),
                target("haproxy", 200, [0.2, 0.5, 1.0]),
                target("gateway", 100, [1.5, 0.3, 1.0]),
            ],
            baseline: comparison.baseline,
            resident_bytes_max: watched
                .map(|(name, megabytes)| (name.to_owned(), megabytes * 1_000_000))
                .into(),
        };
        let text = compare_markdown(&comparison.plan, &compared);
        let cells = |text: &str, name: &str| {
            let row = text.lines().find(|line| line.starts_with(name)).unwrap();
            let cells = row.trim_matches('|').split('|').skip(1);
            let median = |cell: &str| cell.trim().split(" (").next().unwrap().to_owned();
            cells.map(median).collect::<Vec<_>>().join(" ")
        };
        assert!(
            text.contains(
                "| | direct | haproxy | gateway | direct / haproxy | gateway / haproxy |"
            )
        );
        assert_eq!(cells(&text, "| requests/s"), "400.0 200.0 100.0 2.00 0.50");
        assert_eq!(
            cells(&text, "| CPU s per GB, own process"),
            "- 0.500 1.500 - 3.00"
        );
        assert_eq!(
            cells(&text, "| peak RSS MB, own process"),
            "- 10.0 30.0 - 3.00"
        );
        assert_eq!(
            cells(&text, "| CPU s per GB, kafka"),
            "1.000 1.000 1.000 - -"
        );
        assert!(!text.contains("CPU s per GB, gateway"));

        // One process alone stands in a row of its own, with what it took while others were loaded.
        compared.resident_bytes_max[1].0 = "other".to_owned();
        let text = compare_markdown(&comparison.plan, &compared);
        assert_eq!(
            cells(&text, "| CPU s per GB, gateway"),
            "0.100 0.200 1.500 - -"
        );
        assert!(!text.contains("own process"));
    }
}
