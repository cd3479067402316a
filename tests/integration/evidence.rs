//! Evidence: exported with and without a running `serve`, verified, and opened in a browser.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use nightaudit_testkit::{Process, Upstream, post, send};

use crate::browser::browser;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Acme 1.0","Email":"ann@example.com"}"#;
/// How many exchanges a run has.
const EXCHANGES: usize = 24;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).arg("--data").arg(data).output().unwrap()
}

/// A `serve` that has recorded a run, the last exchange of which is a webhook, and its data folder.
async fn recorded(folder: &Path) -> Process {
    let mews = Upstream::responding(200, "{\"Note\":\"</script><script>alert(1)</script>\",\"Cursor\":null}").await;
    let integration = Upstream::responding(204, "").await;
    let hooks = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, forward, mews) = (hooks.to_string(), format!("{}/hook", integration.url()), mews.url());
    let arguments = ["--upstream", &mews, "--session", "certification", "--limit", "20/10m"];
    let arguments = [&arguments[..], &["--webhooks-listen", &listen, "--webhooks-forward", &forward]].concat();
    let serve = Process::serve_on(BINARY, &folder.join("data"), &arguments);
    for number in 1..EXCHANGES {
        let operation = ["bills/getAll", "configuration/get", "rates/getAll"][number % 3];
        send(serve.proxy(), &post(operation, BODY)).await;
    }
    let message = r#"{"Events":[{"Discriminator":"CustomerUpdated","Value":{"Id":"c-1"}}]}"#;
    assert_eq!(send(hooks, &post("hook", message)).await.status, 204);
    serve
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_written_and_verified_with_and_without_serve() {
    let folder = tempfile::tempdir().unwrap();
    let serve = recorded(folder.path()).await;
    let data = folder.path().join("data");
    let first = folder.path().join("first.zip");
    let second = folder.path().join("second.zip");
    let export = |path: &Path| {
        let path = path.to_str().unwrap();
        run(&data, &["export", "--format", "bundle", "-o", path, "--redact-field", "email"])
    };
    let verify = |path: &Path| run(&data, &["verify", path.to_str().unwrap()]);
    let written = export(&first);
    assert!(written.status.success(), "{}", said(&written));
    assert!(said(&written).contains("key fingerprint SHA256:"), "{}", said(&written));
    assert!(verify(&first).status.success(), "{}", said(&verify(&first)));
    let log = run(&data, &["verify"]);
    assert!(log.status.success() && said(&log).contains("`serve` has the log"), "{}", said(&log));

    assert!(serve.stop().0.success());
    assert!(export(&second).status.success());
    let good = verify(&second);
    assert!(good.status.success() && said(&good).contains("this installation's key"), "{}", said(&good));
    assert!(run(&data, &["verify"]).status.success());
    let there = export(&second);
    assert_eq!(there.status.code(), Some(2), "{}", said(&there));

    let mut bytes = fs::read(&second).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&second, &bytes).unwrap();
    let bad = verify(&second);
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    assert!(!said(&bad).contains("good       nothing"), "{}", said(&bad));
    fs::write(&second, "no zip").unwrap();
    let none = verify(&second);
    assert_eq!((none.status.code(), said(&none).lines().count()), (Some(1), 1), "{}", said(&none));

    // Everybody else sees what was masked, and nobody what was not to be seen.
    for format in ["ndjson", "har", "html", "curl"] {
        let arguments = ["export", "--format", format, "-o", "-", "--redact-field", "Email"];
        let masked = run(&data, &arguments);
        assert!(masked.status.success() && !said(&masked).contains("ann@example.com"), "{format}");
        let plain = run(&data, &arguments[..5]);
        assert!(said(&plain).contains("ann@example.com"), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_is_kept_with_a_session_and_a_files_name_tells_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let serve = recorded(folder.path()).await;
    let data = folder.path().join("data");
    let beside = |arguments: &[&str]| {
        let output = Command::new(BINARY).args(arguments).arg("--data").arg(&data).current_dir(folder.path()).output();
        let output = output.unwrap();
        (said(&output), output.status.code().unwrap())
    };
    let file = folder.path().join("certification.toml");
    let named = |name: &str| format!("integration = \"{name}\"\n[operations]\n\"bills/getAll\" = \"what is open\"\n");
    fs::write(&file, named("In the folder")).unwrap();
    let integration = |arguments: &[&str]| {
        let (text, _) = beside(&[&["review", "--json", "--session", "certification"], arguments].concat());
        let json = text.lines().find(|line| line.starts_with('{')).unwrap();
        let review: serde_json::Value = serde_json::from_str(json).unwrap();
        (review["declared"]["integration"].as_str().unwrap().to_owned(), text)
    };
    // What lies in the folder, then what is kept, then what is named; with a running `serve` and without one.
    assert_eq!(integration(&[]).0, "In the folder");
    fs::write(folder.path().join("kept.toml"), named("Kept")).unwrap();
    assert_eq!(beside(&["sessions", "declare", "certification", "kept.toml"]).1, 0);
    assert!(serve.stop().0.success());
    let (name, text) = integration(&[]);
    assert!(
        name == "Kept" && text.contains("certification.toml differs from the declaration stored with the session"),
        "{text}"
    );
    assert_eq!(integration(&["--declaration", "certification.toml"]).0, "In the folder");
    for (file, begins) in [
        ("a.har", "{\"log\""),
        ("b.ndjson", "{\"id\""),
        ("c.csv", "\u{feff}sequence"),
        ("d.sh", "#!"),
        ("e.html", "<!D"),
    ] {
        let (text, code) = beside(&["export", "--session", "certification", "-o", file]);
        assert_eq!(code, 0, "{text}");
        let written = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(written.starts_with(begins), "{file}");
        assert!(file != "e.html" || (written.contains("Kept") && text.contains("stored with session certification")));
    }
    assert_eq!(beside(&["export", "--session", "certification", "-o", "f.zip"]).1, 0);
    assert_eq!(beside(&["verify", "f.zip"]).1, 0);
    for wrong in ["g.txt", "-"] {
        let (text, code) = beside(&["export", "-o", wrong]);
        assert!(code == 2 && text.contains("no format has the extension of"), "{text}");
    }
    let (text, code) = beside(&["sessions", "declare", "certification", "g.toml"]);
    assert!(code == 2 && text.contains("can't read the declaration g.toml"), "{text}");
    assert_eq!(beside(&["sessions", "declare", "certification", "--remove"]).1, 0);
    assert_eq!(integration(&[]).0, "In the folder");

    // The responses for the form, of a declaration that says little.
    let (form, code) = beside(&["review", "--session", "certification", "--form"]);
    assert_eq!(code, 0, "{form}");
    for line in [
        "Don't submit this yet. Not Mews: http://localhost:",
        "Integration        In the folder",
        "Partner ID         (to be filled in): `partner` in the declaration",
        "1. bills/getAll – Get all bills",
        "   Purpose    what is open",
        "   Purpose    (to be filled in: not declared)",
    ] {
        assert!(form.contains(line), "{line}: {form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn report_and_har_open_in_a_browser() {
    let Some(browser) = browser("report and HAR in a browser") else { return };
    let folder = tempfile::tempdir().unwrap();
    let serve = recorded(folder.path()).await;
    let data = folder.path().join("data");
    assert!(serve.stop().0.success());
    let declaration = folder.path().join("certification.toml");
    fs::write(&declaration, "integration = \"Acme\"\n[operations]\n\"bills/getAll\" = \"what is open\"\n").unwrap();
    let (report, har) = (folder.path().join("report.html"), folder.path().join("session.har"));
    let arguments = ["export", "--format", "html", "-o", report.to_str().unwrap(), "--declaration"];
    let written = run(&data, &[&arguments[..], &[declaration.to_str().unwrap()]].concat());
    assert!(written.status.success(), "{}", said(&written));
    assert!(run(&data, &["export", "--format", "har", "-o", har.to_str().unwrap()]).status.success());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check.cjs");
    let mut check = Command::new("node");
    check.arg(script).arg(&browser.program).arg(report).arg(har).arg(EXCHANGES.to_string());
    let found = check.env("NODE_PATH", &browser.packages).output().unwrap();
    assert!(found.status.success(), "{}", said(&found));
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_bundle_on_standard_output_named_no_key() {
    let folder = tempfile::tempdir().unwrap();
    assert!(recorded(folder.path()).await.stop().0.success());
    let written = run(&folder.path().join("data"), &["export", "--format", "bundle", "-o", "-"]);
    assert!(written.status.success() && written.stdout.starts_with(b"PK"), "{}", said(&written));
    let told = String::from_utf8_lossy(&written.stderr);
    assert!(told.contains("key fingerprint SHA256:"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_webhooks_left_out_of_a_script_were_counted_as_written() {
    let folder = tempfile::tempdir().unwrap();
    assert!(recorded(folder.path()).await.stop().0.success());
    let script = folder.path().join("a.sh");
    let written = run(&folder.path().join("data"), &["export", "-o", script.to_str().unwrap()]);
    let told = said(&written);
    assert!(told.contains(&format!("{} exchanges written to", EXCHANGES - 1)), "{told}");
    assert!(told.contains("1 exchange left out: webhooks"), "{told}");
    let commands = fs::read_to_string(&script).unwrap().matches("\ncurl ").count();
    assert_eq!(commands, EXCHANGES - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_an_export_to_standard_output_didnt_say_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    assert!(recorded(folder.path()).await.stop().0.success());
    let data = folder.path().join("data");
    let script = run(&data, &["export", "--format", "curl", "-o", "-"]);
    let told = String::from_utf8_lossy(&script.stderr);
    assert!(told.contains("1 exchange left out: webhooks"), "{told}");
}
