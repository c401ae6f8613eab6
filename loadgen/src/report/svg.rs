//! The parts that plots share.

use std::fmt::Write;

use super::escape::html;

/// As many colours as there are.
pub(super) const COLOURS: usize = 8;

pub(super) const WIDTH: f64 = 880.0;
/// Half of a label may stand beyond the end of its axis.
pub(super) const RIGHT: f64 = 40.0;
/// Room for the title of an axis above the frame, and for ticks and a title below it.
pub(super) const TOP: f64 = 34.0;
pub(super) const BOTTOM: f64 = 56.0;

pub(super) fn ends(ticks: &[f64]) -> (f64, f64) {
    let first = ticks.first().copied().unwrap_or(0.0);
    (first, ticks.last().copied().unwrap_or(1.0))
}

pub(super) fn opened(height: f64, label: &str) -> String {
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        html(label)
    )
}

pub(super) fn tick_x(svg: &mut String, at: f64, height: f64, text: &str) {
    let bottom = height - BOTTOM;
    let _ = writeln!(
        svg,
        r#"<line class="tick" x1="{at:.1}" x2="{at:.1}" y1="{bottom:.1}" y2="{:.1}"/>"#,
        bottom + 5.0
    );
    words(svg, "middle", at, bottom + 22.0, text);
}

pub(super) fn words(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let _ = writeln!(
        svg,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#,
        html(text)
    );
}
