//! Builds the limiter's configuration.

use nightaudit_limit::{Action, Config, ConfigError as LimitError, KeyParts, Rule};

use super::{
    file::{File, KeyPart, OnLimit, RuleKeys},
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
