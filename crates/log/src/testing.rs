//! Test support: an in-memory log and the conformance tests for engines.

pub mod conformance;
mod memory;

pub use memory::MemoryLog;

use nightaudit_exchange::{Body, Envelope, Exchange, ExchangeId, SessionId, TimesUs, Timestamp, testing::sample};

/// Exchange `sequence` of a session; its id, time and operation derive from both numbers: of three in a row the first
/// is `reservations/getAll`, then `customers/search` and `configuration/get`.
#[must_use]
pub fn exchange(session: u64, name: &str, sequence: u64) -> Exchange {
    const STARTED: u64 = 1_795_435_200_000;
    let milliseconds = STARTED + session * 100_000 + sequence;
    let operation = ["configuration/get", "reservations/getAll", "customers/search"][(sequence % 3) as usize];
    let id = ExchangeId::from_parts(milliseconds, u128::from(sequence) << 40);
    let mut exchange = Exchange {
        id,
        session: session_id(session),
        session_name: name.into(),
        sequence,
        operation: operation.to_owned(),
        started_at: Timestamp::from_micros((milliseconds * 1000).cast_signed()),
        times_us: TimesUs { forwarded: Some(210), response_head: Some(84_312), response_end: Some(85_120) },
        envelope: Envelope { client: Some("Kiosk 1".to_owned()), ..Envelope::default() },
        limit: None,
        ..sample()
    };
    exchange.request.url = format!("https://api.mews-demo.com/api/connector/v1/{operation}");
    exchange.request.headers.clear();
    if let Some(response) = &mut exchange.response {
        response.http_version = "HTTP/1.1".into();
        response.headers.clear();
        response.request_id = None;
        response.body = Body::whole("{}".into());
    }
    exchange
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
