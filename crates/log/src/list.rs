//! Lists by position: what a scroll bar needs.

use nightaudit_exchange::Filter;

use crate::{Exchanges, Position, Query, ReadError};

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

/// Runs a query of the log.
pub(crate) type Run<'r> = &'r dyn Fn(Query) -> Result<Box<dyn Exchanges>, ReadError>;

/// Finds a place by reading every match.
pub(crate) fn seek(run: Run<'_>, filter: &Filter, start: Start, generation: u64) -> Result<Place, ReadError> {
    let query = || run(Query { filter: filter.clone(), ..Query::default() });
    let total = query()?.count() as u64;
    let from = start.of(total);
    let mut passed = query()?;
    for _ in 0..from {
        passed.next();
    }
    Ok(Place { total, from, after: passed.last_position(), generation })
}

/// The number of a match by reading those before it; `None` if no match is at this position.
pub(crate) fn rank(run: Run<'_>, filter: &Filter, position: Position) -> Result<Option<u64>, ReadError> {
    let mut matches = run(Query { filter: filter.clone(), ..Query::default() })?;
    let mut number = 0;
    while matches.next().is_some() {
        match matches.last_position() {
            Some(here) if here == position => return Ok(Some(number)),
            Some(here) if here > position => break,
            _ => number += 1,
        }
    }
    Ok(None)
}
