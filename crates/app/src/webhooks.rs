//! The port that webhooks pass through, from Mews to the integration.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nightaudit_exchange::Api;
use nightaudit_limit::Limiter;
use nightaudit_listen::{ListenConfig, Server};
use nightaudit_proxy::{Proxy, ProxyConfig, Timeouts, UpstreamConfig, UpstreamProxy, WebhookTarget};
use rustls::ServerConfig;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Settings, WebhookSettings},
    error::StartError,
    listening::bind,
    recorder::LogRecorder,
};

/// Concurrent connections of those who send webhooks; more wait to be accepted.
pub(crate) const CONNECTIONS: usize = 128;

/// Concurrent connections to the integration; more webhooks wait for one.
const UPSTREAM_CONNECTIONS: usize = 64;

/// Memory for bodies. A webhook has a few kilobytes.
const KEEP_TOTAL: usize = 16 << 20;

/// Mews waits 5 seconds for a response (Webhooks FAQ). Connecting takes less, so that it gets a 502 when the integration is
/// down; a slow response is left to Mews' own patience.
const CONNECT: Duration = Duration::from_secs(4);
const RESPONSE: Duration = Duration::from_secs(60);

/// What messages call the upstream of webhooks.
static INTEGRATION: Api = Api { name: "the integration", possessive: "the integration's", ..nightaudit_mews::API };

/// The bound port, and the proxy behind it.
pub(crate) struct WebhookPort {
    listener: TcpListener,
    address: SocketAddr,
    forward: WebhookTarget,
    proxy: Proxy<LogRecorder>,
}

impl WebhookPort {
    pub(crate) async fn bind(settings: &Settings, recorder: LogRecorder) -> Result<Option<Self>, StartError> {
        let Some(WebhookSettings { listen, forward }) = &settings.webhooks else { return Ok(None) };
        let listener = bind(*listen, "webhooks.listen").await?;
        let address = listener.local_addr().map_err(StartError::System)?;
        // No rule counts them: the limits are Mews' on the integration.
        let unlimited =
            Limiter::new(nightaudit_limit::Config { rules: Vec::new(), ..nightaudit_limit::Config::default() })?;
        let upstream = UpstreamConfig { proxy: UpstreamProxy::None, ..settings.upstream.clone() };
        let proxy = Proxy::new(config(settings, forward), &upstream, unlimited, recorder)?;
        Ok(Some(Self { listener, address, forward: forward.clone(), proxy }))
    }

    /// The URL that webhooks are sent to, and the one that they go to.
    pub(crate) fn way(&self, tls: bool) -> (String, String) {
        (format!("{}://{}", crate::listening::scheme(tls), self.address), self.forward.to_string())
    }

    /// Serves until `stop` is cancelled and requests in flight have finished.
    pub(crate) fn serve(
        self,
        tls: Option<Arc<ServerConfig>>,
        listen: ListenConfig,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let listen = ListenConfig { tls, max_connections: CONNECTIONS, ..listen };
        tokio::spawn(async move {
            Server::new(listen).serve(self.listener, Arc::new(self.proxy), stop.cancelled()).await;
        })
    }
}

fn config(settings: &Settings, forward: &WebhookTarget) -> ProxyConfig {
    let own = &settings.proxy;
    let origin = forward.origin();
    let mut config = ProxyConfig::new(&own.environment, &INTEGRATION, origin.clone(), origin.clone());
    config.webhook = Some(forward.clone());
    config.keep_body = own.keep_body;
    config.keep_total = own.keep_total.min(KEEP_TOTAL);
    config.min_body_rate = own.min_body_rate;
    // A flood of webhooks leaves most of the log's queue to the integration's own requests.
    config.queue = (own.queue / 4).max(1);
    config.max_tunnels = 0;
    config.max_upstream_connections = UPSTREAM_CONNECTIONS;
    config.rewrite_redirects = false;
    config.timeouts = Timeouts {
        connect: own.timeouts.connect.min(CONNECT),
        response_head: own.timeouts.response_head.min(RESPONSE),
        ..own.timeouts
    };
    config
}
