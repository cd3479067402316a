//! Webhooks and WebSocket events: what is judged, and what is not because the record can't show it.

use std::collections::BTreeSet;

use crate::common::{events::*, *};
use nightaudit_exchange::{Exchange, FailureKind, FaultEnding, TimesUs};
use nightaudit_mews::Contracts;
use nightaudit_review::{CheckState, Declaration, EventChannel, EventReview, Review, Rule};
use proptest::prelude::*;

const HOUR: f64 = 3600.0;

const AT: f64 = 10.5 * HOUR;

/// The rules about events that a session raises.
fn found(exchanges: &[Exchange]) -> BTreeSet<Rule> {
    raised(exchanges, &Declaration::default()).into_iter().filter(|rule| rule.id().starts_with("events/")).collect()
}

fn reviewed(calls: impl IntoIterator<Item = Call>) -> Review {
    review(&session(among(calls)), &Declaration::default())
}

fn guest(at: f64, id: &str) -> Call {
    let extent = r#""Extent":{"Customers":true},"Limitation":{"Count":100}"#;
    call(at, "customers/getAll", &format!(r#""CustomerIds":["{id}"],{extent}"#))
}

fn hook(at: f64, id: &str) -> Call {
    webhook(at, &[("CustomerUpdated", id)])
}

fn kind<'a>(review: &'a Review, event: &str) -> &'a EventReview {
    review.events.kinds.iter().find(|own| own.event == event).unwrap()
}

#[test]
fn a_session_without_events_has_no_such_part() {
    let review = reviewed([]);
    assert!(review.events.is_empty());
    assert!(!serde_json::to_string(&review).unwrap().contains(r#""events""#));
    assert!(!review.checklist.iter().any(|check| check.id == "events"));
}

#[test]
fn declared_events_that_were_not_recorded_are_said_and_not_judged() {
    let of = |declaration: &str| {
        let declaration = Declaration::read(declaration, &Contracts::built_in()).unwrap();
        let checks = review(&session(quiet()), &declaration).checklist;
        checks.into_iter().find(|check| check.id == "events").map(|check| (check.state, check.figure))
    };
    let unseen = Some((CheckState::NotJudged, "none was recorded".to_owned()));
    assert_eq!([of("webhooks = true"), of("websocket = true")], [unseen.clone(), unseen]);
    assert_eq!(of("webhooks = false"), None);
}

#[test]
fn a_session_with_webhooks_is_guessed_to_receive_them() {
    let guessed = nightaudit_review::guess(&reviewed([hook(AT, "a"), guest(AT + 1.0, "a")]));
    assert_eq!((guessed.webhooks, guessed.websocket), (Some(true), None));
    assert_eq!(nightaudit_review::guess(&reviewed([])).webhooks, None);
}

#[test]
fn events_are_counted_by_type() {
    let both = [("CustomerAdded", "a"), ("CustomerUpdated", "a")];
    let review = reviewed([
        webhook(AT, &both),
        guest(AT + 1.0, "a"),
        hook(AT + 60.0, "b").answer(500, ""),
        hook(AT + 300.0, "b"),
        guest(AT + 301.0, "b"),
        guest(AT + 302.0, "b"),
        hook(AT + 400.0, "c").took(7000),
        guest(AT + 401.0, "c"),
        posted(AT + 500.0, r#"{"Action":"IntegrationCreated","Data":{}}"#),
        handshake(0.0),
        told(AT + 600.0, &[("Reservation", "r"), ("PriceUpdate", "p")]),
    ]);
    insta::assert_json_snapshot!(review.events);
    let text = serde_json::to_string(&review).unwrap();
    assert_eq!(serde_json::from_str::<Review>(&text).unwrap(), review);
    let check = review.checklist.iter().find(|check| check.id == "events").unwrap();
    assert_eq!((check.state, &check.rules[..]), (CheckState::Failed, &[Rule::EventsLate][..]));
    assert_eq!(check.figure, "3 of 5 webhooks accepted in time; 2 events over 1 WebSocket");
}

#[test]
fn only_success_and_redirects_with_the_same_method_accept_a_webhook() {
    for (status, is_accepted) in
        [(200, true), (202, true), (204, true), (299, true), (307, true), (308, true), (301, false), (302, false)]
            .into_iter()
            .chain([(304, false), (400, false), (404, false), (410, false), (500, false), (503, false)])
    {
        let review = reviewed([hook(AT, "a").answer(status, ""), guest(AT + 1.0, "a")]);
        let finding = review.findings.iter().find(|finding| finding.rule == Rule::EventsFailed);
        assert_eq!(finding.is_none(), is_accepted, "{status}");
        assert_eq!(review.events.webhooks.accepted, u64::from(is_accepted), "{status}");
        if let Some(finding) = finding {
            assert_eq!(finding.message, format!("1 message got {status}, and no 2xx later."));
        }
    }
}

#[test]
fn a_failed_webhook_is_the_integrations_doing_or_is_not_judged() {
    for (kind, rule) in [
        (FailureKind::Connect, Some(Rule::EventsFailed)),
        (FailureKind::Closed, Some(Rule::EventsFailed)),
        (FailureKind::InvalidResponse, Some(Rule::EventsFailed)),
        (FailureKind::ResponseTimeout, Some(Rule::EventsLate)),
        (FailureKind::ClientLeft, Some(Rule::EventsLate)),
        (FailureKind::ClientStalled, None),
        (FailureKind::Store, None),
        (FailureKind::LimitStore, None),
        (FailureKind::Overloaded, None),
        (FailureKind::Malformed, None),
        (FailureKind::Interrupted, None),
    ] {
        let found = found(&session(among([hook(AT, "a").failed(kind)])));
        assert_eq!(found, rule.into_iter().collect(), "{kind}");
    }
    // The sender left before the integration had the webhook.
    let mut early = hook(AT, "a").failed(FailureKind::ClientLeft);
    early.0.times_us = TimesUs::default();
    assert_eq!(found(&session(among([early]))), BTreeSet::new());
}

#[test]
fn what_is_no_message_of_mews_is_not_judged() {
    let mut probe = hook(AT, "a").answer(404, "");
    probe.0.request.method = "GET".into();
    let review = reviewed([probe, posted(AT, "{}").answer(404, ""), posted(AT, "not JSON").took(9000)]);
    assert_eq!((review.findings, review.events.webhooks.others), (vec![], 3));
    assert_eq!(review.checklist.iter().find(|check| check.id == "events").unwrap().state, CheckState::NotJudged);
}

#[test]
fn a_call_made_before_the_webhook_was_answered_follows_it() {
    // Recorded before the webhook, which it was made for.
    let exchanges = session(among([hook(AT, "a").took(4000), guest(AT + 1.0, "a")]));
    let position = |is: fn(&Exchange) -> bool| exchanges.iter().position(is).unwrap();
    assert!(position(|own| own.operation == "customers/getAll") < position(Exchange::is_webhook));
    let review = review(&exchanges, &Declaration::default());
    assert_eq!((kind(&review, "CustomerUpdated").followed, review.findings), (1, vec![]));
}

#[test]
fn any_attempt_to_fetch_follows_an_event_and_a_call_that_names_the_entity() {
    let named = call(AT + 5.0, "bills/getAll", r#""CustomerIds":["a"],"Limitation":{"Count":9}"#);
    for follows in [
        guest(AT + 5.0, "a").fails(500, "Down."),
        guest(AT + 5.0, "a").refused(5),
        guest(AT + 5.0, "a").faulted(FaultEnding::Status(503)),
        guest(AT + 5.0, "another"),
        call(AT + 5.0, "customers/search", r#""Name":"Lee""#),
        named,
    ] {
        let operation = follows.0.operation.clone();
        let found = found(&session(among([hook(AT, "a"), follows])));
        assert!(!found.contains(&Rule::EventsNotFetched), "{operation}");
    }
    for other in [
        call(AT + 5.0, "bills/getAll", r#""CustomerIds":["another"],"Limitation":{"Count":9}"#),
        call(AT + 5.0, "customers/update", r#""CustomerId":"another","Phone":"1""#),
        guest(AT - 5.0, "a"),
    ] {
        assert_eq!(found(&session(among([hook(AT, "a"), other]))), BTreeSet::from([Rule::EventsNotFetched]));
    }
}

#[test]
fn its_own_change_may_be_followed_and_need_not_be() {
    let change = |at: f64| call(at, "customers/update", r#""CustomerId":"a","Phone":"1""#);
    let tally = |calls: Vec<Call>| {
        let review = reviewed(calls);
        let own = kind(&review, "CustomerUpdated");
        (own.received, own.followed, own.not_followed)
    };
    assert_eq!(tally(vec![change(AT - 1.0), hook(AT, "a"), guest(AT + 1.0, "a")]), (1, 1, 0));
    assert_eq!(tally(vec![change(AT - 1.0), hook(AT, "a")]), (1, 0, 0));
}

#[test]
fn what_was_not_accepted_need_not_be_handled() {
    let review = reviewed([hook(AT, "a").answer(500, "")]);
    assert_eq!(kind(&review, "CustomerUpdated").not_followed, 0);
    // It had been fetched before the integration failed; the message comes again.
    let tries = (0..4).flat_map(|n| {
        let at = AT + f64::from(n) * HOUR;
        let id = format!("g{n}");
        [hook(at, &id).answer(500, ""), guest(at + 0.1, &id), hook(at + 200.0, &id), guest(at + 201.0, &id)]
    });
    assert_eq!(found(&session(among(tries))), BTreeSet::new());
}

#[test]
fn another_message_or_a_change_makes_another_call_right() {
    let each = |n: u32, between: fn(f64, &str) -> Call| {
        let (at, id) = (AT + f64::from(n) * HOUR, format!("g{n}"));
        [hook(at, &id), guest(at + 1.0, &id), between(at + 2.0, &id), guest(at + 3.0, &id)]
    };
    let news = |at: f64, id: &str| webhook(at, &[("CustomerUpdated", id), ("CustomerUpdated", "other")]);
    let change = |at: f64, id: &str| call(at, "customers/update", &format!(r#""CustomerId":"{id}","Phone":"1""#));
    let nothing = |at: f64, _: &str| question(at, "x");
    for (between, expected) in
        [(news as fn(f64, &str) -> Call, None), (change, None), (nothing, Some(Rule::EventsTwice))]
    {
        let found = found(&session(among((0..4).flat_map(|n| each(n, between)))));
        assert_eq!(found, expected.into_iter().collect());
    }
}

#[test]
fn the_events_of_one_message_about_one_guest_are_one() {
    // Mews sends both for a new guest.
    let each = |n: u32, times: usize| {
        let (at, id) = (AT + f64::from(n) * HOUR, format!("g{n}"));
        let added = webhook(at, &[("CustomerAdded", &id), ("CustomerUpdated", &id)]);
        let calls = (0..times).map(|time| guest(at + 1.0 + time as f64, &id)).collect::<Vec<_>>();
        [vec![added], calls].concat()
    };
    let times = |times| found(&session(among((0..3).flat_map(|n| each(n, times)))));
    assert_eq!(times(1), BTreeSet::new());
    assert_eq!(times(2), BTreeSet::from([Rule::EventsTwice]));
}

#[test]
fn a_restart_of_nightaudit_is_held_against_nobody() {
    // An event, then nothing for two hours, in which nightaudit was started again.
    let calls =
        || vec![hook(AT, "a"), question(AT + 2.0 * HOUR, "x"), hook(AT + 2.0 * HOUR, "b"), guest(AT + 2.1 * HOUR, "b")];
    let quiet = || quiet().into_iter().filter(|call| call.0.started_at.micros() < START + (AT * 1e6) as i64);
    let exchanges = session(quiet().chain(calls()).collect());
    assert_eq!(found(&exchanges), BTreeSet::from([Rule::EventsNotFetched]));
    assert_eq!(found(&restarted(exchanges, AT + HOUR)), BTreeSet::new());

    // The WebSocket ended with nightaudit, or was ended by it, and was opened when nightaudit was there again.
    let again = AT + 2.0 * HOUR;
    for end in [None, Some(ended(AT)), Some(ended(AT).stopped())] {
        let sockets = [handshake(100.0), handshake(again), question(again + 1.0, "missed")].into_iter().chain(end);
        let exchanges = session(quiet().chain(sockets).collect());
        assert_eq!(found(&restarted(exchanges, AT + HOUR)), BTreeSet::new());
    }
    // The same without a restart.
    let sockets = [handshake(100.0), ended(AT), handshake(again), question(again + 1.0, "missed")];
    let exchanges = session(quiet().chain(sockets).collect());
    assert_eq!(found(&exchanges), BTreeSet::from([Rule::EventsSocketGap]));
}

#[test]
fn nothing_is_said_of_calls_that_may_be_missing() {
    let again = AT + 2.0 * HOUR;
    let calls = [hook(AT, "a"), told(AT, &[("DeviceCommand", "c")]), handshake(100.0), ended(AT), handshake(again)];
    let mut exchanges = session(among(calls));
    let all =
        [Rule::EventsNotFetched, Rule::EventsSocketNotFetched, Rule::EventsSocketGap, Rule::EventsSocketNoCatchUp];
    // The quiet hours read reservations hourly, so the catch-up came in time only if it was near.
    assert_eq!(found(&exchanges), BTreeSet::from(all));
    exchanges.remove(5);
    assert_eq!(found(&exchanges), BTreeSet::new());
}

#[test]
fn what_another_tool_recorded_is_not_judged_by_its_times() {
    let again = AT + 2.0 * HOUR;
    let calls = [told(AT, &[("DeviceCommand", "c")]), handshake(100.0), ended(AT), handshake(again)];
    let mut exchanges = session(among(calls));
    for (number, exchange) in exchanges.iter_mut().enumerate() {
        exchange.recorded_by = Some("WebInspector 537.36".into());
        // Each id is random.
        exchange.id =
            nightaudit_exchange::ExchangeId::from_parts(exchange.id.milliseconds(), (number as u128 + 99) << 45);
    }
    assert_eq!(found(&exchanges), BTreeSet::new());
}

#[test]
fn webhooks_in_a_session_without_calls_are_not_judged_by_them() {
    // The calls name a session of their own.
    let exchanges = session(vec![hook(0.0, "a"), hook(AT, "b")]);
    let review = review(&exchanges, &Declaration::default());
    assert_eq!((kind(&review, "CustomerUpdated").received, found(&exchanges)), (2, BTreeSet::new()));
}

#[test]
fn what_runs_on_a_schedule_handles_events_in_its_next_run() {
    let declaration = Declaration::read("every_hours = 24", &Contracts::built_in()).unwrap();
    let of = |fetched: f64| {
        let nightly = [hook(AT, "a"), guest(fetched, "a")].into_iter().chain(socket(0.0, 600.0));
        raised(&session(among(nightly)), &declaration)
    };
    assert_eq!(of(AT + 26.3 * HOUR), BTreeSet::new());
    assert_eq!(of(AT + 26.5 * HOUR), BTreeSet::from([Rule::EventsNotFetched]));
}

#[test]
fn messages_recorded_long_after_they_passed_are_not_judged() {
    // As an import has a whole connection in one part.
    let mut whole = told(AT, &[("DeviceCommand", "c")]);
    whole.0.times_us.response_end = Some(20 * 3_600_000_000);
    let review = reviewed([handshake(0.0), whole]);
    assert_eq!((&review.bounds[..], kind(&review, "DeviceCommand").received), (&[][..], 1));
    assert_eq!(kind(&review, "DeviceCommand").not_followed, 0);
}

#[test]
fn a_faulted_handshake_opens_nothing() {
    let faulted = handshake(100.0).faulted(FaultEnding::Status(503));
    let review = reviewed([faulted]);
    assert_eq!(review.events.sockets, []);
}

#[test]
fn sockets_of_each_token_are_followed_apart() {
    // That of one hotel is always open, that of the other isn't.
    let other = |mut call: Call| {
        call.0.envelope.access_token = Some(nightaudit_exchange::Pseudonym::of(b"other"));
        call
    };
    let again = AT + 600.0;
    let review = reviewed([
        handshake(0.0),
        other(handshake(0.0)),
        other(ended(AT - 1.0)),
        other(handshake(again)),
        question(again + 5.0, "missed"),
    ]);
    let gaps: Vec<_> = review.events.sockets.iter().map(|own| (own.connections, own.closed_s, own.gaps)).collect();
    assert_eq!(BTreeSet::from_iter(gaps), BTreeSet::from([(1, 0, 0), (2, 600, 1)]));
    let finding = review.findings.iter().find(|finding| finding.rule == Rule::EventsSocketGap).unwrap();
    assert_eq!(finding.message, "No WebSocket was open 1 time, for up to 10 min.");
    // A new one before the old one ends leaves no gap.
    assert_eq!(found(&session(among([handshake(0.0), handshake(AT - 5.0), ended(AT)]))), BTreeSet::new());
}

#[test]
fn a_webhook_can_be_left_out() {
    let exchanges = session(among([hook(AT, "a").answer(500, "")]));
    let id = exchanges.iter().find(|exchange| exchange.is_webhook()).unwrap().id;
    let text = format!("[leave_out]\n'{id}' = 'sent by hand'");
    let review = review(&exchanges, &Declaration::read(&text, &Contracts::built_in()).unwrap());
    assert_eq!((review.findings.len(), review.left_out[0].status), (0, Some(500)));
    assert!(review.events.is_empty());
}

#[test]
fn regression_webhooks_counted_as_another_start() {
    let exchanges = session(among([hook(AT, "a"), guest(AT + 1.0, "a")]));
    let starts = |at: f64| review(&restarted(exchanges.clone(), at), &Declaration::default()).run.starts;
    assert_eq!((starts(AT + 9.0 * HOUR), starts(f64::from(u32::MAX))), (Some(2), Some(1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An integration that responds in time and fetches what each message names, sooner or later, one by one or together.
    #[test]
    fn a_correct_integration_raises_nothing(
        events in prop::collection::vec((0_u32..160_000, 1_u64..5000, 1_u32..3000, any::<bool>()), 1..40),
    ) {
        let calls = events.iter().enumerate().flat_map(|(n, (at, took, after, over_socket))| {
            let (at, id) = (f64::from(*at), format!("g{n}"));
            let told = if *over_socket { told(at, &[("Resource", &id)]) } else { webhook(at, &[("ResourceUpdated", &id)]).took(*took) };
            let extent = r#""Extent":{"Resources":true},"Limitation":{"Count":100}"#;
            [told, call(at + f64::from(*after), "resources/getAll", &format!(r#""ResourceIds":["{id}"],{extent}"#))]
        });
        let exchanges = session(among(calls.chain([handshake(0.0)])));
        let review = review(&exchanges, &Declaration::default());
        let found: Vec<_> = review.findings.iter().filter(|own| own.rule.id().starts_with("events/")).collect();
        prop_assert!(found.is_empty(), "{found:?}");
        let sum = |of: fn(&EventReview) -> u64| review.events.kinds.iter().map(of).sum::<u64>();
        prop_assert_eq!((sum(|own| own.received), sum(|own| own.followed)), (events.len() as u64, events.len() as u64));
        let over = review.events.kinds.iter().filter(|own| own.channel == EventChannel::WebSocket);
        let expected = events.iter().filter(|(.., over_socket)| *over_socket).count() as u64;
        prop_assert_eq!(over.map(|own| own.received).sum::<u64>(), expected);
    }

    /// Each message that gets no call is found, whatever the others got.
    #[test]
    fn each_event_without_a_call_is_counted(
        fetched in prop::collection::vec(any::<bool>(), 1..18),
    ) {
        let calls = fetched.iter().enumerate().flat_map(|(n, is_fetched)| {
            // Two hours apart, so that no call is for two.
            let (at, id) = (AT + n as f64 * 2.0 * HOUR, format!("g{n}"));
            [Some(hook(at, &id)), is_fetched.then(|| guest(at + 5.0, &id))].into_iter().flatten()
        });
        let review = reviewed(calls);
        let own = kind(&review, "CustomerUpdated");
        let missed = fetched.iter().filter(|is_fetched| !**is_fetched).count() as u64;
        prop_assert_eq!((own.not_followed, own.followed + own.not_followed), (missed, fetched.len() as u64));
        let finding = review.findings.iter().find(|finding| finding.rule == Rule::EventsNotFetched);
        prop_assert_eq!(finding.map_or(0, |finding| finding.count), missed);
    }
}
