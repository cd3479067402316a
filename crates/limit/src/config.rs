//! Limiter configuration: rules, slack, and the action for requests over a limit.

use std::time::Duration;

use thiserror::Error;

/// Maximum number of rules.
pub const MAX_RULES: usize = 16;
/// Maximum requests per window.
pub const MAX_REQUESTS: u32 = 1_000_000;
/// Shortest window.
pub const MIN_WINDOW: Duration = Duration::from_secs(1);
/// Longest window.
pub const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum factor for paginated requests.
pub const MAX_PAGINATED_FACTOR: u32 = 1000;
/// Maximum slack.
pub const MAX_SLACK: Duration = Duration::from_secs(60);
/// Maximum delay of a request.
pub const MAX_DELAY: Duration = Duration::from_secs(60 * 60);
/// Maximum queue length per key.
pub const MAX_QUEUED: usize = 10_000;

/// Limiter configuration. The default has no rules and admits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The rules; all of them must agree.
    pub rules: Vec<Rule>,
    /// Added to every window, since requests take varying time to reach their host. At most [`MAX_SLACK`].
    pub slack: Duration,
    /// What happens to a request over a limit.
    pub action: Action,
}

/// A limit: at most so many requests per key in any window of the given length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique name, for display.
    pub name: String,
    /// Requests that share these key parts are counted together.
    pub key: KeyParts,
    /// Requests per window, 1 to [`MAX_REQUESTS`].
    pub requests: u32,
    /// The window's length, [`MIN_WINDOW`] to [`MAX_WINDOW`].
    pub window: Duration,
    /// Requests that may be sent at once after an idle period, 1 to `requests` (the default). If lower than `requests`,
    /// the rest follow at the rate `requests / window`.
    pub burst: Option<u32>,
    /// How many times more requests are allowed with pagination, 1 to [`MAX_PAGINATED_FACTOR`].
    ///
    /// The window then holds `requests * paginated_factor` units; a paginated request takes one, any other
    /// `paginated_factor`. Mews' wording ("ten times higher for requests that use pagination") does not say whether the
    /// two are counted separately; counted together, neither reading is ever exceeded.
    pub paginated_factor: u32,
}

/// The parts of a request that form a rule's key. At least one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyParts {
    /// The `AccessToken`, which identifies the enterprise.
    pub access_token: bool,
    /// The `ClientToken`, which identifies the integration.
    pub client_token: bool,
    /// The operation.
    pub operation: bool,
}

impl KeyParts {
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What happens to a request over a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// Refuse it.
    #[default]
    Reject,
    /// Queue it, first come first served per key. It is refused at once if its turn would come too late, or the queue
    /// is full.
    Delay {
        /// Longest delay, at most [`MAX_DELAY`].
        max_delay: Duration,
        /// Queue length per key, 1 to [`MAX_QUEUED`].
        max_queued: usize,
    },
    /// Send it anyway and only record the violation. Everything sent counts, whatever the limit.
    Observe,
}

/// An invalid configuration. The message names the rule, the key and the accepted range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A rule without a name.
    #[error("rule {position}: `name` is empty; give the rule a name")]
    Unnamed {
        /// The rule's position in the list, from 1.
        position: usize,
    },
    /// Two rules with the same name.
    #[error("rule `{rule}`: another rule has the same `name`; give each rule a unique name")]
    NameTaken {
        /// The name.
        rule: String,
    },
    /// A rule without key parts.
    #[error("rule `{rule}`: `key` is empty; name one or more of access_token, client_token and operation")]
    NoKey {
        /// The rule.
        rule: String,
    },
    /// A number out of range.
    #[error("rule `{rule}`: `{key}` is {value}; it must be from {min} to {max}")]
    Number {
        /// The rule.
        rule: String,
        /// The configuration key.
        key: &'static str,
        /// The given value.
        value: u32,
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// A burst larger than the window.
    #[error("rule `{rule}`: `burst` is {burst}, which is above `requests` ({requests}); make it {requests} or less")]
    BurstAboveRequests {
        /// The rule.
        rule: String,
        /// The given value.
        burst: u32,
        /// The rule's requests.
        requests: u32,
    },
    /// A window out of range.
    #[error("rule `{rule}`: `window` is {value:?}; it must be from 1s to 24h")]
    Window {
        /// The rule.
        rule: String,
        /// The given value.
        value: Duration,
    },
    /// More rules than [`MAX_RULES`].
    #[error("there are {0} rules; at most {MAX_RULES} are allowed")]
    TooManyRules(usize),
    /// More than [`MAX_SLACK`].
    #[error("`slack` is {0:?}; it must be at most 60s")]
    Slack(Duration),
    /// A zero delay, or one above [`MAX_DELAY`].
    #[error("`max_delay` is {0:?}; it must be above 0s and at most 1h")]
    MaxDelay(Duration),
    /// A queue length of zero, or above [`MAX_QUEUED`].
    #[error("`max_queued` is {0}; it must be from 1 to {MAX_QUEUED}")]
    MaxQueued(usize),
}

impl Config {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.rules.len() > MAX_RULES {
            return Err(ConfigError::TooManyRules(self.rules.len()));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.name.trim().is_empty() {
                return Err(ConfigError::Unnamed { position: index + 1 });
            }
            if self.rules.iter().take(index).any(|other| other.name == rule.name) {
                return Err(ConfigError::NameTaken { rule: rule.name.clone() });
            }
            rule.validate()?;
        }
        if self.slack > MAX_SLACK {
            return Err(ConfigError::Slack(self.slack));
        }
        match self.action {
            Action::Delay { max_delay, .. } if max_delay.is_zero() || max_delay > MAX_DELAY => {
                Err(ConfigError::MaxDelay(max_delay))
            }
            Action::Delay { max_queued, .. } if !(1..=MAX_QUEUED).contains(&max_queued) => {
                Err(ConfigError::MaxQueued(max_queued))
            }
            _ => Ok(()),
        }
    }
}

impl Rule {
    fn validate(&self) -> Result<(), ConfigError> {
        let rule = || self.name.clone();
        let number = |key, value, max| match value {
            _ if (1..=max).contains(&value) => Ok(()),
            _ => Err(ConfigError::Number { rule: rule(), key, value, min: 1, max }),
        };
        if self.key.is_empty() {
            return Err(ConfigError::NoKey { rule: rule() });
        }
        number("requests", self.requests, MAX_REQUESTS)?;
        number("paginated_factor", self.paginated_factor, MAX_PAGINATED_FACTOR)?;
        match self.burst {
            Some(burst) if burst > self.requests => {
                return Err(ConfigError::BurstAboveRequests { rule: rule(), burst, requests: self.requests });
            }
            Some(burst) => number("burst", burst, self.requests)?,
            None => {}
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            return Err(ConfigError::Window { rule: rule(), value: self.window });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule {
            name: "published".to_owned(),
            key: KeyParts { access_token: true, ..KeyParts::default() },
            requests: 200,
            window: Duration::from_secs(30),
            burst: None,
            paginated_factor: 1,
        }
    }

    fn message_for(rule: Rule) -> String {
        Config { rules: vec![rule], ..Config::default() }.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_published_limit_is_valid() {
        assert_eq!(Config { rules: vec![rule()], ..Config::default() }.validate(), Ok(()));
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn an_out_of_range_value_is_reported_with_its_rule_and_range() {
        for (bad, expected) in [
            (Rule { requests: 0, ..rule() }, "rule `published`: `requests` is 0; it must be from 1 to 1000000"),
            (
                Rule { requests: 1_000_001, ..rule() },
                "rule `published`: `requests` is 1000001; it must be from 1 to 1000000",
            ),
            (
                Rule { paginated_factor: 0, ..rule() },
                "rule `published`: `paginated_factor` is 0; it must be from 1 to 1000",
            ),
            (
                Rule { paginated_factor: 1001, ..rule() },
                "rule `published`: `paginated_factor` is 1001; it must be from 1 to 1000",
            ),
            (Rule { burst: Some(0), ..rule() }, "rule `published`: `burst` is 0; it must be from 1 to 200"),
            (
                Rule { burst: Some(201), ..rule() },
                "rule `published`: `burst` is 201, which is above `requests` (200); make it 200 or less",
            ),
            (
                Rule { window: Duration::from_millis(999), ..rule() },
                "rule `published`: `window` is 999ms; it must be from 1s to 24h",
            ),
            (
                Rule { window: Duration::from_secs(86_401), ..rule() },
                "rule `published`: `window` is 86401s; it must be from 1s to 24h",
            ),
            (
                Rule { key: KeyParts::default(), ..rule() },
                "rule `published`: `key` is empty; name one or more of access_token, client_token and operation",
            ),
            (Rule { name: " ".to_owned(), ..rule() }, "rule 1: `name` is empty; give the rule a name"),
        ] {
            assert_eq!(message_for(bad), expected);
        }
    }

    #[test]
    fn duplicate_rule_names_are_rejected() {
        let config = Config { rules: vec![rule(), rule()], ..Config::default() };
        assert_eq!(config.validate(), Err(ConfigError::NameTaken { rule: "published".to_owned() }));
    }

    #[test]
    fn slack_and_delay_have_bounds() {
        let slack = Config { slack: Duration::from_secs(61), ..Config::default() };
        assert_eq!(slack.validate(), Err(ConfigError::Slack(Duration::from_secs(61))));
        for (max_delay, max_queued, good) in
            [(0, 1, false), (3601, 1, false), (1, 0, false), (1, 10_001, false), (1, 1, true)]
        {
            let action = Action::Delay { max_delay: Duration::from_secs(max_delay), max_queued };
            assert_eq!(Config { action, ..Config::default() }.validate().is_ok(), good, "{action:?}");
        }
        let rules = (0..17).map(|n| Rule { name: n.to_string(), ..rule() }).collect();
        assert_eq!(Config { rules, ..Config::default() }.validate(), Err(ConfigError::TooManyRules(17)));
    }
}
