//! No secret gets through, in any wrapping, and nothing else is changed.

use std::{io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, Digest, Exchange, Failure, FailureKind,
    Head, Outcome, Pseudonym, PseudonymKey, Redactor, SessionId, Withheld, chain,
};
use proptest::prelude::*;

use crate::{api::API, captures};

const ACCESS: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
const CLIENT: &str = "E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D";

const KEY: PseudonymKey = PseudonymKey([7; 32]);

fn capture(request: &[u8], response: &[u8]) -> Capture {
    Capture {
        forwarded: Some(Duration::from_micros(210)),
        response_head: Some(Duration::from_micros(84_312)),
        response_end: Some(Duration::from_micros(85_120)),
        envelope: CapturedEnvelope {
            access_token: Some(ACCESS.into()),
            client_token: Some(CLIENT.into()),
            client: Some("Acme Kiosk 2.1.0".into()),
            paginated: false,
        },
        request: CapturedRequest {
            method: Method::POST,
            origin: Arc::from("https://api.mews-demo.com"),
            target: Bytes::from_static(b"/api/connector/v1/configuration/get"),
            version: Version::HTTP_11,
            head: head("POST /api/connector/v1/configuration/get HTTP/1.1", &[("Content-Type", "application/json")]),
            body: CapturedBody::whole(Bytes::copy_from_slice(request)),
        },
        response: Some(CapturedResponse {
            status: StatusCode::OK,
            version: Version::HTTP_2,
            head: head("HTTP/1.1 200 OK", &[("Request-Id", "00-abc-01"), ("content-type", "application/json")]),
            body: CapturedBody::whole(Bytes::copy_from_slice(response)),
        }),
        ..captures::capture()
    }
}

fn head(start: &str, fields: &[(&str, &str)]) -> Head {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    Head::Wire(format!("{start}\r\n{fields}\r\n").into())
}

fn exchange(mut capture: Capture) -> Exchange {
    Redactor::new(&API, &["Note".to_owned()], KEY).exchange(
        &mut capture,
        SessionId::from_parts(1, 1),
        "certification",
        42,
    )
}

fn request_text(request: &str) -> String {
    text(&exchange(capture(request.as_bytes(), b"")).request.body.bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn pseudonym(secret: &str) -> String {
    Pseudonym::of(secret.as_bytes()).to_string()
}

fn keyed(value: &str) -> String {
    KEY.pseudonym(value.as_bytes()).to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlibbed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    zlibbed(bytes)[2..].to_vec()
}

#[test]
fn an_ordinary_exchange_becomes_what_the_design_shows() {
    let request = format!(r#"{{"ClientToken":"{CLIENT}","AccessToken":"{ACCESS}","Client":"Acme Kiosk 2.1.0"}}"#);
    let mut recorded = exchange(capture(request.as_bytes(), br#"{"Enterprise":{"Name":"Caf\u00e9"}}"#));
    let previous = chain::genesis(recorded.session);
    recorded.hash = Some(chain::hash(previous, &recorded));
    recorded.previous_hash = Some(previous);
    insta::assert_json_snapshot!(recorded);
}

#[test]
fn a_body_without_a_secret_is_the_same_handle_and_is_hashed_once() {
    let body = Bytes::from_static(br#"{"Enterprise":{"Id":"x"}}"#);
    let mut capture = capture(b"{}", b"");
    capture.response.as_mut().unwrap().body = CapturedBody::whole(body.clone());
    let recorded = exchange(capture).response.unwrap().body;
    assert_eq!(recorded.bytes.as_ptr(), body.as_ptr());
    assert_eq!((recorded.stored_sha256, recorded.truncated), (None, false));
    assert_eq!(recorded.sha256, Digest::of(&body));
}

#[test]
fn tokens_are_found_by_name_in_any_context() {
    let other = "another-token";
    let hidden = pseudonym(other);
    for (given, recorded) in [
        (r#"{"a":{"accesstoken":"@"}}"#, r#"{"a":{"accesstoken":"~"}}"#),
        (r#"{"Access\u0054oken" : "@"}"#, r#"{"Access\u0054oken" : "~"}"#),
        (r#"{"x":"{\"AccessToken\":\"@\"}"}"#, r#"{"x":"{\"AccessToken\":\"~\"}"}"#),
        (r#"{"a": "x" y, "ClientToken":"@"#, r#"{"a": "x" y, "ClientToken":"~"#),
    ] {
        assert_eq!(request_text(&given.replace('@', other)), recorded.replace('~', &hidden), "{given}");
    }
}

#[test]
fn an_escaped_quote_does_not_end_a_value() {
    let given = r#"{"AccessToken":"ab\"cdefghijkl","Access\u0054oken":"mn\"opqrstuvwx"}"#;
    let recorded = request_text(given);
    let [first, second] = [r#"ab"cdefghijkl"#, r#"mn"opqrstuvwx"#].map(pseudonym);
    assert_eq!(recorded, format!(r#"{{"AccessToken":"{first}","Access\u0054oken":"{second}"}}"#));
}

#[test]
fn configured_fields_are_replaced_whatever_their_type_and_json_stays_json() {
    let given = r#"{"note":{"a":["}",1]},"x":[{"NOTE":-1.5e3},{"Note":null},{"Note":true},{"Note":"\u0041"}]}"#;
    let [object, number, yes, letter] = [r#"{"a":["}",1]}"#, "-1.5e3", "true", "A"].map(keyed);
    let recorded = format!(
        r#"{{"note":"{object}","x":[{{"NOTE":"{number}"}},{{"Note":null}},{{"Note":"{yes}"}},{{"Note":"{letter}"}}]}}"#
    );
    assert_eq!(request_text(given), recorded);
    let nested = r#"{"x":"{\"Note\":[1]}"}"#;
    assert_eq!(request_text(nested), format!(r#"{{"x":"{{\"Note\":\"{}\"}}"}}"#, keyed("[1]")));
}

#[test]
fn an_object_instead_of_a_token_is_not_replaced_elsewhere() {
    let hidden = pseudonym(r#"{"b":"12345678"}"#);
    assert_eq!(
        request_text(r#"{"a":{"b":"12345678"},"AccessToken":{"b":"12345678"}}"#),
        format!(r#"{{"a":{{"b":"12345678"}},"AccessToken":"{hidden}"}}"#)
    );
}

#[test]
fn a_secret_that_starts_or_ends_within_an_escape_includes_it() {
    for (secret, given, recorded) in [
        ("n1234567890123456", r#"["\n1234567890123456"]"#, r#"["~"]"#),
        ("e9-abcdef-1234567", r#"["x\u00e9-abcdef-1234567"]"#, r#"["x~"]"#),
        (r"abcdefgh12345678\", r#"["abcdefgh12345678\"x"]"#, r#"["~x"]"#),
    ] {
        let mut capture = capture(given.as_bytes(), b"");
        capture.envelope.access_token = Some(secret.into());
        let recorded = recorded.replace('~', &pseudonym(secret));
        assert_eq!(text(&exchange(capture).request.body.bytes), recorded);
    }
}

#[test]
fn a_secret_that_is_a_number_becomes_a_string() {
    let mut capture = capture(br#"{"a":[11234567890123456,"1234567890123456, x"]}"#, b"");
    capture.envelope.access_token = Some("1234567890123456".into());
    let hidden = pseudonym("1234567890123456");
    assert_eq!(text(&exchange(capture).request.body.bytes), format!(r#"{{"a":["{hidden}","{hidden}, x"]}}"#));
}

#[test]
fn a_token_known_from_one_exchange_is_found_in_the_next() {
    let mut redactor = Redactor::new(&API, &[], PseudonymKey::ephemeral());
    let session = SessionId::from_parts(1, 1);
    drop(redactor.exchange(&mut capture(br#"{"AccessToken":"seen-by-name-once"}"#, b""), session, "s", 1));
    let mut later = capture(b"{}", format!("{{\"echo\":\"{ACCESS} seen-by-name-once\"}}").as_bytes());
    later.envelope = CapturedEnvelope::default();
    let body = redactor.exchange(&mut later, session, "s", 2).response.unwrap().body;
    assert_eq!(text(&body.bytes), format!("{{\"echo\":\"{} {}\"}}", pseudonym(ACCESS), pseudonym("seen-by-name-once")));
}

#[test]
fn headers_cookies_and_addresses_hide_tokens_by_name_and_by_value() {
    let mut capture = capture(b"", b"");
    capture.request.target =
        format!("/api/connector/v1/x/y?a=1&accesstoken=in%2Dquery-number-1&z={}#f", ACCESS.replace('C', "%43")).into();
    capture.request.head = head(
        "GET / HTTP/1.1",
        &[
            ("Cookie", "a=b; ClientToken=cookie-one&more-7; AccessToken=\"cookie-two\"; c=d"),
            ("authorization", "Bearer very-secret-credentials"),
            ("Proxy-Authorization", "bare-credentials"),
            ("Referer", "https://x/?AccessToken=from-referer&b=1"),
            ("X-Echo", "in-query-number-1 very-secret-credentials cookie-one&more-7"),
            (CLIENT, "name"),
            ("X-Nightaudit-Session", "suite-1"),
        ],
    );
    capture.response.as_mut().unwrap().head =
        head("HTTP/1.1 200 OK", &[("Set-Cookie", "AccessToken=set-by-mews; Path=/"), ("Request-Id", ACCESS)]);
    capture.envelope.client = Some(format!("Kiosk {ACCESS}").into());
    capture.error = Some(Failure { kind: FailureKind::Closed, message: format!("closed: {CLIENT}") });
    let recorded = exchange(capture);
    assert_eq!(recorded.operation, "x/y");
    insta::assert_json_snapshot!((
        &recorded.request.url,
        recorded.request.headers.iter().map(|field| (&field.name, &field.value)).collect::<Vec<_>>(),
        recorded.response.as_ref().unwrap().headers.iter().map(|field| &field.value).collect::<Vec<_>>(),
        recorded.request_id(),
        &recorded.envelope.client,
        &recorded.error,
    ));
}

#[test]
fn an_encoded_body_is_kept_unless_it_contains_a_secret() {
    let clean = gzip(b"{\"Name\":\"Prague\"}");
    let dirty = gzip(format!("{{\"Echo\":\"{ACCESS}\"}}").as_bytes());
    let respond = |body: &[u8]| {
        let mut capture = capture(b"{}", body);
        capture.response.as_mut().unwrap().head = head("HTTP/1.1 200 OK", &[("Content-Encoding", "GZIP")]);
        exchange(capture).response.unwrap().body
    };
    let body = respond(&clean);
    assert_eq!((&body.bytes[..], body.content_encoding.as_deref()), (&clean[..], Some("gzip")));
    assert_eq!(body.stored_sha256, None);

    let body = respond(&dirty);
    assert_eq!(text(&body.bytes), format!("{{\"Echo\":\"{}\"}}", pseudonym(ACCESS)));
    assert_eq!((body.content_encoding, body.truncated), (None, false));
    assert_eq!((body.sha256, body.length), (Digest::of(&dirty), dirty.len() as u64));
    assert_eq!(body.stored_sha256, Some(Digest::of(&body.bytes)));

    let cut = respond(&dirty[..dirty.len() - 4]);
    assert!(cut.truncated && !text(&cut.bytes).contains(ACCESS));
}

#[test]
fn a_request_that_cannot_be_decoded_is_withheld() {
    for coding in ["gzip", "sdch", "gzip, gzip, gzip, gzip, gzip"] {
        let mut capture = capture(b"no gzip at all", b"");
        capture.request.head = head("POST / HTTP/1.1", &[("Content-Encoding", coding)]);
        let body = exchange(capture).request.body;
        assert_eq!((&body.bytes[..], body.truncated, body.length), (&b""[..], true, 14), "{coding}");
        assert_eq!(body.sha256, Digest::of(b"no gzip at all"));
    }
}

#[test]
fn regression_an_undecodable_response_that_broke_off_or_was_too_long_was_kept_as_received() {
    let noise: String = (0..400u32).map(|number| format!("{:x}", number.wrapping_mul(0x9e37_79b9))).collect();
    let inner = format!(r#"{{"ConnectionToken":"kQ7own-secret.Token_4242","pad":"{noise}"}}"#).into_bytes();
    let (once, bare) = (gzip(&inner), deflated(&inner));
    let twice = gzip(&once);
    for (coding, wire) in [
        ("br", &once[..]),
        ("deflate", &once),
        ("zstd", &once),
        ("gzip, br", &once),
        ("gzip, gzip, gzip, gzip, gzip", &once),
        ("aes", &once),
        ("identity, foo", &once),
        ("gzip", &[&b"\0"[..], &once].concat()),
        ("br", &bare),
        ("x-webkit-deflate-frame", &bare),
        ("gzip", &twice[..twice.len() - 30]),
        ("gzip, gzip", &twice[..twice.len() - 30]),
        ("gzip", &once[..once.len() - 30]),
        ("", &once[..once.len() - 30]),
        ("", &zlibbed(&inner)[..900]),
        ("gzip", &[&gzip(b"{}")[..], &bare].concat()),
    ] {
        for (more, outcome) in [(0, Outcome::Failed), (5000, Outcome::Answered), (5000, Outcome::Failed)] {
            let mut capture = capture(b"{}", wire);
            capture.outcome = outcome;
            let response = capture.response.as_mut().unwrap();
            response.head = head("HTTP/1.1 200 OK", &[("Content-Encoding", coding)]);
            response.body.length += more;
            response.body.sha256 = Some(Digest([7; 32]));
            let kept = exchange(capture).response.unwrap().body;
            assert!(kept.truncated, "{coding}: {more} {outcome:?}");
            // Whatever is kept was searched: it says so by the pseudonym in it.
            let shown = text(&kept.bytes);
            assert!(
                kept.bytes.is_empty() || shown.contains("REDACTED:") || shown == "{}",
                "{coding}: {more} {shown:?}"
            );
        }
    }
}

#[test]
fn a_compressed_response_that_broke_off_stays_as_received() {
    let inner = format!("[{}]", (0..3000).map(|number| format!("{{\"Id\":{number}}},")).collect::<String>());
    let wire = &gzip(inner.as_bytes())[..2000];
    let mut capture = capture(b"{}", wire);
    capture.outcome = Outcome::Failed;
    capture.response.as_mut().unwrap().head = head("HTTP/1.1 200 OK", &[("Content-Encoding", "gzip")]);
    let kept = exchange(capture).response.unwrap().body;
    assert_eq!((&kept.bytes[..], kept.withheld, kept.content_encoding.as_deref()), (wire, None, Some("gzip")));
}

#[test]
fn a_partial_token_at_a_truncated_end_is_removed() {
    let beginning = &ACCESS[..20];
    let cut = |body: String| {
        let mut capture = capture(b"", b"");
        capture.request.body = CapturedBody {
            length: body.len() as u64 + 100,
            sha256: Some(Digest([7; 32])),
            kept: vec![body.into()].into(),
            ..CapturedBody::default()
        };
        exchange(capture).request.body
    };
    let body = cut(format!("{{\"AccessToken\":\"{beginning}"));
    assert_eq!(text(&body.bytes), format!("{{\"AccessToken\":\"{}", pseudonym(ACCESS)));
    assert_eq!((body.sha256, body.truncated), (Digest([7; 32]), true));
    assert_eq!(text(&cut(format!("{{\"Echo\":\"{beginning}")).bytes), "{\"Echo\":\"");
    assert_eq!(text(&cut(format!("{{\"Echo\":\"\\u0043{}\\u00", &beginning[1..])).bytes), "{\"Echo\":\"");
}

#[test]
fn regression_a_small_body_that_unfolds_was_searched_in_full() {
    let bomb = |length: usize| {
        let start = format!("{{\"AccessToken\":\"kQ7own-secret.Token_4242\",\"x\":\"{}", "a".repeat(2 << 20));
        gzip(&[start.as_bytes(), &vec![b'k'; length]].concat())
    };
    for coding in ["gzip", ""] {
        for (length, withheld) in [(1 << 20, None), (8 << 20, Some(Withheld::TooComplex))] {
            let mut capture = capture(b"{}", &bomb(length));
            capture.request.body = CapturedBody::whole(bomb(length).into());
            capture.request.head = head("POST / HTTP/1.1", &[("Content-Encoding", coding)]);
            let quoted = &[("Content-Encoding", coding), ("X-Echo", "of kQ7own-secret.Token_4242")];
            capture.response.as_mut().unwrap().head = head("HTTP/1.1 200 OK", quoted);
            let recorded = exchange(capture);
            let response = recorded.response.unwrap();
            assert_eq!((recorded.request.body.withheld, response.body.withheld), (withheld, withheld), "{coding}");
            assert_eq!(response.headers[1].value, format!("of {}", pseudonym("kQ7own-secret.Token_4242")));
        }
    }
}

#[test]
fn the_end_of_a_truncated_body_is_searched_for_the_beginning_of_a_token_whatever_the_outcome() {
    for outcome in [Outcome::Answered, Outcome::Refused, Outcome::Faulted, Outcome::Failed, Outcome::Aborted] {
        for (token, length) in [(ACCESS, 20), ("Zk3+own-secret-0042-abcdef", 11)] {
            let cut = || CapturedBody {
                length: 1000,
                sha256: Some(Digest([7; 32])),
                ..CapturedBody::whole(format!("{{\"Echo\":\"{}", &token[..length]).into())
            };
            let mut capture = capture(b"", b"");
            capture.outcome = outcome;
            capture.envelope.access_token = Some(token.into());
            capture.request.body = cut();
            capture.response.as_mut().unwrap().body = cut();
            let recorded = exchange(capture);
            for body in [recorded.request.body, recorded.response.unwrap().body] {
                assert_eq!((text(&body.bytes).as_str(), body.truncated), ("{\"Echo\":\"", true), "{outcome:?}");
            }
        }
    }
}

#[test]
fn the_request_id_of_an_error_is_read_from_its_body() {
    let mut failed = capture(b"{}", br#"{"Message":"no","RequestId":"00-a\/b-01"}"#);
    let response = failed.response.as_mut().unwrap();
    response.head = head("HTTP/1.1 400 Bad Request", &[]);
    response.status = StatusCode::BAD_REQUEST;
    assert_eq!(exchange(failed).request_id(), Some("00-a/b-01"));
    let mut fine = capture(b"{}", br#"{"RequestId":"x"}"#);
    fine.response.as_mut().unwrap().head = head("HTTP/1.1 200 OK", &[]);
    assert_eq!(exchange(fine).request_id(), None);
}

#[test]
fn an_operation_is_the_path_after_the_prefix() {
    for (target, operation, url) in [
        (
            "/api/connector/v1/a/b/2023-06-06?x=/",
            "a/b/2023-06-06",
            "https://api.mews-demo.com/api/connector/v1/a/b/2023-06-06?x=/",
        ),
        ("/api/connector/v1/", "/api/connector/v1/", "https://api.mews-demo.com/api/connector/v1/"),
        ("/ws/connector", "/ws/connector", "https://api.mews-demo.com/ws/connector"),
        ("http://other.example/api/connector/v1/a/b", "a/b", "http://other.example/api/connector/v1/a/b"),
        ("*", "*", "*"),
    ] {
        let mut capture = capture(b"", b"");
        capture.request.target = Bytes::copy_from_slice(target.as_bytes());
        let recorded = exchange(capture);
        assert_eq!((recorded.operation.as_str(), recorded.request.url.as_str()), (operation, url));
    }
}

#[test]
fn hostile_bodies_take_no_quadratic_time() {
    // Each of these would take hours if every name were followed to the end of the text.
    for piece in [
        "\"Note\":[",
        "\"Note\":{\\\"Note\\\":[",
        "AccessToken=",
        "\"AccessToken\":\"\\",
        "\\u0022Note\\u0022:[",
        "11111111",
    ] {
        let mut capture = capture(piece.repeat(100_000).as_bytes(), b"");
        capture.envelope.access_token = Some("11111111".into());
        capture.request.head = head("POST / HTTP/1.1", &[("Content-Type", "application/x-www-form-urlencoded")]);
        drop(exchange(capture));
        let json = format!("[{}", piece.repeat(100_000));
        drop(exchange(self::capture(json.as_bytes(), b"")));
    }
}

/// A secret as hostile as a header or JSON allows.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[A-F0-9]{16}-[A-F0-9]{16}", "[a-z\"\\\\/%é]{16,24}7z", "s1[ -~]{14,30}e"]
        .prop_filter("is not part of a pseudonym", |secret| !"REDACTED:0123456789".contains(secret.as_str()))
}

/// The secret as JSON may write it, with any of its characters escaped.
fn escaped(secret: &str, choices: &[u8]) -> String {
    let mut units = [0; 2];
    secret
        .chars()
        .zip(choices.iter().cycle())
        .map(|(character, choice)| match (choice % 4, character) {
            (0, '/') => "\\/".to_owned(),
            (0 | 1, _) => character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            (_, '"' | '\\') => format!("\\{character}"),
            _ => character.to_string(),
        })
        .collect()
}

fn chunks(body: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| Bytes::copy_from_slice(&body[pair[0]..pair[1]])).collect()
}

#[test]
fn regression_an_undecodable_body_was_dropped() {
    let body = br#"{"AccessToken":"SECRET-TOKEN-1","Name":"caf\u00e9"}"#;
    for coding in ["utf-8", "gzip", "br", "zstd", "deflate", "aes128gcm", "gzip, utf-8"] {
        let mut capture = capture(body, body);
        capture.request.head = head("POST / HTTP/1.1", &[("Content-Encoding", coding)]);
        capture.response.as_mut().unwrap().head = head("HTTP/1.1 200 OK", &[("Content-Encoding", coding)]);
        let recorded = exchange(capture);
        for body in [&recorded.request.body, &recorded.response.as_ref().unwrap().body] {
            let shown = text(&body.decoded().0);
            assert!(shown.starts_with(r#"{"AccessToken":"REDACTED:"#) && shown.contains("caf"), "{coding}: {shown}");
            assert_eq!((body.content_encoding.as_deref(), body.truncated), (Some(coding), false));
        }
        let json = serde_json::to_value(&recorded).unwrap();
        assert_eq!((&json["request"]["undecoded"], &json["response"]["undecoded"]), (&true.into(), &true.into()));
        assert!(!json.to_string().contains("SECRET"), "{json}");
    }
    // A request that may be encoded, hiding a secret, is still not kept.
    let mut coded = capture(b"\xff\xfeSECRET-TOKEN-1", b"");
    coded.request.head = head("POST / HTTP/1.1", &[("Content-Encoding", "aes128gcm")]);
    let body = exchange(coded).request.body;
    assert_eq!((body.bytes.len(), body.truncated, body.length), (0, true, 16));
}

proptest! {
    #[test]
    fn no_secret_gets_through(
        access in secret(), client in secret(), choices: [u8; 7], filler in "[a-z0-9\\\\\"{}: ,é]{0,40}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4), end: prop::sample::Index, cut: bool, coded: bool,
    ) {
        let (a, c) = (escaped(&access, &choices), escaped(&client, &choices));
        let mut body = format!(
            r#"{{"x":"{c}","{filler}","n":"{a} {}","AccessToken":"{a}","ClientToken":"{c}","raw":"{access}"}}"#,
            escaped(&format!("{{\"AccessToken\":\"{a}\"}}"), &choices[1..]),
        ).into_bytes();
        if cut {
            body.truncate(end.index(body.len() + 1));
        }
        let mut capture = capture(b"", b"");
        capture.envelope.access_token = Some(access.as_str().into());
        capture.envelope.client_token = Some(client.as_str().into());
        capture.request.body =
            CapturedBody { kept: chunks(&body, &cuts).into(), length: body.len() as u64 + u64::from(cut), ..CapturedBody::default() };
        let response = capture.response.as_mut().unwrap();
        let wire = if coded { gzip(&body) } else { body.clone() };
        response.body = CapturedBody { kept: chunks(&wire, &cuts).into(), length: wire.len() as u64, ..CapturedBody::default() };
        if coded {
            response.head = head("HTTP/1.1 200 OK", &[("Content-Encoding", "gzip")]);
        }
        let recorded = exchange(capture);
        for body in [&recorded.request.body, &recorded.response.as_ref().unwrap().body] {
            let decoded = String::from_utf8_lossy(&body.decoded().0).into_owned();
            let mut read = decoded.clone();
            for _ in 0..3 {
                for secret in [&access, &client] {
                    prop_assert!(!read.contains(secret.as_str()), "{secret} in {decoded}");
                }
                read = unescaped(&read);
            }
        }
        let json = serde_json::to_string(&recorded).unwrap();
        prop_assert!(!json.contains(&access) && !json.contains(&client), "{json}");
    }

    #[test]
    fn redaction_is_idempotent(access in "[A-F0-9]{16,40}", filler in "[a-z\\\\\"{}:,]{0,60}") {
        let body = format!(r#"{{"AccessToken":"{access}","Note":[1,{{"a":"b"}}],"x":"{filler}","y":"{access}"}}"#);
        let once = text(&exchange(capture(body.as_bytes(), b"")).request.body.bytes);
        prop_assert_eq!(request_text(&once), once);
    }

    #[test]
    fn valid_json_stays_valid(value in json(), tokens in prop::collection::vec("[A-F0-9]{16,20}|[0-9]{16}", 2)) {
        let body = serde_json::to_string(&value).unwrap().replace("@@", &tokens[0]).replace("0.5", &tokens[1]);
        let mut capture = capture(body.as_bytes(), b"");
        capture.envelope.access_token = Some(tokens[0].as_str().into());
        capture.envelope.client_token = Some(tokens[1].as_str().into());
        let recorded = text(&exchange(capture).request.body.bytes);
        if serde_json::from_str::<serde_json::Value>(&body).is_ok() {
            let read = serde_json::from_str::<serde_json::Value>(&recorded);
            prop_assert!(read.is_ok(), "{body} became {recorded}");
        }
    }

    #[test]
    fn a_body_without_secrets_is_untouched(body in prop::collection::vec(any::<u8>(), 0..300), coded: bool) {
        let body = if coded { gzip(&body) } else { body };
        let mut capture = capture(b"", &body);
        if coded {
            capture.response.as_mut().unwrap().head = head("HTTP/1.1 200 OK", &[("Content-Encoding", "gzip")]);
        }
        let recorded = exchange(capture).response.unwrap().body;
        prop_assert_eq!(&recorded.bytes[..], &body[..]);
        prop_assert_eq!(recorded.stored_sha256, None);
    }

    #[test]
    fn any_input_is_recorded_and_round_trips_through_json(
        head in prop::collection::vec(any::<u8>(), 0..200), target in prop::collection::vec(any::<u8>(), 0..60),
        body in prop::collection::vec(any::<u8>(), 0..200), more in 0u64..3, coding in "gzip|br|zstd|deflate|x|",
    ) {
        let mut capture = capture(&body, &body);
        capture.request.target = target.into();
        capture.request.head = Head::Wire(head.into());
        capture.request.body.length += more;
        capture.response.as_mut().unwrap().head = self::head("HTTP/1.1 200 OK", &[("Content-Encoding", &coding)]);
        let recorded = exchange(capture);
        let read: Exchange = serde_json::from_str(&serde_json::to_string(&recorded).unwrap()).unwrap();
        let genesis = chain::genesis(recorded.session);
        prop_assert_eq!(chain::hash(genesis, &read), chain::hash(genesis, &recorded));
        prop_assert_eq!(read, recorded);
    }
}

/// The text with its JSON escapes decoded, by serde_json where possible.
fn unescaped(text: &str) -> String {
    let mut read = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        read.push_str(&rest[..at]);
        let escape = &rest[at..];
        let end = if escape[1..].starts_with('u') { 6 } else { 2 };
        let parsed = escape.get(..end).and_then(|escape| serde_json::from_str::<String>(&format!("\"{escape}\"")).ok());
        match parsed {
            Some(meaning) => {
                read.push_str(&meaning);
                rest = &escape[end..];
            }
            None => {
                read.push('\\');
                rest = &escape[1..];
            }
        }
    }
    read + rest
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::json!("@@")),
        Just(serde_json::json!(0.5)),
        Just(serde_json::json!(null)),
        any::<i32>().prop_map(|number| serde_json::json!(number)),
        "[a@\"\\\\é]{0,6}".prop_map(|text| serde_json::json!(text)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::hash_map("AccessToken|note|@@|[a-z\"]{1,3}", inner.clone(), 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            inner.prop_map(|value| serde_json::Value::String(value.to_string())),
        ]
    })
}
