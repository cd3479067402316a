//! Collects findings and applies the declaration's overrides.

pub(crate) use nightaudit_units::{by_number, count as thousands, counted as count_of, counted_as, period as span};

use crate::{
    declaration::Declaration,
    review::{Counts, Evidence, Finding, RuleOverride},
    rule::{Rule, Severity},
};

/// The most findings in a review; further ones are counted.
const MOST: usize = 2000;

/// Collects findings.
pub(crate) struct Findings<'d> {
    declaration: &'d Declaration,
    /// Whether only a part of the session is reviewed, as a filter left it.
    filtered: bool,
    active: Vec<Finding>,
    silenced: Vec<Finding>,
    /// Bounds that were reached, a sentence each.
    pub(crate) bounds: Vec<String>,
    dropped: u64,
}

impl<'d> Findings<'d> {
    pub(crate) fn new(declaration: &'d Declaration, filtered: bool) -> Self {
        Self { declaration, filtered, active: Vec::new(), silenced: Vec::new(), bounds: Vec::new(), dropped: 0 }
    }

    /// Raises a finding with the rule's own advice.
    pub(crate) fn raise(&mut self, rule: Rule, operation: Option<&str>, message: String, evidence: &Evidence) {
        self.raise_with_advice(rule, operation, message, rule.advice().to_owned(), evidence);
    }

    /// Raises a finding with specific advice.
    pub(crate) fn raise_with_advice(
        &mut self,
        rule: Rule,
        operation: Option<&str>,
        message: String,
        advice: String,
        evidence: &Evidence,
    ) {
        if self.filtered && rule.needs_whole_session() {
            return;
        }
        let change = self.declaration.rules.get(&rule).filter(|change| change.concerns(operation));
        // Rules that the evidence depends on can only be explained.
        let changed = change.filter(|_| rule.can_be_changed());
        let finding = Finding {
            rule,
            severity: changed.and_then(|change| change.severity).unwrap_or(rule.severity()),
            message,
            operation: operation.map(str::to_owned),
            count: evidence.count,
            exchanges: evidence.exchanges.clone(),
            first: evidence.first,
            last: evidence.last,
            advice,
            ruling: change.map(|change| RuleOverride { was: rule.severity(), reason: change.reason.clone() }),
        };
        let list = if changed.is_some_and(|change| change.silence) { &mut self.silenced } else { &mut self.active };
        if list.len() < MOST {
            list.push(finding);
        } else {
            self.dropped += 1;
        }
    }

    /// Active findings, silenced findings, counts, and the bounds that were reached.
    pub(crate) fn finish(mut self) -> (Vec<Finding>, Vec<Finding>, Counts, Vec<String>) {
        if self.dropped > 0 {
            self.bounds.push(format!("{} more than the {MOST} that are listed", count_of(self.dropped, "finding")));
        }
        if !self.bounds.is_empty() {
            let bounds = std::mem::take(&mut self.bounds);
            let evidence = Evidence { count: bounds.len() as u64, ..Evidence::default() };
            self.raise(Rule::RecordBounds, None, format!("{}.", bounds.join("; ")), &evidence);
            self.bounds = bounds;
        }
        for list in [&mut self.active, &mut self.silenced] {
            // Stable: findings of one rule with equal counts keep the order in which they were raised.
            list.sort_by_key(|finding| {
                (std::cmp::Reverse(finding.severity), finding.rule, std::cmp::Reverse(finding.count))
            });
        }
        let of = |severity| self.active.iter().filter(|finding| finding.severity == severity).count() as u64;
        let counts = Counts {
            errors: of(Severity::Error),
            warnings: of(Severity::Warning),
            notes: of(Severity::Note),
            silenced: self.silenced.len() as u64,
        };
        (self.active, self.silenced, counts, self.bounds)
    }
}
