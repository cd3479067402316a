//! The same mistake has the same exit code in every command, with and without a running `serve`: see README.md, "Exit codes".

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_testkit::{Process, Upstream, post, send};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

/// Success.
const GOOD: i32 = 0;
/// It failed, or found something.
const FAILED: i32 = 1;
/// An argument or the configuration is wrong.
const USAGE: i32 = 2;

/// A command with its arguments separated by blanks; `{id}` is a recorded exchange's.
type Case = (&'static str, i32);

/// Cases that need no log.
const WITHOUT_LOG: &[Case] = &[
    // Arguments that clap rejects.
    ("--nope", USAGE),
    ("frobnicate", USAGE),
    ("show", USAGE),
    ("tail -n many", USAGE),
    ("review --fail-on sometimes", USAGE),
    ("completions csh", USAGE),
    ("serve --listen example", USAGE),
    ("console --listen example", USAGE),
    ("simulate --limit fast", USAGE),
    ("replay --ignore UpdatedUtc", USAGE),
    ("replay --timing slow", USAGE),
    ("resend", USAGE),
    ("resend last --set Count=1", USAGE),
    ("resend last --set /Count", USAGE),
    ("resend last --times 0", USAGE),
    ("resend last --session x", USAGE),
    ("try --limit fast", USAGE),
    ("console --listen example", USAGE),
    ("log delete --older-than often", USAGE),
    // Filters.
    ("tail --no-follow --status often", USAGE),
    ("tail --since yesterdayish", USAGE),
    ("export --format har -o - --outcome lost", USAGE),
    ("top --slower-than fast", USAGE),
    // Unknown names.
    ("mews show nope/getAll", USAGE),
    ("review --explain nope/nope", USAGE),
    ("review --except nope/nope", USAGE),
    ("man nope", USAGE),
    // Configuration.
    ("config check --config nowhere.toml", USAGE),
    ("serve --config nowhere.toml", USAGE),
    ("tail --openapi nowhere.json", USAGE),
    ("tail --log loudly", USAGE),
    ("config check --config wrong.toml", USAGE),
    ("config check --config loud.toml", USAGE),
    ("sessions --config loud.toml", USAGE),
    ("config check --config no-authority.toml", USAGE),
    ("serve --config wrong.toml", USAGE),
    ("sessions --config wrong.toml", USAGE),
    // Input files that can't be opened.
    ("verify nowhere.zip", USAGE),
    ("verify .", USAGE),
    ("verify wrong.toml --key nonsense", USAGE),
    ("log import nowhere.ndjson", USAGE),
    ("log import .", USAGE),
    ("compare nowhere.ndjson nowhere.har", USAGE),
    ("compare ./nowhere wrong.toml", USAGE),
    ("mews update nowhere.yaml", USAGE),
    // Input files with another content.
    ("verify wrong.toml", FAILED),
    ("log import wrong.toml", FAILED),
    ("compare wrong.toml wrong.toml", FAILED),
    ("log import bundle.zip", FAILED),
    ("log import archive.har", FAILED),
    // No terminal.
    ("top", USAGE),
    // No log.
    ("tail --no-follow", FAILED),
    ("show last", FAILED),
    ("sessions", FAILED),
    ("sessions end x", FAILED),
    ("sessions delete x --yes", FAILED),
    ("limits", FAILED),
    ("open", FAILED),
    ("console --listen 127.0.0.1:0", FAILED),
    ("replay --listen 127.0.0.1:0", FAILED),
    ("resend last", FAILED),
    ("review", FAILED),
    ("compare first second", FAILED),
    ("export --format har -o -", FAILED),
    ("verify", FAILED),
    ("log info", FAILED),
    ("log check", FAILED),
    ("log compact", FAILED),
    ("log delete --older-than 1d", FAILED),
    ("mews diff", FAILED),
    // Good.
    ("--version", GOOD),
    ("serve --help", GOOD),
    ("config check", GOOD),
    ("config show", GOOD),
    ("man", GOOD),
    ("completions bash", GOOD),
    ("mews show reservations/getAll", GOOD),
    ("review --explain all", GOOD),
];

/// Cases about a log, whether or not a `serve` has it open.
const WITH_LOG: &[Case] = &[
    // A session that doesn't exist.
    ("tail --no-follow --session none", USAGE),
    ("tail --no-follow -n 0 --session none", USAGE),
    ("tail --session none", USAGE),
    ("export --format har -o - --session none", USAGE),
    ("export --format bundle -o none.zip --session none", USAGE),
    ("export --format html -o - --session !none", USAGE),
    ("replay --listen 127.0.0.1:0 --session none", USAGE),
    ("replay --listen 127.0.0.1:0 --operation zzz*", FAILED),
    ("review --session none", USAGE),
    ("review --session none --init", USAGE),
    ("review --session none --watch", USAGE),
    ("review --against none", USAGE),
    ("compare none first", USAGE),
    ("compare first 0", USAGE),
    ("compare first first --session first", USAGE),
    ("compare first first --ignore speed", USAGE),
    ("compare first first --html there.har", USAGE),
    ("compare first first --html nowhere/new.html", FAILED),
    ("compare first first", GOOD),
    ("mews diff --session none", USAGE),
    ("sessions end none", USAGE),
    ("sessions rename none other", USAGE),
    ("sessions note none text", USAGE),
    ("sessions declare none certification.toml", USAGE),
    ("sessions declare none --remove", USAGE),
    ("sessions delete none --yes", USAGE),
    // An ambiguous session: all ids begin with 0.
    ("tail --no-follow --session 0", USAGE),
    ("export --format har -o - --session 0", USAGE),
    ("review --session 0", USAGE),
    ("review --against 0", USAGE),
    ("mews diff --session 0", USAGE),
    ("sessions end 0", USAGE),
    ("sessions note 0 text", USAGE),
    ("sessions delete 0 --yes", USAGE),
    // An invalid name.
    ("sessions start {control}", USAGE),
    ("sessions rename first {control}", USAGE),
    // An exchange that doesn't exist, or is ambiguous.
    ("show 7ZZZZ", USAGE),
    ("show né", USAGE),
    ("show 0", USAGE),
    ("show 7ZZZZ --curl", USAGE),
    // Files.
    ("sessions declare first nowhere.toml", USAGE),
    ("sessions declare first wrong.toml", USAGE),
    ("review --declaration nowhere.toml", USAGE),
    ("review --declaration wrong.toml", USAGE),
    ("review --against wrong.toml", FAILED),
    ("export --format html -o - --declaration nowhere.toml", USAGE),
    ("export --format har -o there.har", USAGE),
    ("show {id} --json -o there.har", USAGE),
    ("review --init --declaration there.har", USAGE),
    ("export --format har -o nowhere/new.har", FAILED),
    ("show {id} --json -o nowhere/new.json", FAILED),
    ("review --init --declaration nowhere/new.toml", FAILED),
    ("export -o calls.pdf", USAGE),
    ("export --format har -o - --declaration certification.toml", USAGE),
    // A confirmation without a terminal.
    ("sessions delete first", USAGE),
    // Nothing in the log matches.
    ("show last-error", FAILED),
    ("export --format har -o - --status 599", FAILED),
    ("tail --no-follow --status 599", FAILED),
    ("tail --no-follow --json --status 599", FAILED),
    ("tail --no-follow --session empty", FAILED),
    ("review --session empty", FAILED),
    // A verdict.
    ("review --session first", FAILED),
    ("review --session first --fail-on never", GOOD),
    // Good.
    ("tail --no-follow", GOOD),
    ("tail --no-follow -n 0", GOOD),
    ("show {id}", GOOD),
    ("show last", GOOD),
    ("sessions", GOOD),
    ("export --format ndjson -o -", GOOD),
    ("mews diff --session first", GOOD),
    ("verify", GOOD),
    ("log info", GOOD),
    ("log check", GOOD),
];

/// Cases that differ without a running `serve`.
const WITHOUT_SERVE: &[Case] = &[
    ("limits", FAILED),
    ("open", FAILED),
    ("fault list", FAILED),
    ("resend {id}", FAILED),
    ("replay --listen 127.0.0.1:0 --otherwise forward", FAILED),
    ("sessions end", FAILED),
    ("log compact", GOOD),
];

/// Cases that differ with a running `serve`.
const WITH_SERVE: &[Case] = &[("limits", GOOD), ("sessions delete current --yes", FAILED), ("log compact", FAILED)];

fn run(data: &Path, folder: &Path, typed: &str, id: &str) -> Output {
    let arguments = typed.split(' ').map(|word| match word {
        "{id}" => id,
        "{control}" => "a\nb",
        word => word,
    });
    Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .env("NIGHTAUDIT_DATA", data)
        .env("BROWSER", "true")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs every case, and lists all that exit otherwise.
fn check(cases: &[Case], data: &Path, folder: &Path, id: &str) {
    let mut wrong = Vec::new();
    for (typed, code) in cases {
        let output = run(data, folder, typed, id);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(*code) {
            wrong.push(format!("`{typed}` exits with {:?}, not {code}: {said}", output.status.code()));
        }
        // Every usage error is one line.
        if *code == USAGE && said.lines().filter(|line| line.starts_with("nightaudit: ")).count() != 1 {
            wrong.push(format!("`{typed}` doesn't say what is wrong on one line: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that the cases name.
fn files(folder: &Path) {
    fs::write(folder.join("wrong.toml"), "lisen = 8080\n").unwrap();
    fs::write(folder.join("loud.toml"), "log = 'loud'\n").unwrap();
    let no_authority = "limit.store = 'rediss://127.0.0.1'\nlimit.store_ca = 'nowhere.pem'\n";
    fs::write(folder.join("no-authority.toml"), no_authority).unwrap();
    fs::write(folder.join("there.har"), "there").unwrap();
    fs::write(folder.join("bundle.zip"), b"PK\x03\x04bundle").unwrap();
    fs::write(folder.join("archive.har"), r#"{"log": {"version": "1.2"}}"#).unwrap();
}

#[test]
fn mistakes_that_need_no_log_exit_alike() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    for (number, case) in WITHOUT_LOG.iter().enumerate() {
        // An import makes a log, even if it fails.
        check(&[*case], &folder.path().join(number.to_string()), folder.path(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_about_a_log_exit_alike_with_and_without_a_running_serve() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "first"]);
    for _ in 0..2 {
        assert_eq!(send(serve.proxy(), &post("bills/getAll", BODY)).await.status, 200);
    }
    for name in ["empty", "current"] {
        assert!(serve.run(BINARY, &["sessions", "start", name]).status.success());
    }
    let last = serve.run(BINARY, &["show", "last", "--json"]);
    let last: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
    let id = last["id"].as_str().unwrap().to_owned();
    check(&[WITH_LOG, WITH_SERVE].concat(), &data, folder.path(), &id);
    assert!(serve.stop().0.success());
    check(&[WITH_LOG, WITHOUT_SERVE].concat(), &data, folder.path(), &id);
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_session_whose_folder_was_removed_could_not_be_forgotten() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for running in [true, false] {
        let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "gone"]);
        send(serve.proxy(), &post("bills/getAll", BODY)).await;
        assert!(serve.stop().0.success());
        for entry in fs::read_dir(data.join("sessions")).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        let serve = running.then(|| Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]));
        let told = run(&data, folder.path(), "sessions note gone text", "");
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.code() == Some(FAILED) && said.contains("its folder was removed"), "{said}");
        let deleted = run(&data, folder.path(), "sessions delete gone --yes", "");
        assert_eq!(deleted.status.code(), Some(GOOD), "{}", String::from_utf8_lossy(&deleted.stderr));
        let again = run(&data, folder.path(), "sessions delete gone --yes", "");
        assert_eq!(again.status.code(), Some(USAGE), "{}", String::from_utf8_lossy(&again.stderr));
        drop(serve);
    }
}
