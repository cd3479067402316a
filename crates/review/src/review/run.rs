//! The run as a whole: when, how long, and what of the declaration it covers.

use nightaudit_exchange::{ExchangeId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// When a session ran, how long and how evenly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The session's id; none where there was no exchange.
    pub session: Option<SessionId>,
    /// Its name.
    pub session_name: String,
    /// The environment it was recorded in.
    pub environment: String,
    /// How many exchanges it has, without the parts of what was said over WebSockets.
    pub exchanges: u64,
    /// What became of them.
    pub outcomes: OutcomeCounts,
    /// When the first request came.
    pub first: Option<Timestamp>,
    /// When the last exchange ended.
    pub last: Option<Timestamp>,
    /// Seconds from the first to the last, on a clock that goes on evenly.
    pub duration_s: u64,
    /// Seconds that Mews asks for: 48 hours.
    pub asked_s: u64,
    /// Hours of the run in which at least one request was sent.
    pub active_hours: u64,
    /// Hours of the run, begun ones included.
    pub total_hours: u64,
    /// Exchanges by the hour, or by a longer step where the run is longer than the list may be.
    pub hours: Vec<Hour>,
    /// Seconds that each entry of `hours` covers.
    pub hour_s: u64,
    /// The longest pauses, at most ten, the longest first.
    pub gaps: Vec<Gap>,
    /// How many times nightaudit was started for the session; none where the ids don't tell.
    pub starts: Option<u64>,
    /// Where the clock was set back.
    pub clock_steps: Vec<ClockStep>,
    /// Exchanges that the session's sequence lacks, and those that are known to have passed unrecorded.
    pub missing: u64,
}

/// Exchanges by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeCounts {
    /// Mews answered.
    pub answered: u64,
    /// A limit kept them back.
    pub refused: u64,
    /// They could not be forwarded.
    pub rejected: u64,
    /// Mews gave no answer.
    pub failed: u64,
    /// The integration left.
    pub aborted: u64,
    /// nightaudit was killed.
    pub interrupted: u64,
}

/// A stretch of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hour {
    /// When it begins.
    pub at: Timestamp,
    /// Requests that began in it.
    pub calls: u64,
    /// Those of them that failed: a status of 400 or more, or no answer.
    pub failed: u64,
}

/// A pause without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// When the last request before it came.
    pub from: Timestamp,
    /// When the next one came.
    pub to: Timestamp,
    /// Its length in seconds.
    pub seconds: u64,
    /// The exchange that ended it.
    pub ended_by: ExchangeId,
}

/// A clock that was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockStep {
    /// The first exchange that shows it.
    pub exchange: ExchangeId,
    /// By how many milliseconds at least.
    pub back_ms: u64,
}

/// The declared operations and the called ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// How many operations are declared.
    pub declared: u64,
    /// How many of them succeeded at least once.
    pub succeeded: u64,
    /// How many of them only failed.
    pub only_failed: u64,
    /// How many of them were never called.
    pub not_called: u64,
    /// How many were called that are not declared.
    pub undeclared: u64,
    /// Each of them, in the order of their names.
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
    /// What the declaration says it is used for.
    pub purpose: Option<String>,
    /// How often it was called.
    pub calls: u64,
    /// How many of the calls were answered 2xx.
    pub succeeded: u64,
}

/// A use case, and how much of it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseCaseReview {
    /// Its name: `kiosk`.
    pub name: String,
    /// The name that people know it by.
    pub title: String,
    /// Its sections in the order of the documentation.
    pub sections: Vec<UseCaseSection>,
}

/// A section of a use case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseCaseSection {
    /// What it is for.
    pub title: String,
    /// The operations that the documentation names.
    pub operations: Vec<UseCaseStep>,
}

/// An operation of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UseCaseStep {
    /// The operation.
    pub operation: String,
    /// How often it was called.
    pub calls: u64,
    /// How many of the calls were answered 2xx; 0 is missing.
    pub succeeded: u64,
}
