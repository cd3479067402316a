//! Generates exchange ids.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use nightaudit_exchange::{ExchangeId, Timestamp};

/// Generates ULIDs. Of the 80 random bits, the upper 40 are drawn once and the lower 40 are a counter with a random
/// start. So ids of one process sort by arrival even within a millisecond, ids of different runs differ in their last
/// characters, and no request waits for randomness.
#[derive(Debug)]
pub(crate) struct IdGenerator {
    drawn: u128,
    counter: AtomicU64,
}

const COUNTER_BITS: u32 = 40;

impl IdGenerator {
    pub(crate) fn new() -> Self {
        // std seeds `RandomState` from the operating system.
        let draw = || RandomState::new().build_hasher().finish();
        let drawn = draw() >> (64 - COUNTER_BITS);
        // In the lower half, so that the counter never wraps.
        let first = draw() >> (64 - COUNTER_BITS + 1);
        Self { drawn: u128::from(drawn) << COUNTER_BITS, counter: AtomicU64::new(first) }
    }

    pub(crate) fn next(&self, received: Timestamp) -> ExchangeId {
        let count = self.counter.fetch_add(1, Ordering::Relaxed) & ((1 << COUNTER_BITS) - 1);
        let milliseconds = u64::try_from(received.micros() / 1000).unwrap_or(0);
        ExchangeId::from_parts(milliseconds, self.drawn | u128::from(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_same_instant_differ_and_sort_by_arrival() {
        let (ids, now) = (IdGenerator::new(), Timestamp::from_micros(1_700_000_000_000_000));
        let made: Vec<_> = (0..1000).map(|_| ids.next(now)).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        assert_eq!(made[0].milliseconds(), 1_700_000_000_000);
    }

    #[test]
    fn two_processes_generate_different_ids() {
        let now = Timestamp::from_micros(0);
        let (one, other) = (IdGenerator::new().next(now), IdGenerator::new().next(now));
        assert_ne!(one, other);
        // Also in their last characters, by which people tell exchanges apart.
        assert_ne!(one.to_string()[18..], other.to_string()[18..]);
    }
}
