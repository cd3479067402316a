//! Declared operations, called operations, and the use case.

use std::collections::BTreeMap;

use nightaudit_mews::{Contracts, use_cases};

use super::operations::{OperationsPart, Tally};
use crate::{
    declaration::Declaration,
    findings::{Findings, count_of},
    names::Operations,
    review::{Coverage, CoverageReview, Evidence, UseCaseReview, UseCaseSection, UseCaseStep},
    rule::Rule,
};

/// Compares the called operations with the declaration.
pub(crate) struct CoveragePart<'a> {
    declaration: &'a Declaration,
    contracts: &'a Contracts,
    called: BTreeMap<&'a str, &'a Tally>,
}

impl<'a> CoveragePart<'a> {
    pub(crate) fn new(
        declaration: &'a Declaration,
        contracts: &'a Contracts,
        part: &'a OperationsPart,
        names: &'a Operations,
    ) -> Self {
        let called = part.tallies().map(|(number, tally)| (names.name(number), tally)).collect();
        Self { declaration, contracts, called }
    }

    fn calls(&self, operation: &str) -> (u64, u64) {
        self.called.get(operation).map_or((0, 0), |tally| (tally.calls, tally.succeeded))
    }

    pub(crate) fn report(&self, findings: &mut Findings<'_>) -> Coverage {
        let declared = &self.declaration.operations;
        let mut operations: Vec<CoverageReview> = declared
            .iter()
            .map(|(operation, purpose)| {
                let (calls, succeeded) = self.calls(operation);
                let purpose = Some(purpose.clone()).filter(|purpose| !purpose.is_empty());
                CoverageReview { operation: operation.clone(), declared: true, purpose, calls, succeeded }
            })
            .collect();
        // Unknown paths have a rule of their own.
        for (operation, tally) in &self.called {
            if !declared.contains_key(*operation) && self.contracts.has(operation) {
                operations.push(CoverageReview {
                    operation: (*operation).to_owned(),
                    declared: false,
                    purpose: None,
                    calls: tally.calls,
                    succeeded: tally.succeeded,
                });
            }
        }
        operations.sort_by(|a, b| a.operation.cmp(&b.operation));
        let count = |which: fn(&CoverageReview) -> bool| operations.iter().filter(|own| which(own)).count() as u64;
        let coverage = Coverage {
            declared: declared.len() as u64,
            succeeded: count(|own| own.declared && own.succeeded > 0),
            only_failed: count(|own| own.declared && own.calls > 0 && own.succeeded == 0),
            not_called: count(|own| own.declared && own.calls == 0),
            undeclared: count(|own| !own.declared),
            operations,
        };
        if !declared.is_empty() {
            self.raise(&coverage, findings);
        }
        coverage
    }

    fn raise(&self, coverage: &Coverage, findings: &mut Findings<'_>) {
        for own in &coverage.operations {
            let name = &own.operation;
            let (rule, message) = match (own.declared, own.calls, own.succeeded) {
                (true, 0, _) => (Rule::CoverageNotCalled, format!("{name} is declared but was never called.")),
                (true, calls, 0) => {
                    let calls = count_of(calls, "call");
                    (Rule::CoverageOnlyFailed, format!("{name} is declared, but none of its {calls} succeeded."))
                }
                (false, calls, _) => {
                    let calls = count_of(calls, "time");
                    (Rule::CoverageUndeclared, format!("{name} was called {calls} but is not declared."))
                }
                _ => continue,
            };
            let evidence = self.called.get(&**name).map_or_else(
                || Evidence { count: 1, ..Evidence::default() },
                |tally| Evidence {
                    count: tally.calls,
                    exchanges: vec![tally.first_id],
                    first: Some(tally.first),
                    last: Some(tally.last),
                },
            );
            findings.raise(rule, Some(name), message, &evidence);
        }
    }

    pub(crate) fn use_case(&self, findings: &mut Findings<'_>) -> Option<UseCaseReview> {
        let name = self.declaration.use_case.as_deref()?;
        let case = use_cases().iter().find(|case| *case.name == *name)?;
        let step = |operation: &str| {
            let (calls, succeeded) = self.calls(operation);
            UseCaseStep { operation: operation.to_owned(), calls, succeeded }
        };
        let sections: Vec<UseCaseSection> = case
            .sections
            .iter()
            .map(|section| UseCaseSection {
                title: section.title.to_string(),
                operations: section.operations.iter().map(|operation| step(operation)).collect(),
            })
            .collect();
        let is_missing = |section: &&UseCaseSection| section.operations.iter().all(|step| step.succeeded == 0);
        let missing: Vec<&UseCaseSection> = sections.iter().filter(is_missing).collect();
        let evidence = Evidence { count: 1, ..Evidence::default() };
        if 2 * missing.len() > sections.len() {
            for section in missing {
                let operations: Vec<&str> = section.operations.iter().map(|step| &*step.operation).collect();
                let message = format!(
                    "{}: no operation of \"{}\" succeeded ({}).",
                    case.title,
                    section.title,
                    operations.join(", ")
                );
                findings.raise(Rule::UseCaseMissing, None, message, &evidence);
            }
        } else if !missing.is_empty() {
            let titles: Vec<String> = missing.iter().map(|section| format!("\"{}\"", section.title)).collect();
            let message = format!(
                "{}: {} of {} not seen: {}.",
                case.title,
                missing.len(),
                count_of(sections.len() as u64, "section"),
                titles.join(", ")
            );
            findings.raise(Rule::UseCasePartly, None, message, &Evidence { count: missing.len() as u64, ..evidence });
        }
        Some(UseCaseReview { name: name.to_owned(), title: case.title.to_string(), sections })
    }
}
