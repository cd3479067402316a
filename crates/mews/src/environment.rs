//! Mews' environments: their hosts and limits.

use std::borrow::Cow;

/// One of Mews' environments, or a stand-in for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The name in configuration: `demo`.
    pub name: Cow<'static, str>,
    /// The origin of the API, without a trailing slash: `https://api.mews-demo.com`.
    pub api: Cow<'static, str>,
    /// The origin of the WebSocket, another host than the API: `wss://ws.mews-demo.com`.
    pub events: Cow<'static, str>,
    /// The request limit that Mews publishes for it.
    pub limit: PublishedLimit,
}

/// A published request limit: requests per AccessToken in a sliding window.
///
/// Mews may change it without notice; a 429 from Mews always takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedLimit {
    /// Requests that one AccessToken may send within [`window_secs`](Self::window_secs).
    pub requests: u32,
    /// Length of the sliding window, in seconds.
    pub window_secs: u32,
}

/// The limit of both environments: 200 requests per AccessToken within 30 seconds.
const PUBLISHED: PublishedLimit = PublishedLimit { requests: 200, window_secs: 30 };

impl Environment {
    /// Mews Demo, where integrations are developed and certified.
    pub const DEMO: Self = Self {
        name: Cow::Borrowed("demo"),
        api: Cow::Borrowed("https://api.mews-demo.com"),
        events: Cow::Borrowed("wss://ws.mews-demo.com"),
        limit: PUBLISHED,
    };

    /// Mews' production, with real properties.
    pub const PRODUCTION: Self = Self {
        name: Cow::Borrowed("production"),
        api: Cow::Borrowed("https://api.mews.com"),
        events: Cow::Borrowed("wss://ws.mews.com"),
        limit: PUBLISHED,
    };

    /// The path of the WebSocket below [`events`](Self::events).
    pub const EVENTS_PATH: &'static str = "/ws/connector";

    /// The name of an environment that is not Mews: a mock, the simulator, a replay.
    pub const STAND_IN: &'static str = "stand-in";

    /// The environment of an API or events origin; `None` if it isn't Mews' or isn't TLS.
    ///
    /// ```
    /// use nightaudit_mews::Environment;
    ///
    /// assert_eq!(Environment::at("https://API.mews-demo.com:443"), Some(Environment::DEMO));
    /// assert_eq!(Environment::at("wss://ws.mews.com"), Some(Environment::PRODUCTION));
    /// assert_eq!(Environment::at("http://api.mews.com"), None);
    /// ```
    pub fn at(address: &str) -> Option<Self> {
        let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("wss://"))?;
        let host = rest.strip_suffix(":443").unwrap_or(rest);
        let is = |own: &str| own.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host));
        [Self::DEMO, Self::PRODUCTION].into_iter().find(|known| is(&known.api) || is(&known.events))
    }

    /// The environment named exactly `name`.
    ///
    /// ```
    /// use nightaudit_mews::Environment;
    ///
    /// assert_eq!(Environment::named("production"), Some(Environment::PRODUCTION));
    /// assert_eq!(Environment::named("staging"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        [Self::DEMO, Self::PRODUCTION].into_iter().find(|environment| environment.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_end_at_the_host() {
        for environment in [Environment::DEMO, Environment::PRODUCTION] {
            let host = environment.api.strip_prefix("https://").unwrap();
            assert!(host.ends_with(".com") && !host.contains('/'), "{host}");
            let host = environment.events.strip_prefix("wss://").unwrap();
            assert!(host.ends_with(".com") && !host.contains('/'), "{host}");
            for address in [&environment.api, &environment.events] {
                assert_eq!(Environment::at(address), Some(environment.clone()));
                assert_eq!(Environment::at(&format!("{address}.example")), None);
                assert_eq!(Environment::at(&format!("{address}:8443")), None);
            }
            assert_eq!(Environment::named(&environment.name), Some(environment));
        }
    }
}
