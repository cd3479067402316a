//! The results of a query, page by page.

use std::{collections::VecDeque, sync::Arc};

use nightaudit_exchange::{Exchange, Filter, SessionId};
use nightaudit_log::{Damage, Exchanges, Order, Position, ReadError};
use tokio_postgres::Row;

use crate::{
    condition::{Chains, Condition, bytes},
    connection::Param,
    error::Error,
    pool::{Pool, unavailable},
    record,
};

/// The rows of a first page whose reader names no limit: it may want only a few.
const FIRST: usize = 100;
/// The most rows of a page.
const MOST: usize = 2_000;
/// The bytes of records above which a page ends.
const PAGE_BYTES: i64 = 2 << 20;

/// What a page is read by.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    pub(crate) chains: Chains,
    pub(crate) order: Order,
}

/// Matching exchanges, read ahead by one page.
pub(crate) struct Pages {
    pool: Arc<Pool>,
    wanted: Wanted,
    /// What is left to be yielded; `None` for all.
    left: Option<usize>,
    /// Where the last page that was asked for ends.
    reached: Option<Position>,
    position: Option<Position>,
    ready: VecDeque<Row>,
    next: Option<std::sync::mpsc::Receiver<Result<Page, Error>>>,
    /// Rows of the next page.
    size: usize,
    done: bool,
}

/// Rows, and whether there may be more.
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    pub(crate) is_last: bool,
}

impl Pages {
    pub(crate) fn new(pool: Arc<Pool>, wanted: Wanted, after: Option<Position>, limit: Option<usize>) -> Self {
        let size = limit.unwrap_or(FIRST).clamp(1, MOST);
        let done = limit == Some(0);
        let mut pages = Self {
            pool,
            wanted,
            left: limit,
            reached: after,
            position: None,
            ready: VecDeque::new(),
            next: None,
            size,
            done,
        };
        pages.ask();
        pages
    }

    /// Asks for the next page.
    fn ask(&mut self) {
        if self.done {
            return;
        }
        let (sender, next) = std::sync::mpsc::sync_channel(1);
        let (pool, wanted, reached, size) = (Arc::clone(&self.pool), self.wanted.clone(), self.reached, self.size);
        self.pool.handle().spawn(async move {
            let _ = sender.send(read(&pool, &wanted, reached, size).await);
        });
        self.next = Some(next);
    }

    /// Takes the page that was asked for, and asks for the one after it.
    fn turn(&mut self) -> Result<bool, Error> {
        let Some(next) = self.next.take() else { return Ok(false) };
        let closed =
            || Error::Unreachable { address: self.pool.address.to_string(), cause: "it was closed".to_owned() };
        let page = next.recv().map_err(|_| closed())?;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.done = true;
                return Err(error);
            }
        };
        self.done = page.is_last;
        if let Some(last) = page.rows.last() {
            self.reached = Some(position(last));
        }
        self.ready = page.rows.into();
        self.size = (self.size * 4).min(MOST);
        // With bodies to search, how many rows a limit takes isn't known.
        if self.left.is_none_or(|left| left > self.ready.len() || self.wanted.filter.needs_body()) {
            self.ask();
        }
        Ok(true)
    }
}

impl Iterator for Pages {
    type Item = Result<Exchange, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.left == Some(0) {
                return None;
            }
            let Some(row) = self.ready.pop_front() else {
                match self.turn() {
                    Ok(true) => continue,
                    Ok(false) if self.done => return None,
                    Ok(false) => {
                        self.ask();
                        continue;
                    }
                    Err(error) => return Some(Err(unavailable(error))),
                }
            };
            self.position = Some(position(&row));
            let exchange = exchange(&row);
            if exchange
                .as_ref()
                .is_ok_and(|exchange| self.wanted.filter.needs_body() && !self.wanted.filter.matches(exchange))
            {
                continue;
            }
            self.left = self.left.map(|left| left - 1);
            return Some(exchange);
        }
    }
}

impl Exchanges for Pages {
    fn last_position(&self) -> Option<Position> {
        self.position
    }
}

/// Columns of a page's rows.
const COLUMNS: &str = "written, session, sequence, hash, record";

/// Reads a page of at most so many rows.
pub(crate) async fn read(pool: &Pool, wanted: &Wanted, after: Option<Position>, size: usize) -> Result<Page, Error> {
    let (sql, params) = statement(wanted, after, size);
    let rows = pool.read(&sql, &params).await?;
    // Fewer rows than asked for were found, and all that were found are here.
    let found: i64 = rows.first().map_or(0, |row| row.get("found"));
    let is_last = found < i64::try_from(size).unwrap_or(i64::MAX) && found == i64::try_from(rows.len()).unwrap_or(0);
    Ok(Page { rows, is_last })
}

fn statement(wanted: &Wanted, after: Option<Position>, size: usize) -> (String, Vec<Param>) {
    let newest_first = wanted.order == Order::Newest;
    let direction = if newest_first { "DESC" } else { "ASC" };
    let mut condition = Condition::of(&wanted.filter, &wanted.chains.except);
    if let Some(after) = after {
        condition.beyond(after, newest_first);
    }
    let order = format!("written {direction}, session {direction}, sequence {direction}");
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let inner = match wanted.chains.only.as_deref() {
        None => {
            let (wanted, size) = (condition.sql(), condition.param(size));
            format!("SELECT {COLUMNS}, size FROM nightaudit.exchanges WHERE {wanted} ORDER BY {order} LIMIT {size}")
        }
        // The first of each chain, which its index has in order, and the first of those.
        Some(only) => {
            let (wanted, size, only) = (condition.sql(), condition.param(size), condition.param(bytes(only)));
            format!(
                "SELECT {COLUMNS}, size FROM unnest({only}::bytea[]) AS chain (id), LATERAL (\
                 SELECT {COLUMNS}, size FROM nightaudit.exchanges WHERE session = chain.id AND {wanted} \
                 ORDER BY written {direction}, sequence {direction} LIMIT {size}) AS of_chain ORDER BY {order} LIMIT {size}"
            )
        }
    };
    let bytes = condition.param(PAGE_BYTES);
    let sql = format!(
        "SELECT {COLUMNS}, found FROM (SELECT {COLUMNS}, count(*) OVER () AS found, \
         sum(size) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - size AS before FROM ({inner}) AS page) AS bounded \
         WHERE before < {bytes} ORDER BY {order}"
    );
    (sql, condition.params)
}

/// A row's position.
pub(crate) fn position(row: &Row) -> Position {
    Position {
        written: u64::try_from(row.get::<_, i64>("written")).unwrap_or(0),
        session: session(row),
        sequence: u64::try_from(row.get::<_, i64>("sequence")).unwrap_or(0),
    }
}

/// A row's chain.
pub(crate) fn session(row: &Row) -> SessionId {
    SessionId::from_bytes(row.get::<_, &[u8]>("session").try_into().unwrap_or_default())
}

/// A row's exchange. A record whose hash isn't the one that was shipped is damaged.
pub(crate) fn exchange(row: &Row) -> Result<Exchange, ReadError> {
    let record: &[u8] = row.get("record");
    let found = record::decode(record).and_then(|exchange| match exchange.hash.map(|hash| hash.0) {
        Some(hash) if hash == row.get::<_, &[u8]>("hash") => Ok(exchange),
        _ => Err("its hash is not the one that its node recorded".to_owned()),
    });
    found.map_err(|what| {
        let Position { session, sequence, .. } = position(row);
        let damage = Damage { path: "exchanges".into(), offset: 0, what };
        ReadError::Exchange { session, sequence, source: Box::new(damage.into()) }
    })
}
