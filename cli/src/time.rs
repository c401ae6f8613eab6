//! Times as people write and read them: UTC, RFC 3339.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by the system's clock.
pub(crate) fn now_unix_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970 by the system's clock.
pub(crate) fn now_unix_s() -> i64 {
    now_unix_ms() / 1_000
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `2026-01-31T10:00:00.123Z`.
pub(crate) fn rfc3339_ms(unix_ms: i64) -> String {
    let (year, month, day) = civil_from_days(unix_ms.div_euclid(86_400_000));
    format!("{year:04}-{month:02}-{day:02}T{}Z", clock_ms(unix_ms))
}

/// `10:00:00.123`, the time of day.
pub(crate) fn clock_ms(unix_ms: i64) -> String {
    let ms = unix_ms.rem_euclid(86_400_000);
    let (s, ms) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3_600, s / 60 % 60, s % 60)
}

/// Milliseconds since 1970 of `2026-01-31T10:00:00Z`, `2026-01-31`, or of a time ago: `90s`, `15m`, `2h`, `1d`.
pub(crate) fn parse_unix_ms(text: &str, now_unix_ms: i64) -> Option<i64> {
    if let Some(ago_ms) = parse_ago_ms(text) {
        return now_unix_ms.checked_sub(ago_ms);
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time.strip_suffix('Z')?, ':', [2, 2, 2])?;
    let days = days_from_civil(year, month, day);
    // A date that does not exist comes out as another one.
    let exists =
        civil_from_days(days) == (year, month, day) && hour < 24 && minute < 60 && second < 60;
    exists.then(|| (days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000)
}

fn parse_ago_ms(text: &str) -> Option<i64> {
    let at = text.find(|char: char| !char.is_ascii_digit())?;
    let (digits, unit) = text.split_at(at);
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit_ms)
}

fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (slot, width) in found.iter_mut().zip(digits) {
        let part = parts
            .next()
            .filter(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back_as_they_were_written() {
        for (text, unix_ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2000-02-29T12:30:15.250Z", 951_827_415_250),
            ("2026-11-23T23:34:39.000Z", 1_795_476_879_000),
        ] {
            assert_eq!(rfc3339_ms(unix_ms), text);
        }
        for days in -200_000..200_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn reads_times_dates_and_times_ago_and_nothing_else() {
        assert_eq!(
            parse_unix_ms("2026-11-23T23:34:39Z", 0),
            Some(1_795_476_879_000)
        );
        assert_eq!(parse_unix_ms("1970-01-02", 0), Some(86_400_000));
        assert_eq!(parse_unix_ms("15m", 1_000_000), Some(100_000));
        for wrong in [
            "",
            "now",
            "2026-02-29",
            "2026-1-1",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01-01",
            "1y",
            "m",
            "+1-01-01",
        ] {
            assert_eq!(parse_unix_ms(wrong, 0), None, "{wrong}");
        }
    }
}
