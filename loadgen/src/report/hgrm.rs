//! HdrHistogram's text of percentiles, as its plotter and its other tools read it.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Lines from each half of the distance to 100 % to the next, as HdrHistogram has it unless told otherwise.
const TICKS: u32 = 5;

/// Values are divided by `unit`: nanoseconds by 1e6 are the milliseconds that the plotter speaks of.
pub(super) fn percentiles(histogram: &Histogram<u64>, unit: f64) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / unit;
        let quantile = step.quantile_iterated_to();
        let _ = write!(text, "{value:12.3} {quantile:.12} {total:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / unit, histogram.stdev() / unit);
    let (max, count) = (histogram.max() as f64 / unit, histogram.len());
    let _ = writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {count:12}]\n\
         #[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]",
        buckets = histogram.buckets(),
        sub_buckets = sub_buckets_count(histogram.sigfig()),
    );
    text
}

/// Enough to tell values apart by so many digits, up to the next power of two.
fn sub_buckets_count(digits: u8) -> u64 {
    (2 * 10_u64.pow(digits.into())).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What HdrHistogram's own implementations print for these three values.
    const KNOWN: &str = "       Value     Percentile TotalCount 1/(1-Percentile)

      25.000 0.000000000000          1           1.00
      25.000 0.100000000000          1           1.11
      25.000 0.200000000000          1           1.25
      25.000 0.300000000000          1           1.43
      50.000 0.400000000000          2           1.67
      50.000 0.500000000000          2           2.00
      50.000 0.550000000000          2           2.22
      50.000 0.600000000000          2           2.50
      50.000 0.650000000000          2           2.86
      75.000 0.700000000000          3           3.33
      75.000 1.000000000000          3
#[Mean    =       50.000, StdDeviation   =       20.412]
#[Max     =       75.000, Total count    =            3]
#[Buckets =           43, SubBuckets     =         2048]
";

    #[test]
    fn a_known_histogram_is_printed_as_hdr_histogram_prints_it() {
        let mut histogram = Histogram::new_with_bounds(1, (1 << 53) - 1, 3).unwrap();
        for value in [25, 50, 75] {
            histogram.record(value).unwrap();
        }
        assert_eq!(percentiles(&histogram, 1.0), KNOWN);
    }

    #[test]
    fn nanoseconds_become_milliseconds() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        histogram.record(1_500_000).unwrap();
        let text = percentiles(&histogram, 1e6);
        assert!(
            text.contains("\n       1.500 1.000000000000          1\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_measured_is_no_line() {
        let text = percentiles(&Histogram::new(3).unwrap(), 1e6);
        let mut lines = text.lines().skip(2);
        assert!(lines.next().unwrap().starts_with("#[Mean"), "{text}");
    }
}
