//! Queries and their results.

use std::{fmt, str::FromStr};

use nightaudit_exchange::{Exchange, Filter, SessionId};

use crate::ReadError;

/// A query: which exchanges, in which order, from where, and how many.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which exchanges.
    pub filter: Filter,
    /// The order.
    pub order: Order,
    /// Only exchanges after this position, in that order.
    pub after: Option<Position>,
    /// The maximum number; `None` for all.
    pub limit: Option<usize>,
}

/// The order of a query's exchanges: by when they were recorded, across all sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Oldest,
    /// Newest first.
    Newest,
}

/// A position between two exchanges of the log, from which a query can continue in either order.
///
/// Opaque text to clients: written with `Display`, parsed with `FromStr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The stamp of the exchange before; monotonic, even if the clock isn't.
    pub written: u64,
    /// The session of the exchange before.
    pub session: SessionId,
    /// Its sequence number.
    pub sequence: u64,
}

impl Position {
    /// Before the first exchange of the log.
    pub const START: Self = Self { written: 0, session: SessionId::from_parts(0, 0), sequence: 0 };

    /// The position right before the exchange that this one follows.
    #[must_use]
    pub fn before(self) -> Self {
        Self { sequence: self.sequence.saturating_sub(1), ..self }
    }
}

/// Text that is not a [`Position`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position in the log: use one from an earlier response")]
pub struct InvalidPosition(String);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}.{:x}", self.written, self.session, self.sequence)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPosition(text.to_owned());
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(invalid);
        Ok(Self {
            written: u64::from_str_radix(part()?, 16).map_err(|_| invalid())?,
            session: part()?.parse().map_err(|_| invalid())?,
            sequence: u64::from_str_radix(part()?, 16).map_err(|_| invalid())?,
        })
    }
}

/// The exchanges of a [`Query`], read lazily.
///
/// An unreadable exchange is an error in its position; the iteration continues after it.
pub trait Exchanges: Iterator<Item = Result<Exchange, ReadError>> + Send {
    /// The position after the last exchange yielded, for another query to continue from; `None` before the first.
    fn last_position(&self) -> Option<Position>;
}
