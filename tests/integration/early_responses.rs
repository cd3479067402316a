//! Responses that come before the end of the request: of Mews, and of a limit.

use std::time::Duration;

use nightaudit_exchange::{Body, Digest, Outcome};
use nightaudit_limit::{Config, KeyParts, Limiter, Rule};
use nightaudit_testkit::{Harness, Setup, Upstream, post, read_response, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";

/// The head of a request with a body of 3,000 bytes, and a first part of the body, whose last bytes are most of a token.
fn cut_in_a_token() -> (String, String) {
    let part = format!(r#"{{"AccessToken":"own-access-token-0001","ClientToken":"c","Notes":"see {}"#, &TOKEN[..62]);
    ("POST /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n".to_owned(), part)
}

/// Asserts that the record of a body says that it was cut, and has nothing of the token.
fn assert_cut(body: &Body, part: &str) {
    let text = String::from_utf8_lossy(&body.bytes);
    assert!(body.truncated && !text.contains(&TOKEN[..20]), "{text}");
    assert_eq!((body.length, body.sha256), (3000, Digest::of(part.as_bytes())));
    assert_eq!(body.stored_sha256, Some(Digest::of(&body.bytes)));
}

#[tokio::test]
async fn regression_a_body_that_mews_had_answered_before_its_end_was_recorded_as_complete() {
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |mut stream| {
        let ended = ended.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
            let mut read = Vec::new();
            let _ = stream.read_to_end(&mut read).await;
            let _ = ended.send(read);
        }
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let (head, part) = cut_in_a_token();
    let mut client = TcpStream::connect(harness.address()).await.unwrap();
    client.write_all(format!("{head}{part}").as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut client).await.status, 200);
    let exchange = harness.recorded().await;
    assert_eq!(exchange.outcome, Outcome::Answered);
    assert_cut(&exchange.request.body, &part);
    // The rest is read, so that the client can go on, but nobody gets what was not recorded.
    client.write_all(&vec![b' '; 3000 - part.len()]).await.unwrap();
    assert_eq!(String::from_utf8(ends.recv().await.unwrap()).unwrap(), part);
    client.write_all(&post("rates/getAll", "{}")).await.unwrap();
    assert_eq!(read_response(&mut client).await.status, 200);
    assert!(!harness.recorded().await.request.body.truncated);
}

#[tokio::test]
async fn regression_a_body_that_a_limit_refused_before_its_end_was_recorded_as_complete() {
    let upstream = Upstream::responding(200, "{}").await;
    let window = Duration::from_secs(3600);
    let key = KeyParts { access_token: true, ..KeyParts::default() };
    let rule = Rule { name: "one".into(), key, requests: 1, window, burst: None, paginated_factor: 1 };
    let limiter = Limiter::new(Config { rules: vec![rule], ..Config::default() }).unwrap();
    let harness = Harness::with(Setup::new(&upstream.url()).limited_by(limiter)).await;
    send(harness.address(), &post("rates/getAll", r#"{"AccessToken":"own-access-token-0001"}"#)).await;
    harness.recorded().await;
    let (head, part) = cut_in_a_token();
    let mut client = TcpStream::connect(harness.address()).await.unwrap();
    client.write_all(format!("{head}{part}").as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut client).await.status, 429);
    let exchange = harness.recorded().await;
    assert_eq!(exchange.outcome, Outcome::Refused);
    assert_cut(&exchange.request.body, &part);
}

#[tokio::test]
async fn regression_a_request_waited_behind_a_body_that_mews_had_answered_and_did_not_read() {
    let connections = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Upstream::raw(move |mut stream| {
        let is_first = connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        async move {
            let status = if is_first { "413 Content Too Large" } else { "200 OK" };
            let response = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
            stream.write_all(response.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut setup = Setup::new(&upstream.url());
    setup.proxy = |config| config.timeouts.response_head = Duration::from_secs(10);
    let harness = Harness::with(setup).await;
    // The token comes last, so that all of the body is handed to the connection before the response comes.
    let body = format!(r#"{{"Notes":"{}","AccessToken":"own-access-token-0001"}}"#, "y".repeat(1_000_000));
    assert_eq!(send(harness.address(), &post("bills/add", &body)).await.status, 413);
    assert_eq!(send(harness.address(), &post("rates/getAll", "{}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_an_early_413_was_lost_when_mews_closed_the_connection() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.read_exact(&mut vec![0; 100_000]).await.unwrap();
        let response = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        stream.write_all(response).await.unwrap();
        // Closed with unread data, which resets it.
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let body = format!(r#"{{"AccessToken":"own-access-token-0001","Notes":"{}"}}"#, "y".repeat(4_000_000));
    let request = post("bills/add", &body);
    for _ in 0..40 {
        let (mut read, mut write) = TcpStream::connect(harness.address()).await.unwrap().into_split();
        let request = request.clone();
        let uploading = tokio::spawn(async move {
            let _ = write.write_all(&request).await;
        });
        let mut status = [0; 12];
        read.read_exact(&mut status).await.unwrap();
        assert_eq!(std::str::from_utf8(&status).unwrap(), "HTTP/1.1 413");
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.error), (Outcome::Answered, None));
        uploading.abort();
    }
}
