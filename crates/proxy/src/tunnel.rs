//! Tunnels the bytes of a WebSocket after the upgrade.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedWebSocket, Destination, Direction, ExchangeId,
    Failure, FailureKind, Head, Outcome, Timestamp,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split};
use tokio_util::sync::CancellationToken;

use crate::{
    ids::IdGenerator,
    recorder::{RecordPermit, Recorder},
    web_socket::{Part, Tap, Transcript},
};

/// Delay before retrying a recorder that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Attempts to record the last part of a connection.
const ATTEMPTS: u32 = 30;

/// How long one direction may continue after the other has failed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Copies bytes between the client and Mews until both sides end or the proxy shuts down, and records the messages.
pub(crate) struct Tunnel<R> {
    pub(crate) recorder: Arc<R>,
    pub(crate) ids: Arc<IdGenerator>,
    pub(crate) handshake: Handshake,
    pub(crate) transcript: Arc<Transcript>,
    pub(crate) closing: CancellationToken,
    /// The number of parts recorded.
    pub(crate) parts: u32,
}

/// What the parts of a WebSocket share with the exchange of its handshake.
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
    pub(crate) async fn run(mut self, downstream: OnUpgrade, upstream: OnUpgrade) {
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
                permit = due => {
                    let part = transcript.take();
                    // Nothing waits for this receipt.
                    drop(permit.record(Box::new(self.part(part, false, Outcome::Answered, None))));
                }
            }
        };
        drop(copying);
        let permit = tokio::select! {
            permit = reserve_with_limit(&*recorder) => permit,
            // A recorder that still fails by then is given up.
            () = async { closing.cancelled().await; tokio::time::sleep(RETRY_DELAY).await } => None,
        };
        let Some(permit) = permit else {
            tracing::warn!("the end of a WebSocket could not be recorded");
            return;
        };
        let rest = transcript.take_rest();
        drop(permit.record(Box::new(self.part(rest, true, outcome, error))));
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
            fault: None,
            // Webhooks open none.
            direction: nightaudit_exchange::CallDirection::Outgoing,
            notes: Vec::new(),
            web_socket: Some(Box::new(CapturedWebSocket {
                handshake: handshake.id,
                part: self.parts,
                messages: part.messages,
                omitted: part.omitted,
                unreadable_bytes: part.unreadable_bytes,
                ended,
            })),
            resent_from: None,
            memory: Default::default(),
        }
    }
}

/// Returns the request without headers and body, which are in the handshake.
fn request(request: &CapturedRequest) -> CapturedRequest {
    CapturedRequest {
        method: request.method.clone(),
        origin: Arc::clone(&request.origin),
        target: request.target.clone(),
        version: request.version,
        head: Head::Parsed(bytes::Bytes::new()),
        body: CapturedBody::default(),
    }
}

async fn reserve<R: Recorder>(recorder: &R) -> R::Permit {
    loop {
        match recorder.reserve().await {
            Ok(permit) => return permit,
            Err(_) => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
}

async fn reserve_with_limit<R: Recorder>(recorder: &R) -> Option<R::Permit> {
    for _ in 0..ATTEMPTS {
        match recorder.reserve().await {
            Ok(permit) => return Some(permit),
            Err(_) => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
    None
}

async fn copy(downstream: OnUpgrade, upstream: OnUpgrade, transcript: &Arc<Transcript>) -> (Outcome, Option<Failure>) {
    match tokio::try_join!(downstream, upstream) {
        Ok((downstream, upstream)) => {
            let mut downstream = Tap::new(TokioIo::new(downstream), Direction::Send, transcript);
            let mut upstream = Tap::new(TokioIo::new(upstream), Direction::Receive, transcript);
            match both_ways(&mut downstream, &mut upstream).await {
                Ok(()) => (Outcome::Answered, None),
                Err(error) => {
                    let message = format!("the connection failed: {error}");
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

/// Copies bytes in both directions until both have ended.
///
/// If one direction fails, the other has [`DRAIN_TIMEOUT`] to end, so that data a side sent before it closed, such as a
/// WebSocket close frame, is still delivered.
async fn both_ways<A, B>(a: &mut A, b: &mut B) -> std::io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let ((mut from_a, mut to_a), (mut from_b, mut to_b)) = (split(a), split(b));
    let mut there = pin!(one_way(&mut from_a, &mut to_b));
    let mut back = pin!(one_way(&mut from_b, &mut to_a));
    tokio::select! {
        ended = there.as_mut() => rest(ended, back).await,
        ended = back.as_mut() => rest(ended, there).await,
    }
}

/// Waits for the other direction after one has ended.
async fn rest(first: std::io::Result<()>, other: impl Future<Output = std::io::Result<()>>) -> std::io::Result<()> {
    match first {
        Ok(()) => other.await,
        Err(error) => {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, other).await;
            Err(error)
        }
    }
}

/// Copies `from` to `to` until it ends, and then shuts `to` down, also after an error.
async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let copied = tokio::io::copy(from, to).await;
    let ended = to.shutdown().await;
    copied.and(ended)
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    /// A peer that fails all writes and still has data to read.
    struct WriteFails(&'static [u8]);

    impl AsyncRead for WriteFails {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let said = std::mem::take(&mut self.0);
            buf.put_slice(said);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for WriteFails {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
            Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn regression_data_sent_before_closing_was_lost_when_writes_failed() {
        for failing_first in [true, false] {
            let (mut near, mut far) = duplex(64);
            near.write_all(b"more").await.unwrap();
            let mut failing = WriteFails(b"\x88\x02\x03\xe8");
            let copied = if failing_first {
                both_ways(&mut failing, &mut far).await
            } else {
                both_ways(&mut far, &mut failing).await
            };
            assert_eq!(copied.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
            drop(far);
            let mut said = Vec::new();
            near.read_to_end(&mut said).await.unwrap();
            assert_eq!(said, b"\x88\x02\x03\xe8");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_direction_is_ended_after_the_other_has_failed() {
        struct Silent;
        impl AsyncRead for Silent {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> Poll<std::io::Result<()>> {
                Poll::Pending
            }
        }
        let mut failing = tokio::io::join(Silent, WriteFails(b""));
        let (mut near, mut far) = duplex(64);
        near.write_all(b"more").await.unwrap();
        let start = tokio::time::Instant::now();
        assert!(both_ways(&mut far, &mut failing).await.is_err());
        assert_eq!(start.elapsed(), DRAIN_TIMEOUT);
    }
}
