//! This proxy without its log: the same server, limits and forwarding, and captures that are dropped.
//!
//! It tells what a request's way costs from what the log costs. `cargo build --profile dist --example unrecorded`, then
//! `unrecorded LISTEN UPSTREAM`, both as `address:port`.

use std::{
    borrow::Cow,
    env,
    error::Error,
    future::{Ready, pending, ready},
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nightaudit_exchange::{Capture, redact_text};
use nightaudit_limit::{Config, KeyParts, Limiter, Rule};
use nightaudit_listen::{ListenConfig, Server, Worker};
use nightaudit_mews::API;
use nightaudit_proxy::{Proxy, ProxyConfig, RecordPermit, Recorder, Unrecordable, UpstreamConfig, UpstreamProxy};
use tokio::{net::TcpListener, runtime};

fn main() -> ExitCode {
    let addresses: Vec<Option<SocketAddr>> = env::args().skip(1).map(|address| address.parse().ok()).collect();
    let [Some(listen), Some(upstream)] = addresses[..] else {
        eprintln!("usage: unrecorded LISTEN UPSTREAM, both as address:port");
        return ExitCode::from(2);
    };
    match serve(listen, upstream) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unrecorded: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves on a thread for each core, as `nightaudit serve` does.
fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<(), Box<dyn Error>> {
    let upstream = format!("http://{upstream}");
    let config = ProxyConfig::new("test", &API, upstream.parse()?, upstream.parse()?);
    let route = UpstreamConfig { ca: None, proxy: UpstreamProxy::None };
    let proxy = Proxy::new(config, &route, Limiter::new(limits())?, Nowhere::default())?;
    let workers = (0..thread::available_parallelism()?.get()).map(|_| {
        let worker = runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = worker.handle().clone();
        thread::spawn(move || worker.block_on(pending::<()>()));
        Ok(Worker { runtime, handler: Arc::new(proxy.sibling(Nowhere::default())) })
    });
    let workers: Vec<_> = workers.collect::<io::Result<_>>()?;
    let acceptor = runtime::Builder::new_current_thread().enable_all().build()?;
    acceptor.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        Server::new(ListenConfig::default()).serve_on(listener, workers, pending()).await;
        Ok(())
    })
}

/// The limit that `run.py` gives all contenders: enforced and never reached.
fn limits() -> Config {
    let rule = Rule {
        name: "compare".to_owned(),
        key: KeyParts { access_token: true, client_token: false, operation: false },
        requests: 1_000_000,
        window: Duration::from_secs(1),
        burst: None,
        paginated_factor: 1,
    };
    Config { rules: vec![rule], ..Config::default() }
}

/// Records nothing. Captures are used again at once, as the log's are once they are encoded.
#[derive(Clone, Default)]
#[expect(clippy::vec_box, reason = "they come boxed and are asked for boxed")]
struct Nowhere(Arc<Mutex<Vec<Box<Capture>>>>);

impl Recorder for Nowhere {
    type Permit = Self;

    async fn reserve(&self) -> Result<Self, Unrecordable> {
        Ok(self.clone())
    }

    fn spare(&self) -> Option<Box<Capture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl RecordPermit for Nowhere {
    type Receipt = Ready<()>;

    fn begin(&mut self, _: &Capture) -> Result<(), Unrecordable> {
        Ok(())
    }

    fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        redact_text(&API, text, tokens)
    }

    fn record(self, mut capture: Box<Capture>) -> Ready<()> {
        capture.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(capture);
        ready(())
    }
}
