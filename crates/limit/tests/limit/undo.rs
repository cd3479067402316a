//! A send that did not happen: its connection had closed before it took anything.

use std::time::Duration;

use nightaudit_limit::Action;
use proptest::prelude::*;

use crate::support::{admitted, arrival, limiter, refused, rule};

#[test]
fn a_send_that_is_undone_holds_a_place_until_it_is_sent_or_dropped() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], Action::Reject);
    let permit = admitted(limiter.check(&arrival("token"))).sent().undo();
    // Long after the window of the send that was none, the place is still taken.
    clock.advance(Duration::from_secs(60));
    refused(limiter.check(&arrival("token")));
    drop(permit);
    drop(admitted(limiter.check(&arrival("token"))));
}

#[test]
fn only_the_send_that_happened_counts() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], Action::Reject);
    let permit = admitted(limiter.check(&arrival("token"))).sent().undo();
    clock.advance(Duration::from_secs(10));
    let _sent = permit.sent();
    clock.advance(Duration::from_secs(30));
    assert_eq!(refused(limiter.check(&arrival("token"))).retry_after, Duration::from_nanos(1));
    clock.advance(Duration::from_nanos(1));
    drop(admitted(limiter.check(&arrival("token"))));
}

proptest! {
    /// Whatever is sent and undone in between, all places are there in the end, and no more than those.
    #[test]
    fn what_is_undone_and_dropped_leaves_nothing_behind(steps in prop::collection::vec((0_u64..40, any::<bool>()), 0..60)) {
        const REQUESTS: u32 = 5;
        let (limiter, clock) = limiter(vec![rule(REQUESTS, 30), rule(REQUESTS, 60)], Action::Reject);
        let mut last_send = None;
        let mut now = 0;
        for (pause, happens) in steps {
            clock.advance(Duration::from_secs(pause));
            now += pause;
            if let nightaudit_limit::Verdict::Admitted(permit) = limiter.check(&arrival("token")) {
                let sent = permit.sent();
                if happens {
                    last_send = Some(now);
                } else {
                    drop(sent.undo());
                }
            }
        }
        let wait = last_send.map_or(0, |last| (last + 61_u64).saturating_sub(now));
        clock.advance(Duration::from_secs(wait));
        let places: Vec<_> = (0..REQUESTS).map(|_| admitted(limiter.check(&arrival("token")))).collect();
        refused(limiter.check(&arrival("token")));
        drop(places);
    }
}
