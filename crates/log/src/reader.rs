//! The seam between what keeps a log and what reads it.

use std::{fmt, sync::Arc};

use nightaudit_exchange::{Exchange, Filter, Missing};

use crate::{Exchanges, FindError, Follow, FollowFrom, Query, ReadError, Session, SessionError};

/// Reads a log.
///
/// The methods may read files or wait for another machine, so asynchronous code calls them on a thread that may block:
/// an export takes tens of thousands of exchanges a second from [`query`](Self::query), and a future for each would cost
/// more than reading it. An engine that is asynchronous inside waits on that thread for its own runtime. What waits
/// without end, [`follow`](Self::follow), is asynchronous.
///
/// All engines give the same results in the same order.
pub trait ReadLog: fmt::Debug + Send + Sync + 'static {
    /// The one exchange whose id begins with `prefix`.
    ///
    /// # Errors
    ///
    /// [`FindError`] where there is none or there are several, or it can't be read.
    fn find(&self, prefix: &str) -> Result<Exchange, FindError>;

    /// The exchanges that a query asks for. What is recorded after the query was made need not show.
    ///
    /// # Errors
    ///
    /// [`ReadError::Session`] where the filter names a session that isn't there.
    fn query(&self, query: Query) -> Result<Box<dyn Exchanges>, ReadError>;

    /// Follows what is recorded. Where to begin is settled when this returns.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where the filter names a session that isn't there, or the place to begin can't be found.
    fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Box<dyn Follow>, ReadError>;

    /// All sessions, the oldest first, each with its note and its declaration.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`] where the log is elsewhere and can't be asked.
    fn sessions(&self) -> Result<Vec<Session>, ReadError>;

    /// A session by its name, its id or a unique beginning of the id. Of several with the same name an open one is meant,
    /// else the newest.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where there is none or there are several.
    fn session(&self, which: &str) -> Result<Session, SessionError>;

    /// What was recorded and is not in the log any more, session by session.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unavailable`] where the log is elsewhere and can't be asked.
    fn missing(&self) -> Result<Vec<Missing>, ReadError>;

    /// How recording goes, where this process records; zeros where it only reads. Answers at once.
    fn status(&self) -> Status {
        Status::default()
    }

    /// What changes the sessions; none where the log can only be read.
    fn manage(&self) -> Option<&dyn ManageSessions> {
        None
    }
}

/// Changes the sessions of a log. The methods may block, as those of [`ReadLog`].
///
/// A token in a name, note or declaration is replaced by its pseudonym.
pub trait ManageSessions: Send + Sync {
    /// The session to which exchanges go that name none; none before the first of them.
    fn current_session(&self) -> Option<Session>;

    /// Makes the open session of this name the current one, and starts it if there is none.
    ///
    /// # Errors
    ///
    /// [`SessionError`] for an impossible name, or where the log can't be written.
    fn start_session(&self, name: &str) -> Result<Session, SessionError>;

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where it isn't there, or the log can't be written.
    fn end_session(&self, which: &str) -> Result<Session, SessionError>;

    /// Gives a session another name. Exchanges recorded before keep the old one.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where it isn't there, the name is impossible, or the log can't be written.
    fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError>;

    /// Notes something about a session; an empty note removes the one that is there.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where it isn't there, or the log can't be written.
    fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError>;

    /// Keeps a declaration with a session; an empty one removes the one that is there.
    ///
    /// # Errors
    ///
    /// [`SessionError::Declaration`] for one that is too long; else as [`note_session`](Self::note_session).
    fn declare_session(&self, which: &str, declaration: &str) -> Result<Session, SessionError>;

    /// Deletes a session and all its exchanges.
    ///
    /// # Errors
    ///
    /// [`SessionError::Recording`] for the current session; else where it isn't there, or can't be deleted.
    fn delete_session(&self, which: &str) -> Result<Session, SessionError>;
}

/// How recording goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Exchanges recorded since the log was opened.
    pub recorded: u64,
    /// Exchanges that passed unrecorded since it was opened.
    pub unrecorded: u64,
    /// Permits of the recorder's queue that are taken.
    pub waiting: u64,
    /// Exchanges that were recorded and are there no more: see [`ReadLog::missing`].
    pub missing: u64,
    /// Why the log can't be written at the moment.
    pub failing: Option<Arc<str>>,
}
