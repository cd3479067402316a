//! Webhooks: passed on from Mews to the integration, and recorded in the same session.

use std::{
    collections::BTreeSet,
    net::TcpListener as StdListener,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nightaudit_exchange::{CallDirection, Exchange, FailureKind, Outcome, Pseudonym};
use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_proxy::ProxyConfig;
use nightaudit_testkit::{Harness, Process, RawResponse, Setup, Simulated, Upstream, post, read_response, send};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// A webhook as Mews sends it, with a number by which it is known.
fn webhook(target: &str, number: usize) -> Vec<u8> {
    let body = format!(
        r#"{{"EnterpriseId":"e","IntegrationId":"i","Events":[{{"Discriminator":"ServiceOrderUpdated","Value":{{"Id":"{number}"}}}}]}}"#
    );
    format!(
        "POST {target} HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn number(exchange: &Exchange) -> usize {
    number_of(&exchange.request.body.bytes)
}

fn number_of(body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["Events"][0]["Value"]["Id"].as_str().unwrap().parse().unwrap()
}

/// A port of webhooks to `/hook` of this integration.
async fn hooks(integration: &str) -> Harness {
    let proxy = |config: &mut ProxyConfig| config.webhook = Some(format!("{}/hook", config.api).parse().unwrap());
    Harness::with(Setup { proxy, ..Setup::new(integration) }).await
}

async fn sent(harness: &Harness, target: &str) -> RawResponse {
    let request = String::from_utf8(webhook(target, 1)).unwrap();
    send(harness.address(), request.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).await
}

#[tokio::test]
async fn a_webhook_passes_through_and_is_recorded_as_one() {
    let integration = Upstream::responding(204, "").await;
    let harness = hooks(&integration.url()).await;
    let request = "\r\nX-Nightaudit-Session: other\r\nConnection: close\r\n";
    let request = String::from_utf8(webhook("/", 1)).unwrap().replacen("\r\n", request, 1);
    assert_eq!(send(harness.address(), request.as_bytes()).await.status, 204);
    let seen = &integration.seen()[0];
    assert_eq!((seen.head.uri.path(), seen.head.headers.contains_key("x-nightaudit-session")), ("/hook", false));
    let exchange = harness.recorded().await;
    assert_eq!(
        (exchange.direction, exchange.outcome, exchange.status()),
        (CallDirection::Incoming, Outcome::Answered, Some(204))
    );
    assert_eq!((&*exchange.operation, &*exchange.session_name, &exchange.limit), ("webhook", "test", &None));
    assert_eq!((&exchange.request.url, number(&exchange)), (&format!("{}/hook", integration.url()), 1));
    assert_eq!(seen.body, exchange.request.body.bytes);
    assert_eq!(serde_json::to_value(&exchange).unwrap()["direction"], "incoming");
}

#[tokio::test]
async fn a_secret_in_the_url_reaches_the_integration_and_not_the_log() {
    const SECRET: &str = "correct-horse-battery-staple-77";
    let integration = Upstream::responding(200, "").await;
    // Without a path of its own, the webhook's is kept.
    let proxy = |config: &mut ProxyConfig| config.webhook = Some(config.api.to_string().parse().unwrap());
    let harness = Harness::with(Setup { proxy, ..Setup::new(&integration.url()) }).await;
    for target in [format!("/hooks/{SECRET}"), format!("/hook?key={SECRET}"), format!("/hook?{SECRET}")] {
        let request = String::from_utf8(webhook(&target, 1)).unwrap();
        let more = format!("\r\nX-Original-Uri: {target}\r\nConnection: close\r\n");
        send(harness.address(), request.replacen("\r\n", &more, 1).as_bytes()).await;
        let seen = integration.seen();
        assert_eq!(seen.last().unwrap().head.uri.path_and_query().unwrap().as_str(), target);
        let exchange = harness.recorded().await;
        let recorded = serde_json::to_string(&exchange).unwrap();
        assert!(!recorded.contains("battery"), "{recorded}");
        let pseudonym = Pseudonym::of(SECRET.as_bytes()).to_string();
        assert_eq!(exchange.request.url, format!("{}{}", integration.url(), target.replace(SECRET, &pseudonym)));
    }
    // Nor of a request that isn't even HTTP.
    send(harness.address(), format!("POST /hooks/{SECRET} HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n").as_bytes())
        .await;
    let exchange = harness.recorded().await;
    let recorded = serde_json::to_string(&exchange).unwrap();
    assert!(exchange.outcome == Outcome::Rejected && !recorded.contains("battery"), "{recorded}");
}

#[tokio::test]
async fn an_integration_that_is_down_is_a_502_and_recorded() {
    let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let harness = hooks(&format!("http://127.0.0.1:{port}")).await;
    let answer = sent(&harness, "/").await;
    assert_eq!((answer.status, answer.header("x-nightaudit-error")), (502, Some("connect")));
    let exchange = harness.recorded().await;
    assert_eq!((exchange.outcome, exchange.direction), (Outcome::Failed, CallDirection::Incoming));
    assert_eq!(exchange.error.unwrap().kind, FailureKind::Connect);
}

#[tokio::test]
async fn webhooks_of_one_connection_stay_in_order() {
    let integration = Upstream::responding(200, "").await;
    let harness = hooks(&integration.url()).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    for number in 0..100 {
        stream.write_all(&webhook("/", number)).await.unwrap();
        assert_eq!(read_response(&mut stream).await.status, 200);
    }
    // Sent before the one ahead is answered, too.
    for number in 100..200 {
        stream.write_all(&webhook("/", number)).await.unwrap();
    }
    let mut recorded = Vec::new();
    for _ in 0..200 {
        recorded.push(number(&harness.recorded().await));
    }
    let received: Vec<usize> = integration.seen().iter().map(|seen| number_of(&seen.body)).collect();
    assert_eq!((received, recorded), ((0..200).collect(), (0..200).collect()));
}

#[tokio::test]
async fn a_slow_integration_delays_no_other_webhook_and_mews_may_give_up() {
    let integration = Upstream::scripted(|seen| async move {
        if number_of(&seen.body) == 1 {
            std::future::pending::<()>().await;
        }
        Response::new(Full::from(Bytes::new()).map_err(|never| match never {}).boxed())
    })
    .await;
    let harness = hooks(&integration.url()).await;
    let mut slow = TcpStream::connect(harness.address()).await.unwrap();
    slow.write_all(&webhook("/", 1)).await.unwrap();
    while integration.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut fast = TcpStream::connect(harness.address()).await.unwrap();
    fast.write_all(&webhook("/", 2)).await.unwrap();
    assert_eq!(read_response(&mut fast).await.status, 200);
    assert_eq!(number(&harness.recorded().await), 2);
    nightaudit_testkit::leave(slow);
    let exchange = harness.recorded().await;
    assert_eq!((number(&exchange), exchange.outcome), (1, Outcome::Aborted));
    assert_eq!(exchange.error.unwrap().kind, FailureKind::ClientLeft);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_in_a_burst_arrive_once_each() {
    const WEBHOOKS: usize = 10_000;
    const SENDERS: usize = 50;
    let integration = Upstream::responding(200, "").await;
    let harness = hooks(&integration.url()).await;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let address = harness.address();
        senders.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut requests, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(driver);
            for number in (sender..WEBHOOKS).step_by(SENDERS) {
                let body = webhook("/", number);
                let start = body.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
                let body = Full::new(Bytes::copy_from_slice(&body[start..]));
                let request = Request::post("/").header("host", "a").body(body).unwrap();
                let answer = requests.send_request(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.into_body().collect().await.unwrap();
                requests.ready().await.unwrap();
            }
        });
    }
    let mut recorded = BTreeSet::new();
    for _ in 0..WEBHOOKS {
        let exchange = harness.recorded().await;
        assert_eq!(exchange.outcome, Outcome::Answered);
        recorded.insert(number(&exchange));
    }
    senders.join_all().await;
    let seen = integration.seen();
    let received: BTreeSet<usize> = seen.iter().map(|seen| number_of(&seen.body)).collect();
    assert_eq!((seen.len(), received.len(), recorded.len()), (WEBHOOKS, WEBHOOKS, WEBHOOKS));
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_has_webhooks_in_the_session_and_no_limit_for_them() {
    const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;
    let (mews, integration) = (Upstream::responding(200, "{}").await, Upstream::responding(202, "").await);
    let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (listen, forward, url) = (format!("127.0.0.1:{port}"), format!("{}/hook", integration.url()), mews.url());
    let arguments = ["--upstream", &url, "--session", "certification", "--limit", "2/10m"];
    let arguments = [&arguments[..], &["--webhooks-listen", &listen, "--webhooks-forward", &forward]].concat();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &arguments);
    for index in 0..5 {
        let mut stream = TcpStream::connect(&listen).await.unwrap();
        stream.write_all(&webhook("/", index)).await.unwrap();
        assert_eq!(read_response(&mut stream).await.status, 202);
    }
    let statuses = [
        send(serve.proxy(), &post("rates/getAll", BODY)).await.status,
        send(serve.proxy(), &post("rates/getAll", BODY)).await.status,
    ];
    assert_eq!(statuses, [200, 200]);
    let tail = serve.run(BINARY, &["tail", "--no-follow", "--session", "certification"]);
    let tail = String::from_utf8(tail.stdout).unwrap();
    assert_eq!(tail.matches("← from Mews: ServiceOrderUpdated").count(), 5, "{tail}");
    assert_eq!((tail.lines().count(), tail.matches("not Mews").count()), (7, 2), "{tail}");
    let only = serve.run(BINARY, &["tail", "--no-follow", "--operation", "webhook"]);
    assert_eq!(String::from_utf8(only.stdout).unwrap().lines().count(), 5);
    let metrics = serve.run(BINARY, &["limits", "--json"]);
    assert!(String::from_utf8(metrics.stdout).unwrap().contains(r#""used":2"#));
    assert!(serve.stop().0.success());

    // A restart counts no webhook as a request to Mews.
    let again =
        Process::serve_on(BINARY, &data, &["--upstream", &url, "--session", "certification", "--limit", "3/10m"]);
    assert_eq!(send(again.proxy(), &post("rates/getAll", BODY)).await.status, 200);
    let review = again.run(BINARY, &["review", "--json", "--fail-on", "never"]);
    let review: Value = serde_json::from_slice(&review.stdout).unwrap();
    assert_eq!((&review["run"]["exchanges"], &review["provenance"]["sent"]), (&3.into(), &3.into()));
    assert!(again.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_simulator_announces_is_recorded_beside_the_calls_after_it() {
    let integration = Upstream::responding(202, "").await;
    let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (listen, forward) = (format!("127.0.0.1:{port}"), format!("{}/hook", integration.url()));
    let simulated = Simulated::start(BINARY, &["--webhook", &format!("http://{listen}/")]);
    let arguments = ["--upstream", simulated.url(), "--session", "certification"];
    let arguments = [&arguments[..], &["--webhooks-listen", &listen, "--webhooks-forward", &forward]].concat();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &arguments);
    let tokens = PUBLISHED_TOKENS[0];
    let (client, access) = (tokens.client, tokens.access);
    let body = |fields: &str| {
        format!(r#"{{"ClientToken":"{client}","AccessToken":"{access}","Client":"Acme Kiosk 1.0",{fields}}}"#)
    };
    let add = post("customers/add", &body(r#""LastName":"Lee","OverwriteExisting":false"#));
    let added = send(serve.proxy(), &add).await.json();
    let guest = added["Id"].as_str().unwrap();
    // The simulator was told of nothing else.
    while integration.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = integration.seen().remove(0);
    assert_eq!((told.head.uri.path(), told.head.method.as_str()), ("/hook", "POST"));
    let events: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(events["Events"][0]["Value"]["Id"], guest, "{events}");
    let extent = r#""Extent":{"Customers":true},"Limitation":{"Count":10}"#;
    let fetch = post("customers/getAll", &body(&format!(r#""CustomerIds":["{guest}"],{extent}"#)));
    assert_eq!(send(serve.proxy(), &fetch).await.status, 200);
    assert!(serve.stop().0.success());
    assert!(simulated.stop().success());

    let run = |arguments: &[&str]| {
        let output = Command::new(BINARY).args(arguments).arg("--data").arg(&data).stdin(Stdio::null()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let shown = run(&["tail", "--no-follow", "--session", "certification"]);
    let marks: Vec<bool> = shown.lines().map(|line| line.contains("← from Mews: Customer")).collect();
    assert_eq!((marks.len(), marks.iter().filter(|is_webhook| **is_webhook).count()), (3, 1), "{shown}");
    let exported = run(&["export", "--format", "ndjson", "--session", "certification", "-o", "-"]);
    let exchanges: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| exchanges.iter().find(|own| own["operation"] == name).unwrap();
    let hook = of("webhook");
    assert_eq!((&hook["direction"], &hook["response"]["status"]), (&"incoming".into(), &202.into()));
    assert_eq!(hook["request"]["body"].as_str().unwrap().as_bytes(), &told.body[..]);
    assert_eq!((&hook["session"], of("customers/add").get("direction")), (&of("customers/add")["session"], None));
    // The review tells what became of it.
    let review: Value = serde_json::from_str(&run(&["review", "--json", "--fail-on", "never"])).unwrap();
    let webhooks = &review["events"]["webhooks"];
    assert_eq!((&webhooks["received"], &webhooks["accepted"], &webhooks["late"]), (&1.into(), &1.into(), &0.into()));
    for kind in review["events"]["kinds"].as_array().unwrap() {
        assert_eq!((&kind["followed"], &kind["fetchedBy"]), (&1.into(), &"customers/getAll".into()), "{review}");
    }
    assert_eq!(review["run"]["starts"], 1);
}

#[test]
fn half_a_configuration_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let command =
            [&["serve", "--listen", "0", "--console", "0", "--data", folder.path().to_str().unwrap()], arguments];
        let output = Command::new(BINARY).args(command.concat()).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&["--webhooks-listen", "0"]);
    assert!(code == Some(2) && error.contains("set `webhooks.forward`"), "{code:?} {error}");
    let (code, error) = run(&["--webhooks-forward", "http://127.0.0.1:3000/hook"]);
    assert!(code == Some(2) && error.contains("set `webhooks.listen`"), "{code:?} {error}");
    let (code, error) = run(&["--webhooks-listen", "0", "--webhooks-forward", "3000/hook"]);
    assert!(code == Some(2) && error.contains("must begin with http"), "{code:?} {error}");
}
