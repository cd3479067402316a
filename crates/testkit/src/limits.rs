//! Limits that answer as a test scripts it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use nightaudit_limit::{
    Admission, AdmissionRequest, Admit, History, KeyParts, KeyState, LimitSignal, Permit, Refusal, Totals, Unavailable,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// What was asked of [`ScriptedLimits`], or told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitEvent {
    /// Whether this operation may be sent.
    Asked(String),
    /// The request is handed over.
    Sent,
    /// Nothing of it was sent after all.
    Unsent,
    /// Mews has answered.
    Answered(Option<LimitSignal>),
    /// An unsent request's permit was dropped.
    GivenBack,
}

/// How [`ScriptedLimits`] answer one question.
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

    /// Nobody can say, because of this.
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

/// How one request is treated.
#[derive(Debug, Clone, Default)]
pub struct Treatment {
    /// Whether it may be sent.
    pub admit: Reply,
    /// Refuses it, where it is said.
    pub refusal: Option<Refusal>,
    /// What comes when it is handed over, each time; what is not said is yes.
    pub sent: VecDeque<Reply>,
    /// What comes when nothing of it was sent.
    pub unsent: Reply,
}

/// Limits that treat requests as they are told, one after the other, and further ones without any limit.
pub struct ScriptedLimits {
    treatments: Mutex<VecDeque<Treatment>>,
    events: mpsc::UnboundedSender<LimitEvent>,
}

impl ScriptedLimits {
    /// The limits, and what will be asked of them.
    #[must_use]
    pub fn new(treatments: impl IntoIterator<Item = Treatment>) -> (Self, mpsc::UnboundedReceiver<LimitEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Self { treatments: Mutex::new(treatments.into_iter().collect()), events }, receiver)
    }

    fn tell(&self, event: LimitEvent) {
        // A test that has seen enough no longer receives.
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
        // From here on a permit is taken, and dropping the future gives it back.
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
