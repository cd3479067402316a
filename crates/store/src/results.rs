//! What opening and maintaining a log results in.

use std::path::PathBuf;

use nightaudit_exchange::{Import, Missing, SessionId};
use nightaudit_log::Damage;
pub use nightaudit_log::{Check, Info, Progress};

/// What was found when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Sessions in the log.
    pub sessions: u64,
    /// Exchanges in the log.
    pub exchanges: u64,
    /// Requests in flight when the last owner ended without closing the log. An owner has recorded them; a reader shows
    /// them.
    pub interrupted: u64,
    /// Bytes cut off the ends of segments because they were incomplete writes.
    pub torn_bytes: u64,
    /// Why the index was rebuilt, if it was.
    pub rebuilt: Option<String>,
    /// Damage found in the part of the segments that was read, and in the ledger.
    pub damage: Vec<Damage>,
    /// Exchanges that were recorded and are no longer in the log.
    pub missing: Vec<Missing>,
    /// Paths of the data folder that other users can read.
    pub readable: Vec<PathBuf>,
}

/// The result of [`Log::compact`](crate::Log::compact).
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

/// The result of [`Log::import`](crate::Log::import).
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
