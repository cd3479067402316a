//! Proxy configuration.

use std::{sync::Arc, time::Duration};

use nightaudit_exchange::Api;
use nightaudit_fault::Faults;

use crate::{Origin, WebhookTarget};

/// Configuration of a [`Proxy`](crate::Proxy).
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Name of the environment, as recorded.
    pub environment: Arc<str>,
    /// What is particular to the API.
    pub description: &'static Api,
    /// Host of the API.
    pub api: Origin,
    /// Host of the WebSocket.
    pub events: Origin,
    /// Bytes of a body that are recorded (default 8 MiB).
    pub keep_body: usize,
    /// Bytes buffered of all bodies together (default 256 MiB, at least 8 MiB), beyond the first 16 KiB of each: those
    /// to be recorded, until they are written, and those that can't be forwarded yet. Requests may use half. When
    /// exhausted, reads wait: up to 5 s if the body could be forwarded, after which its record is truncated, otherwise
    /// up to [`Timeouts::request_body`].
    pub keep_total: usize,
    /// Minimum rate of a request body, in bytes per second (default 240), on top of the time that
    /// [`Timeouts::request_body`] allows; 0 for no minimum. Only time spent waiting for the client counts.
    pub min_body_rate: u64,
    /// Concurrent WebSockets (default 1,024). They count towards no other limit and never time out.
    pub max_tunnels: usize,
    /// Concurrent upstream connections, not counting WebSockets (default 4,096). Requests that need another wait up to
    /// [`Timeouts::connect`]; unused connections are closed for them.
    pub max_upstream_connections: usize,
    /// Exchanges in flight, as many as the recorder has permits for (default 4,096). One client address gets at most
    /// three quarters of them, and one connection a fifth of that.
    pub queue: usize,
    /// Whether redirects to the hosts are rewritten to point to the proxy (default true). They are recorded as
    /// received.
    pub rewrite_redirects: bool,
    /// Where requests are forwarded to if they are webhooks, sent to the integration by the API's host. They are recorded
    /// as such, in no session of their own choosing, and without what may be secret in their URL.
    pub webhook: Option<WebhookTarget>,
    /// The fault rules, which may change at any time.
    pub faults: Faults,
    /// Timeouts.
    pub timeouts: Timeouts,
}

impl ProxyConfig {
    /// Returns the defaults for an environment of an API, with this name and these hosts.
    #[must_use]
    pub fn new(environment: &str, description: &'static Api, api: Origin, events: Origin) -> Self {
        Self {
            environment: environment.into(),
            description,
            api,
            events,
            keep_body: 8 << 20,
            keep_total: 256 << 20,
            min_body_rate: 240,
            max_tunnels: 1024,
            max_upstream_connections: 4096,
            queue: 4096,
            rewrite_redirects: true,
            webhook: None,
            faults: Faults::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Timeouts of a [`Proxy`](crate::Proxy). None of them ends a body that keeps to [`ProxyConfig::min_body_rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to Mews, including TLS (default 10 s).
    pub connect: Duration,
    /// Between two reads of a request body, and in total, plus the time that [`ProxyConfig::min_body_rate`] grants per
    /// byte received (default 30 s).
    pub request_body: Duration,
    /// From the end of the request to the response head (default 300 s). Mews responds 408 to requests that take too
    /// long, so this is for a Mews that does not respond at all.
    pub response_head: Duration,
    /// Between two reads of a response body (default 60 s).
    pub response_body: Duration,
    /// How long a complete response waits to be recorded (default 10 s). After that, on a full disk for instance, the
    /// client's connection is aborted, and the exchange is recorded once possible.
    pub record: Duration,
    /// How long an idle connection to Mews is kept (default 50 s, less than servers usually do).
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
