//! Following exchanges as they are recorded.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use nightaudit_exchange::{ExchangeId, Filter, SessionId};
use nightaudit_log::{FollowFrom, Followed, Order, Position, Query, ReadError};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    query::Exchanges,
    ring::{After, Last},
    shared::{Entry, Shared},
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
    session: Option<Named>,
    unwanted: Option<Named>,
    last: watch::Receiver<Last>,
    position: Option<Position>,
    /// The number of exchanges recorded from opening the log to `position`, if known.
    count: Option<u64>,
    ready: VecDeque<Ready>,
    /// The position of what was yielded last.
    yielded: Option<Position>,
    reading: Option<JoinHandle<Page>>,
}

/// What is to be yielded next, and the position up to which everything is yielded then.
type Ready = (Followed, Option<Position>);

/// A page read from disk.
#[derive(Debug)]
struct Page {
    found: VecDeque<Ready>,
    position: Option<Position>,
    count: Option<u64>,
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, filter: Filter, from: FollowFrom) -> Result<Self, ReadError> {
        let start = shared.start_of(from)?;
        let named = |which: Option<&str>| which.map(|which| Named::of(&shared, which, start)).transpose();
        let (session, unwanted) = (named(filter.session.as_deref())?, named(filter.except_session())?);
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
            yielded: None,
            reading: None,
        };
        match from {
            FollowFrom::Last(n) if n > 0 => {
                let query =
                    Query { filter: follower.filter.clone(), order: Order::Newest, limit: Some(n), after: None };
                let mut newest = Exchanges::new(&follower.shared, query)?;
                // Only their positions are kept: thousands of bodies would not fit in memory.
                newest.by_ref().for_each(drop);
                if let Some(first) = newest.last_position() {
                    follower.go_to(Some(first.before()));
                }
            }
            FollowFrom::After(_) | FollowFrom::Position(_) => follower.go_to(start),
            FollowFrom::Now | FollowFrom::Last(_) => {}
        }
        Ok(follower)
    }

    fn is_here(&self, session: SessionId) -> bool {
        let has = |named: &Named| named.has(&self.shared, session);
        self.session.as_ref().is_none_or(has) && !self.unwanted.as_ref().is_some_and(has)
    }

    fn go_to(&mut self, position: Option<Position>) {
        (self.position, self.count) = (position, None);
    }

    /// The position up to which everything that matches was yielded, for a later follower to resume from.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let position = if self.ready.is_empty() { self.position } else { self.yielded };
        Some(position.unwrap_or(Position::START))
    }

    /// Waits for the next exchange; `None` once the log is closed and everything was yielded.
    ///
    /// Cancel-safe. Must be polled within a tokio runtime.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some((followed, position)) = self.ready.pop_front() {
                self.yielded = position;
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
                    self.yielded = self.position;
                    (self.position, self.count) = (Some(position), Some(count));
                    if self.is_here(exchange.session) && self.filter.matches(&exchange) {
                        self.ready.push_back((Followed::Exchange(exchange), Some(position)));
                    }
                    if missed > 0 {
                        return Some(Followed::Missed(missed));
                    }
                }
                After::Gone => {
                    let (shared, filter, position, count) =
                        (Arc::clone(&self.shared), self.filter.clone(), self.position, self.count);
                    let named = (self.session.clone(), self.unwanted.clone());
                    self.reading = Some(tokio::task::spawn_blocking(move || {
                        read(&shared, filter, &named, (position, count), last)
                    }));
                }
                After::Nothing if last.closed => return None,
                After::Nothing => self.last.changed().await.ok()?,
            }
        }
    }
}

/// Reads a page of exchanges after a position, up to `last`: in the wanted sessions, not in the unwanted ones.
fn read(
    shared: &Arc<Shared>,
    filter: Filter,
    (wanted, unwanted): &(Option<Named>, Option<Named>),
    (position, count): (Option<Position>, Option<u64>),
    last: Last,
) -> Page {
    let of = |named: &Option<Named>| named.as_ref().map(|named| named.sessions(shared));
    let (wanted, unwanted) = (of(wanted), of(unwanted).unwrap_or_default());
    let is_wanted = |id| wanted.as_ref().is_none_or(|wanted| wanted.contains(&id)) && !unwanted.contains(&id);
    let mut found = VecDeque::new();
    let query = Query { filter, order: Order::Oldest, after: position, limit: None };
    let mut reached = last.position;
    let mut bytes = 0;
    let mut damaged = 0;
    let mut exchanges = Exchanges::within(shared, query, is_wanted);
    while let Some(exchange) = exchanges.next() {
        let at = exchanges.last_position();
        if at > last.position {
            break;
        }
        match exchange {
            Ok(exchange) => {
                bytes += exchange.memory();
                found.push_back((Followed::Exchange(Arc::new(exchange)), at));
            }
            Err(_) => damaged += 1,
        }
        if found.len() >= PAGE || bytes >= PAGE_BYTES {
            reached = at;
            break;
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
        found.push_back((Followed::Missed(damaged), reached));
    }
    Page { found, position: reached, count }
}

/// A session that a filter names, and those that have the name after it: tests end a session and go on with another of
/// the same name, and who follows the name wants to see that.
#[derive(Debug, Clone)]
struct Named {
    first: SessionId,
    /// `None` if the filter has its id.
    name: Option<String>,
}

impl Named {
    /// The session that this names, or named at this position.
    fn of(shared: &Shared, which: &str, at: Option<Position>) -> Result<Self, ReadError> {
        let first = shared.resolve(which)?;
        let name = shared.sessions().get(&first).map(|entry| entry.meta.name.clone());
        let name = name.filter(|name| *name == which || *name == shared.cleaned(which));
        let mut named = Self { first, name };
        if let Some(before) = at.and_then(|at| named.under_way(shared, at)) {
            named.first = before;
        }
        Ok(named)
    }

    /// The session of this name that was under way at this position.
    fn under_way(&self, shared: &Shared, at: Position) -> Option<SessionId> {
        let name = self.name.as_ref()?;
        let sessions = shared.sessions();
        let earlier = sessions.range(..self.first).rev().filter(|(_, entry)| entry.meta.name == *name);
        let listings = shared.index.listings();
        let is_under_way = |id: &SessionId| {
            let written = listings.get(id).and_then(|listing| listing.written());
            written.is_some_and(|(first, last)| first <= at.written && last >= at.written)
        };
        earlier.map(|(id, _)| *id).find(is_under_way)
    }

    fn has(&self, shared: &Shared, session: SessionId) -> bool {
        let is_later =
            || shared.sessions().get(&session).is_some_and(|entry| Some(&entry.meta.name) == self.name.as_ref());
        session == self.first || session > self.first && self.name.is_some() && is_later()
    }

    fn sessions(&self, shared: &Shared) -> BTreeSet<SessionId> {
        let sessions = shared.sessions();
        let has_name = |entry: &Entry| Some(&entry.meta.name) == self.name.as_ref();
        let is_of_it = |(id, entry): &(&SessionId, &Entry)| **id == self.first || has_name(entry);
        sessions.range(self.first..).filter(is_of_it).map(|(id, _)| *id).collect()
    }
}

impl Shared {
    /// The position where a follower is to start, if it is told one. An exchange that isn't in the log, because it was
    /// deleted, is followed by what was written since it was received: what a follower has seen already may come again,
    /// but nothing is passed over.
    fn start_of(&self, from: FollowFrom) -> Result<Option<Position>, ReadError> {
        Ok(match from {
            FollowFrom::Position(position) => Some(position),
            FollowFrom::After(id) => Some(self.position_of(id)?.unwrap_or_else(|| received(id))),
            FollowFrom::Now | FollowFrom::Last(_) => None,
        })
    }
}

/// The position right before what was written when an exchange of this id was received.
fn received(id: ExchangeId) -> Position {
    Position { written: id.milliseconds().saturating_mul(1000), ..Position::START }
}
