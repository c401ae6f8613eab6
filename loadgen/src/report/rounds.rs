//! A comparison round by round: ratios to the baseline.

use super::html::{figure, heading, paragraph, table};
use super::read::{Document, Round, Target};
use super::rows::{self, Group, Row};
use super::scale::number;
use crate::compare::Spread;

/// A figure, whether more of it is better, and how it comes from a round; the name is that of the target.
struct Figure {
    name: &'static str,
    better: &'static str,
    of: fn(&Round, &str) -> f64,
}

const FIGURES: [Figure; 7] = [
    figure_of("answered requests/s", "more is better", |round, _| {
        round.answered_per_s()
    }),
    figure_of("MB/s of records", "more is better", |round, _| {
        round.record_mb_per_s()
    }),
    figure_of("latency p50", "less is better", |round, _| {
        round.latency_us[0]
    }),
    figure_of("latency p99", "less is better", |round, _| {
        round.latency_us[2]
    }),
    figure_of("latency p99.9", "less is better", |round, _| {
        round.latency_us[3]
    }),
    figure_of(
        "CPU s per GB, own process",
        "less is better",
        Round::cpu_s_per_gb,
    ),
    figure_of(
        "CPU µs per request, own process",
        "less is better",
        Round::cpu_us_per_request,
    ),
];

const fn figure_of(
    name: &'static str,
    better: &'static str,
    of: fn(&Round, &str) -> f64,
) -> Figure {
    Figure { name, better, of }
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
    for figure in FIGURES {
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
