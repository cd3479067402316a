//! The server: from an accepted connection to the handler and back.

mod handler;
mod http2;
mod response;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
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

pub use self::handler::{HalfClose, Handler, RequestContext};
use self::response::{Answer, Unanswered};
use crate::{
    accept::accept,
    guard::{Bounds, Guard, Protocol},
    head::{Fault, TLS_HANDSHAKE},
    link::{Link, Outgoing, Patience},
    slots::Slots,
};

/// What a [`Server`] may be told.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// TLS; none for a clear port.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Bytes that a request's head may have (default 64 KiB); larger ones are refused.
    pub max_head: usize,
    /// Connections at once (default 4,096); more wait to be accepted.
    pub max_connections: usize,
    /// From the first byte of a head to its last, and for the TLS handshake (default 30 s).
    pub head_timeout: Duration,
    /// From one request on a connection to the next (default 75 s).
    pub idle_timeout: Duration,
    /// Between two pieces of a response that the client takes (default 60 s), and 5 s while requests wait for the room
    /// that such responses hold ([`Handler::is_crowded`]). After that an HTTP/2 stream is reset, and a connection closed.
    pub response_taken: Duration,
    /// How long requests in flight may still take when the server stops (default 30 s).
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

/// How a server came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because they were not done in time.
    pub aborted: usize,
}

/// A runtime that serves connections, and what answers the requests on them.
///
/// With a single-threaded runtime for each, all that a request wakes is on the thread that it came in on.
#[derive(Debug)]
pub struct Worker<H> {
    /// Where the connections' tasks run.
    pub runtime: Handle,
    /// What answers their requests.
    pub handler: Arc<H>,
}

/// Accepts connections and has a [`Handler`] answer the requests on them.
#[derive(Debug)]
pub struct Server {
    config: ListenConfig,
}

impl Server {
    /// A server with this configuration.
    #[must_use]
    pub fn new(config: ListenConfig) -> Self {
        Self { config }
    }

    /// Serves on the present runtime until `stop` is done, then lets the requests in flight finish.
    ///
    /// Errors of a connection end that connection and nothing else.
    pub async fn serve<H: Handler>(
        self,
        listener: TcpListener,
        handler: Arc<H>,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        self.serve_on(listener, [Worker { runtime: Handle::current(), handler }], stop).await
    }

    /// Does what [`serve`](Self::serve) does on other runtimes: each connection goes to the worker that has the fewest,
    /// and stays there. Without workers nothing is accepted.
    pub async fn serve_on<H: Handler>(
        self,
        listener: TcpListener,
        workers: impl IntoIterator<Item = Worker<H>>,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        let mut slots = Slots::new(self.config.max_connections);
        let full = slots.full();
        let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
        let crews: Vec<Crew<H>> =
            workers.into_iter().map(|worker| Crew::new(worker, &self.config, &full, &stopping, &cut)).collect();
        let mut stop = pin!(stop);
        loop {
            let next = async {
                let accepted = accept(&listener).await;
                (accepted, slots.take().await)
            };
            let ((stream, peer), (slot, link)) = tokio::select! {
                next = next => next,
                () = stop.as_mut() => break,
            };
            // Of several with as few it is the first, whose pool has the connections last used.
            if let Some(crew) = crews.iter().min_by_key(|crew| crew.tasks.len()) {
                crew.take(stream, peer, slot, link);
            }
        }
        drop(listener);
        stopping.cancel();
        let drained = async {
            for crew in &crews {
                crew.tasks.close();
                crew.tasks.wait().await;
            }
        };
        let mut drained = pin!(drained);
        let aborted = match tokio::time::timeout(self.config.drain, drained.as_mut()).await {
            Ok(()) => 0,
            Err(_) => {
                let late = crews.iter().map(|crew| crew.tasks.len()).sum();
                // Dropped, not forgotten: their handlers still get to say what became of their requests.
                cut.cancel();
                drained.await;
                late
            }
        };
        Drained { aborted }
    }
}

/// The connections of a worker.
struct Crew<H> {
    runtime: Handle,
    serving: Arc<Serving<H>>,
    tasks: TaskTracker,
    /// These two are the worker's own: every poll of a connection locks them.
    stopping: CancellationToken,
    cut: CancellationToken,
}

impl<H: Handler> Crew<H> {
    fn new(
        worker: Worker<H>,
        config: &ListenConfig,
        full: &Arc<AtomicBool>,
        stopping: &CancellationToken,
        cut: &CancellationToken,
    ) -> Self {
        Self {
            runtime: worker.runtime,
            serving: Arc::new(Serving::new(config.clone(), worker.handler, full)),
            tasks: TaskTracker::new(),
            stopping: stopping.child_token(),
            cut: cut.child_token(),
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit, link: Arc<Link>) {
        let (serving, stopping, cut) = (Arc::clone(&self.serving), self.stopping.clone(), self.cut.clone());
        let connection = async move {
            // The stream leaves the runtime that accepted it for the one that waits for its bytes.
            match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => drop(cut.run_until_cancelled(serving.connection(stream, peer, link, stopping)).await),
                Err(error) => tracing::error!(%peer, %error, "a connection can't be handed to its worker"),
            }
            drop(slot);
        };
        self.tasks.spawn_on(connection, &self.runtime);
    }
}

struct Serving<H> {
    config: ListenConfig,
    handler: Arc<H>,
    patience: Patience,
}

impl<H: Handler> Serving<H> {
    fn new(config: ListenConfig, handler: Arc<H>, full: &Arc<AtomicBool>) -> Self {
        let (crowded, full) = (Arc::clone(&handler), Arc::clone(full));
        let is_crowded = Arc::new(move || full.load(Ordering::Relaxed) || crowded.is_crowded());
        let patience = Patience::new(config.response_taken, is_crowded);
        Self { config, handler, patience }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken) {
        let stream = Outgoing::new(stream, Arc::clone(&link), self.patience.clone());
        let served = self.handshake(stream, peer, Arc::clone(&link), stopping);
        let gone = async {
            link.evicted().await;
            tokio::time::sleep(PARTING).await;
        };
        tokio::select! {
            biased;
            () = served => {}
            () = gone => {}
        }
    }

    async fn handshake(
        &self,
        stream: Outgoing<TcpStream>,
        peer: SocketAddr,
        link: Arc<Link>,
        stopping: CancellationToken,
    ) {
        let Some(tls) = &self.config.tls else {
            return self.sniff(stream, peer, link, stopping).await;
        };
        let mut first = [0];
        match tokio::time::timeout(self.config.head_timeout, stream.get_ref().peek(&mut first)).await {
            Ok(Ok(1..)) if first[0] == TLS_HANDSHAKE[0] => {}
            Ok(Ok(1..)) => {
                let guard = Guard::new(stream, self.bounds(), Arc::clone(&link)).refusing(CLEAR_TEXT);
                return self.http1(guard, peer, link, stopping).await;
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
                self.http2(stream, peer, link, stopping).await;
            }
            Ok(Ok(stream)) => self.sniff(stream, peer, link, stopping).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            max_head: self.config.max_head,
            head_timeout: self.config.head_timeout,
            idle_timeout: self.config.idle_timeout,
        }
    }

    async fn sniff<S>(&self, stream: S, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut guard = Guard::new(stream, self.bounds(), Arc::clone(&link));
        let protocol = tokio::select! {
            protocol = guard.protocol() => protocol,
            () = stopping.cancelled() => None,
            () = link.evicted() => None,
        };
        match protocol {
            Some(Protocol::Http1) => self.http1(guard, peer, link, stopping).await,
            Some(Protocol::Http2) => self.http2(guard, peer, link, stopping).await,
            None => {}
        }
    }

    async fn http1<S>(&self, guard: Guard<S>, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let heads = guard.heads();
        let service = service_fn(|mut request: Request<Incoming>| {
            let (heads, progress) = (Arc::clone(&heads), link.progress.clone());
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
                    // What the guard has not seen must not go any further.
                    None => context.refusal = Some(Fault::malformed("a request without a head").refusal(Bytes::new())),
                }
                let upgrades = context.opens_web_socket;
                if !upgrades {
                    request.extensions_mut().remove::<OnUpgrade>();
                }
                let unanswered = Unanswered(heads);
                let mut response = self.handler.handle(context, request).await;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrades {
                    // The guard still reads HTTP, and would hand its stand-in to whoever took over the connection.
                    tracing::error!(%peer, "a 101 was answered to a request that opens no WebSocket");
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                }
                Ok::<_, Infallible>(response.map(|body| Answer { body, progress: None, unanswered, breaking: None }))
            }
        });
        let connection = conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // The guard times heads, and tells the handler.
            .header_read_timeout(None)
            .preserve_header_case(true)
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
        // What was upgraded goes on without this, and is no response.
        link.upgrade();
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "HTTP/1 connection ended");
        }
    }
}

/// How long a connection that is evicted may take to say good-bye.
const PARTING: Duration = Duration::from_millis(500);

/// What a client is told that speaks HTTP in clear to a port with TLS.
const CLEAR_TEXT: &str = "HTTP in clear text was spoken to a port with TLS: use https://";

/// hyper's read buffer grows to this beside the largest head.
const READ_BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http_body_util::{Empty, Full};
    use hyper::Response;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Answers with its own name.
    struct Named(&'static str);

    impl Handler for Named {
        type Body = Full<Bytes>;

        async fn handle(&self, _: RequestContext, _: Request<Incoming>) -> Response<Full<Bytes>> {
            Response::new(Full::from(self.0))
        }
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 200];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_worker_with_the_fewest_and_stays_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let workers = ["one", "two"].map(|name| Worker { runtime: Handle::current(), handler: Arc::new(Named(name)) });
        let server = tokio::spawn(Server::new(ListenConfig::default()).serve_on(listener, workers, pending()));
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.ends_with("\r\n\r\none"));
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut second).await.ends_with("\r\n\r\ntwo"));
        assert!(ask(&mut first).await.ends_with("\r\n\r\none"));
        server.abort();
    }

    /// Switches protocols, whatever was asked.
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
    async fn regression_a_handler_could_take_over_a_connection_on_which_the_guard_still_reads_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(Server::new(ListenConfig::default()).serve(listener, Arc::new(Switching), pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        for upgrade in ["h2c", "websocket"] {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = vec![0; 200];
            let length = stream.read(&mut answer).await.unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 500 "), "{}", String::from_utf8_lossy(&answer[..length]));
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
    async fn regression_an_http_2_client_that_asked_for_nothing_held_its_connection_for_ever() {
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
        // While it is being answered it is not idle.
        let answer = sender.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap();
        assert!(answer.status().is_success() && start.elapsed().as_secs() >= 500);
        drop(answer);
        served.await.unwrap();
        let idle = start.elapsed().as_secs() - 500;
        assert!((60..=180).contains(&idle), "{idle}");
        assert!(sender.ready().await.is_err());
    }
}
