//! Request data that may belong to real people.

use std::collections::BTreeMap;

use nightaudit_exchange::Exchange;

use crate::{
    body::BodySummary,
    findings::{Findings, count_of},
    names::{OperationNo, Operations},
    review::{DataKind, Evidence, PersonalDataReview},
    rule::Rule,
};

/// The most properties with such data that are tracked.
const MOST: usize = 500;

/// Collects suspected personal data.
#[derive(Debug, Clone, Default)]
pub(crate) struct PersonalDataPart {
    found: BTreeMap<(DataKind, OperationNo, String), (String, Evidence)>,
    unlisted: u64,
}

impl PersonalDataPart {
    pub(crate) fn note(&mut self, number: OperationNo, exchange: &Exchange, asked: &BodySummary<'_>) {
        let mut met: Vec<(DataKind, &str)> = Vec::new();
        for suspicion in &asked.suspicions {
            if met.contains(&(suspicion.kind, &suspicion.field)) {
                continue;
            }
            met.push((suspicion.kind, &suspicion.field));
            let key = (suspicion.kind, number, suspicion.field.clone());
            if self.found.len() >= MOST && !self.found.contains_key(&key) {
                self.unlisted += 1;
                continue;
            }
            let (_, evidence) =
                self.found.entry(key).or_insert_with(|| (suspicion.masked.clone(), Evidence::default()));
            evidence.add(exchange.id, exchange.started_at);
        }
    }

    pub(crate) fn report(&self, operations: &Operations, findings: &mut Findings<'_>) -> Vec<PersonalDataReview> {
        let mut reviews = Vec::new();
        for ((kind, number, field), (masked, evidence)) in &self.found {
            let name = operations.name(*number);
            let requests = count_of(evidence.count, "request");
            let personal =
                |what: &str| (Rule::Personal, format!("{name}, {field}: {what} that may be real, in {requests}."));
            let (rule, message) = match kind {
                DataKind::CardNumber => {
                    (Rule::CardNumber, format!("{name}, {field}: possible card number in {requests} ({masked})."))
                }
                DataKind::MailAddress => (
                    Rule::Personal,
                    format!("{name}, {field}: mail addresses that may be real, in {requests} ({masked})."),
                ),
                DataKind::Phone => personal("telephone numbers"),
                DataKind::IdentityDocument => personal("document numbers"),
                DataKind::BankAccount => personal("bank accounts"),
                DataKind::Name => personal("names"),
                DataKind::BirthDate => personal("dates of birth"),
            };
            findings.raise(rule, Some(name), message, evidence);
            reviews.push(PersonalDataReview {
                kind: *kind,
                operation: name.to_owned(),
                field: field.clone(),
                masked: masked.clone(),
                count: evidence.count,
                exchanges: evidence.exchanges.clone(),
            });
        }
        if self.unlisted > 0 {
            findings
                .bounds
                .push(format!("{} of possible personal data are not listed", count_of(self.unlisted, "occurrence")));
        }
        reviews
    }
}
