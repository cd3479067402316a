//! Cursor loops: whether the page after a full one was fetched.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nightaudit_exchange::{ExchangeId, Timestamp};

use crate::{
    fact::Fact,
    names::{OperationNo, TokenNo},
    review::Evidence,
};

/// The time within which the next page must be fetched, in microseconds: 10 minutes.
const PATIENCE: i64 = 600_000_000;

/// How much of that applies at the end of the session, in microseconds: a minute.
const LAST_PATIENCE: i64 = 60_000_000;

/// The most lists read concurrently, per operation and token, and in total.
const MOST_EACH: usize = 64;
const MOST: usize = 4096;

/// Detects abandoned loops.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    open: HashMap<(OperationNo, TokenNo), VecDeque<Offered>>,
    count: usize,
    newest: i64,
    swept: i64,
    unfinished: BTreeMap<OperationNo, Evidence>,
    unfollowed: u64,
}

/// A page after a full one, not fetched yet.
#[derive(Debug, Clone, Copy)]
struct Offered {
    next: u64,
    at: i64,
    id: ExchangeId,
    recorded: Timestamp,
}

impl Pages {
    pub(super) fn follow(&mut self, fact: &Fact) {
        self.newest = self.newest.max(fact.at);
        if self.newest - self.swept > LAST_PATIENCE {
            self.swept = self.newest;
            self.sweep(PATIENCE);
        }
        let key = (fact.operation, fact.access_token);
        if fact.cursor != 0
            && let Some(open) = self.open.get_mut(&key)
            && let Some(place) = open.iter().position(|offered| offered.next == fact.cursor)
        {
            open.remove(place);
            self.count -= 1;
        }
        if fact.next == 0 {
            return;
        }
        let offered = Offered { next: fact.next, at: fact.at, id: fact.id, recorded: fact.recorded_at() };
        let open = self.open.entry(key).or_default();
        if open.len() < MOST_EACH && self.count < MOST {
            open.push_back(offered);
            self.count += 1;
        } else {
            self.unfollowed += 1;
        }
    }

    /// Drops pages offered too long ago.
    fn sweep(&mut self, patience: i64) {
        let until = self.newest - patience;
        let (count, unfinished) = (&mut self.count, &mut self.unfinished);
        self.open.retain(|(operation, _), open| {
            open.retain(|offered| {
                let waits = offered.at >= until;
                if !waits {
                    *count -= 1;
                    unfinished.entry(*operation).or_default().add(offered.id, offered.recorded);
                }
                waits
            });
            !open.is_empty()
        });
    }

    /// The pages never fetched, by operation.
    pub(super) fn finish(&mut self) -> BTreeMap<OperationNo, Evidence> {
        self.sweep(LAST_PATIENCE);
        for evidence in self.unfinished.values_mut() {
            // Many may have been dropped at once, unordered.
            evidence.exchanges.sort_unstable();
        }
        std::mem::take(&mut self.unfinished)
    }

    pub(super) fn unfollowed(&self) -> u64 {
        self.unfollowed
    }
}
