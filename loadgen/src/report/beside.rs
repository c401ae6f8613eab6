//! What other connections of the same run did, and times that are counted apart.

use super::html::{heading, paragraph, table};
use super::read::{Apart, Document, Kind, Round, Target};
use super::scale::number;
use super::section::{of_rounds, spread_text};
use crate::run::ALONE;

pub(super) fn beside(page: &mut String, result: &Document) {
    parts(page, result);
    times_apart(page, result);
}

/// A row for each kind of connections at each target.
fn parts(page: &mut String, result: &Document) {
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for target in &result.targets {
        for name in names(target, |round| {
            round.beside.iter().map(|(name, _)| name.as_str()).collect()
        }) {
            let cell = |digits: usize, figure: fn(&Round) -> f64| {
                let of_part = |round: &Round| round.part(name).map_or(f64::NAN, figure);
                spread_text(of_rounds(target, of_part), digits)
            };
            let latency = |index: usize| {
                let of_part = |round: &Round| match round.part(name) {
                    Some(part) if part.intended > 0 => part.latency_us[index],
                    _ => f64::NAN,
                };
                spread_text(of_rounds(target, of_part), 1)
            };
            let mut row = vec![name.to_owned()];
            row.extend(named(result, target));
            row.extend([
                cell(1, Round::answered_per_s),
                cell(2, Round::record_mb_per_s),
                cell(3, |part| match part.slowly_read_bytes {
                    0 => f64::NAN,
                    bytes => bytes as f64 / 1e6 / part.elapsed_s,
                }),
                cell(0, |part| part.failed as f64),
                cell(0, |part| part.unanswered as f64),
                latency(0),
                latency(2),
                latency(5),
            ]);
            rows.push(row);
            let rounds = target.rounds.iter().filter_map(|round| round.part(name));
            for (kind, count, words) in rounds.flat_map(|part| &part.failures) {
                let count = number(*count as f64, 0);
                failures.push(format!("{name}: {kind}, {count} times: {words}"));
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    heading(page, "Other connections of the same run");
    let head = head(
        result,
        "connections",
        &[
            "answered requests/s",
            "MB/s of records",
            "MB/s read slowly",
            "failed",
            "unanswered",
            "latency p50, µs",
            "p99, µs",
            "max, µs",
        ],
    );
    table(page, &head, &rows);
    let text = "They are in no other figure of this result but the CPU time per GB and per request, which is of all connections.";
    paragraph(page, "soft", text);
    for target in &result.targets {
        let cell = |(name, index): (&str, usize)| {
            let of_round = |round: &Round| {
                let alone = round.part(ALONE);
                alone.map_or(f64::NAN, |alone| {
                    round.latency_us[index] / alone.latency_us[index]
                })
            };
            let spread = of_rounds(target, of_round);
            let known = spread.median.is_finite();
            known.then(|| format!("{name} {}", spread_text(spread, 2)))
        };
        let cells: Vec<String> = [("p50", 0), ("p99", 2), ("max", 5)]
            .into_iter()
            .filter_map(cell)
            .collect();
        if !cells.is_empty() {
            let text = format!(
                "{}, latency of the normal ones beside / alone: {}.",
                target.name,
                cells.join(", ")
            );
            paragraph(page, "soft", &text);
        }
    }
    for failure in failures {
        paragraph(page, "soft", &failure);
    }
}

fn times_apart(page: &mut String, result: &Document) {
    let mut rows = Vec::new();
    let mut words = Vec::new();
    for target in &result.targets {
        for name in names(target, |round| {
            apart(round).map(|(name, _)| *name).collect()
        }) {
            let cell = |digits: usize, figure: &dyn Fn(&Apart) -> f64| {
                let of_round = |round: &Round| {
                    let mut all = apart(round);
                    let found = all.find(|(other, _)| *other == name);
                    found.map_or(f64::NAN, |(_, apart)| figure(apart))
                };
                spread_text(of_rounds(target, of_round), digits)
            };
            let mut row = vec![name.to_owned()];
            row.extend(named(result, target));
            row.push(cell(0, &|apart| apart.count as f64));
            row.extend((0..3).map(|index| cell(1, &|apart| apart.latency_us[index])));
            row.push(cell(1, &|apart| apart.gap_us_max));
            row.push(cell(0, &|apart| apart.unseen));
            rows.push(row);
        }
        let churned = target
            .rounds
            .iter()
            .filter_map(|round| round.churn.as_ref());
        words.extend(churned.map(|churn| format!("The command beside {}: {churn}.", target.name)));
    }
    if rows.is_empty() {
        return;
    }
    heading(page, "Times counted apart");
    let head = head(
        result,
        "what",
        &[
            "requests or batches",
            "p50, µs",
            "p99, µs",
            "max, µs",
            "longest gap between answers, µs",
            "not seen",
        ],
    );
    table(page, &head, &rows);
    for words in words {
        paragraph(page, "soft", &words);
    }
}

/// Those of a round and of the connections beside it.
pub(super) fn apart(round: &Round) -> impl Iterator<Item = &(&'static str, Apart)> {
    let beside = round.beside.iter().flat_map(|(_, part)| &part.apart);
    round.apart.iter().chain(beside)
}

/// What the rounds of a target have, each once.
pub(super) fn names<'t>(
    target: &'t Target,
    of: impl Fn(&'t Round) -> Vec<&'t str>,
) -> Vec<&'t str> {
    let mut names = Vec::new();
    for name in target.rounds.iter().flat_map(of) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn named(result: &Document, target: &Target) -> Option<String> {
    (result.kind == Kind::Compare).then(|| target.name.clone())
}

fn head(result: &Document, first: &'static str, others: &[&'static str]) -> Vec<&'static str> {
    let target = (result.kind == Kind::Compare).then_some("target");
    [first]
        .into_iter()
        .chain(target)
        .chain(others.iter().copied())
        .collect()
}
