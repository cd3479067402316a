//! Figures of one review don't contradict each other, and say what was counted.

use crate::common::*;
use nightaudit_exchange::{Exchange, Outcome};
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Review};

fn figure(review: &Review, point: &str) -> String {
    review.checklist.iter().find(|check| check.id == point).unwrap().figure.clone()
}

fn reviewed(calls: Vec<Call>) -> Review {
    review(&session(calls), &Declaration::default())
}

#[test]
fn regression_the_rate_of_a_short_run_is_the_same_everywhere() {
    let review = reviewed((0..3).map(|n| question(f64::from(n) * 5.0, "x")).collect());
    assert_eq!(review.operations[0].per_hour, 3.0);
    assert!(figure(&review, "frequency").starts_with("3.0 requests per hour; most frequent"));
    assert!(figure(&review, "frequency").contains("(3.0 per hour, peak 3)"));
}

#[test]
fn regression_an_extent_is_no_filter() {
    let extent = call(10.0, RESERVATIONS, r#""Extent":{"Reservations":true},"Limitation":{"Count":10}"#);
    let states = call(20.0, "customers/getAll", r#""ChainIds":["c"],"Limitation":{"Count":10}"#);
    let filtered = call(30.0, "resources/getAll", r#""EnterpriseIds":["e"],"Limitation":{"Count":10}"#);
    let review = reviewed(vec![extent, states, filtered]);
    assert!(
        figure(&review, "filters").ends_with("1 of 3 list operations with filters"),
        "{}",
        figure(&review, "filters")
    );
}

#[test]
fn regression_requests_without_a_token_were_sent() {
    let bare = |at: f64| question(at, "x").sender(Some("Acme Kiosk 2.1.0"), "client", None, "").fails(401, "No token.");
    let told = "2 requests sent, without the access token by which Mews counts";
    assert_eq!(figure(&reviewed(vec![bare(0.0), bare(5.0)]), "limits"), told);
    // What never left was not sent.
    let refused = |at: f64| bare(at).refused(5);
    assert_eq!(figure(&reviewed(vec![refused(0.0)]), "limits"), "nothing was sent");
}

#[test]
fn regression_a_declaration_without_operations_is_a_declaration() {
    let exchanges = session(vec![question(0.0, "x")]);
    let declaration = Declaration::read("partner = \"INT12345\"", &Contracts::built_in()).unwrap();
    let told = |declaration| figure(&review(&exchanges, &declaration), "operations");
    assert_eq!(told(declaration), "the declaration names no operations; 1 operation called");
    assert_eq!(told(Declaration::default()), "no declaration; 1 operation called");
}

#[test]
fn regression_every_retry_after_is_counted_and_what_was_not_checked_is_said() {
    let refused = |n: u32| question(f64::from(n) * 0.01, &format!("r-{n}")).too_many(Some(30));
    let exchanges: Vec<Exchange> = session((0..55).map(refused).collect());
    assert!(exchanges.iter().all(|exchange| exchange.outcome == Outcome::Answered));
    let review = review(&exchanges, &Declaration::default());
    let retries = review.retries.iter().max_by_key(|own| own.with_retry_after).unwrap();
    assert_eq!((retries.count, retries.with_retry_after, retries.unchecked), (55, 55, 23));
    let bound = "whether 23 refusals with `Retry-After` were heeded was not checked";
    assert!(review.bounds.iter().any(|own| own.starts_with(bound)), "{:?}", review.bounds);
}
