//! A rule's token bucket: governor's decision over a state that the key holds. The crate's documentation says why.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

/// A bucket that refills at a constant rate.
///
/// The whole state of a key's bucket is the instant at which it will be full again (governor's theoretical arrival
/// time), so every operation here maps that instant to the next.
#[derive(Debug)]
pub(crate) struct Bucket {
    limiter: RateLimiter<Debt, DebtOfKey, FrozenClock, NoOpMiddleware<Nanos>>,
    /// Nanoseconds per refilled unit.
    interval: u64,
    /// Nanoseconds to fill an empty bucket.
    fill: u64,
}

impl Bucket {
    /// A bucket of `capacity` units that refills by `refill` units per `window`.
    ///
    /// The interval per unit is rounded down; rounded up, a bucket as large as the window would be stricter than the
    /// window.
    pub(crate) fn new(capacity: NonZeroU32, refill: NonZeroU32, window: Duration) -> Self {
        let interval = (window / refill.get()).max(Duration::from_nanos(1));
        // `with_period` rejects only zero, which the line above rules out.
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(capacity)).allow_burst(capacity);
        let interval = crate::clock::nanos(quota.replenish_interval());
        Self {
            limiter: RateLimiter::new(quota, DebtOfKey, FrozenClock),
            interval,
            fill: interval * u64::from(capacity.get()),
        }
    }

    /// Whether a bucket that is full at `full_at` has `units` at `now`; if not, the instant at which it will.
    #[inline]
    pub(crate) fn has(&self, full_at: u64, units: NonZeroU32, now: u64) -> Result<(), u64> {
        let debt = Debt(Cell::new(full_at.saturating_sub(now)));
        match self.limiter.check_key_n(&debt, units) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(now + not_until.earliest_possible().as_u64()),
            // No request costs more than the bucket's capacity (the burst is at least one request); if it did, it would
            // wait forever.
            Err(_) => Err(u64::MAX),
        }
    }

    /// When the bucket is full again after taking `units` at `at`, even if it did not have them.
    #[inline]
    pub(crate) fn after(&self, full_at: u64, units: u64, at: u64) -> u64 {
        full_at.max(at).saturating_add(self.interval.saturating_mul(units))
    }

    /// When the bucket would be full if `units` had not been taken.
    pub(crate) fn before(&self, full_at: u64, units: u64) -> u64 {
        full_at.saturating_sub(self.interval.saturating_mul(units))
    }

    /// Like [`after`](Self::after), but never in debt beyond empty.
    ///
    /// Sends in excess of a limit (under `observe`) are not owed forever: with this cap, and a burst as large as the
    /// limit, the bucket never refuses what the sliding window admits. At the far end of the window the debt is at most
    /// one fill, that fill has come back by now, and whatever was taken since is what the window counts.
    #[inline]
    pub(crate) fn after_send(&self, full_at: u64, units: u64, at: u64) -> u64 {
        self.after(full_at, units, at).min(at + self.fill)
    }
}

/// Nanoseconds by which a key's bucket is short of full at the instant of a check.
///
/// It is the lookup key for governor's store, and holds the state itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Debt(Cell<u64>);

impl Hash for Debt {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

/// Hands governor the state that it is asked about, and takes back the next one, which is dropped: asking takes nothing.
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

/// Governor's clock is frozen, because its state is already relative to the instant of the check. The limiter can thus
/// read its clock once for all rules, and evaluate checks for future instants.
#[derive(Debug, Clone, Copy)]
struct FrozenClock;

impl Clock for FrozenClock {
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
    fn a_fractional_interval_is_rounded_down() {
        let bucket = Bucket::new(units(3), units(3), Duration::from_secs(1));
        let full_at = bucket.after_send(0, 3, SECOND);
        assert_eq!(full_at, 2 * SECOND - 1);
    }

    #[test]
    fn excess_sends_are_not_owed_forever() {
        let bucket = Bucket::new(units(10), units(10), Duration::from_secs(10));
        let full_at = (0..100).fold(0, |full_at, _| bucket.after_send(full_at, 1, SECOND));
        assert_eq!(full_at, 11 * SECOND);
    }
}
