//! What can go wrong while a log is read or its sessions are changed.

use std::{fmt, io, path::PathBuf, sync::Arc};

use nightaudit_exchange::{ExchangeId, SessionId};

use crate::session::MAX_DECLARATION;

/// The log can't be written at the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log can't be written: {cause}")]
pub struct StoreFailure {
    /// The cause, in words for a person.
    pub cause: Arc<str>,
}

/// A log that is kept elsewhere could not be asked: nobody answers there, or in time, or with anything that makes sense.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unavailable(Box<dyn std::error::Error + Send + Sync>);

impl Unavailable {
    /// What the engine says of it: it names where it asked.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Bytes of the log that can't be read, and where they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {offset}: {what}", path.display())]
pub struct Damage {
    /// The file, under the data folder.
    pub path: PathBuf,
    /// Where in the file the damage begins, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Exchanges that can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Its bytes are damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Its file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// One exchange can't be read; those around it can.
    #[error(
        "exchange {sequence} of session {session} can't be read: {source}; `nightaudit log check` names all that is \
         damaged, and what is whole is read on"
    )]
    Exchange {
        /// Its session.
        session: SessionId,
        /// Its sequence number.
        sequence: u64,
        /// Why.
        source: Box<Self>,
    },
    /// The index has lost where exchanges stand; those around them can be read.
    #[error(
        "exchanges {first} to {last} of session {session} can't be found: {reason}; `nightaudit log reindex` makes the index \
         again"
    )]
    Rows {
        /// Their session.
        session: SessionId,
        /// The sequence number of the first.
        first: u64,
        /// The sequence number of the last.
        last: u64,
        /// What is wrong with the index.
        reason: String,
    },
    /// The index failed; it is made again at the next start.
    #[error("the index can't be read: {0}; it is made again with `nightaudit log reindex`")]
    Index(String),
    /// The filter names a session that isn't there, or several.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The log is kept elsewhere and could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ReadError {
    /// The session and the first and last sequence number of what can't be read, where it is a part of a session and the
    /// rest can be read.
    #[must_use]
    pub fn exchanges(&self) -> Option<(SessionId, u64, u64)> {
        match self {
            Self::Exchange { session, sequence, .. } => Some((*session, *sequence, *sequence)),
            Self::Rows { session, first, last, .. } => Some((*session, *first, *last)),
            _ => None,
        }
    }
}

/// No single exchange is what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// There is none.
    #[error("no exchange has an id that begins or ends with `{0}`: `nightaudit tail` shows the ends of ids")]
    NotFound(String),
    /// `last` of a log without exchanges.
    #[error("the log has no exchanges yet")]
    Empty,
    /// `last-error`, and nothing went wrong.
    #[error("no exchange in the log has an error: each was answered with a status below 400")]
    NoError,
    /// There are several; at most eight are named.
    #[error("`{prefix}` could be any of several exchanges: {}; give more of the id", List(ids))]
    Ambiguous {
        /// What was looked for.
        prefix: String,
        /// The first of them.
        ids: Vec<ExchangeId>,
    },
    /// It is there and can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A session that can't be found or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is none.
    #[error("there is no session `{0}`: `nightaudit sessions` lists them")]
    NotFound(String),
    /// There are several whose id begins so.
    #[error("`{prefix}` could be any of several sessions: {}; give more of the id", List(ids))]
    Ambiguous {
        /// What was looked for.
        prefix: String,
        /// The first of them.
        ids: Vec<SessionId>,
    },
    /// It was there, and its folder is gone.
    #[error(
        "session `{name}` ({id}) is missing with its {exchanges} exchanges: its folder was removed; put it back from a \
         copy, or have it forgotten with `nightaudit sessions delete {id}`"
    )]
    Gone {
        /// Its id.
        id: SessionId,
        /// Its name.
        name: String,
        /// How many exchanges it had.
        exchanges: u64,
    },
    /// The name is empty, has control characters or is longer than 200 bytes.
    #[error("`{0}` can't be a session's name: it has 1 to 200 bytes and no control characters")]
    Name(String),
    /// The declaration has more bytes than are kept.
    #[error("a declaration of {0} bytes is not kept with a session: it may have {MAX_DECLARATION}")]
    Declaration(usize),
    /// It is being written to.
    #[error("session `{0}` is being recorded: end it first")]
    Recording(String),
    /// It is being written to, and can't be ended while the disk takes nothing.
    #[error(
        "session `{name}` is being recorded, and can't be ended while the log can't be written ({cause}): delete another \
         session, make room on the disk, or stop `nightaudit serve` and delete it then"
    )]
    Current {
        /// Its name.
        name: String,
        /// Why the log can't be written.
        cause: Arc<str>,
    },
    /// The log was opened for reading, or is closed.
    #[error("the log is not open for writing")]
    ReadOnly,
    /// The change can't be written.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// The log is kept elsewhere and could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, item) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
