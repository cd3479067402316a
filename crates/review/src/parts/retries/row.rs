//! A row of failures of the same request, and the pauses between them.

use super::{Seen, TallyKey};
use crate::{fact::Fact, intent::Intent};

/// Pauses that are shorter than this are none, in microseconds.
const SHORT: i64 = 1_000_000;

/// How many of them make hammering.
const SHORT_COUNT: u32 = 5;

/// Pauses of a minute and more need grow no further: this is where back-off may end.
const LONG: i64 = 60_000_000;

/// After this long it is no retry any more, but the next time, in microseconds: 30 minutes.
const LONGEST: i64 = 1_800_000_000;

/// The most pauses of a row that are kept; of a longer row the last ones.
const MOST: usize = 32;

/// Failures of the same request, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Whose refusal it began with.
    pub(super) key: TallyKey,
    pub(super) last: Seen,
    /// What was asked the last time, and when.
    intent: Intent,
    cursor: u64,
    at: i64,
    /// When the integration had the last failure.
    end: i64,
    /// Whether the last failure said when to come back, so that the pause after it is not the integration's choice.
    told: bool,
    short: u32,
    pauses: Vec<i64>,
}

/// How the pauses of a row were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauses {
    /// There are less than two.
    TooFew,
    /// They grew, or are so long that they need not.
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
            intent: fact.intent,
            cursor: fact.cursor,
            at: fact.at,
            end: fact.end,
            told: fact.retry_after.is_some(),
            short: 0,
            pauses: Vec::new(),
        }
    }

    /// Whether this request is the row's again: the same one, or one that has changed a little.
    pub(super) fn is_again(&self, fact: &Fact) -> bool {
        self.cursor == fact.cursor && fact.intent.repeats(&self.intent, fact.at.saturating_sub(self.at))
    }

    /// Whether the last failure is so long ago that what comes now is no retry of it.
    pub(super) fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.end) > LONGEST
    }

    /// The pause before this request, in microseconds; none where it was under way before the last failure was known.
    pub(super) fn pause_before(&self, fact: &Fact) -> Option<i64> {
        fact.at.checked_sub(self.end).filter(|pause| *pause > 0 && fact.came > self.end)
    }

    /// Adds a failure.
    pub(super) fn add(&mut self, fact: &Fact) {
        if let Some(pause) = self.pause_before(fact).filter(|_| !self.told) {
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
        self.told = fact.retry_after.is_some();
    }

    pub(super) fn pauses(&self) -> Pauses {
        let count = self.pauses.len();
        if count < 2 {
            return Pauses::TooFew;
        }
        let mean = |pauses: &[i64]| pauses.iter().sum::<i64>() / i64::try_from(pauses.len().max(1)).unwrap_or(1);
        let (least, most) =
            self.pauses.iter().fold((i64::MAX, 0), |(least, most), own| (*own.min(&least), *own.max(&most)));
        // Chance is a part of back-off, so that one pause may be shorter than the one before: halves are compared.
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
