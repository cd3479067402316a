//! The server: from accepted connections to the handler and back.

mod handler;
mod http2;
mod response;

use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use hyper::{Request, body::Incoming, server::conn, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::handler::{HalfClose, Handler, RequestContext, Reset};
use self::{
    handler::WasReset,
    response::{InFlight, ResponseBody},
};
use crate::{
    accept::accept,
    guard::{Guard, Limits, Protocol},
    head::TLS_HANDSHAKE,
    link::{Link, StallGuard, StallTimeout},
    refusal::Fault,
    slots::Slots,
};

/// Configuration of a [`Server`].
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// TLS; `None` for cleartext.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Largest request head, in bytes (default 64 KiB); larger ones are refused.
    pub max_head: usize,
    /// Concurrent connections (default 4,096); further ones wait to be accepted.
    pub max_connections: usize,
    /// Time to receive a complete head, and for the TLS handshake (default 30 s).
    pub head_timeout: Duration,
    /// Time between two requests on a connection (default 75 s).
    pub idle_timeout: Duration,
    /// How long the client may read nothing of a response (default 60 s), 5 s while requests wait for capacity
    /// ([`Handler::is_crowded`]). After that the HTTP/2 stream is reset, or the connection closed.
    pub response_taken: Duration,
    /// How long requests in flight may still take on shutdown (default 30 s).
    pub drain: Duration,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            tls: None,
            max_head: 64 * 1024,
            max_connections: 4096,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            response_taken: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

/// Result of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections aborted because they were not finished in time.
    pub aborted: usize,
}

/// A runtime that serves connections, and their handler.
///
/// With a single-threaded runtime per worker, everything a request wakes is on the thread that it came in on.
#[derive(Debug)]
pub struct Worker<H> {
    /// The runtime of the connections' tasks.
    pub runtime: Handle,
    /// The handler of their requests.
    pub handler: Arc<H>,
}

/// Accepts connections and passes their requests to a [`Handler`].
#[derive(Debug)]
pub struct Server {
    config: ListenConfig,
}

impl Server {
    /// Creates a server with this configuration.
    #[must_use]
    pub fn new(config: ListenConfig) -> Self {
        Self { config }
    }

    /// Serves on the current runtime until `shutdown` resolves, then drains requests in flight.
    ///
    /// An error of a connection ends only that connection.
    pub async fn serve<H: Handler>(
        self,
        listener: TcpListener,
        handler: Arc<H>,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        self.serve_on(listener, [Worker { runtime: Handle::current(), handler }], shutdown).await
    }

    /// Like [`serve`](Self::serve), on other runtimes: each connection goes to the worker with the fewest, and stays
    /// there. Without workers nothing is accepted.
    pub async fn serve_on<H: Handler>(
        self,
        listener: TcpListener,
        workers: impl IntoIterator<Item = Worker<H>>,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        self.serve_all(vec![listener], workers, shutdown).await
    }

    /// Like [`serve_on`](Self::serve_on), on several listeners, which share all limits.
    pub async fn serve_all<H: Handler>(
        self,
        listeners: Vec<TcpListener>,
        workers: impl IntoIterator<Item = Worker<H>>,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        let mut turn = 0;
        let mut slots = Slots::new(self.config.max_connections);
        let full = slots.full();
        let (stopping, abort) = (CancellationToken::new(), CancellationToken::new());
        let connections: Vec<WorkerConnections<H>> = workers
            .into_iter()
            .map(|worker| WorkerConnections::new(worker, &self.config, &full, &stopping, &abort))
            .collect();
        let mut shutdown = pin!(shutdown);
        loop {
            let next = async {
                let accepted = accept(&listeners, &mut turn).await;
                (accepted, slots.acquire().await)
            };
            let ((stream, peer), (slot, link)) = tokio::select! {
                next = next => next,
                () = shutdown.as_mut() => break,
            };
            // On a tie the first, whose upstream pool has the most recently used connections.
            if let Some(worker) = connections.iter().min_by_key(|worker| worker.tasks.len()) {
                worker.spawn(stream, peer, slot, link);
            }
        }
        drop(listeners);
        stopping.cancel();
        let drained = async {
            for worker in &connections {
                worker.tasks.close();
                worker.tasks.wait().await;
            }
        };
        let mut drained = pin!(drained);
        let aborted = match tokio::time::timeout(self.config.drain, drained.as_mut()).await {
            Ok(()) => 0,
            Err(_) => {
                let late = connections.iter().map(|worker| worker.tasks.len()).sum();
                // Dropped rather than leaked: their handlers still record what became of their requests.
                abort.cancel();
                drained.await;
                late
            }
        };
        Drained { aborted }
    }
}

/// Connections of a worker.
struct WorkerConnections<H> {
    runtime: Handle,
    serving: Arc<Serving<H>>,
    tasks: TaskTracker,
    /// Tokens per worker, because every poll of a connection locks them.
    stopping: CancellationToken,
    abort: CancellationToken,
}

impl<H: Handler> WorkerConnections<H> {
    fn new(
        worker: Worker<H>,
        config: &ListenConfig,
        full: &Arc<AtomicBool>,
        stopping: &CancellationToken,
        abort: &CancellationToken,
    ) -> Self {
        Self {
            runtime: worker.runtime,
            serving: Arc::new(Serving::new(config.clone(), worker.handler, full)),
            tasks: TaskTracker::new(),
            stopping: stopping.child_token(),
            abort: abort.child_token(),
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit, link: Arc<Link>) {
        let (serving, stopping, abort) = (Arc::clone(&self.serving), self.stopping.clone(), self.abort.clone());
        let connection = async move {
            // Moves the stream from the accepting runtime to the one that serves it.
            match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => drop(abort.run_until_cancelled(serving.connection(stream, peer, link, stopping)).await),
                Err(error) => tracing::error!(%peer, %error, "can't move a connection to its worker"),
            }
            drop(slot);
        };
        self.tasks.spawn_on(connection, &self.runtime);
    }
}

struct Serving<H> {
    config: ListenConfig,
    handler: Arc<H>,
    stall_timeout: StallTimeout,
}

impl<H: Handler> Serving<H> {
    fn new(config: ListenConfig, handler: Arc<H>, full: &Arc<AtomicBool>) -> Self {
        let (is_handler_crowded, full) = (Arc::clone(&handler), Arc::clone(full));
        let is_crowded = Arc::new(move || full.load(Ordering::Relaxed) || is_handler_crowded.is_crowded());
        let stall_timeout = StallTimeout::new(config.response_taken, is_crowded);
        Self { config, handler, stall_timeout }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken) {
        let stream = StallGuard::new(stream, Arc::clone(&link), self.stall_timeout.clone());
        let served = self.handshake(stream, peer, Arc::clone(&link), stopping);
        let evicted = async {
            link.evicted().await;
            tokio::time::sleep(EVICTION_GRACE).await;
        };
        tokio::select! {
            biased;
            () = served => {}
            () = evicted => {}
        }
    }

    async fn handshake(
        &self,
        stream: StallGuard<TcpStream>,
        peer: SocketAddr,
        link: Arc<Link>,
        stopping: CancellationToken,
    ) {
        let Some(tls) = &self.config.tls else {
            return Box::pin(self.sniff(stream, peer, link, stopping)).await;
        };
        let mut first = [0];
        match tokio::time::timeout(self.config.head_timeout, stream.get_ref().peek(&mut first)).await {
            Ok(Ok(1..)) if first[0] == TLS_HANDSHAKE[0] => {}
            Ok(Ok(1..)) => {
                let guard = Guard::new(stream, self.limits(), Arc::clone(&link)).refusing(CLEARTEXT_ON_TLS);
                return Box::pin(self.http1(guard, peer, link, stopping)).await;
            }
            _ => return,
        }
        let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(self.config.head_timeout, handshake) => handshake,
            () = link.evicted() => return,
        };
        match handshake {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Box::pin(self.http2(stream, peer, link, stopping)).await;
            }
            Ok(Ok(stream)) => Box::pin(self.sniff(stream, peer, link, stopping)).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_head: self.config.max_head,
            head_timeout: self.config.head_timeout,
            idle_timeout: self.config.idle_timeout,
        }
    }

    async fn sniff<S>(&self, stream: S, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut guard = Guard::new(stream, self.limits(), Arc::clone(&link));
        let protocol = tokio::select! {
            protocol = guard.protocol() => protocol,
            () = stopping.cancelled() => None,
            () = link.evicted() => None,
        };
        match protocol {
            Some(Protocol::Http1) => Box::pin(self.http1(guard, peer, link, stopping)).await,
            Some(Protocol::Http2) => Box::pin(self.http2(guard, peer, link, stopping)).await,
            None => {}
        }
    }

    async fn http1<S>(&self, guard: Guard<S>, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let heads = guard.heads();
        let service = service_fn(|mut request: Request<Incoming>| {
            let (heads, progress, link) = (Arc::clone(&heads), link.progress.clone(), &link);
            async move {
                let mut context = RequestContext {
                    peer,
                    wire: None,
                    refusal: None,
                    opens_web_socket: false,
                    tls: self.config.tls.is_some(),
                    progress,
                    half_close: Some(HalfClose(Arc::clone(&heads))),
                };
                match heads.pop() {
                    Some(Ok(passed)) => {
                        context.wire = Some(passed.wire);
                        context.opens_web_socket = passed.opens_web_socket;
                    }
                    Some(Err(refusal)) => context.refusal = Some(refusal),
                    // A request that the guard has not seen must not pass.
                    None => context.refusal = Some(Fault::malformed("the request has no head").refusal(Bytes::new())),
                }
                let upgrades = context.opens_web_socket;
                if !upgrades {
                    request.extensions_mut().remove::<OnUpgrade>();
                }
                let in_flight = InFlight(heads);
                // Boxed: hyper moves the future of a request a dozen times, and this one has kilobytes.
                let mut response = boxed(|| self.handler.handle(context, request)).await;
                if response.extensions().get::<Reset>().is_some() {
                    link.reset();
                    return Err(WasReset);
                }
                if response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrades {
                    // The guard still parses HTTP, and would feed its placeholder to the upgraded protocol.
                    tracing::error!(%peer, "the handler returned 101 to a request that opens no WebSocket");
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                }
                Ok(response.map(|body| ResponseBody { body, progress: None, in_flight, failing: None }))
            }
        });
        let connection = conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // The guard times heads, and reports timeouts to the handler.
            .header_read_timeout(None)
            .auto_date_header(false)
            .max_buf_size(self.config.max_head.max(READ_BUFFER) + READ_BUFFER)
            .serve_connection(TokioIo::new(guard), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = link.evicted() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // An upgraded connection continues on its own; its data is not a response.
        link.upgrade();
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "HTTP/1 connection ended");
        }
    }
}

/// Makes a future where it is to be. `Box::pin` makes it on the stack first, and copies all of it, though little of it is set.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

/// How long an evicted connection may take to shut down gracefully.
const EVICTION_GRACE: Duration = Duration::from_millis(500);

/// The message for a client that sends cleartext HTTP to a TLS port.
const CLEARTEXT_ON_TLS: &str = "received cleartext HTTP on a TLS port: use https://";

/// hyper's read buffer grows by this beyond the largest head.
const READ_BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http_body_util::{Empty, Full};
    use hyper::Response;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Responds with its name.
    struct Named(&'static str);

    impl Handler for Named {
        type Body = Full<Bytes>;

        async fn handle(&self, _: RequestContext, _: Request<Incoming>) -> Response<Full<Bytes>> {
            Response::new(Full::from(self.0))
        }
    }

    async fn request(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut response = vec![0; 200];
        let length = stream.read(&mut response).await.unwrap();
        String::from_utf8_lossy(&response[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_worker_with_the_fewest_and_stays_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let workers = ["one", "two"].map(|name| Worker { runtime: Handle::current(), handler: Arc::new(Named(name)) });
        let server = tokio::spawn(Server::new(ListenConfig::default()).serve_on(listener, workers, pending()));
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(request(&mut first).await.ends_with("\r\n\r\none"));
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(request(&mut second).await.ends_with("\r\n\r\ntwo"));
        assert!(request(&mut first).await.ends_with("\r\n\r\none"));
        server.abort();
    }

    /// Responds 101 to every request.
    struct Switching;

    impl Handler for Switching {
        type Body = Full<Bytes>;

        async fn handle(&self, _: RequestContext, request: Request<Incoming>) -> Response<Full<Bytes>> {
            assert!(request.extensions().get::<OnUpgrade>().is_none());
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
        }
    }

    #[tokio::test]
    async fn regression_a_handler_could_upgrade_a_connection_on_which_the_guard_still_parses_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(Server::new(ListenConfig::default()).serve(listener, Arc::new(Switching), pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        for upgrade in ["h2c", "websocket"] {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = vec![0; 200];
            let length = stream.read(&mut response).await.unwrap();
            assert!(
                response[..length].starts_with(b"HTTP/1.1 500 "),
                "{}",
                String::from_utf8_lossy(&response[..length])
            );
        }
        server.abort();
    }

    struct Slow;

    impl Handler for Slow {
        type Body = Full<Bytes>;

        async fn handle(&self, _: RequestContext, _: Request<Incoming>) -> Response<Full<Bytes>> {
            tokio::time::sleep(Duration::from_secs(500)).await;
            Response::new(Full::from("done"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn regression_an_idle_http_2_client_held_its_connection_forever() {
        let (client, server) = duplex(1 << 16);
        let config = ListenConfig { idle_timeout: Duration::from_secs(60), ..ListenConfig::default() };
        let peer = "127.0.0.1:1".parse().unwrap();
        let served = tokio::spawn(async move {
            let serving = Serving::new(config, Arc::new(Slow), &Arc::default());
            serving.http2(server, peer, Link::new(), CancellationToken::new()).await;
        });
        let start = tokio::time::Instant::now();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        // Not idle while a request is in flight.
        let response = sender.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        assert!(response.status().is_success() && start.elapsed().as_secs() >= 500);
        drop(response);
        served.await.unwrap();
        let idle = start.elapsed().as_secs() - 500;
        assert!((60..=180).contains(&idle), "{idle}");
        assert!(sender.ready().await.is_err());
    }
}
