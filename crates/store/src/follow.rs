//! Exchanges as they are recorded.

use std::sync::Arc;

use nightaudit_exchange::{Exchange, ExchangeId};

/// Where a [`Follower`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With what is recorded from now on.
    Now,
    /// With the last so many that match.
    Last(usize),
    /// With what was recorded after this exchange; with what is recorded from now on, if it isn't there.
    After(ExchangeId),
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

/// Yields exchanges in the order in which they are recorded, from memory or, where it has fallen behind, from disk.
#[derive(Debug)]
pub struct Follower {}

impl Follower {
    /// Waits for the next exchange; none when the log is closed and all was read.
    ///
    /// Nothing is lost if the future is dropped before it is ready. It must be polled within a tokio runtime.
    pub async fn next(&mut self) -> Option<Followed> {
        None
    }
}
