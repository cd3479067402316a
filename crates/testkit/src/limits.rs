//! Scripted limits.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use nightaudit_limit::{
    Admission, AdmissionRequest, Admit, History, KeyParts, KeyState, LimitSignal, Permit, Refusal, Totals, Unavailable,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// A call of [`ScriptedLimits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitEvent {
    /// Whether to admit this operation.
    Asked(String),
    /// The request is about to be sent.
    Sent,
    /// Nothing of it was sent.
    Unsent,
    /// Mews has responded.
    Answered(Option<LimitSignal>),
    /// An unsent request's permit was dropped.
    GivenBack,
}

/// The response of [`ScriptedLimits`] to a call.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    after: Option<Arc<Notify>>,
    failure: Option<&'static str>,
}

impl Reply {
    /// Yes, once this is notified.
    #[must_use]
    pub fn after(notify: &Arc<Notify>) -> Self {
        Self { after: Some(Arc::clone(notify)), failure: None }
    }

    /// Unavailable, for this reason.
    #[must_use]
    pub fn failure(cause: &'static str) -> Self {
        Self { after: None, failure: Some(cause) }
    }

    async fn come(self) -> Result<(), Unavailable> {
        if let Some(after) = self.after {
            after.notified().await;
        }
        self.failure.map_or(Ok(()), |cause| Err(Unavailable { cause: cause.to_owned() }))
    }
}

/// The script for one request.
#[derive(Debug, Clone, Default)]
pub struct Treatment {
    /// The response to `admit`.
    pub admit: Reply,
    /// Refuses it, if set.
    pub refusal: Option<Refusal>,
    /// The responses to each `sent`; yes if there are no more.
    pub sent: VecDeque<Reply>,
    /// The response to `unsent`.
    pub unsent: Reply,
}

/// Limits with a script for each request, and no limit for further ones.
pub struct ScriptedLimits {
    treatments: Mutex<VecDeque<Treatment>>,
    events: mpsc::UnboundedSender<LimitEvent>,
}

impl ScriptedLimits {
    /// The limits, and the calls they receive.
    #[must_use]
    pub fn new(treatments: impl IntoIterator<Item = Treatment>) -> (Self, mpsc::UnboundedReceiver<LimitEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Self { treatments: Mutex::new(treatments.into_iter().collect()), events }, receiver)
    }

    fn tell(&self, event: LimitEvent) {
        // The test may have stopped receiving.
        let _ = self.events.send(event);
    }
}

impl Admit for ScriptedLimits {
    type Permit = ScriptedPermit;

    fn key(&self) -> KeyParts {
        KeyParts::default()
    }

    fn counts_pages(&self) -> bool {
        false
    }

    async fn admit(&self, arrival: &AdmissionRequest<'_>) -> Result<Admission<ScriptedPermit>, Unavailable> {
        self.tell(LimitEvent::Asked(arrival.operation.to_owned()));
        let Treatment { admit, refusal, sent, unsent } = self.treatments.lock().pop_front().unwrap_or_default();
        // From here on the permit is taken, and dropping the future releases it.
        let permit = ScriptedPermit { events: self.events.clone(), sent, unsent, is_sent: false };
        admit.come().await?;
        Ok(match refusal {
            Some(refusal) => Admission::Refused(refusal),
            None => Admission::Admitted { permit, usage: None, waited: Duration::ZERO },
        })
    }

    async fn restore(&self, _: History) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn report(&self) -> Result<Vec<KeyState>, Unavailable> {
        Ok(Vec::new())
    }

    async fn totals(&self) -> Result<Totals, Unavailable> {
        Ok(Totals::default())
    }
}

/// A permit of [`ScriptedLimits`].
pub struct ScriptedPermit {
    events: mpsc::UnboundedSender<LimitEvent>,
    sent: VecDeque<Reply>,
    unsent: Reply,
    is_sent: bool,
}

impl Permit for ScriptedPermit {
    async fn sent(&mut self) -> Result<(), Unavailable> {
        self.sent.pop_front().unwrap_or_default().come().await?;
        self.is_sent = true;
        let _ = self.events.send(LimitEvent::Sent);
        Ok(())
    }

    async fn unsent(&mut self) -> Result<(), Unavailable> {
        self.unsent.clone().come().await?;
        self.is_sent = false;
        let _ = self.events.send(LimitEvent::Unsent);
        Ok(())
    }

    async fn responded(self, signal: Option<LimitSignal>) {
        let _ = self.events.send(LimitEvent::Answered(signal));
    }
}

impl Drop for ScriptedPermit {
    fn drop(&mut self) {
        if !self.is_sent {
            let _ = self.events.send(LimitEvent::GivenBack);
        }
    }
}
