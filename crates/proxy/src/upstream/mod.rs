//! Mews' side: pooled connections to one host.

mod body;
mod bound;
mod connect;
mod corporate;
mod heads;
mod http2;
mod pool;
mod trust;

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{
    HeaderValue, Request, Response, Uri, Version,
    header::{HOST, TRANSFER_ENCODING},
    uri::{PathAndQuery, Scheme},
};
use http_body::Body as _;
use nightaudit_exchange::{Destination, FailureKind};

pub(crate) use self::{
    body::{Body, Error},
    bound::ConnectionBound,
    heads::WireHead,
    pool::Lease,
};
use self::{
    bound::Granted,
    connect::Connector,
    corporate::CorporateProxies,
    pool::{Connection, Pool, SendError},
};
use crate::{Origin, Timeouts, headers, local_response::LocalResponse, request_body::RequestBody};

/// How hosts are reached and trusted.
#[derive(Debug, Clone, Default)]
pub struct UpstreamConfig {
    /// Further certificate authorities to trust beside the system's: a PEM file.
    pub ca: Option<PathBuf>,
    /// The proxy on the way, as companies have them.
    pub proxy: UpstreamProxy,
}

/// The proxy between here and Mews.
#[derive(Debug, Clone, Default)]
pub enum UpstreamProxy {
    /// None, whatever the environment says.
    None,
    /// What `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` (in either case), and `http_proxy` say, as curl reads them.
    #[default]
    Environment,
    /// This one for everything but the hosts in `except` (as in `NO_PROXY`).
    Fixed {
        /// The proxy's address: `http://[user:password@]host:port`, or `socks5` or `socks5h` in place of `http`.
        address: String,
        /// Names, domains and networks that are reached directly, separated by commas.
        except: String,
    },
}

impl UpstreamProxy {
    /// Checks what a [`Proxy`](crate::Proxy) for these hosts would go by.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError::Proxy`] for an address that can't be used, in the configuration or in the environment.
    pub fn check(&self, hosts: [&Origin; 2]) -> Result<(), UpstreamConfigError> {
        CorporateProxies::new(self, hosts, variable).map(drop)
    }
}

/// A variable of the environment. What is no Unicode is read as well as it can be, and then found wrong.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// An [`UpstreamConfig`] that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamConfigError {
    /// The file of certificate authorities can't be read.
    #[error("can't read certificate authorities from {}: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The proxy's address can't be used.
    #[error(
        "{setting}: `{address}` is no address of a proxy: {reason}; write it like http://proxy.example:3128 or \
         socks5h://proxy.example:1080"
    )]
    Proxy {
        /// Where it stands: the key, or the environment's variable.
        setting: String,
        /// What was given, without its user and its password.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The TLS library refuses.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Shared by the hosts: who is trusted, and the proxy on the way.
#[derive(Clone)]
pub(crate) struct Route {
    /// Offers HTTP/2 and HTTP/1.1.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// Offers HTTP/1.1 alone.
    pub(crate) tls_http1: Arc<rustls::ClientConfig>,
    pub(crate) judge: Arc<trust::Judge>,
    pub(crate) proxies: Arc<CorporateProxies>,
    pub(crate) bound: Arc<ConnectionBound>,
}

impl Route {
    /// A route by which at most `connections` are open at once.
    pub(crate) fn new(
        config: &UpstreamConfig,
        hosts: [&Origin; 2],
        connections: usize,
    ) -> Result<Self, UpstreamConfigError> {
        let proxies = Arc::new(CorporateProxies::new(&config.proxy, hosts, variable)?);
        let (tls, judge) = trust::client_config(config.ca.as_deref())?;
        let mut tls_http1 = rustls::ClientConfig::clone(&tls);
        tls_http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (tls_http1, judge) = (Arc::new(tls_http1), Arc::new(judge));
        Ok(Self { tls, tls_http1, judge, proxies, bound: ConnectionBound::new(connections) })
    }
}

/// One host that requests are forwarded to.
pub(crate) struct Upstream {
    origin: Origin,
    connector: Connector,
    pool: Arc<Pool>,
    bound: Arc<ConnectionBound>,
    /// How long a request waits for one of the connections that may be open.
    patience: Duration,
}

/// How many connections are tried before a request is given up that none of them has taken.
const ATTEMPTS: usize = 8;

/// After how many refusals a request is sent on a connection that is opened for it, rather than on one that may be about
/// to be given up by the server.
const SHARED_ATTEMPTS: usize = 3;

impl Upstream {
    pub(crate) fn new(origin: Origin, route: &Route, timeouts: &Timeouts) -> Self {
        let connector = Connector::new(origin.clone(), route.clone(), Arc::clone(&route.tls), timeouts.connect);
        Self::of(origin, connector, route, timeouts)
    }

    /// A host that is spoken to in HTTP/1.1, whatever else it knows: a WebSocket is opened by an upgrade, which HTTP/2
    /// has not (RFC 6455, section 4.1).
    pub(crate) fn for_web_sockets(origin: Origin, route: &Route, timeouts: &Timeouts) -> Self {
        let connector = Connector::new(origin.clone(), route.clone(), Arc::clone(&route.tls_http1), timeouts.connect);
        Self::of(origin, connector, route, timeouts)
    }

    fn of(origin: Origin, connector: Connector, route: &Route, timeouts: &Timeouts) -> Self {
        let bound = Arc::clone(&route.bound);
        let pool = Pool::new(timeouts.upstream_idle, &bound);
        bound.watch(&pool);
        Self { origin, connector, pool, bound, patience: timeouts.connect }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// `handover` is told right before the request is handed to a connection, and may stop it. Where that connection
    /// turns out to have closed before it took anything of the request, or the server says that it has not processed it
    /// (RFC 9113, section 8.7), another is used and `handover` told again. Once anything else may have happened, the
    /// request is never sent a second time.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        handover: &mut impl Handover,
    ) -> Result<(Response<Body>, Lease), LocalResponse> {
        let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let came_by_http2 = request.version() == Version::HTTP_2;
        let (mut refusals, mut last) = (0, String::new());
        for _ in 0..ATTEMPTS {
            let pooled = if refusals < SHARED_ATTEMPTS { self.pool.take().await } else { None };
            let mut connection = match pooled {
                Some(connection) => connection,
                // Boxed: it is large and rare, and what a request's future holds is moved when each request begins.
                None => Box::pin(self.connect(refusals >= SHARED_ATTEMPTS)).await?,
            };
            self.address(&mut request, &target, connection.is_http2(), came_by_http2);
            handover.now(Arc::clone(connection.destination())).await?;
            match connection.send(request).await {
                Ok(response) if !connection.is_http2() && response.extensions().get::<WireHead>().is_none() => {
                    // hyper's own bound is where it stops reading, which may be later.
                    let message = format!("Mews' response has a head of more than {} KiB", heads::LONGEST >> 10);
                    return Err(LocalResponse::failed(FailureKind::InvalidResponse, message));
                }
                Ok(response) => return Ok((response, Lease::new(connection, &self.pool))),
                Err(SendError::Unprocessed { request: Some(unsent), refused, reason }) => {
                    tracing::debug!(%reason, "Mews has not processed a request, which is sent again");
                    handover.undone().await?;
                    refusals += usize::from(refused);
                    (request, last) = (*unsent, reason);
                }
                Err(SendError::Unprocessed { request: None, reason, .. }) => {
                    let message = format!(
                        "Mews refused the request unprocessed ({reason}), and too much of its body has passed to send it again"
                    );
                    return Err(LocalResponse::failed(FailureKind::Closed, message));
                }
                Err(SendError::Failed(error)) => return Err(stopped(&error)),
            }
        }
        let message = format!("Mews took the request on none of {ATTEMPTS} connections, the last time because: {last}");
        Err(LocalResponse::failed(FailureKind::Closed, message))
    }

    /// Whether a connection can be had: opens one, sends nothing on it, and gives it up.
    pub(crate) async fn probe(&self) -> Result<(), LocalResponse> {
        match self.bound.take(&self.pool, self.patience).await? {
            Granted::Permit(permit) => self.connector.connect(self.pool.window(), permit).await.map(drop),
            // One that is open already.
            Granted::Connection(_) => Ok(()),
        }
    }

    /// A connection with room for a request; a new one, where it is to be `fresh`.
    async fn connect(&self, fresh: bool) -> Result<Connection, LocalResponse> {
        let permit = match self.bound.take(&self.pool, self.patience).await? {
            Granted::Permit(permit) => permit,
            Granted::Connection(connection) => return Ok(connection),
        };
        // Where Mews speaks HTTP/2, a connection serves many: others wait for it rather than open their own.
        let _turn = if fresh { None } else { self.pool.turn().await };
        if !fresh && let Some(connection) = self.pool.take().await {
            return Ok(connection);
        }
        let connection = self.connector.connect(self.pool.window(), permit).await?;
        self.pool.opened(&connection);
        Ok(connection)
    }

    /// Writes the target in the form of the connection's protocol; path and query stay as they came.
    fn address(&self, request: &mut Request<RequestBody>, target: &PathAndQuery, http2: bool, came_by_http2: bool) {
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(target.clone());
        if http2 {
            parts.scheme = Some(if self.origin.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(self.origin.authority().clone());
            // `:authority` says it, and a list of chunks has no meaning in HTTP/2.
            headers::without(request.headers_mut(), |name| *name == HOST || *name == TRANSFER_ENCODING);
            *request.version_mut() = Version::HTTP_2;
        } else {
            if came_by_http2 {
                headers::join_cookies(request.headers_mut());
            }
            let host = self.origin.host_header().clone();
            request.headers_mut().entry(HOST).or_insert(host);
            if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
                // By its own choice hyper sends no such body with a GET or a HEAD (RFC 9112, section 6.3).
                let chunked = HeaderValue::from_static("chunked");
                request.headers_mut().entry(TRANSFER_ENCODING).or_insert(chunked);
            }
            *request.version_mut() = Version::HTTP_11;
        }
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// Is told what happens to a request on its way to a connection, and may stop it. Its answers may come later.
pub(crate) trait Handover: Send {
    /// The request is handed to a connection to `destination` as soon as this is ready.
    fn now(&mut self, destination: Arc<Destination>) -> impl Future<Output = Result<(), LocalResponse>> + Send;

    /// The connection had closed, and has taken nothing of the request.
    fn undone(&mut self) -> impl Future<Output = Result<(), LocalResponse>> + Send;
}

fn stopped(error: &Error) -> LocalResponse {
    let reason = error.reason();
    if error.is_invalid() {
        LocalResponse::failed(FailureKind::InvalidResponse, format!("Mews' answer is not HTTP: {reason}"))
    } else {
        LocalResponse::failed(FailureKind::Closed, format!("Mews closed the connection before it answered: {reason}"))
    }
}
