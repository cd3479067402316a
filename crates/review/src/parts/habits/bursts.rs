//! Calls that should have been one: many with a single id each, or the same change twice within seconds.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// How many calls with a single id each within how long are a burst: 20 in 30 seconds.
pub(super) const SINGLES: usize = 20;
const SINGLES_TIME: i64 = 30_000_000;

/// The time within which the same change counts as sent twice, in microseconds: 10 seconds.
const TWICE: i64 = 10_000_000;

/// The most recent changes kept per operation and token.
const MOST_CHANGES: usize = 32;

/// The most pairs of operation and token followed.
const MOST: usize = 4096;

/// Detects bursts of calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Bursts {
    singles: HashMap<(OperationNo, TokenNo), Singles>,
    one_by_one: BTreeMap<OperationNo, Evidence>,
    changes: HashMap<(OperationNo, TokenNo), VecDeque<(u64, i64)>>,
    twice: BTreeMap<OperationNo, Evidence>,
    unfollowed: u64,
}

/// The latest calls with a single id each.
#[derive(Debug, Clone, Default)]
struct Singles {
    question: u64,
    calls: VecDeque<(i64, nightaudit_exchange::ExchangeId, nightaudit_exchange::Timestamp)>,
}

impl Bursts {
    /// Adds a read call.
    pub(super) fn follow_question(&mut self, fact: &Fact) {
        if !fact.is_single {
            return;
        }
        let key = (fact.operation, fact.access_token);
        if self.singles.len() >= MOST && !self.singles.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        let singles = self.singles.entry(key).or_default();
        // The same id again is a repetition or a retry.
        if singles.question == fact.intent.question {
            return;
        }
        singles.question = fact.intent.question;
        singles.calls.push_back((fact.at, fact.id, fact.recorded_at()));
        while singles.calls.front().is_some_and(|(at, ..)| fact.at - at > SINGLES_TIME) {
            singles.calls.pop_front();
        }
        if singles.calls.len() >= SINGLES {
            // All of them are reported; further ones continue this burst or start another.
            let evidence = self.one_by_one.entry(fact.operation).or_default();
            singles.calls.drain(..).for_each(|(_, id, at)| evidence.add(id, at));
        }
    }

    /// Adds a successful change.
    pub(super) fn follow_change(&mut self, fact: &Fact) {
        if !fact.succeeded() || fact.intent.names == 0 {
            return;
        }
        let key = (fact.operation, fact.access_token);
        if self.changes.len() >= MOST && !self.changes.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        let changes = self.changes.entry(key).or_default();
        changes.retain(|(_, at)| fact.at - at <= TWICE);
        if changes.iter().any(|(question, _)| *question == fact.intent.question) {
            self.twice.entry(fact.operation).or_default().add(fact.id, fact.recorded_at());
        }
        if changes.len() >= MOST_CHANGES {
            changes.pop_front();
        }
        changes.push_back((fact.intent.question, fact.at));
    }

    /// The bursts of calls with a single id each.
    pub(super) fn one_by_one(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.one_by_one
    }

    /// The successful changes that were sent again within seconds.
    pub(super) fn twice(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.twice
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}
