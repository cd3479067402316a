//! The same question again: within a minute, data that seldom changes within an hour, and at a fixed interval.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// Within how long a question is a repetition, in microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 3_600_000_000;

/// The longest interval that counts as polling, in microseconds: 15 minutes.
const LONGEST_INTERVAL: i64 = 900_000_000;

/// Calls that follow each other within this belong together, in microseconds.
const TOGETHER: i64 = 2_000_000;

/// How many calls at the same interval make polling.
const POLLS: u32 = 10;

/// The most operations and tokens that are looked at, and questions of each.
const MOST: usize = 4096;
const MOST_QUESTIONS: usize = 16;

/// Follows the questions.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats {
    asked: HashMap<(OperationNo, TokenNo), Asked>,
    repeated: BTreeMap<OperationNo, Evidence>,
    static_data: BTreeMap<OperationNo, Evidence>,
    polled: BTreeMap<OperationNo, (Evidence, u64)>,
    unfollowed: u64,
}

/// What was asked by one operation and token.
#[derive(Debug, Clone, Default)]
struct Asked {
    /// The last questions that were answered: which, and when they were asked.
    questions: VecDeque<(u64, i64)>,
    /// When the last call came, and the first of those that belong together with it.
    last: Option<(i64, i64)>,
    interval: i64,
    row: u32,
}

impl Repeats {
    pub(super) fn follow(&mut self, fact: &Fact, is_static: bool, is_announced: bool) {
        let key = (fact.operation, fact.access_token);
        if self.asked.len() >= MOST && !self.asked.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        let asked = self.asked.entry(key).or_default();
        let question = fact.intent.question ^ fact.cursor.rotate_left(1);
        if let Some((_, asked)) = asked.questions.iter().find(|(own, _)| *own == question) {
            let since = fact.at - asked;
            if (0..MINUTE).contains(&since) {
                self.repeated.entry(fact.operation).or_default().add(fact.id, fact.recorded_at());
            }
            if is_static && (0..HOUR).contains(&since) {
                self.static_data.entry(fact.operation).or_default().add(fact.id, fact.recorded_at());
            }
        }
        if fact.succeeded() {
            asked.questions.retain(|(own, _)| *own != question);
            if asked.questions.len() >= MOST_QUESTIONS {
                asked.questions.pop_front();
            }
            asked.questions.push_back((question, fact.at));
        }
        // Who asks for ids has them from somewhere: an event, mostly.
        if is_announced && fact.cursor == 0 && fact.intent.subject.ids.is_empty() && asked.polls_again(fact.at) {
            let seconds = u64::try_from(asked.interval / 1_000_000).unwrap_or(0);
            let (evidence, every) = self.polled.entry(fact.operation).or_default();
            evidence.add(fact.id, fact.recorded_at());
            *every = seconds;
        }
    }

    /// The questions that came again within a minute of their answer.
    pub(super) fn repeated(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.repeated
    }

    /// Those for data that seldom changes, within an hour.
    pub(super) fn static_data(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.static_data
    }

    /// What was polled, with the seconds between two calls.
    pub(super) fn polled(&self) -> BTreeMap<OperationNo, (Evidence, u64)> {
        self.polled.clone()
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}

impl Asked {
    /// Whether this call makes a row of calls at the same interval long enough.
    fn polls_again(&mut self, at: i64) -> bool {
        let Some((last, first)) = self.last else {
            self.last = Some((at, at));
            return false;
        };
        if at - last < TOGETHER {
            self.last = Some((at, first));
            return false;
        }
        let since = at - first;
        self.last = Some((at, at));
        let tolerance = (self.interval / 10).max(1_000_000);
        if (since - self.interval).abs() <= tolerance && since <= LONGEST_INTERVAL {
            self.row += 1;
        } else {
            (self.interval, self.row) = (since, 1);
        }
        // So many intervals lie between one call more.
        self.row + 1 >= POLLS
    }
}
