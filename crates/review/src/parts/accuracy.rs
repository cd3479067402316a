//! Checks requests against Mews' documentation.

use std::collections::BTreeMap;

use nightaudit_exchange::{Exchange, ExchangeId};
use nightaudit_mews::{
    Contracts, Date, DateTime, Environment, Finding, FindingKind, Lifecycle, Operation, OtherApi, operation, suggest,
};

use crate::{
    body::{hash, name_bit},
    fact::Blamed,
    findings::{Findings, count_of, counted_as},
    names::{OTHERS, OperationNo, Operations},
    review::{Accuracy, Evidence, LifecycleReview, LifecycleState, PropertyReview, kind_name},
    rule::Rule,
};

/// The most properties with mistakes that are tracked.
const MOST_FIELDS: usize = 2000;

/// Examples per property.
const FIELD_EXAMPLES: usize = 3;

/// Checks the requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccuracyPart {
    checked: u64,
    accurate: u64,
    unchecked: Evidence,
    fields: BTreeMap<(OperationNo, String, String), Field>,
    unlisted: u64,
    unknown: BTreeMap<OperationNo, Evidence>,
    methods: BTreeMap<(OperationNo, Box<str>), Evidence>,
    lifecycle: BTreeMap<(OperationNo, Rule), Evidence>,
    outside: BTreeMap<OtherApi, Evidence>,
}

#[derive(Debug, Clone)]
struct Field {
    expected: String,
    found: String,
    /// Whether other requests had something else there.
    differs: bool,
    rule: Rule,
    disputed: Option<String>,
    evidence: Evidence,
}

impl Field {
    /// What was found: one value stands for all requests only if all have it.
    fn found(&self) -> String {
        format!("{}{}", self.found, if self.differs { ", among others" } else { "" })
    }
}

impl AccuracyPart {
    /// Checks a request, whatever its outcome, and returns the names that violate the contract. `body` is decoded;
    /// `is_whole` is false if it is only the start of what was sent, or was to be.
    pub(crate) fn note(
        &mut self,
        number: OperationNo,
        exchange: &Exchange,
        body: &[u8],
        is_whole: bool,
        contracts: &Contracts,
    ) -> Blamed {
        let mut blamed = Blamed::default();
        let (id, at, name) = (exchange.id, exchange.started_at, &*exchange.operation);
        // A rejected request was never parsed, and a WebSocket has no body.
        if name == Environment::EVENTS_PATH || exchange.outcome == nightaudit_exchange::Outcome::Rejected {
            return blamed;
        }
        if let Some(api) = OtherApi::of(name) {
            self.outside.entry(api).or_default().add(id, at);
            return blamed;
        }
        if !contracts.has(name) {
            self.unknown.entry(number).or_default().add(id, at);
            return blamed;
        }
        if let Some(known) = operation(name) {
            self.note_lifecycle(number, known, exchange);
        }
        if exchange.request.method != "POST" {
            let method = exchange.request.method.chars().take(20).collect::<String>().into();
            if self.methods.len() < MOST_FIELDS || self.methods.contains_key(&(number, Box::clone(&method))) {
                self.methods.entry((number, method)).or_default().add(id, at);
            }
            return blamed;
        }
        // The body of an interrupted request was not recorded.
        if exchange.outcome == nightaudit_exchange::Outcome::Interrupted {
            return blamed;
        }
        if !is_whole {
            self.unchecked.add(id, at);
            return blamed;
        }
        self.checked += 1;
        let mut met: Vec<(OperationNo, String, String)> = Vec::new();
        let mut is_accurate = true;
        for finding in contracts.check_sent(name, body, sent(exchange)) {
            // A missing `Client` or `Limitation` has a rule of its own, and a redacted value is not what was sent.
            let has_own_rule =
                finding.kind == FindingKind::MissingField && matches!(&*finding.pointer, "/Client" | "/Limitation");
            if has_own_rule || finding.kind == FindingKind::More || finding.found.contains("REDACTED:") {
                continue;
            }
            // Not a mistake if Mews' sources contradict each other.
            is_accurate &= finding.disputed.is_some();
            let names = finding.pointer.split('/').map(|name| name_bit(hash(name.as_bytes())));
            let names = names.fold(0, |names, bit| names | bit);
            blamed.names |= names;
            if matches!(finding.kind, FindingKind::UnknownField | FindingKind::DeprecatedField) {
                let last = finding.pointer.rsplit('/').next().unwrap_or_default();
                blamed.unknown |= name_bit(hash(last.as_bytes()));
            }
            let key = (number, kind_name(finding.kind), without_indices(&finding.pointer));
            if !met.contains(&key) {
                self.note_field(key.clone(), finding, id, at);
                met.push(key);
            }
        }
        self.accurate += u64::from(is_accurate);
        blamed
    }

    fn note_field(
        &mut self,
        key: (OperationNo, String, String),
        finding: Finding,
        id: ExchangeId,
        at: nightaudit_exchange::Timestamp,
    ) {
        if self.fields.len() >= MOST_FIELDS && !self.fields.contains_key(&key) {
            self.unlisted += 1;
            return;
        }
        let rule = match finding.kind {
            _ if finding.disputed.is_some() => Rule::RequestDisputed,
            FindingKind::DeprecatedField | FindingKind::DeprecatedValue => Rule::RequestDeprecated,
            _ => Rule::RequestContract,
        };
        let field = self.fields.entry(key).or_insert_with(|| Field {
            expected: finding.expected.clone(),
            found: finding.found.clone(),
            differs: false,
            rule,
            disputed: finding.disputed.clone(),
            evidence: Evidence::default(),
        });
        field.differs |= field.found != finding.found;
        // A certain finding replaces a disputed one.
        if field.rule == Rule::RequestDisputed && rule != Rule::RequestDisputed {
            *field = Field {
                expected: finding.expected,
                found: finding.found,
                differs: field.differs,
                rule,
                disputed: None,
                evidence: std::mem::take(&mut field.evidence),
            };
        }
        field.evidence.add(id, at);
    }

    fn note_lifecycle(&mut self, number: OperationNo, known: &Operation, exchange: &Exchange) {
        let rule = match known.lifecycle {
            Lifecycle::Current => None,
            life => {
                let today = exchange.started_at.to_string().get(..10).and_then(|day| day.parse::<Date>().ok());
                let is_gone = today.is_some_and(|today| life.is_discontinued(today));
                Some(if is_gone { Rule::RequestDiscontinued } else { Rule::RequestDeprecated })
            }
        };
        for rule in rule.into_iter().chain(known.restricted.then_some(Rule::RequestRestricted)) {
            self.lifecycle.entry((number, rule)).or_default().add(exchange.id, exchange.started_at);
        }
    }

    pub(crate) fn report(&self, operations: &Operations, findings: &mut Findings<'_>) -> Accuracy {
        self.raise_unknown(operations, findings);
        let lifecycle = self.report_lifecycle(operations, findings);
        let mut fields = Vec::new();
        for ((number, kind, pointer), field) in &self.fields {
            let name = operations.name(*number);
            let location = if pointer.is_empty() { "the body" } else { pointer };
            let doubt = field.disputed.as_deref().map_or_else(String::new, |reason| format!(" Disputed: {reason}."));
            let comma = if field.differs { "," } else { "" };
            let requests = count_of(field.evidence.count, "request");
            let message = format!(
                "{name}, {location}: expected {}, found {}{comma} in {requests}.{doubt}",
                field.expected,
                field.found()
            );
            findings.raise(field.rule, Some(name), message, &field.evidence);
            fields.push(PropertyReview {
                operation: name.to_owned(),
                field: pointer.clone(),
                kind: kind.clone(),
                expected: field.expected.clone(),
                found: field.found(),
                count: field.evidence.count,
                exchanges: field.evidence.exchanges.iter().take(FIELD_EXAMPLES).copied().collect(),
            });
        }
        fields.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| (&a.operation, &a.field).cmp(&(&b.operation, &b.field)))
        });
        if self.unchecked.count > 0 {
            let message = format!(
                "{} truncated, incomplete or undecodable; not checked.",
                counted_as(self.unchecked.count, "request body", "request bodies")
            );
            findings.raise(Rule::RecordTruncated, None, message, &self.unchecked);
        }
        if self.unlisted > 0 {
            findings.bounds.push(format!(
                "{} in properties beyond the first {MOST_FIELDS}",
                counted_as(self.unlisted, "mistake is", "mistakes are")
            ));
        }
        Accuracy { checked: self.checked, unchecked: self.unchecked.count, accurate: self.accurate, fields, lifecycle }
    }

    fn raise_unknown(&self, operations: &Operations, findings: &mut Findings<'_>) {
        for (api, evidence) in &self.outside {
            let message = format!(
                "Mews' {} was called {}; this review doesn't check it.",
                api.name(),
                count_of(evidence.count, "time")
            );
            findings.raise(Rule::RequestOtherApi, None, message, evidence);
        }
        for (number, evidence) in &self.unknown {
            let name = operations.name(*number);
            let times = count_of(evidence.count, "time");
            let (message, advice) = match suggest(name) {
                Some(meant) => (
                    format!("Mews has no operation {name}, which was called {times}."),
                    format!("Did you mean {}?", meant.operation.path),
                ),
                None if name == OTHERS => (
                    format!("Many paths were called that Mews doesn't have, {times} in total."),
                    Rule::RequestUnknownOperation.advice().to_owned(),
                ),
                None => (
                    format!("Mews has no operation {name}, which was called {times}."),
                    Rule::RequestUnknownOperation.advice().to_owned(),
                ),
            };
            findings.raise_with_advice(Rule::RequestUnknownOperation, Some(name), message, advice, evidence);
        }
        for ((number, method), evidence) in &self.methods {
            let name = operations.name(*number);
            let message = format!("{name}: {} with {method} instead of POST.", count_of(evidence.count, "call"));
            findings.raise(Rule::RequestMethod, Some(name), message, evidence);
        }
    }

    fn report_lifecycle(&self, operations: &Operations, findings: &mut Findings<'_>) -> Vec<LifecycleReview> {
        let mut reviews = Vec::new();
        for ((number, rule), evidence) in &self.lifecycle {
            let name = operations.name(*number);
            let Some(known) = operation(name) else { continue };
            let (since, until) = match known.lifecycle {
                Lifecycle::Deprecated { since, discontinued } => (since, discontinued),
                _ => (None, None),
            };
            let on = |day: Option<Date>| day.map_or_else(String::new, |day| format!(" on {day}"));
            let (state, what) = match rule {
                Rule::RequestDiscontinued => (LifecycleState::Discontinued, format!("was discontinued{}", on(until))),
                Rule::RequestDeprecated => {
                    let end = until.map_or_else(String::new, |day| format!(" and ends on {day}"));
                    (
                        LifecycleState::Deprecated,
                        format!("is deprecated{}{end}", since.map_or_else(String::new, |day| format!(" since {day}"))),
                    )
                }
                _ => (LifecycleState::Restricted, "is in restricted beta".to_owned()),
            };
            let message = format!("{name} {what}; it was called {}.", count_of(evidence.count, "time"));
            let replaced_by: Vec<String> = known.replaced_by.iter().map(|path| path.to_string()).collect();
            let advice = match &replaced_by[..] {
                _ if state == LifecycleState::Restricted => rule.advice().to_owned(),
                [] => "Stop using it: Mews names no replacement.".to_owned(),
                replacements => format!("Use {}.", replacements.join(" or ")),
            };
            findings.raise_with_advice(*rule, Some(name), message, advice, evidence);
            reviews.push(LifecycleReview {
                operation: name.to_owned(),
                state,
                deprecated_on: since.map(|day| day.to_string()),
                discontinued_on: until.map(|day| day.to_string()),
                replaced_by,
                calls: evidence.count,
            });
        }
        reviews
    }
}

/// The time of sending, in UTC.
fn sent(exchange: &Exchange) -> Option<DateTime> {
    exchange.started_at.to_string().strip_suffix('Z')?.parse().ok()
}

/// A JSON pointer with `*` for array indices.
fn without_indices(pointer: &str) -> String {
    let part = |part: &str| {
        let is_index = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_index { "*".to_owned() } else { part.to_owned() }
    };
    pointer.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_indices_become_wildcards() {
        assert_eq!(without_indices("/Items/12/Name2/0"), "/Items/*/Name2/*");
        assert_eq!(without_indices(""), "");
    }
}
