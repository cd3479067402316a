//! Requests and responses are forwarded unchanged.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nightaudit_exchange::{Digest, Outcome, Pseudonym};
use nightaudit_testkit::{
    Authority, Harness, Setup, Upstream, open_web_socket, post, read_response, send, send_slowly,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

type Body = BoxBody<Bytes, std::io::Error>;

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A body that a test sends piece by piece.
fn streamed() -> (mpsc::UnboundedSender<Bytes>, Body) {
    struct Pieces(mpsc::UnboundedReceiver<Bytes>);
    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Pieces(receiver).boxed())
}

#[tokio::test]
async fn a_request_and_its_answer_keep_their_bytes_their_order_and_their_spelling() {
    let upstream = Upstream::raw(|mut stream| async move {
        let mut body = [0; 26];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, br#"{ "AccessToken" : "T",  } "#);
        let answer = "HTTP/1.1 299 Quite Fine\r\nX-ODD: 1\r\nx-odd: 2\r\nSet-Cookie: a\r\nRequest-ID: r-7\r\nSet-Cookie: b\r\n\
                      CONTENT-length: 3\r\n\r\nabc";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let request = "POST /api/connector/v1/Bills/add/?a=%2F&b=c%20d&&e HTTP/1.1\r\nhOST: 127.0.0.1\r\nUser-agent: kiosk\r\n\
                   X-b: 1\r\nx-A: 2\r\nX-B: 3\r\nAccept-Encoding: br;q=1.0, *\r\nContent-LENGTH: 26\r\nConnection: close\r\n\
                   X-Nightaudit-Session: suite-1\r\n\r\n{ \"AccessToken\" : \"T\",  } ";
    let answer = send(harness.address(), request.as_bytes()).await;

    let address = upstream.address();
    let forwarded = format!(
        "POST /api/connector/v1/Bills/add/?a=%2F&b=c%20d&&e HTTP/1.1\r\nhOST: localhost:{}\r\nUser-agent: kiosk\r\n\
         X-b: 1\r\nX-B: 3\r\nx-A: 2\r\nAccept-Encoding: br;q=1.0, *\r\nContent-LENGTH: 26\r\n\r\n",
        address.port()
    );
    assert_eq!(upstream.raw_heads(), [forwarded]);
    assert_eq!(
        answer.head,
        "HTTP/1.1 299 Quite Fine\r\nX-ODD: 1\r\nx-odd: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nRequest-ID: r-7\r\n\
         CONTENT-length: 3\r\nconnection: close"
    );
    assert_eq!(answer.body, b"abc");

    let exchange = harness.recorded().await;
    let names: Vec<_> = exchange.request.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(&names[..5], ["hOST", "User-agent", "X-b", "x-A", "X-B"]);
    assert_eq!(exchange.session_name, "suite-1");
    assert_eq!(
        exchange.request.url,
        format!("http://localhost:{}/api/connector/v1/Bills/add/?a=%2F&b=c%20d&&e", address.port())
    );
    assert_eq!(exchange.operation, "Bills/add/");
    assert_eq!(exchange.envelope.access_token, Some(Pseudonym::of(b"T")));
    assert_eq!((exchange.outcome, exchange.status()), (Outcome::Answered, Some(299)));
    let response = exchange.response.unwrap();
    let names: Vec<_> = response.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["X-ODD", "x-odd", "Set-Cookie", "Request-ID", "Set-Cookie", "CONTENT-length"]);
    assert_eq!(response.body.sha256, Digest::of(b"abc"));
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    let keep = "POST /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    for _ in 0..3 {
        send_slowly(&mut stream, &[keep.as_bytes()]).await;
        assert_eq!(read_response(&mut stream).await.status, 200);
    }
    // Two at once: the second waits for the first.
    send_slowly(&mut stream, &[keep.repeat(2).as_bytes()]).await;
    let mut both = Vec::new();
    while both.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count() < 2 {
        stream.read_buf(&mut both).await.unwrap();
    }
    assert_eq!(upstream.seen().len(), 5);
}

#[tokio::test]
async fn a_pooled_connection_that_mews_has_closed_fails_no_request() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        // Closed without a word, as servers close idle connections.
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    for _ in 0..20 {
        let request = "GET /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(send(harness.address(), request.as_bytes()).await.status, 200);
        // The proxy learns that the connection is closed when its task next runs.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_chunked_body_stays_chunked_and_an_empty_one_is_not_invented() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let chunked = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   3\r\n{\"A\r\n4\r\n\":1}\r\n0\r\n\r\n";
    assert_eq!(send(harness.address(), chunked.as_bytes()).await.status, 200);
    let get = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(send(harness.address(), get.as_bytes()).await.status, 200);
    let seen = upstream.seen();
    assert_eq!(seen[0].head.headers["transfer-encoding"], "chunked");
    assert_eq!(&seen[0].body[..], br#"{"A":1}"#);
    assert!(!seen[1].head.headers.contains_key("content-length"));
    assert!(!seen[1].head.headers.contains_key("transfer-encoding"));
    assert_eq!(&harness.recorded().await.request.body.bytes[..], br#"{"A":1}"#);
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let answer = send(harness.address(), b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("1000"), 0));
    assert_eq!(harness.recorded().await.outcome, Outcome::Answered);

    for status in [204, 304] {
        let upstream = Upstream::responding(status, "").await;
        let harness = Harness::start(&upstream.url()).await;
        let answer = send(harness.address(), &post("bills/add", "{}")).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
        assert_eq!(harness.recorded().await.outcome, Outcome::Answered);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    send_slowly(&mut stream, &[head.as_bytes()]).await;
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    send_slowly(&mut stream, &[b"{}"]).await;
    assert_eq!(read_response(&mut stream).await.status, 200);
}

#[tokio::test]
async fn an_interim_answer_of_mews_does_not_disturb_the_final_one() {
    let upstream = Upstream::raw(|mut stream| async move {
        let answers = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(answers.as_bytes()).await.unwrap();
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let answer = send(harness.address(), b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
}

#[tokio::test]
async fn an_answer_flows_while_it_comes_and_only_its_end_waits_for_the_record() {
    let (sender, body) = streamed();
    let body = std::sync::Mutex::new(Some(body));
    let upstream = Upstream::scripted(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    harness.gate().close();
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    send_slowly(&mut stream, &[&post("exports/getAll", "{}")]).await;
    let mut read = Vec::new();
    for piece in ["first", "second"] {
        sender.send(Bytes::from_static(piece.as_bytes())).unwrap();
        while !String::from_utf8_lossy(&read).contains(piece) {
            stream.read_buf(&mut read).await.unwrap();
        }
    }
    drop(sender);
    // It is recorded, but not yet safe: the answer must not look complete.
    let exchange = harness.recorded().await;
    assert_eq!(&exchange.response.unwrap().body.bytes[..], b"firstsecond");
    assert!(!read.ends_with(b"0\r\n\r\n"));
    harness.gate().open();
    stream.read_to_end(&mut read).await.unwrap();
    assert!(read.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&read));
}

#[tokio::test]
async fn of_an_answer_of_known_length_the_last_piece_waits_for_the_record() {
    let upstream = Upstream::responding(200, "whole").await;
    let harness = Harness::start(&upstream.url()).await;
    harness.gate().close();
    let request = post("exports/getAll", "{}");
    let answer = send(harness.address(), &request);
    tokio::pin!(answer);
    let exchange = tokio::select! {
        _ = &mut answer => panic!("the answer came before it was safe"),
        exchange = harness.recorded() => exchange,
    };
    assert_eq!(exchange.response.unwrap().body.length, 5);
    harness.gate().open();
    assert_eq!(answer.await.body, b"whole");
}

/// What the integration has got of an answer of `whole` when the receipt is there at once, or else never.
async fn got_first(receipt: bool) -> String {
    let upstream = Upstream::responding(200, "whole").await;
    let harness = Harness::start(&upstream.url()).await;
    harness.gate().close();
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    send_slowly(&mut stream, &[&post("exports/getAll", "{}")]).await;
    harness.recorded().await;
    if receipt {
        harness.gate().open();
    }
    let mut read = Vec::with_capacity(4096);
    stream.read_buf(&mut read).await.unwrap();
    String::from_utf8(read).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_came_as_one_piece_leaves_as_one() {
    let got = got_first(true).await;
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n\r\nwhole"), "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_head_does_not_wait_for_a_disk_that_hangs() {
    let got = got_first(false).await;
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn a_request_flows_while_it_comes_once_its_envelope_is_read() {
    let upstream = Upstream::responding(200, "{}").await;
    let mut setup = Setup::new(&upstream.url());
    setup.proxy = |config| config.keep_body = 64 * 1024;
    let harness = Harness::with(setup).await;
    let mut body = br#"{"AccessToken":"token-of-a-file","Data":""#.to_vec();
    body.resize(5 << 20, b'x');
    body.extend(b"\"}");
    let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let answer = send(harness.address(), &[head.as_bytes(), &body].concat()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen()[0].body, body);
    let exchange = harness.recorded().await;
    let recorded = exchange.request.body;
    assert_eq!((recorded.length, recorded.sha256, recorded.truncated), (body.len() as u64, Digest::of(&body), true));
    // A pseudonym may be longer than the token.
    assert!((64 * 1024..65 * 1024).contains(&recorded.bytes.len()));
    assert_eq!(exchange.envelope.access_token, Some(Pseudonym::of(b"token-of-a-file")));
}

#[tokio::test]
async fn http_2_with_prior_knowledge() {
    let upstream = Upstream::scripted(|seen| async move { Response::new(full(seen.body)) }).await;
    let harness = Harness::start(&upstream.url()).await;
    let stream = TcpStream::connect(harness.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    for number in 0..3 {
        let mut request = http::Request::new(full(format!("{{\"Number\":{number}}}")));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = "http://whatever/api/connector/v1/bills/add".parse().unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), format!("{{\"Number\":{number}}}"));
        let exchange = harness.recorded().await;
        assert_eq!((exchange.request.http_version.as_str(), exchange.operation.as_str()), ("HTTP/2", "bills/add"));
    }
    assert_eq!(upstream.seen()[0].head.version, Version::HTTP_11);
}

#[tokio::test]
async fn http_2_by_alpn_on_both_sides() {
    let authority = Authority::new();
    let upstream = Upstream::http(Some(authority.server_config(&["h2", "http/1.1"])), |seen| async move {
        Response::new(full(format!("{:?}", seen.head.version)))
    })
    .await;
    let (certificate, key) = authority.certificate_files();
    let mut setup = Setup::new(&upstream.url());
    setup.ca = Some(authority.ca_file());
    setup.listen.tls = Some(nightaudit_listen::server_config(&certificate, &key).unwrap());
    let harness = Harness::with(setup).await;

    for (protocols, spoken) in [(vec!["h2"], "HTTP/2"), (vec!["http/1.1"], "HTTP/1.1"), (vec![], "HTTP/1.1")] {
        let stream = authority.connect(harness.address(), &protocols).await;
        let mut request = http::Request::new(full("{}"));
        *request.method_mut() = http::Method::POST;
        let body = if protocols == ["h2"] {
            *request.uri_mut() = "https://localhost/x".parse().unwrap();
            let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        } else {
            *request.uri_mut() = "/x".parse().unwrap();
            request.headers_mut().insert("host", "localhost".parse().unwrap());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!(body, "HTTP/2.0");
        let exchange = harness.recorded().await;
        assert_eq!(exchange.request.http_version, spoken);
        assert_eq!(exchange.response.unwrap().http_version, "HTTP/2");
    }
}

#[tokio::test]
async fn trailers_of_http_2_pass() {
    let authority = Authority::new();
    let upstream = Upstream::http(Some(authority.server_config(&["h2"])), |_| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        let frames = vec![Ok(Frame::data(Bytes::from_static(b"abc"))), Ok(Frame::trailers(trailers))];
        Response::new(StreamBody::new(futures(frames)).boxed())
    })
    .await;
    let mut setup = Setup::new(&upstream.url());
    setup.ca = Some(authority.ca_file());
    let harness = Harness::with(setup).await;
    let stream = TcpStream::connect(harness.address()).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::new(full("{}"));
    *request.uri_mut() = "http://localhost/x".parse().unwrap();
    let collected = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(collected.to_bytes(), "abc");
}

/// A stream over what is there.
fn futures(
    frames: Vec<Result<Frame<Bytes>, std::io::Error>>,
) -> impl futures_core::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync {
    struct Frames(std::sync::Mutex<std::vec::IntoIter<Result<Frame<Bytes>, std::io::Error>>>);
    impl futures_core::Stream for Frames {
        type Item = Result<Frame<Bytes>, std::io::Error>;
        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Ready(self.0.lock().unwrap().next())
        }
    }
    Frames(std::sync::Mutex::new(frames.into_iter()))
}

#[tokio::test]
async fn a_websocket_goes_to_the_host_of_events_and_carries_bytes_both_ways() {
    let api = Upstream::responding(500, "not here").await;
    let events = Upstream::raw(|mut stream| async move {
        let accept = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello";
        stream.write_all(accept.as_bytes()).await.unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.unwrap();
        stream.write_all(&echo).await.unwrap();
    })
    .await;
    let mut setup = Setup::new(&api.url());
    setup.events = Some(format!("ws://localhost:{}", events.address().port()));
    let harness = Harness::with(setup).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    let request = open_web_socket("Cookie: ClientToken=client-token-1; AccessToken=access-token-1\r\n");
    stream.write_all(&request).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    drop(stream);
    let read = String::from_utf8(read).unwrap();
    assert!(read.starts_with("HTTP/1.1 101 ") && read.ends_with("\r\n\r\nhelloping"), "{read}");
    assert!(events.raw_heads()[0].contains("Upgrade: websocket\r\n"));
    let exchange = harness.recorded().await;
    assert_eq!((exchange.status(), exchange.outcome), (Some(101), Outcome::Answered));
    assert_eq!(exchange.envelope.access_token, Some(Pseudonym::of(b"access-token-1")));
    assert!(exchange.request.url.starts_with("http://localhost"), "{}", exchange.request.url);
}

#[tokio::test]
async fn an_address_of_its_own_or_of_mews_may_be_absolute() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    for authority in [harness.address().to_string(), upstream.url().replace("http://", "")] {
        let request = format!("GET http://{authority}/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(send(harness.address(), request.as_bytes()).await.status, 200);
        assert_eq!(upstream.seen().pop().unwrap().head.uri, "/x?y");
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_answer_back_and_nothing_else() {
    const SIZE: usize = 64 << 20;
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        let piece = vec![b'x'; 1 << 16];
        for _ in 0..SIZE / piece.len() {
            if stream.write_all(&piece).await.is_err() {
                return;
            }
        }
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stalled = TcpStream::connect(harness.address()).await.unwrap();
    send_slowly(&mut stalled, &[b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]).await;
    let mut some = [0; 10];
    stalled.read_exact(&mut some).await.unwrap();
    // Nothing can be recorded yet: the kernel's buffers hold a few MiB of the 64 at most.
    assert!(tokio::time::timeout(Duration::from_millis(100), harness.recorded()).await.is_err());
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).await.unwrap();
    let exchange = harness.recorded().await;
    let body = exchange.response.unwrap().body;
    assert_eq!((body.length, body.bytes.len(), body.truncated), (SIZE as u64, 8 << 20, true));
}
