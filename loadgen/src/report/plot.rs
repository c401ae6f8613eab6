//! Lines from numbers, as SVG that stands within the page. Colours are classes (`c0` to `c7`), which the page's style sets
//! for light and dark.

use std::fmt::Write;

use super::escape::html;
use super::scale::{
    Scale, duration_text, is_labelled, linear_ticks, log_ticks, number, percent_text, short,
};
use super::svg::{BOTTOM, COLOURS, RIGHT, TOP, WIDTH, ends, opened, tick_x, words};

const LEFT: f64 = 72.0;
/// Above this many, points merge with their line.
const MARKED_MAX: usize = 130;

/// What joins or marks the points of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Whole,
    /// A distribution: only its last point, the maximum, is marked.
    Curve,
    /// One round among several.
    Faint,
    /// Few points are known, and what is between them is not.
    Sketch,
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) stroke: Stroke,
    /// What is not finite is a gap.
    pub(super) points: Vec<(f64, f64)>,
}

/// Latency by percentile; x of a point is 1 / (1 - quantile), y is in microseconds.
pub(super) fn percentiles(lines: &[Line]) -> String {
    let all = || finite(lines);
    let x_max = all().map(|(x, _)| x).fold(10.0, f64::max);
    let y = frame_y(all().map(|(_, y)| y));
    let (y_ticks, height) = (y, 400.0);
    let x = Scale {
        low: 1.0,
        high: x_max,
        from_px: LEFT,
        to_px: WIDTH - RIGHT,
        logarithmic: true,
    };
    let y = vertical(&y_ticks, true, height);
    let mut svg = opened(height, "Latency by percentile");
    horizontal_grid(&mut svg, &y, &y_ticks, duration_text);
    title_y(&mut svg, "latency (log scale)");
    let nines = x_max.log10().floor() as i32;
    let quantiles = [0.0, 0.5]
        .into_iter()
        .chain((1..=nines).map(|nines| 1.0 - 10_f64.powi(-nines)));
    for quantile in quantiles {
        tick_x(
            &mut svg,
            x.px(1.0 / (1.0 - quantile)),
            height,
            &percent_text(quantile),
        );
    }
    title_x(
        &mut svg,
        height,
        "percentile of requests, by 1 / (1 − p) (log scale)",
    );
    for line in lines {
        draw(&mut svg, line, &x, &y, |(inverse, us)| {
            let percent = percent_text(((1.0 - 1.0 / inverse) * 1e6).floor() / 1e6);
            format!("{percent}: {}", duration_text(us))
        });
    }
    svg.push_str("</svg>\n");
    svg
}

/// Requests per second over time.
pub(super) fn rate_over_time(lines: &[Line], seconds: f64) -> String {
    let y_ticks = linear_ticks(finite(lines).map(|(_, y)| y).fold(0.0, f64::max));
    let text = |value: f64| number(value, usize::from(value.fract() != 0.0));
    over_time(
        lines,
        seconds,
        "answered requests per second",
        &y_ticks,
        false,
        text,
    )
}

/// Latency over time, in microseconds.
pub(super) fn latency_over_time(lines: &[Line], seconds: f64) -> String {
    let y_ticks = frame_y(finite(lines).map(|(_, y)| y));
    over_time(
        lines,
        seconds,
        "latency (log scale)",
        &y_ticks,
        true,
        duration_text,
    )
}

fn over_time(
    lines: &[Line],
    seconds: f64,
    title: &str,
    y_ticks: &[f64],
    logarithmic: bool,
    text: fn(f64) -> String,
) -> String {
    let height = 280.0;
    let x = Scale {
        low: 0.0,
        high: seconds,
        from_px: LEFT,
        to_px: WIDTH - RIGHT,
        logarithmic: false,
    };
    let y = vertical(y_ticks, logarithmic, height);
    let mut svg = opened(height, title);
    horizontal_grid(&mut svg, &y, y_ticks, text);
    title_y(&mut svg, title);
    for tick in linear_ticks(seconds)
        .into_iter()
        .filter(|tick| *tick <= seconds)
    {
        tick_x(&mut svg, x.px(tick), height, &short(tick));
    }
    title_x(&mut svg, height, "seconds since the start of the run");
    for line in lines {
        draw(&mut svg, line, &x, &y, |(at, value)| {
            format!("{} s: {}", short(at), text(value))
        });
    }
    svg.push_str("</svg>\n");
    svg
}

/// A line and its name, for what stands above a plot.
pub(super) fn legend(lines: &[Line]) -> String {
    let mut list = String::from("<ul class=\"legend\">");
    for line in lines.iter().filter(|line| line.stroke != Stroke::Faint) {
        let _ = write!(
            list,
            r#"<li><svg width="26" height="10" aria-hidden="true"><line class="c{} {}" x1="0" x2="26" y1="5" y2="5"/></svg> {}</li>"#,
            line.colour % COLOURS,
            class(line.stroke),
            html(&line.name)
        );
    }
    list.push_str("</ul>\n");
    list
}

fn draw(svg: &mut String, line: &Line, x: &Scale, y: &Scale, text: impl Fn((f64, f64)) -> String) {
    let (colour, class) = (line.colour % COLOURS, class(line.stroke));
    let mut path = String::new();
    let mut pen_down = false;
    for (at, value) in &line.points {
        if !(at.is_finite() && value.is_finite()) {
            pen_down = false;
            continue;
        }
        let command = if pen_down { 'L' } else { 'M' };
        let _ = write!(path, "{command}{:.1} {:.1}", x.px(*at), y.px(*value));
        pen_down = true;
    }
    let _ = writeln!(svg, r#"<path class="c{colour} {class}" d="{path}"/>"#);
    if line.stroke == Stroke::Faint {
        return;
    }
    let finite = line
        .points
        .iter()
        .filter(|(at, value)| at.is_finite() && value.is_finite());
    let count = finite.clone().count();
    for (index, (at, value)) in finite.enumerate() {
        let marked = match line.stroke {
            Stroke::Curve => index + 1 == count,
            _ => count <= MARKED_MAX,
        };
        if !marked {
            continue;
        }
        let _ = writeln!(
            svg,
            r#"<circle class="c{colour}" cx="{:.1}" cy="{:.1}" r="2.5"><title>{}, {}</title></circle>"#,
            x.px(*at),
            y.px(*value),
            html(&line.name),
            text((*at, *value))
        );
    }
}

fn class(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::Whole | Stroke::Curve => "whole",
        Stroke::Faint => "faint",
        Stroke::Sketch => "sketch",
    }
}

fn finite(lines: &[Line]) -> impl Iterator<Item = (f64, f64)> {
    let points = lines.iter().flat_map(|line| line.points.iter().copied());
    points.filter(|(x, y)| x.is_finite() && y.is_finite())
}

/// Ticks of an axis of latencies. Nothing takes no time: below a nanosecond there is no room.
fn frame_y(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
    for value in values {
        (min, max) = (min.min(value.max(1e-3)), max.max(value));
    }
    match min.is_finite() {
        true => log_ticks(min, max),
        false => log_ticks(1.0, 10.0),
    }
}

fn vertical(ticks: &[f64], logarithmic: bool, height: f64) -> Scale {
    let (low, high) = ends(ticks);
    Scale {
        low,
        high,
        from_px: height - BOTTOM,
        to_px: TOP,
        logarithmic,
    }
}

fn horizontal_grid(svg: &mut String, y: &Scale, ticks: &[f64], text: fn(f64) -> String) {
    for tick in ticks {
        let at = y.px(*tick);
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{at:.1}" y2="{at:.1}"/>"#,
            WIDTH - RIGHT
        );
        if !y.logarithmic || is_labelled(*tick, ticks) {
            words(svg, "end", LEFT - 8.0, at + 4.5, &text(*tick));
        }
    }
}

fn title_x(svg: &mut String, height: f64, title: &str) {
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    words(svg, "axis middle", middle, height - 10.0, title);
}

/// Above the axis: turned text is hard to read.
fn title_y(svg: &mut String, title: &str) {
    words(svg, "axis", 8.0, 16.0, title);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Line {
        Line {
            name: "<gateway> & \"friends\"".to_owned(),
            colour: 9,
            stroke: Stroke::Whole,
            points: points.to_vec(),
        }
    }

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    #[test]
    fn percentiles_have_a_tick_for_each_nine_that_was_measured() {
        let svg = percentiles(&[line(&[(1.0, 100.0), (2.0, 200.0), (1_000.0, 5_000.0)])]);
        for label in [
            ">0 %<",
            ">50 %<",
            ">90 %<",
            ">99 %<",
            ">99.9 %<",
            ">100 µs<",
            ">5 ms<",
        ] {
            assert!(svg.contains(label), "{label}: {svg}");
        }
        assert!(!svg.contains(">99.99 %<"));
        // From the lower left corner of the frame to the upper right.
        let (left, right) = (LEFT, WIDTH - RIGHT);
        assert!(
            svg.contains(&format!("M{left:.1} {:.1}", 400.0 - BOTTOM)),
            "{svg}"
        );
        assert!(svg.contains(&format!("L{right:.1} {TOP:.1}\"")), "{svg}");
        assert!(
            svg.contains("&lt;gateway&gt; &amp; &quot;friends&quot;")
                && svg.contains("class=\"c1 whole\"")
        );
    }

    #[test]
    fn a_second_without_an_answer_is_a_gap_in_its_line() {
        let svg = latency_over_time(&[line(&[(0.5, 100.0), (1.5, f64::NAN), (2.5, 100.0)])], 3.0);
        let path = svg.lines().find(|line| line.contains("whole")).unwrap();
        assert_eq!((count(path, "M"), count(path, "L")), (2, 0));
        assert_eq!(count(&svg, "<circle"), 2);
    }

    #[test]
    fn a_rate_begins_at_zero_and_long_runs_have_no_dots() {
        let points: Vec<(f64, f64)> = (0..1_000)
            .map(|second| (f64::from(second), 950.0))
            .collect();
        let svg = rate_over_time(&[line(&points)], 1_000.0);
        assert!(svg.contains(">0<") && svg.contains(">1,000<"), "{svg}");
        assert_eq!(count(&svg, "<circle"), 0);
    }

    #[test]
    fn no_number_at_all_is_still_a_picture() {
        let empty = [line(&[]), line(&[(f64::NAN, f64::INFINITY)])];
        for svg in [
            percentiles(&empty),
            rate_over_time(&empty, 0.0),
            latency_over_time(&empty, f64::NAN),
        ] {
            assert!(
                svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
        }
    }
}
