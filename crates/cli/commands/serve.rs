//! `nightaudit serve`

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::{Args, ValueHint};
use nightaudit_app::{
    Service,
    config::{Address, Addresses, Durability, Flag, OnLimit, OnStoreFailure, Settings},
    logging::Background,
};
use nightaudit_exchange::Filter;
use nightaudit_store::FollowFrom;
use nightaudit_text::plain;
use tokio_util::sync::CancellationToken;
use toml::Value;

use crate::{browser, commands::fault, error::LAST_WORDS, global::choice, requests::Requests, signals::stop_on_signal};

/// Forward, limit and record requests to Mews
#[derive(Debug, Args)]
#[command(after_long_help = "\
Point the integration's base URL at the proxy's address instead of Mews'. Every request and response is recorded. In a
terminal each request is a line, as `nightaudit tail` prints it; a row of equal refusals is folded (429 × 28). Stop it with
Ctrl-C: requests in flight still finish.

Examples:
  nightaudit serve
  nightaudit serve --session certification --open
  nightaudit serve --environment production --on-limit delay
  nightaudit serve --upstream http://127.0.0.1:8090
  nightaudit serve --listen 8000 --listen localhost:9000
  nightaudit serve --limit 500/15m --limit 200/30s
  nightaudit serve --fault 'bills/*: 429=2%, latency=200ms..2s'")]
pub(crate) struct Serve {
    /// The Mews environment: demo, production, or one from the configuration
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The address to listen on: 8080, localhost:8080, 0.0.0.0:8080; port 0 picks a free port; repeatable
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<Addresses>,
    /// The console's address: 8081, localhost:8081
    #[arg(long, value_name = "ADDRESS")]
    console: Option<Address>,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    /// Print a line for each request, even if standard output isn't a terminal
    #[arg(long)]
    requests: bool,
    /// Print no lines for requests
    #[arg(short, long, conflicts_with = "requests")]
    quiet: bool,
    /// Let other machines reach the console in clear text
    #[arg(long)]
    insecure_console: bool,
    /// Use this host instead of the environment's API
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    upstream: Option<String>,
    /// PEM file of authorities to trust in addition to the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    upstream_ca: Option<String>,
    /// The proxy to reach Mews through, or none
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    upstream_proxy: Option<String>,
    /// Use this host instead of the environment's WebSocket
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    events: Option<String>,
    /// The session to continue or start
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// A limit per access token that replaces the configured ones; repeatable
    #[arg(long = "limit", value_name = "COUNT/TIME")]
    limits: Vec<String>,
    /// Where the limits are counted for several machines, such as redis://localhost:6379
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    limit_store: Option<String>,
    /// What to do with a request over a limit
    #[arg(long, value_name = "ACTION", value_parser = choice::<OnLimit>())]
    on_limit: Option<OnLimit>,
    /// A fault to inject on purpose; repeatable; `nightaudit fault --help` has the rules
    #[arg(long = "fault", value_name = "RULE")]
    faults: Vec<String>,
    /// The seed of what the faults decide
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    fault_seed: Option<u64>,
    /// Allow faults although real guests are concerned
    #[arg(long)]
    allow_faults_in_production: bool,
    /// Where Mews' webhooks are received: 8082, localhost:8082
    #[arg(long, value_name = "ADDRESS")]
    webhooks_listen: Option<Address>,
    /// The integration's URL that webhooks are forwarded to
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    webhooks_forward: Option<String>,
    /// What a response waits for before its end is sent
    #[arg(long, value_name = "WHAT", value_parser = choice::<Durability>())]
    durability: Option<Durability>,
    /// What to do while the log can't be written
    #[arg(long, value_name = "ACTION", value_parser = choice::<OnStoreFailure>())]
    on_store_failure: Option<OnStoreFailure>,
    /// PEM file of a certificate chain, to serve TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: Option<String>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: Option<String>,
}

impl Serve {
    /// The flags as configuration keys.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let texts = [
            ("--environment", "environment", self.environment.clone()),
            ("--listen", "listen", self.listen_text()),
            ("--console", "console", self.console.map(|address| address.to_string())),
            ("--upstream", "upstream", self.upstream.clone()),
            ("--upstream-ca", "upstream_ca", self.upstream_ca.clone()),
            ("--upstream-proxy", "upstream_proxy", self.upstream_proxy.clone()),
            ("--events", "events", self.events.clone()),
            ("--session", "session", self.session.clone()),
            ("--webhooks-listen", "webhooks.listen", self.webhooks_listen.map(|address| address.to_string())),
            ("--webhooks-forward", "webhooks.forward", self.webhooks_forward.clone()),
            ("--limit-store", "limit.store", self.limit_store.clone()),
            ("--on-limit", "on_limit", self.on_limit.map(|action| action.to_string())),
            ("--durability", "durability", self.durability.map(|what| what.to_string())),
            ("--on-store-failure", "on_store_failure", self.on_store_failure.map(|action| action.to_string())),
            ("--tls-cert", "tls_cert", self.tls_cert.clone()),
            ("--tls-key", "tls_key", self.tls_key.clone()),
        ];
        let mut flags: Vec<Flag> =
            texts.into_iter().filter_map(|(flag, key, value)| Some((flag, key, Value::String(value?)))).collect();
        if self.insecure_console {
            flags.push(("--insecure-console", "insecure_console", Value::Boolean(true)));
        }
        if self.allow_faults_in_production {
            flags.push(("--allow-faults-in-production", "allow_faults_in_production", Value::Boolean(true)));
        }
        if let Some(seed) = self.fault_seed.and_then(|seed| i64::try_from(seed).ok()) {
            flags.push(("--fault-seed", "fault_seed", Value::Integer(seed)));
        }
        if !self.faults.is_empty() {
            let rules = self.faults.iter().cloned().map(Value::String).collect();
            flags.push(("--fault", "fault", Value::Array(rules)));
        }
        if !self.limits.is_empty() {
            let rules = self.limits.iter().cloned().map(Value::String).collect();
            flags.push(("--limit", "limit.rule", Value::Array(rules)));
        }
        flags
    }

    fn listen_text(&self) -> Option<String> {
        let all: Vec<String> = self.listen.iter().map(Addresses::to_string).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    pub(crate) fn run(&self, settings: Settings) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let stop = CancellationToken::new();
            stop_on_signal(stop.clone())?;
            settings.faults.rules.iter().for_each(|rule| fault::warn(rule, &settings));
            let service = Service::start(settings).await?;
            let watched = self.requests || !self.quiet && io::stdout().is_terminal();
            announce(&addresses(&service, io::stdout().is_terminal()));
            if self.open {
                open_page(service.ticket_url()?);
            }
            let watching = if watched { Some(watch(&service)?) } else { None };
            if watched || io::stdout().is_terminal() {
                // In the background: a start without a network waits for nothing.
                let probe = service.probe();
                tokio::spawn(async move { probe.await.iter().for_each(|problem| tracing::warn!("{problem}")) });
            }
            service.run(stop.cancelled()).await?;
            if let Some((lines, screen)) = watching {
                // The log is closed, so it ends once all is shown.
                lines.await?;
                screen.flush(LAST_WORDS);
            }
            Ok(ExitCode::SUCCESS)
        });
        // A thread that waits for a hanging disk must not delay the exit.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }
}

/// Opens the page in the background; the port is bound already, so the browser finds it. `address` is one that works once.
pub(crate) fn open_page(address: String) {
    tokio::task::spawn_blocking(move || {
        if let Err(reason) = browser::open(address) {
            tracing::warn!("no browser was opened: {reason}; open the console's address");
        }
    });
}

/// Shows what is recorded; a terminal that takes nothing, as after Ctrl-S, holds up nothing but its lines.
fn watch(service: &Service) -> anyhow::Result<(tokio::task::JoinHandle<()>, Background)> {
    let screen = Background::writing_to(anstream::stdout())?;
    let follower = service.log().follow(Filter::default(), FollowFrom::Now)?;
    let requests = Requests::new(service.settings().contracts()?);
    let say = {
        let screen = screen.clone();
        move |line: &str| {
            screen.say(format!("{line}\n").as_bytes());
            Ok::<(), std::convert::Infallible>(())
        }
    };
    let lines = tokio::spawn(async move {
        let Ok(()) = requests.follow(follower, |_| {}, say).await;
    });
    Ok((lines, screen))
}

/// A line for each address, and the session; to a person also what to do with them.
fn addresses(service: &Service, to_person: bool) -> Vec<String> {
    let settings = service.settings();
    let api = &settings.proxy.api;
    let mut lines: Vec<String> =
        service.proxy_urls().map(|url| format!("proxy    {url} -> {api} ({})", settings.proxy.environment)).collect();
    lines.push(format!("console  {}", service.page_url()));
    let session = service.log().sessions().into_iter().find(|session| session.current);
    lines.push(match session {
        Some(session) => format!("session  {}", plain(&session.name)),
        None => "session  a new one, named by the time of its first request; --session NAME chooses one".to_owned(),
    });
    lines.extend(service.webhooks().map(|(from, to)| format!("webhooks {from} -> {to}")));
    lines.extend(settings.faults.rules.iter().map(|rule| format!("fault    {}", plain(&rule.to_string()))));
    if to_person && let Some(url) = service.proxy_urls().next() {
        lines.push(String::new());
        lines.push(format!("Point the integration's base URL at {url} instead of {api}."));
        lines.push("The console's address opens a page that shows what is recorded; Ctrl-C stops.".to_owned());
        lines.push(String::new());
    }
    lines
}

/// How long standard output may take the addresses.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// Prints the addresses in one write, so that a program that reads them gets all of them. An unread or closed standard
/// output prevents nothing.
pub(crate) fn announce(lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (done, written) = mpsc::sync_channel(1);
    let write = move || {
        let mut out = io::stdout().lock();
        let _ = done.send(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    };
    let started = thread::Builder::new().name("stdout".to_owned()).spawn(write);
    match started.map(|_| written.recv_timeout(ANNOUNCING)) {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Ok(Ok(Err(error))) | Err(error) => tracing::warn!("the addresses can't be written to standard output: {error}"),
        Ok(Err(_)) => tracing::warn!("standard output, with the addresses, is not being read"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use nightaudit_app::config::Layers;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        let settings = |typed: &str| {
            let Command::Serve(serve) = Arguments::parse_from(typed.split_whitespace()).command else {
                panic!("serve")
            };
            let mut layers = Layers::new();
            serve.flags().into_iter().for_each(|(flag, key, value)| layers.flag(flag, key, value));
            Settings::new(&layers, Some(std::path::Path::new("/data"))).map_err(|error| error.to_string())
        };
        let several =
            settings("nightaudit serve --listen 8000 --listen :8001,[::1]:8000 --console localhost:9000").unwrap();
        assert_eq!(
            several.listen,
            ["127.0.0.1:8000", "127.0.0.1:8001", "[::1]:8000"].map(|text| text.parse().unwrap())
        );
        assert_eq!(several.console.address.port(), 9000);
        assert!(settings("nightaudit serve --listen 8000,9000 --console 9000").unwrap_err().contains("console"));
    }

    #[test]
    fn every_flag_is_a_key_of_the_configuration() {
        let typed = "nightaudit serve --environment production --listen 127.0.0.1:1 --console 127.0.0.1:2 \
            --insecure-console --upstream http://a --upstream-ca ca --upstream-proxy none --events ws://a \
            --session s --limit 5/1s --limit 6/1s --on-limit delay --durability batch --on-store-failure forward \
            --tls-cert c --tls-key k --fault 429=2% --fault latency=1s --fault-seed 7 --allow-faults-in-production \
            --webhooks-listen 8082 --webhooks-forward http://a/hook";
        let Command::Serve(serve) = Arguments::parse_from(typed.split_whitespace()).command else { panic!("serve") };
        let mut layers = Layers::new();
        let defaults: Vec<_> = layers.list().into_iter().map(|(key, value, _)| (key, value)).collect();
        let flags = serve.flags();
        assert_eq!(flags.len(), 20);
        for (flag, key, value) in flags {
            let default = &defaults.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("{flag}: {key}")).1;
            assert_ne!(default, &value, "{flag}");
            layers.flag(flag, key, value);
        }
        Settings::new(&layers, Some(std::path::Path::new("/data"))).unwrap();
    }
}
