//! Admission under all rules together.

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

/// Decides which requests may be sent. Cheap to clone; clones share rules and state.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

/// The result of [`Limiter::check`].
#[derive(Debug)]
pub enum Verdict {
    /// The request may be sent.
    Admitted(WindowPermit),
    /// The request is over a limit.
    Refused(Refusal),
}

/// The result of [`Limiter::admit`] under the configured [`Action`].
#[derive(Debug)]
pub enum Admission<P = WindowPermit> {
    /// The request may be sent.
    Admitted {
        /// Its permit.
        permit: P,
        /// Usage of the tightest window; `None` without rules.
        usage: Option<Usage>,
        /// How long it was delayed; zero if it was not.
        waited: Duration,
    },
    /// The request may be sent, though it is over a limit.
    Observed {
        /// Its permit.
        permit: P,
        /// The refusal it would have met.
        refusal: Refusal,
    },
    /// The request may not be sent.
    Refused(Refusal),
}

/// A request is over a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule with the longest wait.
    pub rule: Arc<str>,
    /// Requests that count under that rule for its key.
    pub used: u32,
    /// Requests allowed per window.
    pub limit: u32,
    /// Whether the key is closed because the host rejected a request, regardless of the window.
    pub closed: bool,
    /// The exact time until the request would be admitted, if no other request gets there first. Permits whose requests
    /// have not been sent yet count as sent now.
    pub retry_after: Duration,
    /// The same in whole seconds, rounded up, at least 1.
    pub retry_after_secs: u64,
}

/// State shared by the clones of a limiter, its permits and its waiters.
pub(crate) struct Shared {
    pub(crate) gates: Box<[Gate]>,
    pub(crate) action: Action,
    clock: Box<dyn Clock>,
    pub(crate) next_ticket: AtomicU64,
    key: KeyParts,
    counts_pages: bool,
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

impl Limiter {
    /// A limiter on the machine's monotonic clock.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration is invalid.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, MonotonicClock::default())
    }

    /// A limiter on the given clock.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration is invalid.
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

    /// The key parts that the rules count by, combined.
    #[must_use]
    pub fn key(&self) -> KeyParts {
        self.shared.key
    }

    /// Whether any rule weighs paginated requests differently.
    #[must_use]
    pub fn counts_pages(&self) -> bool {
        self.shared.counts_pages
    }

    /// Admits or refuses, regardless of the configured [`Action`]. Never waits and never overtakes a waiter.
    ///
    /// All rules must agree; if one refuses, nothing is taken from the others.
    #[inline]
    pub fn check(&self, arrival: &AdmissionRequest<'_>) -> Verdict {
        match self.shared.pass(arrival, false) {
            Ok((permit, _)) => Verdict::Admitted(permit),
            Err((keys, blocked, now)) => Verdict::Refused(self.shared.refuse(&keys, &blocked, now)),
        }
    }

    /// Admits, refuses, delays or only observes, as the configured [`Action`] says.
    ///
    /// Dropping the future leaves the queue, or releases the permit.
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
    /// The clock's time plus two days, so that sends from before the clock's origin have an instant.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.clock.now() + PAST
    }

    /// Completes at an instant on the scale of [`now`](Self::now).
    pub(crate) fn sleep_until(&self, instant: u64) -> crate::clock::Sleep {
        self.clock.sleep_until(instant.saturating_sub(PAST))
    }

    /// Takes a permit if one is free, or in any case if `force` is set; also returns what was in the way.
    #[inline]
    fn pass(self: &Arc<Self>, arrival: &AdmissionRequest<'_>, force: bool) -> Result<Passed, (Keys, Blocked, u64)> {
        let keys: Keys = self.gates.iter().map(|gate| gate.key(arrival, || self.now())).collect();
        let mut states = lock(&keys);
        // Read under the locks, so that time spent waiting for them counts.
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

/// How far the limiter's time runs ahead of its clock.
pub(crate) const PAST: u64 = 2 * 24 * 60 * 60 * 1_000_000_000;

/// Locks all of a request's keys.
#[inline]
pub(crate) fn lock(keys: &Keys) -> States<'_> {
    keys.iter().map(|key| key.state.lock()).collect()
}
