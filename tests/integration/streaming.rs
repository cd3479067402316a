//! Requests whose bodies are still being sent when they are forwarded.

use nightaudit_exchange::{Outcome, Pseudonym};
use nightaudit_limit::{Action, Config, KeyParts, Limiter, Rule};
use nightaudit_testkit::{Harness, Setup, Upstream, read_response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A Mews that responses as soon as it has the head, and then reads on.
async fn answers_early() -> Upstream {
    Upstream::raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

async fn begin(harness: &Harness, framing: &str, beginning: &str) -> TcpStream {
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    let head = format!("POST /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{beginning}");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[tokio::test]
async fn regression_a_client_that_ended_its_body_only_after_it_had_the_head_waited_for_ever() {
    let upstream = answers_early().await;
    let harness = Harness::start(&upstream.url()).await;
    for beginning in [r#"{"AccessToken":"token-one","Data":["#, r#"{"AccessToken":"token-one"}"#] {
        let mut stream = begin(&harness, "Transfer-Encoding: chunked", &chunk(beginning)).await;
        assert_eq!(read_response(&mut stream).await.status, 200);
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Answered);
        assert_eq!(exchange.envelope.access_token, Some(Pseudonym::of(b"token-one")));
    }
    // What is no object has no envelope to wait for, be its length known or not.
    for (framing, beginning) in [("Transfer-Encoding: chunked", chunk("a=b")), ("Content-Length: 4", "a=b".to_owned())]
    {
        let mut stream = begin(&harness, framing, &beginning).await;
        assert_eq!(read_response(&mut stream).await.status, 200);
        drop(stream);
        harness.recorded().await;
    }
}

#[tokio::test]
async fn a_body_waits_for_what_the_limits_count_by() {
    let upstream = answers_early().await;
    let rule = |key, paginated_factor| Rule {
        name: "rule".to_owned(),
        key,
        requests: 100,
        window: std::time::Duration::from_secs(30),
        burst: None,
        paginated_factor,
    };
    let access = KeyParts { access_token: true, ..KeyParts::default() };
    let client = KeyParts { client_token: true, ..KeyParts::default() };
    for (rule, beginning, rest) in [
        (rule(access, 1), r#"{"Client":"Kiosk","#, r#""AccessToken":"A","#),
        (rule(client, 1), r#"{"AccessToken":"A","#, r#""ClientToken":"C","#),
        (rule(access, 10), r#"{"AccessToken":"A","#, r#""Limitation":{"#),
    ] {
        let mut setup = Setup::new(&upstream.url());
        setup.limiter = Limiter::new(Config { rules: vec![rule], ..Config::default() }).unwrap();
        let harness = Harness::with(setup).await;
        let sent = upstream.raw_heads().len();
        let mut stream = begin(&harness, "Transfer-Encoding: chunked", &chunk(beginning)).await;
        // By another connection it is seen that time enough has passed.
        let mut other = begin(&harness, "Content-Length: 2", "{}").await;
        assert_eq!(read_response(&mut other).await.status, 200);
        assert_eq!(upstream.raw_heads().len(), sent + 1, "{beginning}");
        stream.write_all(chunk(rest).as_bytes()).await.unwrap();
        assert_eq!(read_response(&mut stream).await.status, 200, "{beginning}");
    }
}

#[tokio::test]
async fn what_the_rest_of_a_body_says_of_its_sender_is_recorded() {
    let upstream = Upstream::raw(|mut stream| async move {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            stream.read_buf(&mut body).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    })
    .await;
    let harness = Harness::start(&upstream.url()).await;
    let mut stream = begin(&harness, "Transfer-Encoding: chunked", &chunk(r#"{"AccessToken":"A","#)).await;
    while upstream.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    let rest = chunk(r#""ClientToken":"C","Client":"Kiosk 1","Limitation":{"Count":1}}"#);
    stream.write_all(format!("{rest}0\r\n\r\n").as_bytes()).await.unwrap();
    let envelope = harness.recorded().await.envelope;
    assert_eq!(envelope.access_token, Some(Pseudonym::of(b"A")));
    assert_eq!(envelope.client_token, Some(Pseudonym::of(b"C")));
    assert_eq!((envelope.client.as_deref(), envelope.paginated), (Some("Kiosk 1"), true));
}

#[tokio::test]
async fn a_body_that_has_arrived_is_read_before_anything_is_sent() {
    let upstream = Upstream::responding(200, "{}").await;
    let harness = Harness::start(&upstream.url()).await;
    let body = format!(r#"{{"AccessToken":"A","Data":"{}"}}"#, "x".repeat(60_000));
    let mut stream = begin(&harness, &format!("Content-Length: {}", body.len()), &body).await;
    assert_eq!(read_response(&mut stream).await.status, 200);
    assert_eq!(upstream.seen()[0].body, body);
    assert_eq!(harness.recorded().await.request.body.length, body.len() as u64);
}

#[tokio::test]
async fn a_request_whose_client_closes_its_side_while_it_waits_for_its_turn_is_not_sent() {
    let upstream = answers_early().await;
    let rule = Rule {
        name: "rule".to_owned(),
        key: KeyParts { access_token: true, ..KeyParts::default() },
        requests: 1,
        window: std::time::Duration::from_secs(3600),
        burst: None,
        paginated_factor: 1,
    };
    let action = Action::Delay { max_delay: std::time::Duration::from_secs(3600), max_queued: 10 };
    let limiter = Limiter::new(Config { rules: vec![rule], action, ..Config::default() }).unwrap();
    let mut setup = Setup::new(&upstream.url());
    setup.limiter = limiter.clone();
    let harness = Harness::with(setup).await;
    let mut first = begin(&harness, "Content-Length: 2", "{}").await;
    assert_eq!(read_response(&mut first).await.status, 200);
    harness.recorded().await;
    let mut second = begin(&harness, "Content-Length: 2", "{}").await;
    while limiter.state()[0].waiting == 0 {
        tokio::task::yield_now().await;
    }
    second.shutdown().await.unwrap();
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.times_us.forwarded), (Outcome::Aborted, None));
    assert_eq!(limiter.state()[0].waiting, 0);
    assert_eq!(upstream.raw_heads().len(), 1);
}
