//! What can go wrong with an archive, by what its user can do.

use std::{error::Error as _, fmt};

use nightaudit_exchange::{ExchangeId, SessionId};
use nightaudit_log::{ReadError, Unavailable};
use tokio_postgres::error::SqlState;

use crate::address::Address;

/// A failure of the archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or it broke.
    #[error("can't reach the archive {address}: {cause}")]
    Unreachable {
        /// The address, without its password.
        address: String,
        /// The cause, in words.
        cause: String,
    },
    /// The password is wrong or missing.
    #[error(
        "the archive {address} doesn't let {user} in: {cause}; give the password in the address, in PGPASSWORD or in a \
         `passfile`"
    )]
    Password {
        /// The address, without its password.
        address: String,
        /// The user.
        user: String,
        /// The server's words.
        cause: String,
    },
    /// TLS can't be set up.
    #[error("no TLS for the archive: {0}")]
    Tls(String),
    /// The database has no archive.
    #[error(
        "{0} has no archive: make it with `nightaudit archive setup --log postgres://…` as a user who may create roles"
    )]
    Missing(String),
    /// The schema is of a later version of this program.
    #[error("the archive {address} has schema {found}, and this program knows none above {known}: update nightaudit")]
    Newer {
        /// The address, without its password.
        address: String,
        /// Its version.
        found: i32,
        /// The latest version that this program knows.
        known: i32,
    },
    /// The user lacks rights.
    #[error(
        "the archive {address} doesn't allow {user} this: {cause}; nodes need the role nightaudit_node, readers nightaudit_reader"
    )]
    Rights {
        /// The address, without its password.
        address: String,
        /// The user.
        user: String,
        /// The server's words.
        cause: String,
    },
    /// The server has no space left.
    #[error("the archive {address} is full: {cause}")]
    Full {
        /// The address, without its password.
        address: String,
        /// The server's words.
        cause: String,
    },
    /// The chain is another node's.
    #[error(
        "session {} is in the archive as another node's: a data folder was copied, or the node was renamed; give it \
         its former name with `archive_node`",
        Id(*session)
    )]
    Foreign {
        /// The session; `None` if the caller knows it.
        session: Option<SessionId>,
    },
    /// The chain in the archive goes on otherwise than the one here.
    #[error(
        "session {} in the archive doesn't end where this node left it: another process ships the same session",
        Id(*session)
    )]
    Diverged {
        /// The session; `None` if the caller knows it.
        session: Option<SessionId>,
    },
    /// An exchange can't be shipped.
    #[error("exchange {id} can't be shipped: {cause}")]
    Unshippable {
        /// The exchange.
        id: ExchangeId,
        /// The cause, in words.
        cause: String,
    },
    /// A record can't be read.
    #[error("a record of the archive can't be read: {0}")]
    Record(String),
    /// The local log can't be read.
    #[error("the local log can't be read: {0}")]
    Local(#[from] Box<ReadError>),
    /// Anything else that the server says.
    #[error("the archive {address} failed: {cause}")]
    Server {
        /// The address, without its password.
        address: String,
        /// The server's words.
        cause: String,
    },
}

impl Error {
    /// An error of the client for this address.
    pub(crate) fn of(error: &tokio_postgres::Error, address: &Address) -> Self {
        let (user, address) = (address.user().to_owned(), address.to_string());
        let Some(db) = error.as_db_error() else {
            let mut cause = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                cause = format!("{cause}: {error}");
                source = error.source();
            }
            // The client itself asks for a password that it wasn't given.
            return match cause.contains("password") {
                true => Self::Password { address, user, cause },
                false => Self::Unreachable { address, cause },
            };
        };
        let cause = db.message().to_owned();
        let code = db.code();
        match code.code() {
            // As the schema's functions raise them.
            "NA002" => return Self::Foreign { session: None },
            "NA003" => return Self::Diverged { session: None },
            _ => {}
        }
        match code {
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Self::Password { address, user, cause }
            }
            &SqlState::INSUFFICIENT_PRIVILEGE => Self::Rights { address, user, cause },
            &SqlState::UNDEFINED_TABLE
            | &SqlState::UNDEFINED_FUNCTION
            | &SqlState::INVALID_SCHEMA_NAME
            | &SqlState::UNDEFINED_OBJECT => Self::Missing(address),
            &SqlState::INVALID_CATALOG_NAME => Self::Server { address, cause },
            &SqlState::DISK_FULL | &SqlState::OUT_OF_MEMORY => Self::Full { address, cause },
            &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::CANNOT_CONNECT_NOW
            | &SqlState::TOO_MANY_CONNECTIONS => Self::Unreachable { address, cause },
            _ => Self::Server { address, cause },
        }
    }

    /// The error, about this session.
    pub(crate) fn about(self, session: SessionId) -> Self {
        match self {
            Self::Foreign { .. } => Self::Foreign { session: Some(session) },
            Self::Diverged { .. } => Self::Diverged { session: Some(session) },
            error => error,
        }
    }

    /// Whether the connection is at fault, so that another one may do better at once.
    pub(crate) fn is_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Unavailable::new(error).into()
    }
}

/// A session's id, if it is known.
struct Id(Option<SessionId>);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("of this node"),
        }
    }
}
