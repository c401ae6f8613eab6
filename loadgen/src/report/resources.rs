//! What watched processes took.

use super::html::{figure, heading, paragraph, table};
use super::read::{Document, Kind, Round};
use super::rows::{self, Group, Row};
use super::scale::number;
use super::section::{of_rounds, spread_text};

pub(super) fn resources(page: &mut String, result: &Document) {
    let mut processes: Vec<&str> = Vec::new();
    let rounds = result.targets.iter().flat_map(|target| &target.rounds);
    for (name, _) in rounds.flat_map(|round| &round.cpu_s) {
        if !processes.contains(&name.as_str()) {
            processes.push(name);
        }
    }
    if processes.is_empty() && result.resident_bytes_max.is_empty() {
        heading(page, "CPU and memory");
        paragraph(
            page,
            "soft",
            "No process was watched; --watch NAME=PID does.",
        );
        return;
    }
    cpu(page, result, &processes);
    memory(page, result);
}

fn cpu(page: &mut String, result: &Document, processes: &[&str]) {
    let rounds = || result.targets.iter().flat_map(|target| &target.rounds);
    let moved = rounds().any(|round| round.moved_bytes() > 0);
    let (axis, of): (&str, fn(&Round, &str) -> f64) = match moved {
        true => ("CPU seconds per GB of records", Round::cpu_s_per_gb),
        // A ping moves no record.
        false => ("CPU microseconds per request", Round::cpu_us_per_request),
    };
    heading(page, axis);
    let compared = result.kind == Kind::Compare;
    let mut groups: Vec<Group> = Vec::new();
    let mut cells = Vec::new();
    for (index, process) in processes.iter().enumerate() {
        let mut bars = Vec::new();
        for (target_index, target) in result.targets.iter().enumerate() {
            let name = match compared {
                true => target.name.clone(),
                false => (*process).to_owned(),
            };
            let figure = of_rounds(target, |round| of(round, process));
            bars.push(Row {
                name,
                colour: if compared { target_index } else { index },
                values: target
                    .rounds
                    .iter()
                    .map(|round| of(round, process))
                    .collect(),
                median: figure.median,
            });
            let of_figure = |of: fn(&Round, &str) -> f64, digits: usize| {
                spread_text(of_rounds(target, |round| of(round, process)), digits)
            };
            let mut row = vec![(*process).to_owned()];
            row.extend(compared.then(|| target.name.clone()));
            row.push(of_figure(Round::cpu_s, 2));
            row.extend(moved.then(|| of_figure(Round::cpu_s_per_gb, 3)));
            row.push(of_figure(Round::cpu_us_per_request, 1));
            cells.push(row);
        }
        match groups.first_mut() {
            // One bar each needs no title each.
            Some(first) if !compared => first.rows.extend(bars),
            _ => groups.push(Group {
                title: match compared {
                    true => format!("process {process}, by the target that was loaded"),
                    false => "process".to_owned(),
                },
                rows: bars,
            }),
        }
    }
    figure(page, "", &rows::bars(&groups, axis));
    let head = [
        Some("process"),
        compared.then_some("target under load"),
        Some("CPU s"),
        moved.then_some("CPU s per GB"),
        Some("CPU µs per request"),
    ];
    table(
        page,
        &head.into_iter().flatten().collect::<Vec<_>>(),
        &cells,
    );
    if compared {
        paragraph(
            page,
            "soft",
            "Median of the rounds; whiskers and brackets: least to most.",
        );
    }
}

fn memory(page: &mut String, result: &Document) {
    let megabytes = || {
        let all = result.resident_bytes_max.iter();
        all.map(|(name, bytes)| (name, *bytes as f64 / 1e6))
    };
    if megabytes().next().is_none() {
        return;
    }
    heading(page, "Peak resident memory, MB");
    let bars = megabytes().map(|(name, megabytes)| {
        // A process has the colour of the target of its name, if there is one.
        let target = result
            .targets
            .iter()
            .position(|target| target.name == *name);
        Row {
            name: name.clone(),
            colour: target.unwrap_or(7),
            values: vec![megabytes],
            median: megabytes,
        }
    });
    let group = Group {
        title: "process".to_owned(),
        rows: bars.collect(),
    };
    figure(
        page,
        "",
        &rows::bars(
            &[group],
            "peak resident memory, MB, since the process began",
        ),
    );
    let cells = megabytes().map(|(name, megabytes)| vec![name.clone(), number(megabytes, 1)]);
    table(
        page,
        &["process", "peak RSS, MB"],
        &cells.collect::<Vec<_>>(),
    );
}

#[cfg(test)]
mod tests {
    use super::super::read::documents;
    use super::*;

    fn page_of(record_bytes: u64) -> String {
        let json = format!(
            r#"{{"plan": "p", "processes": [{{"name": "gateway", "cpu_s": 1.5, "resident_bytes_max": 31000000}}],
                "result": {{"answered": 1000, "record_bytes": {record_bytes}}}}}"#
        );
        let mut page = String::new();
        resources(&mut page, &documents("x", &json).unwrap()[0]);
        page
    }

    #[test]
    fn cpu_is_per_gigabyte_where_records_moved_and_per_request_where_none_did() {
        let moved = page_of(500_000_000);
        let row = "<th scope=\"row\">gateway</th><td>1.50</td><td>3.000</td><td>1,500</td>";
        assert!(
            moved.contains("CPU seconds per GB") && moved.contains(row),
            "{moved}"
        );
        let pinged = page_of(0);
        let row = "<th scope=\"row\">gateway</th><td>1.50</td><td>1,500</td>";
        assert!(
            pinged.contains("CPU microseconds per request") && pinged.contains(row),
            "{pinged}"
        );
        assert!(moved.contains("<th scope=\"row\">gateway</th><td>31.0</td>"));
    }

    #[test]
    fn nothing_watched_is_said() {
        let mut page = String::new();
        resources(
            &mut page,
            &documents("x", r#"{"plan": "p", "result": {}}"#).unwrap()[0],
        );
        assert!(page.contains("--watch NAME=PID"), "{page}");
    }
}
