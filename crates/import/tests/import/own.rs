//! What nightaudit's own HAR says besides.

use nightaudit_exchange::{Alteration, Digest, Exchange, FaultEnding, Incoming, Outcome};
use nightaudit_import::{Options, Reader};
use serde_json::{Value, json};

/// An entry as nightaudit writes it, with these properties besides.
fn entry(number: u64, method: &str, url: &str, besides: &Value) -> Value {
    let body = json!({"length": 0, "sha256": Digest::of(b""), "truncated": false, "masked": false});
    let mut facts = json!({
        "id": id(number), "session": id(0), "sessionName": "run", "sequence": number, "environment": "demo",
        "operation": "rates/getAll", "outcome": "answered", "status": 200, "requestId": null, "envelope": {"paginated": false},
        "limit": null, "error": null, "requestBody": body, "responseBody": body,
    });
    facts.as_object_mut().unwrap().extend(besides.as_object().unwrap().clone());
    json!({
        "startedDateTime": format!("2026-11-23T12:00:{number:02}Z"), "time": 1.0,
        "request": {"method": method, "url": url, "httpVersion": "HTTP/1.1", "headers": []},
        "response": {"status": 200, "httpVersion": "HTTP/1.1", "headers": [], "content": {}},
        "timings": {"send": 0.1, "wait": 0.5, "receive": 0.4},
        "_nightaudit": facts,
    })
}

fn id(number: u64) -> String {
    format!("01KAS3ZQ8G{number:016}")
}

fn read(entries: &[Value]) -> Vec<Exchange> {
    let creator = json!({"name": "nightaudit", "version": "0.1.0"});
    let har = json!({"log": {"version": "1.2", "creator": creator, "entries": entries}}).to_string();
    let reader = Reader::open(har.as_bytes(), Options::default()).unwrap();
    let taken = reader.map(|incoming| match incoming.unwrap() {
        Incoming::Foreign(exchange) => *exchange,
        other => panic!("{other:?}"),
    });
    taken.collect()
}

const RATES: &str = "https://api.mews-demo.com/api/connector/v1/rates/getAll";

#[test]
fn regression_marks_of_exchanges_were_lost_by_way_of_a_har() {
    let token = "0123456789ABCDEF0123456789ABCDEF-0123456789ABCDEF0123456789ABCDE";
    let rules = ["rates/* status=503", &format!("rates/{token} reset")];
    let faulted = json!({"outcome": "faulted", "fault": {"rules": rules, "ending": "503", "delayedMs": 20}});
    let read = read(&[
        entry(1, "POST", RATES, &faulted),
        entry(2, "POST", RATES, &json!({"resentFrom": id(1), "alteration": "edited"})),
        entry(3, "POST", RATES, &json!({"resentFrom": id(9)})),
    ]);
    let fault = read[0].fault.as_ref().unwrap();
    assert_eq!(
        (read[0].outcome, fault.ending, fault.delayed_ms),
        (Outcome::Faulted, Some(FaultEnding::Status(503)), Some(20))
    );
    assert_eq!(fault.rules[0], rules[0]);
    assert!(!fault.rules[1].contains(token), "{}", fault.rules[1]);
    // Exchanges have other ids than in the file, and so has what was sent again, if it is in there.
    assert_eq!((read[1].resent_from, read[1].alteration), (Some(read[0].id), Some(Alteration::Edited)));
    assert_eq!(read[2].resent_from.unwrap().to_string(), id(9));
}

#[test]
fn regression_who_had_recorded_an_imported_exchange_was_forgotten_by_way_of_a_har() {
    let long = "x".repeat(300);
    let read = read(&[
        entry(1, "POST", RATES, &json!({"recordedBy": "Charles Proxy 5.0.1"})),
        entry(2, "POST", RATES, &json!({})),
        entry(3, "POST", RATES, &json!({"recordedBy": " \n"})),
        entry(4, "POST", RATES, &json!({"recordedBy": format!("a\n{long}")})),
    ]);
    let tools: Vec<_> = read.iter().map(|exchange| exchange.recorded_by.as_deref().unwrap()).collect();
    // Of what nightaudit itself recorded the file is somebody's word, too.
    assert_eq!(tools[..3], ["Charles Proxy 5.0.1", "nightaudit 0.1.0", "nightaudit 0.1.0"]);
    assert_eq!(tools[3], format!("a{}", "x".repeat(99)));
}

#[test]
fn regression_a_webhook_of_an_own_har_was_left_out_or_a_request() {
    let besides = json!({"direction": "incoming", "operation": "webhook"});
    let read = read(&[entry(1, "POST", "http://127.0.0.1:3000/hook", &besides), entry(2, "POST", RATES, &json!({}))]);
    assert_eq!((read.len(), read[0].is_webhook(), &*read[0].operation), (2, true, "webhook"));
    assert!(!read[1].is_webhook());
}

#[test]
fn regression_an_own_har_with_a_rejected_request_was_damaged() {
    let rejected = |operation: &str| json!({"outcome": "rejected", "status": 400, "operation": operation});
    let sent =
        [("CONNECT", "example.com:443"), ("GET", "x y"), ("", ""), ("(\u{e9} /x?to=https://a/b", "/x?to=https://a/b")];
    let entries: Vec<Value> =
        sent.iter().zip(1..).map(|((method, url), number)| entry(number, method, url, &rejected("rejected"))).collect();
    let read = read(&entries);
    let found: Vec<(&str, &str)> = read.iter().map(|own| (&*own.request.method, &*own.request.url)).collect();
    assert_eq!(found, sent);
    assert!(read.iter().all(|own| own.outcome == Outcome::Rejected && own.destination.is_none()));
}

#[test]
fn what_another_tool_recorded_is_still_told_by_its_host() {
    let other = entry(1, "GET", "https://example.com/a", &json!({"recordedBy": "Charles Proxy 5.0.1"}));
    assert_eq!(read(&[other, entry(2, "POST", RATES, &json!({}))]).len(), 1);
}
