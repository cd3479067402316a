//! HTTP/2 connections to the upstream, each shared by many exchanges.
//!
//! The library beneath hyper is used directly, because hyper's client says of a request that it failed, but not whether
//! its stream was ever opened, nor how many more the server allows; and only with both can a request that was certainly
//! not processed be sent again, and every other not.

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
    heads::LONGEST,
    pool::SendError,
};
use crate::request_body::{ReplayBody, RequestBody};

/// The most exchanges on one connection, whatever the server allows.
const MAX_STREAMS: usize = 100;

/// How many bytes of a response may be on their way or wait to be taken, on a host's first connection: at 80 ms to the
/// host 12 MB/s. The connection's own window has room for all its streams, so that clients that don't read hold up
/// nobody else (RFC 9113, section 5.2.1).
const WIDE_WINDOW: u32 = 1 << 20;

/// The same on the connections beside it, which many exchanges at once open. What clients that don't read can make this
/// program hold is bounded by it.
const NARROW_WINDOW: u32 = 64 << 10;

/// What a request's body may have waiting to be sent.
const SEND_BUFFER: usize = 256 << 10;

/// How often a server with requests under way is asked whether it is there, and how long it has to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Stands for a limit that the server has not told yet. It can't tell one as high.
const UNTOLD: usize = usize::MAX - 1;

/// A connection, or one more handle to it.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: client::SendRequest<Bytes>,
    shared: Arc<Shared>,
}

struct Shared {
    destination: Arc<Destination>,
    /// How many exchanges are under way.
    open: AtomicUsize,
    /// How many there may be.
    limit: AtomicUsize,
    /// When the last of them ended.
    last_used: Mutex<Instant>,
    /// Told when the server's first SETTINGS have come.
    settled: Notify,
}

/// Whether a connection has wide windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    Wide,
    Narrow,
}

impl Http2 {
    /// Speaks HTTP/2 on a stream, and returns when the server has told its settings.
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
            .initial_max_send_streams(UNTOLD)
            .initial_window_size(window)
            .initial_connection_window_size(window * MAX_STREAMS as u32)
            .max_header_list_size(LONGEST as u32)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(stream)
            .await?;
        let shared = Arc::new(Shared {
            destination,
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(UNTOLD),
            last_used: Mutex::new(Instant::now()),
            settled: Notify::new(),
        });
        tokio::spawn(drive(connection, Arc::clone(&shared), slot));
        let mut connection = Self { sender, shared };
        while connection.shared.limit.load(Ordering::Relaxed) == UNTOLD {
            connection.check()?;
            connection.shared.settled.notified().await;
        }
        Ok(connection)
    }

    /// Where it leads.
    pub(super) fn destination(&self) -> &Arc<Destination> {
        &self.shared.destination
    }

    /// Whether new requests are taken: not where the connection has ended, or the server has said that it will.
    pub(super) fn is_open(&mut self) -> bool {
        self.check().is_ok()
    }

    fn check(&mut self) -> Result<(), h2::Error> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        // A handle that has sent nothing waits for nothing.
        match self.sender.poll_ready(&mut context) {
            Poll::Ready(ready) => ready,
            Poll::Pending => Ok(()),
        }
    }

    /// How many exchanges the connection takes at once.
    pub(super) fn limit(&self) -> usize {
        self.shared.limit.load(Ordering::Relaxed).min(MAX_STREAMS)
    }

    /// Room for one exchange, if there is any.
    pub(super) fn admit(&self) -> Option<Permit> {
        let limit = self.limit();
        self.shared
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open + 1))
            .ok()?;
        Some(Permit(Arc::clone(&self.shared)))
    }

    /// For how long it has carried nothing. None where it does.
    pub(super) fn idle(&self) -> Option<Duration> {
        let unused = self.shared.open.load(Ordering::Relaxed) == 0;
        unused.then(|| self.shared.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    }

    /// Sends a request and waits for the head of its response. What is left of the request's body is sent on meanwhile,
    /// until the body of the response is dropped.
    pub(super) async fn send(&self, request: Request<RequestBody>) -> Result<Response<Body>, SendError> {
        let (head, body) = request.into_parts();
        let spare = ReplayBody::of(&body);
        let unprocessed = |head, error: h2::Error| SendError::Unprocessed {
            request: spare.into_body().map(|body| Box::new(Request::from_parts(head, body))),
            refused: true,
            reason: error.to_string(),
        };
        // Taken by the library, but for this.
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
                // What it has not sent of the request's body goes back to where it came from.
                drop(upload);
                Err(unprocessed(kept, error))
            }
            Err(error) => Err(SendError::Failed(error.into())),
        }
    }
}

/// Whether the server says that it has not processed a request, and never will: its stream is above the last one of a
/// GOAWAY (RFC 9113, section 6.8), or was refused (section 8.7). The library tells streams of an error by a GOAWAY of
/// the server for no other reason; those at or below the last one go on.
fn was_not_processed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)))
}

/// Room for one exchange on a connection.
pub(crate) struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}

/// Does the work of a connection until it ends, and gives its slot back then.
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
            tracing::debug!(%error, "HTTP/2 connection to Mews ended");
        },
        () = keep_alive(pings, &shared) => tracing::debug!("HTTP/2 connection to Mews: no answer to a ping"),
    }
    drop(connection);
    drop(slot);
    shared.settled.notify_one();
}

/// Returns when a ping was not answered in time.
async fn keep_alive(pings: Option<h2::PingPong>, shared: &Shared) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(KEEP_ALIVE).await;
        if shared.open.load(Ordering::Relaxed) == 0 {
            continue;
        }
        match tokio::time::timeout(KEEP_ALIVE, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection's own end says more.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Sends the body of a request, as far as the server takes it.
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
                // Where the end came with the last piece, or with trailers, there is nothing left to say.
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
        // Nothing is reserved before it is at hand: a reservation takes from all that the connection may send.
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| poll_room(stream, cx)).await?;
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// How many bytes may be sent now; an error where the server wants no more.
fn poll_room(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<usize, h2::Error>> {
    if let Poll::Ready(reason) = stream.poll_reset(cx) {
        return Poll::Ready(reason.and_then(|reason| Err(reason.into())));
    }
    loop {
        match stream.capacity() {
            // Only what is new is told by `poll_capacity`.
            0 => match ready!(stream.poll_capacity(cx)) {
                Some(room) => drop(room?),
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            },
            room => return Poll::Ready(Ok(room)),
        }
    }
}
