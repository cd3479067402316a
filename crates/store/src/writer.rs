//! The writer's thread: takes what waits as one batch, encodes it, writes it, and answers those who wait.

mod append;
pub(crate) mod sessions;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use nightaudit_exchange::{Capture, Exchange, Redactor, SessionId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::append::Active;
use crate::{
    block::Packer,
    config::{Config, Durability, OnFailure},
    error::SessionError,
    shared::Shared,
};

/// The most exchanges of a batch.
const MAX_BATCH: usize = 1024;
/// The bytes of bodies above which a batch takes no further exchange.
const MAX_BATCH_BYTES: u64 = 4 << 20;
/// How long the writer gathers under [`Durability::Batch`], so that not every request wakes it.
const GATHER: Duration = Duration::from_millis(3);
/// How often the quota is looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(60);

/// Something for the writer.
pub(crate) enum Message {
    Record(Item),
    Control(Control),
    Close,
}

/// Work for the writer's thread; an error where it can't be done now.
pub(crate) type Control = Box<dyn FnOnce(Result<&mut Writer, SessionError>) + Send>;

/// An exchange on its way into the log.
pub(crate) struct Item {
    /// The name of the session that it names.
    pub(crate) session: Option<Arc<str>>,
    pub(crate) source: Source,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    pub(crate) slot: Option<u32>,
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// What an exchange is made of.
pub(crate) enum Source {
    Capture(Box<Capture>),
    /// One that was made elsewhere: interrupted, or imported.
    Exchange(Box<Exchange>),
}

impl Item {
    pub(crate) fn of(exchange: Exchange) -> Self {
        Self { session: None, source: Source::Exchange(Box::new(exchange)), permit: None, slot: None, done: None }
    }

    fn bytes(&self) -> u64 {
        let kept = |pieces: &[bytes::Bytes]| pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        match &self.source {
            Source::Capture(capture) => {
                let answer = capture.response.as_ref().map_or(0, |response| kept(&response.body.kept));
                let said = capture.web_socket.iter().flat_map(|part| &part.messages);
                kept(&capture.request.body.kept) + answer + said.map(|message| kept(&message.body.kept)).sum::<u64>()
            }
            Source::Exchange(exchange) => exchange.bodies().map(|body| body.bytes.len() as u64).sum(),
        }
    }
}

/// What the writer's thread has for itself.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Message>,
    /// Tells the index's thread that there is something to store.
    index: mpsc::Sender<()>,
    redactor: Redactor,
    packer: Packer,
    environment: Arc<str>,
    segment_size: u64,
    max_size: Option<u64>,
    max_age: Option<Duration>,
    retry_every: Duration,
    /// The name of the session to continue or start when the first exchange comes.
    wanted: Option<String>,
    current: Option<SessionId>,
    active: BTreeMap<SessionId, Active>,
    /// Counts batches, for finding the session that was written to the longest ago.
    turn: u64,
    /// The stamp of the last batch.
    written: u64,
    backlog: VecDeque<Item>,
    /// When to try again, while exchanges are dropped because the disk fails.
    retry_at: Option<Instant>,
    closing: bool,
    /// Sessions whose own file is behind what is known of them.
    unsaved: BTreeSet<SessionId>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: &Config,
        inbox: mpsc::Receiver<Message>,
        index: mpsc::Sender<()>,
    ) -> io::Result<Self> {
        let stamps = |listing: &crate::index::Listing| Some(listing.written()?.1);
        let written = shared.index.listings().values().filter_map(stamps).max().unwrap_or(0);
        Ok(Self {
            inbox,
            index,
            redactor: Redactor::new(&config.redact_fields),
            packer: Packer::new(1)?,
            environment: Arc::clone(&config.environment),
            segment_size: config.segment_size.max(1),
            max_size: config.max_size,
            max_age: config.max_age,
            retry_every: config.retry_every,
            wanted: config.session.clone(),
            current: None,
            active: BTreeMap::new(),
            turn: 0,
            written,
            backlog: VecDeque::new(),
            retry_at: None,
            closing: false,
            unsaved: BTreeSet::new(),
            shared,
        })
    }

    /// Works until the log is closed.
    pub(crate) fn run(mut self) {
        self.enforce_quota();
        while let Some(batch) = self.gather() {
            self.commit(batch);
        }
        self.finish();
    }

    /// The next batch; none when the log is closed and nothing waits any more.
    fn gather(&mut self) -> Option<Vec<Item>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut slept = self.shared.durability != Durability::Batch;
        while batch.len() < MAX_BATCH && bytes <= MAX_BATCH_BYTES {
            if let Some(item) = self.backlog.pop_front() {
                bytes += item.bytes();
                batch.push(item);
                continue;
            }
            let message = match self.inbox.try_recv() {
                Ok(message) => message,
                Err(_) if !batch.is_empty() && slept => break,
                Err(_) if !batch.is_empty() => {
                    std::thread::sleep(GATHER);
                    slept = true;
                    continue;
                }
                Err(_) if self.closing => return None,
                Err(_) => match self.inbox.recv_timeout(IDLE) {
                    Ok(message) => message,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.enforce_quota();
                        continue;
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                },
            };
            match message {
                Message::Record(item) => {
                    bytes += item.bytes();
                    batch.push(item);
                }
                Message::Control(control) => {
                    // What was recorded before it comes before it.
                    if !batch.is_empty() {
                        self.commit(std::mem::take(&mut batch));
                        bytes = 0;
                    }
                    control(Ok(self));
                }
                Message::Close => self.closing = true,
            }
        }
        Some(batch)
    }

    /// Does what may fail until it succeeds, or gives up as the configuration says. False if it gave up.
    pub(crate) fn insist(&mut self, work: &mut dyn FnMut(&mut Self) -> io::Result<()>) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        loop {
            match self.save().and_then(|()| work(self)) {
                Ok(()) => {
                    self.retry_at = None;
                    if self.shared.failing.send_replace(None).is_some() {
                        tracing::warn!("the log can be written again");
                    }
                    return true;
                }
                Err(error) => {
                    let cause: Arc<str> = error.to_string().into();
                    if self.shared.failing.send_replace(Some(Arc::clone(&cause))).is_none() {
                        tracing::error!(%cause, "the log can't be written");
                    }
                }
            }
            if self.shared.on_failure == OnFailure::Forward {
                self.retry_at = Some(Instant::now() + self.retry_every);
                return false;
            }
            if self.closing || !self.wait_to_retry() {
                return false;
            }
        }
    }

    /// Waits until it is time to try again, and puts aside what comes meanwhile. False if nobody is left to wait for.
    fn wait_to_retry(&mut self) -> bool {
        let until = Instant::now() + self.retry_every;
        loop {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Record(item)) => self.backlog.push_back(item),
                Ok(Message::Control(control)) => {
                    let failure = self.shared.failure().map_or(SessionError::ReadOnly, SessionError::Store);
                    control(Err(failure));
                }
                Ok(Message::Close) => {
                    self.closing = true;
                    return true;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => return true,
                Err(mpsc::RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Leaves the log as one that was closed properly.
    fn finish(&mut self) {
        if let Some(current) = self.current.filter(|current| self.is_automatic(*current)) {
            self.insist(&mut |writer| writer.end(current));
        }
        let open: Vec<SessionId> = self.active.keys().copied().collect();
        for session in open {
            self.insist(&mut |writer| writer.sync(session));
        }
        self.insist(&mut |_| Ok(()));
        self.shared.ring.close();
        self.shared.places.close();
    }
}
