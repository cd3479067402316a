//! The seam between the proxy and whatever keeps its exchanges.

use std::{borrow::Cow, future::Future, time::Duration};

use nightaudit_exchange::{Capture, redact_text};

/// Waits for a receipt; false where it does not come in time. A recorder that takes longer (its disk is full, say) still
/// gets the exchange: only the client is not kept waiting for an end that may not come.
pub(crate) async fn recorded(receipt: impl Future<Output = ()>, longest: Duration) -> bool {
    tokio::time::timeout(longest, receipt).await.is_ok()
}

/// What the client is told then.
pub(crate) fn not_recorded(longest: Duration) -> String {
    let seconds = longest.as_secs_f64();
    format!(
        "Mews has answered, and its response could not be recorded within {seconds} seconds (`timeouts.record`); it is \
         recorded when that is possible"
    )
}

/// Keeps exchanges.
///
/// A place is taken before a request goes out, so that whatever is forwarded can be recorded.
pub trait Recorder: Send + Sync + 'static {
    /// A place for one exchange.
    type Permit: RecordPermit;

    /// Waits for a place.
    ///
    /// # Errors
    ///
    /// [`Unrecordable`] where nothing can be recorded now, and so nothing may be forwarded.
    fn reserve(&self) -> impl Future<Output = Result<Self::Permit, Unrecordable>> + Send;
}

/// A place for one exchange. Dropping it gives it back.
pub trait RecordPermit: Send + 'static {
    /// Done when the exchange is as safe as the recorder promises.
    type Receipt: Future<Output = ()> + Send + Unpin + 'static;

    /// Notes that this request is about to go out, so that a crash can't hide it. Must not block.
    ///
    /// The capture's `forwarded` is the present instant, which is just before the real one.
    ///
    /// # Errors
    ///
    /// [`Unrecordable`] where the note can't be kept; the request is then not forwarded.
    fn begin(&mut self, capture: &Capture) -> Result<(), Unrecordable>;

    /// A text of the request that is shown before the exchange is recorded, without these tokens and others that the
    /// recorder knows. Must not block.
    fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        redact_text(text, tokens)
    }

    /// Hands over the exchange. Must not block.
    fn record(self, capture: Box<Capture>) -> Self::Receipt;
}

/// Why nothing can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Unrecordable {
    /// The cause, and what to do about it, for a person.
    pub cause: String,
}
