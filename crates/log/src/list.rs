//! Lists by position: what a scroll bar needs.

use crate::Position;

/// The first exchange of a part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The match with this number, counted from 0, oldest first.
    At(u64),
    /// The first of this many of the newest matches.
    Newest(u64),
}

impl Start {
    /// Its number among `total` matches; `total` itself beyond the last one.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::At(number) => number.min(total),
            Self::Newest(count) => total.saturating_sub(count),
        }
    }
}

/// A place among the matches of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of matches.
    pub total: u64,
    /// The number of the match at this place, counted from 0, oldest first.
    pub from: u64,
    /// The position right before it, from which a query continues; `None` before the first match.
    pub after: Option<Position>,
    /// Changes when earlier numbers no longer name the same exchanges.
    pub generation: u64,
}
