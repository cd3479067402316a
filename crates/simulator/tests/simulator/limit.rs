//! The simulator's limit compared with the limiter's.

use std::time::Duration;

use nightaudit_limit::{Action, AdmissionRequest, Config, FakeClock, KeyParts, Limiter, Rule, Verdict};
use nightaudit_simulator::{Anchor, Limit, Windows};
use proptest::prelude::*;

fn limiter(limit: Limit) -> (Limiter, FakeClock) {
    let requests = limit.requests.get();
    let key = KeyParts { access_token: true, client_token: false, operation: false };
    let rule =
        Rule { name: "published".to_owned(), key, requests, window: limit.window, burst: None, paginated_factor: 1 };
    let clock = FakeClock::default();
    let config = Config { rules: vec![rule], slack: Duration::ZERO, action: Action::Reject };
    (Limiter::with_clock(config, clock.clone()).unwrap(), clock)
}

fn arrival(token: &str) -> AdmissionRequest<'_> {
    AdmissionRequest { access_token: token, client_token: "client", operation: "resources/getAll", paginated: false }
}

fn limits() -> impl Strategy<Value = Limit> {
    (1..6_u32, 1_000..30_000_u64).prop_map(|(requests, millis)| Limit {
        requests: requests.try_into().unwrap(),
        window: Duration::from_millis(millis),
    })
}

/// Pauses in nanoseconds before requests with one of two tokens: short ones, and some that hit the end of a window.
fn schedule() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let pause = prop_oneof![0..10_u64, 0..1_000_000_000_u64, 0..40_000_000_000_u64];
    prop::collection::vec((pause, any::<bool>()), 1..120)
}

proptest! {
    /// Sliding windows admit exactly what the limiter admits, with the same retry times.
    #[test]
    fn sliding_windows_agree_with_the_limiter(limit in limits(), schedule in schedule()) {
        let (limiter, clock) = limiter(limit);
        let mut windows = Windows::new(limit, Anchor::Sliding);
        let (mut now, mut last_wait) = (0, None::<Duration>);
        for (pause, first) in schedule {
            // Sometimes exactly the instant named by the last refusal.
            let pause = last_wait.take().filter(|_| pause % 3 == 0).map_or(pause, |wait| wait.as_nanos() as u64);
            now += pause;
            clock.advance(Duration::from_nanos(pause));
            let token = if first { "a" } else { "b" };
            match (limiter.check(&arrival(token)), windows.admit(token, now)) {
                (Verdict::Admitted(place), Ok(())) => drop(place.sent()),
                (Verdict::Refused(refusal), Err(wait)) => {
                    prop_assert_eq!(refusal.retry_after, wait);
                    last_wait = Some(wait);
                }
                (theirs, ours) => prop_assert!(false, "limiter: {:?}, simulator: {:?}", theirs, ours),
            }
        }
    }

    /// Whatever the anchor, requests within the limiter's rule are never rejected.
    #[test]
    fn requests_within_the_limit_are_never_rejected(limit in limits(), schedule in schedule()) {
        let (limiter, clock) = limiter(limit);
        let mut windows = [Anchor::Sliding, Anchor::Burst].map(|anchor| Windows::new(limit, anchor));
        let mut now = 0;
        for (pause, first) in schedule {
            now += pause;
            clock.advance(Duration::from_nanos(pause));
            let token = if first { "a" } else { "b" };
            if let Verdict::Admitted(place) = limiter.check(&arrival(token)) {
                drop(place.sent());
                for windows in &mut windows {
                    prop_assert_eq!(windows.admit(token, now), Ok(()));
                }
            }
        }
    }

    /// Anchored windows admit at most twice the limit around a window's end, in any window.
    #[test]
    fn an_anchored_window_admits_at_most_twice_the_limit(limit in limits(), schedule in schedule()) {
        let mut windows = Windows::new(limit, Anchor::Burst);
        let (mut now, mut sends) = (0, Vec::new());
        for (pause, _) in schedule {
            now += pause;
            if windows.admit("a", now).is_ok() {
                sends.push(now);
            }
        }
        let window = limit.window.as_nanos() as u64;
        for (index, first) in sends.iter().enumerate() {
            let within = sends[index..].iter().take_while(|at| **at <= first + window).count();
            prop_assert!(within <= 2 * limit.requests.get() as usize);
        }
    }
}
