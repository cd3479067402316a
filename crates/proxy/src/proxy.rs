//! The life of a request.

mod admit;
mod faults;
mod recount;
mod request_head;
mod request_target;
mod response;
mod sender;
mod shared;
mod web_socket;

use std::{
    fmt,
    future::Future,
    mem,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
    request::Parts,
};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use nightaudit_exchange::{Api, ExchangeId, Failure, FailureKind, Head, Outcome};
use nightaudit_fault::Plan;
use nightaudit_limit::{Admit, Limiter, Permit};
use nightaudit_listen::{Handler, Refusal, RefusalKind, RequestContext};

pub(crate) use self::sender::captured;
use self::{
    request_target::{authority, with_path},
    sender::RecentTokens,
    shared::Shared,
};
use crate::{
    Origin, ProxyConfig, UpstreamConfig, UpstreamConfigError,
    admission::{self, SendNotes},
    body_prefix::BodyPrefix,
    headers::{self, Hop},
    late_permit::LatePermit,
    local_response::LocalResponse,
    pending::PendingExchange,
    recorder::Recorder,
    request_body::{RequestBody, Upload},
    response_body::ProxyBody,
    response_head::{Framing, ProxyAddress, switches_to_web_socket},
    upstream::{Body, Lease, Route, Upstream},
};

/// Forwards requests to the hosts of one environment, within its limits, and records each.
///
/// `R` records the exchanges, `A` enforces the limits.
pub struct Proxy<R, A = Limiter> {
    shared: Arc<Shared<A>>,
    recorder: Arc<R>,
    api: Upstream,
    events: Upstream,
    recent_tokens: RecentTokens,
}

/// A host that can't be reached; see [`Proxy::probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Scheme and authority, such as `https://api.mews-demo.com`.
    pub host: Arc<str>,
    /// Why.
    pub cause: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: requests fail until {} can be reached", self.cause, self.host)
    }
}

/// An extension of requests that send a recorded one again. Only this process can set it: no header does.
#[derive(Debug, Clone)]
pub struct SentAgain {
    /// The exchange that the request was recorded in.
    pub of: ExchangeId,
    /// Receives the id of the new exchange.
    pub id: Arc<OnceLock<ExchangeId>>,
}

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// Creates a proxy for the hosts in `config`. Opens no connection, so they need not be reachable.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError`] if the certificate authorities can't be read or the corporate proxy is invalid.
    pub fn new(
        config: ProxyConfig,
        upstream: &UpstreamConfig,
        limiter: A,
        recorder: R,
    ) -> Result<Self, UpstreamConfigError> {
        let hosts = [&config.api, &config.events];
        let route = Route::new(upstream, hosts, config.max_upstream_connections, config.description)?;
        Ok(Self::of(Shared::new(config, route, limiter), Arc::new(recorder)))
    }

    /// Creates a proxy for the hosts in `config`, with this one's limiter, recorder and certificate authorities; those in
    /// `upstream` are not read.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError`] if the corporate proxy is invalid.
    pub fn for_hosts(&self, config: ProxyConfig, upstream: &UpstreamConfig) -> Result<Self, UpstreamConfigError>
    where
        A: Clone,
    {
        let hosts = [&config.api, &config.events];
        let route = self.shared.route.to(upstream, hosts, config.max_upstream_connections)?;
        let shared = Shared::new(config, route, self.shared.limiter.clone());
        Ok(Self::of(shared, Arc::clone(&self.recorder)))
    }

    /// Creates a proxy that shares everything but its upstream connections and `recorder`. Use one per runtime: a
    /// connection is driven by the runtime that opened it, and a request on another would wake that one at every step.
    #[must_use]
    pub fn sibling(&self, recorder: R) -> Self {
        Self::of(Arc::clone(&self.shared), Arc::new(recorder))
    }

    /// What is particular to the API.
    fn api(&self) -> &'static Api {
        self.shared.config.description
    }

    fn of(shared: Arc<Shared<A>>, recorder: Arc<R>) -> Self {
        let (config, route) = (&shared.config, &shared.route);
        Self {
            api: Upstream::new(config.api.clone(), route, &config.timeouts),
            events: Upstream::for_web_sockets(config.events.clone(), route, &config.timeouts),
            shared,
            recorder,
            recent_tokens: RecentTokens::default(),
        }
    }

    /// Returns each host with its corporate proxy, if any.
    pub fn routes(&self) -> impl Iterator<Item = (&Origin, Option<String>)> {
        let hosts = [&self.shared.config.api, &self.shared.config.events];
        hosts.into_iter().map(|host| (host, self.shared.route.proxies.for_host(host).map(ToString::to_string)))
    }

    /// Opens and drops a connection to each host, including TLS, without sending a request. Returns the hosts that can't be
    /// reached.
    pub async fn probe(&self) -> Vec<Unreachable> {
        let mut problems = Vec::new();
        let hosts =
            [Some(&self.api), Some(&self.events).filter(|events| events.origin().text() != self.api.origin().text())];
        for host in hosts.into_iter().flatten() {
            if let Err(LocalResponse::Failed(failure)) = host.probe().await {
                problems.push(Unreachable { host: host.origin().text().clone(), cause: failure.message });
            }
        }
        problems
    }

    /// Closes all WebSockets, including those of siblings, and waits until each is recorded. Call it once the server
    /// has drained, which WebSockets don't delay, since they never time out.
    pub async fn close_tunnels(&self) {
        self.shared.closing.cancel();
        self.shared.tunnels.close();
        self.shared.tunnels.wait().await;
    }

    /// Forwards a request, whose head it takes, and waits for the response head.
    async fn forward(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        peer: SocketAddr,
        opens_web_socket: bool,
        parts: &mut Parts,
        body: Incoming,
    ) -> Result<Forwarded, LocalResponse> {
        self.check_destination(parts)?;
        let admitted = self.admit(pending, peer, parts, body).await?;
        self.exchange(admitted, pending, opens_web_socket, parts).await
    }

    /// Sends an admitted request, and waits for the response head.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has its arguments twice in its future")]
    fn exchange(
        &self,
        mut admitted: Admitted<A::Permit>,
        pending: &mut PendingExchange<R::Permit>,
        opens_web_socket: bool,
        parts: &mut Parts,
    ) -> impl Future<Output = Result<Forwarded, LocalResponse>> {
        async move {
            let host = self.host(opens_web_socket);
            let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| opens_web_socket);
            let method = parts.method.clone();
            let sent = {
                let upload = admitted.upload.as_deref();
                // Pinned here rather than moved, which would make the future hold it twice.
                let response = pin!({
                    let hop = if upgrade.is_some() { Hop::WebSocket } else { Hop::EndToEnd };
                    let original = pending.capture().and_then(|capture| match &capture.request.head {
                        Head::Wire(head) => Some(head.clone()),
                        Head::Parsed(_) => None,
                    });
                    let request = outgoing(parts, admitted.prefix, admitted.upload.clone(), host, hop);
                    let late = admitted.late.as_deref();
                    host.send(request, original, SendNotes { pending, permit: &mut admitted.permit, late })
                });
                within(response, self.shared.config.timeouts.response_head, upload, self.api()).await
            };
            if let Some(upload) = &admitted.upload {
                upload.discard_replay();
            }
            // If the client's body failed, that is the cause, whatever the upstream error.
            let (mut response, mut lease) = match admitted.upload.and_then(|upload| upload.failed()) {
                Some(broken) if sent.is_err() => return Err(broken),
                _ => sent?,
            };
            // It says something of the sender that Mews knows.
            let permit = admitted.late.and_then(|late| late.take()).unwrap_or(admitted.permit);
            permit.responded(admission::limit_signal(response.status(), response.headers())).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && (upgrade.is_none() || !switches_to_web_socket(&response))
            {
                let to = response.headers().get(UPGRADE).map_or_else(|| "nothing".into(), |to| format!("{to:?}"));
                let message = format!(
                    "{} switched protocols (101, to {to}) although the request did not ask for it",
                    self.api().name
                );
                return Err(LocalResponse::failed(FailureKind::InvalidResponse, message));
            }
            let framing = Framing::of(&mut response, &method, self.api())?;
            let is_error = response.status().as_u16() >= 400;
            if framing.ambiguous || (is_error && pending.sent_length() > SURELY_READ) {
                lease.poison();
            }
            Ok(Forwarded { response, framing, lease, upgrade, plan: admitted.plan })
        }
    }

    /// Returns the host that a request is forwarded to.
    fn host(&self, opens_web_socket: bool) -> &Upstream {
        if opens_web_socket { &self.events } else { &self.api }
    }

    /// Refuses requests whose target names another host, as if this were an open proxy. `Host` may be anything.
    fn check_destination(&self, parts: &Parts) -> Result<(), LocalResponse> {
        if parts.method == Method::CONNECT {
            return Err(LocalResponse::failed(
                FailureKind::Method,
                "CONNECT is not supported: nightaudit is not an open proxy",
            ));
        }
        // In HTTP/2 every request has an authority, equivalent to `Host`.
        let Some(authority) = parts.uri.authority().filter(|_| parts.version < Version::HTTP_2) else {
            return Ok(());
        };
        let own = authority.host().eq_ignore_ascii_case("localhost")
            || authority.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if own || [&self.api, &self.events].iter().any(|host| host.origin().matches_authority(authority)) {
            return Ok(());
        }
        // Without userinfo, which may contain a password.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let message = format!(
            "requests for {host} are not forwarded, only those for {} and {}",
            self.shared.config.api, self.shared.config.events
        );
        Err(LocalResponse::failed(FailureKind::Misdirected, message))
    }
}

impl<R: Recorder, A: Admit> Handler for Proxy<R, A> {
    type Body = ProxyBody<R::Permit>;

    #[expect(clippy::manual_async_fn, reason = "an `async fn` has its arguments twice in its future")]
    fn handle(
        &self,
        mut context: RequestContext,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send {
        async move {
            let shares = &self.shared.shares;
            let share = shares.acquire(context.peer).await;
            let permit = match shares.count_waiting(self.recorder.reserve()).await {
                Ok(permit) => permit,
                Err(failure) => {
                    return LocalResponse::failed(FailureKind::Store, failure.cause)
                        .response(self.api())
                        .map(ProxyBody::whole);
                }
            };
            let (mut parts, body) = request.into_parts();
            if let Some(uri) = with_path(&parts.method, &parts.uri, context.wire.as_deref()) {
                parts.uri = uri;
            }
            if let Some(hook) = &self.shared.config.webhook {
                match hook.rewrite(&parts.uri) {
                    Some(uri) => parts.uri = uri,
                    None => {
                        context.refusal.get_or_insert_with(|| Refusal {
                            kind: RefusalKind::TooLarge,
                            message: "the target is too long to be forwarded".to_owned(),
                            wire: Bytes::new(),
                        });
                    }
                }
            }
            let opens_web_socket = context.opens_web_socket;
            let host = self.host(opens_web_socket);
            let mut pending = self.pending((permit, share), &mut context, &parts, host);
            if let Some(SentAgain { of, id }) = parts.extensions.remove() {
                pending.note(|capture| {
                    capture.resent_from = Some(of);
                    let _ = id.set(capture.id);
                });
            }
            let version = parts.version;
            if let Some(refusal) = context.refusal {
                return self
                    .respond_locally(
                        pending,
                        version,
                        LocalResponse::failed(failure_kind(refusal.kind), refusal.message),
                    )
                    .await;
            }
            let proxy_address = ProxyAddress { tls: context.tls, host: authority(&parts) };
            let forwarded = if opens_web_socket && self.shared.tunnels.len() >= self.shared.config.max_tunnels {
                let message = format!(
                    "{} WebSockets are already open, the maximum (`max_websockets`)",
                    self.shared.tunnels.len()
                );
                Err(LocalResponse::failed(FailureKind::Overloaded, message))
            } else {
                self.forward(&mut pending, context.peer, opens_web_socket, &mut parts, body).await
            };
            let mut response = match forwarded {
                Ok(forwarded) => self.relay(pending, version, host.origin(), &proxy_address, forwarded).await,
                Err(local_response) => self.respond_locally(pending, version, local_response).await,
            };
            if opens_web_socket && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // The guard passes everything after such a request, so the connection can't be reused.
                response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
            }
            response
        }
    }

    async fn refused(&self, mut context: RequestContext) {
        let shares = &self.shared.shares;
        let share = shares.acquire(context.peer).await;
        let permit = match shares.count_waiting(self.recorder.reserve()).await {
            Ok(permit) => permit,
            Err(failure) => return tracing::warn!(%failure, "a refused request could not be recorded"),
        };
        let Some(refusal) = context.refusal.take() else { return };
        let mut parts = Request::new(()).into_parts().0;
        parts.version = Version::HTTP_2;
        let mut pending = self.pending((permit, share), &mut context, &parts, &self.api);
        // The HTTP/2 library did not expose its head.
        pending.note(|capture| capture.request.target = Bytes::new());
        let failure = Failure { kind: failure_kind(refusal.kind), message: refusal.message };
        drop(pending.finish(Outcome::Rejected, Some(failure)));
    }

    fn is_crowded(&self) -> bool {
        self.shared.shares.is_crowded()
    }
}

/// A request that the limits admit.
struct Admitted<L: Permit> {
    prefix: BodyPrefix,
    /// The rest of its body, unless the prefix is all of it.
    upload: Option<Arc<Upload>>,
    permit: L,
    /// Where the permit will be that the rest of the body may need.
    late: Option<Arc<LatePermit<L>>>,
    /// The faults to inject, if any.
    plan: Option<Box<Plan>>,
}

/// The response to a forwarded request.
struct Forwarded {
    response: Response<Body>,
    framing: Framing,
    lease: Lease,
    /// The client's side of the connection, if the request opens a WebSocket.
    upgrade: Option<OnUpgrade>,
    /// The faults to inject into the response.
    plan: Option<Box<Plan>>,
}

/// Of a longer request than this, in bytes, Mews may have read no more than the head before it responded with an error. The
/// rest is then in the queue of the socket, which doesn't tell, and the next request would wait behind it.
const SURELY_READ: u64 = 64 << 10;

/// The request as it is sent, of the head that is taken from `parts`.
fn outgoing(
    parts: &mut Parts,
    prefix: BodyPrefix,
    upload: Option<Arc<Upload>>,
    host: &Upstream,
    hop: Hop,
) -> Request<RequestBody> {
    let chunked = prefix.is_chunked();
    let mut request = Request::new(prefix.into_body(upload));
    *request.version_mut() = parts.version;
    *request.method_mut() = mem::take(&mut parts.method);
    *request.uri_mut() = mem::take(&mut parts.uri);
    *request.headers_mut() =
        headers::forwarded(mem::take(&mut parts.headers), host.origin().host_header(), hop, chunked);
    request
}

/// Waits for a response, with a timeout that starts at the end of the request.
async fn within<T>(
    mut response: Pin<&mut impl Future<Output = Result<T, LocalResponse>>>,
    timeout: std::time::Duration,
    upload: Option<&Upload>,
    api: &Api,
) -> Result<T, LocalResponse> {
    let mut deadline = tokio::time::Instant::now() + timeout;
    loop {
        if let Ok(response) = tokio::time::timeout_at(deadline, response.as_mut()).await {
            return response;
        }
        match upload.map(|upload| upload.last() + timeout) {
            Some(later) if later > deadline => deadline = later,
            _ => {
                let message = format!("{} sent no response within {timeout:?}", api.name);
                return Err(LocalResponse::failed(FailureKind::ResponseTimeout, message));
            }
        }
    }
}

fn failure_kind(refusal: RefusalKind) -> FailureKind {
    match refusal {
        RefusalKind::Malformed => FailureKind::Malformed,
        RefusalKind::Framing => FailureKind::Framing,
        RefusalKind::TooLarge => FailureKind::HeadTooLarge,
        RefusalKind::Timeout => FailureKind::RequestTimeout,
        RefusalKind::Connect => FailureKind::Method,
        RefusalKind::TooMany => FailureKind::Overloaded,
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Capture;

    use super::*;

    struct Nowhere;

    impl Recorder for Nowhere {
        type Permit = Self;

        async fn reserve(&self) -> Result<Self, crate::Unrecordable> {
            Ok(Self)
        }
    }

    impl crate::RecordPermit for Nowhere {
        type Receipt = std::future::Ready<()>;

        fn begin(&mut self, _: &Capture) -> Result<(), crate::Unrecordable> {
            Ok(())
        }

        fn redact<'a>(&self, text: &'a [u8], _: &[&str]) -> std::borrow::Cow<'a, [u8]> {
            text.into()
        }

        fn record(self, _: Box<Capture>) -> Self::Receipt {
            std::future::ready(())
        }
    }

    #[test]
    fn regression_the_future_of_a_request_took_twenty_kilobytes() {
        fn size<'a, F>(_: fn(&'a Proxy<Nowhere>, RequestContext, Request<Incoming>) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(|proxy, context, request| proxy.handle(context, request));
        assert!(size < 5 << 10, "the future of a request takes {size} bytes");
    }
}
