//! Following exchanges as they arrive.
//!
//! Exchanges are followed in the order in which they arrived, which numbers each batch; PostgreSQL's notifications say when
//! there are more. So nothing is passed over when a node that was cut off ships what is hours old.

use std::{collections::HashSet, sync::Arc, time::Duration};

use nightaudit_exchange::SessionId;
use nightaudit_log::{BoxFuture, Follow, FollowFrom, Followed, Order, Position};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_postgres::Row;

use crate::{
    condition::{Chains, Condition, bytes, number, stamp},
    connection::{Connection, Param},
    error::Error,
    find,
    pages::{self, Wanted},
    pool::Pool,
    sessions::Grouped,
};

/// Exchanges that wait to be taken.
const QUEUE: usize = 64;
/// Rows read at a time.
const SLICE: i64 = 200;
/// The pause before another attempt to connect.
const RETRY: Duration = Duration::from_secs(1);
/// How long to rely on notifications alone: a connection that was cut off silently brings none.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

/// Yields what arrives.
pub(crate) struct Follower {
    incoming: mpsc::Receiver<Event>,
    position: Option<Position>,
    task: AbortHandle,
}

enum Event {
    Found(Followed, Option<Position>),
    /// Everything up to here was looked at.
    Passed(Position),
}

/// Where a follower is: after exchange `sequence` of batch `arrival`, or before it if that is 0.
#[derive(Debug, Clone, Copy)]
struct Place {
    arrival: i64,
    sequence: i64,
}

impl Follower {
    pub(crate) fn start(pool: &Arc<Pool>, wanted: Wanted, from: FollowFrom) -> Result<Self, Error> {
        let (sender, incoming) = mpsc::channel(QUEUE);
        let (own, moved) = (Arc::clone(pool), wanted.clone());
        let (place, position, first) = pool.wait(async move { start(&own, &moved, from).await })??;
        let feed = Feed { pool: Arc::clone(pool), wanted, met: HashSet::new(), sender, place };
        let task = pool.handle().spawn(feed.run(first, position)).abort_handle();
        let is_behind = matches!(from, FollowFrom::Last(count) if count > 0);
        Ok(Self { incoming, position: position.filter(|_| !is_behind), task })
    }
}

impl Follow for Follower {
    fn next(&mut self) -> BoxFuture<'_, Option<Followed>> {
        Box::pin(async {
            loop {
                match self.incoming.recv().await? {
                    Event::Found(followed, position) => {
                        self.position = position;
                        return Some(followed);
                    }
                    Event::Passed(position) => self.position = Some(position),
                }
            }
        })
    }

    fn position(&self) -> Option<Position> {
        self.position
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where to start, the position there, and what to yield before.
async fn start(pool: &Pool, wanted: &Wanted, from: FollowFrom) -> Result<(Place, Option<Position>, Vec<Row>), Error> {
    let (end, position) = end(pool).await?;
    let now = (Place { arrival: end, sequence: i64::MAX }, Some(position), Vec::new());
    Ok(match from {
        FollowFrom::Now | FollowFrom::Last(0) => now,
        FollowFrom::Last(count) => {
            let mut first = newest(pool, wanted, count, end).await?;
            first.reverse();
            (now.0, now.1, first)
        }
        FollowFrom::After(id) => {
            let rows =
                pool.read(&find::of_id("written, session, sequence"), &[Box::new(id.to_bytes().to_vec())]).await?;
            match rows.first().map(pages::position) {
                Some(position) => (place(pool, position).await?, Some(position), Vec::new()),
                None => now,
            }
        }
        FollowFrom::Position(position) => (place(pool, position).await?, Some(position), Vec::new()),
    })
}

/// The last batch, and the position of its last exchange.
async fn end(pool: &Pool) -> Result<(i64, Position), Error> {
    let sql = "SELECT arrival, last_written AS written, session, last AS sequence FROM nightaudit.batches \
               ORDER BY arrival DESC LIMIT 1";
    let rows = pool.read(sql, &[]).await?;
    Ok(rows.first().map_or((0, Position::START), |row| (row.get("arrival"), pages::position(row))))
}

/// The keys of the newest matches among what had arrived by then, newest first.
async fn newest(pool: &Pool, wanted: &Wanted, count: usize, end: i64) -> Result<Vec<Row>, Error> {
    let mut condition = Condition::of(&wanted.filter, &wanted.chains.except);
    if let Some(only) = &wanted.chains.only {
        let only = condition.param(bytes(only));
        condition.push(format!("session = ANY ({only})"));
    }
    let end = condition.param(end);
    // What arrived since will be followed.
    condition.push(format!(
        "NOT EXISTS (SELECT 1 FROM nightaudit.batches WHERE arrival > {end} AND batches.session = exchanges.session \
         AND exchanges.sequence BETWEEN first AND last)"
    ));
    let (here, limit) = (condition.sql(), number(count as u64));
    if wanted.filter.needs_body() {
        // Only reading finds out which they are; memory is bounded by reading page by page, and keeping the keys.
        return newest_with_bodies(pool, wanted, count).await;
    }
    let limit = condition.param(limit);
    let sql = format!(
        "SELECT written, session, sequence FROM nightaudit.exchanges WHERE {here} \
         ORDER BY written DESC, session DESC, sequence DESC LIMIT {limit}"
    );
    pool.read(&sql, &condition.params).await
}

async fn newest_with_bodies(pool: &Pool, wanted: &Wanted, count: usize) -> Result<Vec<Row>, Error> {
    let newest = Wanted { order: Order::Newest, ..wanted.clone() };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = pages::read(pool, &newest, after, 500).await?;
        for row in page.rows {
            after = Some(pages::position(&row));
            if found.len() < count && pages::exchange(&row).is_ok_and(|exchange| wanted.filter.matches(&exchange)) {
                let key = "SELECT $1::bigint AS written, $2::bytea AS session, $3::bigint AS sequence";
                found.extend(pool.read(key, &key_params(pages::position(&row))).await?);
            }
        }
        if page.is_last || found.len() >= count {
            return Ok(found);
        }
    }
}

fn key_params(position: Position) -> [Param; 3] {
    [Box::new(stamp(position)), Box::new(position.session.to_bytes().to_vec()), Box::new(number(position.sequence))]
}

/// The place of a position: in the batch that brought its exchange. If retention dropped that, where later ones begin.
async fn place(pool: &Pool, position: Position) -> Result<Place, Error> {
    let sql = "SELECT arrival FROM nightaudit.batches WHERE session = $1 AND last >= $2 AND first <= $2 ORDER BY last LIMIT 1";
    let sequence = number(position.sequence);
    let params: [Param; 2] = [Box::new(position.session.to_bytes().to_vec()), Box::new(sequence)];
    if let Some(row) = pool.read(sql, &params).await?.first() {
        return Ok(Place { arrival: row.get(0), sequence });
    }
    let sql = "SELECT coalesce(min(arrival), (SELECT coalesce(max(arrival), 0) + 1 FROM nightaudit.batches)) \
               FROM nightaudit.batches WHERE last_written > $1";
    let rows = pool.read(sql, &[Box::new(stamp(position))]).await?;
    Ok(Place { arrival: rows.first().map_or(0, |row| row.get(0)), sequence: 0 })
}

/// Reads for a follower until nobody listens.
struct Feed {
    pool: Arc<Pool>,
    wanted: Wanted,
    /// The chains met so far; another may be a node's that joins a session.
    met: HashSet<SessionId>,
    sender: mpsc::Sender<Event>,
    place: Place,
}

impl Feed {
    async fn run(mut self, first: Vec<Row>, reached: Option<Position>) {
        let mut told = false;
        if self.begin(first, reached).await.is_none() {
            return;
        }
        loop {
            match self.listen(&mut told).await {
                Ok(()) => return,
                Err(error) => {
                    if !told {
                        tracing::warn!("{error}; following goes on once it can be reached");
                        told = true;
                    }
                    if self.sender.is_closed() {
                        return;
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Yields what was there before; `None` if nobody listens.
    async fn begin(&self, first: Vec<Row>, reached: Option<Position>) -> Option<()> {
        if first.is_empty() {
            if let Some(reached) = reached {
                self.sender.send(Event::Passed(reached)).await.ok()?;
            }
            return Some(());
        }
        let sql = "SELECT written, session, sequence, hash, record FROM nightaudit.exchanges \
                   WHERE written = $1 AND session = $2 AND sequence = $3";
        let last = first.len() - 1;
        for (place, key) in first.into_iter().enumerate() {
            let found = loop {
                match self.pool.read(sql, &key_params(pages::position(&key))).await {
                    Ok(rows) => break rows,
                    Err(_) if self.sender.is_closed() => return None,
                    Err(_) => sleep(RETRY).await,
                }
            };
            let Some(row) = found.first() else { continue };
            // In between, a position would stand for another order.
            self.yield_row(row, reached.filter(|_| place == last)).await?;
        }
        self.sender.send(Event::Passed(reached?)).await.ok()
    }

    /// Follows on one connection until it breaks.
    async fn listen(&mut self, told: &mut bool) -> Result<(), Error> {
        let (mut connection, mut woken) = Connection::open_listening(&self.pool.address).await?;
        // Before looking, so that nothing arrives unnoticed in between.
        connection.batch("LISTEN nightaudit").await?;
        *told = false;
        loop {
            while self.advance(&mut connection).await? {}
            if self.sender.is_closed() {
                return Ok(());
            }
            let closed = self.sender.clone();
            tokio::select! {
                () = closed.closed() => return Ok(()),
                notice = timeout(LOOK_ANYWAY, woken.recv()) => {
                    if matches!(notice, Ok(None)) {
                        let cause = "the connection ended".to_owned();
                        return Err(Error::Unreachable { address: self.pool.address.to_string(), cause });
                    }
                }
            }
        }
    }

    /// Reads on; whether there may be more.
    async fn advance(&mut self, connection: &mut Connection) -> Result<bool, Error> {
        let sql = "SELECT arrival, session, first, last, first_written, last_written FROM nightaudit.batches \
                   WHERE arrival >= $1 AND (arrival > $1 OR last > $2) ORDER BY arrival LIMIT 100";
        let params: [Param; 2] = [Box::new(self.place.arrival), Box::new(self.place.sequence)];
        let batches = connection.rows(sql, &params).await?;
        for batch in &batches {
            let arrival: i64 = batch.get("arrival");
            if arrival > self.place.arrival {
                self.place = Place { arrival, sequence: 0 };
            }
            let last: i64 = batch.get("last");
            self.meet(pages::session(batch)).await?;
            if self.wants(pages::session(batch)) {
                while self.place.sequence < last {
                    if self.slice(connection, batch, last).await?.is_none() {
                        return Ok(false);
                    }
                }
            }
            self.place.sequence = last;
            let written = u64::try_from(batch.get::<_, i64>("last_written")).unwrap_or(0);
            let passed = Position { written, session: pages::session(batch), sequence: last.cast_unsigned() };
            if self.sender.send(Event::Passed(passed)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(!batches.is_empty())
    }

    /// Finds out to which session a chain belongs that wasn't there when following began.
    async fn meet(&mut self, session: SessionId) -> Result<(), Error> {
        let filter = &self.wanted.filter;
        if filter.session.is_none() && filter.except_session().is_none() || !self.met.insert(session) {
            return Ok(());
        }
        // A session that was renamed or dropped since stays what it was.
        if let Ok(chains) = Grouped::fetch(&self.pool).await?.named_by(filter) {
            self.wanted.chains = chains;
        }
        Ok(())
    }

    fn wants(&self, session: SessionId) -> bool {
        let Chains { only, except } = &self.wanted.chains;
        only.as_ref().is_none_or(|only| only.contains(&session)) && !except.contains(&session)
    }

    /// Reads and yields some rows of a batch; `None` if nobody listens.
    async fn slice(&mut self, connection: &mut Connection, batch: &Row, last: i64) -> Result<Option<()>, Error> {
        let sql = "SELECT written, session, sequence, hash, record FROM (\
                   SELECT written, session, sequence, hash, record, \
                   sum(size) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) - size AS before FROM (\
                   SELECT * FROM nightaudit.exchanges WHERE session = $1 AND written BETWEEN $2 AND $3 \
                   AND sequence > $4 AND sequence <= $5 ORDER BY written, sequence LIMIT $6) AS slice) AS bounded \
                   WHERE before < 2097152 ORDER BY sequence";
        let params: [Param; 6] = [
            Box::new(pages::session(batch).to_bytes().to_vec()),
            Box::new(batch.get::<_, i64>("first_written")),
            Box::new(batch.get::<_, i64>("last_written")),
            Box::new(self.place.sequence),
            Box::new(last),
            Box::new(SLICE),
        ];
        let rows = connection.rows(sql, &params).await?;
        if rows.is_empty() {
            // Retention was faster.
            self.place.sequence = last;
        }
        for row in &rows {
            let position = pages::position(row);
            if self.yield_row(row, Some(position)).await.is_none() {
                return Ok(None);
            }
            self.place.sequence = number(position.sequence);
        }
        Ok(Some(()))
    }

    /// Yields a row if it matches; `None` if nobody listens.
    async fn yield_row(&self, row: &Row, position: Option<Position>) -> Option<()> {
        let followed = match pages::exchange(row) {
            Ok(exchange) if self.wanted.filter.matches(&exchange) => Followed::Exchange(Arc::new(exchange)),
            Ok(_) => return Some(()),
            Err(_) => Followed::Missed(1),
        };
        self.sender.send(Event::Found(followed, position)).await.ok()
    }
}
