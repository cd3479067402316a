//! The writer's thread: chains and packs what the encoder made, writes it, and answers those who wait. It alone changes
//! segments and sessions; others ask it through [`Log::control`](crate::Log).

mod append;
mod look;
mod segments;
pub(crate) mod sessions;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    time::{Duration, Instant},
};

use nightaudit_exchange::SessionId;
use nightaudit_log::SessionError;

use self::{append::Pending, look::Watch, segments::Active};
use crate::{
    block::Packer,
    config::{OnFailure, StoreConfig},
    encoder::{Answer, Done},
    records::{Reached, Records},
    shared::Shared,
};

/// How often the quota is looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// How often it is looked whether the files are still where they were opened. A batch looks at its own before it counts as
/// written.
const LOOK: Duration = Duration::from_secs(1);

/// Something for the writer.
pub(crate) enum Job {
    /// A block's worth of records, to be chained and packed.
    Records(Records),
    /// What was packed is to be written, and these are to be answered; so many exchanges of theirs found no session.
    Commit {
        answers: Vec<Answer>,
        dropped: usize,
    },
    /// The session of this name, or the current one, is to be found or started; none where it can't be.
    Find(Option<Arc<str>>, mpsc::SyncSender<Option<Reached>>),
    Control(Control),
}

/// Work for the writer's thread; an error where it can't be done now.
pub(crate) type Control = Box<dyn FnOnce(Result<&mut Writer, SessionError>) + Send>;

/// What the writer's thread has for itself.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    reports: mpsc::Sender<Done>,
    /// Tells the index's thread that there is something to store.
    index: mpsc::Sender<()>,
    packer: Packer,
    environment: Arc<str>,
    segment_size: u64,
    max_size: Option<u64>,
    max_age: Option<Duration>,
    retry_every: Duration,
    /// How many sessions exchanges may still begin by naming them.
    to_begin: usize,
    /// The name of the session to continue or start when the first exchange comes.
    wanted: Option<String>,
    current: Option<SessionId>,
    active: BTreeMap<SessionId, Active>,
    /// What is packed and not written.
    pending: BTreeMap<SessionId, Pending>,
    /// The memory of blocks that are packed, for the encoder.
    spare: Vec<Vec<u8>>,
    /// The memory of the last packed blocks.
    spare_packed: Vec<u8>,
    /// Counts batches, for finding the session that was written to the longest ago.
    turn: u64,
    /// When to try again, while exchanges are dropped because the disk fails.
    retry_at: Option<Instant>,
    /// Whether exchanges of the batch at hand were dropped.
    dropping: bool,
    /// Whether nobody waits for what is written, so that nothing is tried again.
    giving_up: bool,
    /// Sessions whose own file is behind what is known of them.
    unsaved: BTreeSet<SessionId>,
    /// Sessions whose import was not finished when the log was opened.
    unfinished: Vec<SessionId>,
    /// When it was last looked whether the files are there, and whether they were not.
    looked: Instant,
    gone: bool,
    watch: Watch,
    /// When the quota was last looked at.
    measured: Instant,
    /// Whether something is tried again and again, and rescues are done meanwhile.
    insisting: bool,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: &StoreConfig,
        jobs: mpsc::Receiver<Job>,
        reports: mpsc::Sender<Done>,
        index: mpsc::Sender<()>,
    ) -> io::Result<Self> {
        Ok(Self {
            jobs,
            reports,
            index,
            packer: Packer::new(1)?,
            environment: Arc::clone(&config.environment),
            segment_size: config.segment_size.max(1),
            max_size: config.max_size,
            max_age: config.max_age,
            retry_every: config.retry_every,
            to_begin: config.max_sessions,
            wanted: config.session.clone(),
            current: None,
            active: BTreeMap::new(),
            pending: BTreeMap::new(),
            spare: Vec::new(),
            spare_packed: Vec::new(),
            turn: 0,
            retry_at: None,
            dropping: false,
            giving_up: false,
            unsaved: BTreeSet::new(),
            unfinished: Vec::new(),
            looked: Instant::now(),
            gone: false,
            watch: Watch::default(),
            measured: Instant::now(),
            insisting: false,
            shared,
        })
    }

    /// Works until the encoder is gone.
    pub(crate) fn run(mut self) {
        self.enforce_quota();
        loop {
            let job = self.jobs.recv_timeout(LOOK);
            self.look();
            self.do_rescues();
            match job {
                Ok(Job::Records(records)) => self.pack(records),
                Ok(Job::Commit { answers, dropped }) => {
                    self.dropping |= dropped > 0;
                    self.count_dropped(None, dropped);
                    self.commit(answers);
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
                Err(mpsc::RecvTimeoutError::Timeout) if self.measured.elapsed() >= IDLE => {
                    self.measured = Instant::now();
                    self.enforce_quota();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.finish();
    }

    /// Looks whether the files are where they were opened, now and then, and tells where that changes.
    fn look(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        if let Some(journal) = self.shared.journal.get().filter(|_| self.shared.is_journal_failing.load(Relaxed)) {
            self.shared.note_journal(journal.probe().as_ref().map(|_| ()));
        }
        self.look_at_sessions();
        match self.is_all_there() {
            Ok(()) if self.gone => {
                self.gone = false;
                self.succeeded();
            }
            Ok(()) => {}
            Err(error) => {
                self.gone = true;
                self.failed(&error);
            }
        }
    }

    /// Deletes what is to make room.
    fn do_rescues(&mut self) -> bool {
        let rescues = self.shared.rescues.take();
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
        // An encoder that is gone needs no news.
        let _ = self.reports.send(Done { whole, spare: std::mem::take(&mut self.spare) });
    }

    /// The session of exchanges that name this one, and how far it has come.
    fn find(&mut self, name: Option<&str>) -> Option<Reached> {
        let mut found = None;
        self.insist(&mut |writer| {
            let session = match name {
                Some(name) => writer.named_by_an_exchange(name)?,
                None => writer.current()?,
            };
            writer.reopen(session)?;
            found = Some(session);
            Ok(())
        });
        let session = found?;
        let name = self.shared.sessions().get(&session)?.meta.name.as_str().into();
        let packed = self.pending.get(&session).and_then(Pending::reached);
        let (_, last) = packed.or_else(|| Some(self.active.get(&session)?.reached()))?;
        Some(Reached { session, name, last })
    }

    /// Does what may fail until it succeeds, or gives up as the configuration says. False if it gave up.
    pub(crate) fn insist(&mut self, work: &mut dyn FnMut(&mut Self) -> io::Result<()>) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        loop {
            // What is gone is looked for each time: other things may succeed meanwhile, as though nothing were.
            let there = if self.gone { self.is_all_there() } else { Ok(()) };
            match there.and_then(|()| self.save()).and_then(|()| work(self)) {
                Ok(()) => {
                    self.gone = false;
                    self.succeeded();
                    return true;
                }
                Err(error) => self.failed(&error),
            }
            self.insisting = true;
            let made_room = self.do_rescues();
            self.insisting = false;
            if made_room {
                continue;
            }
            if self.shared.on_failure == OnFailure::Forward {
                self.retry_at = Some(Instant::now() + self.retry_every);
                return false;
            }
            if self.giving_up || self.shared.is_closing() {
                return false;
            }
            self.shared.wait_for_close(self.retry_every);
        }
    }

    /// Leaves the log as one that was closed properly.
    fn finish(&mut self) {
        if let Some(current) = self.current.filter(|current| self.is_automatic(*current)) {
            self.insist(&mut |writer| writer.end(current));
        }
        let open: Vec<SessionId> = self.active.keys().copied().collect();
        for session in open {
            self.insist(&mut |writer| writer.close_session(session));
        }
        self.insist(&mut |_| Ok(()));
        self.write_ledger(true);
        self.shared.ring.close();
        self.shared.places.close();
    }
}
