//! An exchange's metadata: its JSON without the bodies' bytes and the two hashes.
//!
//! Written once per recorded exchange. serde_json inspects every byte of every string individually, which dominated the
//! cost of a record besides redaction and hashing. The output here is byte for byte that of serde.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{AdmissionRecord, Body, Destination, Digest, Envelope, Exchange, Header, Pseudonym, TimesUs};

/// Appends the metadata to `out`.
pub(crate) fn write(exchange: &Exchange, out: &mut Vec<u8>) {
    out.reserve(1024);
    put(out, r#"{"id":""#);
    out.extend_from_slice(&exchange.id.digits());
    put(out, r#"","session":""#);
    out.extend_from_slice(&exchange.session.digits());
    put(out, r#"","sessionName":"#);
    text(out, &exchange.session_name);
    put(out, r#","sequence":"#);
    json(out, &exchange.sequence);
    put(out, r#","environment":"#);
    text(out, &exchange.environment);
    put(out, r#","operation":"#);
    text(out, &exchange.operation);
    put(out, r#","startedAt":"#);
    json(out, &exchange.started_at);
    let TimesUs { forwarded, response_head, response_end } = &exchange.times_us;
    put(out, r#","timesUs":{"forwarded":"#);
    or_null(out, forwarded, json);
    put(out, r#","responseHead":"#);
    or_null(out, response_head, json);
    put(out, r#","responseEnd":"#);
    or_null(out, response_end, json);
    put(out, r#"},"peer":"#);
    or_null(out, &exchange.peer, address);
    let Envelope { client, client_token, access_token, paginated } = &exchange.envelope;
    put(out, r#","envelope":{"client":"#);
    or_null(out, client, |out, client| text(out, client));
    put(out, r#","clientToken":"#);
    or_null(out, client_token, pseudonym);
    put(out, r#","accessToken":"#);
    or_null(out, access_token, pseudonym);
    put(out, r#","paginated":"#);
    put(out, if *paginated { "true" } else { "false" });
    let request = &exchange.request;
    put(out, r#"},"request":{"method":"#);
    text(out, &request.method);
    put(out, r#","url":"#);
    text(out, &request.url);
    put(out, r#","httpVersion":"#);
    text(out, &request.http_version);
    headers(out, &request.headers);
    body(out, &request.body);
    put(out, r#","response":"#);
    if let Some(response) = &exchange.response {
        put(out, r#"{"status":"#);
        json(out, &response.status);
        put(out, r#","httpVersion":"#);
        text(out, &response.http_version);
        if let Some(reason) = &response.reason {
            put(out, r#","reason":"#);
            text(out, reason);
        }
        headers(out, &response.headers);
        put(out, r#","requestId":"#);
        or_null(out, &response.request_id, |out, id| text(out, id));
        body(out, &response.body);
    } else {
        put(out, "null");
    }
    put(out, r#","limit":"#);
    or_null(out, &exchange.limit, limit);
    put(out, r#","outcome":"#);
    json(out, &exchange.outcome);
    put(out, r#","error":"#);
    json(out, &exchange.error);
    if let Some(part) = &exchange.web_socket {
        put(out, r#","webSocket":"#);
        let mut part = part.clone();
        for message in &mut part.messages {
            (message.body.bytes, message.body.masked) = (bytes::Bytes::new(), false);
        }
        json(out, &part);
    }
    if let Some(Destination { address: host, remote, tls, proxy }) = &exchange.destination {
        put(out, r#","destination":{"address":"#);
        text(out, host);
        if let Some(remote) = remote {
            put(out, r#","remote":"#);
            address(out, remote);
        }
        if let Some(tls) = tls {
            put(out, r#","tls":"#);
            json(out, tls);
        }
        if let Some(proxy) = proxy {
            put(out, r#","proxy":"#);
            text(out, proxy);
        }
        out.push(b'}');
    }
    if let Some(fault) = &exchange.fault {
        put(out, r#","fault":"#);
        json(out, fault);
    }
    if let Some(original) = &exchange.resent_from {
        put(out, r#","resentFrom":"#);
        json(out, original);
    }
    if !exchange.direction.is_outgoing() {
        put(out, r#","direction":"#);
        json(out, &exchange.direction);
    }
    if let Some(alteration) = &exchange.alteration {
        put(out, r#","alteration":"#);
        json(out, alteration);
    }
    if let Some(tool) = &exchange.recorded_by {
        put(out, r#","recordedBy":"#);
        text(out, tool);
    }
    if !exchange.notes.is_empty() {
        put(out, r#","notes":"#);
        json(out, &exchange.notes);
    }
    out.push(b'}');
}

fn limit(out: &mut Vec<u8>, limit: &AdmissionRecord) {
    let AdmissionRecord { decision, rule, used, limit, waited_ms, retry_after_s } = limit;
    put(out, r#"{"decision":"#);
    json(out, decision);
    put(out, r#","rule":"#);
    text(out, rule);
    put(out, r#","used":"#);
    json(out, used);
    put(out, r#","limit":"#);
    json(out, limit);
    put(out, r#","waitedMs":"#);
    json(out, waited_ms);
    put(out, r#","retryAfterS":"#);
    or_null(out, retry_after_s, json);
    out.push(b'}');
}

/// The headers, followed in the JSON only by the body.
fn headers(out: &mut Vec<u8>, headers: &[Header]) {
    put(out, r#","headers":["#);
    for (index, Header { name, value }) in headers.iter().enumerate() {
        put(out, if index == 0 { r#"{"name":"# } else { r#",{"name":"# });
        text(out, name);
        put(out, r#","value":"#);
        text(out, value);
        out.push(b'}');
    }
    out.push(b']');
}

/// A body's properties without its bytes, and the end of its message.
fn body(out: &mut Vec<u8>, body: &Body) {
    put(out, r#","body":null,"bodyEncoding":null"#);
    if let Some(coding) = &body.content_encoding {
        put(out, r#","contentEncoding":"#);
        text(out, coding);
    }
    put(out, r#","bodyLength":"#);
    json(out, &body.length);
    put(out, r#","bodySha256":"#);
    digest(out, &body.sha256);
    if let Some(stored) = &body.stored_sha256 {
        put(out, r#","storedSha256":"#);
        digest(out, stored);
    }
    put(out, r#","truncated":"#);
    put(out, if body.truncated { "true" } else { "false" });
    if let Some(withheld) = body.withheld {
        put(out, r#","withheld":""#);
        put(out, withheld.as_str());
        out.push(b'"');
    }
    out.push(b'}');
}

fn digest(out: &mut Vec<u8>, digest: &Digest) {
    out.push(b'"');
    out.extend_from_slice(&digest.digits());
    out.push(b'"');
}

pub(crate) fn pseudonym(out: &mut Vec<u8>, pseudonym: &Pseudonym) {
    out.push(b'"');
    out.extend_from_slice(&pseudonym.text());
    out.push(b'"');
}

/// An address and a port; those of IPv4 without the formatter, which takes longer than all else of a record's peer.
pub(crate) fn address(out: &mut Vec<u8>, address: &SocketAddr) {
    let SocketAddr::V4(v4) = address else { return json(out, address) };
    for (at, octet) in v4.ip().octets().iter().enumerate() {
        out.push(if at == 0 { b'"' } else { b'.' });
        json(out, octet);
    }
    out.push(b':');
    json(out, &v4.port());
    out.push(b'"');
}

pub(crate) fn or_null<T>(out: &mut Vec<u8>, value: &Option<T>, write: impl FnOnce(&mut Vec<u8>, &T)) {
    match value {
        Some(value) => write(out, value),
        None => put(out, "null"),
    }
}

pub(crate) fn put(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(json.as_bytes());
}

/// A string; serde handles those that need escaping.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        json(out, text);
    }
}

/// Two texts as one string.
pub(crate) fn joined(out: &mut Vec<u8>, first: &str, second: &str) {
    if is_plain(first.as_bytes()) && is_plain(second.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(first.as_bytes());
        out.extend_from_slice(second.as_bytes());
        out.push(b'"');
    } else {
        json(out, &[first, second].concat());
    }
}

/// Whether JSON writes this text as it is. Eight bytes at a time, since headers are too short for a vectorized loop.
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH != 0;
    let has_control = |word: u64| word.wrapping_sub(ONES * 0x20) & !word & HIGH != 0;
    let has_byte = |word: u64, byte: u8| has_zero(word ^ (ONES * u64::from(byte)));
    let (words, rest) = text.as_chunks::<8>();
    let needs_escape = |word: u64| has_control(word) || has_byte(word, b'"') || has_byte(word, b'\\');
    !words.iter().any(|word| needs_escape(u64::from_le_bytes(*word)))
        && !rest.iter().any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
}

pub(crate) fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Strings, numbers and structs only, so serialization can't fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Alteration, Authority, CallDirection, Decision, Direction, ExchangeId, Failure, FailureKind, FaultEnding,
        InjectedFault, Message, Note, Omitted, Outcome, Timestamp, Tls, WebSocket, body,
    };

    /// The same metadata, written by serde.
    fn by_serde(exchange: &Exchange) -> String {
        let mut bare = Exchange { previous_hash: None, hash: None, ..exchange.clone() };
        for body in bare.bodies_mut() {
            (body.bytes, body.masked) = (Bytes::new(), false);
        }
        serde_json::to_string(&bare).unwrap()
    }

    fn by_hand(exchange: &Exchange) -> String {
        let mut out = Vec::new();
        write(exchange, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Strings that include characters JSON escapes.
    const TEXT: &str = r#"([ -~]|["\\\x00-\x1f\x7f]|\PC){0,20}"#;

    #[test]
    fn a_byte_that_needs_an_escape_is_found_at_any_position() {
        for length in 1..=17 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let expected = byte >= 0x20 && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn matches_serde_byte_for_byte(
            texts in prop::collection::vec(TEXT, 8),
            headers in prop::collection::vec((TEXT, TEXT), 0..4),
            bodies in (body::tests::body(), body::tests::body()),
            numbers: [u64; 4],
            has: [bool; 6],
            token: Option<[u8; 6]>,
            peer: SocketAddr,
        ) {
            let mut exchange = crate::testing::sample();
            let [name, environment, operation, method, url, version, client, id] = &texts[..] else { unreachable!() };
            (exchange.session_name, exchange.environment) = (name.into(), environment.into());
            exchange.operation.clone_from(operation);
            exchange.sequence = numbers[0];
            exchange.times_us.forwarded = has[0].then_some(numbers[1]);
            exchange.peer = has[1].then_some(peer);
            exchange.envelope = Envelope {
                client: has[2].then(|| client.clone()),
                access_token: token.map(Pseudonym),
                ..exchange.envelope
            };
            let headers: Vec<Header> =
                headers.iter().map(|(name, value)| Header { name: name.into(), value: value.into() }).collect();
            let request = &mut exchange.request;
            (request.method, request.http_version) = (method.into(), version.into());
            request.url.clone_from(url);
            request.headers.clone_from(&headers);
            request.body = bodies.0.clone();
            let response = exchange.response.as_mut().unwrap();
            (response.headers, response.body) = (headers, bodies.1);
            response.reason = has[2].then(|| url.into());
            response.request_id = has[3].then(|| id.clone());
            exchange.response = exchange.response.filter(|_| has[4]);
            exchange.limit = has[5].then(|| AdmissionRecord {
                decision: Decision::Delayed,
                rule: name.as_str().into(),
                used: 1,
                limit: 2,
                waited_ms: numbers[2],
                retry_after_s: has[0].then_some(numbers[3]),
            });
            exchange.error = has[1].then(|| Failure { kind: FailureKind::HeadTooLarge, message: url.clone() });
            exchange.outcome = if has[2] { Outcome::Answered } else { Outcome::Interrupted };
            exchange.web_socket = has[3].then(|| WebSocket {
                handshake: ExchangeId::from_parts(1, 1),
                part: 1,
                messages: vec![Message {
                    time: Timestamp::from_micros(7),
                    direction: Direction::Send,
                    opcode: 1,
                    body: bodies.0,
                }],
                omitted: Omitted::default(),
                unreadable_bytes: numbers[3],
                ended: has[4],
            });
            exchange.destination = has[1].then(|| Destination {
                address: url.into(),
                remote: exchange.peer.filter(|_| has[2]),
                tls: has[3].then(|| Tls { server_name: name.into(), authority: Authority::System }),
                proxy: has[4].then(|| name.into()),
            });
            exchange.notes = if has[0] { vec![Note::LengthIgnored, Note::RedirectRewritten] } else { Vec::new() };
            exchange.fault = has[4].then(|| Box::new(InjectedFault {
                rules: vec![name.clone()],
                ending: has[0].then_some(FaultEnding::Status(429)),
                delayed_ms: has[1].then_some(numbers[2]),
                ..InjectedFault::default()
            }));
            exchange.resent_from = has[2].then(|| ExchangeId::from_parts(1, 2));
            exchange.direction = if has[1] { CallDirection::Incoming } else { CallDirection::Outgoing };
            exchange.alteration = has[5].then_some(Alteration::Edited);
            exchange.recorded_by = has[4].then(|| client.into());
            exchange.hash = has[5].then(|| Digest::of(b""));
            prop_assert_eq!(by_hand(&exchange), by_serde(&exchange));
        }
    }
}
