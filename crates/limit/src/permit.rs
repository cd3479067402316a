//! Permits, and the requests sent under them.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::shared::{Keys, PAST, Shared, Tightest, lock};

/// A permit under all rules.
///
/// It occupies the windows at once. [`sent`](WindowPermit::sent) records when the request really left, and so when it
/// stops counting. Dropped before that, it is released as if it had never been taken.
#[must_use = "dropping a permit releases it"]
pub struct WindowPermit {
    shared: Arc<Shared>,
    /// One per rule; empty once the permit is used.
    keys: Keys,
    paginated: bool,
    tightest: Tightest,
}

/// Usage of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The rule.
    pub rule: Arc<str>,
    /// Requests that count for the key, this one included. Paginated ones count by their share; the sum is rounded up.
    pub used: u32,
    /// Requests allowed per window.
    pub limit: u32,
}

impl WindowPermit {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared>, keys: Keys, paginated: bool, tightest: Tightest) -> Self {
        Self { shared, keys, paginated, tightest }
    }

    /// Usage when the permit was taken, under the rule with the least left; `None` without rules.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let gate = self.shared.gates.get(self.tightest.gate)?;
        Some(Usage { rule: Arc::clone(&gate.name), used: gate.span.requests(self.tightest.used), limit: gate.requests })
    }

    /// Records that the request is handed to the upstream connection. Call at that instant or right after: called
    /// earlier, the request would stop counting too soon.
    #[inline]
    pub fn sent(mut self) -> Sent {
        let keys = mem::take(&mut self.keys);
        let mut states = lock(&keys);
        // Read under the locks, so that the sends of a key are in order.
        let at = self.shared.now();
        for (gate, state) in self.shared.gates.iter().zip(&mut states) {
            gate.release(state, self.paginated);
            gate.note_send(state, self.paginated, at);
        }
        drop(states);
        Sent { shared: Arc::clone(&self.shared), keys, paginated: self.paginated, tightest: self.tightest, at }
    }
}

impl Drop for WindowPermit {
    fn drop(&mut self) {
        for (gate, key) in self.shared.gates.iter().zip(&self.keys) {
            let mut state = key.state.lock();
            gate.release(&mut state, self.paginated);
            let next = state.first_waiting();
            drop(state);
            if let Some(next) = next {
                next.notify_one();
            }
        }
    }
}

impl fmt::Debug for WindowPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowPermit").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// A sent request. Reports what the host reveals about its limits.
pub struct Sent {
    shared: Arc<Shared>,
    keys: Keys,
    paginated: bool,
    tightest: Tightest,
    at: u64,
}

impl Sent {
    /// The instant of the send, in nanoseconds of the limiter's [`Clock`](crate::Clock).
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at - PAST
    }

    /// The host rejected the request with 429: closes all its keys for `retry_after`.
    ///
    /// Without `retry_after` (or with zero), they close for one second, then two, doubling up to a minute with each
    /// rejection of a request sent after the key had reopened. A success resets this, as do ten minutes without a
    /// rejection. Anything above 24 hours is shortened to 24 hours.
    ///
    /// Waiters for such a key that could not go before their deadline are refused at once.
    pub fn too_many_requests(&self, retry_after: Option<Duration>) {
        let now = self.shared.now();
        self.shared.refused_by_host.fetch_add(1, Ordering::Relaxed);
        for (gate, key) in self.shared.gates.iter().zip(&self.keys) {
            let mut state = key.state.lock();
            gate.count_host_refusal(&mut state);
            state.closure.close(self.at, now, retry_after);
            if !state.waiting.is_empty() {
                state.window.expire(&gate.span, now);
                gate.evict_late(&mut state, now);
            }
        }
    }

    /// No byte of the request left: its connection turned out to be closed.
    ///
    /// The permit is pending again, as before [`WindowPermit::sent`].
    pub fn undo(mut self) -> WindowPermit {
        let keys = mem::take(&mut self.keys);
        let mut states = lock(&keys);
        for (gate, state) in self.shared.gates.iter().zip(&mut states) {
            gate.undo_send(state, self.paginated, self.at);
        }
        drop(states);
        WindowPermit::new(Arc::clone(&self.shared), keys, self.paginated, self.tightest)
    }

    /// The host accepted the request.
    pub fn succeeded(&self) {
        for key in &self.keys {
            key.state.lock().closure.succeeded(self.at);
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("rules", &self.keys.len()).finish_non_exhaustive()
    }
}
