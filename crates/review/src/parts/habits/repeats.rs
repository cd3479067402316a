//! Repeated read calls: within a minute, for data that seldom changes, and for a past interval.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    body::Hashes,
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// The time within which the same call is a repetition, in microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 3_600_000_000;

/// How many repetitions within an hour are a habit.
const REPEATS: usize = 3;

/// How many repeated calls for data that seldom changes, within how long, are a habit: 5 in a day. A few processes that
/// fetch it at their start make fewer.
const STATIC_REPEATS: usize = 5;
const DAY: i64 = 24 * HOUR;

/// The time within which a past interval is fetched again, in microseconds: 12 hours, so that a daily search for corrections
/// is fine.
const HALF_A_DAY: i64 = 12 * HOUR;

/// The most recent changes kept per token.
const MOST_CHANGES: usize = 16;

/// The most pairs of operation and token followed, and calls of each.
const MOST: usize = 4096;
const MOST_QUESTIONS: usize = 16;

/// Detects repetitions.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats {
    asked: HashMap<(OperationNo, TokenNo), Reads>,
    repeated: BTreeMap<OperationNo, Times>,
    static_data: BTreeMap<OperationNo, Times>,
    /// The latest changes, by token.
    changed: HashMap<TokenNo, VecDeque<Changed>>,
    past: BTreeMap<OperationNo, Evidence>,
    unfollowed: u64,
}

/// The calls of one operation and token: the latest successful ones, and when they were made.
#[derive(Debug, Clone, Default)]
struct Reads {
    questions: VecDeque<(u64, i64)>,
    /// Those for a past interval, kept even if there are others in between.
    past: VecDeque<(u64, i64)>,
}

/// A change: a call after it about the same subject may get another response.
#[derive(Debug, Clone, Copy)]
struct Changed {
    at: i64,
    resource: u64,
    ids: Hashes,
}

/// Repeated calls of an operation.
#[derive(Debug, Clone, Default)]
struct Times {
    evidence: Evidence,
    /// The times of the latest ones.
    last: VecDeque<i64>,
    is_habit: bool,
}

impl Times {
    /// Adds another one; this many within this time are a habit.
    fn add(&mut self, fact: &Fact, count: usize, within: i64) {
        self.evidence.add(fact.id, fact.recorded_at());
        self.last.push_back(fact.at);
        if self.last.len() == count {
            self.is_habit |= self.last.pop_front().is_some_and(|first| fact.at - first < within);
        }
    }
}

/// Those that became habits.
fn habits(times: &BTreeMap<OperationNo, Times>) -> impl Iterator<Item = (OperationNo, &Evidence)> {
    times.iter().filter(|(_, own)| own.is_habit).map(|(number, own)| (*number, &own.evidence))
}

impl Repeats {
    /// Adds a change.
    pub(super) fn follow_change(&mut self, fact: &Fact) {
        if self.changed.len() >= MOST && !self.changed.contains_key(&fact.access_token) {
            return;
        }
        let changed = self.changed.entry(fact.access_token).or_default();
        if changed.len() >= MOST_CHANGES {
            changed.pop_front();
        }
        changed.push_back(Changed { at: fact.at, resource: fact.family.resource, ids: fact.intent.subject.ids });
    }

    /// Whether the call's subject has changed since: things of its kind, or with one of its ids.
    fn has_changed(&self, fact: &Fact, since: i64) -> bool {
        let is_it = |own: &Changed| {
            own.at >= fact.at - since
                && (own.resource == fact.family.resource || own.ids.shared(&fact.intent.subject.ids) > 0)
        };
        self.changed.get(&fact.access_token).is_some_and(|changed| changed.iter().any(is_it))
    }

    pub(super) fn follow(&mut self, fact: &Fact, is_static: bool) {
        let key = (fact.operation, fact.access_token);
        if self.asked.len() >= MOST && !self.asked.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        let question = fact.intent.question ^ fact.cursor.rotate_left(1);
        let repeated = self.asked.get(&key).and_then(|asked| since(&asked.questions, question, fact.at));
        let has_changed = repeated.is_some_and(|since| since < MINUTE && self.has_changed(fact, since));
        let asked = self.asked.entry(key).or_default();
        // Of a call retried until it succeeds, the last counts.
        if let Some(since) = repeated.filter(|_| fact.succeeded()) {
            if (0..MINUTE).contains(&since) && !has_changed {
                self.repeated.entry(fact.operation).or_default().add(fact, REPEATS, HOUR);
            }
            if is_static && (0..HOUR).contains(&since) {
                self.static_data.entry(fact.operation).or_default().add(fact, STATIC_REPEATS, DAY);
            }
        }
        let until = fact.intent.interval.1;
        let is_past = until != 0 && until <= fact.recorded_at().micros() && fact.cursor == 0;
        if is_past
            && fact.succeeded()
            && let Some(since) = since(&asked.past, question, fact.at)
            && (MINUTE..HALF_A_DAY).contains(&since)
        {
            self.past.entry(fact.operation).or_default().add(fact.id, fact.recorded_at());
        }
        if fact.succeeded() {
            remember(&mut asked.questions, question, fact.at);
            if is_past {
                remember(&mut asked.past, question, fact.at);
            }
        }
    }

    /// The calls repeated within a minute of their response, if that is a habit.
    pub(super) fn repeated(&self) -> impl Iterator<Item = (OperationNo, &Evidence)> {
        habits(&self.repeated)
    }

    /// Those for data that seldom changes, likewise.
    pub(super) fn static_data(&self) -> impl Iterator<Item = (OperationNo, &Evidence)> {
        habits(&self.static_data)
    }

    /// Those for an interval that had ended before the first call.
    pub(super) fn past(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.past
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}

/// How long ago a call was made.
fn since(questions: &VecDeque<(u64, i64)>, question: u64, at: i64) -> Option<i64> {
    questions.iter().find(|(own, _)| *own == question).map(|(_, asked)| at - asked)
}

fn remember(questions: &mut VecDeque<(u64, i64)>, question: u64, at: i64) {
    questions.retain(|(own, _)| *own != question);
    if questions.len() >= MOST_QUESTIONS {
        questions.pop_front();
    }
    questions.push_back((question, at));
}
