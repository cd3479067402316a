//! Connections that are kept for the next request.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};

use nightaudit_exchange::Destination;

use super::heads::Heads;
use crate::request_body::RequestBody;

/// More connections than this are not kept.
const MAX_IDLE: usize = 512;

/// A connection to Mews.
pub(crate) enum Connection {
    /// Carries one request at a time.
    Http1(http1::SendRequest<RequestBody>, Arc<Heads>, Arc<Destination>),
    /// Carries many.
    Http2(http2::SendRequest<RequestBody>, Arc<Destination>),
}

impl Connection {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(..))
    }

    /// Where it leads.
    pub(super) fn destination(&self) -> &Arc<Destination> {
        match self {
            Self::Http1(.., destination) | Self::Http2(_, destination) => destination,
        }
    }

    /// Hands the request to the connection and waits for the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender, heads, _) => {
                heads.expect();
                let mut response = sender.try_send_request(request).await?;
                if let Some(head) = heads.take() {
                    response.extensions_mut().insert(head);
                }
                Ok(response)
            }
            Self::Http2(sender, _) => sender.try_send_request(request).await,
        }
    }

    async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender, ..) => sender.is_ready() || (!sender.is_closed() && sender.ready().await.is_ok()),
            Self::Http2(sender, _) => !sender.is_closed() && sender.ready().await.is_ok(),
        }
    }
}

/// The connections to one host.
pub(super) struct Pool {
    connections: Mutex<Connections>,
    keep: Duration,
    /// Whether the host was last found to speak HTTP/2.
    http2: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Connections {
    /// The last one used is at the end.
    idle: Vec<(http1::SendRequest<RequestBody>, Arc<Heads>, Arc<Destination>, Instant)>,
    shared: Option<(http2::SendRequest<RequestBody>, Arc<Destination>)>,
}

impl Pool {
    pub(super) fn new(keep: Duration) -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            keep,
            http2: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// A connection that can take a request, as far as one can know.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.next()?;
            if connection.ready().await {
                return Some(connection);
            }
            if connection.is_http2() {
                self.lock().shared = None;
            }
        }
    }

    fn next(&self) -> Option<Connection> {
        let mut connections = self.lock();
        if let Some((shared, destination)) = &connections.shared {
            return Some(Connection::Http2(shared.clone(), Arc::clone(destination)));
        }
        while let Some((sender, heads, destination, since)) = connections.idle.pop() {
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
        if self.http2.load(Ordering::Relaxed) { Some(self.turn.lock().await) } else { None }
    }

    /// Notes a new connection; one of HTTP/2 is shared from now on.
    pub(super) fn opened(&self, connection: &Connection) {
        self.http2.store(connection.is_http2(), Ordering::Relaxed);
        if let Connection::Http2(sender, destination) = connection {
            self.lock().shared = Some((sender.clone(), Arc::clone(destination)));
        }
    }

    fn give_back(&self, connection: Connection) {
        if let Connection::Http1(sender, heads, destination) = connection
            && !sender.is_closed()
        {
            let mut connections = self.lock();
            if connections.idle.len() < MAX_IDLE {
                connections.idle.push((sender, heads, destination, Instant::now()));
            }
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
}

impl Lease {
    pub(super) fn new(connection: Connection, pool: &Arc<Pool>) -> Self {
        Self { connection, pool: Arc::clone(pool) }
    }

    /// The answer has been read to its end: the connection can take the next request. A lease that is dropped instead
    /// closes its connection, if it is one of HTTP/1.
    pub(crate) fn give_back(self) {
        self.pool.give_back(self.connection);
    }
}
