//! Builds the fault rules.

use nightaudit_fault::{FaultRule, MAX_RULES};
use nightaudit_mews::Environment;
use nightaudit_proxy::Origin;

use super::{
    file::File,
    layers::{ConfigError, Layers},
};

/// The fault rules of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSettings {
    /// The rules from the start.
    pub rules: Vec<FaultRule>,
    /// The seed of what they decide.
    pub seed: u64,
    /// Whether rules may be added at all: not for production, unless that is allowed.
    pub allowed: bool,
}

/// Why fault rules are refused.
pub(crate) const REFUSED: &str = "faults are not injected into traffic with production, unless `serve` is started with \
                                  --allow-faults-in-production";

/// The fault rules, for an environment with this name and these hosts.
///
/// # Errors
///
/// [`ConfigError`] if a rule is invalid, or rules are not allowed.
pub(crate) fn config(
    layers: &Layers,
    file: &File,
    name: &str,
    hosts: [&Origin; 2],
) -> Result<FaultSettings, ConfigError> {
    let is_production = name == Environment::PRODUCTION.name
        || hosts.into_iter().any(|host| is_host_of(&Environment::PRODUCTION, host.text()));
    let allowed = !is_production || file.allow_faults_in_production;
    let mut rules = Vec::with_capacity(file.fault.len());
    for (index, keys) in file.fault.iter().enumerate() {
        let key = format!("fault[{index}]");
        if !allowed {
            return Err(layers.wrong(&key, REFUSED));
        }
        rules.push(
            keys.rule
                .parse()
                .map_err(|error: nightaudit_fault::InvalidFaultRule| layers.wrong(&key, error.to_string()))?,
        );
    }
    if rules.len() > MAX_RULES {
        return Err(layers.wrong("fault", format!("has {} rules: at most {MAX_RULES}", rules.len())));
    }
    Ok(FaultSettings { rules, seed: file.fault_seed, allowed })
}

/// Whether this is one of an environment's hosts, whatever scheme and port it is reached by.
fn is_host_of(environment: &Environment, origin: &str) -> bool {
    fn host(url: &str) -> &str {
        let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
        authority.split(':').next().unwrap_or_default().trim_end_matches('.')
    }
    [&environment.api, &environment.events].into_iter().any(|own| host(own).eq_ignore_ascii_case(host(origin)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Settings;

    use super::*;

    fn faults(text: &str) -> Result<FaultSettings, String> {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), text).map_err(|error| error.to_string())?;
        Settings::new(&layers, Some(Path::new("/data")))
            .map(|settings| settings.faults)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_texts_or_tables() {
        let texts = faults("fault = ['reservations/*: 429=2%, 503=1%', 'latency=1s']").unwrap();
        assert_eq!(
            texts.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["reservations/*: 429=2%, 503=1%", "latency=1s"]
        );
        let tables = faults("fault_seed = 7\n[[fault]]\nrule = 'reset=1%'\n[[fault]]\nrule = '503=1%'").unwrap();
        assert_eq!((tables.rules.len(), tables.seed), (2, 7));
        let mut layers = Layers::new();
        let variable = ("NIGHTAUDIT_FAULT".to_owned(), "429=2%, 503=1%; bills/*,rates/*: latency=1s".to_owned());
        layers.environment([variable]).unwrap();
        assert_eq!(layers.read().unwrap().fault.len(), 2);
    }

    #[test]
    fn an_unknown_word_is_named_with_its_place() {
        let error = faults("queue = 5\n[[fault]]\nrule = 'rates/*: lattency=1s'").unwrap_err();
        assert!(
            error.starts_with("na.toml, line 2: `fault[0]`: ") && error.contains("did you mean `latency`?"),
            "{error}"
        );
        let error = faults("fault = ['429=2%', '600=1%']").unwrap_err();
        assert!(error.starts_with("na.toml, line 1: `fault[1]`: ") && error.contains("`600`"), "{error}");
        let error = faults("[[fault]]\nrules = '429=2%'").unwrap_err();
        assert!(error.contains("unknown key `fault[0].rules`: did you mean `fault.rule`"), "{error}");
    }

    #[test]
    fn production_gets_no_faults_unless_that_is_allowed_whatever_it_is_called() {
        for production in [
            "environment = 'production'",
            "upstream = 'https://api.mews.com'",
            "upstream = 'https://API.mews.com:443'",
            "upstream = 'http://api.mews.com'",
            "environment = 'live'\n[environments.live]\napi = 'https://api.mews.com'",
            "environment = 'live'\n[environments.live]\napi = 'http://127.0.0.1:1'\nevents = 'wss://ws.mews.com'",
        ] {
            let with = |key: &str| format!("fault = ['429=2%']\n{key}{production}");
            let error = faults(&with("")).unwrap_err();
            assert!(
                error.contains("`fault[0]`") && error.contains("--allow-faults-in-production"),
                "{production}: {error}"
            );
            assert!(!faults(production).unwrap().allowed, "{production}");
            assert!(faults(&with("allow_faults_in_production = true\n")).unwrap().allowed, "{production}");
        }
        assert!(faults("fault = ['429=2%']").unwrap().allowed);
        assert!(faults("upstream = 'https://api.mews.company'").unwrap().allowed);
    }
}
