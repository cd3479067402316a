//! State shared by the writer thread and readers.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nightaudit_exchange::{Api, Exchange, KnownTokens, SessionId, Timestamp};
use nightaudit_log::{Candidate, Damage, Session, SessionError, StoreFailure, choose};
use tokio::sync::{Semaphore, watch};

use crate::{
    config::{Durability, OnFailure},
    disk::Disk,
    index::{Index, Listing},
    journal::Journal,
    ledger::{Head, Ledger, Note},
    meta::{self, Meta},
    notifier::Notifiers,
    ring::Ring,
    spill::SpillFile,
    tallies::Tallies,
};

/// A session's current state.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) meta: Meta,
    /// The size of its segments, in bytes.
    pub(crate) bytes: u64,
    /// What it has recorded so far, including missing exchanges.
    pub(crate) head: Head,
    /// How many of those are missing, and their ranges of sequence numbers where known.
    pub(crate) missing: u64,
    pub(crate) gaps: Vec<(u64, u64)>,
}

impl Entry {
    /// A session whose segments were not looked at yet.
    pub(crate) fn new(meta: Meta) -> Self {
        let head = meta.head.unwrap_or_default();
        Self { meta, bytes: 0, head, missing: 0, gaps: Vec::new() }
    }

    fn named(&self) -> Candidate<'_> {
        Candidate { id: self.meta.id, name: &self.meta.name, open: self.meta.ended.is_none() }
    }
}

/// Whether the log is being closed.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    closing: Mutex<bool>,
    closed: Condvar,
}

/// The state of a log that is not the writer's alone.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) api: &'static Api,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) durability: Durability,
    pub(crate) on_failure: OnFailure,
    pub(crate) now: fn() -> Timestamp,
    pub(crate) index: Index,
    pub(crate) tallies: Tallies,
    /// `None` for a read-only log.
    pub(crate) journal: OnceLock<Journal>,
    /// The tokens that the redactor has seen; empty if nothing is recorded.
    pub(crate) known_tokens: OnceLock<KnownTokens>,
    pub(crate) ring: Ring,
    /// Why the journal can't be written, while it can't.
    pub(crate) journal_failing: Mutex<Option<Arc<str>>>,
    /// Whether `journal_failing` is set; checked for each request.
    pub(crate) is_journal_failing: AtomicBool,
    /// Why the log can't be written, while it can't.
    pub(crate) failing: watch::Sender<Option<Arc<str>>>,
    pub(crate) queue: usize,
    pub(crate) permits: Arc<Semaphore>,
    /// The bytes of bodies waiting to be written, and above how many no further permit is granted.
    pub(crate) backlog: AtomicU64,
    pub(crate) max_backlog: u64,
    /// Whether the backlog is above its limit.
    pub(crate) backlogged: watch::Sender<bool>,
    pub(crate) notifiers: Notifiers,
    pub(crate) spill: Arc<SpillFile>,
    /// The stamp of the last batch.
    pub(crate) stamp: AtomicU64,
    pub(crate) closing: Closing,
    pub(crate) recorded: AtomicU64,
    pub(crate) unrecorded: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) sessions: Mutex<BTreeMap<SessionId, Entry>>,
    /// How many sessions were deleted; a change invalidates cached sessions.
    pub(crate) deletions: AtomicU64,
    /// Sessions that are gone but were not deleted through this program.
    pub(crate) vanished: Mutex<BTreeMap<SessionId, Note>>,
    /// `None` for a read-only log.
    pub(crate) ledger: OnceLock<Mutex<Ledger>>,
    /// Whether the ledger is behind the segments.
    pub(crate) ledger_stale: AtomicBool,
    /// Damage found in the ledger.
    pub(crate) ledger_damage: Vec<Damage>,
    /// For a read-only log: requests in flight when the last owner was killed, as the next one will record them.
    pub(crate) interrupted: BTreeMap<(SessionId, u64), Exchange>,
}

impl Shared {
    /// The sessions. Don't do I/O while holding the lock; `Index::listings` may be locked inside it, never the reverse.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn vanished(&self) -> MutexGuard<'_, BTreeMap<SessionId, Note>> {
        self.vanished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes notes to the ledger. With `sync` they survive a power failure.
    pub(crate) fn note(&self, notes: impl IntoIterator<Item = Note>, sync: bool) -> io::Result<()> {
        let Some(ledger) = self.ledger.get() else { return Ok(()) };
        // The only lock held over I/O: taken a few times a second at most, never per exchange.
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.write(notes, sync && self.durability == Durability::Sync)
    }

    pub(crate) fn folder(&self, session: SessionId) -> PathBuf {
        meta::folder(&self.dir, session)
    }

    /// A path relative to the data folder, for messages.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.dir).unwrap_or(path).to_owned()
    }

    pub(crate) fn failure(&self) -> Option<StoreFailure> {
        self.failing.borrow().clone().map(|cause| StoreFailure { cause })
    }

    /// Tracks whether the journal can be written, and logs changes.
    pub(crate) fn note_journal(&self, noted: Result<(), &io::Error>) {
        let was_failing = self.is_journal_failing.load(Ordering::Relaxed);
        let cause = match noted {
            Ok(()) if !was_failing => return,
            Ok(()) => None,
            Err(error) => Some(format!("can't write the journal: {error}").into()),
        };
        let mut failing = self.journal_failing.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*failing, &cause) {
            (None, Some(cause)) => tracing::error!(%cause, "the journal can't be written"),
            (Some(_), None) => tracing::warn!("the journal can be written again"),
            _ => {}
        }
        self.is_journal_failing.store(cause.is_some(), Ordering::Relaxed);
        *failing = cause;
    }

    /// Why requests can't currently be recorded, because of the log or the journal.
    pub(crate) fn cause_of_failure(&self) -> Option<Arc<str>> {
        let journal = || self.journal_failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.failing.borrow().clone().or_else(journal)
    }

    /// A stamp for a batch: unique and monotonic, even if the clock isn't.
    pub(crate) fn stamp(&self) -> u64 {
        let now = u64::try_from((self.now)().micros()).unwrap_or(0);
        let next = |last: u64| now.max(last + 1);
        // The closure always returns `Some`; both arms hold the previous stamp.
        let (Ok(last) | Err(last)) =
            self.stamp.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last)
    }

    /// A stamp right after the last one, whatever the time: for requests interrupted by a kill, so that their position
    /// is the same before and after they are recorded.
    pub(crate) fn stamp_after_last(&self) -> u64 {
        self.stamp.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Sessions of imports that are complete but not yet marked so: all sessions of such an import are whole.
    pub(crate) fn imported(&self) -> Vec<SessionId> {
        let sessions = self.sessions();
        let importing: Vec<_> =
            sessions.values().filter_map(|entry| Some((entry.meta.id, entry.meta.importing?))).collect();
        let whole = |import: u64| importing.iter().all(|(_, other)| other.import != import || other.whole);
        importing.iter().filter(|(_, of)| whole(of.import)).map(|(session, _)| *session).collect()
    }

    /// Permits in use: requests in flight, and exchanges waiting to be written.
    pub(crate) fn permits_taken(&self) -> usize {
        self.queue.saturating_sub(self.permits.available_permits())
    }

    /// Adds bytes of bodies to the backlog.
    pub(crate) fn add_to_backlog(&self, bytes: u64) {
        let before = self.backlog.fetch_add(bytes, Ordering::Relaxed);
        if before <= self.max_backlog && before + bytes > self.max_backlog {
            self.update_backlogged();
        }
    }

    /// Removes bytes of bodies from the backlog.
    pub(crate) fn remove_from_backlog(&self, bytes: u64) {
        let before = self.backlog.fetch_sub(bytes, Ordering::Relaxed);
        if before > self.max_backlog && before - bytes <= self.max_backlog {
            self.update_backlogged();
        }
    }

    fn update_backlogged(&self) {
        // Compared within the channel's lock: the last one in sees everybody's counts.
        self.backlogged.send_if_modified(|backlogged| {
            let is = self.backlog.load(Ordering::Relaxed) > self.max_backlog;
            std::mem::replace(backlogged, is) != is
        });
    }

    /// Ends retries: the log is being closed.
    pub(crate) fn close(&self) {
        *self.closing.closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.closing.closed.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `longest`, or until the log is being closed.
    pub(crate) fn wait_for_close(&self, longest: Duration) {
        let closing = self.closing.closing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.closing.closed.wait_timeout_while(closing, longest, |closing| !*closing);
        drop(waited);
    }

    pub(crate) fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// All sessions, oldest first.
    pub(crate) fn list(&self) -> Vec<Session> {
        let sessions = self.sessions();
        let listings = self.index.listings();
        let mut list: Vec<Session> = sessions.iter().map(|(id, entry)| self.view_of(entry, listings.get(id))).collect();
        // One of these may be on its way back, by an import.
        list.extend(self.vanished().values().filter(|note| !sessions.contains_key(&note.session)).map(gone));
        drop((listings, sessions));
        list.sort_by_key(|session| session.id);
        list
    }

    /// One session; `None` if it doesn't exist.
    pub(crate) fn view(&self, session: SessionId) -> Option<Session> {
        let sessions = self.sessions();
        let entry = sessions.get(&session)?;
        Some(self.view_of(entry, self.index.listings().get(&session)))
    }

    /// The session that `which` names: see [`choose`].
    pub(crate) fn resolve(&self, which: &str) -> Result<SessionId, SessionError> {
        match self.resolve_exactly(which) {
            Err(SessionError::NotFound(_)) => {
                // A session that was named after a token can be found by that token, and no error repeats it.
                let clean = self.cleaned(which);
                self.resolve_exactly(&clean)
            }
            found => found,
        }
    }

    /// User input with tokens redacted.
    pub(crate) fn cleaned(&self, text: &str) -> String {
        self.known_tokens().redact_prose(text)
    }

    /// The tokens that the redactor has seen; none if nothing is recorded.
    pub(crate) fn known_tokens(&self) -> &KnownTokens {
        self.known_tokens.get_or_init(|| KnownTokens::new(self.api))
    }

    fn resolve_exactly(&self, which: &str) -> Result<SessionId, SessionError> {
        let sessions = self.sessions();
        let chosen = choose(which, sessions.values().map(Entry::named));
        drop(sessions);
        match chosen {
            Err(SessionError::NotFound(_)) => {
                Err(self.vanished_as(which).unwrap_or_else(|| SessionError::NotFound(which.to_owned())))
            }
            chosen => chosen,
        }
    }

    /// The error for a session that is gone, by its name, its id or a prefix of its id.
    fn vanished_as(&self, which: &str) -> Option<SessionError> {
        let prefix = which.to_ascii_uppercase();
        let vanished = self.vanished();
        let named = vanished.values().rev().find(|note| note.name == which);
        let note = named.or_else(|| {
            let fits = |note: &&Note| !prefix.is_empty() && note.session.to_string().starts_with(&prefix);
            vanished.values().find(fits)
        })?;
        Some(SessionError::Gone { id: note.session, name: note.name.clone(), exchanges: note.head.count })
    }

    fn view_of(&self, entry: &Entry, listing: Option<&Listing>) -> Session {
        let whole = listing.and_then(|listing| listing.parts.summary());
        let meta = entry.meta.clone();
        Session {
            id: meta.id,
            name: meta.name,
            environment: meta.environment,
            started: meta.started,
            ended: meta.ended,
            exchanges: listing.map_or(0, Listing::exchanges),
            first: whole.map(|whole| whole.first_started()),
            last: whole.map(|whole| whole.last_started()),
            bytes: entry.bytes,
            note: meta.note,
            unrecorded: meta.unrecorded,
            incomplete: meta.incomplete || meta.importing.is_some() || entry.missing > 0,
            imported: meta.imported,
            declaration: meta.declaration,
            open: meta.ended.is_none(),
            // Without an owner nothing is being recorded, whatever the last one left.
            current: meta.current && meta.ended.is_none() && self.ledger.get().is_some(),
            missing: entry.missing,
            missing_ranges: entry.gaps.clone(),
            importing: meta.importing.is_some(),
            chains: Vec::new(),
        }
    }
}

/// The listing of a session that is gone.
fn gone(note: &Note) -> Session {
    let micros = i64::try_from(note.session.milliseconds()).unwrap_or(0).saturating_mul(1000);
    Session {
        incomplete: true,
        missing: note.head.count,
        missing_ranges: vec![(1, note.head.last)],
        ..Session::new(note.session, &note.name, "", Timestamp::from_micros(micros))
    }
}
