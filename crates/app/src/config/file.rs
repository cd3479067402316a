//! The keys of the configuration with their built-in defaults.
//!
//! [`File`] is the single list of keys: the file's keys, the environment variables and the check for unknown keys are all
//! derived from its serialised form.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use nightaudit_units::{InvalidRate, Rate};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    address::{Address, Addresses},
    values::{Maybe, Period, Size},
};

/// The configuration as written in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub environment: String,
    pub upstream: String,
    pub events: String,
    pub upstream_ca: PathBuf,
    pub upstream_proxy: String,
    pub upstream_proxy_except: String,
    pub rewrite_redirects: bool,
    pub resend_tokens: bool,
    pub listen: Addresses,
    pub tls_cert: PathBuf,
    pub tls_key: PathBuf,
    pub console: Address,
    pub console_names: Vec<String>,
    pub insecure_console: bool,
    pub openapi: PathBuf,
    pub data: PathBuf,
    pub session: String,
    pub durability: Durability,
    pub on_store_failure: OnStoreFailure,
    pub on_limit: OnLimit,
    pub queue: usize,
    pub max_backlog: Size,
    pub max_sessions: usize,
    pub max_size: Maybe<Size>,
    pub max_age: Maybe<Period>,
    pub archive: String,
    pub archive_node: String,
    pub log: String,
    pub log_format: LogFormat,
    pub max_head: Size,
    pub max_connections: usize,
    pub max_websockets: usize,
    pub max_upstream_connections: usize,
    pub body: BodyKeys,
    pub timeouts: Timeouts,
    pub redact: RedactKeys,
    pub limit: LimitKeys,
    pub webhooks: WebhookKeys,
    pub fault: Vec<FaultKeys>,
    pub fault_seed: u64,
    pub allow_faults_in_production: bool,
    pub environments: BTreeMap<String, EnvironmentKeys>,
}

/// `[body]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyKeys {
    pub keep: Size,
    pub keep_total: Size,
    pub min_rate: Size,
}

/// `[timeouts]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    pub connect: Period,
    pub request_head: Period,
    pub request_body: Period,
    pub response_head: Period,
    pub response_body: Period,
    pub response_taken: Period,
    pub record: Period,
    pub keep_alive: Period,
    pub upstream_idle: Period,
    pub drain: Period,
}

/// `[redact]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactKeys {
    pub fields: Vec<String>,
    pub export_fields: Vec<String>,
}

/// `[limit]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitKeys {
    pub store: String,
    pub store_ca: PathBuf,
    pub store_timeout: Period,
    pub node: String,
    pub nodes: u32,
    pub on_store_failure: OnLimitStoreFailure,
    pub slack: Period,
    pub max_delay: Period,
    pub max_queued: usize,
    pub rule: Vec<RuleKeys>,
}

/// `[[limit.rule]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleKeys {
    pub name: String,
    pub key: Vec<KeyPart>,
    pub requests: u32,
    pub window: Period,
    pub burst: u32,
    pub paginated_factor: u32,
}

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookKeys {
    pub listen: Maybe<Address>,
    pub forward: String,
}

/// `[[fault]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultKeys {
    pub rule: String,
}

/// A component of the key that a rule counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    AccessToken,
    ClientToken,
    Operation,
}

/// `[environments.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentKeys {
    pub api: String,
    #[serde(default)]
    pub events: String,
}

/// A configuration value that is one of a few words.
pub trait Choice: Copy + Send + Sync + 'static {
    /// Every value, with its word and its meaning.
    const ALL: &[(Self, &str, &str)];
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $(#[doc = $meaning:literal] $variant:ident = $text:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl Choice for $name {
            const ALL: &[(Self, &str, &str)] = &[$((Self::$variant, $text, $meaning)),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

choice! {
    /// What a response waits for before its end is sent.
    Durability {
        /// The exchange has been synced to disk
        Sync = "sync",
        /// The exchange has been written to the file system: survives a crash of the process, not of the machine
        Write = "write",
        /// Nothing; the disk is at most 50 ms behind
        Batch = "batch"
    }
}

choice! {
    /// What to do while the log can't be written.
    OnStoreFailure {
        /// Forward nothing, respond with 503
        Refuse = "refuse",
        /// Forward unrecorded, and report it everywhere
        Forward = "forward"
    }
}

choice! {
    /// What to do while the store of the limits can't be reached.
    OnLimitStoreFailure {
        /// Respond with 503
        Refuse = "refuse",
        /// Go on with this machine's share of every limit, after a window
        Share = "share"
    }
}

choice! {
    /// What to do with a request over a limit.
    OnLimit {
        /// Respond with 429, as Mews would
        Reject = "reject",
        /// Hold it until it is within the limit
        Delay = "delay",
        /// Forward it, and record that it would have been refused
        Observe = "observe"
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// Human-readable
        Text = "text",
        /// One JSON object per line
        Json = "json"
    }
}

impl Default for File {
    fn default() -> Self {
        Self {
            environment: "demo".to_owned(),
            upstream: String::new(),
            events: String::new(),
            upstream_ca: PathBuf::new(),
            upstream_proxy: String::new(),
            upstream_proxy_except: String::new(),
            rewrite_redirects: true,
            resend_tokens: true,
            listen: Addresses(vec![SocketAddr::from(([127, 0, 0, 1], 8080))]),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            console: Address(SocketAddr::from(([127, 0, 0, 1], 8081))),
            console_names: Vec::new(),
            insecure_console: false,
            openapi: PathBuf::new(),
            data: PathBuf::new(),
            session: String::new(),
            durability: Durability::Sync,
            on_store_failure: OnStoreFailure::Refuse,
            on_limit: OnLimit::Reject,
            queue: 4096,
            max_backlog: Size(64 << 20),
            max_sessions: 1000,
            max_size: Maybe::NONE,
            max_age: Maybe::NONE,
            archive: String::new(),
            archive_node: String::new(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            max_head: Size(64 << 10),
            max_connections: 4096,
            max_websockets: 1024,
            max_upstream_connections: 4096,
            body: BodyKeys { keep: Size(8 << 20), keep_total: Size(256 << 20), min_rate: Size(240) },
            timeouts: Timeouts {
                connect: seconds(10),
                request_head: seconds(30),
                request_body: seconds(30),
                response_head: seconds(300),
                response_body: seconds(60),
                response_taken: seconds(60),
                record: seconds(10),
                keep_alive: seconds(75),
                upstream_idle: seconds(50),
                drain: seconds(30),
            },
            redact: RedactKeys { fields: Vec::new(), export_fields: Vec::new() },
            limit: LimitKeys {
                store: String::new(),
                store_ca: PathBuf::new(),
                store_timeout: Period(Duration::from_millis(50)),
                node: String::new(),
                nodes: 0,
                on_store_failure: OnLimitStoreFailure::Refuse,
                slack: Period(Duration::from_millis(250)),
                max_delay: seconds(60),
                max_queued: 1000,
                rule: vec![RuleKeys::published()],
            },
            webhooks: WebhookKeys { listen: Maybe::NONE, forward: String::new() },
            fault: Vec::new(),
            fault_seed: 1,
            allow_faults_in_production: false,
            environments: BTreeMap::new(),
        }
    }
}

impl RuleKeys {
    /// The limit that Mews publishes for both its environments.
    pub fn published() -> Self {
        let limit = nightaudit_mews::Environment::DEMO.limit;
        Self {
            name: "published".to_owned(),
            key: vec![KeyPart::AccessToken],
            requests: limit.requests,
            window: seconds(u64::from(limit.window_secs)),
            burst: limit.requests,
            paginated_factor: 1,
        }
    }

    /// Parses a rule in the short form of `--limit` and `limit.rule`: `200/30s`, counted by access token and named after its
    /// text.
    fn from_text(text: &str) -> Result<Self, InvalidRate> {
        let Rate { requests, window } = text.parse()?;
        Ok(Self {
            name: text.to_owned(),
            key: vec![KeyPart::AccessToken],
            requests,
            window: Period(window),
            burst: requests,
            paginated_factor: 1,
        })
    }
}

impl<'de> Deserialize<'de> for RuleKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;

        impl<'de> de::Visitor<'de> for Rule {
            type Value = RuleKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rule, or a string such as 200/30s")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RuleKeys, E> {
                RuleKeys::from_text(text).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<RuleKeys, A::Error> {
                #[derive(Deserialize)]
                struct Table {
                    name: String,
                    key: Vec<KeyPart>,
                    requests: u32,
                    window: Period,
                    burst: Option<u32>,
                    #[serde(default = "once")]
                    paginated_factor: u32,
                }

                const fn once() -> u32 {
                    1
                }

                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RuleKeys {
                    name: table.name,
                    key: table.key,
                    requests: table.requests,
                    window: table.window,
                    burst: table.burst.unwrap_or(table.requests),
                    paginated_factor: table.paginated_factor,
                })
            }
        }

        deserializer.deserialize_any(Rule)
    }
}

impl<'de> Deserialize<'de> for FaultKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> de::Visitor<'de> for Keys {
            type Value = FaultKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with `rule`, or a string such as 'reservations/*: 429=2%'")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FaultKeys, E> {
                Ok(FaultKeys { rule: text.to_owned() })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FaultKeys, A::Error> {
                #[derive(Deserialize)]
                struct Table {
                    rule: String,
                }

                let Table { rule } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(FaultKeys { rule })
            }
        }

        deserializer.deserialize_any(Keys)
    }
}

const fn seconds(seconds: u64) -> Period {
    Period(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use nightaudit_mews::Environment;

    use super::*;

    #[test]
    fn both_environments_publish_the_default_rule() {
        assert_eq!(Environment::DEMO.limit, Environment::PRODUCTION.limit);
        assert_eq!(File::default().limit.rule, [RuleKeys::from_text("200/30s").map(named_published).unwrap()]);
    }

    fn named_published(rule: RuleKeys) -> RuleKeys {
        RuleKeys { name: "published".to_owned(), ..rule }
    }

    #[test]
    fn a_limit_that_is_no_limit_is_named() {
        for text in ["200", "x/30s", "200/soon", "-1/30s"] {
            assert!(RuleKeys::from_text(text).unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
