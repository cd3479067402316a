//! Rejections, compression, delays and faults.

use std::io::Read as _;

use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_simulator::Config;
use nightaudit_testkit::{RawResponse, send};
use serde_json::{Value, json};

use crate::support::{Mews, enveloped};

const ROOMS: &str = "resources/getAll";

fn rooms() -> Value {
    json!({ "Extent": { "Resources": true }, "Limitation": { "Count": 1000 } })
}

fn rejected(response: &RawResponse, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", String::from_utf8_lossy(&response.body));
    let error = response.json();
    assert!(error["Message"].as_str().unwrap().contains(message), "{error}");
    assert_eq!(error["RequestId"].as_str(), response.header("request-id"));
    assert!(error.as_object().unwrap().contains_key("Details"));
}

#[tokio::test]
async fn invalid_requests_are_rejected_as_by_mews() {
    let mews = Mews::with(Config { limit: None, max_body: 1000, ..Config::default() }).await;
    let with = |name: &str, value: Value| {
        let mut request = enveloped(rooms());
        request[name] = value;
        request.to_string()
    };
    rejected(&mews.raw(ROOMS, br#"{"AccessToken": "x",}"#, "").await, 400, "Invalid JSON");
    rejected(&mews.raw(ROOMS, b"[]", "").await, 400, "Invalid JSON");
    rejected(&mews.raw(ROOMS, b"{}", "").await, 401, "ClientToken");
    rejected(&mews.raw(ROOMS, with("AccessToken", json!("x")).as_bytes(), "").await, 401, "AccessToken");
    rejected(&mews.raw(ROOMS, with("Client", Value::Null).as_bytes(), "").await, 400, "/Client");
    rejected(
        &mews.raw(ROOMS, with("Limitation", json!({ "Count": 1001 })).as_bytes(), "").await,
        400,
        "/Limitation/Count",
    );
    rejected(&mews.raw(ROOMS, with("Names", json!(["x".repeat(1000)])).as_bytes(), "").await, 413, "larger");
    let cursor = json!({ "Count": 1, "Cursor": "nothing" });
    rejected(&mews.raw(ROOMS, with("Limitation", cursor).as_bytes(), "").await, 400, "Cursor");
    for address in ["resources/getall", "resources/getAll/", "nothing/getAll"] {
        rejected(&mews.ask(address, rooms(), "").await, 404, "nothing at this address");
    }
    let hint = mews.ask("resources/getall", rooms(), "").await.json();
    assert_eq!(hint["Details"], "Did you mean resources/getAll?");
    let get = b"GET /api/connector/v1/resources/getAll HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    let response = send(mews.address, get).await;
    rejected(&response, 405, "POST");
    assert_eq!(response.header("allow"), Some("POST"));
    let two_lengths = b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    rejected(&send(mews.address, two_lengths).await, 400, "Content-Length");
}

#[tokio::test]
async fn what_mews_ignores_is_ignored() {
    let mews = Mews::start().await;
    let mut unknown = rooms();
    unknown["Whatever"] = json!(1);
    mews.call(ROOMS, unknown).await;
    let mut deprecated = rooms();
    deprecated["Extent"]["ResourceCategories"] = json!(true);
    mews.call(ROOMS, deprecated).await;
}

#[tokio::test]
async fn published_and_configured_tokens_are_accepted() {
    let mews = Mews::with(Config { tokens: vec!["own".to_owned()], ..Config::default() }).await;
    for tokens in PUBLISHED_TOKENS {
        let own = json!({ "ClientToken": tokens.client, "AccessToken": tokens.access });
        mews.call("currencies/getAll", own).await;
    }
    mews.call("currencies/getAll", json!({ "AccessToken": "own" })).await;
    mews.call("currencies/getAll", json!({ "AccessToken": "own", "ClientToken": "own" })).await;
}

#[tokio::test]
async fn over_the_limit_it_sends_retry_after() {
    let mews = Mews::with(Config { limit: Some("3/30s".parse().unwrap()), ..Config::default() }).await;
    for _ in 0..3 {
        mews.call(ROOMS, rooms()).await;
    }
    let response = mews.ask(ROOMS, rooms(), "").await;
    rejected(&response, 429, "Too many requests");
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    let other = json!({ "AccessToken": PUBLISHED_TOKENS[1].access });
    mews.call("currencies/getAll", other).await;
}

#[tokio::test]
async fn an_empty_page_may_have_no_body() {
    let mews = Mews::start().await;
    let mut nothing = rooms();
    nothing["ResourceIds"] = json!(["nothing"]);
    let response = mews.ask(ROOMS, nothing.clone(), "Prefer: return=minimal\r\n").await;
    assert_eq!((response.status, &response.body[..]), (204, &b""[..]));
    assert!(response.header("request-id").is_some());
    let page = mews.call(ROOMS, nothing).await;
    assert_eq!((&page["Resources"], &page["Cursor"]), (&json!([]), &Value::Null));
    assert_eq!(mews.ask(ROOMS, rooms(), "Prefer: return=minimal\r\n").await.status, 200);
    let start = json!({ "ReservationId": "nothing" });
    assert_eq!(mews.ask("reservations/start", start.clone(), "Prefer: return=minimal\r\n").await.status, 204);
    assert_eq!(mews.call("reservations/start", start).await, json!({}));
}

#[tokio::test]
async fn responses_are_compressed_if_accepted() {
    let mews = Mews::start().await;
    let response = mews.ask(ROOMS, rooms(), "Accept-Encoding: br, gzip\r\n").await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&response.body[..]).read_to_string(&mut text).unwrap();
    let plain = mews.ask(ROOMS, rooms(), "").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.json());
    assert!(response.body.len() * 3 < plain.body.len());
}

#[tokio::test]
async fn a_request_can_ask_for_a_size_or_an_error() {
    let mews = Mews::start().await;
    let response = mews.ask(ROOMS, rooms(), "X-Simulator: size=30MB\r\n").await;
    assert_eq!((response.status, response.body.len()), (200, 30_000_000));
    assert_eq!(response.json()["Resources"].as_array().unwrap().len(), 40);
    for status in [403, 408, 409, 429, 500, 503] {
        let response = mews.ask(ROOMS, rooms(), &format!("X-Simulator: status={status}\r\n")).await;
        rejected(&response, status, "");
        assert_eq!(response.header("retry-after").is_some(), status == 429);
    }
    rejected(&mews.ask(ROOMS, rooms(), "X-Simulator: size=1GB\r\n").await, 400, "size=1GB");
}

#[tokio::test]
async fn injected_errors_match_their_share_and_change_nothing() {
    let faults = "5xx=30%,408=20%".parse().unwrap();
    let mews =
        Mews::with(Config { limit: None, faults, latency: "1ms±1ms".parse().unwrap(), ..Config::default() }).await;
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let order = json!({ "ServiceId": "s", "AccountId": "a", "ProductOrders": [{ "ProductId": "p" }] });
        statuses.push(mews.ask("orders/add", order, "").await.status);
    }
    let share = |of: fn(&&u16) -> bool| statuses.iter().filter(of).count();
    // Random with a fixed seed, so the same on every run.
    let (server, heavy, good) = (share(|s| **s >= 500), share(|s| **s == 408), share(|s| **s == 200));
    assert_eq!(server + heavy + good, 200, "{statuses:?}");
    assert!((40..80).contains(&server) && (25..60).contains(&heavy), "{server} {heavy}");
    let own = json!({ "AccountIds": ["a"], "Limitation": { "Count": 1000 } });
    let found = loop {
        let response = mews.ask("orderItems/getAll", own.clone(), "").await;
        if response.status == 200 {
            break response.json();
        }
    };
    assert_eq!(found["OrderItems"].as_array().unwrap().len(), good);
}
