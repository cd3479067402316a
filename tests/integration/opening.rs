//! The console's page from the outside: how it is served and opened, and the console over a log without a `serve`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use nightaudit_testkit::{Nobody, Process, RawResponse, Upstream, post, send};
use serde_json::Value;

use crate::losses::Small;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;
/// What a browser sends.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

/// A request to the console at `host`.
pub(crate) async fn ask(host: &str, method: &str, path: &str, headers: &str) -> RawResponse {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    send(host.parse().unwrap(), request.as_bytes()).await
}

pub(crate) async fn json(host: &str, token: &str, path: &str) -> Value {
    let answer = ask(host, "GET", path, &format!("Authorization: Bearer {token}\r\n")).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// A program for `$BROWSER` that writes its arguments to a file.
fn fake_browser(folder: &Path) -> (PathBuf, PathBuf) {
    let (browser, told) = (folder.join("my browser"), folder.join("told"));
    // Renamed, so that what is there is whole.
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{0}.new'; mv '{0}.new' '{0}'\n", told.display());
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    (browser, told)
}

/// What the fake browser was started with.
async fn told(file: &Path) -> String {
    for _ in 0..3000 {
        if let Ok(text) = fs::read_to_string(file) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no browser was started within 30 s");
}

/// A running `nightaudit console`; it is killed when it is dropped.
pub(crate) struct Viewer {
    child: Child,
    pub(crate) host: String,
    pub(crate) token: String,
    log: String,
}

impl Viewer {
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["console", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let console = lines.next().expect("console ended before it said where it is");
        let (host, token) = console.strip_prefix("console  http://").unwrap().split_once("/#token=").unwrap();
        let (host, token) = (host.to_owned(), token.to_owned());
        Self { child, host, token, log: lines.next().unwrap() }
    }

    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        // It may have ended before, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(data: &Path, arguments: &[&str], browser: Option<&Path>) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    for name in ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"] {
        command.env_remove(name);
    }
    if let Some(browser) = browser {
        command.env("BROWSER", browser);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_serve_prints_opens_the_page() {
    let serve = Process::serve(BINARY, &["--upstream", "http://127.0.0.1:9"]);
    let host = serve.console_host();
    // The fragment stays in the browser.
    let page = ask(host, "GET", "/", BROWSER).await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.body).unwrap();
    assert!(html.starts_with("<!doctype html>") && !html.contains(serve.token()), "{html}");
    let head = page.head.to_ascii_lowercase();
    for header in ["content-type: text/html", "content-security-policy: default-src 'none'", "x-frame-options: deny"] {
        assert!(head.contains(header), "{header}: {head}");
    }
    // Everything that it names is there.
    let mut named = 0;
    for part in html.split(['"', '\'']).filter(|part| part.starts_with('/') && part.contains('.')) {
        let file = ask(host, "GET", part, "").await;
        assert_eq!(file.status, 200, "{part}");
        named += 1;
    }
    assert!(named >= 2, "{html}");
    let known = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again = ask(host, "GET", "/", &format!("{BROWSER}If-None-Match: {known}\r\n")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let head = ask(host, "HEAD", "/page/index.html", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(ask(host, "POST", "/page/index.html", "").await.status, 405);
    assert_eq!(ask(host, "GET", "/favicon.ico", "").await.status, 200);
    // A program gets what it got before.
    assert_eq!(ask(host, "GET", "/", "Accept: */*\r\n").await.status, 401);
    assert!(json(host, serve.token(), "/").await["api"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leaves_the_pages_folder() {
    let serve = Process::serve(BINARY, &["--upstream", "http://127.0.0.1:9"]);
    let host = serve.console_host();
    for path in [
        "/page/../Cargo.toml",
        "/page/..%2fCargo.toml",
        "/page/%2e%2e/%2e%2e/console-token",
        "/page/....//console-token",
        "/page//etc/passwd",
        "//page/index.html",
        "/page/index.html/..",
        "/page/\\..\\console-token",
        "/open/../page/index.html",
    ] {
        let answer = ask(host, "GET", path, BROWSER).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(!String::from_utf8_lossy(&answer.body).contains(serve.token()));
    }
    let rebound = format!("GET / HTTP/1.1\r\nHost: rebound.example\r\n{BROWSER}Connection: close\r\n\r\n");
    assert_eq!(send(host.parse().unwrap(), rebound.as_bytes()).await.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_in_no_log() {
    let serve = Process::serve(BINARY, &["--upstream", "http://127.0.0.1:9", "--log", "trace"]);
    let (host, token) = (serve.console_host().to_owned(), serve.token().to_owned());
    let moved = ask(&host, "GET", &format!("/?token={token}"), BROWSER).await;
    assert_eq!(moved.status, 303);
    assert!(moved.head.contains(&format!("/#token={token}")), "{}", moved.head);
    for path in [format!("/api/v1/sessions?token={token}"), format!("/nowhere?token={token}")] {
        ask(&host, "GET", &path, "").await;
    }
    json(&host, &token, "/api/v1/status").await;
    ask(&host, "GET", "/", &format!("{BROWSER}Referer: http://{host}/?token={token}\r\n")).await;
    let (status, said) = tokio::task::spawn_blocking(move || serve.stop()).await.unwrap();
    assert!(status.success() && !said.contains(&token), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_starts_the_browser_without_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (browser, file) = fake_browser(folder.path());
    let serve = Process::serve(BINARY, &["--upstream", "http://127.0.0.1:9"]);
    let (host, token) = (serve.console_host(), serve.token());
    let said = text(&run(serve.data(), &["open"], Some(&browser)));
    assert_eq!(said, format!("Opened http://{host}/ in the browser.\n"));
    let address = told(&file).await;
    assert!(!address.contains(token), "{address}");
    let path = address.trim_end().strip_prefix(&format!("http://{host}")).unwrap();
    let opened = ask(host, "GET", path, BROWSER).await;
    assert_eq!(opened.status, 303);
    assert!(opened.head.contains(&format!("/#token={token}")), "{}", opened.head);
    // It worked once.
    assert_eq!(ask(host, "GET", path, BROWSER).await.status, 410);

    assert_eq!(text(&run(serve.data(), &["open", "--print"], Some(&browser))), format!("{}\n", serve.console()));
    // Without a browser, or with one that doesn't start, it says the address.
    for browser in [None, Some(Path::new("/nowhere/browser")), Some(Path::new("false"))] {
        let said = text(&run(serve.data(), &["open"], browser));
        assert!(
            said.starts_with("No browser was opened: ") && said.ends_with(&format!("{}\n", serve.console())),
            "{said}"
        );
    }
    let none = run(folder.path(), &["open"], Some(&browser));
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.code() == Some(1) && said.contains("nightaudit console"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_opens_the_page_if_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (browser, file) = fake_browser(folder.path());
    let data = folder.path().join("data");
    let variables = [("BROWSER", browser.to_str().unwrap())];
    let serve = Process::serve_with(BINARY, &data, &["--upstream", "http://127.0.0.1:9", "--open"], &variables);
    let address = told(&file).await;
    assert!(!address.contains(serve.token()), "{address}");
    let path = address.trim_end().strip_prefix(&format!("http://{}", serve.console_host())).unwrap();
    assert_eq!(ask(serve.console_host(), "GET", path, BROWSER).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_whether_mews_is_reached_and_who_refused() {
    let mews = Upstream::responding(429, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "s", "--limit", "2/30s"]);
    let (host, token) = (serve.console_host(), serve.token());
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 429);
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 429);
    let status = json(host, token, "/api/v1/status").await;
    assert_eq!((&status["upstream"]["reachable"], &status["upstream"]["lastError"]), (&true.into(), &Value::Null));
    assert_eq!(status["proxy"]["address"], format!("http://{}", serve.proxy()));
    assert_eq!(status["proxy"]["upstream"], mews.url());
    assert_eq!((&status["session"]["name"], &status["recording"]["recorded"]), (&"s".into(), &2.into()));
    assert_eq!((&status["readOnly"], &status["recording"]["failing"]), (&false.into(), &Value::Null));
    assert!(status["started"].is_string());
    let limits = json(host, token, "/api/v1/limits").await;
    let limit = &limits["limits"][0];
    assert_eq!((&limit["limit"], &limit["windowMs"], &limit["refusedByMews"]), (&2.into(), &30_000.into(), &1.into()));
    // The second was ours: the key is closed.
    assert_eq!((&limit["refused"], mews.seen().len()), (&1.into(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_why_mews_is_not_reached() {
    let nobody = Nobody::new();
    let serve = Process::serve(BINARY, &["--upstream", &format!("http://{}", nobody.address())]);
    let (host, token) = (serve.console_host(), serve.token());
    // Nothing was sent: asking is enough.
    let status = loop {
        let status = json(host, token, "/api/v1/status").await;
        if !status["upstream"]["reachable"].is_null() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(status["upstream"]["reachable"], false);
    assert!(status["upstream"]["lastError"].as_str().unwrap().contains(&nobody.address().to_string()), "{status}");
    assert!(status["upstream"]["since"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_serve_has_a_page_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 200);
    // While it runs, its page is the one.
    let refused = run(&data, &["console", "--listen", "127.0.0.1:0"], None);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(serve.console_host()) && said.contains("nightaudit open"), "{said}");
    assert!(said.contains(&serve.id().to_string()), "{said}");
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());

    let viewer = Viewer::start(&data, &[]);
    assert!(viewer.log.contains("1 exchange in 1 session"), "{}", viewer.log);
    let (host, token) = (&*viewer.host, &*viewer.token);
    assert_eq!(ask(host, "GET", "/", BROWSER).await.status, 200);
    let status = json(host, token, "/api/v1/status").await;
    assert_eq!((&status["proxy"], &status["session"], &status["started"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(json(host, token, "/api/v1/sessions/certification").await["exchanges"], 1);
    assert_eq!(json(host, token, "/api/v1/limits").await["limits"], Value::Array(Vec::new()));
    assert_eq!(json(host, token, "/api/v1/limits/history").await["from"], Value::Null);
    // Other commands use it, and sessions and declarations can be changed.
    assert!(text(&run(&data, &["sessions", "note", "certification", "seen"], None)).contains("certification"));
    assert_eq!(json(host, token, "/api/v1/sessions/certification").await["note"], "seen");
    let export = text(&run(&data, &["export", "--format", "ndjson", "-o", "-"], None));
    assert_eq!(export.lines().count(), 1);
    assert_eq!(text(&run(&data, &["open", "--print"], None)), format!("http://{host}/#token={token}\n"));
    // None can record into it meanwhile.
    let second = run(&data, &["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"], None);
    assert_eq!(second.status.code(), Some(1));
    tokio::task::spawn_blocking(move || viewer.stop()).await.unwrap();

    // What was recorded is as it was.
    assert_eq!(text(&run(&data, &["export", "--format", "ndjson", "-o", "-"], None)), export);
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_console_passed_for_a_serve_that_records() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    send(serve.proxy(), &post("bills/add", BODY)).await;
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
    let viewer = Viewer::start(&data, &[]);

    let started = text(&run(&data, &["sessions", "start", "next"], None));
    assert_eq!(started, "session next is open: `nightaudit serve --session next` records into it\n");
    let list = text(&run(&data, &["sessions"], None));
    assert!(list.contains("next") && !list.contains("recording"), "{list}");
    let status = json(&viewer.host, &viewer.token, "/api/v1/status").await;
    assert_eq!(status["session"], Value::Null);
    text(&run(&data, &["sessions", "delete", "next", "--yes"], None));
    for arguments in [&["limits"][..], &["limits", "--json"], &["fault", "list"], &["fault", "clear"]] {
        let output = run(&data, arguments, None);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("none is running"), "{arguments:?}: {said}");
    }
    tokio::task::spawn_blocking(move || viewer.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_log_that_cannot_be_written_had_no_page() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    assert_eq!(send(serve.proxy(), &post("bills/add", BODY)).await.status, 200);
    let serve_token = serve.token().to_owned();
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
    disk.protect();

    let viewer = Viewer::start(&data, &[]);
    let (host, token) = (&*viewer.host, &*viewer.token);
    assert_eq!(token, serve_token);
    let status = json(host, token, "/api/v1/status").await;
    assert_eq!((&status["readOnly"], &status["proxy"]), (&true.into(), &Value::Null));
    assert_eq!(json(host, token, "/api/v1/histogram?operation=bills/*").await["total"], 1);
    let row = json(host, token, "/api/v1/exchanges/last/row").await;
    assert_eq!((&row["operation"], &row["status"]), (&"bills/add".into(), &200.into()));
    assert_eq!(json(host, token, "/api/v1/sessions/certification/run").await["session"], row["session"]);
    let authorised = format!("Authorization: Bearer {token}\r\n");
    for (method, path) in [("DELETE", "/api/v1/sessions/certification"), ("POST", "/api/v1/sessions/certification/end")]
    {
        let refused = ask(host, method, path, &authorised).await;
        assert_eq!(refused.status, 409, "{method} {path}: {}", String::from_utf8_lossy(&refused.body));
        assert!(
            String::from_utf8_lossy(&refused.body).contains("not open for writing"),
            "{}",
            String::from_utf8_lossy(&refused.body)
        );
    }
    // Another one can read it at the same time, and commands read it themselves.
    drop(Viewer::start(&data, &[]));
    assert!(text(&run(&data, &["sessions"], None)).contains("certification"));
    tokio::task::spawn_blocking(move || viewer.stop()).await.unwrap();
}

#[test]
fn a_console_needs_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let output = run(&none, &["console", "--listen", "127.0.0.1:0"], None);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!none.exists(), "it leaves nothing where there was no log");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    drop(Process::serve_on(BINARY, &data, &["--upstream", "http://127.0.0.1:9"]));
    let output = run(&data, &["console", "--listen", &address], None);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("--listen") && said.contains(&address), "{said}");
}
