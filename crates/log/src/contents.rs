//! A log as a whole: its totals, and the result of a check.

use nightaudit_exchange::Missing;
use serde::{Deserialize, Serialize};

use crate::Damage;

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

/// Totals of a log: see [`ReadLog::info`](crate::ReadLog::info).
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

/// The result of [`ReadLog::check`](crate::ReadLog::check).
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
