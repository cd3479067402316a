//! The server: from request to recorded response.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use nightaudit_exchange::{Api, PseudonymKey};
use nightaudit_listen::{Handler, ListenConfig, RefusalKind, RequestContext, Server};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    answer::{Answer, Whole},
    arrival::{Arrival, Budget, Incomplete, MAX_KEPT},
    body::ReplayBody,
    cache::Cache,
    forward::{self, Forward},
    nearest::{self, Explanation},
    readers::Readers,
    recordings::{Found, Recordings, name},
    redaction::{Redacted, Redaction},
    socket,
    summary::{Summary, Tally},
};

/// Names why a response is not a recorded one, as the proxy does.
const ERROR: HeaderName = HeaderName::from_static("x-nightaudit-error");

/// Time allowed for WebSockets to close on shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Bytes of responses kept in memory.
const CACHED: usize = 8 << 20;

/// Configuration of a [`Replayer`].
#[derive(Debug)]
pub struct Config {
    /// What is particular to the API.
    pub api: &'static Api,
    /// Whether responses take as long as they did.
    pub timing: Timing,
    /// What happens to a request that was not recorded.
    pub otherwise: Otherwise,
    /// The properties that the recorder redacts because the configuration names them.
    pub redacted_fields: Vec<String>,
    /// The key of their pseudonyms.
    pub key: PseudonymKey,
    /// The longest wait for a part of a request's body.
    pub body_timeout: Duration,
    /// Concurrent WebSockets.
    pub max_sockets: usize,
}

/// When responses are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// At once.
    Immediate,
    /// After the time that the host took, and no faster.
    Recorded,
}

/// What happens to a request that was not recorded.
#[derive(Debug, Clone)]
pub enum Otherwise {
    /// It gets a 501 that says what came nearest, and how it differs.
    Fail,
    /// It is passed on.
    Forward(Forward),
}

/// Serves recordings as the host that they are of.
#[derive(Debug)]
pub struct Replayer {
    recordings: Recordings,
    readers: Arc<Readers>,
    redaction: Redaction,
    timing: Timing,
    otherwise: Otherwise,
    body_timeout: Duration,
    budget: Budget,
    cache: Cache,
    tally: Tally,
    sockets: Arc<Semaphore>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// A request with its body.
struct Asked {
    parts: Parts,
    wire: Option<Bytes>,
    peer: std::net::SocketAddr,
    upgrade: Option<OnUpgrade>,
}

impl Replayer {
    /// Serves these recordings, read by these threads.
    #[must_use]
    pub fn new(config: Config, recordings: Recordings, readers: Readers) -> Self {
        Self {
            recordings,
            readers: Arc::new(readers),
            redaction: Redaction::new(config.api, config.redacted_fields, config.key),
            timing: config.timing,
            otherwise: config.otherwise,
            body_timeout: config.body_timeout,
            budget: Budget::default(),
            cache: Cache::new(CACHED),
            tally: Tally::default(),
            sockets: Arc::new(Semaphore::new(config.max_sockets)),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Serves until `stop` completes; then requests in flight may finish, and WebSockets are closed.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, listen: ListenConfig, stop: impl Future<Output = ()>) {
        let stopping = self.stopping.clone();
        let stop = async move {
            stop.await;
            stopping.cancel();
        };
        Server::new(listen).serve(listener, Arc::clone(self), stop).await;
        self.tasks.close();
        // Anything unfinished by then ends with the process.
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, self.tasks.wait()).await;
    }

    /// What was asked so far, and what of it was recorded.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.tally.summary(&self.recordings)
    }

    async fn respond(&self, mut asked: Asked, body: Arrival) -> Response<ReplayBody> {
        self.tally.request();
        let method = asked.parts.method.as_str();
        let target = asked.parts.uri.path_and_query().map_or("/", |target| target.as_str());
        // The handshake of a WebSocket has no body: whose it is, its cookies say.
        let same = match asked.upgrade {
            None => self.recordings.find_same(method, target, &body.digest()),
            Some(_) => None,
        };
        if let Some(found) = same {
            return self.replay(asked, found).await;
        }
        let Arrival::Kept(bytes, _permit) = body else {
            let operation = name(method, target);
            let message = format!(
                "This request to {operation} was not recorded with the very same body, and more than {MAX_KEPT} bytes are \
                 not compared."
            );
            self.tally.not_recorded(operation.clone(), None, Vec::new());
            return refusal("not-recorded", &Explanation::plain(operation, message));
        };
        let redacted = self.redaction.request(&asked.parts, asked.wire.take(), &bytes, asked.peer);
        if redacted.body.withheld.is_none() {
            let (body, _) = redacted.body.decoded();
            if let Some(found) = self.recordings.find_alike(method, &redacted.target, &body, redacted.token) {
                return self.replay(asked, found).await;
            }
        }
        self.unrecorded(asked, bytes, redacted).await
    }

    /// The recorded response.
    async fn replay(&self, asked: Asked, found: Found) -> Response<ReplayBody> {
        self.tally.found(found);
        let answer = match self.cache.get(found.recording) {
            Some(answer) => answer,
            None => match self.readers.read(self.recordings.id(found.recording)).await {
                Ok(exchange) => {
                    let answer = Arc::new(Answer::of(&exchange));
                    self.cache.put(found.recording, Arc::clone(&answer));
                    answer
                }
                Err(error) => Arc::new(Answer::Incomplete(error)),
            },
        };
        match &*answer {
            Answer::Whole(whole) => self.send(asked, whole).await,
            Answer::Incomplete(missing) => {
                self.tally.incomplete();
                let operation = asked.parts.uri.path().to_owned();
                let message = format!("The recorded response can't be replayed: {missing}.");
                refusal("incomplete-recording", &Explanation::plain(operation, message))
            }
        }
    }

    async fn send(&self, asked: Asked, whole: &Whole) -> Response<ReplayBody> {
        let body = match self.timing {
            Timing::Immediate => ReplayBody::whole(whole.body.clone(), whole.has_length),
            Timing::Recorded => {
                tokio::time::sleep(whole.times.head).await;
                ReplayBody::paced(whole.body.clone(), whole.has_length, whole.times.body)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = whole.status;
        *response.headers_mut() = whole.headers.clone();
        if let Some(target) = &whole.redirect {
            redirect_here(&asked.parts, target, response.headers_mut());
        }
        if let Some(reason) = &whole.reason {
            response.extensions_mut().insert(reason.clone());
        }
        if socket::opens(whole.status) {
            return self.open_socket(asked, whole, response);
        }
        response
    }

    fn open_socket(&self, asked: Asked, whole: &Whole, mut response: Response<ReplayBody>) -> Response<ReplayBody> {
        let refuse = |status, message: &str| local(status, "web-socket", message);
        let Some(upgrade) = asked.upgrade else {
            return refuse(StatusCode::BAD_REQUEST, "A WebSocket was recorded for this request, which opens none.");
        };
        if !socket::accept(&asked.parts.headers, response.headers_mut()) {
            return refuse(StatusCode::BAD_REQUEST, "The request for a WebSocket has no Sec-WebSocket-Key.");
        }
        let Some(permit) = self.socket() else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "There are too many WebSockets.");
        };
        let opened = (self.timing == Timing::Recorded).then_some(whole.opened);
        let recorded = socket::Recorded { parts: self.recordings.parts(whole.id).collect(), opened };
        let replaying = socket::replay(upgrade, recorded, Arc::clone(&self.readers), self.stopping.clone());
        self.tasks.spawn(async move {
            replaying.await;
            drop(permit);
        });
        response
    }

    fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).try_acquire_owned().ok()
    }

    /// The response to a request that was not recorded.
    async fn unrecorded(&self, asked: Asked, body: Bytes, redacted: Redacted) -> Response<ReplayBody> {
        let method = asked.parts.method.as_str();
        let explanation = nearest::explain(&self.recordings, &self.readers, method, &redacted).await;
        self.tally.not_recorded(explanation.operation.clone(), explanation.nearest, explanation.pointers());
        let Otherwise::Forward(forward) = &self.otherwise else { return refusal("not-recorded", &explanation) };
        let mut response = match forward.send(&asked.parts, body).await {
            Ok(response) => response,
            Err(error) => {
                let message = format!("{} It can't be passed on, either: {error}.", explanation.message);
                return refusal("not-recorded", &Explanation { message, ..explanation });
            }
        };
        if forward::opens(&response) {
            let (Some(upgrade), Some(permit)) = (asked.upgrade, self.socket()) else {
                return local(StatusCode::SERVICE_UNAVAILABLE, "web-socket", "There are too many WebSockets.");
            };
            let (parts, body) = response.into_parts();
            let mut opened = Response::new(ReplayBody::whole(Bytes::new(), true));
            (*opened.status_mut(), *opened.headers_mut()) = (parts.status, parts.headers.clone());
            let stopping = self.stopping.clone();
            self.tasks.spawn(async move {
                let tunnel = forward::tunnel(upgrade, Response::from_parts(parts, body));
                stopping.run_until_cancelled(tunnel).await;
                drop(permit);
            });
            return opened;
        }
        forward::returned(&mut response);
        response.map(ReplayBody::forwarded)
    }
}

impl Handler for Replayer {
    type Body = ReplayBody;

    async fn handle(&self, context: RequestContext, request: Request<Incoming>) -> Response<ReplayBody> {
        if let Some(refused) = context.refusal {
            let status = match refused.kind {
                RefusalKind::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                RefusalKind::Timeout => StatusCode::REQUEST_TIMEOUT,
                RefusalKind::Connect => StatusCode::METHOD_NOT_ALLOWED,
                RefusalKind::Malformed | RefusalKind::Framing => StatusCode::BAD_REQUEST,
                RefusalKind::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            };
            return local(status, "malformed", &refused.message);
        }
        let (mut parts, body) = request.into_parts();
        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| context.opens_web_socket);
        let body = match Arrival::read(body, &self.budget, self.body_timeout).await {
            Ok(body) => body,
            Err(Incomplete::TimedOut) => {
                return local(StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request's body took too long.");
            }
            Err(Incomplete::CutOff) => {
                return local(StatusCode::BAD_REQUEST, "client-left", "The request's body was cut off.");
            }
        };
        self.respond(Asked { parts, wire: context.wire, peer: context.peer, upgrade }, body).await
    }
}

/// Makes a redirect to the recorded host lead here: whoever replays must not end up at Mews.
fn redirect_here(request: &Parts, target: &str, headers: &mut http::HeaderMap) {
    // Without a scheme, which is that of the request (RFC 3986, section 4.2).
    if let Some(host) = request.headers.get(header::HOST).and_then(|host| host.to_str().ok())
        && let Ok(own) = HeaderValue::try_from(format!("//{host}{target}"))
    {
        headers.insert(header::LOCATION, own);
    }
}

/// 501 with an explanation.
fn refusal(kind: &'static str, explanation: &Explanation) -> Response<ReplayBody> {
    let body = serde_json::to_vec(explanation).unwrap_or_default();
    json(StatusCode::NOT_IMPLEMENTED, kind, body)
}

/// An error in Mews' form.
fn local(status: StatusCode, kind: &'static str, message: &str) -> Response<ReplayBody> {
    json(status, kind, nightaudit_mews::API.error_body(message).into_bytes())
}

fn json(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<ReplayBody> {
    let mut response = Response::new(ReplayBody::whole(body.into(), true));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(ERROR, HeaderValue::from_static(kind));
    response
}
