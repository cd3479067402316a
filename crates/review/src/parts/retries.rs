//! How refusals and failures were met.

mod row;

use std::collections::{BTreeMap, HashMap};

use nightaudit_exchange::ExchangeId;

use super::limits::short;
use crate::{
    fact::Fact,
    findings::{Findings, count_of},
    names::{OperationNo, Operations, TokenNo, Tokens},
    review::{Evidence, RetryCause, RetryOrigin, RetryReview},
    rule::Rule,
};
use row::{Pauses, Row};

/// How much before the end of `Retry-After` a request may be sent, in microseconds: timers are not exact.
const EARLY: i64 = 250_000;

/// For how long other requests may still be sent after a refusal before all of the integration can know of it, in
/// microseconds: those of the same operation, and those of others.
const UNDER_WAY_ALIKE: i64 = 250_000;
const UNDER_WAY: i64 = 1_000_000;

/// For how long further refusals count as hammering, and how many of them are.
const HAMMER_TIME: i64 = 10_000_000;
const HAMMER_COUNT: u32 = 5;

/// The most refusals of one token that are looked back at.
const MOST_OPEN: usize = 32;

/// The most rows of failures that are open at once, of one token and operation, and in all.
const MOST_EACH: usize = 128;
const MOST_ROWS: usize = 4096;

/// How often rows that are over are looked for, in microseconds: every 10 minutes.
const SWEEP: i64 = 600_000_000;

/// The most tokens with refusals of a kind.
const MOST_TALLIES: usize = 1024;

type TallyKey = (TokenNo, RetryOrigin, RetryCause);

/// Follows what came after refusals and failures.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetriesPart {
    /// The refusals that may still be ignored, by token.
    open: HashMap<TokenNo, Vec<Refusal>>,
    /// The rows of failures that go on, by token and operation.
    rows: BTreeMap<(TokenNo, OperationNo), Vec<Row>>,
    row_count: usize,
    swept: i64,
    tallies: BTreeMap<TallyKey, Tally>,
    ignored: BTreeMap<(TokenNo, RetryOrigin), Evidence>,
    hammering: BTreeMap<TokenNo, Evidence>,
    fixed: BTreeMap<OperationNo, (Evidence, i64)>,
    no_backoff: BTreeMap<OperationNo, Evidence>,
    /// Failures for which there was no room.
    unfollowed: u64,
}

#[derive(Debug, Clone)]
struct Refusal {
    key: TallyKey,
    operation: OperationNo,
    question: u64,
    /// When the integration had it.
    end: i64,
    /// Until when `Retry-After` asks to wait.
    until: Option<i64>,
    ignored: bool,
    /// How many were refused after it.
    after: u32,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    count: u64,
    with_retry_after: u64,
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
    /// Looks at a fact in the order of sending.
    pub(crate) fn follow(&mut self, fact: &Fact) {
        self.look_back(fact);
        self.continue_row(fact);
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
                // Many refusals at once say the same; of those beyond the bound only the count is kept.
                tally.with_retry_after -= u64::from(fact.retry_after.is_some());
            }
        }
    }

    /// Holds a request against the refusals before it.
    fn look_back(&mut self, fact: &Fact) {
        let Some(open) = self.open.get_mut(&fact.access_token) else { return };
        let is_refused = matches!(fact.retry(), Some((_, RetryCause::TooManyRequests)));
        let (mut ignored, mut hammered) = (None, None);
        open.retain_mut(|refusal| {
            // What was under way already, or waited for the limiter, was sent by an integration that knew of nothing.
            if fact.came <= refusal.end {
                return true;
            }
            let since = fact.at - refusal.end;
            let grace = match fact.operation == refusal.operation {
                true if fact.intent.question == refusal.question => 0,
                true => UNDER_WAY_ALIKE,
                false => UNDER_WAY,
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
            // The next five are another time.
            open.iter_mut().for_each(|refusal| refusal.after = 0);
            if let Some(tally) = self.tallies.get_mut(&key) {
                tally.hammered += 1;
            }
            self.hammering.entry(fact.access_token).or_default().add(fact.id, fact.recorded_at());
        }
    }

    /// Goes on with, begins or ends a row of failures of the same request.
    fn continue_row(&mut self, fact: &Fact) {
        if fact.at.saturating_sub(self.swept) > SWEEP {
            self.swept = fact.at;
            self.end_rows(|row| row.is_over(fact.at));
        }
        let key = (fact.access_token, fact.operation);
        let kind = fact.retry();
        if let Some(rows) = self.rows.get_mut(&key)
            && let Some(index) = rows.iter().position(|row| row.is_again(fact))
        {
            let row = &mut rows[index];
            if row.is_over(fact.at) {
                let row = rows.swap_remove(index);
                self.row_count -= 1;
                self.end_row(key.1, &row);
            } else {
                if let Some(pause) = row.pause_before(fact)
                    && let Some(tally) = self.tallies.get_mut(&row.key)
                {
                    tally.shortest = Some(tally.shortest.map_or(pause, |own| own.min(pause)));
                    tally.longest = Some(tally.longest.map_or(pause, |own| own.max(pause)));
                }
                if kind.is_some() {
                    row.add(fact);
                } else {
                    let row = rows.swap_remove(index);
                    self.row_count -= 1;
                    self.end_row(key.1, &row);
                }
                return;
            }
        }
        let Some((origin, cause)) = kind else { return };
        let rows = self.rows.entry(key).or_default();
        if self.row_count < MOST_ROWS && rows.len() < MOST_EACH {
            rows.push(Row::new(fact, (fact.access_token, origin, cause)));
            self.row_count += 1;
        } else {
            self.unfollowed += 1;
        }
    }

    /// Ends the rows of which this is so.
    fn end_rows(&mut self, is_over: impl Fn(&Row) -> bool) {
        let mut over = Vec::new();
        self.rows.retain(|(_, operation), rows| {
            over.extend(rows.extract_if(.., |row| is_over(row)).map(|row| (*operation, row)));
            !rows.is_empty()
        });
        self.row_count -= over.len();
        for (operation, row) in over {
            self.end_row(operation, &row);
        }
    }

    fn end_row(&mut self, operation: OperationNo, row: &Row) {
        let Some(tally) = self.tallies.get_mut(&row.key) else { return };
        let (id, at) = (row.last.0, row.last.1);
        match row.pauses() {
            Pauses::TooFew => {}
            Pauses::Growing => tally.backed_off += 1,
            Pauses::None => {
                tally.hammered += 1;
                self.hammering.entry(row.key.0).or_default().add(id, at);
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
        self.end_rows(|_| true);
        // Nothing more was sent: who says nothing waits.
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
            let whose = if *origin == RetryOrigin::Mews { "Mews'" } else { "nightaudit's" };
            let were = if evidence.count == 1 { "was" } else { "were" };
            let message = format!(
                "{} with {} {were} sent before the `Retry-After` of {whose} 429 had passed.",
                count_of(evidence.count, "request"),
                of(*token),
            );
            findings.raise(Rule::RetryIgnoredRetryAfter, None, message, evidence);
        }
        for (token, evidence) in &self.hammering {
            let message = format!(
                "{}, requests with {} went on at volume while refused.",
                count_of(evidence.count, "time"),
                of(*token)
            );
            findings.raise(Rule::RetryHammering, None, message, evidence);
        }
        for (operation, (evidence, pause)) in &self.fixed {
            let name = operations.name(*operation);
            let message = format!(
                "{name}: {} of failures with the same pause each time, {:.1} s.",
                count_of(evidence.count, "row"),
                *pause as f64 / 1e6
            );
            findings.raise(Rule::RetryFixedPause, Some(name), message, evidence);
        }
        for (operation, evidence) in &self.no_backoff {
            let name = operations.name(*operation);
            let message = format!("{name}: {} of failures whose pauses did not grow.", count_of(evidence.count, "row"));
            findings.raise(Rule::RetryNoBackoff, Some(name), message, evidence);
        }
        if self.unfollowed > 0 {
            findings.bounds.push(format!(
                "what followed {} was not looked at, as there were too many at once",
                count_of(self.unfollowed, "failure")
            ));
        }
    }
}

/// An exchange and when it was recorded.
type Seen = (ExchangeId, nightaudit_exchange::Timestamp);
