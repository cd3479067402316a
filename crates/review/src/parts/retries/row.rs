//! A row of failures of the same request, and the pauses between them.

use super::{Seen, TallyKey};
use crate::fact::Fact;

/// Pauses that are shorter than this are none, in microseconds.
const SHORT: i64 = 1_000_000;

/// How many of them make hammering.
const SHORT_COUNT: u32 = 5;

/// Failures of the same request, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Whose refusal it began with.
    pub(super) key: TallyKey,
    pub(super) last: Seen,
    /// When the integration had the last failure.
    end: i64,
    /// Whether the last failure said when to come back, so that the pause after it is not the integration's choice.
    told: bool,
    count: u32,
    short: u32,
    first: i64,
    latest: i64,
    least: i64,
    most: i64,
    sum: i64,
}

/// How the pauses of a row were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    /// There are less than two.
    TooFew,
    /// They grew.
    Growing,
    /// They were all alike, of about so many microseconds.
    Fixed(i64),
    /// They did not grow.
    NotGrowing,
    /// There were none to speak of, many times.
    None,
}

impl Row {
    pub(super) fn new(fact: &Fact, key: TallyKey) -> Self {
        Self {
            key,
            last: (fact.id, fact.recorded_at()),
            end: fact.end,
            told: fact.retry_after.is_some(),
            count: 0,
            short: 0,
            first: 0,
            latest: 0,
            least: i64::MAX,
            most: 0,
            sum: 0,
        }
    }

    /// The pause before this request, in microseconds; none where it was under way before the last failure was known.
    pub(super) fn pause_before(&self, fact: &Fact) -> Option<i64> {
        fact.at.checked_sub(self.end).filter(|pause| *pause > 0)
    }

    /// Adds a failure.
    pub(super) fn add(&mut self, fact: &Fact) {
        if let Some(pause) = self.pause_before(fact).filter(|_| !self.told) {
            if self.count == 0 {
                self.first = pause;
            }
            self.count += 1;
            self.short += u32::from(pause < SHORT);
            self.latest = pause;
            self.least = self.least.min(pause);
            self.most = self.most.max(pause);
            self.sum = self.sum.saturating_add(pause);
        }
        self.last = (fact.id, fact.recorded_at());
        self.end = self.end.max(fact.end);
        self.told = fact.retry_after.is_some();
    }

    pub(super) fn pauses(&self) -> Pauses {
        if self.count < 2 {
            return Pauses::TooFew;
        }
        let mean = self.sum / i64::from(self.count);
        if self.short >= SHORT_COUNT {
            Pauses::None
        } else if self.count >= 3 && self.most - self.least <= mean / 10 {
            Pauses::Fixed(mean)
        } else if self.latest < self.first + self.first / 10 {
            Pauses::NotGrowing
        } else {
            Pauses::Growing
        }
    }
}
