//! Request data that may belong to real people.

use std::collections::BTreeMap;

use nightaudit_exchange::{Exchange, Outcome};

use crate::{
    body::BodySummary,
    findings::{Findings, by_number, count_of, thousands},
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
    looked_at: LookedAt,
}

/// How many requests were searched for such data, and how many couldn't be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LookedAt {
    /// Searched from start to end.
    pub(crate) whole: u64,
    /// With values that were replaced by pseudonyms.
    pub(crate) masked: u64,
    /// Whose bodies are not recorded, not whole, or no JSON.
    pub(crate) unread: u64,
}

impl LookedAt {
    /// The figure for requests in which nothing was found, and whether it says something of all of them.
    pub(crate) fn found_nothing(&self) -> (String, bool) {
        if self.whole + self.masked + self.unread == 0 {
            return ("no request".to_owned(), false);
        }
        let mut figure = format!("nothing looks real in {}", count_of(self.whole, "request"));
        if self.masked > 0 {
            figure.push_str(&format!("; {} with masked values", thousands(self.masked)));
        }
        if self.unread > 0 {
            figure.push_str(&format!("; {} could not be read in full", thousands(self.unread)));
        }
        (figure, self.masked + self.unread == 0)
    }
}

impl PersonalDataPart {
    /// Takes the next request. `is_whole` is false if its body is only the start of what was sent.
    pub(crate) fn note(&mut self, number: OperationNo, exchange: &Exchange, asked: &BodySummary<'_>, is_whole: bool) {
        let body = &exchange.request.body;
        // The body of an interrupted request was not recorded.
        let is_recorded = is_whole && body.withheld.is_none() && exchange.outcome != Outcome::Interrupted;
        // Nothing behind a mistake in the JSON is read.
        *match is_recorded && (asked.is_object || body.bytes.is_empty()) {
            false => &mut self.looked_at.unread,
            true if asked.is_masked => &mut self.looked_at.masked,
            true => &mut self.looked_at.whole,
        } += 1;
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

    /// How many requests were searched.
    pub(crate) fn looked_at(&self) -> LookedAt {
        self.looked_at
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
            findings.bounds.push(format!(
                "{} of possible personal data {} not listed",
                count_of(self.unlisted, "occurrence"),
                by_number(self.unlisted, "is", "are")
            ));
        }
        reviews
    }
}
