//! The way of a request.

use std::{
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, UPGRADE},
    request::Parts,
    uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, Failure, FailureKind, Head, Note,
    Outcome, Pseudonym, Timestamp, as_utf8, noted,
};
use nightaudit_limit::Limiter;
use nightaudit_listen::{Arrival, Handler, RefusalKind};
use nightaudit_mews::{Envelope, envelope, operation_of};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Config, Origin, UpstreamConfig, UpstreamConfigError, admission,
    draft::Draft,
    fields::{self, Hop},
    ids::Ids,
    keep::{Budget, Keeper, Room},
    pace::Pace,
    recorder::{self, Place, Recorder, recorded},
    reply::Stop,
    request_body::{Beginning, Upload},
    response_body::ProxyBody,
    response_head::{self, Addressed, Framing},
    shares::{Share, Shares},
    tunnel::{Handshake, Tunnel},
    upstream::{Body, Lease, Route, Sending, Upstream, WireHead},
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
    room: Room,
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
            room: Room::beside(config.keep_total),
            shares: Shares::new(config.queue),
            route: Route::new(upstream, [&config.api, &config.events])?,
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

    fn of(shared: Arc<Shared>, recorder: R) -> Self {
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
            notes: Vec::new(),
        };
        Draft::new(place, share, capture, started, arrival.progress.clone()).watch(arrival.half_close.take())
    }

    /// From the head of the request to the head of Mews' answer.
    async fn forward(
        &self,
        draft: &mut Draft<R::Place>,
        peer: SocketAddr,
        opens_web_socket: bool,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Forwarded, Stop> {
        self.check_destination(&parts)?;
        let host = self.host(opens_web_socket);
        let timeouts = self.shared.config.timeouts;
        let mut keeper = Keeper::expecting(self.shared.config.keep_body, body.size_hint().exact(), &self.shared.budget);
        let pace = Pace::new(timeouts.request_body, self.shared.config.min_body_rate);
        let (key, counts_pages) = (self.shared.limiter.key(), self.shared.limiter.counts_pages());
        let is_enough = |beginning: &[u8]| {
            let beginning = as_utf8(beginning);
            let (envelope, is_final) = envelope::read_beginning(&beginning);
            let tokens = envelope.access_token.is_some() && (envelope.client_token.is_some() || !key.client_token);
            is_final || (tokens && (envelope.paginated || !counts_pages))
        };
        let mut beginning = match Beginning::read(body, &mut keeper, pace, &self.shared.room, is_enough).await {
            Ok(beginning) => beginning,
            Err(stop) => {
                draft.note(|capture| capture.request.body = keeper.take());
                return Err(stop);
            }
        };
        if parts.version == Version::HTTP_2 {
            beginning.forget_if_empty();
        }
        let bytes = beginning.bytes();
        let sender = Sender::new(&parts.headers, &bytes, peer);
        drop(bytes);
        draft.note(|capture| capture.envelope = sender.envelope.clone());

        let upload = if beginning.is_whole() {
            draft.note(|capture| capture.request.body = keeper.take());
            None
        } else {
            let upload = Upload::new(keeper, self.shared.room.clone());
            draft.await_upload(Arc::clone(&upload));
            Some(upload)
        };

        let mut operation = operation_of(parts.uri.path()).unwrap_or(parts.uri.path()).to_owned();
        if key.operation {
            // What the limiter counts by is shown, and an address may hold anything.
            let envelope = &sender.envelope;
            let tokens =
                [&envelope.access_token, &envelope.client_token].map(|token| token.as_deref().unwrap_or_default());
            operation = String::from_utf8_lossy(&noted(operation.as_bytes(), &tokens)).into_owned();
        }
        let wanted = nightaudit_limit::Arrival {
            access_token: &sender.access_key,
            client_token: &sender.client_key,
            operation: &operation,
            paginated: sender.envelope.paginated,
        };
        let asked = admission::ask(&self.shared.limiter, &wanted, &self.shared.config.environment);
        let (note, ticket) = match draft.half_close().filter(|client| !client.has_happened()) {
            None => asked.await,
            Some(client) => tokio::select! {
                biased;
                asked = asked => asked,
                // Who closes its side while the request waits for its turn may have given up, and sent it again: then it
                // would be done twice.
                () = client.happened() => {
                    let message = "the client closed its side of the connection while the request waited for its turn";
                    return Err(Stop::failed(FailureKind::ClientLeft, message));
                }
            },
        };
        draft.note(|capture| capture.limit = note);
        let mut ticket = ticket?;

        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| opens_web_socket);
        let hop = if upgrade.is_some() { Hop::WebSocket } else { Hop::Ends };
        let (method, chunked) = (parts.method.clone(), beginning.is_chunked());
        let mut request = Request::new(beginning.into_body(upload.clone()));
        *request.version_mut() = parts.version;
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = fields::forwarded(parts.headers, host.origin().host_field(), hop, chunked);
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
        let (mut response, mut lease) = match upload.and_then(|upload| upload.broken()) {
            Some(broken) if answered.is_err() => return Err(broken),
            _ => answered?,
        };
        ticket.answered(response.status(), response.headers());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && (upgrade.is_none() || !switches(&response)) {
            let to = response.headers().get(UPGRADE).map_or_else(|| "nothing".into(), |to| format!("{to:?}"));
            let message = format!("Mews switched protocols (101, to {to}), which the request had not asked for");
            return Err(Stop::failed(FailureKind::InvalidResponse, message));
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
        // Without a user and its password, which an authority may hold, too.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let message = format!(
            "{host} is not forwarded to: only {} and {} are",
            self.shared.config.api, self.shared.config.events
        );
        Err(Stop::failed(FailureKind::Misdirected, message))
    }

    /// What the integration gets for Mews' answer.
    async fn answer(
        &self,
        mut draft: Draft<R::Place>,
        version: Version,
        addressed: &Addressed,
        forwarded: Forwarded,
    ) -> Response<ProxyBody<R::Place>> {
        let Forwarded { mut response, framing, lease, upgrade } = forwarded;
        let now = draft.elapsed();
        let head = match response.extensions_mut().remove() {
            Some(WireHead(head)) => {
                if let Some(reason) = response_head::lost_reason(&head) {
                    response.extensions_mut().insert(reason);
                }
                Head::Wire(head)
            }
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
        let (mut parts, body) = response.into_parts();
        // The integration's side has the version that it speaks itself.
        parts.version = Version::HTTP_11;
        if parts.status == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(downstream), Some(upstream)) = (upgrade, parts.extensions.remove::<OnUpgrade>())
        {
            parts.headers = fields::returned(parts.headers, Hop::WebSocket, false);
            if !self.open_tunnel(draft, &parts.headers, downstream, upstream).await {
                return not_recorded();
            }
            return Response::from_parts(parts, ProxyBody::whole(Bytes::new()));
        }
        let mut notes = Vec::new();
        let mut note = |is_so: bool, note| notes.extend(is_so.then_some(note));
        note(framing.ambiguous, Note::LengthIgnored);
        note(parts.headers.keys().any(fields::is_own), Note::OwnHeadersRemoved);
        note(parts.headers.keys().any(fields::is_for_its_origin), Note::OriginHeadersRemoved);
        let is_http1 = version < Version::HTTP_2;
        parts.headers = fields::returned(parts.headers, Hop::Ends, framing.chunked && is_http1);
        if self.shared.config.rewrite_redirects {
            let hosts = [self.api.origin(), self.events.origin()];
            note(response_head::redirect_here(&mut parts.headers, hosts, addressed), Note::RedirectRewritten);
        }
        if !notes.is_empty() {
            draft.note(|capture| capture.notes = notes);
        }
        let body = if !framing.has_body || framing.length == Some(0) || body.is_end_stream() {
            if draft.is_sent_whole() {
                lease.give_back();
            }
            if let Some(receipt) = draft.finish_with_body(CapturedBody::default(), Outcome::Answered, None)
                && !recorded(receipt).await
            {
                return not_recorded();
            }
            // HTTP/2 tells the end of a message by itself.
            ProxyBody::none(framing.length.filter(|_| is_http1 && parts.headers.contains_key(CONTENT_LENGTH)))
        } else {
            let promised = framing.length;
            let patience = self.shared.config.timeouts.response_body;
            let keeper = Keeper::expecting(self.shared.config.keep_body, promised, &self.shared.budget);
            let mut body = ProxyBody::flowing(body, draft, keeper, promised, lease, patience);
            body.with_head().await;
            body
        };
        Response::from_parts(parts, body)
    }

    /// Records a handshake and carries what follows it; false where it could not be recorded in time.
    async fn open_tunnel(
        &self,
        mut draft: Draft<R::Place>,
        answer: &HeaderMap,
        downstream: OnUpgrade,
        upstream: OnUpgrade,
    ) -> bool {
        let transcript = Transcript::new(answer, self.shared.config.keep_body);
        let handshake = draft.capture().map(Handshake::of);
        if let Some(receipt) = draft.finish_with_body(CapturedBody::default(), Outcome::Answered, None)
            && !recorded(receipt).await
        {
            return false;
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
        true
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
                head: local_head(&response, version),
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
        if let Some(receipt) = draft.finish_with_body(body, outcome, error).filter(|_| waits)
            && !recorded(receipt).await
        {
            return not_recorded();
        }
        response.map(ProxyBody::whole)
    }
}

/// What the client gets whose exchange could not be recorded in time.
fn not_recorded<P: Place>() -> Response<ProxyBody<P>> {
    Stop::failed(FailureKind::Store, recorder::NOT_RECORDED).response().map(ProxyBody::whole)
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
        let (mut parts, body) = request.into_parts();
        if let Some(uri) = with_slash(&parts.uri) {
            parts.uri = uri;
        }
        let opens_web_socket = arrival.opens_web_socket;
        let host = self.host(opens_web_socket);
        let mut draft = self.draft((place, share), &mut arrival, &parts, host);
        let version = parts.version;
        if let Some(refusal) = arrival.refusal {
            return Self::stop(draft, version, Stop::failed(kind(refusal.kind), refusal.message)).await;
        }
        let addressed = Addressed { tls: arrival.tls, host: authority(&parts) };
        let forwarded = if opens_web_socket && self.shared.tunnels.len() >= self.shared.config.max_tunnels {
            let message = format!("{} WebSockets are open already, as many as may be", self.shared.tunnels.len());
            Err(Stop::failed(FailureKind::Overloaded, message))
        } else {
            self.forward(&mut draft, arrival.peer, opens_web_socket, parts, body).await
        };
        let mut response = match forwarded {
            Ok(forwarded) => self.answer(draft, version, &addressed, forwarded).await,
            Err(stop) => Self::stop(draft, version, stop).await,
        };
        if opens_web_socket && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // The guard lets everything pass after such a request, so no other may follow on the connection.
            response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
        }
        response
    }

    async fn refused(&self, mut arrival: Arrival) {
        let shares = &self.shared.shares;
        let share = shares.take(arrival.peer).await;
        let place = match shares.counted(self.recorder.reserve()).await {
            Ok(place) => place,
            Err(failure) => return tracing::warn!(%failure, "a refused request could not be recorded"),
        };
        let Some(refusal) = arrival.refusal.take() else { return };
        let mut parts = Request::new(()).into_parts().0;
        parts.version = Version::HTTP_2;
        let mut draft = self.draft((place, share), &mut arrival, &parts, &self.api);
        // Its head was never more than the library's.
        draft.note(|capture| capture.request.target = Bytes::new());
        let failure = Failure { kind: kind(refusal.kind), message: refusal.message };
        drop(draft.finish(Outcome::Rejected, Some(failure)));
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

/// Who sends a request.
struct Sender {
    envelope: CapturedEnvelope,
    /// What the limits count by.
    access_key: String,
    client_key: String,
}

impl Sender {
    fn new(fields: &HeaderMap, body: &[u8], peer: SocketAddr) -> Self {
        let text = as_utf8(body);
        let found = if body.is_empty() {
            envelope::from_cookies(fields.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes))
        } else {
            envelope::read(&text)
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
        RefusalKind::TooMany => FailureKind::Overloaded,
    }
}

/// An address in absolute form that has a query and no path, with the path that it means: as it is, the target of the
/// forwarded request would begin with the query (RFC 9112, section 3.2.1).
fn with_slash(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query().map(PathAndQuery::as_str).filter(|target| target.starts_with('?'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("/{target}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// By what name the client addresses the proxy.
fn authority(parts: &Parts) -> Option<HeaderValue> {
    match parts.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_str(parts.uri.authority()?.as_str()).ok(),
    }
}

/// The head of the proxy's own response: of HTTP/1 with the start line that hyper writes.
fn local_head(response: &Response<Bytes>, version: Version) -> Head {
    let status = response.status();
    match (Head::from(response.headers()), status.canonical_reason()) {
        (Head::Fields(fields), Some(reason)) if version < Version::HTTP_2 => {
            Head::Wire([format!("{version:?} {} {reason}\r\n", status.as_str()).as_bytes(), &fields].concat().into())
        }
        (head, _) => head,
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
