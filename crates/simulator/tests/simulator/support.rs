//! A simulator on a free port, and requests to it.

use std::net::SocketAddr;
use std::sync::Arc;

use nightaudit_mews::{Field, Kind, Object, Operation, PUBLISHED_TOKENS, Rule};
use nightaudit_simulator::{Config, Simulator};
use nightaudit_testkit::{RawResponse, send};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A running simulator; stops when dropped.
pub(crate) struct Mews {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Mews {
    /// Without a limit.
    pub(crate) async fn start() -> Self {
        Self::with(Config { limit: None, ..Config::default() }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let simulator = Arc::new(Simulator::new(config));
        let task =
            tokio::spawn(simulator.serve(listener, nightaudit_listen::ListenConfig::default(), std::future::pending()));
        Self { address, _task: AbortOnDropHandle::new(task) }
    }

    /// Calls an operation with the envelope plus `fields`, and these header lines.
    pub(crate) async fn ask(&self, operation: &str, fields: Value, headers: &str) -> RawResponse {
        self.raw(operation, enveloped(fields).to_string().as_bytes(), headers).await
    }

    pub(crate) async fn raw(&self, operation: &str, body: &[u8], headers: &str) -> RawResponse {
        let head = format!(
            "POST /api/connector/v1/{operation} HTTP/1.1\r\nHost: mews\r\nContent-Length: {}\r\nConnection: close\r\n\
             {headers}\r\n",
            body.len()
        );
        send(self.address, &[head.as_bytes(), body].concat()).await
    }

    /// Calls an operation that must succeed.
    pub(crate) async fn call(&self, operation: &str, fields: Value) -> Value {
        let answer = self.ask(operation, fields, "").await;
        assert_eq!(answer.status, 200, "{operation}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }
}

pub(crate) fn enveloped(fields: Value) -> Value {
    let tokens = PUBLISHED_TOKENS[0];
    let mut request = json!({ "ClientToken": tokens.client, "AccessToken": tokens.access, "Client": "Test 1.0.0" });
    request.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
    request
}

/// The minimal valid request of an operation.
pub(crate) fn minimal_request(operation: &Operation) -> Value {
    let own = |field: &&Field| !["ClientToken", "AccessToken", "Client"].contains(&&*field.name);
    Value::Object(required(&operation.request, own))
}

fn required(object: &Object, wanted: impl Fn(&&Field) -> bool) -> Map<String, Value> {
    let fields = object.fields.iter().filter(|field| field.required).filter(|field| wanted(field));
    let mut least: Map<_, _> = fields.map(|field| (field.name.to_string(), value(field))).collect();
    // The first of alternative filters and property sets.
    for rule in &object.rules {
        let needed: &[usize] = match rule {
            Rule::AnyOf(fields) | Rule::SomeOf(fields) => &fields[..1],
            Rule::Sets(sets) => &sets[0],
            Rule::When { field, on, .. } if least.contains_key(&*object.fields[*on].name) => &[*field],
            _ => &[],
        };
        for field in needed.iter().map(|&at| &object.fields[at]) {
            least.entry(field.name.to_string()).or_insert_with(|| value(field));
        }
    }
    for rule in &object.rules {
        let Rule::Value { field, allowed, on, values } = rule else { continue };
        let constant = |field: usize, at: usize| match &object.fields[field].kind {
            Kind::Enum(constants) => Value::from(&*constants.values[at]),
            other => panic!("{other:?}"),
        };
        let decides = least.get(&*object.fields[*on].name).cloned();
        if decides.is_some_and(|value| values.iter().any(|&at| constant(*on, at) == value)) {
            least.insert(object.fields[*field].name.to_string(), constant(*field, allowed[0]));
        }
    }
    least
}

/// A string of the required format.
fn text(field: &Field) -> &'static str {
    match field.pattern.as_ref().map_or("", |pattern| &pattern.name) {
        "" => "x",
        "currency" => "EUR",
        "country" | "country-alpha-2" => "GB",
        "subdivision" => "AU-NSW",
        "duns" => "123456789",
        "iban" => "GB29NWBK60161331926819",
        "masked-card" => "411111******1111",
        "month-year" => "10/2031",
        other => panic!("{other}"),
    }
}

fn value(field: &Field) -> Value {
    let least = field.range.as_ref().map_or(1, |range| *range.start());
    let value = match &field.kind {
        Kind::String => text(field).into(),
        Kind::Utc => "2026-01-31T00:00:00Z".into(),
        Kind::Date => "2026-01-31".into(),
        Kind::Month => "2026-01".into(),
        Kind::Duration => "P1D".into(),
        Kind::Guid => "3fa85f64-5717-4562-b3fc-2c963f66afa6".into(),
        Kind::Boolean => true.into(),
        Kind::Integer | Kind::Number => least.into(),
        Kind::Texts => json!({ "en-GB": "x" }),
        Kind::AnyObject | Kind::Any => json!({}),
        Kind::Object(object) => Value::Object(required(object, |_| true)),
        Kind::Enum(values) => (*values.values[0]).into(),
    };
    (0..field.array).fold(value, |value, _| json!([value]))
}
