//! Several machines ship to one archive, and everything that reads reads it.

use std::{
    collections::BTreeSet,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use nightaudit_testkit::{Postgres, Process, Upstream, post, send};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{crashes::kills, losses::Small};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// Runs a command.
fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data").arg(folder.path()).env_remove("PGPASSWORD").stdin(Stdio::null());
    command.output().unwrap()
}

/// Runs a command that succeeds, and returns what it prints.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that fails, and returns why.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// Makes an archive in a database of its own, and returns the addresses of a node and a reader.
pub(crate) fn archive(postgres: &Postgres) -> (String, String) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let database = format!("audit_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    postgres.create(&database);
    let made = printed(&["archive", "setup", "--log", &postgres.owner(&database)]);
    assert!(made.contains("is an archive now"), "{made}");
    let again = printed(&["archive", "setup", "--log", &postgres.owner(&database)]);
    assert!(again.contains("is up to date"), "{again}");
    // Those of the server, which other tests may share.
    let logins = "DO $$ BEGIN CREATE ROLE kiosk LOGIN PASSWORD 'n-secret' IN ROLE nightaudit_node; CREATE ROLE anna LOGIN \
                  PASSWORD 'r-secret' IN ROLE nightaudit_reader; EXCEPTION WHEN duplicate_object OR unique_violation \
                  THEN NULL; END $$";
    postgres.sql("postgres", logins);
    (postgres.url("kiosk", "n-secret", &database), postgres.url("anna", "r-secret", &database))
}

/// Starts a node.
pub(crate) fn node(name: &str, mews: &str, archive: &str) -> Process {
    let folder = tempfile::tempdir().unwrap().keep();
    node_on(&folder, name, mews, archive)
}

fn node_on(folder: &std::path::Path, name: &str, mews: &str, archive: &str) -> Process {
    let arguments = ["--upstream", mews, "--session", "certification", "--limit", "1000000/1s"];
    let variables = [("NIGHTAUDIT_ARCHIVE", archive), ("NIGHTAUDIT_ARCHIVE_NODE", name)];
    Process::serve_with(BINARY, &folder.join("data"), &arguments, &variables)
}

/// A number of the node's metrics.
async fn metric(node: &Process, name: &str) -> u64 {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        node.console_host(),
        node.token()
    );
    let response = send(node.console_host().parse().unwrap(), request.as_bytes()).await;
    let text = String::from_utf8(response.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("nightaudit_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

pub(crate) async fn until(node: &Process, name: &str, holds: impl Fn(u64) -> bool) {
    let begun = Instant::now();
    loop {
        let value = metric(node, name).await;
        if holds(value) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{name} is {value}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_reads_reads_what_two_nodes_shipped() {
    let Some(postgres) = Postgres::shared() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let mews = Upstream::responding(200, "{}").await;
    let nodes = ["frankfurt", "prague"].map(|name| node(name, &mews.url(), &as_node));
    for number in 0..6 {
        for node in &nodes {
            let body = format!(r#"{{"AccessToken":"access-token-0001","Number":{number}}}"#);
            assert_eq!(send(node.proxy(), &post("bills/add", &body)).await.status, 200);
        }
    }
    for node in &nodes {
        until(node, "archive_shipped_total", |shipped| shipped == 6).await;
        assert_eq!(metric(node, "archive_failing").await, 0);
    }

    let sessions: Vec<Value> = printed(&["sessions", "--json", "--log", &as_reader])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!((&sessions[0]["name"], &sessions[0]["exchanges"]), (&"certification".into(), &12.into()));
    let names: BTreeSet<_> =
        sessions[0]["chains"].as_array().unwrap().iter().map(|chain| chain["node"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["frankfurt", "prague"]));

    let exported = printed(&["export", "--format", "ndjson", "-o", "-", "--log", &as_reader]);
    let exchanges: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(exchanges.len(), 12);
    // Hashes are what the nodes recorded.
    for node in &nodes {
        let own = node.run(BINARY, &["export", "--format", "ndjson", "-o", "-"]);
        for line in std::str::from_utf8(&own.stdout).unwrap().lines() {
            let own: Value = serde_json::from_str(line).unwrap();
            let archived = exchanges.iter().find(|exchange| exchange["id"] == own["id"]).unwrap();
            assert_eq!(*archived, own);
        }
    }
    let id = exchanges[7]["id"].as_str().unwrap();
    for end in [id, &id[20..], "last"] {
        assert!(printed(&["show", end, "--log", &as_reader]).contains("bills/add"), "{end}");
    }
    let tail = printed(&["tail", "--no-follow", "-n", "5", "--log", &as_reader]);
    assert_eq!(tail.lines().count(), 5, "{tail}");
    // Several nodes: each line and each exchange say which; not where one alone was asked for.
    let session = exchanges[7]["session"].as_str().unwrap();
    let chain = sessions[0]["chains"].as_array().unwrap().iter().find(|chain| chain["session"] == session).unwrap();
    let node_of = chain["node"].as_str().unwrap();
    assert!(printed(&["show", id, "--log", &as_reader]).contains(&format!(" of session certification on {node_of} (")));
    let lines = printed(&["tail", "--no-follow", "-n", "12", "--log", &as_reader]);
    for name in ["frankfurt", "prague"] {
        assert_eq!(lines.lines().filter(|line| line.contains(&format!("  {name}"))).count(), 6, "{lines}");
        let alone = format!("certification@{name}");
        let alone = printed(&["tail", "--no-follow", "--session", &alone, "--log", &as_reader]);
        assert!(alone.lines().count() == 6 && !alone.contains(name), "{alone}");
    }
    let review: Value = serde_json::from_str(
        std::str::from_utf8(&run(&["review", "--session", "certification", "--json", "--log", &as_reader]).stdout)
            .unwrap(),
    )
    .unwrap();
    assert_eq!(review["run"]["exchanges"], 12, "{review}");
    let one = run(&["review", "--session", "certification@prague", "--json", "--log", &as_reader]);
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one["run"]["exchanges"], 6, "{one}");
    let verified = printed(&["verify", "--log", &as_reader]);
    assert!(verified.contains("12 exchanges") && verified.contains("frankfurt (6), prague (6)"), "{verified}");
    assert!(printed(&["log", "check", "--log", &as_reader]).contains("12 exchanges in 1 session are intact"));
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("evidence.zip");
    printed(&["export", "-o", bundle.to_str().unwrap(), "--session", "certification@prague", "--log", &as_reader]);
    let bundled = printed(&["verify", bundle.to_str().unwrap()]);
    assert!(bundled.contains("6 exchanges in 1 session"), "{bundled}");
    a_bundle_of_both_is_verified(&postgres, &as_reader, &sessions[0]);
    let denied = refused(&["sessions", "end", "certification", "--log", &as_reader]);
    assert!(denied.contains("only tail, top, show"), "{denied}");
    for node in nodes {
        assert!(node.stop().0.success());
    }
}

/// Exports both nodes' chains, then takes exchanges from the archive behind its back.
fn a_bundle_of_both_is_verified(postgres: &Postgres, as_reader: &str, session: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let verified = |bundle: &str| -> Value {
        let output = run(&["verify", bundle, "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let nodes = |verification: &Value| -> Vec<(String, u64, u64)> {
        let nodes = verification["nodes"].as_array().unwrap().iter();
        let number = |value: &Value| value.as_u64().unwrap();
        nodes
            .map(|of| (of["node"].as_str().unwrap().to_owned(), number(&of["exchanges"]), number(&of["missing"])))
            .collect()
    };
    let due = |frankfurt: (u64, u64), prague: (u64, u64)| {
        vec![("frankfurt".to_owned(), frankfurt.0, frankfurt.1), ("prague".to_owned(), prague.0, prague.1)]
    };

    let whole = file("whole.zip");
    printed(&["export", "-o", &whole, "--session", "certification", "--log", as_reader]);
    let verification = verified(&whole);
    assert_eq!((&verification["good"], &verification["sessions"]), (&true.into(), &1.into()), "{verification}");
    assert_eq!(nodes(&verification), due((6, 0), (6, 0)));
    let told = printed(&["verify", &whole]);
    assert!(told.contains("node       certification on prague") && told.contains("6 exchanges, intact"), "{told}");
    let report = file("report.html");
    printed(&["export", "-o", &report, "--log", as_reader]);
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("Recorded by 2 nodes") && page.contains(">frankfurt<") && page.contains(">prague<"));
    // What reads bundles reads this one: nothing differs from what is in the archive.
    let compared = printed(&["compare", &whole, "certification", "--log", as_reader, "--json"]);
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert_eq!((&compared["a"]["exchanges"], &compared["b"]["exchanges"]), (&12.into(), &12.into()), "{compared}");
    let refused_import = refused(&["log", "import", &whole]);
    assert!(refused_import.contains("exchanges.ndjson"), "{refused_import}");

    let chains = session["chains"].as_array().unwrap();
    let prague = chains.iter().find(|chain| chain["node"] == "prague").unwrap()["session"].as_str().unwrap();
    let database = as_reader.rsplit('/').next().unwrap();
    let delete = |which: &str| {
        postgres.sql(database, &format!("DELETE FROM nightaudit.exchanges WHERE node = 'prague' AND {which}"));
    };
    // Of Prague's record the third, then the last, then all: each is known to be missing when it is exported.
    for (which, left, ranges) in [
        ("sequence = 3", (5, 1), "exchange 3 of"),
        ("sequence = 6", (4, 2), "exchanges 3, 6 of"),
        ("true", (0, 6), "exchanges 1 to 6 of"),
    ] {
        delete(which);
        let holed = file(&format!("{}.zip", left.1));
        let told = refused(&["export", "-o", &holed, "--session", "certification", "--log", as_reader]);
        let named = format!("{ranges} session certification on prague ({prague})");
        assert!(told.contains(&named) && told.contains("incomplete:"), "{told}");
        let verification = verified(&holed);
        assert_eq!(verification["good"], false);
        assert_eq!(nodes(&verification), due((6, 0), left), "{verification}");
        let output = run(&["review", "--session", "certification", "--json", "--log", as_reader]);
        let review: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&review["run"]["missing"], &review["run"]["nodes"][1]["missing"]),
            (&left.1.into(), &left.1.into())
        );
    }
    // An exchange that the archive says is another's.
    postgres.sql(database, "UPDATE nightaudit.exchanges SET record = (SELECT record FROM nightaudit.exchanges WHERE sequence = 2) WHERE sequence = 5");
    let holed = file("replaced.zip");
    refused(&["export", "-o", &holed, "--session", "certification", "--log", as_reader]);
    let verification = verified(&holed);
    assert_eq!(nodes(&verification), due((5, 1), (0, 6)), "{verification}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_what_arrives_and_a_restart_of_the_archive_loses_nothing() {
    let Some(postgres) = Postgres::start() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let mews = Upstream::responding(200, "{}").await;
    let node = node("a", &mews.url(), &as_node);
    let mut tail = Command::new(BINARY)
        .args(["tail", "--json", "--log", &as_reader, "--data"])
        .arg(node.data())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().unwrap()));
    let mut ask = 0..;
    let mut one = async |count: usize| {
        for _ in 0..count {
            let body = format!(r#"{{"AccessToken":"access-token-0001","Number":{}}}"#, ask.next().unwrap());
            assert_eq!(send(node.proxy(), &post("bills/add", &body)).await.status, 200);
        }
    };
    one(3).await;
    let mut sequences = Vec::new();
    for _ in 0..3 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        sequences.push(line["sequence"].as_u64().unwrap());
    }
    postgres.kill();
    one(4).await;
    until(&node, "archive_failing", |failing| failing == 1).await;
    until(&node, "archive_behind", |behind| behind == 4).await;
    postgres.run();
    one(1).await;
    for _ in 0..5 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        sequences.push(line["sequence"].as_u64().unwrap());
    }
    assert_eq!(sequences, (1..=8).collect::<Vec<_>>());
    tail.kill().unwrap();
    tail.wait().unwrap();
    until(&node, "archive_behind", |behind| behind == 0).await;
    assert_eq!(metric(&node, "archive_failing").await, 0);
    assert!(node.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_ships_every_exchange_once() {
    let Some(postgres) = Postgres::start() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let mews = Upstream::responding(200, "{}").await;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..kills(3) {
        let node = node_on(folder.path(), "a", &mews.url(), &as_node);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let address = node.proxy();
                tokio::spawn(async move {
                    loop {
                        let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return };
                        let request = post("bills/add", r#"{"AccessToken":"access-token-0001"}"#);
                        if stream.write_all(&request).await.is_err() {
                            return;
                        }
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                    }
                })
            })
            .collect();
        // Not waiting for anything: the instants of the kills are the experiment.
        tokio::time::sleep(Duration::from_millis(40 + round * 97 % 400)).await;
        if round % 3 == 1 {
            postgres.kill();
        }
        node.kill();
        for client in clients {
            client.await.unwrap();
        }
        if round % 3 == 1 {
            postgres.run();
        }
    }
    let node = node_on(folder.path(), "a", &mews.url(), &as_node);
    until(&node, "archive_behind", |behind| behind == 0).await;
    let own = node.run(BINARY, &["export", "--format", "ndjson", "-o", "-"]);
    let own = String::from_utf8(own.stdout).unwrap();
    assert!(own.lines().count() > 10, "hardly anything was recorded");
    let begun = Instant::now();
    loop {
        // Nothing may have arrived yet, which is an error to `export`.
        let output = run(&["export", "--format", "ndjson", "-o", "-", "--log", &as_reader]);
        let archived = String::from_utf8(output.stdout).unwrap();
        if archived == own {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{} of {}: {}",
            archived.lines().count(),
            own.lines().count(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(printed(&["log", "check", "--log", &as_reader]).contains("are intact"));
    assert!(node.stop().0.success());
}

/// What doesn't compress.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Of base64.
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(state % 64) as usize])
    });
    letters.take(bytes).collect()
}

/// Sends requests with this noise until nothing can be shipped, and returns how many. Each is answered.
async fn until_full(node: &Process, noise: &str) -> u64 {
    for sent in 1..=200 {
        let body = format!(r#"{{"AccessToken":"access-token-0001","Number":{sent},"Notes":"{noise}"}}"#);
        assert_eq!(send(node.proxy(), &post("bills/add", &body)).await.status, 200);
        if metric(node, "archive_failing").await == 1 && metric(node, "archive_behind").await > 0 {
            return sent;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("200 exchanges fit")
}

/// Once there is space again, everything is there, once and in its order.
async fn all_arrives(node: Process, sent: u64, as_reader: &str) {
    until(&node, "archive_failing", |failing| failing == 0).await;
    until(&node, "archive_behind", |behind| behind == 0).await;
    assert_eq!(metric(&node, "recorded_total").await, sent);
    let own = node.run(BINARY, &["export", "--format", "ndjson", "-o", "-"]);
    let archived = printed(&["export", "--format", "ndjson", "-o", "-", "--log", as_reader]);
    assert_eq!(archived.lines().count() as u64, sent);
    assert!(archived.as_bytes() == own.stdout, "the archive has other exchanges than the node");
    let checked = printed(&["log", "check", "--log", as_reader]);
    assert!(checked.contains("intact"), "{checked}");
    assert!(node.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_of_the_archive_recording_goes_on_and_nothing_is_shipped_twice() {
    let Some(disk) = Small::mount_of(24) else { return };
    let Some(postgres) = Postgres::start() else { return };
    let (as_node, as_reader) = archive(&postgres);
    let space = disk.path().join("space");
    postgres.make_folder(&space);
    postgres.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    let database = as_node.rsplit('/').next().unwrap();
    postgres.sql("postgres", &format!("ALTER DATABASE {database} SET TABLESPACE small"));
    let mews = Upstream::responding(200, "{}").await;
    let node = node("a", &mews.url(), &as_node);
    assert_eq!(send(node.proxy(), &post("bills/add", "{}")).await.status, 200);
    until(&node, "archive_shipped_total", |shipped| shipped == 1).await;
    disk.fill();
    let sent = until_full(&node, &noise(100_000)).await + 1;
    assert_eq!(metric(&node, "recorded_total").await, sent);
    let warned = String::from_utf8(node.run(BINARY, &["sessions"]).stderr).unwrap();
    assert!(warned.contains("the archive lacks"), "{warned}");
    assert!(warned.contains("is full") && warned.contains("No space left on device"), "{warned}");
    // Readers still read.
    assert!(printed(&["sessions", "--log", &as_reader]).contains("certification"));
    disk.free();
    all_arrives(node, sent, &as_reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_with_no_space_at_all_and_then_killed_has_all_once_it_is_back() {
    let Some(disk) = Small::mount_of(96) else { return };
    let Some(postgres) = Postgres::start_in(Some(disk.path())) else { return };
    let (as_node, as_reader) = archive(&postgres);
    let mews = Upstream::responding(200, "{}").await;
    let node = node("a", &mews.url(), &as_node);
    disk.fill();
    let sent = until_full(&node, &noise(1_000_000)).await;
    assert_eq!(metric(&node, "recorded_total").await, sent);
    disk.free();
    postgres.kill();
    postgres.run();
    all_arrives(node, sent, &as_reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_without_it_and_recording_goes_on() {
    let Some(postgres) = Postgres::shared() else { return };
    let (as_node, _) = archive(&postgres);
    let wrong = as_node.replace("n-secret", "wr0ng-secret");
    let mews = Upstream::responding(200, "{}").await;
    let node = node("a", &mews.url(), &wrong);
    assert_eq!(send(node.proxy(), &post("bills/add", "{}")).await.status, 200);
    until(&node, "archive_failing", |failing| failing == 1).await;
    until(&node, "archive_behind", |behind| behind == 1).await;
    assert_eq!(metric(&node, "recorded_total").await, 1);
    let listed = node.run(BINARY, &["sessions"]);
    let warned = String::from_utf8(listed.stderr).unwrap();
    assert!(listed.status.success() && warned.contains("the archive lacks 1 exchange"), "{warned}");
    let (status, messages) = node.stop();
    assert!(status.success());
    assert!(messages.contains("doesn't let kiosk in") && messages.contains("PGPASSWORD"), "{messages}");
    assert!(!messages.contains("wr0ng"), "{messages}");
    let denied = refused(&["sessions", "--log", &wrong]);
    assert!(denied.contains("doesn't let kiosk in") && !denied.contains("wr0ng"), "{denied}");
}
