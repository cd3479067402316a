//! Ships the local log to the archive.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use nightaudit_exchange::{Exchange, Filter, SessionId, Timestamp};
use nightaudit_log::{Follow, FollowFrom, Followed, Order, Position, Query, ReadError, ReadLog, Session};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    address::Address,
    connection::Connection,
    error::Error,
    marks::{self, Mark, Pending},
    record::Encoder,
    sessions::State,
    status::ShippingStatus,
};

/// The most exchanges sent at once, over all chains.
const MOST: usize = 1000;
/// The bytes of records above which no more are gathered.
const MOST_BYTES: usize = 2 << 20;
/// How long the first exchange of a batch waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// How often the local log's sessions are compared with the archive's.
const LOOK: Duration = Duration::from_secs(1);
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long a stop waits for what was recorded last.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What to ship, and where to.
#[derive(Debug)]
pub struct ShipperConfig {
    /// The archive.
    pub address: Address,
    /// The name of this machine's record; it must stay the same.
    pub node: String,
    /// The local log.
    pub log: Arc<dyn ReadLog>,
    /// Where to tell how it goes.
    pub status: ShippingStatus,
}

/// A thread that ships.
#[derive(Debug)]
pub struct Shipper {
    thread: thread::JoinHandle<()>,
    stop: CancellationToken,
    leave: CancellationToken,
}

impl Shipper {
    /// Starts to ship. Whether the archive can be reached shows in the status.
    ///
    /// # Errors
    ///
    /// No thread or runtime can be had.
    pub fn start(config: ShipperConfig) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let leave = CancellationToken::new();
        let (stopping, leaving) = (stop.clone(), leave.clone());
        let thread = thread::Builder::new().name("archive-shipper".to_owned()).spawn(move || {
            let ship = Shipping::new(config, stopping.clone());
            runtime.block_on(async {
                tokio::select! {
                    () = ship.run() => {}
                    () = leaving.cancelled() => {}
                    () = async { stopping.cancelled().await; sleep(LAST_WORDS).await; } => {
                        tracing::warn!("the archive is behind: the rest is shipped at the next start");
                    }
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { thread, stop, leave })
    }

    /// Ends at once, wherever it is; the log goes on. What the archive lacks is shipped at the next start. Blocks.
    pub fn abandon(self) {
        self.leave.cancel();
        self.stop();
    }

    /// Ships the rest of a log that was closed, for a few seconds at most, and ends. Blocks.
    pub fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the archive's shipper panicked");
        }
    }
}

struct Shipping {
    config: ShipperConfig,
    stop: CancellationToken,
}

impl Shipping {
    fn new(config: ShipperConfig, stop: CancellationToken) -> Self {
        Self { config, stop }
    }

    async fn run(self) {
        let mut pause = PAUSES.0;
        loop {
            let begun = Instant::now();
            let Err(error) = self.ship().await else { return };
            if self.config.status.set_failing(Some(&error.to_string())) {
                tracing::error!(
                    "nothing can be shipped: {error}; what is recorded stays in the local log until it can"
                );
            }
            if self.stop.is_cancelled() {
                tracing::warn!("what the archive lacks is shipped at the next start");
                return;
            }
            // It went well for a while, so this is another failure.
            if begun.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.wait(pause) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits, and keeps telling how much there is to ship.
    async fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if let Ok(sessions) = self.sessions().await {
                self.tell(&sessions);
            }
            sleep(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }

    fn tell(&self, sessions: &[Session]) {
        let local = sessions.iter().map(|session| (session.id, session.exchanges));
        self.config.status.set_local(local, Timestamp::from_system(SystemTime::now()));
    }

    /// Reads the local log on a thread that may block.
    async fn local<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn ReadLog) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Error> {
        let log = Arc::clone(&self.config.log);
        match spawn_blocking(move || read(&*log)).await {
            Ok(result) => result.map_err(|error| Error::Local(Box::new(error))),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn sessions(&self) -> Result<Vec<Session>, Error> {
        self.local(|log| log.sessions()).await
    }

    /// Ships until the log is closed.
    async fn ship(&self) -> Result<(), Error> {
        let mut connection = Connection::open(&self.config.address).await?;
        // Before the sessions are listed, so that what is recorded meanwhile is followed.
        let newest = self.local(newest).await?;
        let sessions = self.sessions().await?;
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        let known = Mark::read(&mut connection, &self.config.node, &ids).await?;
        let marks: HashMap<SessionId, Mark> = known.into_iter().collect();
        for session in &sessions {
            let accounted = marks.get(&session.id).map_or(0, |mark| mark.accounted);
            self.config.status.set_archived(session.id, accounted);
        }
        let from = self.first_missing(newest, &sessions, &marks).await?;
        let follower = self.local(move |log| log.follow(Filter::default(), FollowFrom::Position(from))).await?;
        let mut voyage = Voyage { shipping: self, connection, marks, encoder: Encoder::default() };
        voyage.describe().await?;
        if self.config.status.set_failing(None) {
            tracing::info!("shipping to the archive goes on: {} exchanges behind", self.config.status.state().behind);
        }
        voyage.go(follower).await
    }

    /// The position before the first exchange that the archive lacks.
    async fn first_missing(
        &self,
        newest: Position,
        sessions: &[Session],
        marks: &HashMap<SessionId, Mark>,
    ) -> Result<Position, Error> {
        let mut first = newest;
        for session in sessions {
            let mark = marks.get(&session.id);
            if mark.map_or(0, |mark| mark.accounted) >= session.exchanges {
                continue;
            }
            let (id, last) = (session.id, mark.and_then(|mark| mark.last_id));
            let position = self.local(move |log| position_after(log, id, last)).await?;
            first = first.min(position.unwrap_or(newest));
        }
        Ok(first)
    }
}

/// The position after the newest exchange.
fn newest(log: &dyn ReadLog) -> Result<Position, ReadError> {
    let mut newest = log.query(Query { order: Order::Newest, limit: Some(1), ..Query::default() })?;
    newest.by_ref().for_each(drop);
    Ok(newest.last_position().unwrap_or(Position::START))
}

/// The position after the last exchange shipped of a session, or before its first.
fn position_after(
    log: &dyn ReadLog,
    session: SessionId,
    last: Option<nightaudit_exchange::ExchangeId>,
) -> Result<Option<Position>, ReadError> {
    if let Some(position) = last.map(|last| log.position(last)).transpose()?.flatten() {
        return Ok(Some(position));
    }
    let filter = Filter { session: Some(session.to_string()), ..Filter::default() };
    match log.query(Query { filter, limit: Some(1), ..Query::default() }) {
        Ok(mut first) => {
            first.by_ref().for_each(drop);
            Ok(first.last_position().map(Position::before))
        }
        // Deleted in the meantime.
        Err(ReadError::Session(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shipping over one connection.
struct Voyage<'a> {
    shipping: &'a Shipping,
    connection: Connection,
    marks: HashMap<SessionId, Mark>,
    encoder: Encoder,
}

impl Voyage<'_> {
    async fn go(&mut self, mut follower: Box<dyn Follow>) -> Result<(), Error> {
        let status = &self.shipping.config.status;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                // The look comes first: under load there always is another exchange.
                biased;
                _ = look.tick() => {
                    self.describe().await?;
                    continue;
                }
                followed = follower.next() => followed,
            };
            let Some(first) = first else {
                // What ended with the log.
                return self.describe().await;
            };
            let mut batch = Batch::default();
            let closed = self.gather(first, &mut *follower, &mut batch).await?;
            let oldest = batch.oldest;
            if oldest.is_some() {
                status.set_oldest(oldest);
            }
            for pending in batch.chains {
                if pending.columns.is_empty() {
                    continue;
                }
                let (session, exchanges) = (pending.session(), pending.columns.len() as u64);
                let mark = pending.ship(&mut self.connection, &self.shipping.config.node).await?;
                status.count_shipped(exchanges);
                status.set_archived(session, mark.accounted);
                self.marks.insert(session, mark);
            }
            if let Some(oldest) = oldest {
                status.set_arrived(oldest, Timestamp::from_system(SystemTime::now()));
            }
            if closed {
                return self.describe().await;
            }
        }
    }

    /// Adds what follows the first exchange, for a moment; whether the log was closed.
    async fn gather(&mut self, first: Followed, follower: &mut dyn Follow, batch: &mut Batch) -> Result<bool, Error> {
        self.add(first, batch).await?;
        let until = tokio::time::Instant::now() + GATHER;
        while batch.exchanges < MOST && batch.bytes() < MOST_BYTES {
            match timeout_at(until, follower.next()).await {
                Ok(Some(followed)) => self.add(followed, batch).await?,
                Ok(None) => return Ok(true),
                Err(_) => break,
            }
        }
        Ok(false)
    }

    async fn add(&mut self, followed: Followed, batch: &mut Batch) -> Result<(), Error> {
        match followed {
            Followed::Exchange(exchange) => self.take(&exchange, batch).await,
            // The gap in the chain shows which.
            _ => Ok(()),
        }
    }

    async fn take(&mut self, exchange: &Arc<Exchange>, batch: &mut Batch) -> Result<(), Error> {
        let session = exchange.session;
        let pending = match batch.chains.iter().position(|pending| pending.session() == session) {
            Some(place) => &mut batch.chains[place],
            None => {
                if !self.marks.contains_key(&session) {
                    self.begin(session, exchange).await?;
                }
                let mark = self.marks.get(&session).cloned().unwrap_or_else(|| Mark::none(session));
                batch.chains.push(Pending::new(session, mark));
                let last = batch.chains.len() - 1;
                &mut batch.chains[last]
            }
        };
        let before = pending.columns.len();
        pending.push(exchange, Timestamp::from_system(SystemTime::now()).micros(), &mut self.encoder)?;
        if pending.columns.len() > before {
            batch.exchanges += 1;
            batch.oldest.get_or_insert(exchange.started_at.plus(exchange.duration()));
        }
        Ok(())
    }

    /// Begins a chain that the archive doesn't have.
    async fn begin(&mut self, session: SessionId, exchange: &Exchange) -> Result<(), Error> {
        let known = self.shipping.sessions().await?.into_iter().find(|known| known.id == session);
        // One that was deleted at once has still been recorded.
        let known = known.unwrap_or_else(|| {
            Session::new(session, &exchange.session_name, &exchange.environment, exchange.started_at)
        });
        let state = State::of(&known);
        marks::describe(&mut self.connection, &self.shipping.config.node, session, &state).await?;
        let mut mark = Mark::none(session);
        mark.state = Some(state);
        self.marks.insert(session, mark);
        Ok(())
    }

    /// Says what has become of the sessions, where that is news.
    async fn describe(&mut self) -> Result<(), Error> {
        let sessions = self.shipping.sessions().await?;
        self.shipping.tell(&sessions);
        for session in &sessions {
            let state = State::of(session);
            let mark = self.marks.entry(session.id).or_insert_with(|| Mark::none(session.id));
            if mark.state.as_ref() != Some(&state) {
                marks::describe(&mut self.connection, &self.shipping.config.node, session.id, &state).await?;
                mark.state = Some(state);
            }
        }
        let there: std::collections::HashSet<_> = sessions.iter().map(|session| session.id).collect();
        self.shipping.config.status.keep(|session| there.contains(&session));
        Ok(())
    }
}

/// What is sent at once.
#[derive(Default)]
struct Batch {
    chains: Vec<Pending>,
    exchanges: usize,
    oldest: Option<Timestamp>,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.chains.iter().map(|pending| pending.columns.bytes).sum()
    }
}
