//! Missing exchanges and full or missing disks, from the outside.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::BodyExt as _;
use nightaudit_testkit::{Process, Upstream, post, send};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream};

use crate::crashes::kills;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// Runs a command on a data folder.
fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let sessions = fs::read_dir(data.join("sessions")).unwrap().map(|entry| entry.unwrap().path());
    let files = sessions.flat_map(|session| fs::read_dir(session).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

/// A closed log with this many exchanges in the session `certification`.
async fn recorded(data: &Path, exchanges: usize) {
    let mews = Upstream::responding(200, r#"{"Reservations":[],"Cursor":null}"#).await;
    let serve = Process::serve_on(BINARY, data, &["--upstream", &mews.url(), "--session", "certification"]);
    for _ in 0..exchanges {
        assert_eq!(send(serve.proxy(), &post("reservations/getAll/2023-06-06", "{}")).await.status, 200);
    }
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_truncated_log_and_a_bundle_of_it_were_called_good() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    recorded(&data, 40).await;
    for command in [&["log", "check"][..], &["verify"], &["sessions"]] {
        assert!(run(&data, command).status.success(), "{command:?}");
    }
    let segment = segments(&data).remove(0);
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    for format in ["ndjson", "har", "csv", "html", "openapi", "bundle"] {
        let written = run(&data, &["export", "--format", format, "-o", "-"]);
        let told = String::from_utf8_lossy(&written.stderr);
        assert_eq!(written.status.code(), Some(1), "{format}: {told}");
        assert!(
            told.contains("incomplete: the warnings above and the output list what is missing"),
            "{format}: {told}"
        );
    }
    let bundle = folder.path().join("evidence.zip");
    let bundle = bundle.to_str().unwrap();
    let export = ["export", "--format", "bundle", "--session", "certification", "-o", bundle];
    let commands: [&[&str]; 8] = [
        &["log", "check"],
        &["verify"],
        &["sessions"],
        &["review", "--session", "certification", "--fail-on", "never"],
        &["export", "--format", "ndjson", "-o", "-"],
        &["export", "--format", "har", "-o", "-"],
        &export,
        &["verify", bundle],
    ];
    for command in commands {
        let output = run(&data, command);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains(" to 40 of session certification") && said.contains("missing"), "{command:?}: {said}");
    }
    // The output itself reports it, too.
    let lines = String::from_utf8(run(&data, &["export", "--format", "ndjson", "-o", "-"]).stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["missing"]["ranges"][0][1], 40);
    assert_eq!(last["missing"]["count"].as_u64().unwrap() + lines.lines().count() as u64 - 1, 40);
    let review = String::from_utf8(run(&data, &["review", "--json"]).stdout).unwrap();
    assert!(review.contains("record/incomplete") && review.contains(" to 40"), "{review}");
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_one_flipped_bit_stopped_every_export_and_review() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    recorded(&data, 30).await;
    let segment = segments(&data).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let bundle = folder.path().join("evidence.zip");
    for format in ["ndjson", "har", "csv", "curl", "html", "bundle"] {
        let output = run(&data, &["export", "--format", format, "--force", "-o", bundle.to_str().unwrap()]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{format}: {said}");
        assert!(said.contains("is missing") && said.contains("log check"), "{format}: {said}");
        assert!(said.contains("29 exchanges written"), "{format}: {said}");
    }
    let verified = run(&data, &["verify", bundle.to_str().unwrap()]);
    assert!(verified.status.code() == Some(1) && text(&verified).contains("missing"), "{}", text(&verified));
    let review = run(&data, &["review", "--fail-on", "never"]);
    assert!(review.status.code() == Some(1) && text(&review).contains("missing"), "{}", text(&review));
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_interrupted_requests_were_invisible_until_the_next_serve() {
    let mews = Upstream::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    stream.write_all(&post("bills/add", "{}")).await.unwrap();
    while mews.raw_heads().is_empty() {
        tokio::task::yield_now().await;
    }
    serve.kill();
    let exported = String::from_utf8(run(&data, &["export", "--format", "ndjson", "-o", "-"]).stdout).unwrap();
    let tail = String::from_utf8(run(&data, &["tail", "--no-follow", "--json"]).stdout).unwrap();
    for lines in [&exported, &tail] {
        let exchange: serde_json::Value = serde_json::from_str(lines).unwrap();
        assert_eq!(exchange["outcome"], "interrupted");
    }
    let sessions = text(&run(&data, &["sessions"]));
    assert!(sessions.contains("open") && !sessions.contains("recording"), "{sessions}");
    let check = run(&data, &["log", "check"]);
    assert!(check.status.success() && text(&check).contains("1 request was in flight"), "{}", text(&check));
    assert!(text(&run(&data, &["review"])).contains("in flight when nightaudit was killed"));
    // It is the same one that the next `serve` records.
    let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url(), "--session", "certification"]);
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
    assert_eq!(String::from_utf8(run(&data, &["export", "--format", "ndjson", "-o", "-"]).stdout).unwrap(), exported);
}

/// The console's response, and its status.
async fn ask(serve: &Process, path: &str) -> (u16, String) {
    let (address, token) = (serve.console_host(), serve.token());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    (response.split(' ').nth(1).unwrap().parse().unwrap(), response)
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_session_folder_deleted_under_serve_was_not_noticed() {
    let mews = Upstream::responding(200, "{}").await;
    let serve = Process::serve(BINARY, &["--upstream", &mews.url(), "--session", "certification"]);
    assert_eq!(send(serve.proxy(), &post("bills/add", "{}")).await.status, 200);
    assert_eq!(ask(&serve, "/api/v1/health").await.0, 200);
    fs::remove_dir_all(segments(serve.data())[0].parent().unwrap()).unwrap();
    while ask(&serve, "/api/v1/health").await.0 == 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = send(serve.proxy(), &post("bills/add", "{}")).await;
    assert_eq!(refused.status, 503);
    assert!(ask(&serve, "/metrics").await.1.contains("nightaudit_log_failing 1"));
    assert_eq!(mews.seen().len(), 1);
    let (_, said) = tokio::task::spawn_blocking(move || serve.stop()).await.unwrap();
    assert!(said.contains("deleted or moved"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_a_key_closed_by_mews_was_open_after_a_restart() {
    let mews = Upstream::scripted(|_| async {
        let body = http_body_util::Full::from("{}").map_err(|never| match never {}).boxed();
        http::Response::builder().status(429).header("Retry-After", "3000").body(body).unwrap()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let token = r#"{"AccessToken":"C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D"}"#;
    for seen in [1, 1] {
        let serve = Process::serve_on(BINARY, &data, &["--upstream", &mews.url()]);
        assert_eq!(send(serve.proxy(), &post("bills/add", token)).await.status, 429);
        assert_eq!(mews.seen().len(), seen);
        assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
    }
}

/// Pseudorandom numbers, the same in every run.
fn scramble(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// An NDJSON export of many exchanges in two sessions, copied from one.
fn large_export(data: &Path, lines: u64) -> String {
    let one = String::from_utf8(run(data, &["export", "--format", "ndjson", "-o", "-"]).stdout).unwrap();
    let mut exchange: serde_json::Value = serde_json::from_str(one.lines().next().unwrap()).unwrap();
    let mut text = String::new();
    for number in 0..lines {
        exchange["id"] = format!("01KAS0000000000000{number:08}").into();
        exchange["session"] = format!("01KAS0000000000000000000{:02}", number % 2).into();
        exchange["sequence"] = (number / 2 + 1).into();
        text.push_str(&exchange.to_string());
        text.push('\n');
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_killed_at_any_instant_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    recorded(&source, 1).await;
    let file = folder.path().join("large.ndjson");
    fs::write(&file, large_export(&source, 3000)).unwrap();
    // More rounds would repeat: these cover instants from the start to after the end.
    let rounds = kills(4).min(24);
    let mut killed = 0;
    for round in 0..rounds {
        let data = folder.path().join(format!("data-{round}"));
        for attempt in 0..2 {
            let mut import = Command::new(BINARY);
            import.args(["log", "import"]).arg(&file).arg("--data").arg(&data);
            let import = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut import = import.unwrap();
            // Not waiting for anything: the instant of the kill is the experiment.
            tokio::time::sleep(Duration::from_millis(scramble(round * 2 + attempt) % 1500)).await;
            let _ = import.kill();
            killed += u64::from(!import.wait().unwrap().success());
        }
        let sessions = || -> Vec<serde_json::Value> {
            let list = run(&data, &["sessions", "list", "--json"]);
            String::from_utf8(list.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        // Each session says whether it is complete.
        let whole = |session: &serde_json::Value| session["exchanges"] == 1500;
        let unfinished = |session: &serde_json::Value| session["importing"] == true && session["incomplete"] == true;
        let there = if data.join("sessions").exists() { sessions() } else { Vec::new() };
        assert!(there.iter().all(|session| unfinished(session) || whole(session)), "{there:?}");
        let finished = there.len() == 2 && !there.iter().any(unfinished);
        let again = run(&data, &["log", "import", file.to_str().unwrap()]);
        assert_eq!(again.status.success(), !finished, "{}", text(&again));
        let there = sessions();
        assert!(there.len() == 2 && there.iter().all(whole) && !there.iter().any(unfinished), "{there:?}");
        let check = run(&data, &["log", "check"]);
        assert!(check.status.success(), "{}", text(&check));
        fs::remove_dir_all(&data).unwrap();
    }
    assert!(killed > rounds / 3, "hardly any was killed: {killed}");
}

/// A small in-memory file system, unmounted on drop.
pub(crate) struct Small(tempfile::TempDir);

impl Small {
    /// `None` if this process may not mount.
    pub(crate) fn mount() -> Option<Self> {
        Self::mount_of(12)
    }

    /// As [`mount`](Self::mount), of so many MiB.
    pub(crate) fn mount_of(size: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={size}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a small file system can't be mounted here (root is needed)");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes it read-only.
    pub(crate) fn protect(&self) {
        // A child that another test is starting may hold files until it execs.
        let remount = || Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).status().unwrap();
        assert!((0..200).any(|_| remount().success()), "it stays busy");
    }

    /// Fills the disk, whatever is freed meanwhile.
    pub(crate) fn fill(&self) {
        let path = self.filler();
        let Ok(mut filler) = fs::File::options().create(true).append(true).open(path) else { return };
        // Pages first, and what is left of the last one.
        for (size, most) in [(1 << 20, 1024), (4096, 4096), (1, 4096)] {
            let _ = (0..most).try_for_each(|_| filler.write_all(&vec![1; size]));
        }
    }
}

impl Small {
    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Frees what [`fill`](Self::fill) took.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn regression_on_a_full_disk_responses_hung_and_no_space_could_be_freed() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.0.path().join("data");
    // It does not compress.
    let noise: String = (0..60_000_u64).map(|number| format!("{:016x}", scramble(number))).collect();
    let mews = Upstream::scripted(move |_| {
        let body = http_body_util::Full::from(format!("\"{noise}\"")).map_err(|never| match never {}).boxed();
        async move { http::Response::new(body) }
    })
    .await;
    let arguments = ["--upstream", &mews.url(), "--session", "certification"];
    let serve = Process::serve_on(BINARY, &data, &arguments);
    let old = String::from_utf8(post("bills/add", "{}")).unwrap();
    let old = old.replace("\r\nHost:", "\r\nX-Nightaudit-Session: old\r\nHost:").into_bytes();
    for _ in 0..4 {
        assert_eq!(send(serve.proxy(), &old).await.status, 200);
        assert_eq!(send(serve.proxy(), &post("bills/add", "{}")).await.status, 200);
    }
    let older = String::from_utf8(old.clone()).unwrap().replace("Session: old", "Session: older").into_bytes();
    assert_eq!(send(serve.proxy(), &older).await.status, 200);
    assert!(serve.run(BINARY, &["sessions", "end", "older"]).status.success());
    disk.fill();
    // A response that can't be recorded starts, is cut before its end, and is recorded later.
    let mut stream = TcpStream::connect(serve.proxy()).await.unwrap();
    stream.write_all(&post("bills/add", "{}")).await.unwrap();
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    assert!(!read.ends_with(b"\""), "{} bytes came", read.len());
    assert_eq!(ask(&serve, "/api/v1/health").await.0, 503);
    assert_eq!(send(serve.proxy(), &post("bills/add", "{}")).await.status, 503);
    for command in
        [&["tail", "--no-follow", "--json"][..], &["sessions"], &["verify"], &["export", "--format", "csv", "-o", "-"]]
    {
        let output = serve.run(BINARY, command);
        assert!(output.status.success(), "{command:?}: {}", text(&output));
    }
    // The session being recorded can't be deleted, and the error suggests which can.
    let refused = serve.run(BINARY, &["sessions", "delete", "certification", "--yes"]);
    assert!(!refused.status.success() && text(&refused).contains("delete another session"), "{}", text(&refused));
    // An ended session by its age, and one that is still open.
    let deleted = serve.run(BINARY, &["log", "delete", "--older-than", "1ms"]);
    assert!(
        deleted.status.success() && text(&deleted).starts_with("1 session with 1 exchange deleted"),
        "{}",
        text(&deleted)
    );
    let deleted = serve.run(BINARY, &["sessions", "delete", "old", "--yes"]);
    assert!(deleted.status.success(), "{}", text(&deleted));
    while ask(&serve, "/api/v1/health").await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
    let exported = run(&data, &["export", "--format", "ndjson", "-o", "-", "--session", "certification"]);
    assert_eq!(String::from_utf8_lossy(&exported.stdout).lines().count(), 5, "{}", text(&exported)[..200].to_owned());
    // Without `serve`, and killed at any instant: no answered exchange is lost.
    fs::remove_file(disk.0.path().join("filler")).unwrap();
    disk.fill();
    for command in [
        &["tail", "--no-follow", "--json"][..],
        &["sessions"],
        &["verify"],
        &["log", "check"],
        &["log", "info"],
        &["review", "--fail-on", "never"],
    ] {
        let output = run(&data, command);
        assert!(output.status.success(), "{command:?}: {}", text(&output));
    }
    let deleted = run(&data, &["sessions", "delete", "certification", "--yes"]);
    assert!(deleted.status.success(), "{}", text(&deleted));
    assert!(run(&data, &["log", "check"]).status.success());
}

/// Sends one request with this number in its path, on a connection of its own; returns whether its response was
/// complete with status 200.
async fn ask_for(address: std::net::SocketAddr, number: u64) -> bool {
    let request = format!(
        "POST /api/connector/v1/bills/add/{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let mut read = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let _ = stream.read_to_end(&mut read).await;
    read.starts_with(b"HTTP/1.1 200") && read.ends_with(b"\"")
}

/// Kills a command at work on a full disk, at any instant.
fn disturb(round: u64, data: &Path) {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"];
    let commands: [&[&str]; 4] =
        [&serve, &["log", "compact"], &["log", "reindex"], &["sessions", "end", "certification"]];
    let mut command = Command::new(BINARY);
    command.args(commands[round as usize % 4]).arg("--data").arg(data);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Not waiting for anything: the instant of the kill is the experiment.
    std::thread::sleep(Duration::from_micros(scramble(round + 1_000_000) % 80_000));
    let _ = child.kill();
    child.wait().unwrap();
}

/// The outcome of each exported exchange, by the number in its path.
fn outcomes(data: &Path) -> BTreeMap<u64, String> {
    let exported = run(data, &["export", "--format", "ndjson", "-o", "-", "--session", "certification"]);
    let mut outcomes = BTreeMap::new();
    for line in std::str::from_utf8(&exported.stdout).unwrap().lines() {
        let exchange: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = exchange["request"]["url"].as_str().unwrap().rsplit_once('/').unwrap().1.parse().unwrap();
        let outcome = exchange["outcome"].as_str().unwrap().to_owned();
        assert!(outcomes.insert(number, outcome).is_none(), "{number} is recorded twice");
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_on_a_full_disk_lose_no_answered_request() {
    let rounds = kills(4);
    let reached: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let mews = {
        let reached = Arc::clone(&reached);
        Upstream::scripted(move |request| {
            let number: u64 = request.head.uri.path().rsplit_once('/').unwrap().1.parse().unwrap();
            reached.lock().unwrap().insert(number);
            // It does not compress.
            let noise: String = (0..1500).map(|at| format!("{:016x}", scramble(number << 20 | at))).collect();
            let body = http_body_util::Full::from(format!("\"{noise}\"")).map_err(|never| match never {}).boxed();
            async move { http::Response::new(body) }
        })
        .await
    };
    let (next, withheld) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (mut all_answered, mut all_interrupted) = (0, 0);
    for round in 0..rounds {
        let Some(disk) = Small::mount() else { return };
        let data = disk.0.path().join("data");
        let url = mews.url();
        let arguments = ["--upstream", &url, "--session", "certification", "--limit", "1000000/1s"];
        let serve = Process::serve_on(BINARY, &data, &arguments);
        reached.lock().unwrap().clear();
        let (answered, ended): (Arc<Mutex<HashSet<u64>>>, Arc<AtomicBool>) = Default::default();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (address, next, answered) = (serve.proxy(), Arc::clone(&next), Arc::clone(&answered));
                let (withheld, ended) = (Arc::clone(&withheld), Arc::clone(&ended));
                tokio::spawn(async move {
                    while !ended.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if ask_for(address, number).await {
                            answered.lock().unwrap().insert(number);
                        } else {
                            withheld.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        // The first round answers something, however slow the machine is.
        while round == 0 && answered.lock().unwrap().is_empty() && withheld.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Not waiting for anything else: the instants of the full disk and of the kill are the experiment.
        tokio::time::sleep(Duration::from_millis(scramble(round) % 150)).await;
        disk.fill();
        tokio::time::sleep(Duration::from_millis(scramble(round + 1000) % 300)).await;
        ended.store(true, Ordering::Relaxed);
        serve.kill();
        for client in clients {
            client.await.unwrap();
        }
        let (answered, reached) = (answered.lock().unwrap().clone(), reached.lock().unwrap().clone());
        disturb(round, &data);
        let agrees = |when: &str| {
            let outcomes = outcomes(&data);
            for number in &answered {
                assert_eq!(outcomes.get(number).map(String::as_str), Some("answered"), "{round}, {when}: {number}");
            }
            for number in &reached {
                assert!(outcomes.contains_key(number), "{round}, {when}: {number} reached Mews but is unknown");
            }
            let check = run(&data, &["log", "check"]);
            assert!(check.status.success(), "{round}, {when}: {}", text(&check));
            (outcomes.values().filter(|outcome| *outcome == "interrupted").count(), text(&check))
        };
        // Read while the disk is full, and once there is space.
        agrees("full");
        fs::remove_file(disk.0.path().join("filler")).unwrap();
        let (interrupted, said) = agrees("with room");
        // A killed `serve` may have recorded them.
        let in_flight = match interrupted {
            1 => "1 request was in flight".to_owned(),
            more => format!("{more} requests were in flight"),
        };
        assert!(interrupted == 0 || round % 4 == 0 || said.contains(&in_flight), "{said}");
        let serve = Process::serve_on(BINARY, &data, &arguments);
        assert!(ask_for(serve.proxy(), next.fetch_add(1, Ordering::Relaxed)).await, "{round}: it does not resume");
        assert!(tokio::task::spawn_blocking(move || serve.stop()).await.unwrap().0.success());
        assert_eq!(agrees("after another serve").0, interrupted);
        all_answered += answered.len();
        all_interrupted += interrupted;
    }
    let withheld = withheld.load(Ordering::Relaxed);
    assert!(all_answered > 0 && withheld > 0, "{all_answered} answered, {withheld} not");
    eprintln!("{rounds} kills: {all_answered} answered, {withheld} not, {all_interrupted} interrupted");
}

/// A HAR of exchanges that don't compress, 6 KB each.
fn noisy_har(entries: u64) -> String {
    let entry = |number: u64| {
        let noise: String = (0..375).map(|at| format!("{:016x}", scramble(number << 20 | at))).collect();
        serde_json::json!({
            "startedDateTime": format!("2026-11-23T12:{:02}:{:02}Z", number / 60 % 60, number % 60), "time": 1,
            "request": {"method": "POST", "url": "https://api.mews-demo.com/api/connector/v1/rates/getAll"},
            "response": {"status": 200, "content": {"text": noise}},
        })
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    serde_json::json!({"log": {"creator": {"name": "Tool", "version": "1"}, "entries": entries}}).to_string()
}

#[test]
fn an_import_killed_while_the_disk_is_full_leaves_nothing_half_done() {
    const ENTRIES: u64 = 600;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("noise.har");
    fs::write(&file, noisy_har(ENTRIES)).unwrap();
    let (mut killed, mut failed) = (0, 0);
    let rounds = kills(6);
    for round in 0..rounds {
        let Some(disk) = Small::mount() else { return };
        let data = disk.0.path().join("data");
        let mut import = Command::new(BINARY);
        import.args(["log", "import"]).arg(&file).arg("--data").arg(&data);
        let mut import = import.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // The disk fills at any instant after the import has begun, and the kill comes at any instant after that; every
        // third is left to fail by itself.
        while !data.join("sessions").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(scramble(round) % 300_000));
        disk.fill();
        if round % 3 != 2 {
            std::thread::sleep(Duration::from_micros(scramble(round + 1_000) % 300_000));
            let _ = import.kill();
        }
        let ended = import.wait_with_output().unwrap();
        killed += u64::from(ended.status.code().is_none());
        if ended.status.code().is_some_and(|code| code != 0) {
            failed += 1;
            assert!(text(&ended).contains("No space left"), "{round}: {}", text(&ended));
        }
        let sessions = || -> Vec<serde_json::Value> {
            let list = run(&data, &["sessions", "list", "--json"]);
            assert!(list.status.success(), "{round}: {}", text(&list));
            String::from_utf8(list.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let unfinished = |session: &serde_json::Value| session["importing"] == true && session["incomplete"] == true;
        let whole = |session: &serde_json::Value| session["exchanges"] == ENTRIES && session["importing"] != true;
        // While the disk is full, and once there is space, each session says whether it is complete.
        let there = sessions();
        assert!(there.iter().all(|session| unfinished(session) || whole(session)), "{round}: {there:?}");
        assert!(!ended.status.success() || there.len() == 1 && whole(&there[0]), "{round}: {there:?}");
        fs::remove_file(disk.0.path().join("filler")).unwrap();
        let finished = sessions().iter().filter(|session| whole(session)).count();
        let again = run(&data, &["log", "import", file.to_str().unwrap()]);
        assert!(again.status.success(), "{round}: {}", text(&again));
        let there = sessions();
        assert!(there.len() == finished + 1 && there.iter().all(whole), "{round}: {there:?}");
        assert!(there.iter().all(|session| session["imported"]["foreign"] == ENTRIES), "{round}: {there:?}");
        let check = run(&data, &["log", "check"]);
        assert!(check.status.success(), "{round}: {}", text(&check));
    }
    assert!(killed + failed > 0, "of {rounds} none was disturbed");
    eprintln!("{rounds} imports: {killed} killed, {failed} failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_killed_at_any_instant_leave_only_complete_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    recorded(&source, 1).await;
    let file = folder.path().join("large.ndjson");
    fs::write(&file, large_export(&source, 400)).unwrap();
    let whole = folder.path().join("whole");
    let imported = run(&whole, &["log", "import", file.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", text(&imported));
    // Every second time on a full disk, if one can be mounted.
    let disk = Small::mount();
    for round in 0..2 * kills(6) {
        let on_full = round % 2 == 1;
        let place = match &disk {
            Some(disk) if on_full => disk.0.path(),
            _ => folder.path(),
        };
        let data = place.join(format!("data-{round}"));
        let copied = Command::new("cp").args(["-a".as_ref(), whole.as_os_str(), data.as_os_str()]).status();
        assert!(copied.unwrap().success());
        if let Some(disk) = disk.as_ref().filter(|_| on_full) {
            disk.fill();
        }
        let sessions = || -> Vec<serde_json::Value> {
            let list = run(&data, &["sessions", "list", "--json"]);
            assert!(list.status.success(), "{round}: {}", text(&list));
            String::from_utf8(list.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let first = sessions()[0]["id"].as_str().unwrap().to_owned();
        let one = ["sessions", "delete", &first, "--yes"];
        let command: &[&str] = if round % 4 < 2 { &one } else { &["log", "delete", "--older-than", "1ms"] };
        let mut delete = Command::new(BINARY);
        delete.args(command).arg("--data").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut delete = delete.spawn().unwrap();
        // Not waiting for anything: the instant of the kill is the experiment.
        tokio::time::sleep(Duration::from_micros(scramble(round + 500) % 120_000)).await;
        let _ = delete.kill();
        delete.wait().unwrap();
        // A session is complete, or gone and not reported missing.
        let there = sessions();
        assert!(
            there.iter().all(|session| session["exchanges"] == 200 && session["missing"].as_u64().unwrap_or(0) == 0),
            "{round}: {there:?}"
        );
        let check = run(&data, &["log", "check"]);
        assert!(check.status.success(), "{round}: {}", text(&check));
        // It can be repeated.
        let again = run(&data, command);
        let is_gone = !there.iter().any(|session| session["id"] == first.as_str());
        assert!(again.status.success() || is_gone, "{round}: {}", text(&again));
        assert!(sessions().len() < 2);
        assert!(run(&data, &["log", "check"]).status.success());
        if let Some(disk) = disk.as_ref().filter(|_| on_full) {
            fs::remove_file(disk.0.path().join("filler")).unwrap();
        }
        fs::remove_dir_all(&data).unwrap();
    }
}
