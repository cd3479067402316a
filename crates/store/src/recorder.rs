//! How exchanges enter the log.

use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll},
};

use nightaudit_exchange::{Capture, JournalEntry, Spill};
use nightaudit_log::StoreFailure;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    config::{Durability, OnFailure},
    encoder::{Item, Message},
    notifier::{Notifier, Signal},
    pipeline::Completion,
    shared::Shared,
    spare::SpareCaptures,
};

/// Records exchanges. Cheap to clone; usable from any number of tasks at once.
#[derive(Debug, Clone)]
pub struct Recorder {
    pub(crate) shared: Arc<Shared>,
    pub(crate) encoder: mpsc::Sender<Message>,
    /// What it shares with the notifier for its receipts.
    pub(crate) notifier: Option<Arc<Signal>>,
    /// Where its captures go once they are encoded; `None` if they are dropped.
    pub(crate) spare: Option<Arc<SpareCaptures>>,
}

impl Recorder {
    /// A recorder for one runtime, whose receipts resolve through the returned [`Notifier`]; spawn that on the runtime.
    /// Call once per runtime; the log keeps a handle. Receipts resolve only while the notifier runs, or once it was
    /// dropped.
    pub fn with_notifier(&self) -> (Self, Notifier) {
        let (signal, notifier) = self.shared.notifiers.register();
        (Self { notifier: Some(signal), spare: Some(Arc::default()), ..self.clone() }, notifier)
    }

    /// Returns a capture without content, whose memory served an exchange that is encoded; `None` if there is none, as
    /// without a notifier.
    #[must_use]
    pub fn spare(&self) -> Option<Box<Capture>> {
        self.spare.as_ref()?.take()
    }

    /// Returns the place for what can't be compressed of long bodies. There it is encrypted, and has no name.
    #[must_use]
    pub fn spill(&self) -> Arc<dyn Spill> {
        Arc::clone(&self.shared.spill) as _
    }

    /// Waits for a permit, and until the backlog is below its limit.
    ///
    /// A request is forwarded only with a permit, so its exchange always fits in the queue. Its size is not known yet:
    /// requests in flight when [`StoreConfig::max_backlog`](crate::StoreConfig::max_backlog) is reached come on top of
    /// it.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] while the log can't be written and the policy is to refuse requests, and once it is closed.
    pub async fn reserve(&self) -> Result<QueuePermit, StoreFailure> {
        let shared = &self.shared;
        let at_once =
            if *shared.backlogged.borrow() { None } else { Arc::clone(&shared.permits).try_acquire_owned().ok() };
        let permit = match at_once {
            Some(permit) => permit,
            // Boxed: it is large and rare, and the future of every request would have room for it.
            None => Box::pin(self.wait()).await?,
        };
        match shared.failure() {
            Some(failure) if shared.on_failure == OnFailure::Refuse => Err(failure),
            _ => Ok(QueuePermit { recorder: self.clone(), permit: Some(permit), slot: None }),
        }
    }

    /// Waits for a permit, or until the log fails and requests are refused for that.
    async fn wait(&self) -> Result<OwnedSemaphorePermit, StoreFailure> {
        let shared = &self.shared;
        let refuse = shared.on_failure == OnFailure::Refuse;
        let closed = || StoreFailure { cause: "it is closed".into() };
        let mut failing = shared.failing.subscribe();
        let failed = async {
            let failed = failing.wait_for(|cause| refuse && cause.is_some()).await.is_ok();
            if !failed {
                std::future::pending().await
            }
        };
        let acquired = async {
            let permit = Arc::clone(&shared.permits).acquire_owned().await;
            // Acquire the permit first, so that waiters proceed in order of arrival.
            let _ = shared.backlogged.subscribe().wait_for(|backlogged| !*backlogged).await;
            permit
        };
        tokio::select! {
            permit = acquired => permit.map_err(|_| closed()),
            () = failed => Err(shared.failure().unwrap_or_else(closed)),
        }
    }
}

/// A permit for one exchange in the recorder's queue. Dropping it releases it.
pub struct QueuePermit {
    recorder: Recorder,
    permit: Option<OwnedSemaphorePermit>,
    slot: Option<u32>,
}

impl fmt::Debug for QueuePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePermit").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl QueuePermit {
    /// Notes in the journal that a request is about to be forwarded: if the process ends before
    /// [`record`](Self::record), the log shows it as interrupted when it is opened again. Takes a microsecond or two
    /// and never waits.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] if the journal can't be written and the policy is to refuse requests.
    pub fn begin(&mut self, started: &JournalEntry<'_>) -> Result<(), StoreFailure> {
        let shared = &self.recorder.shared;
        let (Some(journal), None) = (shared.journal.get(), self.slot) else { return Ok(()) };
        let begun = journal.begin(started);
        shared.note_journal(begun.as_ref().map(|_| ()));
        match begun {
            Ok(slot) => {
                self.slot = Some(slot);
                Ok(())
            }
            Err(error) if shared.on_failure == OnFailure::Refuse => {
                Err(StoreFailure { cause: format!("can't write the journal: {error}").into() })
            }
            // The policy is to forward anyway.
            Err(_) => Ok(()),
        }
    }

    /// A text of a request with these tokens, and those seen before, redacted.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        self.recorder.shared.known_tokens().redact_text(text, tokens)
    }

    /// The journal entry of this capture for [`begin`](Self::begin), with its tokens, and those seen before, redacted.
    #[must_use]
    pub fn journal_entry<'a>(&self, capture: &'a Capture) -> JournalEntry<'a> {
        self.recorder.shared.known_tokens().journal_entry(capture)
    }

    /// Hands an exchange over without blocking; the work happens on the log's threads.
    pub fn record(mut self, capture: impl Into<Box<Capture>>) -> Receipt {
        let capture = capture.into();
        let (done, receipt) = match self.recorder.shared.durability {
            Durability::Batch => (None, None),
            Durability::Sync | Durability::Write => {
                let (done, receipt) = oneshot::channel();
                (Some(done), Some(receipt))
            }
        };
        let bytes = body_bytes(&capture);
        self.recorder.shared.add_to_backlog(bytes);
        let completion = Completion {
            permit: self.permit.take(),
            bytes,
            slot: self.slot.take(),
            notifier: self.recorder.notifier.as_ref().map(|signal| signal.number()),
            done,
        };
        let item = Item { capture, completion, spare: self.recorder.spare.clone() };
        // If the encoder is gone the log is closed, and `reserve` has failed since.
        if self.recorder.encoder.send(Message::Record(item)).is_err() {
            self.recorder.shared.remove_from_backlog(bytes);
            Shared::count(&self.recorder.shared.lost, 1);
        }
        Receipt(receipt)
    }
}

/// The bytes of a capture's bodies.
fn body_bytes(capture: &Capture) -> u64 {
    let messages = capture.web_socket.iter().flat_map(|part| &part.messages).map(|message| &message.body);
    let bodies = capture.response.iter().map(|response| &response.body).chain(messages);
    bodies.chain([&capture.request.body]).map(|body| body.retained() as u64).sum()
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        if let (Some(slot), Some(journal)) = (self.slot.take(), self.recorder.shared.journal.get()) {
            journal.forget(slot);
        }
    }
}

/// Resolves when an exchange is as durable as the log's [`Durability`] promises.
#[derive(Debug)]
#[must_use = "the end of a response waits for its receipt"]
pub struct Receipt(Option<oneshot::Receiver<()>>);

impl Future for Receipt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            // An error means that the writer dropped the exchange, by policy or because the log closed.
            Some(receipt) => Pin::new(receipt).poll(context).map(|_| ()),
            None => Poll::Ready(()),
        }
    }
}
