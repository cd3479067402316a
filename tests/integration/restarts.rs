//! What the limits know of an earlier run.

use http_body_util::{BodyExt as _, Full};
use nightaudit_testkit::{Process, Upstream, post, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;
const BROKEN_OFF: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3000\r\nContent-Length: 100\r\n\r\n{";
const WHOLE: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3000\r\nContent-Length: 2\r\n\r\n{}";

async fn stop(serve: Process) {
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
}

/// A Mews that sends this response on each connection, and then closes its side of it, or waits for the other to.
async fn mews(response: &'static str, closes: bool) -> Upstream {
    Upstream::raw(move |mut stream| async move {
        let _ = stream.write_all(response.as_bytes()).await;
        if closes {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_429_that_no_client_got_to_its_end_was_forgotten_at_a_restart() {
    let cases: [(&str, &str, bool, &[&str]); 4] = [
        ("broken off", BROKEN_OFF, true, &[]),
        ("left", BROKEN_OFF, false, &[]),
        ("reset", WHOLE, true, &["--fault", "reset"]),
        ("truncated", WHOLE, true, &["--fault", "truncate"]),
    ];
    for (name, response, closes, faults) in cases {
        let mews = mews(response, closes).await;
        let folder = tempfile::tempdir().unwrap();
        let (data, url) = (folder.path().join("data"), mews.url());
        let serve = Process::serve_on(BINARY, &data, &[&["--upstream", &url], faults].concat());
        let mut client = TcpStream::connect(serve.proxy()).await.unwrap();
        client.write_all(&post("bills/add", BODY)).await.unwrap();
        if closes {
            let _ = client.read_to_end(&mut Vec::new()).await;
        } else {
            client.read_u8().await.unwrap();
        }
        drop(client);
        stop(serve).await;
        let serve = Process::serve_on(BINARY, &data, &["--upstream", &url]);
        let answer = send(serve.proxy(), &post("bills/add", BODY)).await;
        assert_eq!((answer.status, mews.raw_heads().len()), (429, 1), "{name}");
        assert!(answer.header("x-nightaudit-limited").is_some(), "{name}");
        stop(serve).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_host_that_was_never_asked_was_taken_for_the_one_that_had_refused() {
    let refusing = Upstream::scripted(|_| async {
        let body = Full::from("{}").map_err(|never| match never {}).boxed();
        http::Response::builder().status(429).header("Retry-After", "3000").body(body).unwrap()
    })
    .await;
    let other = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (mews, status) in [(&refusing, 429), (&other, 200), (&refusing, 429)] {
        let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
        assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, status);
        stop(serve).await;
    }
    assert_eq!((refusing.seen().len(), other.seen().len()), (1, 1));
}
