//! The interface between the proxy and the limiter.

use std::future::Future;

use crate::config::KeyParts;
use crate::key::AdmissionRequest;
use crate::limiter::Limiter;
use crate::permit::{Sent, WindowPermit};
use crate::report::{KeyState, LimitSignal, PastResponse, PastSend, Totals};
use crate::verdict::Admission;

/// Admits requests, in this process or through a remote engine.
///
/// [`Limiter`] is the in-process engine: its futures are ready at once, unless a request is delayed. Callers are
/// generic over the engine, so a ready result allocates nothing.
///
/// **Fails closed.** No request passes without a result, or with [`Unavailable`]. An admitted request counts from
/// admission until its permit is released or expires.
pub trait Admit: Send + Sync + 'static {
    /// The permit of an admitted request.
    type Permit: Permit;

    /// The key parts that the rules count by, combined.
    fn key(&self) -> KeyParts;

    /// Whether any rule weighs paginated requests differently.
    fn counts_pages(&self) -> bool;

    /// Admits, refuses, delays or only observes, as the configured [`Action`](crate::Action) says.
    ///
    /// Dropping the future releases whatever was taken for it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the engine can't decide; the request must not be sent.
    fn admit(
        &self,
        arrival: &AdmissionRequest<'_>,
    ) -> impl Future<Output = Result<Admission<Self::Permit>, Unavailable>> + Send;

    /// Restores the sends and responses of earlier runs, in any order; call before the first arrival. An engine with
    /// storage of its own does nothing.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the engine can't be reached; nothing may be sent then.
    fn restore(&self, history: History) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Window usage, as [`Limiter::state`] reports it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the engine can't be reached.
    fn report(&self) -> impl Future<Output = Result<Vec<KeyState>, Unavailable>> + Send;

    /// Totals and peaks, as [`Limiter::totals`] reports them.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the engine can't be reached.
    fn totals(&self) -> impl Future<Output = Result<Totals, Unavailable>> + Send;
}

/// Permission to send one request. Dropped unsent, it is released; dropped after the send, it counts for its window.
pub trait Permit: Send + 'static {
    /// Records the send; the request is handed to a connection once this completes. It counts from an instant no
    /// earlier than that: an engine that can't know the instant exactly counts it for correspondingly longer.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the send can't be recorded; the request is not sent.
    fn sent(&mut self) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Reverts [`sent`](Self::sent) when no byte of the request left; `sent` may be called again.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if that can't be recorded; the request is not sent again.
    fn unsent(&mut self) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The host has responded; `signal` is what the response reveals about its limits, if anything. The client's
    /// response waits for this future, so slow reporting belongs elsewhere.
    fn responded(self, signal: Option<LimitSignal>) -> impl Future<Output = ()> + Send;
}

/// Sends and responses of earlier runs.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All sends within the longest window plus slack, or more.
    pub sends: Vec<PastSend<String>>,
    /// What the host revealed about its limits.
    pub responses: Vec<PastResponse<String>>,
}

/// The limit engine is unreachable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Unavailable {
    /// The cause and its remedy, for display.
    pub cause: String,
}

impl Admit for Limiter {
    type Permit = LocalPermit;

    fn key(&self) -> KeyParts {
        self.key()
    }

    fn counts_pages(&self) -> bool {
        self.counts_pages()
    }

    #[inline]
    async fn admit(&self, arrival: &AdmissionRequest<'_>) -> Result<Admission<LocalPermit>, Unavailable> {
        Ok(match self.admit(arrival).await {
            Admission::Admitted { permit, usage, waited } => {
                Admission::Admitted { permit: LocalPermit(Stage::Taken(permit)), usage, waited }
            }
            Admission::Observed { permit, refusal } => {
                Admission::Observed { permit: LocalPermit(Stage::Taken(permit)), refusal }
            }
            Admission::Refused(refusal) => Admission::Refused(refusal),
        })
    }

    async fn restore(&self, history: History) -> Result<(), Unavailable> {
        self.restore(history.sends);
        self.restore_closures(history.responses);
        Ok(())
    }

    async fn report(&self) -> Result<Vec<KeyState>, Unavailable> {
        Ok(self.state())
    }

    async fn totals(&self) -> Result<Totals, Unavailable> {
        Ok(self.totals())
    }
}

/// A permit of the [`Limiter`].
#[derive(Debug)]
pub struct LocalPermit(Stage);

#[derive(Debug)]
enum Stage {
    Taken(WindowPermit),
    Sent(Sent),
    /// In transition.
    Changing,
}

impl Permit for LocalPermit {
    #[inline]
    fn sent(&mut self) -> impl Future<Output = Result<(), Unavailable>> + Send {
        self.0 = match std::mem::replace(&mut self.0, Stage::Changing) {
            Stage::Taken(permit) => Stage::Sent(permit.sent()),
            other => other,
        };
        std::future::ready(Ok(()))
    }

    fn unsent(&mut self) -> impl Future<Output = Result<(), Unavailable>> + Send {
        self.0 = match std::mem::replace(&mut self.0, Stage::Changing) {
            Stage::Sent(sent) => Stage::Taken(sent.undo()),
            other => other,
        };
        std::future::ready(Ok(()))
    }

    #[inline]
    fn responded(self, signal: Option<LimitSignal>) -> impl Future<Output = ()> + Send {
        if let Stage::Sent(sent) = self.0 {
            match signal {
                Some(LimitSignal::TooManyRequests(retry_after)) => sent.too_many_requests(retry_after),
                Some(LimitSignal::Accepted) => sent.succeeded(),
                None => {}
            }
        }
        std::future::ready(())
    }
}
