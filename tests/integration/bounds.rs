//! Bounds over all exchanges: the memory for bodies, and the connections to Mews.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Response;
use http_body_util::{BodyExt as _, Full};
use nightaudit_exchange::FailureKind;
use nightaudit_testkit::{Harness, Process, Setup, Upstream, open_web_socket, post, read_response, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

const MIB: usize = 1 << 20;

/// Long enough for anything that is meant to happen.
const AT_LAST: Duration = Duration::from_secs(120);

fn large(token_first: bool) -> String {
    let (token, text) = (r#""ClientToken":"C","AccessToken":"T""#, format!(r#""Text":"{}""#, "x".repeat(MIB)));
    if token_first { format!("{{{token},{text}}}") } else { format!("{{{text},{token}}}") }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_little_memory_large_bodies_of_many_clients_pass_both_ways_and_are_recorded() {
    const CLIENTS: usize = 32;
    let upstream = Upstream::scripted(|seen| async move {
        Response::new(Full::from(seen.body).map_err(|never| match never {}).boxed())
    })
    .await;
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| (config.keep_body, config.keep_total) = (2 * MIB, 0);
    let harness = Harness::with(Setup { proxy, ..Setup::new(&upstream.url()) }).await;
    let address = harness.address();
    let clients = (0..CLIENTS).map(|at| {
        tokio::spawn(async move {
            let body = large(at % 4 != 0);
            let answer = send(address, &post("files/add", &body)).await;
            assert_eq!((answer.status, answer.body.len()), (200, body.len()));
        })
    });
    for client in clients.collect::<Vec<_>>() {
        timeout(AT_LAST, client).await.expect("clients wait for each other").unwrap();
    }
    for _ in 0..CLIENTS {
        let exchange = harness.recorded().await;
        let (request, response) = (exchange.request.body, exchange.response.unwrap().body);
        assert!(request.length > MIB as u64 && request.length == response.length);
        assert_eq!(request.sha256, response.sha256);
    }
}

/// The most memory that a process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn bodies_for_an_upstream_that_does_not_read_take_no_more_memory_than_they_may() {
    const CLIENTS: usize = 200;
    const BOUND: usize = 16 * MIB;
    /// Of one exchange, as the buffers may grow: 128 KiB read from the client and 128 KiB to be written to the upstream by
    /// hyper, 16 KiB in the guard, a body's first 16 KiB, and two tasks with their heads.
    const OVERHEAD: usize = 320 << 10;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let open = Arc::new(watch::channel(false).0);
    let reads = Arc::clone(&open);
    let (connected, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let upstream = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connected.send(()).unwrap();
            let mut reads = reads.subscribe();
            tokio::spawn(async move {
                reads.wait_for(|open| *open).await.unwrap();
                let mut read = 0;
                let mut buffer = vec![0; 64 << 10];
                while read < MIB {
                    read += stream.read(&mut buffer).await.unwrap();
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await.unwrap();
                // Until the rest is read and the other side closes.
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    std::fs::write(&config, "[body]\nkeep = '2 MiB'\nkeep_total = '16 MiB'\n[timeouts]\nrequest_body = '5m'\n")
        .unwrap();
    let serve = Process::serve(BINARY, &["--upstream", &url, "--config", config.to_str().unwrap()]);
    let before = peak(serve.id());
    let address = serve.proxy();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(async move { send(address, &post("files/add", &large(true))).await.status }))
        .collect();
    for _ in 0..CLIENTS {
        timeout(AT_LAST, arrived.recv()).await.expect("requests wait for each other");
    }
    let taken = peak(serve.id()) - before;
    assert!(taken < BOUND + CLIENTS * OVERHEAD, "{} MiB", taken >> 20);
    open.send_replace(true);
    for client in clients {
        assert_eq!(timeout(AT_LAST, client).await.expect("a request is not answered").unwrap(), 200);
    }
    upstream.abort();
}

/// A host that counts its connections, and answers once it is told to.
struct Counting {
    upstream: Upstream,
    most: Arc<AtomicUsize>,
    open: watch::Sender<bool>,
}

impl Counting {
    async fn start() -> Self {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let open = watch::channel(false).0;
        let (counted, gate) = (Arc::clone(&most), open.subscribe());
        let upstream = Upstream::raw(move |mut stream| {
            let (now, most, mut gate) = (Arc::clone(&now), Arc::clone(&counted), gate.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _ = gate.wait_for(|open| *open).await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                let mut head = Vec::new();
                // The first request's head is read already.
                while stream.write_all(answer).await.is_ok() {
                    head.clear();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => {
                                now.fetch_sub(1, Ordering::SeqCst);
                                return;
                            }
                        }
                    }
                }
            }
        })
        .await;
        Self { upstream, most, open }
    }
}

const GET: &[u8] = b"GET /api/connector/v1/rates/getAll HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_mews_have_a_bound_at_which_requests_wait() {
    let mews = Counting::start().await;
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| {
        config.max_upstream_connections = 2;
        config.timeouts.connect = AT_LAST;
    };
    let harness = Harness::with(Setup { proxy, ..Setup::new(&mews.upstream.url()) }).await;
    let address = harness.address();
    let clients: Vec<_> = (0..20).map(|_| tokio::spawn(async move { send(address, GET).await.status })).collect();
    while mews.most.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    mews.open.send_replace(true);
    for client in clients {
        assert_eq!(timeout(AT_LAST, client).await.expect("a request waits for ever").unwrap(), 200);
    }
    assert_eq!(mews.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_request_for_which_no_connection_becomes_free_is_answered_503() {
    let mews = Counting::start().await;
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| {
        config.max_upstream_connections = 1;
        config.timeouts.connect = Duration::from_millis(300);
    };
    let harness = Harness::with(Setup { proxy, ..Setup::new(&mews.upstream.url()) }).await;
    let address = harness.address();
    let first = tokio::spawn(async move { send(address, GET).await.status });
    while mews.most.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    let answer = send(address, GET).await;
    assert_eq!((answer.status, answer.header("x-nightaudit-error")), (503, Some("overloaded")));
    let error = harness.recorded().await.error.unwrap();
    assert_eq!(error.kind, FailureKind::Overloaded);
    assert!(error.message.contains("all 1 connections to Mews were in use for 300ms (`max_upstream_connections`)"));
    mews.open.send_replace(true);
    assert_eq!(first.await.unwrap(), 200);
    // It is free again, and used again.
    assert_eq!(send(address, GET).await.status, 200);
    assert_eq!(mews.most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_unused_connection_is_closed_for_one_to_another_host() {
    let (api, events) = (Counting::start().await, Counting::start().await);
    api.open.send_replace(true);
    events.open.send_replace(true);
    let proxy = |config: &mut nightaudit_proxy::ProxyConfig| {
        config.max_upstream_connections = 1;
        config.timeouts.connect = AT_LAST;
    };
    let mut setup = Setup { proxy, ..Setup::new(&api.upstream.url()) };
    setup.events = Some(events.upstream.url());
    let harness = Harness::with(setup).await;
    for _ in 0..2 {
        assert_eq!(send(harness.address(), GET).await.status, 200);
        let mut client = TcpStream::connect(harness.address()).await.unwrap();
        client.write_all(&open_web_socket("")).await.unwrap();
        // The host opens none, and its connection stays.
        assert_eq!(timeout(AT_LAST, read_response(&mut client)).await.expect("no connection").status, 200);
    }
    assert_eq!((api.upstream.raw_heads().len(), events.upstream.raw_heads().len()), (2, 2));
}
