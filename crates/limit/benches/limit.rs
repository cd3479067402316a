//! The cost of a decision: `cargo bench -p nightaudit-limit`.
//!
//! A check takes a permit under every rule and releases it. An admission records the send instead, and so reads the
//! clock twice.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nightaudit_limit::{AdmissionRequest, Clock, Config, KeyParts, Limiter, MonotonicClock, Rule, Sleep, Verdict};

/// The machine's clock, with its cost, sped up a thousandfold: more is admitted per second than a rule may allow, but
/// not per millisecond. A window of a second thus holds about ten thousand sends.
struct FastClock(MonotonicClock);

const SPEED: u64 = 1000;

impl Clock for FastClock {
    fn now(&self) -> u64 {
        self.0.now() * SPEED
    }

    fn sleep_until(&self, instant: u64) -> Sleep {
        self.0.sleep_until(instant / SPEED)
    }
}

const PARTS: [KeyParts; 3] = [
    KeyParts { access_token: true, client_token: false, operation: false },
    KeyParts { access_token: true, client_token: false, operation: true },
    KeyParts { access_token: false, client_token: true, operation: false },
];

fn limiter(rules: usize) -> Limiter {
    let rule = |(index, key): (usize, &KeyParts)| Rule {
        name: index.to_string(),
        key: *key,
        requests: 1_000_000,
        window: Duration::from_secs(1),
        burst: None,
        paginated_factor: 1,
    };
    let rules = PARTS.iter().enumerate().map(rule).take(rules).collect();
    let config = Config { rules, ..Config::default() };
    Limiter::with_clock(config, FastClock(MonotonicClock::default())).expect("the rules are within bounds")
}

/// The published limit, on the real clock.
fn published() -> Limiter {
    let rule = Rule {
        name: "published".to_owned(),
        key: PARTS[0],
        requests: 200,
        window: Duration::from_secs(30),
        burst: None,
        paginated_factor: 1,
    };
    Limiter::new(Config { rules: vec![rule], ..Config::default() }).expect("the rule is within bounds")
}

fn arrival(access_token: &str) -> AdmissionRequest<'_> {
    let operation = "reservations/getAll/2023-06-06";
    AdmissionRequest { access_token, client_token: "REDACTED:3f9a1c0b7d24", operation, paginated: false }
}

const TOKEN: &str = "REDACTED:b1946ac92492";

fn admit(limiter: &Limiter, access_token: &str) {
    match limiter.check(black_box(&arrival(access_token))) {
        Verdict::Admitted(permit) => drop(permit.sent()),
        Verdict::Refused(refusal) => panic!("the bench measures admissions: {refusal:?}"),
    }
}

fn check(limiter: &Limiter, access_token: &str) {
    match limiter.check(black_box(&arrival(access_token))) {
        Verdict::Admitted(permit) => drop(permit),
        Verdict::Refused(refusal) => panic!("the bench measures admissions: {refusal:?}"),
    }
}

fn checks(c: &mut Criterion) {
    let mut group = c.benchmark_group("check by rules");
    for rules in [1, 2, 3] {
        let limiter = limiter(rules);
        admit(&limiter, TOKEN);
        group.bench_function(BenchmarkId::from_parameter(rules), |b| b.iter(|| check(&limiter, TOKEN)));
    }
    group.finish();
}

fn admissions(c: &mut Criterion) {
    let mut group = c.benchmark_group("admission by rules");
    for rules in [1, 2, 3] {
        let limiter = limiter(rules);
        group.bench_function(BenchmarkId::from_parameter(rules), |b| b.iter(|| admit(&limiter, TOKEN)));
    }
    group.finish();
}

fn refusal(c: &mut Criterion) {
    let limiter = published();
    for _ in 0..200 {
        admit(&limiter, TOKEN);
    }
    // Within the 30 seconds.
    c.bench_function("refusal", |b| b.iter(|| limiter.check(black_box(&arrival(TOKEN)))));
}

/// Time per admission, over all threads.
fn threads_on_one_key(c: &mut Criterion) {
    let mut group = c.benchmark_group("admission by threads on one key");
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::from_parameter(threads), |b| {
            b.iter_custom(|iterations| {
                let limiter = limiter(1);
                let share = iterations.div_ceil(threads);
                let start = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| (0..share).for_each(|_| admit(&limiter, TOKEN)));
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// Tokens in scattered order, which caches can't predict.
fn keys(c: &mut Criterion) {
    let mut group = c.benchmark_group("check by keys");
    for keys in [1_usize, 100, 10_000, 100_000] {
        let limiter = published();
        let tokens: Vec<String> = (0..keys).map(|n| format!("REDACTED:{:012x}", n * 7919 % keys)).collect();
        tokens.iter().for_each(|token| admit(&limiter, token));
        let mut turns = tokens.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(keys), |b| {
            b.iter(|| turns.next().map(|token| check(&limiter, token)));
        });
    }
    group.finish();
}

criterion_group!(benches, checks, admissions, refusal, threads_on_one_key, keys);
criterion_main!(benches);
