//! A token planted among arbitrary bytes.

#![no_main]

#[path = "../../tests/exchange/api/mod.rs"]
mod api;

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use libfuzzer_sys::fuzz_target;
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, ExchangeId, Failure, FailureKind, Head,
    Outcome, PseudonymKey, Redactor, SessionId, Timestamp,
};

use self::api::API;

const TOKEN: &str = "5F56B9903A834F199E28AD20015E58CA-5C6A1A00550634911534AD6A098E8B7";

fuzz_target!(|bytes: &[u8]| {
    let Some(([encoding, place, cut], filler)) = bytes.split_first_chunk::<3>() else { return };
    let (before, after) = filler.split_at(usize::from(*cut).min(filler.len()));
    let planted = plant(before, after, *encoding);
    let mut capture = capture();
    match place % 6 {
        0 => capture.request.body = CapturedBody::whole(planted),
        1 => capture.response = Some(response(planted)),
        2 => capture.request.target = planted,
        3 => capture.request.head = Head::Wire(planted),
        4 => capture.request.head = Head::Wire([b"POST / HTTP/1.1\r\nX: ", &planted[..], b"\r\n\r\n"].concat().into()),
        _ => {
            let message = String::from_utf8_lossy(&planted).into_owned();
            capture.error = Some(Failure { kind: FailureKind::Closed, message });
        }
    }
    let exchange = Redactor::new(&API, &[], PseudonymKey::ephemeral()).exchange(&mut capture, SessionId::from_parts(1, 1), "s", 1);
    let json = serde_json::to_vec(&exchange).expect("an exchange serializes");
    let bodies = exchange.bodies().map(|body| body.bytes.to_vec());
    for kept in bodies.chain([json]) {
        for form in [TOKEN.as_bytes().to_vec(), utf_16(TOKEN.as_bytes())] {
            assert!(!kept.windows(form.len()).any(|window| window == form), "{}", String::from_utf8_lossy(&kept));
        }
    }
});

/// The token between the bytes, with no digit next to it.
fn plant(before: &[u8], after: &[u8], encoding: u8) -> Bytes {
    let text = [before, b"\"", TOKEN.as_bytes(), b"\"", after].concat();
    match encoding % 4 {
        0 => text.into(),
        1 => utf_16(&text).into(),
        2 => gzip(&text).into(),
        _ => gzip(&utf_16(&text)).into(),
    }
}

fn utf_16(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("writing to memory can't fail");
    encoder.finish().expect("writing to memory can't fail")
}

fn response(body: Bytes) -> CapturedResponse {
    CapturedResponse {
        status: StatusCode::OK,
        version: Version::HTTP_11,
        head: Head::Wire(Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n")),
        body: CapturedBody::whole(body),
    }
}

fn capture() -> Capture {
    Capture {
        id: ExchangeId::from_parts(1, 2),
        session: None,
        environment: "demo".into(),
        received: Timestamp::from_micros(1_800_000_000_123_456),
        forwarded: None,
        response_head: None,
        response_end: None,
        peer: ([127, 0, 0, 1], 51_234).into(),
        envelope: CapturedEnvelope::default(),
        request: CapturedRequest {
            method: Method::POST,
            origin: Arc::from("https://api.mews-demo.com"),
            target: Bytes::from_static(b"/"),
            version: Version::HTTP_11,
            head: Head::Wire(Bytes::from_static(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")),
            body: CapturedBody::default(),
        },
        response: None,
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
