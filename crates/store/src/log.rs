//! The log as a whole.

use std::{io, path::Path};

use nightaudit_exchange::{Exchange, ExchangeId, Filter, Pseudonym, Timestamp};

use crate::{
    care::{Check, Compacted, Deleted, ImportError, Imported, Info, Progress},
    config::Config,
    error::{FindError, OpenError, ReadError, SessionError},
    follow::{Follower, From},
    query::{Exchanges, Query},
    recorder::Recorder,
    session::Session,
};

/// The log of a data folder, owned by this process.
///
/// Its methods read files and may take milliseconds; asynchronous code calls them on a thread that may block.
#[derive(Debug)]
pub struct Log {
    opened: Opened,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Sessions in the log.
    pub sessions: u64,
    /// Exchanges in the log.
    pub exchanges: u64,
    /// Requests that were under way when the last owner ended without closing the log.
    pub interrupted: u64,
    /// Bytes at the ends of segments that were cut off because their writing had not been finished.
    pub torn_bytes: u64,
    /// Why the index was made again, if it was.
    pub rebuilt: Option<String>,
}

/// How the log is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Exchanges recorded since it was opened.
    pub recorded: u64,
    /// Exchanges that passed unrecorded since it was opened.
    pub unrecorded: u64,
    /// Places of the queue that are taken.
    pub waiting: u64,
    /// Why the log can't be written at the moment.
    pub failing: Option<std::sync::Arc<str>>,
}

/// What was done until the log was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// Exchanges recorded since it was opened.
    pub recorded: u64,
    /// Exchanges that passed unrecorded.
    pub unrecorded: u64,
    /// Exchanges that could not be written to the end.
    pub lost: u64,
}

/// A request that was sent to Mews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When it was handed to the connection; for an interrupted one, when it was received.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// The pseudonym of `AccessToken`.
    pub access_token: Option<Pseudonym>,
    /// The pseudonym of `ClientToken`.
    pub client_token: Option<Pseudonym>,
    /// Whether it uses pagination.
    pub paginated: bool,
    /// The integration's address.
    pub peer: Option<std::net::SocketAddr>,
}

#[allow(clippy::missing_errors_doc, missing_docs, unused_variables)]
impl Log {
    pub fn open(config: Config) -> Result<Self, OpenError> {
        Self::open_with(config, &mut |_| {})
    }
    pub fn open_with(config: Config, progress: &mut dyn FnMut(Progress)) -> Result<Self, OpenError> {
        Ok(Self { opened: Opened::default() })
    }
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { opened: Opened::default() })
    }
    pub fn opened(&self) -> &Opened {
        &self.opened
    }
    pub fn recorder(&self) -> Recorder {
        Recorder {}
    }
    pub fn status(&self) -> Status {
        Status::default()
    }
    pub fn get(&self, id: ExchangeId) -> Result<Option<Exchange>, ReadError> {
        Ok(None)
    }
    pub fn find(&self, prefix: &str) -> Result<Exchange, FindError> {
        Err(FindError::None(prefix.to_owned()))
    }
    pub fn query(&self, query: Query) -> Result<Exchanges, ReadError> {
        Ok(Exchanges {})
    }
    pub fn count(&self, filter: &Filter) -> Result<u64, ReadError> {
        Ok(0)
    }
    pub fn sessions(&self) -> Vec<Session> {
        Vec::new()
    }
    pub fn session(&self, which: &str) -> Result<Session, SessionError> {
        Err(SessionError::None(which.to_owned()))
    }
    pub fn current_session(&self) -> Option<Session> {
        None
    }
    pub fn start_session(&self, name: &str) -> Result<Session, SessionError> {
        Err(SessionError::ReadOnly)
    }
    pub fn end_session(&self, which: &str) -> Result<Session, SessionError> {
        Err(SessionError::ReadOnly)
    }
    pub fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError> {
        Err(SessionError::ReadOnly)
    }
    pub fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError> {
        Err(SessionError::ReadOnly)
    }
    pub fn delete_session(&self, which: &str) -> Result<Session, SessionError> {
        Err(SessionError::ReadOnly)
    }
    pub fn follow(&self, filter: Filter, from: From) -> Result<Follower, ReadError> {
        Ok(Follower {})
    }
    pub fn recent_sends(&self, since: Timestamp) -> Result<impl Iterator<Item = Sent> + use<>, ReadError> {
        Ok(std::iter::empty())
    }
    pub fn set_console(&self, address: &str) -> io::Result<()> {
        Ok(())
    }
    pub fn close(&self) -> Closed {
        Closed::default()
    }
    pub fn info(&self) -> Info {
        Info::default()
    }
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        Ok(Check::default())
    }
    pub fn reindex(&self, progress: &mut dyn FnMut(Progress)) -> Result<u64, ReadError> {
        Ok(0)
    }
    pub fn compact(&self, progress: &mut dyn FnMut(Progress)) -> Result<Compacted, SessionError> {
        Ok(Compacted::default())
    }
    pub fn delete_older_than(&self, ended_before: Timestamp) -> Result<Deleted, SessionError> {
        Ok(Deleted::default())
    }
    pub fn import(&self, lines: &mut dyn io::BufRead) -> Result<Imported, ImportError> {
        Ok(Imported::default())
    }
}
