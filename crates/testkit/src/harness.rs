//! A proxy within the test's process.

use std::{borrow::Cow, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc};

use nightaudit_exchange::{Capture, Exchange, PseudonymKey, Redactor, SessionId, redact_text};
use nightaudit_limit::{Admit, Limiter};
use nightaudit_listen::Server;
use nightaudit_mews::API;
use nightaudit_proxy::{Proxy, ProxyConfig, RecordPermit, Recorder, Unrecordable, UpstreamConfig};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::task::AbortOnDropHandle;

/// The configuration of a [`Harness`].
pub struct Setup<A = Limiter> {
    /// The API's host.
    pub upstream: String,
    /// The WebSocket host; by default the API's.
    pub events: Option<String>,
    /// Certificate authorities to trust.
    pub ca: Option<PathBuf>,
    /// The proxy's configuration.
    pub proxy: fn(&mut ProxyConfig),
    /// The listener's configuration.
    pub listen: nightaudit_listen::ListenConfig,
    /// The corporate proxy.
    pub via: nightaudit_proxy::UpstreamProxy,
    /// The limits.
    pub limiter: A,
}

impl Setup {
    /// The defaults, without limits and corporate proxy.
    #[must_use]
    pub fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            events: None,
            ca: None,
            proxy: |_| {},
            listen: nightaudit_listen::ListenConfig::default(),
            via: nightaudit_proxy::UpstreamProxy::None,
            limiter: unlimited(),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn limited_by<A>(self, limiter: A) -> Setup<A> {
        let Self { upstream, events, ca, proxy, listen, via, limiter: _ } = self;
        Setup { upstream, events, ca, proxy, listen, via, limiter }
    }
}

/// A proxy on a free loopback port that records in memory; stopped on drop.
pub struct Harness {
    address: SocketAddr,
    exchanges: tokio::sync::Mutex<mpsc::UnboundedReceiver<Exchange>>,
    gate: Gate,
    _task: AbortOnDropHandle<()>,
}

impl Harness {
    /// Starts a proxy for this upstream.
    pub async fn start(upstream: &str) -> Self {
        Self::with(Setup::new(upstream)).await
    }

    /// Starts a proxy with this configuration.
    pub async fn with<A: Admit>(setup: Setup<A>) -> Self {
        let events = setup.events.as_ref().unwrap_or(&setup.upstream);
        let mut config = ProxyConfig::new("test", &API, setup.upstream.parse().unwrap(), events.parse().unwrap());
        (setup.proxy)(&mut config);
        let upstream = UpstreamConfig { ca: setup.ca, proxy: setup.via };
        let (sender, exchanges) = mpsc::unbounded_channel();
        let gate = Gate(Arc::new(watch::channel(true).0));
        let recorder = Memory { sender, gate: gate.clone() };
        let proxy = Proxy::new(config, &upstream, setup.limiter, recorder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            Server::new(setup.listen).serve(listener, Arc::new(proxy), std::future::pending()).await;
        });
        let exchanges = tokio::sync::Mutex::new(exchanges);
        Self { address, exchanges, gate, _task: AbortOnDropHandle::new(task) }
    }

    /// The proxy's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next recorded exchange.
    pub async fn recorded(&self) -> Exchange {
        self.exchanges.lock().await.recv().await.unwrap()
    }

    /// The gate for the recorder's receipts.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

/// Holds receipts back, like a slow disk.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Holds all receipts from now on.
    pub fn close(&self) {
        self.0.send_replace(false);
    }

    /// Releases all receipts.
    pub fn open(&self) {
        self.0.send_replace(true);
    }
}

fn unlimited() -> Limiter {
    Limiter::new(nightaudit_limit::Config { rules: Vec::new(), ..nightaudit_limit::Config::default() }).unwrap()
}

struct Memory {
    sender: mpsc::UnboundedSender<Exchange>,
    gate: Gate,
}

struct InMemory {
    sender: mpsc::UnboundedSender<Exchange>,
    gate: Gate,
}

impl Recorder for Memory {
    type Permit = InMemory;

    async fn reserve(&self) -> Result<InMemory, Unrecordable> {
        Ok(InMemory { sender: self.sender.clone(), gate: self.gate.clone() })
    }
}

impl RecordPermit for InMemory {
    type Receipt = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn begin(&mut self, _: &Capture) -> Result<(), Unrecordable> {
        Ok(())
    }

    fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        redact_text(&API, text, tokens)
    }

    fn record(self, mut capture: Box<Capture>) -> Self::Receipt {
        let session = SessionId::from_parts(0, 0);
        let name = capture.session.clone().unwrap_or_else(|| "test".into());
        let exchange = Redactor::new(&API, &[], PseudonymKey::ephemeral()).exchange(&mut capture, session, &name, 1);
        // The test may have stopped receiving.
        let _ = self.sender.send(exchange);
        let mut open = self.gate.0.subscribe();
        Box::pin(async move {
            let _ = open.wait_for(|open| *open).await;
        })
    }
}
