//! A recorded request, to be sent again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use memchr::memmem;
use nightaudit_exchange::{Exchange, ExchangeId, Outcome, Pseudonym, Withheld};
use serde_json::Value;

use crate::{
    key::target,
    pointer::Pointer,
    splice::{self, SetError},
};

/// What to change of the request.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Another body, instead of the recorded one.
    pub body: Option<String>,
    /// Values to set in it, in this order.
    pub set: Vec<(Pointer, Value)>,
}

/// A request without the secrets that it needs.
#[derive(Debug, Clone)]
pub struct Again {
    of: ExchangeId,
    method: Method,
    target: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    access_token: Option<Pseudonym>,
    client_token: Option<Pseudonym>,
}

/// Why a request can't be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CantResend {
    /// It is a WebSocket, or a part of one.
    #[error("exchange {0} is of a WebSocket: only requests can be sent again")]
    WebSocket(ExchangeId),
    /// Its body is not complete in the log.
    #[error("the body of the request of exchange {0} is not complete in the log ({1}): give another one")]
    Incomplete(ExchangeId, &'static str),
    /// It was never a request that could be sent.
    #[error("exchange {0} is not a request that can be sent: {1}")]
    Malformed(ExchangeId, String),
    /// A value can't be set.
    #[error("exchange {id}: {source}")]
    Set {
        /// The exchange.
        id: ExchangeId,
        /// Why not.
        source: SetError,
    },
    /// Secrets that were replaced when it was recorded, and that nobody has given.
    #[error(
        "{} replaced when exchange {of} was recorded, and {} known to this run of `nightaudit serve`: {}",
        counted(missing), if missing.len() == 1 { "isn't" } else { "aren't" }, places(missing)
    )]
    Secrets {
        /// The exchange.
        of: ExchangeId,
        /// Their pseudonyms, and what they are.
        missing: BTreeMap<Pseudonym, String>,
    },
}

fn counted(missing: &BTreeMap<Pseudonym, String>) -> String {
    if missing.len() == 1 { "a secret was".to_owned() } else { format!("{} secrets were", missing.len()) }
}

fn places(missing: &BTreeMap<Pseudonym, String>) -> String {
    let each = missing.iter().map(|(pseudonym, place)| format!("{place} ({pseudonym})"));
    each.collect::<Vec<_>>().join(", ")
}

/// Headers that the connection sets itself, or that are meant for nightaudit.
const SKIPPED: [&str; 9] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
];

impl Again {
    /// The recorded request with changes.
    ///
    /// # Errors
    ///
    /// [`CantResend`] if it isn't one that can be sent, or the changes don't fit.
    pub fn of(exchange: &Exchange, edits: &Edits) -> Result<Self, CantResend> {
        let (id, request) = (exchange.id, &exchange.request);
        let malformed = |what: &str| CantResend::Malformed(id, what.to_owned());
        let is_handshake = exchange.status() == Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        if is_handshake || exchange.web_socket.is_some() {
            return Err(CantResend::WebSocket(id));
        }
        if exchange.is_webhook() {
            return Err(malformed("it is a webhook, which goes to the integration"));
        }
        let method: Method = request.method.parse().map_err(|_| malformed("its method is none"))?;
        let target = target(&request.url);
        if !target.starts_with('/') || method == Method::CONNECT {
            return Err(malformed("its target is not a path"));
        }
        let (body, is_decoded) = body(exchange, edits)?;
        let mut headers = Vec::new();
        for header in &request.headers {
            let lower = header.name.to_ascii_lowercase();
            if SKIPPED.contains(&&*lower)
                || lower.starts_with("x-nightaudit-")
                || is_decoded && lower == "content-encoding"
            {
                continue;
            }
            let name = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| malformed("a header has no valid name"))?;
            headers.push((name, header.value.to_string()));
        }
        let (access_token, client_token) = (exchange.envelope.access_token, exchange.envelope.client_token);
        Ok(Self { of: id, method, target: target.to_owned(), headers, body, access_token, client_token })
    }

    /// The exchange that it was recorded in.
    #[must_use]
    pub fn id(&self) -> ExchangeId {
        self.of
    }

    /// The body, with pseudonyms in place of secrets.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The pseudonym of its access token and that of its client token.
    #[must_use]
    pub fn tokens(&self) -> [Option<Pseudonym>; 2] {
        [self.access_token, self.client_token]
    }

    /// The secrets that it needs, each with what it is.
    #[must_use]
    pub fn secrets(&self) -> BTreeMap<Pseudonym, String> {
        let mut found = BTreeMap::new();
        let mut add = |text: &[u8], place: &str| {
            for pseudonym in pseudonyms(text) {
                let what = match Some(pseudonym) {
                    token if token == self.access_token => "the access token",
                    token if token == self.client_token => "the client token",
                    _ => place,
                };
                found.entry(pseudonym).or_insert_with(|| what.to_owned());
            }
        };
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) => walk(&value, &mut String::new(), &mut |pointer, text| add(text.as_bytes(), pointer)),
            Err(_) => add(&self.body, "the body"),
        }
        // What the walk didn't reach, such as names.
        add(&self.body, "the body");
        add(self.target.as_bytes(), "the URL");
        for (name, value) in &self.headers {
            add(value.as_bytes(), &format!("the header {name}"));
        }
        found
    }

    /// The request, with these secrets in place of their pseudonyms.
    ///
    /// # Errors
    ///
    /// [`CantResend::Secrets`] names those that are missing.
    pub fn fill(self, known: &BTreeMap<Pseudonym, String>) -> Result<Request<Bytes>, CantResend> {
        let mut missing = self.secrets();
        missing.retain(|pseudonym, _| !known.contains_key(pseudonym));
        if !missing.is_empty() {
            return Err(CantResend::Secrets { of: self.of, missing });
        }
        let malformed = |what: &str| CantResend::Malformed(self.of, what.to_owned());
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok();
        let body = filled(&self.body, known, |secret| if is_json { json_escaped(secret) } else { secret.to_owned() });
        let target = filled(self.target.as_bytes(), known, percent_encoded);
        let target = String::from_utf8_lossy(&target).into_owned();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse().map_err(|_| malformed("its target is no URL"))?;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let value = filled(value.as_bytes(), known, str::to_owned);
            let value = HeaderValue::from_bytes(&value).map_err(|_| malformed("a header has no valid value"))?;
            headers.append(name.clone(), value);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The body with its changes, and whether it is no longer in its content coding.
fn body(exchange: &Exchange, edits: &Edits) -> Result<(Bytes, bool), CantResend> {
    let (id, body) = (exchange.id, &exchange.request.body);
    if let (None, Some(reason)) = (&edits.body, incomplete(exchange)) {
        return Err(CantResend::Incomplete(id, reason));
    }
    if edits.body.is_none() && edits.set.is_empty() {
        let is_decoded = body.content_encoding.is_none() || body.masked;
        return Ok((body.bytes.clone(), is_decoded && !body.bytes.is_empty()));
    }
    let mut text = match &edits.body {
        Some(text) => text.clone(),
        None => String::from_utf8_lossy(&body.decoded().0).into_owned(),
    };
    for (pointer, value) in &edits.set {
        text = splice::set(&text, pointer, value).map_err(|source| CantResend::Set { id, source })?;
    }
    Ok((text.into(), true))
}

/// Why the recorded body can't be sent as it was.
fn incomplete(exchange: &Exchange) -> Option<&'static str> {
    let body = &exchange.request.body;
    match body.withheld {
        Some(withheld) => Some(withheld.reason()),
        None if body.truncated => Some("it was longer than `body.keep`"),
        None if body.masked => Some("an export masked values"),
        // Earlier versions recorded it as empty.
        None if exchange.outcome == Outcome::Interrupted => Some(Withheld::Interrupted.reason()),
        None => None,
    }
}

/// The pseudonyms in a text.
fn pseudonyms(text: &[u8]) -> BTreeSet<Pseudonym> {
    let found = memmem::find_iter(text, Pseudonym::PREFIX.as_bytes());
    let found = found.filter_map(|at| str::from_utf8(text.get(at..at + Pseudonym::LEN)?).ok()?.parse().ok());
    found.collect()
}

/// Calls `visit` with the pointer and text of every string.
fn walk(value: &Value, pointer: &mut String, visit: &mut dyn FnMut(&str, &str)) {
    let mut within = |segment: &str, value: &Value| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(segment);
        walk(value, pointer, visit);
        pointer.truncate(length);
    };
    match value {
        Value::String(text) => visit(pointer, text),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(number, element)| within(&number.to_string(), element));
        }
        Value::Object(properties) => {
            properties.iter().for_each(|(name, value)| within(&crate::pointer::escape(name), value));
        }
        _ => {}
    }
}

/// The text with secrets in place of their pseudonyms.
fn filled(text: &[u8], known: &BTreeMap<Pseudonym, String>, escape: impl Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut kept = 0;
    for at in memmem::find_iter(text, Pseudonym::PREFIX.as_bytes()) {
        let pseudonym = text.get(at..at + Pseudonym::LEN).and_then(|text| str::from_utf8(text).ok()?.parse().ok());
        if let Some(secret) = pseudonym.and_then(|pseudonym: Pseudonym| known.get(&pseudonym)) {
            out.extend_from_slice(&text[kept..at]);
            out.extend_from_slice(escape(secret).as_bytes());
            kept = at + Pseudonym::LEN;
        }
    }
    out.extend_from_slice(&text[kept..]);
    out
}

fn json_escaped(secret: &str) -> String {
    let quoted = Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Everything but unreserved characters percent-encoded (RFC 3986, section 2.3).
fn percent_encoded(secret: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    secret.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{Body, Header};
    use serde_json::json;

    use super::*;
    use crate::testing::Recorded;

    fn pseudonym(secret: &str) -> Pseudonym {
        Pseudonym::of(secret.as_bytes())
    }

    fn recorded(body: &str) -> Exchange {
        let mut exchange =
            Recorded { body: body.to_owned(), token: "access".to_owned(), ..Recorded::default() }.exchange(0);
        exchange.envelope.client_token = Some(pseudonym("client"));
        exchange
    }

    fn known(secrets: &[&str]) -> BTreeMap<Pseudonym, String> {
        secrets.iter().map(|secret| (pseudonym(secret), (*secret).to_owned())).collect()
    }

    fn tokens() -> String {
        format!(r#"{{"AccessToken": "{}","ClientToken":"{}","Count":1}}"#, pseudonym("access"), pseudonym("client"))
    }

    #[test]
    fn tokens_are_put_in_and_nothing_else_changes() {
        let again = Again::of(&recorded(&tokens()), &Edits::default()).unwrap();
        let request = again.fill(&known(&["access", "client"])).unwrap();
        assert_eq!(request.body(), r#"{"AccessToken": "access","ClientToken":"client","Count":1}"#);
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, crate::testing::TARGET));
    }

    #[test]
    fn secrets_that_nobody_knows_are_named() {
        let mut exchange = recorded(&tokens().replace("Count\":1", &format!("Name\":\"{}\"", pseudonym("Doe"))));
        exchange.request.headers = vec![Header {
            name: "Authorization".into(),
            value: format!("Bearer {}", pseudonym("key")).as_str().into(),
        }];
        let again = Again::of(&exchange, &Edits::default()).unwrap();
        let error = again.clone().fill(&known(&["client"])).unwrap_err().to_string();
        assert!(error.starts_with("3 secrets were replaced when exchange "), "{error}");
        for named in ["the access token", "/Name", "the header authorization"] {
            assert!(error.contains(named), "{named}: {error}");
        }
        let error = again.fill(&known(&["client", "access", "key"])).unwrap_err().to_string();
        assert!(error.starts_with("a secret was replaced") && error.contains("/Name"), "{error}");
        // A value of one's own needs no secret.
        let edits = Edits { set: vec![("/Name".parse().unwrap(), json!("Roe"))], ..Edits::default() };
        let filled = Again::of(&exchange, &edits).unwrap().fill(&known(&["client", "access", "key"])).unwrap();
        assert_eq!(filled.headers()["authorization"], "Bearer key");
        assert!(filled.body().ends_with(b"\"Name\":\"Roe\"}"));
    }

    #[test]
    fn a_secret_is_written_as_its_place_needs() {
        let mut exchange = recorded(&format!(r#"{{"Key":"{}"}}"#, pseudonym("a\"b c")));
        exchange.request.url = format!("https://api.mews-demo.com/api/x?k={}", pseudonym("a\"b c"));
        let request = Again::of(&exchange, &Edits::default()).unwrap().fill(&known(&["a\"b c"])).unwrap();
        assert_eq!(request.body(), r#"{"Key":"a\"b c"}"#);
        assert_eq!(request.uri().query(), Some("k=a%22b%20c"));
    }

    #[test]
    fn headers_of_the_old_connection_are_not_sent() {
        let mut exchange = recorded("{}");
        let header = |name: &str| Header { name: name.into(), value: "x".into() };
        exchange.request.headers =
            ["Host", "Content-Length", "X-Nightaudit-Session", "Accept", "Content-Encoding"].map(header).into();
        let names = |exchange: &Exchange| {
            let request = Again::of(exchange, &Edits::default()).unwrap().fill(&known(&[])).unwrap();
            request.headers().keys().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        // The body was recorded decoded, because a secret in it was replaced.
        assert_eq!(names(&exchange), ["accept"]);
        exchange.request.body.content_encoding = Some("gzip".to_owned());
        assert_eq!(names(&exchange), ["accept", "content-encoding"]);
    }

    #[test]
    fn what_is_no_request_is_not_sent() {
        let truncated = |body: Body| {
            let mut exchange = recorded("{}");
            exchange.request.body = body;
            exchange
        };
        let mut handshake = recorded("");
        handshake.response.as_mut().unwrap().status = 101;
        let mut interrupted = recorded("");
        interrupted.outcome = Outcome::Interrupted;
        let mut broken = recorded("");
        broken.request.url = "*".to_owned();
        let cases = [
            (handshake, "of a WebSocket"),
            (broken, "its target is not a path"),
            (truncated(Body { truncated: true, ..Body::whole("{".into()) }), "longer than `body.keep`"),
            (truncated(Body { withheld: Some(Withheld::Unreadable), ..Body::empty() }), "neither text nor"),
            (truncated(Body { masked: true, ..Body::empty() }), "masked"),
            (truncated(Body::unrecorded(Withheld::Interrupted)), "the proxy ended while"),
            (interrupted, "the proxy ended while"),
        ];
        for (exchange, named) in &cases {
            let error = Again::of(exchange, &Edits::default()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let given = Edits { body: Some("{\"A\":1}".to_owned()), set: vec![("/B".parse().unwrap(), json!(2))] };
        let again = Again::of(&cases[2].0, &given).unwrap();
        assert_eq!(again.body(), "{\"A\":1,\"B\":2}");
        let wrong = Edits { set: vec![("/A/B".parse().unwrap(), json!(2))], ..given };
        assert!(Again::of(&cases[2].0, &wrong).unwrap_err().to_string().contains("/A/B leads into"));
    }
}
