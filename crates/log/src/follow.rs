//! Following exchanges as they are recorded.

use std::{pin::Pin, sync::Arc};

use nightaudit_exchange::{Exchange, ExchangeId};

use crate::Position;

/// Where a [`Follow`] starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowFrom {
    /// At the next exchange recorded.
    Now,
    /// With the last n that match.
    Last(usize),
    /// After this exchange. If it isn't in the log, because it was deleted, a log goes on where it was if it can tell,
    /// else at the next exchange recorded.
    After(ExchangeId),
    /// After this position.
    Position(Position),
}

/// What a follower yields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Followed {
    /// An exchange that matches.
    Exchange(Arc<Exchange>),
    /// This many exchanges, matching or not, were deleted or damaged before the follower read them.
    Missed(u64),
}

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Yields matching exchanges in the order in which they are recorded, and waits for more.
///
/// A follower that falls behind never slows the log, and holds a bounded number of exchanges.
pub trait Follow: Send {
    /// Waits for the next exchange; `None` once the log is closed and everything was yielded.
    ///
    /// Cancel-safe. Must be polled within a tokio runtime.
    fn next(&mut self) -> BoxFuture<'_, Option<Followed>>;

    /// The position up to which everything that matches was yielded, for a later follower to resume from; `None` while
    /// that isn't known.
    fn position(&self) -> Option<Position>;
}
