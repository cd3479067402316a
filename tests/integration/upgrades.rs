//! Offers to upgrade: a WebSocket is one, everything else is ignored.

use std::{process::Command, time::Duration};

use nightaudit_exchange::{FailureKind, Outcome};
use nightaudit_limit::{Action, Config, KeyParts, Limiter, Rule};
use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_testkit::{
    Authority, Harness, Process, Setup, Simulated, Upstream, open_web_socket, post, read_response, send, send_slowly,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

const ACCEPT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What Java's `HttpClient` and `curl --http2` send on each request in clear.
const H2C: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

fn with_headers(method: &str, headers: &str) -> Vec<u8> {
    format!("{method} /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 2\r\n\r\n{{}}")
        .into_bytes()
}

/// Answers every request of a connection with a 101 that switches to `protocol`.
async fn switching(protocol: &'static str) -> Upstream {
    Upstream::raw(move |mut stream| async move {
        let answer =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nhello");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

#[tokio::test]
async fn regression_any_upgrade_went_to_the_host_of_events_past_the_limits() {
    let api = Upstream::responding(200, "{}").await;
    let events = switching("h2c").await;
    let mut setup = Setup::new(&api.url());
    setup.events = Some(events.url());
    let offers = [
        ("POST", H2C.to_owned()),
        ("POST", "Connection: Upgrade\r\nUpgrade: foo\r\n".to_owned()),
        ("GET", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n".to_owned()),
        // Three that name a WebSocket and don't open one.
        ("POST", format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{KEY}")),
        ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".to_owned()),
        ("GET", format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{}", KEY.replace("13", "7"))),
    ];
    let rule = Rule {
        name: "published".into(),
        key: KeyParts { access_token: true, client_token: false, operation: false },
        requests: u32::try_from(offers.len()).unwrap(),
        window: Duration::from_secs(3600),
        burst: None,
        paginated_factor: 1,
    };
    setup.limiter = Limiter::new(Config { rules: vec![rule], slack: Duration::ZERO, action: Action::Reject }).unwrap();
    let harness = Harness::with(setup).await;
    // All of them on one connection, which stays.
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    for (method, headers) in &offers {
        send_slowly(&mut stream, &[&with_headers(method, headers)]).await;
        let answer = read_response(&mut stream).await;
        assert_eq!((answer.status, answer.header("connection")), (200, None), "{headers}");
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, &exchange.operation[..]), (Outcome::Answered, "bills/add"), "{headers}");
        assert_eq!(&exchange.request.body.bytes[..], b"{}", "{headers}");
        let seen = api.seen().pop().unwrap();
        assert_eq!((seen.head.method.as_str(), &seen.body[..]), (*method, &b"{}"[..]), "{headers}");
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(!seen.head.headers.contains_key(name), "{name} was passed on: {headers}");
        }
    }
    send_slowly(&mut stream, &[&with_headers("POST", H2C)]).await;
    let answer = read_response(&mut stream).await;
    assert_eq!((answer.status, answer.header("x-nightaudit-limited")), (429, Some("test/published")));
    assert!(events.raw_heads().is_empty());
}

#[tokio::test]
async fn regression_a_101_that_nobody_asked_for_opened_a_tunnel() {
    for (protocol, request) in [
        ("h2c", with_headers("POST", H2C)),
        ("foo", with_headers("GET", "Connection: Upgrade\r\nUpgrade: foo\r\n")),
        ("websocket", post("bills/add", "{}")),
        ("h2c", open_web_socket("")),
        ("websocket, foo", open_web_socket("")),
    ] {
        let mews = switching(protocol).await;
        let harness = Harness::start(&mews.url()).await;
        let answer = send(harness.address(), &[&request[..], &post("bills/add", "{}")].concat()).await;
        let error = answer.header("x-nightaudit-error");
        assert_eq!((answer.status, error), (502, Some("invalid-response")), "{protocol}");
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.status()), (Outcome::Failed, Some(502)), "{protocol}");
        let error = exchange.error.unwrap();
        assert_eq!(error.kind, FailureKind::InvalidResponse, "{protocol}");
        assert!(error.message.contains(protocol), "{}", error.message);
    }
}

#[tokio::test]
async fn regression_an_upgrade_with_a_body_sent_mews_what_was_made_for_hyper_alone() {
    let mews = Upstream::raw(|mut stream| async move {
        stream.write_all(ACCEPT).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    })
    .await;
    for body in [
        "Content-Length: 5\r\n\r\nhello\x01\x02frames",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\x01\x02frames",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\x01\x02frames",
    ] {
        let harness = Harness::start(&mews.url()).await;
        let open = open_web_socket("");
        let request = [&open[..open.len() - 2], body.as_bytes()].concat();
        let answer = send(harness.address(), &request).await;
        assert_eq!(answer.status, 400, "{body:?}");
        let exchange = harness.recorded().await;
        assert_eq!((exchange.outcome, exchange.status()), (Outcome::Rejected, Some(400)), "{body:?}");
    }
    assert!(mews.raw_heads().is_empty(), "{:?}", mews.raw_heads());
}

#[tokio::test]
async fn what_a_client_offers_beside_a_websocket_is_not_passed_on() {
    let mews = Upstream::raw(|mut stream| async move { stream.write_all(ACCEPT).await.unwrap() }).await;
    let harness = Harness::start(&mews.url()).await;
    let request = String::from_utf8(open_web_socket("")).unwrap();
    let request = request
        .replace("Connection: Upgrade", "Connection: keep-alive, HTTP2-Settings, Upgrade")
        .replace("Upgrade: websocket", "HTTP2-Settings: AAMAAABk\r\nUpgrade: h2c, WebSocket");
    let answer = send(harness.address(), request.as_bytes()).await;
    assert_eq!(answer.status, 101);
    let head = mews.raw_heads().remove(0);
    assert!(head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: websocket\r\n"), "{head}");
    assert!(!head.contains("h2c") && !head.contains("HTTP2") && !head.contains("keep-alive"), "{head}");
}

/// Opens a WebSocket over a stream and reads the head of the answer.
async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, headers: &str) -> String {
    stream.write_all(&open_web_socket(headers)).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn regression_a_websocket_failed_at_each_host_that_offers_http_2() {
    let authority = Authority::new();
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let events = Upstream::raw_over_tls(authority.server_config(protocols), |mut stream| async move {
            stream.write_all(ACCEPT).await.unwrap();
            let mut echo = [0; 4];
            stream.read_exact(&mut echo).await.unwrap();
            stream.write_all(&echo).await.unwrap();
            stream.shutdown().await.unwrap();
        })
        .await;
        let mut setup = Setup::new("https://localhost:9");
        setup.events = Some(events.url().replace("https", "wss"));
        setup.ca = Some(authority.ca_file());
        let harness = Harness::with(setup).await;
        let mut stream = TcpStream::connect(harness.address()).await.unwrap();
        assert!(open(&mut stream, "").await.starts_with("HTTP/1.1 101 "), "{protocols:?}");
        stream.write_all(b"ping").await.unwrap();
        let mut echo = Vec::new();
        stream.read_to_end(&mut echo).await.unwrap();
        assert_eq!(echo, b"ping", "{protocols:?}");
        assert!(events.raw_heads()[0].starts_with("GET /ws/connector HTTP/1.1\r\n"), "{:?}", events.raw_heads());
        assert_eq!(harness.recorded().await.status(), Some(101));
    }
    // A host that has nothing else is said to be the cause.
    let only = Upstream::raw_over_tls(authority.server_config(&["h2"]), |_| async {}).await;
    let mut setup = Setup::new(&only.url());
    setup.ca = Some(authority.ca_file());
    let harness = Harness::with(setup).await;
    let answer = send(harness.address(), &open_web_socket("")).await;
    assert_eq!((answer.status, answer.header("x-nightaudit-error")), (502, Some("tls")));
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_the_simulators_websocket_failed_behind_serve_over_tls() {
    let simulated = Simulated::start(BINARY, &["--tls"]);
    let ca = simulated.data().join("simulator-ca.pem");
    let tokens = PUBLISHED_TOKENS[0];
    let cookies = format!("Cookie: ClientToken={}; AccessToken={}\r\n", tokens.client, tokens.access);
    let authority = Authority::new();
    let (certificate, key) = authority.certificate_files();
    let upstream = ["--upstream", simulated.url(), "--upstream-ca", ca.to_str().unwrap()];
    let clear = Process::serve(BINARY, &upstream);
    let mut stream = TcpStream::connect(clear.proxy()).await.unwrap();
    assert!(open(&mut stream, &cookies).await.starts_with("HTTP/1.1 101 "));
    // And where the proxy's own port is one of TLS: the client's ALPN decides for its own connection only.
    let own = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let tls = Process::serve(BINARY, &[&upstream[..], &own].concat());
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = authority.connect(tls.proxy(), protocols).await;
        assert!(open(&mut stream, &cookies).await.starts_with("HTTP/1.1 101 "), "{protocols:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_that_offers_http_2_is_served() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: curl is not installed");
        return;
    }
    let api = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&api.url()).await;
    let address = format!("http://{}/api/connector/v1/bills/add", harness.address());
    let output = tokio::task::spawn_blocking(move || {
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--http2", "--data", "{}"])
            .args(["--write-out", "\n%{http_version} %{http_code} %{num_connects}\n", &address, &address])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // The second request goes over the connection of the first.
    assert_eq!(said, "{}\n1.1 200 1\n{}\n1.1 200 0\n");
    for _ in 0..2 {
        let exchange = harness.recorded().await;
        let offered = exchange.request.headers.iter().any(|header| header.value == "h2c");
        assert!(offered || api.seen().len() == 2, "{:?}", exchange.request.headers);
        assert_eq!(&exchange.request.body.bytes[..], b"{}");
    }
}
