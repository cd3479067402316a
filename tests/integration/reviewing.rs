//! `nightaudit review` on what a real `serve` has recorded.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_testkit::{Process, Upstream, post, send};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

/// Runs `review` in this folder.
fn review(folder: &Path, data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .current_dir(folder)
        .arg("review")
        .args(arguments)
        .args(["--data".as_ref(), data.as_os_str()])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_reviewed_alike_with_and_without_a_running_serve() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    for operation in ["configuration/get", "customers/getall", "configuration/get"] {
        send(serve.proxy(), &post(operation, BODY)).await;
    }
    let (code, shown, _) = said(&review(folder.path(), &data, &[]));
    assert_eq!(code, 1);
    let headline =
        format!("Not Mews: {}. This is a rehearsal, not evidence. 2 errors would fail the review", mews.url());
    assert!(shown.replace('\n', " ").starts_with(&headline), "{shown}");
    assert!(shown.contains("> Did you mean customers/getAll?"), "{shown}");
    assert!(!shown.contains("access-token"), "{shown}");

    let (code, running, _) = said(&review(folder.path(), &data, &["--json", "--fail-on", "never"]));
    assert_eq!(code, 0);
    serve.stop();
    let (_, alone, _) = said(&review(folder.path(), &data, &["--json", "--session", "certification"]));
    assert_eq!(running, alone);
    let json: Value = serde_json::from_str(&alone).unwrap();
    assert_eq!((&json["verdict"], &json["run"]["exchanges"]), (&"not-mews".into(), &3.into()));
    let rules: Vec<&str> = json["findings"].as_array().unwrap().iter().filter_map(|own| own["rule"].as_str()).collect();
    assert_eq!(rules, ["run/short", "request/unknown-operation", "run/environment"]);
    // What a finding names can be shown.
    let id = json["findings"][1]["exchanges"][0].as_str().unwrap();
    let show = Command::new(BINARY).args(["show", id, "--data"]).arg(&data).output().unwrap();
    assert!(String::from_utf8_lossy(&show.stdout).contains("customers/getall"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_is_written_once_and_then_heeded() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
    let (code, _, error) = said(&review(folder.path(), &data, &[]));
    assert_eq!((code, error.contains("no sessions yet") || error.contains("no exchanges yet")), (1, true), "{error}");
    send(serve.proxy(), &post("configuration/get", BODY)).await;
    send(serve.proxy(), &post("customers/getall", BODY)).await;

    let (code, _, error) = said(&review(folder.path(), &data, &["--init"]));
    assert_eq!(code, 0, "{error}");
    let file = folder.path().join("certification.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"configuration/get\" = ") && text.contains("client = \"Kiosk\""), "{text}");
    let (code, _, error) = said(&review(folder.path(), &data, &["--init"]));
    assert_eq!(
        (code, error.contains("certification.toml already exists: replace it with --force")),
        (2, true),
        "{error}"
    );
    assert_eq!(said(&review(folder.path(), &data, &["--init", "--force"])).0, 0);

    // What nobody has written yet is no purpose.
    let (code, _, error) = said(&review(folder.path(), &data, &[]));
    assert_eq!((code, error.contains("say what `configuration/get` is used for")), (2, true), "{error}");
    let text = text.replace(" — say what for", " of the property");
    let silence = "\"request/unknown-operation\" = { silence = true, reason = \"a test\" }";
    std::fs::write(&file, text.replace("[rules]", &format!("[rules]\n{silence}"))).unwrap();
    let (code, shown, _) = said(&review(folder.path(), &data, &["--except", "run/short"]));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Silenced by the declaration") && shown.contains("silenced: a test"), "{shown}");
    assert!(shown.contains("with 1 rule silenced by the partner"), "{shown}");
    assert!(shown.contains("request/unknown-operation (a test)."), "{shown}");
    // A partner can't silence what the evidence depends on.
    let short = "\"run/short\" = { silence = true, reason = \"a test\" }";
    std::fs::write(&file, text.replace("[rules]", &format!("[rules]\n{short}"))).unwrap();
    let (code, _, error) = said(&review(folder.path(), &data, &[]));
    assert_eq!((code, error.contains("`run/short` can only be explained, not silenced")), (2, true), "{error}");

    for (arguments, expected) in [
        (&["--declaration", "none.toml"][..], "can't read the declaration none.toml"),
        (&["--session", "nobody"], "there is no session `nobody`"),
        (&["--explain", "limits/under"], "unknown rule `limits/under`: did you mean `limits/over`?"),
    ] {
        let (code, _, error) = said(&review(folder.path(), &data, arguments));
        assert_eq!((code, error.lines().count(), error.contains(expected)), (2, 1, true), "{error}");
    }
    std::fs::write(&file, "clent = 'x'\n").unwrap();
    let (code, _, error) = said(&review(folder.path(), &data, &[]));
    let expected = "certification.toml: line 1: `clent` is not a key of a declaration: did you mean `client`?";
    assert_eq!((code, error.contains(expected)), (2, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_review_goes_on() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "watched"]);
    send(serve.proxy(), &post("configuration/get", BODY)).await;
    let mut watch = Command::new(BINARY)
        .args(["review", "--watch", "--json", "--data"])
        .arg(serve.data())
        .current_dir(serve.data())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut exchanges = || {
        let json: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        json["run"]["exchanges"].as_u64().unwrap()
    };
    assert_eq!(exchanges(), 1);
    send(serve.proxy(), &post("configuration/get", BODY)).await;
    assert_eq!(exchanges(), 2);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_reviews_are_compared() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (session, operations) in
        [("one", &["configuration/get", "customers/getall"][..]), ("two", &["configuration/get", "services/getall"])]
    {
        let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", session]);
        for operation in operations {
            send(serve.proxy(), &post(operation, BODY)).await;
        }
        serve.stop();
    }
    let (code, shown, error) = said(&review(folder.path(), &data, &["--session", "two", "--against", "one"]));
    assert_eq!(code, 1, "{error}");
    assert!(shown.contains("1 fixed, 1 new") && shown.contains("(against session one)"), "{shown}");
    let (fixed, new) = shown.split_once("\nNew\n").unwrap();
    assert!(fixed.contains("customers/getall") && new.contains("services/getall"), "{shown}");

    // The same against a file.
    let (_, json, _) = said(&review(folder.path(), &data, &["--session", "one", "--json"]));
    std::fs::write(folder.path().join("one.json"), &json).unwrap();
    let (_, text, error) =
        said(&review(folder.path(), &data, &["--session", "two", "--json", "--against", "one.json"]));
    let comparison: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{error}"));
    assert_eq!((&comparison["was"], &comparison["is"]), (&"not-mews".into(), &"not-mews".into()));
    let rule = |list: &str| comparison[list][0]["rule"].as_str().unwrap().to_owned();
    assert_eq!((rule("fixed"), rule("new")), ("request/unknown-operation".into(), "request/unknown-operation".into()));

    std::fs::write(folder.path().join("wrong.json"), "{}").unwrap();
    for (which, expected, exit) in [
        ("nothing", "there is no session `nothing`", 2),
        ("wrong.json", "wrong.json is not the output of `nightaudit review --json`", 1),
    ] {
        let (code, _, error) = said(&review(folder.path(), &data, &["--against", which]));
        assert_eq!((code, error.contains(expected)), (exit, true), "{error}");
    }
}

#[test]
fn rules_are_offered_behind_explain() {
    let output = Command::new(BINARY)
        .args(["--", "nightaudit", "review", "--explain", "errors/"])
        .env("_NIGHTAUDIT_COMPLETE", "fish")
        .env("_CLAP_COMPLETE_INDEX", "3")
        .output()
        .unwrap();
    let offered = String::from_utf8(output.stdout).unwrap();
    assert!(offered.contains("errors/unresolved") && offered.contains("errors/share"), "{offered}");
}
