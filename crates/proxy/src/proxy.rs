//! The way of a request.

use std::{
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, COOKIE, UPGRADE},
    request::Parts,
};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, FailureKind, Head, Outcome, Pseudonym,
    Timestamp,
};
use nightaudit_limit::Limiter;
use nightaudit_listen::{Arrival, Handler, RefusalKind};
use nightaudit_mews::{Envelope, envelope, operation_of};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Config, UpstreamConfig, UpstreamConfigError, admission,
    draft::Draft,
    fields::{self, Hop},
    ids::Ids,
    keep::{Budget, Keeper},
    recorder::Recorder,
    reply::Stop,
    request_body::{Beginning, Upload},
    response_body::ProxyBody,
    shares::{Share, Shares},
    tunnel::{Handshake, Tunnel},
    upstream::{Body, Lease, Route, Sending, Upstream, WireHead, promised},
    web_socket::Transcript,
};

/// Forwards requests to the hosts of one environment, inside its limits, and has each recorded.
pub struct Proxy<R> {
    shared: Arc<Shared>,
    recorder: Arc<R>,
    api: Upstream,
    events: Upstream,
}

/// What a proxy has in common with its [`sibling`](Proxy::sibling)s.
struct Shared {
    config: Config,
    route: Route,
    limiter: Limiter,
    ids: Arc<Ids>,
    tunnels: TaskTracker,
    closing: CancellationToken,
    budget: Arc<Budget>,
    shares: Arc<Shares>,
}

impl<R: Recorder> Proxy<R> {
    /// A proxy for the hosts in `config`. Nothing is connected yet, so it makes no difference whether they can be
    /// reached.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError`] where the certificate authorities can't be read or the proxy on the way is none.
    pub fn new(
        config: Config,
        upstream: &UpstreamConfig,
        limiter: Limiter,
        recorder: R,
    ) -> Result<Self, UpstreamConfigError> {
        let shared = Shared {
            budget: Budget::new(config.keep_total),
            shares: Shares::new(config.queue),
            config,
            route: Route::new(upstream)?,
            limiter,
            ids: Arc::new(Ids::new()),
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

    fn of(shared: Arc<Shared>, recorder: R) -> Self {
        let (config, route) = (&shared.config, &shared.route);
        Self {
            api: Upstream::new(config.api.clone(), route, &config.timeouts),
            events: Upstream::for_web_sockets(config.events.clone(), route, &config.timeouts),
            shared,
            recorder: Arc::new(recorder),
        }
    }

    /// Ends the WebSockets, those of siblings too, and waits until each is recorded. To be called when the server has
    /// come to rest, which they don't keep it from: they have no end of their own.
    pub async fn close_tunnels(&self) {
        self.shared.closing.cancel();
        self.shared.tunnels.close();
        self.shared.tunnels.wait().await;
    }

    /// The exchange as far as a request's head tells it.
    fn draft(
        &self,
        (place, share): (R::Place, Share),
        arrival: &mut Arrival,
        parts: &Parts,
        host: &Upstream,
    ) -> Draft<R::Place> {
        let (started, received) = (Instant::now(), Timestamp::from_system(SystemTime::now()));
        let refused = arrival.refusal.as_ref();
        let head = match (arrival.wire.take(), refused) {
            (Some(wire), _) => Head::Wire(wire),
            (None, Some(refusal)) if parts.version < Version::HTTP_2 => Head::Wire(refusal.wire.clone()),
            (None, _) => Head::from(&parts.headers),
        };
        let (method, target) = match (&head, refused) {
            // What hyper was given in its place says nothing.
            (Head::Wire(wire), Some(_)) => start_line(wire),
            _ => (parts.method.clone(), target(&parts.uri)),
        };
        let capture = Capture {
            id: self.shared.ids.next(received),
            session: parts.headers.get(fields::SESSION).and_then(|name| name.to_str().ok()).map(Into::into),
            environment: Arc::clone(&self.shared.config.environment),
            received,
            forwarded: None,
            response_head: None,
            response_end: None,
            peer: arrival.peer,
            envelope: CapturedEnvelope::default(),
            request: CapturedRequest {
                method,
                origin: Arc::clone(host.origin().text()),
                target,
                version: parts.version,
                head,
                body: CapturedBody::default(),
            },
            response: None,
            limit: None,
            outcome: Outcome::Aborted,
            error: None,
            web_socket: None,
            destination: None,
        };
        Draft::new(place, share, capture, started, arrival.progress.clone())
    }

    /// From the head of the request to the head of Mews' answer.
    async fn forward(
        &self,
        draft: &mut Draft<R::Place>,
        peer: SocketAddr,
        opens_web_socket: bool,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<(Response<Body>, Lease, Option<OnUpgrade>), Stop> {
        self.check_destination(&parts)?;
        let host = self.host(opens_web_socket);
        let timeouts = self.shared.config.timeouts;
        let mut keeper = Keeper::expecting(self.shared.config.keep_body, body.size_hint().exact(), &self.shared.budget);
        let (key, counts_pages) = (self.shared.limiter.key(), self.shared.limiter.counts_pages());
        let is_enough = |beginning: &[u8]| {
            let (envelope, is_final) = envelope::read_beginning(beginning);
            let tokens = envelope.access_token.is_some() && (envelope.client_token.is_some() || !key.client_token);
            is_final || (tokens && (envelope.paginated || !counts_pages))
        };
        let beginning = match Beginning::read(body, &mut keeper, timeouts.request_body, is_enough).await {
            Ok(beginning) => beginning,
            Err(stop) => {
                draft.note(|capture| capture.request.body = keeper.take());
                return Err(stop);
            }
        };
        let bytes = beginning.bytes();
        let sender = Sender::new(&parts.headers, &bytes, peer);
        drop(bytes);
        draft.note(|capture| capture.envelope = sender.envelope.clone());

        let upload = if beginning.is_whole() {
            draft.note(|capture| capture.request.body = keeper.take());
            None
        } else {
            let upload = Upload::new(keeper);
            draft.await_upload(Arc::clone(&upload));
            Some(upload)
        };

        let operation = operation_of(parts.uri.path()).unwrap_or(parts.uri.path()).to_owned();
        let wanted = nightaudit_limit::Arrival {
            access_token: &sender.access_key,
            client_token: &sender.client_key,
            operation: &operation,
            paginated: sender.envelope.paginated,
        };
        let (note, ticket) = admission::ask(&self.shared.limiter, &wanted, &self.shared.config.environment).await;
        draft.note(|capture| capture.limit = note);
        let mut ticket = ticket?;

        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| opens_web_socket);
        let hop = if upgrade.is_some() { Hop::WebSocket } else { Hop::Ends };
        let mut request = Request::new(beginning.into_body(upload.clone(), timeouts.request_body));
        *request.version_mut() = parts.version;
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = fields::forwarded(parts.headers, host.origin().host_field(), hop);
        // Among the extensions is how the client spelt the names, by which hyper writes them.
        *request.extensions_mut() = parts.extensions;

        let sending = |sending| {
            match sending {
                Sending::Now(destination) => {
                    // Not before there is a connection: what a crash interrupts counts from when it went out.
                    draft.begin().map_err(|failure| Stop::failed(FailureKind::Store, failure.cause))?;
                    ticket.sent();
                    let now = draft.elapsed();
                    draft.note(|capture| (capture.forwarded, capture.destination) = (Some(now), Some(destination)));
                }
                Sending::Undone => {
                    ticket.unsent();
                    draft.note(|capture| (capture.forwarded, capture.destination) = (None, None));
                }
            }
            Ok(())
        };
        let answered = {
            // Pinned here, not handed over: the future would hold it twice.
            let answer = pin!(host.send(request, sending));
            within(answer, timeouts.response_head, upload.as_deref()).await
        };
        if let Some(upload) = &upload {
            upload.forget();
        }
        // Where the integration's side broke off, that is the cause, whatever the connection to Mews makes of it.
        let (response, lease) = match upload.and_then(|upload| upload.broken()) {
            Some(broken) if answered.is_err() => return Err(broken),
            _ => answered?,
        };
        ticket.answered(response.status(), response.headers());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && (upgrade.is_none() || !switches(&response)) {
            let to = response.headers().get(UPGRADE).map_or_else(|| "nothing".into(), |to| format!("{to:?}"));
            let message = format!("Mews switched protocols (101, to {to}), which the request had not asked for");
            return Err(Stop::failed(FailureKind::InvalidResponse, message));
        }
        Ok((response, lease, upgrade))
    }

    /// The host that a request goes to.
    fn host(&self, opens_web_socket: bool) -> &Upstream {
        if opens_web_socket { &self.events } else { &self.api }
    }

    /// Whether a request is for one of the environment's hosts: whatever its `Host` says, but not if it names another
    /// host in its target, as one does who takes this for an open proxy.
    fn check_destination(&self, parts: &Parts) -> Result<(), Stop> {
        if parts.method == Method::CONNECT {
            return Err(Stop::failed(FailureKind::Method, "CONNECT is not served: this is no open proxy"));
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
        let message = format!(
            "{authority} is not forwarded to: only {} and {} are",
            self.shared.config.api, self.shared.config.events
        );
        Err(Stop::failed(FailureKind::Misdirected, message))
    }

    /// What the integration gets for Mews' answer.
    async fn answer(
        &self,
        mut draft: Draft<R::Place>,
        bodiless: bool,
        mut response: Response<Body>,
        lease: Lease,
        upgrade: Option<OnUpgrade>,
    ) -> Response<ProxyBody<R::Place>> {
        let now = draft.elapsed();
        let head = match response.extensions_mut().remove() {
            Some(WireHead(head)) => Head::Wire(head),
            None => Head::from(response.headers()),
        };
        draft.note(|capture| {
            capture.response_head = Some(now);
            capture.response = Some(CapturedResponse {
                status: response.status(),
                version: response.version(),
                head,
                body: CapturedBody::default(),
            });
        });
        let promised = promised(&response);
        let bodiless = bodiless
            || promised == Some(0)
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let (mut parts, body) = response.into_parts();
        // The integration's side has the version that it speaks itself.
        parts.version = Version::HTTP_11;
        if parts.status == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(downstream), Some(upstream)) = (upgrade, parts.extensions.remove::<OnUpgrade>())
        {
            parts.headers = fields::returned(parts.headers, Hop::WebSocket);
            self.open_tunnel(draft, &parts.headers, downstream, upstream).await;
            return Response::from_parts(parts, ProxyBody::whole(Bytes::new()));
        }
        parts.headers = fields::returned(parts.headers, Hop::Ends);
        let body = if bodiless || body.is_end_stream() {
            if draft.is_sent_whole() {
                lease.give_back();
            }
            if let Some(receipt) = draft.finish_with_body(CapturedBody::default(), Outcome::Answered, None) {
                receipt.await;
            }
            ProxyBody::whole(Bytes::new())
        } else {
            let patience = self.shared.config.timeouts.response_body;
            let keeper = Keeper::expecting(self.shared.config.keep_body, promised, &self.shared.budget);
            let mut body = ProxyBody::flowing(body, draft, keeper, promised, lease, patience);
            body.with_head().await;
            body
        };
        Response::from_parts(parts, body)
    }

    /// Records a handshake and carries what follows it.
    async fn open_tunnel(
        &self,
        mut draft: Draft<R::Place>,
        answer: &HeaderMap,
        downstream: OnUpgrade,
        upstream: OnUpgrade,
    ) {
        let transcript = Transcript::new(answer, self.shared.config.keep_body);
        let handshake = draft.capture().map(Handshake::of);
        if let Some(receipt) = draft.finish_with_body(CapturedBody::default(), Outcome::Answered, None) {
            receipt.await;
        }
        if let Some(handshake) = handshake {
            let tunnel = Tunnel {
                recorder: Arc::clone(&self.recorder),
                ids: Arc::clone(&self.shared.ids),
                handshake,
                transcript,
                closing: self.shared.closing.clone(),
                parts: 0,
            };
            self.shared.tunnels.spawn(tunnel.carry(downstream, upstream));
        }
    }

    /// What the integration gets in place of Mews' answer.
    async fn stop(mut draft: Draft<R::Place>, version: Version, stop: Stop) -> Response<ProxyBody<R::Place>> {
        let response = stop.response();
        let now = draft.elapsed();
        draft.note(|capture| {
            capture.response_head = Some(now);
            capture.response = Some(CapturedResponse {
                status: response.status(),
                version,
                head: Head::from(response.headers()),
                body: CapturedBody::default(),
            });
        });
        let body = CapturedBody::whole(response.body().clone());
        let outcome = stop.outcome();
        // What can't be written now is written when it can be; the integration is told so at once.
        let waits = !matches!(&stop, Stop::Failed(failure) if failure.kind == FailureKind::Store);
        let error = match stop {
            Stop::Failed(failure) => Some(failure),
            Stop::Limited { .. } => None,
        };
        if let Some(receipt) = draft.finish_with_body(body, outcome, error).filter(|_| waits) {
            receipt.await;
        }
        response.map(ProxyBody::whole)
    }
}

impl<R: Recorder> Handler for Proxy<R> {
    type Body = ProxyBody<R::Place>;

    async fn handle(&self, mut arrival: Arrival, request: Request<Incoming>) -> Response<Self::Body> {
        let shares = &self.shared.shares;
        let share = shares.take(arrival.peer).await;
        let place = match shares.counted(self.recorder.reserve()).await {
            Ok(place) => place,
            Err(failure) => return Stop::failed(FailureKind::Store, failure.cause).response().map(ProxyBody::whole),
        };
        let (parts, body) = request.into_parts();
        let opens_web_socket = arrival.opens_web_socket;
        let host = self.host(opens_web_socket);
        let mut draft = self.draft((place, share), &mut arrival, &parts, host);
        let version = parts.version;
        if let Some(refusal) = arrival.refusal {
            return Self::stop(draft, version, Stop::failed(kind(refusal.kind), refusal.message)).await;
        }
        let is_head = parts.method == Method::HEAD;
        let forwarded = if opens_web_socket && self.shared.tunnels.len() >= self.shared.config.max_tunnels {
            let message = format!("{} WebSockets are open already, as many as may be", self.shared.tunnels.len());
            Err(Stop::failed(FailureKind::Overloaded, message))
        } else {
            self.forward(&mut draft, arrival.peer, opens_web_socket, parts, body).await
        };
        let mut response = match forwarded {
            Ok((response, lease, upgrade)) => self.answer(draft, is_head, response, lease, upgrade).await,
            Err(stop) => Self::stop(draft, version, stop).await,
        };
        if opens_web_socket && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // The guard lets everything pass after such a request, so no other may follow on the connection.
            response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
        }
        response
    }

    fn is_crowded(&self) -> bool {
        self.shared.shares.is_crowded()
    }
}

/// Who sends a request.
struct Sender {
    envelope: CapturedEnvelope,
    /// What the limits count by.
    access_key: String,
    client_key: String,
}

impl Sender {
    fn new(fields: &HeaderMap, body: &[u8], peer: SocketAddr) -> Self {
        let found = if body.is_empty() {
            envelope::from_cookies(fields.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes))
        } else {
            envelope::read(body)
        };
        let key = |token: Option<&str>| match token {
            Some(token) => Pseudonym::of(token.as_bytes()).to_string(),
            None => format!("none@{}", peer.ip()),
        };
        Self {
            access_key: key(found.access_token.as_deref()),
            client_key: key(found.client_token.as_deref()),
            envelope: captured(found),
        }
    }
}

pub(crate) fn captured(envelope: Envelope<'_>) -> CapturedEnvelope {
    let Envelope { access_token, client_token, client, paginated } = envelope;
    CapturedEnvelope {
        access_token: access_token.map(Into::into),
        client_token: client_token.map(Into::into),
        client: client.map(Into::into),
        paginated,
    }
}

/// Waits for an answer, from the last of the request on.
async fn within<T>(
    mut answer: Pin<&mut impl Future<Output = Result<T, Stop>>>,
    patience: std::time::Duration,
    upload: Option<&Upload>,
) -> Result<T, Stop> {
    let mut deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Ok(answer) = tokio::time::timeout_at(deadline, answer.as_mut()).await {
            return answer;
        }
        match upload.map(|upload| upload.last() + patience) {
            Some(later) if later > deadline => deadline = later,
            _ => {
                let message = format!("Mews gave no answer within {patience:?}");
                return Err(Stop::failed(FailureKind::ResponseTimeout, message));
            }
        }
    }
}

/// Whether a 101 switches to what was asked for.
fn switches<B>(response: &Response<B>) -> bool {
    let mut protocols = response.headers().get_all(UPGRADE).iter();
    protocols.next().is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) && protocols.next().is_none()
}

fn kind(refusal: RefusalKind) -> FailureKind {
    match refusal {
        RefusalKind::Malformed => FailureKind::Malformed,
        RefusalKind::Framing => FailureKind::Framing,
        RefusalKind::TooLarge => FailureKind::HeadTooLarge,
        RefusalKind::Timeout => FailureKind::RequestTimeout,
        RefusalKind::Connect => FailureKind::Method,
    }
}

/// Path and query as they were sent.
fn target(uri: &Uri) -> Bytes {
    Bytes::copy_from_slice(uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes())
}

/// What stands in the places of method and target in a head that is no request's.
fn start_line(wire: &[u8]) -> (Method, Bytes) {
    const SHOWN: usize = 256;
    let line = wire.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().and_then(|word| Method::from_bytes(word).ok());
    let target = words.next().filter(|_| method.is_some()).unwrap_or_default();
    let shown = &target[..target.len().min(SHOWN)];
    (method.filter(|method| method.as_str().len() <= 32).unwrap_or_default(), Bytes::copy_from_slice(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Recorder for Nowhere {
        type Place = Self;

        async fn reserve(&self) -> Result<Self, crate::Unrecordable> {
            Ok(Self)
        }
    }

    impl crate::Place for Nowhere {
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
        fn size<'a, F>(_: fn(&'a Proxy<Nowhere>, Arrival, Request<Incoming>) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(|proxy, arrival, request| proxy.handle(arrival, request));
        assert!(size < 8 << 10, "the future of a request takes {size} bytes");
    }
}
