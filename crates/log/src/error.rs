//! Errors of reading a log and changing its sessions.

use std::{fmt, io, path::PathBuf, sync::Arc};

use nightaudit_exchange::{ExchangeId, SessionId};
use serde::{Deserialize, Serialize};

use crate::session::MAX_DECLARATION;

/// The log can't currently be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log can't be written: {cause}")]
pub struct StoreFailure {
    /// The cause, in words.
    pub cause: Arc<str>,
}

/// A remote log can't be reached, or its reply is late or unintelligible.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unavailable(Box<dyn std::error::Error + Send + Sync>);

impl Unavailable {
    /// Wraps the engine's error, which names the address.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Unreadable bytes of the log, and where they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{} is damaged at byte {offset}: {what}", path.display())]
pub struct Damage {
    /// The file, relative to the data folder.
    pub path: PathBuf,
    /// The offset in the file where the damage starts, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// A failure to read exchanges.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes are damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// One exchange can't be read; the others can.
    #[error(
        "exchange {sequence} of session {session} can't be read: {source}; `nightaudit log check` lists all \
         damage; intact exchanges can still be read"
    )]
    Exchange {
        /// The session.
        session: SessionId,
        /// The sequence number.
        sequence: u64,
        /// The cause.
        source: Box<Self>,
    },
    /// The index has lost the location of these exchanges; the others can be read.
    #[error(
        "exchanges {first} to {last} of session {session} can't be found: {reason}; `nightaudit log reindex` \
         rebuilds the index"
    )]
    Rows {
        /// The session.
        session: SessionId,
        /// The sequence number of the first.
        first: u64,
        /// The sequence number of the last.
        last: u64,
        /// What is wrong with the index.
        reason: String,
    },
    /// The index failed; it is rebuilt at the next start.
    #[error("the index can't be read: {0}; rebuild it with `nightaudit log reindex`")]
    Index(String),
    /// The filter names an unknown or ambiguous session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A remote log can't be reached.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ReadError {
    /// The session and the first and last sequence number of the unreadable exchanges, if the rest of the session can
    /// be read.
    #[must_use]
    pub fn exchanges(&self) -> Option<(SessionId, u64, u64)> {
        match self {
            Self::Exchange { session, sequence, .. } => Some((*session, *sequence, *sequence)),
            Self::Rows { session, first, last, .. } => Some((*session, *first, *last)),
            _ => None,
        }
    }
}

/// The requested exchange can't be returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// There is no match.
    #[error("no exchange has an id that starts or ends with `{0}`: `nightaudit tail` shows the ends of ids")]
    NotFound(String),
    /// `last` in a log without exchanges.
    #[error("the log has no exchanges yet")]
    Empty,
    /// `last-error` in a log without errors.
    #[error("no exchange in the log has an error: each was answered with a status below 400")]
    NoError,
    /// Several match; at most eight are listed.
    #[error("`{prefix}` could be any of several exchanges: {}; give more of the id", List(ids))]
    Ambiguous {
        /// The text searched for.
        prefix: String,
        /// The first matches.
        ids: Vec<ExchangeId>,
    },
    /// It exists but can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A session can't be found or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is no match.
    #[error("there is no session `{0}`: `nightaudit sessions` lists them")]
    NotFound(String),
    /// Several sessions have an id with this prefix.
    #[error("`{prefix}` could be any of several sessions: {}; give more of the id", List(ids))]
    Ambiguous {
        /// The text searched for.
        prefix: String,
        /// The first matches.
        ids: Vec<SessionId>,
    },
    /// The session's folder was removed.
    #[error(
        "session `{name}` ({id}) is missing with its {exchanges} exchange{}: its folder was removed; restore it from \
         a backup, or forget it with `nightaudit sessions delete {id}`",
        if *exchanges == 1 { "" } else { "s" }
    )]
    Gone {
        /// The id.
        id: SessionId,
        /// The name.
        name: String,
        /// The number of exchanges it had.
        exchanges: u64,
    },
    /// The name is empty, has control characters or is longer than 200 bytes.
    #[error("`{0}` is not a valid session name: use 1 to 200 bytes without control characters")]
    Name(String),
    /// The declaration is too long.
    #[error("a declaration of {0} bytes is too long: the limit is {MAX_DECLARATION} bytes")]
    Declaration(usize),
    /// The session is being recorded.
    #[error("session `{0}` is being recorded: end it first")]
    Recording(String),
    /// The session is being imported.
    #[error("session `{0}` is being imported: delete it once the import has ended")]
    Importing(String),
    /// The session is being recorded, and can't be ended because the log can't be written.
    #[error(
        "session `{name}` is being recorded, and can't be ended while the log can't be written ({cause}): delete \
         another session, free disk space, or stop `nightaudit serve` first"
    )]
    Current {
        /// The name.
        name: String,
        /// Why the log can't be written.
        cause: Arc<str>,
    },
    /// The log is read-only or closed.
    #[error("the log is not open for writing")]
    ReadOnly,
    /// The log can't be written.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// A remote log can't be reached.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
