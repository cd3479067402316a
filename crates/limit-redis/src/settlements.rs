//! What is to be told to Redis of admitted requests.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock;
use crate::place::Place;

/// What is to be told.
#[derive(Debug)]
pub(crate) struct Settlements {
    waiting: Mutex<VecDeque<Settlement>>,
    some: Notify,
}

#[derive(Debug)]
pub(crate) enum Settlement {
    /// The request was handed to its connection at this instant of this node's clock.
    Sent(Place, u64),
    /// It never will be.
    Unsent(Place),
    /// A statistic grows by one; its key, its field, and how long it lives in milliseconds.
    Count(String, String, u64),
}

/// Beyond this, the oldest are forgotten: their requests count for longer than necessary.
const MOST_WAITING: usize = 50_000;
const BATCH: usize = 256;
/// A send is told once its thread has run its other tasks since, among them the one that writes to the connection: the
/// instant at which it is told is then an upper bound of the instant of the send, whatever held the process up between.
const LATER: u64 = 1_000_000;

impl Default for Settlements {
    fn default() -> Self {
        Self { waiting: Mutex::default(), some: Notify::new() }
    }
}

impl Settlements {
    pub(crate) fn push(&self, settlement: Settlement) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(settlement);
        if waiting.len() == 1 {
            drop(waiting);
            self.some.notify_one();
        }
    }

    /// Those that are ripe, in order.
    pub(crate) fn take(&self) -> Vec<Settlement> {
        let now = clock::now();
        let mut waiting = self.waiting.lock();
        let ripe = |settlement: &Settlement| match settlement {
            Settlement::Sent(_, at) => now.saturating_sub(*at) >= LATER,
            _ => true,
        };
        let count = waiting.iter().take(BATCH).take_while(|settlement| ripe(settlement)).count();
        waiting.drain(..count).collect()
    }

    pub(crate) fn put_back(&self, batch: Vec<Settlement>) {
        let mut waiting = self.waiting.lock();
        for settlement in batch.into_iter().rev() {
            waiting.push_front(settlement);
        }
    }

    /// Waits for some, but not for long.
    pub(crate) async fn some(&self) -> bool {
        let is_empty = self.waiting.lock().is_empty();
        !is_empty || timeout(Duration::from_secs(1), self.some.notified()).await.is_ok()
    }
}
