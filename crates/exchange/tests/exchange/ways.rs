//! Every known way for a token to appear in a message, in every encoding of a body and every position in a message: no
//! recorded data contains it. Each way is tried with a token in Mews' form and with one in no particular form, which
//! nothing else in the exchange reveals.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use nightaudit_exchange::{
    Body, Capture, CapturedBody, CapturedMessage, CapturedWebSocket, Direction, Exchange, ExchangeId, Failure,
    FailureKind, Header, Omitted, Outcome, PseudonymKey, Redactor, SessionId, Timestamp, Withheld,
};
use proptest::prelude::*;

use crate::{
    api::API,
    captures::{capture, head},
};

const MEWS: &str = "5F56B9903A834F199E28AD20015E58CA-5C6A1A00550634911534AD6A098E8B7";
const OWN: &str = "kQ7own-secret.Token_42";

/// Name and value (`@`) in every notation. `^` stands for the name; each way is tried with several.
const NOTATIONS: [(&str, &str); 50] = [
    ("JSON", r#"{"Client":"Kiosk 1.0","^":"@","Extent":{"Items":true}}"#),
    ("JSON with spaces", "{\r\n  \"^\" :\t\"@\"\r\n}"),
    ("JSON below the top", r#"{"a":[{"b":{"^":"@"}}]}"#),
    ("JSON in JSON", r#"{"a":"{\"^\":\"@\"}"}"#),
    ("JSON in JSON in JSON", r#"{"a":"{\"b\":\"{\\\"^\\\":\\\"@\\\"}\"}"}"#),
    ("JSON four deep", r#"{"a":"{\"b\":\"{\\\"c\\\":\\\"{\\\\\\\"^\\\\\\\":\\\\\\\"@\\\\\\\"}\\\"}\"}"}"#),
    ("JSON with escapes", r#"{"a":"{\u0022^\u0022:\u0022@\u0022}"}"#),
    ("truncated JSON", r#"{"Client":"x","^":"@"#),
    ("JSON after garbage", r#"}}garbage "x" {"^":"@"}"#),
    ("JSON with a list", r#"{"^":["@"]}"#),
    ("JSON lines", "{\"a\":1}\n{\"^\":\"@\"}\n"),
    ("a Python dictionary", "{'Client': 'Kiosk', '^': '@', 'Extent': None}"),
    ("Python bytes", "{'^': b'@'}"),
    ("a dictionary in JSON", r#"{"error":"could not send {'^': '@'}"}"#),
    ("Python tuples", "[('Client', 'Kiosk'), ('^', '@')]"),
    ("a JavaScript object", "{Client:\"Kiosk\",^:\"@\"}"),
    ("a JavaScript object in single quotes", "{ ^: '@' }"),
    ("a JavaScript object in backticks", "{^:`@`}"),
    ("an object without quotes", "{Client: Kiosk, ^: @}"),
    ("a Ruby hash", "{:^=>\"@\"}"),
    ("a PHP array", "array('^' => '@')"),
    ("a form", "Client=Kiosk&^=@&x=1"),
    ("a form with a list", "^[]=@&x=1"),
    ("a form with an index", "^%5B0%5D=@"),
    ("a form with JSON", "data=%7B%22^%22%3A%22@%22%7D&x=1"),
    ("a form with JSON in JSON", "data=%7B%22a%22%3A%22%7B%5C%22^%5C%22%3A%5C%22@%5C%22%7D%22%7D"),
    ("a URL in JSON", r#"{"Url":"wss://ws.mews-demo.com/ws/connector?x=1&^=@&y=2"}"#),
    ("a URL in JSON with escapes", r#"{"Url":"wss:\/\/ws.mews-demo.com\/?x=1\u0026^=@\u0026y=2"}"#),
    ("a URL in a URL", "https://a/?next=https%3A%2F%2Fb%2F%3F^%3D@%26z%3D1"),
    ("XML", "<?xml version=\"1.0\"?><Request><Client>Kiosk</Client><^>@</^></Request>"),
    ("XML with a namespace", "<m:Request><m:^ xsi:type=\"xsd:string\">@</m:^></m:Request>"),
    ("XML with CDATA", "<^><![CDATA[@]]></^>"),
    ("XML attributes", "<Request Client=\"Kiosk\" ^=\"@\"/>"),
    ("XML in JSON", r#"{"xml":"<a><^>@<\/^><\/a>"}"#),
    ("XML in XML", "<a>&lt;^&gt;@&lt;/^&gt;</a>"),
    ("a property list", "<dict><key>^</key><string>@</string></dict>"),
    (".NET settings", "<add key=\"^\" value=\"@\" />"),
    ("an HTML field", "<input type=\"hidden\" name=\"^\" value=\"@\">"),
    ("pairs of name and value", r#"{"headers":[{"name":"^","value":"@"}]}"#),
    ("YAML", "Client: Kiosk\n^: @\nExtent:\n  Items: true\n"),
    ("YAML in quotes", "request:\n  - ^: '@'\n"),
    ("YAML in a block", "^: >-\n  @\nx: 1\n"),
    ("TOML", "client = \"Kiosk\"\n^ = \"@\"\n"),
    ("an environment", "export CLIENT=x\nMEWS_^=@\n"),
    ("multipart", "--b\r\nContent-Disposition: form-data; name=\"^\"\r\n\r\n@\r\n--b--\r\n"),
    (
        "multipart with a type",
        "--b\r\nContent-Disposition: form-data; name=^\r\nContent-Type: text/plain\r\n\r\n@\r\n--b--",
    ),
    ("a header", "POST / HTTP/1.1\r\nX-^: @\r\n\r\n"),
    ("a cookie", "Cookie: a=b; ^=@; c=d"),
    ("cURL", "curl -H 'X-^: @' -d '{\"^\":\"@\"}' https://api.mews-demo.com"),
    ("a log", "12:00:00 sending ^=@ to https://api.mews-demo.com"),
];

const NAMES: [&str; 9] = [
    "AccessToken",
    "ClientToken",
    "access_token",
    "client-token",
    "ACCESSTOKEN",
    "accessToken",
    "connectionToken",
    "ApiKey",
    "api_key",
];

/// Ways without a token name.
const OTHERS: [(&str, &str); 10] = [
    ("Authorization", "GET / HTTP/1.1\r\nAuthorization: Bearer @\r\n\r\n"),
    ("Authorization in JSON", r#"{"headers":{"Authorization":"Bearer @","Accept":"*/*"}}"#),
    ("authorization in Python", "{'authorization': 'Basic @'}"),
    ("Authorization after a bare CR", "X: a\rAuthorization: Bearer @\r\n"),
    ("the password of a URL", "http://user:@@api.mews-demo.com/"),
    ("the password of a URL in JSON", r#"{"proxy":"http:\/\/user:@@proxy.example:8080"}"#),
    ("the token of a URL", "https://@@api.example/"),
    ("the password of a URL in a URL", "?to=http%3A%2F%2Fuser%3A@%40host%2F"),
    ("a subscription key", "Ocp-Apim-Subscription-Key: @\r\n"),
    ("an API key", "https://api.example/?api-key=@&x=1"),
];

type Encode = fn(&str) -> Vec<u8>;

fn units(text: &str, wide: bool, big: bool) -> Vec<u8> {
    let put = |number: u32| {
        let bytes = if wide { number.to_be_bytes().to_vec() } else { (number as u16).to_be_bytes().to_vec() };
        if big { bytes } else { bytes.into_iter().rev().collect() }
    };
    match wide {
        true => text.chars().flat_map(|character| put(character.into())).collect(),
        false => text.encode_utf16().flat_map(|unit| put(unit.into())).collect(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const ENCODINGS: [(&str, Encode); 16] = [
    ("UTF-8", |text| text.into()),
    ("UTF-8 with a mark", |text| format!("\u{feff}{text}").into()),
    ("UTF-16LE", |text| units(text, false, false)),
    ("UTF-16BE", |text| units(text, false, true)),
    ("UTF-16LE with a mark", |text| units(&format!("\u{feff}{text}"), false, false)),
    ("UTF-16BE with a mark", |text| units(&format!("\u{feff}{text}"), false, true)),
    ("UTF-32LE", |text| units(text, true, false)),
    ("UTF-32BE", |text| units(text, true, true)),
    ("UTF-32LE with a mark", |text| units(&format!("\u{feff}{text}"), true, false)),
    ("UTF-32BE with a mark", |text| units(&format!("\u{feff}{text}"), true, true)),
    ("gzip", |text| gzip(text.as_bytes())),
    ("gzip twice", |text| gzip(&gzip(text.as_bytes()))),
    ("gzip of UTF-16", |text| gzip(&units(text, false, false))),
    ("zlib", |text| zlib(text.as_bytes())),
    ("zstd", |text| zstd::encode_all(text.as_bytes(), 1).unwrap()),
    ("UTF-16 after other bytes", |text| [&b"\x01\x02\x03"[..], &units(text, false, false)].concat()),
];

fn recorded(mut capture: Capture) -> Exchange {
    Redactor::new(&API, &[], PseudonymKey([7; 32])).exchange(&mut capture, SessionId::from_parts(1, 1), "s", 1)
}

type InBody = fn(Vec<u8>) -> Capture;
type InText = fn(&str) -> Capture;

/// Positions of a body.
const BODIES: [(&str, InBody); 5] = [
    ("request", |body| {
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(body.into());
        capture
    }),
    ("form", |body| {
        let mut capture = capture();
        capture.request.head = head("POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n");
        capture.request.body = CapturedBody::whole(body.into());
        capture
    }),
    ("aborted request", |body| {
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(body.into());
        (capture.response, capture.outcome) = (None, Outcome::Aborted);
        capture
    }),
    ("response", |body| {
        let mut capture = capture();
        capture.response.as_mut().unwrap().body = CapturedBody::whole(body.into());
        capture
    }),
    ("a WebSocket message", |body| {
        let mut capture = capture();
        capture.web_socket = Some(Box::new(CapturedWebSocket {
            handshake: ExchangeId::from_parts(1, 1),
            part: 1,
            messages: vec![CapturedMessage {
                time: Timestamp::from_micros(1),
                direction: Direction::Send,
                opcode: 2,
                body: CapturedBody::whole(body.into()),
                coding: None,
                complete: true,
            }],
            omitted: Omitted::default(),
            unreadable_bytes: 0,
            ended: true,
        }));
        capture
    }),
];

/// Positions of a text other than bodies.
const TEXTS: [(&str, InText); 6] = [
    ("a header", |text| {
        let mut capture = capture();
        capture.request.head = head(&format!("POST / HTTP/1.1\r\nX-Echo: {}\r\n\r\n", text.replace(['\r', '\n'], " ")));
        capture
    }),
    ("a header of the response", |text| {
        let mut capture = capture();
        let line = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n", text.replace(['\r', '\n'], " "));
        capture.response.as_mut().unwrap().head = head(&line);
        capture
    }),
    ("a cookie", |text| {
        let mut capture = capture();
        capture.request.head =
            head(&format!("GET / HTTP/1.1\r\nCookie: a={}\r\n\r\n", text.replace(['\r', '\n'], " ")));
        capture
    }),
    ("a query", |text| {
        let mut capture = capture();
        capture.request.target = format!("/x?q={}", text.replace(['\r', '\n', ' '], "+")).into();
        capture
    }),
    ("a rejected head", |text| {
        let mut capture = capture();
        capture.request.head = head(text);
        (capture.request.target, capture.outcome) = (Bytes::new(), Outcome::Rejected);
        capture
    }),
    ("an error message", |text| {
        let mut capture = capture();
        capture.error = Some(Failure { kind: FailureKind::Misdirected, message: format!("not forwarded: {text}") });
        capture
    }),
];

/// Encodings in which a secret would still be leaked.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms =
        vec![secret.into(), secret.to_lowercase().into(), units(secret, false, false), units(secret, false, true)];
    forms.push(secret.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect());
    for skipped in 0..3 {
        // The base64 digits that do not depend on the surroundings of the secret.
        let coded = BASE64_STANDARD_NO_PAD.encode(&secret.as_bytes()[skipped..]);
        forms.push(coded.as_bytes()[..(secret.len() - skipped) / 3 * 4].into());
        let coded = BASE64_STANDARD_NO_PAD.encode(&units(secret, false, false)[skipped..]);
        forms.push(coded.as_bytes()[..(2 * secret.len() - skipped) / 3 * 4].into());
    }
    forms
}

fn leak(exchange: &Exchange, secret: &str) -> Option<String> {
    let json = serde_json::to_string(exchange).unwrap();
    let mut all = vec![json.clone().into_bytes()];
    let mut exchange = exchange.clone();
    for body in exchange.bodies_mut() {
        all.push(body.bytes.to_vec());
        all.push(body.decoded().0.to_vec());
    }
    let leaks = |form: &Vec<u8>| all.iter().any(|text| memchr::memmem::find(text, form).is_some());
    // Half of it counts as a leak too.
    let half = &secret[..secret.len() - 6];
    forms(secret).iter().any(leaks).then(|| json.clone()).or_else(|| json.contains(half).then_some(json))
}

#[test]
fn no_token_is_left_in_any_way_position_or_encoding() {
    let mut tried = 0;
    let mut leaks = Vec::new();
    let named =
        NOTATIONS.iter().flat_map(|(way, text)| NAMES.map(|name| (format!("{way}, {name}"), text.replace('^', name))));
    let others = OTHERS.iter().map(|(way, text)| ((*way).to_owned(), (*text).to_owned()));
    for (way, text) in named.chain(others) {
        for secret in [MEWS, OWN] {
            let text = text.replacen('@', secret, if way.starts_with("cURL") { 2 } else { 1 });
            let mut look = |exchange: &Exchange, place: &str| {
                tried += 1;
                if let Some(left) = leak(exchange, secret) {
                    leaks.push(format!("{way} in {place}: {left}"));
                }
            };
            // All encodings only with the first names; otherwise this takes half a minute.
            let some = !NAMES[2..].iter().any(|name| way.ends_with(&format!(", {name}")));
            for (encoding, encode) in ENCODINGS.iter().take(if some { ENCODINGS.len() } else { 1 }) {
                for (place, capture) in &BODIES {
                    look(&recorded(capture(encode(&text))), &format!("{place}, {encoding}"));
                }
            }
            for (place, capture) in &TEXTS {
                look(&recorded(capture(&text)), place);
            }
        }
    }
    assert!(tried > 276, "{tried}");
    assert!(leaks.is_empty(), "{} of {tried} leaked:\n{}", leaks.len(), leaks[..leaks.len().min(25)].join("\n"));
}

/// Exchanges from a foreign file that contain a text, each in another position.
fn elsewhere(text: &str, encode: Encode) -> Vec<(&'static str, Exchange)> {
    let with = |place, change: &dyn Fn(&mut Exchange)| {
        let mut exchange = recorded(capture());
        change(&mut exchange);
        (place, exchange)
    };
    let line = text.replace(['\r', '\n'], " ");
    let body = || Body::whole(encode(text).into());
    let mut said = recorded(BODIES[4].1(b"{}".to_vec()));
    said.web_socket.as_mut().unwrap().messages[0].body = body();
    vec![
        with("request", &|exchange| exchange.request.body = body()),
        with("response", &|exchange| exchange.response.as_mut().unwrap().body = body()),
        ("a WebSocket message", said),
        with("a header", &|exchange| {
            exchange.request.headers = vec![Header { name: "X-Echo".into(), value: line.as_str().into() }];
        }),
        with("a header of the response", &|exchange| {
            let value = line.as_str().into();
            exchange.response.as_mut().unwrap().headers = vec![Header { name: "Location".into(), value }];
        }),
        with("a cookie", &|exchange| {
            let value = format!("a={line}").into();
            exchange.request.headers = vec![Header { name: "Cookie".into(), value }];
        }),
        with("a query", &|exchange| exchange.request.url = format!("https://a/x?q={}", line.replace(' ', "+"))),
        with("an error message", &|exchange| {
            exchange.error = Some(Failure { kind: FailureKind::Misdirected, message: format!("not sent: {text}") });
        }),
        with("a session's name", &|exchange| exchange.session_name = text.into()),
        with("a client", &|exchange| exchange.envelope.client = Some(text.to_owned())),
    ]
}

#[test]
fn no_token_is_left_in_a_foreign_exchange() {
    let mut leaks = Vec::new();
    let named = NOTATIONS.iter().map(|(way, text)| (*way, text.replace('^', "AccessToken")));
    for (way, text) in named.chain(OTHERS.iter().map(|(way, text)| (*way, (*text).to_owned()))) {
        for secret in [MEWS, OWN] {
            let text = text.replacen('@', secret, if way.starts_with("cURL") { 2 } else { 1 });
            for (encoding, encode) in [ENCODINGS[0], ENCODINGS[2], ENCODINGS[5], ENCODINGS[10], ENCODINGS[12]] {
                for (place, mut exchange) in elsewhere(&text, encode) {
                    assert!(leak(&exchange, secret).is_some() || encoding != "UTF-8", "{way} in {place}");
                    let had_tokens = Redactor::new(&API, &[], PseudonymKey::ephemeral()).rescan(&mut exchange);
                    if let Some(left) = leak(&exchange, secret) {
                        leaks.push(format!("{way} in {place}, {encoding}: {left}"));
                    }
                    assert!(had_tokens || leak(&exchange, secret).is_some(), "{way} in {place}, {encoding}");
                    let clean = exchange.clone();
                    assert!(
                        !Redactor::new(&API, &[], PseudonymKey::ephemeral()).rescan(&mut exchange),
                        "{way} in {place}, {encoding}: {exchange:#?}"
                    );
                    assert_eq!(exchange, clean);
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaked:\n{}", leaks.len(), leaks[..leaks.len().min(25)].join("\n"));
}

#[test]
fn rescan_leaves_recorded_exchanges_alone() {
    let mut other = Vec::new();
    let mut look = |way: &str, place: &str, mut exchange: Exchange| {
        let before = exchange.clone();
        if Redactor::new(&API, &[], PseudonymKey::ephemeral()).rescan(&mut exchange) || exchange != before {
            other.push(format!("{way} in {place}: {before:?}\nbecame {exchange:?}"));
        }
    };
    let named = NOTATIONS.iter().map(|(way, text)| (*way, text.replace('^', "AccessToken")));
    for (way, text) in named.chain(OTHERS.iter().map(|(way, text)| (*way, (*text).to_owned()))) {
        for secret in [MEWS, OWN, "of no form"] {
            let text = text.replacen('@', secret, if way.starts_with("cURL") { 2 } else { 1 });
            for (_, encode) in ENCODINGS {
                BODIES.iter().for_each(|(place, capture)| look(way, place, recorded(capture(encode(&text)))));
            }
            TEXTS.iter().for_each(|(place, capture)| look(way, place, recorded(capture(&text))));
        }
    }
    assert!(other.is_empty(), "{} differ:\n{}", other.len(), other[..other.len().min(12)].join("\n"));
    // A token next to a pseudonym is still found.
    for between in ["", " ", "&", "%22", "\\u0022"] {
        let mut beside = recorded(capture());
        let body = format!("{{\"AccessToken\":\"REDACTED:0f312628d173{between}{OWN}\"}}");
        beside.request.body = Body::whole(body.into());
        assert!(
            Redactor::new(&API, &[], PseudonymKey::ephemeral()).rescan(&mut beside) && leak(&beside, OWN).is_none(),
            "{between}"
        );
    }
}

#[test]
fn text_is_kept_except_for_the_value() {
    for (way, text) in NOTATIONS {
        let text = text.replace('^', "AccessToken").replacen('@', OWN, 2);
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(text.clone().into());
        let body = recorded(capture).request.body;
        assert_eq!(body.withheld, None, "{way}");
        let left = String::from_utf8(body.bytes.to_vec()).unwrap();
        let pseudonym = nightaudit_exchange::Pseudonym::of(OWN.as_bytes()).to_string();
        if way != "JSON with a list" {
            assert_eq!(left.replace(&pseudonym, OWN), text, "{way}");
        }
    }
}

#[test]
fn unreadable_bodies_are_withheld_with_length_and_digest() {
    let ebcdic = b"\xc0\x7f\xc1\x83\x83\x85\xa2\xa2\xe3\x96\x92\x85\x95\x7f\x7a\x7f\xf1\xf2\xf3\x7f\xd0";
    let message_pack = b"\x81\xabAccessToken\xb6kQ7own-secret.Token_42";
    for (body, reason) in [
        (&ebcdic[..], Withheld::Unreadable),
        (&message_pack[..], Withheld::Unreadable),
        (&gzip(message_pack)[..], Withheld::Unreadable),
        (&b"\x1f\x8b\x08\0\0\0\0\0\0\x03 broken from here on"[..], Withheld::Undecodable),
    ] {
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(Bytes::copy_from_slice(body));
        let kept = recorded(capture).request.body;
        assert_eq!((kept.withheld, kept.bytes.len(), kept.length), (Some(reason), 0, body.len() as u64), "{body:?}");
        assert_eq!(kept.sha256, nightaudit_exchange::Digest::of(body));
    }
}

#[test]
fn ordinary_files_and_responses_are_kept() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0\x1f\xf3\xffa\0\0\0\x01sRGB";
    for body in [
        &png[..],
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
        b"PK\x03\x04\x14\0\0\0\x08\0",
        "žluťoučký kůň".as_bytes(),
        b"caf\xe9",
    ] {
        for place in [0, 3] {
            let kept = recorded(BODIES[place].1(body.to_vec()));
            let kept = if place == 0 { kept.request.body } else { kept.response.unwrap().body };
            assert_eq!((&kept.bytes[..], kept.withheld, kept.stored_sha256), (body, None, None));
        }
    }
    // Responses may be anything without a token name.
    let kept = recorded(BODIES[3].1(b"\x0a\x03abc\x10\x01".to_vec())).response.unwrap().body;
    assert_eq!((&kept.bytes[..], kept.withheld), (&b"\x0a\x03abc\x10\x01"[..], None));
}

#[test]
fn regression_names_and_words_sent_as_tokens_vanished_from_later_records() {
    let mut redactor = Redactor::new(&API, &[], PseudonymKey([7; 32]));
    let mut record = |body: &str, client: Option<&str>, token: &str| {
        let mut capture = capture();
        capture.request.head = head(&format!("POST / HTTP/1.1\r\n{token}: 1\r\n\r\n"));
        capture.envelope.client = client.map(Into::into);
        capture.envelope.access_token = Some(token.into());
        capture.request.body = CapturedBody::whole(Bytes::copy_from_slice(body.as_bytes()));
        redactor.exchange(&mut capture, SessionId::from_parts(1, 1), "s", 1)
    };
    for (client, token) in [
        ("Kiosk", "ClientToken"),
        ("Kiosk", "ReservationsGetAll"),
        ("AcmeKiosk/2.1.0-beta", "AcmeKiosk/2.1.0-beta"),
        ("acme-kiosk-for-hotels", "acme-kiosk-for-hotels"),
        ("Acme Kiosk 2.1.0", "Acme Kiosk 2.1.0"),
    ] {
        // Swapped, then in the right order.
        let swapped = format!(r#"{{"ClientToken":"{token}","AccessToken":"{token}","Client":"{MEWS}"}}"#);
        drop(record(&swapped, Some(MEWS), token));
        let body = format!(r#"{{"ClientToken":"","Client":"{client}","Names":["{token}"],"Word":"{token}"}}"#);
        let later = record(&body, Some(client), OWN);
        assert_eq!(later.envelope.client.as_deref(), Some(client));
        assert_eq!(later.request.body.bytes, body, "{token}");
    }
}

#[test]
fn regression_a_token_was_forgotten_after_320_others_and_beside_80() {
    let mut redactor = Redactor::new(&API, &[], PseudonymKey([7; 32]));
    let mut record = |body: String| {
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(body.into());
        redactor.exchange(&mut capture, SessionId::from_parts(1, 1), "s", 1)
    };
    let token = |number: usize| format!("own-{number:05}-{}", "x".repeat(20));
    let many: Vec<_> = (0..100).map(|number| format!(r#"{{"AccessToken":"{}"}}"#, token(number))).collect();
    drop(record(format!("[{}]", many.join(","))));
    for number in 100..3000 {
        drop(record(format!(r#"{{"AccessToken":"{}"}}"#, token(number))));
    }
    for number in [0, 79, 99, 100, 1500, 2999] {
        let echo = record(format!(r#"{{"Message":"{} is not known"}}"#, token(number)));
        assert_eq!(leak(&echo, &token(number)), None, "{number}");
    }
}

#[test]
fn keyed_pseudonyms_cannot_be_guessed() {
    let of = |key: u8, body: &str| {
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(Bytes::copy_from_slice(body.as_bytes()));
        let mut redactor = Redactor::new(&API, &["Door_Code".to_owned()], PseudonymKey([key; 32]));
        let body = redactor.exchange(&mut capture, SessionId::from_parts(1, 1), "s", 1).request.body;
        String::from_utf8(body.bytes.to_vec()).unwrap()
    };
    let json = r#"{"doorCode":"1234"}"#;
    assert_eq!(of(1, json), of(1, json));
    assert_ne!(of(1, json), of(2, json));
    let left = of(1, json);
    let tried =
        (0..10_000).map(|number| nightaudit_exchange::Pseudonym::of(format!("{number:04}").as_bytes()).to_string());
    assert!(left.contains("REDACTED:") && tried.into_iter().all(|tried| !left.contains(&tried)));
    for text in [
        "a=b&door-code=1234&c=d",
        "{'DoorCode': '1234'}",
        "<DoorCode>1234</DoorCode>",
        "door_code: 1234\n",
        "--b\r\nContent-Disposition: form-data; name=\"DoorCode\"\r\n\r\n1234\r\n--b--",
        r#"{"a":"{\"DoorCode\":1234}"}"#,
        "{DoorCode:1234}",
    ] {
        assert!(!of(1, text).contains("1234"), "{}", of(1, text));
    }
}

proptest! {
    #[test]
    fn a_planted_token_is_never_recorded(
        way in 0..NOTATIONS.len(), name in 0..NAMES.len(), encoding in 0..ENCODINGS.len(), place in 0..BODIES.len(),
        token in "[A-F0-9]{32}-[A-F0-9]{31}|[A-Za-z0-9_.-]{10}[0-9][A-Za-z0-9_]{9,40}", filler in "[ -~\n]{0,40}",
    ) {
        let notation = NOTATIONS[way].1;
        let around = if notation.starts_with(['{', '[']) { format!("{{\"x\":{}, ", serde_json::to_string(&filler).unwrap()) } else { String::new() };
        let text = format!("{around}{}", notation.replace('^', NAMES[name]).replace('@', &token));
        let kept = recorded(BODIES[place].1(ENCODINGS[encoding].1(&text)));
        prop_assert_eq!(leak(&kept, &token), None, "{}", text);
        let mut again = kept.clone();
        prop_assert!(!Redactor::new(&API, &[], PseudonymKey::ephemeral()).rescan(&mut again) && again == kept, "{}", text);
    }

    #[test]
    fn a_planted_token_is_never_imported(
        way in 0..NOTATIONS.len(), name in 0..NAMES.len(), encoding in 0..ENCODINGS.len(), place in 0..10_usize,
        token in "[A-F0-9]{32}-[A-F0-9]{31}|[A-Za-z0-9_.-]{10}[0-9][A-Za-z0-9_]{9,40}",
    ) {
        let text = NOTATIONS[way].1.replace('^', NAMES[name]).replace('@', &token);
        let (_, mut exchange) = elsewhere(&text, ENCODINGS[encoding].1).swap_remove(place);
        prop_assert!(Redactor::new(&API, &[], PseudonymKey::ephemeral()).rescan(&mut exchange));
        prop_assert_eq!(leak(&exchange, &token), None, "{}", text);
    }

    #[test]
    fn a_planted_token_of_another_tool_is_never_imported(
        way in 0..NOTATIONS.len(), name in 0..NAMES.len(), encoding in 0..ENCODINGS.len(), place in 0..10_usize,
        token in "[A-F0-9]{32}-[A-F0-9]{31}|[A-Za-z0-9_.-]{10}[0-9][A-Za-z0-9_]{9,40}",
    ) {
        let text = NOTATIONS[way].1.replace('^', NAMES[name]).replace('@', &token);
        let (_, mut exchange) = elsewhere(&text, ENCODINGS[encoding].1).swap_remove(place);
        Redactor::new(&API, &[], PseudonymKey::ephemeral()).redact(&mut exchange);
        prop_assert_eq!(leak(&exchange, &token), None, "{}", text);
        // What is redacted stays as it is, whichever way it comes again.
        let mut again = exchange.clone();
        let mut redactor = Redactor::new(&API, &[], PseudonymKey::ephemeral());
        prop_assert!(!redactor.rescan(&mut again) && again == exchange, "{}", text);
    }

    #[test]
    fn an_exchange_with_redacted_properties_is_left_unchanged_where_the_same_are_redacted(
        name in "DoorCode|door_code|LAST-NAME|lastName", value in "[ -~]{0,20}|\\PC{0,8}", number: u32, nested: bool,
    ) {
        let fields = ["DoorCode".to_owned(), "LastName".to_owned()];
        let redactor = || Redactor::new(&API, &fields, PseudonymKey([7; 32]));
        let value = if nested { serde_json::json!({ "a": [value, number] }) } else { value.into() };
        let body = serde_json::json!({ name.as_str(): value, "Other": [{ name.as_str(): number }], "Client": "K 1" });
        let mut capture = capture();
        capture.request.body = CapturedBody::whole(body.to_string().into());
        let recorded = redactor().exchange(&mut capture, SessionId::from_parts(1, 1), "s", 1);
        let mut again = recorded.clone();
        prop_assert!(!redactor().rescan(&mut again) && again == recorded, "{}", body);
    }
}

#[test]
fn regression_a_token_after_a_misleading_byte_order_mark_was_kept() {
    for mark in [&b"\xfe\xff\xb4\0\xff"[..], b"\xff\xfe\0", b"\xff\xfe\0\0", b"\0\0\xfe\xff"] {
        let body = [mark, b"\"", MEWS.as_bytes(), b"\""].concat();
        for (place, capture) in &BODIES {
            for body in [body.clone(), gzip(&body)] {
                assert_eq!(leak(&recorded(capture(body)), MEWS), None, "{mark:?} in {place}");
            }
        }
    }
    // Text in the encoding indicated by its mark is kept.
    let body = units("\u{feff}{\"Client\":\"Kiosk\"}", false, true);
    let kept = recorded(BODIES[0].1(body.clone())).request.body;
    assert_eq!((kept.withheld, &kept.bytes[..]), (None, &body[..]));
}

#[test]
fn regression_a_token_in_what_was_taken_for_no_text_in_utf_16_was_kept() {
    for after in [&b"\xff\xff\0\x01\0&\0&\0J"[..], b"\xff\xff\0\x02\0a\0b\0c"] {
        let body = [b"\xff\"", MEWS.as_bytes(), b"\"", after].concat();
        for (place, capture) in &BODIES {
            assert_eq!(leak(&recorded(capture(body.clone())), MEWS), None, "{after:?} in {place}");
        }
    }
}

#[test]
fn regression_a_token_after_apparently_compressed_bytes_was_kept() {
    // Two bytes of the zlib format, and zeros as in UTF-16.
    let begins = b"\x78\x01\x9e\0\x41\0\0\x01\xdf\0\x72\x19\0\x78\x5b\x78\x78\x01\x9e\0\x41\0\0\x01\xdf\0\x72\x19\0\x78\x5b\x78\x78\x01\x2f";
    // A complete zlib stream, and a gzip stream, with trailing data.
    let zlib = b"\x78\x9c\x4b\x04\0\0\x62\0\x62";
    for begins in [&begins[..], zlib, &gzip(b"a")] {
        let body = [begins, b"\"", MEWS.as_bytes(), b"\""].concat();
        for (place, capture) in &BODIES {
            assert_eq!(leak(&recorded(capture(body.clone())), MEWS), None, "{begins:?} in {place}");
        }
    }
}
