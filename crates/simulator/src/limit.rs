//! The request limit: so many requests of a token in a window, as Mews describes it.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{InvalidOption, duration};

/// A limit, written `200/30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests that one AccessToken may send within [`window`](Self::window).
    pub requests: NonZeroU32,
    /// The window's length.
    pub window: Duration,
}

impl Limit {
    /// The limit that Mews publishes.
    pub const PUBLISHED: Self = {
        let limit = nightaudit_mews::Environment::DEMO.limit;
        let requests = match NonZeroU32::new(limit.requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self { requests, window: Duration::from_secs(limit.window_secs as u64) }
    };
}

impl FromStr for Limit {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let invalid = || InvalidOption::new("a limit", text, "write it like 200/30s");
        let (requests, window) = text.split_once('/').ok_or_else(invalid)?;
        let requests = requests.trim().parse().map_err(|_| invalid())?;
        let window = duration(window).filter(|window| !window.is_zero()).ok_or_else(invalid)?;
        Ok(Self { requests, window })
    }
}

/// Where a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// Every request has a window of its own that ends with it: no window of this length ever has more requests.
    #[default]
    Sliding,
    /// The first request of a burst opens the window, which ends for all of them at once.
    Burst,
}

/// The windows of all tokens. As many as there are tokens, which are known beforehand.
#[derive(Debug)]
pub struct Windows {
    limit: Limit,
    anchor: Anchor,
    windows: HashMap<Box<str>, VecDeque<u64>>,
}

impl Windows {
    /// Windows without a request in them.
    #[must_use]
    pub fn new(limit: Limit, anchor: Anchor) -> Self {
        Self { limit, anchor, windows: HashMap::new() }
    }

    /// Lets a request through at `now`, in nanoseconds of a clock that never goes back, and notes it.
    ///
    /// # Errors
    ///
    /// After how long one is let through, where there is no room. A refused request takes none.
    pub fn admit(&mut self, token: &str, now: u64) -> Result<(), Duration> {
        // A request counts up to the last nanosecond of the window, so that its place is free one after.
        let hold = u64::try_from(self.limit.window.as_nanos()).unwrap_or(u64::MAX >> 1).saturating_add(1);
        let most = self.limit.requests.get() as usize;
        if !self.windows.contains_key(token) {
            self.windows.insert(token.into(), VecDeque::new());
        }
        let Some(window) = self.windows.get_mut(token) else { return Ok(()) };
        match self.anchor {
            Anchor::Sliding => {
                while window.front().is_some_and(|first| first.saturating_add(hold) <= now) {
                    window.pop_front();
                }
            }
            Anchor::Burst => {
                if window.front().is_some_and(|first| first.saturating_add(hold) <= now) {
                    window.clear();
                }
            }
        }
        match window.front() {
            Some(first) if window.len() >= most => {
                Err(Duration::from_nanos(first.saturating_add(hold).saturating_sub(now)))
            }
            _ => {
                window.push_back(now);
                Ok(())
            }
        }
    }
}

/// `Retry-After`: whole seconds, rounded up, at least 1.
pub(crate) fn retry_after(wait: Duration) -> u64 {
    wait.as_nanos().div_ceil(1_000_000_000).max(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_sliding_window_frees_each_place_by_itself() {
        let mut windows = Windows::new("2/30s".parse().unwrap(), Anchor::Sliding);
        assert_eq!(windows.admit("a", 0), Ok(()));
        assert_eq!(windows.admit("a", 10 * SECOND), Ok(()));
        assert_eq!(windows.admit("b", 10 * SECOND), Ok(()));
        assert_eq!(windows.admit("a", 30 * SECOND), Err(Duration::from_nanos(1)));
        assert_eq!(windows.admit("a", 30 * SECOND + 1), Ok(()));
        assert_eq!(windows.admit("a", 30 * SECOND + 1), Err(Duration::from_secs(10)));
    }

    #[test]
    fn an_anchored_window_frees_all_places_at_once() {
        let mut windows = Windows::new("2/30s".parse().unwrap(), Anchor::Burst);
        assert_eq!(windows.admit("a", 0), Ok(()));
        assert_eq!(windows.admit("a", 29 * SECOND), Ok(()));
        assert_eq!(windows.admit("a", 29 * SECOND), Err(Duration::from_nanos(SECOND + 1)));
        for _ in 0..2 {
            assert_eq!(windows.admit("a", 30 * SECOND + 1), Ok(()));
        }
        assert_eq!(windows.admit("a", 30 * SECOND + 1), Err(Duration::from_nanos(30 * SECOND + 1)));
    }

    #[test]
    fn a_pause_is_whole_seconds_and_never_nothing() {
        for (wait, seconds) in [(1, 1), (SECOND, 1), (SECOND + 1, 2), (0, 1)] {
            assert_eq!(retry_after(Duration::from_nanos(wait)), seconds);
        }
    }

    #[test]
    fn a_limit_is_written_as_a_person_would() {
        let limit: Limit = "500/15m".parse().unwrap();
        assert_eq!((limit.requests.get(), limit.window), (500, Duration::from_secs(900)));
        for text in ["", "200", "0/30s", "200/0s", "x/30s", "200/soon", "200/-1s"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
