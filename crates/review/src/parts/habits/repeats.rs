//! The same question again: within a minute, data that seldom changes within an hour, and an interval that is over.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// Within how long a question is a repetition, in microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 3_600_000_000;

/// Within how long a past interval is asked again, in microseconds: 12 hours. Whoever looks for corrections every day may.
const HALF_A_DAY: i64 = 12 * HOUR;

/// The most operations and tokens that are looked at, and questions of each.
const MOST: usize = 4096;
const MOST_QUESTIONS: usize = 16;

/// Follows the questions.
#[derive(Debug, Clone, Default)]
pub(super) struct Repeats {
    asked: HashMap<(OperationNo, TokenNo), Asked>,
    repeated: BTreeMap<OperationNo, Evidence>,
    static_data: BTreeMap<OperationNo, Evidence>,
    past: BTreeMap<OperationNo, Evidence>,
    unfollowed: u64,
}

/// What was asked by one operation and token: the last questions that were answered, and when they were asked.
#[derive(Debug, Clone, Default)]
struct Asked {
    questions: VecDeque<(u64, i64)>,
    /// Those for an interval that was over. They stay where others are asked in between.
    past: VecDeque<(u64, i64)>,
}

impl Repeats {
    pub(super) fn follow(&mut self, fact: &Fact, is_static: bool) {
        let key = (fact.operation, fact.access_token);
        if self.asked.len() >= MOST && !self.asked.contains_key(&key) {
            self.unfollowed += 1;
            return;
        }
        let asked = self.asked.entry(key).or_default();
        let question = fact.intent.question ^ fact.cursor.rotate_left(1);
        if let Some(since) = since(&asked.questions, question, fact.at) {
            if (0..MINUTE).contains(&since) {
                self.repeated.entry(fact.operation).or_default().add(fact.id, fact.recorded_at());
            }
            if is_static && (0..HOUR).contains(&since) {
                self.static_data.entry(fact.operation).or_default().add(fact.id, fact.recorded_at());
            }
        }
        let until = fact.intent.interval.1;
        let is_past = until != 0 && until <= fact.recorded_at().micros() && fact.cursor == 0;
        if is_past
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

    /// The questions that came again within a minute of their answer.
    pub(super) fn repeated(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.repeated
    }

    /// Those for data that seldom changes, within an hour.
    pub(super) fn static_data(&self) -> &BTreeMap<OperationNo, Evidence> {
        &self.static_data
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
