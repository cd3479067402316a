//! HTTP/2 connections to the upstream, each multiplexing many exchanges.
//!
//! This uses h2 directly rather than hyper, whose client reports that a request failed, but not whether its stream was
//! ever opened, nor how many more streams the server allows. Both are needed to retry exactly those requests that were
//! certainly not processed.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Reason, SendStream, client};
use http::{Request, Response};
use http_body::Body as _;
use nightaudit_exchange::Destination;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, OwnedSemaphorePermit},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    body::{Body, Http2Body},
    heads::MAX_HEAD,
    send_error::SendError,
};
use crate::request_body::{ReplayBody, RequestBody};

/// The most concurrent exchanges on a connection, even if the server allows more.
const MAX_STREAMS: usize = 100;

/// Stream window on the first connection to a host, in bytes: 12 MB/s at a round trip of 80 ms. The connection window
/// fits all streams, so that a client that doesn't read can't block others (RFC 9113, section 5.2.1).
const WIDE_WINDOW: u32 = 1 << 20;

/// Stream window on further connections, opened under load. It limits how much memory clients that don't read can hold.
const NARROW_WINDOW: u32 = 64 << 10;

/// The most bytes of a request body that are queued for sending.
const SEND_BUFFER: usize = 256 << 10;

/// Ping interval while requests are in flight, and ping timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Placeholder until the server's SETTINGS arrive, which can't contain a limit this high.
const UNKNOWN_LIMIT: usize = usize::MAX - 1;

/// A handle to a connection.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: client::SendRequest<Bytes>,
    shared: Arc<Shared>,
}

struct Shared {
    destination: Arc<Destination>,
    /// Exchanges in flight.
    open: AtomicUsize,
    /// The server's limit on exchanges in flight.
    limit: AtomicUsize,
    /// When the last exchange ended.
    last_used: Mutex<Instant>,
    /// Notified when the server's first SETTINGS have arrived.
    settled: Notify,
}

/// The window size of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    Wide,
    Narrow,
}

impl Http2 {
    /// Starts HTTP/2 on a stream, and waits for the server's SETTINGS.
    pub(super) async fn open<T>(
        stream: T,
        destination: Arc<Destination>,
        window: Window,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, h2::Error>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let window = match window {
            Window::Wide => WIDE_WINDOW,
            Window::Narrow => NARROW_WINDOW,
        };
        let (sender, connection) = client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(UNKNOWN_LIMIT)
            .initial_window_size(window)
            .initial_connection_window_size(window * MAX_STREAMS as u32)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(stream)
            .await?;
        let shared = Arc::new(Shared {
            destination,
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(UNKNOWN_LIMIT),
            last_used: Mutex::new(Instant::now()),
            settled: Notify::new(),
        });
        tokio::spawn(drive(connection, Arc::clone(&shared), slot));
        let mut connection = Self { sender, shared };
        while connection.shared.limit.load(Ordering::Relaxed) == UNKNOWN_LIMIT {
            connection.check()?;
            connection.shared.settled.notified().await;
        }
        Ok(connection)
    }

    /// Returns the destination.
    pub(super) fn destination(&self) -> &Arc<Destination> {
        &self.shared.destination
    }

    /// Returns whether it accepts new requests: not after it has ended or received a GOAWAY.
    pub(super) fn is_open(&mut self) -> bool {
        self.check().is_ok()
    }

    fn check(&mut self) -> Result<(), h2::Error> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        // A handle without a pending request does not wait.
        match self.sender.poll_ready(&mut context) {
            Poll::Ready(ready) => ready,
            Poll::Pending => Ok(()),
        }
    }

    /// Returns the limit on concurrent exchanges.
    pub(super) fn limit(&self) -> usize {
        self.shared.limit.load(Ordering::Relaxed).min(MAX_STREAMS)
    }

    /// Returns a permit for one exchange, if available.
    pub(super) fn admit(&self) -> Option<Permit> {
        let limit = self.limit();
        self.shared
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open + 1))
            .ok()?;
        Some(Permit(Arc::clone(&self.shared)))
    }

    /// Returns how long it has been idle; `None` if in use.
    pub(super) fn idle(&self) -> Option<Duration> {
        let unused = self.shared.open.load(Ordering::Relaxed) == 0;
        unused.then(|| self.shared.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    }

    /// Sends a request and waits for the response head. The rest of the request body is sent in the background until
    /// the response body is dropped.
    pub(super) async fn send(&self, request: Request<RequestBody>) -> Result<Response<Body>, SendError> {
        let (head, body) = request.into_parts();
        let replay = ReplayBody::of(&body);
        let unprocessed = |head, error: h2::Error| SendError::Unprocessed {
            request: replay.into_body().map(|body| Box::new(Request::from_parts(head, body))),
            refused: true,
            reason: error.to_string(),
        };
        // h2 consumes the head.
        let kept = head.clone();
        let mut sender = self.sender.clone();
        let ends = body.is_end_stream();
        let sent = match poll_fn(|cx| sender.poll_ready(cx)).await {
            Ok(()) => sender.send_request(Request::from_parts(head, ()), ends),
            Err(error) => Err(error),
        };
        let (response, stream) = match sent {
            Ok(sent) => sent,
            // The connection can open no more streams, and has not opened this one.
            Err(error) if error.is_go_away() || error.is_io() || !self.clone().is_open() => {
                drop(body);
                return Err(unprocessed(kept, error));
            }
            Err(error) => return Err(SendError::Failed(error.into())),
        };
        let mut upload = (!ends).then(|| Box::pin(upload(body, stream)));
        let mut response = pin!(response);
        let head = poll_fn(|cx| {
            if let Some(uploading) = &mut upload
                && uploading.as_mut().poll(cx).is_ready()
            {
                upload = None;
            }
            response.as_mut().poll(cx)
        })
        .await;
        match head {
            Ok(response) => {
                let upload = upload.map(|upload| AbortOnDropHandle::new(tokio::spawn(upload)));
                Ok(response.map(|stream| Body::Http2(Http2Body::new(stream, upload))))
            }
            Err(error) if was_not_processed(&error) => {
                // Dropping returns the unsent request body for the retry.
                drop(upload);
                Err(unprocessed(kept, error))
            }
            Err(error) => Err(SendError::Failed(error.into())),
        }
    }
}

/// Returns whether the server says that it has not processed a request: its stream is above the last stream id of a
/// GOAWAY (RFC 9113, section 6.8), or was refused (section 8.7). h2 fails no other streams with a remote GOAWAY; those
/// up to the last stream id continue.
fn was_not_processed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)))
}

/// The permit for one exchange on a connection, released when dropped.
pub(crate) struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}

/// Drives a connection until it ends, then releases its slot.
async fn drive<T>(mut connection: client::Connection<T, Bytes>, shared: Arc<Shared>, slot: OwnedSemaphorePermit)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pings = connection.ping_pong();
    let driving = poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        let limit = connection.max_concurrent_send_streams();
        if shared.limit.swap(limit, Ordering::Relaxed) != limit || ended.is_ready() {
            shared.settled.notify_waiters();
            shared.settled.notify_one();
        }
        ended
    });
    tokio::select! {
        ended = driving => if let Err(error) = ended {
            tracing::debug!(%error, "HTTP/2 connection to the upstream ended");
        },
        () = keep_alive(pings, &shared) => tracing::debug!("HTTP/2 connection to the upstream: ping timed out"),
    }
    drop(connection);
    drop(slot);
    shared.settled.notify_one();
}

/// Returns when a ping times out.
async fn keep_alive(pings: Option<h2::PingPong>, shared: &Shared) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(KEEP_ALIVE).await;
        if shared.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        match tokio::time::timeout(KEEP_ALIVE, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection reports the error itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Sends a request body, until the server wants no more.
async fn upload(mut body: RequestBody, mut stream: SendStream<Bytes>) {
    loop {
        let frame = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut body).poll_frame(cx).map(Some)
        });
        // None where the server wants no more.
        let Some(frame) = frame.await else { return };
        let sent = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => send_data(&mut stream, data, body.is_end_stream()).await,
                Err(frame) => frame.into_trailers().map_or(Ok(()), |trailers| stream.send_trailers(trailers)),
            },
            Some(Err(_)) => {
                stream.send_reset(Reason::CANCEL);
                return;
            }
            None => {
                // Fails harmlessly if END_STREAM was already sent with the last chunk or trailers.
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
        };
        if sent.is_err() || body.is_end_stream() {
            return;
        }
    }
}

async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        // Reserve only for available data: a reservation takes from the connection window.
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| poll_capacity_now(stream, cx)).await?;
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// Returns how many bytes may be sent now; an error if the server wants no more.
fn poll_capacity_now(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<usize, h2::Error>> {
    if let Poll::Ready(reason) = stream.poll_reset(cx) {
        return Poll::Ready(reason.and_then(|reason| Err(reason.into())));
    }
    loop {
        match stream.capacity() {
            // `poll_capacity` only reports increases.
            0 => match ready!(stream.poll_capacity(cx)) {
                Some(room) => drop(room?),
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            },
            room => return Poll::Ready(Ok(room)),
        }
    }
}
