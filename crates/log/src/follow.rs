//! Exchanges as they are recorded.

use std::{pin::Pin, sync::Arc};

use nightaudit_exchange::{Exchange, ExchangeId};

use crate::Position;

/// Where a [`Follow`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowFrom {
    /// With what is recorded from now on.
    Now,
    /// With the last so many that match.
    Last(usize),
    /// With what was recorded after this exchange; with what is recorded from now on, if it isn't there.
    After(ExchangeId),
    /// With what was recorded after this place.
    Position(Position),
}

/// Something for a follower.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Followed {
    /// An exchange that matches.
    Exchange(Arc<Exchange>),
    /// So many exchanges, matching or not, were deleted or damaged before the follower had read them.
    Missed(u64),
}

/// A future that a caller holds without knowing its type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Yields what matches in the order in which it is recorded, and waits for more.
///
/// A follower that falls behind never slows the log, and holds a bounded number of exchanges.
pub trait Follow: Send {
    /// Waits for the next exchange; none when the log is closed and all was read.
    ///
    /// Nothing is lost if the future is dropped before it is ready. It must be polled within a tokio runtime.
    fn next(&mut self) -> BoxFuture<'_, Option<Followed>>;

    /// The place up to which everything that matches was yielded, from which a later follower goes on; none while
    /// something that was read waits to be yielded.
    fn position(&self) -> Option<Position>;
}
