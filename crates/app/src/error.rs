//! Why it doesn't start, and how a run went wrong.

use std::{io, net::SocketAddr, path::PathBuf};

use nightaudit_console::TokenError;
use nightaudit_limit::ConfigError as LimitError;
use nightaudit_listen::TlsError;
use nightaudit_proxy::UpstreamConfigError;
use nightaudit_store::{OpenError, ReadError};

/// Why a [`Service`](crate::Service) doesn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The limits are none.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Whoever keeps the limits can't be asked, and without them nothing may be sent.
    #[error(transparent)]
    LimitStore(#[from] nightaudit_limit::Unavailable),
    /// How Mews is reached can't be used: the authorities, or the proxy on the way.
    #[error(transparent)]
    Upstream(#[from] UpstreamConfigError),
    /// Another process has the log.
    #[error("another nightaudit is at work there: stop it, or choose another --data")]
    Locked(#[source] OpenError),
    /// The data folder can't be read or written.
    #[error("the data folder can't be used: choose another with --data")]
    Folder(#[source] OpenError),
    /// The log can't be opened.
    #[error(transparent)]
    Open(OpenError),
    /// A port is taken, or not of this machine.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The console's token can't be read or made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What was sent before can't be read, without which the limits would be exceeded.
    #[error("can't read what {what} before the start")]
    Restore {
        /// What it is: `was sent`, for example.
        what: &'static str,
        /// Why not.
        source: ReadError,
    },
    /// Commands of this machine can't be told where the console is.
    #[error("can't write the lock file in {}", folder.display())]
    LockFile {
        /// The data folder.
        folder: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A port has no address, or a thread can't be had.
    #[error("the system refuses a port or a thread")]
    System(#[source] io::Error),
}

impl StartError {
    /// Whether the configuration is to be changed, so that trying again is of no use.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Limit(_) | Self::Upstream(_))
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locked { .. } => Self::Locked(error),
            OpenError::Io { .. } => Self::Folder(error),
            error => Self::Open(error),
        }
    }
}

/// Nobody can connect there.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: free it, or choose another address with --{key}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The key of the configuration that names it.
    pub key: &'static str,
    /// What the operating system says.
    pub source: io::Error,
}

/// How a run went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The threads that serve the proxy's port can't be started.
    #[error("can't start a thread for each core")]
    Threads(#[source] io::Error),
    /// Exchanges are not in the log, because it couldn't be written.
    #[error("{0} exchanges could not be written")]
    Lost(u64),
}
