//! What follows an upgrade: bytes both ways, for the WebSocket.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedWebSocket, Destination, Direction, ExchangeId,
    Failure, FailureKind, Head, Outcome, Timestamp,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ids::Ids,
    recorder::{Place, Recorder},
    web_socket::{Part, Tap, Transcript},
};

/// How long to wait before a recorder that could take nothing is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is asked for the last part of a connection.
const ATTEMPTS: u32 = 30;

/// Carries bytes between the integration and Mews until either side ends or the proxy does, and records what is said.
pub(crate) struct Tunnel<R> {
    pub(crate) recorder: Arc<R>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) handshake: Handshake,
    pub(crate) transcript: Arc<Transcript>,
    pub(crate) closing: CancellationToken,
    /// How many parts are recorded.
    pub(crate) parts: u32,
}

/// What the exchange of a handshake has in common with the parts that follow it.
pub(crate) struct Handshake {
    id: ExchangeId,
    session: Option<Arc<str>>,
    environment: Arc<str>,
    peer: std::net::SocketAddr,
    destination: Option<Arc<Destination>>,
    envelope: CapturedEnvelope,
    request: CapturedRequest,
}

impl Handshake {
    pub(crate) fn of(capture: &Capture) -> Self {
        Self {
            id: capture.id,
            session: capture.session.clone(),
            environment: Arc::clone(&capture.environment),
            peer: capture.peer,
            destination: capture.destination.clone(),
            envelope: capture.envelope.clone(),
            request: request(&capture.request),
        }
    }
}

impl<R: Recorder> Tunnel<R> {
    pub(crate) async fn carry(mut self, downstream: OnUpgrade, upstream: OnUpgrade) {
        let (recorder, closing, transcript) =
            (Arc::clone(&self.recorder), self.closing.clone(), self.transcript.clone());
        let mut copying = Box::pin(copy(downstream, upstream, &transcript));
        let (outcome, error) = loop {
            let due = async {
                transcript.due().await;
                reserve(&*recorder).await
            };
            tokio::select! {
                ended = copying.as_mut() => break ended,
                () = closing.cancelled() => {
                    let message = "nightaudit was stopped while the connection was open".to_owned();
                    break (Outcome::Answered, Some(Failure { kind: FailureKind::Interrupted, message }));
                }
                place = due => {
                    let part = transcript.take();
                    // The writer is in no hurry with it, nor is anybody who waits for it.
                    drop(place.record(Box::new(self.part(part, false, Outcome::Answered, None))));
                }
            }
        };
        drop(copying);
        let place = tokio::select! {
            place = reserve_at_last(&*recorder) => place,
            // A recorder that can take nothing by then never will.
            () = async { closing.cancelled().await; tokio::time::sleep(AGAIN).await } => None,
        };
        let Some(place) = place else {
            tracing::warn!("the end of a WebSocket could not be recorded");
            return;
        };
        let rest = transcript.take_rest();
        drop(place.record(Box::new(self.part(rest, true, outcome, error))));
    }

    fn part(&mut self, part: Part, ended: bool, outcome: Outcome, error: Option<Failure>) -> Capture {
        self.parts += 1;
        let now = Timestamp::from_system(std::time::SystemTime::now());
        let received = part.messages.first().map_or(now, |message| message.time);
        let handshake = &self.handshake;
        Capture {
            id: self.ids.next(received),
            session: handshake.session.clone(),
            environment: Arc::clone(&handshake.environment),
            received,
            forwarded: None,
            response_head: None,
            response_end: Some(now.since(received)),
            peer: handshake.peer,
            destination: handshake.destination.clone(),
            envelope: handshake.envelope.clone(),
            request: request(&handshake.request),
            response: None,
            limit: None,
            outcome,
            error,
            notes: Vec::new(),
            web_socket: Some(Box::new(CapturedWebSocket {
                handshake: handshake.id,
                part: self.parts,
                messages: part.messages,
                omitted: part.omitted,
                unreadable_bytes: part.unreadable_bytes,
                ended,
            })),
        }
    }
}

/// A request without its fields and its body, which stand in the handshake.
fn request(request: &CapturedRequest) -> CapturedRequest {
    CapturedRequest {
        method: request.method.clone(),
        origin: Arc::clone(&request.origin),
        target: request.target.clone(),
        version: request.version,
        head: Head::Fields(bytes::Bytes::new()),
        body: CapturedBody::default(),
    }
}

async fn reserve<R: Recorder>(recorder: &R) -> R::Place {
    loop {
        match recorder.reserve().await {
            Ok(place) => return place,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn reserve_at_last<R: Recorder>(recorder: &R) -> Option<R::Place> {
    for _ in 0..ATTEMPTS {
        match recorder.reserve().await {
            Ok(place) => return Some(place),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
    None
}

async fn copy(downstream: OnUpgrade, upstream: OnUpgrade, transcript: &Arc<Transcript>) -> (Outcome, Option<Failure>) {
    match tokio::try_join!(downstream, upstream) {
        Ok((downstream, upstream)) => {
            let mut downstream = Tap::new(TokioIo::new(downstream), Direction::Send, transcript);
            let mut upstream = Tap::new(TokioIo::new(upstream), Direction::Receive, transcript);
            match tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await {
                Ok(_) => (Outcome::Answered, None),
                Err(error) => {
                    let message = format!("the connection broke off: {error}");
                    (Outcome::Answered, Some(Failure { kind: FailureKind::Closed, message }))
                }
            }
        }
        Err(error) => {
            let message = format!("the connection could not be upgraded: {error}");
            (Outcome::Failed, Some(Failure { kind: FailureKind::Closed, message }))
        }
    }
}
