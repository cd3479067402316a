//! Opens connections: DNS, TCP, corporate proxy, TLS, HTTP.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use compact_str::CompactString;
use hyper::client::conn;
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        dns::{GaiAddrs, GaiResolver, Name},
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use nightaudit_exchange::{Destination, FailureKind, Tls};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{
    corporate::Kind,
    heads::{HeadCapture, MAX_HEAD, MAX_HEADERS},
    http2::{Http2, Window},
    pool::Connection,
    route::Route,
};
use crate::{Origin, local_response::LocalResponse};

/// Opens connections to one host.
pub(super) struct Connector {
    origin: Origin,
    route: Route,
    tls: Arc<rustls::ClientConfig>,
    tcp: HttpConnector<Resolver>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(origin: Origin, route: Route, tls: Arc<rustls::ClientConfig>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        Self { origin, route, tls, tcp, timeout }
    }

    /// Opens a connection, which holds `permit` until it has ended; `window` applies to HTTP/2.
    pub(super) async fn connect(
        &self,
        window: Window,
        permit: OwnedSemaphorePermit,
    ) -> Result<Connection, LocalResponse> {
        tokio::time::timeout(self.timeout, self.open(window, permit)).await.unwrap_or_else(|_| {
            let message = format!("connection to {} timed out after {:?}", self.origin, self.timeout);
            Err(LocalResponse::failed(FailureKind::ConnectTimeout, message))
        })
    }

    async fn open(&self, window: Window, permit: OwnedSemaphorePermit) -> Result<Connection, LocalResponse> {
        let (stream, proxy) = self.tcp().await?;
        let destination =
            Destination { address: (&**self.origin.text()).into(), remote: stream.peer_addr().ok(), tls: None, proxy };
        if !self.origin.is_tls() {
            return self.http1(stream, destination, permit).await;
        }
        let tls_failed = |error: &dyn ToString| {
            let message = format!("TLS handshake with {} failed: {}", self.origin, error.to_string());
            LocalResponse::failed(FailureKind::Tls, message)
        };
        let host = self.origin.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| tls_failed(&error))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| tls_failed(&error))?;
        let session = stream.get_ref().1;
        let authority =
            self.route.authority_classifier.classify(session.peer_certificates().unwrap_or_default(), &name);
        let destination = Destination { tls: Some(Tls { server_name: host.into(), authority }), ..destination };
        if session.alpn_protocol() == Some(b"h2") {
            self.http2(stream, destination, window, permit).await
        } else {
            self.http1(stream, destination, permit).await
        }
    }

    /// Opens a TCP connection; returns it with the corporate proxy it goes through, if any.
    async fn tcp(&self) -> Result<(TcpStream, Option<CompactString>), LocalResponse> {
        let uri = self.origin.uri().map_err(|error| LocalResponse::failed(FailureKind::Connect, error.to_string()))?;
        let mut tcp = self.tcp.clone();
        let Some(proxy) = self.route.proxies.for_host(&self.origin) else {
            return match tcp.call(uri).await {
                Ok(stream) => Ok((stream.into_inner(), None)),
                Err(error) => Err(self.unreachable(&error)),
            };
        };
        let refused = |error: &dyn Error| {
            let message = format!("the proxy {proxy} can't connect to {}: {}", self.origin, chain(error));
            LocalResponse::failed(FailureKind::UpstreamProxy, message)
        };
        let to = proxy.uri().map_err(|error| refused(&error))?;
        let stream = match proxy.kind() {
            Kind::Http => {
                let mut tunnel = Tunnel::new(to, tcp);
                if let Some(basic) = proxy.basic() {
                    tunnel = tunnel.with_auth(basic);
                }
                tunnel.call(self.with_port(uri)).await.map_err(|error| refused(&error))?
            }
            Kind::Socks5 { resolves } => {
                let mut socks = SocksV5::new(to, tcp);
                if let Some((user, password)) = proxy.user() {
                    socks = socks.with_auth(user, password);
                }
                let uri = if resolves { self.with_port(uri) } else { self.resolved(uri).await? };
                socks.call(uri).await.map_err(|error| refused(&error))?
            }
        };
        Ok((stream.into_inner(), Some(proxy.to_string().into())))
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> LocalResponse {
        let kind = if is_resolve_error(error) { FailureKind::Resolve } else { FailureKind::Connect };
        LocalResponse::failed(kind, format!("can't connect to {}: {}", self.origin, chain(error)))
    }

    /// Resolves the host name locally.
    async fn resolved(&self, uri: http::Uri) -> Result<http::Uri, LocalResponse> {
        let host = self.origin.host().trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, self.origin.port())).await.map(|mut addresses| addresses.next());
        let found = found.and_then(|address| address.ok_or_else(|| std::io::ErrorKind::NotFound.into()));
        let address = found.map_err(|error| self.unreachable(&Unresolved(error)))?;
        let mut parts = uri.clone().into_parts();
        parts.authority = address.to_string().parse().ok();
        Ok(http::Uri::from_parts(parts).unwrap_or(uri))
    }

    /// Adds the port, which tunnel requests always need.
    fn with_port(&self, uri: http::Uri) -> http::Uri {
        let mut parts = uri.clone().into_parts();
        parts.authority = format!("{}:{}", self.origin.host(), self.origin.port()).parse().ok();
        http::Uri::from_parts(parts).unwrap_or(uri)
    }

    async fn http1<T>(
        &self,
        stream: T,
        destination: Destination,
        permit: OwnedSemaphorePermit,
    ) -> Result<Connection, LocalResponse>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, heads) = HeadCapture::new(stream);
        let (sender, connection) = conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            // A proxy removes (RFC 9112, section 5.1) or replaces (section 5.2) these in a response.
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.handshake_failed(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "HTTP/1 connection to the upstream ended");
            }
            // WebSockets have their own limit.
            drop(permit);
        });
        Ok(Connection::Http1(sender, heads, Arc::new(destination)))
    }

    async fn http2<T>(
        &self,
        stream: T,
        destination: Destination,
        window: Window,
        permit: OwnedSemaphorePermit,
    ) -> Result<Connection, LocalResponse>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Http2::open(stream, Arc::new(destination), window, permit)
            .await
            .map_err(|error| self.handshake_failed(&error))?;
        let Some(permit) = connection.admit() else {
            return Err(self.handshake_failed(&"it accepts no requests (MAX_CONCURRENT_STREAMS is 0)"));
        };
        Ok(Connection::Http2 { connection, _permit: permit })
    }

    fn handshake_failed(&self, error: &dyn std::fmt::Display) -> LocalResponse {
        LocalResponse::failed(FailureKind::Closed, format!("{} closed the new connection: {error}", self.origin))
    }
}

/// Marks DNS errors, which the connector's error does not distinguish.
#[derive(Debug, thiserror::Error)]
#[error("can't resolve the host name: {0}")]
struct Unresolved(std::io::Error);

fn is_resolve_error(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Unresolved>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Formats an error with its chain of sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The system resolver, with its errors marked.
#[derive(Clone)]
struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let is_resolve_error = self.0.call(name);
        Box::pin(async move { is_resolve_error.await.map_err(Unresolved) })
    }
}
