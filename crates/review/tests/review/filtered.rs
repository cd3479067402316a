//! A part of a session, as a filter leaves it, is never judged as if it were the whole.

use std::collections::BTreeSet;

use crate::{
    common::*,
    rules::{cases, event_cases},
};
use nightaudit_exchange::Exchange;
use nightaudit_review::{CheckState, Declaration, Review, Reviewer, Rule, SessionFacts, Verdict};

/// The points that each exchange passes or fails on its own.
const ON_THEIR_OWN: [&str; 6] = ["origin", "record", "accuracy", "client", "test-data", "deprecated"];

/// A review of these exchanges of a session.
fn review_part<'e>(part: impl IntoIterator<Item = &'e Exchange>, declaration: &Declaration) -> Review {
    let mut reviewer = Reviewer::new(declaration.clone());
    reviewer.set_facts(&SessionFacts { filtered: true, ..SessionFacts::default() });
    part.into_iter().for_each(|exchange| reviewer.push(exchange));
    reviewer.into_review()
}

/// What filters may leave of a session.
fn parts(exchanges: &[Exchange]) -> Vec<Vec<&Exchange>> {
    let kept = |keep: &dyn Fn(usize, &Exchange) -> bool| {
        let kept = exchanges.iter().enumerate().filter(|(number, exchange)| keep(*number, exchange));
        kept.map(|(_, exchange)| exchange).collect::<Vec<_>>()
    };
    let has_failed = |exchange: &Exchange| exchange.status().is_none_or(|status| status >= 400);
    let half = exchanges.len() / 2;
    let operations: BTreeSet<&str> = exchanges.iter().map(|exchange| &*exchange.operation).collect();
    let mut parts = vec![
        kept(&|_, own| has_failed(own)),
        kept(&|_, own| !has_failed(own)),
        kept(&|number, _| number % 2 == 0),
        kept(&|number, _| number % 3 == 1),
        kept(&|number, _| number < half),
        kept(&|number, _| number >= half),
        kept(&|_, own| own.is_webhook()),
        kept(&|_, own| !own.is_webhook()),
    ];
    parts.extend(
        operations
            .iter()
            .flat_map(|name| [kept(&|_, own| own.operation == *name), kept(&|_, own| own.operation != *name)]),
    );
    parts
}

fn rules(review: &Review) -> BTreeSet<Rule> {
    review.findings.iter().chain(&review.silenced).map(|finding| finding.rule).collect()
}

#[test]
fn no_part_of_a_session_raises_what_the_whole_does_not() {
    let mut wrong = BTreeSet::new();
    for case in cases().into_iter().chain(event_cases()) {
        for calls in [case.raises, case.near] {
            let exchanges = session(calls);
            let whole = raised(&exchanges, &case.declaration);
            for part in parts(&exchanges) {
                let review = review_part(part, &case.declaration);
                wrong
                    .extend(rules(&review).difference(&whole).map(|rule| format!("{rule} in a part of {}", case.rule)));
            }
        }
    }
    assert_eq!(wrong, BTreeSet::new());
}

#[test]
fn every_point_that_depends_on_the_whole_says_that_it_is_not_judged() {
    let declaration =
        "use_case = 'kiosk'\nwebhooks = true\n[operations]\n'reservations/getAll/2023-06-06' = 'arrivals'";
    let declaration = Declaration::read(declaration, &nightaudit_mews::Contracts::built_in()).unwrap();
    let exchanges = session(quiet());
    let whole = review(&exchanges, &declaration);
    let part = review_part(exchanges.iter().step_by(3), &declaration);
    assert_eq!(whole.checklist.len(), 14);
    for (own, of_whole) in part.checklist.iter().zip(&whole.checklist) {
        assert_eq!(own.id, of_whole.id);
        let on_its_own = ON_THEIR_OWN.contains(&&*own.id);
        match own.state {
            CheckState::NotJudged if !on_its_own => {
                assert_eq!(own.figure, "not judged: the export is filtered", "{}", own.id);
            }
            // Of a part alone nobody can tell whether it is complete.
            CheckState::NotJudged => assert_eq!(own.id, "record"),
            CheckState::Passed => assert!(on_its_own && own.figure.ends_with("; the export is filtered"), "{own:?}"),
            CheckState::Failed => panic!("{own:?}"),
        }
    }
    // Without one that fails, it isn't ready either.
    assert_eq!(part.verdict, Verdict::NotProven);
    assert!(part.summary.contains("nly exchanges that match a filter were reviewed"), "{}", part.summary);
}

#[test]
fn what_a_part_shows_stands_for_the_whole() {
    let burst: Vec<Call> =
        (0..250).map(|number| question(100.0 + f64::from(number) / 100.0, &format!("b{number}"))).collect();
    let exchanges = session(burst);
    let review = review_part(&exchanges, &Declaration::default());
    assert!(rules(&review).contains(&Rule::LimitsOver));
    let point = review.checklist.iter().find(|check| check.id == "limits").unwrap();
    assert_eq!(point.state, CheckState::Failed);
    assert!(point.figure.ends_with("; the export is filtered"), "{}", point.figure);
}
