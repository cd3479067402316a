//! Several machines with one budget in Redis, before a host that counts every arrival. Says that it skips without Redis.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::Response;
use http_body_util::{BodyExt as _, Full};
use nightaudit_testkit::{Line, Process, Redis, Upstream, post, send};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet, time::sleep};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const LIMIT: usize = 60;
const WINDOW: Duration = Duration::from_secs(2);
/// The default: what arrival times may vary by.
const SLACK: Duration = Duration::from_millis(250);
const TOKEN: &str = "the-token-of-all-of-them";

/// Nodes and windows: few by default, and `NIGHTAUDIT_TEST_NODES` nodes for five windows in the long lane of `.ci/run`.
fn size() -> (usize, u32) {
    std::env::var("NIGHTAUDIT_TEST_NODES").map_or((3, 2), |nodes| (nodes.parse().unwrap(), 5))
}

/// Nodes before one host.
struct Fleet {
    host: Upstream,
    arrivals: Arc<Mutex<HashMap<u64, Instant>>>,
    nodes: Vec<Option<Process>>,
    folder: TempDir,
    loads: JoinSet<Vec<Sent>>,
    stop: watch::Sender<bool>,
}

/// A request as a client saw it.
struct Sent {
    number: u64,
    begun: Instant,
    ended: Instant,
    status: u16,
    error: Option<String>,
}

impl Fleet {
    async fn new() -> Self {
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
        Self { host, arrivals, nodes: Vec::new(), folder, loads: JoinSet::new(), stop }
    }

    /// Starts another node.
    fn add(&mut self, store: &str, arguments: &[&str]) {
        let name = format!("node-{}", self.nodes.len());
        let data = self.folder.path().join(&name);
        let (host, limit) = (self.host.url(), format!("{LIMIT}/{}s", WINDOW.as_secs()));
        let mut all =
            vec!["--upstream", &host, "--limit", &limit, "--limit-store", store, "--durability", "batch", "--quiet"];
        all.extend(arguments);
        // The wait is long, since the machine may be busy.
        let variables = [("NIGHTAUDIT_LIMIT_NODE", name.as_str()), ("NIGHTAUDIT_LIMIT_STORE_TIMEOUT", "1s")];
        self.nodes.push(Some(Process::serve_with(BINARY, &data, &all, &variables)));
    }

    fn proxy(&self, node: usize) -> SocketAddr {
        self.nodes[node].as_ref().unwrap().proxy()
    }

    /// Hammers a node with so many clients, each with a pause between its requests.
    fn load(&mut self, node: usize, clients: u64, pause: Duration) {
        let address = self.proxy(node);
        for client in 0..clients {
            let mut stop = self.stop.subscribe();
            let first = (node as u64) << 48 | client << 32;
            self.loads.spawn(async move {
                let mut all = Vec::new();
                for number in first.. {
                    if *stop.borrow_and_update() {
                        break;
                    }
                    let body = format!(r#"{{"AccessToken":"{TOKEN}","Number":{number}}}"#);
                    let begun = Instant::now();
                    let request = post("resources/getAll", &body);
                    let sending = tokio::spawn(async move { send(address, &request).await });
                    let bounded =
                        tokio::time::timeout(Duration::from_secs(60), sending).await.expect("a response in time");
                    let ended = Instant::now();
                    // A node that was killed answers nothing.
                    let (status, error) = bounded.map_or((0, None), |response| {
                        (response.status, response.header("x-nightaudit-error").map(str::to_owned))
                    });
                    all.push(Sent { number, begun, ended, status, error });
                    sleep(pause).await;
                }
                all
            });
        }
    }

    /// Uneven loads on all nodes.
    fn load_all(&mut self) {
        for node in 0..self.nodes.len() {
            let clients = [6, 1, 2, 1, 3, 1, 1, 1][node % 8];
            self.load(node, clients, Duration::from_millis(10));
        }
    }

    /// Waits until the first request is admitted.
    async fn open(&self) {
        let asked = async {
            for number in 0.. {
                let body = format!(r#"{{"AccessToken":"{TOKEN}","Number":{}}}"#, u64::MAX - number);
                if send(self.proxy(0), &post("resources/getAll", &body)).await.status == 200 {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asked).await.expect("the windows open");
    }

    /// Ends the loads. The host has never had more than the limit in any window.
    async fn end(&mut self) -> Vec<Sent> {
        self.stop.send_replace(true);
        let mut all = Vec::new();
        while let Some(sent) = self.loads.join_next().await {
            all.extend(sent.unwrap());
        }
        let mut arrivals: Vec<Instant> = self.arrivals.lock().unwrap().values().copied().collect();
        arrivals.sort();
        for (first, last) in arrivals.iter().zip(arrivals.iter().skip(LIMIT)) {
            assert!(*last - *first > WINDOW, "{} requests within {:?}", LIMIT + 1, *last - *first);
        }
        all
    }

    /// The most of the limit that wasn't used when a request was refused. Each refused one is compared with what was sent
    /// within the window and slack before it, and a hundredth of that more.
    fn wasted(&self, sent: &[Sent]) -> usize {
        let arrivals = self.arrivals.lock().unwrap();
        let begun: HashMap<u64, Instant> = sent.iter().map(|request| (request.number, request.begun)).collect();
        let all: Vec<(Instant, Instant)> =
            arrivals.iter().map(|(number, at)| (*begun.get(number).unwrap_or(at), *at)).collect();
        let counts = (WINDOW + SLACK).mul_f64(1.01);
        let used = |refused: &Sent| {
            all.iter().filter(|(begun, arrived)| *arrived + counts > refused.begun && *begun < refused.ended).count()
        };
        let refused = sent.iter().filter(|request| request.status == 429);
        refused.map(|refused| LIMIT.saturating_sub(used(refused))).max().unwrap_or(0)
    }

    /// Requests admitted since an instant.
    fn arrived_since(&self, since: Instant) -> usize {
        self.arrivals.lock().unwrap().values().filter(|arrival| **arrival >= since).count()
    }
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_and_wastes_nothing() {
    let Some(redis) = Redis::start() else { return };
    let mut fleet = Fleet::new().await;
    let (nodes, windows) = size();
    for _ in 0..nodes {
        fleet.add(&redis.url(), &[]);
    }
    fleet.open().await;
    let since = Instant::now();
    fleet.load_all();
    sleep((WINDOW + SLACK) * windows).await;
    let sent = fleet.end().await;
    assert!(sent.iter().all(|request| matches!(request.status, 200 | 429)), "only admitted or refused");
    assert!(fleet.arrived_since(since) > LIMIT, "it goes on: {}", fleet.arrived_since(since));
    let wasted = fleet.wasted(&sent);
    assert!(wasted * 100 <= LIMIT, "{wasted} of {LIMIT} were free when a request was refused");
    // Which node used what. A command may take longer than a window on a busy machine.
    for attempt in 0.. {
        assert!(attempt < 20, "no node is named");
        for node in 0..2 {
            let number = u64::MAX / 2 + 2 * attempt + node as u64;
            let body = format!(r#"{{"AccessToken":"{TOKEN}","Number":{number}}}"#);
            send(fleet.proxy(node), &post("resources/getAll", &body)).await;
        }
        let output = fleet.nodes[0].as_ref().unwrap().run(BINARY, &["limits", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let state: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let Some(nodes) = state["nodes"].as_array() else { continue };
        let used: u64 = nodes.iter().map(|of| of["used"].as_u64().unwrap()).sum();
        assert_eq!(state["used"], used, "{text}");
        if nodes.iter().any(|of| of["node"] == "node-1") {
            break;
        }
    }
}

/// Loads a fleet while something happens, and long enough afterwards for the windows to open again.
async fn while_loaded(nodes: usize, store: &str, happens: impl AsyncFnOnce(&mut Fleet)) -> (Fleet, Vec<Sent>, Instant) {
    let mut fleet = Fleet::new().await;
    for _ in 0..nodes {
        fleet.add(store, &[]);
    }
    fleet.open().await;
    fleet.load_all();
    sleep(WINDOW / 2).await;
    happens(&mut fleet).await;
    let after = Instant::now();
    sleep((WINDOW + SLACK) * 3).await;
    let sent = fleet.end().await;
    (fleet, sent, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_loses_its_memory() {
    let Some(mut redis) = Redis::start() else { return };
    let url = redis.url();
    let (fleet, sent, after) = while_loaded(3, &url, async |_| {
        redis.kill();
        sleep(Duration::from_millis(300)).await;
        redis.launch();
    })
    .await;
    // Redis may be back before a request has waited for it in vain.
    let others = sent.iter().filter(|request| !matches!(request.status, 200 | 429));
    let others: Vec<_> = others.map(|request| (request.status, request.error.as_deref())).collect();
    assert!(others.iter().all(|other| *other == (503, Some("limit-store"))), "{others:?}");
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_never_over_when_redis_comes_back_with_what_it_kept() {
    let Some(mut redis) = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else { return };
    let url = redis.url();
    let (fleet, _, after) = while_loaded(3, &url, async |_| {
        redis.kill();
        redis.launch();
    })
    .await;
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_takes_nothing_but_its_own_requests_with_it() {
    let Some(redis) = Redis::start() else { return };
    let (fleet, _, after) = while_loaded(3, &redis.url(), async |fleet| {
        fleet.nodes[0].take().unwrap().kill();
    })
    .await;
    assert!(fleet.arrived_since(after) >= LIMIT, "the others go on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_for_a_window_sends_nothing_late() {
    let Some(redis) = Redis::start() else { return };
    let (fleet, _, after) = while_loaded(3, &redis.url(), async |fleet| {
        let node = fleet.nodes[0].as_ref().unwrap().id();
        for pause in [WINDOW, WINDOW / 4, WINDOW + SLACK] {
            signal("-STOP", node);
            sleep(pause).await;
            signal("-CONT", node);
            sleep(WINDOW / 3).await;
        }
    })
    .await;
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_bad_line_to_redis_is_never_over() {
    let Some(redis) = Redis::start() else { return };
    let line = Line::to(redis.address()).await;
    let mut fleet = Fleet::new().await;
    fleet.add(&redis.url(), &[]);
    fleet.add(&format!("redis://{}", line.address()), &[]);
    fleet.open().await;
    fleet.load(0, 2, Duration::from_millis(10));
    fleet.load(1, 6, Duration::from_millis(10));
    for delay in [5, 500, 60, 0, 250, 120, 500, 20] {
        line.delay(Duration::from_millis(delay));
        sleep(WINDOW / 3).await;
        line.cut();
    }
    line.delay(Duration::ZERO);
    let after = Instant::now();
    sleep((WINDOW + SLACK) * 2).await;
    fleet.end().await;
    assert!(fleet.arrived_since(after) >= LIMIT, "it goes on: {}", fleet.arrived_since(after));
}
