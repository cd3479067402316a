//! Requests that were never read as calls raise nothing about their bodies.

use crate::common::*;
use nightaudit_exchange::{FailureKind, Outcome};
use nightaudit_review::{Declaration, Rule};

const AT: f64 = 10.5 * 3600.0;

/// A request without a body, as a browser or a health check sends it.
fn bare(method: &str, operation: &str) -> Call {
    let mut call = call(AT, operation, "");
    call.0.request.method = method.into();
    call.0.request.body.bytes = bytes::Bytes::new();
    call.0.request.body.length = 0;
    call.0.envelope = nightaudit_exchange::Envelope::default();
    call
}

fn rules(calls: impl IntoIterator<Item = Call>) -> Vec<Rule> {
    raised(&session(among(calls)), &Declaration::default()).into_iter().collect()
}

#[test]
fn what_was_rejected_is_told_once_and_says_nothing_of_a_body() {
    for (method, operation, kind) in [
        ("CONNECT", "api.mews-demo.com:443", FailureKind::Method),
        ("GET", "/", FailureKind::Malformed),
        ("POST", "customers/add", FailureKind::Framing),
        ("POST", "reservations/getAll/2023-06-06", FailureKind::HeadTooLarge),
        ("POST", "/elsewhere", FailureKind::Misdirected),
    ] {
        let call = bare(method, operation).without_answer(Outcome::Rejected, kind);
        assert_eq!(rules([call]), [Rule::ErrorsRejected], "{method} {operation}");
    }
    // Each kind has an advice of its own.
    let review = review(
        &session(among([
            bare("CONNECT", "a:443").without_answer(Outcome::Rejected, FailureKind::Method),
            bare("GET", "/").without_answer(Outcome::Rejected, FailureKind::Malformed),
        ])),
        &Declaration::default(),
    );
    let advice: Vec<_> = review.findings.iter().map(|finding| &*finding.advice).collect();
    assert!(advice.iter().any(|advice| advice.contains("proxy settings")), "{advice:?}");
    assert!(advice.iter().any(|advice| advice.contains("https://")), "{advice:?}");
}

#[test]
fn what_a_browser_sends_by_itself_is_no_call() {
    for (method, operation, status) in [
        ("OPTIONS", "customers/getAll", 405),
        ("OPTIONS", "customers/getAll", 204),
        ("GET", "/", 404),
        ("GET", "/favicon.ico", 404),
        ("HEAD", "/", 404),
    ] {
        assert_eq!(rules([bare(method, operation).answer(status, "")]), [], "{method} {operation} {status}");
    }
    // An operation that is called with another method is a call.
    assert_eq!(rules([bare("GET", "customers/getAll")]), [Rule::RequestMethod]);
}

#[test]
fn the_same_as_a_call_raises_what_there_is_to_say() {
    let mut call = bare("POST", "customers/getAll").answer(200, "{}");
    call.0.request.body.bytes = "{}".into();
    let rules = rules([call]);
    for rule in [Rule::ClientMissing, Rule::Unpaged, Rule::Unfiltered, Rule::RequestContract] {
        assert!(rules.contains(&rule), "{rule} {rules:?}");
    }
}
