//! Waiting for a place, first come first served.
//!
//! A request waits at one gate at a time: the one that would keep it longest. So whoever needs a place at a gate that
//! is free does not stand behind somebody who needs another, and when a gate frees the first in its queue, it asks all
//! gates again and may move on to another queue, where it stands by the order of arrival as it did before.
//!
//! Only the first of a queue watches the clock. The others are woken when they become first, or when the host closes
//! the key for so long that their turn would come too late.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use crate::key::Waiter;
use crate::limiter::{Admission, Keys, Refusal, Shared, lock};
use crate::permit::WindowPermit;

/// Waits until the request may pass, or is refused because that would be after `deadline` or too many wait.
pub(crate) async fn wait(
    shared: &Arc<Shared>,
    keys: Keys,
    paginated: bool,
    arrived: u64,
    deadline: u64,
    max_queued: usize,
) -> Admission {
    let ticket = shared.next_ticket.fetch_add(1, Ordering::Relaxed);
    let mut turn =
        Turn { shared, keys, paginated, ticket, deadline, max_queued, wake: Arc::new(Notify::new()), queue: None };
    loop {
        match turn.ask() {
            Answer::Passed(permit, now) => {
                let waited = Duration::from_nanos(now.saturating_sub(arrived));
                return Admission::Admitted { usage: permit.usage(), permit, waited };
            }
            Answer::Refused(refusal) => return Admission::Refused(refusal),
            Answer::AskAgain(at) => {
                tokio::select! {
                    () = turn.wake.notified() => {}
                    () = shared.sleep_until(at) => {}
                }
            }
        }
    }
}

/// A request that waits for its turn. Dropping it gives up its place in the queue.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    keys: Keys,
    paginated: bool,
    /// Smaller ones came earlier.
    ticket: u64,
    deadline: u64,
    max_queued: usize,
    wake: Arc<Notify>,
    /// The gate in whose queue it stands.
    queue: Option<usize>,
}

enum Answer {
    Passed(WindowPermit, u64),
    Refused(Refusal),
    /// Ask again at this instant, or when woken.
    AskAgain(u64),
}

impl Turn<'_> {
    fn ask(&mut self) -> Answer {
        let shared = self.shared;
        let keys = self.keys.clone();
        let mut states = lock(&keys);
        let now = shared.now();
        let Some(blocked) = shared.blocked(&mut states, self.paginated, now, Some(self.ticket)) else {
            let tightest = shared.take(&mut states, self.paginated);
            drop(states);
            self.leave();
            return Answer::Passed(WindowPermit::new(Arc::clone(shared), keys, self.paginated, tightest), now);
        };
        let gate = &shared.gates[blocked.gate];
        let state = &mut *states[blocked.gate];
        let is_full = self.queue.is_none() && state.waiting.len() >= self.max_queued;
        if is_full || blocked.until > self.deadline || now >= self.deadline {
            drop(states);
            self.leave();
            return Answer::Refused(shared.refuse(&keys, &blocked, now));
        }
        if self.queue.is_none() {
            gate.count_delay(state);
        }
        // Who was turned away, and may stay after all, has left the queue.
        if !state.is_waiting(self.ticket) {
            let wake = Arc::clone(&self.wake);
            let (ticket, paginated, deadline) = (self.ticket, self.paginated, self.deadline);
            state.enqueue(Waiter { ticket, paginated, deadline, wake });
            // The new queue first: in between it would be in none, and somebody who came later could pass it.
            drop(states);
            let left = self.queue.replace(blocked.gate).filter(|left| *left != blocked.gate);
            self.leave_queue(left);
            states = lock(&keys);
        }
        let is_first = !states[blocked.gate].is_behind(Some(self.ticket));
        Answer::AskAgain(if is_first { blocked.until } else { self.deadline })
    }

    fn leave(&mut self) {
        let left = self.queue.take();
        self.leave_queue(left);
    }

    /// Leaves a queue, and wakes who is first now.
    fn leave_queue(&self, queue: Option<usize>) {
        let Some(key) = queue.and_then(|gate| self.keys.get(gate)) else { return };
        let next = key.state.lock().dequeue(self.ticket);
        if let Some(next) = next {
            next.notify_one();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
