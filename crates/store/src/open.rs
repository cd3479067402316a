//! Opening a log: sessions, ledger and index as found.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use nightaudit_log::Position;
use tokio::sync::{Semaphore, watch};

use crate::{
    config::StoreConfig,
    deletion, disk,
    error::OpenError,
    index::{Index, IndexError, Listing},
    journal,
    ledger::{self, Ledger, Note},
    lock::Lock,
    notifier::Notifiers,
    recover::{self, CatchUp, Found},
    results::{Opened, Progress},
    ring::Ring,
    shared::{Closing, Shared},
    spill::SpillFile,
    tallies::Tallies,
};

/// What may be written while a log is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everything.
    Owner,
    /// The index on disk, and in the ledger what only the index knew.
    Updater,
    /// Nothing.
    Reader,
}

/// Opens the log for its owner.
pub(crate) fn open_owned(
    config: &StoreConfig,
    index: (Index, Option<String>),
    progress: &mut dyn FnMut(Progress),
) -> Result<(Shared, Opened), OpenError> {
    let dir = &config.dir;
    let failed = |what| move |source| OpenError::Io { what, path: dir.clone(), source };
    let found = recover::sessions(dir)?;
    let (deleted, empty) = (found.deleted.clone(), found.empty.clone());
    let mut ledger = ledger::read(dir).map_err(failed("read the ledger of"))?;
    let (shared, opened) = prepare(config, found, &mut ledger, index, Access::Owner, progress)?;
    complete_heads(&shared);
    // If the index could still list a session after a power failure, only the ledger tells that it was deleted.
    let forgets_deleted = !ledger.notes.values().any(|note| note.deleted) || shared.index.flush().is_ok();
    let ledger = Ledger::open(&config.disk, dir, ledger, forgets_deleted).map_err(failed("write the ledger of"))?;
    let _ = shared.ledger.set(Mutex::new(ledger));
    let mut notes = shared.notes();
    notes.extend(shared.vanished().values().cloned());
    notes.extend(deleted.iter().copied().map(Note::deleted));
    shared.note(notes, true).map_err(failed("write the ledger of"))?;
    // Only now that the ledger has recorded the deletion.
    for session in deleted {
        config.disk.remove_dir(&deletion::path(dir, session)).map_err(failed("write"))?;
    }
    for folder in empty {
        config.disk.remove_dir(&folder).map_err(failed("write"))?;
    }
    Ok((shared, opened))
}

/// Opens the log read-only. See [`Log::open_read_only`](crate::Log::open_read_only).
pub(crate) fn read(config: &StoreConfig) -> Result<(Shared, Opened), OpenError> {
    require(&config.dir)?;
    match read_and_update_index(config) {
        Err(locked @ OpenError::Locked { .. }) => Err(locked),
        Err(error) => {
            tracing::debug!(%error, "the index can't be used or updated: reading the segments");
            read_without_index(config)
        }
        read => read,
    }
}

/// Whether there is a log in `dir`. A folder that can't be read isn't taken for a missing one.
pub(crate) fn require(dir: &Path) -> Result<(), OpenError> {
    let sessions = dir.join("sessions");
    match sessions.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(OpenError::Missing(dir.to_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(OpenError::Missing(dir.to_owned()))
        }
        Err(source) => Err(OpenError::Io { what: "read", path: sessions, source }),
    }
}

/// Brings the index up to date with the segments, so that the next reader finds it so.
fn read_and_update_index(config: &StoreConfig) -> Result<(Shared, Opened), OpenError> {
    let dir = &config.dir;
    let failed = |broken: IndexError| OpenError::Index { path: dir.join("index"), reason: broken.0 };
    let _lock = Lock::take(dir)?;
    // Fail here on a full disk, which sled handles badly.
    disk::try_room(dir).map_err(|source| OpenError::Io { what: "write in", path: dir.clone(), source })?;
    let index = recover::index(dir)?;
    let (mut shared, mut opened) = prepare_to_read(config, index, Access::Updater)?;
    shared.index.store(true).map_err(failed)?;
    shared.index = shared.index.detach(dir).map_err(failed)?;
    opened.interrupted = add_interrupted(&mut shared, dir)?;
    count(&shared, &mut opened);
    Ok((shared, opened))
}

/// Reads all segments and writes nothing.
fn read_without_index(config: &StoreConfig) -> Result<(Shared, Opened), OpenError> {
    let dir = &config.dir;
    let lock = Lock::share(dir)?;
    let (mut shared, mut opened) = prepare_to_read(config, (Index::in_memory(), None), Access::Reader)?;
    opened.interrupted = add_interrupted(&mut shared, dir)?;
    drop(lock);
    count(&shared, &mut opened);
    Ok((shared, opened))
}

/// Opens the log from its segments alone, for a caller that holds the lock.
pub(crate) fn read_in_memory(config: &StoreConfig) -> Result<Shared, OpenError> {
    prepare_to_read(config, (Index::in_memory(), None), Access::Reader).map(|(shared, _)| shared)
}

fn prepare_to_read(
    config: &StoreConfig,
    index: (Index, Option<String>),
    access: Access,
) -> Result<(Shared, Opened), OpenError> {
    let dir = &config.dir;
    let failed = |source| OpenError::Io { what: "read the ledger of", path: dir.to_owned(), source };
    let found = recover::sessions(dir)?;
    let mut ledger = ledger::read(dir).map_err(failed)?;
    let (shared, opened) = prepare(config, found, &mut ledger, index, access, &mut |_| {})?;
    for session in shared.imported() {
        if let Some(entry) = shared.sessions().get_mut(&session) {
            entry.meta.importing = None;
        }
        shared.find_again(session);
    }
    Ok((shared, opened))
}

/// Brings sessions and index up to date with the segments, and finds what they lack compared with the ledger.
fn prepare(
    config: &StoreConfig,
    found: Found,
    ledger: &mut ledger::Read,
    (index, reason): (Index, Option<String>),
    access: Access,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Shared, Opened), OpenError> {
    let dir = &config.dir;
    let failed = |source| OpenError::Io { what: "read", path: dir.clone(), source };
    let Found { mut sessions, mut deleted, .. } = found;
    let mut ledger_damage = ledger.damage.clone();
    if !ledger.is_there && sessions.values().any(|entry| entry.meta.head.is_some()) {
        let what = "it is missing; `session.json` has its data as of the end of each session".to_owned();
        ledger_damage.push(nightaudit_log::Damage { path: ledger::FILE.into(), offset: 0, what });
    }
    deleted.extend(ledger.notes.values().filter(|note| note.deleted).map(|note| note.session));
    let mut vanished = std::collections::BTreeMap::new();
    for note in ledger.notes.values().filter(|note| !note.deleted) {
        match sessions.get_mut(&note.session) {
            // It was lost, and is to stay so if its import is undone.
            Some(entry) if entry.meta.importing.is_some() && note.head.count > 0 => {
                vanished.insert(note.session, note.clone());
            }
            Some(entry) if note.head.last >= entry.head.last => entry.head = note.head,
            Some(_) => {}
            None if note.head.count > 0 && !deleted.contains(&note.session) => {
                vanished.insert(note.session, note.clone());
            }
            None => {}
        }
    }
    let mut opened = Opened::default();
    let queue = config.queue.clamp(1, Semaphore::MAX_PERMITS);
    let mut shared = Shared {
        dir: dir.clone(),
        api: config.api,
        disk: Arc::clone(&config.disk),
        durability: config.durability,
        on_failure: config.on_failure,
        now: config.now,
        index,
        tallies: Tallies::default(),
        journal: OnceLock::new(),
        known_tokens: OnceLock::new(),
        ring: Ring::new(None),
        spill: Arc::new(SpillFile::new(dir)),
        journal_failing: Mutex::default(),
        is_journal_failing: AtomicBool::new(false),
        deletions: AtomicU64::default(),
        failing: watch::Sender::new(None),
        queue,
        permits: Arc::new(Semaphore::new(queue)),
        backlog: AtomicU64::new(0),
        max_backlog: config.max_backlog,
        backlogged: watch::Sender::new(false),
        notifiers: Notifiers::default(),
        stamp: AtomicU64::new(0),
        closing: Closing::default(),
        recorded: AtomicU64::new(0),
        unrecorded: AtomicU64::new(0),
        lost: AtomicU64::new(0),
        sessions: Mutex::new(sessions),
        vanished: Mutex::new(vanished),
        ledger: OnceLock::new(),
        ledger_stale: AtomicBool::new(false),
        ledger_damage,
        interrupted: std::collections::BTreeMap::new(),
    };
    CatchUp {
        shared: &shared,
        truncate: access == Access::Owner,
        deleted: &deleted,
        ledger: (access != Access::Reader).then_some(ledger),
        opened: &mut opened,
        progress,
        at: Progress::default(),
    }
    .all()
    .map_err(failed)?;
    let is_empty = shared.sessions().values().all(|entry| entry.bytes == 0);
    opened.rebuilt = reason.filter(|_| !is_empty).or(opened.rebuilt);
    opened.damage.extend(shared.ledger_damage.iter().cloned());
    let last = last_position(&shared);
    shared.stamp = AtomicU64::new(last.map_or(0, |last| last.written));
    shared.ring = Ring::new(last);
    Ok((shared, opened))
}

/// Finds the hash of each session's last exchange if the ledger lacks it: after a crash, and in a log of a version
/// without a ledger.
fn complete_heads(shared: &Shared) {
    let unknown = |entry: &&crate::shared::Entry| entry.head.hash.is_none() && entry.head.count > 0;
    let sessions: Vec<_> = shared.sessions().values().filter(unknown).map(|entry| entry.meta.id).collect();
    for session in sessions {
        // If its last block can't be read, the hash is unknown.
        let Ok((hash, last)) = shared.last_of(session) else { continue };
        if let Some(entry) = shared.sessions().get_mut(&session).filter(|entry| entry.head.last == last) {
            entry.head.hash = Some(hash);
        }
    }
}

/// Adds the journal's requests in flight to the listings, as the next owner will record them.
fn add_interrupted(shared: &mut Shared, dir: &Path) -> Result<u64, OpenError> {
    let failed = |source| OpenError::Io { what: "read the journal of", path: dir.to_owned(), source };
    let left = journal::read(dir).map_err(failed)?;
    crate::interrupted::add(shared, left).map_err(|error| failed(io::Error::other(error)))
}

/// The position of the last exchange recorded.
fn last_position(shared: &Shared) -> Option<Position> {
    let listings = shared.index.listings();
    let lasts = listings.iter().filter_map(|(session, listing)| {
        let summary = listing.parts.last()?.summary;
        Some(Position { written: summary.written.1, session: *session, sequence: summary.last })
    });
    lasts.max()
}

/// Fills in the totals.
pub(crate) fn count(shared: &Shared, opened: &mut Opened) {
    opened.sessions = shared.sessions().len() as u64;
    opened.exchanges = shared.index.listings().values().map(Listing::exchanges).sum();
    opened.missing = shared.missing();
}
