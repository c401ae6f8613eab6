//! A comparison round by round: ratios to the baseline.

use super::beside::{apart, names};
use super::html::{figure, heading, paragraph, table};
use super::read::{Apart, Document, Round, Target};
use super::rows::{self, Group, Row};
use super::scale::number;
use crate::compare::Spread;

/// A figure, whether more of it is better, and how it comes from a round; the name is that of the target.
struct Figure {
    name: String,
    better: &'static str,
    of: Figured,
}

type Figured = Box<dyn Fn(&Round, &str) -> f64>;
type OfRound = fn(&Round, &str) -> f64;
type OfApart = fn(&Apart) -> f64;

const FIGURES: [(&str, &str, OfRound); 7] = [
    ("answered requests/s", MORE, |round, _| {
        round.answered_per_s()
    }),
    ("MB/s of records", MORE, |round, _| round.record_mb_per_s()),
    ("latency p50", LESS, |round, _| round.latency_us[0]),
    ("latency p99", LESS, |round, _| round.latency_us[2]),
    ("latency p99.9", LESS, |round, _| round.latency_us[3]),
    ("CPU s per GB, own process", LESS, Round::cpu_s_per_gb),
    (
        "CPU µs per request, own process",
        LESS,
        Round::cpu_us_per_request,
    ),
];
const APART: [(&str, OfApart); 4] = [
    ("p50", |apart| apart.latency_us[0]),
    ("p99", |apart| apart.latency_us[1]),
    ("the longest", |apart| apart.latency_us[2]),
    ("longest gap between answers", |apart| apart.gap_us_max),
];
const MORE: &str = "more is better";
const LESS: &str = "less is better";

/// Those of all connections with the load, then those of the connections beside them and of times counted apart.
fn figures(result: &Document) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let mut put = |name: String, better, of: Figured| {
        if figures.iter().all(|figure| figure.name != name) {
            figures.push(Figure { name, better, of });
        }
    };
    for (name, better, of) in FIGURES {
        put(name.to_owned(), better, Box::new(of));
    }
    for target in &result.targets {
        for part in names(target, |round| {
            round.beside.iter().map(|(name, _)| name.as_str()).collect()
        }) {
            let of_parts = || {
                let rounds = result.targets.iter().flat_map(|target| &target.rounds);
                rounds.filter_map(|round| round.part(part))
            };
            // Those of the processes are of all connections, and how long a reader waits that follows, or reads slowly, is
            // its own choice.
            let waits = of_parts().any(|part| !part.apart.is_empty() || part.slowly_read_bytes > 0);
            for (name, better, of) in FIGURES.into_iter().take(if waits { 2 } else { 5 }) {
                let owner = part.to_owned();
                let of_part = move |round: &Round, process: &str| {
                    let part = round.part(&owner).filter(|part| part.intended > 0);
                    part.map_or(f64::NAN, |part| of(part, process))
                };
                put(format!("{part}: {name}"), better, Box::new(of_part));
            }
        }
        for what in names(target, |round| {
            apart(round).map(|(name, _)| *name).collect()
        }) {
            for (name, of) in APART {
                let owner = what.to_owned();
                let of_what = move |round: &Round, _: &str| {
                    let found = apart(round).find(|(name, _)| *name == owner);
                    found.map_or(f64::NAN, |(_, apart)| of(apart))
                };
                put(format!("{what}: {name}"), LESS, Box::new(of_what));
            }
        }
    }
    figures
}

pub(super) fn ratios(page: &mut String, result: &Document) {
    let Some(baseline) = result.targets.get(result.baseline) else {
        return;
    };
    heading(page, &format!("Ratio to {}, round by round", baseline.name));
    let others = || {
        let targets = result.targets.iter().enumerate();
        targets.filter(|(index, _)| *index != result.baseline)
    };
    let (mut groups, mut names) = (Vec::new(), Vec::new());
    for figure in figures(result) {
        let rows = others().map(|(colour, target)| {
            let values = of_rounds(target, baseline, &figure);
            let known = values.iter().copied().filter(|value| value.is_finite());
            Row {
                name: target.name.clone(),
                colour,
                median: Spread::of(known.collect()).median,
                values,
            }
        });
        let rows: Vec<Row> = rows.filter(|row| row.median.is_finite()).collect();
        if !rows.is_empty() {
            let title = format!("{} ({})", figure.name, figure.better);
            names.push(figure.name);
            groups.push(Group { title, rows });
        }
    }
    if groups.is_empty() {
        paragraph(page, "soft", "There is nothing to compare.");
        return;
    }
    let axis = format!("ratio to {} in the same round (log scale)", baseline.name);
    figure(page, "", &rows::ratios(&groups, &axis));
    paragraph(
        page,
        "soft",
        "A dot is one round, the first at the top; the bar and the figure at the right are the median.",
    );
    let rounds_count = groups
        .iter()
        .flat_map(|group| &group.rows)
        .map(|row| row.values.len())
        .max()
        .unwrap_or(0);
    let mut head: Vec<String> = ["ratio", "target", "median", "least", "most"]
        .map(str::to_owned)
        .into();
    head.push("round 1".to_owned());
    head.extend((2..=rounds_count).map(|round| round.to_string()));
    let table_rows = groups.iter().zip(names).flat_map(|(group, name)| {
        group.rows.iter().map(move |row| {
            let known = row.values.iter().copied().filter(|value| value.is_finite());
            let Spread { median, min, max } = Spread::of(known.collect());
            let mut cells = vec![name.to_owned(), row.name.clone()];
            cells.extend(
                [median, min, max]
                    .iter()
                    .chain(&row.values)
                    .map(|value| number(*value, 2)),
            );
            cells
        })
    });
    table(page, &head, &table_rows.collect::<Vec<_>>());
}

/// NaN for a round in which one of the two has no such figure.
fn of_rounds(target: &Target, baseline: &Target, figure: &Figure) -> Vec<f64> {
    let pairs = target.rounds.iter().zip(&baseline.rounds);
    let ratio = |(own, other): (&Round, &Round)| {
        let ratio = (figure.of)(own, &target.name) / (figure.of)(other, &baseline.name);
        match ratio.is_finite() && ratio > 0.0 {
            true => ratio,
            false => f64::NAN,
        }
    };
    pairs.map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::super::read::documents;
    use super::*;

    #[test]
    fn ratios_are_of_the_same_round_and_own_processes_are_compared() {
        let round = |answered: u64, cpu: &str| {
            format!(
                r#"{{"result": {{"answered": {answered}, "elapsed_s": 1, "record_bytes": 1000000000}}, "cpu_s": {{{cpu}}}}}"#
            )
        };
        let json = format!(
            r#"{{"plan": "p", "baseline": "b", "targets": [
                {{"name": "a", "rounds": [{}, {}]}}, {{"name": "b", "rounds": [{}, {}]}}]}}"#,
            round(100, r#""a": 3"#),
            round(100, r#""a": 3"#),
            round(200, r#""b": 1"#),
            round(50, r#""b": 2"#),
        );
        let mut page = String::new();
        ratios(&mut page, &documents("x", &json).unwrap()[0]);
        let row = |title: &str, cells: &str| {
            let row = format!("<th scope=\"row\">{title}</th><td>a</td>{cells}");
            assert!(page.contains(&row), "{row}\n{page}");
        };
        row(
            "answered requests/s",
            "<td>1.25</td><td>0.50</td><td>2.00</td><td>0.50</td><td>2.00</td>",
        );
        row(
            "CPU s per GB, own process",
            "<td>2.25</td><td>1.50</td><td>3.00</td><td>3.00</td><td>1.50</td>",
        );
        // No latency is in these results, so there is no row for it.
        assert!(!page.contains("latency p50"));
        assert!(page.contains("Ratio to b"));
    }
}
