//! The console: the local HTTP API, on its own port.
//!
//! [`Console`] is a [`Handler`] over any readable log ([`ReadLog`]): exchanges as pages, one by one, as NDJSON and as
//! server-sent events; sessions, limits, exports, health and metrics. Everything except health and the page's files requires a [`Token`], in a
//! header for requests that change something, and a `Host` that is one of the console's names. [`Gauges`] supply what is
//! not in the log.
//!
//! | path | response |
//! |---|---|
//! | `GET /api/v1/exchanges` | a page `{"exchanges": […], "next": …}`; with `format=ndjson` one exchange a line |
//! | `GET /api/v1/exchanges/{id}` | one exchange, by its id or a unique prefix |
//! | `GET /api/v1/exchanges/{id}/row` | what a list shows of one exchange |
//! | `GET /api/v1/exchanges/{id}/position` | its position among the matches, as `rows` counts them |
//! | `GET /api/v1/exchanges/{id}/neighbours` | the exchanges before and after it with the same operation, token or error |
//! | `GET /api/v1/exchanges/{id}/contract` | its request against the documentation, with each finding's place |
//! | `GET /api/v1/exchanges/{id}/body` | a recorded body as a file |
//! | `GET /api/v1/exchanges/{id}/code` | its request as code that sends it again |
//! | `GET /api/v1/exchanges/{id}/resend` | its request as it would be sent again; `POST` sends it, with changes |
//! | `GET /api/v1/rows` | rows of the matches from any position, and how many there are |
//! | `GET /api/v1/histogram` | how many matches started when, failures and refusals apart |
//! | `GET /api/v1/facets` | the values that matches have, and how often |
//! | `GET /api/v1/follow` | exchanges as they are recorded, as server-sent events |
//! | `GET /api/v1/sessions` | the sessions; `POST` with `{"name": …}` starts one or continues the open one |
//! | `GET /api/v1/sessions/{session}` | one session; `PATCH` with `{"name": …, "note": …, "declaration": …}` changes it, `DELETE` deletes it |
//! | `POST /api/v1/sessions/{session}/end` | ends it; `current` is the one being recorded |
//! | `GET /api/v1/sessions/{session}/review` | the review, as `review --json` prints it, and how far it goes |
//! | `GET /api/v1/sessions/{session}/run` | the review in a few figures |
//! | `GET /api/v1/sessions/{session}/declaration` | the declaration, with a template; `PUT` stores it; `.toml` downloads it |
//! | `POST /api/v1/import` | imports an NDJSON export, or what another tool recorded |
//! | `GET /api/v1/compare?a=…&b=…` | what changed from the review of one session to that of another |
//! | `POST /api/v1/evidence` | writes a report, HAR, bundle or NDJSON; `GET …/{id}` says how far it is, `…/file` downloads it |
//! | `GET /api/v1/key` | the fingerprint of the signing key |
//! | `GET /api/v1/catalogue` | use cases, operations and rules, for the declaration |
//! | `GET /api/v1/log` | totals of the log: `{"sessions": …, "exchanges": …}` |
//! | `GET /api/v1/log/check` | the result of verifying every byte, which takes as long as reading them |
//! | `GET /api/v1/status` | whether it records and reaches Mews, and what it is |
//! | `GET /api/v1/limits` | used and remaining permits, per rule and key |
//! | `GET /api/v1/limits/history` | how full the windows were in the last minutes |
//! | `GET /api/v1/faults` | the fault rules; `POST` with `{"rule": …}` adds one, `DELETE` clears all, `DELETE …/{number}` one |
//! | `POST /api/v1/tickets` | a path that opens the page once, within a minute |
//! | `GET /api/v1/export?format=har` | a file; also `ndjson`, `csv` and `curl` |
//! | `GET /api/v1/health` | whether the log is writable; needs no token |
//! | `GET /metrics` | Prometheus metrics |
//! | `GET /api/v1/openapi.json` | the OpenAPI document |
//!
//! A browser that asks for `/` gets the page, whose files are at `/page/…`; they hold no data and need no token.
//!
//! At most 16 exports and NDJSON queries, 32 pages or single exchanges, and 64 followers are served at once; further
//! requests get 503 with `Retry-After`. The server aborts responses that stall.
//!
//! Exchanges, follow and export accept a [`Filter`](nightaudit_exchange::Filter) as query parameters; errors are
//! `{"error": …}`.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use nightaudit_console::{Console, Gauges, Token};
//! use nightaudit_listen::Server;
//! use nightaudit_store::{StoreConfig, Log};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = std::path::Path::new("/var/lib/nightaudit");
//! let log = Arc::new(Log::open(StoreConfig::new(folder, &nightaudit_mews::API))?);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
//! let token = Token::load_or_create(folder)?;
//! let console = Console::new(log, token, listener.local_addr()?, Vec::new(), Gauges::default());
//! let stop = console.stop_signal(async { /* a signal, say */ });
//! Server::new(Default::default()).serve(listener, Arc::new(console), stop).await;
//! # Ok(())
//! # }
//! ```

mod around;
mod body;
mod bounds;
mod catalogue;
mod code;
mod contract;
mod counts;
mod declaration;
mod differences;
mod disk;
mod error;
mod evidence;
mod exchanges;
mod faults;
mod follow;
mod gauges;
mod guard;
mod import;
mod log;
mod metrics;
mod open;
mod openapi;
mod owner;
mod page;
mod resend;
mod resending;
mod review;
mod routes;
mod row;
mod rows;
mod sessions;
mod shared;
#[cfg(test)]
mod slow;
mod state;
mod stream;
mod tickets;
mod token;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use hyper::body::Incoming;
use nightaudit_listen::{Handler, RefusalKind, RequestContext};
use nightaudit_log::ReadLog;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

pub(crate) use self::shared::{Shared, blocking, now, pairs, reading, take};
use self::{
    differences::Comparisons, error::ApiError, evidence::Jobs, guard::Names, review::Reviews, shared::Peer,
    tickets::Tickets,
};
pub use self::{
    gauges::{
        ArchiveReport, ArchiveState, BasisReader, EvidenceTools, Gauges, Importer, KeyResult, LimitHistory,
        LimitReport, LimitState, LimitStoreReport, LimitStoreState, MAX_MINUTES, NodeUsage, ProxyState, RuleHistory,
    },
    resending::{Resend, ResendEnvironment, Resending, Resent, Reveal, Sending},
    token::{Token, TokenError},
};

/// The console's request handler.
#[derive(Debug)]
pub struct Console {
    router: Router,
    shared: Arc<Shared>,
}

impl Console {
    /// A console over `log`, bound to `address`. It accepts that address, the names of loopback, and `names` as `Host`.
    #[must_use]
    pub fn new(log: Arc<dyn ReadLog>, token: Token, address: SocketAddr, names: Vec<String>, gauges: Gauges) -> Self {
        let jobs = Jobs::new(gauges.evidence.as_ref().map(|tools| &*tools.folder));
        let shared = Arc::new(Shared {
            log,
            token,
            names: Names::new(address, names),
            gauges,
            stopping: CancellationToken::new(),
            bounds: Arc::default(),
            reviews: Reviews::default(),
            comparisons: Comparisons::default(),
            tickets: Tickets::default(),
            jobs,
        });
        let router = routes::router(true)
            .fallback(no_such_address)
            .method_not_allowed_fallback(no_such_method)
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), authorise))
            .merge(
                routes::router(false)
                    .merge(page::router())
                    .merge(open::router())
                    .method_not_allowed_fallback(no_such_method),
            )
            .layer(middleware::from_fn(page::for_browsers))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), name_and_harden))
            .with_state(Arc::clone(&shared));
        Self { router, shared }
    }

    /// A path that opens the page once, within a minute: for the arguments of a browser, which other users can read.
    ///
    /// # Errors
    ///
    /// The system's random number generator failed.
    pub fn ticket(&self) -> Result<String, TokenError> {
        open::ticket_path(&self.shared).map_err(TokenError::Random)
    }

    /// Waits for `stop`, then ends the followers, which would otherwise never end.
    pub fn stop_signal<S: Future<Output = ()>>(&self, stop: S) -> impl Future<Output = ()> + use<S> {
        let stopping = self.shared.stopping.clone();
        async move {
            stop.await;
            stopping.cancel();
        }
    }
}

impl Handler for Console {
    type Body = Body;

    async fn handle(&self, arrival: RequestContext, request: Request<Incoming>) -> Response {
        if let Some(refusal) = arrival.refusal {
            let status = match refusal.kind {
                RefusalKind::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                RefusalKind::Timeout => StatusCode::REQUEST_TIMEOUT,
                RefusalKind::Connect => StatusCode::METHOD_NOT_ALLOWED,
                _ => StatusCode::BAD_REQUEST,
            };
            return ApiError::new(status, refusal.message).into_response();
        }
        let mut request = request;
        request.extensions_mut().insert(Peer(arrival.peer));
        let result: Result<Response, Infallible> = self.router.clone().call(request).await;
        match result {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn is_crowded(&self) -> bool {
        self.shared.bounds.any_reached()
    }
}

/// The outermost layer: checks the host and sets the security headers.
async fn name_and_harden(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match shared.names.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    for (name, value) in [
        // The URL may hold the token: keep it out of caches and out of `Referer`.
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // What was recorded is never a document of this origin, and no other origin's page gets it.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        // The page's files say something else about some of these.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn authorise(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match guard::check_token(&shared.token, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn no_such_address(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("no such path: `{}` (see `/` for the list)", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("`{}` doesn't support {method} (see `/` for the list)", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use http_body_util::BodyExt as _;
    use nightaudit_log::testing::MemoryLog;

    use super::*;

    pub(crate) struct Opened {
        pub(crate) console: Console,
        token: String,
        pub(crate) log: MemoryLog,
        _folder: tempfile::TempDir,
    }

    impl Opened {
        /// Adds an exchange to the log and returns its id.
        pub(crate) fn record(&self) -> String {
            self.log.record(serde_json::from_str(EXCHANGE).unwrap());
            serde_json::from_str::<serde_json::Value>(EXCHANGE).unwrap()["id"].as_str().unwrap().to_owned()
        }

        pub(crate) fn shared(&self) -> &Shared {
            &self.console.shared
        }

        /// Takes an export's permit.
        pub(crate) fn hold_export(&self) -> Option<crate::bounds::Permit> {
            self.shared().bounds.export().ok()
        }

        pub(crate) fn is_crowded(&self) -> bool {
            Handler::is_crowded(&self.console)
        }

        /// Takes the permit of a request that waits for a review.
        pub(crate) fn hold_poll(&self) -> Option<crate::bounds::Permit> {
            self.shared().bounds.poll().ok()
        }

        /// How many requests wait for a review.
        pub(crate) fn waiting_polls(&self) -> usize {
            self.shared().bounds.polls_taken()
        }

        /// How many sessions' reviewers are kept.
        pub(crate) fn kept_reviews(&self) -> usize {
            self.shared().reviews.count()
        }

        /// A response that may never end.
        pub(crate) async fn get(&self, path: &str, last_event: Option<&str>) -> Response {
            let name = http::HeaderName::from_static("last-event-id");
            self.get_with(path, &last_event.map(|id| (name, id)).into_iter().collect::<Vec<_>>()).await
        }

        /// A response that may never end, to a request with these headers.
        pub(crate) async fn get_with(&self, path: &str, headers: &[(http::HeaderName, &str)]) -> Response {
            let mut request = http::Request::get(path)
                .header(header::HOST, "localhost")
                .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            self.console.router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap()
        }
    }

    pub(crate) const EXCHANGE: &str = r#"{"id":"01KAS00000000000000000000A","session":"01KAS000000000000000000000","sessionName":"certification","sequence":1,"environment":"demo","operation":"configuration/get","startedAt":"2026-11-23T12:00:00.123456Z","timesUs":{"forwarded":210,"responseHead":84312,"responseEnd":85120},"peer":"127.0.0.1:51234","envelope":{"client":"Acme Kiosk 2.1.0","clientToken":null,"accessToken":"REDACTED:b1946ac92492","paginated":false},"request":{"method":"POST","url":"https://api.mews-demo.com/api/connector/v1/configuration/get","httpVersion":"HTTP/1.1","headers":[{"name":"Content-Type","value":"application/json"}],"body":"{}","bodyEncoding":"utf-8","bodyLength":2,"bodySha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","truncated":false},"response":{"status":200,"httpVersion":"HTTP/2","headers":[],"requestId":"r-1","body":"{}","bodyEncoding":"utf-8","bodyLength":2,"bodySha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","truncated":false},"limit":{"decision":"admitted","rule":"published","used":12,"limit":200,"waitedMs":0,"retryAfterS":null},"outcome":"answered","error":null}"#;

    pub(crate) fn console() -> Opened {
        let log = MemoryLog::default();
        let faults = Some(nightaudit_fault::Faults::default());
        console_over(log.clone(), Arc::new(log), Gauges { faults, ..Gauges::default() })
    }

    /// A console over `read`, which reads `log`.
    pub(crate) fn console_over(log: MemoryLog, read: Arc<dyn ReadLog>, gauges: Gauges) -> Opened {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(folder.path()).unwrap();
        let text = token.as_str().to_owned();
        let address = "127.0.0.1:8081".parse().unwrap();
        let limit = LimitState {
            rule: "published".to_owned(),
            key: "REDACTED:b1946ac92492".to_owned(),
            limit: 200,
            window_ms: 30_000,
            used: 12,
            left: 188,
            next_free_ms: 0,
            refused: 0,
            refused_by_mews: 0,
            delayed: 0,
            closed_for_ms: None,
            nodes: Vec::new(),
        };
        let limits = move || -> LimitReport {
            let limits = vec![limit.clone()];
            Box::pin(async { Ok(limits) })
        };
        let gauges = Gauges { limits: Box::new(limits), ..gauges };
        let console = Console::new(read, token, address, Vec::new(), gauges);
        Opened { console, token: text, log, _folder: folder }
    }

    /// A request without a body, with the token in its header or without it.
    pub(crate) async fn ask(opened: &Opened, method: &str, path: &str, bearer: bool) -> (StatusCode, String) {
        answer(opened, method, path, bearer, "").await
    }

    /// A request with the token in its header.
    pub(crate) async fn send(opened: &Opened, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        answer(opened, method, path, true, body).await
    }

    /// A request with the token and these headers.
    pub(crate) async fn send_with(
        opened: &Opened,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(http::HeaderName, &str)],
    ) -> (StatusCode, String) {
        let token = format!("Bearer {}", opened.token);
        let headers = [&[(header::AUTHORIZATION, &*token)], headers].concat();
        answer_to(opened, method, path, body, &headers).await
    }

    async fn answer(opened: &Opened, method: &str, path: &str, bearer: bool, body: &str) -> (StatusCode, String) {
        match bearer {
            true => send_with(opened, method, path, body, &[]).await,
            false => answer_to(opened, method, path, body, &[]).await,
        }
    }

    async fn answer_to(
        opened: &Opened,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(http::HeaderName, &str)],
    ) -> (StatusCode, String) {
        let mut request = http::Request::builder().method(method).uri(path).header(header::HOST, "localhost:8081");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = opened.console.router.clone().call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn changes_require_the_token_in_a_header() {
        let opened = console();
        let path = format!("/api/v1/sessions?token={}", opened.token);
        assert_eq!(ask(&opened, "GET", &path, false).await.0, StatusCode::OK);
        assert_eq!(answer(&opened, "POST", &path, false, r#"{"name":"a"}"#).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&opened, "GET", "/api/v1/sessions", true).await.1, r#"{"sessions":[]}"#);
        for method in ["PUT", "OPTIONS", "TRACE"] {
            let (status, body) = ask(&opened, method, "/api/v1/sessions", true).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
            assert!(body.contains(method), "{body}");
        }
    }

    #[tokio::test]
    async fn everything_but_health_requires_the_token() {
        let opened = console();
        assert_eq!(ask(&opened, "GET", "/api/v1/health", false).await.0, StatusCode::OK);
        let exports = "/api/v1/export?format=har";
        let paths =
            ["/", "/api/v1/exchanges", "/api/v1/sessions", "/api/v1/limits", "/metrics", exports, "/api/v1/follow"];
        for path in paths {
            assert_eq!(ask(&opened, "GET", path, false).await.0, StatusCode::UNAUTHORIZED, "{path}");
        }
        // Whether a path exists isn't revealed either.
        assert_eq!(ask(&opened, "GET", "/secret", false).await.0, StatusCode::UNAUTHORIZED);
        for path in paths.into_iter().filter(|path| !path.ends_with("follow")) {
            assert_eq!(ask(&opened, "GET", path, true).await.0, StatusCode::OK, "{path}");
        }
        assert_eq!(ask(&opened, "GET", "/secret", true).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn an_empty_log_has_an_empty_page() {
        let (_, page) = ask(&console(), "GET", "/api/v1/exchanges", true).await;
        assert_eq!(page, r#"{"exchanges":[],"unreadable":[],"next":null}"#);
    }

    #[tokio::test]
    async fn the_token_in_the_query_is_not_taken_for_a_filter() {
        let opened = console();
        let path = format!("/api/v1/exchanges?token={}&token=REDACTED:b1946ac92492", opened.token);
        assert_eq!(ask(&opened, "GET", &path, false).await.0, StatusCode::OK);
        let path = format!("/api/v1/exchanges?token={}&token=x", opened.token);
        assert_eq!(ask(&opened, "GET", &path, false).await.0, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn an_invalid_request_gets_an_error_that_names_the_mistake() {
        let opened = console();
        for (path, named) in [
            ("/api/v1/exchanges?status=often", "status"),
            ("/api/v1/exchanges?limit=x", "limit"),
            ("/api/v1/exchanges?order=up", "order"),
            ("/api/v1/exchanges?after=x", "after"),
            ("/api/v1/exchanges?colour=red", "colour"),
            ("/api/v1/export", "format"),
            ("/api/v1/export?format=xml", "xml"),
            ("/api/v1/export?format=bundle", "nightaudit export"),
            ("/api/v1/follow?after=x", "after"),
        ] {
            let (status, body) = ask(&opened, "GET", path, true).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
            let error: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(error["error"].as_str().unwrap().contains(named), "{path}: {body}");
        }
        assert_eq!(ask(&opened, "GET", "/api/v1/exchanges/01KAS", true).await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&opened, "GET", "/api/v1/exchanges?session=none", true).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn shutdown_ends_the_followers() {
        let opened = console();
        let path = format!("/api/v1/follow?token={}", opened.token);
        let request = http::Request::get(path).header(header::HOST, "localhost").body(Body::empty()).unwrap();
        let response = opened.console.router.clone().call(request).await.unwrap();
        opened.console.stop_signal(async {}).await;
        let body = response.into_body().collect().await.map(|body| body.to_bytes());
        // With or without the first event, it ends.
        assert!(body.is_err() || body.is_ok_and(|body| body.len() < 100));
    }
}
