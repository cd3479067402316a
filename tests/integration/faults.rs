//! Injected faults: what the client gets, what reaches Mews, and what is recorded.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nightaudit_exchange::{Exchange, FaultEnding, Outcome};
use nightaudit_fault::{Ending, Faults};
use nightaudit_limit::{Action, Config, FakeClock, KeyParts, Limiter, Rule};
use nightaudit_proxy::ProxyConfig;
use nightaudit_testkit::{Harness, Setup, Upstream, open_web_socket, post, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

fn inject(config: &ProxyConfig, rule: &str) {
    config.faults.add(rule.parse().unwrap(), Instant::now()).unwrap();
}

async fn with_faults(upstream: &Upstream, faults: fn(&mut ProxyConfig)) -> Harness {
    Harness::with(Setup { proxy: faults, ..Setup::new(&upstream.url()) }).await
}

/// An upstream that responds to one request on each connection with these bytes.
async fn raw(response: &'static str) -> Upstream {
    Upstream::raw(move |mut stream| async move {
        let _ = stream.write_all(response.as_bytes()).await;
        // The proxy closes it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

/// What a client reads until its connection ends, and how it ends.
async fn read_all(harness: &Harness, request: &[u8]) -> (String, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut read = Vec::new();
    let ended = stream.read_to_end(&mut read).await;
    (String::from_utf8(read).unwrap(), ended.err().map(|error| error.kind()))
}

#[tokio::test]
async fn a_made_up_error_has_mews_form_and_never_reaches_it() {
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| {
        inject(config, "bills/*: 429");
        inject(config, "rates/*: 503");
        inject(config, "!bills/*,rates/*,customers/*: 401");
    })
    .await;
    for (operation, status, faults) in [("bills/add", 429, "429"), ("rates/getAll", 503, "503")] {
        let answer = send(harness.address(), &post(operation, BODY)).await;
        assert_eq!((answer.status, answer.header("x-nightaudit-fault")), (status, Some(faults)));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert!(answer.json()["Message"].as_str().unwrap().contains("fault rule of nightaudit"), "{}", answer.json());
        // Mews sends it with a 429 only.
        let wait = answer.header("retry-after").map(|wait| wait.parse::<u64>().unwrap());
        assert_eq!(wait.is_some_and(|wait| (1..=30).contains(&wait)), status == 429, "{wait:?}");
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.status(), &exchange.error), (Outcome::Faulted, Some(status), &None));
        assert_eq!((exchange.times_us.forwarded, &exchange.destination), (None, &None));
        let fault = exchange.fault.as_deref().unwrap();
        assert_eq!((fault.ending, fault.delayed_ms), (Some(FaultEnding::Status(status)), None));
        assert_eq!(exchange.envelope.client.as_deref(), Some("Kiosk 1.0"));
        assert!(exchange.request.body.length == BODY.len() as u64 && !exchange.request.body.truncated);
    }
    assert!(mews.seen().is_empty());
    let answer = send(harness.address(), &post("customers/getAll", BODY)).await;
    assert_eq!((answer.status, answer.header("x-nightaudit-fault")), (200, None));
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.fault), (Outcome::Answered, None));
}

#[tokio::test]
async fn an_exchange_without_a_fault_is_written_as_before() {
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| inject(config, "bills/*: 429")).await;
    send(harness.address(), &post("rates/getAll", BODY)).await;
    let json = serde_json::to_value(harness.recorded().await).unwrap();
    assert_eq!(json.get("fault"), None);
}

#[tokio::test]
async fn a_reset_reaches_the_client_as_one_after_mews_has_answered() {
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| inject(config, "reset")).await;
    for request in [post("bills/add", BODY), open_web_socket("")] {
        let (read, ended) = read_all(&harness, &request).await;
        assert_eq!((&*read, ended), ("", Some(ErrorKind::ConnectionReset)));
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, &exchange.response), (Outcome::Faulted, &None));
        assert!(exchange.times_us.forwarded.is_some() && exchange.destination.is_some());
        let fault = exchange.fault.unwrap();
        assert_eq!((fault.ending, fault.upstream_status), (Some(FaultEnding::Reset), Some(200)));
    }
    assert_eq!(mews.seen().len(), 2);
}

#[tokio::test]
async fn a_reset_of_an_http_2_stream_leaves_its_connection() {
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| inject(config, "bills/*: reset")).await;
    let stream = TcpStream::connect(harness.address()).await.unwrap();
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = |operation: &str| {
        Request::post(format!("http://a/api/connector/v1/{operation}")).body(Full::<Bytes>::from(BODY)).unwrap()
    };
    let error = sender.send_request(request("bills/add")).await.unwrap_err();
    assert!(format!("{error:?}").contains("Reset"), "{error:?}");
    assert_eq!(sender.send_request(request("rates/getAll")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_truncated_response_breaks_off_before_its_end() {
    const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"Cursor\":\"0123456\"}";
    const CHUNKS: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"Cursor\":\"0123456\"}\r\n0\r\n\r\n";
    for response in [LENGTH, CHUNKS] {
        let mews = raw(response).await;
        let harness = with_faults(&mews, |config| inject(config, "truncate")).await;
        for _ in 0..5 {
            let (read, _) = read_all(&harness, &post("bills/getAll", BODY)).await;
            assert!(read.starts_with("HTTP/1.1 200 OK") && read.contains("x-nightaudit-fault: truncated"), "{read}");
            assert!(!read.contains("3456\"}") && !read.contains("\r\n0\r\n\r\n"), "{read}");
            let exchange = harness.recorded().await;
            assert_eq!((exchange.outcome, exchange.status(), &exchange.error), (Outcome::Faulted, Some(200), &None));
            assert_eq!(exchange.fault.unwrap().ending, Some(FaultEnding::Truncated));
            // What is recorded is what the client got.
            let body = &exchange.response.unwrap().body;
            assert!(body.length < 20 && !body.truncated && body.bytes.len() as u64 == body.length);
            assert!(read.contains(str::from_utf8(&body.bytes).unwrap()), "{read}");
        }
    }
}

#[tokio::test]
async fn a_response_without_a_body_has_no_fault_of_its_body() {
    let mews = raw("HTTP/1.1 204 No Content\r\n\r\n").await;
    let harness = with_faults(&mews, |config| inject(config, "truncate, slow-body=1B/s")).await;
    let (read, _) = read_all(&harness, &post("bills/getAll", BODY)).await;
    assert!(read.starts_with("HTTP/1.1 204") && !read.contains("fault"), "{read}");
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.fault), (Outcome::Answered, None));
}

#[tokio::test]
async fn a_latency_holds_the_request_back_and_the_answer_stays_mews_own() {
    let mews = Upstream::responding(404, r#"{"Message":"none"}"#).await;
    let harness = with_faults(&mews, |config| inject(config, "latency=20ms..40ms")).await;
    let answer = send(harness.address(), &post("bills/getAll", BODY)).await;
    let exchange = harness.recorded().await;
    let delay = exchange.fault.as_deref().and_then(|fault| fault.delayed_ms).unwrap();
    assert_eq!((answer.status, exchange.outcome), (404, Outcome::Answered));
    assert_eq!(answer.header("x-nightaudit-fault"), Some(&*format!("latency={delay}ms")));
    assert!((20..=40).contains(&delay) && exchange.times_us.forwarded.unwrap() >= 1000 * delay);
}

/// The rules of one test, which sees what they have done.
static HELD: LazyLock<Faults> = LazyLock::new(Faults::default);

#[tokio::test]
async fn a_client_that_leaves_meanwhile_is_recorded_and_nothing_is_sent() {
    HELD.add("latency=10m".parse().unwrap(), Instant::now()).unwrap();
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| config.faults = HELD.clone()).await;
    for (number, resets) in [(1, true), (2, false)] {
        let mut stream = TcpStream::connect(harness.address()).await.unwrap();
        stream.write_all(&post("bills/add", BODY)).await.unwrap();
        while HELD.list(Instant::now())[0].injected < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if resets {
            nightaudit_testkit::leave(stream);
        } else {
            stream.shutdown().await.unwrap();
        }
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.times_us.forwarded), (Outcome::Aborted, None), "{resets}");
        assert_eq!(exchange.fault.unwrap().delayed_ms, Some(600_000));
    }
    assert!(mews.seen().is_empty());
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let harness = with_faults(&mews, |config| inject(config, "slow-body=400B/s")).await;
    let start = Instant::now();
    let answer = send(harness.address(), &post("reservations/getAll", BODY)).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &br#"{"Reservations":[],"Cursor":null}"#[..]));
    assert_eq!(answer.header("x-nightaudit-fault"), Some("slow-body=400B/s"));
    // 33 bytes, of which the last piece of at most 20 waits for nothing after it.
    assert!(start.elapsed() >= Duration::from_millis(30));
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.fault.unwrap().bytes_per_second), (Outcome::Answered, Some(400)));
    assert_eq!(exchange.response.unwrap().body.length, 33);
}

#[tokio::test]
async fn faults_are_for_the_session_that_a_request_names() {
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| inject(config, "503, session=rehearsal")).await;
    for (session, status) in [("rehearsal", 503), ("certification", 200)] {
        let request = String::from_utf8(post("rates/getAll", BODY)).unwrap();
        let request = request.replacen("\r\n", &format!("\r\nX-Nightaudit-Session: {session}\r\n"), 1);
        assert_eq!(send(harness.address(), request.as_bytes()).await.status, status, "{session}");
    }
}

/// How an exchange ended, by fault.
fn kind(exchange: &Exchange) -> String {
    match exchange.fault.as_deref().and_then(|fault| fault.ending) {
        Some(ending) => ending.to_string(),
        None => exchange.status().unwrap().to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shares_hold_over_ten_thousand_requests() {
    const RULE: &str = "rates/*: 429=2%, 503=1%, reset=0.5%, truncate=0.5%";
    const REQUESTS: usize = 10_000;
    const CLIENTS: usize = 8;
    let mews = raw_keep_alive().await;
    let harness = with_faults(&mews, |config| inject(config, RULE)).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let address = harness.address();
        clients.spawn(async move {
            let mut connection = None;
            for _ in 0..REQUESTS / CLIENTS {
                let mut sender: http1::SendRequest<Full<Bytes>> = match connection.take() {
                    Some(sender) => sender,
                    None => {
                        let stream = TcpStream::connect(address).await.unwrap();
                        stream.set_nodelay(true).unwrap();
                        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                        tokio::spawn(driver);
                        sender
                    }
                };
                let request = Request::post("/api/connector/v1/rates/getAll").header("host", "a");
                let answer = sender.send_request(request.body(Full::from(BODY)).unwrap()).await;
                // After a reset or a truncation the connection is gone.
                if let Ok(answer) = answer
                    && answer.into_body().collect().await.is_ok()
                    && sender.ready().await.is_ok()
                {
                    connection = Some(sender);
                }
            }
        });
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..REQUESTS {
        *counts.entry(kind(&harness.recorded().await)).or_default() += 1;
    }
    clients.join_all().await;
    // By seed and number, whichever request comes when.
    let faults = Faults::default();
    faults.add(RULE.parse().unwrap(), Instant::now()).unwrap();
    let mut planned: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..REQUESTS {
        let ending = faults.plan("rates/getAll", None, Instant::now()).and_then(|plan| plan.ending);
        let kind = match ending {
            None => "200".to_owned(),
            Some(Ending::Status { status, .. }) => status.to_string(),
            Some(Ending::Reset) => "reset".to_owned(),
            Some(Ending::Truncate { .. }) => "truncated".to_owned(),
        };
        *planned.entry(kind).or_default() += 1;
    }
    assert_eq!(counts, planned);
    for (kind, share) in [("429", 0.02), ("503", 0.01), ("reset", 0.005), ("truncated", 0.005)] {
        let (mean, deviation) = (10_000.0 * share, (10_000.0_f64 * share * (1.0 - share)).sqrt());
        let off = (counts[kind] as f64 - mean) / deviation;
        assert!(off.abs() < 4.0, "{} × {kind}: {off:.1} standard deviations", counts[kind]);
    }
}

/// An upstream that doesn't keep what it has seen.
async fn raw_keep_alive() -> Upstream {
    Upstream::raw(|mut stream| async move {
        // The first head was read already; each request is one body that ends in a brace, after its head.
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece).await {
                Ok(length @ 1..) => seen.extend_from_slice(&piece[..length]),
                _ => return,
            }
            if seen.ends_with(BODY.as_bytes()) {
                seen.clear();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"Cursor\":\"\"}";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_limit_is_kept_with_faults_on() {
    const LIMIT: u32 = 50;
    let window = Duration::from_secs(30);
    let clock = FakeClock::default();
    let key = KeyParts { access_token: true, ..KeyParts::default() };
    let rule = Rule { name: "published".into(), key, requests: LIMIT, window, burst: None, paginated_factor: 1 };
    let config = Config { rules: vec![rule], slack: Duration::ZERO, action: Action::Reject };
    let limiter = Limiter::with_clock(config, clock.clone()).unwrap();
    let mews = Upstream::responding(200, "{}").await;
    let setup = Setup {
        proxy: |config| {
            inject(config, "429=20%, 503=10%, reset=10%, truncate=10%, latency=1ms..30ms, slow-body=100KB/s")
        },
        limiter,
        ..Setup::new(&mews.url())
    };
    let harness = Harness::with(setup).await;
    let call = |address| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&post("rates/getAll", BODY)).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    for round in 1..=3 {
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let address = harness.address();
            clients.spawn(async move {
                for _ in 0..30 {
                    call(address).await;
                }
            });
        }
        clients.join_all().await;
        let (mut sent, mut refused, mut made_up) = (0, 0, 0);
        for number in 1.. {
            // The last of them may have given permits back when nobody was left to ask: now one asks after the other.
            if number > 240 {
                call(harness.address()).await;
            }
            let exchange = harness.recorded().await;
            sent += usize::from(exchange.times_us.forwarded.is_some());
            refused += usize::from(exchange.outcome == Outcome::Refused);
            made_up += usize::from(exchange.outcome == Outcome::Faulted && exchange.times_us.forwarded.is_none());
            if number > 240 && exchange.outcome == Outcome::Refused {
                break;
            }
        }
        // Exactly the limit: a made-up response leaves its permit to another request.
        assert_eq!((sent, mews.seen().len()), (LIMIT as usize, round * LIMIT as usize));
        assert!(refused > 0 && made_up > 0, "{refused} {made_up}");
        clock.advance(window + Duration::from_millis(1));
    }
}

#[tokio::test]
async fn regression_a_made_up_response_to_head_was_recorded_with_a_body_that_was_not_sent() {
    let mews = Upstream::responding(200, "{}").await;
    let harness = with_faults(&mews, |config| inject(config, "503")).await;
    let head = b"HEAD /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (read, _) = read_all(&harness, head).await;
    assert!(read.starts_with("HTTP/1.1 503 ") && read.ends_with("\r\n\r\n"), "{read}");
    let response = harness.recorded().await.response.unwrap();
    assert_eq!((response.status, response.body.length, response.body.truncated), (503, 0, false));
}
