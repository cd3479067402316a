//! A scripted upstream in place of Mews.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;

/// A request that reached an [`Upstream`].
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method, target, version and headers.
    pub head: http::request::Parts,
    /// The whole body.
    pub body: Bytes,
}

/// An upstream on a free loopback port in place of Mews; stopped on drop.
pub struct Upstream {
    address: SocketAddr,
    tls: bool,
    seen: Arc<Mutex<Vec<Seen>>>,
    raw: Arc<Mutex<Vec<Vec<u8>>>>,
    _task: AbortOnDropHandle<()>,
}

type Answering = Pin<Box<dyn Future<Output = Response<BoxBody<Bytes, std::io::Error>>> + Send>>;
type Script = Arc<dyn Fn(Seen) -> Answering + Send + Sync>;

impl Upstream {
    /// Responds to every request with this status and body.
    pub async fn responding(status: u16, body: &'static str) -> Self {
        Self::scripted(move |_| async move {
            let mut response = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
            *response.status_mut() = status.try_into().unwrap();
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            response
        })
        .await
    }

    /// Responds with the result of `script` for each request.
    pub async fn scripted<S, F>(script: S) -> Self
    where
        S: Fn(Seen) -> F + Send + Sync + 'static,
        F: Future<Output = Response<BoxBody<Bytes, std::io::Error>>> + Send + 'static,
    {
        Self::http(None, script).await
    }

    /// Like [`scripted`](Self::scripted), over TLS if given.
    pub async fn http<S, F>(tls: Option<Arc<ServerConfig>>, script: S) -> Self
    where
        S: Fn(Seen) -> F + Send + Sync + 'static,
        F: Future<Output = Response<BoxBody<Bytes, std::io::Error>>> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script: Script = Arc::new(move |request| Box::pin(script(request)));
        let (listener, address) = listen().await;
        let task = {
            let (seen, tls) = (Arc::clone(&seen), tls.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let (seen, script, tls) = (Arc::clone(&seen), Arc::clone(&script), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, false, seen, script).await,
                            Some(tls) => {
                                // Some tests have a client that doesn't trust the certificate.
                                let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
                                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                                serve(stream, http2, seen, script).await;
                            }
                        }
                    });
                }
            }
        };
        Self { address, tls: tls.is_some(), seen, raw: Arc::default(), _task: spawn(task) }
    }

    /// Passes each connection to `script`, after reading and keeping the first request's head.
    pub async fn raw<S, F>(script: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let raw: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (listener, address) = listen().await;
        let task = {
            let (raw, script) = (Arc::clone(&raw), Arc::new(script));
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(read_head(stream, Arc::clone(&raw), Arc::clone(&script)));
                }
            }
        };
        Self { address, tls: false, seen: Arc::default(), raw, _task: spawn(task) }
    }

    /// Like [`raw`](Self::raw), over TLS.
    pub async fn raw_over_tls<S, F>(tls: Arc<ServerConfig>, script: S) -> Self
    where
        S: Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let raw: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (listener, address) = listen().await;
        let task = {
            let (raw, script) = (Arc::clone(&raw), Arc::new(script));
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (raw, script, tls) = (Arc::clone(&raw), Arc::clone(&script), Arc::clone(&tls));
                    tokio::spawn(async move {
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            read_head(stream, raw, script).await;
                        }
                    });
                }
            }
        };
        Self { address, tls: true, seen: Arc::default(), raw, _task: spawn(task) }
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for `--upstream`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://localhost:{}", if self.tls { "https" } else { "http" }, self.address.port())
    }

    /// The received requests, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The heads read by a [`raw`](Self::raw) upstream.
    #[must_use]
    pub fn raw_heads(&self) -> Vec<String> {
        self.raw.lock().iter().map(|head| String::from_utf8_lossy(head).into_owned()).collect()
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

async fn read_head<T, S, F>(mut stream: T, raw: Arc<Mutex<Vec<Vec<u8>>>>, script: Arc<S>)
where
    T: AsyncRead + Unpin,
    S: Fn(T) -> F,
    F: Future<Output = ()>,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    raw.lock().push(head);
    script(stream).await;
}

async fn serve<S>(stream: S, http2: bool, seen: Arc<Mutex<Vec<Seen>>>, script: Script)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let request = Seen { head, body };
            seen.lock().push(request.clone());
            Ok::<_, Infallible>(script(request).await)
        }
    });
    // The test sees how the connection ends.
    if http2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.preserve_header_case(true).auto_date_header(false);
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }
}
