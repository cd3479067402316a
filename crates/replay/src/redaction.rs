//! Requests as the recorder would have recorded them.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Version, header, request::Parts};
use nightaudit_exchange::{
    Api, Body, Capture, CapturedBody, CapturedEnvelope, CapturedRequest, ExchangeId, Head, Outcome, Pseudonym,
    PseudonymKey, Redactor, SessionId, Timestamp,
};
use nightaudit_mews::envelope;
use parking_lot::Mutex;

use crate::key::target;

/// Replaces the secrets of requests by the recorder's own rules.
#[derive(Debug)]
pub(crate) struct Redaction {
    api: &'static Api,
    fields: Vec<String>,
    key: PseudonymKey,
    /// Not in use; one per thread at most.
    idle: Mutex<Vec<Redactor>>,
}

/// What is compared of a request, free of secrets.
#[derive(Debug)]
pub(crate) struct Redacted {
    /// Path and query.
    pub(crate) target: String,
    pub(crate) operation: String,
    pub(crate) body: Body,
    pub(crate) token: Option<Pseudonym>,
}

impl Redaction {
    pub(crate) fn new(api: &'static Api, fields: Vec<String>, key: PseudonymKey) -> Self {
        Self { api, fields, key, idle: Mutex::default() }
    }

    /// The request as it would be recorded.
    pub(crate) fn request(&self, parts: &Parts, wire: Option<Bytes>, body: &Bytes, peer: SocketAddr) -> Redacted {
        let mut capture = capture(parts, wire, body, peer);
        let idle = self.idle.lock().pop();
        let mut redactor = idle.unwrap_or_else(|| Redactor::new(self.api, &self.fields, self.key.clone()));
        let exchange = redactor.exchange(&mut capture, SessionId::from_parts(0, 0), "", 1);
        self.idle.lock().push(redactor);
        Redacted {
            target: target(&exchange.request.url).to_owned(),
            operation: exchange.operation,
            body: exchange.request.body,
            token: exchange.envelope.access_token,
        }
    }
}

/// A capture of the request alone.
fn capture(parts: &Parts, wire: Option<Bytes>, body: &Bytes, peer: SocketAddr) -> Capture {
    let path = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Capture {
        id: ExchangeId::from_parts(0, 0),
        session: None,
        environment: Arc::from(""),
        received: Timestamp::from_micros(0),
        forwarded: None,
        response_head: None,
        response_end: None,
        peer,
        destination: None,
        envelope: sender(parts, body),
        request: CapturedRequest {
            method: parts.method.clone(),
            origin: Arc::from(""),
            target: Bytes::copy_from_slice(path.as_bytes()),
            version: Version::HTTP_11,
            head: wire.map_or_else(|| Head::from(&parts.headers), Head::Wire),
            body: CapturedBody::whole(body.clone()),
        },
        response: None,
        limit: None,
        // Of a complete request.
        outcome: Outcome::Answered,
        error: None,
        fault: None,
        direction: nightaudit_exchange::CallDirection::Outgoing,
        notes: Vec::new(),
        web_socket: None,
        resent_from: None,
        memory: Default::default(),
    }
}

/// The sender, by the body or the cookies of a WebSocket.
fn sender(parts: &Parts, body: &[u8]) -> CapturedEnvelope {
    let mut envelope = envelope::read(body);
    if envelope.access_token.is_none() && envelope.client_token.is_none() {
        envelope = envelope::from_cookies(parts.headers.get_all(header::COOKIE).iter().map(|cookie| cookie.as_bytes()));
    }
    CapturedEnvelope {
        access_token: envelope.access_token.as_deref().map(Into::into),
        client_token: envelope.client_token.as_deref().map(Into::into),
        client: envelope.client.as_deref().map(Into::into),
        paginated: envelope.paginated,
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_mews::{API, PUBLISHED_TOKENS};

    use super::*;

    #[test]
    fn a_request_is_redacted_as_it_is_recorded() {
        let redaction = Redaction::new(&API, vec!["LastName".to_owned()], PseudonymKey([7; 32]));
        let token = PUBLISHED_TOKENS[0].access;
        let (parts, ()) = http::Request::post(format!("/api/connector/v1/customers/getAll?k={token}"))
            .header("Content-Type", "application/json")
            .body(())
            .unwrap()
            .into_parts();
        let body = Bytes::from(format!(r#"{{"AccessToken":"{token}","LastName":"Doe"}}"#));
        let peer = "127.0.0.1:1".parse().unwrap();
        for _ in 0..2 {
            let redacted = redaction.request(&parts, None, &body, peer);
            let pseudonym = Pseudonym::of(token.as_bytes());
            assert_eq!(redacted.target, format!("/api/connector/v1/customers/getAll?k={pseudonym}"));
            assert_eq!((redacted.operation.as_str(), redacted.token), ("customers/getAll", Some(pseudonym)));
            let wanted =
                format!(r#"{{"AccessToken":"{pseudonym}","LastName":"{}"}}"#, PseudonymKey([7; 32]).pseudonym(b"Doe"));
            assert_eq!(redacted.body.bytes, wanted);
        }
        assert_eq!(redaction.idle.lock().len(), 1);
        let (parts, ()) = http::Request::get("/ws/connector")
            .header("Cookie", format!("ClientToken=a; AccessToken={token}"))
            .body(())
            .unwrap()
            .into_parts();
        assert_eq!(redaction.request(&parts, None, &Bytes::new(), peer).token, Some(Pseudonym::of(token.as_bytes())));
    }
}
