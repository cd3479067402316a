//! Whatever a file says that exchanges were, their review can be made.

use crate::common::{events::*, *};
use bytes::Bytes;
use nightaudit_exchange::{Body, CallDirection, Exchange, ExchangeId, Outcome, Timestamp};
use nightaudit_mews::Environment;
use nightaudit_review::{Declaration, Review, Reviewer};
use proptest::prelude::*;

/// Micros that are ordinary, or as far from it as they can be.
fn micros() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        (0_u64..10_000_000).prop_map(Some),
        Just(Some(u64::MAX)),
        Just(Some(i64::MAX.unsigned_abs())),
        any::<u64>().prop_map(Some),
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![START..START + 3_600_000_000, Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        ".{0,40}",
        Just(r#"{"ReservationIds":["a","b"],"Limitation":{"Count":1}}"#.to_owned()),
        Just(r#"{"Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"a"}}]}"#.to_owned()),
        Just(r#"{"Events":[{"Type":"Reservation","Id":"a"},{"Type":"","Id":""}]}"#.to_owned()),
        ".{0,200}".prop_map(
            |kind| serde_json::json!({"Events": [{"Discriminator": kind, "Value": {"Id": kind}}]}).to_string()
        ),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let kinds = prop_oneof![Just("call"), Just("change"), Just("hook"), Just("open"), Just("told"), Just("ended")];
    let outcomes = prop::sample::select(Outcome::ALL.to_vec());
    let statuses = prop::sample::select(vec![101_u16, 200, 308, 400, 429, 503]);
    (kinds, outcomes, statuses, time(), [micros(), micros(), micros()], body(), any::<u128>(), 0_u8..3).prop_map(
        |(kind, outcome, status, at, times, body, random, process)| {
            let Call(mut own) = match kind {
                "call" => question(0.0, "a"),
                "change" => call(0.0, "reservations/cancel", r#""ReservationIds":["a"]"#),
                "hook" => posted(0.0, &body),
                "open" => handshake(0.0),
                "told" => told(0.0, &[("Reservation", "a"), ("DeviceCommand", "b")]),
                _ => ended(0.0),
            };
            own.outcome = outcome;
            own.started_at = Timestamp::from_micros(at);
            (own.times_us.forwarded, own.times_us.response_head, own.times_us.response_end) =
                (times[0], times[1], times[2]);
            if let Some(response) = &mut own.response {
                response.status = status;
            }
            if matches!(kind, "call" | "change") && random.is_multiple_of(3) {
                own.request.body = Body::whole(Bytes::from(body));
            }
            for message in own.web_socket.iter_mut().flat_map(|part| &mut part.messages) {
                message.time = Timestamp::from_micros(at.saturating_mul(3));
            }
            if random.is_multiple_of(7) {
                own.direction = CallDirection::Incoming;
            }
            own.id = ExchangeId::from_parts(7, u128::from(process) << 40 | (random & 0xff_ffff));
            own
        },
    )
}

#[test]
fn regression_times_at_the_ends_of_the_calendar_overflowed() {
    let ask = |at: i64, forwarded: u64| {
        let mut call = call(0.0, RESERVATIONS, r#""States":["Started"],"Limitation":{"Count":9}"#);
        call.0.started_at = Timestamp::from_micros(at);
        call.0.times_us.forwarded = Some(forwarded);
        call
    };
    let calls = [ask(i64::MIN, 0), ask(i64::MAX, u64::MAX)];
    let numbered = |(sequence, Call(exchange))| Exchange { sequence, ..exchange };
    let exchanges: Vec<Exchange> = (1..).zip(calls).map(numbered).collect();
    let review = review(&exchanges, &Declaration::default());
    assert_eq!((review.run.exchanges, review.run.clock_steps), (2, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_exchanges_make_a_review_panic(exchanges in prop::collection::vec(exchange(), 0..40), hours in any::<u8>()) {
        let declaration = Declaration { every_hours: Some(hours), ..Declaration::default() };
        let mut reviewer = Reviewer::new(declaration);
        for (sequence, exchange) in (1..).zip(&exchanges) {
            reviewer.push(&Exchange { sequence, ..exchange.clone() });
            // As it is recorded, too.
            if sequence % 16 == 0 {
                prop_assert!(reviewer.review().run.exchanges <= sequence);
            }
        }
        let review = reviewer.into_review();
        let text = serde_json::to_string(&review).unwrap();
        prop_assert_eq!(serde_json::from_str::<Review>(&text).unwrap(), review);
    }
}

#[test]
fn the_strategy_makes_what_is_judged() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let made: Vec<Exchange> = (0..200).map(|_| exchange().new_tree(&mut runner).unwrap().current()).collect();
    assert!(made.iter().filter(|own| own.is_webhook()).count() > 20);
    assert!(made.iter().filter(|own| own.operation == Environment::EVENTS_PATH).count() > 40);
}
