//! The active rules.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{Plan, rule::FaultRule};

/// The most rules at once.
pub const MAX_RULES: usize = 100;

/// The active fault rules, shared by all who serve requests. Clones are handles to the same rules.
///
/// Without rules, [`plan`](Self::plan) costs one load.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

struct Shared {
    seed: u64,
    /// Whether there is any rule.
    any: AtomicBool,
    rules: RwLock<Rules>,
    /// Why rules can't be added.
    refusal: Option<String>,
    current_session: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

#[derive(Default)]
struct Rules {
    active: Arc<[Arc<ActiveRule>]>,
    /// The number of the last rule.
    last: u32,
}

struct ActiveRule {
    number: u32,
    rule: FaultRule,
    seed: u64,
    until: Option<Instant>,
    /// Requests so far that the rule was for.
    matched: AtomicU64,
    /// Those of them that got a fault.
    injected: AtomicU64,
    /// Faults left, if they are counted.
    left: Option<AtomicU64>,
}

/// A rule, and what it has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultState {
    /// Its number, from 1; none is given twice in a run.
    pub number: u32,
    /// The rule as written.
    pub rule: String,
    /// Requests that it was for.
    pub matched: u64,
    /// Those of them that got a fault.
    pub injected: u64,
    /// Faults left, if the rule has a `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// Milliseconds left, if the rule has a `for`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// Whether its count or its time is used up.
    pub ended: bool,
}

/// A change of the rules that isn't made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// Faults are not allowed here.
    #[error("{0}")]
    Refused(String),
    /// There are [`MAX_RULES`] already.
    #[error("there are {MAX_RULES} fault rules already: clear some with `nightaudit fault clear`")]
    TooMany,
    /// No rule has this number.
    #[error("there is no fault rule {0}: `nightaudit fault list` lists them")]
    NotFound(u32),
}

impl Faults {
    /// No rules yet. `current_session` names the session that requests are recorded in unless they name one themselves; it
    /// is called only for rules about a session.
    #[must_use]
    pub fn new(seed: u64, current_session: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self::with(seed, None, Box::new(current_session))
    }

    /// No rules ever: adding one is refused with this message.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::with(0, Some(message.into()), Box::new(|| None))
    }

    fn with(
        seed: u64,
        refusal: Option<String>,
        current_session: Box<dyn Fn() -> Option<String> + Send + Sync>,
    ) -> Self {
        let rules = RwLock::default();
        Self(Arc::new(Shared { seed, any: AtomicBool::new(false), rules, refusal, current_session }))
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Relaxed)
    }

    /// Decides what is to be done to the next request; `None` for nothing. `session` is the one that the request names.
    ///
    /// The rules are asked in order. Each may add a fault of a kind that none before it has drawn: a latency, a rate, and
    /// one of status, reset and truncation.
    #[must_use]
    pub fn plan(&self, operation: &str, session: Option<&str>, now: Instant) -> Option<Box<Plan>> {
        if self.is_empty() {
            return None;
        }
        let active = Arc::clone(&self.0.rules.read().unwrap_or_else(PoisonError::into_inner).active);
        let mut plan = Plan::default();
        for rule in active.iter().filter(|rule| rule.rule.applies_to(operation) && self.is_in_session(rule, session)) {
            rule.add_to(&mut plan, now);
        }
        if plan.rules.is_empty() { None } else { Some(Box::new(plan)) }
    }

    fn is_in_session(&self, active: &ActiveRule, session: Option<&str>) -> bool {
        match (&active.rule.session, session) {
            (None, _) => true,
            (Some(wanted), Some(named)) => wanted == named,
            (Some(wanted), None) => (self.0.current_session)().is_some_and(|current| *wanted == current),
        }
    }

    /// Adds a rule after the others.
    ///
    /// # Errors
    ///
    /// [`FaultsError::Refused`] where faults are not allowed, [`FaultsError::TooMany`] beyond [`MAX_RULES`] that have not
    /// ended.
    pub fn add(&self, rule: FaultRule, now: Instant) -> Result<FaultState, FaultsError> {
        if let Some(message) = &self.0.refusal {
            return Err(FaultsError::Refused(message.clone()));
        }
        let mut rules = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        let mut active: Vec<_> = rules.active.to_vec();
        if active.len() >= MAX_RULES {
            active.retain(|rule| !rule.has_ended(now));
        }
        if active.len() >= MAX_RULES {
            return Err(FaultsError::TooMany);
        }
        let number = rules.last + 1;
        let added = Arc::new(ActiveRule {
            number,
            seed: random(self.0.seed, u64::from(number)).u64(..),
            until: rule.lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            matched: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            left: rule.count.map(AtomicU64::new),
            rule,
        });
        let state = added.state(now);
        active.push(added);
        *rules = Rules { active: active.into(), last: number };
        self.0.any.store(true, Ordering::Relaxed);
        Ok(state)
    }

    /// The rules in order, with those that have ended.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<FaultState> {
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.active.iter().map(|rule| rule.state(now)).collect()
    }

    /// Removes the rule with this number, or all. Returns the removed ones. What is being done to requests goes on.
    ///
    /// # Errors
    ///
    /// [`FaultsError::NotFound`] if no rule has the number.
    pub fn clear(&self, number: Option<u32>, now: Instant) -> Result<Vec<FaultState>, FaultsError> {
        let mut rules = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        let is_removed = |rule: &Arc<ActiveRule>| number.is_none_or(|number| rule.number == number);
        let (removed, kept): (Vec<_>, Vec<_>) = rules.active.iter().cloned().partition(is_removed);
        if let (Some(number), []) = (number, &removed[..]) {
            return Err(FaultsError::NotFound(number));
        }
        self.0.any.store(!kept.is_empty(), Ordering::Relaxed);
        rules.active = kept.into();
        Ok(removed.iter().map(|rule| rule.state(now)).collect())
    }
}

impl Default for Faults {
    /// No rules, and no session's name.
    fn default() -> Self {
        Self::new(1, || None)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.list(Instant::now())).finish()
    }
}

impl ActiveRule {
    /// Adds what the rule does to the next request, unless an earlier rule already does something of the kind.
    fn add_to(&self, plan: &mut Plan, now: Instant) {
        if self.has_ended(now) {
            return;
        }
        // The counter makes the sequence, so that no request waits for another's draw.
        let number = self.matched.fetch_add(1, Ordering::Relaxed);
        let drawn = self.rule.draw(&mut random(self.seed, number));
        let ending = drawn.ending.filter(|_| plan.ending.is_none());
        let latency = drawn.latency.filter(|_| plan.latency.is_none());
        let rate = drawn.rate.filter(|_| plan.rate.is_none());
        if (ending.is_none() && latency.is_none() && rate.is_none()) || !self.take_one() {
            return;
        }
        self.injected.fetch_add(1, Ordering::Relaxed);
        plan.ending = plan.ending.or(ending);
        plan.latency = plan.latency.or(latency);
        plan.rate = plan.rate.or(rate);
        plan.rules.push(self.rule.to_string());
    }

    /// Takes one of the faults that are left; returns whether there was one.
    fn take_one(&self) -> bool {
        let Some(left) = &self.left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
            || self.left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }

    fn state(&self, now: Instant) -> FaultState {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        FaultState {
            number: self.number,
            rule: self.rule.to_string(),
            matched: self.matched.load(Ordering::Relaxed),
            injected: self.injected.load(Ordering::Relaxed),
            left: self.left.as_ref().map(|left| left.load(Ordering::Relaxed)),
            left_ms: self.until.map(|until| millis(until.saturating_duration_since(now))),
            ended: self.has_ended(now),
        }
    }
}

/// The random numbers of one request: the `number`-th of a seed's sequence.
pub(crate) fn random(seed: u64, number: u64) -> fastrand::Rng {
    // An odd constant spreads consecutive numbers over all seeds (the golden ratio, as in SplitMix64).
    let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    random.u64(..);
    random
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Ending;

    fn faults(rules: &[&str]) -> (Faults, Instant) {
        let (faults, now) = (Faults::default(), Instant::now());
        for rule in rules {
            faults.add(rule.parse().unwrap(), now).unwrap();
        }
        (faults, now)
    }

    fn status(faults: &Faults, operation: &str, now: Instant) -> Option<u16> {
        match faults.plan(operation, None, now)?.ending? {
            Ending::Status { status, .. } => Some(status),
            Ending::Reset | Ending::Truncate { .. } => None,
        }
    }

    #[test]
    fn without_rules_nothing_happens() {
        let (faults, now) = faults(&[]);
        assert_eq!(faults.plan("rates/getAll", None, now), None);
        assert_eq!(faults.list(now), []);
    }

    #[test]
    fn a_count_ends_a_rule_exactly_even_if_all_ask_at_once() {
        let (faults, now) = faults(&["503, count=100"]);
        let injected: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..200).filter(|_| status(&faults, "a/b", now).is_some()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(injected, 100);
        let state = &faults.list(now)[0];
        assert_eq!((state.injected, state.left, state.ended), (100, Some(0), true));
    }

    #[test]
    fn a_time_ends_a_rule() {
        let (faults, now) = faults(&["503, for=10m"]);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!([0, 599, 600].map(|seconds| status(&faults, "a/b", after(seconds))), [Some(503), Some(503), None]);
        assert_eq!((faults.list(after(30))[0].left_ms, faults.list(after(601))[0].ended), (Some(570_000), true));
    }

    #[test]
    fn a_session_is_the_one_that_a_request_names_or_else_the_current_one() {
        let current = Arc::new(Mutex::new(None::<String>));
        let shared = Arc::clone(&current);
        let (faults, now) = (Faults::new(1, move || shared.lock().unwrap().clone()), Instant::now());
        faults.add("503, session=rehearsal".parse().unwrap(), now).unwrap();
        let hit = |session| faults.plan("a/b", session, now).is_some();
        assert!(hit(Some("rehearsal")) && !hit(Some("certification")) && !hit(None));
        *current.lock().unwrap() = Some("rehearsal".to_owned());
        assert!(hit(None) && !hit(Some("certification")));
    }

    #[test]
    fn the_first_rule_with_a_kind_of_fault_decides_it() {
        let (faults, now) = faults(&["rates/*: 429", "latency=5ms, 503", "latency=9ms, slow-body=1KB/s"]);
        let plan = faults.plan("rates/getAll", None, now).unwrap();
        assert!(matches!(plan.ending, Some(Ending::Status { status: 429, .. })));
        assert_eq!((plan.latency, plan.rate), (Some(Duration::from_millis(5)), Some(1000)));
        assert_eq!(plan.rules.len(), 3);
        assert_eq!(status(&faults, "bills/add", now), Some(503));
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_in_the_same_order() {
        let drawn = |seed| {
            let (faults, now) = (Faults::new(seed, || None), Instant::now());
            faults.add("429=30%, reset=10%, latency=1ms..9s".parse().unwrap(), now).unwrap();
            (0..50).map(|_| faults.plan("a/b", None, now)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn rules_are_numbered_listed_and_cleared() {
        let (faults, now) = faults(&["429=1%", "503=1%", "reset=1%"]);
        assert_eq!(faults.clear(Some(2), now).unwrap()[0].rule, "503=1%");
        assert_eq!(faults.clear(Some(2), now), Err(FaultsError::NotFound(2)));
        assert_eq!(faults.add("500=1%".parse().unwrap(), now).unwrap().number, 4);
        assert_eq!(faults.list(now).iter().map(|state| state.number).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(faults.clear(None, now).unwrap().len(), 3);
        assert_eq!((faults.clear(None, now).unwrap(), faults.plan("a/b", None, now)), (Vec::new(), None));
    }

    #[test]
    fn there_are_at_most_a_hundred_rules_and_ended_ones_make_room() {
        let (faults, now) = faults(&["503, for=1s"]);
        for _ in 1..MAX_RULES {
            faults.add("429=1%".parse().unwrap(), now).unwrap();
        }
        assert_eq!(faults.add("429=1%".parse().unwrap(), now), Err(FaultsError::TooMany));
        faults.add("429=1%".parse().unwrap(), now + Duration::from_secs(1)).unwrap();
        assert_eq!(faults.list(now).len(), MAX_RULES);
    }

    #[test]
    fn where_faults_are_refused_no_rule_is_added() {
        let (faults, now) = (Faults::refused("not here"), Instant::now());
        let refused = faults.add("429".parse().unwrap(), now).unwrap_err();
        assert_eq!((refused.to_string(), faults.list(now)), ("not here".to_owned(), Vec::new()));
    }
}
