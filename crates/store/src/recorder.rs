//! The way of an exchange into the log.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use nightaudit_exchange::{Capture, ExchangeId, Pseudonym, Timestamp};

use crate::error::StoreFailure;

/// The log's entrance: cheap to clone, and used from any number of tasks at once.
#[derive(Debug, Clone)]
pub struct Recorder {}

impl Recorder {
    /// Waits for a place in the queue.
    ///
    /// A request is forwarded only with a place in hand, so that there is always room for what it becomes.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] while the log can't be written and requests are to be refused then.
    pub async fn reserve(&self) -> Result<Place, StoreFailure> {
        Ok(Place {})
    }
}

/// A place in the recorder's queue. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {}

impl Place {
    /// Notes that a request is about to go out: if the process ends before [`record`](Self::record), the log shows it as
    /// interrupted when it is opened again. Takes a microsecond or two and waits for nothing.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] where the note can't be written and requests are to be refused then.
    pub fn begin(&mut self, _started: &Started) -> Result<(), StoreFailure> {
        Ok(())
    }

    /// Hands an exchange over. Neither waits nor blocks; what takes time happens on the writer's thread.
    pub fn record(self, _capture: Capture) -> Receipt {
        Receipt {}
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

/// Resolves when an exchange is as safe as the log's [`Durability`](crate::Durability) promises.
#[derive(Debug)]
#[must_use = "an answer's end waits for its receipt"]
pub struct Receipt {}

impl Future for Receipt {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
