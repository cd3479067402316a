//! Start, run and shutdown.

use std::{
    error::Error as _,
    net::SocketAddr,
    panic,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use nightaudit_archive::{Shipper, ShipperConfig, ShippingStatus};
use nightaudit_console::{
    ArchiveReport, ArchiveState, Console, Gauges, LimitReport, LimitStoreReport, LimitStoreState, ProxyState, Token,
    TokenError,
};
use nightaudit_exchange::Timestamp;
use nightaudit_limit::Admit;
use nightaudit_limit_redis::{OnFailure, Reach};
use nightaudit_listen::{Server, Worker};
use nightaudit_mews::Contracts;
use nightaudit_proxy::Proxy;
use nightaudit_store::{Closed, Keeper, Log, open_when_free};
use nightaudit_units::counted;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    console_port::ConsolePort,
    error::{RunError, StartError},
    files::Files,
    keys,
    limit_history::History,
    limits::Limits,
    listening::{bind, scheme},
    reachability::{Reachability, State},
    recorder::{LogRecorder, Outcomes},
    resend::resending,
    webhooks::WebhookPort,
    wiring,
    workers::Workers,
};

/// The recording proxy with its console and its log, ready to serve.
pub struct Service {
    settings: Settings,
    tls: Option<Arc<ServerConfig>>,
    log: Arc<Log>,
    shipper: Option<Shipper>,
    token: Token,
    console: Arc<Console>,
    proxy: Proxy<LogRecorder, Limits>,
    recorder: LogRecorder,
    limiter: Limits,
    history: History,
    upstream: Reachability,
    webhooks: Option<WebhookPort>,
    ports: Ports,
}

/// The bound ports.
struct Ports {
    /// Never empty.
    proxy: Vec<TcpListener>,
    proxy_addresses: Vec<SocketAddr>,
    console: ConsolePort,
}

impl Service {
    /// Opens the log and the ports, and restores the limits from the last run.
    ///
    /// # Errors
    ///
    /// [`StartError`] names what failed, and the remedy.
    pub async fn start(mut settings: Settings) -> Result<Self, StartError> {
        let tls = match &settings.tls {
            Some(files) => Some(nightaudit_listen::server_config(&files.certificate, &files.key)?),
            None => None,
        };
        make_room(&mut settings);
        let limiter = Limits::new(&settings)?;
        let shipping = shipping(&mut settings);
        let log = Arc::new(open_log(settings.store.clone()).await?);
        let ports = Ports::bind(&settings).await?;
        let token = Token::load_or_create(&settings.data)?;
        let history = {
            let hosts = [&settings.proxy.api, &settings.proxy.events];
            wiring::history(&log, &settings.limit, hosts)?
        };
        Admit::restore(&limiter, history).await?;

        let outcomes = Outcomes::default();
        let mut gauges = gauges(&limiter, &outcomes, log_gauges(&log, &settings));
        gauges.limit_store = limit_store(&limiter, &settings);
        let upstream = Reachability::of(Arc::clone(settings.proxy.api.text()));
        let recorder = LogRecorder::new(log.recorder(), outcomes, upstream.clone());
        settings.proxy.faults = wiring::faults(&log, &settings.faults)?;
        gauges.faults = Some(settings.proxy.faults.clone());
        let proxy = Proxy::new(settings.proxy.clone(), &settings.upstream, limiter.clone(), recorder.clone())?;
        let webhooks = WebhookPort::bind(&settings, recorder.clone()).await?;
        let mut routes: Vec<_> = proxy.routes().map(|(host, via)| (host.text().clone(), via)).collect();
        routes.dedup();
        for (host, via) in routes {
            if let Some(via) = via {
                tracing::info!("connecting to {host} through the proxy {via}");
            }
        }
        let history = History::default();
        let shown = history.clone();
        gauges.limit_history = Box::new(move |minutes| shown.last(minutes));
        gauges.archive =
            shipping.clone().map(|shipping| -> Box<ArchiveReport> { Box::new(move || archive_state(&shipping)) });
        gauges.started = Some(Timestamp::from_system(SystemTime::now()));
        let addresses = ports.proxy_urls(tls.is_some()).collect();
        gauges.proxy = proxy_state(addresses, &settings, proxy.sibling(recorder.clone()), upstream.clone());
        gauges.resend = Some(resending(&settings, proxy.sibling(recorder.clone()), &log));
        let names = settings.console.names.clone();
        let console = Console::new(log.clone(), token.clone(), ports.console.address(), names, gauges);
        ports.console.announce(&log, &settings)?;
        let console = Arc::new(console);
        let shipper = ship(&settings, &log, shipping)?;
        Ok(Self {
            settings,
            tls,
            log,
            shipper,
            token,
            console,
            proxy,
            recorder,
            limiter,
            history,
            upstream,
            webhooks,
            ports,
        })
    }

    /// The first address the proxy listens on.
    #[must_use]
    pub fn proxy_address(&self) -> SocketAddr {
        self.ports.proxy_addresses[0]
    }

    /// The base URLs for the integration, one for each address the proxy listens on.
    pub fn proxy_urls(&self) -> impl Iterator<Item = String> {
        self.ports.proxy_urls(self.tls.is_some())
    }

    /// The URL that webhooks are sent to, and the integration's that they are forwarded to; `None` if there is none.
    #[must_use]
    pub fn webhooks(&self) -> Option<(String, String)> {
        self.webhooks.as_ref().map(|port| port.way(self.tls.is_some()))
    }

    /// The upstream hosts that can't be reached now, and why. Connections are opened, including TLS; nothing is sent.
    pub fn probe(&self) -> impl Future<Output = Vec<String>> + Send + 'static {
        let (proxy, upstream) = (self.proxy.sibling(self.recorder.clone()), self.upstream.clone());
        async move {
            let problems = proxy.probe().await;
            upstream.note_probe(&problems);
            problems.iter().map(ToString::to_string).collect()
        }
    }

    /// The console's URL, for this machine.
    #[must_use]
    pub fn console_url(&self) -> String {
        self.ports.console.url()
    }

    /// The URL that opens the page, with the token.
    #[must_use]
    pub fn page_url(&self) -> String {
        self.token.page_url(&self.console_url())
    }

    /// A URL that opens the page once, within a minute, and doesn't have the token.
    ///
    /// # Errors
    ///
    /// The system's random number generator failed.
    pub fn ticket_url(&self) -> Result<String, TokenError> {
        Ok(self.console_url() + &self.console.ticket()?)
    }

    /// The console's token.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The effective settings; connection limits may be lower than configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The log, to follow what is recorded.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Serves until `stop` resolves, then drains requests in flight for up to `timeouts.drain` and closes the log.
    ///
    /// # Errors
    ///
    /// [`RunError`] if threads can't be spawned, or exchanges can't be written.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Closed, RunError> {
        let Self {
            settings,
            tls,
            log,
            shipper,
            token: _,
            console,
            proxy,
            recorder,
            limiter,
            history,
            upstream: _,
            webhooks,
            ports,
        } = self;
        let console_stop = CancellationToken::new();
        let consoles = ports.console.serve(&console, tls.clone(), &console_stop);
        let watching = tokio::spawn(history.watch(limiter));

        let webhook_stop = CancellationToken::new();
        let listen = settings.server.clone();
        let webhooks = webhooks.map(|port| port.serve(tls.clone(), listen, webhook_stop.clone()));
        let server = Server::new(nightaudit_listen::ListenConfig { tls, ..settings.server });
        let workers = Workers::start().map_err(RunError::Threads)?;
        let serving = workers.runtimes().map(|runtime| {
            let (recorder, notifier) = recorder.with_notifier();
            runtime.spawn(notifier.run());
            Worker { runtime, handler: Arc::new(proxy.sibling(recorder)) }
        });
        let drained = server.serve_all(ports.proxy, serving, stop).await;
        proxy.close_tunnels().await;
        webhook_stop.cancel();
        if let Some(webhooks) = webhooks {
            unwind(webhooks.await);
        }
        drop(workers);
        if drained.aborted > 0 {
            tracing::warn!("{} aborted after `timeouts.drain`", counted(drained.aborted as u64, "connection"));
        }
        watching.abort();
        // The console shuts down last, so that followers see the requests that just finished.
        console_stop.cancel();
        consoles.join_all().await;
        let closed = tokio::task::spawn_blocking(move || {
            let closed = log.close();
            // What ended with the log is shipped, too.
            if let Some(shipper) = shipper {
                shipper.stop();
            }
            closed
        });
        let closed = unwind(closed.await);
        tracing::info!("{} recorded", counted(closed.recorded, "exchange"));
        if closed.unrecorded > 0 {
            tracing::warn!("{} forwarded unrecorded", counted(closed.unrecorded, "request"));
        }
        if closed.lost > 0 { Err(RunError::Lost(closed.lost)) } else { Ok(closed) }
    }
}

impl Ports {
    async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let mut proxy = Vec::with_capacity(settings.listen.len());
        for address in &settings.listen {
            proxy.push(bind(*address, "listen").await?);
        }
        let address = |port: &TcpListener| port.local_addr().map_err(StartError::System);
        let proxy_addresses = proxy.iter().map(address).collect::<Result<_, _>>()?;
        Ok(Self { proxy, proxy_addresses, console: ConsolePort::bind(settings).await? })
    }

    /// The proxy's base URLs.
    fn proxy_urls(&self, tls: bool) -> impl Iterator<Item = String> {
        self.proxy_addresses.iter().map(move |address| format!("{}://{address}", scheme(tls)))
    }
}

/// The state of shipping, if there is an archive; the log then deletes by size or age only what is there.
fn shipping(settings: &mut Settings) -> Option<ShippingStatus> {
    settings.archive.as_ref()?;
    let status = ShippingStatus::default();
    let asked = status.clone();
    settings.store.keeper = Some(Keeper(Arc::new(move |session, exchanges| asked.has(session, exchanges))));
    Some(status)
}

/// Starts to ship to the archive. That it can't be reached is no reason not to record.
fn ship(settings: &Settings, log: &Arc<Log>, status: Option<ShippingStatus>) -> Result<Option<Shipper>, StartError> {
    let Some((archive, status)) = settings.archive.clone().zip(status) else { return Ok(None) };
    tracing::info!("shipping to the archive {} as node {}", archive.address, archive.node);
    let config = ShipperConfig { address: archive.address, node: archive.node, log: log.clone(), status };
    Shipper::start(config).map(Some).map_err(StartError::System)
}

fn archive_state(shipping: &ShippingStatus) -> ArchiveState {
    let state = shipping.state();
    ArchiveState {
        shipped: state.shipped,
        behind: state.behind,
        lag_ms: u64::try_from(state.lag.as_millis()).unwrap_or(u64::MAX),
        failures: state.failures,
        failing: state.failing.as_deref().map(str::to_owned),
    }
}

/// The proxy's state for the console. While Mews isn't known to be reachable, asking for it makes an attempt to connect, so
/// that whoever looks need not send a request to learn it.
fn proxy_state(
    addresses: Vec<String>,
    settings: &Settings,
    proxy: Proxy<LogRecorder, Limits>,
    upstream: Reachability,
) -> Box<dyn Fn() -> Option<ProxyState> + Send + Sync> {
    let environment = settings.proxy.environment.to_string();
    let host = Arc::clone(settings.proxy.api.text());
    let proxy = Arc::new(proxy);
    Box::new(move || {
        if upstream.wants_probe(Instant::now()) {
            let (proxy, upstream) = (Arc::clone(&proxy), upstream.clone());
            tokio::spawn(async move { upstream.note_probe(&proxy.probe().await) });
        }
        let State { reachable, since, last_error, .. } = upstream.state();
        Some(ProxyState {
            addresses: addresses.clone(),
            environment: environment.clone(),
            upstream: host.to_string(),
            reachable,
            since,
            last_error,
        })
    })
}

/// How the store of the limits is reached; `None` if they are in memory.
fn limit_store(limits: &Limits, settings: &Settings) -> Option<Box<LimitStoreReport>> {
    let (Limits::Shared(budget), Some(store)) = (limits, &settings.limit_store) else { return None };
    let (budget, address) = (budget.clone(), store.address.to_string());
    let share_of = match store.on_failure {
        OnFailure::Refuse => None,
        OnFailure::Share { nodes } => Some(nodes),
    };
    Some(Box::new(move || {
        let Reach { failing, sharing } = budget.reach();
        LimitStoreState { address: address.clone(), failing, share_of, sharing }
    }))
}

fn gauges(limits: &(impl Admit + Clone), outcomes: &Outcomes, of_log: Gauges) -> Gauges {
    let (limits, outcomes) = (limits.clone(), outcomes.clone());
    let report = move || -> LimitReport {
        let limits = limits.clone();
        Box::pin(async move { Ok(wiring::limit_states(limits.report().await?)) })
    };
    Gauges { limits: Box::new(report), outcomes: Box::new(move || outcomes.list()), ..of_log }
}

/// What the console gets from the log and the configuration, whether or not there is a proxy.
pub(crate) fn log_gauges(log: &Arc<Log>, settings: &Settings) -> Gauges {
    let importing = Arc::clone(log);
    Gauges {
        evidence: Some(keys::evidence_tools(settings, &settings.data)),
        import: Some(Box::new(move |exchanges| importing.import(exchanges))),
        ..reading_gauges(settings)
    }
}

/// What the console gets from the configuration to read any log.
pub(crate) fn reading_gauges(settings: &Settings) -> Gauges {
    let basis = settings.basis_source();
    Gauges { basis: Box::new(move || Ok(basis.current()?)), contracts: contracts(settings), ..Gauges::default() }
}

/// The contracts of the settings, or the built-in ones: recording doesn't depend on them.
fn contracts(settings: &Settings) -> Contracts {
    settings.contracts().unwrap_or_else(|error| {
        let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
        tracing::warn!("{error}{cause}; requests are checked against the built-in documentation");
        Contracts::built_in()
    })
}

/// Raises the limit of open files, and lowers the connection limits to fit.
fn make_room(settings: &mut Settings) {
    let files = Files::raise();
    let (server, proxy) = (&mut settings.server, &mut settings.proxy);
    let wanted = (server.max_connections, proxy.max_tunnels, proxy.max_upstream_connections);
    let fitting = files.fit(wanted.0, wanted.1, wanted.2);
    (server.max_connections, proxy.max_tunnels, proxy.max_upstream_connections) = fitting;
    tracing::info!(
        "limit of open files {} (was {}): fits {} connections, {} WebSockets and {} connections to Mews",
        files.now,
        files.before,
        fitting.0,
        fitting.1,
        fitting.2
    );
    if fitting != wanted {
        tracing::warn!(
            "that is less than `max_connections`, `max_websockets` and `max_upstream_connections`: raise the hard \
             limit of open files (`ulimit -Hn`, or LimitNOFILE in systemd)"
        );
    }
}

/// How long to wait for a command that has the log open.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn open_log(config: nightaudit_store::StoreConfig) -> Result<Log, StartError> {
    let opened = tokio::task::spawn_blocking(move || open_when_free(PATIENCE, || Log::open(config.clone())));
    let log = unwind(opened.await)?;
    let opened = log.opened();
    let (exchanges, sessions) = (counted(opened.exchanges, "exchange"), counted(opened.sessions, "session"));
    tracing::info!("the log has {exchanges} in {sessions}");
    if let [path, more @ ..] = &opened.readable[..] {
        let others = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        tracing::warn!("other users can read {}{others}: run chmod go-rwx on it", path.display());
    }
    if let Some(reason) = &opened.rebuilt {
        tracing::warn!("the index was rebuilt: {reason}");
    }
    if opened.torn_bytes > 0 {
        tracing::warn!("an unfinished write was truncated: {}", counted(opened.torn_bytes, "byte"));
    }
    if opened.interrupted > 0 {
        tracing::warn!("{} interrupted when the last run ended", counted(opened.interrupted, "request"));
    }
    Ok(log)
}

/// A task's result. Our tasks are never cancelled, so a join error is a panic, which is resumed here.
pub(crate) fn unwind<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}
