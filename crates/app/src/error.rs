//! Errors of starting and running.

use std::{io, net::SocketAddr, path::PathBuf};

use nightaudit_console::TokenError;
use nightaudit_limit::ConfigError as LimitError;
use nightaudit_listen::TlsError;
use nightaudit_proxy::UpstreamConfigError;
use nightaudit_store::{OpenError, ReadError};

/// Why a [`Service`](crate::Service) can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The limits are invalid.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The limits in Redis can't be used.
    #[error(transparent)]
    Budget(#[from] nightaudit_limit_redis::BudgetError),
    /// The fault rules can't be used.
    #[error(transparent)]
    Faults(#[from] nightaudit_fault::FaultsError),
    /// The limiter's backend can't be reached, and nothing may be sent without it.
    #[error(transparent)]
    LimitStore(#[from] nightaudit_limit::Unavailable),
    /// The trusted authorities or the upstream proxy can't be used.
    #[error(transparent)]
    Upstream(#[from] UpstreamConfigError),
    /// Another process has locked the log.
    #[error("stop the other nightaudit, or choose another --data")]
    Locked(#[source] OpenError),
    /// The data folder can't be read or written.
    #[error("the data folder can't be used: choose another with --data")]
    Folder(#[source] OpenError),
    /// The log can't be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The archive can't be read.
    #[error(transparent)]
    Archive(#[from] nightaudit_archive::Error),
    /// A port is in use, or the address isn't this machine's.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The console's token can't be read or created.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The requests sent before can't be read; without them, the limits could be exceeded.
    #[error("can't read the {what} of the last run")]
    Restore {
        /// What can't be read.
        what: &'static str,
        /// The log's error.
        source: ReadError,
    },
    /// The console's address can't be written to the file `console`, where commands look for it.
    #[error("can't write the console's address to {}", folder.join("console").display())]
    ConsoleFile {
        /// The data folder.
        folder: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A port has no address, or a thread can't be spawned.
    #[error("can't open a port or spawn a thread")]
    System(#[source] io::Error),
}

impl StartError {
    /// Whether the configuration is at fault, so that a retry can't help.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Limit(_) | Self::Budget(_) | Self::Faults(_) | Self::Upstream(_))
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

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: free it, or choose another address with --{key}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The configuration key that sets it.
    pub key: &'static str,
    /// The I/O error.
    pub source: io::Error,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The proxy's threads can't be spawned.
    #[error("can't start a thread for each core")]
    Threads(#[source] io::Error),
    /// Exchanges are missing from the log because it couldn't be written.
    #[error("{} could not be written", lost(.0))]
    Lost(u64),
}

fn lost(count: &u64) -> String {
    nightaudit_units::counted(*count, "exchange")
}
