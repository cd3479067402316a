//! Tests through the console's router.

use std::{sync::Arc, time::Duration};

use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use nightaudit_exchange::{Exchange, Missing};
use nightaudit_log::{ReadLog as _, Session, testing};
use nightaudit_review::{Basis, Declaration, Review, SessionFacts};
use serde_json::Value;

use super::KEPT;
use crate::{
    Gauges,
    slow::Slow,
    tests::{Opened, ask, console, console_over, send},
};

/// Starts a session and returns the number that its fixtures have.
fn started(opened: &Opened, number: u64, name: &str, count: u64) {
    testing::exchanges(number, name, count).into_iter().for_each(|exchange| opened.log.record(exchange));
}

async fn json(opened: &Opened, path: &str) -> (StatusCode, Value) {
    let (status, text) = ask(opened, "GET", path, true).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")))
}

/// The review once it is made.
async fn reviewed(opened: &Opened, name: &str) -> Value {
    let (status, review) = json(opened, &format!("/api/v1/sessions/{name}/review")).await;
    assert_eq!(status, StatusCode::OK, "{review}");
    review
}

/// What the command line would say.
fn fresh(exchanges: &[Exchange], session: &Session, declaration: &str) -> Value {
    let basis = Basis::default();
    let declaration = Declaration::read(declaration, &basis.contracts).unwrap();
    let mut reviewer = basis.reviewer(declaration, &SessionFacts::from(session));
    exchanges.iter().for_each(|exchange| reviewer.push(exchange));
    serde_json::to_value(reviewer.into_review()).unwrap()
}

fn without_position(mut review: Value) -> Value {
    let object = review.as_object_mut().unwrap();
    object.remove("upTo").unwrap();
    object.remove("current").unwrap();
    review
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_is_the_one_of_a_reviewer_and_goes_on_with_what_is_recorded() {
    let opened = console();
    started(&opened, 1, "a", 40);
    let review = reviewed(&opened, "a").await;
    assert_eq!((&review["upTo"]["sequence"], &review["current"]), (&40.into(), &true.into()));
    let session = |opened: &Opened| opened.log.session("a").unwrap();
    let exchanges = testing::exchanges(1, "a", 700);
    assert_eq!(without_position(review), fresh(&exchanges[..40], &session(&opened), ""));
    // Few are followed, many are read.
    for (from, to) in [(40, 41), (41, 60), (60, 700)] {
        exchanges[from..to].iter().for_each(|exchange| opened.log.record(exchange.clone()));
        let review = reviewed(&opened, "a").await;
        assert_eq!((&review["upTo"]["sequence"], &review["current"]), (&to.into(), &true.into()));
        assert_eq!(without_position(review), fresh(&exchanges[..to], &session(&opened), ""), "{to}");
    }
    let (_, run) = json(&opened, "/api/v1/sessions/a/run").await;
    assert_eq!(
        (&run["exchanges"], &run["hoursNeeded"], &run["verdict"]),
        (&700.into(), &48.into(), &"not-ready".into())
    );
    // Parsed as the type, it is whole.
    let text = ask(&opened, "GET", "/api/v1/sessions/a/review", true).await.1;
    assert_eq!(serde_json::from_str::<Review>(&text).unwrap().run.exchanges, 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_read_is_missing_from_the_review() {
    let opened = console();
    let exchanges = testing::exchanges(1, "a", 30);
    started(&opened, 1, "a", 30);
    opened.log.damage(exchanges[9].id);
    let review = reviewed(&opened, "a").await;
    assert_eq!((&review["run"]["missing"], &review["current"]), (&1.into(), &true.into()));
    let missing = Missing {
        session: exchanges[0].session,
        session_name: "a".to_owned(),
        count: 1,
        ranges: vec![(10, 10)],
        whole_session: false,
    };
    let facts = SessionFacts { missing: Some(missing), ..SessionFacts::default() };
    let mut reviewer = Basis::default().reviewer(Declaration::default(), &facts);
    exchanges.iter().filter(|one| one.sequence != 10).for_each(|exchange| reviewer.push(exchange));
    assert_eq!(without_position(review), serde_json::to_value(reviewer.into_review()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_review_is_not_sent_again() {
    let opened = console();
    started(&opened, 1, "a", 3);
    let get = async |tag: Option<&str>, wait: &str| {
        let path = format!("/api/v1/sessions/a/review{wait}");
        opened.get_with(&path, &tag.map(|tag| (header::IF_NONE_MATCH, tag)).into_iter().collect::<Vec<_>>()).await
    };
    let first = get(None, "").await;
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    for known in [&tag[..], &format!("\"x\", W/{tag}"), "*"] {
        let again = get(Some(known), "").await;
        assert_eq!((again.status(), again.headers()[header::ETAG] == tag), (StatusCode::NOT_MODIFIED, true), "{known}");
        assert!(again.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    assert_eq!(get(Some("\"x\""), "").await.status(), StatusCode::OK);
    // A client whose review is another one doesn't wait for a change.
    assert_eq!(get(Some("\"x\""), "?wait=3").await.status(), StatusCode::OK);
    opened.log.record(testing::exchange(1, "a", 4));
    assert_eq!(get(Some(&tag), "").await.status(), StatusCode::OK);
}

/// Waits until this many requests wait for a review.
async fn waiting(opened: &Opened, count: usize) {
    let all = async {
        while opened.waiting_polls() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("requests that wait for a review");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_request_is_answered_by_an_exchange_a_declaration_and_a_deletion() {
    let opened = Arc::new(console());
    started(&opened, 1, "a", 2);
    let wait = |sequence: u64| {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move { json(&opened, &format!("/api/v1/sessions/a/review?wait={sequence}")).await })
    };
    // It ends elsewhere than where the client's ends.
    assert_eq!(wait(1).await.unwrap().1["upTo"]["sequence"], 2);
    let waiter = wait(2);
    waiting(&opened, 1).await;
    opened.log.record(testing::exchange(1, "a", 3));
    assert_eq!(waiter.await.unwrap().1["upTo"]["sequence"], 3);
    let waiter = wait(3);
    waiting(&opened, 1).await;
    let body = r#"{"toml":"integration = \"Acme\""}"#;
    assert_eq!(send(&opened, "PUT", "/api/v1/sessions/a/declaration", body).await.0, StatusCode::OK);
    let (_, review) = waiter.await.unwrap();
    assert_eq!((&review["upTo"]["sequence"], &review["declared"]["integration"]), (&3.into(), &"Acme".into()));
    let waiter = wait(3);
    waiting(&opened, 1).await;
    assert_eq!(send(&opened, "DELETE", "/api/v1/sessions/a", "").await.0, StatusCode::OK);
    assert_eq!(waiter.await.unwrap().0, StatusCode::NOT_FOUND);
    waiting(&opened, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_waits_no_longer_and_shutdown_answers_the_others() {
    let opened = Arc::new(console());
    started(&opened, 1, "a", 2);
    let wait = || {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move { json(&opened, "/api/v1/sessions/a/run?wait=2").await })
    };
    assert_eq!(reviewed(&opened, "a").await["upTo"]["sequence"], 2);
    let (leaving, staying) = (wait(), wait());
    waiting(&opened, 2).await;
    leaving.abort();
    waiting(&opened, 1).await;
    opened.console.stop_signal(async {}).await;
    assert_eq!(staying.await.unwrap().1["upTo"]["sequence"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_waiting_requests_is_limited() {
    let opened = Arc::new(console());
    started(&opened, 1, "a", 1);
    let held: Vec<_> = (0..crate::bounds::POLLS).map(|_| opened.hold_poll().unwrap()).collect();
    let (status, body) = json(&opened, "/api/v1/sessions/a/review?wait=1").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["error"].as_str().unwrap().starts_with("too many requests that wait for a review"), "{body}");
    assert_eq!(json(&opened, "/api/v1/sessions/a/review").await.0, StatusCode::OK);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_being_recorded_is_current() {
    let opened = console();
    let (status, body) = json(&opened, "/api/v1/sessions/current/run").await;
    assert_eq!((status, &body["error"]), (StatusCode::NOT_FOUND, &"no session is being recorded".into()));
    send(&opened, "POST", "/api/v1/sessions", r#"{"name":"now"}"#).await;
    let (status, run) = json(&opened, "/api/v1/sessions/current/run").await;
    assert_eq!((status, &run["name"], &run["verdict"]), (StatusCode::OK, &"now".into(), &"empty".into()));
    assert_eq!((&run["upTo"]["sequence"], &run["upTo"]["at"], &run["hours"]), (&0.into(), &Value::Null, &0.0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reviewers_of_few_sessions_are_kept() {
    let opened = console();
    let count = KEPT as u64 + 2;
    for round in 0..2 {
        for number in 1..=count {
            started(&opened, number, &format!("s{number}"), 2 + round * 2);
            let review = reviewed(&opened, &format!("s{number}")).await;
            assert_eq!(
                (&review["run"]["sessionName"], &review["current"]),
                (&format!("s{number}").into(), &true.into())
            );
            assert!(opened.kept_reviews() <= KEPT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_request_for_a_review_is_refused() {
    let opened = console();
    started(&opened, 1, "a", 1);
    for (path, status, named) in [
        ("a/review?wait=x", 400, "invalid wait `x`"),
        ("a/review?wait=-1", 400, "invalid wait `-1`"),
        ("a/run?waits=1", 400, "unknown parameter `waits`"),
        ("none/review", 404, "there is no session `none`"),
        ("none/run", 404, "there is no session `none`"),
        ("none/declaration", 404, "there is no session `none`"),
    ] {
        let (answered, body) = json(&opened, &format!("/api/v1/sessions/{path}")).await;
        assert_eq!(answered.as_u16(), status, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().contains(named), "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_takes_long_to_read_tells_how_far_it_is() {
    let slow = Slow::default();
    let opened = console_over(slow.log.clone(), Arc::new(slow.clone()), Gauges::default());
    started(&opened, 1, "a", 9);
    for path in ["review", "run", "review?wait=9"] {
        let (status, body) = json(&opened, &format!("/api/v1/sessions/a/{path}")).await;
        assert_eq!((status, &body["name"]), (StatusCode::ACCEPTED, &"a".into()), "{path}");
        assert_eq!(body["building"], serde_json::json!({ "read": 0, "of": 9 }), "{path}");
    }
    let (_, declaration) = json(&opened, "/api/v1/sessions/a/declaration").await;
    assert_eq!((&declaration["template"], &declaration["building"]["of"]), (&Value::Null, &9.into()));
    slow.go_on();
    let made = async {
        loop {
            let (status, review) = json(&opened, "/api/v1/sessions/a/review").await;
            if status == StatusCode::OK {
                return review;
            }
        }
    };
    let review = tokio::time::timeout(Duration::from_secs(30), made).await.unwrap();
    assert_eq!(review["run"]["exchanges"], 9);
}
