//! What must change nothing: the order of the record, equal times, clocks that are set, restarts, another token.

use crate::common::*;
use nightaudit_exchange::{Exchange, ExchangeId, Timestamp};
use nightaudit_review::{Declaration, LimitReview, Review, Reviewer, Rule};
use proptest::prelude::*;

/// A busy hour with a fault of most kinds that depend on order.
fn busy() -> Vec<Call> {
    let at = 10.0 * 3600.0;
    let mut calls = quiet();
    calls.extend(
        (0..205).map(|n| question(at + f64::from(n) * 0.1, &n.to_string()).took(50 + u64::from(n as u32) * 37 % 3000)),
    );
    calls.push(question(at + 100.0, "x").too_many(Some(20)));
    calls.push(question(at + 110.0, "x"));
    calls.extend([0.0, 5.05, 10.1, 15.15].map(|n| question(at + 200.0 + n, "y").fails(503, "Down.")));
    calls.push(call(at + 300.0, "reservations/cancel", r#""ReservationIds":["a"],"Notes":"n""#).fails(409, "Changed."));
    calls.push(call(at + 330.0, "reservations/cancel", r#""ReservationIds":["a"],"Notes":"n""#));
    calls
}

fn plain(exchanges: &[Exchange]) -> Review {
    review(exchanges, &Declaration::default())
}

/// What a review says, apart from which ids it gives as examples.
fn said(review: &Review) -> Vec<(Rule, String, u64)> {
    let mut said: Vec<_> =
        review.findings.iter().map(|finding| (finding.rule, finding.message.clone(), finding.count)).collect();
    said.sort();
    said
}

/// The windows, apart from their examples.
fn windows(review: &Review) -> Vec<(u64, u32, u64)> {
    let window = |limit: &LimitReview| (limit.sent, limit.busiest.unwrap().requests, limit.refused_by_mews);
    review.limits.iter().map(window).collect()
}

#[test]
fn asking_for_a_review_in_between_changes_nothing() {
    let exchanges = session(busy());
    let mut reviewer = Reviewer::new(Declaration::default());
    for (index, exchange) in exchanges.iter().enumerate() {
        reviewer.push(exchange);
        if index % 50 == 0 {
            let _ = reviewer.review();
        }
    }
    assert_eq!(reviewer.review(), reviewer.clone().into_review());
    assert_eq!(reviewer.into_review(), plain(&exchanges));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_record_that_is_shuffled_within_a_second_says_the_same(seeds in prop::collection::vec(0_i64..1_000_000, 300)) {
        let orderly = plain(&session(busy()));
        let mut calls = busy();
        let end = |call: &Call| call.0.started_at.micros() + call.0.times_us.response_end.unwrap_or(0) as i64;
        let mut keyed: Vec<_> = calls.drain(..).zip(seeds.iter().cycle()).map(|(call, seed)| (end(&call) + seed, call)).collect();
        keyed.sort_by_key(|(end, _)| *end);
        let shuffled = plain(&numbered(keyed.into_iter().map(|(_, call)| call).collect()));
        prop_assert_eq!(said(&orderly), said(&shuffled));
        prop_assert_eq!(windows(&orderly), windows(&shuffled));
    }

    #[test]
    fn the_busiest_window_is_the_one_that_counting_finds(
        sends in prop::collection::vec((0_u32..120_000, 0_u64..20_000), 1..300),
    ) {
        let calls: Vec<Call> = sends.iter().enumerate()
            .map(|(n, (at, took))| question(f64::from(*at) / 1000.0, &n.to_string()).took(*took))
            .collect();
        let exchanges = session(calls);
        let times: Vec<i64> = exchanges.iter().map(|exchange| exchange.forwarded_at().unwrap().micros()).collect();
        let most = times.iter().map(|end| times.iter().filter(|at| **at > end - 30_000_000 && *at <= end).count()).max();
        prop_assert_eq!(windows(&plain(&exchanges))[0].1 as usize, most.unwrap());
    }
}

#[test]
fn equal_times_are_all_counted() {
    let calls = (0..150).map(|n| question(0.0, &n.to_string())).collect();
    assert_eq!(windows(&plain(&session(calls)))[0].1, 150);
}

#[test]
fn two_tokens_side_by_side_are_as_each_alone() {
    let both = |tokens: &[&str]| -> Vec<Call> {
        tokens.iter().flat_map(|token| busy().into_iter().map(move |call| call.token(token))).collect()
    };
    let (alone, together) = (plain(&session(both(&["one"]))), plain(&session(both(&["one", "two"]))));
    assert_eq!(together.limits.len(), 2);
    for limit in &together.limits {
        assert_eq!(limit.busiest.unwrap().requests, alone.limits[0].busiest.unwrap().requests);
    }
    assert_eq!(together.retries.len(), 2 * alone.retries.len());
    assert_eq!(together.errors.unresolved, 2 * alone.errors.unresolved);
    let rules =
        |review: &Review| said(review).into_iter().map(|(rule, ..)| rule).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(rules(&together), rules(&alone));
}

/// The record as a machine has it whose clock is set at this exchange.
fn with_clock_set(mut exchanges: Vec<Exchange>, from: usize, by: i64) -> Vec<Exchange> {
    for exchange in exchanges.iter_mut().skip(from) {
        exchange.started_at = Timestamp::from_micros(exchange.started_at.micros() + by);
    }
    exchanges
}

#[test]
fn a_clock_that_is_set_back_is_told_and_changes_nothing_else() {
    let calls = (0..320).map(|n| question(f64::from(n) * 600.0, &n.to_string())).collect();
    let straight = session(calls);
    let before = plain(&straight);
    // Without a doubt: an hour and more falls upon another.
    let after = plain(&with_clock_set(straight.clone(), 150, -7200 * 1_000_000));
    let mut told = said(&after);
    told.retain(|(rule, ..)| *rule != Rule::RunClock);
    assert_eq!(told, said(&before));
    assert_eq!(windows(&after), windows(&before));
    assert_eq!(after.run.clock_steps.len(), 1);
    assert!(before.run.clock_steps.is_empty());
    // What lay between the two exchanges is not known; the rest is.
    assert!(before.run.duration_s - after.run.duration_s <= 600, "{}", after.run.duration_s);
}

#[test]
fn a_busy_window_before_a_step_and_one_after_it_are_not_added_up() {
    let burst = |at: f64| (0..150).map(move |n| question(at + f64::from(n) * 0.1, &format!("{at}-{n}")));
    let exchanges = session(burst(0.0).chain(burst(3600.0)).collect());
    let set_back = with_clock_set(exchanges, 150, -3600 * 1_000_000);
    let review = plain(&set_back);
    assert!(said(&review).iter().all(|(rule, ..)| *rule != Rule::LimitsOver));
    assert_eq!(review.run.clock_steps.len(), 1);
}

#[test]
fn a_restart_is_counted_and_changes_nothing_else() {
    let straight = session(busy());
    let mut restarted = straight.clone();
    for exchange in restarted.iter_mut().skip(100) {
        exchange.id = ExchangeId::from_parts(exchange.id.milliseconds(), 8 << 40 | u128::from(exchange.sequence));
    }
    let (one, two) = (plain(&straight), plain(&restarted));
    assert_eq!((one.run.starts, two.run.starts), (Some(1), Some(2)));
    assert_eq!((said(&one), windows(&one)), (said(&two), windows(&two)));
}

#[test]
fn what_is_missing_from_the_sequence_is_told() {
    let mut exchanges = session(quiet());
    exchanges.remove(20);
    let mut reviewer = Reviewer::new(Declaration::default());
    reviewer.set_unrecorded(3);
    exchanges.iter().for_each(|exchange| reviewer.push(exchange));
    let review = reviewer.into_review();
    assert_eq!(review.run.missing, 4);
    assert!(review.findings.iter().any(|finding| finding.rule == Rule::RecordIncomplete && finding.count == 4));
}

#[test]
fn bounds_that_are_met_are_said_aloud() {
    let calls = (0..1100).map(|n| call(f64::from(n), &format!("nothing/number{n}"), "")).collect();
    let review = plain(&session(calls));
    assert_eq!(review.operations.len(), 1001);
    assert!(review.bounds.iter().any(|bound| bound.contains("100 calls")), "{:?}", review.bounds);
    assert!(review.findings.iter().any(|finding| finding.rule == Rule::RecordBounds));
}
