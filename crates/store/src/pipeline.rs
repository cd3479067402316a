//! What the threads of the log pass on with an exchange.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What to do once an exchange is written.
pub(crate) struct Completion {
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// The bytes of its bodies in the backlog.
    pub(crate) bytes: u64,
    pub(crate) slot: Option<u32>,
    /// The number of its notifier.
    pub(crate) notifier: Option<usize>,
    /// Its receipt, if one is awaited.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// The writer finished a job other than records.
pub(crate) struct Report {
    /// Whether no exchanges were dropped.
    pub(crate) whole: bool,
    /// Block buffers for reuse.
    pub(crate) spare: Vec<Vec<u8>>,
}
