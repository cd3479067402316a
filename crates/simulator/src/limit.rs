//! The request limit: a number of requests per token and window, as Mews documents it.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use nightaudit_units::Rate;

use crate::option::InvalidOption;

/// A limit, written `200/30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests allowed per AccessToken within a [`window`](Self::window).
    pub requests: NonZeroU32,
    /// The window's length.
    pub window: Duration,
}

impl Limit {
    /// The published limit.
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
        let Rate { requests, window } = text.parse().map_err(|_| invalid())?;
        let requests = NonZeroU32::new(requests).ok_or_else(invalid)?;
        if window.is_zero() { Err(invalid()) } else { Ok(Self { requests, window }) }
    }
}

/// How windows are anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// A sliding window ends at every request: no window of this length ever contains more requests.
    #[default]
    Sliding,
    /// The first request of a burst starts the window, which ends for all of them at once.
    Burst,
}

/// The windows of all tokens. Bounded by the number of known tokens.
#[derive(Debug)]
pub struct Windows {
    limit: Limit,
    anchor: Anchor,
    windows: HashMap<Box<str>, VecDeque<u64>>,
}

impl Windows {
    /// Empty windows.
    #[must_use]
    pub fn new(limit: Limit, anchor: Anchor) -> Self {
        Self { limit, anchor, windows: HashMap::new() }
    }

    /// Admits a request at `now`, in nanoseconds of a monotonic clock, and counts it.
    ///
    /// # Errors
    ///
    /// The time until a request would be admitted, if the window is full. Rejected requests don't count.
    pub fn admit(&mut self, token: &str, now: u64) -> Result<(), Duration> {
        // A request counts up to the window's last nanosecond, and no longer one after it.
        let hold = u64::try_from(self.limit.window.as_nanos()).unwrap_or(u64::MAX >> 1).saturating_add(1);
        let max = self.limit.requests.get() as usize;
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
            Some(first) if window.len() >= max => {
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
    fn a_sliding_window_releases_requests_one_by_one() {
        let mut windows = Windows::new("2/30s".parse().unwrap(), Anchor::Sliding);
        assert_eq!(windows.admit("a", 0), Ok(()));
        assert_eq!(windows.admit("a", 10 * SECOND), Ok(()));
        assert_eq!(windows.admit("b", 10 * SECOND), Ok(()));
        assert_eq!(windows.admit("a", 30 * SECOND), Err(Duration::from_nanos(1)));
        assert_eq!(windows.admit("a", 30 * SECOND + 1), Ok(()));
        assert_eq!(windows.admit("a", 30 * SECOND + 1), Err(Duration::from_secs(10)));
    }

    #[test]
    fn an_anchored_window_releases_all_requests_at_once() {
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
    fn retry_after_is_whole_seconds_and_never_zero() {
        for (wait, seconds) in [(1, 1), (SECOND, 1), (SECOND + 1, 2), (0, 1)] {
            assert_eq!(retry_after(Duration::from_nanos(wait)), seconds);
        }
    }

    #[test]
    fn limits_are_parsed() {
        let limit: Limit = "500/15m".parse().unwrap();
        assert_eq!((limit.requests.get(), limit.window), (500, Duration::from_secs(900)));
        for text in ["", "200", "0/30s", "200/0s", "x/30s", "200/soon", "200/-1s"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
