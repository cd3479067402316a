//! The proxy with a limit engine that responds late or not at all.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use nightaudit_exchange::{FailureKind, Outcome};
use nightaudit_limit::{LimitSignal, Refusal};
use nightaudit_testkit::{Harness, LimitEvent, Reply, ScriptedLimits, Setup, Treatment, Upstream, leave, post, send};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::{Notify, mpsc::UnboundedReceiver},
};

type Events = UnboundedReceiver<LimitEvent>;

const BODY: &str = r#"{"AccessToken": "T"}"#;

async fn harness(mews: &Upstream, treatment: Treatment) -> (Harness, Events) {
    let (limits, events) = ScriptedLimits::new([treatment]);
    (Harness::with(Setup::new(&mews.url()).limited_by(limits)).await, events)
}

async fn next(events: &mut Events) -> LimitEvent {
    let bound = Duration::from_secs(60);
    tokio::time::timeout(bound, events.recv()).await.expect("an event in time").expect("the limits are alive")
}

fn asked() -> LimitEvent {
    LimitEvent::Asked("configuration/get".to_owned())
}

#[tokio::test]
async fn a_request_admitted_late_is_sent_late_and_once() {
    let mews = Upstream::responding(200, "{}").await;
    let now = Arc::new(Notify::new());
    let (harness, mut events) = harness(&mews, Treatment { admit: Reply::after(&now), ..Treatment::default() }).await;
    let address = harness.address();
    let response = tokio::spawn(async move { send(address, &post("configuration/get", BODY)).await });
    assert_eq!(next(&mut events).await, asked());
    assert!(mews.seen().is_empty(), "it was sent before it was admitted");
    now.notify_one();
    let response = response.await.unwrap();
    assert_eq!((response.status, &response.body[..], mews.seen().len()), (200, &b"{}"[..], 1));
    assert_eq!(next(&mut events).await, LimitEvent::Sent);
    assert_eq!(next(&mut events).await, LimitEvent::Answered(Some(LimitSignal::Accepted)));
    assert_eq!(harness.recorded().await.outcome, Outcome::Answered);
}

#[tokio::test]
async fn a_send_waits_until_it_is_recorded() {
    let mews = Upstream::responding(429, "{}").await;
    let now = Arc::new(Notify::new());
    let sent = VecDeque::from([Reply::after(&now)]);
    let (harness, mut events) = harness(&mews, Treatment { sent, ..Treatment::default() }).await;
    let address = harness.address();
    let response = tokio::spawn(async move { send(address, &post("configuration/get", BODY)).await });
    assert_eq!(next(&mut events).await, asked());
    assert!(mews.seen().is_empty(), "it was sent before the send was recorded");
    now.notify_one();
    assert_eq!(response.await.unwrap().status, 429);
    assert_eq!(next(&mut events).await, LimitEvent::Sent);
    assert_eq!(next(&mut events).await, LimitEvent::Answered(Some(LimitSignal::TooManyRequests(None))));
    assert_eq!(mews.seen().len(), 1);
}

#[tokio::test]
async fn unreachable_limits_admit_nothing_and_the_record_says_why() {
    let cause = "the limits at redis.example can't be asked: no response within 50 ms";
    let admit = Treatment { admit: Reply::failure(cause), ..Treatment::default() };
    let sent = Treatment { sent: VecDeque::from([Reply::failure(cause)]), ..Treatment::default() };
    for treatment in [admit, sent] {
        let mews = Upstream::responding(200, "{}").await;
        let (harness, mut events) = harness(&mews, treatment).await;
        let response = send(harness.address(), &post("configuration/get", BODY)).await;
        assert_eq!(response.status, 503);
        assert_eq!(response.header("x-nightaudit-error"), Some("limit-store"));
        assert_eq!(response.header("retry-after"), Some("1"));
        assert_eq!(response.json()["Message"], cause);
        let exchange = harness.recorded().await;
        let error = exchange.error.unwrap();
        assert_eq!((exchange.outcome, error.kind, &*error.message), (Outcome::Failed, FailureKind::LimitStore, cause));
        assert_eq!((exchange.limit, exchange.times_us.forwarded), (None, None));
        assert_eq!(next(&mut events).await, asked());
        assert_eq!(next(&mut events).await, LimitEvent::GivenBack);
        assert!(mews.seen().is_empty(), "it was sent without a permit");
        // The next request asks again.
        assert_eq!(send(harness.address(), &post("configuration/get", BODY)).await.status, 200);
    }
}

#[tokio::test]
async fn a_refusal_from_a_remote_engine_looks_like_any_other() {
    let mews = Upstream::responding(200, "{}").await;
    let refusal = Refusal {
        rule: "fleet".into(),
        used: 200,
        limit: 200,
        closed: false,
        retry_after: Duration::from_millis(6500),
        retry_after_secs: 7,
    };
    let treatment = Treatment { refusal: Some(refusal), ..Treatment::default() };
    let (harness, _events) = harness(&mews, treatment).await;
    let response = send(harness.address(), &post("configuration/get", BODY)).await;
    assert_eq!((response.status, response.header("retry-after")), (429, Some("7")));
    assert_eq!(response.header("x-nightaudit-limited"), Some("test/fleet"));
    assert_eq!(harness.recorded().await.limit.unwrap().rule, "fleet");
    assert!(mews.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_disconnects_while_waiting_releases_its_permit() {
    let mews = Upstream::responding(200, "{}").await;
    let never = Arc::new(Notify::new());
    let (harness, mut events) = harness(&mews, Treatment { admit: Reply::after(&never), ..Treatment::default() }).await;
    let mut stream = TcpStream::connect(harness.address()).await.unwrap();
    stream.write_all(&post("configuration/get", BODY)).await.unwrap();
    assert_eq!(next(&mut events).await, asked());
    leave(stream);
    assert_eq!(next(&mut events).await, LimitEvent::GivenBack);
    assert_eq!(harness.recorded().await.outcome, Outcome::Aborted);
    assert!(mews.seen().is_empty());
}
