//! Malformed requests: each gets a response and a record, and a valid request after it works.

use std::{net::SocketAddr, time::Duration};

use nightaudit_exchange::{Exchange, FailureKind, Outcome};
use nightaudit_testkit::{Harness, RawResponse, Setup, Upstream, leave, post, send, send_slowly};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

const QUICK: Duration = Duration::from_millis(50);

async fn harness(upstream: &Upstream) -> Harness {
    let mut setup = Setup::new(&upstream.url());
    setup.listen.head_timeout = QUICK;
    setup.listen.max_head = 16 * 1024;
    setup.proxy = |config| config.timeouts.request_body = QUICK;
    Harness::with(setup).await
}

/// Sends `bytes`, checks what becomes of them, and that the next request is served.
async fn refused(bytes: &[u8], status: u16, kind: FailureKind) -> (RawResponse, Exchange) {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = harness(&upstream).await;
    let response = send(harness.address(), bytes).await;
    let what = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    assert_eq!(response.status, status, "{what}");
    assert_eq!(response.header("x-nightaudit-error"), Some(kind.as_str()), "{what}");
    assert!(response.json()["Message"].is_string(), "{what}");

    let exchange = harness.recorded().await;
    assert_eq!(exchange.outcome, Outcome::Rejected, "{what}");
    assert_eq!(exchange.error.as_ref().map(|error| error.kind), Some(kind), "{what}");
    assert_eq!(exchange.status(), Some(status), "{what}");
    assert_eq!(exchange.times_us.forwarded, None, "{what}");
    assert!(upstream.seen().is_empty(), "{what}");

    next_is_served(&harness, harness.address()).await;
    (response, exchange)
}

async fn next_is_served(harness: &Harness, address: SocketAddr) {
    assert_eq!(send(address, &post("configuration/get", "{}")).await.status, 200);
    assert_eq!(harness.recorded().await.outcome, Outcome::Answered);
}

fn with_fields(fields: &str) -> Vec<u8> {
    format!("POST /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn garbage() {
    let (_, exchange) =
        refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, FailureKind::Malformed).await;
    assert_eq!(exchange.operation, "");
}

#[tokio::test]
async fn an_oversized_head() {
    refused(&with_fields(&format!("X: {}", "y".repeat(17 * 1024))), 431, FailureKind::HeadTooLarge).await;
    refused(&with_fields("X: y\r\n".repeat(101).trim_end()), 431, FailureKind::HeadTooLarge).await;
}

#[tokio::test]
async fn half_a_head_and_silence() {
    refused(b"POST /api/connector/v1/bills/add HTTP/1.1\r\nHost:", 408, FailureKind::RequestTimeout).await;
}

#[tokio::test]
async fn half_a_body_and_silence() {
    let (_, exchange) =
        refused(&with_fields("Content-Length: 100\r\n\r\n{\"A"), 408, FailureKind::RequestTimeout).await;
    // As long as it was announced, of which this came.
    let body = &exchange.request.body;
    assert_eq!((body.length, body.bytes.len(), body.truncated), (100, 7, true));
}

#[tokio::test]
async fn both_content_length_and_transfer_encoding() {
    let fields = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1";
    let (_, exchange) = refused(&with_fields(fields), 400, FailureKind::Framing).await;
    assert_eq!(exchange.operation, "bills/add");
    let names: Vec<_> = exchange.request.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["Host", "Content-Length", "Transfer-Encoding"]);
    refused(&with_fields("Transfer-Encoding: chunked\r\nContent-Length: 5"), 400, FailureKind::Framing).await;
}

#[tokio::test]
async fn several_lengths() {
    refused(&with_fields("Content-Length: 5\r\nContent-Length: 6"), 400, FailureKind::Framing).await;
    refused(&with_fields("Content-Length: 5, 6"), 400, FailureKind::Framing).await;
}

#[tokio::test]
async fn bare_line_ends_in_a_field() {
    refused(&with_fields("A: b\rC: d"), 400, FailureKind::Framing).await;
    refused(&with_fields("A: b\nContent-Length: 7"), 400, FailureKind::Framing).await;
}

#[tokio::test]
async fn a_nul_in_a_field() {
    refused(&with_fields("A: b\0c"), 400, FailureKind::Malformed).await;
}

#[tokio::test]
async fn obsolete_folding() {
    refused(&with_fields("A: b\r\n c"), 400, FailureKind::Malformed).await;
}

#[tokio::test]
async fn a_target_on_another_host() {
    let request = b"POST http://other.invalid/api/connector/v1/bills/add HTTP/1.1\r\nHost: other.invalid\r\nConnection: close\r\n\r\n";
    refused(request, 421, FailureKind::Misdirected).await;
}

#[tokio::test]
async fn connect() {
    let (response, _) =
        refused(b"CONNECT other.invalid:443 HTTP/1.1\r\nHost: other.invalid:443\r\n\r\n", 405, FailureKind::Method)
            .await;
    assert!(response.header("allow").is_some());
}

#[tokio::test]
async fn an_invalid_chunk() {
    let fields = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n";
    let (_, exchange) = refused(&with_fields(fields), 400, FailureKind::Framing).await;
    assert_eq!(&exchange.request.body.bytes[..], b"abc");
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    send_slowly(&mut stream, &[&with_fields("Content-Length: 100\r\n\r\n{\"A")]).await;
    drop(stream);
    let exchange = harness.recorded().await;
    assert_eq!(exchange.outcome, Outcome::Aborted);
    assert_eq!(exchange.error.unwrap().kind, FailureKind::ClientLeft);
    assert!(upstream.seen().is_empty());
    next_is_served(&harness, harness.address()).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer() {
    let upstream = Upstream::raw(|mut stream| async move {
        // Answers nothing until the proxy gives up.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    send_slowly(&mut stream, &[&with_fields("Content-Length: 0")]).await;
    while upstream.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    leave(stream);
    let exchange = harness.recorded().await;
    assert_eq!(exchange.outcome, Outcome::Aborted);
    assert_eq!(exchange.error.unwrap().kind, FailureKind::ClientLeft);
    assert!(exchange.times_us.forwarded.is_some());
}
