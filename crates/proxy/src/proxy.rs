//! The way of a request.

mod request_head;
mod response;
mod sender;
mod web_socket;

use std::{
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
    request::Parts,
};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use nightaudit_exchange::{Failure, FailureKind, Outcome, as_utf8};
use nightaudit_limit::{Admit, Limiter, Permit as _};
use nightaudit_listen::{Handler, RefusalKind, RequestContext};
use nightaudit_mews::{envelope, operation_of};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::sender::captured;
use self::{
    request_head::{authority, with_path},
    sender::Sender,
    web_socket::switches,
};
use crate::{
    Origin, ProxyConfig, UpstreamConfig, UpstreamConfigError,
    admission::{self, Sends},
    body_recorder::BodyRecorder,
    budget::{self, Budget},
    headers::{self, Hop},
    ids::Ids,
    local_response::LocalResponse,
    pace::Pace,
    pending::PendingExchange,
    recorder::Recorder,
    request_body::{BodyPrefix, Upload},
    response_body::ProxyBody,
    response_head::{Addressed, Framing},
    shares::Shares,
    upstream::{Body, Lease, Route, Upstream},
};

/// Forwards requests to the hosts of one environment, inside its limits, and has each recorded.
///
/// `R` keeps the exchanges, and `A` the limits.
pub struct Proxy<R, A = Limiter> {
    shared: Arc<Shared<A>>,
    recorder: Arc<R>,
    api: Upstream,
    events: Upstream,
}

/// What a proxy has in common with its [`sibling`](Proxy::sibling)s.
struct Shared<A> {
    config: ProxyConfig,
    route: Route,
    limiter: A,
    ids: Arc<Ids>,
    tunnels: TaskTracker,
    closing: CancellationToken,
    budget: Arc<Budget>,
    request_budget: Arc<Budget>,
    shares: Arc<Shares>,
}

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// A proxy for the hosts in `config`. Nothing is connected yet, so it makes no difference whether they can be
    /// reached.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError`] where the certificate authorities can't be read or the proxy on the way is none.
    pub fn new(
        config: ProxyConfig,
        upstream: &UpstreamConfig,
        limiter: A,
        recorder: R,
    ) -> Result<Self, UpstreamConfigError> {
        let budget = Budget::new(config.keep_total.max(budget::LEAST));
        let shared = Shared {
            request_budget: budget.half(),
            budget,
            shares: Shares::new(config.queue),
            route: Route::new(upstream, [&config.api, &config.events], config.max_upstream_connections)?,
            limiter,
            ids: Arc::new(Ids::new()),
            config,
            tunnels: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        Ok(Self::of(Arc::new(shared), recorder))
    }

    /// The same proxy with connections of its own to Mews: one for each runtime that serves, since a connection is
    /// driven by the runtime that opened it, and a request that borrows it from another would wake that for every step.
    /// `recorder` keeps its exchanges.
    #[must_use]
    pub fn sibling(&self, recorder: R) -> Self {
        Self::of(Arc::clone(&self.shared), recorder)
    }

    fn of(shared: Arc<Shared<A>>, recorder: R) -> Self {
        let (config, route) = (&shared.config, &shared.route);
        Self {
            api: Upstream::new(config.api.clone(), route, &config.timeouts),
            events: Upstream::for_web_sockets(config.events.clone(), route, &config.timeouts),
            shared,
            recorder: Arc::new(recorder),
        }
    }

    /// Each host, and the corporate proxy through which it is reached, if it is.
    pub fn routes(&self) -> impl Iterator<Item = (&Origin, Option<String>)> {
        let hosts = [&self.shared.config.api, &self.shared.config.events];
        hosts.into_iter().map(|host| (host, self.shared.route.proxies.of(host).map(ToString::to_string)))
    }

    /// Which hosts can't be reached at the moment, and why, a sentence each. A connection to each is opened, TLS included,
    /// and given up: no request is sent.
    pub async fn probe(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let both =
            [Some(&self.api), Some(&self.events).filter(|events| events.origin().text() != self.api.origin().text())];
        for host in both.into_iter().flatten() {
            if let Err(LocalResponse::Failed(failure)) = host.probe().await {
                problems.push(format!("{}: requests fail until {} can be reached", failure.message, host.origin()));
            }
        }
        problems
    }

    /// Ends the WebSockets, those of siblings too, and waits until each is recorded. To be called when the server has
    /// come to rest, which they don't keep it from: they have no end of their own.
    pub async fn close_tunnels(&self) {
        self.shared.closing.cancel();
        self.shared.tunnels.close();
        self.shared.tunnels.wait().await;
    }

    /// From the head of the request to the head of Mews' answer.
    async fn forward(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        peer: SocketAddr,
        opens_web_socket: bool,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Forwarded, LocalResponse> {
        self.check_destination(&parts)?;
        let host = self.host(opens_web_socket);
        let timeouts = self.shared.config.timeouts;
        let mut body_recorder = BodyRecorder::expecting(
            self.shared.config.keep_body,
            body.size_hint().exact(),
            &self.shared.request_budget,
        );
        let pace = Pace::new(timeouts.request_body, self.shared.config.min_body_rate);
        let (key, counts_pages) = (self.shared.limiter.key(), self.shared.limiter.counts_pages());
        let is_enough = |beginning: &[u8]| {
            let beginning = as_utf8(beginning);
            let (envelope, is_final) = envelope::read_beginning(&beginning);
            let tokens = envelope.access_token.is_some() && (envelope.client_token.is_some() || !key.client_token);
            is_final || (tokens && (envelope.paginated || !counts_pages))
        };
        let mut beginning =
            match BodyPrefix::read(body, &mut body_recorder, pace, &self.shared.request_budget, is_enough).await {
                Ok(beginning) => beginning,
                Err(stop) => {
                    pending.note(|capture| capture.request.body = body_recorder.take());
                    return Err(stop);
                }
            };
        if parts.version == Version::HTTP_2 {
            beginning.forget_if_empty();
        }
        let bytes = beginning.bytes();
        let sender = Sender::new(&parts.headers, &bytes, peer);
        drop(bytes);
        pending.note(|capture| capture.envelope = sender.envelope.clone());

        let upload = if beginning.is_whole() {
            pending.note(|capture| capture.request.body = body_recorder.take());
            None
        } else {
            let upload = Upload::new(body_recorder, Arc::clone(&self.shared.request_budget));
            pending.await_upload(Arc::clone(&upload));
            Some(upload)
        };

        let mut operation = operation_of(parts.uri.path()).unwrap_or(parts.uri.path()).to_owned();
        if key.operation {
            // What the limiter counts by is shown, and an address may hold anything.
            let envelope = &sender.envelope;
            let tokens =
                [&envelope.access_token, &envelope.client_token].map(|token| token.as_deref().unwrap_or_default());
            operation = String::from_utf8_lossy(&pending.redact(operation.as_bytes(), &tokens)).into_owned();
        }
        let wanted = nightaudit_limit::AdmissionRequest {
            access_token: &sender.access_key,
            client_token: &sender.client_key,
            operation: &operation,
            paginated: sender.envelope.paginated,
        };
        let asked = admission::ask(&self.shared.limiter, &wanted, &self.shared.config.environment);
        let (note, permit) = match pending.half_close().filter(|client| !client.has_happened()) {
            None => asked.await,
            Some(client) => tokio::select! {
                biased;
                asked = asked => asked,
                // Who closes its side while the request waits for its turn may have given up, and sent it again: then it
                // would be done twice.
                () = client.happened() => {
                    let message = "the client closed its side of the connection while the request waited for its turn";
                    return Err(LocalResponse::failed(FailureKind::ClientLeft, message));
                }
            },
        };
        pending.note(|capture| capture.limit = note);
        let mut permit = permit?;

        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| opens_web_socket);
        let hop = if upgrade.is_some() { Hop::WebSocket } else { Hop::Ends };
        let (method, chunked) = (parts.method.clone(), beginning.is_chunked());
        let mut request = Request::new(beginning.into_body(upload.clone()));
        *request.version_mut() = parts.version;
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = headers::forwarded(parts.headers, host.origin().host_header(), hop, chunked);
        // Among the extensions is how the client spelt the names, by which hyper writes them.
        *request.extensions_mut() = parts.extensions;

        let mut sends = Sends { pending, permit: &mut permit };
        let answered = {
            // Pinned here, not handed over: the future would hold it twice.
            let answer = pin!(host.send(request, &mut sends));
            within(answer, timeouts.response_head, upload.as_deref()).await
        };
        if let Some(upload) = &upload {
            upload.forget();
        }
        // Where the integration's side broke off, that is the cause, whatever the connection to Mews makes of it.
        let (mut response, mut lease) = match upload.and_then(|upload| upload.broken()) {
            Some(broken) if answered.is_err() => return Err(broken),
            _ => answered?,
        };
        permit.responded(admission::limit_signal(response.status(), response.headers())).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && (upgrade.is_none() || !switches(&response)) {
            let to = response.headers().get(UPGRADE).map_or_else(|| "nothing".into(), |to| format!("{to:?}"));
            let message = format!("Mews switched protocols (101, to {to}), which the request had not asked for");
            return Err(LocalResponse::failed(FailureKind::InvalidResponse, message));
        }
        let framing = Framing::of(&mut response, &method)?;
        if framing.ambiguous {
            lease.spoil();
        }
        Ok(Forwarded { response, framing, lease, upgrade })
    }

    /// The host that a request goes to.
    fn host(&self, opens_web_socket: bool) -> &Upstream {
        if opens_web_socket { &self.events } else { &self.api }
    }

    /// Whether a request is for one of the environment's hosts: whatever its `Host` says, but not if it names another
    /// host in its target, as one does who takes this for an open proxy.
    fn check_destination(&self, parts: &Parts) -> Result<(), LocalResponse> {
        if parts.method == Method::CONNECT {
            return Err(LocalResponse::failed(FailureKind::Method, "CONNECT is not served: this is no open proxy"));
        }
        // In HTTP/2 every request has an authority; it means what `Host` does.
        let Some(authority) = parts.uri.authority().filter(|_| parts.version < Version::HTTP_2) else {
            return Ok(());
        };
        let own = authority.host().eq_ignore_ascii_case("localhost")
            || authority.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if own || [&self.api, &self.events].iter().any(|host| host.origin().is_named_by(authority)) {
            return Ok(());
        }
        // Without a user and its password, which an authority may hold, too.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let message = format!(
            "{host} is not forwarded to: only {} and {} are",
            self.shared.config.api, self.shared.config.events
        );
        Err(LocalResponse::failed(FailureKind::Misdirected, message))
    }
}

impl<R: Recorder, A: Admit> Handler for Proxy<R, A> {
    type Body = ProxyBody<R::Permit>;

    async fn handle(&self, mut context: RequestContext, request: Request<Incoming>) -> Response<Self::Body> {
        let shares = &self.shared.shares;
        let share = shares.take(context.peer).await;
        let place = match shares.counted(self.recorder.reserve()).await {
            Ok(place) => place,
            Err(failure) => {
                return LocalResponse::failed(FailureKind::Store, failure.cause).response().map(ProxyBody::whole);
            }
        };
        let (mut parts, body) = request.into_parts();
        if let Some(uri) = with_path(&parts.method, &parts.uri, context.wire.as_deref()) {
            parts.uri = uri;
        }
        let opens_web_socket = context.opens_web_socket;
        let host = self.host(opens_web_socket);
        let mut pending = self.pending((place, share), &mut context, &parts, host);
        let version = parts.version;
        if let Some(refusal) = context.refusal {
            return self.stop(pending, version, LocalResponse::failed(kind(refusal.kind), refusal.message)).await;
        }
        let addressed = Addressed { tls: context.tls, host: authority(&parts) };
        let forwarded = if opens_web_socket && self.shared.tunnels.len() >= self.shared.config.max_tunnels {
            let message = format!("{} WebSockets are open already, as many as may be", self.shared.tunnels.len());
            Err(LocalResponse::failed(FailureKind::Overloaded, message))
        } else {
            self.forward(&mut pending, context.peer, opens_web_socket, parts, body).await
        };
        let mut response = match forwarded {
            Ok(forwarded) => self.answer(pending, version, host.origin(), &addressed, forwarded).await,
            Err(stop) => self.stop(pending, version, stop).await,
        };
        if opens_web_socket && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // The guard lets everything pass after such a request, so no other may follow on the connection.
            response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
        }
        response
    }

    async fn refused(&self, mut context: RequestContext) {
        let shares = &self.shared.shares;
        let share = shares.take(context.peer).await;
        let place = match shares.counted(self.recorder.reserve()).await {
            Ok(place) => place,
            Err(failure) => return tracing::warn!(%failure, "a refused request could not be recorded"),
        };
        let Some(refusal) = context.refusal.take() else { return };
        let mut parts = Request::new(()).into_parts().0;
        parts.version = Version::HTTP_2;
        let mut pending = self.pending((place, share), &mut context, &parts, &self.api);
        // Its head was never more than the library's.
        pending.note(|capture| capture.request.target = Bytes::new());
        let failure = Failure { kind: kind(refusal.kind), message: refusal.message };
        drop(pending.finish(Outcome::Rejected, Some(failure)));
    }

    fn is_crowded(&self) -> bool {
        self.shared.shares.is_crowded()
    }
}

/// What came of a request that went out.
struct Forwarded {
    response: Response<Body>,
    framing: Framing,
    lease: Lease,
    /// The client's side of the connection, if the request opens a WebSocket.
    upgrade: Option<OnUpgrade>,
}

/// Waits for an answer, from the last of the request on.
async fn within<T>(
    mut answer: Pin<&mut impl Future<Output = Result<T, LocalResponse>>>,
    patience: std::time::Duration,
    upload: Option<&Upload>,
) -> Result<T, LocalResponse> {
    let mut deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Ok(answer) = tokio::time::timeout_at(deadline, answer.as_mut()).await {
            return answer;
        }
        match upload.map(|upload| upload.last() + patience) {
            Some(later) if later > deadline => deadline = later,
            _ => {
                let message = format!("Mews gave no answer within {patience:?}");
                return Err(LocalResponse::failed(FailureKind::ResponseTimeout, message));
            }
        }
    }
}

fn kind(refusal: RefusalKind) -> FailureKind {
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

        fn record(self, _: Box<Capture>) -> Self::Receipt {
            std::future::ready(())
        }
    }

    #[test]
    fn regression_of_each_request_twenty_kilobytes_were_moved_before_anything_was_done() {
        fn size<'a, F>(_: fn(&'a Proxy<Nowhere>, RequestContext, Request<Incoming>) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(|proxy, context, request| proxy.handle(context, request));
        assert!(size < 8 << 10, "the future of a request takes {size} bytes");
    }
}
