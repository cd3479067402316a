//! Several `serve` with one budget, before a host that notes every arrival, under loads that are uneven.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::Response;
use http_body_util::{BodyExt as _, Full};
use nightaudit_testkit::{Process, Upstream, post, send, try_send};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet, time::sleep};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
/// The default: what arrival times may vary by.
pub(crate) const SLACK: Duration = Duration::from_millis(250);
const TOKEN: &str = "the-token-of-all-of-them";

/// Nodes before one host.
pub(crate) struct Fleet {
    limit: usize,
    window: Duration,
    pub(crate) nodes: Vec<Option<Process>>,
    host: Upstream,
    arrivals: Arc<Mutex<HashMap<u64, Instant>>>,
    folder: TempDir,
    loads: JoinSet<Vec<Sent>>,
    stop: watch::Sender<bool>,
    sent: Vec<Sent>,
}

/// A request as a client saw it.
#[derive(Debug)]
pub(crate) struct Sent {
    number: u64,
    begun: Instant,
    ended: Instant,
    /// 0 without a response.
    pub(crate) status: u16,
    pub(crate) error: Option<String>,
}

impl Fleet {
    /// A fleet without nodes, with a limit of so many requests in a window.
    pub(crate) async fn new(limit: usize, window: Duration) -> Self {
        let arrivals: Arc<Mutex<HashMap<u64, Instant>>> = Arc::default();
        let seen = Arc::clone(&arrivals);
        let host = Upstream::scripted(move |request| {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let number = body["Number"].as_u64().unwrap();
            let twice = seen.lock().unwrap().insert(number, Instant::now());
            assert!(twice.is_none(), "{number} was sent twice");
            async { Response::new(Full::from("{}").map_err(|never| match never {}).boxed()) }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let (stop, _) = watch::channel(false);
        let (nodes, loads, sent) = (Vec::new(), JoinSet::new(), Vec::new());
        Self { limit, window, nodes, host, arrivals, folder, loads, stop, sent }
    }

    /// Starts another node, with these environment variables.
    pub(crate) fn add(&mut self, store: &str, variables: &[(&str, &str)]) {
        self.nodes.push(None);
        self.start(self.nodes.len() - 1, store, variables);
    }

    /// Starts a node with the name and the log that it had before.
    pub(crate) fn start(&mut self, node: usize, store: &str, variables: &[(&str, &str)]) {
        let name = format!("node-{node}");
        let data = self.folder.path().join(&name);
        let (host, limit) = (self.host.url(), format!("{}/{}ms", self.limit, self.window.as_millis()));
        let arguments =
            ["--upstream", &host, "--limit", &limit, "--limit-store", store, "--durability", "batch", "--quiet"];
        // The wait is long, since the machine may be busy.
        let own = [("NIGHTAUDIT_LIMIT_NODE", name.as_str()), ("NIGHTAUDIT_LIMIT_STORE_TIMEOUT", "1s")];
        let process = Process::serve_with(BINARY, &data, &arguments, &[&own, variables].concat());
        self.nodes[node] = Some(process);
    }

    pub(crate) fn proxy(&self, node: usize) -> SocketAddr {
        self.nodes[node].as_ref().unwrap().proxy()
    }

    /// Hammers a node with so many clients, each with a pause between its requests.
    pub(crate) fn load(&mut self, node: usize, clients: u64, pause: Duration) {
        let address = self.proxy(node);
        for client in 0..clients {
            let mut stop = self.stop.subscribe();
            // The process is part of it: a node that was started again gets other requests.
            let run = u64::from(self.nodes[node].as_ref().unwrap().id() & 0xffff);
            let first = (node as u64) << 56 | client << 48 | run << 32;
            self.loads.spawn(async move {
                let mut all = Vec::new();
                for number in first.. {
                    if *stop.borrow_and_update() {
                        break;
                    }
                    let begun = Instant::now();
                    let request = post("resources/getAll", &body(number));
                    let sending = try_send(address, &request);
                    let bounded =
                        tokio::time::timeout(Duration::from_secs(60), sending).await.expect("a response in time");
                    let ended = Instant::now();
                    // A node that was killed responds nothing.
                    let (status, error) = bounded.map_or((0, None), |response| {
                        (response.status, response.header("x-nightaudit-error").map(str::to_owned))
                    });
                    all.push(Sent { number, begun, ended, status, error });
                    if status == 0 {
                        break;
                    }
                    sleep(pause).await;
                }
                all
            });
        }
    }

    /// Uneven loads on all nodes.
    pub(crate) fn load_all(&mut self) {
        for node in 0..self.nodes.len() {
            let clients = [6, 1, 2, 1, 3, 1, 1, 1][node % 8];
            self.load(node, clients, Duration::from_millis(15));
        }
    }

    /// Waits until the first request is admitted.
    pub(crate) async fn open(&self) {
        let asked = async {
            for number in 0.. {
                if send(self.proxy(0), &post("resources/getAll", &body(u64::MAX - number))).await.status == 200 {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asked).await.expect("the windows open");
    }

    /// Ends the loads. The host has never had more than the limit in any window.
    pub(crate) async fn end(&mut self) {
        self.stop.send_replace(true);
        while let Some(sent) = self.loads.join_next().await {
            self.sent.extend(sent.unwrap());
        }
        let mut arrivals: Vec<Instant> = self.arrivals.lock().unwrap().values().copied().collect();
        arrivals.sort();
        for (first, last) in arrivals.iter().zip(arrivals.iter().skip(self.limit)) {
            assert!(*last - *first > self.window, "{} requests within {:?}", self.limit + 1, *last - *first);
        }
    }

    /// What the clients saw, once the loads have ended.
    pub(crate) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// What was free of the limit whenever a request was refused since an instant: the most, and the mean; `None` if none was
    /// refused. Each refused one is compared with what was sent within the window and slack before it, and a hundredth of that more.
    pub(crate) fn wasted(&self, since: Instant) -> Option<(usize, f64)> {
        let arrivals = self.arrivals.lock().unwrap();
        let begun: HashMap<u64, Instant> = self.sent.iter().map(|request| (request.number, request.begun)).collect();
        let all: Vec<(Instant, Instant)> =
            arrivals.iter().map(|(number, at)| (*begun.get(number).unwrap_or(at), *at)).collect();
        let counts = (self.window + SLACK).mul_f64(1.01);
        let used = |refused: &Sent| {
            all.iter().filter(|(begun, arrived)| *arrived + counts > refused.begun && *begun < refused.ended).count()
        };
        let refused = self.sent.iter().filter(|request| request.status == 429 && request.begun >= since);
        let free: Vec<usize> = refused.map(|refused| self.limit.saturating_sub(used(refused))).collect();
        let most = free.iter().copied().max()?;
        Some((most, free.iter().sum::<usize>() as f64 / free.len() as f64))
    }

    /// Requests that arrived since an instant.
    pub(crate) fn arrived_since(&self, since: Instant) -> usize {
        self.arrivals.lock().unwrap().values().filter(|arrival| **arrival >= since).count()
    }

    /// Requests of a node that arrived since an instant.
    pub(crate) fn arrived_of(&self, node: usize, since: Instant) -> usize {
        let arrivals = self.arrivals.lock().unwrap();
        arrivals.iter().filter(|(number, arrival)| **number >> 56 == node as u64 && **arrival >= since).count()
    }
}

/// A request with the token that all share.
pub(crate) fn body(number: u64) -> String {
    format!(r#"{{"AccessToken":"{TOKEN}","Number":{number}}}"#)
}
