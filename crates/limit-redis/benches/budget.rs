//! What a request costs, beside a Redis on this machine: `cargo bench -p nightaudit-limit-redis -- redis://localhost:6379`.
//!
//! Measures admissions per second, sent and settled, with 64 at once on two threads, for one token and for many; then the
//! median of a single one beside a bare round trip and beside the limiter in memory. Takes about half a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nightaudit_limit::{Admission, AdmissionRequest, Admit, Config, KeyParts, Limiter, Permit as _, Rule};
use nightaudit_limit_redis::{Budget, BudgetConfig, OnFailure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

const TIME: Duration = Duration::from_secs(5);
const SINGLE: usize = 20_000;

fn limits() -> Config {
    let key = KeyParts { access_token: true, ..KeyParts::default() };
    let window = Duration::from_secs(1);
    let rule = Rule { name: "wide".into(), key, requests: 1_000_000, window, burst: None, paginated_factor: 1 };
    Config { rules: vec![rule], ..Config::default() }
}

fn budget(url: &str) -> Budget {
    let address = url.parse().expect("an address such as redis://localhost:6379");
    let timeout = Duration::from_secs(2);
    let config = BudgetConfig {
        limits: limits(),
        address,
        ca: None,
        timeout,
        node: "bench".into(),
        on_failure: OnFailure::Refuse,
    };
    Budget::new(config).expect("a valid configuration")
}

/// Admits and sends one; whether that worked.
async fn one(limits: &impl Admit, token: &str) -> bool {
    let arrival = AdmissionRequest { access_token: token, client_token: "c", operation: "o", paginated: false };
    match limits.admit(&arrival).await {
        Ok(Admission::Admitted { mut permit, .. }) => {
            let is_sent = permit.sent().await.is_ok();
            permit.responded(None).await;
            is_sent
        }
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn open(limits: &Budget) {
    let since = Instant::now();
    while !one(limits, "open").await {
        assert!(since.elapsed() < Duration::from_secs(30), "the windows don't open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn throughput(url: &str, tokens: usize) {
    let (budget, count) = (budget(url), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let (budget, count) = (budget.clone(), Arc::clone(&count));
            std::thread::spawn(move || {
                Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
                    open(&budget).await;
                    let until = Instant::now() + TIME;
                    let tasks: Vec<_> = (0..32)
                        .map(|task| {
                            let (budget, count) = (budget.clone(), Arc::clone(&count));
                            tokio::spawn(async move {
                                let mut number = thread * 32 + task;
                                while Instant::now() < until {
                                    let admitted = one(&budget, &format!("token {}", number % tokens)).await;
                                    count.fetch_add(admitted.into(), Ordering::Relaxed);
                                    number += 64;
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.expect("no panic");
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let rate = count.load(Ordering::Relaxed) / TIME.as_secs();
    println!("64 at once, {tokens} token(s): {rate} admissions/s");
}

async fn median(what: &str, mut call: impl AsyncFnMut()) -> Duration {
    let mut times = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        let since = Instant::now();
        call().await;
        times.push(since.elapsed());
    }
    times.sort();
    let (median, high) = (times[SINGLE / 2], times[SINGLE * 99 / 100]);
    println!("one at a time, {what}: median {median:?}, 99th percentile {high:?}");
    median
}

fn main() {
    let Some(url) = std::env::args().find(|argument| argument.starts_with("redis://")) else {
        println!("skipped: name a Redis that may be filled, such as redis://localhost:6379");
        return;
    };
    for tokens in [1, 1000] {
        throughput(&url, tokens);
    }
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let budget = budget(&url);
        open(&budget).await;
        let local = Limiter::new(limits()).expect("valid limits");
        let memory = median("in memory", async || assert!(one(&local, "single").await)).await;
        let host = url.trim_start_matches("redis://");
        let mut stream = TcpStream::connect(host).await.expect("Redis");
        stream.set_nodelay(true).expect("a socket");
        let mut reply = [0; 7];
        let bare = median("bare PING", async || {
            stream.write_all(b"PING\r\n").await.expect("Redis takes it");
            stream.read_exact(&mut reply).await.expect("Redis responds");
        })
        .await;
        let shared = median("in Redis", async || assert!(one(&budget, "single").await)).await;
        println!("beyond memory and a bare round trip: {:?}", shared.saturating_sub(memory + bare));
    });
}
