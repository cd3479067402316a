//! The calls: each operation, the failures, and how accurate the requests are.

use std::collections::BTreeMap;

use nightaudit_exchange::{ExchangeId, Pseudonym, Timestamp};
use nightaudit_mews::FindingKind;
use serde::{Deserialize, Serialize};

/// An operation that was called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationReview {
    /// What follows `/api/connector/v1/`; for any other address the whole path.
    pub operation: String,
    /// The name that people know it by; none where Mews doesn't have it.
    pub title: Option<String>,
    /// Calls, whatever became of them.
    pub calls: u64,
    /// Calls that left for Mews.
    pub sent: u64,
    /// Calls that were answered 2xx.
    pub succeeded: u64,
    /// Calls per hour of the run.
    pub per_hour: f64,
    /// Calls in the busiest hour of the clock.
    #[serde(default)]
    pub busiest_hour: u64,
    /// Answers by status, of Mews and of nightaudit.
    pub statuses: BTreeMap<u16, u64>,
    /// Calls that got no answer at all.
    pub unanswered: u64,
    /// How long Mews took, from the sending to the end of its answer; none where it never answered.
    pub latency: Option<LatencyMs>,
    /// Sizes of the requests' bodies as they passed.
    pub request: Sizes,
    /// Sizes of the answers' bodies as they passed.
    pub response: Sizes,
    /// Whether Mews answers it in pages.
    pub paginated: bool,
    /// Calls with a `Limitation`.
    pub paged: u64,
    /// Calls per field of the request that was used beside the envelope and `Limitation`.
    pub filters: BTreeMap<String, u64>,
    /// When it was first called.
    pub first: Timestamp,
    /// When it was last called.
    pub last: Timestamp,
}

/// Times in milliseconds, each right to one part in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyMs {
    /// Half of the calls took no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
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
    /// All together.
    pub total: u64,
}

/// The calls that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Errors {
    /// How many calls failed: a status of 400 or more, or no answer. What nightaudit rejected was no call.
    pub failed: u64,
    /// How many of them were made good by a later call that asks the same, with the mistake mended.
    pub resolved: u64,
    /// How many were not.
    pub unresolved: u64,
    /// Calls that failed alike, the unresolved ones first.
    pub calls: Vec<ErrorReview>,
    /// How many failed calls are counted above and not listed.
    pub unlisted: u64,
}

/// Calls that failed alike, with the same operation, token, status and message, and that were all made good or all not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReview {
    /// The operation.
    pub operation: String,
    /// The access token.
    pub access_token: Option<Pseudonym>,
    /// The status; none where there was no answer.
    pub status: Option<u16>,
    /// Whether the status is Mews' own, and not nightaudit's.
    pub by_mews: bool,
    /// Mews' message, or why there is no answer. Mail addresses and card numbers in it are masked.
    pub message: String,
    /// How many.
    pub count: u64,
    /// The first exchanges, at most ten.
    pub exchanges: Vec<FailedCall>,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// What made them good, the last of them where they asked for different things; none where nothing did.
    pub resolution: Option<Resolution>,
}

/// A call, by the ids that nightaudit and Mews know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedCall {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Mews' `Request-Id`, or the body's `RequestId`.
    pub request_id: Option<String>,
}

/// A later call that made a failure good.
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

/// The requests held against Mews' documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accuracy {
    /// Requests that were checked.
    pub checked: u64,
    /// Requests to documented operations that could not be: their bodies were cut or are no JSON by their coding.
    pub unchecked: u64,
    /// Requests in which nothing was found.
    pub accurate: u64,
    /// What was found, by operation and field, the most frequent first.
    pub fields: Vec<PropertyReview>,
    /// Operations that are not to be used any more, or only by chosen partners.
    pub lifecycle: Vec<LifecycleReview>,
}

/// A field that doesn't fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PropertyReview {
    /// The operation.
    pub operation: String,
    /// Where in the body: a JSON pointer in which `*` stands for any place of an array.
    pub field: String,
    /// What kind of mistake it is.
    pub kind: String,
    /// What the documentation wants there, as of the first request.
    pub expected: String,
    /// What was there, as of the first request.
    pub found: String,
    /// In how many requests.
    pub count: u64,
    /// The first three of them.
    pub exchanges: Vec<ExchangeId>,
}

/// The kind of a finding as it stands in JSON.
pub(crate) fn kind_name(kind: FindingKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// An operation with a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleReview {
    /// The operation.
    pub operation: String,
    /// What it is.
    pub state: LifecycleState,
    /// The day on which it was declared deprecated: `2025-11-11`.
    pub deprecated_on: Option<String>,
    /// The day from which it no longer works.
    pub discontinued_on: Option<String>,
    /// The operations that take its place.
    pub replaced_by: Vec<String>,
    /// How often it was called.
    pub calls: u64,
}

/// What an operation is that is not simply to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LifecycleState {
    /// It works, and is not to be used any more.
    Deprecated,
    /// It no longer works.
    Discontinued,
    /// It is for chosen partners.
    Restricted,
}
