//! The run as a whole: when, how long, and its coverage of the declaration.

use nightaudit_exchange::{ExchangeId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// When and how long a session ran, and its pauses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The session's id; `None` without exchanges.
    pub session: Option<SessionId>,
    /// Its name.
    pub session_name: String,
    /// The environment it was recorded in.
    pub environment: String,
    /// The integration's requests that are reviewed.
    pub exchanges: u64,
    /// Exchanges besides: webhooks, parts of WebSockets, and what the declaration leaves out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u64,
    /// Exchanges by outcome.
    pub outcomes: OutcomeCounts,
    /// When the first request arrived.
    pub first: Option<Timestamp>,
    /// When the last request's exchange ended.
    pub last: Option<Timestamp>,
    /// Seconds from the first to the last, on the corrected clock.
    pub duration_s: u64,
    /// Seconds that Mews requires: 48 hours.
    pub asked_s: u64,
    /// Hours of the run in which at least one request was sent.
    pub active_hours: u64,
    /// Hours of the run, including partial ones.
    pub total_hours: u64,
    /// Exchanges per hour, or per longer step if the run exceeds the list's bound.
    pub hours: Vec<Hour>,
    /// Seconds per entry of `hours`.
    pub hour_s: u64,
    /// The longest pauses, at most ten, longest first.
    pub gaps: Vec<Gap>,
    /// Starts of nightaudit during the session; `None` if the ids don't show it.
    pub starts: Option<u64>,
    /// Steps back of the clock.
    pub clock_steps: Vec<ClockStep>,
    /// Exchanges missing from the sequence, plus those known to have passed unrecorded. Of a filtered record only those
    /// that its log knows to be missing.
    pub missing: u64,
    /// Whether only exchanges that match a filter were reviewed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub filtered: bool,
    /// What each node recorded, if there are several; by chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeRun>,
}

impl Run {
    /// All exchanges in the record.
    #[must_use]
    pub const fn recorded(&self) -> u64 {
        self.exchanges.saturating_add(self.others)
    }

    /// How many requests there are per hour. A shorter run counts as an hour: what goes on in minutes says nothing of one.
    #[must_use]
    pub fn per_hour(&self, requests: u64) -> f64 {
        requests as f64 / (self.duration_s.max(3600) as f64 / 3600.0)
    }
}

/// What one of several nodes recorded of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRun {
    /// The node's name.
    pub node: String,
    /// The session's id on the node, which its exchanges have.
    pub session: SessionId,
    /// Exchanges, including parts of WebSockets.
    pub exchanges: u64,
    /// The highest sequence number; 0 without exchanges.
    pub last: u64,
    /// Exchanges missing from the node's sequence.
    pub missing: u64,
}

/// Exchanges by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeCounts {
    /// Mews responded.
    pub answered: u64,
    /// Refused by a limit.
    pub refused: u64,
    /// Could not be forwarded.
    pub rejected: u64,
    /// No response from Mews.
    pub failed: u64,
    /// Aborted by the integration.
    pub aborted: u64,
    /// Cut off when nightaudit was killed.
    pub interrupted: u64,
    /// Ended by an injected fault.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub faulted: u64,
}

/// Left out, so that reviews without it are as they were.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Left out, likewise.
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// An hour, or a longer step, of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hour {
    /// When it starts.
    pub at: Timestamp,
    /// Requests started in it.
    pub calls: u64,
    /// Those that failed: a status of 400 or more, or no response.
    pub failed: u64,
}

/// A pause without a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// When the last request before it arrived.
    pub from: Timestamp,
    /// When the next request arrived.
    pub to: Timestamp,
    /// Its length in seconds.
    pub seconds: u64,
    /// The exchange that ended it; the last one for a pause at the end of the run.
    pub ended_by: ExchangeId,
}

/// A step back of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockStep {
    /// The first exchange that shows it.
    pub exchange: ExchangeId,
    /// Its size in milliseconds, at least.
    pub back_ms: u64,
}

/// Declared and called operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Declared operations.
    pub declared: u64,
    /// Declared ones that succeeded at least once.
    pub succeeded: u64,
    /// Declared ones that only failed.
    pub only_failed: u64,
    /// Declared ones that were never called.
    pub not_called: u64,
    /// Called ones that are not declared.
    pub undeclared: u64,
    /// All of them, by name.
    pub operations: Vec<CoverageReview>,
}

/// An operation that was declared, called, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageReview {
    /// The operation.
    pub operation: String,
    /// Whether it is declared.
    pub declared: bool,
    /// Its purpose, from the declaration.
    pub purpose: Option<String>,
    /// Calls.
    pub calls: u64,
    /// Calls with a 2xx response.
    pub succeeded: u64,
}

/// A use case, and how much of it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseCaseReview {
    /// Its name: `kiosk`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its sections in the order of the documentation.
    pub sections: Vec<UseCaseSection>,
}

/// A section of a use case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseCaseSection {
    /// Its title.
    pub title: String,
    /// The documented operations.
    pub operations: Vec<UseCaseStep>,
}

/// An operation of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseCaseStep {
    /// The operation.
    pub operation: String,
    /// Calls.
    pub calls: u64,
    /// Calls with a 2xx response; 0 means missing.
    pub succeeded: u64,
}
