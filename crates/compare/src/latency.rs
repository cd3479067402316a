//! Latencies and whether they differ.

use hdrhistogram::Histogram;
use nightaudit_exchange::{Exchange, Outcome};
use serde::{Deserialize, Serialize};

use crate::statistics::{exact, rank_sum};

/// Latencies are kept to two significant digits, up to an hour: four KiB or so for an operation.
const DIGITS: u8 = 2;
const LONGEST_US: u64 = 3_600_000_000;

/// The least difference, in microseconds, that is worth a word: less is lost between two machines.
const LEAST_US: u64 = 5_000;
/// The least difference of the medians, in percent of the earlier one.
const LEAST_OF_MEDIAN: u64 = 10;
/// The least difference of the 95th percentiles, which vary more, in percent of the earlier one.
const LEAST_OF_TAIL: u64 = 25;
/// The fewest calls on either side for a statement about the slowest ones.
const FEWEST_FOR_TAIL: u64 = 40;

/// Latencies of an operation in milliseconds, from sending the request to the end of Mews' response; each accurate to
/// 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Calls that it was measured for.
    pub calls: u64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

/// Collects the latencies of an operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Option<Box<Histogram<u32>>>);

/// The result of a test: its probability, and whether the difference is large enough to be one.
pub(crate) struct Tested {
    pub(crate) p: f64,
    pub(crate) matters: bool,
}

impl Latencies {
    pub(crate) fn note(&mut self, exchange: &Exchange) {
        // A fault that was injected may have delayed it, and says nothing of Mews.
        if exchange.fault.is_some() {
            return;
        }
        let times = &exchange.times_us;
        if let (Outcome::Answered, Some(sent), Some(end)) = (exchange.outcome, times.forwarded, times.response_end) {
            if self.0.is_none() {
                self.0 = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok().map(Box::new);
            }
            if let Some(histogram) = &mut self.0 {
                histogram.saturating_record(end.saturating_sub(sent).max(1));
            }
        }
    }

    pub(crate) fn figures(&self) -> Option<Latency> {
        let histogram = self.0.as_deref()?;
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile).min(histogram.max()));
        Some(Latency { calls: histogram.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: ms(histogram.max()) })
    }

    /// Whether the medians differ: the test of Mann and Whitney. `None` with too few calls.
    pub(crate) fn test_median(&self, later: &Self) -> Option<Tested> {
        let (a, b) = (self.0.as_deref()?, later.0.as_deref()?);
        let p = rank_sum(a, b)?;
        Some(Tested { p, matters: differ(a.value_at_quantile(0.5), b.value_at_quantile(0.5), LEAST_OF_MEDIAN) })
    }

    /// Whether the slowest calls differ: Fisher's exact test of the share that took longer than 90 % of all calls of both
    /// sides. `None` with too few calls.
    pub(crate) fn test_tail(&self, later: &Self) -> Option<Tested> {
        let (a, b) = (self.0.as_deref()?, later.0.as_deref()?);
        if a.len() < FEWEST_FOR_TAIL || b.len() < FEWEST_FOR_TAIL {
            return None;
        }
        let mut both = a.clone();
        both.add(b).ok()?;
        let bound = both.value_at_quantile(0.9);
        let above = |histogram: &Histogram<u32>| histogram.len() - histogram.count_between(0, bound);
        let p = exact(above(a), a.len(), above(b), b.len());
        Some(Tested { p, matters: differ(a.value_at_quantile(0.95), b.value_at_quantile(0.95), LEAST_OF_TAIL) })
    }
}

/// Whether two latencies differ by enough to matter, in whichever direction.
fn differ(a: u64, b: u64, percent: u64) -> bool {
    let (least, most) = (a.min(b), a.max(b));
    most - least >= LEAST_US.max(least / 100 * percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_what_a_fault_delayed_was_said_of_mews() {
        let mut latencies = Latencies::default();
        let mut exchange = nightaudit_exchange::testing::sample();
        latencies.note(&exchange);
        exchange.fault = Some(Box::default());
        latencies.note(&exchange);
        assert_eq!(latencies.figures().map(|figures| figures.calls), Some(1));
    }

    #[test]
    fn small_differences_dont_matter() {
        for (a, b, is) in [
            (1_000, 5_900, false),
            (1_000, 6_000, true),
            (100_000, 109_000, false),
            (100_000, 110_000, true),
            (110_000, 100_000, true),
            (10_000_000, 10_500_000, false),
        ] {
            assert_eq!(differ(a, b, 10), is, "{a} {b}");
        }
    }
}
