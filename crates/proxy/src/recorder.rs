//! The interface between the proxy and what records its exchanges.

use std::{borrow::Cow, future::Future, sync::Arc, time::Duration};

use nightaudit_exchange::{Api, Capture, Spill};

/// Waits for a receipt; returns false on timeout. The recorder still has the exchange; only the client does not wait
/// indefinitely for a full disk, say.
pub(crate) async fn recorded(receipt: impl Future<Output = ()>, timeout: Duration) -> bool {
    tokio::time::timeout(timeout, receipt).await.is_ok()
}

/// The message to the client then.
pub(crate) fn not_recorded(api: &Api, timeout: Duration) -> String {
    let seconds = timeout.as_secs_f64();
    format!(
        "{} has responded, but the exchange could not be recorded within {seconds} s (`timeouts.record`); it will be \
         recorded as soon as possible",
        api.name
    )
}

/// Records exchanges.
///
/// A permit is reserved before a request is sent, so that every forwarded request can be recorded.
pub trait Recorder: Send + Sync + 'static {
    /// The permit to record one exchange.
    type Permit: RecordPermit;

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// [`Unrecordable`] if nothing can be recorded now, so nothing may be forwarded.
    fn reserve(&self) -> impl Future<Output = Result<Self::Permit, Unrecordable>> + Send;

    /// Returns a capture that is recorded and cleared, for its memory. `None` by default, which only costs allocations.
    fn spare(&self) -> Option<Box<Capture>> {
        None
    }

    /// Returns a place for what can't be compressed of long bodies. `None` by default, which only costs memory.
    fn spill(&self) -> Option<Arc<dyn Spill>> {
        None
    }
}

/// The permit to record one exchange, released when dropped.
pub trait RecordPermit: Send + 'static {
    /// Resolves once the exchange is as durable as the recorder promises.
    type Receipt: Future<Output = ()> + Send + Unpin + 'static;

    /// Journals that this request is about to be sent, so that a crash can't hide it. Must not block.
    ///
    /// The capture's `forwarded` is the current time, just before the request is sent.
    ///
    /// # Errors
    ///
    /// [`Unrecordable`] if it can't be journaled; the request is then not forwarded.
    fn begin(&mut self, capture: &Capture) -> Result<(), Unrecordable>;

    /// Redacts these tokens, and others the recorder knows, from a text of the request that is shown before the
    /// exchange is recorded. Must not block.
    fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]>;

    /// Records the exchange. Must not block.
    fn record(self, capture: Box<Capture>) -> Self::Receipt;
}

/// Why nothing can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Unrecordable {
    /// The cause and the remedy, for people.
    pub cause: String,
}
