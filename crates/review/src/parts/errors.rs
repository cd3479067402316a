//! The failed calls, and whether they were made good.
//!
//! A failure is resolved by the first later call of the same operation and token with the same intent that succeeds. An
//! operation is the same in any version, and under an address that was meant to be its own. For a question the intent is
//! the operation alone: what it asks changes with the time. For a change it is the [`Subject`](crate::body::Subject).
//! A 401 says that the token is wrong, so a token that is used for the first time after it resolves it too.

use std::collections::{BTreeMap, HashMap};

use nightaudit_exchange::Outcome;

use crate::{
    body::Subject,
    fact::Fact,
    findings::{Findings, count_of},
    names::{OperationNo, Operations, TokenNo, Tokens},
    review::{Called, EXAMPLES, ErrorReview, Errors, Evidence, Resolution},
    rule::Rule,
};

/// The most kinds of failures that are told apart. Resolved ones make room for new ones.
const MOST: usize = 2000;

/// The most that wait to be resolved by one operation and token.
const MOST_WAITING: usize = 128;

/// Follows the failed calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorsPart {
    failed: u64,
    kinds: BTreeMap<u64, Kind>,
    next: u64,
    /// Those that wait, by operation and, unless it is the token that is wrong, by token.
    waiting: HashMap<(u64, Option<TokenNo>), Vec<u64>>,
    /// Those that are resolved, the oldest first.
    resolved: std::collections::VecDeque<u64>,
    resolved_unlisted: u64,
    unlisted: u64,
    first_seen: HashMap<TokenNo, i64>,
    raised: BTreeMap<(Rule, OperationNo), Evidence>,
}

/// Calls that failed alike.
#[derive(Debug, Clone)]
struct Kind {
    operation: OperationNo,
    token: TokenNo,
    asks: bool,
    status: u16,
    by_mews: bool,
    message: Box<str>,
    subject: Subject,
    calls: Vec<Called>,
    evidence: Evidence,
    last_at: i64,
    resolution: Option<Resolution>,
}

impl ErrorsPart {
    /// Looks at a fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        self.first_seen.entry(fact.access_token).or_insert(fact.at);
        if fact.succeeded() {
            self.resolve(fact, Some(fact.access_token));
            self.resolve(fact, None);
        } else if fact.failed() {
            self.fail(fact);
        }
        let rule = match (fact.outcome, fact.status) {
            (Outcome::Answered, 408 | 500..) => Rule::ErrorsServer,
            (Outcome::Failed, _) => Rule::ErrorsNoAnswer,
            (Outcome::Rejected, _) => Rule::ErrorsRejected,
            (Outcome::Aborted, _) => Rule::ErrorsAbandoned,
            _ => return,
        };
        self.raised.entry((rule, fact.operation)).or_default().add(fact.id, fact.recorded_at());
    }

    fn fail(&mut self, fact: &Fact) {
        self.failed += 1;
        let Some(failure) = &fact.failure else { return };
        let by_token = (fact.status != 401).then_some(fact.access_token);
        let waiting = self.waiting.entry((fact.family.number, by_token)).or_default();
        let is_alike = |kind: &Kind| {
            kind.operation == fact.operation
                && kind.token == fact.access_token
                && kind.status == fact.status
                && kind.message == failure.message
                && (kind.asks || kind.subject == fact.subject)
        };
        let known = waiting.iter().copied().find(|number| self.kinds.get(number).is_some_and(is_alike));
        let number = match known {
            Some(number) => number,
            None if waiting.len() >= MOST_WAITING => {
                self.unlisted += 1;
                return;
            }
            None => {
                if self.kinds.len() >= MOST {
                    let Some(oldest) = self.resolved.pop_front() else {
                        self.unlisted += 1;
                        return;
                    };
                    let removed = self.kinds.remove(&oldest);
                    self.resolved_unlisted += removed.map_or(0, |kind| kind.evidence.count);
                }
                self.next += 1;
                waiting.push(self.next);
                let kind = Kind {
                    operation: fact.operation,
                    token: fact.access_token,
                    asks: fact.family.asks,
                    status: fact.status,
                    by_mews: fact.outcome == Outcome::Answered,
                    message: failure.message.clone(),
                    subject: fact.subject,
                    calls: Vec::new(),
                    evidence: Evidence::default(),
                    last_at: fact.at,
                    resolution: None,
                };
                self.kinds.insert(self.next, kind);
                self.next
            }
        };
        if let Some(kind) = self.kinds.get_mut(&number) {
            if kind.calls.len() < EXAMPLES {
                let request_id = failure.request_id.as_deref().map(str::to_owned);
                kind.calls.push(Called { exchange: fact.id, request_id });
            }
            kind.evidence.add(fact.id, fact.recorded_at());
            kind.last_at = kind.last_at.max(fact.at);
        }
    }

    fn resolve(&mut self, fact: &Fact, by_token: Option<TokenNo>) {
        let Some(waiting) = self.waiting.get_mut(&(fact.family.number, by_token)) else { return };
        let is_new = |kind: &Kind| self.first_seen.get(&fact.access_token).is_some_and(|first| *first > kind.last_at);
        waiting.retain(|number| {
            let Some(kind) = self.kinds.get_mut(number) else { return false };
            let token_fits =
                by_token.is_some() || kind.token == fact.access_token || kind.token == TokenNo(0) || is_new(kind);
            if !token_fits || fact.at < kind.last_at || !(kind.asks || kind.subject.is_like(&fact.subject)) {
                return true;
            }
            let after_ms = u64::try_from((fact.at - kind.last_at) / 1000).unwrap_or(0);
            kind.resolution = Some(Resolution { exchange: fact.id, at: fact.recorded_at(), after_ms });
            self.resolved.push_back(*number);
            false
        });
        if waiting.is_empty() {
            self.waiting.remove(&(fact.family.number, by_token));
        }
    }

    pub(crate) fn report(&self, operations: &Operations, tokens: &Tokens, findings: &mut Findings<'_>) -> Errors {
        let listed = self.kinds.values().filter(|kind| kind.resolution.is_some()).map(|kind| kind.evidence.count);
        let resolved = self.resolved_unlisted + listed.sum::<u64>();
        let mut calls: Vec<ErrorReview> = self.kinds.values().map(|kind| kind.review(operations, tokens)).collect();
        calls.sort_by_key(|call| (call.resolution.is_some(), std::cmp::Reverse(call.count), call.first));
        self.raise(&calls, operations, findings);
        let unlisted = self.unlisted + self.resolved_unlisted;
        if unlisted > 0 {
            findings.bounds.push(format!("{} are counted and not listed", count_of(unlisted, "failed call")));
        }
        Errors { failed: self.failed, resolved, unresolved: self.failed - resolved, calls, unlisted }
    }

    fn raise(&self, calls: &[ErrorReview], operations: &Operations, findings: &mut Findings<'_>) {
        // One finding for calls that failed alike, whatever they were about.
        let mut unresolved: BTreeMap<(&str, Option<u16>, &str), Evidence> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.resolution.is_none()) {
            let evidence = unresolved.entry((&call.operation, call.status, &call.message)).or_default();
            evidence.count += call.count;
            let room = EXAMPLES - evidence.exchanges.len();
            evidence.exchanges.extend(call.exchanges.iter().take(room).map(|called| called.exchange));
            evidence.first = Some(evidence.first.map_or(call.first, |first| first.min(call.first)));
            evidence.last = Some(evidence.last.map_or(call.last, |last| last.max(call.last)));
        }
        for ((operation, status, message), evidence) in unresolved {
            let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let message =
                format!("{operation}: {} not made good: {status}, {message}", count_of(evidence.count, "failed call"));
            findings.raise(Rule::ErrorsUnresolved, Some(operation), message, &evidence);
        }
        if self.unlisted > 0 {
            let message = format!(
                "{} beyond those that are listed may not have been made good.",
                count_of(self.unlisted, "failed call")
            );
            findings.raise(
                Rule::ErrorsUnresolved,
                None,
                message,
                &Evidence { count: self.unlisted, ..Evidence::default() },
            );
        }
        for ((rule, operation), evidence) in &self.raised {
            let name = operations.name(*operation);
            let what = match rule {
                Rule::ErrorsServer => "failed at Mews (5xx or 408)",
                Rule::ErrorsNoAnswer => "got no answer from Mews",
                Rule::ErrorsRejected => "could not be forwarded",
                _ => "left before the answer was there",
            };
            let message = format!("{name}: {} {what}.", count_of(evidence.count, "call"));
            findings.raise(*rule, Some(name), message, evidence);
        }
    }
}

impl Kind {
    fn review(&self, operations: &Operations, tokens: &Tokens) -> ErrorReview {
        let epoch = nightaudit_exchange::Timestamp::from_micros(0);
        ErrorReview {
            operation: operations.name(self.operation).to_owned(),
            access_token: tokens.token(self.token),
            status: (self.status != 0).then_some(self.status),
            by_mews: self.by_mews,
            message: self.message.to_string(),
            count: self.evidence.count,
            exchanges: self.calls.clone(),
            first: self.evidence.first.unwrap_or(epoch),
            last: self.evidence.last.unwrap_or(epoch),
            resolution: self.resolution,
        }
    }
}
