//! What the writer's thread and those who read have in common.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nightaudit_exchange::{SessionId, Timestamp};
use tokio::sync::{Semaphore, watch};

use crate::{
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

    /// The session that is meant: by name the newest of that name, an open one before those ended; else by id, or by the
    /// beginning of an id.
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
