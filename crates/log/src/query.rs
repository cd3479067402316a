//! Which exchanges are asked for, and how they come.

use std::{fmt, str::FromStr};

use nightaudit_exchange::{Exchange, Filter, SessionId};

use crate::ReadError;

/// Which exchanges, in which order, from where, and how many.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// Only those that come after this one in that order.
    pub after: Option<Position>,
    /// At most so many; none for all.
    pub limit: Option<usize>,
}

/// The order of a query's exchanges: that in which they were recorded, of all sessions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The first recorded first.
    #[default]
    Oldest,
    /// The last recorded first.
    Newest,
}

/// A place between two exchanges of the log, from which a query can go on in either order.
///
/// It is text to those who carry it around: written with `Display`, read with `FromStr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The stamp under which it was recorded: it never goes back, whatever the clock does.
    pub written: u64,
    /// The session of the exchange before.
    pub session: SessionId,
    /// Its sequence number.
    pub sequence: u64,
}

impl Position {
    /// Before the first exchange of the log.
    pub const START: Self = Self { written: 0, session: SessionId::from_parts(0, 0), sequence: 0 };

    /// The place right before the exchange after which this one stands.
    #[must_use]
    pub fn before(self) -> Self {
        Self { sequence: self.sequence.saturating_sub(1), ..self }
    }
}

/// A text that is no [`Position`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a place in the log: use what an earlier answer gave")]
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

/// The exchanges of a [`Query`], read as they are asked for.
///
/// An exchange that can't be read is an error in its place, and the next one follows.
pub trait Exchanges: Iterator<Item = Result<Exchange, ReadError>> + Send {
    /// The place after the exchange that came last, from which another query goes on; none before the first.
    fn last_position(&self) -> Option<Position>;
}
