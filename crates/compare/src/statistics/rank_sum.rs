//! The rank sum test of Mann and Whitney.

use hdrhistogram::Histogram;
use libm::erfc;

/// The fewest values on either side for the normal approximation of the distribution of ranks.
pub(crate) const FEWEST: u64 = 8;

/// The probability that two samples of the same distribution differ in rank as much as these, or more; two-sided, by the
/// normal approximation with corrections for ties and continuity. `None` with fewer than [`FEWEST`] values on a side.
///
/// Values of the same bin of the histograms are ties. Both must have been created with the same precision.
pub(crate) fn rank_sum(a: &Histogram<u32>, b: &Histogram<u32>) -> Option<f64> {
    let (n, m) = (a.len(), b.len());
    if n < FEWEST || m < FEWEST {
        return None;
    }
    let bins = Merged { a: bins(a).peekable(), b: bins(b).peekable() };
    let (mut before, mut ranks, mut ties) = (0.0, 0.0, 0.0);
    for (of_a, of_b) in bins {
        let tied = of_a + of_b;
        // All values of a bin have the mean of its ranks.
        ranks += of_a * (before + (tied + 1.0) / 2.0);
        ties += tied * tied * tied - tied;
        before += tied;
    }
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let u = ranks - n * (n + 1.0) / 2.0;
    let mean = n * m / 2.0;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let z = ((u - mean).abs() - 0.5).max(0.0) / variance.sqrt();
    Some(erfc(z / std::f64::consts::SQRT_2))
}

/// Highest value and count of each bin that has any.
fn bins(histogram: &Histogram<u32>) -> impl Iterator<Item = (u64, f64)> + '_ {
    histogram.iter_recorded().map(|bin| (bin.value_iterated_to(), f64::from(bin.count_at_value())))
}

/// The bins of both sides, in order.
struct Merged<A: Iterator, B: Iterator> {
    a: std::iter::Peekable<A>,
    b: std::iter::Peekable<B>,
}

impl<A: Iterator<Item = (u64, f64)>, B: Iterator<Item = (u64, f64)>> Iterator for Merged<A, B> {
    type Item = (f64, f64);

    fn next(&mut self) -> Option<(f64, f64)> {
        let value = match (self.a.peek(), self.b.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((a, _)), None) => *a,
            (None, Some((b, _))) => *b,
            (None, None) => return None,
        };
        let of_a = self.a.next_if(|(own, _)| *own == value).map_or(0.0, |(_, count)| count);
        let of_b = self.b.next_if(|(own, _)| *own == value).map_or(0.0, |(_, count)| count);
        Some((of_a, of_b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u32> {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn a_known_example() {
        // Ranks 1 to 8 and 9 to 16: U = 0, mean 32, variance 64 * 17 / 12, z = 31.5 / 9.522.
        let p = rank_sum(&histogram(1..=8), &histogram(9..=16)).unwrap();
        assert!((p - 0.000_939).abs() < 1e-5, "{p}");
        assert_eq!(rank_sum(&histogram(9..=16), &histogram(1..=8)), Some(p));
    }

    #[test]
    fn equal_and_few_values_differ_in_nothing() {
        assert_eq!(rank_sum(&histogram([5; 20]), &histogram([5; 9])), Some(1.0));
        let same = histogram(1..100);
        assert!(rank_sum(&same, &same).unwrap() > 0.99);
        assert_eq!(rank_sum(&histogram(1..8), &histogram(1..100)), None);
    }

    #[test]
    fn a_large_shift_of_many_values_is_certain() {
        let p = rank_sum(&histogram(50_000..150_000), &histogram(60_000..160_000)).unwrap();
        assert!(p < 1e-100, "{p}");
    }
}
