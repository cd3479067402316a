//! What a proxy must be told.

use std::{sync::Arc, time::Duration};

use crate::Origin;

/// What a [`Proxy`](crate::Proxy) must be told.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// The environment's name, as it is recorded.
    pub environment: Arc<str>,
    /// The host of the API.
    pub api: Origin,
    /// The host of the WebSocket.
    pub events: Origin,
    /// How many bytes of a body are kept for the record (default 8 MiB).
    pub keep_body: usize,
    /// How many bytes are held of all bodies together (default 256 MiB, at least 8 MiB), beyond the first 16 KiB of each:
    /// those kept for the record until it is written, and those that can't be forwarded yet. Requests may have half of
    /// them. When they are used up,
    /// reading waits: 5 s where the body could flow on, after which less of it is kept for the record, else as long as
    /// [`Timeouts::request_body`].
    pub keep_total: usize,
    /// How many bytes a second a request's body must bring (default 240), beside what [`Timeouts::request_body`] allows
    /// anyway; 0 for any. Only time counts in which the client is waited for.
    pub min_body_rate: u64,
    /// How many WebSockets may be open at once (default 1,024). They count for no other bound, and have no end of their
    /// own.
    pub max_tunnels: usize,
    /// How many connections to the hosts may be open at once, beside those of WebSockets (default 4,096). Requests that
    /// need one more wait for as long as [`Timeouts::connect`]; unused ones are closed for them.
    pub max_upstream_connections: usize,
    /// How many exchanges may be under way at once, as many as the recorder has permits for (default 4,096). The
    /// requests of one address get three quarters of them at most, and those of one connection a fifth of that.
    pub queue: usize,
    /// Whether redirects to the hosts are rewritten to lead to the proxy (default true). They are recorded as they came.
    pub rewrite_redirects: bool,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl ProxyConfig {
    /// The defaults for an environment of this name with these hosts.
    #[must_use]
    pub fn new(environment: &str, api: Origin, events: Origin) -> Self {
        Self {
            environment: environment.into(),
            api,
            events,
            keep_body: 8 << 20,
            keep_total: 256 << 20,
            min_body_rate: 240,
            max_tunnels: 1024,
            max_upstream_connections: 4096,
            queue: 4096,
            rewrite_redirects: true,
            timeouts: Timeouts::default(),
        }
    }
}

/// How long things may take. None of these cuts a body that flows as fast as [`ProxyConfig::min_body_rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to Mews, TLS included (default 10 s).
    pub connect: Duration,
    /// Between two pieces of a request's body (default 30 s), and in all, with what comes on top of it for each byte that
    /// came.
    pub request_body: Duration,
    /// From the last piece of the request to the head of the answer (default 300 s; Mews answers 408 to a request that
    /// it finds too heavy, so this is for a Mews that does not answer at all).
    pub response_head: Duration,
    /// Between two pieces of an answer's body (default 60 s).
    pub response_body: Duration,
    /// For which a response that has come whole waits for its record (default 10 s): on a full disk the client's connection
    /// is ended then, and the exchange is recorded when that is possible.
    pub record: Duration,
    /// For which an unused connection to Mews is kept (default 50 s, less than servers usually do).
    pub upstream_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request_body: Duration::from_secs(30),
            response_head: Duration::from_secs(300),
            response_body: Duration::from_secs(60),
            record: Duration::from_secs(10),
            upstream_idle: Duration::from_secs(50),
        }
    }
}
