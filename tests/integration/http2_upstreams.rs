//! What HTTP/2 hosts do to a connection, and what must not follow from it.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use nightaudit_exchange::{FailureKind, Outcome};
use nightaudit_limit::{Action, Config, KeyParts, Limiter, Rule};
use nightaudit_testkit::{Authority, Harness, Process, RawResponse, Setup, Upstream, post, read_response, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, read_frame,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// What a scripted host does with a request.
#[derive(Clone, Copy)]
enum Act {
    RawResponse,
    /// Resets its stream with this code as soon as so many bytes of its body have come.
    Reset(u32, usize),
    /// Says that no more requests are taken, as a host does that is about to be restarted, and responses.
    Farewell,
    /// Waits for one that says what becomes of all.
    Wait,
    /// When this many requests are there, names the first of them as the last one in a GOAWAY, responses it, and closes.
    GoAway(usize),
    /// Closes the connection.
    Close,
    /// Answers once so many requests are there.
    Together(usize),
}

struct Request {
    act: Act,
    body: Vec<u8>,
    ended: bool,
}

/// A host that does with its n-th request what a test wants.
struct Host {
    upstream: Upstream,
    /// The bodies of all requests that it has processed, those that it refuses not among them.
    processed: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How many requests have come, whatever became of them.
    came: Arc<AtomicUsize>,
}

impl Host {
    async fn start(authority: &Authority, max_streams: Option<u32>, act: fn(usize) -> Act) -> Self {
        let processed = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let came = Arc::new(AtomicUsize::new(0));
        let present = Arc::new(tokio::sync::watch::channel(0_usize).0);
        let upstream = {
            let (processed, came) = (Arc::clone(&processed), Arc::clone(&came));
            Upstream::raw_over_tls(authority.server_config(&["h2"]), move |mut stream| {
                let (processed, came, present) = (Arc::clone(&processed), Arc::clone(&came), Arc::clone(&present));
                async move {
                    let mut settings = Vec::new();
                    if let Some(max) = max_streams {
                        settings.extend([0, 3]);
                        settings.extend(max.to_be_bytes());
                    }
                    stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await.unwrap();
                    // Room for all that the tests send.
                    let room = 0x3fff_ffff_u32.to_be_bytes();
                    stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &room)).await.unwrap();
                    let mut rest = [0; 6];
                    stream.read_exact(&mut rest).await.unwrap();
                    let mut open: BTreeMap<u32, Request> = BTreeMap::new();
                    while let Some(next) = read_frame(&mut stream).await {
                        match next.kind {
                            SETTINGS if !next.has(ACK) => {
                                stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
                            }
                            PING if !next.has(ACK) => {
                                stream.write_all(&frame(PING, ACK, 0, &next.payload)).await.unwrap();
                            }
                            HEADERS => {
                                assert!(next.has(END_HEADERS));
                                let act = act(came.fetch_add(1, Ordering::SeqCst));
                                open.insert(next.stream, Request { act, body: Vec::new(), ended: false });
                                let limit = max_streams.unwrap_or(u32::MAX);
                                assert!(open.len() <= usize::try_from(limit).unwrap(), "more streams than allowed");
                                stream.write_all(&frame(WINDOW_UPDATE, 0, next.stream, &room)).await.unwrap();
                            }
                            DATA => {
                                if let Some(request) = open.get_mut(&next.stream) {
                                    request.body.extend(&next.payload);
                                }
                            }
                            _ => {}
                        }
                        let Some(request) = open.get_mut(&next.stream) else { continue };
                        request.ended |= matches!(next.kind, DATA | HEADERS) && next.has(END_STREAM);
                        let response = |id: u32, body: Vec<u8>| {
                            processed.lock().unwrap().push(body);
                            // `:status: 200` stands in HPACK's own table.
                            [frame(HEADERS, END_HEADERS, id, &[0x88]), frame(DATA, END_STREAM, id, b"{}")].concat()
                        };
                        match request.act {
                            Act::Reset(code, after) if request.body.len() >= after => {
                                open.remove(&next.stream);
                                stream
                                    .write_all(&frame(RST_STREAM, 0, next.stream, &code.to_be_bytes()))
                                    .await
                                    .unwrap();
                            }
                            Act::Together(count) if request.ended => {
                                present.send_modify(|present| *present += 1);
                                present.subscribe().wait_for(|present| *present >= count).await.unwrap();
                                request.act = Act::RawResponse;
                            }
                            Act::Close if request.ended => return,
                            Act::Farewell if request.ended => {
                                let payload = [0x7fff_ffff_u32.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
                                stream.write_all(&frame(GOAWAY, 0, 0, &payload)).await.unwrap();
                                request.act = Act::RawResponse;
                            }
                            _ => {}
                        }
                        let going = open.values().find_map(|request| match request.act {
                            Act::GoAway(count) => Some(count),
                            _ => None,
                        });
                        if going.is_some_and(|count| open.len() >= count) && open.values().all(|request| request.ended)
                        {
                            let (id, first) = open.pop_first().unwrap();
                            let payload = [id.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
                            stream.write_all(&frame(GOAWAY, 0, 0, &payload)).await.unwrap();
                            stream.write_all(&response(id, first.body)).await.unwrap();
                            let _ = stream.shutdown().await;
                            // Until the other side has closed, too, as servers do lest a reset destroys what they sent.
                            let _ = stream.read_to_end(&mut Vec::new()).await;
                            return;
                        }
                        if let Some(request) = open.get(&next.stream)
                            && matches!(request.act, Act::RawResponse)
                            && request.ended
                        {
                            let body = open.remove(&next.stream).unwrap().body;
                            let _ = stream.write_all(&response(next.stream, body)).await;
                        }
                    }
                }
            })
            .await
        };
        Self { upstream, processed, came }
    }

    fn processed(&self) -> Vec<Vec<u8>> {
        let mut bodies = self.processed.lock().unwrap().clone();
        bodies.sort();
        bodies
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

async fn harness(authority: &Authority, host: &Host) -> Harness {
    let mut setup = Setup::new(&host.upstream.url());
    setup.ca = Some(authority.ca_file());
    Harness::with(setup).await
}

/// Sends as many requests at once; the bodies differ.
async fn send_all(harness: &Harness, count: usize) -> (Vec<Vec<u8>>, Vec<RawResponse>) {
    let bodies: Vec<String> = (0..count).map(|at| format!(r#"{{"AccessToken":"T","At":{at:03}}}"#)).collect();
    let mut sending = JoinSet::new();
    for body in &bodies {
        let (address, request) = (harness.address(), post("bills/add", body));
        sending.spawn(async move { send(address, &request).await });
    }
    (bodies.into_iter().map(String::into_bytes).collect(), sending.join_all().await)
}

fn limiter(requests: u32) -> Limiter {
    let rule = Rule {
        name: "published".into(),
        key: KeyParts { access_token: true, client_token: false, operation: false },
        requests,
        window: Duration::from_secs(3600),
        burst: None,
        paginated_factor: 1,
    };
    Limiter::new(Config { rules: vec![rule], slack: Duration::ZERO, action: Action::Reject }).unwrap()
}

#[tokio::test]
async fn regression_requests_above_the_last_stream_of_a_goaway_became_502() {
    let authority = Authority::new();
    // The first request opens the connection; of the next three, together on it, one is answered.
    let host = Host::start(&authority, None, |at| match at {
        1 | 2 => Act::Wait,
        3 => Act::GoAway(3),
        _ => Act::RawResponse,
    })
    .await;
    let mut setup = Setup::new(&host.upstream.url());
    setup.ca = Some(authority.ca_file());
    setup.limiter = limiter(4);
    let harness = Harness::with(setup).await;
    let (first, responses) = send_all(&harness, 1).await;
    assert_eq!(responses[0].status, 200);
    let (others, responses) = send_all(&harness, 3).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    // Each is processed once, whole, recorded once, and counted once.
    let mut expected = [first, others].concat();
    expected.sort();
    assert_eq!((host.processed(), host.came()), (expected, 4 + 2));
    for _ in 0..4 {
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.status()), (Outcome::Answered, Some(200)));
        assert!(exchange.times_us.forwarded.is_some() && exchange.destination.is_some());
    }
    let (_, responses) = send_all(&harness, 1).await;
    assert_eq!((responses[0].status, responses[0].header("x-nightaudit-limited")), (429, Some("test/published")));
    assert_eq!(harness.recorded().await.limit.unwrap().used, 4);
}

#[tokio::test]
async fn a_graceful_goaway_disturbs_neither_what_is_under_way_nor_what_follows() {
    let authority = Authority::new();
    let host = Host::start(&authority, None, |_| Act::Farewell).await;
    let harness = harness(&authority, &host).await;
    for requests in 1..=5 {
        let (_, responses) = send_all(&harness, 1).await;
        assert_eq!((responses[0].status, host.came()), (200, requests));
        // Each has a connection of its own, since the one before takes no more.
        assert_eq!(host.upstream.raw_heads().len(), requests);
    }
}

#[tokio::test]
async fn regression_a_refused_stream_became_502() {
    let authority = Authority::new();
    let host = Host::start(&authority, None, |at| match at {
        0..4 => Act::Reset(REFUSED_STREAM, 0),
        _ => Act::RawResponse,
    })
    .await;
    let harness = harness(&authority, &host).await;
    let (bodies, responses) = send_all(&harness, 1).await;
    assert_eq!((responses[0].status, host.came()), (200, 5));
    assert_eq!(host.processed(), bodies);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_sent_again_is_interrupted_once() {
    let authority = Authority::new();
    let host = Host::start(&authority, None, |at| match at {
        0 => Act::Reset(REFUSED_STREAM, 0),
        _ => Act::Wait,
    })
    .await;
    let (folder, ca) = (tempfile::tempdir().unwrap(), authority.ca_file());
    let (data, url) = (folder.path().join("data"), host.upstream.url());
    let arguments = ["--upstream", &url, "--upstream-ca", ca.to_str().unwrap(), "--session", "again"];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    stream.write_all(&post("bills/add", r#"{"AccessToken":"T"}"#)).await.unwrap();
    while host.came() < 2 {
        tokio::task::yield_now().await;
    }
    serve.kill();
    let serve = Process::serve_on(BINARY, &data, &arguments);
    let output = serve.run(BINARY, &["tail", "--no-follow", "--json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() == 1 && lines.contains(r#""outcome":"interrupted""#), "{lines}");
    let limits = serve.run(BINARY, &["limits", "--json"]);
    let limits = String::from_utf8(limits.stdout).unwrap();
    assert!(limits.contains(r#""used":1,"#), "{limits}");
}

#[tokio::test]
async fn what_is_always_refused_is_tried_a_bounded_number_of_times_and_counts_for_no_limit() {
    let authority = Authority::new();
    let host = Host::start(&authority, None, |_| Act::Reset(REFUSED_STREAM, 0)).await;
    let mut setup = Setup::new(&host.upstream.url());
    setup.ca = Some(authority.ca_file());
    setup.limiter = limiter(1);
    let harness = Harness::with(setup).await;
    for again in 1..=2 {
        let (_, responses) = send_all(&harness, 1).await;
        assert_eq!((responses[0].status, responses[0].header("x-nightaudit-error")), (502, Some("closed")));
        assert_eq!(host.came(), 8 * again);
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.times_us.forwarded), (Outcome::Failed, None));
    }
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    let authority = Authority::new();
    for act in [|_| Act::Reset(INTERNAL_ERROR, 0), |_| Act::Reset(NO_ERROR, 0), |_| Act::Close] {
        let host = Host::start(&authority, None, act).await;
        let harness = harness(&authority, &host).await;
        let (_, responses) = send_all(&harness, 1).await;
        assert_eq!((responses[0].status, responses[0].header("x-nightaudit-error")), (502, Some("closed")));
        assert_eq!(host.came(), 1);
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Failed);
        assert!(exchange.times_us.forwarded.is_some());
    }
}

#[tokio::test]
async fn a_refused_body_is_sent_again_as_far_as_it_is_kept() {
    let authority = Authority::new();
    let host = Host::start(&authority, None, |at| match at {
        0 => Act::Reset(REFUSED_STREAM, 800_000),
        1 => Act::RawResponse,
        _ => Act::Reset(REFUSED_STREAM, 3_000_000),
    })
    .await;
    let harness = harness(&authority, &host).await;
    // More than is kept.
    let body = format!(r#"{{"AccessToken":"T","Text":"{}"}}"#, "x".repeat(4_000_000));
    let request = post("bills/add", &body);
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(&request[..900_000]).await.unwrap();
    while host.came() < 2 {
        tokio::task::yield_now().await;
    }
    stream.write_all(&request[900_000..]).await.unwrap();
    assert_eq!(read_response(&mut stream).await.status, 200);
    assert!(host.processed() == [body.clone().into_bytes()], "the body is not the same");
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.request.body.length), (Outcome::Answered, body.len() as u64));
    // Too much of the next has passed when it is refused.
    let response = send(harness.address(), &post("bills/add", &body)).await;
    assert_eq!((response.status, response.header("x-nightaudit-error")), (502, Some("closed")));
    assert_eq!(host.came(), 3);
    let error = harness.recorded().await.error.unwrap();
    assert!(error.kind == FailureKind::Closed && error.message.contains("too much of its body"), "{}", error.message);
}

#[tokio::test]
async fn a_host_that_allows_one_stream_gets_more_connections() {
    let authority = Authority::new();
    // Asserts that no connection has two at once, and responses none before all are there.
    let host = Host::start(&authority, Some(1), |_| Act::Together(8)).await;
    let harness = harness(&authority, &host).await;
    let (bodies, responses) = send_all(&harness, 8).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    assert_eq!((host.processed(), host.came()), (bodies, 8));
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_not_used_again() {
    let authority = Authority::new();
    let host = Host::start(&authority, None, |_| Act::RawResponse).await;
    let mut setup = Setup::new(&host.upstream.url());
    setup.ca = Some(authority.ca_file());
    setup.proxy = |config| config.timeouts.upstream_idle = Duration::ZERO;
    let harness = Harness::with(setup).await;
    for requests in 1..=3 {
        let (_, responses) = send_all(&harness, 1).await;
        assert_eq!((responses[0].status, host.upstream.raw_heads().len()), (200, requests));
    }
}

#[tokio::test]
async fn a_host_that_allows_no_stream_is_said_to_be_the_cause() {
    let authority = Authority::new();
    let host = Host::start(&authority, Some(0), |_| Act::RawResponse).await;
    let harness = harness(&authority, &host).await;
    let (_, responses) = send_all(&harness, 1).await;
    assert_eq!((responses[0].status, responses[0].header("x-nightaudit-error")), (502, Some("closed")));
    assert!(harness.recorded().await.error.unwrap().message.contains("MAX_CONCURRENT_STREAMS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_clients_that_do_not_read_held_up_the_others() {
    let authority = Authority::new();
    // More than the sockets on the way take.
    let large = Bytes::from(vec![b'x'; 48 << 20]);
    let mews = Upstream::http(Some(authority.server_config(&["h2"])), move |seen| {
        let body = if seen.head.uri.path().ends_with("/large") { large.clone() } else { Bytes::from_static(b"{}") };
        async move { Response::new(Full::from(body).map_err(|never| match never {}).boxed()) }
    })
    .await;
    let mut setup = Setup::new(&mews.url());
    setup.ca = Some(authority.ca_file());
    let harness = Harness::with(setup).await;
    assert_eq!(send(harness.address(), &post("small", "{}")).await.status, 200);
    let mut stalled = Vec::new();
    for clients in [2, 20] {
        while stalled.len() < clients {
            let mut stream = TcpStream::connect(harness.address()).await.unwrap();
            stream.write_all(&post("large", "{}")).await.unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            stalled.push(stream);
        }
        let small = async {
            for _ in 0..12 {
                assert_eq!(send(harness.address(), &post("small", "{}")).await.status, 200);
            }
        };
        let small = tokio::time::timeout(Duration::from_secs(60), small).await;
        assert!(small.is_ok(), "small requests hang behind {clients} clients that don't read");
    }
}

/// An nginx of the test's own; it ends with the test.
struct Nginx(Child, tempfile::TempDir);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_of_800_requests_to_an_nginx_that_closes_after_ten_up_to_91_became_502() {
    if Command::new("nginx").arg("-v").output().is_err() {
        eprintln!("SKIPPED: nginx is not installed");
        return;
    }
    let authority = Authority::new();
    let (certificate, key) = authority.certificate_files();
    for (streams, clients) in [(128, 8), (1, 8), (128, 64)] {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log error.log; events {{}}
            http {{
                access_log access.log; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                keepalive_requests 10; http2_max_concurrent_streams {streams};
                server {{
                    listen 127.0.0.1:{port} ssl http2;
                    ssl_certificate {}; ssl_certificate_key {};
                    location / {{ default_type application/json; return 200 '{{}}'; }}
                }}
            }}",
            certificate.display(),
            key.display()
        );
        std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut nginx = Nginx(child, folder);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(nginx.0.try_wait().unwrap().is_none(), "nginx ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut setup = Setup::new(&format!("https://localhost:{port}"));
        setup.ca = Some(authority.ca_file());
        let harness = Arc::new(Harness::with(setup).await);
        let mut sending = JoinSet::new();
        for client in 0..clients {
            let harness = Arc::clone(&harness);
            sending.spawn(async move {
                let mut statuses = Vec::new();
                for _ in (client..800).step_by(clients) {
                    statuses.push(send(harness.address(), &post("bills/add", r#"{"AccessToken":"T"}"#)).await.status);
                }
                statuses
            });
        }
        let statuses = sending.join_all().await.concat();
        let good = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!((statuses.len(), good), (800, 800), "with {streams} streams and {clients} clients");
        // Each reached nginx once.
        let log = std::fs::read_to_string(nginx.1.path().join("access.log")).unwrap();
        assert_eq!(log.lines().filter(|line| line.contains(" 200 ")).count(), 800);
    }
}
