//! Sample exchanges for the tests of what prints, reviews or exports them.

use nightaudit_exchange::{Body, Decision, Exchange, Failure, FailureKind, Outcome, WebSocket};

/// A successful `reservations/getAll` with all fields of an exchange.
#[must_use]
pub fn exchange() -> Exchange {
    let json = r#"{"id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000",
        "sessionName": "certification", "sequence": 42, "environment": "demo",
        "operation": "reservations/getAll/2023-06-06", "startedAt": "2026-11-23T12:00:00.123456Z",
        "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
        "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": null, "accessToken": "REDACTED:b1946ac92492",
            "paginated": true},
        "request": {"method": "POST",
            "url": "https://api.mews-demo.com/api/connector/v1/reservations/getAll/2023-06-06",
            "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
            "body": "{\"Limitation\":{\"Count\":10}}", "bodyEncoding": "utf-8", "bodyLength": 27,
            "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
        "response": {"status": 200, "httpVersion": "HTTP/2", "headers": [{"name": "request-id", "value": "r-1"}],
            "requestId": "r-1", "body": "{\"Reservations\":[]}", "bodyEncoding": "utf-8", "bodyLength": 2088,
            "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "truncated": false},
        "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0,
            "retryAfterS": null},
        "outcome": "answered", "error": null,
        "destination": {"address": "https://api.mews-demo.com",
            "tls": {"serverName": "api.mews-demo.com", "authority": "public"}}}"#;
    serde_json::from_str(json).unwrap()
}

/// One exchange of each kind: answered, rejected by Mews, refused by the limit, failed, aborted, delayed, and one whose
/// operation has control characters.
#[must_use]
pub fn exchanges() -> Vec<Exchange> {
    let with = |change: &dyn Fn(&mut Exchange)| {
        let mut exchange = exchange();
        change(&mut exchange);
        exchange
    };
    let body = |text: &'static str| Body::whole(text.into());
    let whole = r#"{"ClientToken":"c","AccessToken":"a","Client":"Kiosk","Limitation":{"Count":10}"#;
    let good = body(Box::leak(format!(r#"{whole},"StartUtc":null}}"#).into_boxed_str()));
    vec![
        with(&|e| {
            (e.operation, e.request.body) =
                ("configuration/get".into(), body(r#"{"ClientToken":"c","AccessToken":"a","Client":"Kiosk"}"#))
        }),
        with(&|e| {
            e.response.as_mut().unwrap().status = 401;
            (e.operation, e.request.body) = ("configuration/get".into(), good.clone());
        }),
        with(&|e| {
            e.response.as_mut().unwrap().status = 429;
            e.outcome = Outcome::Refused;
            e.limit.as_mut().unwrap().used = 200;
            e.operation = "unknown/operation".into();
        }),
        with(&|e| {
            e.response.as_mut().unwrap().status = 504;
            e.outcome = Outcome::Failed;
            e.error = Some(Failure { kind: FailureKind::ConnectTimeout, message: "no".into() });
            e.operation = "unknown/withAVeryLongNameThatHasNoRoom/2023-06-06".into();
            e.times_us.response_end = Some(10_000_000);
        }),
        with(&|e| {
            (e.response, e.limit) = (None, None);
            e.outcome = Outcome::Aborted;
            e.session_name = "認証セッションの長い名前".into();
        }),
        with(&|e| {
            let limit = e.limit.as_mut().unwrap();
            (limit.decision, limit.waited_ms) = (Decision::Delayed, 1500);
            (e.operation, e.request.body) = ("accountNotes/delete".into(), body("{}"));
        }),
        with(&|e| e.operation = "\u{1b}]0;owned\u{7}\r\nfake line".into()),
    ]
}

/// A part of a WebSocket's messages: text, a ping with a control character, and a close. Seven more messages are missing.
#[must_use]
pub fn web_socket() -> WebSocket {
    let json = r#"{"handshake": "01KAS00000000000000000000A", "part": 2, "omitted": {"messages": 7, "bytes": 9000},
        "messages": [
            {"time": "2026-11-23T12:00:00.123456Z", "type": "receive", "opcode": 1, "body": "{\"Events\":[]}",
             "bodyEncoding": "utf-8", "bodyLength": 13, "truncated": false,
             "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
            {"time": "2026-11-23T12:00:00.223456Z", "type": "receive", "opcode": 9, "body": "\u001b",
             "bodyEncoding": "utf-8", "bodyLength": 1, "truncated": false,
             "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
            {"time": "2026-11-23T12:00:00.323456Z", "type": "send", "opcode": 8, "body": "A+g=",
             "bodyEncoding": "base64", "bodyLength": 2, "truncated": false,
             "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}],
        "ended": true}"#;
    serde_json::from_str(json).unwrap()
}
