//! Prints the log's performance on this machine: `cargo run --profile dist -p nightaudit-store --example log_numbers
//! [EXCHANGES]`. `log_numbers fill DIR EXCHANGES` only records so many into a log, as of the hour before, for
//! `benches/growth.py`.

use std::{
    collections::VecDeque,
    error::Error,
    fs,
    path::Path,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use nightaudit_exchange::{
    Capture, CapturedBody, CapturedEnvelope, CapturedRequest, CapturedResponse, ExchangeId, Filter, Head, Outcome,
    Timestamp,
};
use nightaudit_store::{Durability, Log, Order, Query, StoreConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, dir, exchanges] = &words[..]
        && word == "fill"
    {
        return fill(Path::new(dir), exchanges.parse()?);
    }
    let exchanges = words.first().map_or(Ok(200_000), |text| text.parse::<u64>())?;
    let folder = std::env::var_os("LOG_NUMBERS_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = folder.join(format!("log-numbers-{}", std::process::id()));
    let result = measure(&dir, exchanges);
    fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &Path, exchanges: u64) -> Result<(), Box<dyn Error>> {
    let raw = (0..1000).map(|number| size(&capture(number))).sum::<u64>() / 1000;
    println!("an exchange: {raw} bytes raw");
    let config = || StoreConfig { session: Some("numbers".into()), ..StoreConfig::new(dir, &nightaudit_mews::API) };

    let bare = bare(dir)?;
    println!("a bare loop of one write of 700 bytes and one fdatasync: {bare:.0}/s appending");
    // Memory held while recording, without a log.
    let in_hand: Vec<Capture> = (0..IN_HAND).map(capture).collect();
    let before = memory("VmRSS");
    drop(in_hand);
    let log = Log::open(config())?;
    let half = exchanges / 2;
    rate("append, sync, batches of 256", half, append(&log, 0..half, 256, Next::WhenAllAreDone));
    let time = append(&log, half..exchanges, 256, Next::WhenOneIsDone);
    rate("append, sync, 256 under way at once", exchanges - half, time);
    let peak = memory("VmHWM");
    println!(
        "memory: {} MiB at the peak, {} MiB of it the program with {IN_HAND} exchanges in hand, {} MiB the log",
        peak >> 20,
        before >> 20,
        peak.saturating_sub(before) >> 20
    );
    let count = 3000.min(exchanges);
    rate("append, sync, one at a time", count, append(&log, exchanges..exchanges + count, 1, Next::WhenOneIsDone));
    let info = log.info();
    let share = |bytes: u64| bytes as f64 / (raw * info.exchanges) as f64;
    println!(
        "on disk: {:.3} of the raw size, {:.3} with the index",
        share(info.segment_bytes),
        share(info.segment_bytes + info.index_bytes)
    );
    timed("close", || log.close());
    drop(log);

    let log = timed("open after a clean stop", || Log::open(config()))?;
    let start = Instant::now();
    let scanned = log.query(Query::default())?.filter(Result::is_ok).count() as u64;
    rate("scan", scanned, start.elapsed());
    let filter = Filter { operation: Some("customers/*".parse()?), ..Filter::default() };
    timed("count by operation", || log.count(&filter))?;
    let mut gets: Vec<Duration> = (0..1001)
        .map(|number| {
            let id = id(number * 7919 % exchanges);
            let start = Instant::now();
            assert!(matches!(log.get(id), Ok(Some(_))), "an exchange is missing");
            start.elapsed()
        })
        .collect();
    gets.sort();
    println!("get by id: median {:?}, p99 {:?}", gets[500], gets[990]);
    timed("the newest 1,000", || {
        log.query(Query { order: Order::Newest, limit: Some(1000), ..Query::default() }).map(Iterator::count)
    })?;
    let start = Instant::now();
    let indexed = log.reindex(&mut |_| {})?;
    rate("rebuild of the index", indexed, start.elapsed());
    append(&log, 2 * exchanges..2 * exchanges + 10_000, 256, Next::WhenOneIsDone);
    // As after a kill: nothing is flushed, and the folder is copied while the log is open.
    let copy = dir.with_extension("killed");
    copy_all(dir, &copy)?;
    let killed = timed("open after a kill", || Log::open(StoreConfig { dir: copy.clone(), ..config() }))?;
    println!("  exchanges {}, torn bytes {}", killed.opened().exchanges, killed.opened().torn_bytes);
    drop(killed);
    fs::remove_dir_all(copy)?;
    drop(log);

    let batch = Log::open(StoreConfig { durability: Durability::Batch, ..config() })?;
    let start = Instant::now();
    append(&batch, 4 * exchanges..5 * exchanges, 1024, Next::WhenOneIsDone);
    let closed = batch.close();
    rate("append, batch, with the end written", closed.recorded, start.elapsed());
    println!("memory: {} MiB at the peak of all", memory("VmHWM") >> 20);
    Ok(())
}

/// Records so many exchanges of one session, all started within the last hour, and says how fast the first and the last
/// 100,000 were recorded.
fn fill(dir: &Path, exchanges: u64) -> Result<(), Box<dyn Error>> {
    const PART: u64 = 100_000;
    let config = StoreConfig { session: Some("growth".into()), ..StoreConfig::new(dir, &nightaudit_mews::API) };
    let log = Log::open(StoreConfig { durability: Durability::Write, ..config })?;
    let begin = Timestamp::from_system(std::time::SystemTime::now()).minus(Duration::from_secs(3600));
    let capture = |number: u64| {
        let at = Duration::from_micros(number * 3_600_000_000 / exchanges);
        Capture { received: begin.plus(at), ..capture(number) }
    };
    for first in (0..exchanges).step_by(PART as usize) {
        let last = exchanges.min(first + PART);
        let time = append_made(&log, first..last, 256, Next::WhenOneIsDone, capture);
        if first == 0 || last == exchanges {
            rate("recorded, 256 in flight at once", last - first, time);
        }
    }
    log.close();
    Ok(())
}

/// How many times per second this disk takes one write and one `fdatasync` at a file's end.
fn bare(dir: &Path) -> Result<f64, Box<dyn Error>> {
    const ROUNDS: u64 = 1000;
    fs::create_dir_all(dir)?;
    let path = dir.join("bare");
    let file = fs::File::create(&path)?;
    let start = Instant::now();
    for round in 0..ROUNDS {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 700], round * 700)?;
        file.sync_data()?;
    }
    let rate = ROUNDS as f64 / start.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{what}: {:?}", start.elapsed());
    done
}

fn rate(what: &str, count: u64, time: Duration) {
    println!("{what}: {:.0}/s ({count} in {time:?})", count as f64 / time.as_secs_f64());
}

/// When the next exchange is recorded, with the maximum number in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// In batches, as from one client that awaits each batch.
    WhenAllAreDone,
    /// Independently, as from that many clients.
    WhenOneIsDone,
}

/// How many captures are created before the clock starts.
const IN_HAND: u64 = 2048;

/// Records with this many in flight.
fn append(log: &Log, numbers: std::ops::Range<u64>, at_once: usize, next_is_recorded: Next) -> Duration {
    append_made(log, numbers, at_once, next_is_recorded, capture)
}

fn append_made(
    log: &Log,
    numbers: std::ops::Range<u64>,
    at_once: usize,
    next_is_recorded: Next,
    capture: impl Fn(u64) -> Capture,
) -> Duration {
    let recorder = log.recorder();
    let mut time = Duration::ZERO;
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + IN_HAND);
        let captures: Vec<Capture> = (next..end).map(&capture).collect();
        next = end;
        let start = Instant::now();
        let mut waiting = VecDeque::new();
        for capture in captures {
            if waiting.len() >= at_once {
                let done = if next_is_recorded == Next::WhenAllAreDone { waiting.len() } else { 1 };
                waiting.drain(..done).for_each(wait);
            }
            let Ok(permit) = wait(recorder.reserve()) else { panic!("the log can't be written") };
            waiting.push_back(permit.record(capture));
        }
        waiting.into_iter().for_each(wait);
        time += start.elapsed();
    }
    time
}

fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

fn id(number: u64) -> ExchangeId {
    ExchangeId::from_parts(1_795_435_200_000 + number / 4, u128::from(mix(number)) << 16 | u128::from(number % 4))
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// A page of reservations as Mews returns them, about 3.5 KB with its request and headers.
fn capture(number: u64) -> Capture {
    let access = format!("{:032X}-{:031X}", mix(number % 3), mix(number % 3 + 9));
    let client = format!("{:032X}-{:031X}", mix(77), mix(78));
    let operation = ["reservations/getAll/2023-06-06", "customers/getAll", "orderItems/getAll"][number as usize % 3];
    let request = format!(
        r#"{{"ClientToken":"{client}","AccessToken":"{access}","Client":"Acme Kiosk 2.1.0","UpdatedUtc":{{"StartUtc":"2026-11-{:02}T00:00:00Z","EndUtc":"2026-11-{:02}T00:00:00Z"}},"Limitation":{{"Cursor":"{}","Count":100}}}}"#,
        number % 28 + 1,
        number % 28 + 2,
        guid(number)
    );
    let reservations: Vec<String> = (0..5)
        .map(|row| {
            let n = number * 31 + row;
            format!(
                r#"{{"Id":"{}","ServiceId":"{}","AccountId":"{}","Number":"{}","State":"{}","Origin":"Connector","CreatedUtc":"2026-11-{:02}T{:02}:{:02}:{:02}Z","StartUtc":"2026-12-{:02}T14:00:00Z","EndUtc":"2026-12-{:02}T10:00:00Z","AdultCount":{},"ChildCount":{},"RateId":"{}","Notes":null,"ChannelNumber":null}}"#,
                guid(n), guid(n % 5), guid(n + 7), mix(n) % 100_000, ["Confirmed", "Started", "Processed"][n as usize % 3],
                n % 28 + 1, n % 24, n % 60, n * 7 % 60, n % 28 + 1, n % 28 + 3, n % 4 + 1, n % 3, guid(n % 11)
            )
        })
        .collect();
    let response = format!(r#"{{"Reservations":[{}],"Cursor":"{}"}}"#, reservations.join(","), guid(number + 1));
    let request_head = format!(
        "POST /api/connector/v1/{operation} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nAccept: application/json\r\nUser-Agent: acme-kiosk/2.1.0\r\nContent-Length: {}\r\n\r\n",
        request.len()
    );
    let answer_head = format!(
        "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 12:00:{:02} GMT\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\nRequest-Id: {}\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n",
        number % 60,
        response.len(),
        guid(number * 3)
    );
    Capture {
        id: id(number),
        session: None,
        environment: "demo".into(),
        received: Timestamp::from_micros(1_795_435_200_000_000 + number as i64 * 250),
        forwarded: Some(Duration::from_micros(180 + number % 90)),
        response_head: Some(Duration::from_micros(80_000 + mix(number) % 9000)),
        response_end: Some(Duration::from_micros(90_000 + mix(number) % 900)),
        peer: ([127, 0, 0, 1], 40_000 + (number % 64) as u16).into(),
        envelope: CapturedEnvelope {
            access_token: Some(access.into()),
            client_token: Some(client.into()),
            client: Some("Acme Kiosk 2.1.0".into()),
            paginated: true,
        },
        request: CapturedRequest {
            method: Method::POST,
            origin: "https://api.mews-demo.com".into(),
            target: format!("/api/connector/v1/{operation}").into(),
            version: Version::HTTP_11,
            head: Head::Wire(Bytes::from(request_head)),
            body: CapturedBody::whole(request.into()),
        },
        response: Some(CapturedResponse {
            status: StatusCode::OK,
            version: Version::HTTP_11,
            head: Head::Wire(answer_head.into()),
            body: CapturedBody::whole(response.into()),
        }),
        limit: None,
        outcome: Outcome::Answered,
        error: None,
        fault: None,
        direction: nightaudit_exchange::CallDirection::Outgoing,
        web_socket: None,
        resent_from: None,
        memory: Default::default(),
        destination: None,
        notes: Vec::new(),
    }
}

fn guid(number: u64) -> String {
    let (a, b) = (mix(number), mix(number ^ 0x5555));
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", a >> 32, a >> 16 & 0xffff, a & 0xffff, b >> 48, b & 0xffff_ffff_ffff)
}

fn size(capture: &Capture) -> u64 {
    let head = |head: &Head| match head {
        Head::Wire(bytes) => bytes.len() as u64,
        Head::Parsed(_) => 0,
    };
    let response = capture.response.as_ref().map_or(0, |response| head(&response.head) + response.body.length);
    head(&capture.request.head) + capture.request.body.length + response
}

fn memory(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
