//! The interface between a log's storage engine and its readers.

use std::{fmt, sync::Arc};

use nightaudit_exchange::{Exchange, ExchangeId, Filter, Missing};

use crate::{
    Check, Exchanges, Facets, FindError, Follow, FollowFrom, Histogram, Info, Place, Position, Progress, Query,
    ReadError, Session, SessionError, Start, by_reading,
};

/// Reads a log.
///
/// The methods may read files or wait for another machine, so asynchronous code calls them on a blocking thread: an
/// export reads tens of thousands of exchanges a second from [`query`](Self::query), and a future for each would cost
/// more than reading it. An engine that is asynchronous internally blocks on its own runtime. [`follow`](Self::follow)
/// waits indefinitely and is asynchronous.
///
/// All engines return the same results in the same order.
pub trait ReadLog: fmt::Debug + Send + Sync + 'static {
    /// The one exchange whose id starts or ends with `prefix`, or which `last` or `last-error` names.
    ///
    /// # Errors
    ///
    /// [`FindError`] if there is none, there are several, or it can't be read.
    fn find(&self, prefix: &str) -> Result<Exchange, FindError>;

    /// Reads exchanges one by one, for callers that need many.
    fn fetcher(&self) -> Box<dyn Fetcher>;

    /// The exchanges that match a query. Exchanges recorded after the call may be missing.
    ///
    /// # Errors
    ///
    /// [`ReadError::Session`] if the filter names an unknown session.
    fn query(&self, query: Query) -> Result<Box<dyn Exchanges>, ReadError>;

    /// The position of the exchange with this id; `None` if it isn't in the log.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the log can't be read.
    fn position(&self, id: ExchangeId) -> Result<Option<Position>, ReadError>;

    /// A counter that changes when the numbers of matches no longer name the same exchanges, as when a session was
    /// deleted. Recording more exchanges doesn't change it.
    fn generation(&self) -> u64;

    /// A place among the matches of a filter, in the order of recording, and how many there are. An engine with an
    /// index answers from it, unless the filter [needs bodies](Filter::needs_body).
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    fn seek(&self, filter: &Filter, start: Start) -> Result<Place, ReadError> {
        by_reading::seek(&|query| self.query(query), filter, start, self.generation())
    }

    /// The number of an exchange among the matches of a filter, counted from 0, oldest first; `None` if it doesn't
    /// match.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    fn rank(&self, filter: &Filter, position: Position) -> Result<Option<u64>, ReadError> {
        by_reading::rank(&|query| self.query(query), filter, position)
    }

    /// How many matches started when, in at most `buckets` buckets. Unreadable exchanges may be left out.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    fn histogram(&self, filter: &Filter, buckets: usize) -> Result<Histogram, ReadError> {
        by_reading::histogram(&|query| self.query(query), filter, buckets)
    }

    /// The values that matches have, and how often. Unreadable exchanges may be left out.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    fn facets(&self, filter: &Filter) -> Result<Facets, ReadError> {
        by_reading::facets(&|query| self.query(query), filter)
    }

    /// Follows exchanges as they are recorded. The start is fixed when this returns.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the filter names an unknown session, or the start can't be found.
    fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Box<dyn Follow>, ReadError>;

    /// All sessions, oldest first, each with its note and declaration.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`] if a remote log can't be reached.
    fn sessions(&self) -> Result<Vec<Session>, ReadError>;

    /// A session by its name, its id, or a unique prefix of its id. Among sessions of the same name an open one is
    /// preferred, then the newest.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if there is none or there are several.
    fn session(&self, which: &str) -> Result<Session, SessionError>;

    /// Exchanges that were recorded and are no longer in the log, by session.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`] if a remote log can't be reached.
    fn missing(&self) -> Result<Vec<Missing>, ReadError>;

    /// Totals of the log.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the log can't be read.
    fn info(&self) -> Result<Info, ReadError>;

    /// Reads everything, and verifies every checksum and hash. Calls `progress` now and then.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the check can't be completed. Damage is part of its result.
    fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError>;

    /// The state of recording in this process; zeros for a read-only log. Returns at once.
    fn status(&self) -> Status {
        Status::default()
    }

    /// Access to the sessions for changes; `None` for a read-only log.
    fn manage(&self) -> Option<&dyn ManageSessions> {
        None
    }
}

/// Reads exchanges one by one, and keeps what it unpacked last: the next one is often near.
pub trait Fetcher: Send {
    /// The exchange with this id; `None` if it isn't in the log.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it exists but can't be read.
    fn fetch(&mut self, id: ExchangeId) -> Result<Option<Exchange>, ReadError>;
}

/// Changes the sessions of a log. The methods may block, like those of [`ReadLog`].
///
/// Tokens in a name, note or declaration are replaced by their pseudonyms.
pub trait ManageSessions: Send + Sync {
    /// The session for exchanges that name none; `None` before the first of them.
    fn current_session(&self) -> Option<Session>;

    /// Makes the open session of this name the current one, starting it if there is none.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the name is invalid or the log can't be written.
    fn start_session(&self, name: &str) -> Result<Session, SessionError>;

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the session doesn't exist or the log can't be written.
    fn end_session(&self, which: &str) -> Result<Session, SessionError>;

    /// Renames a session. Exchanges recorded before keep the old name.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the session doesn't exist, the name is invalid, or the log can't be written.
    fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError>;

    /// Sets a session's note; an empty note removes it.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the session doesn't exist or the log can't be written.
    fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError>;

    /// Sets a session's declaration; an empty one removes it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Declaration`] if it is too long; otherwise as [`note_session`](Self::note_session).
    fn declare_session(&self, which: &str, declaration: &str) -> Result<Session, SessionError>;

    /// Deletes a session and all its exchanges.
    ///
    /// # Errors
    ///
    /// [`SessionError::Recording`] for the current session, [`SessionError::Importing`] for one of a running import;
    /// otherwise if it doesn't exist or can't be deleted.
    fn delete_session(&self, which: &str) -> Result<Session, SessionError>;
}

/// The state of recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Exchanges recorded since the log was opened.
    pub recorded: u64,
    /// Exchanges that passed unrecorded since the log was opened.
    pub unrecorded: u64,
    /// Permits of the recorder's queue in use.
    pub waiting: u64,
    /// Exchanges that were recorded and are no longer in the log: see [`ReadLog::missing`].
    pub missing: u64,
    /// Why the log can't be written, while it can't.
    pub failing: Option<Arc<str>>,
}
