//! No secret leaks, in any form of request: a real `serve`, everything it leaves on disk, and all output of its
//! commands. And nothing recorded can send control sequences to a terminal.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use nightaudit_testkit::{Process, RawResponse, Terminal, Upstream, post, send};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// A token in Mews' form or in no particular form, distinct by number.
fn token(number: usize) -> String {
    match number % 2 {
        0 => format!("{number:02X}D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D"),
        _ => format!("own.{number:03}_kQ7-secret"),
    }
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn utf_32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|letter| u32::from(letter).to_be_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let line = if head.starts_with("POST ") { "" } else { "POST /api/connector/v1/configuration/get HTTP/1.1\r\n" };
    let head = format!("{line}{head}Host: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Requests with one token each, in ways seen in practice.
fn requests(next: &mut impl FnMut() -> String) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for body in [
        r#"{"AccessToken":"@"}"#,
        "{'AccessToken': '@', 'Client': 'Kiosk'}",
        "{AccessToken:\"@\"}",
        r#"{"access_token":"@"}"#,
        r#"{"AccessToken":"@"#,
        r#"{"a":"{\"b\":\"{\\\"AccessToken\\\":\\\"@\\\"}\"}"}"#,
        r#"{"Url":"wss://ws.mews-demo.com/ws/connector?accessToken=@"}"#,
        "ClientToken=@&Client=x",
        "AccessToken[]=@",
        "<Request><AccessToken>@</AccessToken></Request>",
        "AccessToken: @\nClient: x\n",
        "--b\r\nContent-Disposition: form-data; name=\"AccessToken\"\r\n\r\n@\r\n--b--\r\n",
        r#"{"connectionToken":"@"}"#,
    ] {
        for encode in [|text: &str| text.as_bytes().to_vec(), utf_16, utf_32, |text: &str| gzip(text.as_bytes())] {
            requests.push(request("", &encode(&body.replace('@', &next()))));
        }
    }
    for head in [
        "Authorization: Bearer @\r\n",
        "Cookie: session={\"AccessToken\":\"@\"}\r\n",
        "Cookie: session=%7B%22AccessToken%22%3A%22@%22%7D\r\n",
        "X-Api-Key: @\r\n",
        "Referer: https://user:@@host.example/\r\n",
        "POST /x?AccessToken[]=@ HTTP/1.1\r\n",
        "POST /x?q=%7B%22AccessToken%22:%22@%22%7D HTTP/1.1\r\n",
        "POST http://user:@@elsewhere.example/ HTTP/1.1\r\n",
        "X: a\rAuthorization: Bearer @\r\n",
    ] {
        requests.push(request(&head.replacen('@', &next(), 1), b"{}"));
    }
    // A session name, too: in Mews' form, and the same token as in the body.
    let (one, other) = (next(), next());
    let (form, own) = if one.starts_with("own") { (other, one) } else { (one, other) };
    requests.push(request(&format!("X-Nightaudit-Session: {form}\r\n"), b"{}"));
    let body = format!(r#"{{"AccessToken":"{own}"}}"#);
    requests.push(request(&format!("X-Nightaudit-Session: {own}\r\n"), body.as_bytes()));
    // Without a length, the body is parsed as the head of another request.
    let head = "POST /api/connector/v1/configuration/get HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    requests.push(
        format!("{head}{{\r\n \"AccessToken\": \"{}\",\r\n \"ClientToken\": \"{}\"\r\n}}\r\n\r\n", next(), next())
            .into(),
    );
    requests.push(format!("{head}{{\"AccessToken\":\"{}\"}}\r\n\r\n", next()).into());
    requests.push(format!("{head}ClientToken={}&AccessToken={}\r\n\r\n", next(), next()).into());
    requests.push([head.as_bytes(), &utf_16(&format!("{{\"AccessToken\":\"{}\"}}", next())), b"\r\n\r\n"].concat());
    requests
}

/// The contents and names of all files in a directory.
fn everything_in(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.push((path.display().to_string(), path.display().to_string().into_bytes()));
        if path.is_dir() {
            everything_in(&path, all);
        } else if let Ok(bytes) = fs::read(&path) {
            all.push((path.display().to_string(), bytes));
        }
    }
}

/// Encodings in which a token would still be leaked.
fn forms(token: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![token.as_bytes().to_vec(), utf_16(token), token.to_lowercase().into_bytes()];
    forms.push(token.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect());
    for coded in [token.as_bytes().to_vec(), utf_16(token)] {
        for skipped in 0..3 {
            let part = &coded[skipped..];
            forms.push(BASE64_STANDARD_NO_PAD.encode(part).as_bytes()[..part.len() / 3 * 4].to_vec());
        }
    }
    forms
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_the_data_directory_exports_logs_or_metrics() {
    let mews = Upstream::responding(200, r#"{"Needle":"haystack"}"#).await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "s", "--log", "trace"]);
    let mut tokens = Vec::new();
    let mut next = || {
        tokens.push(token(tokens.len()));
        tokens[tokens.len() - 1].clone()
    };
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for request in requests(&mut next) {
        let RawResponse { body, head, .. } = send(serve.proxy(), &request).await;
        all.push(("an answer".into(), body));
        all.push(("an answer's head".into(), head.into_bytes()));
    }
    assert!(tokens.len() > 60, "{}", tokens.len());

    let (address, query) = (serve.console_host(), format!("token={}", serve.token()));
    for path in ["metrics", "api/v1/limits", "api/v1/sessions", "api/v1/exchanges?limit=1000"] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let request = format!("GET /{path}{separator}{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let answer = send(address.parse().unwrap(), request.as_bytes()).await;
        assert_eq!(answer.status, 200, "{path}");
        all.push((path.into(), answer.body));
    }
    let out = tempfile::tempdir().unwrap();
    for format in ["har", "ndjson", "csv", "curl", "html", "bundle"] {
        let file = out.path().join(format);
        let output = serve.run(BINARY, &["export", "--format", format, "-o", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if format == "bundle" {
            let mut zip = zip::ZipArchive::new(fs::File::open(&file).unwrap()).unwrap();
            for index in 0..zip.len() {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut zip.by_index(index).unwrap(), &mut bytes).unwrap();
                all.push((format!("file {index} of the bundle"), bytes));
            }
        }
    }
    let tail = serve.run(BINARY, &["tail", "--no-follow", "-n", "1000", "-v"]);
    all.extend([("tail".into(), tail.stdout), ("tail's stderr".into(), tail.stderr)]);
    everything_in(out.path(), &mut all);
    everything_in(serve.data(), &mut all);
    let data = serve.data().to_owned();
    let (_, stderr) = serve.stop();
    all.push(("stderr".into(), stderr.into_bytes()));
    drop(data);

    for token in &tokens {
        for form in forms(token) {
            let leak = all.iter().find(|(_, bytes)| memchr::memmem::find(bytes, &form).is_some());
            if let Some((place, bytes)) = leak {
                let at = memchr::memmem::find(bytes, &form).unwrap();
                let around = &bytes[at.saturating_sub(200)..(at + 200).min(bytes.len())];
                panic!("{token} is in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }
    // The search covered the right data: the responses, at least, are in it.
    assert!(all.iter().filter(|(_, bytes)| memchr::memmem::find(bytes, b"haystack").is_some()).count() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_utf_16_and_utf_32_are_limited_by_their_token() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--limit", "3/30s"]);
    let body = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;
    let mut statuses = Vec::new();
    for encode in
        [|text: &str| text.as_bytes().to_vec(), utf_16, utf_32, |text: &str| utf_16(&format!("\u{feff}{text}"))]
    {
        statuses.push(send(serve.proxy(), &request("", &encode(body))).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_sequences_are_escaped_on_terminals_and_kept_in_files() {
    const EVIL: &str = "\u{1b}]52;c;ZXZpbA==\u{7}\u{9b}31m\u{202e}";
    let mews = Upstream::responding(200, "\u{1b}]52;c;ZXZpbA==\u{7}\u{9b}31m\u{202e}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "s"]);
    assert_eq!(send(serve.proxy(), &post("bills/getAll", &format!("\"{EVIL}\""))).await.status, 200);
    let tail = serve.run(BINARY, &["tail", "--no-follow", "--json"]);
    let id = serde_json::from_slice::<serde_json::Value>(&tail.stdout).unwrap()["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["show", &id, "--wire"][..],
        &["show", &id, "--response", "--body"],
        &["show", &id, "--json"],
        &["show", &id, "--curl"],
        &["show", &id],
        &["export", "--format", "ndjson", "-o", "-"],
        &["export", "--format", "har", "-o", "-"],
        &["export", "--format", "csv", "-o", "-"],
        &["tail", "--no-follow", "--json"],
        &["tail", "--no-follow", "-v"],
    ] {
        let (_, shown) = Terminal::nightaudit(BINARY, serve.data(), arguments, 200, 50).wait();
        for order in ["\u{1b}]52", "\u{9b}", "\u{202e}", "\u{7}"] {
            let found = memchr::memmem::find(&shown, order.as_bytes());
            assert_eq!(found, None, "{order:?} of {arguments:?} in {}", String::from_utf8_lossy(&shown).escape_debug());
        }
        assert!(!shown.is_empty());
    }
    let piped = serve.run(BINARY, &["show", &id, "--response", "--body"]);
    assert_eq!(piped.stdout, EVIL.as_bytes());
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Starts `serve` where it must refuse to start, and returns its output.
fn refused(data: &Path) -> String {
    let output = Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--data"])
        .arg(data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_owned_or_writable_by_others_is_refused() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let serve = || Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "s"]);
    assert!(serve().stop().0.success());

    for name in ["lock", "console", "journal", "console-token"] {
        let path = data.join(name);
        let before = fs::read(&path).unwrap();
        mode(&path, 0o666);
        let said = refused(&data);
        assert!(said.contains(name) && said.contains("0666") && said.contains("chmod"), "{said}");
        mode(&path, 0o644);
        let (_, said) = serve().stop();
        assert!(said.contains("other users can read") && said.contains(name), "{said}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let said = refused(&data);
        assert!(said.contains(name) && said.contains("symbolic link"), "{said}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        fs::write(&path, before).unwrap();
        mode(&path, 0o600);
    }
    mode(&data, 0o770);
    assert!(refused(&data).contains("0770"));
    mode(&data, 0o750);
    assert!(serve().stop().1.contains("other users can read"));
}

#[test]
fn the_consoles_token_is_sent_to_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("sessions")).unwrap();
    mode(&data, 0o700);
    fs::write(data.join("console-token"), format!("{}\n", "A".repeat(43))).unwrap();
    mode(&data.join("console-token"), 0o600);
    // Another process holds the locks.
    let _locks = [("lock", "1\n"), ("console", "http://192.0.2.1:8081\n")].map(|(name, text)| {
        fs::write(data.join(name), text).unwrap();
        let lock = fs::File::options().read(true).write(true).open(data.join(name)).unwrap();
        lock.lock().unwrap();
        lock
    });
    let output = Command::new(BINARY).args(["sessions", "--data"]).arg(&data).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("192.0.2.1:8081") && said.contains("this machine only"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_properties_have_keyed_pseudonyms_and_exports_still_verify() {
    let mews = Upstream::responding(200, r#"{"Code":"4711"}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    fs::write(&config, "\u{feff}[redact]\nfields = ['Pin']\n").unwrap();
    let exported = |name: &str| {
        let data = folder.path().join(name);
        let config = config.to_str().unwrap().to_owned();
        let mews = mews.url();
        async move {
            let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews, "--session", "s", "--config", &config]);
            assert_eq!(send(serve.proxy(), &post("bills/getAll", r#"{"Pin":"1234"}"#)).await.status, 200);
            let output = serve.run(BINARY, &["export", "--format", "ndjson", "-o", "-", "--redact-field", "code"]);
            let file = data.join("export.ndjson");
            fs::write(&file, [&b"\xef\xbb\xbf"[..], &output.stdout].concat()).unwrap();
            let verified = serve.run(BINARY, &["verify", file.to_str().unwrap()]);
            assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
            assert_eq!(fs::metadata(data.join("redaction-key")).unwrap().permissions().mode() & 0o777, 0o600);
            let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            [&line["request"]["body"], &line["response"]["body"]].map(|body| body.as_str().unwrap().to_owned())
        }
    };
    let (one, other) = (exported("one").await, exported("other").await);
    for (one, other) in one.iter().zip(&other) {
        assert!(one.contains("REDACTED:") && one != other, "{one} {other}");
        for number in 0..10_000 {
            let tried = nightaudit_exchange::Pseudonym::of(format!("{number:04}").as_bytes()).to_string();
            assert!(!one.contains(&tried), "{number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_declaration_respects_the_umask() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "s"]);
    assert_eq!(send(serve.proxy(), &post("bills/getAll", "{}")).await.status, 200);
    for (umask, expected) in [("077", 0o600), ("027", 0o640), ("022", 0o644)] {
        let file = serve.data().join(format!("{umask}.toml"));
        let script = format!(
            "umask {umask}; '{BINARY}' review --session s --init --declaration '{}' --data '{}'",
            file.display(),
            serve.data().display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(file.exists(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, expected, "{umask}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_token_was_shown_in_the_key_of_a_limit() {
    const OWN: &str = "kQ7own-secret.Token_42";
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nightaudit.toml");
    let rule = "[[limit.rule]]\nname = 'each'\nkey = ['operation']\nrequests = 250\nwindow = '15m'\n";
    fs::write(&config, rule).unwrap();
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--config", config.to_str().unwrap()]);
    // The token is known by its name; nothing identifies it in the later request's path.
    let body = format!(r#"{{"AccessToken":"{OWN}"}}"#);
    assert_eq!(send(serve.proxy(), &request("", body.as_bytes())).await.status, 200);
    let path = format!(
        "POST /api/connector/v1/hooks/{OWN}/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    assert_eq!(send(serve.proxy(), path.as_bytes()).await.status, 200);
    let limits = serve.run(BINARY, &["limits", "--json"]);
    let shown = String::from_utf8(limits.stdout).unwrap();
    assert!(shown.contains("hooks/REDACTED:") && !shown.contains(OWN), "{shown}");
    let (address, query) = (serve.console_host(), format!("token={}", serve.token()));
    for path in ["metrics", "api/v1/limits"] {
        let get = format!("GET /{path}?{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let answer = send(address.parse().unwrap(), get.as_bytes()).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains(OWN), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_nightaudits_own_responses_quoted_tokens_it_knew() {
    const OWN: &str = "kq7own-secret-token-42";
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url()]);
    let body = format!(r#"{{"AccessToken":"{OWN}"}}"#);
    assert_eq!(send(serve.proxy(), &request("", body.as_bytes())).await.status, 200);
    // A response about a host, and one about a header.
    let post = format!("POST http://{OWN}/api/connector/v1/bills/add HTTP/1.1\r\nHost: {OWN}\r\nConnection: close\r\n");
    let foreign = send(serve.proxy(), format!("{post}Content-Length: 2\r\n\r\n{{}}").as_bytes()).await;
    let header = format!("POST /api/connector/v1/bills/add HTTP/1.1\r\nHost: a\r\nContent-Length: {OWN}\r\n\r\n");
    let malformed = send(serve.proxy(), header.as_bytes()).await;
    assert_eq!((foreign.status, malformed.status), (421, 400));
    assert!(String::from_utf8_lossy(&foreign.body).contains("requests for REDACTED:"), "{foreign:?}");
    for response in [&foreign, &malformed] {
        assert!(!String::from_utf8_lossy(&response.body).contains(OWN), "{response:?}");
    }
    let shown = serve.run(BINARY, &["export", "--format", "ndjson", "-o", "-"]);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains(OWN));
}

#[test]
fn regression_a_data_folder_that_is_made_for_a_certificate_or_contracts_was_readable_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("mews.json");
    let schema = r#"{"content":{"application/json":{"schema":{"type":"object"}}}}"#;
    let path = format!(r#"{{"/api/connector/v1/currencies/getAll":{{"post":{{"requestBody":{schema}}}}}}}"#);
    fs::write(&document, format!(r#"{{"openapi":"3.0.4","paths":{path}}}"#)).unwrap();
    let document = document.to_str().unwrap();
    let made: [&[&str]; 3] = [
        &["sessions", "start", "first"],
        &["mews", "update", document],
        &["simulate", "--tls", "--listen", "127.0.0.1:0"],
    ];
    for arguments in made {
        let data = folder.path().join(arguments[0]).join("data");
        let mut child = Command::new(BINARY)
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // `simulate` prints its address once its certificate is written; the others end.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if arguments[0] == "simulate" {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700, "{arguments:?}");
    }
}
