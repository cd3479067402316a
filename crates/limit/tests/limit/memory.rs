//! Memory of idle keys.

use std::time::Duration;

use nightaudit_limit::{Action, Limiter};

use crate::support::{admitted, arrival, limiter, rule};

fn keys(limiter: &Limiter) -> usize {
    limiter.rules()[0].keys
}

#[test]
fn of_a_million_tokens_in_an_hour_only_the_last_window_is_kept() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], Action::Reject);
    let step = Duration::from_micros(3600);
    let in_a_window = usize::try_from(Duration::from_secs(30).as_micros() / step.as_micros()).unwrap();
    let mut most = 0;
    for token in 0..1_000_000 {
        clock.advance(step);
        admitted(limiter.check(&arrival(&token.to_string()))).sent();
        if token % 1000 == 0 {
            most = most.max(keys(&limiter));
        }
    }
    assert!(most <= in_a_window + 2, "{most} keys, {in_a_window} in a window");
    assert!(keys(&limiter) >= in_a_window, "keys in use were forgotten");
}

#[test]
fn later_arrivals_clear_a_flood_of_keys() {
    let (limiter, clock) = limiter(vec![rule(200, 30)], Action::Reject);
    for token in 0..10_000 {
        admitted(limiter.check(&arrival(&token.to_string()))).sent();
    }
    assert_eq!(keys(&limiter), 10_000);
    clock.advance(Duration::from_secs(31));
    for _ in 0..6000 {
        drop(limiter.check(&arrival("a")));
    }
    assert_eq!(keys(&limiter), 1);
}

#[test]
fn a_key_in_use_is_not_forgotten() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], Action::Reject);
    let permit = admitted(limiter.check(&arrival("pending")));
    let sent = admitted(limiter.check(&arrival("closed"))).sent();
    sent.too_many_requests(Some(Duration::from_secs(3600)));
    drop(sent);
    for _ in 0..50 {
        clock.advance(Duration::from_secs(60));
        admitted(limiter.check(&arrival("other"))).sent();
    }
    crate::support::refused(limiter.check(&arrival("pending")));
    crate::support::refused(limiter.check(&arrival("closed")));
    drop(permit);
    clock.advance(Duration::from_secs(3600));
    for _ in 0..10 {
        drop(limiter.check(&arrival("other")));
    }
    assert_eq!(keys(&limiter), 1);
}
