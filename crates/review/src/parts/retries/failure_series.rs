//! A series of failures of the same request, and the pauses between them.

use nightaudit_exchange::ExchangeId;

use crate::{
    fact::Fact,
    intent::Intent,
    names::TokenNo,
    review::{RetryCause, RetryOrigin},
};

/// A shorter pause is no pause, in microseconds.
const SHORT: i64 = 1_000_000;

/// How many of those are hammering.
const SHORT_COUNT: u32 = 5;

/// Pauses of a minute or more need not grow: back-off may be capped there.
const LONG: i64 = 60_000_000;

/// After this long a request is no longer a retry, in microseconds: 30 minutes.
const LONGEST: i64 = 1_800_000_000;

/// The most pauses kept per series; older ones are dropped.
const MOST: usize = 32;

/// What failures and refusals are counted by: the token, who refused, and why.
pub(super) type TallyKey = (TokenNo, RetryOrigin, RetryCause);

/// An exchange and when it was recorded.
pub(super) type Seen = (ExchangeId, nightaudit_exchange::Timestamp);

/// Consecutive failures of the same request.
#[derive(Debug, Clone)]
pub(super) struct FailureSeries {
    /// The token, origin and cause of the first failure.
    pub(super) key: TallyKey,
    pub(super) last: Seen,
    /// The last request, and when it was sent.
    intent: Intent,
    cursor: u64,
    at: i64,
    /// When the integration received the last failure.
    end: i64,
    /// Whether the last failure had a `Retry-After`, so that the next pause is not the integration's choice.
    has_retry_after: bool,
    short: u32,
    pauses: Vec<i64>,
}

/// The pauses of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    /// Fewer than two.
    TooFew,
    /// They grew, or are long enough that they need not.
    Growing,
    /// All about the same length, in microseconds.
    Fixed(i64),
    /// Not growing.
    NotGrowing,
    /// Repeated almost immediately, many times.
    None,
}

impl FailureSeries {
    pub(super) fn new(fact: &Fact, key: TallyKey) -> Self {
        Self {
            key,
            last: (fact.id, fact.recorded_at()),
            intent: fact.intent,
            cursor: fact.cursor,
            at: fact.at,
            end: fact.end,
            has_retry_after: fact.retry_after.is_some(),
            short: 0,
            pauses: Vec::new(),
        }
    }

    /// Whether this request continues the series: the same one, or one that has changed slightly.
    pub(super) fn is_again(&self, fact: &Fact) -> bool {
        self.cursor == fact.cursor && fact.intent.repeats(&self.intent, fact.at.saturating_sub(self.at))
    }

    /// Whether the last failure is too long ago for a retry.
    pub(super) fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.end) > LONGEST
    }

    /// The pause before this request, in microseconds; `None` if it was sent before the last failure was known.
    pub(super) fn pause_before(&self, fact: &Fact) -> Option<i64> {
        fact.at.checked_sub(self.end).filter(|pause| *pause > 0 && fact.received > self.end)
    }

    /// Adds a failure.
    pub(super) fn add(&mut self, fact: &Fact) {
        if let Some(pause) = self.pause_before(fact).filter(|_| !self.has_retry_after) {
            self.short += u32::from(pause < SHORT);
            if self.pauses.len() == MOST {
                self.pauses.remove(0);
            }
            self.pauses.push(pause);
        }
        self.last = (fact.id, fact.recorded_at());
        self.intent = fact.intent;
        self.at = fact.at;
        self.end = self.end.max(fact.end);
        self.has_retry_after = fact.retry_after.is_some();
    }

    pub(super) fn pauses(&self) -> Pauses {
        let count = self.pauses.len();
        if count < 2 {
            return Pauses::TooFew;
        }
        let mean = |pauses: &[i64]| pauses.iter().sum::<i64>() / i64::try_from(pauses.len().max(1)).unwrap_or(1);
        let (least, most) =
            self.pauses.iter().fold((i64::MAX, 0), |(least, most), own| (*own.min(&least), *own.max(&most)));
        // With jitter one pause may be shorter than the one before, so compare halves.
        let half = count / 2;
        let (first, latest) = (mean(&self.pauses[..half]), mean(&self.pauses[count - half..]));
        if self.short >= SHORT_COUNT {
            Pauses::None
        } else if least >= LONG {
            Pauses::Growing
        } else if count >= 3 && most - least <= mean(&self.pauses) / 10 {
            Pauses::Fixed(mean(&self.pauses))
        } else if latest < first + first / 10 {
            Pauses::NotGrowing
        } else {
            Pauses::Growing
        }
    }
}
