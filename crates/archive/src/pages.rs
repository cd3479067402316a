//! The results of a query, page by page.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
    thread,
};

use nightaudit_exchange::{Exchange, Filter, SessionId};
use nightaudit_log::{Damage, Exchanges, Order, Position, ReadError};
use tokio_postgres::Row;

use crate::{
    condition::{Chains, Condition, bytes as bytes_of},
    connection::Param,
    error::Error,
    pool::{Pool, unavailable},
    record::{self, Decoder},
};

/// The rows of a first page whose reader names no limit: it may want only a few.
const FIRST: usize = 100;
/// The most rows of a page.
const MOST: usize = 2_000;
/// The bytes of records above which a page ends.
const PAGE_BYTES: i64 = 2 << 20;
/// The most rows that are decoded at once by another thread, and the most bytes that they unpack to.
const PART: usize = 128;
const PART_BYTES: usize = 512 << 10;
/// The most threads that decode for one reader.
const MOST_DECODING: usize = 4;

/// What a page is read by.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    pub(crate) chains: Chains,
    pub(crate) order: Order,
}

/// Matching exchanges, read ahead by one page, of which a few small parts are decoded ahead.
pub(crate) struct Pages {
    pool: Arc<Pool>,
    wanted: Wanted,
    /// What is left to be yielded; `None` for all.
    left: Option<usize>,
    /// Where the last page that was asked for ends.
    reached: Option<Position>,
    position: Option<Position>,
    /// Rows that were read and that nobody decodes yet.
    rows: VecDeque<Row>,
    /// What is decoded ahead, in order.
    ahead: VecDeque<Ahead>,
    /// What is decoded.
    ready: VecDeque<Decoded>,
    decoder: Decoder,
    next: Option<mpsc::Receiver<Result<Page, Error>>>,
    /// Rows of the next page.
    size: usize,
    done: bool,
}

/// An exchange, or why it can't be read, and where.
type Decoded = (Position, Result<Exchange, ReadError>);

/// A part of what comes next.
enum Ahead {
    /// Another thread decodes it.
    Decoding(mpsc::Receiver<Vec<Decoded>>),
    /// It unpacks to so much that there is only one of it at a time, or is alone.
    Row(Row),
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
            rows: VecDeque::new(),
            ahead: VecDeque::new(),
            ready: VecDeque::new(),
            decoder: Decoder::default(),
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
        let (sender, next) = mpsc::sync_channel(1);
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
        self.rows = page.rows.into();
        self.size = (self.size * 4).min(MOST);
        // With bodies to search, how many rows a limit takes isn't known.
        if self.left.is_none_or(|left| left > self.rows.len() || self.wanted.filter.needs_body()) {
            self.ask();
        }
        Ok(true)
    }

    /// Has other threads decode what comes next.
    fn decode_ahead(&mut self) {
        let most = thread::available_parallelism().map_or(1, usize::from).min(MOST_DECODING);
        while self.ahead.len() < most && !self.rows.is_empty() {
            let mut bytes = 0;
            let fits = |row: &&Row| {
                bytes += record::unpacked_length(row.get("record"));
                bytes <= PART_BYTES
            };
            let count = self.rows.iter().take(PART).take_while(fits).count();
            let part = match count {
                0 | 1 => self.rows.pop_front().map(Ahead::Row),
                _ => {
                    let rows: Vec<Row> = self.rows.drain(..count).collect();
                    let (sender, decoded) = mpsc::sync_channel(1);
                    self.pool.handle().spawn_blocking(move || {
                        let mut decoder = Decoder::default();
                        let decode = |row: &Row| (position(row), exchange_by(&mut decoder, row));
                        let _ = sender.send(rows.iter().map(decode).collect());
                    });
                    Some(Ahead::Decoding(decoded))
                }
            };
            self.ahead.extend(part);
        }
    }

    /// The next row's exchange, whether it matches or not.
    fn next_row(&mut self) -> Option<Result<Decoded, ReadError>> {
        loop {
            if let Some(decoded) = self.ready.pop_front() {
                return Some(Ok(decoded));
            }
            self.decode_ahead();
            match self.ahead.pop_front() {
                Some(Ahead::Row(row)) => return Some(Ok((position(&row), exchange_by(&mut self.decoder, &row)))),
                Some(Ahead::Decoding(decoded)) => match decoded.recv() {
                    Ok(decoded) => {
                        self.ready = decoded.into();
                        // While these are taken, those after them are decoded.
                        self.decode_ahead();
                    }
                    Err(_) => {
                        (self.done, self.next) = (true, None);
                        let cause = "it was closed".to_owned();
                        let error = Error::Unreachable { address: self.pool.address.to_string(), cause };
                        return Some(Err(unavailable(error)));
                    }
                },
                None => match self.turn() {
                    Ok(true) => {}
                    Ok(false) if self.done => return None,
                    Ok(false) => self.ask(),
                    Err(error) => return Some(Err(unavailable(error))),
                },
            }
        }
    }
}

impl Iterator for Pages {
    type Item = Result<Exchange, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.left == Some(0) {
                return None;
            }
            let (position, exchange) = match self.next_row()? {
                Ok(decoded) => decoded,
                Err(error) => return Some(Err(error)),
            };
            self.position = Some(position);
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
/// What tells which rows those are.
const KEYS: &str = "written, session, sequence, size";

/// Reads a page of at most so many rows.
pub(crate) async fn read(pool: &Pool, wanted: &Wanted, after: Option<Position>, size: usize) -> Result<Page, Error> {
    let (sql, params) = statement(wanted, after, size);
    let rows = pool.read(&sql, &params).await?;
    // Fewer rows than asked for were found, and all that were found are here.
    let found: i64 = rows.first().map_or(0, |row| row.get("found"));
    let is_last = found < i64::try_from(size).unwrap_or(i64::MAX) && found == i64::try_from(rows.len()).unwrap_or(0);
    Ok(Page { rows, is_last })
}

/// Bytes of records are added up over keys and sizes alone: to carry the records through that costs several times as much
/// as to read them.
fn statement(wanted: &Wanted, after: Option<Position>, size: usize) -> (String, Vec<Param>) {
    let newest_first = wanted.order == Order::Newest;
    let direction = if newest_first { "DESC" } else { "ASC" };
    let mut condition = Condition::of(&wanted.filter, &wanted.chains.except);
    if let Some(after) = after {
        condition.beyond(after, newest_first);
    }
    if let Some([only]) = wanted.chains.only.as_deref() {
        let only = condition.param(only.to_bytes().to_vec());
        condition.push(format!("session = {only}"));
    }
    let order = format!("written {direction}, session {direction}, sequence {direction}");
    let here = condition.sql();
    let size = condition.param(i64::try_from(size).unwrap_or(i64::MAX));
    let bytes = condition.param(PAGE_BYTES);
    let measured = format!(
        "count(*) OVER () AS found, sum(size) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - size AS before"
    );
    let sql = match wanted.chains.only.as_deref() {
        None | Some([_]) => {
            let rows = |columns: &str| {
                format!("SELECT {columns} FROM nightaudit.exchanges WHERE {here} ORDER BY {order} LIMIT {size}")
            };
            format!(
                "WITH page AS MATERIALIZED (SELECT max(found) AS found, count(*) FILTER (WHERE before < {bytes}) AS fits \
                 FROM (SELECT {measured} FROM ({keys}) AS keys) AS measured) \
                 SELECT {COLUMNS}, (SELECT found FROM page) AS found FROM ({records}) AS records \
                 ORDER BY {order} LIMIT (SELECT fits FROM page)",
                keys = rows(KEYS),
                records = rows(COLUMNS)
            )
        }
        // The first of each chain, which its index has in order, and the first of those. Then what is up to the last of
        // them.
        Some(only) => {
            let only = condition.param(bytes_of(only));
            let edge = if newest_first { ">=" } else { "<=" };
            let reversed = if newest_first { "ASC" } else { "DESC" };
            let rows = |columns: &str, up_to: &str| {
                format!(
                    "SELECT {columns} FROM unnest({only}::bytea[]) AS chain (id), LATERAL (\
                     SELECT {columns} FROM nightaudit.exchanges WHERE session = chain.id AND {here}{up_to} \
                     ORDER BY written {direction}, sequence {direction} LIMIT {size}) AS of_chain \
                     ORDER BY {order} LIMIT {size}"
                )
            };
            let up_to = format!(
                " AND written {edge} (SELECT written FROM last) \
                 AND (written, session, sequence) {edge} (SELECT written, session, sequence FROM last)"
            );
            format!(
                "WITH measured AS MATERIALIZED (SELECT written, session, sequence, {measured} FROM ({keys}) AS keys), \
                 last AS MATERIALIZED (SELECT written, session, sequence, found FROM measured WHERE before < {bytes} \
                 ORDER BY written {reversed}, session {reversed}, sequence {reversed} LIMIT 1) \
                 SELECT {COLUMNS}, (SELECT found FROM last) AS found FROM ({records}) AS records ORDER BY {order}",
                keys = rows(KEYS, ""),
                records = rows(COLUMNS, &up_to)
            )
        }
    };
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
    exchange_by(&mut Decoder::default(), row)
}

fn exchange_by(decoder: &mut Decoder, row: &Row) -> Result<Exchange, ReadError> {
    let record: &[u8] = row.get("record");
    let found = decoder.decode(record).and_then(|exchange| match exchange.hash.map(|hash| hash.0) {
        Some(hash) if hash == row.get::<_, &[u8]>("hash") => Ok(exchange),
        _ => Err("its hash is not the one that its node recorded".to_owned()),
    });
    found.map_err(|what| {
        let Position { session, sequence, .. } = position(row);
        let damage = Damage { path: "exchanges".into(), offset: 0, what };
        ReadError::Exchange { session, sequence, source: Box::new(damage.into()) }
    })
}
