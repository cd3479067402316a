//! What is known of a connection while it lasts: whether its client takes the responses, and since when it is idle.

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
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How long a response may go untaken while others wait for the room that it holds.
const HURRIED: Duration = Duration::from_secs(5);

/// How often a response that isn't taken is looked at.
const TICK: Duration = Duration::from_secs(1);

/// How a client takes a response, shared between the server and what answers the request.
#[derive(Debug, Clone, Default)]
pub struct ClientProgress {
    own: Arc<Progress>,
    /// The connection's, where the response has only a part of it (an HTTP/2 stream).
    connection: Option<Arc<Progress>>,
}

#[derive(Debug, Default)]
struct Progress {
    stalled: AtomicBool,
    /// Since when there is something for the client to take; none while it waits for us.
    since: Mutex<Option<Instant>>,
}

impl ClientProgress {
    /// Whether the response was given up because the client didn't take it in time.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        let stalled = |progress: &Progress| progress.stalled.load(Ordering::Relaxed);
        stalled(&self.own) || self.connection.as_deref().is_some_and(stalled)
    }

    /// Of a stream on this connection.
    pub(crate) fn of_stream(&self) -> Self {
        Self { own: Arc::default(), connection: Some(Arc::clone(&self.own)) }
    }

    pub(crate) fn stall(&self) {
        self.own.stalled.store(true, Ordering::Relaxed);
    }

    /// A piece was handed out: the client is to take it from now on.
    pub(crate) fn give(&self) {
        *self.own.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// All that was handed out was taken, and nothing more is there yet.
    pub(crate) fn wait(&self) {
        *self.own.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn since(&self) -> Option<Instant> {
        *self.own.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a client may leave a response untaken.
#[derive(Clone)]
pub(crate) struct Patience {
    limit: Duration,
    /// Whether others wait for the room that such responses hold.
    is_crowded: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Patience {
    pub(crate) fn new(limit: Duration, is_crowded: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { limit, is_crowded }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of the wait that began at `since`; nothing when it is over.
    fn left(&self, since: Instant) -> Duration {
        let limit = if self.limit > HURRIED && (self.is_crowded)() { HURRIED } else { self.limit };
        (since + limit).saturating_duration_since(Instant::now())
    }

    /// Resolves when the client has left something untaken for too long.
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

/// A connection, as the server that accepted it and the tasks that serve it see it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) progress: ClientProgress,
    /// Set, and then cancelled, when the connection must go because others need its slot.
    is_evicted: AtomicBool,
    eviction: CancellationToken,
    /// Since when nothing is asked or answered; none while something is.
    idle: Mutex<Option<Instant>>,
    /// Whether a request has ever come.
    spoken: AtomicBool,
    /// Whether what flows is none of HTTP's any more.
    upgraded: AtomicBool,
}

impl Link {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            progress: ClientProgress::default(),
            is_evicted: AtomicBool::new(false),
            eviction: CancellationToken::new(),
            idle: Mutex::new(Some(Instant::now())),
            spoken: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
        })
    }

    /// Ends the connection, because others need its slot.
    pub(crate) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Release);
        self.eviction.cancel();
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Acquire)
    }

    /// Resolves when the connection must go.
    ///
    /// Each request polls a connection several times, so this registers its waker once and then only looks at a flag: it
    /// must stay in the task that polled it first.
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

    pub(crate) fn busy(&self) {
        self.spoken.store(true, Ordering::Relaxed);
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn rest(&self) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Since when it is idle, and whether a request has ever come; none while it is busy.
    pub(crate) fn idle_since(&self) -> Option<(Instant, bool)> {
        let idle = *self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.map(|since| (since, self.spoken.load(Ordering::Relaxed)))
    }

    /// From here on it carries something else than HTTP, which may be silent and unread for as long as it likes.
    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }
}

/// A connection whose writing fails when the client takes nothing for too long: below TLS, where it shows how much the
/// client has taken.
pub(crate) struct Outgoing<S> {
    inner: S,
    link: Arc<Link>,
    patience: Patience,
    /// Since when the client takes nothing.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Outgoing<S> {
    pub(crate) fn new(inner: S, link: Arc<Link>, patience: Patience) -> Self {
        Self { inner, link, patience, since: None, timer: None }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Called when the client takes nothing now.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.link.is_upgraded() {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        loop {
            let left = self.patience.left(since);
            if left.is_zero() {
                self.link.progress.stall();
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"));
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

impl<S: AsyncRead + Unpin> AsyncRead for Outgoing<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outgoing<S> {
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

    fn patience(limit: u64, crowded: &Arc<AtomicBool>) -> Patience {
        let crowded = Arc::clone(crowded);
        Patience::new(Duration::from_secs(limit), Arc::new(move || crowded.load(Ordering::Relaxed)))
    }

    #[tokio::test(start_paused = true)]
    async fn writing_to_a_client_that_takes_nothing_fails_in_time_and_each_piece_taken_begins_the_time_anew() {
        let (mut client, server) = duplex(1000);
        let link = Link::new();
        let mut outgoing = Outgoing::new(server, Arc::clone(&link), patience(60, &Arc::default()));
        let start = Instant::now();
        let taking = tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            client.read_exact(&mut [0; 100]).await.unwrap();
            client
        });
        let error = outgoing.write_all(&[0; 2000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 50 + 60);
        assert!(link.progress.has_stalled());
        drop(taking);
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_wait_for_room_a_client_has_less_time() {
        let (_client, server) = duplex(1000);
        let crowded = Arc::new(AtomicBool::new(false));
        let mut outgoing = Outgoing::new(server, Link::new(), patience(60, &crowded));
        let start = Instant::now();
        tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            crowded.store(true, Ordering::Relaxed);
        });
        outgoing.write_all(&[0; 2000]).await.unwrap_err();
        let elapsed = start.elapsed().as_secs();
        assert!((30..=31).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_upgraded_may_go_unread() {
        let (_client, server) = duplex(1000);
        let link = Link::new();
        link.upgrade();
        let mut outgoing = Outgoing::new(server, link, patience(60, &Arc::default()));
        let writing = tokio::time::timeout(Duration::from_secs(3600), outgoing.write_all(&[0; 2000])).await;
        assert!(writing.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_client_s_own_time_counts() {
        let progress = ClientProgress::default();
        let patience = patience(60, &Arc::default());
        let start = Instant::now();
        progress.give();
        let turns = async {
            sleep(Duration::from_secs(40)).await;
            progress.wait();
            sleep(Duration::from_secs(200)).await;
            progress.give();
            std::future::pending::<()>().await;
        };
        tokio::select! { () = patience.exhausted(&progress) => {}, () = turns => {} }
        let elapsed = start.elapsed().as_secs();
        assert!((300..=302).contains(&elapsed), "{elapsed}");
    }
}
