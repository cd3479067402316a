//! Files of other tools, imported as a user does: by the command, with and without a running `serve`, and made by the tools.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use nightaudit_testkit::{Process, Upstream, post, send, skip};
use serde_json::{Value, json};

use crate::browser::browser;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
/// 2026-11-23T12:00:00Z, in seconds.
const NOON: u64 = 1_795_435_200;

fn run(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data").arg(data).current_dir(data.parent().unwrap());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// The exchanges of a log.
fn exchanges(data: &Path) -> Vec<Value> {
    let lines = done(data, &["export", "--format", "ndjson", "-o", "-"]);
    lines.lines().filter(|line| line.starts_with("{\"id\"")).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sessions(data: &Path) -> Vec<Value> {
    done(data, &["sessions", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An entry so many seconds after noon, as Charles has it.
fn entry(second: u64) -> Value {
    let started = nightaudit_exchange::Timestamp::from_micros(i64::try_from((NOON + second) * 1_000_000).unwrap());
    let body = json!({"AccessToken": TOKEN, "Client": "Acme Kiosk 2.1.0", "DoorCode": "471108154711", "Limitation": {"Count": 10}});
    json!({
        "startedDateTime": started.to_string(), "time": 85,
        "request": {
            "method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/reservations/getAll/2023-06-06",
            "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
            "postData": {"mimeType": "application/json", "text": body.to_string()}, "bodySize": -1, "headersSize": -1,
        },
        "response": {
            "status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "headers": [],
            "content": {"size": -1, "mimeType": "application/json", "text": format!("{{\"echo\":\"{TOKEN}\"}}")},
        },
        "timings": {"dns": 2, "connect": 20, "send": 1, "wait": 58, "receive": 4},
    })
}

fn har(entries: impl Iterator<Item = Value>) -> String {
    let creator = json!({"name": "Charles Proxy", "version": "5.0.1"});
    json!({"log": {"version": "1.2", "creator": creator, "entries": entries.collect::<Vec<_>>()}}).to_string()
}

/// What holds wherever it was imported.
fn assert_imported(data: &Path, name: &str, count: usize) {
    let all = sessions(data);
    let session = all.iter().find(|session| session["name"] == name).unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!((&session["exchanges"], &session["open"]), (&count.into(), &false.into()), "{session}");
    assert_eq!(session["imported"], json!({"exchanges": count, "edited": 0, "masked": 0, "foreign": count}));
    assert!(done(data, &["sessions"]).contains("imported from another tool"));
    let theirs: Vec<_> = exchanges(data).into_iter().filter(|exchange| exchange["sessionName"] == name).collect();
    assert_eq!(theirs.len(), count);
    for exchange in &theirs {
        let text = exchange.to_string();
        assert!(!text.contains(TOKEN) && !text.contains("471108154711"), "{text}");
        assert_eq!(exchange["recordedBy"], "Charles Proxy 5.0.1");
        assert_eq!(exchange["envelope"]["accessToken"], "REDACTED:e7fcd8b29db2");
        assert!(exchange["response"]["body"].as_str().unwrap().contains("REDACTED:e7fcd8b29db2"), "{text}");
    }
}

/// The configuration that redacts a property.
fn redacting(folder: &Path) -> PathBuf {
    let config = folder.join("nightaudit.toml");
    fs::write(&config, "[redact]\nfields = [\"DoorCode\"]\n").unwrap();
    config
}

#[test]
fn a_har_is_imported_redacted_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), redacting(folder.path()));
    let file = folder.path().join("charles recording.har");
    fs::write(&file, har((0..300).map(entry))).unwrap();
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    let told = done(&data, &["log", "import", file, "--config", config]);
    assert_eq!(
        told,
        "300 exchanges in 1 session imported\nrecorded by Charles Proxy 5.0.1: the session stays marked as imported\n"
    );
    assert_imported(&data, "charles recording", 300);
    assert!(done(&data, &["log", "check"]).contains("300 exchanges in 1 session are intact"));
    assert!(done(&data, &["log", "info"]).contains("imported   1 session was imported; recorded by another tool"));
    let shown = done(&data, &["show", "last"]);
    assert!(shown.contains("imported: recorded by Charles Proxy 5.0.1, whose word its times and bytes are"), "{shown}");
    assert!(done(&data, &["tail", "--no-follow", "-n", "1"]).contains("imported"));

    // The same file once more is another session, and --session names it.
    done(&data, &["log", "import", file, "--config", config, "--session", "again"]);
    assert_imported(&data, "again", 300);

    // The review says whose word it is, and so does what is exported, imported elsewhere and exported again.
    let ndjson = folder.path().join("export.ndjson");
    done(&data, &["export", "--session", "again", "-o", ndjson.to_str().unwrap()]);
    let other = folder.path().join("other");
    done(&other, &["log", "import", ndjson.to_str().unwrap()]);
    assert_imported(&other, "again", 300);
    for data in [&data, &other] {
        let review = run(data, &["review", "--session", "again", "--json", "--fail-on", "never"]);
        let review: Value = serde_json::from_slice(&review.stdout).unwrap();
        let provenance = &review["provenance"];
        let statement = "Imported; recorded by another tool; claims to come from api.mews-demo.com";
        assert_eq!((&provenance["standing"], &provenance["statement"]), (&"claimed".into(), &statement.into()));
        assert_eq!(review["findings"].as_array().unwrap().iter().filter(|f| f["rule"] == "record/imported").count(), 1);
    }
    // Taking the mark out of the file is noticed.
    let unmarked = fs::read_to_string(&ndjson).unwrap().replace(",\"recordedBy\":\"Charles Proxy 5.0.1\"", "");
    fs::write(&ndjson, unmarked).unwrap();
    let third = folder.path().join("third");
    done(&third, &["log", "import", ndjson.to_str().unwrap()]);
    assert_eq!(sessions(&third)[0]["imported"], json!({"exchanges": 300, "edited": 300, "masked": 0}));
}

#[test]
fn regression_redact_fields_did_not_apply_to_imports() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, config) = (folder.path().join("plain"), redacting(folder.path()));
    let file = folder.path().join("a.har");
    fs::write(&file, har((0..20).map(entry))).unwrap();
    done(&plain, &["log", "import", file.to_str().unwrap()]);
    assert!(exchanges(&plain)[0].to_string().contains("471108154711"));
    let export = folder.path().join("plain.ndjson");
    done(&plain, &["export", "-o", export.to_str().unwrap()]);
    // An export in which they are not redacted yet counts as altered; one from here fits.
    let masked = folder.path().join("masked");
    let told = done(&masked, &["log", "import", export.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(told.contains("values are masked in 20"), "{told}");
    let there = exchanges(&masked);
    assert!(there.len() == 20 && !there[0].to_string().contains("471108154711"), "{}", there[0]);
    let code = |exchange: &Value| {
        let body: Value = serde_json::from_str(exchange["request"]["body"].as_str().unwrap()).unwrap();
        body["DoorCode"].as_str().unwrap().to_owned()
    };
    assert!(code(&there[0]).starts_with("REDACTED:") && code(&there[0]) == code(&there[19]));
    let again = folder.path().join("masked.ndjson");
    done(&masked, &["export", "-o", again.to_str().unwrap()]);
    done(&masked, &["sessions", "delete", "a", "--yes"]);
    let told = done(&masked, &["log", "import", again.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(!told.contains("different hash"), "{told}");
    assert_eq!(exchanges(&masked), there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_serve_imports_for_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), redacting(folder.path()));
    let mews = Upstream::responding(200, "{}").await;
    let arguments = ["--upstream", &mews.url(), "--session", "own", "--config", config.to_str().unwrap()];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    assert_eq!(send(serve.proxy(), &post("rates/getAll", "{}")).await.status, 200);
    let file = folder.path().join("charles.har");
    fs::write(&file, har((0..2000).map(entry))).unwrap();
    let import = |arguments: &[&str]| {
        let mut all = vec!["log", "import", file.to_str().unwrap()];
        all.extend(arguments);
        run(&data, &all)
    };
    let told = import(&[]);
    assert_eq!(
        (said(&told), told.status.code()),
        (
            "2,000 exchanges in 1 session imported\nrecorded by Charles Proxy 5.0.1: the session stays marked as imported\n"
                .to_owned(),
            Some(0)
        )
    );
    assert_imported(&data, "charles", 2000);
    assert_eq!(send(serve.proxy(), &post("rates/getAll", "{}")).await.status, 200);

    // From standard input.
    let mut command = Command::new(BINARY);
    command.args(["log", "import", "-", "--session", "piped", "--data"]).arg(&data);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_imported(&data, "piped", 2000);

    // What is wrong is the same as without a `serve`, however much is still being sent, and leaves nothing.
    let many: Vec<_> = (0..5_000).map(entry).collect();
    let text = har(many.into_iter()).replacen("\"url\":\"https://", "\"url\":\"", 3);
    fs::write(&file, text).unwrap();
    let alone = folder.path().join("alone");
    let mut all = vec!["log", "import", file.to_str().unwrap()];
    let (through, by_itself) = (run(&data, &all), run(&alone, &all));
    assert_eq!((said(&through), through.status.code()), (said(&by_itself), Some(1)));
    let expected = "log.entries[0] can't be read, at byte 72: request.url is not an absolute URL; `--lenient`";
    assert!(said(&through).contains(expected), "{}", said(&through));
    assert_eq!(sessions(&data).len(), 3);
    all.extend(["--lenient", "--session", "some"]);
    let (through, by_itself) = (done(&data, &all), done(&alone, &all));
    assert_eq!(through, by_itself);
    let skipped = "3 damaged entries skipped\n  log.entries[0]: request.url is not an absolute URL\n  log.entries[1]:";
    assert!(through.starts_with("4,997 exchanges") && through.contains(skipped), "{through}");
    assert_eq!(import(&["--session", "\n"]).status.code(), Some(2));
    assert_eq!(send(serve.proxy(), &post("rates/getAll", "{}")).await.status, 200);
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
    let own = sessions(&data).into_iter().find(|session| session["name"] == "own").unwrap();
    assert_eq!((&own["exchanges"], &own["imported"]), (&3.into(), &Value::Null));
}

/// mitmproxy as a reverse proxy, that writes what it saw when it ends.
struct Mitm {
    child: Child,
    address: SocketAddr,
}

impl Mitm {
    /// `None` if it isn't installed.
    fn start(folder: &Path, upstream: &str) -> Option<Self> {
        let program = std::env::var_os("TEST_MITMDUMP").unwrap_or_else(|| "mitmdump".into());
        let mode = format!("reverse:{upstream}");
        let har = format!("hardump={}", folder.join("flows.har").display());
        let home = format!("confdir={}", folder.join("mitmproxy").display());
        let mut command = Command::new(program);
        command.args([
            "--mode",
            &mode,
            "--listen-host",
            "127.0.0.1",
            "--listen-port",
            "0",
            "--set",
            &har,
            "--set",
            &home,
        ]);
        command.arg("-w").arg(folder.join("flows.mitm")).env("PYTHONUNBUFFERED", "1");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().ok()?;
        // `… listening at http://127.0.0.1:43211.`
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening at"));
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.as_deref().and_then(|line| line.rsplit_once("127.0.0.1:")).map(|(_, port)| port);
        let port = address.unwrap_or_default().trim_end_matches('.').parse().unwrap();
        Some(Self { child, address: SocketAddr::new([127, 0, 0, 1].into(), port) })
    }

    fn stop(mut self) {
        let stopped = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status();
        assert!(stopped.unwrap().success());
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mitmproxy_writes_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mews = Upstream::responding(200, r#"{"Rates":[],"Note":"Süß"}"#).await;
    let Some(mitm) = Mitm::start(folder, &mews.url()) else {
        return skip("mitmproxy's own files (mitmdump isn't installed: `pip install mitmproxy`, or TEST_MITMDUMP)");
    };
    for number in 0..3 {
        let body = format!(r#"{{"AccessToken":"{TOKEN}","Client":"Kiosk {number}"}}"#);
        assert_eq!(send(mitm.address, &post("rates/getAll", &body)).await.status, 200);
    }
    mitm.stop();
    let read = |file: &str| {
        let data = folder.join(format!("{file}-data"));
        let told = done(&data, &["log", "import", folder.join(file).to_str().unwrap()]);
        assert!(told.starts_with("3 exchanges in 1 session imported\nrecorded by mitmproxy"), "{told}");
        exchanges(&data)
    };
    let (flows, har) = (read("flows.mitm"), read("flows.har"));
    for (number, (flow, entry)) in flows.iter().zip(&har).enumerate() {
        for exchange in [flow, entry] {
            assert_eq!(exchange["operation"], "rates/getAll");
            assert_eq!(exchange["envelope"]["client"], format!("Kiosk {number}"));
            assert_eq!(exchange["envelope"]["accessToken"], "REDACTED:e7fcd8b29db2");
            assert_eq!(exchange["response"]["body"], r#"{"Rates":[],"Note":"Süß"}"#);
            assert!(!exchange.to_string().contains(TOKEN));
        }
        // The times of both are the same, as far as a HAR has them.
        assert_eq!(flow["startedAt"], entry["startedAt"]);
        let end = |exchange: &Value| exchange["timesUs"]["responseEnd"].as_u64().unwrap();
        assert!(end(flow).abs_diff(end(entry)) < 50_000, "{} and {}", flow["timesUs"], entry["timesUs"]);
        assert!(flow["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

/// A page that sends three requests.
const PAGE: &str = r#"<!doctype html><title>kiosk</title><link rel="icon" href="data:,"><script>
(async () => {
  for (let number = 0; number < 3; number++) {
    const body = JSON.stringify({ AccessToken: "TOKEN", Client: `Kiosk ${number}` });
    await (await fetch("/api/connector/v1/rates/getAll", { method: "POST", headers: { "Content-Type": "application/json" }, body })).text();
  }
  document.title = "done";
})();
</script>"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_chromium_writes_is_imported() {
    let Some(browser) = browser("a HAR by Chromium") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mews = Upstream::scripted(|seen| async move {
        let is_page = seen.head.method == http::Method::GET;
        let (kind, text) = match is_page {
            true => ("text/html", PAGE.replace("TOKEN", TOKEN)),
            false => ("application/json", r#"{"Rates":[],"Note":"Süß"}"#.to_owned()),
        };
        let body = Full::from(text).map_err(|never| match never {}).boxed();
        http::Response::builder().header("content-type", kind).body(body).unwrap()
    })
    .await;
    let file = folder.path().join("chromium.har");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/har.cjs");
    let mut node = Command::new("node");
    node.arg(script).arg(&browser.program).arg(mews.url()).arg(&file).env("NODE_PATH", &browser.packages);
    let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let data = folder.path().join("data");
    let told = done(&data, &["log", "import", file.to_str().unwrap()]);
    assert!(told.starts_with("3 exchanges in 1 session imported\nrecorded by WebInspector "), "{told}");
    assert!(told.contains("1 request to other hosts or paths left out"), "{told}");
    for (number, exchange) in exchanges(&data).iter().enumerate() {
        assert_eq!(exchange["envelope"]["client"], format!("Kiosk {number}"));
        assert_eq!(exchange["response"]["body"], r#"{"Rates":[],"Note":"Süß"}"#);
        assert_eq!(exchange["envelope"]["accessToken"], "REDACTED:e7fcd8b29db2");
        let (before, after) = (&exchange["timesUs"]["forwarded"], &exchange["timesUs"]["responseEnd"]);
        assert!(before.as_u64().unwrap() <= after.as_u64().unwrap(), "{exchange}");
        assert!(Duration::from_micros(after.as_u64().unwrap()) < Duration::from_secs(600), "{exchange}");
    }
}
