//! New connections: name, TCP, a proxy on the way, TLS, HTTP.

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
    Route,
    corporate::Kind,
    heads::{LONGEST, Listening, MAX_HEADERS},
    http2::{Http2, Window},
    pool::Connection,
};
use crate::{Origin, local_response::LocalResponse};

/// Opens connections to one host.
pub(super) struct Connector {
    origin: Origin,
    route: Route,
    tls: Arc<rustls::ClientConfig>,
    tcp: HttpConnector<Resolver>,
    patience: Duration,
}

impl Connector {
    pub(super) fn new(origin: Origin, route: Route, tls: Arc<rustls::ClientConfig>, patience: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        Self { origin, route, tls, tcp, patience }
    }

    /// Opens a connection, which keeps `permit` until it has ended; one of HTTP/2 has these windows.
    pub(super) async fn connect(
        &self,
        window: Window,
        permit: OwnedSemaphorePermit,
    ) -> Result<Connection, LocalResponse> {
        tokio::time::timeout(self.patience, self.open(window, permit)).await.unwrap_or_else(|_| {
            let message = format!("no connection to {} within {:?}", self.origin, self.patience);
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
            let message = format!("no TLS session with {}: {}", self.origin, error.to_string());
            LocalResponse::failed(FailureKind::Tls, message)
        };
        let host = self.origin.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| tls_failed(&error))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| tls_failed(&error))?;
        let session = stream.get_ref().1;
        let authority = self.route.judge.authority(session.peer_certificates().unwrap_or_default(), &name);
        let destination = Destination { tls: Some(Tls { server_name: host.into(), authority }), ..destination };
        if session.alpn_protocol() == Some(b"h2") {
            self.http2(stream, destination, window, permit).await
        } else {
            self.http1(stream, destination, permit).await
        }
    }

    /// A TCP connection, and the proxy that it leads through.
    async fn tcp(&self) -> Result<(TcpStream, Option<CompactString>), LocalResponse> {
        let uri = self.origin.uri().map_err(|error| LocalResponse::failed(FailureKind::Connect, error.to_string()))?;
        let mut tcp = self.tcp.clone();
        let Some(proxy) = self.route.proxies.of(&self.origin) else {
            return match tcp.call(uri).await {
                Ok(stream) => Ok((stream.into_inner(), None)),
                Err(error) => Err(self.unreachable(&error)),
            };
        };
        let refused = |error: &dyn Error| {
            let message = format!("the proxy {proxy} gives no way to {}: {}", self.origin, chain(error));
            LocalResponse::failed(FailureKind::UpstreamProxy, message)
        };
        let to = proxy.uri().map_err(|error| refused(&error))?;
        let stream = match proxy.kind() {
            Kind::Http => {
                let mut tunnel = Tunnel::new(to, tcp);
                if let Some(basic) = proxy.basic() {
                    tunnel = tunnel.with_auth(basic);
                }
                tunnel.call(self.tunnelled(uri)).await.map_err(|error| refused(&error))?
            }
            Kind::Socks5 { resolves } => {
                let mut socks = SocksV5::new(to, tcp);
                if let Some((user, password)) = proxy.user() {
                    socks = socks.with_auth(user, password);
                }
                let uri = if resolves { self.tunnelled(uri) } else { self.resolved(uri).await? };
                socks.call(uri).await.map_err(|error| refused(&error))?
            }
        };
        Ok((stream.into_inner(), Some(proxy.to_string().into())))
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> LocalResponse {
        let kind = if resolving(error) { FailureKind::Resolve } else { FailureKind::Connect };
        LocalResponse::failed(kind, format!("can't connect to {}: {}", self.origin, chain(error)))
    }

    /// The address with the host's name resolved here.
    async fn resolved(&self, uri: http::Uri) -> Result<http::Uri, LocalResponse> {
        let host = self.origin.host().trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, self.origin.port())).await.map(|mut addresses| addresses.next());
        let found = found.and_then(|address| address.ok_or_else(|| std::io::ErrorKind::NotFound.into()));
        let address = found.map_err(|error| self.unreachable(&Unresolved(error)))?;
        let mut parts = uri.clone().into_parts();
        parts.authority = address.to_string().parse().ok();
        Ok(http::Uri::from_parts(parts).unwrap_or(uri))
    }

    /// A tunnel is asked for with the port in any case.
    fn tunnelled(&self, uri: http::Uri) -> http::Uri {
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
        let (stream, heads) = Listening::new(stream);
        let (sender, connection) = conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(LONGEST)
            .max_headers(MAX_HEADERS)
            // What a proxy removes (RFC 9112, section 5.1) and replaces (section 5.2) in a response.
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.no_http(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "HTTP/1 connection to Mews ended");
            }
            // An open WebSocket counts by itself.
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
        let connection =
            Http2::open(stream, Arc::new(destination), window, permit).await.map_err(|error| self.no_http(&error))?;
        let Some(permit) = connection.admit() else {
            return Err(self.no_http(&"it takes no requests (MAX_CONCURRENT_STREAMS is 0)"));
        };
        Ok(Connection::Http2 { connection, _permit: permit })
    }

    fn no_http(&self, error: &dyn std::fmt::Display) -> LocalResponse {
        LocalResponse::failed(FailureKind::Closed, format!("{} closed the new connection: {error}", self.origin))
    }
}

/// Marks what went wrong with a name, for which the connector's error has no sign of its own.
#[derive(Debug, thiserror::Error)]
#[error("the name can't be resolved: {0}")]
struct Unresolved(std::io::Error);

fn resolving(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Unresolved>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The messages of an error and of all that caused it.
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

/// The system's resolver.
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
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(Unresolved) })
    }
}
