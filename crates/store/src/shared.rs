//! What the writer's thread and those who read have in common.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nightaudit_exchange::{SessionId, Timestamp};
use tokio::sync::{Semaphore, watch};

use crate::{
    bell::Bells,
    config::{Durability, OnFailure},
    disk::Disk,
    error::{SessionError, StoreFailure},
    index::{Index, Listing},
    journal::Journal,
    meta::{self, Meta},
    ring::Ring,
    session::Session,
};

/// A session as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) meta: Meta,
    /// The bytes of its segments.
    pub(crate) bytes: u64,
}

/// Whether the log is being closed.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    closing: Mutex<bool>,
    closed: Condvar,
}

/// The log, as far as it is not the writer's alone.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) durability: Durability,
    pub(crate) on_failure: OnFailure,
    pub(crate) now: fn() -> Timestamp,
    pub(crate) index: Index,
    /// None for a log that is only read.
    pub(crate) journal: OnceLock<Journal>,
    pub(crate) ring: Ring,
    /// Why the log can't be written at the moment.
    pub(crate) failing: watch::Sender<Option<Arc<str>>>,
    pub(crate) queue: usize,
    pub(crate) places: Arc<Semaphore>,
    /// The bytes of bodies that wait to be written, and above how many no further place is given.
    pub(crate) backlog: AtomicU64,
    pub(crate) max_backlog: u64,
    /// Whether there are more.
    pub(crate) crowded: watch::Sender<bool>,
    pub(crate) bells: Bells,
    /// The stamp of the last batch.
    pub(crate) stamp: AtomicU64,
    pub(crate) closing: Closing,
    pub(crate) recorded: AtomicU64,
    pub(crate) unrecorded: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) sessions: Mutex<BTreeMap<SessionId, Entry>>,
}

impl Shared {
    /// The sessions. What holds them does no I/O; the listings may be locked while they are, not the reverse.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn folder(&self, session: SessionId) -> PathBuf {
        meta::folder(&self.dir, session)
    }

    /// A path as it is shown: under the data folder.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.dir).unwrap_or(path).to_owned()
    }

    pub(crate) fn failure(&self) -> Option<StoreFailure> {
        self.failing.borrow().clone().map(|cause| StoreFailure { cause })
    }

    /// A stamp for a batch: never twice the same, and never backwards, whatever the clock does.
    pub(crate) fn stamp(&self) -> u64 {
        let now = u64::try_from((self.now)().micros()).unwrap_or(0);
        let next = |last: u64| now.max(last + 1);
        // The closure never gives up, so both arms hold the stamp before.
        let (Ok(last) | Err(last)) =
            self.stamp.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last)
    }

    /// The places that are taken: requests under way, and what waits to be written.
    pub(crate) fn places_taken(&self) -> usize {
        self.queue.saturating_sub(self.places.available_permits())
    }

    /// Counts bytes of bodies that wait to be written.
    pub(crate) fn hold(&self, bytes: u64) {
        let before = self.backlog.fetch_add(bytes, Ordering::Relaxed);
        if before <= self.max_backlog && before + bytes > self.max_backlog {
            self.look_at_backlog();
        }
    }

    /// Counts bytes of bodies that wait no more.
    pub(crate) fn release(&self, bytes: u64) {
        let before = self.backlog.fetch_sub(bytes, Ordering::Relaxed);
        if before > self.max_backlog && before - bytes <= self.max_backlog {
            self.look_at_backlog();
        }
    }

    fn look_at_backlog(&self) {
        // Looked at within the channel's lock: whoever is there last sees what all have counted.
        self.crowded.send_if_modified(|crowded| {
            let is = self.backlog.load(Ordering::Relaxed) > self.max_backlog;
            std::mem::replace(crowded, is) != is
        });
    }

    /// Tells those who try again that nobody waits for them any longer.
    pub(crate) fn close(&self) {
        *self.closing.closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.closing.closed.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until the log is being closed.
    pub(crate) fn wait_for_close(&self, longest: Duration) {
        let closing = self.closing.closing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.closing.closed.wait_timeout_while(closing, longest, |closing| !*closing);
        drop(waited);
    }

    pub(crate) fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// All sessions, the oldest first.
    pub(crate) fn list(&self) -> Vec<Session> {
        let sessions = self.sessions();
        let listings = self.index.listings();
        sessions.iter().map(|(id, entry)| view(entry, listings.get(id))).collect()
    }

    /// One session; none if it isn't there.
    pub(crate) fn view(&self, session: SessionId) -> Option<Session> {
        let sessions = self.sessions();
        let entry = sessions.get(&session)?;
        Some(view(entry, self.index.listings().get(&session)))
    }

    /// The session that is meant: by name the newest of that name, an open one before those ended; else by id, or by
    /// the beginning of an id.
    pub(crate) fn resolve(&self, which: &str) -> Result<SessionId, SessionError> {
        let sessions = self.sessions();
        let named = |open: bool| {
            let fits = |entry: &&Entry| entry.meta.name == which && entry.meta.ended.is_none() == open;
            sessions.values().rev().find(fits).map(|entry| entry.meta.id)
        };
        if let Some(id) = named(true).or_else(|| named(false)) {
            return Ok(id);
        }
        let prefix = which.to_ascii_uppercase();
        let mut ids: Vec<SessionId> =
            sessions.keys().filter(|id| !prefix.is_empty() && id.to_string().starts_with(&prefix)).copied().collect();
        match ids.len() {
            0 => Err(SessionError::None(which.to_owned())),
            1 => Ok(ids[0]),
            _ => {
                ids.truncate(8);
                Err(SessionError::Ambiguous { prefix: which.to_owned(), ids })
            }
        }
    }
}

fn view(entry: &Entry, listing: Option<&Listing>) -> Session {
    let parts = listing.map_or(&[][..], |listing| &listing.parts);
    let meta = entry.meta.clone();
    Session {
        id: meta.id,
        name: meta.name,
        environment: meta.environment,
        started: meta.started,
        ended: meta.ended,
        exchanges: listing.map_or(0, Listing::exchanges),
        first: parts.iter().map(|part| part.summary.first_started()).min(),
        last: parts.iter().map(|part| part.summary.last_started()).max(),
        bytes: entry.bytes,
        note: meta.note,
        unrecorded: meta.unrecorded,
        incomplete: meta.incomplete,
        open: meta.ended.is_none(),
        current: meta.current && meta.ended.is_none(),
    }
}
