//! From values to places on an axis, and from values to words.

/// Where values lie between two ends of an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from_px: f64,
    pub(super) to_px: f64,
    pub(super) logarithmic: bool,
}

impl Scale {
    pub(super) fn px(&self, value: f64) -> f64 {
        let (low, high, value) = match self.logarithmic {
            true => (
                self.low.log10(),
                self.high.log10(),
                value.max(self.low).log10(),
            ),
            false => (self.low, self.high, value),
        };
        let part = (value - low) / (high - low);
        match part.is_finite() {
            true => self.from_px + part.clamp(0.0, 1.0) * (self.to_px - self.from_px),
            false => self.from_px,
        }
    }
}

/// Round numbers from 0 to at least `max`.
pub(super) fn linear_ticks(max: f64) -> Vec<f64> {
    let max = match max.is_finite() && max > 0.0 {
        true => max,
        false => 1.0,
    };
    let step = round_up(max / 6.0);
    let count = (max / step).ceil() as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

/// 1, 2 and 5 times the powers of ten, from at most `min` to at least `max`. Both are positive.
pub(super) fn log_ticks(min: f64, max: f64) -> Vec<f64> {
    let (min, max) = (min.max(1e-9), max.max(min).max(1e-9));
    let first = min.log10().floor() as i32;
    let last = max.log10().ceil() as i32;
    let all: Vec<f64> = (first..=last)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(power)))
        .collect();
    // A hair's breadth for what powi does to the last digit.
    let from = all.iter().rposition(|tick| *tick <= min * (1.0 + 1e-9));
    let to = all.iter().position(|tick| *tick >= max * (1.0 - 1e-9));
    let from = from.unwrap_or(0);
    let to = to.unwrap_or(all.len() - 1).max(from + 1).min(all.len() - 1);
    all.get(from..=to).unwrap_or(&all).to_vec()
}

/// Whether a tick of a logarithmic axis carries its number: all of a few, the powers of ten and both ends of more, the powers
/// alone of many.
pub(super) fn is_labelled(tick: f64, ticks: &[f64]) -> bool {
    let power = tick.log10();
    let is_end = [ticks.first(), ticks.last()].contains(&Some(&tick));
    ticks.len() <= 9 || (ticks.len() <= 18 && is_end) || (power - power.round()).abs() < 1e-6
}

/// 1, 2, 2.5 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .find(|factor| factor * power >= value);
    factor.unwrap_or(10.0) * power
}

/// Microseconds with the unit that makes them short.
pub(super) fn duration_text(us: f64) -> String {
    let (value, unit) = match us {
        us if us >= 999_999.5 => (us / 1e6, "s"),
        us if us >= 999.95 => (us / 1e3, "ms"),
        us if us >= 0.9995 || us == 0.0 => (us, "µs"),
        us => (us * 1e3, "ns"),
    };
    format!("{} {unit}", short(value))
}

/// At most three digits that mean something, or all before the point.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = match value.abs() {
        0.0 => 0,
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        // Small ones: as many as reach three digits, within reason.
        value => (2 - value.log10().floor() as i32).clamp(2, 6) as usize,
    };
    let text = number(value, digits);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// With commas between thousands.
pub(super) fn number(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let plain = format!("{value:.digits$}");
    let (sign, plain) = match plain.strip_prefix('-') {
        Some(rest) => ("−", rest),
        None => ("", plain.as_str()),
    };
    let (whole, fraction) = match plain.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (plain, None),
    };
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// A quantile as people say it: 99.9 %.
pub(super) fn percent_text(quantile: f64) -> String {
    let text = format!("{:.6}", quantile * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Milliseconds since 1970 as a date and a time of UTC.
pub(super) fn utc_text(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    // Years that begin in March, so that a leap day is the last of its year.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_its_ends_where_it_is_told() {
        let scale = Scale {
            low: 10.0,
            high: 1_000.0,
            from_px: 200.0,
            to_px: 0.0,
            logarithmic: true,
        };
        let px = [10.0, 100.0, 1_000.0].map(|value| scale.px(value).round());
        assert_eq!(px, [200.0, 100.0, 0.0]);
        // What lies outside stays at the border, what is no number at the beginning.
        assert_eq!((scale.px(0.0), scale.px(1e9)), (200.0, 0.0));
        assert_eq!(scale.px(f64::NAN), 200.0);
    }

    #[test]
    fn ticks_are_round_and_enclose_what_is_drawn() {
        assert_eq!(
            linear_ticks(1_000.0),
            [0.0, 200.0, 400.0, 600.0, 800.0, 1_000.0]
        );
        assert_eq!(linear_ticks(0.0).len(), 6);
        assert_eq!(
            log_ticks(130.0, 1_700.0),
            [100.0, 200.0, 500.0, 1_000.0, 2_000.0]
        );
        assert_eq!(log_ticks(100.0, 100.0), [100.0, 200.0]);
        assert_eq!(log_ticks(0.21, 0.9), [0.2, 0.5, 1.0]);
        let labelled = |max: f64| {
            let ticks = log_ticks(20.0, max);
            ticks
                .iter()
                .filter(|tick| is_labelled(**tick, &ticks))
                .count()
        };
        // 20 to 5,000; 20, 100, 1,000, 10,000, 20,000; 100 to 100,000,000.
        assert_eq!([5_000.0, 20_000.0, 2e8].map(labelled), [8, 5, 7]);
        for (min, max) in [(0.0, 0.0), (f64::MIN_POSITIVE, f64::MAX)] {
            assert!(log_ticks(min, max).len() >= 2);
        }
    }

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        let texts = [0.0, 0.25, 7.0, 139.4, 1_681.0, 999_960.0, 2_500_000.0].map(duration_text);
        assert_eq!(
            texts,
            [
                "0 µs", "250 ns", "7 µs", "139 µs", "1.68 ms", "1,000 ms", "2.5 s"
            ]
        );
        assert_eq!(number(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(number(-0.5, 1), "−0.5");
        assert_eq!(
            (short(f64::NAN), short(0.000_123)),
            ("–".to_owned(), "0.000123".to_owned())
        );
        assert_eq!(
            [0.0, 0.5, 0.999, 0.99999].map(percent_text),
            ["0 %", "50 %", "99.9 %", "99.999 %"]
        );
    }

    #[test]
    fn a_time_is_written_as_a_date() {
        assert_eq!(utc_text(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc_text(951_782_399_999), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc_text(951_825_600_000), "2000-02-29 12:00:00 UTC");
        assert_eq!(utc_text(1_785_585_600_000), "2026-08-01 12:00:00 UTC");
    }
}
