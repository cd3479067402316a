//! Differences that are planted in a recording: each is found, and nothing else.
#![allow(clippy::unwrap_used, reason = "these are tests; clippy sees that in functions marked as such only")]

mod world;

use std::collections::BTreeSet;

use nightaudit_compare::{Change, Difference, DifferenceKind as Kind, Differences, Ignore, Recording};
use nightaudit_exchange::{CallDirection, Decision, Exchange, Outcome};
use nightaudit_mews::Contracts;
use nightaudit_review::Severity;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::world::{Call, OPERATIONS, World, body, recording};

/// A difference, in one operation.
#[derive(Debug, Clone)]
enum Plant {
    Gone,
    New,
    MoreCalls,
    Status(u16),
    Message,
    Slower,
    Faster,
    SlowTail,
    Property { side: Side, at: At, gained: bool, name: String },
    Type { side: Side, at: At },
    Null { at: At },
    NotJson,
    Refused,
    Delayed,
    TooMany,
    Pages,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// A place in the bodies of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Top,
    Nested,
    Items,
}

impl At {
    fn pointer(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Nested => "/Nested",
            Self::Items => "/Items/*",
        }
    }

    fn objects(self, body: &mut Value) -> Vec<&mut Value> {
        match self {
            Self::Top => vec![body],
            Self::Nested => vec![&mut body["Nested"]],
            Self::Items => body["Items"].as_array_mut().unwrap().iter_mut().collect(),
        }
    }
}

type Found = (Kind, Change, String, String);

impl Plant {
    /// Changes the later recording's calls of an operation, or the earlier one's; returns what must be found.
    fn plant(&self, operation: &str, before: &mut Vec<Call>, after: &mut Vec<Call>) -> Vec<(Kind, Change, String)> {
        let none = String::new;
        let in_bodies = |calls: &mut Vec<Call>, side: Side, at: At, change: &dyn Fn(&mut Value)| {
            for call in calls.iter_mut().filter(|call| call.operation == operation && call.status == 200) {
                let own = if side == Side::Request { &mut call.request } else { &mut call.response };
                at.objects(own).into_iter().for_each(change);
            }
            // Requests of calls that fail are like the others.
            for call in calls.iter_mut().filter(|call| call.operation == operation && call.status != 200) {
                if side == Side::Request {
                    at.objects(&mut call.request).into_iter().for_each(change);
                }
            }
        };
        let kind = |side: Side| if side == Side::Request { Kind::Requests } else { Kind::Responses };
        match self {
            Self::Gone => {
                after.retain(|call| call.operation != operation);
                vec![(Kind::Operation, Change::Gone, none())]
            }
            Self::New => {
                before.retain(|call| call.operation != operation);
                vec![(Kind::Operation, Change::New, none())]
            }
            Self::MoreCalls => {
                let more: Vec<Call> = after.iter().filter(|call| call.operation == operation).cloned().collect();
                after.extend(more);
                vec![(Kind::Calls, Change::More, none())]
            }
            Self::Status(status) => {
                for call in after.iter_mut().filter(|call| call.operation == operation && call.status == 200).take(40) {
                    (call.status, call.response) = (*status, json!({}));
                }
                let found = (Kind::Statuses, Change::New, status.to_string());
                vec![found]
            }
            Self::Message => {
                for call in after.iter_mut().filter(|call| call.operation == operation && call.status == 400) {
                    call.response["Message"] = json!("Another reason.");
                }
                vec![
                    (Kind::Errors, Change::Gone, "400 Invalid request.".to_owned()),
                    (Kind::Errors, Change::New, "400 Another reason.".to_owned()),
                ]
            }
            Self::Slower | Self::Faster => {
                let slower = matches!(self, Self::Slower);
                let side = if slower { after } else { before };
                side.iter_mut().filter(|call| call.operation == operation).for_each(|call| call.took_us *= 2);
                vec![(Kind::Latency, if slower { Change::Slower } else { Change::Faster }, none())]
            }
            Self::SlowTail => {
                let own = after.iter_mut().filter(|call| call.operation == operation);
                own.enumerate().filter(|(number, _)| number % 5 == 0).for_each(|(_, call)| call.took_us *= 10);
                vec![(Kind::Latency, Change::Slower, none())]
            }
            Self::Property { side, at, gained, name } => {
                let calls = if *gained { after } else { before };
                in_bodies(calls, *side, *at, &|object| object[name] = json!("x"));
                let change = if *gained { Change::New } else { Change::Gone };
                vec![(kind(*side), change, format!("{}/{name}", at.pointer()))]
            }
            Self::Type { side, at } => {
                in_bodies(after, *side, *at, &|object| object["Flag"] = json!("true"));
                vec![(kind(*side), Change::Type, format!("{}/Flag", at.pointer()))]
            }
            Self::Null { at } => {
                in_bodies(after, Side::Response, *at, &|object| object["Flag"] = json!(null));
                vec![(Kind::Responses, Change::Type, format!("{}/Flag", at.pointer()))]
            }
            Self::NotJson => {
                for call in after.iter_mut().filter(|call| call.operation == operation && call.status == 200) {
                    call.raw = Some("<html>");
                }
                vec![(Kind::Responses, Change::Gone, none())]
            }
            Self::Refused => {
                let own = after.iter_mut().filter(|call| call.operation == operation && call.status == 200);
                own.take(40).for_each(|call| call.outcome = Outcome::Refused);
                vec![(Kind::Limits, Change::New, "refused".to_owned())]
            }
            Self::Delayed => {
                let own = after.iter_mut().filter(|call| call.operation == operation);
                own.take(40).for_each(|call| call.decision = Decision::Delayed);
                vec![(Kind::Limits, Change::New, "delayed".to_owned())]
            }
            Self::TooMany => {
                for call in after.iter_mut().filter(|call| call.operation == operation && call.status == 200).take(40) {
                    (call.status, call.response) = (429, json!({}));
                }
                vec![(Kind::Limits, Change::New, "429".to_owned())]
            }
            Self::Pages => {
                for call in after.iter_mut().filter(|call| call.operation == operation && call.status == 200) {
                    let items = call.response["Items"].as_array_mut().unwrap();
                    let one = items[0].clone();
                    items.extend(vec![one; 5]);
                }
                vec![(Kind::Pages, Change::Different, "Flag, Items, Nested".to_owned())]
            }
        }
    }
}

fn plant() -> impl Strategy<Value = Plant> {
    let side = || prop_oneof![Just(Side::Request), Just(Side::Response)];
    let at = || prop_oneof![Just(At::Top), Just(At::Nested), Just(At::Items)];
    prop_oneof![
        Just(Plant::Gone),
        Just(Plant::New),
        Just(Plant::MoreCalls),
        prop_oneof![Just(500), Just(403), Just(503)].prop_map(Plant::Status),
        Just(Plant::Message),
        Just(Plant::Slower),
        Just(Plant::Faster),
        Just(Plant::SlowTail),
        (side(), at(), any::<bool>(), "Planted[A-Za-z~/]{0,6}").prop_map(|(side, at, gained, name)| Plant::Property {
            side,
            at,
            gained,
            name
        }),
        (side(), at()).prop_map(|(side, at)| Plant::Type { side, at }),
        at().prop_map(|at| Plant::Null { at }),
        Just(Plant::NotJson),
        Just(Plant::Refused),
        Just(Plant::Delayed),
        Just(Plant::TooMany),
        Just(Plant::Pages),
    ]
}

fn compare(before: &[Call], after: &[Call]) -> Differences {
    Differences::of(&recording("before", before, 1), &recording("after", after, 2), &Ignore::default())
}

fn found(differences: &Differences) -> BTreeSet<Found> {
    let of = |own: &Difference| (own.kind, own.change, own.operation.clone().unwrap_or_default(), own.subject.clone());
    differences.differences.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn each_planted_difference_is_found_and_nothing_else(
        plants in prop::collection::vec(prop::option::weighted(0.6, plant()), OPERATIONS.len()),
        calls in 100_u64..160,
        seeds: [u64; 2],
    ) {
        let world = World { calls };
        let (mut before, mut after) = (world.calls(seeds[0]), world.calls(seeds[1]));
        let mut expected = BTreeSet::new();
        for (operation, plant) in OPERATIONS.iter().zip(&plants) {
            let Some(plant) = plant else { continue };
            for (kind, change, subject) in plant.plant(operation, &mut before, &mut after) {
                // A name in a JSON pointer is escaped.
                let subject = match (plant, kind) {
                    (Plant::Property { at, name, .. }, _) => {
                        format!("{}/{}", at.pointer(), name.replace('~', "~0").replace('/', "~1"))
                    }
                    _ => subject,
                };
                expected.insert((kind, change, (*operation).to_owned(), subject));
            }
        }
        let differences = compare(&before, &after);
        prop_assert_eq!(found(&differences), expected, "{:#?}", differences.differences);
        // Of so many calls, each difference is certain, but for one that needs only one.
        for own in &differences.differences {
            prop_assert!(own.certain || own.kind == Kind::Errors, "{own:?}");
            prop_assert!(!own.message.is_empty() && own.message.ends_with('.'), "{own:?}");
        }
    }

    /// Whatever the bodies are.
    #[test]
    fn a_recording_has_no_difference_to_itself(
        bodies in prop::collection::vec((body(), body(), 100_u16..600), 1..20),
        seed: u64,
    ) {
        let calls: Vec<Call> = bodies.into_iter().zip(0..).map(|((request, response, status), number)| {
            Call { request, response, status, ..Call::new(OPERATIONS[number % 3], seed, number as u64) }
        }).collect();
        let own = recording("same", &calls, 1);
        let differences = Differences::of(&own, &own, &Ignore::default());
        prop_assert!(differences.is_empty(), "{:#?}", differences.differences);
        prop_assert_eq!(compare(&calls, &calls).counts, differences.counts);
    }

    /// Swapped, what is new is gone.
    #[test]
    fn the_sides_can_be_swapped(plants in prop::collection::vec(plant(), OPERATIONS.len()), seeds: [u64; 2]) {
        let world = World { calls: 100 };
        let (mut before, mut after) = (world.calls(seeds[0]), world.calls(seeds[1]));
        for (operation, plant) in OPERATIONS.iter().zip(&plants) {
            plant.plant(operation, &mut before, &mut after);
        }
        let turned = |(kind, change, operation, subject): Found| {
            let change = match change {
                Change::New => Change::Gone,
                Change::Gone => Change::New,
                Change::More => Change::Fewer,
                Change::Fewer => Change::More,
                Change::Slower => Change::Faster,
                Change::Faster => Change::Slower,
                same => same,
            };
            (kind, change, operation, subject)
        };
        // Nulls that are no longer there are no difference.
        let is_null = |found: &Found| plants.iter().zip(OPERATIONS).any(|(plant, operation)| {
            matches!(plant, Plant::Null { .. }) && found.2 == *operation
        });
        let there: BTreeSet<_> = found(&compare(&before, &after)).into_iter().filter(|own| !is_null(own)).collect();
        let back = found(&compare(&after, &before)).into_iter().map(turned).collect::<BTreeSet<_>>();
        prop_assert_eq!(there, back);
    }
}

#[test]
fn a_mistake_in_requests_is_a_finding_of_the_operation() {
    let call = |request: Value| Call { request, ..Call::new("accountNotes/delete", 1, 1) };
    let good = json!({"AccessToken": "a", "ClientToken": "c", "Client": "x",
        "AccountNoteIds": ["3fa85f64-5717-4562-b3fc-2c963f66afa6"]});
    let mut wrong = good.clone();
    wrong["AccountNoteIds"] = json!("3fa85f64-5717-4562-b3fc-2c963f66afa6");
    let (before, after) = (vec![call(good); 4], vec![call(wrong); 4]);
    let differences = compare(&before, &after);
    let finding = differences.differences.iter().find(|own| own.kind == Kind::Findings).unwrap();
    assert_eq!((finding.change, finding.severity, finding.certain), (Change::New, Severity::Warning, true));
    assert_eq!(finding.subject, "wrong-type /AccountNoteIds");
    assert_eq!(found(&differences).len(), 2, "and the type itself: {differences:#?}");
    let back = compare(&after, &before);
    let finding = back.differences.iter().find(|own| own.kind == Kind::Findings).unwrap();
    assert_eq!((finding.change, finding.severity), (Change::Gone, Severity::Note));
}

#[test]
fn regression_lists_were_not_aligned_when_operations_came_in_another_order() {
    let world = World { calls: 10 };
    let (mut before, mut after) = (world.calls(1), world.calls(1));
    let planted = Plant::Pages.plant(OPERATIONS[0], &mut before, &mut after);
    after.reverse();
    let expected = planted.into_iter().map(|(kind, change, subject)| (kind, change, OPERATIONS[0].to_owned(), subject));
    assert_eq!(found(&compare(&before, &after)), expected.collect());
}

#[test]
fn regression_webhooks_were_compared_as_calls_that_mews_answers() {
    let of = |took_us: u64, body: &Value| {
        let mut recording = Recording::new("webhooks", Contracts::built_in());
        for number in 1..40 {
            let call = Call { request: body.clone(), took_us, ..Call::new("webhook", 1, 1) };
            let mut exchange = call.exchange(number, 1);
            exchange.direction = CallDirection::Incoming;
            recording.push(&exchange);
        }
        recording
    };
    let body = json!({"Events": [{"Discriminator": "Reservation"}]});
    let fast = of(5_000, &body);
    // How long the integration takes is not Mews' latency.
    let differences = Differences::of(&fast, &of(500_000, &body), &Ignore::default());
    assert!(differences.is_empty(), "{:#?}", differences.differences);
    let differences = Differences::of(&fast, &of(5_000, &json!({"Events": [{}]})), &Ignore::default());
    let [gone] = &differences.differences[..] else { panic!("{:#?}", differences.differences) };
    assert_eq!((gone.kind, gone.change, &*gone.subject), (Kind::Messages, Change::Gone, "/Events/*/Discriminator"));
}

#[test]
fn what_may_be_chance_is_marked() {
    let world = World { calls: 40 };
    let (before, mut after) = (world.calls(1), world.calls(2));
    let own = after.iter_mut().find(|call| call.operation == OPERATIONS[0] && call.status == 200).unwrap();
    own.response["Rare"] = json!(1);
    let differences = compare(&before, &after);
    let [rare] = &differences.differences[..] else { panic!("{differences:#?}") };
    assert!(!rare.certain && rare.message.ends_with("This may be chance."), "{rare:?}");
    assert_eq!((rare.severity, &*rare.subject), (Severity::Note, "/Rare"));
    // Gone the other way round, it might still be there.
    let back = compare(&after, &before);
    assert_eq!((back.differences[0].severity, back.differences[0].certain), (Severity::Note, false));
}

#[test]
fn latencies_that_differ_by_chance_are_no_difference() {
    let mut alarms = 0;
    for seed in 0..200 {
        let world = World { calls: 60 };
        let differences = compare(&world.calls(seed), &world.calls(1_000 + seed));
        alarms += u32::from(!differences.is_empty());
    }
    // At most one comparison in a hundred.
    assert!(alarms <= 2, "{alarms} of 200");
}

#[test]
fn a_small_shift_of_latencies_is_no_difference_however_many_calls_show_it() {
    let world = World { calls: 5_000 };
    let (before, mut after) = (world.calls(1), world.calls(2));
    after.iter_mut().for_each(|call| call.took_us += 3_000);
    assert!(compare(&before, &after).is_empty());
    after.iter_mut().for_each(|call| call.took_us += 20_000);
    let kinds = compare(&before, &after).kinds();
    assert_eq!(kinds.keys().collect::<Vec<_>>(), [&Kind::Latency]);
}

#[test]
fn what_is_ignored_is_left_out() {
    let world = World { calls: 100 };
    let (before, mut after) = (world.calls(1), world.calls(2));
    for call in after.iter_mut().filter(|call| call.status == 200) {
        (call.took_us, call.response["Items"][0]["Extra"]) = (call.took_us * 3, json!({"Deep": 1}));
    }
    let (before, after) = (recording("before", &before, 1), recording("after", &after, 2));
    let left = |ignore: &str| {
        let differences = Differences::of(&before, &after, &ignore.parse().unwrap());
        differences.kinds().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(left("calls"), [Kind::Latency, Kind::Responses]);
    assert_eq!(left("latency"), [Kind::Responses]);
    assert_eq!(left("latency,/Items/*/Extra"), []);
    assert_eq!(left("latency,/Items"), []);
    assert_eq!(left("latency,/Items/*/Extra/Deep"), [Kind::Responses]);
}

#[test]
fn an_operation_with_more_properties_than_are_kept_says_so_and_claims_nothing() {
    let wide = |names: std::ops::Range<u32>| {
        let response: Value =
            names.map(|number| (format!("P{number}x"), json!(1))).collect::<serde_json::Map<_, _>>().into();
        vec![Call { response, ..Call::new(OPERATIONS[0], 1, 1) }; 4]
    };
    let differences = compare(&wide(0..9_000), &wide(0..9_001));
    assert!(differences.is_empty(), "{:?}", differences.differences);
    assert_eq!(differences.bounds.len(), 2, "{:?}", differences.bounds);
}

#[test]
fn a_limit_that_changed_is_a_difference_of_all_operations() {
    let world = World { calls: 10 };
    let limited = |limit: u32| {
        let mut recording = Recording::new("x", Contracts::built_in());
        for mut exchange in world.calls(1).iter().zip(1..).map(|(call, number)| call.exchange(number, 1)) {
            exchange.limit.as_mut().unwrap().limit = limit;
            recording.push(&exchange);
        }
        recording
    };
    let differences = Differences::of(&limited(200), &limited(100), &Ignore::default());
    let [own] = &differences.differences[..] else { panic!("{differences:#?}") };
    assert_eq!(
        (own.kind, own.change, &own.operation, &*own.subject),
        (Kind::Limits, Change::Fewer, &None, "published")
    );
}

#[test]
fn a_comparison_is_as_it_always_was() {
    let world = World { calls: 60 };
    let (mut before, mut after) = (world.calls(1), world.calls(2));
    let property =
        |gained, name: &str| Plant::Property { side: Side::Response, at: At::Items, gained, name: name.to_owned() };
    for (operation, plants) in OPERATIONS.iter().zip([
        vec![property(false, "Notes"), property(true, "Extra"), Plant::Slower, Plant::Pages],
        vec![Plant::Status(500), Plant::Message, Plant::Delayed],
        vec![Plant::Type { side: Side::Request, at: At::Nested }],
        vec![Plant::Gone],
    ]) {
        plants.iter().for_each(|plant| drop(plant.plant(operation, &mut before, &mut after)));
    }
    let differences = compare(&before, &after);
    insta::assert_json_snapshot!(differences);
    let again: Differences = serde_json::from_str(&serde_json::to_string(&differences).unwrap()).unwrap();
    assert_eq!(again, differences);
}

/// An exchange is taken by reference, and leaves nothing of its values behind.
#[test]
fn nothing_of_the_values_is_kept() {
    let secret = "correct-horse-battery-staple";
    let call = |text: &str| Call { response: json!({ "Items": [{ "Name": text }] }), ..Call::new(OPERATIONS[0], 1, 1) };
    let (before, after) = (vec![call(secret); 4], vec![call("x"); 4]);
    let mut differences = compare(&before, &after);
    differences.differences.extend(compare(&after, &[]).differences);
    let text = serde_json::to_string(&differences).unwrap();
    assert!(!text.contains(secret), "{text}");
    let _: &Exchange = &before[0].exchange(1, 1);
}
