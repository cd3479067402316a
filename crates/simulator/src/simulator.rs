//! The simulator: from request to response.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use nightaudit_listen::{Handler, RefusalKind, RequestContext, Server};
use nightaudit_mews::{Environment, Finding, FindingKind, PUBLISHED_TOKENS, envelope, operation_of};
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::events::Events;
use crate::execute;
use crate::generator::{Seed, guid};
use crate::limit::{Windows, retry_after};
use crate::overrides::Overrides;
use crate::property::Property;
use crate::response::{self, Body, Rejection};
use crate::socket;
use crate::webhook::{self, HttpTransport};

/// Time allowed for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Time allowed for webhooks and WebSockets to finish on shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// A simulated Mews: the API and the WebSocket on one port.
#[derive(Debug)]
pub struct Simulator {
    config: Config,
    tokens: HashSet<Box<str>>,
    windows: Option<Mutex<Windows>>,
    rng: Mutex<fastrand::Rng>,
    property: RwLock<Property>,
    events: Events,
    webhooks: Mutex<Option<mpsc::Receiver<Vec<Value>>>>,
    sockets: Arc<Semaphore>,
    stopping: CancellationToken,
    tasks: TaskTracker,
    started: Instant,
}

impl Simulator {
    /// A simulator with a newly generated property.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let published = PUBLISHED_TOKENS.iter().flat_map(|tokens| [tokens.client, tokens.access]);
        let tokens = published.chain(config.tokens.iter().map(String::as_str)).map(Box::from).collect();
        let now = (config.now)();
        let seed = Seed::new(config.seed, now);
        let (events, webhooks) = Events::new();
        Self {
            tokens,
            windows: config.limit.map(|limit| Mutex::new(Windows::new(limit, config.anchor))),
            rng: Mutex::new(fastrand::Rng::with_seed(config.seed)),
            property: RwLock::new(Property::new(seed, now)),
            events,
            webhooks: Mutex::new(Some(webhooks)),
            sockets: Arc::new(Semaphore::new(config.max_sockets)),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            started: Instant::now(),
            config,
        }
    }

    /// Serves until `stop` completes; then in-flight requests may finish, and WebSockets are closed.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        listen: nightaudit_listen::ListenConfig,
        stop: impl Future<Output = ()>,
    ) {
        let webhooks = self.webhooks.lock().take();
        if let Some((hook, events)) = self.config.webhook.clone().zip(webhooks) {
            let (enterprise, integration) = {
                let property = self.property.read();
                (property.seed.enterprise(), property.seed.id("integrations", 0))
            };
            let stopping = self.stopping.clone();
            self.tasks.spawn(async move {
                let delivering = webhook::deliver(events, &enterprise, &integration, HttpTransport::new(hook));
                stopping.run_until_cancelled(delivering).await;
            });
        }
        let stopping = self.stopping.clone();
        let stop = async move {
            stop.await;
            // Otherwise a WebSocket client could keep its connection open indefinitely.
            stopping.cancel();
        };
        Server::new(listen).serve(listener, Arc::clone(&self), stop).await;
        self.tasks.close();
        // Anything unfinished by then ends with the process.
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, self.tasks.wait()).await;
    }

    async fn respond(
        &self,
        id: &str,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Rejection> {
        if let Some(refusal) = context.refusal {
            let status = match refusal.kind {
                RefusalKind::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                RefusalKind::Timeout => StatusCode::REQUEST_TIMEOUT,
                RefusalKind::Connect => StatusCode::METHOD_NOT_ALLOWED,
                RefusalKind::Malformed | RefusalKind::Framing => StatusCode::BAD_REQUEST,
                RefusalKind::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            };
            return Err(Rejection::new(status, refusal.message));
        }
        if request.uri().path() == Environment::EVENTS_PATH {
            return self.open_socket(id, request);
        }
        let (head, body) = request.into_parts();
        let path = self.operation(head.uri.path())?;
        if head.method != Method::POST {
            return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "Operations are called by POST."));
        }
        let body = self.read(body).await?;
        let json: Map<String, Value> = serde_json::from_slice(without_bom(&body))
            .map_err(|error| Rejection::new(StatusCode::BAD_REQUEST, format!("Invalid JSON: {error}.")))?;
        let token = self.authenticate(&json)?;
        self.admit(token)?;
        self.inject_faults(&head.headers).await?;
        let overrides = self.overrides(&head.headers)?;
        check(self.config.contracts.check(path, &body))?;

        let (body, is_empty) = self.execute(path, &json)?;
        if is_empty && prefers_minimal(&head.headers) {
            return Ok(response::no_content(id));
        }
        Ok(response::ok(body, overrides.size, id, &head.headers).await)
    }

    /// The operation at a path, matched exactly.
    fn operation<'a>(&self, path: &'a str) -> Result<&'a str, Rejection> {
        let unknown = || Rejection::new(StatusCode::NOT_FOUND, "There is nothing at this address.");
        let operation = operation_of(path).ok_or_else(unknown)?;
        if self.config.contracts.has(operation) {
            return Ok(operation);
        }
        Err(match self.config.contracts.suggest(operation) {
            Some(suggestion) => unknown().with_details(vec![format!("Did you mean {}?", suggestion.operation.path)]),
            None => unknown(),
        })
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Rejection> {
        match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, self.config.max_body).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("The request is larger than {} bytes.", self.config.max_body);
                Err(Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, message))
            }
            Ok(Err(_)) => Err(Rejection::new(StatusCode::BAD_REQUEST, "The request's body was cut off.")),
            Err(_) => Err(Rejection::new(StatusCode::REQUEST_TIMEOUT, "The request's body took too long.")),
        }
    }

    /// The AccessToken, if both tokens are known.
    fn authenticate<'a>(&self, request: &'a Map<String, Value>) -> Result<&'a str, Rejection> {
        let known = |name: &str| {
            let token = request.get(name).and_then(Value::as_str);
            token.filter(|token| self.tokens.contains(*token)).ok_or_else(|| unauthorized(name))
        };
        known("ClientToken")?;
        known("AccessToken")
    }

    fn admit(&self, token: &str) -> Result<(), Rejection> {
        let Some(windows) = &self.windows else { return Ok(()) };
        let elapsed = self.started.elapsed();
        let now = elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos());
        let admitted = windows.lock().admit(token, now);
        admitted.map_err(|wait| Rejection {
            retry_after: Some(retry_after(wait)),
            ..Rejection::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests: heed Retry-After.")
        })
    }

    fn overrides(&self, headers: &HeaderMap) -> Result<Overrides, Rejection> {
        Overrides::read(headers, self.config.max_size).map_err(|error| Rejection::new(StatusCode::BAD_REQUEST, error))
    }

    /// Delays the response and injects an error, as configured or requested.
    async fn inject_faults(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let overrides = self.overrides(headers)?;
        let (share, which, fraction) = {
            let mut rng = self.rng.lock();
            (rng.f64(), rng.usize(..), rng.f64())
        };
        let latency = overrides.latency.unwrap_or_else(|| self.config.latency.draw(fraction));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let Some(status) = overrides.status.or_else(|| self.config.faults.pick(share, which)) else { return Ok(()) };
        let message = match status {
            StatusCode::REQUEST_TIMEOUT => "The request is too heavy: ask for less at a time.",
            StatusCode::FORBIDDEN => "The property doesn't allow this now.",
            StatusCode::CONFLICT => "The data have changed in the meantime.",
            StatusCode::TOO_MANY_REQUESTS => "Too many requests: heed Retry-After.",
            _ => "The simulator was told to fail.",
        };
        let retry_after = (status == StatusCode::TOO_MANY_REQUESTS).then_some(1);
        Err(Rejection { retry_after, ..Rejection::new(status, message) })
    }

    /// The response body, and whether it is empty.
    fn execute(&self, path: &str, request: &Map<String, Value>) -> Result<(Vec<u8>, bool), Rejection> {
        let now = (self.config.now)();
        let read = execute::read(&self.property.read(), path, request, now)
            .map_err(|error| Rejection::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        let outcome = match read {
            Some(outcome) => outcome,
            None => execute::perform(&mut self.property.write(), path, request, now),
        };
        self.events.publish(outcome.events, self.config.webhook.is_some());
        Ok((outcome.body, outcome.is_empty))
    }

    fn open_socket(&self, id: &str, request: Request<Incoming>) -> Result<Response<Body>, Rejection> {
        let Some(mut response) = socket::accept(request.headers()) else {
            return Err(Rejection::new(StatusCode::BAD_REQUEST, "This address is for WebSockets."));
        };
        let cookies = request.headers().get_all(header::COOKIE).into_iter().map(http::HeaderValue::as_bytes);
        let envelope = envelope::from_cookies(cookies);
        for (name, token) in [("ClientToken", envelope.client_token), ("AccessToken", envelope.access_token)] {
            if !token.is_some_and(|token| self.tokens.contains(&*token)) {
                return Err(unauthorized(name));
            }
        }
        let Ok(permit) = Arc::clone(&self.sockets).try_acquire_owned() else {
            return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "There are too many WebSockets."));
        };
        // Events count from the response on, not from the end of the upgrade.
        let events = self.events.subscribe();
        self.tasks.spawn(socket::serve(request, events, self.stopping.clone(), permit));
        response::identify(&mut response, id);
        Ok(response)
    }
}

impl Handler for Simulator {
    type Body = Body;

    async fn handle(&self, context: RequestContext, request: Request<Incoming>) -> Response<Body> {
        let id = guid(self.rng.lock().u128(..).to_le_bytes());
        match self.respond(&id, context, request).await {
            Ok(response) => response,
            Err(rejection) => rejection.response(&id),
        }
    }
}

fn unauthorized(name: &str) -> Rejection {
    Rejection::new(StatusCode::UNAUTHORIZED, format!("Invalid {name}: it is not known."))
}

/// Rejects violations of the contract. As at Mews, unknown properties are ignored and deprecated ones accepted; where
/// Mews' sources contradict each other, nothing is rejected. Ids of any form are accepted, so that tests may name
/// things freely.
fn check(findings: Vec<Finding>) -> Result<(), Rejection> {
    let is_tolerated = |finding: &Finding| {
        use FindingKind::{DeprecatedField, DeprecatedValue, MalformedId, UnknownField};
        finding.disputed.is_some()
            || matches!(finding.kind, UnknownField | DeprecatedField | DeprecatedValue | MalformedId)
    };
    let violations: Vec<_> =
        findings.iter().filter(|finding| !is_tolerated(finding)).map(ToString::to_string).collect();
    match violations.first() {
        Some(first) => {
            Err(Rejection::new(StatusCode::BAD_REQUEST, format!("Invalid request: {first}.")).with_details(violations))
        }
        None => Ok(()),
    }
}

fn prefers_minimal(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split([',', ';'])).any(|part| part.trim().eq_ignore_ascii_case("return=minimal"))
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}
