//! Conformance tests, run for every engine.

use std::time::Duration;

use nightaudit_exchange::{Exchange, Filter, Outcome};

use super::{exchanges, session_id};
use crate::{
    FindError, Follow, FollowFrom, Followed, MAX_DECLARATION, Order, Position, Query, ReadError, ReadLog, SessionError,
    Start,
};

/// A log of the engine under test, empty at first.
pub trait Engine {
    /// The log.
    fn log(&self) -> &dyn ReadLog;

    /// Adds all exchanges of a session that is not there yet, and ends it.
    fn add(&self, session: Vec<Exchange>);
}

/// A test case; panics on failure.
pub type Case = fn(&dyn Engine);

/// All cases by name. Each needs a log of its own.
pub const CASES: [(&str, Case); 13] = [
    ("an empty log returns nothing", empty),
    ("pages follow each other in both orders", pages),
    ("filters apply, and an unknown session is an error", filters),
    ("matches are found by their numbers", places),
    ("matches are counted in time and by value", counts),
    ("an exchange is found by a prefix of its id", finding),
    ("exchanges are read one by one", fetching),
    ("the last exchange and the last error are found by name", latest),
    ("sessions are listed and resolved", sessions),
    ("the whole log is summed up and checked", whole),
    ("followers start where requested", following),
    ("a follower resumes from an earlier position", resuming),
    ("sessions are changed", managing),
];

/// Runs every case on a log from `make`.
///
/// # Panics
///
/// If a case fails; its name is printed before it starts.
pub fn run<E: Engine>(make: impl Fn() -> E) {
    for (name, case) in CASES {
        println!("case: {name}");
        case(&make());
    }
}

fn query(log: &dyn ReadLog, query: Query) -> Vec<(String, u64)> {
    let read = |exchange: Result<Exchange, ReadError>| {
        let exchange = exchange.expect("no damage");
        (exchange.session_name.to_string(), exchange.sequence)
    };
    log.query(query).expect("the query succeeds").map(read).collect()
}

fn of(session: &str) -> Filter {
    Filter { session: Some(session.to_owned()), ..Filter::default() }
}

fn named(name: &str, sequences: impl IntoIterator<Item = u64>) -> Vec<(String, u64)> {
    sequences.into_iter().map(|sequence| (name.to_owned(), sequence)).collect()
}

fn empty(engine: &dyn Engine) {
    let log = engine.log();
    assert!(log.sessions().expect("the query succeeds").is_empty());
    assert!(log.missing().expect("the query succeeds").is_empty());
    for order in [Order::Oldest, Order::Newest] {
        let mut none = log.query(Query { order, ..Query::default() }).expect("the query succeeds");
        assert!(none.next().is_none() && none.last_position().is_none());
    }
    assert!(matches!(log.find("0"), Err(FindError::NotFound(prefix)) if prefix == "0"));
    assert!(matches!(log.session("a"), Err(SessionError::NotFound(which)) if which == "a"));
}

fn pages(engine: &dyn Engine) {
    let log = engine.log();
    engine.add(exchanges(1, "a", 25));
    engine.add(exchanges(2, "b", 5));
    let mut expected = [named("a", 1..=25), named("b", 1..=5)].concat();
    for order in [Order::Oldest, Order::Newest] {
        assert_eq!(query(log, Query { order, ..Query::default() }), expected);
        assert_eq!(query(log, Query { order, limit: Some(0), ..Query::default() }), []);
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let mut page = log.query(Query { order, after, limit: Some(7), ..Query::default() }).expect("a page");
            let before = all.len();
            all.extend(page.by_ref().map(|exchange| exchange.expect("whole")));
            if all.len() == before {
                break;
            }
            // Clients carry it as text.
            let text = page.last_position().expect("something was read").to_string();
            after = Some(text.parse::<Position>().expect("its own text"));
        }
        let all: Vec<_> = all.iter().map(|exchange| (exchange.session_name.to_string(), exchange.sequence)).collect();
        assert_eq!(all, expected);
        expected.reverse();
    }
    // A position works in the other order, too.
    let mut first = log.query(Query { limit: Some(3), ..Query::default() }).expect("a page");
    assert_eq!(first.by_ref().count(), 3);
    let back = Query { order: Order::Newest, after: first.last_position(), ..Query::default() };
    assert_eq!(query(log, back), named("a", [2, 1]));
}

fn filters(engine: &dyn Engine) {
    let log = engine.log();
    engine.add(exchanges(1, "a", 6));
    engine.add(exchanges(2, "b", 6));
    let operation = "customers/*".parse().expect("a pattern");
    let filter = Filter { operation: Some(operation), ..Filter::default() };
    let both = [named("a", [2, 5]), named("b", [2, 5])].concat();
    assert_eq!(query(log, Query { filter: filter.clone(), ..Query::default() }), both);
    let id = session_id(2).to_string();
    for which in ["b", &*id, &*id.to_lowercase()] {
        let filter = Filter { session: Some(which.to_owned()), ..filter.clone() };
        assert_eq!(query(log, Query { filter, ..Query::default() }), named("b", [2, 5]));
    }
    let wrong = |result: Result<(), ReadError>| {
        assert!(matches!(result, Err(ReadError::Session(SessionError::NotFound(which))) if which == "c"));
    };
    wrong(log.query(Query { filter: of("c"), ..Query::default() }).map(drop));
    wrong(log.follow(of("c"), FollowFrom::Now).map(drop));
}

/// Filters, and the exchanges that they match of two sessions of 30 and 6.
fn filtered() -> [(Filter, Vec<(String, u64)>); 6] {
    let parse = |pairs: &[(&str, &str)]| {
        let now = nightaudit_exchange::Timestamp::from_micros(0);
        Filter::from_query(pairs.iter().copied(), now).expect("a filter")
    };
    let until = super::exchange(1, "a", 11).started_at.to_string();
    [
        (Filter::default(), [named("a", 1..=30), named("b", 1..=6)].concat()),
        (of("b"), named("b", 1..=6)),
        (parse(&[("operation", "customers/*")]), [named("a", (2..=30).step_by(3)), named("b", [2, 5])].concat()),
        (parse(&[("operation", "!customers/*"), ("session", "b")]), named("b", [1, 3, 4, 6])),
        (parse(&[("until", &until), ("session", "!b")]), named("a", 1..=10)),
        (parse(&[("status", "404")]), vec![]),
    ]
}

fn places(engine: &dyn Engine) {
    let log = engine.log();
    let nothing = log.seek(&Filter::default(), Start::Newest(5)).expect("the query succeeds");
    assert_eq!((nothing.total, nothing.from), (0, 0));
    engine.add(exchanges(1, "a", 30));
    engine.add(exchanges(2, "b", 6));
    for (filter, all) in filtered() {
        let total = all.len() as u64;
        let starts = (0..total + 2).flat_map(|number| [Start::At(number), Start::Newest(number)]);
        for start in starts.chain([Start::At(u64::MAX), Start::Newest(u64::MAX)]) {
            let place = log.seek(&filter, start).expect("the query succeeds");
            let from = match start {
                Start::At(number) => number.min(total),
                Start::Newest(count) => total.saturating_sub(count),
            };
            assert_eq!((place.total, place.from), (total, from), "{filter:?} {start:?}");
            let rest = query(log, Query { filter: filter.clone(), after: place.after, ..Query::default() });
            assert_eq!(rest, all[from as usize..], "{filter:?} {start:?}");
        }
        for session in [1, 2] {
            for exchange in exchanges(session, ["a", "b"][session as usize - 1], 30) {
                let position = log.position(exchange.id).expect("the query succeeds");
                let wanted = (exchange.session_name.to_string(), exchange.sequence);
                let expected = all.iter().position(|known| *known == wanted).map(|number| number as u64);
                let rank = position.and_then(|it| log.rank(&filter, it).expect("the query succeeds"));
                assert_eq!(rank, expected, "{filter:?} {wanted:?}");
            }
        }
    }
    assert!(matches!(log.seek(&of("c"), Start::At(0)), Err(ReadError::Session(SessionError::NotFound(_)))));
    // What comes later leaves numbers as they are, and a deleted session doesn't.
    let generation = log.generation();
    engine.add(exchanges(3, "c", 1));
    let place = log.seek(&Filter::default(), Start::At(35)).expect("the query succeeds");
    assert_eq!((place.total, place.generation, log.generation()), (37, generation, generation));
    let Some(manage) = log.manage() else { return };
    manage.delete_session("a").expect("it can be deleted");
    let place = log.seek(&Filter::default(), Start::At(5)).expect("the query succeeds");
    assert_ne!(place.generation, generation);
    assert_eq!(
        query(log, Query { after: place.after, ..Query::default() }),
        [named("b", [6]), named("c", [1])].concat()
    );
}

fn counts(engine: &dyn Engine) {
    let log = engine.log();
    assert_eq!(log.histogram(&Filter::default(), 10).expect("the query succeeds").buckets, []);
    engine.add(exchanges(1, "a", 30));
    engine.add(exchanges(2, "b", 6));
    for (filter, all) in filtered() {
        let histogram = log.histogram(&filter, 10).expect("the query succeeds");
        assert_eq!(histogram.total, all.len() as u64, "{filter:?}");
        let sum: u64 = histogram.buckets.iter().map(|bucket| bucket.requests).sum();
        assert_eq!(sum, all.len() as u64, "{filter:?}");
        let facets = log.facets(&filter).expect("the query succeeds");
        let of = |name: &str| all.iter().filter(|(session, _)| session == name).count() as u64;
        let expected: Vec<_> = [(session_id(1), of("a")), (session_id(2), of("b"))].into_iter().collect();
        let expected: Vec<_> = expected.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(facets.sessions.values, expected, "{filter:?}");
        let operations: u64 = facets.operations.values.iter().map(|(_, count)| count).sum();
        assert_eq!(operations, all.len() as u64, "{filter:?}");
    }
    let first = log.histogram(&of("a"), 3).expect("the query succeeds");
    // 30 exchanges, a millisecond apart, from 101 ms on.
    let requests: Vec<_> = first.buckets.iter().map(|bucket| bucket.requests).collect();
    assert_eq!((first.bucket_ms, requests), (20, vec![19, 11]));
    let facets = log.facets(&Filter::default()).expect("the query succeeds");
    let operations = [("configuration/get", 12), ("customers/search", 12), ("reservations/getAll", 12)];
    let operations: Vec<_> = operations.into_iter().map(|(name, count)| (Box::from(name), count)).collect();
    assert_eq!(facets.operations.values, operations);
    assert_eq!(facets.clients.values, [(Box::from("Kiosk 1"), 36)]);
    assert_eq!(facets.statuses.values, [(Some(200), 36)]);
    assert!(facets.tokens.values.is_empty());
    engine.add(exchanges(3, "b", 1));
    let later = log.histogram(&Filter::default(), 10).expect("the query succeeds");
    assert_eq!((later.total, later.last), (37, Some(super::exchange(3, "b", 1).started_at)));
}

fn finding(engine: &dyn Engine) {
    let log = engine.log();
    let added = exchanges(1, "a", 12);
    engine.add(added.clone());
    let whole = added[4].id.to_string();
    // The last sixteen letters of an id are random, the first ten its time.
    for prefix in [&*whole, &whole[..20], &whole[..10], &whole.to_lowercase()] {
        let found = log.find(prefix).expect("there is one");
        assert_eq!((found.id, found.sequence, &*found.operation), (added[4].id, 5, "customers/search"));
    }
    match log.find(&whole[..6]) {
        Err(FindError::Ambiguous { prefix, ids }) => {
            assert_eq!((prefix, ids.len()), (whole[..6].to_owned(), 8));
            assert!(ids.iter().all(|id| added.iter().any(|exchange| exchange.id == *id)));
        }
        other => panic!("{other:?}"),
    }
    for nothing in ["", "7", "é", "nothing", &format!("{whole}0"), "../../etc"] {
        assert!(matches!(log.find(nothing), Err(FindError::NotFound(prefix)) if prefix == nothing), "{nothing}");
    }
}

fn fetching(engine: &dyn Engine) {
    let added = [exchanges(1, "a", 1200), exchanges(2, "b", 30)];
    added.iter().for_each(|session| engine.add(session.clone()));
    let mut fetcher = engine.log().fetcher();
    // Forwards, backwards, and to and fro between two sessions.
    let order = (0..1200).chain((0..1200).rev()).map(|number| &added[0][number]);
    let order = order.step_by(7).chain((0..30).flat_map(|number| [&added[0][40 * number], &added[1][number]]));
    for exchange in order {
        let found = fetcher.fetch(exchange.id).expect("it can be read").expect("it is there");
        let wanted = (exchange.id, &exchange.session_name, exchange.sequence);
        assert_eq!((found.id, &found.session_name, found.sequence), wanted);
        assert_eq!(found.request.body.bytes, exchange.request.body.bytes);
    }
    assert!(fetcher.fetch(exchanges(3, "c", 1)[0].id).expect("the query succeeds").is_none());
}

fn latest(engine: &dyn Engine) {
    let log = engine.log();
    assert!(matches!(log.find("last"), Err(FindError::Empty)));
    assert!(matches!(log.find("last-error"), Err(FindError::NoError)));
    let found = |which: &str| log.find(which).map(|exchange| (exchange.session_name.to_string(), exchange.sequence));
    let mut number = 0;
    let mut add = |name: &str, outcome: Outcome, status: Option<u16>| {
        number += 1;
        let mut session = exchanges(number, name, 3);
        session[1].outcome = outcome;
        match (status, &mut session[1].response) {
            (Some(status), Some(response)) => response.status = status,
            (_, response) => *response = None,
        }
        engine.add(session);
        assert_eq!(found("last").expect("there is one"), (name.to_owned(), 3));
    };
    for status in [200, 201, 302, 399] {
        add("good", Outcome::Answered, Some(status));
        assert!(matches!(found("last-error"), Err(FindError::NoError)), "{status}");
    }
    for (name, outcome, status) in [
        ("rejected by Mews", Outcome::Answered, Some(400)),
        ("an error of Mews", Outcome::Answered, Some(503)),
        ("refused", Outcome::Refused, Some(429)),
        ("failed", Outcome::Failed, None),
        ("aborted before the response", Outcome::Aborted, None),
        ("aborted during a good response", Outcome::Aborted, Some(200)),
        ("interrupted", Outcome::Interrupted, None),
    ] {
        add(name, outcome, status);
        assert_eq!(found("last-error").expect("there is one"), (name.to_owned(), 2));
        add("good", Outcome::Answered, Some(200));
        assert_eq!(found("last-error").expect("there is one"), (name.to_owned(), 2));
    }
}

fn sessions(engine: &dyn Engine) {
    let log = engine.log();
    engine.add(exchanges(2, "b", 1));
    engine.add(exchanges(1, "a", 3));
    engine.add(exchanges(3, "a", 2));
    let listed = log.sessions().expect("the query succeeds");
    let seen: Vec<_> = listed.iter().map(|session| (&*session.name, session.exchanges, session.open)).collect();
    assert_eq!(seen, [("a", 3, false), ("b", 1, false), ("a", 2, false)]);
    let three = exchanges(1, "a", 3);
    assert_eq!((listed[0].first, listed[0].last), (Some(three[0].started_at), Some(three[2].started_at)));
    for (which, wanted) in [("a", 3), ("b", 2), (&*session_id(1).to_string(), 1)] {
        assert_eq!(log.session(which).expect("there is one").id, session_id(wanted));
    }
    let prefix = &session_id(1).to_string()[..3];
    assert!(matches!(log.session(prefix), Err(SessionError::Ambiguous { ids, .. }) if ids.len() == 3));
    assert!(matches!(log.session(""), Err(SessionError::NotFound(_))));
}

fn whole(engine: &dyn Engine) {
    let log = engine.log();
    let totals = || {
        let info = log.info().expect("it can be read");
        (info.sessions, info.open_sessions, info.exchanges, info.missing)
    };
    assert_eq!(totals(), (0, 0, 0, 0));
    engine.add(exchanges(1, "a", 3));
    engine.add(exchanges(2, "b", 2));
    assert_eq!(totals(), (2, 0, 5, 0));
    let mut progress = 0;
    let check = log.check(&mut |at| progress = at.exchanges).expect("it can be checked");
    assert_eq!((check.sessions, check.exchanges, progress), (2, 5, 5));
    assert!(check.is_whole() && check.unfinished_imports == 0, "{check:?}");
}

/// Runs a future with a timeout that only a failure reaches.
fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.expect("it comes to an end") })
}

async fn next(follower: &mut dyn Follow) -> (String, u64) {
    match follower.next().await {
        Some(Followed::Exchange(exchange)) => (exchange.session_name.to_string(), exchange.sequence),
        other => panic!("no exchange: {other:?}"),
    }
}

async fn take(follower: &mut dyn Follow, count: usize) -> Vec<(String, u64)> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(follower).await);
    }
    taken
}

fn following(engine: &dyn Engine) {
    let log = engine.log();
    let first = exchanges(1, "a", 6);
    engine.add(first.clone());
    let everything = Filter::default;
    let customers = || Filter { operation: "customers/search".parse().ok(), ..Filter::default() };
    let start = |filter: Filter, from: FollowFrom| log.follow(filter, from).expect("it can be followed");
    let mut followers = [
        (start(everything(), FollowFrom::Now), named("b", 1..=6)),
        (start(everything(), FollowFrom::Last(0)), named("b", 1..=6)),
        (start(everything(), FollowFrom::Last(2)), [named("a", [5, 6]), named("b", 1..=6)].concat()),
        (start(everything(), FollowFrom::Last(100)), [named("a", 1..=6), named("b", 1..=6)].concat()),
        (start(everything(), FollowFrom::After(first[3].id)), [named("a", [5, 6]), named("b", 1..=6)].concat()),
        (start(everything(), FollowFrom::Position(Position::START)), [named("a", 1..=6), named("b", 1..=6)].concat()),
        (start(customers(), FollowFrom::Now), named("b", [2, 5])),
        (start(customers(), FollowFrom::Last(1)), [named("a", [5]), named("b", [2, 5])].concat()),
    ];
    engine.add(exchanges(2, "b", 6));
    wait(async {
        for (number, (follower, expected)) in followers.iter_mut().enumerate() {
            assert_eq!(take(&mut **follower, expected.len()).await, *expected, "follower {number}");
            let more = tokio::time::timeout(Duration::from_millis(1), follower.next()).await;
            assert!(more.is_err(), "follower {number} has more: {more:?}");
        }
    });
}

fn resuming(engine: &dyn Engine) {
    let log = engine.log();
    engine.add(exchanges(1, "a", 5));
    wait(async {
        let mut follower = log.follow(of("a"), FollowFrom::Last(5)).expect("it can be followed");
        assert_eq!(take(&mut *follower, 5).await, named("a", 1..=5));
        let position = follower.position().expect("everything read was yielded");
        let text = position.to_string();
        drop(follower);
        engine.add(exchanges(2, "b", 3));
        let position = text.parse().expect("its own text");
        let mut follower = log.follow(Filter::default(), FollowFrom::Position(position)).expect("it can be followed");
        assert_eq!(take(&mut *follower, 3).await, named("b", 1..=3));
    });
}

fn managing(engine: &dyn Engine) {
    let log = engine.log();
    engine.add(exchanges(1, "a", 2));
    let Some(manage) = log.manage() else { return };
    assert!(manage.current_session().is_none());
    let note = manage.note_session("a", "a note").expect("it can be noted").note;
    assert_eq!(note.as_deref(), Some("a note"));
    assert_eq!(manage.note_session("a", "").expect("it can be noted").note, None);
    manage.declare_session("a", "x = 1").expect("it can be declared");
    assert_eq!(log.session("a").expect("there is one").declaration.as_deref(), Some("x = 1"));
    let long = "x".repeat(MAX_DECLARATION + 1);
    assert!(matches!(manage.declare_session("a", &long), Err(SessionError::Declaration(size)) if size == long.len()));
    for name in ["", " ", "a\nb", &"x".repeat(201)] {
        assert!(matches!(manage.start_session(name), Err(SessionError::Name(_))), "{name:?}");
        assert!(matches!(manage.rename_session("a", name), Err(SessionError::Name(_))), "{name:?}");
    }
    let started = manage.start_session("b").expect("it can be started");
    assert!(started.open && started.current);
    assert_eq!(manage.current_session().map(|session| session.id), Some(started.id));
    assert_eq!(manage.start_session("b").expect("it goes on").id, started.id);
    assert!(matches!(manage.delete_session("b"), Err(SessionError::Recording(_))));
    assert_eq!(manage.rename_session("b", "c").expect("it can be renamed").id, started.id);
    let ended = manage.end_session("c").expect("it can be ended");
    assert!(!ended.open && !ended.current && ended.ended.is_some());
    assert!(manage.current_session().is_none());
    manage.delete_session("a").expect("it can be deleted");
    assert_eq!(query(log, Query::default()), []);
    for gone in [manage.end_session("a"), manage.rename_session("a", "b"), manage.note_session("a", "x")] {
        assert!(matches!(gone, Err(SessionError::NotFound(_))));
    }
    assert!(matches!(manage.delete_session("a"), Err(SessionError::NotFound(_))));
}
