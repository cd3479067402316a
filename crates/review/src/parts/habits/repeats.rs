//! The same question again: within a minute, data that seldom changes within an hour, and an interval that is over.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    body::Hashes,
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// Within how long a question is a repetition, in microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 3_600_000_000;

/// How many repetitions within an hour make a habit.
const REPEATS: usize = 3;

/// How many repetitions of questions for data that seldom changes, within how long, make a habit: 5 in a day. A few
/// processes that each fetch it when they start make fewer.
const STATIC_REPEATS: usize = 5;
const DAY: i64 = 24 * HOUR;

/// Within how long a past interval is asked again, in microseconds: 12 hours. Whoever looks for corrections every day may.
const HALF_A_DAY: i64 = 12 * HOUR;

/// The most changes of a token that are looked back at.
const MOST_CHANGES: usize = 16;

/// The most operations and tokens that are looked at, and questions of each.
const MOST: usize = 4096;
const MOST_QUESTIONS: usize = 16;

/// Follows the questions.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats {
    asked: HashMap<(OperationNo, TokenNo), Reads>,
    repeated: BTreeMap<OperationNo, Times>,
    static_data: BTreeMap<OperationNo, Times>,
    /// The last changes, by token.
    changed: HashMap<TokenNo, VecDeque<Changed>>,
    past: BTreeMap<OperationNo, Evidence>,
    unfollowed: u64,
}

/// What was asked by one operation and token: the last questions that were answered, and when they were asked.
#[derive(Debug, Clone, Default)]
struct Reads {
    questions: VecDeque<(u64, i64)>,
    /// Those for an interval that was over. They stay where others are asked in between.
    past: VecDeque<(u64, i64)>,
}

/// A change: what is asked after it about the same may have another answer.
#[derive(Debug, Clone, Copy)]
struct Changed {
    at: i64,
    resource: u64,
    ids: Hashes,
}

/// Repetitions of the questions of an operation.
#[derive(Debug, Clone, Default)]
struct Times {
    evidence: Evidence,
    /// When the last ones were.
    last: VecDeque<i64>,
    is_habit: bool,
}

impl Times {
    /// Takes in another one. So many within this time make a habit.
    fn add(&mut self, fact: &Fact, count: usize, within: i64) {
        self.evidence.add(fact.id, fact.recorded_at());
        self.last.push_back(fact.at);
        if self.last.len() == count {
            self.is_habit |= self.last.pop_front().is_some_and(|first| fact.at - first < within);
        }
    }
}

/// Those that are habits.
fn habits(times: &BTreeMap<OperationNo, Times>) -> impl Iterator<Item = (OperationNo, &Evidence)> {
    times.iter().filter(|(_, own)| own.is_habit).map(|(number, own)| (*number, &own.evidence))
}

impl Repeats {
    /// Looks at a change.
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

    /// Whether what a question is about was changed since: things of its kind, or by an id that is in it.
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
        // Of a call that is tried again until it succeeds the last one counts.
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

    /// The questions that came again within a minute of their answer, where they are a habit.
    pub(super) fn repeated(&self) -> impl Iterator<Item = (OperationNo, &Evidence)> {
        habits(&self.repeated)
    }

    /// Those for data that seldom changes, within an hour, likewise.
    pub(super) fn static_data(&self) -> impl Iterator<Item = (OperationNo, &Evidence)> {
        habits(&self.static_data)
    }

    /// Those for an interval that had ended before it was asked for the first time.
    pub(super) fn past(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.past
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}

/// How long ago a question was asked.
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
