//! The ids of exchanges.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use nightaudit_exchange::{ExchangeId, Timestamp};

/// Makes ids: of a ULID's 80 random bits the upper 40 are drawn once, the lower 40 count from a number that is drawn, too,
/// so that the ids of one process sort by arrival even within a millisecond, those of several runs differ in their last
/// letters, and no request waits for random bits.
#[derive(Debug)]
pub(crate) struct Ids {
    drawn: u128,
    counter: AtomicU64,
}

const COUNTER_BITS: u32 = 40;

impl Ids {
    pub(crate) fn new() -> Self {
        // std draws `RandomState`'s keys from the operating system.
        let draw = || RandomState::new().build_hasher().finish();
        let drawn = draw() >> (64 - COUNTER_BITS);
        // In the lower half: the counter never gets to its end, where ids would begin anew.
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
    fn ids_of_one_instant_differ_and_sort_by_arrival() {
        let (ids, now) = (Ids::new(), Timestamp::from_micros(1_700_000_000_000_000));
        let made: Vec<_> = (0..1000).map(|_| ids.next(now)).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        assert_eq!(made[0].milliseconds(), 1_700_000_000_000);
    }

    #[test]
    fn two_processes_draw_differently() {
        let now = Timestamp::from_micros(0);
        let (one, other) = (Ids::new().next(now), Ids::new().next(now));
        assert_ne!(one, other);
        // And so their first ids end differently: by their ends people tell exchanges apart.
        assert_ne!(one.to_string()[18..], other.to_string()[18..]);
    }
}
