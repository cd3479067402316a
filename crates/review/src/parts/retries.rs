//! Retries: what the integration did after refusals and failures.

mod failure_series;

use std::collections::{BTreeMap, HashMap};

use super::limits::short;
use crate::{
    fact::Fact,
    findings::{Findings, by_number, count_of},
    names::{OperationNo, Operations, TokenNo, Tokens},
    review::{Evidence, RetryCause, RetryOrigin, RetryReview},
    rule::Rule,
};
use failure_series::{FailureSeries, Pauses, TallyKey};

/// How early before the end of `Retry-After` a request may be sent, in microseconds: timers are not exact.
const EARLY: i64 = 250_000;

/// How long other requests may still be sent after a refusal, until the whole integration knows of it, in
/// microseconds: for the same operation, and for others.
const GRACE_SAME_OPERATION: i64 = 250_000;
const GRACE_OTHER_OPERATION: i64 = 1_000_000;

/// How many further refusals within how long are hammering, in microseconds.
const HAMMER_TIME: i64 = 10_000_000;
const HAMMER_COUNT: u32 = 5;

/// The most open refusals per token.
const MOST_OPEN: usize = 32;

/// The most open series of failures, per token and operation, and in total.
const MOST_EACH: usize = 128;
const MOST_SERIES: usize = 4096;

/// How often expired series are swept, in microseconds: every 10 minutes.
const SWEEP: i64 = 600_000_000;

/// The most combinations of token, origin and cause that are counted.
const MOST_TALLIES: usize = 1024;

/// Follows what was sent after refusals and failures.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetriesPart {
    /// Recent refusals, by token.
    open: HashMap<TokenNo, Vec<Refusal>>,
    /// The open series of failures, by token and operation.
    series: BTreeMap<(TokenNo, OperationNo), Vec<FailureSeries>>,
    series_count: usize,
    swept: i64,
    tallies: BTreeMap<TallyKey, Tally>,
    ignored: BTreeMap<(TokenNo, RetryOrigin), Evidence>,
    hammering: BTreeMap<TokenNo, Evidence>,
    fixed: BTreeMap<OperationNo, (Evidence, i64)>,
    no_backoff: BTreeMap<OperationNo, Evidence>,
    /// Refusals with a `Retry-After` of which it isn't known whether it was heeded.
    unchecked: u64,
    /// Failures beyond the bounds.
    unfollowed: u64,
}

#[derive(Debug, Clone)]
struct Refusal {
    key: TallyKey,
    operation: OperationNo,
    question: u64,
    /// When the integration received it.
    end: i64,
    /// The end of its `Retry-After`.
    until: Option<i64>,
    ignored: bool,
    /// Refusals after it.
    after: u32,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    count: u64,
    with_retry_after: u64,
    unchecked: u64,
    ignored: u64,
    heeded: u64,
    backed_off: u64,
    fixed: u64,
    without: u64,
    hammered: u64,
    shortest: Option<i64>,
    longest: Option<i64>,
}

impl RetriesPart {
    /// Takes the next fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        self.look_back(fact);
        self.continue_series(fact);
        let Some((origin, cause)) = fact.retry() else { return };
        let key = (fact.access_token, origin, cause);
        if self.tallies.len() >= MOST_TALLIES && !self.tallies.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        let tally = self.tallies.entry(key).or_default();
        tally.count += 1;
        if cause == RetryCause::TooManyRequests {
            tally.with_retry_after += u64::from(fact.retry_after.is_some());
            let until = fact.retry_after.map(|seconds| fact.end.saturating_add(i64::from(seconds) * 1_000_000));
            let open = self.open.entry(fact.access_token).or_default();
            if open.len() < MOST_OPEN {
                open.push(Refusal {
                    key,
                    operation: fact.operation,
                    question: fact.intent.question,
                    end: fact.end,
                    until,
                    ignored: false,
                    after: 0,
                });
            } else {
                // Refusals beyond the bound are only counted.
                tally.unchecked += u64::from(fact.retry_after.is_some());
                self.unchecked += u64::from(fact.retry_after.is_some());
            }
        }
    }

    /// Checks a request against earlier refusals.
    fn look_back(&mut self, fact: &Fact) {
        let Some(open) = self.open.get_mut(&fact.access_token) else { return };
        let is_refused = matches!(fact.retry(), Some((_, RetryCause::TooManyRequests)));
        let (mut ignored, mut hammered) = (None, None);
        open.retain_mut(|refusal| {
            // Received before the refusal was, so the integration didn't know of it yet.
            if fact.received <= refusal.end {
                return true;
            }
            let since = fact.at - refusal.end;
            let grace = match fact.operation == refusal.operation {
                true if fact.intent.question == refusal.question => 0,
                true => GRACE_SAME_OPERATION,
                false => GRACE_OTHER_OPERATION,
            };
            let is_early = refusal.until.is_some_and(|until| fact.at < until.saturating_sub(EARLY));
            if is_early && since > grace {
                ignored = Some(refusal.key);
                if !refusal.ignored
                    && let Some(tally) = self.tallies.get_mut(&refusal.key)
                {
                    (refusal.ignored, tally.ignored) = (true, tally.ignored + 1);
                }
            }
            if is_refused && since < HAMMER_TIME {
                refusal.after += 1;
                if refusal.after >= HAMMER_COUNT {
                    hammered = Some(refusal.key);
                }
            }
            let is_over = refusal.until.is_none_or(|until| fact.at >= until) && since >= HAMMER_TIME;
            if is_over
                && let (Some(_), false) = (refusal.until, refusal.ignored)
                && let Some(tally) = self.tallies.get_mut(&refusal.key)
            {
                tally.heeded += 1;
            }
            !is_over
        });
        if let Some((token, origin, _)) = ignored {
            self.ignored.entry((token, origin)).or_default().add(fact.id, fact.recorded_at());
        }
        if let Some(key) = hammered {
            // Start counting anew.
            open.iter_mut().for_each(|refusal| refusal.after = 0);
            if let Some(tally) = self.tallies.get_mut(&key) {
                tally.hammered += 1;
            }
            self.hammering.entry(fact.access_token).or_default().add(fact.id, fact.recorded_at());
        }
    }

    /// Starts, continues or ends a series of failures of the same request.
    fn continue_series(&mut self, fact: &Fact) {
        if fact.at.saturating_sub(self.swept) > SWEEP {
            self.swept = fact.at;
            self.end_matching(|failures| failures.is_over(fact.at));
        }
        let key = (fact.access_token, fact.operation);
        let kind = fact.retry();
        if let Some(series) = self.series.get_mut(&key)
            && let Some(index) = series.iter().position(|failures| failures.is_again(fact))
        {
            let failures = &mut series[index];
            if failures.is_over(fact.at) {
                let failures = series.swap_remove(index);
                self.series_count -= 1;
                self.end_series(key.1, &failures);
            } else {
                if let Some(pause) = failures.pause_before(fact)
                    && let Some(tally) = self.tallies.get_mut(&failures.key)
                {
                    tally.shortest = Some(tally.shortest.map_or(pause, |own| own.min(pause)));
                    tally.longest = Some(tally.longest.map_or(pause, |own| own.max(pause)));
                }
                if kind.is_some() {
                    failures.add(fact);
                } else {
                    let failures = series.swap_remove(index);
                    self.series_count -= 1;
                    self.end_series(key.1, &failures);
                }
                return;
            }
        }
        let Some((origin, cause)) = kind else { return };
        let series = self.series.entry(key).or_default();
        if self.series_count < MOST_SERIES && series.len() < MOST_EACH {
            series.push(FailureSeries::new(fact, (fact.access_token, origin, cause)));
            self.series_count += 1;
        } else {
            self.unfollowed += 1;
        }
    }

    /// Ends the series that match.
    fn end_matching(&mut self, is_over: impl Fn(&FailureSeries) -> bool) {
        let mut over = Vec::new();
        self.series.retain(|(_, operation), series| {
            over.extend(series.extract_if(.., |failures| is_over(failures)).map(|failures| (*operation, failures)));
            !series.is_empty()
        });
        self.series_count -= over.len();
        for (operation, failures) in over {
            self.end_series(operation, &failures);
        }
    }

    fn end_series(&mut self, operation: OperationNo, failures: &FailureSeries) {
        let Some(tally) = self.tallies.get_mut(&failures.key) else { return };
        let (id, at) = (failures.last.0, failures.last.1);
        match failures.pauses() {
            Pauses::TooFew => {}
            Pauses::Growing => tally.backed_off += 1,
            Pauses::None => {
                tally.hammered += 1;
                self.hammering.entry(failures.key.0).or_default().add(id, at);
            }
            Pauses::Fixed(pause) => {
                tally.fixed += 1;
                let (evidence, typical) = self.fixed.entry(operation).or_default();
                evidence.add(id, at);
                *typical = pause;
            }
            Pauses::NotGrowing => {
                tally.without += 1;
                self.no_backoff.entry(operation).or_default().add(id, at);
            }
        }
    }

    pub(crate) fn report(
        mut self,
        operations: &Operations,
        tokens: &Tokens,
        findings: &mut Findings<'_>,
    ) -> Vec<RetryReview> {
        self.end_matching(|_| true);
        // Nothing was sent afterwards, so the integration waited.
        for refusal in self.open.values().flatten().filter(|refusal| refusal.until.is_some() && !refusal.ignored) {
            if let Some(tally) = self.tallies.get_mut(&refusal.key) {
                tally.heeded += 1;
            }
        }
        self.raise(operations, tokens, findings);
        let millis = |micros: i64| u64::try_from(micros / 1000).unwrap_or(0);
        self.tallies
            .iter()
            .map(|((token, origin, cause), tally)| RetryReview {
                access_token: tokens.token(*token),
                origin: *origin,
                cause: *cause,
                count: tally.count,
                with_retry_after: tally.with_retry_after,
                unchecked: tally.unchecked,
                ignored: tally.ignored,
                heeded: tally.heeded,
                backed_off: tally.backed_off,
                fixed_pauses: tally.fixed,
                without_backoff: tally.without,
                hammered: tally.hammered,
                shortest_pause_ms: tally.shortest.map(millis),
                longest_pause_ms: tally.longest.map(millis),
            })
            .collect()
    }

    fn raise(&self, operations: &Operations, tokens: &Tokens, findings: &mut Findings<'_>) {
        let of = |number: TokenNo| match tokens.token(number) {
            Some(token) => format!("token {}", short(&token.to_string())),
            None => "no token".to_owned(),
        };
        for ((token, origin), evidence) in &self.ignored {
            let whose = match origin {
                RetryOrigin::Mews => "Mews'",
                RetryOrigin::Nightaudit => "nightaudit's",
                RetryOrigin::Fault => "an injected",
            };
            let were = by_number(evidence.count, "was", "were");
            let message = format!(
                "{} with {} {were} sent before the `Retry-After` of {whose} 429 had passed.",
                count_of(evidence.count, "request"),
                of(*token),
            );
            findings.raise(Rule::RetryIgnoredRetryAfter, None, message, evidence);
        }
        for (token, evidence) in &self.hammering {
            let message = format!(
                "{}, requests with {} continued at volume while being refused.",
                count_of(evidence.count, "time"),
                of(*token)
            );
            findings.raise(Rule::RetryHammering, None, message, evidence);
        }
        for (operation, (evidence, pause)) in &self.fixed {
            let name = operations.name(*operation);
            let message = format!(
                "{name}: {} series of failures retried after the same pause each time, {:.1} s.",
                evidence.count,
                *pause as f64 / 1e6
            );
            findings.raise(Rule::RetryFixedPause, Some(name), message, evidence);
        }
        for (operation, evidence) in &self.no_backoff {
            let name = operations.name(*operation);
            let message = format!("{name}: {} series of failures retried without growing pauses.", evidence.count);
            findings.raise(Rule::RetryNoBackoff, Some(name), message, evidence);
        }
        if self.unchecked > 0 {
            findings.bounds.push(format!(
                "whether {} with `Retry-After` were heeded was not checked because {MOST_OPEN} of the token were in progress",
                count_of(self.unchecked, "refusal")
            ));
        }
        if self.unfollowed > 0 {
            findings.bounds.push(format!(
                "retries after {} were not checked because too many were in progress at once",
                count_of(self.unfollowed, "failure")
            ));
        }
    }
}
