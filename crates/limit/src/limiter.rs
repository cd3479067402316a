//! The decision over all rules.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::clock::{Clock, MonotonicClock, nanos};
use crate::config::{Action, Config, ConfigError, KeyParts, Rule};
use crate::gate::Gate;
use crate::key::{AdmissionRequest, Key, State};
use crate::permit::{Tightest, Usage, WindowPermit};

/// Decides which requests may be sent. Cheap to clone; clones share the rules and their state.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

/// A decision that needed no waiting.
#[derive(Debug)]
pub enum Verdict {
    /// The request may be sent.
    Admitted(WindowPermit),
    /// It may not.
    Refused(Refusal),
}

/// What became of a request under the configured [`Action`].
#[derive(Debug)]
pub enum Admission<P = WindowPermit> {
    /// The request may be sent.
    Admitted {
        /// Its place in the windows.
        permit: P,
        /// How full they are; none without rules.
        usage: Option<Usage>,
        /// How long it was held back; zero if it was not.
        waited: Duration,
    },
    /// The request may be sent, though it is over a limit.
    Observed {
        /// Its place in the windows.
        permit: P,
        /// What would have become of it.
        refusal: Refusal,
    },
    /// The request may not be sent.
    Refused(Refusal),
}

/// A request is over a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that would keep it waiting longest.
    pub rule: Arc<str>,
    /// Requests that hold a place of its key there.
    pub used: u32,
    /// Requests that fit.
    pub limit: u32,
    /// Whether the key is closed since the host refused a request, whatever the window says.
    pub closed: bool,
    /// After this time exactly the request would be admitted, unless others take the place. Places that are taken but
    /// whose requests are not sent yet count as sent at this instant.
    pub retry_after: Duration,
    /// The same in whole seconds, rounded up, and at least 1.
    pub retry_after_secs: u64,
}

/// What clones of a limiter, its places and its waiting requests share.
pub(crate) struct Shared {
    pub(crate) gates: Box<[Gate]>,
    pub(crate) action: Action,
    clock: Box<dyn Clock>,
    pub(crate) next_ticket: AtomicU64,
    key: KeyParts,
    counts_pages: bool,
}

/// A request's keys, one for each gate and in the same order. Locks are taken in that order too, so that no two
/// requests wait for each other.
pub(crate) type Keys = SmallVec<[Arc<Key>; 3]>;
pub(crate) type States<'a> = SmallVec<[MutexGuard<'a, State>; 3]>;

/// A request can't pass for the time being.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    /// The gate that would keep it longest.
    pub(crate) gate: usize,
    /// When that would open for it.
    pub(crate) until: u64,
    pub(crate) used: u64,
    pub(crate) closed: bool,
}

impl Limiter {
    /// A limiter by the machine's monotonic clock.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration makes no sense.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, MonotonicClock::default())
    }

    /// A limiter by a clock of one's own.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration makes no sense.
    pub fn with_clock(config: Config, clock: impl Clock) -> Result<Self, ConfigError> {
        config.validate()?;
        let gates = config.rules.iter().map(|rule| Gate::new(rule, config.slack)).collect();
        let next_ticket = AtomicU64::new(0);
        let any = |part: fn(&Rule) -> bool| config.rules.iter().any(part);
        let shared = Shared {
            gates,
            action: config.action,
            clock: Box::new(clock),
            next_ticket,
            key: KeyParts {
                access_token: any(|rule| rule.key.access_token),
                client_token: any(|rule| rule.key.client_token),
                operation: any(|rule| rule.key.operation),
            },
            counts_pages: any(|rule| rule.paginated_factor != 1),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What the rules together count by.
    #[must_use]
    pub fn key(&self) -> KeyParts {
        self.shared.key
    }

    /// Whether a request with pagination counts otherwise than one without.
    #[must_use]
    pub fn counts_pages(&self) -> bool {
        self.shared.counts_pages
    }

    /// Admits or refuses, whatever the configured [`Action`]. Never waits, nor passes anybody who does.
    ///
    /// All rules must agree; where one refuses, nothing is taken from the others.
    #[inline]
    pub fn check(&self, arrival: &AdmissionRequest<'_>) -> Verdict {
        match self.shared.pass(arrival, false) {
            Ok((permit, _)) => Verdict::Admitted(permit),
            Err((keys, blocked, now)) => Verdict::Refused(self.shared.refuse(&keys, &blocked, now)),
        }
    }

    /// Admits, refuses, holds back or lets pass all the same, by the configured [`Action`].
    ///
    /// Dropping the future gives up the place in the queue, or the place in the windows.
    pub async fn admit(&self, arrival: &AdmissionRequest<'_>) -> Admission {
        let passed = self.shared.pass(arrival, self.shared.action == Action::Observe);
        match passed {
            Ok((permit, None)) => Admission::Admitted { usage: permit.usage(), permit, waited: Duration::ZERO },
            Ok((permit, Some((blocked, now)))) => {
                Admission::Observed { permit, refusal: self.shared.refusal(&blocked, now) }
            }
            Err((keys, blocked, now)) => match self.shared.action {
                Action::Delay { max_delay, max_queued } => {
                    let deadline = now + nanos(max_delay);
                    crate::delay::wait(&self.shared, keys, arrival.paginated, now, deadline, max_queued).await
                }
                Action::Reject | Action::Observe => Admission::Refused(self.shared.refuse(&keys, &blocked, now)),
            },
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.shared.gates.iter().map(|gate| &gate.name).collect();
        f.debug_struct("Limiter").field("rules", &rules).field("action", &self.shared.action).finish_non_exhaustive()
    }
}

type Passed = (WindowPermit, Option<(Blocked, u64)>);

impl Shared {
    /// The clock's time plus two days: so there are instants for sends from before it began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.clock.now() + PAST
    }

    /// Completes at an instant of [`now`](Self::now).
    pub(crate) fn sleep_until(&self, instant: u64) -> crate::clock::Sleep {
        self.clock.sleep_until(instant.saturating_sub(PAST))
    }

    /// Takes a place if there is one, or all the same if `force`d; and says what was, or is, in the way.
    #[inline]
    fn pass(self: &Arc<Self>, arrival: &AdmissionRequest<'_>, force: bool) -> Result<Passed, (Keys, Blocked, u64)> {
        let keys: Keys = self.gates.iter().map(|gate| gate.key(arrival, || self.now())).collect();
        let mut states = lock(&keys);
        // Read under the locks: whoever has waited for them decides by what the time is now.
        let now = self.now();
        let blocked = self.blocked(&mut states, arrival.paginated, now, None);
        if let Some(blocked) = blocked
            && !force
        {
            drop(states);
            return Err((keys, blocked, now));
        }
        let tightest = self.take(&mut states, arrival.paginated);
        if let Some(blocked) = &blocked {
            self.gates[blocked.gate].count_refusal(&mut states[blocked.gate]);
        }
        drop(states);
        self.forget_idle(now);
        let permit = WindowPermit::new(Arc::clone(self), keys, arrival.paginated, tightest);
        Ok((permit, blocked.map(|blocked| (blocked, now))))
    }

    /// What keeps a request from passing at `now`. Without a ticket it has to stand behind all who wait.
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

    /// Takes a place at each gate. Returns the one with the least left.
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

    /// Refuses a request that has taken nothing.
    pub(crate) fn refuse(&self, keys: &Keys, blocked: &Blocked, now: u64) -> Refusal {
        self.gates[blocked.gate].count_refusal(&mut keys[blocked.gate].state.lock());
        self.forget_idle(now);
        self.refusal(blocked, now)
    }

    /// Each request forgets a bounded number of keys, so there is no need for a thread that does.
    #[inline]
    fn forget_idle(&self, now: u64) {
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

/// How far the limiter's time runs ahead of its clock's.
pub(crate) const PAST: u64 = 2 * 24 * 60 * 60 * 1_000_000_000;

/// Locks all of a request's keys.
#[inline]
pub(crate) fn lock(keys: &Keys) -> States<'_> {
    keys.iter().map(|key| key.state.lock()).collect()
}
