//! Limits and retries.

use nightaudit_exchange::{ExchangeId, Pseudonym, Timestamp};
use serde::{Deserialize, Serialize};

/// A limit and one of its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitReview {
    /// The rule's name: `published`.
    pub rule: String,
    /// The source of the rule.
    pub source: LimitSource,
    /// Requests allowed per window.
    pub requests: u32,
    /// The window in milliseconds; `None` if the rule is known only from exchanges.
    pub window_ms: Option<u64>,
    /// The access token whose requests are counted; `None` if the rule doesn't count per token, or there is none.
    pub access_token: Option<Pseudonym>,
    /// The client token, likewise.
    pub client_token: Option<Pseudonym>,
    /// The operation, likewise.
    pub operation: Option<String>,
    /// Requests of the key that left for Mews.
    pub sent: u64,
    /// The fullest window; `None` if nothing was sent.
    pub busiest: Option<BusiestWindow>,
    /// Requests of the key that nightaudit refused under this rule.
    pub refused_by_us: u64,
    /// Requests of the key that Mews rejected with 429.
    pub refused_by_mews: u64,
    /// Requests that nightaudit delayed.
    pub delayed: u64,
    /// Requests that were sent although they were over the limit (`on_limit = "observe"`).
    pub observed: u64,
    /// How full the window was over time.
    pub series: LimitSeries,
}

/// The source of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitSource {
    /// Published by Mews for the environment.
    Published,
    /// From the configuration.
    Configured,
    /// Named by exchanges. The window's length is unknown, and its usage is what the limiter noted.
    Noted,
}

/// The fullest window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BusiestWindow {
    /// When its first request was sent; for a noted rule, when the highest usage was noted.
    pub from: Timestamp,
    /// When its last request was sent.
    pub to: Timestamp,
    /// Requests in it.
    pub requests: u32,
    /// Requests relative to the limit: 1.0 is exactly the limit.
    pub share: f64,
    /// The last request in it.
    pub exchange: ExchangeId,
}

/// How full a window was over time, in steps of equal length, for a chart. Steps without requests are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitSeries {
    /// Milliseconds between two points.
    pub step_ms: u64,
    /// The points, at most 360.
    pub points: Vec<LimitPoint>,
}

/// A point of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitPoint {
    /// The start of the step.
    pub at: Timestamp,
    /// Requests sent in it.
    pub sent: u32,
    /// Requests in the fullest window that ended in it.
    pub peak: u32,
    /// Requests refused in it, by nightaudit and by Mews.
    pub refused: u32,
}

/// A token's retries after refusals and failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryReview {
    /// The access token.
    pub access_token: Option<Pseudonym>,
    /// The source of the refusals.
    pub origin: RetryOrigin,
    /// The kind of refusal or failure.
    pub cause: RetryCause,
    /// Refusals or failures.
    pub count: u64,
    /// How many of them had a `Retry-After`.
    pub with_retry_after: u64,
    /// Those of them that were not checked, as too many were in progress at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchecked: u64,
    /// How many of those were followed by an earlier request.
    pub ignored: u64,
    /// How many of those were respected.
    pub heeded: u64,
    /// Series of failures of the same request with growing pauses.
    pub backed_off: u64,
    /// Series with a fixed pause.
    pub fixed_pauses: u64,
    /// Series with pauses that did not grow.
    pub without_backoff: u64,
    /// Times that requests continued at volume.
    pub hammered: u64,
    /// The shortest pause before a retry, in milliseconds; `None` without retries.
    pub shortest_pause_ms: Option<u64>,
    /// The longest pause before a retry, in milliseconds.
    pub longest_pause_ms: Option<u64>,
}

/// Who refused or failed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryOrigin {
    /// Mews.
    Mews,
    /// nightaudit, before Mews received it.
    Nightaudit,
    /// A fault rule of nightaudit, on purpose.
    Fault,
}

/// How a request was refused or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryCause {
    /// 429.
    TooManyRequests,
    /// 408.
    TooHeavy,
    /// 5xx.
    ServerError,
    /// No response.
    NoAnswer,
}

/// Left out, so that reviews without it are as they were.
fn is_zero(count: &u64) -> bool {
    *count == 0
}
