//! What opening and maintaining a log results in.

use std::path::PathBuf;

use nightaudit_exchange::{Import, Missing, SessionId};
use nightaudit_log::Damage;
use serde::{Deserialize, Serialize};

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

/// The result of [`Log::check`](crate::Log::check).
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
