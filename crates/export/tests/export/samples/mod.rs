//! Exchanges for the tests.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use nightaudit_exchange::{
    AdmissionRecord, Authority, Body, Decision, Destination, Digest, Direction, Envelope, Exchange, ExchangeId,
    Failure, FailureKind, Header, Message, Omitted, Outcome, Pseudonym, Request, Response, SessionId, TimesUs,
    Timestamp, Tls, WebSocket, chain, testing::sample,
};

/// The exchanges as a log has them: numbered, chained, each with an id of its own.
pub(crate) fn chained(exchanges: Vec<Exchange>) -> Vec<Exchange> {
    let mut last = None;
    let mut chained = Vec::new();
    for (mut exchange, number) in exchanges.into_iter().zip(1..) {
        exchange.sequence = number;
        exchange.id = ExchangeId::from_parts(1_790_000_000_000 + number, 7);
        let previous = last.unwrap_or_else(|| chain::genesis(exchange.session));
        exchange.previous_hash = Some(previous);
        exchange.hash = Some(chain::hash(previous, &exchange));
        last = exchange.hash;
        chained.push(exchange);
    }
    chained
}

pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<Header> {
    fields.iter().map(|&(name, value)| Header { name: name.into(), value: value.into() }).collect()
}

pub(crate) fn exchange(sequence: u64) -> Exchange {
    let (access, client) = (Pseudonym::of(b"access"), Pseudonym::of(b"client"));
    let request = format!(r#"{{"ClientToken":"{client}","AccessToken":"{access}","Client":"Acme Kiosk 2.1.0"}}"#);
    let sample = sample();
    Exchange {
        id: ExchangeId::from_parts(1_790_000_000_000 + sequence, 7),
        session: SessionId::from_parts(1_790_000_000_000, 1),
        sequence,
        started_at: "2026-11-23T12:00:00.123456Z".parse::<Timestamp>().unwrap(),
        times_us: TimesUs { forwarded: Some(210), response_head: Some(84_312), response_end: Some(85_120) },
        envelope: Envelope {
            client: Some("Acme Kiosk 2.1.0".to_owned()),
            client_token: Some(client),
            access_token: Some(access),
            paginated: false,
        },
        request: Request {
            method: "POST".into(),
            url: "https://api.mews-demo.com/api/connector/v1/configuration/get?a=1&b=%C3%A9+x".to_owned(),
            http_version: "HTTP/1.1".into(),
            headers: fields(&[
                ("Host", "127.0.0.1:8080"),
                ("Content-Type", "application/json"),
                ("Accept-Encoding", "gzip"),
                ("X-Empty", ""),
            ]),
            body: Body::whole(request.into()),
        },
        response: Some(Response {
            status: 200,
            http_version: "HTTP/2".into(),
            reason: None,
            headers: fields(&[("Content-Type", "application/json; charset=utf-8"), ("Request-Id", "00-abc-01")]),
            request_id: Some("00-abc-01".to_owned()),
            body: Body::whole("{\"NowUtc\":\"2026-11-23T12:00:00Z\"}".into()),
        }),
        limit: sample.limit.clone().map(|limit| AdmissionRecord { used: 12, ..limit }),
        destination: Some(demo()),
        previous_hash: Some(Digest([1; 32])),
        hash: Some(Digest([2; 32])),
        ..sample
    }
}

/// `{"Name":"Café"}`, twenty times: as it is here, so that no other version of an encoder changes the golden files.
const NAMES_IN_GZIP: &str = "H4sIAAAAAAAA/+3HMRUAAAQE0C4Xw2rXwcAmgSeQHIrJYDf+hGgYCKw+jcr3yQvqT9ODQAEAAA==";

/// An answer in gzip, a refusal after a wait, a failure that the proxy answered, a request nobody answered.
pub(crate) fn session() -> Vec<Exchange> {
    let mut coded = exchange(1);
    let gzip = BASE64_STANDARD.decode(NAMES_IN_GZIP).unwrap();
    let response = coded.response.as_mut().unwrap();
    response.body = Body { content_encoding: Some("gzip".to_owned()), ..Body::whole(gzip.into()) };
    response.headers.extend(fields(&[
        ("Content-Encoding", "gzip"),
        ("Set-Cookie", "a=b; Path=/; Expires=Mon, 23 Nov 2026 13:00:00 GMT; HttpOnly; Secure"),
    ]));
    coded.request.headers.extend(fields(&[("Cookie", "x=1; y=\"2\"; broken")]));

    let mut delayed = exchange(2);
    delayed.times_us.forwarded = Some(1_500_300);
    delayed.times_us.response_head = Some(1_600_300);
    delayed.times_us.response_end = Some(1_600_400);
    let limit = delayed.limit.as_mut().unwrap();
    (limit.decision, limit.waited_ms) = (Decision::Delayed, 1_500);
    delayed.response.as_mut().unwrap().body = Body::whole(Bytes::from_static(b"\x89PNG\r\n\x1a\n\0"));

    let mut failed = exchange(3);
    failed.outcome = Outcome::Failed;
    failed.error = Some(Failure { kind: FailureKind::Connect, message: "connection refused".to_owned() });
    let response = failed.response.as_mut().unwrap();
    response.status = 502;
    response.request_id = None;
    response.headers = fields(&[("Content-Type", "application/json"), ("X-Nightaudit-Error", "connect")]);
    response.body = Body::whole("{\"Message\":\"Mews can't be reached\"}".into());

    let mut interrupted = exchange(4);
    interrupted.outcome = Outcome::Interrupted;
    interrupted.error = Some(Failure { kind: FailureKind::Interrupted, message: "the proxy was stopped".to_owned() });
    interrupted.response = None;
    interrupted.request.body.truncated = true;
    interrupted.times_us = TimesUs { forwarded: Some(100), response_head: None, response_end: None };
    vec![coded, delayed, failed, interrupted]
}

/// Everything that breaks out of something, in every place that the network fills.
pub(crate) fn hostile() -> Exchange {
    const EVIL: &str = "=1+1</script><!--\u{202e}\u{2028}\r\n$(touch /tmp/x)`id`';\"\\\0,\u{feff}#";
    let mut exchange = exchange(9);
    EVIL.clone_into(&mut exchange.operation);
    exchange.request.method = format!("@{EVIL}").into();
    exchange.request.url = format!("file:///etc/passwd?{EVIL}=%zz&%ff");
    exchange.request.headers = fields(&[(EVIL, EVIL), ("X-Evil", EVIL), ("@/etc/passwd", ""), ("-o", "x")]);
    exchange.request.headers.extend(vec![Header { name: "Cookie".into(), value: EVIL.into() }; 2_000]);
    exchange.request.body = Body::whole(format!("@/etc/passwd{EVIL}").into());
    exchange.envelope.client = Some(EVIL.to_owned());
    let response = exchange.response.as_mut().unwrap();
    response.status = 999;
    response.request_id = Some(EVIL.to_owned());
    response.headers = fields(&[("Location", EVIL), ("Set-Cookie", EVIL), ("Content-Type", EVIL)]);
    response.body = Body::whole(Bytes::from_static(b"\xff\xfe\0</script>"));
    exchange.error = Some(Failure { kind: FailureKind::Closed, message: EVIL.to_owned() });
    exchange.times_us = TimesUs { forwarded: Some(u64::MAX), response_head: Some(1), response_end: Some(0) };
    exchange.limit.as_mut().unwrap().waited_ms = u64::MAX;
    exchange
}

/// A part of what was said over a WebSocket.
pub(crate) fn said() -> Exchange {
    let message = |direction, opcode, bytes: &'static [u8]| Message {
        time: Timestamp::from_micros(1_790_000_000_250_000),
        direction,
        opcode,
        body: Body::whole(Bytes::from_static(bytes)),
    };
    let mut part = exchange(5);
    part.request.body = Body::empty();
    part.response = None;
    part.web_socket = Some(WebSocket {
        handshake: ExchangeId::from_parts(1_790_000_000_001, 7),
        part: 1,
        messages: vec![
            message(Direction::Send, 1, b"{\"a\":1}"),
            message(Direction::Receive, 2, b"\xff\0"),
            message(Direction::Receive, 8, b""),
        ],
        omitted: Omitted { messages: 1, bytes: 2 },
        unreadable_bytes: 3,
        ended: true,
    });
    part
}

/// Mews Demo, over TLS that a public authority vouches for.
pub(crate) fn demo() -> Destination {
    Destination {
        address: "https://api.mews-demo.com".into(),
        remote: None,
        tls: Some(Tls { server_name: "api.mews-demo.com".into(), authority: Authority::Public }),
        proxy: None,
    }
}
