//! What a limiter is told: rules, slack and what to do with a request that is over a limit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// The most rules of one limiter.
pub const MAX_RULES: usize = 16;
/// The most requests of a rule.
pub const MAX_REQUESTS: u32 = 1_000_000;
/// The shortest window of a rule.
pub const MIN_WINDOW: Duration = Duration::from_secs(1);
/// The longest window of a rule.
pub const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest factor for requests with pagination.
pub const MAX_PAGINATED_FACTOR: u32 = 1000;
/// The most time that may be added to the windows.
pub const MAX_SLACK: Duration = Duration::from_secs(60);
/// The longest that a request may be held back.
pub const MAX_DELAY: Duration = Duration::from_secs(60 * 60);
/// The most requests that may wait for one key.
pub const MAX_QUEUED: usize = 10_000;

/// A limiter's configuration. The default has no rules and admits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The rules; all of them must agree.
    pub rules: Vec<Rule>,
    /// Added to each rule's window, since requests don't take equally long to reach their host. At most [`MAX_SLACK`].
    pub slack: Duration,
    /// What becomes of a request that is over a limit.
    pub action: Action,
}

/// A limit: at most so many requests of one key in any window of a given length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Tells the rule from others; shown to people.
    pub name: String,
    /// What requests have in common that are counted together.
    pub key: KeyParts,
    /// Requests in a window, 1 to [`MAX_REQUESTS`].
    pub requests: u32,
    /// The window's length, [`MIN_WINDOW`] to [`MAX_WINDOW`].
    pub window: Duration,
    /// Requests that may be sent at once after a pause, 1 to `requests`, and `requests` if not given. With fewer than
    /// `requests`, the rest follows at the rate of `requests / window`.
    pub burst: Option<u32>,
    /// How many times more requests are allowed with pagination, 1 to [`MAX_PAGINATED_FACTOR`].
    ///
    /// The window then holds `requests * paginated_factor` units, of which a request takes one with pagination and
    /// `paginated_factor` without. Mews' wording ("ten times higher for requests that use pagination") leaves open
    /// whether the two are counted apart; counted together, neither reading of it is ever exceeded.
    pub paginated_factor: u32,
}

/// The parts of a request that make a rule's key. At least one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyParts {
    /// The token of the enterprise.
    pub access_token: bool,
    /// The token of the integration.
    pub client_token: bool,
    /// The operation.
    pub operation: bool,
}

impl KeyParts {
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl FromIterator<KeyPart> for KeyParts {
    fn from_iter<I: IntoIterator<Item = KeyPart>>(parts: I) -> Self {
        let mut key = Self::default();
        for part in parts {
            match part {
                KeyPart::AccessToken => key.access_token = true,
                KeyPart::ClientToken => key.client_token = true,
                KeyPart::Operation => key.operation = true,
            }
        }
        key
    }
}

/// One part of a key, as it stands in a configuration: `access_token`, `client_token` or `operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart {
    /// `access_token`
    AccessToken,
    /// `client_token`
    ClientToken,
    /// `operation`
    Operation,
}

impl KeyPart {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::AccessToken, Self::ClientToken, Self::Operation];

    /// As it stands in a configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::ClientToken => "client_token",
            Self::Operation => "operation",
        }
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`KeyPart`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no part of a key; there are access_token, client_token and operation")]
pub struct UnknownKeyPart(String);

impl FromStr for KeyPart {
    type Err = UnknownKeyPart;

    fn from_str(text: &str) -> Result<Self, UnknownKeyPart> {
        Self::ALL.into_iter().find(|part| part.as_str() == text).ok_or_else(|| UnknownKeyPart(text.to_owned()))
    }
}

/// What becomes of a request that is over a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// It is refused.
    #[default]
    Reject,
    /// It waits for its turn, first come first served among the requests of a key. It is refused at once when its turn
    /// would come too late, or too many wait already.
    Delay {
        /// The longest wait, at most [`MAX_DELAY`].
        max_delay: Duration,
        /// How many requests may wait for one key, 1 to [`MAX_QUEUED`].
        max_queued: usize,
    },
    /// It is sent all the same, and only noted. What was sent is counted, whatever the limit says.
    Observe,
}

/// A configuration that makes no sense. It names the rule, the key and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A rule without a name.
    #[error("rule {position}: `name` is empty; give the rule a name")]
    Unnamed {
        /// The rule's place in the list, from 1.
        position: usize,
    },
    /// Two rules of one name.
    #[error("rule `{rule}`: `name` is taken by another rule; give each a name of its own")]
    NameTaken {
        /// The name.
        rule: String,
    },
    /// A rule whose key has no part.
    #[error("rule `{rule}`: `key` is empty; name one or more of access_token, client_token and operation")]
    NoKey {
        /// The rule.
        rule: String,
    },
    /// A number out of its range.
    #[error("rule `{rule}`: `{key}` is {value}; it must be from {min} to {max}")]
    Number {
        /// The rule.
        rule: String,
        /// The configuration's key.
        key: &'static str,
        /// What was given.
        value: u32,
        /// The least that is allowed.
        min: u32,
        /// The most that is allowed.
        max: u32,
    },
    /// More requests at once than in a window.
    #[error("rule `{rule}`: `burst` is {burst}, which is above `requests` ({requests}); make it {requests} or less")]
    BurstAboveRequests {
        /// The rule.
        rule: String,
        /// What was given.
        burst: u32,
        /// The rule's requests.
        requests: u32,
    },
    /// A window out of its range.
    #[error("rule `{rule}`: `window` is {value:?}; it must be from 1s to 24h")]
    Window {
        /// The rule.
        rule: String,
        /// What was given.
        value: Duration,
    },
    /// More rules than [`MAX_RULES`].
    #[error("there are {0} rules; {MAX_RULES} is the most")]
    TooManyRules(usize),
    /// More than [`MAX_SLACK`].
    #[error("`slack` is {0:?}; 60s is the most")]
    Slack(Duration),
    /// A wait of no time, or above [`MAX_DELAY`].
    #[error("`max_delay` is {0:?}; it must be above 0s, and 1h is the most")]
    MaxDelay(Duration),
    /// A queue without places, or above [`MAX_QUEUED`].
    #[error("`max_queued` is {0}; it must be from 1 to {MAX_QUEUED}")]
    MaxQueued(usize),
}

impl Config {
    /// Whether a limiter can work by this.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] there is.
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

    fn said_of(rule: Rule) -> String {
        Config { rules: vec![rule], ..Config::default() }.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_published_limit_is_fine() {
        assert_eq!(Config { rules: vec![rule()], ..Config::default() }.validate(), Ok(()));
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn an_absurd_value_is_named_with_its_rule_and_range() {
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
            assert_eq!(said_of(bad), expected);
        }
    }

    #[test]
    fn two_rules_of_one_name_are_refused() {
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

    #[test]
    fn a_key_part_is_read_by_its_name() {
        for part in KeyPart::ALL {
            assert_eq!(part.to_string().parse(), Ok(part));
        }
        assert_eq!(
            "token".parse::<KeyPart>().unwrap_err().to_string(),
            "`token` is no part of a key; there are access_token, client_token and operation"
        );
        let key: KeyParts = [KeyPart::Operation, KeyPart::AccessToken].into_iter().collect();
        assert_eq!(key, KeyParts { access_token: true, client_token: false, operation: true });
    }
}
