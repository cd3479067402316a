//! Builds the limiter's configuration.

use std::{path::PathBuf, time::Duration};

use nightaudit_limit::{Action, Config, ConfigError as LimitError, KeyParts, Rule};
use nightaudit_limit_redis::{Address, InvalidAddress, OnFailure};

use super::{
    file::{File, KeyPart, OnLimit, OnLimitStoreFailure, RuleKeys},
    layers::{ConfigError, Layers},
};

/// The limiter's configuration.
///
/// # Errors
///
/// [`ConfigError`] if the limiter rejects it.
pub(crate) fn config(layers: &Layers, file: &File) -> Result<Config, ConfigError> {
    let config = Config {
        rules: file.limit.rule.iter().map(rule).collect(),
        slack: file.limit.slack.0,
        action: match file.on_limit {
            OnLimit::Reject => Action::Reject,
            OnLimit::Observe => Action::Observe,
            OnLimit::Delay => Action::Delay { max_delay: file.limit.max_delay.0, max_queued: file.limit.max_queued },
        },
    };
    let key = |error: &LimitError| match error {
        LimitError::Slack(_) => "limit.slack",
        LimitError::MaxDelay(_) => "limit.max_delay",
        LimitError::MaxQueued(_) => "limit.max_queued",
        _ => "limit.rule",
    };
    config.validate().map_err(|error| layers.wrong(key(&error), error.to_string()))?;
    Ok(config)
}

/// Where the limits are counted for several machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStore {
    /// Redis.
    pub address: Address,
    /// A PEM file of authorities to trust in addition to the system's.
    pub ca: Option<PathBuf>,
    /// How long a request may wait for it.
    pub timeout: Duration,
    /// This node's name.
    pub node: String,
    /// What happens while Redis can't be reached.
    pub on_failure: OnFailure,
}

/// The longest that a request may wait for the limits.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_NAME: usize = 100;

/// Where the limits are counted; `None` if in this process.
///
/// # Errors
///
/// [`ConfigError`] if the address is invalid, or another key only makes sense with one. No message has the password.
pub(crate) fn store(layers: &Layers, file: &File) -> Result<Option<LimitStore>, ConfigError> {
    let keys = &file.limit;
    let needless = [
        ("limit.store_ca", !keys.store_ca.as_os_str().is_empty()),
        ("limit.node", !keys.node.is_empty()),
        ("limit.nodes", keys.nodes != 0),
        ("limit.on_store_failure", keys.on_store_failure != OnLimitStoreFailure::Refuse),
    ];
    if keys.store.is_empty() {
        return match needless.iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(layers.wrong(key, "has no effect without `limit.store`: set that, too")),
            None => Ok(None),
        };
    }
    let address: Address =
        keys.store.parse().map_err(|error: InvalidAddress| layers.wrong("limit.store", error.to_string()))?;
    if !keys.store_ca.as_os_str().is_empty() && !keys.store.starts_with("rediss://") {
        return Err(layers.wrong("limit.store_ca", "has no effect without TLS: let `limit.store` begin with rediss://"));
    }
    let timeout = keys.store_timeout.0;
    if timeout.is_zero() || timeout > LONGEST_WAIT {
        let message = format!("{} is not above 0s and at most 10s", keys.store_timeout);
        return Err(layers.wrong("limit.store_timeout", message));
    }
    let node = if keys.node.is_empty() { host_name() } else { keys.node.clone() };
    if node.trim().is_empty() || node.len() > LONGEST_NAME || node.chars().any(char::is_control) {
        let message = format!("must be a name of 1 to {LONGEST_NAME} bytes without control characters");
        return Err(layers.wrong("limit.node", message));
    }
    let ca = (!keys.store_ca.as_os_str().is_empty()).then(|| keys.store_ca.clone());
    Ok(Some(LimitStore { address, ca, timeout, node, on_failure: on_failure(layers, file)? }))
}

fn on_failure(layers: &Layers, file: &File) -> Result<OnFailure, ConfigError> {
    let keys = &file.limit;
    let nodes = keys.nodes;
    match keys.on_store_failure {
        OnLimitStoreFailure::Refuse if nodes != 0 => {
            Err(layers
                .wrong("limit.nodes", "has no effect without `limit.on_store_failure = \"share\"`: set that, too"))
        }
        OnLimitStoreFailure::Refuse => Ok(OnFailure::Refuse),
        OnLimitStoreFailure::Share if nodes == 0 => {
            Err(layers
                .wrong("limit.on_store_failure", "\"share\" also needs the number of machines: set `limit.nodes`"))
        }
        // Two machines of one name would use one share twice; host names in containers are often alike, or change.
        OnLimitStoreFailure::Share if keys.node.is_empty() => {
            Err(layers.wrong("limit.on_store_failure", "\"share\" also needs this machine's name: set `limit.node`"))
        }
        OnLimitStoreFailure::Share => match keys.rule.iter().find(|rule| rule.requests < nodes) {
            Some(rule) => {
                let message =
                    format!("{nodes} machines can't share the {} requests of rule `{}`", rule.requests, rule.name);
                Err(layers.wrong("limit.nodes", message))
            }
            None => Ok(OnFailure::Share { nodes }),
        },
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn rule(keys: &RuleKeys) -> Rule {
    let mut key = KeyParts::default();
    for part in &keys.key {
        match part {
            KeyPart::AccessToken => key.access_token = true,
            KeyPart::ClientToken => key.client_token = true,
            KeyPart::Operation => key.operation = true,
        }
    }
    Rule {
        name: keys.name.clone(),
        key,
        requests: keys.requests,
        window: keys.window.0,
        burst: Some(keys.burst),
        paginated_factor: keys.paginated_factor,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), text).map_err(|error| error.to_string())?;
        config(&layers, &layers.read().map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_of_the_file_take_the_place_of_the_default() {
        assert_eq!(read("").unwrap().rules.len(), 1);
        let rules =
            read("[limit]\nrule = ['5/1s', { name = 'all', key = ['client_token'], requests = 9, window = '2s' }]");
        let rules = rules.unwrap().rules;
        assert_eq!(
            rules.iter().map(|rule| (rule.name.as_str(), rule.requests)).collect::<Vec<_>>(),
            [("5/1s", 5), ("all", 9)]
        );
        assert!(rules[1].key.client_token && !rules[1].key.access_token);
    }

    fn read_store(text: &str) -> Result<Option<LimitStore>, String> {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), &format!("[limit]\n{text}")).map_err(|error| error.to_string())?;
        let file = layers.read().map_err(|error| error.to_string())?;
        store(&layers, &file).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_of_several_machines_need_an_address_only() {
        assert_eq!(read_store(""), Ok(None));
        let store = read_store("store = 'redis://:secret@cache'").unwrap().unwrap();
        assert_eq!((store.timeout, store.ca), (Duration::from_millis(50), None));
        assert!(!store.node.is_empty());
        assert!(!format!("{:?}", store.address).contains("secret"));
        let store = read_store("store = 'rediss://cache'\nnode = 'a'\nstore_ca = 'ca.pem'\nstore_timeout = '1s'");
        let store = store.unwrap().unwrap();
        assert_eq!((store.node.as_str(), store.ca), ("a", Some("ca.pem".into())));
        assert_eq!(store.on_failure, OnFailure::Refuse);
        let store = read_store("store = 'redis://a'\nnode = 'a'\nnodes = 8\non_store_failure = 'share'");
        assert_eq!(store.unwrap().unwrap().on_failure, OnFailure::Share { nodes: 8 });
    }

    #[test]
    fn a_bad_store_is_named_with_its_key_and_without_its_password() {
        for (text, expected) in [
            ("store = 'cache:6379'", "line 2: `limit.store`: must begin with redis://"),
            ("store = 'redis://:secret@ho st'", "`limit.store`: `ho st` is not a host"),
            ("store = 'redis://:secret@a,b'", "`limit.store`: has several hosts"),
            ("store = 'redis://a'\nstore_timeout = '0s'", "line 3: `limit.store_timeout`: 0s is not above 0s"),
            ("store = 'redis://a'\nstore_timeout = '11s'", "`limit.store_timeout`: 11s is not above"),
            ("store = 'redis://a'\nstore_ca = 'x.pem'", "`limit.store_ca`: has no effect without TLS"),
            ("store = 'redis://a'\nnode = ' '", "`limit.node`: must be a name"),
            ("store = 'redis://a'\nnodes = 2", "line 3: `limit.nodes`: has no effect without `limit.on_store_failure"),
            (
                "store = 'redis://a'\non_store_failure = 'share'",
                "`limit.on_store_failure`: \"share\" also needs the number",
            ),
            ("store = 'redis://a'\nnodes = 2\non_store_failure = 'share'", "also needs this machine's name"),
            (
                "store = 'redis://a'\nnode = 'a'\nnodes = 201\non_store_failure = 'share'",
                "`limit.nodes`: 201 machines can't share the 200 requests of rule `published`",
            ),
            ("store = 'redis://a'\non_store_failure = 'forward'", "`limit.on_store_failure`: unknown variant"),
            ("nodes = 2", "`limit.nodes`: has no effect without `limit.store`"),
            ("on_store_failure = 'share'", "`limit.on_store_failure`: has no effect without `limit.store`"),
            ("node = 'a'", "line 2: `limit.node`: has no effect without `limit.store`"),
            ("store_ca = 'a'", "`limit.store_ca`: has no effect without `limit.store`"),
        ] {
            let error = read_store(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_limiter_refuses_is_named_with_rule_and_key() {
        for (text, expected) in [
            ("[limit]\nrule = ['0/30s']", "line 2: `limit.rule`: rule `0/30s`: `requests` is 0"),
            ("[limit]\nrule = ['1/30s', '1/30s']", "another rule has the same `name`"),
            ("[limit]\nrule = ['1/100ms']", "`window` is 100ms"),
            ("on_limit = 'delay'\n[limit]\nmax_delay = '0s'", "line 3: `limit.max_delay`"),
            ("[limit]\nslack = '1h'", "line 2: `limit.slack`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
