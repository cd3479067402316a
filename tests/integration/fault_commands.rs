//! Faults by command: at the start, at run time, and in everything that is shown of them.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_testkit::{Process, Upstream, post, send};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_changed_while_serve_runs() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--fault", "bills/*: 503, count=1"]);
    let status = async |operation: &str| send(serve.proxy(), &post(operation, BODY)).await.status;
    let fault = |arguments: &[&str]| said(&serve.run(BINARY, &[&["fault"], arguments].concat()));
    assert_eq!((status("bills/add").await, status("bills/add").await), (503, 200));
    assert_eq!(fault(&["list"]).1, "1  bills/*: 503, count=1  (1 of 1 requests, ended)\n");

    let (code, out, _) = fault(&["add", "rates/*: 429, retry-after=none", "customers/*: 500"]);
    assert_eq!((code, &*out), (0, "2  rates/*: 429, retry-after=none\n3  customers/*: 500\n"));
    assert_eq!((status("rates/getAll").await, status("customers/add").await), (429, 500));
    let json: Value = serde_json::from_str(fault(&["--json"]).1.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&json["number"], &json["injected"], json.get("left")), (&2.into(), &1.into(), None));

    // A wrong rule changes nothing, also after a right one.
    let (code, _, error) = fault(&["add", "bills/*: 400", "rates/*: lattency=1s"]);
    assert!(code == 2 && error.contains("did you mean `latency`?"), "{code} {error}");
    let (code, _, error) = fault(&["clear", "2", "9"]);
    assert!(code == 2 && error.contains("no fault rule 9"), "{code} {error}");
    assert_eq!(fault(&["clear", "2"]).1, "cleared 2  rates/*: 429, retry-after=none  (1 of 1 requests)\n");
    assert_eq!((status("rates/getAll").await, status("customers/add").await), (200, 500));
    assert_eq!(fault(&["clear"]).1.lines().count(), 2);
    assert_eq!(
        (fault(&["list"]).1, fault(&["clear"]).1),
        ("No faults are being injected.\n".to_owned(), "There was nothing to clear.\n".to_owned())
    );
    assert_eq!(status("customers/add").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_serve_there_is_nothing_to_change() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["fault", "list"][..], &["fault", "add", "503"], &["fault", "clear"]] {
        let (code, _, error) = said(&run(folder.path(), arguments));
        assert!(code == 1 && error.contains("a running `nightaudit serve`"), "{arguments:?}: {code} {error}");
    }
}

#[test]
fn a_wrong_rule_and_production_stop_serve_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (arguments, why) in [
        (&["--fault", "bills/*: explode=1%"][..], "`explode` is not one of its words"),
        (&["--fault", "429=2"], "write 429=2%"),
        (&["--fault", "429=2%", "--environment", "production"], "--allow-faults-in-production"),
        (&["--fault", "429=2%", "--upstream", "https://api.mews.com"], "--allow-faults-in-production"),
    ] {
        let (code, out, error) =
            said(&run(&data, &[&["serve", "--listen", "0", "--console", "0"], arguments].concat()));
        assert!(code == 2 && out.is_empty() && error.contains(why), "{arguments:?}: {code} {out} {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
        assert!(!data.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn production_is_told_to_nobody_at_run_time_either() {
    // Nothing is sent: the requests are only counted by the console.
    let serve = Process::serve(BINARY, &["--environment", "production", "--quiet"]);
    let (code, _, error) = said(&serve.run(BINARY, &["fault", "add", "503"]));
    assert!(code != 0 && error.contains("--allow-faults-in-production"), "{code} {error}");
    assert_eq!(said(&serve.run(BINARY, &["fault", "list"])).1, "No faults are being injected.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_said_in_lists_review_report_and_bundle() {
    let mews = Upstream::responding(200, r#"{"Cursor":null}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let rules = [
        "--fault",
        "rates/*: 429, count=2",
        "--fault",
        "bills/*: reset, count=1",
        "--fault",
        "customers/*: latency=1ms",
    ];
    let url = mews.url();
    let arguments = [&["--upstream", &*url, "--session", "rehearsal"][..], &rules].concat();
    let serve = Process::serve_on(BINARY, &data, &arguments);
    let mut stream = tokio::net::TcpStream::connect(serve.proxy()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &post("bills/getAll", BODY)).await.unwrap();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
    for operation in ["rates/getAll", "rates/getAll", "rates/getAll", "customers/getAll", "bills/getAll"] {
        send(serve.proxy(), &post(operation, BODY)).await;
    }
    let (_, tail, _) = said(&serve.run(BINARY, &["tail", "--no-follow"]));
    assert_eq!(tail.matches("fault: 429").count(), 2, "{tail}");
    assert!(tail.contains("fault: reset") && tail.contains("fault: latency=1ms"), "{tail}");
    let (_, faulted, _) = said(&serve.run(BINARY, &["tail", "--no-follow", "--outcome", "faulted"]));
    assert_eq!(faulted.lines().count(), 3, "{faulted}");
    let (_, shown, _) = said(&serve.run(BINARY, &["show", "last-error"]));
    assert!(shown.contains("injected fault: 429, by rates/*: 429, count=2"), "{shown}");
    assert!(serve.stop().0.success());

    let (_, review, _) = said(&run(&data, &["review", "--json", "--fail-on", "never"]));
    let review: Value = serde_json::from_str(&review).unwrap();
    let faults = &review["provenance"]["faults"];
    assert_eq!((&faults["exchanges"], &faults["delayed"]), (&4.into(), &1.into()));
    assert_eq!(faults["endings"], serde_json::json!({ "429": 2, "reset": 1 }));
    assert_eq!(review["run"]["outcomes"]["faulted"], 3);
    let sentence = "Nightaudit injected faults into 4 exchanges: 429 × 2, reset × 1, delayed × 1.";
    assert!(review["provenance"]["doubts"].as_array().unwrap().contains(&sentence.into()), "{review}");
    let rules: Vec<&str> = review["findings"].as_array().unwrap().iter().filter_map(|it| it["rule"].as_str()).collect();
    assert!(rules.contains(&"record/faults"), "{rules:?}");
    // Judged as retries, and by no share or rule that blames Mews.
    let retries = review["retries"].as_array().unwrap();
    assert!(retries.iter().all(|retry| retry["origin"] == "fault"), "{retries:?}");
    assert!(!rules.iter().any(|rule| matches!(*rule, "errors/share" | "errors/no-answer")), "{rules:?}");
    let errors = &review["errors"];
    assert_eq!((&errors["failed"], &errors["resolved"]), (&3.into(), &3.into()));
    assert!(errors["calls"].as_array().unwrap().iter().all(|call| call["byMews"] == false), "{errors}");

    let bundle = folder.path().join("evidence.zip");
    assert!(run(&data, &["export", "--format", "bundle", "-o", bundle.to_str().unwrap()]).status.success());
    let (code, out, error) = said(&run(&data, &["verify", bundle.to_str().unwrap()]));
    assert!(code == 0 && (out.clone() + &error).contains(sentence), "{out}{error}");
    let report = folder.path().join("report.html");
    assert!(run(&data, &["export", "--format", "html", "-o", report.to_str().unwrap()]).status.success());
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains(sentence) && report.contains("Injected fault"));
    let (_, csv, _) = said(&run(&data, &["export", "--format", "csv", "-o", "-"]));
    // By column: others follow it.
    let column = |line: &str, name: &str| {
        let at = csv.lines().next().unwrap().split(',').position(|own| own.trim_start_matches('\u{feff}') == name);
        line.split(',').nth(at.unwrap()).unwrap().trim().to_owned()
    };
    let is_reset = |line: &str| (column(line, "outcome"), column(line, "fault")) == ("faulted".into(), "reset".into());
    assert!(csv.lines().any(is_reset), "{csv}");
    let (_, har, _) = said(&run(&data, &["export", "--format", "har", "-o", "-"]));
    assert!(har.contains(r#""_error":"injected fault: 429""#), "{har}");
}
