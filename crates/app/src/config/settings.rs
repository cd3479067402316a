//! The second stage: validated values, in the types of the crates that use them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nightaudit_log::{SessionError, is_session_name};
use nightaudit_mews::Environment;
use nightaudit_proxy::{Origin, UpstreamConfig, UpstreamProxy};

use super::{
    archive::{self, ArchiveSettings},
    faults::{self, FaultSettings},
    file::{Durability, File, LogFormat, OnStoreFailure},
    layers::{ConfigError, Layers},
    limits::{self, LimitStore},
    values::{Maybe, Period, Size},
    webhooks::{self, WebhookSettings},
};

/// The settings that commands run with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// The proxy's addresses; never empty.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key for TLS on the proxy's port, and on a console that other machines can reach.
    pub tls: Option<TlsFiles>,
    /// Bounds of the proxy's port. TLS is added from [`tls`](Self::tls).
    pub server: nightaudit_listen::ListenConfig,
    /// The console's port.
    pub console: Console,
    /// The proxy.
    pub proxy: nightaudit_proxy::ProxyConfig,
    /// Whether requests that are sent again get the tokens that this run has seen; never for production.
    pub resend_tokens: bool,
    /// All environments that requests can be sent again to, the one that is forwarded to among them.
    pub environments: Vec<OtherEnvironment>,
    /// How to reach Mews.
    pub upstream: UpstreamConfig,
    /// The request limits.
    pub limit: nightaudit_limit::Config,
    /// Where the limits are counted for several machines; `None` if this one has them for itself.
    pub limit_store: Option<LimitStore>,
    /// Webhooks on their way to the integration; `None` if none are received.
    pub webhooks: Option<WebhookSettings>,
    /// The faults to inject.
    pub faults: FaultSettings,
    /// An OpenAPI document to check requests against, in addition to the built-in contracts.
    pub openapi: Option<PathBuf>,
    /// The log.
    pub store: nightaudit_store::StoreConfig,
    /// Where what is recorded is shipped to; `None` for nowhere.
    pub archive: Option<ArchiveSettings>,
    /// The archive that commands read instead of the data folder.
    pub read_from: Option<nightaudit_archive::Address>,
    /// The JSON properties whose values are masked in exports.
    pub export_mask: Vec<String>,
    /// Logging.
    pub log: Logging,
}

/// An environment by its name.
#[derive(Debug, Clone)]
pub struct OtherEnvironment {
    /// The name.
    pub name: String,
    /// Host of the API.
    pub api: Origin,
    /// Host of the WebSocket.
    pub events: Origin,
}

/// A certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, a PEM file.
    pub certificate: PathBuf,
    /// The private key, a PEM file.
    pub key: PathBuf,
}

/// The console's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// The address to listen on.
    pub address: SocketAddr,
    /// `Host` names to accept besides loopback's and the address itself.
    pub names: Vec<String>,
    /// Whether to serve TLS: if other machines can reach it, unless clear text is allowed.
    pub tls: bool,
}

/// Logging to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// A level such as `info`, or `tracing` directives.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Settings {
    /// Validates the layers; `default_data` is the data folder if none is set.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first key whose value is invalid or conflicts with another one.
    pub fn new(layers: &Layers, default_data: Option<&Path>) -> Result<Self, ConfigError> {
        let file = layers.read()?;
        let environment = Hosts::new(layers, &file)?;
        let tls = tls_files(layers, &file)?;
        let console = console(layers, &file, tls.is_some())?;
        let data = match (path(&file.data), default_data) {
            (Some(named), _) => named,
            (None, Some(default)) => default.to_owned(),
            (None, None) => return Err(layers.wrong("data", "this system has no default data folder: set one")),
        };
        let timeouts = &file.timeouts;
        let within = |key: &str, period: Period| timeout(layers, &format!("timeouts.{key}"), period);
        let positive = |key: &str, period: Period| {
            let zero = || layers.wrong(&format!("timeouts.{key}"), "must be greater than zero");
            if period.0.is_zero() { Err(zero()) } else { within(key, period) }
        };
        let mut proxy = nightaudit_proxy::ProxyConfig::new(
            &environment.name,
            &nightaudit_mews::API,
            environment.api,
            environment.events,
        );
        (proxy.keep_body, proxy.keep_total) = kept(layers, &file)?;
        proxy.min_body_rate = bytes(layers, "body.min_rate", file.body.min_rate, 0..=1 << 30)? as u64;
        proxy.rewrite_redirects = file.rewrite_redirects;
        proxy.max_tunnels = count(layers, "max_websockets", file.max_websockets)?;
        proxy.max_upstream_connections = count(layers, "max_upstream_connections", file.max_upstream_connections)?;
        proxy.queue = count(layers, "queue", file.queue)?;
        proxy.timeouts = nightaudit_proxy::Timeouts {
            connect: positive("connect", timeouts.connect)?,
            request_body: positive("request_body", timeouts.request_body)?,
            response_head: positive("response_head", timeouts.response_head)?,
            response_body: positive("response_body", timeouts.response_body)?,
            record: positive("record", timeouts.record)?,
            upstream_idle: within("upstream_idle", timeouts.upstream_idle)?,
        };
        let faults = faults::config(layers, &file, &environment.name, [&proxy.api, &proxy.events])?;
        Ok(Self {
            faults,
            webhooks: webhooks::config(layers, &file)?,
            server: nightaudit_listen::ListenConfig {
                tls: None,
                max_head: bytes(layers, "max_head", file.max_head, 1 << 10..=1 << 20)?,
                max_connections: count(layers, "max_connections", file.max_connections)?,
                head_timeout: positive("request_head", timeouts.request_head)?,
                idle_timeout: positive("keep_alive", timeouts.keep_alive)?,
                response_taken: positive("response_taken", timeouts.response_taken)?,
                drain: within("drain", timeouts.drain)?,
            },
            store: store(layers, &file, &data, environment.name)?,
            archive: archive::config(layers, &file)?,
            read_from: None,
            limit: limits::config(layers, &file)?,
            limit_store: limits::store(layers, &file)?,
            resend_tokens: file.resend_tokens,
            environments: environments(layers, &file)?,
            upstream: UpstreamConfig { ca: path(&file.upstream_ca), proxy: upstream_proxy(layers, &file)? },
            openapi: path(&file.openapi),
            export_mask: field_names(layers, "redact.export_fields", &file.redact.export_fields)?,
            log: Logging { level: file.log, format: file.log_format },
            listen: file.listen.0.clone(),
            tls,
            console,
            proxy,
            data,
        })
    }
}

/// The environment's name and hosts.
struct Hosts {
    name: Arc<str>,
    api: Origin,
    events: Origin,
}

impl Hosts {
    fn new(layers: &Layers, file: &File) -> Result<Self, ConfigError> {
        let origin = |key: &str, text: &str| -> Result<Origin, ConfigError> {
            text.parse().map_err(|error: nightaudit_proxy::InvalidOrigin| layers.wrong(key, error.to_string()))
        };
        for name in file.environments.keys() {
            if Environment::named(name).is_some() || name == Environment::STAND_IN {
                return Err(
                    layers.wrong(&format!("environments.{name}"), "is a built-in environment: choose another name")
                );
            }
        }
        let (api, events) = if let Some(mews) = Environment::named(&file.environment) {
            (origin("environment", &mews.api)?, origin("environment", &mews.events)?)
        } else if let Some(own) = file.environments.get(&file.environment) {
            let key = format!("environments.{}", file.environment);
            let api = origin(&format!("{key}.api"), &own.api)?;
            let events =
                if own.events.is_empty() { api.clone() } else { origin(&format!("{key}.events"), &own.events)? };
            (api, events)
        } else {
            let own: String = file.environments.keys().map(|name| format!(", {name}")).collect();
            let message = format!("`{}` is not an environment: use demo, production{own}", file.environment);
            return Err(layers.wrong("environment", message));
        };
        // Another upstream also serves the WebSocket: tokens meant for it must not reach Mews.
        let (name, api, events) = match file.upstream.as_str() {
            "" => (file.environment.as_str().into(), api, events),
            upstream => {
                let api = origin("upstream", upstream)?;
                // Exchanges are named after where they were sent, not after what the other upstream simulates.
                match Environment::at(api.text()) {
                    Some(mews) => ((&*mews.name).into(), api, origin("environment", &mews.events)?),
                    None => (Environment::STAND_IN.into(), api.clone(), api),
                }
            }
        };
        let events = if file.events.is_empty() { events } else { origin("events", &file.events)? };
        Ok(Self { name, api, events })
    }
}

/// Mews' environments and those of the configuration.
fn environments(layers: &Layers, file: &File) -> Result<Vec<OtherEnvironment>, ConfigError> {
    let named = |name: &str| {
        let only =
            File { environment: name.to_owned(), upstream: String::new(), events: String::new(), ..file.clone() };
        let Hosts { api, events, .. } = Hosts::new(layers, &only)?;
        Ok(OtherEnvironment { name: name.to_owned(), api, events })
    };
    let mews = [Environment::DEMO, Environment::PRODUCTION].map(|mews| mews.name.to_string());
    mews.iter().chain(file.environments.keys()).map(|name| named(name)).collect()
}

fn tls_files(layers: &Layers, file: &File) -> Result<Option<TlsFiles>, ConfigError> {
    match (path(&file.tls_cert), path(&file.tls_key)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(layers.wrong("tls_cert", "also needs the key: set `tls_key`")),
        (None, Some(_)) => Err(layers.wrong("tls_key", "also needs the certificate: set `tls_cert`")),
    }
}

fn console(layers: &Layers, file: &File, has_tls: bool) -> Result<Console, ConfigError> {
    let address = file.console.0;
    let reachable = !address.ip().is_loopback();
    if reachable && !has_tls && !file.insecure_console {
        let message = format!(
            "{address} can be reached from other machines: set `tls_cert` and `tls_key`, or allow \
             clear text with --insecure-console"
        );
        return Err(layers.wrong("console", message));
    }
    if address.port() != 0 && file.listen.0.contains(&address) {
        return Err(layers.wrong("console", format!("{address} is the proxy's address: choose another port")));
    }
    Ok(Console { address, names: file.console_names.clone(), tls: reachable && has_tls })
}

fn upstream_proxy(layers: &Layers, file: &File) -> Result<UpstreamProxy, ConfigError> {
    let except = &file.upstream_proxy_except;
    match file.upstream_proxy.as_str() {
        "" | "none" if !except.is_empty() => {
            Err(layers.wrong("upstream_proxy_except", "requires an address in `upstream_proxy`"))
        }
        "" => Ok(UpstreamProxy::Environment),
        "none" => Ok(UpstreamProxy::None),
        address => Ok(UpstreamProxy::Fixed { address: address.to_owned(), except: except.clone() }),
    }
}

fn store(
    layers: &Layers,
    file: &File,
    data: &Path,
    environment: Arc<str>,
) -> Result<nightaudit_store::StoreConfig, ConfigError> {
    let mut config = nightaudit_store::StoreConfig::new(data, &nightaudit_mews::API);
    config.durability = match file.durability {
        Durability::Sync => nightaudit_store::Durability::Sync,
        Durability::Write => nightaudit_store::Durability::Write,
        Durability::Batch => nightaudit_store::Durability::Batch,
    };
    config.on_failure = match file.on_store_failure {
        OnStoreFailure::Refuse => nightaudit_store::OnFailure::Refuse,
        OnStoreFailure::Forward => nightaudit_store::OnFailure::Forward,
    };
    config.queue = count(layers, "queue", file.queue)?;
    config.max_backlog = bytes(layers, "max_backlog", file.max_backlog, 1 << 10..=MOST_BYTES)? as u64;
    config.max_sessions = count(layers, "max_sessions", file.max_sessions)?;
    config.redact_fields = field_names(layers, "redact.fields", &file.redact.fields)?;
    config.max_size = match file.max_size {
        Maybe(Some(Size(0))) => return Err(layers.wrong("max_size", "would keep nothing: leave it empty for no limit")),
        Maybe(size) => size.map(|Size(bytes)| bytes),
    };
    config.max_age = match file.max_age {
        Maybe(Some(Period(age))) if age.is_zero() => {
            return Err(layers.wrong("max_age", "would keep nothing: leave it empty for no limit"));
        }
        Maybe(age) => age.map(|Period(age)| age),
    };
    if !file.session.is_empty() && !is_session_name(&file.session) {
        return Err(layers.wrong("session", SessionError::Name(file.session.clone()).to_string()));
    }
    config.session = (!file.session.is_empty()).then(|| file.session.clone());
    config.environment = environment;
    Ok(config)
}

/// The largest `body.keep`: of 64 MiB and more nothing could be searched for secrets, so nothing would be recorded.
const MOST_KEPT: u64 = 60 << 20;

/// How much of one body is recorded, and of all bodies in flight.
fn kept(layers: &Layers, file: &File) -> Result<(usize, usize), ConfigError> {
    let (one, all) = (file.body.keep, file.body.keep_total);
    let kept =
        (bytes(layers, "body.keep", one, 0..=MOST_KEPT)?, bytes(layers, "body.keep_total", all, 0..=MOST_BYTES)?);
    if kept.1 < kept.0 {
        let message =
            format!("{all} for all bodies is less than `body.keep` ({one}) for one: raise it, or lower `body.keep`");
        return Err(layers.wrong("body.keep_total", message));
    }
    Ok(kept)
}

/// A timeout. Nobody waits for a year, and the clock ends somewhere.
fn timeout(layers: &Layers, key: &str, period: Period) -> Result<Duration, ConfigError> {
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    if period.0 > LONGEST { Err(layers.wrong(key, "must be a year (365d) at most")) } else { Ok(period.0) }
}

fn bytes(layers: &Layers, key: &str, size: Size, range: std::ops::RangeInclusive<u64>) -> Result<usize, ConfigError> {
    match usize::try_from(size.0) {
        Ok(bytes) if range.contains(&size.0) => Ok(bytes),
        _ => {
            let (least, most) = (Size(*range.start()), Size(*range.end()));
            Err(layers.wrong(key, format!("{size} is not between {least} and {most}")))
        }
    }
}

/// The largest count: more than any machine can serve, and far from overflow.
const MOST: usize = 1_000_000;
/// The largest number of bytes: 1 TiB.
const MOST_BYTES: u64 = 1 << 40;

fn count(layers: &Layers, key: &str, count: usize) -> Result<usize, ConfigError> {
    if (1..=MOST).contains(&count) {
        Ok(count)
    } else {
        Err(layers.wrong(key, format!("{count} is not between 1 and {MOST}")))
    }
}

fn path(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// Names of JSON properties, none of them empty.
fn field_names(layers: &Layers, key: &str, names: &[String]) -> Result<Vec<String>, ConfigError> {
    match names.iter().position(|name| name.trim().is_empty()) {
        Some(place) => Err(layers.wrong(&format!("{key}[{place}]"), "is empty: give a property's name")),
        None => Ok(names.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), text).map_err(|error| error.to_string())?;
        Settings::new(&layers, Some(Path::new("/data"))).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_crates_own() {
        let settings = settings("").unwrap();
        let (server, listen) = (&settings.server, nightaudit_listen::ListenConfig::default());
        assert_eq!((server.max_head, server.max_connections), (listen.max_head, listen.max_connections));
        assert_eq!((server.head_timeout, server.idle_timeout), (listen.head_timeout, listen.idle_timeout));
        assert_eq!((server.drain, server.response_taken), (listen.drain, listen.response_taken));
        let origin = || "https://api.mews-demo.com".parse().unwrap();
        let proxy = nightaudit_proxy::ProxyConfig::new("demo", &nightaudit_mews::API, origin(), origin());
        assert_eq!((settings.proxy.keep_body, settings.proxy.timeouts), (proxy.keep_body, proxy.timeouts));
        assert_eq!((settings.proxy.keep_total, settings.proxy.max_tunnels), (proxy.keep_total, proxy.max_tunnels));
        assert_eq!((settings.proxy.queue, settings.proxy.min_body_rate), (proxy.queue, proxy.min_body_rate));
        assert_eq!(settings.proxy.rewrite_redirects, proxy.rewrite_redirects);
        let store = nightaudit_store::StoreConfig::new("", &nightaudit_mews::API);
        assert_eq!((settings.store.queue, settings.store.durability), (store.queue, store.durability));
        assert_eq!((settings.store.max_backlog, settings.store.on_failure), (store.max_backlog, store.on_failure));
        assert_eq!(settings.store.max_sessions, store.max_sessions);
        assert_eq!(settings.data, Path::new("/data"));
    }

    #[test]
    fn an_environment_is_mews_own_or_one_of_the_file() {
        let production = settings("environment = 'production'").unwrap();
        assert_eq!(production.proxy.api.to_string(), "https://api.mews.com");
        assert_eq!(production.proxy.events.to_string(), "https://ws.mews.com");
        let own = "environment = 'staging'\n[environments.staging]\napi = 'http://127.0.0.1:9000'";
        let own = settings(own).unwrap();
        assert_eq!(own.proxy.events.to_string(), "http://127.0.0.1:9000");
        assert_eq!(&*own.store.environment, "staging");
        let unknown = settings("environment = 'prod'").unwrap_err();
        assert_eq!(unknown, "na.toml, line 1: `environment`: `prod` is not an environment: use demo, production");
        let taken = settings("[environments.demo]\napi = 'http://127.0.0.1:9000'").unwrap_err();
        assert!(taken.contains("`environments.demo`: is a built-in environment"), "{taken}");
    }

    #[test]
    fn an_upstream_that_is_mews_is_named_by_what_it_is() {
        let production = settings("upstream = 'https://api.mews.com'").unwrap();
        assert_eq!(&*production.proxy.environment, "production");
        assert_eq!(production.proxy.events.to_string(), "https://ws.mews.com");
        assert_eq!(&*settings("upstream = 'https://api.mews-demo.com:443'").unwrap().proxy.environment, "demo");
        assert_eq!(&*settings("upstream = 'http://api.mews-demo.com'").unwrap().proxy.environment, "stand-in");
    }

    #[test]
    fn a_stand_in_gets_the_websockets_too() {
        let stand_in = settings("upstream = 'http://127.0.0.1:9000'").unwrap();
        assert_eq!(stand_in.proxy.events.to_string(), "http://127.0.0.1:9000");
        assert_eq!(&*stand_in.proxy.environment, "stand-in");
        let both = settings("upstream = 'http://127.0.0.1:9000'\nevents = 'ws://127.0.0.1:9001'").unwrap();
        assert_eq!(both.proxy.events.to_string(), "http://127.0.0.1:9001");
    }

    #[test]
    fn a_console_that_others_reach_needs_tls_or_a_word() {
        let error = settings("console = '0.0.0.0:8081'").unwrap_err();
        assert!(error.contains("`console`") && error.contains("--insecure-console"), "{error}");
        assert!(!settings("console = '0.0.0.0:8081'\ninsecure_console = true").unwrap().console.tls);
        assert!(settings("console = '0.0.0.0:8081'\ntls_cert = 'c'\ntls_key = 'k'").unwrap().console.tls);
        assert!(!settings("tls_cert = 'c'\ntls_key = 'k'").unwrap().console.tls);
    }

    #[test]
    fn bounds_of_memory_are_as_configured() {
        assert_eq!(settings("max_sessions = 7").unwrap().store.max_sessions, 7);
        let own =
            settings("max_backlog = '16 MiB'\nmax_websockets = 10\n[body]\nkeep = '1 MiB'\nkeep_total = '32 MiB'");
        let own = own.unwrap();
        assert_eq!((own.store.max_backlog, own.proxy.max_tunnels), (16 << 20, 10));
        assert_eq!((own.proxy.keep_body, own.proxy.keep_total), (1 << 20, 32 << 20));
        let nothing = settings("[body]\nkeep = '0 B'\nkeep_total = '0 B'").unwrap();
        assert_eq!((nothing.proxy.keep_body, nothing.proxy.keep_total), (0, 0));
    }

    #[test]
    fn all_bodies_have_at_least_what_one_has() {
        let lowered = settings("[body]\nkeep_total = '1 MiB'").unwrap_err();
        assert_eq!(
            lowered,
            "na.toml, line 2: `body.keep_total`: 1.0 MiB for all bodies is less than `body.keep` (8.0 MiB) for one: \
             raise it, or lower `body.keep`"
        );
        settings("[body]\nkeep = '60 MiB'\nkeep_total = '60 MiB'").unwrap();
        let raised = settings("[body]\nkeep = '61 MiB'").unwrap_err();
        assert_eq!(raised, "na.toml, line 2: `body.keep`: 61.0 MiB is not between 0 B and 60.0 MiB");
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        for (text, key) in [
            ("queue = 0", "queue"),
            ("queue = -1", "queue"),
            ("session = \"a\\nb\"", "session"),
            ("session = '  '", "session"),
            ("[timeouts]\nresponse_head = '213503982334601d'", "timeouts.response_head"),
            ("[timeouts]\nkeep_alive = '366d'", "timeouts.keep_alive"),
            ("[timeouts]\ndrain = '400d'", "timeouts.drain"),
            ("max_head = '10 GiB'", "max_head"),
            ("max_backlog = '0 B'", "max_backlog"),
            ("max_backlog = '2 TiB'", "max_backlog"),
            ("max_backlog = 'much'", "max_backlog"),
            ("max_sessions = 0", "max_sessions"),
            ("max_connections = 0", "max_connections"),
            ("max_websockets = 0", "max_websockets"),
            ("max_upstream_connections = 0", "max_upstream_connections"),
            ("max_websockets = 2_000_000", "max_websockets"),
            ("max_size = '0 B'", "max_size"),
            ("max_age = '0s'", "max_age"),
            ("tls_cert = 'c'", "tls_cert"),
            ("tls_key = 'k'", "tls_key"),
            ("upstream = 'mews'", "upstream"),
            ("events = 'https://a/b'", "events"),
            ("upstream_proxy_except = 'a'", "upstream_proxy_except"),
            ("console = '127.0.0.1:8080'", "console"),
            ("listen = 'localhost'", "listen"),
            ("durability = 'maybe'", "durability"),
            ("[timeouts]\nconnect = '0s'", "timeouts.connect"),
            ("[body]\nkeep = '2 GiB'", "body.keep"),
            ("[body]\nkeep_total = '2 TiB'", "body.keep_total"),
            ("[body]\nmin_rate = '2 GiB'", "body.min_rate"),
            ("[body]\nkeep_total = '0 B'", "body.keep_total"),
            ("[redact]\nfields = ['']", "redact.fields[0]"),
            ("[redact]\nexport_fields = ['x', ' ']", "redact.export_fields[1]"),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.starts_with("na.toml, line ") && error.contains(&format!("`{key}`: ")), "{text}: {error}");
        }
    }
}
