//! A review as plain data.
//!
//! Property names are camelCase in JSON; times are UTC; durations and sizes name their unit. Example exchanges are the
//! first [`EXAMPLES`] in the order of the record; the count covers all.

mod calls;
mod events;
mod limits;
mod provenance;
mod run;
mod subject;

use nightaudit_exchange::{ExchangeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    declaration::IntegrationKind,
    rule::{Rule, Severity},
};
pub(crate) use calls::kind_name;
pub use calls::{
    Accuracy, Attempt, ErrorReview, Errors, FailedCall, LatencyMs, LifecycleReview, LifecycleState, OperationReview,
    PropertyReview, Resolution, RetryChain, Sizes,
};
pub use events::{EventChannel, EventReview, EventsReview, SocketReview, WebhookReview};
pub use limits::{
    BusiestWindow, LimitPoint, LimitReview, LimitSeries, LimitSource, RetryCause, RetryOrigin, RetryReview,
};
pub use provenance::{Check, CheckState, DateReview, FaultReview, HostReview, OriginStatus, Provenance};
pub use run::{
    ClockStep, Coverage, CoverageReview, Gap, Hour, NodeRun, OutcomeCounts, Run, UseCaseReview, UseCaseSection,
    UseCaseStep,
};
pub use subject::{ClientReview, DataKind, HabitReview, Identity, PersonalDataReview, TokenReview};

/// The most example exchanges listed.
pub const EXAMPLES: usize = 10;

/// A session as Mews' reviewers would see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in one line, with the partner's changes: `Ready, with 2 rules silenced by the partner`.
    pub headline: String,
    /// The headline with its input and the partner's reasons.
    pub summary: String,
    /// Where the responses came from, and whether the record is unaltered.
    pub provenance: Provenance,
    /// The checklist of what Mews checks.
    pub checklist: Vec<Check>,
    /// Findings per severity.
    pub counts: Counts,
    /// What to fix, most serious first.
    pub findings: Vec<Finding>,
    /// Findings silenced by the declaration, with its reasons.
    pub silenced: Vec<Finding>,
    /// Exchanges that the declaration leaves out of the rest of the review, with its reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The declaration; `None` without one.
    pub declared: Option<Declared>,
    /// The run: when and how long.
    pub run: Run,
    /// Declared and called operations.
    pub coverage: Coverage,
    /// The steps of the declared use case; `None` if none is declared.
    pub use_case: Option<UseCaseReview>,
    /// Each called operation, most frequent first.
    pub operations: Vec<OperationReview>,
    /// Each limit and key, fullest first.
    pub limits: Vec<LimitReview>,
    /// Retries after refusals and failures.
    pub retries: Vec<RetryReview>,
    /// Failed calls, and whether they were later resolved.
    pub errors: Errors,
    /// Requests checked against the documentation.
    pub accuracy: Accuracy,
    /// `Client` values and tokens.
    pub identity: Identity,
    /// Habits that a reviewer would ask about.
    pub habits: Vec<HabitReview>,
    /// Webhooks and WebSocket events.
    #[serde(default, skip_serializing_if = "EventsReview::is_empty")]
    pub events: EventsReview,
    /// Data that may belong to real people.
    pub data_care: Vec<PersonalDataReview>,
    /// Bounds of the review that were reached, a sentence each. Empty for nearly every session.
    pub bounds: Vec<String>,
}

impl Review {
    /// Whether there is a finding of this severity or worse.
    #[must_use]
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= severity)
    }
}

/// The verdict of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There was nothing to review.
    Empty,
    /// No errors or warnings, and the responses provably came from Mews Demo.
    Ready,
    /// There are warnings: the reviewers will ask.
    Questions,
    /// There are errors: the reviewers will object.
    NotReady,
    /// Responses came from a host that isn't Mews'. Findings are listed, but there is no verdict.
    NotMews,
    /// No errors, but the record proves less than it claims: the origin is unknown, it was imported, or its times are
    /// implausible.
    NotProven,
}

/// Counts of findings by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Errors, not silenced.
    pub errors: u64,
    /// Warnings, not silenced.
    pub warnings: u64,
    /// Notes, not silenced.
    pub notes: u64,
    /// Findings silenced by the declaration.
    pub silenced: u64,
}

/// Something that a reviewer would point out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule that raised it.
    pub rule: Rule,
    /// Its severity, after the declaration's overrides.
    pub severity: Severity,
    /// What was found, as a sentence.
    pub message: String,
    /// The operation it concerns; `None` if there is more than one.
    pub operation: Option<String>,
    /// How often it was found.
    pub count: u64,
    /// The first exchanges that show it, at most [`EXAMPLES`].
    pub exchanges: Vec<ExchangeId>,
    /// When it was first seen.
    pub first: Option<Timestamp>,
    /// When it was last seen.
    pub last: Option<Timestamp>,
    /// What to do about it.
    pub advice: String,
    /// The declaration's override of the rule, if any.
    pub ruling: Option<RuleOverride>,
}

/// An exchange that the declaration leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Why it is left out.
    pub reason: String,
    /// The operation it called; `None` if the session has no such exchange.
    pub operation: Option<String>,
    /// The response status, if any.
    pub status: Option<u16>,
    /// When it started.
    pub at: Option<Timestamp>,
}

/// The declaration's override of a rule, as shown with a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleOverride {
    /// The rule's own severity.
    pub was: Severity,
    /// The reason for the override.
    pub reason: String,
}

/// What the integration declares about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// The partner's id at Mews: `INT12345`.
    pub partner: Option<String>,
    /// The integration's name.
    pub integration: Option<String>,
    /// The start of its `Client`.
    pub client: Option<String>,
    /// The reviewers' contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Whether it is listed in the Marketplace.
    #[serde(default)]
    pub kind: IntegrationKind,
    /// The use case it follows.
    pub use_case: Option<String>,
    /// Hours from one run to the next, if it runs on a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_hours: Option<u8>,
    /// The number of declared operations.
    pub operations: u64,
}

/// A count with its first examples.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    pub(crate) count: u64,
    pub(crate) exchanges: Vec<ExchangeId>,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

impl Evidence {
    /// Adds an exchange.
    pub(crate) fn add(&mut self, id: ExchangeId, at: Timestamp) {
        self.count += 1;
        if self.exchanges.len() < EXAMPLES && !self.exchanges.contains(&id) {
            self.exchanges.push(id);
        }
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }

    /// Merges another count.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        let room = EXAMPLES.saturating_sub(self.exchanges.len());
        self.exchanges.extend(other.exchanges.iter().take(room));
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.into_iter().chain(other.last).max();
    }
}
