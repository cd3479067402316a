//! Admission under all rules together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::clock::{Clock, MonotonicClock, nanos};
use crate::config::{Action, Config, ConfigError, KeyParts, Rule};
use crate::gate::Gate;
use crate::key::AdmissionRequest;
use crate::permit::WindowPermit;
use crate::shared::{Blocked, Keys, Shared, lock};
use crate::verdict::{Admission, Verdict};

/// Decides which requests may be sent. Cheap to clone; clones share rules and state.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
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
            refused_by_host: AtomicU64::new(0),
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
        match self.pass(arrival, false) {
            Ok((permit, _)) => Verdict::Admitted(permit),
            Err((keys, blocked, now)) => Verdict::Refused(self.shared.refuse(&keys, &blocked, now)),
        }
    }

    /// Admits, refuses, delays or only observes, as the configured [`Action`] says.
    ///
    /// Dropping the future leaves the queue, or releases the permit.
    pub async fn admit(&self, arrival: &AdmissionRequest<'_>) -> Admission {
        let passed = self.pass(arrival, self.shared.action == Action::Observe);
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

    /// Takes a permit if one is free, or in any case if `force` is set; also returns what was in the way.
    #[inline]
    fn pass(&self, arrival: &AdmissionRequest<'_>, force: bool) -> Result<Passed, (Keys, Blocked, u64)> {
        let shared = &self.shared;
        let keys: Keys = shared.gates.iter().map(|gate| gate.key(arrival, || shared.now())).collect();
        let mut states = lock(&keys);
        // Read under the locks, so that time spent waiting for them counts.
        let now = shared.now();
        let blocked = shared.blocked(&mut states, arrival.paginated, now, None);
        if let Some(blocked) = blocked
            && !force
        {
            drop(states);
            return Err((keys, blocked, now));
        }
        let tightest = shared.take(&mut states, arrival.paginated);
        if let Some(blocked) = &blocked {
            shared.gates[blocked.gate].count_refusal(&mut states[blocked.gate]);
        }
        drop(states);
        shared.forget_idle(now);
        let permit = WindowPermit::new(Arc::clone(shared), keys, arrival.paginated, tightest);
        Ok((permit, blocked.map(|blocked| (blocked, now))))
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
