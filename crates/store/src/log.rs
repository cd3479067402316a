//! The log as a whole.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use nightaudit_exchange::{Exchange, ExchangeId, Filter, KnownTokens, Missing, PseudonymKey, Redactor};
use nightaudit_log::{Damage, FindError, FollowFrom, Query, ReadError, SessionError, Status};

use crate::{
    config::StoreConfig,
    disk,
    encoder::{Encoder, Message},
    error::OpenError,
    follow::Follower,
    index::keep,
    journal::{self, Journal},
    lock::Lock,
    lookup,
    maintenance::Progress,
    open, private,
    query::{Exchanges, Fetch},
    recorder::Recorder,
    recover,
    shared::Shared,
    writer::Writer,
};

/// The log of a data folder, owned by this process.
///
/// Its methods read files and may take milliseconds; asynchronous code calls them on a thread that may block.
#[derive(Debug)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    opened: Opened,
    /// None where the log was opened for reading: others may have it meanwhile.
    lock: Option<Lock>,
    /// None where the log was opened for reading.
    encoder: Option<mpsc::Sender<Message>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Sessions in the log.
    pub sessions: u64,
    /// Exchanges in the log.
    pub exchanges: u64,
    /// Requests that were under way when the last owner ended without closing the log. An owner has recorded them, and a
    /// reader shows them.
    pub interrupted: u64,
    /// Bytes at the ends of segments that were cut off because their writing had not been finished.
    pub torn_bytes: u64,
    /// Why the index was made again, if it was.
    pub rebuilt: Option<String>,
    /// What was found damaged in the part of the segments that had to be read, and in the ledger.
    pub damage: Vec<Damage>,
    /// What was recorded and is there no more.
    pub missing: Vec<Missing>,
    /// Of the data folder, what other users can read.
    pub readable: Vec<PathBuf>,
}

/// What was done until the log was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// Exchanges recorded since it was opened.
    pub recorded: u64,
    /// Exchanges that passed unrecorded.
    pub unrecorded: u64,
    /// Exchanges that could not be written to the end.
    pub lost: u64,
}

impl Log {
    /// Opens the log of a data folder, which this process then owns, or begins one.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what stands in the way: another owner, the file system, a damaged index that can't be
    /// replaced.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_with(config, &mut |_| {})
    }

    /// As [`open`](Self::open), telling how far the reading of segments has come that the index does not know.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(config: StoreConfig, progress: &mut dyn FnMut(Progress)) -> Result<Self, OpenError> {
        // It may be a token that was taken for a name.
        let session = config.session.as_deref().map(|name| KnownTokens::default().redact_prose(name));
        let config = StoreConfig { session, ..config };
        let dir = &config.dir;
        let failed = |what| move |source| OpenError::Io { what, path: dir.clone(), source };
        let sessions = config.dir.join("sessions");
        let is_new = !sessions.exists();
        config.disk.create_dir(&sessions).map_err(failed("create"))?;
        if is_new {
            // What is in a folder survives a power failure only if the folder does.
            for folder in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                config.disk.sync_dir(folder).map_err(failed("create"))?;
            }
        }
        let readable = private::check(&config.dir)?;
        let lock = Lock::take(&config.dir)?;
        // Before the index meets a full disk, which it does not take well.
        disk::try_room(dir).map_err(failed("write in"))?;
        // Without fields to replace the key is hardly needed, and none is made.
        let key = match config.redact_fields.is_empty() {
            true => PseudonymKey::ephemeral(),
            false => private::redaction_key_on(&*config.disk, &config.dir).map_err(failed("use the key in"))?,
        };
        let redactor = Redactor::new(&config.redact_fields, key);
        let left = journal::read(&config.dir).map_err(failed("read the journal of"))?;
        let index = recover::index(dir)?;
        let (shared, mut opened) = open::own(&config, index, progress)?;
        opened.readable = readable;
        let shared = Arc::new(shared);
        let _ = shared.known_tokens.set(redactor.known_tokens());
        let (sender, inbox) = mpsc::channel();
        let (jobs, work) = mpsc::channel();
        let (done, reports) = mpsc::channel();
        let (index, to_store) = mpsc::channel();
        let mut writer = Writer::new(Arc::clone(&shared), &config, work, done, index).map_err(failed("write"))?;
        opened.interrupted = writer.recover(left).map_err(failed("write"))?;
        if config.session.is_some() {
            // Begun before its first exchange is recorded: a crash in between interrupts requests of this session.
            writer.current().map_err(failed("write"))?;
        }
        // Only now that the interrupted requests are in the log is their journal begun anew.
        let journal = Journal::create(&*config.disk, &config.dir).map_err(failed("write the journal of"))?;
        let _ = shared.journal.set(journal);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed("start the writer of"))
        };
        let encoder = Encoder::new(Arc::clone(&shared), inbox, jobs, reports, redactor);
        let indexed = Arc::clone(&shared);
        let threads = vec![
            spawn("log-encoder", Box::new(move || encoder.run()))?,
            spawn("log-writer", Box::new(move || writer.run()))?,
            spawn("log-index", Box::new(move || keep(&indexed, &to_store)))?,
        ];
        open::count(&shared, &mut opened);
        Ok(Self { shared, opened, lock: Some(lock), encoder: Some(sender), threads: Mutex::new(threads) })
    }

    /// Opens the log of a data folder for reading: as it is now, whatever is recorded later.
    ///
    /// It has the data folder for itself only until it is open, during which it brings the index up to the segments. Then a
    /// `serve` may begin to record, and even delete or compact sessions: what is deleted is passed over.
    ///
    /// Nothing needs to be written: where the data folder takes nothing, or is a copy without an index, the index is made in
    /// memory. Requests that were under way when the last owner was killed are there as the next owner will record them.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] where there is no log; else as [`open`](Self::open).
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        let (shared, opened) = open::read(dir)?;
        Ok(Self { shared: Arc::new(shared), opened, lock: None, encoder: None, threads: Mutex::default() })
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The log's entrance. Of a log that was opened for reading it admits nothing.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        let encoder = self.encoder.clone().unwrap_or_else(|| {
            self.shared.places.close();
            mpsc::channel().0
        });
        Recorder { shared: Arc::clone(&self.shared), encoder, notifier: None }
    }

    /// How the log is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            recorded: shared.recorded.load(Ordering::Relaxed),
            unrecorded: shared.unrecorded.load(Ordering::Relaxed),
            waiting: shared.places_taken() as u64,
            missing: shared.missing_count(),
            failing: shared.cause_of_failure(),
        }
    }

    /// The exchange with this id; none if it isn't there.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where it is there and can't be read.
    pub fn get(&self, id: ExchangeId) -> Result<Option<Exchange>, ReadError> {
        let Some(found) = self.shared.between((id, id), 1)?.pop() else { return Ok(None) };
        Fetch::new(Arc::clone(&self.shared)).exchange(found.place.session, found.place.sequence, found.at)
    }

    /// The one exchange that `which` names: the beginning or the end of its id, or `last` or `last-error`.
    ///
    /// What is the beginning of an id isn't looked for at the end of others. An error, to `last-error`, is what has no
    /// response, or one with a status of 400 or above.
    ///
    /// # Errors
    ///
    /// [`FindError`] where there is none or there are several, or it can't be read.
    pub fn find(&self, which: &str) -> Result<Exchange, FindError> {
        lookup::find(&self.shared, which)
    }

    /// The exchanges that a query asks for.
    ///
    /// # Errors
    ///
    /// [`ReadError::Session`] where the filter names a session that isn't there.
    pub fn query(&self, query: Query) -> Result<Exchanges, ReadError> {
        Exchanges::new(&self.shared, query)
    }

    /// How many exchanges match. Bodies are read only where the filter looks at them.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where what would have to be counted can't be read.
    pub fn count(&self, filter: &Filter) -> Result<u64, ReadError> {
        self.query(Query { filter: filter.clone(), ..Query::default() })?.count()
    }

    /// Follows what is recorded.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the place to begin can't be found.
    pub fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Follower, ReadError> {
        Follower::new(Arc::clone(&self.shared), filter, from)
    }

    /// Names the owner's console in the lock file, so that commands find it. Who only reads owns nothing, and has none.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn set_console(&self, address: &str) -> io::Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.write(Some(address)))
    }

    /// The console of the process that has the log of this data folder; none where nobody has it, or whoever has it has
    /// no console.
    ///
    /// # Errors
    ///
    /// What the operating system says of the lock file.
    pub fn console_of(dir: &Path) -> io::Result<Option<String>> {
        Lock::console(dir)
    }

    /// Writes what waits, ends a session that was started without a name, and stops. Further calls do nothing.
    ///
    /// The data folder is free when the log is dropped.
    pub fn close(&self) -> Closed {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(encoder) = &self.encoder {
            let _ = encoder.send(Message::Close);
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log ended in panic");
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

    /// Has the writer's thread do something, and waits for it.
    pub(crate) fn control<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let (answer, done) = mpsc::sync_channel(1);
        self.start_control(move |writer: Result<&mut Writer, SessionError>| {
            let _ = answer.send(writer.and_then(work));
        })?;
        done.recv().unwrap_or(Err(SessionError::ReadOnly))
    }

    /// Has the writer's thread do something.
    pub(crate) fn start_control(
        &self,
        work: impl FnOnce(Result<&mut Writer, SessionError>) + Send + 'static,
    ) -> Result<(), SessionError> {
        let encoder = self.encoder.as_ref().ok_or(SessionError::ReadOnly)?;
        encoder.send(Message::Control(Box::new(work))).map_err(|_| SessionError::ReadOnly)
    }

    /// As [`control`](Self::control), for what makes room: it is done even while the disk takes nothing.
    pub(crate) fn rescue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, SessionError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let encoder = self.encoder.as_ref().ok_or(SessionError::ReadOnly)?;
        let (answer, done) = mpsc::sync_channel(1);
        let work = move |writer: Result<&mut Writer, SessionError>| {
            let _ = answer.send(writer.and_then(work));
        };
        encoder.send(Message::Rescue(Box::new(work))).map_err(|_| SessionError::ReadOnly)?;
        done.recv().unwrap_or(Err(SessionError::ReadOnly))
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
