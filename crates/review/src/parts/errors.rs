//! Failed calls, and whether they were later resolved.
//!
//! A failure is resolved by a later successful call of the same operation and token for the same thing, with the mistake
//! fixed. Later means sent after the failure was known. All versions of an operation are the same operation, and so is a
//! misspelt path. [`Unresolved::resolve`] defines "the same thing". After a 401 the token is at fault, so the call may be
//! repeated with a token that was first used afterwards.

mod chains;
mod reason;
mod rejected;
mod share;

use std::collections::{BTreeMap, HashMap};

use nightaudit_exchange::{FailureKind, Outcome, Timestamp};
use nightaudit_mews::Contracts;

use crate::{
    body::hash,
    fact::Fact,
    findings::{Findings, count_of, counted_as},
    intent::Unresolved,
    names::{OperationNo, Operations, TokenNo, Tokens},
    review::{EXAMPLES, ErrorReview, Errors, Evidence, FailedCall, Resolution},
    rule::Rule,
};
use chains::{Attempts, Chain, Chains};
use reason::Reason;
use share::Shares;

/// The most groups of similar failures. Groups without pending calls are evicted first.
const MOST_GROUPS: usize = 2000;

/// The most unresolved calls per operation and token, and in total.
const MOST_EACH: usize = 1024;
const MOST_WAITING: usize = 16_384;

/// Follows the failed calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorsPart {
    failed: u64,
    resolved: u64,
    groups: BTreeMap<u32, Group>,
    numbers: HashMap<GroupKey, u32>,
    next: u32,
    /// Unresolved calls by operation and, unless the token itself is at fault, by token.
    waiting: HashMap<(u64, Option<TokenNo>), Vec<Waiting>>,
    waiting_count: usize,
    resolved_unlisted: u64,
    unlisted: u64,
    first_seen: HashMap<TokenNo, i64>,
    raised: BTreeMap<(Rule, OperationNo, &'static str), Evidence>,
    shares: Shares,
    chains: Chains,
}

/// Operation, token, status, and the hash of the message.
type GroupKey = (OperationNo, TokenNo, u16, u64);

/// Calls that failed in the same way.
#[derive(Debug, Clone)]
struct Group {
    key: GroupKey,
    by_mews: bool,
    reason: Reason,
    message: Box<str>,
    /// Entries in `waiting` that belong to this group.
    waiting: u32,
    resolved: Calls,
    resolution: Option<Resolution>,
}

/// Some of the calls of a group.
#[derive(Debug, Clone, Default)]
struct Calls {
    count: u64,
    examples: Vec<FailedCall>,
    span: Option<(Timestamp, Timestamp)>,
}

impl Calls {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.iter().take(room).cloned());
        self.span = match (self.span, other.span) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (own, other) => own.or(other),
        };
    }
}

/// An unresolved call, and later ones that failed in the same way for the same thing.
#[derive(Debug, Clone)]
struct Waiting {
    group: u32,
    token: TokenNo,
    is_read: bool,
    unresolved: Unresolved,
    calls: Calls,
    attempts: Attempts,
    /// When the last of them was sent, and when the last failure was known.
    last_at: i64,
    end: i64,
}

impl ErrorsPart {
    /// Takes the next fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        self.first_seen.entry(fact.access_token).or_insert(fact.at);
        let reason = Reason::of(fact);
        let is_injected = fact.outcome == Outcome::Faulted;
        if is_injected && fact.retry().is_none() {
            // A made-up 403 demands nothing that a later call could show.
            return;
        }
        // A share of injected faults is what the rule says, not what Mews does.
        if !is_injected && !matches!(fact.outcome, Outcome::Rejected | Outcome::Aborted | Outcome::Interrupted) {
            self.shares.follow(fact, reason);
        }
        if fact.succeeded() {
            let by_call = self.resolve(fact, Some(fact.access_token));
            let by_token = self.resolve(fact, None);
            let resolved = by_call.into_iter().chain(by_token).reduce(|(operation, mut all), (_, more)| {
                all.merge(more);
                (operation, all)
            });
            if let Some((operation, attempts)) = resolved {
                self.chains.resolved(operation, fact, attempts);
            }
        } else if let Some(reason) = reason {
            self.fail(fact, reason);
        }
        let rule = match (fact.outcome, reason) {
            // A read has no effect. Whether it was repeated is judged like any other failure.
            (_, Some(Reason::NoAnswer)) if !fact.family.is_read && !is_injected => Rule::ErrorsNoAnswer,
            (Outcome::Rejected, _) => Rule::ErrorsRejected,
            (Outcome::Aborted, _) => Rule::ErrorsAbandoned,
            _ => return,
        };
        let kind = fact.failure.as_ref().and_then(|failure| failure.kind).map_or("", FailureKind::as_str);
        self.raised.entry((rule, fact.operation, kind)).or_default().add(fact.id, fact.recorded_at());
    }

    fn fail(&mut self, fact: &Fact, reason: Reason) {
        self.failed += 1;
        let Some(failure) = &fact.failure else { return };
        let key = (fact.operation, fact.access_token, fact.status, hash(failure.message.as_bytes()));
        let by_token = (reason != Reason::Token).then_some(fact.access_token);
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => {
                if self.groups.len() >= MOST_GROUPS && !self.make_room() {
                    self.unlisted += 1;
                    return;
                }
                let group = Group {
                    key,
                    by_mews: fact.outcome == Outcome::Answered,
                    reason,
                    message: failure.message.clone(),
                    waiting: 0,
                    resolved: Calls::default(),
                    resolution: None,
                };
                self.next = self.next.wrapping_add(1);
                self.groups.insert(self.next, group);
                self.numbers.insert(key, self.next);
                self.next
            }
        };
        let waiting = self.waiting.entry((fact.family.number, by_token)).or_default();
        let is_same_failure =
            |own: &Waiting| own.group == number && own.unresolved.is_same_failure(&fact.intent, failure.fault);
        let index = match waiting.iter().position(is_same_failure) {
            Some(index) => index,
            None if waiting.len() >= MOST_EACH || self.waiting_count >= MOST_WAITING => {
                self.unlisted += 1;
                return;
            }
            None => {
                self.waiting_count += 1;
                if let Some(group) = self.groups.get_mut(&number) {
                    group.waiting += 1;
                }
                waiting.push(Waiting {
                    group: number,
                    token: fact.access_token,
                    is_read: fact.family.is_read,
                    unresolved: Unresolved::new(fact.intent, failure.fault),
                    calls: Calls::default(),
                    attempts: Attempts::default(),
                    last_at: fact.at,
                    end: fact.end,
                });
                waiting.len() - 1
            }
        };
        let own = &mut waiting[index];
        let request_id = failure.request_id.as_deref().map(str::to_owned);
        let at = fact.recorded_at();
        own.calls.add(&Calls {
            count: 1,
            examples: vec![FailedCall { exchange: fact.id, request_id }],
            span: Some((at, at)),
        });
        own.attempts.add(fact);
        own.last_at = own.last_at.max(fact.at);
        own.end = own.end.max(fact.end);
    }

    /// Evicts the oldest group without unresolved calls; returns whether there was one.
    fn make_room(&mut self) -> bool {
        let Some((number, key)) =
            self.groups.iter().find(|(_, group)| group.waiting == 0).map(|(number, group)| (*number, group.key))
        else {
            return false;
        };
        self.numbers.remove(&key);
        let removed = self.groups.remove(&number);
        self.resolved_unlisted += removed.map_or(0, |group| group.resolved.count);
        true
    }

    /// Returns the attempts that this call has resolved, with the operation that they called.
    fn resolve(&mut self, fact: &Fact, by_token: Option<TokenNo>) -> Vec<(OperationNo, Attempts)> {
        let key = (fact.family.number, by_token);
        let mut done = Vec::new();
        let Some(waiting) = self.waiting.get_mut(&key) else { return done };
        let first_seen = self.first_seen.get(&fact.access_token).copied().unwrap_or(i64::MIN);
        let (groups, resolved, count) = (&mut self.groups, &mut self.resolved, &mut self.waiting_count);
        waiting.retain_mut(|own| {
            let token_fits = by_token.is_some()
                || own.token == fact.access_token
                || own.token == TokenNo(0)
                || first_seen > own.last_at;
            // A call sent before the failure was known doesn't resolve it.
            if !token_fits || fact.at <= own.end || !own.unresolved.resolve(&fact.intent, own.is_read) {
                return true;
            }
            *resolved += own.calls.count;
            *count -= 1;
            if let Some(group) = groups.get_mut(&own.group) {
                group.waiting -= 1;
                group.resolved.add(&own.calls);
                let after_ms = u64::try_from((fact.at - own.last_at) / 1000).unwrap_or(0);
                group.resolution = Some(Resolution { exchange: fact.id, at: fact.recorded_at(), after_ms });
                done.push((group.key.0, std::mem::take(&mut own.attempts)));
            }
            false
        });
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        done
    }

    pub(crate) fn report(
        &self,
        (operations, contracts): (&Operations, &Contracts),
        tokens: &Tokens,
        findings: &mut Findings<'_>,
    ) -> Errors {
        let mut unresolved: BTreeMap<u32, Calls> = BTreeMap::new();
        let mut waiting: Vec<&Waiting> = self.waiting.values().flatten().collect();
        waiting.sort_by_key(|own| (own.last_at, own.calls.examples.first().map(|called| called.exchange)));
        for own in &waiting {
            unresolved.entry(own.group).or_default().add(&own.calls);
        }
        self.raise(&unresolved, (operations, contracts), findings);
        let mut calls: Vec<ErrorReview> = Vec::new();
        for (number, group) in &self.groups {
            let open = unresolved.get(number).map(|open| (open, None));
            let good = Some((&group.resolved, group.resolution)).filter(|(good, _)| good.count > 0);
            for (own, resolution) in open.into_iter().chain(good) {
                calls.push(group.review(own, resolution, operations, tokens));
            }
        }
        calls.sort_by_key(|call| (call.resolution.is_some(), std::cmp::Reverse(call.count), call.first));
        let unresolved = waiting.iter().filter_map(|own| {
            let group = self.groups.get(&own.group)?;
            let (operation, token) = (group.key.0, own.token);
            Some(Chain { operation, token, attempts: own.attempts.clone(), resolution: None })
        });
        let chains = self.chains.report(unresolved, operations, tokens);
        let unlisted = self.unlisted + self.resolved_unlisted;
        if unlisted > 0 {
            findings
                .bounds
                .push(format!("{} counted and not listed", counted_as(unlisted, "failed call is", "failed calls are")));
        }
        Errors {
            failed: self.failed,
            resolved: self.resolved,
            unresolved: self.failed - self.resolved,
            calls,
            chains,
            unlisted,
        }
    }

    fn raise(
        &self,
        unresolved: &BTreeMap<u32, Calls>,
        (operations, contracts): (&Operations, &Contracts),
        findings: &mut Findings<'_>,
    ) {
        // One finding for the same failure, whatever the token.
        let mut alike: BTreeMap<(&str, u16, &str), (Calls, Reason)> = BTreeMap::new();
        for (number, calls) in unresolved {
            let Some(group) = self.groups.get(number) else { continue };
            let key = (operations.name(group.key.0), group.key.2, &*group.message);
            let (together, _) = alike.entry(key).or_insert_with(|| (Calls::default(), group.reason));
            together.add(calls);
        }
        for ((operation, status, message), (calls, reason)) in alike {
            let status = if status == 0 { "no response".to_owned() } else { status.to_string() };
            let message =
                format!("{operation}: {} not resolved: {status}, {message}", count_of(calls.count, "failed call"));
            let has_request_id = calls.examples.iter().any(|called| called.request_id.is_some());
            let rule = match reason {
                Reason::Server | Reason::TooHeavy => Rule::ErrorsServer,
                _ => Rule::ErrorsUnresolved,
            };
            let evidence = Evidence {
                count: calls.count,
                exchanges: calls.examples.iter().map(|called| called.exchange).collect(),
                first: calls.span.map(|(first, _)| first),
                last: calls.span.map(|(_, last)| last),
            };
            findings.raise_with_advice(rule, Some(operation), message, reason.advice(has_request_id), &evidence);
        }
        if self.unlisted > 0 {
            let message = format!(
                "{} beyond the listed ones may not have been resolved.",
                count_of(self.unlisted, "failed call")
            );
            let evidence = Evidence { count: self.unlisted, ..Evidence::default() };
            findings.raise(Rule::ErrorsUnresolved, None, message, &evidence);
        }
        self.shares.raise(operations, findings);
        for ((rule, operation, kind), evidence) in &self.raised {
            let name = operations.name(*operation);
            let calls = count_of(evidence.count, "call");
            let (message, advice) = match rule {
                Rule::ErrorsNoAnswer => {
                    (format!("{name}: {calls} got no response from Mews ({kind})."), rule.advice().to_owned())
                }
                Rule::ErrorsRejected => {
                    let requests = count_of(evidence.count, "request");
                    (format!("{requests} could not be forwarded ({kind})."), rejected::advice(kind).to_owned())
                }
                _ => (
                    format!("{name}: {calls} aborted by the client before the response was complete."),
                    rule.advice().to_owned(),
                ),
            };
            let operation = Some(name).filter(|_| *rule != Rule::ErrorsRejected || contracts.has(name));
            findings.raise_with_advice(*rule, operation, message, advice, evidence);
        }
    }
}

impl Group {
    fn review(
        &self,
        calls: &Calls,
        resolution: Option<Resolution>,
        operations: &Operations,
        tokens: &Tokens,
    ) -> ErrorReview {
        let (operation, token, status, _) = self.key;
        let (first, last) = calls.span.unwrap_or((Timestamp::from_micros(0), Timestamp::from_micros(0)));
        ErrorReview {
            operation: operations.name(operation).to_owned(),
            access_token: tokens.token(token),
            status: (status != 0).then_some(status),
            by_mews: self.by_mews,
            message: self.message.to_string(),
            count: calls.count,
            exchanges: calls.examples.clone(),
            first,
            last,
            resolution,
        }
    }
}
