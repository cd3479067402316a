//! The upstream side: pooled connections to one host.

mod body;
mod bound;
mod config;
mod connect;
mod corporate;
mod heads;
mod http2;
mod pool;
mod route;
mod send_error;
mod spelling;
mod trust;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri, Version,
    header::{HOST, TRANSFER_ENCODING},
    uri::{PathAndQuery, Scheme},
};
use http_body::Body as _;
use nightaudit_exchange::{Api, Destination, FailureKind};

pub use self::config::{UpstreamConfig, UpstreamConfigError, UpstreamProxy};
pub(crate) use self::{
    body::{Body, Error},
    pool::Lease,
    route::Route,
};
use self::{
    bound::{ConnectionLimit, Granted},
    connect::Connector,
    pool::{Connection, Pool},
    send_error::SendError,
};
use crate::{Origin, Timeouts, headers, local_response::LocalResponse, request_body::RequestBody};

/// A host that requests are forwarded to.
pub(crate) struct Upstream {
    api: &'static Api,
    origin: Origin,
    connector: Connector,
    pool: Arc<Pool>,
    limit: Arc<ConnectionLimit>,
    /// How long a request waits for a connection slot.
    timeout: Duration,
}

/// Attempts before a request fails that no connection has accepted.
const ATTEMPTS: usize = 8;

/// Refusals after which a request gets a new connection, rather than a pooled one that the server may be about to
/// close.
const SHARED_ATTEMPTS: usize = 3;

impl Upstream {
    pub(crate) fn new(origin: Origin, route: &Route, timeouts: &Timeouts) -> Self {
        let connector = Connector::new(origin.clone(), route.clone(), Arc::clone(&route.tls), timeouts.connect);
        Self::of(origin, connector, route, timeouts)
    }

    /// Creates an upstream that only uses HTTP/1.1, since WebSockets are opened by an upgrade, which HTTP/2 lacks (RFC
    /// 6455, section 4.1).
    pub(crate) fn for_web_sockets(origin: Origin, route: &Route, timeouts: &Timeouts) -> Self {
        let connector = Connector::new(origin.clone(), route.clone(), Arc::clone(&route.tls_http1), timeouts.connect);
        Self::of(origin, connector, route, timeouts)
    }

    fn of(origin: Origin, connector: Connector, route: &Route, timeouts: &Timeouts) -> Self {
        let limit = Arc::clone(&route.limit);
        let pool = Pool::new(timeouts.upstream_idle, limit.waiting());
        limit.register(&pool);
        Self { api: route.api, origin, connector, pool, limit, timeout: timeouts.connect }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends a request and waits for the response head.
    ///
    /// `original` is the head as the client sent it over HTTP/1, whose spelling of header names is kept.
    ///
    /// `observer` is notified right before the request is passed to a connection, and may prevent it. If the connection
    /// turns out to have closed before it sent any of the request, or the server says that it has not processed it (RFC
    /// 9113, section 8.7), the request is retried on another one and `observer` notified again. In all other cases, the
    /// request is never retried.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has its arguments twice in its future")]
    pub(crate) fn send<'a>(
        &'a self,
        mut request: Request<RequestBody>,
        original: Option<Bytes>,
        mut observer: impl SendObserver + 'a,
    ) -> impl Future<Output = Result<(Response<Body>, Lease), LocalResponse>> {
        async move {
            let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
            let came_by_http2 = request.version() == Version::HTTP_2;
            let (mut refusals, mut last) = (0, String::new());
            for _ in 0..ATTEMPTS {
                let pooled = if refusals < SHARED_ATTEMPTS { self.pool.take().await } else { None };
                let mut connection = match pooled {
                    Some(connection) => connection,
                    // Boxed: it is large and rare, and the future of every request is moved when it starts.
                    None => Box::pin(self.connect(refusals >= SHARED_ATTEMPTS)).await?,
                };
                self.adapt(&mut request, &target, connection.is_http2(), came_by_http2);
                observer.sending(Arc::clone(connection.destination())).await?;
                match connection.send(request, original.as_ref()).await {
                    Ok(_) if !connection.has_captured() => {
                        // hyper only checks its limit when it needs to read more.
                        let message = format!(
                            "the headers of {} response exceed {} KiB",
                            self.api.possessive,
                            heads::MAX_HEAD >> 10
                        );
                        return Err(LocalResponse::failed(FailureKind::InvalidResponse, message));
                    }
                    Ok(response) => return Ok((response, Lease::new(connection, &self.pool))),
                    Err(SendError::Unprocessed { request: Some(unsent), refused, reason }) => {
                        tracing::debug!(%reason, "a request was not processed; retrying");
                        observer.not_sent().await?;
                        refusals += usize::from(refused);
                        (request, last) = (*unsent, reason);
                    }
                    Err(SendError::Unprocessed { request: None, reason, .. }) => {
                        let message = format!(
                            "{} refused the request unprocessed ({reason}), and too much of its body was sent to retry",
                            self.api.name
                        );
                        return Err(LocalResponse::failed(FailureKind::Closed, message));
                    }
                    Err(SendError::Failed(error)) => return Err(response_failed(&error, self.api)),
                }
            }
            let name = self.api.name;
            let message = format!("{name} accepted the request on none of {ATTEMPTS} connections; last error: {last}");
            Err(LocalResponse::failed(FailureKind::Closed, message))
        }
    }

    /// Opens and drops a connection, without sending a request.
    pub(crate) async fn probe(&self) -> Result<(), LocalResponse> {
        match self.limit.take(&self.pool, self.timeout).await? {
            Granted::Permit(permit) => self.connector.connect(self.pool.window(), permit).await.map(drop),
            // An open one.
            Granted::Connection(_) => Ok(()),
        }
    }

    /// Returns a connection with capacity for a request; a new one if `fresh`.
    async fn connect(&self, fresh: bool) -> Result<Connection, LocalResponse> {
        let permit = match self.limit.take(&self.pool, self.timeout).await? {
            Granted::Permit(permit) => permit,
            Granted::Connection(connection) => return Ok(connection),
        };
        // With HTTP/2, requests wait for a connection being opened rather than open their own.
        let _turn = if fresh { None } else { self.pool.connect_turn().await };
        if !fresh && let Some(connection) = self.pool.take().await {
            return Ok(connection);
        }
        let connection = self.connector.connect(self.pool.window(), permit).await?;
        self.pool.opened(&connection);
        Ok(connection)
    }

    /// Adapts target and headers to the protocol of the connection; path and query are unchanged.
    fn adapt(&self, request: &mut Request<RequestBody>, target: &PathAndQuery, http2: bool, came_by_http2: bool) {
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(target.clone());
        if http2 {
            parts.scheme = Some(if self.origin.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(self.origin.authority().clone());
            // HTTP/2 has `:authority`, and no chunked coding.
            headers::remove_headers(request.headers_mut(), |name| *name == HOST || *name == TRANSFER_ENCODING);
            *request.version_mut() = Version::HTTP_2;
        } else {
            if came_by_http2 {
                headers::join_cookies(request.headers_mut());
            }
            let host = self.origin.host_header().clone();
            request.headers_mut().entry(HOST).or_insert(host);
            if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
                // Without it hyper sends no such body with GET or HEAD (RFC 9112, section 6.3).
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

/// Observes the sending of a request, and may prevent it.
pub(crate) trait SendObserver: Send {
    /// Called before the request is passed to a connection to `destination`, which happens once this resolves.
    fn sending(&mut self, destination: Arc<Destination>) -> impl Future<Output = Result<(), LocalResponse>> + Send;

    /// Called when the request was not processed after all.
    fn not_sent(&mut self) -> impl Future<Output = Result<(), LocalResponse>> + Send;
}

fn response_failed(error: &Error, api: &Api) -> LocalResponse {
    let Api { name, possessive: whose, .. } = api;
    let reason = error.reason();
    if error.is_invalid() {
        LocalResponse::failed(FailureKind::InvalidResponse, format!("{whose} response is not valid HTTP: {reason}"))
    } else {
        LocalResponse::failed(
            FailureKind::Closed,
            format!("{name} closed the connection before it responded: {reason}"),
        )
    }
}
