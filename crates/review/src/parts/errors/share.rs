//! The share of an operation's calls that failed, whether later resolved or not.

use std::collections::BTreeMap;

use super::reason::Reason;
use crate::{
    fact::Fact,
    findings::{Findings, count_of, thousands},
    names::{OperationNo, Operations},
    review::Evidence,
    rule::Rule,
};

/// Fewer failures than this are not reported.
const LEAST: u64 = 5;

/// Calls and failures by operation and reason.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares {
    calls: BTreeMap<OperationNo, u64>,
    failed: BTreeMap<(OperationNo, Reason), Failed>,
}

#[derive(Debug, Clone, Default)]
struct Failed {
    evidence: Evidence,
    has_request_id: bool,
}

impl Shares {
    pub(super) fn follow(&mut self, fact: &Fact, reason: Option<Reason>) {
        *self.calls.entry(fact.operation).or_default() += 1;
        if let Some(reason) = reason {
            let failed = self.failed.entry((fact.operation, reason)).or_default();
            failed.evidence.add(fact.id, fact.recorded_at());
            failed.has_request_id |= fact.failure.as_ref().is_some_and(|failure| failure.request_id.is_some());
        }
    }

    pub(super) fn raise(&self, operations: &Operations, findings: &mut Findings<'_>) {
        let mut rest: BTreeMap<Reason, Failed> = BTreeMap::new();
        let all: u64 = self.calls.values().sum();
        for ((number, reason), failed) in &self.failed {
            let calls = self.calls.get(number).copied().unwrap_or(0);
            if is_large(*reason, failed.evidence.count, calls) {
                let name = operations.name(*number);
                raise(findings, Some(name), *reason, failed, calls);
            } else {
                let together = rest.entry(*reason).or_default();
                together.evidence.merge(&failed.evidence);
                together.has_request_id |= failed.has_request_id;
            }
        }
        // Many operations that each failed only a few times.
        for (reason, failed) in rest {
            if is_large(reason, failed.evidence.count, all) {
                raise(findings, None, reason, &failed, all);
            }
        }
    }
}

fn is_large(reason: Reason, failed: u64, calls: u64) -> bool {
    reason.bound().is_some_and(|bound| failed >= LEAST && 100 * failed >= bound * calls)
}

fn raise(findings: &mut Findings<'_>, operation: Option<&str>, reason: Reason, failed: &Failed, calls: u64) {
    let count = failed.evidence.count;
    let whose = operation.unwrap_or("all operations together");
    let message = format!(
        "{whose}: {} of {} ({} %) {}.",
        thousands(count),
        count_of(calls, "call"),
        100 * count / calls.max(1),
        reason.description()
    );
    let advice = reason.advice(failed.has_request_id);
    findings.raise_with_advice(Rule::ErrorsShare, operation, message, advice, &failed.evidence);
}
