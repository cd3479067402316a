//! Test support: the exchange that tests start from.

use std::net::SocketAddr;

use crate::{
    AdmissionRecord, Body, CallDirection, Decision, Envelope, Exchange, ExchangeId, Header, Outcome, Pseudonym,
    Request, Response, SessionId, TimesUs, Timestamp,
};

/// An answered call of `configuration/get`, admitted by a limit, with headers, tokens and bodies: what a test needs
/// otherwise it changes.
#[must_use]
pub fn sample() -> Exchange {
    Exchange {
        id: ExchangeId::from_parts(2, 2),
        session: SessionId::from_parts(1, 1),
        session_name: "certification".into(),
        sequence: 1,
        environment: "demo".into(),
        operation: "configuration/get".into(),
        started_at: Timestamp::from_micros(1_000_000),
        times_us: TimesUs { forwarded: Some(10), response_head: Some(400_000), response_end: Some(500_000) },
        peer: Some(SocketAddr::from(([127, 0, 0, 1], 51_234))),
        envelope: Envelope {
            client: Some("Acme Kiosk 2.1.0".into()),
            client_token: Some(Pseudonym::of(b"client")),
            access_token: Some(Pseudonym::of(b"access")),
            paginated: false,
        },
        request: Request {
            method: "POST".into(),
            url: "https://api.mews-demo.com/api/connector/v1/configuration/get".into(),
            http_version: "HTTP/1.1".into(),
            headers: vec![Header { name: "Content-Type".into(), value: "application/json".into() }],
            body: Body::whole("{}".into()),
        },
        response: Some(Response {
            status: 200,
            http_version: "HTTP/2".into(),
            reason: None,
            headers: vec![Header { name: "Request-Id".into(), value: "00-ABC-01".into() }],
            request_id: Some("00-ABC-01".into()),
            body: Body::whole("{\"Enterprise\":{}}".into()),
        }),
        limit: Some(AdmissionRecord {
            decision: Decision::Admitted,
            rule: "published".into(),
            used: 1,
            limit: 200,
            waited_ms: 0,
            retry_after_s: None,
        }),
        outcome: Outcome::Answered,
        error: None,
        web_socket: None,
        resent_from: None,
        destination: None,
        fault: None,
        direction: CallDirection::Outgoing,
        alteration: None,
        recorded_by: None,
        notes: Vec::new(),
        previous_hash: None,
        hash: None,
    }
}
