//! UTC as people write it, and back (proleptic Gregorian calendar).

const DAY_S: i64 = 86_400;

/// `2026-11-23 22:43:05.120`.
pub(super) fn show_ns(unix_ns: i64) -> String {
    if unix_ns == 0 {
        return "–".to_owned();
    }
    let (unix_s, ms) = (
        unix_ns.div_euclid(1_000_000_000),
        unix_ns.rem_euclid(1_000_000_000) / 1_000_000,
    );
    let (year, month, day) = civil(unix_s.div_euclid(DAY_S));
    let second = unix_s.rem_euclid(DAY_S);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{ms:03}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

pub(super) fn show_ms(unix_ms: i64) -> String {
    show_ns(unix_ms.saturating_mul(1_000_000))
}

/// Reads `2026-11-23T22:43` or `2026-11-23T22:43:05`, as browsers send it; milliseconds.
pub(super) fn read_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (
        time.next()?.ok()?,
        time.next()?.ok()?,
        time.next().unwrap_or(Ok(0)).ok()?,
    );
    let in_range = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    in_range.then(|| (days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second) * 1000)
}

/// Days since 1970-01-01. Years start in March here, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let day_of_year = (153 * since_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

fn civil(unix_day: i64) -> (i64, i64, i64) {
    // A first guess that is never too late, then at most a few steps.
    let mut year = 1970 + unix_day.div_euclid(366) - i64::from(unix_day < 0);
    while days(year + 1, 1, 1) <= unix_day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days(year, month + 1, 1) <= unix_day {
        month += 1;
    }
    (year, month, unix_day - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_and_show_the_same() {
        assert_eq!(show_ns(951_782_400_123_456_789), "2000-02-29 00:00:00.123");
        assert_eq!(show_ms(1_795_474_985_000), "2026-11-23 23:03:05.000");
        assert_eq!(read_ms("2000-02-29T00:00"), Some(951_782_400_000));
        assert_eq!(read_ms("1970-01-01T00:00:01"), Some(1_000));
        assert_eq!(read_ms("2026-13-01T00:00"), None);
        assert_eq!(read_ms("now"), None);
    }

    #[test]
    fn every_day_of_four_centuries_converts_back() {
        let mut previous = civil(-1);
        for day in 0..146_097 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
            assert!((year, month, date) > previous);
            previous = (year, month, date);
        }
    }
}
