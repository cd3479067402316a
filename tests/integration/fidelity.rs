//! Messages are forwarded byte for byte, except for what a proxy must change.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nightaudit_exchange::{Exchange, FailureKind, Note, Outcome};
use nightaudit_testkit::{
    Authority, Harness, RawResponse, Setup, Upstream, leave, post, read_response, send, send_and_half_close,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A Mews that answers each request with these bytes and closes the connection.
async fn saying(response: impl Into<Bytes>) -> Upstream {
    let response = response.into();
    Upstream::raw(move |mut stream| {
        let response = response.clone();
        async move {
            stream.write_all(&response).await.unwrap();
        }
    })
    .await
}

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: proxy:8080\r\nConnection: close\r\n\r\n";

/// What the client gets and what is recorded of a response of these bytes.
async fn answered(response: impl Into<Bytes>) -> (RawResponse, Exchange) {
    let upstream = saying(response).await;
    let harness = Harness::start(&upstream.url()).await;
    let answer = send(harness.address(), GET).await;
    (answer, harness.recorded().await)
}

/// The head that reaches Mews of a request of these bytes, with the name of the host left out.
async fn forwarded(request: &str) -> String {
    let upstream = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    let harness = Harness::start(&upstream.url()).await;
    assert_eq!(send(harness.address(), request.as_bytes()).await.status, 200);
    upstream.raw_heads()[0].replace(&upstream.url().replace("http://", ""), "mews")
}

async fn http2(address: std::net::SocketAddr) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn of_unknown_length(pieces: &'static [&'static str]) -> Body {
    StreamBody::new(Pieces(pieces.iter())).boxed()
}

struct Pieces(std::slice::Iter<'static, &'static str>);

impl futures_core::Stream for Pieces {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

#[tokio::test]
async fn regression_a_get_or_head_with_a_chunked_body_went_out_without_it() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "POST"] {
        let upstream = Upstream::scripted(|_| async { http::Response::new(empty()) }).await;
        let harness = Harness::start(&upstream.url()).await;
        let request = format!(
            "{method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
        assert_eq!(send(harness.address(), request.as_bytes()).await.status, 200, "{method}");
        let seen = &upstream.seen()[0];
        assert_eq!(
            (&seen.body[..], &seen.head.headers["transfer-encoding"]),
            (&b"abc"[..], &"chunked".parse().unwrap())
        );
        assert_eq!(&harness.recorded().await.request.body.bytes[..], b"abc", "{method}");
    }
}

fn empty() -> BoxBody<Bytes, std::io::Error> {
    Full::default().map_err(|never: std::convert::Infallible| match never {}).boxed()
}

#[tokio::test]
async fn regression_a_body_of_http_2_without_a_length_was_dropped() {
    let upstream = Upstream::scripted(|_| async { http::Response::new(empty()) }).await;
    let harness = Harness::start(&upstream.url()).await;
    let mut sender = http2(harness.address()).await;
    for method in [http::Method::GET, http::Method::HEAD, http::Method::POST] {
        for (pieces, length) in [(&["ab", "c"][..], 3), (&[], 0)] {
            let mut request = http::Request::new(of_unknown_length(pieces));
            (*request.method_mut(), *request.uri_mut()) = (method.clone(), "http://a/x".parse().unwrap());
            assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
            let seen = upstream.seen().pop().unwrap();
            assert_eq!(seen.body, pieces.concat(), "{method}");
            assert_eq!(seen.head.headers.contains_key("transfer-encoding"), length > 0, "{method}");
            assert_eq!(harness.recorded().await.request.body.length, length, "{method}");
        }
    }
}

#[tokio::test]
async fn regression_a_response_with_a_length_and_chunks_was_cut_at_the_length() {
    for head in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: Chunked\r\nContent-Length: 300"]
    {
        let (answer, exchange) = answered(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        assert_eq!((answer.header("content-length"), &answer.body[..]), (None, &b"5\r\nhello\r\n0\r\n\r\n"[..]));
        assert_eq!((exchange.outcome, &exchange.notes[..]), (Outcome::Answered, &[Note::LengthIgnored][..]));
        let response = exchange.response.unwrap();
        assert_eq!(&response.body.bytes[..], b"hello");
        assert!(response.headers.iter().any(|header| header.name == "Content-Length"), "recorded as it came");
    }
}

#[tokio::test]
async fn regression_a_length_that_stands_twice_closed_the_connection() {
    for lengths in ["2, 2", "2\r\nContent-Length: 2", "2,2\r\ncontent-length: 2"] {
        let (answer, exchange) =
            answered(format!("HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: {lengths}\r\nZ: 2\r\n\r\n{{}}")).await;
        assert_eq!(answer.head, "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\nZ: 2\r\nconnection: close");
        assert_eq!((&answer.body[..], exchange.outcome), (&b"{}"[..], Outcome::Answered));
    }
}

#[tokio::test]
async fn a_response_that_is_framed_in_no_valid_way_is_none() {
    for head in [
        "Content-Length: 2, 3",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: +2",
        "Content-Length: 18446744073709551615",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
    ] {
        let (answer, exchange) = answered(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{{}}")).await;
        assert_eq!((answer.status, answer.header("x-nightaudit-error")), (502, Some("invalid-response")), "{head}");
        assert_eq!(exchange.error.unwrap().kind, FailureKind::InvalidResponse);
    }
    let (answer, _) = answered("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn regression_a_response_whose_end_was_missing_lost_its_head() {
    for (response, body) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n", ""),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\nabc", "abc"),
        ("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "3\r\nabc\r\n"),
        ("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ""),
    ] {
        let upstream = saying(response).await;
        let harness = Harness::start(&upstream.url()).await;
        for _ in 0..20 {
            let answer = send(harness.address(), GET).await;
            assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (404, body));
            let exchange = harness.recorded().await;
            assert_eq!((exchange.outcome, exchange.status()), (Outcome::Failed, Some(404)));
        }
    }
}

#[tokio::test]
async fn the_head_of_a_broken_response_reaches_a_client_of_http_2() {
    let upstream = saying("HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n").await;
    let harness = Harness::start(&upstream.url()).await;
    let mut sender = http2(harness.address()).await;
    for _ in 0..20 {
        let mut request = http::Request::new(of_unknown_length(&[]));
        *request.uri_mut() = "http://a/x".parse().unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.into_body().collect().await.is_err());
    }
}

#[tokio::test]
async fn regression_headers_that_were_taken_off_moved_the_last_into_their_place() {
    let head = forwarded(
        "POST /x HTTP/1.1\r\nHost: a\r\nX-Nightaudit-Session: s\r\nContent-Length: 2\r\nProxy-Authorization: Basic eA==\r\n\
         B: 2\r\nConnection: close\r\nC: 3\r\nD: 4\r\n\r\n{}",
    )
    .await;
    assert_eq!(head, "POST /x HTTP/1.1\r\nHost: mews\r\nContent-Length: 2\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n");
    let head = forwarded(
        "GET /x HTTP/1.1\r\nA: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\nConnection: close\r\nZ: 1\r\n\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(head, "GET /x HTTP/1.1\r\nA: 1\r\nTransfer-Encoding: chunked\r\nHost: mews\r\nZ: 1\r\n\r\n");
    assert_eq!(
        forwarded("OPTIONS /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await,
        "OPTIONS /x HTTP/1.1\r\nHost: mews\r\n\r\n"
    );
}

#[tokio::test]
async fn towards_http_2_headers_keep_their_order_and_none_is_made_up() {
    let authority = Authority::new();
    let upstream = Upstream::http(Some(authority.server_config(&["h2"])), |_| async {
        let mut response = http::Response::new(empty());
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
        response
    })
    .await;
    let mut setup = Setup::new(&upstream.url());
    setup.ca = Some(authority.ca_file());
    let harness = Harness::with(setup).await;
    for method in ["OPTIONS", "POST", "PUT"] {
        let request =
            format!("{method} /x HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\nC: 3\r\nConnection: close\r\nD: 4\r\n\r\n");
        assert_eq!(send(harness.address(), request.as_bytes()).await.status, 304);
        let seen = upstream.seen().pop().unwrap();
        let names: Vec<_> = seen.head.headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["a", "b", "c", "d"], "{method}");
    }
    assert_eq!(harness.recorded().await.response.unwrap().reason, None);
}

#[tokio::test]
async fn regression_a_content_length_moved_or_went_where_there_was_no_body() {
    for (response, head) in [
        (
            "304 Not Modified\r\nContent-Length: 17\r\nETag: \"a\"",
            "304 Not Modified\r\nContent-Length: 17\r\nETag: \"a\"",
        ),
        ("200 OK\r\nContent-Length: 0\r\nZ: 1", "200 OK\r\nContent-Length: 0\r\nZ: 1"),
        ("304 Not Modified\r\nETag: \"a\"", "304 Not Modified\r\nETag: \"a\""),
        ("204 No Content\r\nContent-Length: 5\r\nZ: 1", "204 No Content\r\nZ: 1"),
    ] {
        let (answer, exchange) = answered(format!("HTTP/1.1 {response}\r\n\r\n")).await;
        assert_eq!(answer.head, format!("HTTP/1.1 {head}\r\nconnection: close"));
        assert_eq!((answer.body.len(), exchange.outcome), (0, Outcome::Answered));
    }
    // The connection goes on after it, and so does that to Mews: one that closes after each response may be used again first.
    let upstream = Upstream::raw(|mut stream| async move {
        // The first request has been read.
        while stream.write_all(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 17\r\n\r\n").await.is_ok() {
            if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read == 0) {
                return;
            }
        }
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut head = vec![0; "HTTP/1.1 304 Not Modified\r\nContent-Length: 17\r\n\r\n".len()];
    for _ in 0..2 {
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.ends_with(b"\r\n\r\n"));
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    }
}

#[tokio::test]
async fn regression_the_reason_phrase_was_made_up_or_lost() {
    for reason in [" Not Here, Sorry", " caf\u{e9} ferm\u{e9}", " ", " OK"] {
        let (answer, exchange) = answered(format!("HTTP/1.1 404{reason}\r\nContent-Length: 0\r\n\r\n")).await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 404{reason}\r\n")), "{}", answer.head);
        assert_eq!(exchange.response.unwrap().reason.as_deref(), Some(&reason[1..]));
    }
    let latin: &[u8] = b"HTTP/1.1 404 caf\xe9\r\nContent-Length: 0\r\n\r\n";
    let upstream = saying(latin).await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 404 caf\xe9\r\n"), "{}", read.escape_ascii());
    assert_eq!(harness.recorded().await.response.unwrap().reason.as_deref(), Some("caf\u{e9}"));
    // The proxy's own answer has the one that it wrote.
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    assert_eq!(send(harness.address(), b"GET / HTTP/1.1\r\n\r\n").await.status, 400);
    assert_eq!(harness.recorded().await.response.unwrap().reason.as_deref(), Some("Bad Request"));
}

#[tokio::test]
async fn regression_a_target_lost_its_path() {
    for (target, path) in [
        ("http://127.0.0.1?x", "/?x"),
        ("http://127.0.0.1", "/"),
        ("http://127.0.0.1/?x", "/?x"),
        ("http://127.0.0.1/a?x", "/a?x"),
        ("/?x", "/?x"),
    ] {
        let upstream = Upstream::raw(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        })
        .await;
        let harness = Harness::start(&upstream.url()).await;
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(send(harness.address(), request.as_bytes()).await.status, 200);
        assert!(upstream.raw_heads()[0].starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{target}");
        assert_eq!(harness.recorded().await.request.url, format!("{}{path}", upstream.url()));
    }
}

#[tokio::test]
async fn regression_options_of_a_whole_server_was_sent_for_its_root() {
    let authority = Authority::new();
    for http2 in [false, true] {
        let answer = |_| async { http::Response::new(empty()) };
        let tls = http2.then(|| authority.server_config(&["h2"]));
        for (request, target) in [
            ("OPTIONS http://127.0.0.1", "*"),
            ("OPTIONS *", "*"),
            ("OPTIONS HTTP://LOCALHOST", "*"),
            ("OPTIONS http://127.0.0.1/", "/"),
            ("OPTIONS http://127.0.0.1?x", "/?x"),
            ("HEAD http://127.0.0.1", "/"),
        ] {
            let upstream = Upstream::http(tls.clone(), answer).await;
            let mut setup = Setup::new(&upstream.url());
            setup.ca = http2.then(|| authority.ca_file());
            let harness = Harness::with(setup).await;
            let wire = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!(send(harness.address(), wire.as_bytes()).await.status, 200, "{request}");
            let seen = upstream.seen().pop().unwrap();
            assert_eq!(seen.head.version == http::Version::HTTP_2, http2);
            assert_eq!(seen.head.uri.path_and_query().unwrap().as_str(), target, "{request} over HTTP/2: {http2}");
            // `*` is not a path of the host's.
            let url = if target == "*" { "*".to_owned() } else { format!("{}{target}", upstream.url()) };
            assert_eq!(harness.recorded().await.request.url, url);
        }
    }
}

#[tokio::test]
async fn regression_clients_ignored_the_cookies_of_mews() {
    let cookies =
        "Set-Cookie: ARRAffinity=a;Path=/;HttpOnly;Domain=localhost\r\nSet-Cookie: b=c; Domain=elsewhere.example\r\n";
    let upstream = saying(format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 2\r\n\r\n{{}}")).await;
    let set = |answer: &RawResponse| {
        let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
        let cookies = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        cookies.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
    };
    let harness = Harness::start(&upstream.url()).await;
    let rewritten = set(&send(harness.address(), GET).await);
    assert_eq!(rewritten, ["ARRAffinity=a;Path=/;HttpOnly", "b=c; Domain=elsewhere.example"]);
    let exchange = harness.recorded().await;
    assert_eq!(exchange.notes, [Note::CookiesRewritten]);
    let original = ["ARRAffinity=a;Path=/;HttpOnly;Domain=localhost", "b=c; Domain=elsewhere.example"];
    let headers = exchange.response.unwrap().headers;
    assert_eq!(headers.iter().map(|header| &*header.value).take(2).collect::<Vec<_>>(), original);

    let mut setup = Setup::new(&upstream.url());
    setup.proxy = |config| config.rewrite_redirects = false;
    let harness = Harness::with(setup).await;
    assert_eq!(set(&send(harness.address(), GET).await), original);
    assert_eq!(harness.recorded().await.notes, []);
}

/// Refused and recorded with our header, and nothing of it reaches Mews.
async fn refused(request: &[u8], message: &str) {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let answer = send(harness.address(), request).await;
    let what = request.escape_ascii();
    assert_eq!(answer.status, 400, "{what}");
    assert!(answer.header("x-nightaudit-error").is_some(), "{what}");
    let exchange = harness.recorded().await;
    assert_eq!(exchange.outcome, Outcome::Rejected, "{what}");
    let said = exchange.error.unwrap().message;
    assert!(said.contains(message), "{what}: {said}");
    assert!(upstream.seen().is_empty(), "{what}");
}

#[tokio::test]
async fn regression_what_others_read_otherwise_was_forwarded_or_refused_without_a_record() {
    for target in ["http://127.0.0.1#x", "/a#x", "http://127.0.0.1/a?b#x"] {
        refused(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), "has a fragment").await;
    }
    for length in ["18446744073709551615", "18446744073709551614", "9223372036854775808"] {
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        refused(request.as_bytes(), "Content-Length is too large").await;
    }
    for header in ["Transfer_Encoding: chunked", "Content_Length: 5", "transfer_encoding: x", "CONTENT_LENGTH: 0"] {
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n{header}\r\n\r\n{{}}");
        refused(request.as_bytes(), "some servers read").await;
    }
    // Others with an underscore mean nothing else to anybody.
    let head = forwarded("GET /x HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nContent_Type: b\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("X_Y: 1\r\nContent_Type: b\r\n"), "{head}");
}

#[tokio::test]
async fn regression_a_client_that_half_closed_got_no_answer() {
    let upstream = Upstream::scripted(|seen| async move {
        // By then the end of the client's side has long arrived.
        tokio::time::sleep(Duration::from_millis(20)).await;
        http::Response::new(Full::from(seen.body).map_err(|never| match never {}).boxed())
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    for (request, body) in [
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", "{}"),
        ("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", "{}"),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}"),
    ] {
        let answer = send_and_half_close(harness.address(), request.as_bytes()).await;
        assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (200, body), "{request}");
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, &exchange.notes[..]), (Outcome::Answered, &[Note::ClientHalfClosed][..]));
    }
    // Two requests in one, both are answered.
    let both = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(both.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read).matches("HTTP/1.1 200 OK").count(), 2);
}

#[tokio::test]
async fn a_client_that_half_closes_within_its_request_has_left() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{").await.unwrap();
    stream.shutdown().await.unwrap();
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.notes.len()), (Outcome::Aborted, 0));
    // And one that is gone for good is found out, too.
    let silent = Upstream::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let harness = Harness::start(&silent.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(GET).await.unwrap();
    while silent.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    leave(stream);
    assert_eq!(harness.recorded().await.outcome, Outcome::Aborted);
}

#[tokio::test]
async fn regression_a_trailer_with_our_name_reached_mews_and_the_client() {
    let upstream = Upstream::raw(|mut stream| async move {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut body).await.unwrap();
        }
        let trailers = body.escape_ascii().to_string();
        let response = format!(
            "HTTP/1.1 200 OK\r\nTrailer: X-Nightaudit-Error, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{trailers}\r\n\
             0\r\nX-Nightaudit-Error: connect\r\nX-Sum: 1\r\n\r\n",
            trailers.len()
        );
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let answer = send(
        harness.address(),
        b"POST /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Nightaudit-Session, X-Check\r\n\
          Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\nX-Nightaudit-Session: s\r\n\
          X-Check: 7\r\nContent-Length: 9\r\n\r\n",
    )
    .await;
    let head = &upstream.raw_heads()[0];
    assert!(head.contains("Trailer: X-Check\r\n"), "{head}");
    let body = String::from_utf8(answer.body.clone()).unwrap().to_lowercase();
    assert!(body.contains("x-check: 7") && !body.contains("nightaudit") && !body.contains("content-length"), "{body}");
    assert!(body.contains("x-sum: 1"), "{body}");
    assert_eq!(answer.header("trailer"), Some("X-Sum"));
    assert_eq!(harness.recorded().await.session_name, "test");
}

#[tokio::test]
async fn regression_mews_could_speak_in_our_name() {
    let (answer, exchange) = answered(
        "HTTP/1.1 200 OK\r\nX-Nightaudit-Error: connect\r\nA: 1\r\nx-nightaudit-limited: demo/x\r\n\
         Alt-Svc: h3=\":443\"\r\nB: 2\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 2\r\n\r\n{}",
    )
    .await;
    assert_eq!(answer.head, "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nContent-Length: 2\r\nconnection: close");
    assert_eq!(exchange.notes, [Note::OwnHeadersRemoved, Note::OriginHeadersRemoved]);
    assert_eq!(exchange.outcome, Outcome::Answered);
    assert_eq!(exchange.response.unwrap().headers.len(), 7, "recorded as it came");
}

#[tokio::test]
async fn regression_a_redirect_to_mews_led_past_the_proxy() {
    let upstream = Upstream::raw(|mut stream| async move {
        let port = stream.local_addr().unwrap().port();
        let response = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://localhost:{port}/there?a=%20b\r\nContent-Location: http://elsewhere/\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let answer = send(harness.address(), GET).await;
    assert_eq!(answer.header("location"), Some("http://proxy:8080/there?a=%20b"));
    assert_eq!(answer.header("content-location"), Some("http://elsewhere/"));
    let exchange = harness.recorded().await;
    assert_eq!(exchange.notes, [Note::RedirectRewritten]);
    let original = format!("{}/there?a=%20b", upstream.url());
    assert_eq!(exchange.response.unwrap().headers[0].value, original);
    let old = send(harness.address(), b"GET /x HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.header("location"), Some("/there?a=%20b"));

    let mut setup = Setup::new(&upstream.url());
    setup.proxy = |config| config.rewrite_redirects = false;
    let harness = Harness::with(setup).await;
    assert_eq!(send(harness.address(), GET).await.header("location"), Some(&*original));
    assert_eq!(harness.recorded().await.notes, []);
}

#[tokio::test]
async fn regression_more_than_a_hundred_headers_were_no_answer() {
    for count in [101, 1_000, 5_000] {
        let headers: String = (0..count).map(|number| format!("X-{number}: y\r\n")).collect();
        let (answer, exchange) = answered(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\n{{}}")).await;
        assert_eq!((answer.status, answer.head.lines().count()), (200, count + 3));
        assert_eq!(exchange.response.unwrap().headers.len(), count + 1);
    }
    let headers = "a:\r\n".repeat(20_000);
    let (answer, _) = answered(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\n{{}}")).await;
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn regression_white_space_before_a_colon_made_a_response_invalid() {
    let (answer, exchange) =
        answered("HTTP/1.1 200 OK\r\nA : 1\r\nB\t: 2\r\nC: 3\r\n  and 4\r\nContent-Length : 2\r\n\r\n{}").await;
    assert_eq!(answer.head, "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3 and 4\r\nContent-Length: 2\r\nconnection: close");
    assert_eq!((&answer.body[..], exchange.outcome), (&b"{}"[..], Outcome::Answered));
    let headers: Vec<_> = exchange.response.unwrap().headers;
    let named: Vec<_> = headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect();
    assert_eq!(named, [("A", "1"), ("B", "2"), ("C", "3 and 4"), ("Content-Length", "2")]);
}

#[tokio::test]
async fn regression_clear_text_to_a_port_with_tls_was_dropped_without_a_word() {
    let authority = Authority::new();
    let upstream = Upstream::responding(200, "{}").await;
    let (certificate, key) = authority.certificate_files();
    let mut setup = Setup::new(&upstream.url());
    setup.listen.tls = Some(nightaudit_listen::server_config(&certificate, &key).unwrap());
    let harness = Harness::with(setup).await;
    for request in [post("bills/add", "{}"), GET.to_vec(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()] {
        let answer = send(harness.address(), &request).await;
        assert_eq!((answer.status, answer.header("x-nightaudit-error")), (400, Some("malformed")));
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Rejected);
        assert!(exchange.error.unwrap().message.starts_with("received cleartext HTTP on a TLS port"));
    }
    assert!(upstream.seen().is_empty());
    // Who speaks TLS is served.
    let stream = authority.connect(harness.address(), &["http/1.1"]).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::new(of_unknown_length(&[]));
    request.headers_mut().insert("host", "a".parse().unwrap());
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn regression_tls_to_a_clear_port_was_a_nul_in_the_head() {
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "received TLS on a cleartext port").await;
}

#[tokio::test]
async fn a_broken_response_leaves_the_connections_of_others_alone() {
    let upstream = saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\
                           Content-Length: 8\r\n\r\nsmuggled",
    )
    .await;
    let harness = Harness::start(&upstream.url()).await;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(harness.address()).await.unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(read_response(&mut stream).await.header("transfer-encoding"), Some("chunked"));
        harness.recorded().await;
    }
    assert_eq!(upstream.raw_heads().len(), 3, "each on a connection of its own");
}
