//! Real threads on the same keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nightaudit_limit::{Action, AdmissionRequest, FakeClock, Limiter, MonotonicClock, Rule, Verdict};

use crate::support::{BY_OPERATION, arrival, fullest_window, limiter, rule};

const THREADS: u64 = 4;

/// Each thread sends as much as it can for `rounds`, advancing the clock a little and dropping a permit now and then.
/// Returns the instants of all sends.
fn hammer(limiter: &Limiter, clock: &FakeClock, rounds: u64) -> Vec<(u64, u32)> {
    let work = |thread: u64| {
        let mut sends = Vec::new();
        let mut random = thread + 1;
        for _ in 0..rounds {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            clock.advance(Duration::from_nanos(random >> 44));
            match limiter.check(&arrival("a")) {
                Verdict::Admitted(permit) if random >> 60 == 0 => drop(permit),
                Verdict::Admitted(permit) => sends.push((permit.sent().at(), 1)),
                Verdict::Refused(_) => {}
            }
        }
        sends
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn no_window_ever_holds_more_than_the_limit() {
    let (limiter, clock) = limiter(vec![rule(100, 1)], Action::Reject);
    let sends = hammer(&limiter, &clock, 20_000);
    assert_eq!(fullest_window(&sends, Duration::from_secs(1)), 100);
    let windows = sends.iter().max().unwrap().0 / 1_000_000_000;
    assert!(windows > 10, "only {windows} windows went by");
}

#[test]
fn the_limit_holds_on_the_monotonic_clock() {
    let rule = rule(1000, 3600);
    let config = nightaudit_limit::Config { rules: vec![rule], ..nightaudit_limit::Config::default() };
    let limiter = Limiter::with_clock(config, MonotonicClock::default()).unwrap();
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..2000 {
                    if let Verdict::Admitted(permit) = limiter.check(&arrival("a")) {
                        permit.sent();
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1000);
}

/// Rules whose keys cross: threads that took their locks in different orders would deadlock here.
#[test]
fn rules_with_crossing_keys_never_deadlock() {
    let by_client = nightaudit_limit::KeyParts { client_token: true, ..Default::default() };
    let rules = vec![
        Rule { name: "operation".to_owned(), key: BY_OPERATION, ..rule(50, 1) },
        Rule { name: "client".to_owned(), key: by_client, ..rule(90, 1) },
        Rule { name: "access".to_owned(), ..rule(60, 1) },
    ];
    let (limiter, clock) = limiter(rules, Action::Reject);
    let names = ["one", "two", "three"];
    let work = |thread: usize| {
        let mut sends = Vec::new();
        for round in 0..20_000_usize {
            clock.advance(Duration::from_micros(50));
            let mixed = round.wrapping_mul(7919).wrapping_add(thread * 31);
            let (access, client) = (mixed % 3, mixed / 3 % 3);
            let arrival = AdmissionRequest {
                access_token: names[access],
                client_token: names[client],
                operation: names[mixed / 9 % 3],
                paginated: false,
            };
            if let Verdict::Admitted(permit) = limiter.check(&arrival) {
                sends.push((access, client, permit.sent().at()));
            }
        }
        sends
    };
    let sends: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for name in 0..names.len() {
        let by = |wanted: fn(&(usize, usize, u64)) -> usize| -> Vec<(u64, u32)> {
            sends.iter().filter(|send| wanted(send) == name).map(|send| (send.2, 1)).collect()
        };
        assert!(fullest_window(&by(|send| send.0), Duration::from_secs(1)) <= 60);
        assert!(fullest_window(&by(|send| send.1), Duration::from_secs(1)) <= 90);
    }
}
