//! Following exchanges as they are recorded.

use std::{collections::VecDeque, sync::Arc};

use nightaudit_exchange::{Filter, SessionId};
use nightaudit_log::{FollowFrom, Followed, Order, Position, Query, ReadError};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    query::Exchanges,
    ring::{self, After, Last},
    shared::Shared,
};

/// Maximum number of exchanges read from disk at a time.
const PAGE: usize = 64;
/// The size at which a page ends, in bytes: there may be many followers with one each.
const PAGE_BYTES: usize = 256 << 10;

/// Yields exchanges in recording order, from memory or, when it has fallen behind, from disk.
///
/// A follower holds at most one page of exchanges, however far behind it is, and never slows the log.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    filter: Filter,
    session: Option<SessionId>,
    unwanted: Option<SessionId>,
    last: watch::Receiver<Last>,
    position: Option<Position>,
    /// The number of exchanges recorded from opening the log to `position`, if known.
    count: Option<u64>,
    ready: VecDeque<Followed>,
    reading: Option<JoinHandle<Page>>,
}

/// A page read from disk.
#[derive(Debug)]
struct Page {
    found: VecDeque<Followed>,
    position: Option<Position>,
    count: Option<u64>,
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, filter: Filter, from: FollowFrom) -> Result<Self, ReadError> {
        let resolve = |which: Option<&str>| which.map(|which| shared.resolve(which)).transpose();
        let (session, unwanted) = (resolve(filter.session.as_deref())?, resolve(filter.except_session())?);
        let last = shared.ring.subscribe();
        let now = *last.borrow();
        let mut follower = Self {
            shared,
            filter,
            session,
            unwanted,
            last,
            position: now.position,
            count: Some(now.count),
            ready: VecDeque::new(),
            reading: None,
        };
        match from {
            FollowFrom::Now | FollowFrom::Last(0) => {}
            FollowFrom::Last(n) => {
                let query =
                    Query { filter: follower.filter.clone(), order: Order::Newest, limit: Some(n), after: None };
                let mut newest = Exchanges::new(&follower.shared, query)?;
                // Only their positions are kept: thousands of bodies would not fit in memory.
                newest.by_ref().for_each(drop);
                if let Some(first) = newest.last_position() {
                    follower.go_to(Some(first.before()));
                }
            }
            FollowFrom::After(id) => {
                if let Some(position) = follower.shared.position_of(id)? {
                    follower.go_to(Some(position));
                }
            }
            FollowFrom::Position(position) => follower.go_to(Some(position)),
        }
        Ok(follower)
    }

    fn go_to(&mut self, position: Option<Position>) {
        (self.position, self.count) = (position, None);
    }

    /// The position up to which everything that matches was yielded, for a later follower to resume from; `None` while
    /// exchanges already read are still to be yielded.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.ready.is_empty().then(|| self.position.unwrap_or(Position::START))
    }

    /// Waits for the next exchange; `None` once the log is closed and everything was yielded.
    ///
    /// Cancel-safe. Must be polled within a tokio runtime.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(followed) = self.ready.pop_front() {
                return Some(followed);
            }
            if let Some(reading) = &mut self.reading {
                let page = reading.await;
                self.reading = None;
                // An error means the runtime is shutting down.
                let page = page.ok()?;
                (self.ready, self.position, self.count) = (page.found, page.position, page.count);
                continue;
            }
            let last = *self.last.borrow_and_update();
            match self.shared.ring.after(self.position) {
                After::Next(position, count, exchange) => {
                    // Counts in memory are consecutive; exchanges in a gap were deleted before they were read.
                    let missed = self.count.map_or(0, |known| count.saturating_sub(known + 1));
                    (self.position, self.count) = (Some(position), Some(count));
                    let here = self.session.is_none_or(|session| session == exchange.session)
                        && self.unwanted != Some(exchange.session);
                    if here && self.filter.matches(&exchange) {
                        self.ready.push_back(Followed::Exchange(exchange));
                    }
                    if missed > 0 {
                        return Some(Followed::Missed(missed));
                    }
                }
                After::Gone => {
                    let (shared, filter, position, count) =
                        (Arc::clone(&self.shared), self.filter.clone(), self.position, self.count);
                    self.reading =
                        Some(tokio::task::spawn_blocking(move || read(&shared, filter, position, count, last)));
                }
                After::Nothing if last.closed => return None,
                After::Nothing => self.last.changed().await.ok()?,
            }
        }
    }
}

/// Reads a page of exchanges after `position`, up to `last`.
fn read(shared: &Arc<Shared>, filter: Filter, position: Option<Position>, count: Option<u64>, last: Last) -> Page {
    let mut found = VecDeque::new();
    let query = Query { filter, order: Order::Oldest, after: position, limit: None };
    let mut reached = last.position;
    let mut bytes = 0;
    let mut damaged = 0;
    // If the followed session was deleted, there is nothing more.
    if let Ok(mut exchanges) = Exchanges::new(shared, query) {
        while let Some(exchange) = exchanges.next() {
            if exchanges.last_position() > last.position {
                break;
            }
            match exchange {
                Ok(exchange) => {
                    bytes += ring::size(&exchange);
                    found.push_back(Followed::Exchange(Arc::new(exchange)));
                }
                Err(_) => damaged += 1,
            }
            if found.len() >= PAGE || bytes >= PAGE_BYTES {
                reached = exchanges.last_position();
                break;
            }
        }
    }
    let there = shared.rows_between(position, reached);
    let count = match (count, reached == last.position) {
        (Some(count), true) => {
            damaged += (last.count - count).saturating_sub(there);
            Some(last.count)
        }
        (Some(count), false) => Some(count + there),
        (None, true) => Some(last.count),
        (None, false) => None,
    };
    if damaged > 0 {
        found.push_back(Followed::Missed(damaged));
    }
    Page { found, position: reached, count }
}
