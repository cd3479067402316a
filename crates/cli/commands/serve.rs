//! `nightaudit serve`

mod files;
mod recorder;
mod wiring;
mod workers;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use nightaudit_console::{Console, Gauges, Token};
use nightaudit_limit::Limiter;
use nightaudit_listen::{Server, Worker};
use nightaudit_proxy::Proxy;
use nightaudit_store::{Log, OpenError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use toml::Value;

pub(crate) use self::wiring::stop_on_signal;
use self::{
    files::Files,
    recorder::{LogRecorder, Outcomes},
    workers::Workers,
};
use crate::{
    config::{Durability, Flag, OnLimit, OnStoreFailure, Settings},
    error::Usage,
};

/// Forward, limit and record requests to Mews
#[derive(Debug, Args)]
#[command(after_long_help = "\
Point the base address of the integration at the proxy's address instead of Mews'. Every request and answer is recorded;
the console shows them. Stop it with Ctrl-C: requests under way still finish.

Examples:
  nightaudit serve
  nightaudit serve --session certification
  nightaudit serve --environment production --on-limit delay
  nightaudit serve --listen 127.0.0.1:0 --upstream http://127.0.0.1:8090
  nightaudit serve --limit 500/15m --limit 200/30s")]
pub(crate) struct Serve {
    /// Which Mews: demo, production, or one of the configuration's own
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Where the integration connects to; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the console listens
    #[arg(long, value_name = "ADDRESS")]
    console: Option<SocketAddr>,
    /// Let other machines reach the console in clear text
    #[arg(long)]
    insecure_console: bool,
    /// Another host in the place of the environment's API
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    upstream: Option<String>,
    /// Authorities to trust beside the system's, as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    upstream_ca: Option<String>,
    /// The proxy on the way to Mews, or none
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    upstream_proxy: Option<String>,
    /// Another host in the place of the environment's WebSocket
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    events: Option<String>,
    /// The session to continue or start
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// A limit for each access token in the place of the configured ones; may be given several times
    #[arg(long = "limit", value_name = "COUNT/TIME")]
    limits: Vec<String>,
    /// What to do with a request above a limit
    #[arg(long, value_name = "ACTION")]
    on_limit: Option<OnLimit>,
    /// What the end of an answer waits for
    #[arg(long, value_name = "WHAT")]
    durability: Option<Durability>,
    /// What to do while the log can't be written
    #[arg(long, value_name = "ACTION")]
    on_store_failure: Option<OnStoreFailure>,
    /// A certificate chain as PEM: the proxy speaks TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: Option<String>,
    /// Its key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: Option<String>,
}

impl Serve {
    /// The flags as keys of the configuration.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let texts = [
            ("--environment", "environment", self.environment.clone()),
            ("--listen", "listen", self.listen.map(|address| address.to_string())),
            ("--console", "console", self.console.map(|address| address.to_string())),
            ("--upstream", "upstream", self.upstream.clone()),
            ("--upstream-ca", "upstream_ca", self.upstream_ca.clone()),
            ("--upstream-proxy", "upstream_proxy", self.upstream_proxy.clone()),
            ("--events", "events", self.events.clone()),
            ("--session", "session", self.session.clone()),
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
        if !self.limits.is_empty() {
            let rules = self.limits.iter().cloned().map(Value::String).collect();
            flags.push(("--limit", "limit.rule", Value::Array(rules)));
        }
        flags
    }

    pub(crate) fn run(&self, settings: Settings) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            let stop = CancellationToken::new();
            stop_on_signal(stop.clone())?;
            serve(settings, stop, |started| {
                announce(&started.addresses);
                Ok(())
            })
            .await
        });
        // A thread that waits for a disk that doesn't answer must not keep the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }
}

/// What runs, once it does.
pub(crate) struct Started {
    /// The proxy's address.
    pub(crate) proxy: SocketAddr,
    /// A line for each address.
    addresses: [String; 2],
    pub(crate) log: Arc<Log>,
}

/// Opens everything, says when it is ready, serves until it is stopped, and puts everything away.
pub(crate) async fn serve(
    mut settings: Settings,
    stop: CancellationToken,
    ready: impl FnOnce(&Started) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let tls = match &settings.tls {
        Some(files) => {
            let tls = nightaudit_listen::server_config(&files.certificate, &files.key);
            Some(tls.map_err(|error| Usage(error.into()))?)
        }
        None => None,
    };
    make_room(&mut settings);
    let limiter = Limiter::new(settings.limit.clone())?;
    let log = Arc::new(open_log(settings.store.clone()).await?);
    let proxy_port = bind(settings.listen, "listen").await?;
    let console_port = bind(settings.console.address, "console").await?;
    let (proxy_address, console_address) = (proxy_port.local_addr()?, console_port.local_addr()?);
    // A console with TLS is for other machines, and so is one that loopback doesn't reach; commands on this one get a
    // clear port of their own.
    let local = wiring::reachable(console_address).ip().is_loopback();
    let own_port = match settings.console.tls || !local {
        true => Some(bind(SocketAddr::from(([127, 0, 0, 1], 0)), "console").await?),
        false => None,
    };
    let token = Token::load_or_create(&settings.data)?;
    wiring::restore(&limiter, &log, &settings.limit)?;

    let outcomes = Outcomes::default();
    let gauges = Gauges {
        limits: Box::new({
            let limiter = limiter.clone();
            move || wiring::limit_states(&limiter)
        }),
        outcomes: Box::new({
            let outcomes = outcomes.clone();
            move || outcomes.list()
        }),
    };
    let recorder = LogRecorder::new(log.recorder(), outcomes);
    let proxy = Proxy::new(settings.proxy.clone(), &settings.upstream, limiter, recorder.clone())
        .map_err(|error| Usage(error.into()))?;
    let mut routes: Vec<_> = proxy.routes().map(|(host, via)| (host.text().clone(), via)).collect();
    routes.dedup();
    for (host, via) in routes {
        if let Some(via) = via {
            tracing::info!("{host} is reached through the proxy {via}");
        }
    }
    let console =
        Console::new(Arc::clone(&log), token.clone(), console_address, settings.console.names.clone(), gauges);
    let console = Arc::new(console);

    let for_commands = own_port.as_ref().map_or(Ok(console_address), TcpListener::local_addr)?;
    log.set_console(&format!("http://{}", wiring::reachable(for_commands)))
        .with_context(|| format!("can't write the lock file in {}", settings.data.display()))?;
    let scheme = |tls: bool| if tls { "https" } else { "http" };
    let addresses = [
        format!(
            "proxy    {}://{proxy_address} -> {} ({})",
            scheme(tls.is_some()),
            settings.proxy.api,
            settings.proxy.environment
        ),
        format!("console  {}://{console_address}/?token={}", scheme(settings.console.tls), token.as_str()),
    ];
    ready(&Started { proxy: proxy_address, addresses, log: Arc::clone(&log) })?;

    let console_tls = tls.clone().filter(|_| settings.console.tls);
    let console_config = |tls| nightaudit_listen::Config {
        tls,
        max_connections: files::CONSOLE,
        // A person may page through an export.
        response_taken: Duration::from_secs(300),
        drain: Duration::from_secs(2),
        ..Default::default()
    };
    let console_stop = CancellationToken::new();
    let mut consoles = tokio::task::JoinSet::new();
    let mut ports = vec![(console_port, console_tls)];
    ports.extend(own_port.map(|port| (port, None)));
    for (port, tls) in ports {
        let stop = console.stop_signal(console_stop.clone().cancelled_owned());
        let server = Server::new(console_config(tls));
        let console = Arc::clone(&console);
        consoles.spawn(async move { server.serve(port, console, stop).await });
    }

    let server = Server::new(nightaudit_listen::Config { tls, ..settings.server.clone() });
    let workers = Workers::start()?;
    let serving = workers.runtimes().map(|runtime| {
        let (recorder, bell) = recorder.with_bell();
        runtime.spawn(bell.ring());
        Worker { runtime, handler: Arc::new(proxy.sibling(recorder)) }
    });
    let drained = server.serve_on(proxy_port, serving, stop.cancelled()).await;
    proxy.close_tunnels().await;
    drop(workers);
    if drained.cut_off > 0 {
        tracing::warn!("{} connections were cut off: they took longer than `timeouts.drain`", drained.cut_off);
    }
    // The console goes last, so that followers see the requests that have just finished.
    console_stop.cancel();
    consoles.join_all().await;
    let closed = tokio::task::spawn_blocking(move || log.close()).await?;
    tracing::info!("{} exchanges recorded", closed.recorded);
    if closed.unrecorded > 0 {
        tracing::warn!("{} requests passed unrecorded", closed.unrecorded);
    }
    if closed.lost > 0 {
        anyhow::bail!("{} exchanges could not be written", closed.lost);
    }
    Ok(ExitCode::SUCCESS)
}

/// Raises the limit of open files, and lowers how many connections there may be to what it holds.
fn make_room(settings: &mut Settings) {
    let files = Files::raise();
    let (connections, websockets) = (settings.server.max_connections, settings.proxy.max_tunnels);
    let fitting = files.fit(connections, websockets);
    (settings.server.max_connections, settings.proxy.max_tunnels) = fitting;
    tracing::info!(
        "{} files may be open ({} before): room for {} connections and {} WebSockets",
        files.now,
        files.before,
        fitting.0,
        fitting.1
    );
    if fitting != (connections, websockets) {
        tracing::warn!(
            "that is less than `max_connections` and `max_websockets` allow: raise the hard limit of open files \
             (ulimit -Hn, LimitNOFILE of systemd)"
        );
    }
}

/// How often and how long to wait for a command that is reading the log.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

async fn open_log(config: nightaudit_store::Config) -> anyhow::Result<Log> {
    let opened = tokio::task::spawn_blocking(move || {
        let mut attempts = ATTEMPTS;
        loop {
            match Log::open(config.clone()) {
                // A command that reads is done in a moment; a `serve` has a console.
                Err(OpenError::Locked { console: None, .. }) if attempts > 0 => {
                    attempts -= 1;
                    std::thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    });
    let log = opened.await?.map_err(|error| match error {
        OpenError::Locked { .. } => {
            anyhow::Error::new(error).context("another nightaudit is at work there: stop it, or choose another --data")
        }
        error @ OpenError::Io { .. } => {
            anyhow::Error::new(error).context("the data folder can't be used: choose another with --data")
        }
        error => error.into(),
    })?;
    let opened = log.opened();
    tracing::info!("the log has {} exchanges in {} sessions", opened.exchanges, opened.sessions);
    if let [path, more @ ..] = &opened.readable[..] {
        let others = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        tracing::warn!("other users can read {}{others}: chmod go-rwx it", path.display());
    }
    if let Some(reason) = &opened.rebuilt {
        tracing::warn!("the index was made again: {reason}");
    }
    if opened.torn_bytes > 0 {
        tracing::warn!("{} bytes were cut off that had not been written to their end", opened.torn_bytes);
    }
    if opened.interrupted > 0 {
        tracing::warn!("{} requests were interrupted when the last run ended", opened.interrupted);
    }
    Ok(log)
}

pub(crate) async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}: free it, or choose another address with --{key}"))
}

/// How long standard output may take the addresses.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// Says where everything is, at once, so that a program that reads it has the whole. Whoever started it may not want to
/// know: that nobody reads it, or that it can't be written, keeps nothing from running.
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
        Ok(Err(_)) => tracing::warn!("nobody reads standard output, where the addresses are"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        args::{Arguments, Command},
        config::Layers,
    };

    #[test]
    fn every_flag_is_a_key_of_the_configuration() {
        let typed = "nightaudit serve --environment production --listen 127.0.0.1:1 --console 127.0.0.1:2 \
            --insecure-console --upstream http://a --upstream-ca ca --upstream-proxy none --events ws://a \
            --session s --limit 5/1s --limit 6/1s --on-limit delay --durability batch --on-store-failure forward \
            --tls-cert c --tls-key k";
        let Command::Serve(serve) = Arguments::parse_from(typed.split_whitespace()).command else { panic!("serve") };
        let mut layers = Layers::new();
        let defaults: Vec<_> = layers.list().into_iter().map(|(key, value, _)| (key, value)).collect();
        let flags = serve.flags();
        assert_eq!(flags.len(), 15);
        for (flag, key, value) in flags {
            let default = &defaults.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("{flag}: {key}")).1;
            assert_ne!(default, &value, "{flag}");
            layers.flag(flag, key, value);
        }
        Settings::new(&layers, Some(std::path::Path::new("/data"))).unwrap();
    }
}
