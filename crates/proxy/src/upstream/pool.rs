//! Connections that are kept for the next request.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::client::conn::http1;
use nightaudit_exchange::Destination;

use tokio::sync::Notify;

use super::{
    body::{Body, Error},
    bound::ConnectionBound,
    heads::Heads,
    http2::{Http2, Permit, Window},
};
use crate::request_body::RequestBody;

/// More connections than this are not kept.
const MAX_IDLE: usize = 512;

/// A connection to Mews.
pub(crate) enum Connection {
    /// Carries one request at a time.
    Http1(http1::SendRequest<RequestBody>, Arc<Heads>, Arc<Destination>),
    /// Carries many.
    Http2 { connection: Http2, _permit: Permit },
}

/// Why a request has no response.
pub(super) enum SendError {
    /// Certainly nothing of it was processed. It is given back, unless it can't be sent a second time.
    Unprocessed {
        request: Option<Box<Request<RequestBody>>>,
        /// Whether the server said so, rather than close the connection before it took anything.
        refused: bool,
        reason: String,
    },
    /// It may have been processed.
    Failed(Error),
}

impl Connection {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// Where it leads.
    pub(super) fn destination(&self) -> &Arc<Destination> {
        match self {
            Self::Http1(.., destination) => destination,
            Self::Http2 { connection, .. } => connection.destination(),
        }
    }

    /// Hands the request to the connection and waits for the answer's head.
    pub(super) async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Body>, SendError> {
        match self {
            Self::Http1(sender, heads, _) => {
                heads.expect();
                let sent = sender.try_send_request(request).await;
                let mut response = sent.map_err(|mut error| match error.take_message() {
                    Some(unsent) => {
                        let reason = error.error().to_string();
                        SendError::Unprocessed { request: Some(Box::new(unsent)), refused: false, reason }
                    }
                    None => SendError::Failed(error.into_error().into()),
                })?;
                if let Some(head) = heads.take() {
                    response.extensions_mut().insert(head);
                }
                Ok(response.map(Body::Http1))
            }
            Self::Http2 { connection, .. } => connection.send(request).await,
        }
    }

    async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender, ..) => sender.is_ready() || (!sender.is_closed() && sender.ready().await.is_ok()),
            Self::Http2 { connection, .. } => connection.is_open(),
        }
    }
}

/// The connections to one host.
pub(super) struct Pool {
    connections: Mutex<Connections>,
    keep: Duration,
    /// How many exchanges the host was last found to take on a connection: more than one is HTTP/2.
    streams: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
    bound: Arc<ConnectionBound>,
    /// How many requests wait for a connection, because no more may be opened.
    waiting: AtomicUsize,
    /// Told them when a connection is free.
    changed: Notify,
}

/// Where a connection takes fewer exchanges than this, waiting for one that somebody else opens would leave most of those
/// who wait without a place on it.
const WORTH_WAITING: usize = 8;

/// A connection of HTTP/1 that carries nothing.
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    heads: Arc<Heads>,
    destination: Arc<Destination>,
    since: Instant,
}

#[derive(Default)]
struct Connections {
    /// The last one used is at the end.
    idle: Vec<Idle>,
    /// The longest open one is at the beginning, so that the others come to rest.
    shared: Vec<Http2>,
}

impl Pool {
    pub(super) fn new(keep: Duration, bound: &Arc<ConnectionBound>) -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            keep,
            streams: AtomicUsize::new(1),
            turn: tokio::sync::Mutex::default(),
            bound: Arc::clone(bound),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
        })
    }

    /// A connection that can take a request, as far as one can know.
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
        // One that nothing holds any more says good-bye and closes.
        connections
            .shared
            .retain_mut(|connection| connection.is_open() && connection.idle().is_none_or(|idle| idle < self.keep));
        for connection in &connections.shared {
            if let Some(permit) = connection.admit() {
                return Some(Connection::Http2 { connection: connection.clone(), _permit: permit });
            }
        }
        while let Some(Idle { sender, heads, destination, since }) = connections.idle.pop() {
            if since.elapsed() >= self.keep {
                // Those before it are older still.
                connections.idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(Connection::Http1(sender, heads, destination));
            }
        }
        None
    }

    /// Waits, where the host speaks HTTP/2, until nobody else is connecting.
    pub(super) async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let streams = self.streams.load(Ordering::Relaxed);
        if streams >= WORTH_WAITING { Some(self.turn.lock().await) } else { None }
    }

    /// The windows for the next connection of HTTP/2.
    pub(super) fn window(&self) -> Window {
        if self.lock().shared.is_empty() { Window::Wide } else { Window::Narrow }
    }

    /// Notes a new connection; one of HTTP/2 is shared from now on.
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
            let is_waited_for = self.waiting.load(Ordering::Relaxed) > 0;
            if !is_waited_for && self.bound.is_contended() {
                // It is closed: those who wait are for another host, or another runtime.
                return;
            }
            let mut connections = self.lock();
            if connections.idle.len() < MAX_IDLE {
                connections.idle.push(Idle { sender, heads, destination, since: Instant::now() });
            }
            drop(connections);
            if is_waited_for {
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

    /// For how long the connection has carried nothing that [`close_unused`](Self::close_unused) would close.
    pub(super) fn longest_unused(&self) -> Option<Duration> {
        let connections = self.lock();
        let idle = connections.idle.first().map(|idle| idle.since.elapsed());
        connections.shared.iter().filter_map(Http2::idle).chain(idle).max()
    }

    /// Closes the connection that has carried nothing for longest.
    pub(super) fn close_unused(&self) {
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
    spoilt: bool,
}

impl Lease {
    pub(super) fn new(connection: Connection, pool: &Arc<Pool>) -> Self {
        Self { connection, pool: Arc::clone(pool), spoilt: false }
    }

    /// The answer has been read to its end: the connection can take the next request. A lease that is dropped instead
    /// closes its connection, if it is one of HTTP/1.
    pub(crate) fn give_back(self) {
        if !self.spoilt {
            self.pool.give_back(self.connection);
        }
    }

    /// No other request may be sent on this connection.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
    }
}
