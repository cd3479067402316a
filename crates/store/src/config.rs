//! Log configuration.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use nightaudit_exchange::{Api, SessionId, Timestamp};

use crate::disk::{Disk, OsDisk};

/// Configuration of a log. All fields but [`dir`](Self::dir) have sensible defaults.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data folder. Created with mode 0700 if it doesn't exist.
    pub dir: PathBuf,
    /// The API whose exchanges are recorded.
    pub api: &'static Api,
    /// What the end of a response waits for.
    pub durability: Durability,
    /// What happens to requests while the log can't be written.
    pub on_failure: OnFailure,
    /// How long to wait before a failed write is retried; default 1 second.
    pub retry_interval: Duration,
    /// The maximum number of exchanges in flight or waiting to be written; at least 1, default 4,096.
    pub queue: usize,
    /// The bytes of bodies waiting to be written above which no further request is admitted; default 64 MiB.
    pub max_backlog: u64,
    /// How many sessions requests may start by naming them, from when the log is opened; requests naming further ones
    /// go to the current session. Default 1,000.
    pub max_sessions: usize,
    /// The size in bytes at which a segment is sealed and the next one started; default 64 MiB.
    pub segment_size: u64,
    /// JSON properties whose values are replaced by pseudonyms, in addition to tokens.
    pub redact_fields: Vec<String>,
    /// The size in bytes above which the oldest ended sessions are deleted.
    pub max_size: Option<u64>,
    /// The age above which ended sessions are deleted, counted from their end.
    pub max_age: Option<Duration>,
    /// What has to have a session before a size or an age deletes it; `None` for nothing.
    pub keeper: Option<Keeper>,
    /// The session to continue, or to start if none of this name is open. If `None`, the first exchange starts a
    /// session named after the time, which ends when the log is closed.
    pub session: Option<String>,
    /// Whether requests are recorded. Otherwise a session that is started is open, but not the current one.
    pub records: bool,
    /// The name of the environment, stored with each new session.
    pub environment: Arc<str>,
    /// The clock; injected by tests.
    pub now: fn() -> Timestamp,
    /// The file layer; tests inject failures.
    pub disk: Arc<dyn Disk>,
}

impl StoreConfig {
    /// The defaults, for this data folder and the exchanges of this API.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, api: &'static Api) -> Self {
        Self {
            dir: dir.into(),
            api,
            durability: Durability::Sync,
            on_failure: OnFailure::Refuse,
            retry_interval: Duration::from_secs(1),
            queue: 4096,
            max_backlog: 64 << 20,
            max_sessions: 1000,
            segment_size: 64 << 20,
            redact_fields: Vec::new(),
            max_size: None,
            max_age: None,
            keeper: None,
            session: None,
            records: true,
            environment: "demo".into(),
            now: || Timestamp::from_system(std::time::SystemTime::now()),
            disk: Arc::new(OsDisk),
        }
    }
}

/// Another place that exchanges go to: whether so many of a session's exchanges are there.
#[derive(Clone)]
pub struct Keeper(pub Arc<HasExchanges>);

/// Whether a [`Keeper`] has this many exchanges of a session. Must not block.
pub type HasExchanges = dyn Fn(SessionId, u64) -> bool + Send + Sync;

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper(…)")
    }
}

/// What a [`Receipt`](crate::Receipt) waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// `sync`: the disk. Survives a power failure.
    #[default]
    Sync,
    /// `write`: the file system. Survives the end of the process, even a kill.
    Write,
    /// `batch`: nothing. The last 50 ms can be lost.
    Batch,
}

/// What happens to requests while the log can't be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// `refuse`: nothing is forwarded until the log can be written again; nothing is lost.
    #[default]
    Refuse,
    /// `forward`: requests pass unrecorded, are counted, and mark the session incomplete permanently.
    Forward,
}

/// A value that is not one of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a valid value: use {choices}")]
pub struct InvalidChoice {
    given: String,
    choices: &'static str,
}

impl FromStr for Durability {
    type Err = InvalidChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sync" => Ok(Self::Sync),
            "write" => Ok(Self::Write),
            "batch" => Ok(Self::Batch),
            _ => Err(InvalidChoice { given: text.to_owned(), choices: "sync, write or batch" }),
        }
    }
}

impl FromStr for OnFailure {
    type Err = InvalidChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "forward" => Ok(Self::Forward),
            _ => Err(InvalidChoice { given: text.to_owned(), choices: "refuse or forward" }),
        }
    }
}
