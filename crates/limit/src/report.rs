//! What people are shown of a limiter, and what it is told of the past.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::gate::Gate;
use crate::key::{AdmissionRequest, Key};
use crate::limiter::Limiter;

/// The most keys of a rule that [`Limiter::state`] lists.
pub const MAX_LISTED: usize = 1000;

/// How full the window of a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The rule.
    pub rule: Arc<str>,
    /// The key's parts, with a space between.
    pub key: String,
    /// Requests that fit.
    pub limit: u32,
    /// Requests that hold a place. Those with pagination count for their share, and the sum is rounded up.
    pub used: u32,
    /// Requests without pagination for which there is a place.
    pub left: u32,
    /// The time until the rule would admit a further request without pagination, after those who wait.
    pub next_free: Duration,
    /// Requests that wait for a place.
    pub waiting: usize,
    /// Requests that were over the limit since the key was last idle (refused, or sent all the same by
    /// [`Action::Observe`](crate::Action::Observe)).
    pub refused: u64,
    /// Requests that were held back since the key was last idle.
    pub delayed: u64,
    /// The time until the key opens again after the host refused a request; zero if it is open.
    pub closed_for: Duration,
}

/// What a rule has done since the limiter began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleState {
    /// The rule.
    pub rule: Arc<str>,
    /// Requests in a window.
    pub requests: u32,
    /// The window's length, without slack.
    pub window: Duration,
    /// Keys in use.
    pub keys: usize,
    /// Requests that were over the limit (refused, or sent all the same by
    /// [`Action::Observe`](crate::Action::Observe)).
    pub refused: u64,
    /// Requests that were held back.
    pub delayed: u64,
}

/// A request that was sent by an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSend<S> {
    /// As of the [`AdmissionRequest`].
    pub access_token: S,
    /// As of the [`AdmissionRequest`].
    pub client_token: S,
    /// As of the [`AdmissionRequest`].
    pub operation: S,
    /// As of the [`AdmissionRequest`].
    pub paginated: bool,
    /// How long ago it was sent. For something that the log has in the future (the wall clock was set back): zero.
    pub ago: Duration,
}

/// What the host said to a request of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastResponse<S> {
    /// The request.
    pub request: PastSend<S>,
    /// How long ago the response came.
    pub ago: Duration,
    /// What it said.
    pub signal: LimitSignal,
}

/// What a response says about the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitSignal {
    /// There were too many requests; with the pause that was asked for, if any was.
    TooManyRequests(Option<Duration>),
    /// The request was taken.
    Accepted,
}

impl Limiter {
    /// Closes the keys that the host's responses to earlier runs keep closed, as though they had come to this one. To be
    /// called before the first arrival, with responses in any order; see [`Sent::too_many_requests`](crate::Sent).
    pub fn restore_closures<S: AsRef<str>>(&self, responses: impl IntoIterator<Item = PastResponse<S>>) {
        let shared = self.shared();
        let now = shared.now();
        let past = |ago| now.checked_sub(crate::clock::nanos(ago));
        let mut all: Vec<_> = Vec::new();
        for PastResponse { request, ago, signal } in responses {
            let arrival = AdmissionRequest {
                access_token: request.access_token.as_ref(),
                client_token: request.client_token.as_ref(),
                operation: request.operation.as_ref(),
                paginated: request.paginated,
            };
            let (Some(sent), Some(came)) = (past(request.ago), past(ago)) else { continue };
            let keys: Vec<_> = shared.gates.iter().map(|gate| gate.key(&arrival, || now)).collect();
            all.push((came, sent, signal, keys));
        }
        // What one says depends on those before it.
        all.sort_by_key(|(came, sent, ..)| (*came, *sent));
        for (came, sent, signal, keys) in all {
            for key in keys {
                let closure = &mut key.state.lock().closure;
                match signal {
                    LimitSignal::TooManyRequests(retry_after) => closure.close(sent, came, retry_after),
                    LimitSignal::Accepted => closure.succeeded(sent),
                }
            }
        }
    }

    /// Puts what was sent before into the windows and buckets, in any order. To be called before the first arrival,
    /// with at least what was sent within the longest window and slack; what is older is passed over.
    pub fn restore<S: AsRef<str>>(&self, sends: impl IntoIterator<Item = PastSend<S>>) {
        let shared = self.shared();
        let now = shared.now();
        let mut past: Vec<_> = Vec::new();
        for send in sends {
            let arrival = AdmissionRequest {
                access_token: send.access_token.as_ref(),
                client_token: send.client_token.as_ref(),
                operation: send.operation.as_ref(),
                paginated: send.paginated,
            };
            let Some(at) = now.checked_sub(crate::clock::nanos(send.ago)) else { continue };
            for gate in shared.gates.iter().filter(|gate| at + gate.span.hold > now) {
                past.push((at, gate, gate.key(&arrival, || now), send.paginated));
            }
        }
        // A bucket depends on the order of what was taken from it.
        past.sort_by_key(|(at, ..)| *at);
        for (at, gate, key, paginated) in past {
            gate.note_send(&mut key.state.lock(), paginated, at);
        }
    }

    /// How full the windows are: the fullest first, rule by rule, and at most [`MAX_LISTED`] keys of each. Keys that
    /// nothing is to be said of are left out.
    ///
    /// It looks at every key once, and keeps arrivals waiting for no longer than a small part of that.
    #[must_use]
    pub fn state(&self) -> Vec<KeyState> {
        let now = self.shared().now();
        let mut states = Vec::new();
        for gate in &self.shared().gates {
            let mut keys: Vec<(u64, Arc<Key>)> =
                gate.table.keys().filter_map(|key| Some((fullness(gate, &key, now)?, key))).collect();
            keys.sort_by(|(a, _), (b, _)| b.cmp(a));
            keys.truncate(MAX_LISTED);
            states.extend(keys.into_iter().map(|(_, key)| key_state(gate, &key, now)));
        }
        states
    }

    /// What the rules have done, in their order.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleState> {
        let rule = |gate: &Gate| RuleState {
            rule: Arc::clone(&gate.name),
            requests: gate.requests,
            window: gate.window,
            keys: gate.table.len(),
            refused: gate.refused.load(Ordering::Relaxed),
            delayed: gate.delayed.load(Ordering::Relaxed),
        };
        self.shared().gates.iter().map(rule).collect()
    }
}

/// Units in use and requests waiting, if there is anything to say of the key.
fn fullness(gate: &Gate, key: &Key, now: u64) -> Option<u64> {
    let mut state = key.state.lock();
    state.window.expire(&gate.span, now);
    let fullness = state.used() + state.waiting.len() as u64;
    let is_notable = fullness > 0 || state.closure.until > now || state.refused > 0 || state.delayed > 0;
    is_notable.then_some(fullness)
}

fn key_state(gate: &Gate, key: &Key, now: u64) -> KeyState {
    let mut state = key.state.lock();
    state.window.expire(&gate.span, now);
    let used = gate.span.requests(state.used());
    let opens_at = gate.opens_at(&state, state.ahead(None).map(|waiter| waiter.paginated), false, now);
    KeyState {
        rule: Arc::clone(&gate.name),
        key: key.to_string(),
        limit: gate.requests,
        used,
        left: gate.requests.saturating_sub(used),
        next_free: Duration::from_nanos(opens_at - now),
        waiting: state.waiting.len(),
        refused: state.refused,
        delayed: state.delayed,
        closed_for: Duration::from_nanos(state.closure.until.saturating_sub(now)),
    }
}
