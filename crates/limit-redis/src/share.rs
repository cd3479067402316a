//! Going on without Redis, with a share of every rule.
//!
//! With `n` nodes each may use an `n`-th of every limit by itself while it can't reach Redis, provided that the others leave
//! that to it. So Redis holds back the shares of all nodes that it hasn't heard of for a while ([`SILENCE`]), or that are back
//! for less than a window; the others ask by what they learned within [`FRESH`]. A node that is cut off waits until the
//! others must have noticed and everything admitted before has left the windows. Only then it begins, with a limiter of its
//! own. From then on the shares and what Redis admits are never more than the limit together, whoever is cut off.

use std::time::Duration;

use nightaudit_limit::{Config, ConfigError, Limiter, Rule};
use parking_lot::Mutex;

use crate::clock;
use crate::plan::{LEASE, micros};

/// A node that hasn't been heard of for so long is out of reach.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// For how long a node goes by what it has learned of the others.
pub(crate) const FRESH: Duration = Duration::from_secs(3);
/// The longest that a node waits for a reply that ends its share.
pub(crate) const REPLY: Duration = Duration::from_secs(5);
/// A node that hasn't been heard of for so long loses its seat, and has stopped an hour before.
pub(crate) const SEAT: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST: Duration = Duration::from_secs(23 * 60 * 60);

/// A node's share, and whether it may be used.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) limiter: Limiter,
    pub(crate) nodes: u32,
    /// From the last contact until the share may be used, in nanoseconds.
    wait: u64,
    contact: Mutex<Option<Contact>>,
}

#[derive(Debug, Clone, Copy)]
struct Contact {
    /// This node's clock: after the latest instant at which Redis can have heard of it.
    at: u64,
    has_seat: bool,
}

impl Share {
    /// The share of one of so many nodes.
    pub(crate) fn new(config: &Config, nodes: u32) -> Result<Self, ConfigError> {
        let share = |rule: &Rule| Rule {
            requests: rule.requests / nodes,
            burst: rule.burst.map(|burst| (burst / nodes).clamp(1, (rule.requests / nodes).max(1))),
            ..rule.clone()
        };
        let longest = config.rules.iter().map(|rule| rule.window + config.slack).max().unwrap_or_default();
        let config = Config { rules: config.rules.iter().map(share).collect(), ..config.clone() };
        let wait = SILENCE + FRESH + LEASE + longest + Duration::from_millis(100);
        let limiter = Limiter::new(config)?;
        Ok(Self { limiter, nodes, wait: nanos(wait), contact: Mutex::default() })
    }

    /// A message to Redis is under way, which may arrive whether or not it is answered.
    pub(crate) fn calling(&self) {
        if let Some(contact) = self.contact.lock().as_mut() {
            contact.at = clock::now();
        }
    }

    /// Redis has answered.
    pub(crate) fn answered(&self, has_seat: bool) {
        *self.contact.lock() = Some(Contact { at: clock::now(), has_seat });
    }

    /// Whether the share may be used now.
    pub(crate) fn is_open(&self) -> bool {
        let Some(Contact { at, has_seat }) = *self.contact.lock() else { return false };
        let since = clock::now().saturating_sub(at);
        has_seat && since >= self.wait && since < nanos(LONGEST)
    }

    /// For how long a node that is back still counts as out of reach, in microseconds, in addition to window and grace.
    pub(crate) fn returning() -> u64 {
        micros(REPLY + LEASE)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use nightaudit_limit::KeyParts;

    use super::*;

    #[test]
    fn shares_together_are_never_more_than_the_limit() {
        let key = KeyParts { access_token: true, ..KeyParts::default() };
        for (requests, nodes) in [(200, 8), (200, 7), (9, 9), (10, 9), (1, 1)] {
            let window = Duration::from_secs(30);
            let rule = Rule { name: "r".into(), key, requests, window, burst: Some(requests), paginated_factor: 1 };
            let share = Share::new(&Config { rules: vec![rule], ..Config::default() }, nodes).unwrap();
            let own = share.limiter.rules()[0].requests;
            assert_eq!(own, requests / nodes);
            assert!(!share.is_open(), "it has never reached Redis");
        }
        let rule = Rule { name: "r".into(), key, requests: 3, window: LEASE, burst: None, paginated_factor: 1 };
        assert!(Share::new(&Config { rules: vec![rule], ..Config::default() }, 4).is_err());
    }
}
