//! Maintenance of a log, for the `log` commands.

mod check;
mod compact;
mod delete;
mod import;

use std::sync::mpsc;

pub use self::delete::{DeleteError, DeleteTarget};

use nightaudit_exchange::{Import, Missing, SessionId, Timestamp};
use nightaudit_log::{Damage, ReadError, Session, SessionError};
use serde::{Deserialize, Serialize};

use crate::{
    index::Listing,
    log::{Log, Opened},
    recover::CatchUp,
    segment,
    writer::Writer,
};

/// Progress of a long operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments processed.
    pub done: u64,
    /// Bytes of segments in total.
    pub total: u64,
    /// Exchanges processed.
    pub exchanges: u64,
}

/// Totals of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Sessions.
    pub sessions: u64,
    /// Sessions that can be continued.
    pub open_sessions: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Exchanges that were recorded and are no longer in the log.
    pub missing: u64,
    /// Segments.
    pub segments: u64,
    /// The size of the segments, in bytes.
    pub segment_bytes: u64,
    /// The size of the index, in bytes.
    pub index_bytes: u64,
}

/// The result of [`Log::check`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Sessions checked.
    pub sessions: u64,
    /// Intact exchanges: readable, with the recorded bodies and the hash that follows from the one before.
    pub exchanges: u64,
    /// Bytes of segments read.
    pub bytes: u64,
    /// What can't be read or differs from what was recorded.
    pub damage: Vec<Damage>,
    /// Exchanges that were recorded and are missing or unreadable, by session.
    pub missing: Vec<Missing>,
    /// Exchanges that the index lacks or locates wrongly; `reindex` fixes them.
    pub index_faults: u64,
    /// Requests in flight when the last owner was killed; the next one records them as interrupted.
    pub interrupted: u64,
    /// Sessions whose import is unfinished.
    pub unfinished_imports: u64,
}

impl Check {
    /// Whether the log has everything it ever recorded.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.missing.is_empty() && self.index_faults == 0
    }
}

/// The result of [`Log::compact`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments rewritten.
    pub segments: u64,
    /// Their size before, in bytes.
    pub before: u64,
    /// Their size after, in bytes.
    pub after: u64,
}

/// The result of deleting sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The sessions deleted.
    pub sessions: Vec<SessionId>,
    /// Their exchanges.
    pub exchanges: u64,
    /// Their size on disk, in bytes.
    pub bytes: u64,
}

/// The result of [`Log::import`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The sessions created.
    pub sessions: Vec<SessionId>,
    /// Exchanges read and stored.
    pub exchanges: u64,
    /// Those whose hash differs from the exported one: masked, edited, or of an incomplete session.
    pub rehashed: u64,
    /// How many of them differ from what was recorded.
    pub import: Import,
}

/// A file that can't be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file can't be read.
    #[error("can't read: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not an exchange.
    #[error("line {line} is not an exchange: {reason}")]
    Line {
        /// The line number, from 1.
        line: u64,
        /// The cause.
        reason: String,
    },
    /// A session of the file is already in the log.
    #[error("session {0} is already in the log: delete it first, or import into another data folder")]
    Present(SessionId),
    /// The exchanges can't be stored.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Log {
    /// Totals of a log.
    #[must_use]
    pub fn info(&self) -> Info {
        let sessions = self.shared.list();
        let segments = |session: &Session| {
            // A session that was deleted in the meantime has none.
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

    /// Rebuilds the index from the segments and returns its number of exchanges. Recording pauses meanwhile.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the segments can't be read or the index can't be written.
    pub fn reindex(&self, progress: &mut dyn FnMut(Progress)) -> Result<u64, ReadError> {
        let shared = &self.shared;
        self.paused(|| {
            let known: Vec<_> = shared.index.listings().keys().copied().collect();
            for session in known {
                shared.index.remove(session)?;
            }
            let mut opened = Opened::default();
            let mut catch_up = CatchUp {
                shared,
                truncate: false,
                deleted: &[],
                opened: &mut opened,
                progress,
                at: Progress::default(),
            };
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
    /// [`SessionError`] if the log is read-only, or they can't be deleted.
    pub fn delete_older_than(&self, ended_before: Timestamp) -> Result<Deleted, SessionError> {
        self.rescue(move |writer| writer.delete_older_than(ended_before))
    }

    /// Runs `work` while the writer is paused.
    fn paused<T>(&self, work: impl FnOnce() -> T) -> Result<T, SessionError> {
        if !self.is_writable() {
            return Ok(work());
        }
        let (paused, pausing) = mpsc::sync_channel(0);
        let (resume, resumed) = mpsc::sync_channel::<()>(0);
        self.start_control(move |writer: Result<&mut Writer, SessionError>| {
            let _ = paused.send(writer.map(drop));
            // The other end is dropped when the work is done, even if it panics.
            let _ = resumed.recv();
        })?;
        pausing.recv().unwrap_or(Err(SessionError::ReadOnly))?;
        let done = work();
        drop(resume);
        Ok(done)
    }
}
