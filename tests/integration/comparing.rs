//! `nightaudit compare` on what a real `serve` has recorded.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_testkit::{Process, Upstream, post, send};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

/// Runs a command in this folder, whose data folder is `data`.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(BINARY)
        .current_dir(folder)
        .args(arguments)
        .args(["--data", "data"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Records a session of two operations with responses of this body.
async fn record(folder: &Path, session: &str, response: &'static str, calls: u32) -> Process {
    let mews = Upstream::responding(200, response).await;
    let serve = Process::serve_on(BINARY, &folder.join("data"), &["--upstream", &mews.url(), "--session", session]);
    for _ in 0..calls {
        for operation in ["configuration/get", "services/getAll"] {
            send(serve.proxy(), &post(operation, BODY)).await;
        }
    }
    serve
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_equals_itself_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let serve = record(folder.path(), "run-1", r#"{"Services":[{"Id":"1","Name":"Stay"}],"Cursor":null}"#, 4).await;
    // With a running `serve`, and without.
    let (code, shown, error) = run(folder.path(), &["compare", "run-1", "last"]);
    assert_eq!((code, shown.contains("\nno difference\n")), (0, true), "{shown}{error}");
    serve.stop();
    for file in ["run-1.ndjson", "run-1.har", "run-1.zip"] {
        let (code, _, error) = run(folder.path(), &["export", "--session", "run-1", "-o", file]);
        assert_eq!(code, 0, "{error}");
    }
    for (a, b) in [
        ("run-1", "run-1"),
        ("run-1.ndjson", "run-1"),
        ("run-1", "run-1.zip"),
        ("./run-1.zip", "run-1.ndjson"),
        ("run-1.har", "run-1"),
    ] {
        let (code, shown, error) = run(folder.path(), &["compare", a, b, "--fail-on", "note"]);
        assert_eq!((code, shown.contains("\nno difference\n")), (0, true), "{a} {b}: {shown}{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_responses_are_found_and_decide_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "run-1", r#"{"Services":[{"Id":"1","Name":"Stay"}]}"#, 4).await.stop();
    record(folder.path(), "run-2", r#"{"Services":[{"Id":1,"Extra":true}]}"#, 4).await.stop();
    let compare =
        |more: &[&str]| run(folder.path(), &[&["compare", "run-1", "run-2", "--ignore", "latency"], more].concat());

    let (code, shown, error) = compare(&[]);
    assert_eq!(code, 1, "{shown}{error}");
    for said in [
        "4 errors, 2 notes",
        "/Services/*/Id was string, and is number now: in 4 of 4 responses.",
        "/Services/*/Name is gone: in 4 of 4 responses before, none of 4 now.",
        "/Services/*/Extra is new: in none of 4 responses before, 4 of 4 now.",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(!shown.contains("access-token"), "{shown}");

    for (arguments, expected) in [
        (&["--fail-on", "never"][..], 0),
        (&["--fail-on", "warning", "--ignore", "responses"], 0),
        (&["--fail-on", "note", "--ignore", "/Services/*/Id,/Services/*/Name"], 1),
        (&["--ignore", "/Services/*/Id,/Services/*/Name"], 0),
        (&["--operation", "services/*", "--fail-on", "never"], 0),
    ] {
        assert_eq!(compare(arguments).0, expected, "{arguments:?}: {}", compare(arguments).1);
    }

    let (_, json, _) = compare(&["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["counts"]["error"], &json["a"]["name"]), (&4.into(), &"run-1".into()));
    let id = json["differences"][0]["examples"][0]["exchange"].as_str().unwrap();
    let (code, shown, _) = run(folder.path(), &["show", id]);
    assert!(code == 0 && shown.contains("configuration/get"), "{shown}");

    let (code, shown, error) = compare(&["--html", "page.html"]);
    assert!(code == 1 && shown.contains("4 errors") && error.contains("comparison written to page.html"), "{error}");
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("/Services/*/Name is gone") && !page.contains("<script"), "{page}");
    let (code, _, error) = compare(&["--html", "page.html"]);
    assert!(code == 2 && error.contains("page.html already exists"), "{error}");
    assert_eq!(compare(&["--html", "page.html", "--force", "--fail-on", "never"]).0, 0);
    assert!(compare(&["--html", "-"]).1.starts_with("<!DOCTYPE html>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_compared_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("empty.ndjson", ""),
        ("text.ndjson", "hello\n"),
        ("broken.ndjson", "{\"id\":\"01KAS00000000000000000000A\"}\n"),
        ("broken.zip", "PK\u{3}\u{4}"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    // No log is needed to say so.
    for (file, expected) in [
        ("empty.ndjson", "empty.ndjson: the file has no exchanges"),
        ("text.ndjson", "text.ndjson: the format is unknown"),
        ("broken.ndjson", "broken.ndjson: line 1 is not an exchange: "),
        ("broken.zip", "broken.zip: "),
    ] {
        let (code, _, error) = run(folder.path(), &["compare", file, file]);
        assert!(code == 1 && error.contains(expected) && error.lines().count() == 1, "{file}: {code} {error}");
    }
    record(folder.path(), "run-1", "{}", 1).await.stop();
    for (arguments, code, expected) in [
        (&["compare", "run-1", "nobody"][..], 2, "there is no session `nobody`"),
        (&["compare", "run-1", "run-1", "--status", "500"], 1, "session `run-1` has no exchanges that match"),
        (&["compare", "run-1", "run-1", "--session", "run-1"], 2, "name the sessions as A and B"),
        (&["compare", "run-1", "run-1", "--ignore", "speed"], 2, "`speed` is nothing to ignore"),
        (&["compare", "run-1", "run-1", "--fail-on", "always"], 2, "always"),
        (&["compare", "run-1"], 2, "compare"),
    ] {
        let (own, _, error) = run(folder.path(), arguments);
        assert!(own == code && error.contains(expected), "{arguments:?}: {own} {error}");
    }
}
