//! The limits, and how refusals were met.

use nightaudit_exchange::{ExchangeId, Pseudonym, Timestamp};
use serde::{Deserialize, Serialize};

/// A limit and a key that is counted by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitReview {
    /// The rule's name: `published`.
    pub rule: String,
    /// Where the rule is known from.
    pub source: LimitSource,
    /// Requests that it allows in a window.
    pub requests: u32,
    /// The window's length in milliseconds; none where only the rule's own notes are known.
    pub window_ms: Option<u64>,
    /// The access token whose requests are counted; none where the rule doesn't count by it, or they have none.
    pub access_token: Option<Pseudonym>,
    /// The client token, likewise.
    pub client_token: Option<Pseudonym>,
    /// The operation, likewise.
    pub operation: Option<String>,
    /// Requests of the key that left for Mews.
    pub sent: u64,
    /// The fullest window; none where nothing was sent.
    pub busiest: Option<BusiestWindow>,
    /// Requests of the key that nightaudit refused by this rule.
    pub refused_by_us: u64,
    /// Requests of the key that Mews answered 429.
    pub refused_by_mews: u64,
    /// Requests that nightaudit held back for a time.
    pub delayed: u64,
    /// Requests that were sent although they were over the limit (`on_limit = "observe"`).
    pub observed: u64,
    /// How full the window was, over time.
    pub series: LimitSeries,
}

/// Where a limit is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitSource {
    /// Mews publishes it for the environment.
    Published,
    /// The configuration has it.
    Configured,
    /// The exchanges name it. Its window's length isn't known, and how full it was is what the limiter noted.
    Noted,
}

/// The fullest window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BusiestWindow {
    /// When the first request in it was sent; for a noted rule, when the fullest was noted.
    pub from: Timestamp,
    /// When the last request in it was sent.
    pub to: Timestamp,
    /// Requests in it.
    pub requests: u32,
    /// Requests by the limit: 1 is all that is allowed.
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
    /// When the step begins.
    pub at: Timestamp,
    /// Requests sent in it.
    pub sent: u32,
    /// The fullest that a window was that ended in it.
    pub peak: u32,
    /// Requests refused in it, by nightaudit and by Mews.
    pub refused: u32,
}

/// How the requests of a token met refusals and failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryReview {
    /// The access token.
    pub access_token: Option<Pseudonym>,
    /// Who refused.
    pub origin: RetryOrigin,
    /// How.
    pub cause: RetryCause,
    /// How many refusals or failures there were.
    pub count: u64,
    /// How many said in `Retry-After` when to come back.
    pub with_retry_after: u64,
    /// How many of those were followed by a request before that.
    pub ignored: u64,
    /// How many of those were heeded.
    pub heeded: u64,
    /// Rows of failures of the same request in which the pauses grew.
    pub backed_off: u64,
    /// Rows in which the pauses stayed the same.
    pub fixed_pauses: u64,
    /// Rows in which they did not grow.
    pub without_backoff: u64,
    /// Times that requests went on at volume.
    pub hammered: u64,
    /// The shortest pause before the same request was sent again, in milliseconds; none where it never was.
    pub shortest_pause_ms: Option<u64>,
    /// The longest.
    pub longest_pause_ms: Option<u64>,
}

/// Who refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryOrigin {
    /// Mews.
    Mews,
    /// nightaudit, in Mews' place.
    Nightaudit,
}

/// How a request was refused, or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryCause {
    /// 429.
    TooManyRequests,
    /// 408.
    TooHeavy,
    /// 5xx.
    ServerError,
    /// No answer.
    NoAnswer,
}
