//! Commands that read the log: the same with and without a running `serve`, and across its restarts.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output, Stdio},
};

use nightaudit_testkit::{Process, Upstream, post, send, skip};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const BODY: &str = r#"{"ClientToken":"client-token-0001","AccessToken":"access-token-0001","Client":"Kiosk 1.0"}"#;

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn alone(data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().unwrap()
}

/// A log of three exchanges in two sessions, and the id of the first exchange.
async fn recorded(data: &Path) -> (Upstream, Process, String) {
    let mews = Upstream::responding(404, r#"{"Message":"no"}"#).await;
    let serve = Process::serve_on(BINARY, data, &["--upstream", &mews.url(), "--session", "first"]);
    for operation in ["bills/add", "bills/close", "rates/getAll"] {
        send(serve.proxy(), &post(operation, BODY)).await;
    }
    let lines = succeeded(&serve.run(BINARY, &["tail", "--no-follow", "--json"]));
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let id = first["id"].as_str().unwrap().to_owned();
    (mews, serve, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_says_the_same_with_and_without_a_running_serve() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_mews, serve, id) = recorded(&data).await;
    let commands: [&[&str]; 21] = [
        &["tail", "--no-follow"],
        &["tail", "--no-follow", "-n", "2"],
        &["tail", "--no-follow", "--json", "--operation", "bills/*"],
        &["tail", "--no-follow", "-v", "-n", "1"],
        &["tail", "--no-follow", "--session", "none"],
        &["show", &id],
        &["show", &id, "--json"],
        &["show", &id, "--request", "--body"],
        &["show", &id, "--response"],
        &["show", &id, "--wire"],
        &["show", &id, "--curl"],
        &["show", "7ZZ"],
        &["export", "--format", "har", "-o", "-"],
        &["export", "--format", "ndjson", "-o", "-", "--status", "404"],
        &["export", "--format", "csv", "-o", "-"],
        &["sessions", "note", "first", "a note: 100 % / ok?"],
        &["sessions", "rename", "first", "second run/1"],
        &["sessions", "rename", "second run/1", "first"],
        &["sessions", "note", "none", "x"],
        &["sessions", "delete", "none", "--yes"],
        &["sessions", "rename", "first", "a\nb"],
    ];
    let said = |output: &Output| {
        // What is wrong is said in the same words, too.
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), out.into_owned(), err.into_owned())
    };
    let running: Vec<_> = commands.iter().map(|command| said(&serve.run(BINARY, command))).collect();
    assert!(serve.stop().0.success());
    for (command, running) in commands.iter().zip(running) {
        assert!(!running.1.is_empty() || !running.2.is_empty(), "{command:?} says nothing");
        assert_eq!(said(&alone(&data, command)), running, "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_are_changed_alike_with_and_without_a_running_serve() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mews, serve, _) = recorded(&data).await;
    let changes = |run: &dyn Fn(&[&str]) -> Output| {
        for change in [
            &["sessions", "start", "rehearsal"][..],
            &["sessions", "note", "rehearsal", "a first try"],
            &["sessions", "end", "rehearsal"],
            &["sessions", "rename", "rehearsal", "dress rehearsal"],
        ] {
            succeeded(&run(change));
        }
        let list = succeeded(&run(&["sessions", "--json"]));
        let sessions: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut one = sessions.into_iter().find(|session| session["name"] == "dress rehearsal").unwrap();
        for changing in ["id", "started", "ended", "bytes"] {
            assert!(!one[changing].is_null(), "{changing}: {one}");
            one[changing] = Value::Null;
        }
        succeeded(&run(&["sessions", "delete", "dress rehearsal", "--yes"]));
        assert!(!succeeded(&run(&["sessions"])).contains("rehearsal"));
        one
    };
    let running = changes(&|command| serve.run(BINARY, command));
    assert_eq!((&running["note"], &running["open"]), (&"a first try".into(), &false.into()));
    assert!(serve.stop().0.success());
    // With the same upstream, by which the environment of a new session is named.
    let alone = |command: &[&str]| {
        let upstream = ("NIGHTAUDIT_UPSTREAM", mews.url());
        Command::new(BINARY).args(command).arg("--data").arg(&data).env(upstream.0, upstream.1).output().unwrap()
    };
    assert_eq!(changes(&alone), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_started_takes_what_comes_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_mews, serve, _) = recorded(&data).await;
    succeeded(&serve.run(BINARY, &["sessions", "start", "second"]));
    send(serve.proxy(), &post("bills/add", BODY)).await;
    let refused = serve.run(BINARY, &["sessions", "delete", "second", "--yes"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("being recorded"), "{refused:?}");
    assert!(succeeded(&serve.run(BINARY, &["sessions", "end"])).contains("second with 1 exchange"));
    send(serve.proxy(), &post("bills/add", BODY)).await;
    let list = succeeded(&serve.run(BINARY, &["sessions", "--json"]));
    let sessions: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<_> = sessions.iter().map(|session| session["exchanges"].as_u64().unwrap()).collect();
    assert_eq!(counts, [3, 1, 1]);
}

/// A `tail --json` that is being read.
struct Tail {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    said: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    _child: tokio::process::Child,
}

impl Tail {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = tokio::process::Command::new(BINARY)
            .args(["tail", "--json"])
            .args(arguments)
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { lines, said, _child: child }
    }

    /// Until it says that no `serve` runs, and so has looked where to go on.
    async fn waits(&mut self) {
        while !self.said.next_line().await.unwrap().unwrap().contains("waiting for `nightaudit serve`") {}
    }

    async fn operation(&mut self) -> String {
        let line: Value = serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap();
        line["operation"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_goes_on_across_restarts_without_a_gap_and_without_repetition() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--upstream", &mews.url(), "--session", "long", "--limit", "100000/1s"];
    // Nothing is there yet: all that comes is new, whatever `-n` says.
    let mut tail = Tail::start(&data, &["-n", "0"]);
    tail.waits().await;
    let mut sent = 0;
    for round in 0..4 {
        let serve = Process::serve_on(BINARY, &data, &arguments);
        // As fast as it goes: what comes before the tail has found the new `serve` must not be lost.
        for _ in 0..25 {
            send(serve.proxy(), &post(&format!("number/{sent}"), BODY)).await;
            sent += 1;
        }
        if round % 2 == 0 { serve.kill() } else { assert!(serve.stop().0.success()) }
    }
    let serve = Process::serve_on(BINARY, &data, &arguments);
    send(serve.proxy(), &post("the/last", BODY)).await;
    let mut seen = Vec::new();
    loop {
        match tail.operation().await {
            last if last == "the/last" => break,
            operation => seen.push(operation),
        }
    }
    assert_eq!(seen, (0..sent).map(|number| format!("number/{number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_whose_filter_lets_nothing_through_loses_nothing_in_a_restart() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--upstream", &mews.url()];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    send(serve.proxy(), &post("bills/add", BODY)).await;
    let mut tail = Tail::start(&data, &["--operation", "rates/*", "-n", "1"]);
    let mut other = Tail::start(&data, &["--operation", "bills/*", "-n", "1"]);
    assert_eq!(other.operation().await, "bills/add");
    serve.kill();
    tail.waits().await;
    let serve = Process::serve_on(BINARY, &data, &arguments);
    for number in 0..30 {
        send(serve.proxy(), &post(&format!("rates/{number}"), BODY)).await;
    }
    // More than the one with which it would begin.
    for number in 0..30 {
        assert_eq!(tail.operation().await, format!("rates/{number}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_not_read_loses_nothing_and_holds_nothing_up() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--limit", "100000/1s", "--durability", "batch"]);
    let mut tail = Tail::start(serve.data(), &["-n", "0"]);
    // Read once, so that it is known to follow.
    let first = tokio::select! {
        operation = tail.operation() => operation,
        () = async { loop { send(serve.proxy(), &post("first/0", BODY)).await; } } => unreachable!("it sends for ever"),
    };
    assert_eq!(first, "first/0");
    // Far more than the pipe, the sockets and the memory hold for it.
    let body = format!(r#"{{"AccessToken":"access-token-0001","Text":"{}"}}"#, "x".repeat(16_000));
    for number in 0..1500 {
        assert_eq!(send(serve.proxy(), &post(&format!("number/{number}"), &body)).await.status, 200);
    }
    let mut seen = Vec::new();
    while seen.len() < 1500 {
        let operation = tail.operation().await;
        if operation != "first/0" {
            seen.push(operation);
        }
    }
    assert_eq!(seen, (0..1500).map(|number| format!("number/{number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_waiting_tail_sends_no_token_to_what_a_killed_serve_left_in_its_file() {
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["--upstream", &mews.url()];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    send(serve.proxy(), &post("bills/add", BODY)).await;
    let mut tail = Tail::start(&data, &[]);
    assert_eq!(tail.operation().await, "bills/add");
    serve.kill();
    // Somebody else listens there by now.
    let stranger = Upstream::responding(200, "{}").await;
    std::fs::write(data.join("console"), format!("{}\n", stranger.url().replace("localhost", "127.0.0.1"))).unwrap();
    let mut second = Tail::start(&data, &["-n", "1"]);
    assert_eq!(second.operation().await, "bills/add");
    let serve = Process::serve_on(BINARY, &data, &arguments);
    send(serve.proxy(), &post("bills/close", BODY)).await;
    assert_eq!(tail.operation().await, "bills/close");
    assert_eq!(second.operation().await, "bills/close");
    assert_eq!(stranger.seen().len(), 0);
}

/// What bash offers behind a line, or none where there is no bash.
fn completed(data: &Path, line: &str) -> Option<BTreeSet<String>> {
    let mut words: Vec<&str> = line.split(' ').collect();
    let folder = Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    words.retain(|word| !word.is_empty() || line.ends_with(' '));
    // The script defines a function and says for which command; what it leaves in COMPREPLY is what bash shows.
    let script = format!(
        "source <(nightaudit completions bash)\n\
         COMP_WORDS=({}) COMP_CWORD={} COMP_LINE={line:?} COMP_POINT={} COMP_TYPE=9\n\
         function=$(complete -p nightaudit | grep -o -- '-F [^ ]*' | cut -c4-)\n\
         $function nightaudit \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
        line.len(),
    );
    let output = Command::new("bash").args(["-c", &script]).env("PATH", path).env("NIGHTAUDIT_DATA", data).output();
    let Ok(output) = output else {
        skip("bash is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_commands_flags_sessions_operations_and_ids() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_mews, serve, id) = recorded(&data).await;
    for running in [Some(serve), None] {
        let has = |line: &str, wanted: &str| {
            let Some(offered) = completed(&data, line) else { return };
            assert!(offered.contains(wanted), "`{line}`: {wanted} is not in {offered:?}");
        };
        has("nightaudit ses", "sessions");
        has("nightaudit tail --no", "--no-follow");
        has("nightaudit tail --session ", "first");
        has("nightaudit sessions end ", "first");
        has("nightaudit tail --operation reservations/getAll/", "reservations/getAll/2023-06-06");
        has("nightaudit tail --operation res", "reservations/*");
        has("nightaudit show ", &id);
        drop(running);
    }
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeded(&Command::new(BINARY).args(["completions", shell]).output().unwrap());
        assert!(script.contains("nightaudit"), "{shell}");
        // Read by the shell itself, where it is there.
        if !["bash", "zsh", "fish"].contains(&shell) {
            continue;
        }
        let mut child = match Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(_) => {
                skip(&format!("{shell} is not installed"));
                continue;
            }
        };
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_looked_at_and_checked_while_serve_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_mews, serve, _) = recorded(&data).await;
    let said = |output: Output| (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
    let (info, check) = (said(serve.run(BINARY, &["log", "info"])), said(serve.run(BINARY, &["log", "check"])));
    assert!(info.0 == Some(0) && info.1.contains("sessions   1 (1 open)"), "{info:?}");
    assert!(check.0 == Some(0) && check.1.contains(" in 1 session are "), "{check:?}");
    // As it is told without `serve`, which has closed a segment since.
    let exchanges = |text: &str| text.lines().find(|line| line.starts_with("exchanges ")).unwrap().to_owned();
    assert!(serve.stop().0.success());
    assert_eq!(exchanges(&said(alone(&data, &["log", "info"])).1), exchanges(&info.1));
    let count = |text: &str| text.split(" exchanges in ").next().unwrap().to_owned();
    assert_eq!(count(&said(alone(&data, &["log", "check"])).1), count(&check.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_by_a_check_while_serve_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mews, serve, _) = recorded(&data).await;
    assert!(serve.stop().0.success());
    let session = std::fs::read_dir(data.join("sessions")).unwrap().next().unwrap().unwrap().path();
    let segment = std::fs::read_dir(session).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        segment.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "seg")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "another"]);
    let check = serve.run(BINARY, &["log", "check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.code() == Some(1) && said.contains("is damaged at byte"), "{said}");
}

#[test]
fn regression_a_folder_that_could_not_be_read_was_said_to_have_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let looped = folder.path().join("looped");
    std::fs::create_dir(&looped).unwrap();
    std::os::unix::fs::symlink(looped.join("sessions"), looped.join("sessions")).unwrap();
    let long = folder.path().join("long");
    std::fs::create_dir(&long).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), long.join("sessions")).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir_all(closed.join("sessions")).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut unreadable = vec![(&looped, "symbolic link"), (&long, "too long")];
    // For root no folder is closed.
    if std::fs::read_dir(&closed).is_err() {
        unreadable.push((&closed, "denied"));
    }
    for (data, why) in unreadable {
        for command in [
            &["log", "info"][..],
            &["log", "check"],
            &["log", "compact"],
            &["log", "delete", "--older-than", "1d"],
            &["sessions"],
            &["sessions", "end", "x"],
            &["show", "last"],
            &["tail", "--no-follow"],
            &["export", "--format", "csv", "-o", "-"],
            &["review"],
            &["verify"],
        ] {
            let output = alone(data, command);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            assert!(
                !said.contains("no log") && said.contains("can't read") && said.contains(why),
                "{command:?}: {said}"
            );
        }
    }
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for missing in [folder.path().join("nowhere"), folder.path().to_owned()] {
        let output = alone(&missing, &["log", "info"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("there is no log in"), "{output:?}");
    }
}
