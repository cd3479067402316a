//! What the log is told when it is opened.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use nightaudit_exchange::Timestamp;

use crate::disk::{Disk, OsDisk};

/// How the log is kept. Only [`dir`](Self::dir) has no sensible default.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data folder. It is made, with mode 0700, if it isn't there.
    pub dir: PathBuf,
    /// What an answer's end waits for.
    pub durability: Durability,
    /// What happens to requests while the log can't be written.
    pub on_failure: OnFailure,
    /// How long to wait before a failed write is tried again; a second unless told.
    pub retry_every: Duration,
    /// How many exchanges may be under way or waiting to be written at once; at least 1. 4,096 unless told.
    pub queue: usize,
    /// How many bytes of bodies may wait to be written before no further request is let in; 64 MiB unless told.
    pub max_backlog: u64,
    /// How many sessions exchanges may begin by naming them, from the log's opening on; what names another one after that
    /// goes to the current session. 1,000 unless told.
    pub max_sessions: usize,
    /// The size in bytes at which a segment is sealed and the next one begun; 64 MiB unless told.
    pub segment_size: u64,
    /// JSON fields whose values are replaced by pseudonyms, beside the tokens that always are.
    pub redact_fields: Vec<String>,
    /// The size in bytes above which the oldest ended sessions are deleted.
    pub max_size: Option<u64>,
    /// The age above which ended sessions are deleted, counted from their end.
    pub max_age: Option<Duration>,
    /// The session to continue, or to start if none of this name is open. Without it, a new session named by the time
    /// is started by the first exchange and ended with the log.
    pub session: Option<String>,
    /// The environment's name, noted in each new session.
    pub environment: Arc<str>,
    /// The clock, which tests set.
    pub now: fn() -> Timestamp,
    /// The file layer, which tests let fail.
    pub disk: Arc<dyn Disk>,
}

impl StoreConfig {
    /// The defaults, for this data folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            durability: Durability::Sync,
            on_failure: OnFailure::Refuse,
            retry_every: Duration::from_secs(1),
            queue: 4096,
            max_backlog: 64 << 20,
            max_sessions: 1000,
            segment_size: 64 << 20,
            redact_fields: Vec::new(),
            max_size: None,
            max_age: None,
            session: None,
            environment: "demo".into(),
            now: || Timestamp::from_system(std::time::SystemTime::now()),
            disk: Arc::new(OsDisk),
        }
    }
}

/// What a [`Receipt`](crate::Receipt) waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// `sync`: the disk. Survives a power failure.
    #[default]
    Sync,
    /// `write`: the file system. Survives the end of the process, however it comes.
    Write,
    /// `batch`: nothing. What was recorded in the last 50 ms can be lost.
    Batch,
}

/// What happens to requests while the log can't be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// `refuse`: nothing is forwarded until the log can be written again; nothing is lost.
    #[default]
    Refuse,
    /// `forward`: requests pass unrecorded, are counted, and mark the session incomplete for ever.
    Forward,
}

/// A word that is none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not possible here: choose {choices}")]
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
