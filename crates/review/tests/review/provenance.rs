//! Who answered, and what the verdict says of it.

use crate::common::{events::webhook, *};
use nightaudit_exchange::{Alteration, Authority, Destination, Exchange, Import, Tls};
use nightaudit_mews::Contracts;
use nightaudit_review::{CheckState, Declaration, OriginStatus, Review, Reviewer, Rule, Verdict};

/// 49 good hours of which every request went there.
fn sent_to(destination: Option<&Destination>) -> Review {
    let calls = quiet().into_iter().map(|call| call.sent_by(destination.cloned()));
    review(&session(calls.collect()), &Declaration::default())
}

fn state(review: &Review, id: &str) -> CheckState {
    review.checklist.iter().find(|check| check.id == id).unwrap().state
}

fn vouched(authority: Authority) -> Destination {
    Destination { tls: Some(Tls { server_name: "api.mews-demo.com".into(), authority }), ..demo() }
}

#[test]
fn mews_demo_is_ready_and_says_who_answered() {
    let review = sent_to(Some(&demo()));
    assert_eq!((review.verdict, &*review.headline), (Verdict::Ready, "Ready"));
    assert_eq!(review.summary, "Ready: there is nothing a reviewer would ask about.");
    assert_eq!(review.provenance.statement, "Answered by api.mews-demo.com over TLS");
    assert_eq!((review.provenance.standing, state(&review, "origin")), (OriginStatus::Demo, CheckState::Passed));
    let proxy = Destination { proxy: Some("proxy.example:3128".into()), ..demo() };
    assert_eq!(sent_to(Some(&proxy)).verdict, Verdict::Ready);
}

#[test]
fn what_is_not_mews_is_never_ready() {
    let of_another =
        Destination { tls: Some(Tls { server_name: "mews.example".into(), authority: Authority::Public }), ..demo() };
    for (destination, shown) in [
        (host("http://127.0.0.1:8090"), "http://127.0.0.1:8090"),
        (host("http://api.mews-demo.com"), "http://api.mews-demo.com"),
        (host("https://api.mews-demo.com.example"), "https://api.mews-demo.com.example"),
        (host("https://api.mews-demo.com:8443"), "https://api.mews-demo.com:8443"),
        // The certificate is of another host than the address.
        (of_another, "https://api.mews-demo.com"),
        // TLS by name, and nothing is known of it.
        (Destination { tls: None, ..demo() }, "https://api.mews-demo.com"),
    ] {
        let review = sent_to(Some(&destination));
        assert_eq!((review.verdict, review.provenance.standing), (Verdict::NotMews, OriginStatus::NotMews), "{shown}");
        assert_eq!(review.headline, format!("Not Mews: {shown}"));
        assert!(
            review.summary.contains("This is a rehearsal") && !review.summary.contains("eady"),
            "{}",
            review.summary
        );
        assert_eq!(review.findings[0].rule, Rule::RunEnvironment);
        assert_eq!(state(&review, "origin"), CheckState::Failed);
    }
}

#[test]
fn one_answer_from_elsewhere_is_enough() {
    let other = question(100.0, "x").sent_by(Some(host("http://127.0.0.1:8090")));
    let exchanges = session(among([other]));
    let review = review(&exchanges, &Declaration::default());
    assert_eq!(review.headline, "Not Mews: http://127.0.0.1:8090 (1 of 51 requests)");
    assert_eq!(review.provenance.hosts.len(), 2);
    // Nor is it hidden by what the declaration leaves out, or explains.
    let id = exchanges.iter().find(|exchange| exchange.destination != Some(demo())).unwrap().id;
    let text = format!("[leave_out]\n'{id}' = 'by hand'\n[rules]\n'run/environment' = {{ reason = 'a stand-in' }}");
    let declaration = Declaration::read(&text, &Contracts::built_in()).unwrap();
    let explained = crate::common::review(&exchanges, &declaration);
    assert_eq!(explained.verdict, Verdict::NotMews);
    assert!(explained.headline.ends_with(", with 1 exchange left out by the partner"), "{}", explained.headline);
    assert_eq!(explained.findings[0].ruling.as_ref().unwrap().reason, "a stand-in");
}

#[test]
fn what_no_public_authority_vouches_for_is_not_proven() {
    for authority in [Authority::System, Authority::Configured] {
        let review = sent_to(Some(&vouched(authority)));
        assert_eq!((review.verdict, review.provenance.standing), (Verdict::NotProven, OriginStatus::NotVouched));
        assert!(
            review
                .summary
                .starts_with("Not proven: certificate not from a public authority: https://api.mews-demo.com."),
            "{}",
            review.summary
        );
    }
}

#[test]
fn a_record_without_origin_is_not_proven() {
    let review = sent_to(None);
    assert_eq!((review.verdict, review.provenance.standing), (Verdict::NotProven, OriginStatus::NotRecorded));
    assert!(review.summary.starts_with("Not proven: origin not recorded: 50 of 50 responses."), "{}", review.summary);
}

#[test]
fn an_import_is_not_proven_and_an_edited_one_fails() {
    let with = |import: Option<Import>, calls: Vec<Call>| {
        let mut reviewer = Reviewer::new(Declaration::default());
        import.into_iter().for_each(|import| reviewer.set_imported(import));
        session(calls).iter().for_each(|exchange| reviewer.push(exchange));
        reviewer.into_review()
    };
    let fits = with(Some(Import { exchanges: 50, edited: 0, masked: 0, foreign: 0 }), quiet());
    assert_eq!(fits.verdict, Verdict::NotProven);
    assert_eq!(fits.findings.iter().map(|own| own.rule).collect::<Vec<_>>(), [Rule::RecordImported]);
    let edited = with(Some(Import { exchanges: 99, edited: 99, masked: 0, foreign: 0 }), quiet());
    let said = "Imported; 99 of 99 exchanges are not as they were recorded; claims to come from api.mews-demo.com.";
    assert!(edited.verdict == Verdict::NotReady && edited.summary.contains(said), "{}", edited.summary);
    // The exchanges bear the mark, whatever the log knows.
    let marked = with(None, among([question(100.0, "x").altered(Alteration::Edited)]));
    assert!(marked.summary.contains("1 of 51 exchanges is not as it was recorded"), "{}", marked.summary);
    assert_eq!(state(&marked, "origin"), CheckState::Failed);
}

#[test]
fn times_that_differ_from_mews_are_reported() {
    let spread = quiet().into_iter().map(|call| call.dated(100));
    let review = review(&session(spread.collect()), &Declaration::default());
    assert_eq!(review.verdict, Verdict::NotReady);
    assert_eq!((review.provenance.dates.checked, review.provenance.dates.off), (50, 49));
    let said = "The recorded times of 49 of 50 responses differ from their `Date`, by up to 48 h 58 min.";
    assert!(review.summary.contains(said), "{}", review.summary);
}

#[test]
fn what_the_partner_silences_stands_in_the_verdict_with_its_reason() {
    let declaration = "[rules]\n'errors/unresolved' = { silence = true, reason = 'a test of the error page.' }\n\
        'habits/unfiltered' = { severity = 'note', reason = 'small lists' }";
    let declaration = Declaration::read(declaration, &Contracts::built_in()).unwrap();
    let unfiltered = call(90.0, RESERVATIONS, r#""States":["Started"],"Limitation":{"Count":9}"#);
    let calls = among([
        call(99.0, "reservations/cancel", r#""ReservationIds":["r"],"Notes":"n""#).fails(403, "No."),
        unfiltered,
    ]);
    let review = review(&session(calls), &declaration);
    assert_eq!(review.headline, "Ready, with 1 rule silenced and 1 rule lowered by the partner");
    assert_eq!(
        review.summary,
        "Ready, with 1 rule silenced and 1 rule lowered by the partner: errors/unresolved (a test of the error page); \
         habits/unfiltered (small lists). There is nothing else a reviewer would ask about."
    );
    // It fails its point all the same.
    let errors = review.checklist.iter().find(|check| check.id == "errors").unwrap();
    assert_eq!((errors.state, &errors.silenced[..]), (CheckState::Failed, &[Rule::ErrorsUnresolved][..]));
}

#[test]
fn of_a_private_integration_no_48_hours_are_asked_but_each_operation() {
    let declaration = "kind = 'private'\n[operations]\n'reservations/getAll/2023-06-06' = 'arrivals'\n\
        'configuration/get' = 'time zone'";
    let declaration = Declaration::read(declaration, &Contracts::built_in()).unwrap();
    let calls = || quiet().into_iter().take(2);
    let lacking = review(&session(calls().collect()), &declaration);
    assert_eq!(lacking.findings.iter().map(|own| own.rule).collect::<Vec<_>>(), [Rule::CoverageNotCalled]);
    assert_eq!(state(&lacking, "duration"), CheckState::NotJudged);
    let whole = review(&session(calls().chain([call(5.0, "configuration/get", "")]).collect()), &declaration);
    assert_eq!(whole.verdict, Verdict::Ready);
}

#[test]
fn regression_marks_of_webhooks_didnt_reach_the_review() {
    let with = |change: fn(&mut Exchange)| {
        let mut marked = webhook(100.0, &[("ServiceOrderUpdated", "r")]);
        change(&mut marked.0);
        review(&session(among([marked])), &Declaration::default()).provenance
    };
    let faulted = with(|own| own.fault = Some(Box::default()));
    assert_eq!(faulted.faults.unwrap().exchanges, 1);
    let altered = with(|own| own.alteration = Some(Alteration::Edited)).imported.unwrap();
    assert_eq!((altered.edited, altered.exchanges), (1, 51));
    let foreign = with(|own| own.recorded_by = Some("Charles Proxy 5.0.1".into()));
    assert_eq!((foreign.imported.unwrap().foreign, foreign.standing), (1, OriginStatus::Claimed));
    // It is neither sent to Mews nor answered by it.
    let own = with(|_| {});
    assert_eq!((own.standing, own.sent, own.imported, own.hosts.len()), (OriginStatus::Demo, 50, None, 1));
}
