//! The code that sends a request again sends what was recorded: run where its program is installed.

// Clippy allows it in test functions, and this file holds nothing but tests and what they share.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nightaudit_exchange::{Body, Exchange, Header, Pseudonym};
use nightaudit_export::{Language, code};

const JSON: &str = r#"{"id":"01KAS00000000000000000000A","session":"01KAS000000000000000000000","sessionName":"certification","sequence":1,"environment":"demo","operation":"customers/search","startedAt":"2026-11-23T12:00:00.123456Z","timesUs":{"forwarded":210,"responseHead":84312,"responseEnd":85120},"peer":null,"envelope":{"client":"Kiosk","clientToken":null,"accessToken":"REDACTED:2cf24dba5fb0","paginated":false},"request":{"method":"POST","url":"","httpVersion":"HTTP/1.1","headers":[],"body":"","bodyEncoding":"utf-8","bodyLength":0,"bodySha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","truncated":false},"response":null,"limit":null,"outcome":"answered","error":null}"#;

fn exchange(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Exchange {
    let mut exchange: Exchange = serde_json::from_str(JSON).unwrap();
    exchange.request.url = url.to_owned();
    let header = |(name, value): &(&str, &str)| Header { name: (*name).into(), value: (*value).into() };
    exchange.request.headers = headers.iter().map(header).collect();
    exchange.request.body = Body::whole(body.to_vec().into());
    exchange
}

/// The texts of the certification's requests at their worst.
fn hostile() -> Exchange {
    let token = Pseudonym::of(b"hello");
    let body = format!(
        "{{\"AccessToken\":\"{token}\",\"Name\":\"O'Hara \\\"x\\\" $(id) `id` ${{HOME}} %s \\\\ é 😀 \u{2028}\u{202e}\",\"A\":\"REDACTED:x\",\n\
         \"B\":\"''' \"\"\" */ // # {{0}} ${{x}}\"}}\n"
    );
    let headers = [
        ("Content-Type", "application/json"),
        ("Host", "api.mews-demo.com"),
        ("Content-Length", "7"),
        ("Accept", "*/*"),
        ("User-Agent", "Kiosk \"2\" '$(id)' `x` \\ %41"),
        ("X-At", "@/etc/passwd"),
        ("X-Equals", "=1"),
        ("X-Empty", ""),
        ("X-Accents", "dům é"),
        ("X-Token", &token.to_string()),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
        ("X Bad", "name"),
        ("X-Broken", "a\r\nX-Injected: 1"),
    ];
    exchange(
        "https://api.mews-demo.com/api/connector/v1/customers/search?a=%27&b=$(id)&c='x'",
        &headers,
        body.as_bytes(),
    )
}

#[test]
fn each_language_writes_data_as_data() {
    for language in Language::ALL {
        insta::assert_snapshot!(language.name(), code(&hostile(), language).unwrap());
    }
    let bytes: Vec<u8> = (0..=255).collect();
    let binary = exchange("https://api.mews-demo.com/x", &[("Content-Type", "application/octet-stream")], &bytes);
    for language in Language::ALL {
        insta::assert_snapshot!(format!("{language}_of_bytes"), code(&binary, language).unwrap());
    }
}

#[test]
fn messages_of_a_web_socket_are_no_request() {
    let mut exchange = hostile();
    let part = r#"{"handshake":"01KAS00000000000000000000A","part":1,"messages":[]}"#;
    exchange.web_socket = Some(serde_json::from_str(part).unwrap());
    assert!(Language::ALL.iter().all(|language| code(&exchange, *language).is_none()));
}

/// A request as it arrived.
#[derive(Debug)]
struct Arrived {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Arrived {
    fn header(&self, name: &str) -> Option<String> {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let values: Vec<_> = named.map(|(_, value)| value.clone()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// Takes one request at a port of this machine, and responds.
fn take(listener: &TcpListener) -> Arrived {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = seen.windows(4).position(|end| end == b"\r\n\r\n") {
            break end;
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the request ended early");
        seen.extend_from_slice(&piece[..read]);
    };
    let head = String::from_utf8(seen[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let pair =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())).unwrap();
    let headers: Vec<_> = lines.map(pair).collect();
    let mut body = seen.split_off(end + 4);
    let arrived = Arrived { line, headers, body: Vec::new() };
    let length: usize = arrived.header("content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the body ended early");
        body.extend_from_slice(&piece[..read]);
    }
    stream
        .write_all(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    Arrived { body, ..arrived }
}

/// How a language is run, and a command that succeeds where it can be.
fn runner(language: Language) -> Option<(&'static [&'static str], &'static [&'static str])> {
    match language {
        Language::Curl => Some((&["sh", "-c"], &["curl", "--version"])),
        Language::Httpie => Some((&["sh", "-c"], &["http", "--version"])),
        Language::Fetch => Some((&["node", "--input-type=module", "--eval"], &["node", "--eval", "fetch.name"])),
        Language::Python => Some((&["python3", "-c"], &["python3", "-c", "import requests"])),
        _ => None,
    }
}

/// Runs the code of an exchange; `None` where its program isn't installed.
fn sent(language: Language, exchange: &Exchange) -> Option<Arrived> {
    let (run, probe) = runner(language)?;
    let installed = Command::new(probe[0]).args(&probe[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        eprintln!("{language} isn't installed here");
        return None;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut exchange = exchange.clone();
    exchange.request.url =
        exchange.request.url.replace("https://api.mews-demo.com", &format!("http://127.0.0.1:{port}"));
    let program = code(&exchange, language).unwrap();
    let taken = thread::spawn(move || take(&listener));
    let output = Command::new(run[0])
        .args(&run[1..])
        .arg(&program)
        .env("ACCESS_TOKEN_2cf24dba5fb0", "the'\"$(token)")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{language}: {error}\n{program}");
    // A redirect is shown, not followed.
    Some(taken.join().unwrap())
}

#[test]
fn what_is_sent_is_what_was_recorded() {
    let hostile = hostile();
    let body = str::from_utf8(&hostile.request.body.bytes).unwrap();
    let body = body.replace(&Pseudonym::of(b"hello").to_string(), "the'\"$(token)");
    for language in Language::ALL {
        let Some(arrived) = sent(language, &hostile) else { continue };
        assert!(arrived.line.starts_with("POST /api/connector/v1/customers/search?a="), "{language}: {}", arrived.line);
        assert!(arrived.line.contains("b=$(id)"), "{language}: {}", arrived.line);
        assert_eq!(String::from_utf8_lossy(&arrived.body), body, "{language}");
        for header in &hostile.request.headers {
            let expected = match &*header.name {
                "Host" | "Content-Length" | "X Bad" | "X-Broken" => continue,
                "X-Twice" => "one, two".to_owned(),
                "X-Token" => "the'\"$(token)".to_owned(),
                _ => header.value.to_string(),
            };
            assert_eq!(arrived.header(&header.name), Some(expected), "{language}: {}", header.name);
        }
        assert_eq!((arrived.header("X-Broken"), arrived.header("X-Injected")), (None, None), "{language}");
    }
}

#[test]
fn bytes_and_requests_without_a_body_are_sent_too() {
    let bytes: Vec<u8> = (0..=255).collect();
    let binary = exchange("https://api.mews-demo.com/x", &[("Content-Type", "application/octet-stream")], &bytes);
    let plain = exchange("https://api.mews-demo.com/x", &[], b"{}");
    let mut none = exchange("https://api.mews-demo.com/x?y", &[("X-One", "1")], b"");
    none.request.method = "GET".into();
    for language in Language::ALL {
        let Some(arrived) = sent(language, &binary) else { continue };
        assert_eq!(arrived.body, bytes, "{language}");
        let arrived = sent(language, &plain).unwrap();
        assert_eq!((&arrived.body[..], arrived.header("content-type")), (&b"{}"[..], None), "{language}");
        let arrived = sent(language, &none).unwrap();
        assert_eq!(
            (&*arrived.line, arrived.header("x-one")),
            ("GET /x?y HTTP/1.1", Some("1".to_owned())),
            "{language}"
        );
        assert!(arrived.body.is_empty());
    }
}

#[test]
fn a_token_that_is_not_set_is_named_and_nothing_is_sent() {
    for language in Language::ALL {
        let Some((run, probe)) = runner(language) else { continue };
        let installed = Command::new(probe[0]).args(&probe[1..]).output();
        if !installed.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let output = Command::new(run[0])
            .args(&run[1..])
            // Where nothing listens; it isn't asked either.
            .arg(code(&exchange("http://127.0.0.1:9/", &[], b"REDACTED:2cf24dba5fb0"), language).unwrap())
            .env_remove("ACCESS_TOKEN_2cf24dba5fb0")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("ACCESS_TOKEN_2cf24dba5fb0"), "{language}: {error}");
    }
}
