//! The real binary in a pseudo-terminal.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nightaudit_testkit::{Nobody, Process, Terminal, Upstream, post, send};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

fn top(data: &Path, arguments: &[&str], columns: u16, lines: u16) -> Terminal {
    let all: Vec<&str> = ["top"].into_iter().chain(arguments.iter().copied()).collect();
    Terminal::nightaudit(BINARY, data, &all, columns, lines)
}

async fn recorded(operations: &[&str]) -> (Upstream, Process) {
    let mews = Upstream::responding(200, r#"{"Needle":{"Items":[1,2,3]},"Cursor":null}"#).await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "certification"]);
    for operation in operations {
        assert_eq!(send(serve.proxy(), &post(operation, BODY)).await.status, 200);
    }
    (mews, serve)
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_what_is_recorded_as_it_is_recorded() {
    let (_mews, serve) = recorded(&["bills/getAll", "rates/getAll"]).await;
    let mut top = top(serve.data(), &[], 80, 24);
    top.wait_for_text("live, following");
    let list = top.wait_for_text("rates/getAll");
    assert!(list.contains("bills/getAll") && list.contains("198/200"), "{list}");
    send(serve.proxy(), &post("configuration/get", BODY)).await;
    top.wait_for_text("configuration/get");
    top.wait_for_text("3/200 used  free now");

    // Request and response side by side; the response folds, and is searched.
    top.press("\r");
    let detail = top.wait_for_text("Needle");
    assert!(detail.contains("POST http://") && detail.contains(" response "), "{detail}");
    top.press("\tz");
    top.wait_for_text("{ 1 … }");
    top.press("/items\r");
    top.wait_for_text("\"Items\": [ 3 … ]");
    top.press("\r");
    top.wait_for("unfolded", |screen| !screen.contents().contains("3 … ]"));
    top.press("q");
    top.wait_for_text("live, following");

    // Another size, and back; a filter, the findings, the keys.
    top.resize(160, 40);
    top.wait_for("wide", |screen| screen.contents().contains("SESSION") && screen.size().0.get() == 40);
    top.resize(80, 24);
    top.wait_for("narrow", |screen| !screen.contents().contains("SESSION") && screen.contents().contains("q quit"));
    top.press("frates/*\r");
    top.wait_for("filtered", |screen| {
        let text = screen.contents();
        text.contains("filter: operation=rates/*") && text.contains("1 exchanges 1 ") && !text.contains("bills/getAll")
    });
    top.press("3");
    top.wait_for_text("FINDING");
    top.press("2");
    top.wait_for_text("REFUSED");
    top.press("q?");
    top.wait_for_text("page down, up");
    top.press("qq");
    let (status, _) = top.wait();
    assert!(status.success() && top.is_put_back());
}

#[tokio::test(flavor = "multi_thread")]
async fn top_goes_on_when_serve_is_restarted_and_shows_the_log_without_it() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--upstream", &mews.url()];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    send(serve.proxy(), &post("bills/add", BODY)).await;
    assert!(serve.stop().0.success());

    let mut top = top(&data, &[], 80, 24);
    top.wait_for_text("serve is not running");
    top.wait_for_text("bills/add");
    top.press("\r");
    top.wait_for_text("POST http");
    top.press("q");
    let serve = Process::serve_on(BINARY, &data, &arguments);
    top.wait_for_text("live");
    send(serve.proxy(), &post("bills/close", BODY)).await;
    let list = top.wait_for_text("bills/close");
    assert_eq!(list.matches("bills/add").count(), 1, "{list}");
    top.press("q");
    assert!(top.wait().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn top_exports_what_is_marked() {
    let (_mews, serve) = recorded(&["bills/add", "bills/close", "rates/getAll"]).await;
    let file = serve.data().join("marked.ndjson");
    let mut top = top(serve.data(), &[], 160, 24);
    top.wait_for_text("rates/getAll");
    top.press("gmm");
    top.wait_for_text("2 marked");
    top.press("x");
    top.wait_for_text("nightaudit-2-exchanges.har");
    // Ctrl-U empties the line.
    top.press(&format!("\u{15}{}\r", file.display()));
    top.wait_for_text("2 exchanges written");
    let written = std::fs::read_to_string(&file).unwrap();
    let operations: Vec<_> = written
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["operation"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(operations, ["bills/add", "bills/close"]);
    top.press(&format!("x\u{15}{}\r", file.display()));
    top.wait_for_text("already exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_top_and_puts_the_terminal_back() {
    let (_mews, serve) = recorded(&["bills/add"]).await;
    for signal in ["-TERM", "-HUP", "-INT"] {
        let mut top = top(serve.data(), &[], 80, 24);
        top.wait_for("full screen", |screen| screen.alternate_screen() && screen.contents().contains("bills/add"));
        assert!(!top.is_put_back());
        assert!(Command::new("kill").args([signal, &top.id().to_string()]).status().unwrap().success());
        top.wait();
        assert!(top.is_put_back(), "{signal}");
    }
}

#[test]
fn top_needs_a_terminal() {
    let output = Command::new(BINARY).arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nightaudit tail"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_fits_the_terminal_and_has_its_colours() {
    let (_mews, serve) = recorded(&["reservations/getAll/2023-06-06"]).await;
    for (columns, arguments, colored) in
        [(80, &["tail", "--no-follow"][..], true), (160, &["tail", "--no-follow", "--color", "never"], false)]
    {
        let mut tail = Terminal::nightaudit(BINARY, serve.data(), arguments, columns, 24);
        let (_, bytes) = tail.wait();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(text.contains('\u{1b}'), colored, "{text:?}");
        assert_eq!(text.contains("certification"), columns == 160, "{text}");
        let screen = tail.wait_for_text("199/200");
        let lines = screen.trim_end().lines().count();
        assert_eq!(lines, 1, "a line was broken:\n{screen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_deleted_after_a_yes_on_the_terminal() {
    let (_mews, serve) = recorded(&["bills/add"]).await;
    assert!(serve.run(BINARY, &["sessions", "start", "second"]).status.success());
    let refused = serve.run(BINARY, &["sessions", "delete", "certification"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--yes"));
    let delete = ["sessions", "delete", "certification"];

    let mut asked = Terminal::nightaudit(BINARY, serve.data(), &delete, 100, 24);
    asked.wait_for_text("Permanently delete session certification with 1 exchange");
    asked.press("n\n");
    assert!(!asked.wait().0.success());
    asked.wait_for_text("was not deleted");

    let mut asked = Terminal::nightaudit(BINARY, serve.data(), &delete, 100, 24);
    asked.wait_for_text("[y/N]");
    asked.press("y\n");
    assert!(asked.wait().0.success());
    asked.wait_for_text("deleted session certification");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_review_is_drawn_in_place() {
    let (_mews, serve) = recorded(&["configuration/get"]).await;
    let watch = Terminal::nightaudit(BINARY, serve.data(), &["review", "--watch"], 100, 24);
    // A screen arrives line by line.
    let first = watch.wait_for("drawn", |screen| {
        let text = screen.contents();
        text.contains("session certification, 1 exchange") && text.contains("0 fixed, 0 new")
    });
    assert!(first.starts_with("Not "), "{first}");
    send(serve.proxy(), &post("customers/getall", BODY)).await;
    let second = watch.wait_for("drawn again", |screen| {
        let text = screen.contents();
        text.contains("session certification, 2 exchanges") && text.contains("NEW   error   request/unknown-operation")
    });
    // The verdict stands where it stood, and once.
    assert!(second.starts_with("Not ") && second.matches("session certification").count() == 1, "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_form_asks_is_asked_on_the_terminal() {
    let (_mews, serve) = recorded(&["configuration/get", "customers/getAll"]).await;
    let file = serve.data().join("certification.toml");
    let init = ["review", "--init", "--declaration", file.to_str().unwrap()];
    let mut asked = Terminal::nightaudit(BINARY, serve.data(), &init, 120, 40);
    for (question, answer) in [
        ("public (to be listed in the Marketplace) or private (for one customer)? [public]", "privat"),
        ("one of public, private", "private"),
        ("Partner id at Mews", "INT12345"),
        ("Contact for the reviewers", "Ann, ann@acme.example"),
        ("Name of the integration [Kiosk]", ""),
        ("First property to use it", "Hotel \"Acme\""),
        ("Does it receive webhooks?", "y"),
        ("Does it receive WebSocket events?", ""),
        ("Which documented use case does it follow?", "kiosk"),
    ] {
        asked.wait_for_text(question);
        asked.press(&format!("{answer}\n"));
    }
    assert!(asked.wait().0.success());
    let text = std::fs::read_to_string(&file).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let said = |key: &str| table.get(key).map(ToString::to_string);
    for (key, value) in [
        ("kind", Some("\"private\"")),
        ("partner", Some("\"INT12345\"")),
        ("contact", Some("\"Ann, ann@acme.example\"")),
        ("integration", Some("\"Kiosk\"")),
        ("client", Some("\"Kiosk\"")),
        ("pilot", Some("'Hotel \"Acme\"'")),
        ("webhooks", Some("true")),
        ("websocket", None),
        ("use_case", Some("\"kiosk\"")),
    ] {
        assert_eq!(said(key).as_deref(), value, "{text}");
    }
    // One that is there is left alone, and nothing is asked.
    let mut again = Terminal::nightaudit(BINARY, serve.data(), &init, 120, 40);
    let said = again.wait_for_text("already exists: replace it with --force");
    assert!(!again.wait().0.success() && !said.contains("partner"), "{said}");
}

/// `serve` on a terminal that is wide enough for any line, before this upstream.
fn serve_on_terminal(data: &Path, upstream: &str, flags: &[&str]) -> (Terminal, SocketAddr) {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--upstream", upstream];
    let all: Vec<&str> = fixed.into_iter().chain(["--session", "certification"]).chain(flags.iter().copied()).collect();
    let terminal = Terminal::nightaudit(BINARY, data, &all, 220, 30);
    let screen = terminal.wait_for_text("Ctrl-C stops");
    let proxy = screen.lines().find_map(|line| line.strip_prefix("proxy    http://")?.split(' ').next()).unwrap();
    let proxy = proxy.parse().unwrap();
    assert!(screen.contains("session  certification") && screen.contains("console  http://127.0.0.1:"), "{screen}");
    assert!(screen.contains(&format!("base URL at http://{proxy} instead of {upstream}")), "{screen}");
    (terminal, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_shows_the_requests_on_a_terminal_unless_it_is_to_be_quiet() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    for (flags, shown) in [(&[][..], true), (&["--quiet"], false)] {
        let (mut serve, proxy) = serve_on_terminal(&folder.path().join("data"), &mews.url(), flags);
        send(proxy, &post("bills/getAll", BODY)).await;
        if shown {
            serve.wait_for("a request's line", |screen| {
                screen.contents().lines().any(|line| line.contains("  200  ") && line.contains("bills/getAll"))
            });
        }
        serve.press("\x03");
        let (status, written) = serve.wait();
        let written = String::from_utf8_lossy(&written).into_owned();
        assert!(status.success(), "{written}");
        assert_eq!(written.contains("bills/getAll"), shown, "{written}");
        assert!(!written.contains("can't connect"), "{written}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_warns_on_a_terminal_when_the_upstream_cant_be_reached() {
    let held = Nobody::new();
    let nobody = held.address();
    let folder = tempfile::tempdir().unwrap();
    let (mut serve, _) = serve_on_terminal(folder.path(), &format!("http://{nobody}"), &[]);
    serve.wait_for_text(&format!("can't connect to http://{nobody}"));
    serve.wait_for_text(&format!("requests fail until http://{nobody} can be reached"));
    serve.press("\x03");
    assert!(serve.wait().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_writes_the_requests_to_a_pipe_when_asked() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Command::new(BINARY)
        .args([
            "serve",
            "--listen",
            "0,localhost:0",
            "--console",
            ":0",
            "--requests",
            "--upstream",
            &mews.url(),
            "--data",
        ])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(serve.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = |what: &str| lines.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("no {what}"));
    let mut proxies = Vec::new();
    let session = loop {
        let line = next("session");
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["proxy", url, ..] => proxies.push(url.strip_prefix("http://").unwrap().parse::<SocketAddr>().unwrap()),
            ["session", ..] => break line,
            _ => {}
        }
    };
    assert_eq!(proxies.len(), 2, "{session}");
    for (proxy, operation) in proxies.into_iter().zip(["bills/getAll", "rates/getAll"]) {
        send(proxy, &post(operation, BODY)).await;
        let line = next("line of a request");
        assert!(line.contains("  200  ") && line.contains(operation), "{line}");
    }
    serve.kill().unwrap();
    serve.wait().unwrap();
}
