//! `nightaudit simulate`

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, ValueHint};
use nightaudit_app::{
    bind,
    config::{Address, Settings, Size},
};
use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_simulator::{Anchor, Config, Faults, Latency, Limit, Simulator, WebhookUrl};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::serve::announce,
    self_signed::{SelfSignedTls, Served},
    signals::stop_on_signal,
};

/// Run a simulated Mews: serves every operation, stores what is added, rejects what Mews rejects
#[derive(Debug, Args)]
#[command(after_long_help = "\
It needs no internet access. Its data is made up, the same for each seed and day, and is lost when it stops. It accepts the
tokens that Mews publishes for its demo. WebSockets are at /ws/connector on the same port.

The header X-Simulator changes the response to one request:
  X-Simulator: size=20MB      pad it to this size, with a property Padding
  X-Simulator: status=503     respond with this error
  X-Simulator: latency=2s     delay it

Examples:
  nightaudit simulate
  nightaudit simulate --listen 127.0.0.1:0 --limit 20/10s --latency 80ms+-40ms
  nightaudit simulate --fail 5xx=1%,408=0.5%
  nightaudit simulate --webhook http://127.0.0.1:3000/hook
  nightaudit simulate --tls --tls-ca ca.pem
  nightaudit serve --upstream https://127.0.0.1:8090 --upstream-ca ca.pem")]
pub(crate) struct Simulate {
    /// The address to listen on: 8090, localhost:8090; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: Address,
    /// Request limit per access token, or none
    #[arg(long, value_name = "COUNT/TIME", default_value = "200/30s")]
    limit: LimitOrNone,
    /// Start the window at the first request of a burst instead of sliding it
    #[arg(long)]
    limit_anchored: bool,
    /// Fail a share of the requests
    #[arg(long, value_name = "STATUS=SHARE,…")]
    fail: Option<Faults>,
    /// Delay responses
    #[arg(long, value_name = "TIME[±TIME]")]
    latency: Option<Latency>,
    /// Send webhooks about changes to this URL
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    webhook: Option<WebhookUrl>,
    /// Accept this token in addition to those that Mews publishes; repeatable
    #[arg(long = "token", value_name = "TOKEN")]
    tokens: Vec<String>,
    /// The seed for the generated data
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Maximum size of a request body
    #[arg(long, value_name = "SIZE", default_value = "20 MiB")]
    max_body: Size,
    #[command(flatten)]
    tls: SelfSignedTls,
}

/// A limit, or `none`.
#[derive(Debug, Clone, Copy)]
struct LimitOrNone(Option<Limit>);

impl std::str::FromStr for LimitOrNone {
    type Err = nightaudit_simulator::InvalidOption;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|limit| Self(Some(limit))) }
    }
}

impl Simulate {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.simulate(settings));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    async fn simulate(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let simulator = Arc::new(Simulator::new(self.config(settings)?));
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let listener = bind(self.listen.0, "listen").await?;
        let address = listener.local_addr()?;
        let Served { tls, authority, url } = self.tls.serve(settings, address)?;
        announce(&[format!("simulator  {url}")]);
        advise(&url, authority.as_deref());
        let listen = nightaudit_listen::ListenConfig { tls, drain: Duration::from_secs(2), ..settings.server.clone() };
        simulator.serve(listener, listen, stop.cancelled()).await;
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self, settings: &Settings) -> anyhow::Result<Config> {
        Ok(Config {
            seed: self.seed,
            contracts: settings.contracts()?,
            tokens: self.tokens.clone(),
            limit: self.limit.0,
            anchor: if self.limit_anchored { Anchor::Burst } else { Anchor::Sliding },
            faults: self.fail.clone().unwrap_or_default(),
            latency: self.latency.unwrap_or_default(),
            max_body: usize::try_from(self.max_body.0).unwrap_or(usize::MAX),
            webhook: self.webhook.clone(),
            ..Config::default()
        })
    }
}

/// Logs what to do next.
fn advise(url: &str, authority: Option<&Path>) {
    let trust = authority.map(|file| format!(" --upstream-ca {}", file.display())).unwrap_or_default();
    let tokens = PUBLISHED_TOKENS[0];
    tracing::info!("to record its traffic: nightaudit serve --upstream {url}{trust}");
    tracing::info!("point the integration's base URL at {url}, or at the recording `serve`");
    tracing::info!("accepts Mews' published tokens: ClientToken {}, AccessToken {}", tokens.client, tokens.access);
}
