//! Errors of reading and changing a log.

use std::{error::Error as StdError, io, time::Duration};

use http::StatusCode;
use nightaudit_console::TokenError;
use nightaudit_exchange::SessionId;
use nightaudit_log::{FindError, ReadError, SessionError};
use nightaudit_store::{DeleteError, OpenError};

/// A log can't be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The archive can't be read.
    #[error(transparent)]
    Archive(#[from] nightaudit_archive::Error),
    /// The console's token can't be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The exchange can't be returned.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The session can't be found or changed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A range of exchanges can't be read; those after it can.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The session can't be deleted from a log that can't be opened for writing.
    #[error(transparent)]
    Delete(#[from] DeleteError),
    /// The console of the running `serve` failed or refused.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// There is no current session to end.
    #[error("no session is being recorded: name the session to end")]
    NoCurrentSession,
}

impl Error {
    /// Whether an argument is at fault: it names an exchange or session that doesn't exist or isn't the only one, or its
    /// value is invalid. Reading again can't help then.
    #[must_use]
    pub fn is_argument(&self) -> bool {
        match self {
            Self::Find(FindError::NotFound(_) | FindError::Ambiguous { .. }) => true,
            Self::Find(FindError::Read(ReadError::Session(error)))
            | Self::Read(ReadError::Session(error))
            | Self::Session(error) => is_argument(error),
            Self::Console(error) => matches!(error, ConsoleError::Argument(_)),
            _ => false,
        }
    }
}

fn is_argument(error: &SessionError) -> bool {
    matches!(
        error,
        SessionError::NotFound(_)
            | SessionError::Ambiguous { .. }
            | SessionError::Name(_)
            | SessionError::Declaration(_)
    )
}

/// A range of unreadable exchanges within a stream. The exchanges after them can be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// Their session.
    pub session: SessionId,
    /// The sequence number of the first.
    pub first: u64,
    /// The sequence number of the last.
    pub last: u64,
    /// Why, in a sentence.
    pub message: String,
}

/// A request to the console of a running `serve` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The data folder names a console on another machine.
    #[error("the data folder names a console at {0}: the token is sent to this machine only")]
    Foreign(String),
    /// The runtime for network operations can't be created.
    #[error("can't create a runtime for network operations")]
    Runtime(#[source] io::Error),
    /// The request can't be built.
    #[error("`{path}` is not a path of the console")]
    Path {
        /// The path.
        path: String,
        /// The cause.
        source: http::Error,
    },
    /// No connection, or it broke before the response.
    #[error("can't reach the console of the running `nightaudit serve` at {address}")]
    Unreachable {
        /// The console's address.
        address: String,
        /// The I/O or protocol error.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No response in time.
    #[error(
        "no response from the console at {address} within {timeout:?}: the `nightaudit serve` that has the log open hangs, \
         or another program listens there"
    )]
    Silent {
        /// The console's address.
        address: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The file to send can't be read.
    #[error("can't read: {0}")]
    File(io::Error),
    /// A response stopped.
    #[error("no data from the console within {0:?}")]
    Stalled(Duration),
    /// A response broke off.
    #[error("the console's response was truncated")]
    Truncated(#[source] hyper::Error),
    /// A line of a response is longer than any exchange.
    #[error("the console's response has an overlong line")]
    Overlong,
    /// The response to a query isn't what this version expects.
    #[error("unexpected response from the console at {address}")]
    Unexpected {
        /// The console's address.
        address: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A line of a stream isn't what this version expects.
    #[error("the console sent an invalid {what}")]
    Invalid {
        /// What it should have been.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// What was named doesn't exist or isn't the only one, or a value is invalid; the console's own words.
    #[error("{0}")]
    Argument(String),
    /// The console refused the request.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The console's own words.
        message: String,
    },
    /// The `serve` ended during a check.
    #[error("`nightaudit serve` ended before the check was done: run it again")]
    Unfinished,
    /// The `serve` failed while it sent a stream; its own words.
    #[error("{0}")]
    Failed(String),
}

impl ConsoleError {
    /// The error of a request that only reads: what it names is at fault if the console doesn't find it, finds several,
    /// or can't parse it.
    pub(crate) fn of_reading(self) -> Self {
        self.argument_if(&[StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::BAD_REQUEST])
    }

    /// The error of a change to something that was found: only an invalid value is at fault.
    pub(crate) fn of_changing(self) -> Self {
        self.argument_if(&[StatusCode::BAD_REQUEST])
    }

    fn argument_if(self, statuses: &[StatusCode]) -> Self {
        match self {
            Self::Refused { status, message } if statuses.contains(&status) => Self::Argument(message),
            error => error,
        }
    }

    /// Whether the console itself refused the request, so that sending it again can't help.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Argument(_))
    }
}
