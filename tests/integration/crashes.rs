//! SIGKILL at any instant of recording, opening, sealing, compacting or reindexing: no exchange whose response was completed is lost.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::BodyExt as _;
use nightaudit_testkit::{Process, Upstream};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const CLIENTS: u64 = 8;

/// The number of rounds of kills: few by default, and `NIGHTAUDIT_TEST_KILLS` in the long lane of `.ci/run`.
pub(crate) fn kills(few: u64) -> u64 {
    std::env::var("NIGHTAUDIT_TEST_KILLS").ok().map_or(few, |kills| kills.parse().unwrap())
}

fn rounds() -> u64 {
    kills(12)
}

/// Pseudorandom numbers, the same in every run.
fn scramble(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The number in a request's path, which is all that is known of an interrupted one.
fn number(url: &str) -> u64 {
    url.rsplit_once('/').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_request_is_lost_and_no_forwarded_one_is_unknown() {
    let reached: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let mews = {
        let reached = Arc::clone(&reached);
        Upstream::scripted(move |request| {
            let number = number(&request.head.uri.to_string());
            reached.lock().unwrap().insert(number);
            async move {
                let body =
                    format!("{{\"RawResponse\":{number},\"Padding\":\"{}\"}}", "x".repeat(number as usize % 3000));
                http::Response::new(http_body_util::Full::from(body).map_err(|never| match never {}).boxed())
            }
        })
        .await
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let next = Arc::new(AtomicU64::new(0));
    let mut before: Option<Round> = None;
    // On a busy machine few requests are made before a kill, so there are more rounds then.
    let is_last = |round| {
        let made = next.load(Ordering::Relaxed);
        round >= rounds() && (made > 10 * rounds() || round >= 10 * rounds())
    };
    for round in 0.. {
        let is_last = is_last(round);
        let session = format!("round-{round}");
        let url = mews.url();
        let arguments = ["--upstream", &url, "--session", &session, "--limit", "1000000/1s"];
        if round > 0 && !is_last {
            disturb(round, &data, &arguments);
        }
        let serve = Process::serve_on(BINARY, &data, &arguments);
        let ending = before.take().map(|before| {
            before.check(&serve);
            before.end(&data)
        });
        if is_last {
            if let Some(mut ending) = ending {
                ending.wait().unwrap();
            }
            assert!(serve.stop().0.success());
            break;
        }
        reached.lock().unwrap().clear();
        let answered: Arc<Mutex<HashSet<u64>>> = Arc::default();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (address, next, answered) = (serve.proxy(), Arc::clone(&next), Arc::clone(&answered));
                tokio::spawn(async move {
                    let Ok(mut stream) = TcpStream::connect(address).await else { return };
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if exchange(&mut stream, number).await.is_none() {
                            return;
                        }
                        answered.lock().unwrap().insert(number);
                    }
                })
            })
            .collect();
        // Not waiting for anything: the instant of the kill is the experiment.
        tokio::time::sleep(Duration::from_millis(scramble(round) % 120)).await;
        serve.kill();
        if let Some(mut ending) = ending {
            ending.wait().unwrap();
        }
        for client in clients {
            client.await.unwrap();
        }
        let (answered, reached) = (answered.lock().unwrap().clone(), reached.lock().unwrap().clone());
        before = Some(Round { session, answered, reached });
    }
    let check = Command::new(BINARY).args(["log", "check", "--data"]).arg(&data).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    assert!(next.load(Ordering::Relaxed) > 10 * rounds(), "hardly any request was made");
}

/// Kills a process that changes the log, at any instant of opening, compacting or reindexing.
fn disturb(round: u64, data: &Path, serve: &[&str]) {
    let (arguments, longest) = match round % 4 {
        0 => ([&["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"], serve].concat(), 60),
        1 => (vec!["log", "compact"], 30),
        2 => (vec!["log", "reindex"], 30),
        _ => return,
    };
    let command = Command::new(BINARY)
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = command.unwrap();
    // The instant of the kill is the experiment here, too.
    std::thread::sleep(Duration::from_micros(scramble(round + 1_000_000) % (longest * 1000)));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sends one request; `None` if the response is incomplete.
async fn exchange(stream: &mut TcpStream, number: u64) -> Option<()> {
    let body = r#"{"AccessToken":"access-token-0001"}"#;
    let request = format!(
        "POST /api/connector/v1/bills/add/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let text = std::str::from_utf8(&read).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            return Some(());
        }
    }
}

/// What happened before a kill.
struct Round {
    session: String,
    answered: HashSet<u64>,
    reached: HashSet<u64>,
}

impl Round {
    /// Ends its session, which seals the last segment, while the next one is recorded.
    fn end(&self, data: &Path) -> Child {
        let mut command = Command::new(BINARY);
        command.args(["sessions", "end", &self.session, "--data"]).arg(data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Compares it with the log after a restart.
    fn check(&self, serve: &Process) {
        let session = &self.session;
        let output = serve.run(BINARY, &["export", "--format", "ndjson", "-o", "-", "--session", session]);
        let mut recorded = BTreeMap::new();
        for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
            let exchange: Value = serde_json::from_str(line).unwrap();
            let number = number(exchange["request"]["url"].as_str().unwrap());
            let outcome = exchange["outcome"].as_str().unwrap().to_owned();
            assert!(recorded.insert(number, outcome).is_none(), "{session}: {number} is recorded twice");
        }
        for number in &self.answered {
            assert_eq!(recorded.get(number).map(String::as_str), Some("answered"), "{session}: {number} is lost");
        }
        for number in &self.reached {
            assert!(recorded.contains_key(number), "{session}: {number} reached Mews but is unknown");
        }
    }
}
