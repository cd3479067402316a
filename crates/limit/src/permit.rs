//! What a request that may pass holds, and what is left of it once it was sent.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::limiter::{Keys, PAST, Shared, lock};

/// A place in the windows of all rules.
///
/// It counts as taken from the moment it is given. [`sent`](WindowPermit::sent) says when the request really left, and so
/// until when the place stays taken. Dropped without that, the place is given back at once, as though it had never
/// been taken.
#[must_use = "dropping a place gives it back"]
pub struct WindowPermit {
    shared: Arc<Shared>,
    /// One for each rule; none once the place is used up.
    keys: Keys,
    paginated: bool,
    tightest: Tightest,
}

/// The rule with the least left, and the units that are in use there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tightest {
    pub(crate) gate: usize,
    pub(crate) used: u64,
}

/// How full a window is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The rule.
    pub rule: Arc<str>,
    /// Requests that hold a place of the key, with this one. Those with pagination count for their share, and the sum
    /// is rounded up.
    pub used: u32,
    /// Requests that fit.
    pub limit: u32,
}

impl WindowPermit {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared>, keys: Keys, paginated: bool, tightest: Tightest) -> Self {
        Self { shared, keys, paginated, tightest }
    }

    /// How full the windows were when the place was taken: of the rule with the fewest places left, and none when
    /// there are no rules.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let gate = self.shared.gates.get(self.tightest.gate)?;
        Some(Usage { rule: Arc::clone(&gate.name), used: gate.span.requests(self.tightest.used), limit: gate.requests })
    }

    /// The request is handed to the upstream connection. To be called at that instant or right after it: earlier, and
    /// the place would be free before its time.
    #[inline]
    pub fn sent(mut self) -> Sent {
        let keys = mem::take(&mut self.keys);
        let mut states = lock(&keys);
        // Read under the locks: so the sends of a key are noted in the order of their instants.
        let at = self.shared.now();
        for (gate, state) in self.shared.gates.iter().zip(&mut states) {
            gate.give_back(state, self.paginated);
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
            gate.give_back(&mut state, self.paginated);
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

/// A request on its way. It takes back what the host says about the limits.
pub struct Sent {
    shared: Arc<Shared>,
    keys: Keys,
    paginated: bool,
    tightest: Tightest,
    at: u64,
}

impl Sent {
    /// The instant from which the place is held: nanoseconds by the limiter's [`Clock`](crate::Clock).
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at - PAST
    }

    /// The host refused the request, since there were too many: all its keys are closed until `retry_after` from now.
    ///
    /// Where the host did not say for how long (or zero), they are closed for a second, then two, doubling up to a
    /// minute for each further refusal of something that was sent after the key had opened again. A success begins
    /// anew, and so do ten minutes without a refusal. More than 24 hours is taken as 24 hours.
    ///
    /// Requests that wait for such a key and could not go within the time that they may wait are refused at once.
    pub fn too_many_requests(&self, retry_after: Option<Duration>) {
        let now = self.shared.now();
        for (gate, key) in self.shared.gates.iter().zip(&self.keys) {
            let mut state = key.state.lock();
            state.closure.close(self.at, now, retry_after);
            if !state.waiting.is_empty() {
                state.window.expire(&gate.span, now);
                gate.turn_away(&mut state, now);
            }
        }
    }

    /// Nothing of the request has left after all: its connection turned out to be closed before it took anything.
    ///
    /// The place counts as taken again, as it did before [`WindowPermit::sent`].
    pub fn undo(mut self) -> WindowPermit {
        let keys = mem::take(&mut self.keys);
        let mut states = lock(&keys);
        for (gate, state) in self.shared.gates.iter().zip(&mut states) {
            gate.undo_send(state, self.paginated, self.at);
        }
        drop(states);
        WindowPermit::new(Arc::clone(&self.shared), keys, self.paginated, self.tightest)
    }

    /// The host took the request.
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
