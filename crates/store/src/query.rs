//! Queries.

mod cursor;
mod fetch;
mod read_ahead;

use std::{collections::VecDeque, sync::Arc};

use nightaudit_exchange::{Exchange, Filter, SessionId};
use nightaudit_log::{Order, Position, Query, ReadError};

use self::cursor::{Cursor, Hit};
pub(crate) use self::fetch::Fetch;
use crate::{row_filter::RowFilter, shared::Shared};

/// Maximum number of rows read ahead of the blocks.
const MAX_LOOKAHEAD: usize = 4096;

/// The exchanges of a [`Query`], read lazily.
///
/// A few unpacked blocks are in memory at a time, however many exchanges there are. Exchanges recorded after the query
/// started are not included. An unreadable exchange is an error in its position; the iteration continues after it.
#[derive(Debug)]
pub struct Exchanges {
    filter: Filter,
    rows: RowFilter,
    order: Order,
    left: usize,
    /// Sessions not started, the next one last, each with its first stamp.
    waiting: Vec<(u64, Cursor)>,
    active: Vec<(Cursor, Hit)>,
    failed: Vec<ReadError>,
    /// Rows found but not read yet.
    upcoming: VecDeque<Result<Hit, ReadError>>,
    fetch: Fetch,
    position: Option<Position>,
}

impl Exchanges {
    pub(crate) fn new(shared: &Arc<Shared>, query: Query) -> Result<Self, ReadError> {
        let resolve = |which: Option<&str>| which.map(|which| shared.resolve(which)).transpose();
        let (session, unwanted) = (resolve(query.filter.session.as_deref())?, resolve(query.filter.except_session())?);
        Ok(Self::within(shared, query, |id| session.is_none_or(|session| session == id) && unwanted != Some(id)))
    }

    /// As [`new`](Self::new), in these sessions instead of the one that the filter names.
    pub(crate) fn within(shared: &Arc<Shared>, query: Query, is_wanted: impl Fn(SessionId) -> bool) -> Self {
        let Query { filter, order, after, limit } = query;
        let mut found = Vec::new();
        for (id, listing) in shared.index.listings().iter() {
            let Some((first, last)) = listing.written() else { continue };
            let beyond = match order {
                Order::Oldest => after.is_some_and(|after| last < after.written),
                Order::Newest => after.is_some_and(|after| first > after.written),
            };
            if !is_wanted(*id) || beyond {
                continue;
            }
            let from = if order == Order::Oldest { first } else { last };
            found.push((from, *id, listing.parts.clone()));
        }
        let cursor = |(from, id, parts)| (from, Cursor::new(id, parts, order, after));
        let mut waiting: Vec<_> = found.into_iter().map(cursor).collect();
        waiting.sort_by_key(|(from, cursor)| (*from, cursor.session()));
        if order == Order::Oldest {
            waiting.reverse();
        }
        let rows = RowFilter::new(&filter);
        let left = limit.unwrap_or(usize::MAX);
        let (active, failed, upcoming) = (Vec::new(), Vec::new(), VecDeque::new());
        let fetch = Fetch::new(Arc::clone(shared));
        Self { filter, rows, order, left, waiting, active, failed, upcoming, fetch, position: None }
    }

    /// The position after the last exchange yielded; `None` before the first.
    #[must_use]
    pub fn last_position(&self) -> Option<Position> {
        self.position
    }

    /// The next row that the index matches.
    fn hit(&mut self) -> Option<Hit> {
        loop {
            let next = match self.order {
                Order::Oldest => self.active.iter().enumerate().min_by_key(|(_, (_, hit))| hit.position),
                Order::Newest => self.active.iter().enumerate().max_by_key(|(_, (_, hit))| hit.position),
            };
            let next = next.map(|(index, (_, hit))| (index, hit.position.written));
            let due = match (self.waiting.last(), next) {
                (Some((from, _)), Some((_, written))) => match self.order {
                    Order::Oldest => *from <= written,
                    Order::Newest => *from >= written,
                },
                (Some(_), None) => true,
                (None, _) => false,
            };
            if due {
                let Some((_, mut cursor)) = self.waiting.pop() else { continue };
                if let Some(hit) = self.advance(&mut cursor) {
                    self.active.push((cursor, hit));
                }
                continue;
            }
            let (index, _) = next?;
            let (mut cursor, hit) = self.active.swap_remove(index);
            if let Some(following) = self.advance(&mut cursor) {
                self.active.push((cursor, following));
            }
            return Some(hit);
        }
    }

    /// Finds the next row, and enough further ones to know the next blocks.
    fn look_ahead(&mut self) {
        while self.upcoming.is_empty() || (self.fetch.is_idle() && self.upcoming.len() < self.left.min(MAX_LOOKAHEAD)) {
            let hit = self.hit();
            let found = !self.failed.is_empty() || hit.is_some();
            self.upcoming.extend(self.failed.drain(..).map(Err));
            if let Some(hit) = hit {
                self.fetch.prepare(hit.position.session, hit.at);
                self.upcoming.push_back(Ok(hit));
            }
            if !found {
                break;
            }
        }
    }

    fn advance(&mut self, cursor: &mut Cursor) -> Option<Hit> {
        cursor.next(&self.fetch.shared().index, &mut self.rows, &mut self.failed)
    }

    /// The same, with rows decided by another filter.
    pub(crate) fn by_index(mut self, rows: RowFilter) -> Self {
        self.rows = rows;
        self
    }

    /// The positions of the rows that the index matches.
    pub(crate) fn positions(mut self) -> impl Iterator<Item = Position> {
        std::iter::from_fn(move || self.hit().map(|hit| hit.position))
    }

    /// Counts the matches, from the index alone if that is exact.
    pub(crate) fn count(mut self) -> Result<u64, ReadError> {
        let mut count = 0;
        if self.rows.is_exact() {
            while self.hit().is_some() {
                count += 1;
            }
            return self.failed.pop().map_or(Ok(count), Err);
        }
        for exchange in self {
            exchange?;
            count += 1;
        }
        Ok(count)
    }
}

impl Iterator for Exchanges {
    type Item = Result<Exchange, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            self.look_ahead();
            let hit = match self.upcoming.pop_front()? {
                Ok(hit) => hit,
                Err(error) => return Some(Err(error)),
            };
            self.position = Some(hit.position);
            match self.fetch.exchange(hit.position.session, hit.position.sequence, hit.at) {
                Ok(Some(exchange)) if self.rows.is_exact() || self.filter.matches(&exchange) => {
                    self.left -= 1;
                    return Some(Ok(exchange));
                }
                // It doesn't match, or its session was deleted meanwhile.
                Ok(_) => {}
                Err(error) => {
                    let Hit { position: Position { session, sequence, .. }, .. } = hit;
                    return Some(Err(ReadError::Exchange { session, sequence, source: Box::new(error) }));
                }
            }
        }
        None
    }
}
