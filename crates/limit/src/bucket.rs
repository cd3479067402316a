//! The token bucket of a rule: governor's, with its state kept by the key.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

/// A bucket of `units` that is refilled at a constant rate.
///
/// All there is to know of one key's bucket is the instant at which it will be full again (governor calls it the
/// theoretical arrival time), so each operation here is a function from that instant to the next.
#[derive(Debug)]
pub(crate) struct Bucket {
    limiter: RateLimiter<Debt, DebtOfKey, StandingClock, NoOpMiddleware<Nanos>>,
    /// Nanoseconds in which one unit comes back.
    interval: u64,
    /// Nanoseconds in which an empty bucket fills.
    fill: u64,
}

impl Bucket {
    /// A bucket of `capacity` units, of which `refill` come back every `window`.
    ///
    /// The interval per unit is rounded down: were it rounded up, a bucket as large as the window would be stricter
    /// than the window.
    pub(crate) fn new(capacity: NonZeroU32, refill: NonZeroU32, window: Duration) -> Self {
        let interval = (window / refill.get()).max(Duration::from_nanos(1));
        // `with_period` refuses nothing but zero, which the line above rules out.
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(capacity)).allow_burst(capacity);
        let interval = crate::clock::nanos(quota.replenish_interval());
        Self {
            limiter: RateLimiter::new(quota, DebtOfKey, StandingClock),
            interval,
            fill: interval * u64::from(capacity.get()),
        }
    }

    /// Whether a bucket that is full at `full_at` has `units` at `now`; otherwise the instant at which it will.
    #[inline]
    pub(crate) fn has(&self, full_at: u64, units: NonZeroU32, now: u64) -> Result<(), u64> {
        let debt = Debt(Cell::new(full_at.saturating_sub(now)));
        match self.limiter.check_key_n(&debt, units) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(now + not_until.earliest_possible().as_u64()),
            // No request costs more than the bucket holds (the burst is at least one request); were it so, for ever.
            Err(_) => Err(u64::MAX),
        }
    }

    /// When the bucket is full again after `units` were taken at `at`, whether it had them or not.
    #[inline]
    pub(crate) fn after(&self, full_at: u64, units: u64, at: u64) -> u64 {
        full_at.max(at).saturating_add(self.interval.saturating_mul(units))
    }

    /// When the bucket would be full, had `units` not been taken of it.
    pub(crate) fn before(&self, full_at: u64, units: u64) -> u64 {
        full_at.saturating_sub(self.interval.saturating_mul(units))
    }

    /// Like [`after`](Self::after), but no more than an empty bucket is owed.
    ///
    /// What was sent in excess of a limit (as `observe` does) is not paid back for ever: with that, and with a burst
    /// as large as the limit, the bucket never refuses what the sliding window lets through. For at the far end of
    /// the window the debt is at most one filling, that filling has come back by now, and what was taken since is what
    /// the window counts.
    #[inline]
    pub(crate) fn after_send(&self, full_at: u64, units: u64, at: u64) -> u64 {
        self.after(full_at, units, at).min(at + self.fill)
    }
}

/// How many nanoseconds a key's bucket is short of full, at the instant of a check.
///
/// It is the key that governor's store is asked for, and holds the state itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Debt(Cell<u64>);

impl Hash for Debt {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

/// A store that stores nothing: the state is in the key.
#[derive(Debug)]
struct DebtOfKey;

impl StateStore for DebtOfKey {
    type Key = Debt;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, key: &Debt, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(Some(Nanos::new(key.0.get())))?;
        key.0.set(next.as_u64());
        Ok(outcome)
    }
}

/// Governor's clock stands still, because the state it is handed is already relative to the instant of the check. So
/// the limiter reads its clock once for all its rules, and checks can be computed for instants to come.
#[derive(Debug, Clone, Copy)]
struct StandingClock;

impl Clock for StandingClock {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn units(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn holds_its_capacity_and_refills_at_its_rate() {
        let bucket = Bucket::new(units(2), units(10), Duration::from_secs(10));
        let mut full_at = 0;
        for _ in 0..2 {
            assert_eq!(bucket.has(full_at, units(1), 5 * SECOND), Ok(()));
            full_at = bucket.after_send(full_at, 1, 5 * SECOND);
        }
        assert_eq!(bucket.has(full_at, units(1), 5 * SECOND), Err(6 * SECOND));
        assert_eq!(bucket.has(full_at, units(2), 5 * SECOND), Err(7 * SECOND));
        assert_eq!(bucket.has(full_at, units(1), 6 * SECOND), Ok(()));
    }

    #[test]
    fn an_interval_that_is_no_whole_nanosecond_is_rounded_down() {
        let bucket = Bucket::new(units(3), units(3), Duration::from_secs(1));
        let full_at = bucket.after_send(0, 3, SECOND);
        assert_eq!(full_at, 2 * SECOND - 1);
    }

    #[test]
    fn an_excess_is_not_owed_for_ever() {
        let bucket = Bucket::new(units(10), units(10), Duration::from_secs(10));
        let full_at = (0..100).fold(0, |full_at, _| bucket.after_send(full_at, 1, SECOND));
        assert_eq!(full_at, 11 * SECOND);
    }
}
