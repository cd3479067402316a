//! Reports of a limiter's state, and restoring it from earlier runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::gate::Gate;
use crate::key::{AdmissionRequest, Key};
use crate::limiter::Limiter;

/// Maximum number of keys per rule in [`Limiter::state`].
pub const MAX_LISTED: usize = 1000;

/// Usage of one key's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The rule.
    pub rule: Arc<str>,
    /// The key's parts, separated by spaces.
    pub key: String,
    /// Requests allowed per window.
    pub limit: u32,
    /// The window's length, without slack.
    pub window: Duration,
    /// Requests that count now. Paginated ones count by their share; the sum is rounded up.
    pub used: u32,
    /// Requests without pagination that still fit.
    pub left: u32,
    /// Time until the rule would admit another request without pagination, behind all waiters.
    pub next_free: Duration,
    /// Queued requests.
    pub waiting: usize,
    /// Requests over the limit since the key was last idle (refused, or sent anyway under
    /// [`Action::Observe`](crate::Action::Observe)).
    pub refused: u64,
    /// Requests delayed since the key was last idle.
    pub delayed: u64,
    /// Requests that the host rejected with 429 since the key was last idle.
    pub refused_by_host: u64,
    /// Time until the key reopens after the host rejected a request; zero if it is open.
    pub closed_for: Duration,
    /// The nodes' shares of `used`, largest first, if the engine is shared by several. Each is rounded up.
    pub nodes: Vec<NodeUsage>,
}

/// What one of several nodes uses of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUsage {
    /// The node's name.
    pub node: Arc<str>,
    /// Requests of it that count now.
    pub used: u32,
}

/// Totals of a rule since the limiter started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleState {
    /// The rule.
    pub rule: Arc<str>,
    /// Requests allowed per window.
    pub requests: u32,
    /// The window's length, without slack.
    pub window: Duration,
    /// Keys in use.
    pub keys: usize,
    /// Requests over the limit (refused, or sent anyway under [`Action::Observe`](crate::Action::Observe)).
    pub refused: u64,
    /// Requests delayed.
    pub delayed: u64,
    /// Requests that the host rejected with 429.
    pub refused_by_host: u64,
}

/// Totals since the limiter started, and how full the windows have been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The rules, in configuration order.
    pub rules: Vec<RuleState>,
    /// For each rule, the most requests that counted for any key at any time since the previous [`Limiter::totals`], and
    /// at this one.
    pub peaks: Vec<u32>,
    /// Requests over a limit.
    pub refused: u64,
    /// Requests that the host rejected with 429, each once, however many rules it passed.
    pub refused_by_host: u64,
}

/// A request sent by an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSend<S> {
    /// See [`AdmissionRequest`].
    pub access_token: S,
    /// See [`AdmissionRequest`].
    pub client_token: S,
    /// See [`AdmissionRequest`].
    pub operation: S,
    /// See [`AdmissionRequest`].
    pub paginated: bool,
    /// Time since it was sent; zero for sends that the log dates in the future (the wall clock was set back).
    pub ago: Duration,
}

/// The host's response to a request of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastResponse<S> {
    /// The request.
    pub request: PastSend<S>,
    /// Time since the response arrived.
    pub ago: Duration,
    /// What it revealed about the limits.
    pub signal: LimitSignal,
}

/// What a response reveals about the host's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitSignal {
    /// 429, with its `Retry-After`, if any.
    TooManyRequests(Option<Duration>),
    /// The request was accepted.
    Accepted,
}

impl Limiter {
    /// Closes the keys that the host's responses to earlier runs keep closed, as if this run had received them. Call before
    /// the first arrival, with responses in any order; see [`Sent::too_many_requests`](crate::Sent).
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
        // The effect of each depends on those before it.
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

    /// Restores earlier sends into windows and buckets, in any order. Call before the first arrival, with at least the
    /// sends within the longest window plus slack; older ones are ignored.
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
        // Buckets depend on the order of sends.
        past.sort_by_key(|(at, ..)| *at);
        for (at, gate, key, paginated) in past {
            gate.note_send(&mut key.state.lock(), paginated, at);
        }
    }

    /// Window usage, rule by rule, fullest first, at most [`MAX_LISTED`] keys each. Keys with nothing to report are
    /// left out.
    ///
    /// Visits every key once; arrivals wait for only a small part of that.
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

    /// Totals of the rules, in configuration order.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleState> {
        let rule = |gate: &Gate| RuleState {
            rule: Arc::clone(&gate.name),
            requests: gate.requests,
            window: gate.window,
            keys: gate.table.len(),
            refused: gate.refused.load(Ordering::Relaxed),
            delayed: gate.delayed.load(Ordering::Relaxed),
            refused_by_host: gate.refused_by_host.load(Ordering::Relaxed),
        };
        self.shared().gates.iter().map(rule).collect()
    }

    /// Totals, and the peaks since the last call. There is one record of peaks, so only one caller gets each.
    ///
    /// Visits every key once.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let shared = self.shared();
        let now = shared.now();
        let rules = self.rules();
        Totals {
            peaks: shared.gates.iter().map(|gate| gate.span.requests(gate.take_peak(now))).collect(),
            // A refusal counts under the rule with the longest wait only.
            refused: rules.iter().map(|rule| rule.refused).sum(),
            refused_by_host: shared.refused_by_host.load(Ordering::Relaxed),
            rules,
        }
    }
}

/// Units in use plus queued requests; `None` if there is nothing to report.
fn fullness(gate: &Gate, key: &Key, now: u64) -> Option<u64> {
    let mut state = key.state.lock();
    state.window.expire(&gate.span, now);
    let fullness = state.used() + state.waiting.len() as u64;
    let counted = state.refused > 0 || state.delayed > 0 || state.refused_by_host > 0;
    let is_notable = fullness > 0 || state.closure.until > now || counted;
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
        window: gate.window,
        used,
        left: gate.requests.saturating_sub(used),
        next_free: Duration::from_nanos(opens_at - now),
        waiting: state.waiting.len(),
        refused: state.refused,
        delayed: state.delayed,
        refused_by_host: state.refused_by_host,
        closed_for: Duration::from_nanos(state.closure.until.saturating_sub(now)),
        nodes: Vec::new(),
    }
}
