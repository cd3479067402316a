//! Webhooks and WebSockets of known content.

use bytes::Bytes;
use nightaudit_exchange::{
    Body, CallDirection, Direction, Exchange, ExchangeId, Failure, FailureKind, Message, Omitted, Outcome, TimesUs,
    Timestamp, WebSocket,
};
use nightaudit_mews::Environment;

use super::{Call, START, call, guid, host};

/// A webhook with these events, each a type and a short id; answered 200 after 50 ms.
pub(crate) fn webhook(at: f64, events: &[(&str, &str)]) -> Call {
    let event = |(kind, id): &(&str, &str)| format!(r#"{{"Discriminator":"{kind}","Value":{{"Id":"{}"}}}}"#, whole(id));
    let events: Vec<String> = events.iter().map(event).collect();
    posted(at, &format!(r#"{{"EnterpriseId":"e","IntegrationId":"i","Events":[{}]}}"#, events.join(",")))
}

/// A GUID as it is, or that of a short id.
fn whole(id: &str) -> String {
    if id.len() == 36 { id.to_owned() } else { guid(id) }
}

/// What somebody sends to the webhooks' port.
pub(crate) fn posted(at: f64, body: &str) -> Call {
    let mut call = call(at, "webhook", "");
    call.0.direction = CallDirection::Incoming;
    call.0.envelope = nightaudit_exchange::Envelope::default();
    call.0.request.url = "http://127.0.0.1:3000/hook".into();
    call.0.request.body = Body::whole(Bytes::copy_from_slice(body.as_bytes()));
    call.0.destination = Some(host("http://127.0.0.1:3000"));
    let response = call.0.response.as_mut().unwrap();
    (response.body, response.request_id) = (Body::empty(), None);
    call
}

/// The handshake of a WebSocket.
pub(crate) fn handshake(at: f64) -> Call {
    let mut call = call(at, Environment::EVENTS_PATH, "");
    call.0.request.method = "GET".into();
    call.0.request.body = Body::empty();
    call.0.envelope.client = None;
    let response = call.0.response.as_mut().unwrap();
    (response.status, response.body) = (101, Body::empty());
    call
}

/// A part of what was said over it, a second long.
pub(crate) fn said(at: f64, part: u32) -> Call {
    let mut call = handshake(at);
    call.0.response = None;
    call.0.times_us = TimesUs { response_end: Some(1_000_000), ..TimesUs::default() };
    call.0.web_socket = Some(WebSocket {
        handshake: ExchangeId::from_parts(1, 1),
        part,
        messages: Vec::new(),
        omitted: Omitted::default(),
        unreadable_bytes: 0,
        ended: false,
    });
    call
}

/// A message with these events, each a type and a short id.
pub(crate) fn told(at: f64, events: &[(&str, &str)]) -> Call {
    let event = |(kind, id): &(&str, &str)| format!(r#"{{"Type":"{kind}","Id":"{}","State":"Started"}}"#, whole(id));
    let events: Vec<String> = events.iter().map(event).collect();
    let mut call = said(at, 1);
    call.0.web_socket.as_mut().unwrap().messages.push(Message {
        time: Timestamp::from_micros(START + (at * 1e6).round() as i64),
        direction: Direction::Receive,
        opcode: 1,
        body: Body::whole(format!(r#"{{"Events":[{}]}}"#, events.join(",")).into()),
    });
    call
}

/// The end of a WebSocket, a second after this time.
pub(crate) fn ended(at: f64) -> Call {
    let mut call = said(at, 2);
    call.0.web_socket.as_mut().unwrap().ended = true;
    call
}

/// A WebSocket that was open from one time to another.
pub(crate) fn socket(from: f64, to: f64) -> [Call; 2] {
    [handshake(from), ended(to - 1.0)]
}

impl Call {
    /// Ended because nightaudit was stopped.
    pub(crate) fn stopped(mut self) -> Self {
        self.0.error = Some(Failure { kind: FailureKind::Interrupted, message: "stopped".into() });
        self
    }

    /// Failed in this way before there was a response.
    pub(crate) fn failed(mut self, kind: FailureKind) -> Self {
        self.0.response = None;
        self.0.outcome = kind.outcome();
        if kind == FailureKind::Interrupted {
            self.0.outcome = Outcome::Interrupted;
        }
        self.0.times_us = TimesUs { forwarded: Some(200), ..TimesUs::default() };
        self.0.error = Some(Failure { kind, message: "as it happens".into() });
        self
    }
}

/// The exchanges as recorded by two starts of nightaudit, the second of them from this time on.
pub(crate) fn restarted(mut exchanges: Vec<Exchange>, at: f64) -> Vec<Exchange> {
    for exchange in &mut exchanges {
        let is_second = exchange.started_at.micros() >= START + (at * 1e6) as i64;
        // The ids of webhooks are made apart.
        let process = 10 + 2 * u128::from(is_second) + u128::from(exchange.is_webhook());
        exchange.id = ExchangeId::from_parts(exchange.id.milliseconds(), process << 40 | u128::from(exchange.sequence));
    }
    exchanges
}
