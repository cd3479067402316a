//! The writer thread: chains, compresses and writes what the encoder produced, and completes it. Only this thread
//! changes segments and sessions; others ask it through [`Log::control`](crate::Log).

mod active;
mod append;
mod imports;
mod pending;
mod segments;
pub(crate) mod sessions;
mod watch;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io, mem,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed, mpsc},
    time::{Duration, Instant},
};

use nightaudit_exchange::SessionId;
use nightaudit_log::SessionError;

use self::{active::Active, pending::Pending, watched::Watched};
use crate::{
    block::Packer,
    config::{Keeper, OnFailure, StoreConfig},
    disk,
    pipeline::{Completion, Report},
    records::{Records, SessionTail},
    shared::Shared,
};

/// How often the quota is checked while idle.
const QUOTA_INTERVAL: Duration = Duration::from_secs(60);
/// How often to check that the files are still where they were opened. A batch checks its own before it counts as
/// written.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A job for the writer.
pub(crate) enum Job {
    /// The records of one block, to chain and compress.
    Records(Records),
    /// Write what is packed, then complete these; `dropped` exchanges of theirs found no session.
    Commit {
        completions: Vec<Completion>,
        dropped: usize,
    },
    /// Find or start the session of this name, or the current one; `None` if that fails.
    Find(Option<Arc<str>>, mpsc::SyncSender<Option<SessionTail>>),
    Control(Control),
}

/// Work for the writer thread; passed an error if it can't be done now.
pub(crate) type Control = Box<dyn FnOnce(Result<&mut Writer, SessionError>) + Send>;

/// Work that the writer does even while writes fail.
#[derive(Default)]
pub(crate) struct Rescues(Mutex<Vec<Control>>);

impl Rescues {
    pub(crate) fn add(&self, control: Control) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(control);
    }

    pub(crate) fn take(&self) -> Vec<Control> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Rescues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescues").finish_non_exhaustive()
    }
}

/// The state of the writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Deletions that free space, to run while the writer retries.
    rescues: Arc<Rescues>,
    jobs: mpsc::Receiver<Job>,
    reports: mpsc::Sender<Report>,
    /// Wakes the index thread.
    index: mpsc::Sender<()>,
    packer: Packer,
    environment: Arc<str>,
    segment_size: u64,
    max_size: Option<u64>,
    max_age: Option<Duration>,
    keeper: Option<Keeper>,
    retry_interval: Duration,
    /// How many more sessions exchanges may start by naming them.
    sessions_left: usize,
    /// The name of the session to continue or start with the first exchange.
    configured: Option<String>,
    current: Option<SessionId>,
    active: BTreeMap<SessionId, Active>,
    /// Packed blocks not yet written.
    pending: BTreeMap<SessionId, Pending>,
    /// Buffers of packed blocks, to return to the encoder.
    spare: Vec<Vec<u8>>,
    /// The buffer of the last packed blocks.
    spare_packed: Vec<u8>,
    /// Counts batches, to find the least recently written session.
    turn: u64,
    /// When to retry, while exchanges are dropped because the disk fails.
    retry_at: Option<Instant>,
    /// Whether exchanges of the current batch were dropped.
    dropping: bool,
    /// Whether writes are attempted only once, because nothing waits for them.
    no_retry: bool,
    /// Whether requests are recorded.
    records: bool,
    /// Exchanges written since the log was opened, imported ones included.
    published: u64,
    /// Sessions whose `session.json` is out of date.
    unsaved: BTreeSet<SessionId>,
    /// Sessions whose import was unfinished when the log was opened.
    unfinished: Vec<SessionId>,
    /// When the files were last checked, and whether any was gone.
    files_checked: Instant,
    gone: bool,
    watched: Watched,
    /// When the quota was last checked.
    quota_checked: Instant,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        rescues: Arc<Rescues>,
        config: &StoreConfig,
        jobs: mpsc::Receiver<Job>,
        reports: mpsc::Sender<Report>,
        index: mpsc::Sender<()>,
    ) -> io::Result<Self> {
        Ok(Self {
            rescues,
            jobs,
            reports,
            index,
            packer: Packer::new(1)?,
            environment: Arc::clone(&config.environment),
            segment_size: config.segment_size.max(1),
            max_size: config.max_size,
            max_age: config.max_age,
            keeper: config.keeper.clone(),
            retry_interval: config.retry_interval,
            sessions_left: config.max_sessions,
            configured: config.session.clone(),
            current: None,
            active: BTreeMap::new(),
            pending: BTreeMap::new(),
            spare: Vec::new(),
            spare_packed: Vec::new(),
            turn: 0,
            retry_at: None,
            dropping: false,
            no_retry: false,
            records: config.records,
            published: 0,
            unsaved: BTreeSet::new(),
            unfinished: Vec::new(),
            files_checked: Instant::now(),
            gone: false,
            watched: Watched::default(),
            quota_checked: Instant::now(),
            shared,
        })
    }

    /// Runs until the encoder is gone.
    pub(crate) fn run(mut self) {
        self.enforce_quota();
        loop {
            let job = self.jobs.recv_timeout(CHECK_INTERVAL);
            self.check_files();
            self.run_rescues();
            match job {
                Ok(Job::Records(records)) => self.pack(records),
                Ok(Job::Commit { completions, dropped }) => {
                    self.dropping |= dropped > 0;
                    self.count_dropped(None, dropped);
                    self.commit(completions);
                }
                Ok(Job::Find(name, found)) => {
                    let reached = self.find(name.as_deref());
                    let _ = found.send(reached);
                    self.report(true);
                }
                Ok(Job::Control(control)) => {
                    control(Ok(&mut self));
                    self.report(true);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if self.quota_checked.elapsed() >= QUOTA_INTERVAL => {
                    self.quota_checked = Instant::now();
                    self.enforce_quota();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.finish();
    }

    /// Checks once in a while that the files are where they were opened, and reports changes.
    fn check_files(&mut self) {
        if self.files_checked.elapsed() < CHECK_INTERVAL {
            return;
        }
        self.files_checked = Instant::now();
        if let Some(journal) = self.shared.journal.get().filter(|_| self.shared.is_journal_failing.load(Relaxed)) {
            self.shared.note_journal(journal.probe().as_ref().map(|_| ()));
        }
        // While the whole data folder is away, no session is given up.
        if self.check_folder().is_ok() {
            self.give_up_lost();
            self.check_sessions();
        }
        match self.check_paths() {
            Ok(()) if self.gone => {
                self.gone = false;
                self.succeeded();
            }
            Ok(()) => self.probe(),
            Err(error) => {
                self.gone = true;
                self.failed(&error);
            }
        }
    }

    /// Tries to write after a failure that nothing retries: no request is let through that would find out. Exchanges
    /// that wait for the disk are retried elsewhere, and hold this thread meanwhile.
    fn probe(&mut self) {
        if self.shared.failing.borrow().is_none() || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let journal = self.shared.journal.get().map_or(Ok(()), |journal| journal.probe());
        match journal.and_then(|()| disk::probe(&*self.shared.disk, &self.shared.dir)).and_then(|()| self.save()) {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error),
        }
    }

    /// Runs pending rescues. Returns whether there were any.
    fn run_rescues(&mut self) -> bool {
        let rescues = self.rescues.take();
        let did = !rescues.is_empty();
        rescues.into_iter().for_each(|control| control(Ok(self)));
        did
    }

    fn succeeded(&mut self) {
        self.retry_at = None;
        if self.shared.failing.borrow().is_some() {
            self.shared.failing.send_replace(None);
            tracing::warn!("the log can be written again");
        }
    }

    fn failed(&self, error: &io::Error) {
        let cause: Arc<str> = error.to_string().into();
        if self.shared.failing.send_replace(Some(Arc::clone(&cause))).is_none() {
            tracing::error!(%cause, "the log can't be written");
        }
    }

    pub(super) fn report(&mut self, whole: bool) {
        // The encoder may be gone.
        let _ = self.reports.send(Report { whole, spare: mem::take(&mut self.spare) });
    }

    /// The session of exchanges that name this one, and where it ends.
    fn find(&mut self, name: Option<&str>) -> Option<SessionTail> {
        let mut found = None;
        self.retry(&mut |writer| {
            let mut session = writer.session_of(name)?;
            if writer.lose_if_gone(session) {
                session = writer.session_of(name)?;
            }
            writer.reopen(session)?;
            found = Some(session);
            Ok(())
        });
        let session = found?;
        let name = self.shared.sessions().get(&session)?.meta.name.as_str().into();
        let packed = self.pending.get(&session).and_then(Pending::reached);
        let (_, last) = packed.or_else(|| Some(self.active.get(&session)?.reached()))?;
        Some(SessionTail { session, name, last })
    }

    /// The session of exchanges that name this one, started if there is none.
    fn session_of(&mut self, name: Option<&str>) -> io::Result<SessionId> {
        match name {
            Some(name) => self.named_by_exchange(name),
            None => self.current(),
        }
    }

    /// Retries `work` until it succeeds, or gives up as configured. Returns whether it succeeded.
    pub(crate) fn retry(&mut self, work: &mut dyn FnMut(&mut Self) -> io::Result<()>) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        loop {
            // Check for missing files each time: other work might succeed meanwhile as if nothing was gone.
            let there = if self.gone { self.check_paths() } else { Ok(()) };
            match there.and_then(|()| self.save()).and_then(|()| work(self)) {
                Ok(()) => {
                    self.gone = false;
                    self.succeeded();
                    return true;
                }
                Err(error) => self.failed(&error),
            }
            if self.run_rescues() {
                continue;
            }
            if self.shared.on_failure == OnFailure::Forward {
                self.retry_at = Some(Instant::now() + self.retry_interval);
                return false;
            }
            if self.no_retry || self.shared.is_closing() {
                return false;
            }
            self.shared.wait_for_close(self.retry_interval);
        }
    }

    /// Closes the log cleanly.
    fn finish(&mut self) {
        if let Some(current) = self.current.filter(|current| self.is_automatic(*current)) {
            self.retry(&mut |writer| writer.end(current));
        }
        let open: Vec<SessionId> = self.active.keys().copied().collect();
        for session in open {
            self.retry(&mut |writer| writer.close_session(session));
        }
        self.retry(&mut |_| Ok(()));
        self.write_ledger(true);
        self.shared.ring.close();
        self.shared.permits.close();
    }
}
