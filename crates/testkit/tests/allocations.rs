//! How much memory a request asks for.
//!
//! Counted is what the worker's thread allocates (a reallocation counts as one) from the request's first byte to the
//! response's last, for requests of an ordinary integration on connections that are already open, both ways: the guard,
//! hyper's server and client, limits, journal, and the hand-over to the log. The log's own threads are not counted, and
//! neither are client and upstream, which are threads of the test. A binary of its own, because the counter is the
//! program's allocator.

#![allow(clippy::unwrap_used)]

use std::{
    borrow::Cow,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nightaudit_exchange::Capture;
use nightaudit_limit::{KeyParts, Limiter, Rule};
use nightaudit_listen::{ListenConfig, Server};
use nightaudit_mews::API;
use nightaudit_proxy::{Proxy, ProxyConfig, RecordPermit, Recorder, Unrecordable, UpstreamConfig, UpstreamProxy};
use nightaudit_store::{Durability, Log, QueuePermit, Receipt, StoreConfig};
use tokio::sync::oneshot;

const REQUEST: &str = include_str!("../../../benches/compare/request.json");
const RESPONSE: &str = include_str!("../../../benches/compare/response.json");
/// Requests before the count begins, so that connections are open and buffers have their size.
const WARM: usize = 200;
const COUNTED: usize = 500;

/// What `serve` puts between the proxy and the log, without its counters.
struct LogRecorder(nightaudit_store::Recorder);

struct LogPermit(QueuePermit);

impl Recorder for LogRecorder {
    type Permit = LogPermit;

    async fn reserve(&self) -> Result<LogPermit, Unrecordable> {
        self.0.reserve().await.map(LogPermit).map_err(|failure| Unrecordable { cause: failure.to_string() })
    }

    fn spare(&self) -> Option<Box<Capture>> {
        self.0.spare()
    }
}

impl RecordPermit for LogPermit {
    type Receipt = Receipt;

    fn begin(&mut self, capture: &Capture) -> Result<(), Unrecordable> {
        let entry = self.0.journal_entry(capture);
        self.0.begin(&entry).map_err(|failure| Unrecordable { cause: failure.to_string() })
    }

    fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        self.0.redact(text, tokens)
    }

    fn record(self, capture: Box<Capture>) -> Receipt {
        self.0.record(capture)
    }
}

/// Reads one message with a `Content-Length`; false at the end of the connection.
fn read_message(reader: &mut BufReader<TcpStream>) -> bool {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).is_ok()
}

/// Starts an upstream that responds as Mews would.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = RESPONSE.trim();
    let response = format!(
        "HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 00:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: keep-alive\r\nServer: nginx\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
            let response = response.clone();
            thread::spawn(move || while read_message(&mut reader) && writer.write_all(response.as_bytes()).is_ok() {});
        }
    });
    address
}

/// Sends requests over one connection: those that warm up, and the others once told to.
fn client(proxy: SocketAddr, warm: oneshot::Sender<()>, go: &mpsc::Receiver<()>, done: oneshot::Sender<()>) {
    let stream = TcpStream::connect(proxy).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
    let body = REQUEST.trim();
    let request = format!(
        "POST /api/connector/v1/reservations/getAll/2023-06-06 HTTP/1.1\r\nHost: {proxy}\r\n\
         Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: Some PMS connector/1.0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut exchange = || {
        writer.write_all(request.as_bytes()).unwrap();
        assert!(read_message(&mut reader));
    };
    (0..WARM).for_each(|_| exchange());
    warm.send(()).unwrap();
    go.recv().unwrap();
    (0..COUNTED).for_each(|_| exchange());
    done.send(()).unwrap();
}

/// A rule that decides about each request and refuses none.
fn rule() -> Rule {
    Rule {
        name: "requests".to_owned(),
        key: KeyParts { access_token: true, ..KeyParts::default() },
        requests: 1_000_000,
        window: Duration::from_secs(1),
        burst: None,
        paginated_factor: 1,
    }
}

/// Returns how many allocations the worker makes per request.
fn allocations(durability: Durability) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut store = StoreConfig::new(folder.path().join("data"), &API);
    (store.durability, store.session) = (durability, Some("counted".to_owned()));
    let log = Log::open(store).unwrap();
    let upstream = format!("http://{}", upstream());
    let config = ProxyConfig::new("demo", &API, upstream.parse().unwrap(), upstream.parse().unwrap());
    let limits = nightaudit_limit::Config { rules: vec![rule()], ..nightaudit_limit::Config::default() };
    let (recorder, notifier) = log.recorder().with_notifier();
    let route = UpstreamConfig { ca: None, proxy: UpstreamProxy::None };
    let proxy = Proxy::new(config, &route, Limiter::new(limits).unwrap(), LogRecorder(recorder)).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(notifier.run());
    runtime.spawn(Server::new(ListenConfig::default()).serve(listener, Arc::new(proxy), std::future::pending()));
    let ((warm, is_warm), (go, going), (done, is_done)) = (oneshot::channel(), mpsc::channel(), oneshot::channel());
    let client = thread::spawn(move || client(address, warm, &going, done));
    runtime.block_on(is_warm).unwrap();
    let counted = allocation_counter::measure(|| {
        go.send(()).unwrap();
        runtime.block_on(is_done).unwrap();
    });
    client.join().unwrap();
    drop(runtime);
    log.close();
    counted.count_total as f64 / COUNTED as f64
}

#[test]
fn a_request_makes_fewer_than_twenty_allocations() {
    for durability in [Durability::Batch, Durability::Sync] {
        let made = allocations(durability);
        assert!(made < 20.0, "{durability:?}: {made} allocations per request");
    }
}
