//! What was said over a WebSocket is no request: it counts for the span of the run, and for nothing else.

use crate::common::{events::*, *};
use nightaudit_review::{Declaration, Rule};

#[test]
fn parts_of_a_websocket_change_nothing_in_the_review() {
    let at = 10.0 * 3600.0;
    let without = review(&session(among([handshake(at)])), &Declaration::default());
    let parts = (1..=300).map(|part| said(at + f64::from(part), part));
    let with = review(&session(among(parts.chain([handshake(at)]))), &Declaration::default());
    // Not one number differs, and the 300 are not missing from the sequence either.
    assert_eq!(with, without);
    assert_eq!((with.run.exchanges, with.run.missing), (51, 0));
}

#[test]
fn a_part_shows_that_the_run_went_on() {
    let mut calls = vec![handshake(0.0)];
    calls.extend((1..=3).map(|part| said(f64::from(part) * 20.0 * 3600.0, part)));
    let review = review(&session(calls), &Declaration::default());
    assert_eq!((review.run.exchanges, review.run.duration_s), (1, 60 * 3600 + 1));
    assert!(!review.findings.iter().any(|finding| finding.rule == Rule::RunShort), "{:?}", review.findings);
    assert!(review.run.gaps.is_empty(), "{:?}", review.run.gaps);
}
