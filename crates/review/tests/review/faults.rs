//! Injected faults: judged like real ones where the integration decides, and blamed on nobody.

use std::collections::BTreeSet;

use crate::common::*;
use nightaudit_exchange::{Exchange, FaultEnding, Header, Outcome};
use nightaudit_review::{Declaration, RetryOrigin, Review, Rule, Verdict};

const AT: f64 = 20.0 * 3600.0;

fn judged(calls: impl IntoIterator<Item = Call>) -> Review {
    review(&session(among(calls)), &Declaration::default())
}

fn rules(review: &Review) -> BTreeSet<Rule> {
    review.findings.iter().map(|finding| finding.rule).filter(|rule| *rule != Rule::RecordFaults).collect()
}

/// A made-up 429 with this `Retry-After`.
fn made_up_429(at: f64, seconds: u32) -> Call {
    let mut call = question(at, "x").faulted(FaultEnding::Status(429));
    let header = Header { name: "Retry-After".into(), value: seconds.to_string().into() };
    call.0.response.as_mut().unwrap().headers.push(header);
    call
}

#[test]
fn retries_after_faults_are_judged_like_those_after_errors_of_mews() {
    let fixed = |at: usize| AT + 5.0 * at as f64;
    let real = judged((0..5).map(|at| question(fixed(at), "x").fails(503, "Busy.")).chain([question(fixed(5), "x")]));
    let made_up = judged(
        (0..5).map(|at| question(fixed(at), "x").faulted(FaultEnding::Status(503))).chain([question(fixed(5), "x")]),
    );
    assert!(rules(&real).contains(&Rule::RetryFixedPause), "{:?}", rules(&real));
    // All but the share of failed calls, which is the rule's doing.
    let mut expected = rules(&real);
    expected.remove(&Rule::ErrorsShare);
    assert_eq!(rules(&made_up), expected);
    assert!(made_up.retries.iter().all(|retry| retry.origin == RetryOrigin::Fault));

    let early = judged([made_up_429(AT, 20), question(AT + 5.0, "x")]);
    assert!(rules(&early).contains(&Rule::RetryIgnoredRetryAfter), "{:?}", rules(&early));
    let patient = judged([made_up_429(AT, 20), question(AT + 25.0, "x")]);
    assert_eq!(rules(&patient), BTreeSet::new());
}

#[test]
fn faults_are_never_errors_of_mews() {
    let faults = [FaultEnding::Status(503), FaultEnding::Reset, FaultEnding::Truncated, FaultEnding::Status(429)];
    let calls = (0..20).flat_map(|number| {
        let (at, id) = (AT + 60.0 * f64::from(number), format!("g{number}"));
        let again = call(at + 20.0, "reservations/cancel", &format!(r#""ReservationIds":["{id}"]"#));
        let fails = Call(Exchange { started_at: call(at, "a/b", "").0.started_at, ..again.0.clone() });
        [fails.faulted(faults[number as usize % faults.len()]), again]
    });
    let review = judged(calls);
    for rule in [Rule::ErrorsShare, Rule::ErrorsNoAnswer, Rule::ErrorsUnresolved, Rule::LimitsRefusedByMews] {
        assert!(!rules(&review).contains(&rule), "{rule:?}");
    }
    assert_eq!((review.errors.failed, review.errors.resolved), (20, 20));
    assert!(
        review.errors.calls.iter().all(|group| !group.by_mews && group.message.starts_with("injected by nightaudit"))
    );
    assert_eq!((review.run.outcomes.faulted, review.limits[0].refused_by_mews), (20, 0));
}

#[test]
fn a_made_up_error_that_no_retry_can_cure_is_not_called_unresolved() {
    for (status, unresolved) in [(403, false), (400, false), (404, false), (503, true), (429, true)] {
        let review = judged([question(AT, "x").faulted(FaultEnding::Status(status))]);
        let found = rules(&review).iter().any(|rule| matches!(rule, Rule::ErrorsUnresolved | Rule::ErrorsServer));
        assert_eq!(found, unresolved, "{status}: {:?}", rules(&review));
    }
}

#[test]
fn a_session_with_faults_proves_nothing_and_says_how_many() {
    let review = judged([
        question(AT, "x").faulted(FaultEnding::Status(503)),
        question(AT + 60.0, "x"),
        question(AT + 120.0, "y").faulted(FaultEnding::Reset),
        question(AT + 180.0, "y"),
    ]);
    let sentence = "Nightaudit injected faults into 2 exchanges: 503 × 1, reset × 1.";
    assert_eq!(review.verdict, Verdict::NotProven);
    assert_eq!(review.provenance.doubts, [sentence]);
    assert!(review.summary.contains(&sentence[1..]), "{}", review.summary);
    let finding = review.findings.iter().find(|finding| finding.rule == Rule::RecordFaults).unwrap();
    assert_eq!((finding.message.as_str(), finding.count), (sentence, 2));
    assert!(!review.provenance.is_proven());
}

#[test]
fn a_slowed_response_is_no_latency_of_mews() {
    let mut slow = question(AT, "x").took(60_000);
    slow.0.fault = Some(Box::new(nightaudit_exchange::InjectedFault {
        bytes_per_second: Some(20_000),
        ..nightaudit_exchange::InjectedFault::default()
    }));
    assert_eq!(slow.0.outcome, Outcome::Answered);
    let review = judged([slow]);
    let operation = review.operations.iter().find(|operation| operation.operation == RESERVATIONS).unwrap();
    assert!(operation.latency.unwrap().max < 1000.0, "{:?}", operation.latency);
}

#[test]
fn a_review_without_faults_is_written_as_before() {
    let json = serde_json::to_value(judged([])).unwrap();
    assert_eq!((json["run"]["outcomes"].get("faulted"), json["provenance"].get("faults")), (None, None));
}
