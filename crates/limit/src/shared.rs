//! The state of a limiter, and what it does under the locks of a request's keys.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::clock::{Clock, Sleep};
use crate::config::{Action, KeyParts};
use crate::gate::Gate;
use crate::key::{Key, State};
use crate::refusal::Refusal;

/// State shared by the clones of a limiter, its permits and its waiters.
pub(crate) struct Shared {
    pub(crate) gates: Box<[Gate]>,
    pub(crate) action: Action,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) next_ticket: AtomicU64,
    /// Requests that the host rejected with 429.
    pub(crate) refused_by_host: AtomicU64,
    pub(crate) key: KeyParts,
    pub(crate) counts_pages: bool,
}

/// A request's keys, one per gate, in gate order. Locks are taken in that order too, so requests cannot deadlock.
pub(crate) type Keys = SmallVec<[Arc<Key>; 3]>;
pub(crate) type States<'a> = SmallVec<[MutexGuard<'a, State>; 3]>;

/// Why a request can't pass at present.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    /// The gate with the longest wait.
    pub(crate) gate: usize,
    /// When that gate would open for it.
    pub(crate) until: u64,
    pub(crate) used: u64,
    pub(crate) closed: bool,
}

/// The rule with the least left, and the units in use there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tightest {
    pub(crate) gate: usize,
    pub(crate) used: u64,
}

impl Shared {
    /// The clock's time plus two days, so that sends from before the clock's origin have an instant.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.clock.now() + PAST
    }

    /// Completes at an instant on the scale of [`now`](Self::now).
    pub(crate) fn sleep_until(&self, instant: u64) -> Sleep {
        self.clock.sleep_until(instant.saturating_sub(PAST))
    }

    /// What keeps a request from passing at `now`. Without a ticket it queues behind every waiter.
    #[inline]
    pub(crate) fn blocked(
        &self,
        states: &mut States<'_>,
        paginated: bool,
        now: u64,
        ticket: Option<u64>,
    ) -> Option<Blocked> {
        let mut passes = true;
        for (gate, state) in self.gates.iter().zip(states.iter_mut()) {
            passes &= gate.is_open(state, paginated, now) && !state.is_behind(ticket);
        }
        if passes { None } else { self.longest(states, paginated, now, ticket) }
    }

    #[cold]
    fn longest(&self, states: &mut States<'_>, paginated: bool, now: u64, ticket: Option<u64>) -> Option<Blocked> {
        let mut longest: Option<Blocked> = None;
        for (index, (gate, state)) in self.gates.iter().zip(states.iter_mut()).enumerate() {
            if gate.is_open(state, paginated, now) && !state.is_behind(ticket) {
                continue;
            }
            let ahead = state.ahead(ticket).map(|waiter| waiter.paginated);
            let until = gate.opens_at(state, ahead, paginated, now);
            if longest.is_none_or(|longest| until > longest.until) {
                let closed = state.closure.until > now;
                longest = Some(Blocked { gate: index, until, used: state.used(), closed });
            }
        }
        longest
    }

    /// Takes a permit at each gate. Returns the one with the least left.
    #[inline]
    pub(crate) fn take(&self, states: &mut States<'_>, paginated: bool) -> Tightest {
        let mut tightest = Tightest::default();
        let mut least = u64::MAX;
        for (index, (gate, state)) in self.gates.iter().zip(states.iter_mut()).enumerate() {
            gate.take(state, paginated);
            let used = state.used();
            let left = u64::from(gate.span.capacity).saturating_sub(used) / u64::from(gate.span.plain.get());
            if left < least {
                least = left;
                tightest = Tightest { gate: index, used };
            }
        }
        tightest
    }

    /// Refuses a request that holds no permit.
    pub(crate) fn refuse(&self, keys: &Keys, blocked: &Blocked, now: u64) -> Refusal {
        self.gates[blocked.gate].count_refusal(&mut keys[blocked.gate].state.lock());
        self.forget_idle(now);
        self.refusal(blocked, now)
    }

    /// Each request forgets a bounded number of idle keys, so no background task is needed.
    #[inline]
    pub(crate) fn forget_idle(&self, now: u64) {
        for gate in &self.gates {
            gate.forget_idle(now);
        }
    }

    pub(crate) fn refusal(&self, blocked: &Blocked, now: u64) -> Refusal {
        let gate = &self.gates[blocked.gate];
        let retry_after = blocked.until.saturating_sub(now);
        Refusal {
            rule: Arc::clone(&gate.name),
            used: gate.span.requests(blocked.used),
            limit: gate.requests,
            closed: blocked.closed,
            retry_after: Duration::from_nanos(retry_after),
            retry_after_secs: retry_after.div_ceil(1_000_000_000).max(1),
        }
    }
}

/// How far the limiter's time runs ahead of its clock.
pub(crate) const PAST: u64 = 2 * 24 * 60 * 60 * 1_000_000_000;

/// Locks all of a request's keys.
#[inline]
pub(crate) fn lock(keys: &Keys) -> States<'_> {
    keys.iter().map(|key| key.state.lock()).collect()
}
