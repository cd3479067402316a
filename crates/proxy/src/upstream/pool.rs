//! A pool of connections to one host.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{Either, FutureExt as _};
use http::{Request, Response};
use hyper::client::conn::http1;
use nightaudit_exchange::Destination;

use tokio::sync::Notify;

use super::{
    body::Body,
    heads::Heads,
    http2::{Http2, Permit, Window},
    send_error::SendError,
};
use crate::request_body::RequestBody;

/// The most idle HTTP/1 connections kept.
const MAX_IDLE: usize = 512;

/// An upstream connection.
pub(crate) enum Connection {
    /// One request at a time.
    Http1(http1::SendRequest<RequestBody>, Arc<Heads>, Arc<Destination>),
    /// Multiplexed.
    Http2 { connection: Http2, _permit: Permit },
}

impl Connection {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// Returns the destination.
    pub(super) fn destination(&self) -> &Arc<Destination> {
        match self {
            Self::Http1(.., destination) => destination,
            Self::Http2 { connection, .. } => connection.destination(),
        }
    }

    /// Sends the request, whose head the client sent as `original` if over HTTP/1, and waits for the response head.
    pub(super) fn send<'a>(
        &'a mut self,
        request: Request<RequestBody>,
        original: Option<&Bytes>,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> + use<'a> {
        match self {
            Self::Http1(sender, heads, _) => {
                heads.expect(original.cloned());
                let sent = sender.try_send_request(request).map(|sent| match sent {
                    Ok(response) => Ok(response.map(Body::Http1)),
                    Err(mut error) => Err(match error.take_message() {
                        Some(unsent) => {
                            let reason = error.error().to_string();
                            SendError::Unprocessed { request: Some(Box::new(unsent)), refused: false, reason }
                        }
                        None => SendError::Failed(error.into_error().into()),
                    }),
                });
                Either::Left(sent)
            }
            // Boxed: it is thrice as large as the other.
            Self::Http2 { connection, .. } => Either::Right(Box::pin(connection.send(request))),
        }
    }

    /// Returns whether the head of the response was short enough to be captured, as is any of HTTP/2.
    pub(super) fn has_captured(&self) -> bool {
        match self {
            Self::Http1(_, heads, _) => heads.has_captured(),
            Self::Http2 { .. } => true,
        }
    }

    /// Returns whether nothing of a request is left that a next one would wait for.
    fn is_written(&self) -> bool {
        match self {
            Self::Http1(_, heads, _) => heads.is_written(),
            Self::Http2 { .. } => true,
        }
    }

    async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender, ..) => sender.is_ready() || (!sender.is_closed() && sender.ready().await.is_ok()),
            Self::Http2 { connection, .. } => connection.is_open(),
        }
    }
}

/// A pool of connections to one host.
pub(super) struct Pool {
    connections: Mutex<Connections>,
    idle_timeout: Duration,
    /// Concurrent exchanges per connection that the host last allowed: more than one means HTTP/2.
    streams: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
    /// Requests waiting in all pools, at the limit on connections.
    waiting_anywhere: Arc<AtomicUsize>,
    /// Those among them that wait for a connection of this pool.
    waiting: AtomicUsize,
    /// Notifies them when a connection is free.
    changed: Notify,
}

/// If a connection allows fewer exchanges than this, most requests that wait for another's new connection would find it
/// full.
const MIN_SHARED_STREAMS: usize = 8;

/// An idle HTTP/1 connection.
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    heads: Arc<Heads>,
    destination: Arc<Destination>,
    since: Instant,
}

#[derive(Default)]
struct Connections {
    /// Most recently used last.
    idle: Vec<Idle>,
    /// Oldest first, so that the others become idle.
    shared: Vec<Http2>,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration, waiting_anywhere: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            idle_timeout,
            streams: AtomicUsize::new(1),
            turn: tokio::sync::Mutex::default(),
            waiting_anywhere: Arc::clone(waiting_anywhere),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
        })
    }

    /// Returns a connection that should be able to take a request.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.next()?;
            if connection.ready().await {
                return Some(connection);
            }
        }
    }

    fn next(&self) -> Option<Connection> {
        let mut connections = self.lock();
        // Dropping the last handle closes a connection gracefully.
        connections.shared.retain_mut(|connection| {
            connection.is_open() && connection.idle().is_none_or(|idle| idle < self.idle_timeout)
        });
        for connection in &connections.shared {
            if let Some(permit) = connection.admit() {
                return Some(Connection::Http2 { connection: connection.clone(), _permit: permit });
            }
        }
        while let Some(Idle { sender, heads, destination, since }) = connections.idle.pop() {
            if since.elapsed() >= self.idle_timeout {
                // All others are older.
                connections.idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(Connection::Http1(sender, heads, destination));
            }
        }
        None
    }

    /// With HTTP/2, waits until no other request is connecting.
    pub(super) async fn connect_turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let streams = self.streams.load(Ordering::Relaxed);
        if streams >= MIN_SHARED_STREAMS { Some(self.turn.lock().await) } else { None }
    }

    /// Returns the window size for the next HTTP/2 connection.
    pub(super) fn window(&self) -> Window {
        if self.lock().shared.is_empty() { Window::Wide } else { Window::Narrow }
    }

    /// Adds a new connection; HTTP/2 ones are shared from now on.
    pub(super) fn opened(&self, connection: &Connection) {
        let streams = match connection {
            Connection::Http1(..) => 1,
            Connection::Http2 { connection, .. } => {
                self.lock().shared.push(connection.clone());
                self.changed.notify_waiters();
                connection.limit()
            }
        };
        self.streams.store(streams, Ordering::Relaxed);
    }

    fn give_back(&self, connection: Connection) {
        if let Connection::Http1(sender, heads, destination) = connection
            && !sender.is_closed()
        {
            let has_waiters = self.waiting.load(Ordering::Relaxed) > 0;
            if !has_waiters && self.waiting_anywhere.load(Ordering::Relaxed) > 0 {
                // Close it: the waiting requests are for another host or runtime.
                return;
            }
            let mut connections = self.lock();
            if connections.idle.len() < MAX_IDLE {
                connections.idle.push(Idle { sender, heads, destination, since: Instant::now() });
            }
            drop(connections);
            if has_waiters {
                self.changed.notify_one();
            }
        }
    }

    pub(super) fn waiting(&self) -> &AtomicUsize {
        &self.waiting
    }

    /// Waits until a connection may be free.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns how long the connection that [`close_idle`](Self::close_idle) would close has been idle.
    pub(super) fn longest_idle(&self) -> Option<Duration> {
        let connections = self.lock();
        let idle = connections.idle.first().map(|idle| idle.since.elapsed());
        connections.shared.iter().filter_map(Http2::idle).chain(idle).max()
    }

    /// Closes the connection that has been idle for longest.
    pub(super) fn close_idle(&self) {
        let mut connections = self.lock();
        let idle = connections.idle.first().map(|idle| idle.since.elapsed());
        let shared = connections.shared.iter().enumerate().filter_map(|(at, shared)| Some((shared.idle()?, at)));
        match shared.max() {
            Some((unused, at)) if idle.is_none_or(|idle| idle < unused) => drop(connections.shared.remove(at)),
            _ if idle.is_some() => drop(connections.idle.remove(0)),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use.
pub(crate) struct Lease {
    connection: Connection,
    pool: Arc<Pool>,
    poisoned: bool,
}

impl Lease {
    pub(super) fn new(connection: Connection, pool: &Arc<Pool>) -> Self {
        Self { connection, pool: Arc::clone(pool), poisoned: false }
    }

    /// Takes the head of the response as it was on the wire; `None` for HTTP/2.
    pub(crate) fn take_head(&self) -> Option<Bytes> {
        match &self.connection {
            Connection::Http1(_, heads, _) => Some(heads.take()),
            Connection::Http2 { .. } => None,
        }
    }

    /// Returns the connection to the pool once the response is complete, unless it still has some of the request to write:
    /// the next one would wait until the server reads on. Dropping the lease instead closes an HTTP/1 connection.
    pub(crate) fn give_back(self) {
        if !self.poisoned && self.connection.is_written() {
            self.pool.give_back(self.connection);
        }
    }

    /// Prevents reuse of the connection.
    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
    }
}
