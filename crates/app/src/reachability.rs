//! Whether Mews can be reached, as far as the requests tell.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use nightaudit_exchange::{Capture, FailureKind, Outcome, Timestamp};
use nightaudit_proxy::Unreachable;

/// Pause between two attempts to connect that no request made.
const PROBE_PAUSE: Duration = Duration::from_secs(10);

/// Whether the API's host can be reached. Cheap to clone; clones share the state.
#[derive(Debug, Clone)]
pub(crate) struct Reachability(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    host: Arc<str>,
    /// Whether the state says so; read for each request, without the lock.
    is_reachable: AtomicBool,
    state: Mutex<State>,
}

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Whether the last connection could be opened or used; `None` before the first.
    pub(crate) reachable: Option<bool>,
    /// Since when.
    pub(crate) since: Option<Timestamp>,
    /// Why the last one that failed did.
    pub(crate) last_error: Option<String>,
    probed: Option<Instant>,
}

impl Reachability {
    /// Nothing is known of this host, named by scheme and authority.
    pub(crate) fn of(host: Arc<str>) -> Self {
        Self(Arc::new(Shared { host, is_reachable: AtomicBool::new(false), state: Mutex::default() }))
    }

    /// What is known now.
    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Learns from an exchange. Costs one load as long as all is well.
    pub(crate) fn note(&self, capture: &Capture) {
        if capture.outcome == Outcome::Answered && self.0.is_reachable.load(Ordering::Relaxed) {
            return;
        }
        // WebSockets go to another host.
        if capture.request.origin != self.0.host {
            return;
        }
        match &capture.error {
            Some(failure) if is_unreachable(failure.kind) => self.set(false, Some(&failure.message), now()),
            // It may have been reached or not: no response in time, or none that is HTTP.
            Some(_) => {}
            None if capture.outcome == Outcome::Answered => self.set(true, None, now()),
            None => {}
        }
    }

    /// Learns from an attempt to connect.
    pub(crate) fn note_probe(&self, problems: &[Unreachable]) {
        match problems.iter().find(|problem| problem.host == self.0.host) {
            Some(problem) => self.set(false, Some(&problem.cause), now()),
            None => self.set(true, None, now()),
        }
    }

    /// Whether it isn't known to be reachable, and it is time for another attempt; the caller makes it.
    pub(crate) fn wants_probe(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_due = state.probed.is_none_or(|last| now.saturating_duration_since(last) >= PROBE_PAUSE);
        let wanted = state.reachable != Some(true) && is_due;
        if wanted {
            state.probed = Some(now);
        }
        wanted
    }

    fn set(&self, reachable: bool, error: Option<&str>, now: Timestamp) {
        let mut state = self.lock();
        if state.reachable != Some(reachable) {
            state.reachable = Some(reachable);
            state.since = Some(now);
        }
        if let Some(error) = error {
            state.last_error = Some(error.to_owned());
        }
        self.0.is_reachable.store(reachable, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this failure means that there was no connection.
fn is_unreachable(kind: FailureKind) -> bool {
    use FailureKind::{Connect, ConnectTimeout, Resolve, Tls, UpstreamProxy};
    matches!(kind, Resolve | Connect | Tls | UpstreamProxy | ConnectTimeout)
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn since_is_when_it_changed() {
        let upstream = Reachability::of("https://a".into());
        assert_eq!(upstream.state(), State::default());
        upstream.set(false, Some("refused"), at(1));
        upstream.set(false, Some("timed out"), at(2));
        let state = upstream.state();
        assert_eq!((state.reachable, state.since), (Some(false), Some(at(1))));
        assert_eq!(state.last_error.as_deref(), Some("timed out"));
        upstream.set(true, None, at(3));
        let state = upstream.state();
        assert_eq!((state.reachable, state.since), (Some(true), Some(at(3))));
        assert_eq!(state.last_error.as_deref(), Some("timed out"), "the last error stays");
    }

    #[test]
    fn an_attempt_counts_for_its_own_host() {
        let upstream = Reachability::of("https://a".into());
        let problem = |host: &str| Unreachable { host: host.into(), cause: "no route".into() };
        upstream.note_probe(&[problem("https://ws.a")]);
        assert_eq!(upstream.state().reachable, Some(true));
        upstream.note_probe(&[problem("https://ws.a"), problem("https://a")]);
        assert_eq!(upstream.state().reachable, Some(false));
    }

    #[test]
    fn attempts_are_made_while_it_is_not_known_to_be_reachable_with_a_pause() {
        let upstream = Reachability::of("https://a".into());
        let start = Instant::now();
        assert!(upstream.wants_probe(start));
        assert!(!upstream.wants_probe(start + PROBE_PAUSE / 2));
        assert!(upstream.wants_probe(start + PROBE_PAUSE));
        upstream.set(true, None, at(1));
        assert!(!upstream.wants_probe(start + PROBE_PAUSE * 3));
        upstream.set(false, None, at(2));
        assert!(upstream.wants_probe(start + PROBE_PAUSE * 3));
    }
}
