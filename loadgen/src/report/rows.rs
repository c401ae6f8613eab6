//! Rows of dots and bars, as SVG that stands within the page.

use std::fmt::Write;

use super::escape::html;
use super::scale::{Scale, is_labelled, linear_ticks, log_ticks, number, short};
use super::svg::{BOTTOM, COLOURS, WIDTH, ends, opened, tick_x, words};

/// No title stands above rows.
const TOP: f64 = 6.0;
/// Room for names beside rows, and how many characters fit into it.
const NAMES: f64 = 230.0;
const NAME_CHARACTERS: usize = 28;
const ROW: f64 = 28.0;
const GROUP: f64 = 30.0;

/// A row of a plot of rows: one value per round.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) values: Vec<f64>,
    pub(super) median: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// Ratios, a point per round, around the line of 1.
pub(super) fn ratios(groups: &[Group], axis: &str) -> String {
    let values = || {
        let rows = groups.iter().flat_map(|group| &group.rows);
        rows.flat_map(|row| &row.values)
            .copied()
            .filter(|value| value.is_finite() && *value > 0.0)
    };
    let ticks = log_ticks(values().fold(0.8, f64::min), values().fold(1.25, f64::max));
    let rows = Rows::new(groups, &ticks, true, 0.0);
    let mut svg = rows.opened("Ratios of each round");
    rows.grid(&mut svg, &ticks, axis, short);
    let one = rows.x.px(1.0);
    let _ = writeln!(
        svg,
        r#"<line class="one" x1="{one:.1}" x2="{one:.1}" y1="{TOP}" y2="{:.1}"/>"#,
        rows.height - BOTTOM
    );
    rows.each(&mut svg, groups, |svg, row, middle| {
        // Rounds from top to bottom, so that a drift is seen as a slope.
        let count = row.values.len();
        let step = (ROW - 10.0) / (count.max(2) - 1) as f64;
        for (index, value) in row.values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let from_middle = index as f64 - (count as f64 - 1.0) / 2.0;
            let (x, y) = (rows.x.px(*value), middle + from_middle * step.min(5.0));
            let _ = writeln!(
                svg,
                r#"<circle class="c{} round" cx="{x:.1}" cy="{y:.1}" r="4"><title>{}, round {}: {}</title></circle>"#,
                row.colour % COLOURS,
                html(&row.name),
                index + 1,
                number(*value, 3),
            );
        }
        if row.median.is_finite() {
            let x = rows.x.px(row.median);
            let (from, to) = (middle - 12.0, middle + 12.0);
            let _ = writeln!(
                svg,
                r#"<line class="c{} median" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}"/>"#,
                row.colour % COLOURS
            );
        }
        number(row.median, 2)
    });
    svg.push_str("</svg>\n");
    svg
}

/// Bars from 0 to the median, with the least and the most as a whisker.
pub(super) fn bars(groups: &[Group], axis: &str) -> String {
    let rows = groups.iter().flat_map(|group| &group.rows);
    let values = rows.flat_map(|row| row.values.iter().copied().chain([row.median]));
    let ticks = linear_ticks(values.filter(|value| value.is_finite()).fold(0.0, f64::max));
    let rows = Rows::new(groups, &ticks, false, 8.0);
    let mut svg = rows.opened(axis);
    rows.grid(&mut svg, &ticks, axis, short);
    rows.each(&mut svg, groups, |svg, row, middle| {
        if !row.median.is_finite() {
            return short(row.median);
        }
        let (from, to) = (rows.x.px(0.0), rows.x.px(row.median));
        let (width, top) = ((to - from).max(1.0), middle - 8.0);
        let _ = writeln!(
            svg,
            r#"<rect class="c{}" x="{from:.1}" y="{top:.1}" width="{width:.1}" height="16" rx="2"><title>{}: {}</title></rect>"#,
            row.colour % COLOURS,
            html(&row.name),
            short(row.median),
        );
        let of = |fold: fn(f64, f64) -> f64| row.values.iter().copied().fold(row.median, fold);
        let (least, most) = (of(f64::min), of(f64::max));
        if least < most {
            let (least, most) = (rows.x.px(least), rows.x.px(most));
            let _ = writeln!(
                svg,
                r#"<path class="whisker" d="M{least:.1} {a:.1}v8M{least:.1} {middle:.1}H{most:.1}M{most:.1} {a:.1}v8"/>"#,
                a = middle - 4.0
            );
        }
        short(row.median)
    });
    svg.push_str("</svg>\n");
    svg
}

/// Where rows lie: groups with a title, below one another, names on the left, a figure on the right.
struct Rows {
    x: Scale,
    height: f64,
}

impl Rows {
    fn new(groups: &[Group], ticks: &[f64], logarithmic: bool, bar_end: f64) -> Self {
        let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
        let (low, high) = ends(ticks);
        Self {
            x: Scale {
                low,
                high,
                from_px: NAMES,
                to_px: WIDTH - 88.0 - bar_end,
                logarithmic,
            },
            height: TOP + groups.len() as f64 * GROUP + rows as f64 * ROW + 8.0 + BOTTOM,
        }
    }

    fn opened(&self, label: &str) -> String {
        opened(self.height, label)
    }

    fn grid(&self, svg: &mut String, ticks: &[f64], axis: &str, text: fn(f64) -> String) {
        let (top, bottom) = (TOP, self.height - BOTTOM);
        for tick in ticks {
            let x = self.x.px(*tick);
            let _ = writeln!(
                svg,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}"/>"#
            );
            if !self.x.logarithmic || is_labelled(*tick, ticks) {
                tick_x(svg, x, self.height, &text(*tick));
            }
        }
        let middle = f64::midpoint(self.x.from_px, self.x.to_px);
        words(svg, "axis middle", middle, self.height - 12.0, axis);
    }

    /// Draws each row by `one`, which gives the figure for its end.
    fn each(
        &self,
        svg: &mut String,
        groups: &[Group],
        mut one: impl FnMut(&mut String, &Row, f64) -> String,
    ) {
        let mut top = TOP;
        for group in groups {
            words(svg, "group", 8.0, top + GROUP - 9.0, &group.title);
            top += GROUP;
            for row in &group.rows {
                let middle = top + ROW / 2.0;
                let name = shortened(&row.name);
                let _ = writeln!(
                    svg,
                    r#"<text class="end" x="{:.1}" y="{:.1}">{}<title>{}</title></text>"#,
                    NAMES - 12.0,
                    middle + 4.5,
                    html(&name),
                    html(&row.name)
                );
                let figure = one(svg, row, middle);
                words(svg, "figure end", WIDTH - 8.0, middle + 4.5, &figure);
                top += ROW;
            }
        }
    }
}

fn shortened(name: &str) -> String {
    match name.chars().count() > NAME_CHARACTERS {
        true => name
            .chars()
            .take(NAME_CHARACTERS - 1)
            .chain(['…'])
            .collect(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64], median: f64) -> Group {
        Group {
            title: "requests/s".to_owned(),
            rows: vec![Row {
                name: "g".to_owned(),
                colour: 0,
                values: values.to_vec(),
                median,
            }],
        }
    }

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    #[test]
    fn each_round_is_a_point_beside_the_median() {
        let svg = ratios(&[row(&[0.5, 2.0, f64::NAN, 3.59], 2.0)], "ratio");
        assert_eq!(
            (count(&svg, " round\" cx"), count(&svg, "median\"")),
            (3, 1)
        );
        assert!(
            svg.contains("round 4: 3.590") && svg.contains(">2.00</text>"),
            "{svg}"
        );
        assert!(svg.contains("class=\"one\""));
    }

    #[test]
    fn a_bar_begins_at_zero_and_one_value_has_no_whisker() {
        let svg = bars(&[row(&[1.0, 3.0], 2.0)], "CPU");
        assert!(
            svg.contains(&format!("<rect class=\"c0\" x=\"{NAMES:.1}\"")),
            "{svg}"
        );
        assert_eq!(count(&svg, "whisker"), 1);
        assert_eq!(count(&bars(&[row(&[2.0], 2.0)], "CPU"), "whisker"), 0);
        // What was not measured is no bar of height 0.
        assert_eq!(count(&bars(&[row(&[], f64::NAN)], "CPU"), "<rect"), 0);
    }

    #[test]
    fn names_are_escaped_and_long_ones_are_cut_short() {
        let mut group = row(&[1.0], 1.0);
        group.rows[0].name = format!("<b>{}", "x".repeat(40));
        let svg = bars(&[group], "CPU");
        assert!(
            svg.contains(&format!(">&lt;b&gt;{}…<title>", "x".repeat(24))),
            "{svg}"
        );
        assert!(!svg.contains("<b>"));
    }

    #[test]
    fn no_number_at_all_is_still_a_picture() {
        let nothing = [row(&[f64::NAN], f64::NAN)];
        for svg in [
            ratios(&nothing, "r"),
            bars(&nothing, "CPU"),
            bars(&[], "CPU"),
        ] {
            assert!(
                svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
        }
    }
}
