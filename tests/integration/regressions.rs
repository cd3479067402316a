//! Regression tests.

use nightaudit_exchange::{FailureKind, Outcome};
use nightaudit_testkit::{Harness, Process, Upstream, leave, open_web_socket, post, read_response, send, send_slowly};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

#[tokio::test]
async fn an_upgrade_field_without_the_connection_option_let_ambiguous_requests_past_the_guard() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    send_slowly(&mut stream, &[b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n"]).await;
    assert_eq!(read_response(&mut stream).await.status, 200);
    let smuggled = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    send_slowly(&mut stream, &[smuggled]).await;
    assert_eq!(read_response(&mut stream).await.status, 400);
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(harness.recorded().await.outcome, Outcome::Answered);
    assert_eq!(harness.recorded().await.error.unwrap().kind, FailureKind::Framing);
}

#[tokio::test]
async fn a_request_waited_behind_an_upload_that_mews_had_answered_early() {
    let upstream = Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        // Reads on, as a server that wants the connection to live does.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let mut uploading = TcpStream::connect(harness.address()).await.unwrap();
    let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 100 << 20);
    uploading.write_all(head.as_bytes()).await.unwrap();
    uploading.write_all(&vec![b'x'; 2 << 20]).await.unwrap();
    assert_eq!(read_response(&mut uploading).await.status, 413);
    // The upload is still under way; another request must get a connection of its own.
    assert_eq!(send(harness.address(), &post("bills/add", "{}")).await.status, 413);
    assert_eq!(upstream.raw_heads().len(), 2);
    drop(uploading);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_was_open_when_serve_stopped_was_not_recorded() {
    let events = Upstream::raw(|mut stream| async move {
        let accept = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(accept).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let serve = Process::serve_on(BINARY, &folder.path().join("data"), &["--upstream", &events.url()]);
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    stream.write_all(&open_web_socket("")).await.unwrap();
    assert_eq!(read_response(&mut stream).await.status, 101);
    let (status, said) = tokio::task::spawn_blocking(move || serve.stop()).await.unwrap();
    assert!(status.success() && said.contains("2 exchanges"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_interrupted_before_anything_was_recorded_was_put_down_to_the_next_session() {
    let mews = Upstream::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "first"]);
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    send_slowly(&mut stream, &[&post("bills/add", "{}")]).await;
    while mews.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    serve.kill();
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "second"]);
    let output = serve.run(BINARY, &["tail", "--no-follow", "--json"]);
    let exchange: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&exchange["sessionName"], &exchange["outcome"]), (&"first".into(), &"interrupted".into()));
    assert!(exchange["timesUs"]["forwarded"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_did_not_end_serve() {
    let mews = Upstream::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let address = serve.proxy();
    let mut stream = TcpStream::connect(address).await.unwrap();
    send_slowly(&mut stream, &[&post("bills/add", "{}")]).await;
    while mews.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    serve.terminate();
    // When no new connection is taken any more, the first signal has been heard.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let (status, _) = tokio::task::spawn_blocking(move || serve.stop()).await.unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_path_or_in_the_client_stood_in_the_journal_while_its_request_was_under_way() {
    const ACCESS: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
    const OTHER: &str = "E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D";
    let mews = Upstream::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    let body = format!(
        r#"{{"AccessToken":"{ACCESS}","ClientToken":"my own token, 0001","Client":"Kiosk my own token, 0001"}}"#
    );
    let request = post(&format!("of/{ACCESS}/and/{OTHER}/and/my%20own%20token,%200001"), &body);
    send_slowly(&mut stream, &[&request]).await;
    while mews.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    let journal = std::fs::read(serve.data().join("journal")).unwrap();
    let journal = String::from_utf8_lossy(&journal);
    assert!(journal.contains("/of/REDACTED:") && journal.contains("Kiosk REDACTED:"), "{journal}");
    for secret in [ACCESS, OTHER, "my own token, 0001", "my%20own%20token,%200001"] {
        assert!(!journal.contains(secret), "{secret} in {journal}");
    }
    // Nor anywhere else once its exchange is recorded.
    leave(stream);
    let shown = loop {
        let output = serve.run(BINARY, &["tail", "--no-follow", "--json"]);
        if !output.stdout.is_empty() {
            break String::from_utf8(output.stdout).unwrap();
        }
    };
    assert!(
        [ACCESS, OTHER, "my own token, 0001", "my%20own%20token,%200001"].iter().all(|secret| !shown.contains(secret)),
        "{shown}"
    );
}

#[tokio::test]
async fn open_websockets_counted_for_no_bound() {
    let events = Upstream::raw(|mut stream| async move {
        let accept = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(accept).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut setup = nightaudit_testkit::Setup::new(&events.url());
    setup.proxy = |config| config.max_tunnels = 1;
    let harness = Harness::with(setup).await;
    let request = &open_web_socket("");
    let mut first = TcpStream::connect(harness.address()).await.unwrap();
    first.write_all(request).await.unwrap();
    assert_eq!(read_response(&mut first).await.status, 101);
    assert_eq!(harness.recorded().await.status(), Some(101));
    let refused = send(harness.address(), request).await;
    assert_eq!((refused.status, refused.header("x-nightaudit-error")), (503, Some("overloaded")));
    assert_eq!(harness.recorded().await.outcome, Outcome::Rejected);
    assert_eq!(events.raw_heads().len(), 1);
    // One that ends makes room.
    drop(first);
    assert!(harness.recorded().await.web_socket.unwrap().ended);
    loop {
        let mut next = TcpStream::connect(harness.address()).await.unwrap();
        next.write_all(request).await.unwrap();
        if read_response(&mut next).await.status == 101 {
            break;
        }
    }
}
