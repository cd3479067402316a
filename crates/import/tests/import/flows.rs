//! Flow files as the versions of mitmproxy write them.

use nightaudit_exchange::{Direction, Exchange, FailureKind, Incoming, Outcome, TimesUs, Withheld};
use nightaudit_import::{Error, Format, Options, Place, Reader, Summary};

/// A value of a typed netstring.
#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Text(&'static str),
    Int(i64),
    Float(f64),
    Bool(bool),
    None,
    List(Vec<Value>),
    Dict(Vec<(&'static str, Value)>),
}

use Value::{Bool, Dict, Float, Int, List, None as Null, Text};

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

impl Value {
    /// As written by Python 3; by Python 2, keys and texts are bytes.
    fn dump(&self, two: bool) -> Vec<u8> {
        let (data, kind) = match self {
            Self::Bytes(bytes) => (bytes.clone(), b','),
            Self::Text(text) => (text.as_bytes().to_vec(), if two { b',' } else { b';' }),
            Self::Int(number) => (number.to_string().into_bytes(), b'#'),
            Self::Float(number) => (format!("{number:?}").into_bytes(), b'^'),
            Self::Bool(value) => (value.to_string().into_bytes(), b'!'),
            Self::None => (Vec::new(), b'~'),
            Self::List(items) => (items.iter().flat_map(|item| item.dump(two)).collect(), b']'),
            Self::Dict(pairs) => {
                let pair = |(key, value): &(&'static str, Value)| [Text(key).dump(two), value.dump(two)].concat();
                (pairs.iter().flat_map(pair).collect(), b'}')
            }
        };
        [format!("{}:", data.len()).as_bytes(), &data, &[kind]].concat()
    }

    fn set(&mut self, key: &'static str, value: Value) {
        let Dict(pairs) = self else { panic!() };
        pairs.retain(|(known, _)| *known != key);
        pairs.push((key, value));
    }

    fn remove(&mut self, key: &str) -> Value {
        let Dict(pairs) = self else { panic!() };
        let at = pairs.iter().position(|(known, _)| *known == key).unwrap();
        pairs.remove(at).1
    }

    fn get(&mut self, key: &str) -> &mut Value {
        let Dict(pairs) = self else { panic!() };
        &mut pairs.iter_mut().find(|(known, _)| *known == key).unwrap().1
    }
}

const BODY: &str = r#"{"AccessToken":"a-token-of-the-sample-01","Client":"Sample Kiosk 1.0"}"#;

/// 2026-11-23T12:00:00Z.
const NOON: f64 = 1_795_435_200.0;

fn headers(pairs: &[(&str, &str)]) -> Value {
    List(pairs.iter().map(|(name, value)| List(vec![bytes(name), bytes(value)])).collect())
}

/// A flow as version 21 has it.
fn newest() -> Value {
    Dict(vec![
        ("version", Int(21)),
        ("type", Text("http")),
        ("id", Text("2c1d7b1e-5a0e-4d5b-9d51-1f6f9c4fb1c5")),
        ("error", Null),
        (
            "client_conn",
            Dict(vec![
                ("peername", List(vec![Text("127.0.0.1"), Int(51234)])),
                ("sockname", List(vec![Text("127.0.0.1"), Int(8080)])),
                ("timestamp_start", Float(NOON - 1.0)),
                ("tls_version", Text("TLSv1.3")),
            ]),
        ),
        (
            "server_conn",
            Dict(vec![
                ("peername", List(vec![Text("192.0.2.7"), Int(443)])),
                ("address", List(vec![Text("api.mews-demo.com"), Int(443)])),
                ("timestamp_start", Float(NOON + 0.26)),
                ("timestamp_tcp_setup", Float(NOON + 0.27)),
                ("timestamp_tls_setup", Float(NOON + 0.28)),
                ("tls", Bool(true)),
                ("sni", Text("api.mews-demo.com")),
            ]),
        ),
        ("metadata", Dict(vec![])),
        ("comment", Text("")),
        ("timestamp_created", Float(NOON + 0.25)),
        ("backup", Null),
        (
            "request",
            Dict(vec![
                ("method", bytes("POST")),
                ("scheme", bytes("https")),
                ("host", Text("api.mews-demo.com")),
                ("port", Int(443)),
                ("authority", bytes("")),
                ("path", bytes("/api/connector/v1/rates/getAll")),
                ("http_version", bytes("HTTP/2.0")),
                ("headers", headers(&[(":authority", "api.mews-demo.com"), ("content-type", "application/json")])),
                ("content", bytes(BODY)),
                ("trailers", Null),
                ("timestamp_start", Float(NOON + 0.25)),
                ("timestamp_end", Float(NOON + 0.255)),
            ]),
        ),
        (
            "response",
            Dict(vec![
                ("http_version", bytes("HTTP/2.0")),
                ("status_code", Int(200)),
                ("reason", bytes("")),
                ("headers", headers(&[("content-type", "application/json"), ("request-id", "6f1c")])),
                ("content", bytes(r#"{"Rates":[]}"#)),
                ("trailers", Null),
                ("timestamp_start", Float(NOON + 0.33)),
                ("timestamp_end", Float(NOON + 0.335)),
            ]),
        ),
        ("websocket", Null),
    ])
}

/// The same flow as earlier versions have it, back to 0.11.
fn flow(version: (i64, i64)) -> Value {
    let mut flow = newest();
    let single =
        |number: i64| if number > 3 { Int(number) } else { List(vec![Int(version.0), Int(version.1), Int(0)]) };
    flow.set("version", single(version.0));
    if version.0 < 19 {
        let peer = flow.get("client_conn").remove("peername");
        flow.get("client_conn").set("address", peer);
        let peer = flow.get("server_conn").remove("peername");
        flow.get("server_conn").set("ip_address", peer);
    }
    if version.0 < 12 {
        flow.remove("websocket");
    }
    if version.0 < 9 {
        let request = flow.get("request");
        request.remove("authority");
        request.set("first_line_format", Text("relative"));
        request.set("is_replay", Bool(false));
    }
    if version.0 < 6 {
        let time = flow.get("server_conn").remove("timestamp_tls_setup");
        flow.get("server_conn").set("timestamp_ssl_setup", time);
    }
    if version.0 < 2 {
        // Addresses within addresses.
        for (connection, key) in [("client_conn", "address"), ("server_conn", "ip_address")] {
            let address = flow.get(connection).remove(key);
            flow.get(connection).set(key, Dict(vec![("address", address), ("use_ipv6", Bool(false))]));
        }
    }
    if version < (0, 18) {
        let address = flow.get("server_conn").remove("ip_address");
        flow.get("server_conn").set("peer_address", address);
    }
    if version < (0, 14) {
        for message in ["request", "response"] {
            flow.get(message).remove("http_version");
            flow.get(message).set("httpversion", List(vec![Int(1), Int(1)]));
        }
        let response = flow.get("response");
        let (code, _) = (response.remove("status_code"), response.remove("reason"));
        response.set("code", code);
        response.set("msg", Text("OK"));
    }
    flow
}

fn read(file: &[u8], options: Options) -> (Vec<Exchange>, Summary) {
    let mut reader = Reader::open(file, options).unwrap();
    let exchanges = reader.by_ref().map(|incoming| match incoming.unwrap() {
        Incoming::Foreign(exchange) => *exchange,
        other => panic!("{other:?}"),
    });
    let exchanges = exchanges.collect();
    (exchanges, reader.summary().clone())
}

#[test]
fn a_flow_is_the_same_in_every_version() {
    let versions =
        [(0, 11), (0, 13), (0, 14), (0, 16), (0, 18), (0, 19), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)];
    for version in versions.into_iter().chain((8..=21).map(|number| (number, 0))) {
        let file = flow(version).dump(version < (0, 18));
        let (exchanges, summary) = read(&file, Options::default());
        assert_eq!((summary.format, summary.entries), (Format::Flows, 1), "{version:?}");
        let exchange = &exchanges[0];
        assert_eq!(exchange.recorded_by.as_deref(), Some("mitmproxy"), "{version:?}");
        assert_eq!(exchange.started_at.to_string(), "2026-11-23T12:00:00.250000Z", "{version:?}");
        assert_eq!(exchange.request.url, "https://api.mews-demo.com/api/connector/v1/rates/getAll", "{version:?}");
        assert_eq!(
            (&*exchange.request.body.bytes, exchange.request.headers.len()),
            (BODY.as_bytes(), 1),
            "{version:?}"
        );
        let response = exchange.response.as_ref().unwrap();
        assert_eq!((response.status, &*response.body.bytes), (200, &br#"{"Rates":[]}"#[..]), "{version:?}");
        assert_eq!(response.request_id.as_deref(), Some("6f1c"), "{version:?}");
        let old = version < (0, 14);
        assert_eq!(response.http_version, if old { "HTTP/1.1" } else { "HTTP/2" }, "{version:?}");
        assert_eq!(response.reason.as_deref(), old.then_some("OK"), "{version:?}");
        let times = TimesUs { forwarded: Some(30_000), response_head: Some(80_000), response_end: Some(85_000) };
        assert_eq!(exchange.times_us, times, "{version:?}");
        assert_eq!(exchange.peer, Some("127.0.0.1:51234".parse().unwrap()), "{version:?}");
        assert_eq!(exchange.envelope.client.as_deref(), Some("Sample Kiosk 1.0"), "{version:?}");
        let remote = exchange.destination.as_ref().unwrap().remote;
        assert_eq!(remote, Some("192.0.2.7:443".parse().unwrap()), "{version:?}");
    }
}

#[test]
fn bodies_are_as_they_were_on_the_wire() {
    let mut flow = newest();
    let wire = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(br#"{"Rates":[]}"#).unwrap();
        encoder.finish().unwrap()
    };
    flow.get("response").set("content", Value::Bytes(wire.clone()));
    flow.get("response").set("headers", headers(&[("Content-Encoding", "gzip")]));
    // Streamed: mitmproxy kept nothing of it.
    let mut streamed = newest();
    streamed.get("response").set("content", Null);
    streamed.get("response").set("headers", headers(&[("content-length", "4096")]));
    let (exchanges, _) = read(&[flow.dump(false), streamed.dump(false)].concat(), Options::default());
    let body = &exchanges[0].response.as_ref().unwrap().body;
    assert_eq!((&*body.bytes, body.length), (&*wire, wire.len() as u64));
    assert_eq!((body.content_encoding.as_deref(), body.decoded()), (Some("gzip"), (r#"{"Rates":[]}"#.into(), true)));
    assert!(exchanges[0].notes.is_empty());
    let body = &exchanges[1].response.as_ref().unwrap().body;
    assert_eq!((body.withheld, body.length), (Some(Withheld::Absent), 4096));
}

#[test]
fn what_failed_and_what_is_not_http_is_told_apart() {
    let mut failed = newest();
    failed.set("response", Null);
    failed.set("error", Dict(vec![("msg", Text("Client disconnected.")), ("timestamp", Float(NOON + 1.0))]));
    let mut broken_off = newest();
    broken_off.set("error", Dict(vec![("msg", Text("peer closed connection")), ("timestamp", Float(NOON + 1.0))]));
    let mut tcp = newest();
    tcp.set("type", Text("tcp"));
    let mut tunnel = newest();
    tunnel.get("request").set("method", bytes("CONNECT"));
    tunnel.get("request").set("path", bytes(""));
    let mut other = newest();
    other.get("request").set("host", Text("example.com"));
    other.get("request").set("path", bytes("/"));
    let file: Vec<u8> = [failed, broken_off, tcp, tunnel, other].iter().flat_map(|flow| flow.dump(false)).collect();
    let (exchanges, summary) = read(&file, Options::default());
    assert_eq!((summary.entries, summary.not_http, summary.other_hosts, exchanges.len()), (3, 2, 1, 2));
    let left = exchanges.iter().find(|exchange| exchange.response.is_none()).unwrap();
    assert_eq!((left.outcome, left.error.as_ref().unwrap().kind), (Outcome::Aborted, FailureKind::ClientLeft));
    let cut = exchanges.iter().find(|exchange| exchange.response.is_some()).unwrap();
    assert_eq!((cut.outcome, cut.error.as_ref().unwrap().kind), (Outcome::Failed, FailureKind::Closed));
}

fn message(opcode: i64, from_client: bool, content: &str, time: f64, dropped: bool) -> Value {
    List(vec![Int(opcode), Bool(from_client), bytes(content), Float(time), Bool(dropped)])
}

fn handshake() -> Value {
    let mut flow = newest();
    let request = flow.get("request");
    request.set("method", bytes("GET"));
    request.set("host", Text("ws.mews-demo.com"));
    request.set("path", bytes("/ws/connector"));
    request.set("content", bytes(""));
    let response = flow.get("response");
    response.set("status_code", Int(101));
    response.set("content", bytes(""));
    flow
}

fn said() -> Value {
    List(vec![
        message(1, false, "{\"Events\":[]}", NOON + 2.0, false),
        message(1, true, "dropped", NOON + 2.5, true),
        message(2, true, "\u{1}", NOON + 3.0, false),
    ])
}

fn assert_said(exchanges: &[Exchange]) {
    let [handshake, part] = exchanges else { panic!("{exchanges:#?}") };
    assert_eq!(
        (handshake.status(), handshake.request.url.as_str()),
        (Some(101), "wss://ws.mews-demo.com/ws/connector")
    );
    let said = part.web_socket.as_ref().unwrap();
    assert_eq!(
        (said.handshake, said.ended, part.request.url.as_str()),
        (handshake.id, true, handshake.request.url.as_str())
    );
    let messages: Vec<_> =
        said.messages.iter().map(|m| (m.time.to_string(), m.direction, m.opcode, m.body.bytes.len())).collect();
    assert_eq!(
        messages,
        [
            ("2026-11-23T12:00:02.000000Z".to_owned(), Direction::Receive, 1, 13),
            ("2026-11-23T12:00:03.000000Z".to_owned(), Direction::Send, 2, 1),
        ]
    );
}

#[test]
fn messages_of_a_web_socket_are_in_its_flow_or_in_one_of_their_own() {
    let mut flow = handshake();
    flow.set(
        "websocket",
        Dict(vec![("messages", said()), ("closed_by_client", Bool(true)), ("close_code", Int(1000))]),
    );
    assert_said(&read(&flow.dump(false), Options::default()).0);

    // Before version 12.
    let mut flow = handshake();
    flow.set("version", Int(7));
    flow.remove("websocket");
    flow.set("metadata", Dict(vec![("websocket", Bool(true))]));
    let mut messages = newest();
    messages.set("version", Int(7));
    messages.set("type", Text("websocket"));
    messages.set("metadata", Dict(vec![("websocket_handshake", Text("2c1d7b1e-5a0e-4d5b-9d51-1f6f9c4fb1c5"))]));
    messages.set("messages", said());
    messages.set("close_code", Int(1005));
    let (flow, messages) = (flow.dump(false), messages.dump(false));
    assert_said(&read(&[&flow[..], &messages].concat(), Options::default()).0);
    // Without the handshake nothing is known of them.
    let error = Reader::open(&messages[..], Options::default()).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("flow 1 can't be read, at byte 0: it has messages"), "{error}");
}

#[test]
fn the_host_is_that_of_the_request_where_mitmproxy_only_knows_the_address() {
    for (host, authority, named, url) in [
        ("192.0.2.7", "", "api.mews-demo.com", "https://api.mews-demo.com/api/connector/v1/rates/getAll"),
        ("192.0.2.7", "api.mews-demo.com:443", "", "https://api.mews-demo.com:443/api/connector/v1/rates/getAll"),
        ("::1", "", "", "https://[::1]/api/connector/v1/rates/getAll"),
        ("127.0.0.1", "", "127.0.0.1:8090", "https://127.0.0.1/api/connector/v1/rates/getAll"),
        ("api.mews-demo.com", "", "localhost:8080", "https://api.mews-demo.com/api/connector/v1/rates/getAll"),
    ] {
        let mut flow = newest();
        let request = flow.get("request");
        request.set("host", Value::Bytes(host.into()));
        request.set("authority", Value::Bytes(authority.into()));
        let pairs: &[(&str, &str)] = if named.is_empty() { &[] } else { &[("Host", named)] };
        request.set("headers", headers(pairs));
        assert_eq!(read(&flow.dump(false), Options::default()).0[0].request.url, url);
    }
}

/// What is skipped of a damaged file, and how many exchanges it gives; strictly, the first of these is the error.
fn damaged(file: &[u8]) -> (Vec<String>, usize) {
    let (exchanges, summary) = read(file, Options { lenient: true, ..Options::default() });
    assert_eq!(summary.skipped, summary.reasons.len() as u64);
    let first = summary.reasons.first().unwrap();
    let error = Reader::open(file, Options::default()).unwrap().find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::Entry { place, .. } if *place == first.place), "{error}");
    assert!(error.to_string().contains(&first.reason), "{error}");
    (summary.reasons.iter().map(|skipped| format!("{}: {}", skipped.place, skipped.reason)).collect(), exchanges.len())
}

#[test]
fn a_damaged_flow_is_named_and_the_rest_is_taken() {
    let one = newest().dump(false);
    let whole = [&one[..], &one, &one].concat();
    // The file ends early.
    let cut = &whole[..whole.len() - 100];
    assert_eq!(damaged(cut), (vec!["flow 3: the file ends within it, or its length is damaged".to_owned()], 2));
    // A length that is too long, too short, or none.
    let at = one.len();
    for (length, reason) in [
        ("99999", "the file ends within it, or its length is damaged"),
        ("9", "it is no dictionary, or its length is damaged"),
        ("x", "it doesn't begin with its length"),
        ("999999999999", "it is longer than 201326592 bytes, or its length is damaged"),
    ] {
        let colon = one.iter().position(|byte| *byte == b':').unwrap();
        let file = [&whole[..at], length.as_bytes(), &whole[at + colon..]].concat();
        assert_eq!(damaged(&file), (vec![format!("flow 2: {reason}")], 2), "{length}");
    }
    // Something within it.
    let mut bad = newest();
    bad.get("response").set("status_code", Int(99999));
    let file = [&one[..], &bad.dump(false), &one].concat();
    assert_eq!(damaged(&file), (vec!["flow 2: its response has no status".to_owned()], 2));
    let mut future = newest();
    future.set("type", Text("carrier-pigeon"));
    let (reasons, count) = damaged(&[&one[..], &future.dump(false)].concat());
    assert!(reasons[0].contains("newer version") && count == 1, "{reasons:?}");
    // Rubbish between flows.
    let (reasons, count) = damaged(&[&one[..], b"\0\0rubbish 12:", &one].concat());
    assert_eq!((reasons.len(), count, &*reasons[0]), (1, 2, "flow 2: it doesn't begin with its length"));
    assert_eq!(Place::Flow(2).to_string(), "flow 2");
}
