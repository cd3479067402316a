//! Sends that did not happen: the connection had closed before taking any byte.

use std::time::Duration;

use nightaudit_limit::Action;
use proptest::prelude::*;

use crate::support::{admitted, arrival, limiter, refused, rule};

#[test]
fn an_undone_send_counts_until_it_is_sent_or_dropped() {
    let (limiter, clock) = limiter(vec![rule(1, 30)], Action::Reject);
    let permit = admitted(limiter.check(&arrival("token"))).sent().undo();
    // Long after the window of the undone send, the permit still counts.
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
    /// Whatever is sent and undone, the full limit is available in the end, and no more.
    #[test]
    fn undone_and_dropped_permits_leave_no_trace(steps in prop::collection::vec((0_u64..40, any::<bool>()), 0..60)) {
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
        let permits: Vec<_> = (0..REQUESTS).map(|_| admitted(limiter.check(&arrival("token")))).collect();
        refused(limiter.check(&arrival("token")));
        drop(permits);
    }
}
