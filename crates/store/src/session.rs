//! What a session is to those who look at the log.

use nightaudit_exchange::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// A session of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its id, and the name of its folder.
    pub id: SessionId,
    /// Its name. Several sessions may have the same, of which at most one is open.
    pub name: String,
    /// The environment it was recorded in.
    pub environment: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it was ended; none while it can be continued.
    pub ended: Option<Timestamp>,
    /// How many exchanges it has.
    pub exchanges: u64,
    /// When its first exchange started.
    pub first: Option<Timestamp>,
    /// When its last exchange started.
    pub last: Option<Timestamp>,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
    /// What somebody noted about it.
    pub note: Option<String>,
    /// How many exchanges passed unrecorded because the log could not be written; above 0 it is incomplete for ever.
    pub unrecorded: u64,
    /// Whether exchanges are missing from it.
    pub incomplete: bool,
    /// Whether it can be continued.
    pub open: bool,
    /// Whether it is the one to which exchanges go that name none.
    pub current: bool,
}
