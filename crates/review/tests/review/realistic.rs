//! 27 sessions of realistic length, made from seeds: integrations of six use cases, two of each as they should be, and
//! two or more of each with one bad habit. Two of the integrations receive webhooks. In the good ones nothing is found but what is listed here as deserved; in the others
//! the habit is found, and nothing else.

mod integrations;
mod world;

use std::collections::BTreeSet;

use crate::common::session;
use integrations::{Habit, run};
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Rule, Verdict};

/// A session, the rule that must be raised, and what else of it is deserved.
struct Case {
    use_case: &'static str,
    seed: u64,
    habit: Habit,
    rule: Option<Rule>,
    deserved: &'static [Rule],
}

fn good(use_case: &'static str, seed: u64) -> Case {
    Case { use_case, seed, habit: Habit::None, rule: None, deserved: &[] }
}

fn bad(use_case: &'static str, seed: u64, habit: Habit, rule: Rule, deserved: &'static [Rule]) -> Case {
    Case { use_case, seed, habit, rule: Some(rule), deserved }
}

fn cases() -> Vec<Case> {
    let use_cases = ["kiosk", "housekeeping", "accounting", "point-of-sale", "revenue-management", "upsell"];
    let mut cases: Vec<Case> = use_cases
        .into_iter()
        .zip(1..)
        .flat_map(|(use_case, n)| [good(use_case, 10 * n), good(use_case, 10 * n + 1)])
        .collect();
    cases.extend([
        bad("kiosk", 12, Habit::Polls, Rule::Polling, &[]),
        // What is refused every second time is mended each time: too often all the same.
        bad("kiosk", 13, Habit::HalfRefused, Rule::ErrorsShare, &[]),
        bad("housekeeping", 22, Habit::OneByOne, Rule::OneByOne, &[]),
        bad("housekeeping", 23, Habit::FixedPause, Rule::RetryFixedPause, &[]),
        bad("accounting", 32, Habit::FirstPage, Rule::UnfinishedPages, &[]),
        bad("accounting", 33, Habit::Yesterday, Rule::PastInterval, &[]),
        bad("point-of-sale", 42, Habit::Twice, Rule::SameChange, &[]),
        bad("point-of-sale", 43, Habit::NoVersion, Rule::ClientVersion, &[]),
        bad("revenue-management", 52, Habit::FetchesAlways, Rule::StaticData, &[]),
        // Prices that are refused time and again are a large share of the updates, too.
        bad("revenue-management", 53, Habit::NeverMends, Rule::ErrorsUnresolved, &[Rule::ErrorsShare]),
        bad("upsell", 62, Habit::RealGuests, Rule::Personal, &[]),
        bad("upsell", 63, Habit::GivesUp, Rule::ErrorsServer, &[]),
        bad("housekeeping", 24, Habit::FetchesTwice, Rule::EventsTwice, &[]),
        bad("upsell", 64, Habit::AnswersLate, Rule::EventsLate, &[]),
        bad("upsell", 65, Habit::HeedsNoMessages, Rule::EventsNotFetched, &[]),
    ]);
    cases
}

/// What the integrations declare.
fn declaration(use_case: &str) -> Declaration {
    let client = match use_case {
        "kiosk" => "Acme Kiosk",
        "housekeeping" => "Tidy Rooms",
        "accounting" => "Ledgerline Export",
        "point-of-sale" => "Tablewise",
        "revenue-management" => "Yieldbird Pro",
        _ => "Upstairs Upsell",
    };
    let text = format!("client = '{client}'\nuse_case = '{use_case}'\n");
    Declaration::read(&text, &Contracts::built_in()).unwrap()
}

#[test]
fn good_sessions_are_ready_and_each_bad_habit_is_found() {
    let mut wrong = Vec::new();
    for case in cases() {
        let exchanges = session(run(case.use_case, case.seed, case.habit).calls);
        assert!(exchanges.len() > 390, "{} has {}", case.use_case, exchanges.len());
        let review = crate::common::review(&exchanges, &declaration(case.use_case));
        let what = format!("{} ({}), {:?}, {} exchanges", case.use_case, case.seed, case.habit, exchanges.len());
        let found: BTreeSet<Rule> = review.findings.iter().map(|finding| finding.rule).collect();
        if let Some(rule) = case.rule
            && !found.contains(&rule)
        {
            wrong.push(format!("{what}: {rule} is not found"));
        }
        for finding in &review.findings {
            // The steps that not every integration of the kind takes are noted.
            if finding.rule == Rule::UseCasePartly {
                continue;
            }
            if Some(finding.rule) != case.rule && !case.deserved.contains(&finding.rule) {
                wrong.push(format!("{what}: {} {}", finding.rule, finding.message));
            }
        }
        if case.rule.is_none() {
            // There was something to meet, and it was met as it should be.
            let errors = (review.errors.failed >= 10, review.errors.unresolved);
            if (review.verdict, errors) != (Verdict::Ready, (true, 0)) {
                wrong.push(format!("{what}: {:?}, {} failed", review.verdict, review.errors.failed));
            }
        } else if review.verdict == Verdict::Ready {
            wrong.push(format!("{what}: ready"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_seed_makes_the_same_session() {
    let made = || session(run("kiosk", 10, Habit::None).calls);
    assert_eq!(made(), made());
}
