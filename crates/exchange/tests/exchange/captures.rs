//! A capture for the tests to change.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, ExchangeId, Head, Outcome, Timestamp,
};

/// A request and its response, without bodies and tokens.
pub(crate) fn capture() -> Capture {
    Capture {
        id: ExchangeId::from_parts(1, 2),
        session: None,
        environment: "demo".into(),
        received: Timestamp::from_micros(1_800_000_000_123_456),
        forwarded: None,
        response_head: None,
        response_end: None,
        peer: "127.0.0.1:51234".parse().unwrap(),
        envelope: CapturedEnvelope::default(),
        request: CapturedRequest {
            method: Method::POST,
            origin: Arc::from("https://api.mews-demo.com"),
            target: Bytes::from_static(b"/api/connector/v1/configuration/get"),
            version: Version::HTTP_11,
            head: head("POST /api/connector/v1/configuration/get HTTP/1.1\r\nHost: a\r\n\r\n"),
            body: CapturedBody::default(),
        },
        response: Some(CapturedResponse {
            status: StatusCode::OK,
            version: Version::HTTP_11,
            head: head("HTTP/1.1 200 OK\r\n\r\n"),
            body: CapturedBody::default(),
        }),
        limit: None,
        outcome: Outcome::Answered,
        error: None,
        fault: None,
        direction: nightaudit_exchange::CallDirection::Outgoing,
        web_socket: None,
        resent_from: None,
        memory: Default::default(),
        destination: None,
        notes: Vec::new(),
    }
}

pub(crate) fn head(text: &str) -> Head {
    Head::Wire(Bytes::copy_from_slice(text.as_bytes()))
}
