//! Queueing for a permit, first come first served.
//!
//! A request queues at one gate at a time: the one with the longest wait. A request blocked at one gate thus never
//! holds up another that only needs a free gate. When its gate opens, the first in the queue checks all gates again and
//! may move to another queue, where it keeps its order of arrival.
//!
//! Only the first in a queue watches the clock. The others are woken when they become first, or when the host closes
//! the key for so long that their turn would come after their deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use crate::key::Waiter;
use crate::permit::WindowPermit;
use crate::refusal::Refusal;
use crate::shared::{Keys, Shared, lock};
use crate::verdict::Admission;

/// Waits until the request may pass; refuses it if that would be after `deadline` or the queue is full.
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
        match turn.poll() {
            Poll::Passed(permit, now) => {
                let waited = Duration::from_nanos(now.saturating_sub(arrived));
                return Admission::Admitted { usage: permit.usage(), permit, waited };
            }
            Poll::Refused(refusal) => return Admission::Refused(refusal),
            Poll::Again(at) => {
                tokio::select! {
                    () = turn.wake.notified() => {}
                    () = shared.sleep_until(at) => {}
                }
            }
        }
    }
}

/// A queued request. Dropping it leaves the queue.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    keys: Keys,
    paginated: bool,
    /// Smaller for earlier arrivals.
    ticket: u64,
    deadline: u64,
    max_queued: usize,
    wake: Arc<Notify>,
    /// The gate at which it queues.
    queue: Option<usize>,
}

enum Poll {
    Passed(WindowPermit, u64),
    Refused(Refusal),
    /// Poll again at this instant, or when notified.
    Again(u64),
}

impl Turn<'_> {
    fn poll(&mut self) -> Poll {
        let shared = self.shared;
        let keys = self.keys.clone();
        let mut states = lock(&keys);
        let now = shared.now();
        let Some(blocked) = shared.blocked(&mut states, self.paginated, now, Some(self.ticket)) else {
            let tightest = shared.take(&mut states, self.paginated);
            drop(states);
            self.leave();
            return Poll::Passed(WindowPermit::new(Arc::clone(shared), keys, self.paginated, tightest), now);
        };
        let gate = &shared.gates[blocked.gate];
        let state = &mut *states[blocked.gate];
        let is_full = self.queue.is_none() && state.waiting.len() >= self.max_queued;
        if is_full || blocked.until > self.deadline || now >= self.deadline {
            drop(states);
            self.leave();
            return Poll::Refused(shared.refuse(&keys, &blocked, now));
        }
        if self.queue.is_none() {
            gate.count_delay(state);
        }
        // A waiter that was evicted but may stay after all has left the queue.
        if !state.is_waiting(self.ticket) {
            let wake = Arc::clone(&self.wake);
            let (ticket, paginated, deadline) = (self.ticket, self.paginated, self.deadline);
            state.enqueue(Waiter { ticket, paginated, deadline, wake });
            // Join the new queue first: while in neither, a later arrival could overtake.
            drop(states);
            let left = self.queue.replace(blocked.gate).filter(|left| *left != blocked.gate);
            self.leave_queue(left);
            states = lock(&keys);
        }
        let is_first = !states[blocked.gate].is_behind(Some(self.ticket));
        Poll::Again(if is_first { blocked.until } else { self.deadline })
    }

    fn leave(&mut self) {
        let left = self.queue.take();
        self.leave_queue(left);
    }

    /// Leaves a queue and wakes its new head.
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
