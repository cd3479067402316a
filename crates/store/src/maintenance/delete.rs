//! Deleting sessions of a log without an owner, on a full or read-only disk.

use std::io;

use nightaudit_exchange::{ExchangeId, SessionId, Timestamp};
use nightaudit_log::{SessionError, StoreFailure};

use crate::{
    config::StoreConfig,
    deletion,
    error::OpenError,
    journal,
    ledger::{self, Ledger, Note},
    lock::Lock,
    log::Log,
    open,
    results::Deleted,
    shared::Shared,
};

/// Which sessions to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteTarget<'a> {
    /// The one of this name, this id or this prefix of an id.
    Session(&'a str),
    /// Those that ended before this instant.
    EndedBefore(Timestamp),
}

/// Sessions can't be deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no such session, or it can't be deleted.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Log {
    /// Deletes sessions of a log without an owner. Nothing has to be written first, so it frees space on a full disk;
    /// if there is space, opening the log and [`delete_session`](Self::delete_session) are faster.
    ///
    /// # Errors
    ///
    /// [`DeleteError`] says why not. Sessions already deleted stay so.
    pub fn delete_unopened(config: &StoreConfig, which: DeleteTarget<'_>) -> Result<Deleted, DeleteError> {
        let dir = &config.dir;
        open::require(dir)?;
        let _lock = Lock::take(dir)?;
        let shared = open::read_in_memory(config)?;
        let sessions = match which {
            DeleteTarget::Session(which) => match shared.resolve(which) {
                Err(SessionError::Gone { id, .. }) => vec![id],
                found => vec![found?],
            },
            DeleteTarget::EndedBefore(instant) => {
                let ended = |ended: Option<Timestamp>| ended.is_some_and(|ended| ended < instant);
                let sessions = shared.sessions();
                sessions.values().filter(|entry| ended(entry.meta.ended)).map(|entry| entry.meta.id).collect()
            }
        };
        let mut deleted = Deleted::default();
        for session in sessions {
            let seen = shared.list().into_iter().find(|known| known.id == session);
            delete(config, &shared, session).map_err(failed)?;
            deleted.sessions.push(session);
            deleted.exchanges += seen.as_ref().map_or(0, |seen| seen.exchanges);
            deleted.bytes += seen.as_ref().map_or(0, |seen| seen.bytes);
        }
        Ok(deleted)
    }
}

fn delete(config: &StoreConfig, shared: &Shared, session: SessionId) -> io::Result<()> {
    let (dir, disk) = (&config.dir, &*config.disk);
    let is_of_it = |id: ExchangeId| matches!(shared.position_of(id), Ok(Some(position)) if position.session == session);
    journal::wipe(dir, is_of_it)?;
    let record = || Ledger::open(&config.disk, dir, ledger::read(dir)?, false)?.write([Note::deleted(session)], true);
    let (folder, deletion) = (shared.folder(session), deletion::path(dir, session));
    if !folder.exists() {
        return record();
    }
    disk.rename(&folder, &deletion)?;
    deletion::finish(disk, &deletion, record)
}

fn failed(error: io::Error) -> SessionError {
    SessionError::Store(StoreFailure { cause: error.to_string().into() })
}
