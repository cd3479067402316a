//! What a review says, as plain data.
//!
//! Names are camelCase in JSON; times are UTC; durations and sizes say their unit. Wherever examples of exchanges are
//! given, they are the first [`EXAMPLES`] in the order of the record, beside the count of all.

mod calls;
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
    Accuracy, ErrorReview, Errors, FailedCall, LatencyMs, LifecycleReview, LifecycleState, OperationReview,
    PropertyReview, Resolution, Sizes,
};
pub use limits::{
    BusiestWindow, LimitPoint, LimitReview, LimitSeries, LimitSource, RetryCause, RetryOrigin, RetryReview,
};
pub use provenance::{Check, CheckState, DateReview, HostReview, OriginStatus, Provenance};
pub use run::{
    ClockStep, Coverage, CoverageReview, Gap, Hour, OutcomeCounts, Run, UseCaseReview, UseCaseSection, UseCaseStep,
};
pub use subject::{ClientReview, DataKind, HabitReview, Identity, PersonalDataReview, TokenReview};

/// How many examples are kept of anything.
pub const EXAMPLES: usize = 10;

/// A session as the reviewers would see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// What it comes to.
    pub verdict: Verdict,
    /// The same in a line, with what the partner has taken out of it: `Ready, with 2 rules silenced by the partner`.
    pub headline: String,
    /// The headline with its grounds and the partner's reasons.
    pub summary: String,
    /// Who answered, and whether the record is what was recorded.
    pub provenance: Provenance,
    /// What Mews judges, point by point.
    pub checklist: Vec<Check>,
    /// How many findings there are of each severity.
    pub counts: Counts,
    /// What to mend, in order of weight.
    pub findings: Vec<Finding>,
    /// What the declaration silences, with its reasons.
    pub silenced: Vec<Finding>,
    /// The exchanges that the declaration leaves out of everything else here, with its reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What the integration says it is; none without a declaration.
    pub declared: Option<Declared>,
    /// When and how long.
    pub run: Run,
    /// The declared operations and the ones that were called.
    pub coverage: Coverage,
    /// The steps of the declared use case; none unless one is declared.
    pub use_case: Option<UseCaseReview>,
    /// Each operation that was called, the most called first.
    pub operations: Vec<OperationReview>,
    /// Each limit and key, the fullest first.
    pub limits: Vec<LimitReview>,
    /// How the integration met refusals and failures.
    pub retries: Vec<RetryReview>,
    /// The calls that failed, and what became of them.
    pub errors: Errors,
    /// The requests held against the documentation.
    pub accuracy: Accuracy,
    /// Who sent them.
    pub identity: Identity,
    /// How they were sent.
    pub habits: Vec<HabitReview>,
    /// What may be real people's data.
    pub data_care: Vec<PersonalDataReview>,
    /// What there was too much of to keep, a sentence each. Empty for nearly every session.
    pub bounds: Vec<String>,
}

impl Review {
    /// Whether a finding of this severity, or of a graver one, stands.
    #[must_use]
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= severity)
    }
}

/// What a review comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There was nothing to review.
    Empty,
    /// No error and no warning stands, and Mews Demo is proven to have answered.
    Ready,
    /// Warnings stand: the reviewers will ask.
    Questions,
    /// Errors stand: the reviewers will not let it pass.
    NotReady,
    /// Requests were answered by a host that isn't Mews'. Findings are told, and no verdict is given.
    NotMews,
    /// No error stands, and the record doesn't prove what it says: who answered isn't known, it was imported, or its times
    /// can't be right.
    NotProven,
}

/// Findings by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Errors that stand.
    pub errors: u64,
    /// Warnings that stand.
    pub warnings: u64,
    /// Notes that stand.
    pub notes: u64,
    /// Findings that the declaration silences.
    pub silenced: u64,
}

/// Something that a reviewer would say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule that raised it.
    pub rule: Rule,
    /// How much it weighs, the declaration's word considered.
    pub severity: Severity,
    /// What was found: a sentence for a person.
    pub message: String,
    /// The operation it concerns; none where it concerns more than one.
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
    /// What the declaration says of the rule; none where it says nothing.
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
    /// The operation that it called; none where the session has no such exchange.
    pub operation: Option<String>,
    /// The status that it was answered with, if any.
    pub status: Option<u16>,
    /// When it was.
    pub at: Option<Timestamp>,
}

/// What a declaration says of a rule, as it stands beside a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleOverride {
    /// The severity that the rule has by itself.
    pub was: Severity,
    /// Why it is ruled otherwise.
    pub reason: String,
}

/// What the integration says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// The partner's id at Mews: `INT12345`.
    pub partner: Option<String>,
    /// The integration's name.
    pub integration: Option<String>,
    /// What its `Client` begins with.
    pub client: Option<String>,
    /// Whom the reviewers may ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Whether it will stand in the Marketplace.
    #[serde(default)]
    pub kind: IntegrationKind,
    /// The use case that it follows.
    pub use_case: Option<String>,
    /// Hours from one run to the next, where it runs on a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_hours: Option<u8>,
    /// How many operations it declares.
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

    /// Adds what another one has.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        let room = EXAMPLES.saturating_sub(self.exchanges.len());
        self.exchanges.extend(other.exchanges.iter().take(room));
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.into_iter().chain(other.last).max();
    }
}
