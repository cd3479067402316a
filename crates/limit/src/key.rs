//! The state of one key under one rule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::nanos;
use crate::config::KeyParts;
use crate::window::Window;

/// A request as the limiter sees it.
///
/// The strings are compared for equality only, so pseudonyms serve as well as tokens.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// The enterprise whose data the request is for.
    pub access_token: &'a str,
    /// The integration that sends it.
    pub client_token: &'a str,
    /// The operation it calls.
    pub operation: &'a str,
    /// Whether it uses pagination; see [`Rule::paginated_factor`](crate::Rule::paginated_factor).
    pub paginated: bool,
}

impl AdmissionRequest<'_> {
    /// The parts that a rule counts by; the others are empty strings, equal for all keys of the rule.
    #[inline]
    pub(crate) fn parts(&self, key: KeyParts) -> [&str; 3] {
        let part = |wanted, text| if wanted { text } else { "" };
        [
            part(key.access_token, self.access_token),
            part(key.client_token, self.client_token),
            part(key.operation, self.operation),
        ]
    }
}

/// A key and its state.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) hash: u64,
    /// The concatenated parts.
    text: Box<str>,
    /// Where the first and second part end. Without this, `ab`, `c` and `a`, `bc` would be the same key.
    ends: [usize; 2],
    pub(crate) state: Mutex<State>,
}

impl Key {
    pub(crate) fn new(hash: u64, parts: &[&str; 3]) -> Self {
        let first = parts[0].len();
        Self { hash, text: parts.concat().into(), ends: [first, first + parts[1].len()], state: Mutex::default() }
    }

    #[inline]
    pub(crate) fn is(&self, parts: &[&str; 3]) -> bool {
        let [first, second] = self.ends;
        let text = self.text.as_bytes();
        let lengths_agree =
            parts[0].len() == first && parts[1].len() == second - first && parts[2].len() == text.len() - second;
        let mut rest = text;
        // Parts the rule does not count by are never compared: `memcmp` of an empty slice at a dangling address is
        // legal, but was measured to take as long as everything else together.
        lengths_agree
            && parts.iter().filter(|part| !part.is_empty()).all(|part| {
                let (own, others) = rest.split_at(part.len());
                rest = others;
                own == part.as_bytes()
            })
    }
}

impl std::fmt::Display for Key {
    /// The non-empty parts, separated by spaces.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second] = self.ends;
        let parts = [&self.text[..first], &self.text[first..second], &self.text[second..]];
        let mut space = "";
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{space}{part}")?;
            space = " ";
        }
        Ok(())
    }
}

/// The mutable state of a key. Instants are nanoseconds of the limiter's clock.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The sends that still count.
    pub(crate) window: Window,
    /// Units of requests that were admitted but whose send has not been reported. They count until it is.
    pub(crate) pending: u64,
    /// When the bucket is full again, pending requests aside.
    pub(crate) full_at: u64,
    pub(crate) closure: Closure,
    /// Waiters for this key, by ticket.
    pub(crate) waiting: VecDeque<Waiter>,
    pub(crate) refused: u64,
    pub(crate) delayed: u64,
    /// Requests that the host rejected with 429.
    pub(crate) refused_by_host: u64,
}

/// A queued request.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Smaller for earlier arrivals, across all keys.
    pub(crate) ticket: u64,
    pub(crate) paginated: bool,
    /// When it must be admitted or refused.
    pub(crate) deadline: u64,
    /// Notified when it becomes first, when a permit is released early, or when its turn has moved past its deadline.
    pub(crate) wake: Arc<Notify>,
}

impl State {
    /// Units in use as of the window's last expiry.
    #[inline]
    pub(crate) fn used(&self) -> u64 {
        self.window.units() + self.pending
    }

    /// The waiters ahead of the ticket's holder; all of them without a ticket.
    pub(crate) fn ahead(&self, ticket: Option<u64>) -> impl Iterator<Item = &Waiter> {
        self.waiting.iter().take_while(move |waiter| ticket.is_none_or(|ticket| waiter.ticket < ticket))
    }

    /// Whether any waiter is [ahead](Self::ahead).
    #[inline]
    pub(crate) fn is_behind(&self, ticket: Option<u64>) -> bool {
        self.waiting.front().is_some_and(|first| ticket.is_none_or(|ticket| first.ticket < ticket))
    }

    /// Queues a request in ticket order.
    pub(crate) fn enqueue(&mut self, waiter: Waiter) {
        let index = self.waiting.partition_point(|other| other.ticket < waiter.ticket);
        self.waiting.insert(index, waiter);
    }

    /// Whether the ticket's holder is queued here.
    pub(crate) fn is_waiting(&self, ticket: u64) -> bool {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).is_ok()
    }

    /// Removes a request from the queue and returns the first remaining waiter, which the caller must notify.
    pub(crate) fn dequeue(&mut self, ticket: u64) -> Option<Arc<Notify>> {
        if let Ok(index) = self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.waiting.remove(index);
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        self.first_waiting()
    }

    /// The waiter to notify when a permit is released.
    pub(crate) fn first_waiting(&self) -> Option<Arc<Notify>> {
        self.waiting.front().map(|first| Arc::clone(&first.wake))
    }
}

/// The longest `Retry-After` honoured; longer ones are shortened to it.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
const MIN_BACK_OFF: Duration = Duration::from_secs(1);
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// How long after a pause another rejection counts as a repeat.
const BACK_OFF_MEMORY: Duration = Duration::from_secs(10 * 60);

/// Keeps a key closed after the host itself rejected a request.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    /// When the key opens again.
    pub(crate) until: u64,
    /// When it was last closed.
    since: u64,
    /// Consecutive rejections without `Retry-After`.
    unexplained: u32,
}

impl Closure {
    /// The host rejected the request sent at `sent_at`, with or without `Retry-After`.
    pub(crate) fn close(&mut self, sent_at: u64, now: u64, retry_after: Option<Duration>) {
        let pause = match retry_after {
            // A zero pause is ignored; the client would retry in a tight loop.
            Some(pause) if !pause.is_zero() => pause.min(MAX_PAUSE),
            // Sent before the key was closed, so part of the same burst, which counts once.
            _ if sent_at < self.since => return,
            _ => {
                if self.forgettable_at() <= now {
                    self.unexplained = 0;
                }
                let back_off = MIN_BACK_OFF.saturating_mul(1 << self.unexplained.min(6)).min(MAX_BACK_OFF);
                self.unexplained = self.unexplained.saturating_add(1);
                back_off
            }
        };
        self.since = now;
        self.until = self.until.max(now + nanos(pause));
    }

    /// When this state may be forgotten: a back-off is remembered for a while, so that the next rejection doubles it.
    pub(crate) fn forgettable_at(&self) -> u64 {
        let memory = if self.unexplained > 0 { nanos(BACK_OFF_MEMORY) } else { 0 };
        self.until + memory
    }

    /// The host accepted the request sent at `sent_at`. One sent before the key was closed proves nothing about the
    /// present.
    #[inline]
    pub(crate) fn succeeded(&mut self, sent_at: u64) {
        if sent_at >= self.since {
            self.unexplained = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn parts_are_compared_one_by_one() {
        let key = Key::new(0, &["ab", "", "c"]);
        assert!(key.is(&["ab", "", "c"]));
        for other in [["a", "b", "c"], ["ab", "c", ""], ["ab", "", "d"], ["ab", "", ""], ["abc", "", ""]] {
            assert!(!key.is(&other), "{other:?}");
        }
        assert_eq!(key.to_string(), "ab c");
    }

    /// Closes the key right after each reopening, `times` times, and returns the last pause in seconds.
    fn pause_after(closure: &mut Closure, now: &mut u64, times: u32) -> u64 {
        for _ in 0..times {
            *now = closure.until.max(*now);
            closure.close(*now, *now, None);
        }
        (closure.until - *now) / SECOND
    }

    #[test]
    fn back_off_doubles_up_to_a_minute_and_resets_after_a_success() {
        let (mut closure, mut now) = (Closure::default(), SECOND);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(pause_after(&mut closure, &mut now, 1), expected);
        }
        assert_eq!(pause_after(&mut closure, &mut now, 100), 60);
        closure.succeeded(closure.until);
        assert_eq!(pause_after(&mut closure, &mut now, 1), 1);
    }

    #[test]
    fn a_rejected_burst_counts_once() {
        let mut closure = Closure::default();
        for answer in 0..100 {
            closure.close(5, 10 + answer, None);
        }
        assert_eq!((closure.until, closure.unexplained), (10 + SECOND, 1));
        // Success of a request sent before the key was closed proves nothing.
        closure.succeeded(5);
        assert_eq!(closure.unexplained, 1);
    }

    #[test]
    fn the_longest_pause_counts_up_to_the_maximum() {
        let mut closure = Closure::default();
        closure.close(0, 0, Some(Duration::from_secs(7)));
        closure.close(0, 0, Some(Duration::from_secs(3)));
        assert_eq!(closure.until, 7 * SECOND);
        closure.close(0, 0, Some(Duration::MAX));
        assert_eq!(closure.until, nanos(MAX_PAUSE));
    }

    #[test]
    fn a_zero_pause_counts_as_none() {
        let mut closure = Closure::default();
        closure.close(0, 0, Some(Duration::ZERO));
        assert_eq!(closure.until, SECOND);
    }
}
