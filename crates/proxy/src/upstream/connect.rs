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
    client::{
        legacy::connect::{
            HttpConnector,
            dns::{GaiAddrs, GaiResolver, Name},
            proxy::Tunnel,
        },
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use nightaudit_exchange::{Destination, FailureKind, Tls};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{
    Route, UpstreamConfigError, UpstreamProxy,
    heads::{LONGEST, Listening},
    http2::{Http2, Window},
    pool::Connection,
};
use crate::{Origin, reply::Stop};

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

    /// Opens a connection; one of HTTP/2 has these windows.
    pub(super) async fn connect(&self, window: Window) -> Result<Connection, Stop> {
        tokio::time::timeout(self.patience, self.open(window)).await.unwrap_or_else(|_| {
            let message = format!("no connection to {} within {:?}", self.origin, self.patience);
            Err(Stop::failed(FailureKind::ConnectTimeout, message))
        })
    }

    async fn open(&self, window: Window) -> Result<Connection, Stop> {
        let (stream, proxy) = self.tcp().await?;
        let destination =
            Destination { address: (&**self.origin.text()).into(), remote: stream.peer_addr().ok(), tls: None, proxy };
        if !self.origin.is_tls() {
            return self.http1(stream, destination).await;
        }
        let tls_failed = |error: &dyn ToString| {
            let message = format!("no TLS session with {}: {}", self.origin, error.to_string());
            Stop::failed(FailureKind::Tls, message)
        };
        let host = self.origin.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| tls_failed(&error))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| tls_failed(&error))?;
        let session = stream.get_ref().1;
        let authority = self.route.judge.authority(session.peer_certificates().unwrap_or_default(), &name);
        let destination = Destination { tls: Some(Tls { server_name: host.into(), authority }), ..destination };
        if session.alpn_protocol() == Some(b"h2") {
            self.http2(stream, destination, window).await
        } else {
            self.http1(stream, destination).await
        }
    }

    /// A TCP connection, and the proxy that it leads through.
    async fn tcp(&self) -> Result<(TcpStream, Option<CompactString>), Stop> {
        let uri = self.origin.uri().map_err(|error| Stop::failed(FailureKind::Connect, error.to_string()))?;
        let mut tcp = self.tcp.clone();
        let Some(proxy) = self.route.proxy.intercept(&uri) else {
            return match tcp.call(uri).await {
                Ok(stream) => Ok((stream.into_inner(), None)),
                Err(error) => {
                    let kind = if resolving(&error) { FailureKind::Resolve } else { FailureKind::Connect };
                    Err(Stop::failed(kind, format!("can't connect to {}: {}", self.origin, chain(&error))))
                }
            };
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let via = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
        let stream = tunnel.call(self.tunnelled(uri)).await.map_err(|error| {
            let message = format!("the proxy {via} gives no way to {}: {}", self.origin, chain(&error));
            Stop::failed(FailureKind::UpstreamProxy, message)
        })?;
        // What stands before an `@` are credentials.
        let named = via.rsplit('@').next().unwrap_or_default().into();
        Ok((stream.into_inner(), Some(named)))
    }

    /// A tunnel is asked for with the port in any case.
    fn tunnelled(&self, uri: http::Uri) -> http::Uri {
        let mut parts = uri.clone().into_parts();
        parts.authority = format!("{}:{}", self.origin.host(), self.origin.port()).parse().ok();
        http::Uri::from_parts(parts).unwrap_or(uri)
    }

    async fn http1<T>(&self, stream: T, destination: Destination) -> Result<Connection, Stop>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, heads) = Listening::new(stream);
        let (sender, connection) = conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(LONGEST)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.no_http(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "HTTP/1 connection to Mews ended");
            }
        });
        Ok(Connection::Http1(sender, heads, Arc::new(destination)))
    }

    async fn http2<T>(&self, stream: T, destination: Destination, window: Window) -> Result<Connection, Stop>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection =
            Http2::open(stream, Arc::new(destination), window).await.map_err(|error| self.no_http(&error))?;
        let Some(permit) = connection.admit() else {
            return Err(self.no_http(&"it takes no requests (MAX_CONCURRENT_STREAMS is 0)"));
        };
        Ok(Connection::Http2 { connection, _permit: permit })
    }

    fn no_http(&self, error: &dyn std::fmt::Display) -> Stop {
        Stop::failed(FailureKind::Closed, format!("{} closed the new connection: {error}", self.origin))
    }
}

/// Which proxy is used for which host.
pub(super) fn matcher(proxy: &UpstreamProxy) -> Result<Matcher, UpstreamConfigError> {
    match proxy {
        UpstreamProxy::None => Ok(Matcher::builder().build()),
        UpstreamProxy::Environment => Ok(Matcher::from_env()),
        UpstreamProxy::Fixed { address, except } => {
            let unusable = || UpstreamConfigError::Proxy { address: address.clone() };
            let uri: http::Uri = address.parse().map_err(|_| unusable())?;
            // A session of TLS with the proxy itself is nothing that companies have.
            if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
                return Err(unusable());
            }
            Ok(Matcher::builder().all(address.clone()).no(except.clone()).build())
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_used_but_for_the_exceptions() {
        let fixed =
            UpstreamProxy::Fixed { address: "http://p.example:3128".into(), except: "localhost,.internal".into() };
        let matcher = matcher(&fixed).unwrap();
        let via = |uri: &str| matcher.intercept(&uri.parse().unwrap()).map(|proxy| proxy.uri().to_string());
        assert_eq!(via("https://api.mews-demo.com/").as_deref(), Some("http://p.example:3128/"));
        assert_eq!(via("https://api.internal/"), None);
    }

    #[test]
    fn what_is_no_proxy_is_named() {
        for address in ["p.example", "https://p.example", "socks5://p.example", ""] {
            let fixed = UpstreamProxy::Fixed { address: address.into(), except: String::new() };
            let error = matcher(&fixed).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("`{address}`")), "{error}");
        }
    }
}
