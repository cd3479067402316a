//! Polling: similar read calls at regular intervals.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// The longest interval that counts as polling, in microseconds: 15 minutes.
const LONGEST: i64 = 900_000_000;

/// Calls within this time of each other count as one, in microseconds.
const TOGETHER: i64 = 2_000_000;

/// How many calls at equal intervals are polling.
const CALLS: u32 = 10;

/// How many similar intervals in a row are polling, if they are jittered.
const INTERVALS: usize = 16;

/// The most kinds of calls followed.
const MOST: usize = 4096;

/// Follows read calls without ids. Those with the same properties are of one kind, so that a user's request for another
/// list in between doesn't matter.
#[derive(Debug, Clone, Default)]
pub(super) struct Polling {
    kinds: HashMap<(OperationNo, TokenNo, u64), Kind>,
    polled: BTreeMap<OperationNo, (Evidence, u64)>,
    unfollowed: u64,
}

#[derive(Debug, Clone, Default)]
struct Kind {
    /// The time of the last call, and of the first that counts as one with it.
    last: Option<(i64, i64)>,
    /// An interval, and how many consecutive calls had it.
    interval: i64,
    row: u32,
    /// The latest intervals.
    intervals: VecDeque<i64>,
}

impl Polling {
    pub(super) fn follow(&mut self, fact: &Fact) {
        // Ids usually come from an event. Further pages belong to the same call.
        if fact.cursor != 0 || !fact.intent.subject.ids.is_empty() {
            return;
        }
        let key = (fact.operation, fact.access_token, fact.intent.names);
        if self.kinds.len() >= MOST && !self.kinds.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        if let Some(interval) = self.kinds.entry(key).or_default().polls_again(fact.at) {
            let (evidence, every) = self.polled.entry(fact.operation).or_default();
            evidence.add(fact.id, fact.recorded_at());
            *every = u64::try_from(interval / 1_000_000).unwrap_or(0);
        }
    }

    /// What was polled, with the seconds between calls.
    pub(super) fn polled(&self) -> &BTreeMap<OperationNo, (Evidence, u64)> {
        &self.polled
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}

impl Kind {
    /// The interval, if enough consecutive calls had similar ones.
    fn polls_again(&mut self, at: i64) -> Option<i64> {
        let Some((last, first)) = self.last else {
            self.last = Some((at, at));
            return None;
        };
        if at - last < TOGETHER {
            self.last = Some((at, first));
            return None;
        }
        let since = at - first;
        self.last = Some((at, at));
        if self.intervals.len() == INTERVALS {
            self.intervals.pop_front();
        }
        self.intervals.push_back(since);
        let tolerance = (self.interval / 10).max(1_000_000);
        if (since - self.interval).abs() <= tolerance && since <= LONGEST {
            self.row += 1;
        } else {
            (self.interval, self.row) = (since, 1);
        }
        // One more call than intervals.
        if self.row + 1 >= CALLS { Some(self.interval) } else { self.median_of_alike() }
    }

    /// The median of the latest intervals, if they are similar: with a jitter of up to 40 %, none is shorter than half the
    /// median or much longer than one and a half times. Random calls have intervals of all lengths.
    fn median_of_alike(&self) -> Option<i64> {
        if self.intervals.len() < INTERVALS {
            return None;
        }
        let mut sorted: [i64; INTERVALS] = [0; INTERVALS];
        sorted.iter_mut().zip(&self.intervals).for_each(|(own, interval)| *own = *interval);
        sorted.sort_unstable();
        let median = (sorted[INTERVALS / 2 - 1] + sorted[INTERVALS / 2]) / 2;
        let (least, most) = (sorted[0], sorted[INTERVALS - 1]);
        (median <= LONGEST && 2 * least >= median && 10 * most <= 18 * median).then_some(median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of numbers from 0 to 1, with Knuth's constants.
    fn chance(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn polls(pauses: impl Iterator<Item = f64>) -> bool {
        let (mut kind, mut at) = (Kind::default(), 0);
        let mut found = false;
        for pause in pauses {
            found |= kind.polls_again(at).is_some();
            at += (pause * 1e6) as i64;
        }
        found
    }

    #[test]
    fn polling_is_found_whatever_the_jitter_up_to_40_percent() {
        for seed in 0..50 {
            for jitter in [0.0, 0.1, 0.25, 0.4] {
                let mut chance = chance(seed);
                let pauses = (0..200).map(|_| 300.0 * (1.0 + jitter * (2.0 * chance() - 1.0)));
                assert!(polls(pauses), "seed {seed}, jitter {jitter}");
            }
        }
    }

    #[test]
    fn what_people_ask_for_is_no_polling() {
        for seed in 0..50 {
            let mut chance = chance(seed);
            // As often, but independently.
            assert!(!polls((0..500).map(|_| -300.0 * (1.0 - chance()).ln())), "seed {seed}");
        }
        // Every 20 minutes isn't polling.
        assert!(!polls((0..100).map(|_| 1200.0)));
    }
}
