//! The log as a whole.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use nightaudit_exchange::{Api, Exchange, ExchangeId, Filter, KnownTokens, Missing, PseudonymKey, Redactor};
use nightaudit_log::{FindError, FollowFrom, Position, Query, ReadError, SessionError, Status};

use crate::{
    config::StoreConfig,
    disk,
    encoder::{Encoder, Message},
    error::OpenError,
    find,
    follow::Follower,
    journal::{self, Journal},
    lock::Lock,
    open,
    persist::persist,
    private,
    query::{Exchanges, Fetch},
    recorder::Recorder,
    recover, redaction_key,
    results::{Opened, Progress},
    shared::Shared,
    writer::{Rescues, Writer},
};

/// The log of a data folder, owned by this process.
///
/// Its methods read files and may take milliseconds; asynchronous code calls them on a blocking thread.
#[derive(Debug)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    opened: Opened,
    pub(crate) redacted: Redacted,
    /// `None` if read-only: another process may own the log.
    lock: Option<Lock>,
    /// `None` if read-only.
    encoder: Option<mpsc::Sender<Message>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What is redacted besides tokens, and the key of its pseudonyms.
#[derive(Debug)]
pub(crate) struct Redacted {
    pub(crate) fields: Vec<String>,
    pub(crate) key: PseudonymKey,
}

/// Totals of the log when it is closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// Exchanges recorded since it was opened.
    pub recorded: u64,
    /// Exchanges that passed unrecorded.
    pub unrecorded: u64,
    /// Exchanges that could not be written before shutdown.
    pub lost: u64,
}

impl Log {
    /// Opens the log of a data folder and takes ownership, creating it if it doesn't exist.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it has another owner, the file system fails, or a damaged index can't be replaced.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_with(config, &mut |_| {})
    }

    /// As [`open`](Self::open), reporting progress while segments that the index doesn't know are read.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(config: StoreConfig, progress: &mut dyn FnMut(Progress)) -> Result<Self, OpenError> {
        // The name might be a token by mistake.
        let session = config.session.as_deref().map(|name| KnownTokens::new(config.api).redact_prose(name));
        let config = StoreConfig { session, ..config };
        let dir = &config.dir;
        let failed = |what| move |source| OpenError::Io { what, path: dir.clone(), source };
        let sessions = config.dir.join("sessions");
        let is_new = !sessions.exists();
        config.disk.create_dir(&sessions).map_err(failed("create"))?;
        if is_new {
            // The entries of a folder survive a power failure only if the folder does.
            for folder in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                config.disk.sync_dir(folder).map_err(failed("create"))?;
            }
        }
        let readable = private::check(&config.dir)?;
        let lock = Lock::take(&config.dir)?;
        // Fail here on a full disk, which sled handles badly.
        disk::try_room(dir).map_err(failed("write in"))?;
        // Without properties to redact the key is hardly needed, and none is created.
        let key = match config.redact_fields.is_empty() {
            true => PseudonymKey::ephemeral(),
            false => redaction_key::redaction_key_on(&*config.disk, &config.dir).map_err(failed("use the key in"))?,
        };
        let redacted = Redacted { fields: config.redact_fields.clone(), key: key.clone() };
        let redactor = Redactor::new(config.api, &config.redact_fields, key);
        let left = journal::read(&config.dir).map_err(failed("read the journal of"))?;
        let index = recover::index(dir)?;
        let (shared, mut opened) = open::open_owned(&config, index, progress)?;
        opened.readable = readable;
        let shared = Arc::new(shared);
        let _ = shared.known_tokens.set(redactor.known_tokens());
        let (sender, inbox) = mpsc::channel();
        let (jobs, work) = mpsc::channel();
        let (done, reports) = mpsc::channel();
        let (index, to_store) = mpsc::channel();
        let rescues = Arc::new(Rescues::default());
        let mut writer = Writer::new(Arc::clone(&shared), Arc::clone(&rescues), &config, work, done, index)
            .map_err(failed("write"))?;
        opened.interrupted = writer.recover(left).map_err(failed("write"))?;
        if config.session.is_some() {
            // Start it before its first exchange: after a crash in between, interrupted requests belong to this
            // session.
            writer.current().map_err(failed("write"))?;
        }
        // Truncate the journal only now that the interrupted requests are in the log.
        let journal = Journal::create(&*config.disk, &config.dir).map_err(failed("write the journal of"))?;
        let _ = shared.journal.set(journal);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed("start the writer of"))
        };
        let encoder = Encoder::new(Arc::clone(&shared), rescues, inbox, jobs, reports, redactor);
        let indexed = Arc::clone(&shared);
        let threads = vec![
            spawn("log-encoder", Box::new(move || encoder.run()))?,
            spawn("log-writer", Box::new(move || writer.run()))?,
            spawn("log-index", Box::new(move || persist(&indexed, &to_store)))?,
        ];
        open::count(&shared, &mut opened);
        Ok(Self { shared, opened, redacted, lock: Some(lock), encoder: Some(sender), threads: Mutex::new(threads) })
    }

    /// Whether there is a log in `dir`: an error if there is none, or if that can't be told.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if there is none; [`OpenError::Io`] if the folder can't be read.
    pub fn require(dir: &Path) -> Result<(), OpenError> {
        open::require(dir)
    }

    /// Opens the log of a data folder read-only, as a snapshot of its current state.
    ///
    /// It holds the lock only while opening, to bring the index up to date. Afterwards a `serve` may start recording,
    /// and even delete or compact sessions; deleted exchanges are skipped.
    ///
    /// Nothing has to be written: if the data folder is read-only, or a copy without an index, the index is built in
    /// memory. Requests that were in flight when the last owner was killed appear as the next owner will record them.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if there is no log; otherwise as [`open`](Self::open).
    pub fn open_read_only(dir: &Path, api: &'static Api) -> Result<Self, OpenError> {
        let (shared, opened) = open::read(&StoreConfig::new(dir, api))?;
        let redacted = Redacted { fields: Vec::new(), key: PseudonymKey::ephemeral() };
        Ok(Self { shared: Arc::new(shared), opened, redacted, lock: None, encoder: None, threads: Mutex::default() })
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// A recorder for this log. That of a read-only log grants no permits.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        let encoder = self.encoder.clone().unwrap_or_else(|| {
            self.shared.permits.close();
            mpsc::channel().0
        });
        Recorder { shared: Arc::clone(&self.shared), encoder, notifier: None, spare: None }
    }

    /// The tokens that the redactor has seen in this run; none of a read-only log.
    #[must_use]
    pub fn known_tokens(&self) -> &KnownTokens {
        self.shared.known_tokens()
    }

    /// The state of recording.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            recorded: shared.recorded.load(Ordering::Relaxed),
            unrecorded: shared.unrecorded.load(Ordering::Relaxed),
            waiting: shared.permits_taken() as u64,
            missing: shared.missing_count(),
            failing: shared.cause_of_failure(),
        }
    }

    /// Exchanges that were recorded and are no longer in the log, by session. Deleted exchanges are not missing.
    /// Unreadable ones are not counted: each is an error when read.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        self.shared.missing()
    }

    /// The exchange with this id; `None` if it isn't in the log.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it exists but can't be read.
    pub fn get(&self, id: ExchangeId) -> Result<Option<Exchange>, ReadError> {
        let Some(found) = self.shared.with_id(id)? else { return Ok(None) };
        Fetch::new(Arc::clone(&self.shared)).exchange(found.position.session, found.position.sequence, found.at)
    }

    /// The position of the exchange with this id; `None` if it isn't in the log.
    ///
    /// # Errors
    ///
    /// [`ReadError::Index`] if the index can't be read.
    pub fn position(&self, id: ExchangeId) -> Result<Option<Position>, ReadError> {
        self.shared.position_of(id)
    }

    /// A counter that changes when exchanges were removed, and with every opening of the log.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.index.generation()
    }

    /// The one exchange that `which` names: a prefix or suffix of its id, `last` or `last-error`.
    ///
    /// Prefixes take precedence over suffixes. `last-error` is the last exchange without a response or with a status of
    /// 400 or above.
    ///
    /// # Errors
    ///
    /// [`FindError`] if there is none, there are several, or it can't be read.
    pub fn find(&self, which: &str) -> Result<Exchange, FindError> {
        find::find(&self.shared, which)
    }

    /// The exchanges that match a query.
    ///
    /// # Errors
    ///
    /// [`ReadError::Session`] if the filter names an unknown session.
    pub fn query(&self, query: Query) -> Result<Exchanges, ReadError> {
        Exchanges::new(&self.shared, query)
    }

    /// Counts the matching exchanges. Bodies are read only if the filter needs them.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if something that has to be read can't be.
    pub fn count(&self, filter: &Filter) -> Result<u64, ReadError> {
        self.query(Query { filter: filter.clone(), ..Query::default() })?.count()
    }

    /// Follows exchanges as they are recorded.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the start can't be found.
    pub fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Follower, ReadError> {
        Follower::new(Arc::clone(&self.shared), filter, from)
    }

    /// Writes the console's address to the file `console`, where commands find it. Does nothing for a read-only log.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn set_console(&self, address: &str) -> io::Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.write(address))
    }

    /// The console of the process that owns this data folder; `None` if there is no owner or it has no console.
    ///
    /// # Errors
    ///
    /// An error reading the file.
    pub fn console_of(dir: &Path) -> io::Result<Option<String>> {
        Lock::console(dir)
    }

    /// Writes everything queued, ends the session if it was started without a name, and stops. Further calls do
    /// nothing.
    ///
    /// The data folder is released when the log is dropped.
    pub fn close(&self) -> Closed {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(encoder) = &self.encoder {
            let _ = encoder.send(Message::Close);
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &self.shared;
        Closed {
            recorded: number(&shared.recorded),
            unrecorded: number(&shared.unrecorded),
            lost: number(&shared.lost),
        }
    }

    /// Runs `work` on the writer thread and waits for it.
    pub(crate) fn control<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let (result, done) = mpsc::sync_channel(1);
        self.start_control(move |writer: Result<&mut Writer, SessionError>| {
            let _ = result.send(writer.and_then(work));
        })?;
        done.recv().unwrap_or(Err(SessionError::ReadOnly))
    }

    /// Queues `work` for the writer thread.
    pub(crate) fn start_control(
        &self,
        work: impl FnOnce(Result<&mut Writer, SessionError>) + Send + 'static,
    ) -> Result<(), SessionError> {
        let encoder = self.encoder.as_ref().ok_or(SessionError::ReadOnly)?;
        encoder.send(Message::Control(Box::new(work))).map_err(|_| SessionError::ReadOnly)
    }

    /// As [`control`](Self::control), for work that frees space: it runs even while writes fail.
    pub(crate) fn rescue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let encoder = self.encoder.as_ref().ok_or(SessionError::ReadOnly)?;
        let (result, done) = mpsc::sync_channel(1);
        let work = move |writer: Result<&mut Writer, SessionError>| {
            let _ = result.send(writer.and_then(work));
        };
        encoder.send(Message::Rescue(Box::new(work))).map_err(|_| SessionError::ReadOnly)?;
        done.recv().unwrap_or(Err(SessionError::ReadOnly))
    }

    /// Whether it was opened by [`open_read_only`](Self::open_read_only).
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        !self.is_writable()
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.encoder.is_some()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}
