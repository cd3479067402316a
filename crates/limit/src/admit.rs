//! The seam between what sends requests and what keeps the limits.

use std::future::Future;

use crate::config::KeyParts;
use crate::key::AdmissionRequest;
use crate::limiter::{Admission, Limiter};
use crate::permit::{Sent, WindowPermit};
use crate::report::{KeyState, LimitSignal, PastResponse, PastSend};

/// Admits requests, in this process or by asking another machine.
///
/// [`Limiter`] is the one of this process: its futures are ready at once, but for a request that is held back. Whoever asks
/// is generic over the engine, so that nothing is allocated for an answer that is there already.
///
/// **Never over, whatever fails.** An answer that does not come, or comes as [`Unavailable`], lets no request pass. What
/// was admitted counts from the admission until it is given back or expires.
pub trait Admit: Send + Sync + 'static {
    /// What an admitted request holds.
    type Permit: Permit;

    /// What the rules together count by.
    fn key(&self) -> KeyParts;

    /// Whether a request with pagination counts otherwise than one without.
    fn counts_pages(&self) -> bool;

    /// Admits, refuses, holds back or lets pass all the same, by the configured [`Action`](crate::Action).
    ///
    /// Dropping the future gives up whatever was taken for it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where nobody can say; the request is then not sent.
    fn admit(
        &self,
        arrival: &AdmissionRequest<'_>,
    ) -> impl Future<Output = Result<Admission<Self::Permit>, Unavailable>> + Send;

    /// Takes in what earlier runs sent, and what the host said to it; before the first arrival, in any order. An engine that
    /// has kept it itself does nothing.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where the engine can't be reached; nothing may be sent then.
    fn restore(&self, past: History) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// How full the windows are, as [`Limiter::state`] says it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where the engine can't be reached.
    fn report(&self) -> impl Future<Output = Result<Vec<KeyState>, Unavailable>> + Send;
}

/// Lets one request be sent. Dropped unsent, it is given back; dropped after it was sent, it counts for its window.
pub trait Permit: Send + 'static {
    /// The request is handed to a connection as soon as this is ready. It counts from an instant that is not before that:
    /// an engine that can't know the instant exactly counts for as much longer.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where that can't be noted; the request is then not sent.
    fn sent(&mut self) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Nothing of the request was sent after all: it is as it was before [`sent`](Self::sent), which may come again.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where that can't be noted; the request is then not sent again.
    fn unsent(&mut self) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The host has answered; `said` is what that says about its limits, if anything. The response waits for it, so an
    /// engine that has to tell somebody does so later.
    fn responded(self, signal: Option<LimitSignal>) -> impl Future<Output = ()> + Send;
}

/// What earlier runs sent, and what the host said to it.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// At least what was sent within the longest window and slack.
    pub sends: Vec<PastSend<String>>,
    /// What the host said about its limits.
    pub responses: Vec<PastResponse<String>>,
}

/// Whoever keeps the limits can't be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Unavailable {
    /// The cause, and what to do about it, for a person.
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

    async fn restore(&self, past: History) -> Result<(), Unavailable> {
        self.restore(past.sends);
        self.restore_closures(past.responses);
        Ok(())
    }

    async fn report(&self) -> Result<Vec<KeyState>, Unavailable> {
        Ok(self.state())
    }
}

/// A permit of the [`Limiter`].
#[derive(Debug)]
pub struct LocalPermit(Stage);

#[derive(Debug)]
enum Stage {
    Taken(WindowPermit),
    Sent(Sent),
    /// Between the two.
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
