//! Recordings without differences, until one is planted.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use nightaudit_compare::Recording;
use nightaudit_exchange::{Body, Decision, Exchange, ExchangeId, Outcome, SessionId, Timestamp};
use nightaudit_mews::Contracts;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Operations that Mews doesn't have, so that nothing about their requests contradicts its documentation.
pub(crate) const OPERATIONS: [&str; 4] = ["one/getAll", "two/getAll", "three/getAll", "four/getAll"];

/// A call before it is an exchange.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) request: Value,
    pub(crate) response: Value,
    /// A response that isn't JSON.
    pub(crate) raw: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) decision: Decision,
    pub(crate) took_us: u64,
}

/// A recording of four operations.
pub(crate) struct World {
    /// Calls of each.
    pub(crate) calls: u64,
}

impl World {
    /// The calls: always the same but for latencies, which vary with the seed.
    pub(crate) fn calls(&self, seed: u64) -> Vec<Call> {
        let of = |operation| (0..self.calls).map(move |number| Call::new(operation, seed, number));
        OPERATIONS.into_iter().flat_map(of).collect()
    }
}

impl Call {
    /// One call in twenty fails; a list has two items.
    pub(crate) fn new(operation: &'static str, seed: u64, number: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, operation, number).hash(&mut hasher);
        let mut random = fastrand::Rng::with_seed(hasher.finish());
        let item = || json!({"Id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "Flag": true, "Amount": {"Value": 1.5}});
        let fails = number % 20 == 7;
        let response = match fails {
            true => json!({"Message": "Invalid request.", "RequestId": "r"}),
            false => json!({"Items": [item(), item()], "Flag": false, "Nested": {"Flag": true, "Count": number}}),
        };
        Self {
            operation,
            request: json!({"Client": "x", "Flag": true, "Nested": {"Flag": true}, "Items": [{"Flag": true}],
                "Limitation": {"Count": 100}}),
            response,
            raw: None,
            status: if fails { 400 } else { 200 },
            outcome: Outcome::Answered,
            decision: Decision::Admitted,
            // Mostly 60 to 100 ms, as the sum of two dice.
            took_us: random.u64(30_000..50_000) + random.u64(30_000..50_000),
        }
    }

    /// The exchange of this number in its recording.
    pub(crate) fn exchange(&self, number: u64, session: u64) -> Exchange {
        static MADE: LazyLock<Exchange> = LazyLock::new(|| serde_json::from_str(TEMPLATE).unwrap());
        let mut exchange = MADE.clone();
        exchange.id = ExchangeId::from_parts(1_790_000_000_000 + number, session.into());
        exchange.session = SessionId::from_parts(1_790_000_000_000, session.into());
        exchange.sequence = number;
        exchange.started_at = Timestamp::from_micros(1_790_000_000_000_000 + i64::try_from(number).unwrap() * 100_000);
        exchange.operation = self.operation.to_owned();
        exchange.request.body = Body::whole(self.request.to_string().into());
        let text = self.raw.map_or_else(|| self.response.to_string(), str::to_owned);
        let response = exchange.response.as_mut().unwrap();
        (response.status, response.body) = (self.status, Body::whole(text.into()));
        exchange.outcome = self.outcome;
        exchange.limit.as_mut().unwrap().decision = self.decision;
        exchange.times_us.forwarded = Some(200);
        exchange.times_us.response_head = Some(200 + self.took_us);
        exchange.times_us.response_end = Some(200 + self.took_us);
        exchange
    }
}

/// The summary of a recording.
pub(crate) fn recording(name: &str, calls: &[Call], session: u64) -> Recording {
    let mut recording = Recording::new(name, Contracts::built_in());
    calls.iter().zip(1..).for_each(|(call, number)| recording.push(&call.exchange(number, session)));
    recording
}

/// Any JSON.
pub(crate) fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[A-Za-z0-9~/*.-]{0,4}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const TEMPLATE: &str = r#"{
  "id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000", "sessionName": "planted",
  "sequence": 1, "environment": "demo", "operation": "x", "startedAt": "2026-11-20T08:00:00.000000Z",
  "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
  "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": null, "accessToken": "REDACTED:b1946ac92492", "paginated": true},
  "request": {"method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/x", "httpVersion": "HTTP/1.1",
    "headers": [], "bodyLength": 0, "truncated": false,
    "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
  "response": {"status": 200, "httpVersion": "HTTP/1.1", "headers": [], "requestId": "r", "bodyLength": 0, "truncated": false,
    "bodySha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
  "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0, "retryAfterS": null},
  "outcome": "answered", "error": null,
  "destination": {"address": "https://api.mews-demo.com",
    "tls": {"serverName": "api.mews-demo.com", "authority": "public"}}}"#;
