//! The archive as a log.

use std::sync::{Arc, atomic::Ordering};

use nightaudit_exchange::{Exchange, ExchangeId, Filter, Missing, Outcome, Pseudonym, Timestamp};
use nightaudit_log::{
    Check, Ending, Exchanges, FacetCounts, Facets, Fetcher, FindError, Follow, FollowFrom, Histogram, Info, Order,
    Place, Position, Progress, Query, ReadError, ReadLog, Session, SessionError, Start, Timeline, by_reading,
};

use crate::{
    address::Address,
    check::check,
    condition::{Chains, Condition, bytes},
    connection::Param,
    error::Error,
    find,
    follow::Follower,
    pages::{self, Pages, Wanted},
    pool::{Pool, unavailable},
    sessions::{Grouped, session_error},
};

/// What all nodes have shipped, read as one log.
#[derive(Debug, Clone)]
pub struct Archive {
    pool: Arc<Pool>,
}

impl Archive {
    /// Connects to an archive, as a user who may read it.
    ///
    /// # Errors
    ///
    /// [`Error`]: among others it can't be reached, the password is wrong, or its schema is newer.
    pub fn open(address: Address) -> Result<Self, Error> {
        let archive = Self { pool: Pool::new(address)? };
        archive.read_generation()?;
        Ok(archive)
    }

    /// The address, without its password.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.pool.address
    }

    fn read_generation(&self) -> Result<u64, Error> {
        let rows = self.pool.rows("SELECT generation FROM nightaudit.retention".to_owned(), Vec::new())?;
        let generation = rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        self.pool.generation.store(generation, Ordering::Relaxed);
        Ok(generation)
    }

    fn chains(&self, filter: &Filter) -> Result<Chains, ReadError> {
        if filter.session.is_none() && filter.except_session().is_none() {
            return Ok(Chains::default());
        }
        Ok(Grouped::read(&self.pool).map_err(unavailable)?.named_by(filter)?)
    }

    /// The filter as a condition on rows; only for filters that need no bodies.
    fn condition(&self, filter: &Filter) -> Result<Condition, ReadError> {
        let chains = self.chains(filter)?;
        let mut condition = Condition::of(filter, &chains.except);
        if let Some(only) = &chains.only {
            let only = condition.param(bytes(only));
            condition.push(format!("session = ANY ({only})"));
        }
        Ok(condition)
    }

    fn rows(&self, sql: String, params: Vec<Param>) -> Result<Vec<tokio_postgres::Row>, ReadError> {
        self.pool.rows(sql, params).map_err(unavailable)
    }

    fn count(&self, condition: Condition) -> Result<u64, ReadError> {
        let sql = format!("SELECT count(*) FROM nightaudit.exchanges WHERE {}", condition.sql());
        let rows = self.rows(sql, condition.params)?;
        Ok(rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }

    /// The position of the match with this number, of so many in all.
    fn nth(&self, filter: &Filter, number: u64, total: u64) -> Result<Option<Position>, ReadError> {
        let mut condition = self.condition(filter)?;
        // From the nearer end.
        let (direction, skipped) = match number < total / 2 {
            true => ("ASC", number),
            false => ("DESC", (total - 1).saturating_sub(number)),
        };
        let wanted = condition.sql();
        let skipped = condition.param(i64::try_from(skipped).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT written, session, sequence FROM nightaudit.exchanges WHERE {wanted} \
             ORDER BY written {direction}, session {direction}, sequence {direction} OFFSET {skipped} LIMIT 1"
        );
        Ok(self.rows(sql, condition.params)?.first().map(pages::position))
    }
}

impl ReadLog for Archive {
    fn find(&self, prefix: &str) -> Result<Exchange, FindError> {
        find::find(&self.pool, prefix)
    }

    fn fetcher(&self) -> Box<dyn Fetcher> {
        Box::new(self.clone())
    }

    fn query(&self, query: Query) -> Result<Box<dyn Exchanges>, ReadError> {
        let Query { filter, order, after, limit } = query;
        let chains = self.chains(&filter)?;
        Ok(Box::new(Pages::new(Arc::clone(&self.pool), Wanted { filter, chains, order }, after, limit)))
    }

    fn position(&self, id: ExchangeId) -> Result<Option<Position>, ReadError> {
        let sql = find::of_id("written, session, sequence");
        Ok(self.rows(sql, vec![Box::new(id.to_bytes().to_vec())])?.first().map(pages::position))
    }

    fn generation(&self) -> u64 {
        self.pool.generation.load(Ordering::Relaxed)
    }

    fn seek(&self, filter: &Filter, start: Start) -> Result<Place, ReadError> {
        let generation = self.read_generation().map_err(unavailable)?;
        if filter.needs_body() {
            return by_reading::seek(&|query| self.query(query), filter, start, generation);
        }
        let only_session = Filter { session: filter.session.clone(), ..Filter::default() };
        let total = match *filter == only_session {
            // Each chain knows how many exchanges it has.
            true => {
                let groups = Grouped::read(&self.pool).map_err(unavailable)?;
                let chains = groups.named_by(filter)?;
                let wanted = |id| chains.only.as_ref().is_none_or(|only| only.contains(&id));
                groups.chains().filter(|chain| wanted(chain.id)).map(|chain| chain.exchanges).sum()
            }
            false => self.count(self.condition(filter)?)?,
        };
        let from = start.of(total);
        let after = match from.checked_sub(1) {
            Some(before) => self.nth(filter, before, total)?,
            None => None,
        };
        Ok(Place { total, from, after, generation })
    }

    fn rank(&self, filter: &Filter, position: Position) -> Result<Option<u64>, ReadError> {
        if filter.needs_body() {
            return by_reading::rank(&|query| self.query(query), filter, position);
        }
        let mut here = self.condition(filter)?;
        let (session, sequence) = (position.session.to_bytes().to_vec(), crate::condition::number(position.sequence));
        let written = here.param(crate::condition::stamp(position));
        let (session, sequence) = (here.param(session), here.param(sequence));
        here.push(format!("written = {written} AND session = {session} AND sequence = {sequence}"));
        if self.count(here)? == 0 {
            return Ok(None);
        }
        let mut before = self.condition(filter)?;
        before.beyond(position, true);
        Ok(Some(self.count(before)?))
    }

    fn histogram(&self, filter: &Filter, buckets: usize) -> Result<Histogram, ReadError> {
        if filter.needs_body() {
            return by_reading::histogram(&|query| self.query(query), filter, buckets);
        }
        let condition = self.condition(filter)?;
        let sql = format!("SELECT min(started), max(started) FROM nightaudit.exchanges WHERE {}", condition.sql());
        let span = self.rows(sql, condition.params)?.first().and_then(|row| {
            let (first, last): (Option<i64>, Option<i64>) = (row.get(0), row.get(1));
            Some(last?.saturating_sub(first?))
        });
        let mut condition = self.condition(filter)?;
        let width = condition.param(width(span.unwrap_or(0)));
        let sql = format!(
            "SELECT min(started), max(started), outcome, status, count(*) FROM nightaudit.exchanges WHERE {} \
             GROUP BY started / {width}, outcome, status",
            condition.sql()
        );
        let mut timeline = Timeline::default();
        for row in self.rows(sql, condition.params)? {
            let (first, last): (i64, i64) = (row.get(0), row.get(1));
            let outcome = outcome_of(row.get(2));
            let ending = Ending::of(outcome, row.get::<_, Option<i16>>(3).map(i16::cast_unsigned));
            let count: i64 = row.get(4);
            for number in 0..count {
                // All are in one slot of the timeline, and the first and the last of all are exact.
                let started = if number == 0 { first } else { last };
                timeline.count(Timestamp::from_micros(started), ending);
            }
        }
        Ok(timeline.histogram(filter.since, filter.until, buckets))
    }

    fn facets(&self, filter: &Filter) -> Result<Facets, ReadError> {
        if filter.needs_body() {
            return by_reading::facets(&|query| self.query(query), filter);
        }
        let condition = self.condition(filter)?;
        let sql = format!(
            "SELECT session, operation, status, outcome, access_token, client_token, client, count(*) \
             FROM nightaudit.exchanges WHERE {} GROUP BY 1, 2, 3, 4, 5, 6, 7",
            condition.sql()
        );
        let groups = Grouped::read(&self.pool).map_err(unavailable)?;
        let mut counts = FacetCounts::default();
        for row in self.rows(sql, condition.params)? {
            let matches = u64::try_from(row.get::<_, i64>(7)).unwrap_or(0);
            counts.session(groups.of_chain(pages::session(&row)), matches);
            counts.operation(row.get(1), matches);
            counts.status(row.get::<_, Option<i16>>(2).map(i16::cast_unsigned), matches);
            counts.outcome(outcome_of(row.get(3)), matches);
            let token =
                |at: usize| row.get::<_, Option<&[u8]>>(at).and_then(|token| token.try_into().ok()).map(Pseudonym);
            let (access, client) = (token(4), token(5));
            let tokens = access.into_iter().chain(client.filter(|_| client != access));
            tokens.for_each(|token| counts.token(token, matches));
            if let Some(client) = row.get::<_, Option<&str>>(6) {
                counts.client(client, matches);
            }
        }
        Ok(counts.facets())
    }

    fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Box<dyn Follow>, ReadError> {
        let chains = self.chains(&filter)?;
        let wanted = Wanted { filter, chains, order: Order::Oldest };
        Ok(Box::new(Follower::start(&self.pool, wanted, from).map_err(unavailable)?))
    }

    fn sessions(&self) -> Result<Vec<Session>, ReadError> {
        Ok(Grouped::read(&self.pool).map_err(unavailable)?.sessions())
    }

    fn session(&self, which: &str) -> Result<Session, SessionError> {
        Grouped::read(&self.pool).map_err(session_error)?.find(which)
    }

    fn missing(&self) -> Result<Vec<Missing>, ReadError> {
        Ok(Grouped::read(&self.pool).map_err(unavailable)?.chains().filter_map(|chain| chain.missing()).collect())
    }

    fn info(&self) -> Result<Info, ReadError> {
        let groups = Grouped::read(&self.pool).map_err(unavailable)?;
        let sessions = groups.sessions();
        let sizes = "SELECT count(*), coalesce(sum(pg_table_size(inhrelid)), 0)::bigint, coalesce(sum(pg_indexes_size(inhrelid)), 0)::bigint \
                     FROM pg_inherits WHERE inhparent = 'nightaudit.exchanges'::regclass";
        let rows = self.rows(sizes.to_owned(), Vec::new())?;
        let size = |at: usize| rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0));
        Ok(Info {
            sessions: sessions.len() as u64,
            open_sessions: sessions.iter().filter(|session| session.open).count() as u64,
            exchanges: sessions.iter().map(|session| session.exchanges).sum(),
            missing: sessions.iter().map(|session| session.missing).sum(),
            segments: size(0),
            segment_bytes: size(1),
            index_bytes: size(2),
        })
    }

    fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        check(&self.pool, progress)
    }
}

impl Fetcher for Archive {
    fn fetch(&mut self, id: ExchangeId) -> Result<Option<Exchange>, ReadError> {
        find::by_id(&self.pool, id).map_err(unavailable)?.map(|row| pages::exchange(&row)).transpose()
    }
}

/// Microseconds within which exchanges may be counted together: each divides the widths of a [`Timeline`]'s slots that are
/// at least as wide, and a span has at most 4,096 of those.
fn width(span: i64) -> i64 {
    const MILLISECOND: i64 = 1000;
    let widths = [MILLISECOND, 10 * MILLISECOND, 100 * MILLISECOND, 1000 * MILLISECOND, 60_000 * MILLISECOND];
    widths.into_iter().filter(|width| *width <= span / 4096).max().unwrap_or(MILLISECOND)
}

/// The outcome with this number; one of a later version counts as failed.
fn outcome_of(number: i16) -> Outcome {
    usize::try_from(number).ok().and_then(|number| Outcome::ALL.get(number).copied()).unwrap_or(Outcome::Failed)
}
