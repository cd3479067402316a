//! What is known of one key of one rule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::nanos;
use crate::config::KeyParts;
use crate::window::Window;

/// A request, as far as limits are concerned.
///
/// Any strings will do, as long as equal ones mean the same: pseudonyms rather than tokens, say.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// Whose data it is about.
    pub access_token: &'a str,
    /// Which integration sends it.
    pub client_token: &'a str,
    /// What it does.
    pub operation: &'a str,
    /// Whether it uses pagination; see [`Rule::paginated_factor`](crate::Rule::paginated_factor).
    pub paginated: bool,
}

impl AdmissionRequest<'_> {
    /// The parts that a rule counts by; the others are empty, which is the same for all keys of the rule.
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
    /// The parts, one after the other.
    text: Box<str>,
    /// Where the first and the second part end. Without this, `ab`, `c` and `a`, `bc` were one key.
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
        // A part that the rule does not count by is never compared: `memcmp` of nothing at a dangling address is
        // allowed, but was measured to take as long as everything else together.
        lengths_agree
            && parts.iter().filter(|part| !part.is_empty()).all(|part| {
                let (own, others) = rest.split_at(part.len());
                rest = others;
                own == part.as_bytes()
            })
    }
}

impl std::fmt::Display for Key {
    /// The parts there are, with a space between.
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

/// What changes about a key. Instants are nanoseconds of the limiter's clock.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The sends that hold a place.
    pub(crate) window: Window,
    /// Units of the requests that were admitted and whose send has not been reported. They hold their places without
    /// an end in sight.
    pub(crate) pending: u64,
    /// When the bucket is full again, had nobody anything pending.
    pub(crate) full_at: u64,
    pub(crate) closure: Closure,
    /// Who waits for a place here, by ticket.
    pub(crate) waiting: VecDeque<Waiter>,
    pub(crate) refused: u64,
    pub(crate) delayed: u64,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Earlier arrivals have smaller ones, across all keys.
    pub(crate) ticket: u64,
    pub(crate) paginated: bool,
    /// When it has waited as long as it may.
    pub(crate) deadline: u64,
    /// Told when it becomes the first, when a place has become free before its time, or when its turn has moved beyond
    /// its deadline.
    pub(crate) wake: Arc<Notify>,
}

impl State {
    /// Units in use, as of the window's last clean-up.
    #[inline]
    pub(crate) fn used(&self) -> u64 {
        self.window.units() + self.pending
    }

    /// Those who wait and came before the holder of the ticket; all of them, if there is none.
    pub(crate) fn ahead(&self, ticket: Option<u64>) -> impl Iterator<Item = &Waiter> {
        self.waiting.iter().take_while(move |waiter| ticket.is_none_or(|ticket| waiter.ticket < ticket))
    }

    /// Whether somebody is [ahead](Self::ahead).
    #[inline]
    pub(crate) fn is_behind(&self, ticket: Option<u64>) -> bool {
        self.waiting.front().is_some_and(|first| ticket.is_none_or(|ticket| first.ticket < ticket))
    }

    /// Lets a request wait in the order of the tickets.
    pub(crate) fn enqueue(&mut self, waiter: Waiter) {
        let index = self.waiting.partition_point(|other| other.ticket < waiter.ticket);
        self.waiting.insert(index, waiter);
    }

    /// Whether the holder of the ticket waits here.
    pub(crate) fn is_waiting(&self, ticket: u64) -> bool {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket).is_ok()
    }

    /// Takes a request out of the queue. Returns whom to wake: the first of those who still wait.
    pub(crate) fn dequeue(&mut self, ticket: u64) -> Option<Arc<Notify>> {
        if let Ok(index) = self.waiting.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.waiting.remove(index);
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        self.first_waiting()
    }

    /// Who is to be woken when a place becomes free.
    pub(crate) fn first_waiting(&self) -> Option<Arc<Notify>> {
        self.waiting.front().map(|first| Arc::clone(&first.wake))
    }
}

/// The longest pause that is taken from a host's `Retry-After`.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LAST_BACK_OFF: Duration = Duration::from_secs(60);
/// How long after a pause a further refusal is a repeat.
const BACK_OFF_MEMORY: Duration = Duration::from_secs(10 * 60);

/// Keeps a key closed after the host itself refused a request.
#[derive(Debug, Default)]
pub(crate) struct Closure {
    /// Open again from this instant on.
    pub(crate) until: u64,
    /// When it was last closed.
    since: u64,
    /// Refusals in a row that didn't say for how long.
    unexplained: u32,
}

impl Closure {
    /// The host refused what was sent at `sent_at`, and said how long to wait, or didn't.
    pub(crate) fn close(&mut self, sent_at: u64, now: u64, retry_after: Option<Duration>) {
        let pause = match retry_after {
            // A pause of no time is none, and would have the integration knock without end.
            Some(pause) if !pause.is_zero() => pause.min(LONGEST_PAUSE),
            // Sent before the key was closed: one of the same volley, which is to count once.
            _ if sent_at < self.since => return,
            _ => {
                if self.matters_until() <= now {
                    self.unexplained = 0;
                }
                let back_off = FIRST_BACK_OFF.saturating_mul(1 << self.unexplained.min(6)).min(LAST_BACK_OFF);
                self.unexplained = self.unexplained.saturating_add(1);
                back_off
            }
        };
        self.since = now;
        self.until = self.until.max(now + nanos(pause));
    }

    /// Until when this must not be forgotten: a back-off is remembered for a while, so as to be doubled by the next
    /// refusal.
    pub(crate) fn matters_until(&self) -> u64 {
        let memory = if self.unexplained > 0 { nanos(BACK_OFF_MEMORY) } else { 0 };
        self.until + memory
    }

    /// The host took what was sent at `sent_at`. If that was before the key was closed, it says nothing of now.
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

    /// Closes a key at once after each reopening, `times` over, and returns the last pause in seconds.
    fn pause_after(closure: &mut Closure, now: &mut u64, times: u32) -> u64 {
        for _ in 0..times {
            *now = closure.until.max(*now);
            closure.close(*now, *now, None);
        }
        (closure.until - *now) / SECOND
    }

    #[test]
    fn back_off_doubles_up_to_a_minute_and_starts_anew_after_a_success() {
        let (mut closure, mut now) = (Closure::default(), SECOND);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(pause_after(&mut closure, &mut now, 1), expected);
        }
        assert_eq!(pause_after(&mut closure, &mut now, 100), 60);
        closure.succeeded(closure.until);
        assert_eq!(pause_after(&mut closure, &mut now, 1), 1);
    }

    #[test]
    fn a_volley_that_is_refused_counts_once() {
        let mut closure = Closure::default();
        for answer in 0..100 {
            closure.close(5, 10 + answer, None);
        }
        assert_eq!((closure.until, closure.unexplained), (10 + SECOND, 1));
        // And what was sent before the key was closed is no sign that it is welcome again.
        closure.succeeded(5);
        assert_eq!(closure.unexplained, 1);
    }

    #[test]
    fn the_longest_of_the_pauses_counts_and_none_is_absurd() {
        let mut closure = Closure::default();
        closure.close(0, 0, Some(Duration::from_secs(7)));
        closure.close(0, 0, Some(Duration::from_secs(3)));
        assert_eq!(closure.until, 7 * SECOND);
        closure.close(0, 0, Some(Duration::MAX));
        assert_eq!(closure.until, nanos(LONGEST_PAUSE));
    }

    #[test]
    fn a_pause_of_no_time_counts_as_none_given() {
        let mut closure = Closure::default();
        closure.close(0, 0, Some(Duration::ZERO));
        assert_eq!(closure.until, SECOND);
    }
}
