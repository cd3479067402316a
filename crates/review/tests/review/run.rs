//! A run of 48 hours with planted faults: all of them are found, and nothing else.

use std::collections::BTreeMap;

use crate::common::*;
use nightaudit_exchange::{Exchange, FailureKind, Outcome};
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, Review, Rule, Verdict};

const HOUR: f64 = 3600.0;
const HOTELS: [&str; 2] = ["hotel", "hostel"];

fn declaration() -> Declaration {
    let text = r#"
        partner = "INT12345"
        integration = "Acme Kiosk"
        client = "Acme Kiosk"
        use_case = "customer-management"
        domains = ["acme.travel"]

        [operations]
        "configuration/get" = "the property's time zone"
        "customers/add" = "guests who check in without a profile"
        "customers/update" = "what a guest corrects at the kiosk"
        "reservations/cancel" = "guests who do not stay"
        "reservations/getAll/2023-06-06" = "arrivals"
        "reservations/start" = "check-in"
    "#;
    Declaration::read(text, &Contracts::built_in()).unwrap()
}

/// What a kiosk does in 48.5 hours at two properties: 60,000 exchanges in which nothing is wrong.
fn good() -> Vec<Call> {
    let mut calls = Vec::new();
    for hotel in HOTELS {
        for day in 0..3 {
            let at = (f64::from(day) * 24.0 * HOUR).min(48.4 * HOUR);
            calls.push(call(at, "configuration/get", "").token(hotel));
        }
    }
    let mut n = 0_u32;
    while calls.len() < 60_000 {
        n += 1;
        let at = f64::from(n) * 48.5 * HOUR / 15_000.0;
        let hotel = HOTELS[n as usize % 2];
        let id = format!("guest-{n}");
        calls.push(question(at, &id).token(hotel).took(40 + u64::from(n) * 7 % 900));
        calls.push(
            call(
                at + 1.0,
                "customers/add",
                &format!(r#""OverwriteExisting":true,"LastName":"Guest {n}","Email":"{n}@example.com""#),
            )
            .token(hotel)
            .took(100),
        );
        calls.push(call(at + 2.0, "customers/update", &format!(r#""CustomerId":"{id}""#)).token(hotel));
        calls.push(call(at + 3.0, "reservations/start", &format!(r#""ReservationId":"{id}""#)).token(hotel));
    }
    calls
}

/// Calls in which something is wrong, and what is to be found in them.
type Fault = (Vec<Call>, Vec<(Rule, u64)>);

/// The faults, each with the rules that it must raise and how often.
fn faults() -> Vec<Fault> {
    let cancel = |at: f64, id: &str| {
        call(at, "reservations/cancel", &format!(r#""ReservationIds":["{id}"],"Notes":"guest did not come""#))
    };
    let ask = |at: f64, id: &str| question(at, id).token("hostel");
    let two = |n: i32| format!(r#""ReservationIds":["burst-{n}","too-{n}"],"Limitation":{{"Count":100}}"#);
    let burst = (0..230).map(|n| call(20.0 * HOUR + f64::from(n) * 0.05, RESERVATIONS, &two(n))).collect();
    vec![
        // The window holds the 230 and those of the good run around them; see the test.
        (burst, vec![(Rule::LimitsOver, 30)]),
        (
            vec![cancel(5.0 * HOUR, "r1").fails(403, "Too late."), cancel(5.1 * HOUR, "r2")],
            vec![(Rule::ErrorsUnresolved, 1)],
        ),
        // Made good: no finding.
        (vec![cancel(6.0 * HOUR, "r3").fails(409, "Data changed."), cancel(6.1 * HOUR, "r3")], vec![]),
        (
            vec![ask(7.0 * HOUR, "a").too_many(Some(30)), ask(7.0 * HOUR + 10.0, "a")],
            // The good run goes on meanwhile, which is what is not to be done; see the test.
            vec![(Rule::RetryIgnoredRetryAfter, 1)],
        ),
        (
            [0.0, 4.05, 8.1, 12.15]
                .iter()
                .map(|at| ask(9.0 * HOUR + at, "b").fails(503, "Down."))
                .chain([ask(9.1 * HOUR, "b")])
                .collect(),
            // They are resolved, but without back-off.
            vec![(Rule::RetryFixedPause, 1)],
        ),
        (
            vec![
                ask(11.0 * HOUR, "c").without_answer(Outcome::Failed, FailureKind::ResponseTimeout),
                ask(11.1 * HOUR, "c"),
            ],
            // A question has no effect, and was asked again.
            vec![],
        ),
        (
            (0..5)
                .map(|n| {
                    call(
                        12.0 * HOUR + f64::from(n) * 10.0,
                        "products/getAll",
                        r#""ServiceIds":["s"],"Limitation":{"Count":9}"#,
                    )
                })
                .collect(),
            vec![(Rule::CoverageUndeclared, 5), (Rule::RepeatedQuestion, 4)],
        ),
        (
            vec![call(14.0 * HOUR, "customers/update", r#""CustomerId":"x","Nikname":"y""#)],
            vec![(Rule::RequestContract, 1)],
        ),
        (
            vec![call(15.0 * HOUR, "customers/update", r#""CustomerId":"x","Notes":"4539578763621486""#)],
            vec![(Rule::CardNumber, 1)],
        ),
        (
            vec![call(16.0 * HOUR, "customers/update", r#""CustomerId":"x","Email":"ann.lee@gmail.com""#)],
            vec![(Rule::Personal, 1)],
        ),
        (vec![ask(17.0 * HOUR, "d").client(None)], vec![(Rule::ClientMissing, 1)]),
        (vec![ask(18.0 * HOUR, "e").client(Some("Acme Kiosk 2.2.0"))], vec![(Rule::ClientChanges, 2)]),
        (
            vec![call(19.0 * HOUR, RESERVATIONS, r#""States":["Started"],"Limitation":{"Count":9}"#)],
            vec![(Rule::Unfiltered, 1)],
        ),
        (vec![question(21.0 * HOUR, "f").refused(1)], vec![(Rule::ErrorsUnresolved, 1)]),
        // Heeded: no finding.
        (vec![question(21.2 * HOUR, "ff").refused(1), question(21.2 * HOUR + 2.0, "ff")], vec![]),
        (
            vec![
                call(22.0 * HOUR, RESERVATIONS, r#""Numbers":["9"],"Limitation":{"Count":9}"#)
                    .answer(200, &page_of(9, "next")),
            ],
            vec![(Rule::UnfinishedPages, 1)],
        ),
        (
            vec![ask(23.0 * HOUR, "g").without_answer(Outcome::Interrupted, FailureKind::Interrupted)],
            vec![(Rule::RecordInterrupted, 1)],
        ),
    ]
}

fn found(review: &Review) -> BTreeMap<Rule, u64> {
    let mut found = BTreeMap::new();
    for finding in &review.findings {
        *found.entry(finding.rule).or_default() += finding.count;
    }
    found
}

fn faulty() -> Vec<Exchange> {
    let planted = faults().into_iter().flat_map(|(calls, _)| calls);
    session(good().into_iter().chain(planted).collect())
}

#[test]
fn a_good_run_is_ready() {
    let exchanges = session(good());
    assert!(exchanges.len() >= 60_000, "{}", exchanges.len());
    let review = review(&exchanges, &Declaration { operations: BTreeMap::new(), ..declaration() });
    assert_eq!(found(&review), BTreeMap::new());
    assert_eq!((review.verdict, review.run.exchanges), (Verdict::Ready, exchanges.len() as u64));
    assert_eq!(review.accuracy.accurate, exchanges.len() as u64);
    assert!(review.bounds.is_empty(), "{:?}", review.bounds);
}

#[test]
fn every_planted_fault_is_found_and_nothing_else() {
    let review = review(&faulty(), &declaration());
    let mut planted: BTreeMap<Rule, u64> = BTreeMap::new();
    for (rule, count) in faults().into_iter().flat_map(|(_, rules)| rules) {
        *planted.entry(rule).or_default() += count;
    }
    let mut found = found(&review);
    // How many of the good run fall into the window of the burst is counted the long way.
    let over = found.remove(&Rule::LimitsOver).unwrap();
    planted.remove(&Rule::LimitsOver);
    assert_eq!(over, sent_over_the_limit(&faulty()));
    assert!(over >= 30, "{over}");
    // Likewise how much of it was sent while the token was to be silent.
    let ignored = found.remove(&Rule::RetryIgnoredRetryAfter).unwrap();
    planted.remove(&Rule::RetryIgnoredRetryAfter);
    assert_eq!(ignored, sent_while_closed(&faulty()));
    assert!(ignored > 1, "{ignored}");
    assert_eq!(found, planted);
    assert_eq!(review.verdict, Verdict::NotReady);
    for finding in &review.findings {
        assert!(!finding.exchanges.is_empty() && finding.exchanges.len() <= 10, "{finding:?}");
    }
}

/// Requests at whose sending more than 200 of their token had been sent within 30 seconds, counted the long way.
fn sent_over_the_limit(exchanges: &[Exchange]) -> u64 {
    let mut times: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for exchange in exchanges {
        if let Some(at) = exchange.forwarded_at() {
            times.entry(exchange.envelope.access_token).or_default().push(at.micros());
        }
    }
    let mut over = 0;
    for sent in times.values_mut() {
        sent.sort_unstable();
        for (index, at) in sent.iter().enumerate() {
            let from = sent.partition_point(|other| *other <= at - 30_000_000);
            over += u64::from(index + 1 - from > 200);
        }
    }
    over
}

/// Requests of the token that were sent between Mews' 429 and the end of its `Retry-After`, counted the long way.
fn sent_while_closed(exchanges: &[Exchange]) -> u64 {
    let is_429 = |exchange: &&Exchange| exchange.outcome == Outcome::Answered && exchange.status() == Some(429);
    let refusal = exchanges.iter().find(is_429).unwrap();
    let closed = refusal.started_at.plus(refusal.duration()).micros();
    let early = |exchange: &&Exchange| {
        let since = exchange.forwarded_at().map_or(0, |at| at.micros()) - closed;
        let least = if exchange.operation == refusal.operation { 1 } else { 1_000_001 };
        exchange.envelope.access_token == refusal.envelope.access_token && (least..29_750_000).contains(&since)
    };
    exchanges.iter().filter(early).count() as u64
}
