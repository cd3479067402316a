//! Operations, failed calls, and the accuracy of requests.

use std::collections::BTreeMap;

use nightaudit_exchange::{ExchangeId, Pseudonym, Timestamp};
use nightaudit_mews::FindingKind;
use serde::{Deserialize, Serialize};

/// An operation that was called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationReview {
    /// The path after `/api/connector/v1/`; the whole path for anything else.
    pub operation: String,
    /// Its title; `None` for an unknown operation.
    pub title: Option<String>,
    /// Calls, whatever their outcome.
    pub calls: u64,
    /// Calls that left for Mews.
    pub sent: u64,
    /// Calls with a 2xx response.
    pub succeeded: u64,
    /// Calls per hour of the run; of a shorter run, its calls.
    pub per_hour: f64,
    /// Calls in the busiest hour of the clock.
    #[serde(default)]
    pub busiest_hour: u64,
    /// Responses by status, from Mews and nightaudit.
    pub statuses: BTreeMap<u16, u64>,
    /// Calls without any response.
    pub unanswered: u64,
    /// Latency from sending to the end of Mews' response; `None` if there was none.
    pub latency: Option<LatencyMs>,
    /// Sizes of request bodies as transferred.
    pub request: Sizes,
    /// Sizes of response bodies as transferred.
    pub response: Sizes,
    /// Whether it is paginated.
    pub paginated: bool,
    /// Calls with a `Limitation`.
    pub paged: u64,
    /// Calls per top-level property, apart from the envelope and `Limitation`.
    pub filters: BTreeMap<String, u64>,
    /// When it was first called.
    pub first: Timestamp,
    /// When it was last called.
    pub last: Timestamp,
}

/// Latencies in milliseconds, each accurate to 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyMs {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// The mean.
    pub mean: u64,
    /// The largest.
    pub max: u64,
    /// The sum.
    pub total: u64,
}

/// Failed calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Errors {
    /// Calls that failed: a status of 400 or more, or no response. Requests rejected by nightaudit are not calls.
    pub failed: u64,
    /// How many of them were later resolved by a call for the same thing, with the mistake fixed.
    pub resolved: u64,
    /// How many were not.
    pub unresolved: u64,
    /// Groups of calls that failed in the same way, unresolved ones first.
    pub calls: Vec<ErrorReview>,
    /// Attempts at the same thing and the calls that resolved them, unresolved ones first. At most 60.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<RetryChain>,
    /// Failed calls that are counted but not listed.
    pub unlisted: u64,
}

/// Calls that failed in the same way: same operation, token, status and message, and either all resolved or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReview {
    /// The operation.
    pub operation: String,
    /// The access token.
    pub access_token: Option<Pseudonym>,
    /// The status; `None` without a response.
    pub status: Option<u16>,
    /// Whether the status came from Mews, not from nightaudit.
    pub by_mews: bool,
    /// Mews' message, or why there was no response. Mail addresses and card numbers in it are masked.
    pub message: String,
    /// The number of calls.
    pub count: u64,
    /// The first exchanges, at most ten.
    pub exchanges: Vec<FailedCall>,
    /// When the first was sent.
    pub first: Timestamp,
    /// When the last was sent.
    pub last: Timestamp,
    /// The call that resolved them, the last one if there were several; `None` if unresolved.
    pub resolution: Option<Resolution>,
}

/// A failed call, by the ids of nightaudit and Mews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedCall {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Mews' `Request-Id` header, or `RequestId` in the body.
    pub request_id: Option<String>,
}

/// A later call that resolved a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The exchange that succeeded.
    pub exchange: ExchangeId,
    /// When it was sent.
    pub at: Timestamp,
    /// Milliseconds after the last of the failures was sent.
    pub after_ms: u64,
}

/// Calls for the same thing that failed one after the other, and the call that resolved them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryChain {
    /// The operation, as first called.
    pub operation: String,
    /// The access token; for a resolved chain that of the resolving call.
    pub access_token: Option<Pseudonym>,
    /// The number of failed attempts.
    pub count: u64,
    /// The first of them in the order of sending, at most ten.
    pub attempts: Vec<Attempt>,
    /// The call that resolved them; `None` if unresolved.
    pub resolution: Option<Resolution>,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The exchange.
    pub exchange: ExchangeId,
    /// When it was sent.
    pub at: Timestamp,
    /// The status; `None` without a response.
    pub status: Option<u16>,
    /// Whether the status came from Mews, not from nightaudit.
    pub by_mews: bool,
    /// Seconds of its `Retry-After`, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

/// Requests checked against Mews' documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accuracy {
    /// Requests that were checked.
    pub checked: u64,
    /// Requests to documented operations that could not be checked: the body was truncated or could not be decoded.
    pub unchecked: u64,
    /// Requests without findings.
    pub accurate: u64,
    /// Mismatches by operation and property, most frequent first.
    pub fields: Vec<PropertyReview>,
    /// Deprecated, discontinued and restricted operations.
    pub lifecycle: Vec<LifecycleReview>,
}

/// A property that doesn't match the documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PropertyReview {
    /// The operation.
    pub operation: String,
    /// Its location in the body: a JSON pointer with `*` for array indices.
    pub field: String,
    /// The kind of mistake.
    pub kind: String,
    /// What the documentation expects, for the first request.
    pub expected: String,
    /// What was found, in the first request.
    pub found: String,
    /// The number of requests.
    pub count: u64,
    /// The first three of them.
    pub exchanges: Vec<ExchangeId>,
}

/// The JSON name of a finding's kind.
pub(crate) fn kind_name(kind: FindingKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// An operation that is deprecated, discontinued or restricted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleReview {
    /// The operation.
    pub operation: String,
    /// Its state.
    pub state: LifecycleState,
    /// The date of its deprecation: `2025-11-11`.
    pub deprecated_on: Option<String>,
    /// The date from which it no longer works.
    pub discontinued_on: Option<String>,
    /// Its replacements.
    pub replaced_by: Vec<String>,
    /// How often it was called.
    pub calls: u64,
}

/// The state of an operation that is not generally available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LifecycleState {
    /// It works but should no longer be used.
    Deprecated,
    /// It no longer works.
    Discontinued,
    /// It is open to selected partners only.
    Restricted,
}
