//! What it costs to be watched: `cargo bench --bench following -- rate [SECONDS]` and `… -- stalled [SECONDS]`.
//!
//! `rate` sends 2,000 requests a second through `nightaudit serve`, without and with a `nightaudit tail` that follows, and
//! says what the tail saw, in which order and how late. `stalled` has a tail whose output nobody reads, and says what
//! that costs `serve` in memory. Everything runs on loopback, and shares the machine with what measures it.

use std::{
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use nightaudit_exchange::Timestamp;
use nightaudit_testkit::{Process, Upstream};
use serde::Deserialize;
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");
const RATE: u32 = 2_000;
const CONNECTIONS: u32 = 16;
const BODY: &str = r#"{"ClientToken":"E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D","AccessToken":"C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D","Client":"Sample Client 1.0.0","Limitation":{"Count":100}}"#;
const ANSWER: &str = r#"{"Reservations":[{"Id":"e6ea708c-2a2a-412f-a152-b6c76ffa0001","State":"Confirmed","StartUtc":"2026-12-01T14:00:00Z"}],"Cursor":null}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let seconds = words.get(1).map_or(Ok(30), |word| word.parse())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mews = runtime.block_on(Upstream::responding(200, ANSWER));
    match words.first().map(String::as_str) {
        Some("stalled") => stalled(&runtime, &mews.url(), seconds),
        _ => rate(&runtime, &serve(&mews.url()), seconds),
    }
}

fn rate(runtime: &tokio::runtime::Runtime, serve: &Process, seconds: u64) -> Result<(), Box<dyn Error>> {
    runtime.block_on(load(serve, 2));
    let without = runtime.block_on(load(serve, seconds));
    let mut tail = tail(serve, Stdio::piped())?;
    let output = tail.stdout.take().ok_or("no output")?;
    let reader = thread::spawn(move || read(output));
    thread::sleep(Duration::from_secs(1));
    let with = runtime.block_on(load(serve, seconds));
    // What is under way arrives within a second, or is too late anyhow.
    thread::sleep(Duration::from_secs(1));
    tail.kill()?;
    tail.wait()?;
    let mut seen = reader.join().map_err(|_| "the reader failed")?;
    let sent = with.finished;
    let gaps = seen.windows(2).filter(|pair| pair[1].sequence != pair[0].sequence + 1).count();
    println!("sent, of them seen, out of order or missing: {sent}, {}, {gaps}", seen.len());
    seen.sort_by_key(|line| line.late);
    for share in [0.5, 0.99, 0.999, 1.0] {
        let place = (seen.len() as f64 * share).ceil() as usize;
        println!("{:5.1} % seen within {:?} of completion", share * 100.0, seen[place.saturating_sub(1)].late);
    }
    let (a, b) = (without.rate(), with.rate());
    println!("rate without {a:.0}/s, with {b:.0}/s: {:+.1} %", (b / a - 1.0) * 100.0);
    println!("latency without p50 {:?} p99 {:?}, with p50 {:?} p99 {:?}", without.p50, without.p99, with.p50, with.p99);
    Ok(())
}

/// The same load on two fresh processes: one that nobody follows, and one whose follower does not read.
fn stalled(runtime: &tokio::runtime::Runtime, upstream: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let mut peaks = Vec::new();
    for followed in [false, true] {
        let serve = serve(upstream);
        let mut reader = None;
        if followed {
            let mut tail = tail(&serve, Stdio::piped())?;
            let never_read = tail.stdout.take();
            reader = Some((tail, never_read));
        }
        let mut series = Vec::new();
        for _ in 0..seconds {
            runtime.block_on(load(&serve, 1));
            series.push(resident(serve.id())?);
        }
        let shown: Vec<String> = series.iter().step_by(5).map(|bytes| format!("{:.1}", mib(*bytes))).collect();
        println!("followed: {followed}; MiB resident every 5 s: {}", shown.join(" "));
        peaks.push(series.into_iter().max().unwrap_or(0));
        if let Some((mut tail, _)) = reader {
            tail.kill()?;
            tail.wait()?;
        }
    }
    println!("a follower that does not read for {seconds} s: {:+.1} MiB", mib(peaks[1]) - mib(peaks[0]));
    Ok(())
}

fn serve(upstream: &str) -> Process {
    Process::serve(BINARY, &["--upstream", upstream, "--limit", "1000000/1s"])
}

fn tail(serve: &Process, output: Stdio) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(BINARY);
    command.args(["tail", "--json", "-n", "0", "--data"]).arg(serve.data()).stdout(output).stderr(Stdio::null());
    Ok(command.spawn()?)
}

/// A line of the tail.
struct Seen {
    sequence: u64,
    /// From the end of the answer until it was read.
    late: Duration,
}

fn read(output: impl std::io::Read) -> Vec<Seen> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        sequence: u64,
        started_at: Timestamp,
        times_us: Times,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Times {
        response_end: Option<u64>,
    }

    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let seen = lines.filter_map(|line| {
        let now = Timestamp::from_system(SystemTime::now());
        let line: Line = serde_json::from_str(&line).ok()?;
        let ended = line.started_at.plus(Duration::from_micros(line.times_us.response_end?));
        Some(Seen { sequence: line.sequence, late: now.since(ended) })
    });
    seen.collect()
}

/// What a load was like.
struct Load {
    finished: u64,
    took: Duration,
    p50: Duration,
    p99: Duration,
}

impl Load {
    fn rate(&self) -> f64 {
        self.finished as f64 / self.took.as_secs_f64()
    }
}

/// Sends at an even pace over several connections, and waits for all answers.
async fn load(serve: &Process, seconds: u64) -> Load {
    let (address, finished) = (serve.proxy(), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let finished = Arc::clone(&finished);
        tasks.spawn(async move {
            let stream = TcpStream::connect(address).await.expect("serve listens");
            stream.set_nodelay(true).expect("a socket");
            let (mut sender, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
            tokio::spawn(driver);
            let mut due = tokio::time::interval(Duration::from_secs(1) * CONNECTIONS / RATE);
            let mut times = Vec::new();
            // Each begins a little later than the one before, so that they don't go in step.
            tokio::time::sleep(Duration::from_secs(1) * connection / RATE).await;
            for _ in 0..seconds * u64::from(RATE / CONNECTIONS) {
                due.tick().await;
                let request = http::Request::post("/api/connector/v1/reservations/getAll/2023-06-06")
                    .header("host", "localhost")
                    .header("content-type", "application/json")
                    .body(Full::<Bytes>::from(BODY))
                    .expect("a request");
                let sent = Instant::now();
                let answer = sender.send_request(request).await.expect("an answer");
                assert_eq!(answer.status(), 200);
                answer.into_body().collect().await.expect("a body");
                times.push(sent.elapsed());
                finished.fetch_add(1, Ordering::Relaxed);
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let took = start.elapsed();
    times.sort_unstable();
    let of = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    Load { finished: finished.load(Ordering::Relaxed), took, p50: of(0.5), p99: of(0.99) }
}

/// The memory of a process that is in use, in bytes.
fn resident(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
