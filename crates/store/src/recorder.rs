//! The way of an exchange into the log.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use nightaudit_exchange::{Capture, ExchangeId, Pseudonym, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    config::{Durability, OnFailure},
    error::StoreFailure,
    shared::Shared,
    writer::{Item, Message, Source},
};

/// The log's entrance: cheap to clone, and used from any number of tasks at once.
#[derive(Debug, Clone)]
pub struct Recorder {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: mpsc::Sender<Message>,
}

impl Recorder {
    /// Waits for a place in the queue.
    ///
    /// A request is forwarded only with a place in hand, so that there is always room for what it becomes.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] while the log can't be written and requests are to be refused then, and once it is closed.
    pub async fn reserve(&self) -> Result<Place, StoreFailure> {
        let refuse = self.shared.on_failure == OnFailure::Refuse;
        let closed = || StoreFailure { cause: "it is closed".into() };
        let permit = match Arc::clone(&self.shared.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let mut failing = self.shared.failing.subscribe();
                let failed = async {
                    let failed = failing.wait_for(|cause| refuse && cause.is_some()).await.is_ok();
                    if !failed {
                        std::future::pending().await
                    }
                };
                tokio::select! {
                    permit = Arc::clone(&self.shared.places).acquire_owned() => permit.map_err(|_| closed())?,
                    () = failed => return Err(self.shared.failure().unwrap_or_else(closed)),
                }
            }
        };
        match self.shared.failure() {
            Some(failure) if refuse => Err(failure),
            _ => Ok(Place { recorder: self.clone(), permit: Some(permit), slot: None }),
        }
    }
}

/// A place in the recorder's queue. Dropping it gives it back.
pub struct Place {
    recorder: Recorder,
    permit: Option<OwnedSemaphorePermit>,
    slot: Option<u32>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Place {
    /// Notes that a request is about to go out: if the process ends before [`record`](Self::record), the log shows it as
    /// interrupted when it is opened again. Takes a microsecond or two and waits for nothing.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] where the note can't be written and requests are to be refused then.
    pub fn begin(&mut self, started: &Started) -> Result<(), StoreFailure> {
        let shared = &self.recorder.shared;
        let (Some(journal), None) = (shared.journal.get(), self.slot) else { return Ok(()) };
        match journal.begin(started) {
            Ok(slot) => {
                self.slot = Some(slot);
                Ok(())
            }
            Err(error) if shared.on_failure == OnFailure::Refuse => {
                Err(StoreFailure { cause: format!("can't write the journal: {error}").into() })
            }
            Err(error) => {
                tracing::warn!(%error, "a request goes out without a note in the journal");
                Ok(())
            }
        }
    }

    /// Hands an exchange over. Neither waits nor blocks; what takes time happens on the writer's thread.
    pub fn record(mut self, capture: impl Into<Box<Capture>>) -> Receipt {
        let capture = capture.into();
        let (done, receipt) = match self.recorder.shared.durability {
            Durability::Batch => (None, None),
            Durability::Sync | Durability::Write => {
                let (done, receipt) = oneshot::channel();
                (Some(done), Some(receipt))
            }
        };
        let session = capture.session.clone();
        let item = Item {
            session,
            source: Source::Capture(capture),
            permit: self.permit.take(),
            slot: self.slot.take(),
            done,
        };
        // Where the writer is gone the log is closed, and `reserve` has said so to all who asked since.
        if self.recorder.writer.send(Message::Record(item)).is_err() {
            Shared::count(&self.recorder.shared.lost, 1);
        }
        Receipt(receipt)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let (Some(slot), Some(journal)) = (self.slot.take(), self.recorder.shared.journal.get()) {
            journal.forget(slot);
        }
    }
}

/// What is known of a request when it goes out, free of secrets.
#[derive(Debug, Clone)]
pub struct Started {
    /// The exchange's id, which its [`Capture`] bears too.
    pub id: ExchangeId,
    /// The session it names; none for the current one.
    pub session: Option<Arc<str>>,
    /// The environment's name.
    pub environment: Arc<str>,
    /// When the request's head had arrived.
    pub received: Timestamp,
    /// From then until now, when it goes out.
    pub forwarded: Duration,
    /// The method.
    pub method: Arc<str>,
    /// Scheme and authority of the host it is for.
    pub origin: Arc<str>,
    /// Path and query as they were sent.
    pub target: Bytes,
    /// The integration's address.
    pub peer: std::net::SocketAddr,
    /// `Client`.
    pub client: Option<Box<str>>,
    /// The pseudonym of `AccessToken`.
    pub access_token: Option<Pseudonym>,
    /// The pseudonym of `ClientToken`.
    pub client_token: Option<Pseudonym>,
    /// Whether the request has a `Limitation`.
    pub paginated: bool,
}

/// Resolves when an exchange is as safe as the log's [`Durability`] promises.
#[derive(Debug)]
#[must_use = "an answer's end waits for its receipt"]
pub struct Receipt(Option<oneshot::Receiver<()>>);

impl Future for Receipt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            // An error means that the writer let the exchange go: it was dropped as the policy says, or the log closed.
            Some(receipt) => Pin::new(receipt).poll(context).map(|_| ()),
            None => Poll::Ready(()),
        }
    }
}
