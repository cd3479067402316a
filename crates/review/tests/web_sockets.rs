//! What was said over a WebSocket is no request: it counts for the span of the run, and for nothing else.
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod common;

use common::*;
use nightaudit_exchange::{Body, ExchangeId, Omitted, TimesUs, WebSocket};
use nightaudit_mews::Environment;
use nightaudit_review::{Declaration, Rule};

/// The handshake of a WebSocket at so many seconds after the start.
fn handshake(at: f64) -> Call {
    let mut call = call(at, Environment::EVENTS_PATH, "");
    call.0.request.method = "GET".into();
    call.0.request.body = Body::empty();
    call.0.envelope.client = None;
    let response = call.0.response.as_mut().unwrap();
    (response.status, response.body) = (101, Body::empty());
    call
}

/// A part of what was said over it, a second long.
fn said(at: f64, part: u32) -> Call {
    let mut call = handshake(at);
    call.0.response = None;
    call.0.times_us = TimesUs { response_end: Some(1_000_000), ..TimesUs::default() };
    call.0.web_socket = Some(WebSocket {
        handshake: ExchangeId::from_parts(1, 1),
        part,
        messages: Vec::new(),
        omitted: Omitted::default(),
        unreadable_bytes: 0,
        ended: false,
    });
    call
}

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
