//! Test support: an in-memory log and the conformance tests for engines.

pub mod conformance;
mod memory;

pub use memory::MemoryLog;

use nightaudit_exchange::{Exchange, SessionId};

/// Exchange `sequence` of a session; its id, time and operation derive from both numbers: of three in a row the first
/// is `reservations/getAll`, then `customers/search` and `configuration/get`.
///
/// # Panics
///
/// If the fixture no longer parses as an [`Exchange`].
#[must_use]
pub fn exchange(session: u64, name: &str, sequence: u64) -> Exchange {
    const STARTED: u64 = 1_795_435_200_000;
    let milliseconds = STARTED + session * 100_000 + sequence;
    let operation = ["configuration/get", "reservations/getAll", "customers/search"][(sequence % 3) as usize];
    let id = nightaudit_exchange::ExchangeId::from_parts(milliseconds, u128::from(sequence) << 40);
    let body = serde_json::json!({
        "body": "{}",
        "bodyEncoding": "utf-8",
        "bodyLength": 2,
        "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "truncated": false,
        "headers": [],
    });
    let mut request = body.clone();
    request["method"] = "POST".into();
    request["url"] = format!("https://api.mews-demo.com/api/connector/v1/{operation}").into();
    request["httpVersion"] = "HTTP/1.1".into();
    let mut response = body;
    response["status"] = 200.into();
    response["httpVersion"] = "HTTP/1.1".into();
    response["requestId"] = serde_json::Value::Null;
    let started = nightaudit_exchange::Timestamp::from_micros((milliseconds * 1000).cast_signed());
    let json = serde_json::json!({
        "id": id,
        "session": session_id(session),
        "sessionName": name,
        "sequence": sequence,
        "environment": "demo",
        "operation": operation,
        "startedAt": started,
        "timesUs": { "forwarded": 210, "responseHead": 84_312, "responseEnd": 85_120 },
        "peer": "127.0.0.1:51234",
        "envelope": { "client": "Kiosk 1", "clientToken": null, "accessToken": null, "paginated": false },
        "request": request,
        "response": response,
        "limit": null,
        "outcome": "answered",
        "error": null,
    });
    serde_json::from_value(json).expect("the fixture is an exchange")
}

/// The id of the session with this number; higher numbers are newer.
#[must_use]
pub fn session_id(session: u64) -> SessionId {
    SessionId::from_parts(1_795_435_100_000 + session * 1000, u128::from(session))
}

/// The first `count` exchanges of a session.
#[must_use]
pub fn exchanges(session: u64, name: &str, count: u64) -> Vec<Exchange> {
    (1..=count).map(|sequence| exchange(session, name, sequence)).collect()
}
