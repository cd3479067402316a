//! What the `log` command does to a log.

use nightaudit_exchange::SessionId;

use crate::error::Damage;

/// How far something that lasts has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Exchanges that the index misses or places wrongly; `reindex` puts that right.
    pub index_faults: u64,
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
    Session(#[from] crate::error::SessionError),
}
