//! Chains of attempts: failure, retries and the call that resolved them.

use crate::common::*;
use nightaudit_review::{Declaration, RetryChain};

fn chains(calls: Vec<Call>) -> Vec<RetryChain> {
    review(&session(calls), &Declaration::default()).errors.chains
}

/// Operation, count, statuses, and milliseconds from the last attempt to the resolving call.
fn told(chain: &RetryChain) -> (&str, u64, Vec<u16>, Option<u64>) {
    let statuses = chain.attempts.iter().filter_map(|attempt| attempt.status).collect();
    (&chain.operation, chain.count, statuses, chain.resolution.map(|resolution| resolution.after_ms))
}

#[test]
fn attempts_that_failed_in_different_ways_are_one_chain() {
    let chains = chains(vec![
        question(1.0, "b").too_many(Some(5)),
        question(9.0, "b").fails(503, "Busy."),
        question(30.0, "b"),
        question(40.0, "b"),
    ]);
    assert_eq!(chains.iter().map(told).collect::<Vec<_>>(), [(RESERVATIONS, 2, vec![429, 503], Some(21_000))]);
    let (first, second) = (&chains[0].attempts[0], &chains[0].attempts[1]);
    assert_eq!((first.retry_after_s, first.by_mews, second.retry_after_s), (Some(5), true, None));
    assert_eq!(second.at.micros() - first.at.micros(), 8_000_000);
}

#[test]
fn an_unresolved_chain_comes_first_and_a_call_never_repeated_is_none() {
    let cancel =
        |at: f64, id: &str| call(at, "reservations/cancel", &format!(r#""ReservationIds":["{id}"]"#)).fails(403, "No.");
    let chains = chains(vec![
        question(1.0, "b").refused(5),
        question(7.0, "b"),
        cancel(10.0, "r1"),
        cancel(20.0, "r1"),
        cancel(30.0, "r2"),
    ]);
    let told: Vec<_> = chains.iter().map(told).collect();
    assert_eq!(told, [("reservations/cancel", 2, vec![403, 403], None), (RESERVATIONS, 1, vec![429], Some(6_000))]);
    assert!(!chains[1].attempts[0].by_mews);
}

#[test]
fn chains_and_their_attempts_are_bounded_and_the_longest_stay() {
    let mut calls: Vec<Call> = Vec::new();
    for number in 0..400 {
        let at = f64::from(number) * 100.0;
        let failures = if number == 7 { 25 } else { 1 };
        for attempt in 0..failures {
            calls.push(question(at + f64::from(attempt), &format!("g{number}")).fails(503, "Busy."));
        }
        calls.push(question(at + 60.0, &format!("g{number}")));
    }
    let chains = chains(calls);
    assert_eq!((chains.len(), chains[0].count, chains[0].attempts.len()), (30, 25, 10));
    // Of equally long ones the latest.
    assert!(chains[1..].iter().all(|chain| chain.count == 1 && chain.attempts[0].at > chains[0].attempts[0].at));
}
