//! Mews' environments: where they are and what they allow.

use std::borrow::Cow;

/// One of Mews' environments, or a stand-in for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The name by which a person chooses it: `demo`.
    pub name: Cow<'static, str>,
    /// The origin of the API, without a trailing slash: `https://api.mews-demo.com`.
    pub api: Cow<'static, str>,
    /// The origin of the WebSocket, another host than the API: `wss://ws.mews-demo.com`.
    pub events: Cow<'static, str>,
    /// The request limit that Mews publishes for it.
    pub limit: PublishedLimit,
}

/// A request limit as Mews publishes it: so many requests per AccessToken in a sliding window.
///
/// Mews may change it without notice; a 429 from Mews always has the last word.
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

    /// Mews' production, where real properties are.
    pub const PRODUCTION: Self = Self {
        name: Cow::Borrowed("production"),
        api: Cow::Borrowed("https://api.mews.com"),
        events: Cow::Borrowed("wss://ws.mews.com"),
        limit: PUBLISHED,
    };

    /// The path of the WebSocket below [`events`](Self::events).
    pub const EVENTS_PATH: &'static str = "/ws/connector";

    /// The environment that Mews calls `name`, exactly.
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
            assert_eq!(Environment::named(&environment.name), Some(environment));
        }
    }
}
