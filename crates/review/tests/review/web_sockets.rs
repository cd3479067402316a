//! What Mews says by itself is no request: neither that nor what is left out shows that the integration was active.

use crate::common::{events::*, *};
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Review, Rule};

#[test]
fn parts_of_a_websocket_change_nothing_in_the_review() {
    let at = 10.0 * 3600.0;
    let without = review(&session(among([handshake(at)])), &Declaration::default());
    let parts = (1..=300).map(|part| said(at + f64::from(part), part));
    let with = review(&session(among(parts.chain([handshake(at)]))), &Declaration::default());
    // The 300 are not missing from the sequence, and told apart from the requests.
    assert_eq!((with.run.exchanges, with.run.others, with.run.missing), (51, 300, 0));
    let record = |review: &Review| review.checklist.iter().find(|check| check.id == "record").unwrap().figure.clone();
    assert_eq!(
        [&without, &with].map(record),
        ["51 exchanges, none missing", "351 exchanges, 51 of them requests, none missing"]
    );
    // Not one number besides differs.
    let alike = |mut review: Review| {
        review.run.others = 0;
        review.checklist.retain(|check| check.id != "record");
        review
    };
    assert_eq!(alike(with), alike(without));
}

#[test]
fn regression_messages_of_mews_are_no_activity_of_the_run() {
    let mut calls = vec![handshake(0.0)];
    calls.extend((1..=3).map(|part| said(f64::from(part) * 20.0 * 3600.0, part)));
    let review = review(&session(calls), &Declaration::default());
    // Mews spoke for 60 hours; the integration sent one request.
    assert_eq!((review.run.exchanges, review.run.duration_s, review.run.missing), (1, 0, 0));
    assert!(review.findings.iter().any(|finding| finding.rule == Rule::RunShort), "{:?}", review.findings);
}

#[test]
fn regression_a_webhook_days_later_does_not_make_48_hours() {
    let calls = [question(0.0, "a"), webhook(50.0 * 3600.0, &[("PaymentUpdated", "p")])];
    let review = review(&session(calls.into()), &Declaration::default());
    assert_eq!((review.run.exchanges, review.run.duration_s, review.run.missing), (1, 0, 0));
    assert!(review.findings.iter().any(|finding| finding.rule == Rule::RunShort), "{:?}", review.findings);
}

#[test]
fn regression_what_is_left_out_does_not_make_48_hours() {
    let exchanges = session(vec![question(0.0, "a"), question(50.0 * 3600.0, "b")]);
    let declared = |ids: &[String]| {
        let lines: String = ids.iter().map(|id| format!("'{id}' = 'sent by hand'\n")).collect();
        Declaration::read(&format!("[leave_out]\n{lines}"), &Contracts::built_in()).unwrap()
    };
    let ids: Vec<String> = exchanges.iter().map(|exchange| exchange.id.to_string()).collect();
    for (ids, message) in [(&ids[1..], "The run took 0 s"), (&ids[..], "No request was sent")] {
        let review = review(&exchanges, &declared(ids));
        let short = review.findings.iter().find(|finding| finding.rule == Rule::RunShort).unwrap();
        assert!(short.message.starts_with(message), "{}", short.message);
    }
}

#[test]
fn regression_a_health_check_days_later_ends_a_pause() {
    for (first, last) in [(0.0, 49.0), (49.0, 0.0)] {
        let mut check = question(last * 3600.0, "x").answer(404, "");
        check.0.request.method = "GET".into();
        check.0.operation = "/health".into();
        let review = review(&session(vec![question(first * 3600.0, "a"), check]), &Declaration::default());
        assert!(review.findings.iter().any(|finding| finding.rule == Rule::RunGap), "{:?}", review.findings);
    }
}
