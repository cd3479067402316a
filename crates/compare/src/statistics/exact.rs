//! Fisher's exact test.

use libm::lgamma;

/// The probability that two shares differ as much as `a` of `n` and `b` of `m`, or more, if they don't: Fisher's exact
/// test, two-sided as twice the smaller tail. Counts above their total are taken as the total.
pub(crate) fn exact(a: u64, n: u64, b: u64, m: u64) -> f64 {
    let (a, b) = (a.min(n), b.min(m));
    let (hits, all) = (a + b, n + m);
    if n == 0 || m == 0 || hits == 0 || hits == all {
        return 1.0;
    }
    // How many of the hits are among the first n: the hypergeometric distribution.
    let (lowest, highest) = (hits.saturating_sub(m), hits.min(n));
    let at = (ln_choose(n, a) + ln_choose(m, b) - ln_choose(all, hits)).exp();
    // The terms fall off fast on the side away from the mode; the other side is what is left.
    let up = at * tail(a, highest, |k| ratio(k, n, m, hits));
    let down = at * tail_down(a, lowest, |k| ratio(k, n, m, hits));
    (2.0 * up.min(down)).min(1.0)
}

/// The probability of `k + 1` hits over that of `k`.
fn ratio(k: u64, n: u64, m: u64, hits: u64) -> f64 {
    let float = |number: u64| number as f64;
    float(n - k) * float(hits - k) / (float(k + 1) * (float(m) - float(hits) + float(k) + 1.0))
}

/// The sum of the terms from `from` up, in units of the first.
fn tail(from: u64, highest: u64, ratio: impl Fn(u64) -> f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in from..highest {
        term *= ratio(k);
        sum += term;
        if term < sum * 1e-17 || !sum.is_finite() {
            break;
        }
    }
    sum
}

/// The sum of the terms from `from` down, in units of the first.
fn tail_down(from: u64, lowest: u64, ratio: impl Fn(u64) -> f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in (lowest..from).rev() {
        term /= ratio(k);
        sum += term;
        if term < sum * 1e-17 || !sum.is_finite() {
            break;
        }
    }
    sum
}

/// The logarithm of the number of ways to choose `k` of `n`.
fn ln_choose(n: u64, k: u64) -> f64 {
    let ln_factorial = |number: u64| lgamma(number as f64 + 1.0);
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sums the whole distribution, in plain arithmetic.
    fn by_counting(a: u64, n: u64, b: u64, m: u64) -> f64 {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |ways, i| ways * (n - i) as f64 / (i + 1) as f64);
        let hits = a + b;
        let of = |k: u64| choose(n, k) * choose(m, hits - k) / choose(n + m, hits);
        let range = hits.saturating_sub(m)..=hits.min(n);
        let up: f64 = range.clone().filter(|k| *k >= a).map(of).sum();
        let down: f64 = range.filter(|k| *k <= a).map(of).sum();
        (2.0 * up.min(down)).min(1.0)
    }

    #[test]
    fn known_tables() {
        // The lady tasting tea: Fisher's own example, 3 of 4 against 1 of 4; one tail is 17/70.
        assert!((exact(3, 4, 1, 4) - 34.0 / 70.0).abs() < 1e-9);
        // All of ten against none of ten: 1 of the 184,756 ways, on either side.
        assert!((exact(10, 10, 0, 10) - 2.0 / 184_756.0).abs() < 1e-12);
        assert_eq!((exact(0, 10, 0, 10), exact(5, 5, 7, 7), exact(1, 1, 0, 0)), (1.0, 1.0, 1.0));
    }

    #[test]
    fn large_counts_are_fast_and_finite() {
        assert!(exact(500_000, 1_000_000, 500_000, 1_000_000) > 0.9);
        assert!(exact(600_000, 1_000_000, 500_000, 1_000_000) < 1e-100);
        assert!(!exact(u64::MAX / 4, u64::MAX / 4, 0, u64::MAX / 4).is_nan());
    }

    proptest! {
        #[test]
        fn as_by_counting(n in 1_u64..40, m in 1_u64..40, a in 0_u64..40, b in 0_u64..40) {
            let (a, b) = (a.min(n), b.min(m));
            let (fast, slow) = (exact(a, n, b, m), by_counting(a, n, b, m));
            prop_assert!((fast - slow).abs() < 1e-9, "{fast} {slow}");
            // The sides can be swapped.
            prop_assert!((fast - exact(b, m, a, n)).abs() < 1e-9);
        }
    }
}
