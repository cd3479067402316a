//! Per-connection state: whether the client reads its responses, and since when the connection is idle.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Stall timeout while other requests wait for capacity.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a stalled response is checked.
const TICK: Duration = Duration::from_secs(1);

/// Whether a client reads its response, shared between the server and the handler.
#[derive(Debug, Clone, Default)]
pub struct ClientProgress {
    own: Arc<Progress>,
    /// Progress of the connection, for an HTTP/2 stream.
    connection: Option<Arc<Progress>>,
}

#[derive(Debug, Default)]
struct Progress {
    stalled: AtomicBool,
    /// Since when data is available to the client; `None` while it waits for us.
    since: Mutex<Option<Instant>>,
}

impl ClientProgress {
    /// Returns whether the response was aborted because the client did not read it in time.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        let stalled = |progress: &Progress| progress.stalled.load(Ordering::Relaxed);
        stalled(&self.own) || self.connection.as_deref().is_some_and(stalled)
    }

    /// Progress of a stream on this connection.
    pub(crate) fn of_stream(&self) -> Self {
        Self { own: Arc::default(), connection: Some(Arc::clone(&self.own)) }
    }

    pub(crate) fn stall(&self) {
        self.own.stalled.store(true, Ordering::Relaxed);
    }

    /// Notes that data is available: the client's time starts.
    pub(crate) fn data_available(&self) {
        *self.own.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Notes that all data was read and no more is available yet.
    pub(crate) fn data_consumed(&self) {
        *self.own.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn since(&self) -> Option<Instant> {
        *self.own.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a client may leave a response unread.
#[derive(Clone)]
pub(crate) struct StallTimeout {
    limit: Duration,
    /// Whether requests wait for capacity that stalled responses hold.
    is_crowded: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl StallTimeout {
    pub(crate) fn new(limit: Duration, is_crowded: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { limit, is_crowded }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns the time left of a stall since `since`; zero once it has timed out.
    fn left(&self, since: Instant) -> Duration {
        let limit = if self.limit > CROWDED_TIMEOUT && (self.is_crowded)() { CROWDED_TIMEOUT } else { self.limit };
        (since + limit).saturating_duration_since(Instant::now())
    }

    /// Resolves once the client has stalled for too long.
    pub(crate) async fn exhausted(&self, progress: &ClientProgress) {
        loop {
            let left = progress.since().map_or(self.limit, |since| self.left(since));
            if left.is_zero() {
                return;
            }
            sleep(left.min(TICK)).await;
        }
    }
}

/// State of a connection, shared between the accept loop and the tasks that serve it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) progress: ClientProgress,
    /// Set, before `eviction` is cancelled, when the connection must close to free its slot.
    is_evicted: AtomicBool,
    eviction: CancellationToken,
    /// Since when no request is in flight; `None` while one is.
    idle: Mutex<Option<Instant>>,
    /// Whether a request was ever received.
    has_sent_request: AtomicBool,
    /// Whether the connection no longer carries HTTP.
    upgraded: AtomicBool,
    /// Whether closing the connection resets it.
    resets: AtomicBool,
}

impl Link {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            progress: ClientProgress::default(),
            is_evicted: AtomicBool::new(false),
            eviction: CancellationToken::new(),
            idle: Mutex::new(Some(Instant::now())),
            has_sent_request: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            resets: AtomicBool::new(false),
        })
    }

    /// Closes the connection to free its slot.
    pub(crate) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Release);
        self.eviction.cancel();
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Acquire)
    }

    /// Resolves when the connection is evicted.
    ///
    /// Connections are polled several times per request, so this registers its waker once and then only checks a flag:
    /// it must stay in the task that first polled it.
    pub(crate) async fn evicted(&self) {
        let mut cancelled = pin!(self.eviction.cancelled());
        let mut is_registered = false;
        poll_fn(|cx| {
            if !is_registered {
                is_registered = true;
                return cancelled.as_mut().poll(cx);
            }
            if self.is_evicted() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(crate) fn set_busy(&self) {
        self.has_sent_request.store(true, Ordering::Relaxed);
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn set_idle(&self) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns since when the connection is idle, and whether it ever sent a request; `None` while it is busy.
    pub(crate) fn idle_since(&self) -> Option<(Instant, bool)> {
        let idle = *self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.map(|since| (since, self.has_sent_request.load(Ordering::Relaxed)))
    }

    /// Marks the connection as no longer HTTP: it may be silent and unread indefinitely.
    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn reset(&self) {
        self.resets.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }
}

/// A stream that can be closed with a reset.
pub(crate) trait Resettable {
    /// Makes closing it discard what is unsent and tell the peer by a reset (RFC 9293, section 3.10.5, ABORT).
    fn reset_on_close(&self);
}

impl Resettable for TcpStream {
    fn reset_on_close(&self) {
        // It is closed anyway, in the other way if this fails.
        let _ = self.set_zero_linger();
    }
}

/// A stream whose writes time out when the client reads nothing. Sits below TLS, where progress is visible.
pub(crate) struct StallGuard<S: Resettable> {
    inner: S,
    link: Arc<Link>,
    stall_timeout: StallTimeout,
    /// Since when the client reads nothing.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: Resettable> StallGuard<S> {
    pub(crate) fn new(inner: S, link: Arc<Link>, stall_timeout: StallTimeout) -> Self {
        Self { inner, link, stall_timeout, since: None, timer: None }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Called when a write is pending.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.link.is_upgraded() {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        loop {
            let left = self.stall_timeout.left(since);
            if left.is_zero() {
                self.link.progress.stall();
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing"));
            }
            let next = Instant::now() + left.min(TICK);
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if timer.deadline() > next || timer.is_elapsed() {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }

    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.since = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }
}

impl<S: Resettable> Drop for StallGuard<S> {
    fn drop(&mut self) {
        if self.link.resets.load(Ordering::Relaxed) {
            self.inner.reset_on_close();
        }
    }
}

impl<S: AsyncRead + Resettable + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Resettable + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    impl Resettable for tokio::io::DuplexStream {
        fn reset_on_close(&self) {}
    }

    fn stall_timeout(limit: u64, crowded: &Arc<AtomicBool>) -> StallTimeout {
        let crowded = Arc::clone(crowded);
        StallTimeout::new(Duration::from_secs(limit), Arc::new(move || crowded.load(Ordering::Relaxed)))
    }

    #[tokio::test(start_paused = true)]
    async fn writes_to_a_stalled_client_time_out_and_progress_restarts_the_timeout() {
        let (mut client, server) = duplex(1000);
        let link = Link::new();
        let mut stream = StallGuard::new(server, Arc::clone(&link), stall_timeout(60, &Arc::default()));
        let start = Instant::now();
        let taking = tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            client.read_exact(&mut [0; 100]).await.unwrap();
            client
        });
        let error = stream.write_all(&[0; 2000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 50 + 60);
        assert!(link.progress.has_stalled());
        drop(taking);
    }

    #[tokio::test(start_paused = true)]
    async fn while_crowded_a_client_has_less_time() {
        let (_client, server) = duplex(1000);
        let crowded = Arc::new(AtomicBool::new(false));
        let mut stream = StallGuard::new(server, Link::new(), stall_timeout(60, &crowded));
        let start = Instant::now();
        tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            crowded.store(true, Ordering::Relaxed);
        });
        stream.write_all(&[0; 2000]).await.unwrap_err();
        let elapsed = start.elapsed().as_secs();
        assert!((30..=31).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_connection_may_go_unread() {
        let (_client, server) = duplex(1000);
        let link = Link::new();
        link.upgrade();
        let mut stream = StallGuard::new(server, link, stall_timeout(60, &Arc::default()));
        let writing = tokio::time::timeout(Duration::from_secs(3600), stream.write_all(&[0; 2000])).await;
        assert!(writing.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn only_time_waiting_for_the_client_counts() {
        let progress = ClientProgress::default();
        let stall_timeout = stall_timeout(60, &Arc::default());
        let start = Instant::now();
        progress.data_available();
        let turns = async {
            sleep(Duration::from_secs(40)).await;
            progress.data_consumed();
            sleep(Duration::from_secs(200)).await;
            progress.data_available();
            std::future::pending::<()>().await;
        };
        tokio::select! { () = stall_timeout.exhausted(&progress) => {}, () = turns => {} }
        let elapsed = start.elapsed().as_secs();
        assert!((300..=302).contains(&elapsed), "{elapsed}");
    }
}
