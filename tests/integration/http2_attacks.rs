//! HTTP/2 requests that would change their meaning when forwarded over HTTP/1, written frame by frame.

use nightaudit_exchange::{FailureKind, Outcome};
use nightaudit_testkit::{Harness, Upstream, post, send};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, fields, frame, read_frame,
};

pub(crate) fn request(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    all.extend(more);
    fields(&all)
}

/// Sends frames on a connection of their own.
async fn connect(harness: &Harness, frames: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    let opening = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..], frames].concat();
    // The proxy may have closed before it has read all.
    let _ = stream.write_all(&opening).await;
    stream
}

/// Sends frames; the body of the response on the first stream, after its head.
async fn response(harness: &Harness, frames: &[u8]) -> Vec<u8> {
    let mut stream = connect(harness, frames).await;
    let (mut head, mut body) = (false, Vec::new());
    while let Some(frame) = read_frame(&mut stream).await {
        match frame.kind {
            HEADERS => head = true,
            DATA => body.extend(&frame.payload),
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.has(END_STREAM) {
            break;
        }
    }
    assert!(head, "no response");
    body
}

/// Sends frames; the kind and stream of the first frame that answers them.
async fn answer(harness: &Harness, frames: &[u8]) -> Option<(u8, u32)> {
    let mut stream = connect(harness, frames).await;
    loop {
        let frame = read_frame(&mut stream).await?;
        if matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY) {
            return Some((frame.kind, frame.stream));
        }
    }
}

#[tokio::test]
async fn what_would_be_read_in_two_ways_as_http_1_is_not_forwarded() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let attacks: [(&str, Vec<u8>); 12] = [
        ("a list of chunks", request("/x", &[("transfer-encoding", "chunked")])),
        ("a connection option", request("/x", &[("connection", "close")])),
        ("an upgrade", request("/x", &[("upgrade", "websocket")])),
        ("a coding of the transfer", request("/x", &[("te", "gzip")])),
        ("two lengths", request("/x", &[("content-length", "5"), ("content-length", "6")])),
        ("a length that is none", request("/x", &[("content-length", "+5")])),
        ("a line end in a value", request("/x", &[("a", "b\r\ntransfer-encoding: chunked")])),
        ("a NUL in a value", request("/x", &[("a", "b\0")])),
        ("a line end in a name", request("/x", &[("a: b\r\nc", "d")])),
        ("a name in upper case", request("/x", &[("Content-Length", "5")])),
        ("a request line in the path", request("/x HTTP/1.1\r\nHost: b\r\n\r\nGET /y", &[])),
        ("a pseudo-field behind a field", request("/x", &[("a", "b"), (":path", "/y")])),
    ];
    for (what, block) in attacks {
        let frames = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
        let answered = answer(&harness, &frames).await;
        assert!(matches!(answered, None | Some((RST_STREAM | GOAWAY, _))), "{what}: {answered:?}");
        assert!(upstream.seen().is_empty(), "{what}: {:?}", upstream.seen());
        // The library below has refused it; it is recorded all the same.
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.response), (Outcome::Rejected, None), "{what}");
        let error = exchange.error.unwrap();
        assert!(error.kind == FailureKind::Malformed && error.message.contains("_ERROR"), "{what}: {}", error.message);
    }
    // A length that the body does not have.
    for (length, body) in [("5", "abc"), ("3", "abcde")] {
        let head = frame(HEADERS, END_HEADERS, 1, &request("/x", &[("content-length", length)]));
        let frames = [head, frame(DATA, END_STREAM, 1, body.as_bytes())].concat();
        let answered = answer(&harness, &frames).await;
        assert!(upstream.seen().is_empty(), "{length} {body}: {answered:?} {:?}", upstream.seen());
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Rejected, "{length} {body}");
        assert_eq!(exchange.error.unwrap().kind, FailureKind::Framing, "{length} {body}");
    }
    assert_eq!(send(harness.address(), &post("bills/add", "{}")).await.status, 200);
    // Each was recorded once.
    assert_eq!(harness.recorded().await.outcome, Outcome::Answered);
}

#[tokio::test]
async fn regression_what_http_1_refuses_was_forwarded_where_it_came_by_http_2() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    for (headers, body, kind) in [
        (&[("content-length", "2"), ("content-length", "2")][..], &b"{}"[..], FailureKind::Framing),
        (&[("content-length", "")], b"", FailureKind::Framing),
        (&[("host", "a"), ("host", "a")], b"{}", FailureKind::Malformed),
        (&[("transfer_encoding", "chunked")], b"{}", FailureKind::Framing),
    ] {
        let head = frame(HEADERS, END_HEADERS, 1, &request("/api/connector/v1/bills/add", headers));
        let answered = response(&harness, &[head, frame(DATA, END_STREAM, 1, body)].concat()).await;
        assert!(answered.starts_with(br#"{"Message":"#), "{headers:?}: {}", String::from_utf8_lossy(&answered));
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.status()), (Outcome::Rejected, Some(400)), "{headers:?}");
        assert_eq!((exchange.error.unwrap().kind, &exchange.operation[..]), (kind, "bills/add"), "{headers:?}");
        let sent = exchange.request.headers.iter().filter(|header| header.name == headers[0].0);
        assert_eq!(sent.count(), headers.len(), "{headers:?}");
    }
    let many = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("/x", &[("x", "y"); 101]));
    assert_eq!(answer(&harness, &many).await, Some((HEADERS, 1)));
    assert_eq!(harness.recorded().await.status(), Some(431));
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

#[tokio::test]
async fn regression_cookies_of_http_2_reached_http_1_in_pieces() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let pieces = [("cookie", "ClientToken=client"), ("a", "b"), ("cookie", "AccessToken=access"), ("cookie", "x=y")];
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("/x", &pieces));
    assert_eq!(answer(&harness, &head).await, Some((HEADERS, 1)));
    let headers = upstream.seen().remove(0).head.headers;
    let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["ClientToken=client; AccessToken=access; x=y"]);
    // What is recorded is what was received.
    let exchange = harness.recorded().await;
    assert_eq!(exchange.request.headers.iter().filter(|header| header.name == "cookie").count(), 3);
    assert!(exchange.envelope.access_token.is_some());
}

#[tokio::test]
async fn floods_end_the_connection_and_nothing_else() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    // A head without end, in continuations (CVE-2024-27316).
    let mut endless = frame(HEADERS, 0, 1, &request("/x", &[]));
    let more = fields(&[("a", &"b".repeat(100))]).repeat(100);
    (0..200).for_each(|_| endless.extend(frame(CONTINUATION, 0, 1, &more)));
    let answered = answer(&harness, &endless).await;
    assert!(matches!(answered, None | Some((GOAWAY, _))), "{answered:?}");
    assert!(upstream.seen().is_empty());
    // Requests that are taken back at once (CVE-2023-44487).
    let mut reset = Vec::new();
    for stream in (1..20_000).step_by(2) {
        reset.extend(frame(HEADERS, END_HEADERS, stream, &request("/x", &[])));
        reset.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let answered = answer(&harness, &reset).await;
    assert!(matches!(answered, None | Some((GOAWAY, _))), "{answered:?}");
    // Both connections say why they ended, and what they have recorded is bounded.
    let mut calm = 0;
    for _ in 0..400 {
        let exchange = harness.recorded().await;
        let error = exchange.error.unwrap();
        calm += usize::from(exchange.outcome == Outcome::Rejected && error.message.contains("ENHANCE_YOUR_CALM"));
        if calm == 2 {
            break;
        }
    }
    assert_eq!(calm, 2);
    assert_eq!(send(harness.address(), &post("bills/add", "{}")).await.status, 200);
}
