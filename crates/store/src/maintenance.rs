//! What the `log` command does to a log.

mod check;
mod compact;
mod delete;
mod import;

use std::sync::mpsc;

pub use self::delete::{DeleteError, DeleteTarget};

use nightaudit_exchange::{Import, Missing, SessionId, Timestamp};
use nightaudit_log::{Damage, ReadError, Session, SessionError};

use crate::{
    index::Listing,
    log::{Log, Opened},
    recover::CatchUp,
    segment,
    writer::Writer,
};

/// How far something that lasts has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments done.
    pub done: u64,
    /// Bytes of segments in all.
    pub total: u64,
    /// Exchanges done.
    pub exchanges: u64,
}

/// What the log consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Sessions.
    pub sessions: u64,
    /// Sessions that can be continued.
    pub open_sessions: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Exchanges that were recorded and are there no more.
    pub missing: u64,
    /// Segments.
    pub segments: u64,
    /// What the segments take, in bytes.
    pub segment_bytes: u64,
    /// What the index takes, in bytes.
    pub index_bytes: u64,
}

/// What checking a log has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// Sessions checked.
    pub sessions: u64,
    /// Exchanges that are whole: readable, with the bodies they were recorded with and the hash that follows from the
    /// one before.
    pub exchanges: u64,
    /// Bytes of segments read.
    pub bytes: u64,
    /// What can't be read, or is not as it was recorded.
    pub damage: Vec<Damage>,
    /// Exchanges that were recorded and can't be found or read any more, session by session.
    pub missing: Vec<Missing>,
    /// Exchanges that the index misses or places wrongly; `reindex` puts that right.
    pub index_faults: u64,
    /// Requests that were under way when the last owner was killed; the next one records them as interrupted.
    pub interrupted: u64,
    /// Sessions whose import was not finished.
    pub unfinished_imports: u64,
}

impl Check {
    /// Whether the log has all that it ever had.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.missing.is_empty() && self.index_faults == 0
    }
}

/// What compacting has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments rewritten.
    pub segments: u64,
    /// Their bytes before.
    pub before: u64,
    /// Their bytes after.
    pub after: u64,
}

/// What deleting has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The sessions deleted.
    pub sessions: Vec<SessionId>,
    /// Their exchanges.
    pub exchanges: u64,
    /// What they took on disk, in bytes.
    pub bytes: u64,
}

/// What importing has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The sessions made.
    pub sessions: Vec<SessionId>,
    /// Exchanges read and stored.
    pub exchanges: u64,
    /// Those among them whose hash is not the one they were exported with: masked, edited, or of an incomplete session.
    pub rehashed: u64,
    /// Those among them that are not as they were recorded, whatever comes after them.
    pub import: Import,
}

/// A file that can't be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file can't be read.
    #[error("can't read: {0}")]
    Io(#[from] std::io::Error),
    /// A line is no exchange.
    #[error("line {line} is not an exchange: {reason}")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A session of the file is in the log already.
    #[error("session {0} is in the log already: delete it first, or import into another data folder")]
    Present(SessionId),
    /// The exchanges can't be stored.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Log {
    /// What the log consists of.
    #[must_use]
    pub fn info(&self) -> Info {
        let sessions = self.shared.list();
        let segments = |session: &Session| {
            // A session that was deleted meanwhile has none.
            segment::list(&self.shared.folder(session.id)).map_or(0, |list| list.len() as u64)
        };
        Info {
            sessions: sessions.len() as u64,
            open_sessions: sessions.iter().filter(|session| session.open).count() as u64,
            exchanges: sessions.iter().map(|session| session.exchanges).sum(),
            missing: sessions.iter().map(|session| session.missing).sum(),
            segments: sessions.iter().map(segments).sum(),
            segment_bytes: sessions.iter().map(|session| session.bytes).sum(),
            index_bytes: self.shared.index.size(),
        }
    }

    /// Makes the index again from the segments, and returns how many exchanges it has. Nothing is recorded meanwhile.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the segments can't be read or the index can't be written.
    pub fn reindex(&self, progress: &mut dyn FnMut(Progress)) -> Result<u64, ReadError> {
        let shared = &self.shared;
        self.paused(|| {
            let known: Vec<_> = shared.index.listings().keys().copied().collect();
            for session in known {
                shared.index.remove(session)?;
            }
            let mut opened = Opened::default();
            let mut catch_up =
                CatchUp { shared, cut: false, deleted: &[], opened: &mut opened, progress, at: Progress::default() };
            catch_up.all().map_err(|source| ReadError::Io { path: "sessions".into(), source })?;
            shared.index.store(true)?;
            shared.index.flush()?;
            Ok(shared.index.listings().values().map(Listing::exchanges).sum())
        })?
    }

    /// Deletes the sessions that ended before this instant.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where the log is not open for writing, or they can't be deleted.
    pub fn delete_older_than(&self, ended_before: Timestamp) -> Result<Deleted, SessionError> {
        self.rescue(move |writer| writer.delete_older_than(ended_before))
    }

    /// Does something while the writer waits.
    fn paused<T>(&self, work: impl FnOnce() -> T) -> Result<T, SessionError> {
        if !self.is_writable() {
            return Ok(work());
        }
        let (paused, pausing) = mpsc::sync_channel(0);
        let (resume, resumed) = mpsc::sync_channel::<()>(0);
        self.start_control(move |writer: Result<&mut Writer, SessionError>| {
            let _ = paused.send(writer.map(drop));
            // The other end is dropped when the work is done, however it ends.
            let _ = resumed.recv();
        })?;
        pausing.recv().unwrap_or(Err(SessionError::ReadOnly))?;
        let done = work();
        drop(resume);
        Ok(done)
    }
}
