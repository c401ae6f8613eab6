//! A run second by second.

use super::html::{figure, heading, paragraph, table};
use super::plot::{self, Line, Stroke};
use super::read::{Document, Round, Second};
use super::scale::number;

/// Points of one plot. Longer runs are drawn by spans of several seconds.
const POINTS_MAX: usize = 1_800;

const LATENCIES: [&str; 4] = ["p50", "p90", "p99", "the longest"];

/// One point: some seconds, usually one.
struct Span {
    from: usize,
    seconds: usize,
    sum: Second,
}

pub(super) fn course(page: &mut String, result: &Document) {
    for round in result.targets.iter().flat_map(|target| &target.rounds) {
        if !round.seconds.is_empty() {
            of_round(page, round);
        }
    }
}

fn of_round(page: &mut String, round: &Round) {
    let whole = match round.elapsed_s.is_finite() {
        true => (round.elapsed_s + 1e-6).floor() as usize,
        false => 0,
    };
    let spans = spans(round, whole);
    let length = spans.last().map_or(1, |last| last.from + last.seconds) as f64;
    heading(page, "Throughput over time");
    let mut rates = vec![rate("answered", 0, &spans, whole, |second| second.answered)];
    if round.failed > 0 {
        rates.push(rate("failed", 4, &spans, whole, |second| second.failed));
    }
    let legend = match rates.len() {
        1 => String::new(),
        _ => plot::legend(&rates),
    };
    figure(page, &legend, &plot::rate_over_time(&rates, length));
    heading(page, "Latency over time");
    let latencies: Vec<Line> = LATENCIES
        .iter()
        .enumerate()
        .map(|(index, name)| Line {
            name: (*name).to_owned(),
            colour: index,
            stroke: Stroke::Whole,
            points: spans
                .iter()
                .map(|span| (span.middle(), latency(&span.sum, index)))
                .collect(),
        })
        .collect();
    figure(
        page,
        &plot::legend(&latencies),
        &plot::latency_over_time(&latencies, length),
    );
    notes(page, &spans, whole);
    let head = [
        "second",
        "answered",
        "failed",
        "unanswered",
        "MB of records",
        "p50, µs",
        "p90, µs",
        "p99, µs",
        "longest, µs",
    ];
    let rows: Vec<Vec<String>> = spans.iter().map(Span::row).collect();
    page.push_str(match rows.len() > 15 {
        true => "<details><summary>The same as a table</summary>\n",
        false => "<details open=\"open\"><summary>The same as a table</summary>\n",
    });
    table(page, &head, &rows);
    page.push_str("</details>\n");
}

fn notes(page: &mut String, spans: &[Span], whole: usize) {
    let seconds = spans.first().map_or(1, |span| span.seconds);
    if seconds > 1 {
        let text = format!(
            "Each point is {seconds} seconds: the mean rate, and the worst of each second's latencies. seconds.csv has them all."
        );
        paragraph(page, "soft", &text);
    }
    let mut text = "A request counts in the second of its answer; one that was never answered in that of giving up. \
            Latencies of one second are kept to two digits.".to_owned();
    if whole > 0
        && spans
            .last()
            .is_some_and(|last| last.from + last.seconds > whole)
    {
        text.push_str(
            " What came after the last whole second is no rate, and not in the plot of throughput.",
        );
    }
    paragraph(page, "soft", &text);
}

/// At most [`POINTS_MAX`] spans, up to the last whole second even if nothing came back in it.
fn spans(round: &Round, whole: usize) -> Vec<Span> {
    let empty = Second {
        answered: 0,
        failed: 0,
        unanswered: 0,
        record_bytes: 0,
        latency_us: [f64::NAN; 4],
    };
    let mut seconds = round.seconds.clone();
    // No run is longer than a day; a file may say otherwise.
    let length = seconds.len().max(whole.min(86_400 * 2));
    seconds.resize(length, empty);
    let width = length.div_ceil(POINTS_MAX).max(1);
    let chunks = seconds.chunks(width).enumerate();
    chunks
        .map(|(index, chunk)| {
            let mut sum = empty;
            for second in chunk {
                sum.answered += second.answered;
                sum.failed += second.failed;
                sum.unanswered += second.unanswered;
                sum.record_bytes += second.record_bytes;
                for (worst, one) in sum.latency_us.iter_mut().zip(second.latency_us) {
                    // max of a number and NaN is the number.
                    *worst = worst.max(one);
                }
            }
            Span {
                from: index * width,
                seconds: chunk.len(),
                sum,
            }
        })
        .collect()
}

fn rate(
    name: &str,
    colour: usize,
    spans: &[Span],
    whole: usize,
    count: fn(&Second) -> u64,
) -> Line {
    let of_whole = spans
        .iter()
        .filter(|span| whole == 0 || span.from + span.seconds <= whole);
    Line {
        name: name.to_owned(),
        colour,
        stroke: Stroke::Whole,
        points: of_whole
            .map(|span| (span.middle(), count(&span.sum) as f64 / span.seconds as f64))
            .collect(),
    }
}

fn latency(second: &Second, index: usize) -> f64 {
    second.latency_us.get(index).copied().unwrap_or(f64::NAN)
}

impl Span {
    fn middle(&self) -> f64 {
        self.from as f64 + self.seconds as f64 / 2.0
    }

    fn row(&self) -> Vec<String> {
        let counts = [self.sum.answered, self.sum.failed, self.sum.unanswered];
        let mut row = vec![format!("{} to {}", self.from, self.from + self.seconds)];
        row.extend(counts.map(|count| number(count as f64, 0)));
        row.push(number(self.sum.record_bytes as f64 / 1e6, 2));
        row.extend(self.sum.latency_us.map(|us| number(us, 0)));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::documents;
    use super::*;

    fn page_of(elapsed_s: f64, seconds: usize) -> String {
        let second = r#"{"answered": 100, "record_bytes": 1000000, "latency_us": {"p50": 5, "p90": 6, "p99": 7, "max": 8}}"#;
        let seconds = vec![second; seconds].join(",");
        let json = format!(
            r#"{{"plan": "p", "result": {{"elapsed_s": {elapsed_s}, "answered": 1, "seconds": [{seconds}]}}}}"#
        );
        let mut page = String::new();
        course(&mut page, &documents("a", &json).unwrap()[0]);
        page
    }

    #[test]
    fn the_rest_of_a_second_is_in_the_table_and_is_no_rate() {
        let page = page_of(3.002, 4);
        assert_eq!(page.matches("answered, ").count(), 3, "{page}");
        assert_eq!(page.matches("p99, ").count(), 4 + 1, "{page}");
        assert!(page.contains("after the last whole second") && page.contains(">3 to 4<"));
        assert!(!page_of(3.0, 3).contains("after the last whole second"));
    }

    #[test]
    fn a_target_that_fell_silent_is_drawn_at_zero_to_the_end() {
        let page = page_of(6.0, 4);
        assert!(page.contains(">5 to 6<"), "{page}");
        assert!(page.contains("answered, 5.5 s: 0<"), "{page}");
    }

    #[test]
    fn a_long_run_is_drawn_by_spans_and_says_so() {
        let page = page_of(4_000.0, 4_000);
        assert!(page.contains("Each point is 3 seconds"));
        assert!(page.contains("<th scope=\"row\">0 to 3</th><td>300</td>"));
        assert!(page.contains("answered, 1.5 s: 100") || page.matches("<circle").count() <= 5);
    }
}
