//! What was asked, and what of it was recorded.

use std::sync::atomic::{AtomicU64, Ordering};

use nightaudit_exchange::ExchangeId;
use parking_lot::Mutex;
use serde::Serialize;

use crate::recordings::{Found, Match, Recordings};

/// What a replay came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Requests, the handshakes of WebSockets among them.
    pub requests: u64,
    /// Of them those with a recording of the very same body.
    pub same: u64,
    /// Those with a recording that differs in what doesn't count.
    pub alike: u64,
    /// How many of both got a response that had been served before, since no further one was recorded.
    pub again: u64,
    /// Requests whose recorded response is not complete in the log.
    pub incomplete: u64,
    /// Requests that were not recorded.
    pub unrecorded: u64,
    /// What was asked and not recorded, most often first.
    pub not_recorded: Vec<NotRecorded>,
    /// Requests that are not listed there, because too many differ.
    pub unlisted: u64,
    /// The recordings.
    pub recordings: u64,
    /// What was recorded and not asked, by operation in the order of recording.
    pub not_asked: Vec<NotAsked>,
}

/// Requests that were not recorded and differ alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotRecorded {
    /// The operation.
    pub operation: String,
    /// How often.
    pub requests: u64,
    /// The exchange that came nearest, the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<ExchangeId>,
    /// Where they differ from it, as JSON pointers.
    pub differs_in: Vec<String>,
}

/// Recordings of an operation that nothing asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotAsked {
    /// The operation.
    pub operation: String,
    /// How many of it were recorded.
    pub recordings: u64,
    /// How many of those were not asked for.
    pub unasked: u64,
    /// The first of them.
    pub first: ExchangeId,
}

/// Kinds of unrecorded requests that are told apart.
const MAX_KINDS: usize = 200;

/// Counts requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    same: AtomicU64,
    alike: AtomicU64,
    again: AtomicU64,
    incomplete: AtomicU64,
    unrecorded: AtomicU64,
    unlisted: AtomicU64,
    kinds: Mutex<Vec<NotRecorded>>,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    pub(crate) fn request(&self) {
        add(&self.requests);
    }

    pub(crate) fn found(&self, found: Found) {
        add(if found.by == Match::Same { &self.same } else { &self.alike });
        if found.again {
            add(&self.again);
        }
    }

    pub(crate) fn incomplete(&self) {
        add(&self.incomplete);
    }

    pub(crate) fn not_recorded(&self, operation: String, nearest: Option<ExchangeId>, differs_in: Vec<String>) {
        add(&self.unrecorded);
        let mut kinds = self.kinds.lock();
        let is_known = |kind: &NotRecorded| kind.operation == operation && kind.differs_in == differs_in;
        match kinds.iter().position(is_known) {
            Some(known) => kinds[known].requests += 1,
            None if kinds.len() < MAX_KINDS => kinds.push(NotRecorded { operation, requests: 1, nearest, differs_in }),
            None => add(&self.unlisted),
        }
    }

    pub(crate) fn summary(&self, recordings: &Recordings) -> Summary {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut not_recorded = self.kinds.lock().clone();
        not_recorded.sort_by_key(|kind| std::cmp::Reverse(kind.requests));
        let not_asked = recordings.usage().into_iter().filter_map(|usage| {
            Some(NotAsked {
                first: usage.first_unserved?,
                operation: usage.operation,
                recordings: usage.recordings,
                unasked: usage.unserved,
            })
        });
        Summary {
            requests: number(&self.requests),
            same: number(&self.same),
            alike: number(&self.alike),
            again: number(&self.again),
            incomplete: number(&self.incomplete),
            unrecorded: number(&self.unrecorded),
            not_recorded,
            unlisted: number(&self.unlisted),
            recordings: recordings.count() as u64,
            not_asked: not_asked.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Comparison, testing::Recorded};

    #[test]
    fn requests_that_differ_alike_are_one_line_and_lines_are_bounded() {
        let tally = Tally::default();
        for _ in 0..3 {
            tally.not_recorded("a".to_owned(), None, vec!["/B".to_owned()]);
        }
        for number in 0..2 * MAX_KINDS {
            tally.not_recorded(number.to_string(), None, Vec::new());
        }
        let summary = tally.summary(&Builder::new(Comparison::default(), 0).build());
        assert_eq!((summary.not_recorded.len(), summary.not_recorded[0].requests), (MAX_KINDS, 3));
        assert_eq!((summary.unlisted, summary.unrecorded), (MAX_KINDS as u64 + 1, 2 * MAX_KINDS as u64 + 3));
    }

    #[test]
    fn what_was_not_asked_is_listed_by_operation() {
        let mut builder = Builder::new(Comparison::default(), 2);
        (0..2).for_each(|number| builder.add(&Recorded::default().exchange(number)));
        let recordings = builder.build();
        let tally = Tally::default();
        let digest = nightaudit_exchange::Digest::of(b"{}");
        tally.found(recordings.find_same("POST", crate::testing::TARGET, &digest).unwrap());
        let summary = tally.summary(&recordings);
        let first = Recorded::default().exchange(1).id;
        let expected = NotAsked { operation: "rates/getAll".to_owned(), recordings: 2, unasked: 1, first };
        assert_eq!((summary.same, summary.again, summary.not_asked), (1, 0, vec![expected]));
    }
}
