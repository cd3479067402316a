//! Places, counts and values of a filter's matches, against what reading every exchange gives.

use nightaudit_exchange::{Capture, Exchange, Filter, Outcome, Timestamp};
use nightaudit_log::{FacetCounts, Order, Position, ReadLog, Start, Timeline};
use nightaudit_store::{Log, Query};

use crate::support::{capture, config, id, record_all};

fn filter(pairs: &[(&str, &str)]) -> Filter {
    Filter::from_query(pairs.iter().copied(), Timestamp::from_micros(0)).unwrap()
}

/// Exchanges of two sessions, recorded alternately, `each` at a time.
fn record_alternately(log: &Log, numbers: std::ops::Range<u64>, each: u64) {
    let of = |number: u64| Capture {
        session: Some(["one", "two"][(number / each) as usize % 2].into()),
        outcome: if number.is_multiple_of(41) { Outcome::Refused } else { Outcome::Answered },
        ..capture(number)
    };
    for start in numbers.clone().step_by(each as usize) {
        record_all(log, (start..numbers.end.min(start + each)).map(of));
    }
}

/// Every exchange with its position, in order.
fn everything(log: &Log) -> Vec<(Position, Exchange)> {
    let mut exchanges = log.query(Query::default()).unwrap();
    let mut all = Vec::new();
    while let Some(exchange) = exchanges.next() {
        all.push((exchanges.last_position().unwrap(), exchange.unwrap()));
    }
    all
}

/// Those of the exchanges that match; `None` if the log hasn't a session that the filter names.
fn matching<'a>(log: &Log, all: &'a [(Position, Exchange)], filter: &Filter) -> Option<Vec<&'a (Position, Exchange)>> {
    let names = |side: Option<&str>| side.map(|name| ReadLog::session(log, name).map(|session| session.id));
    let session = names(filter.session.as_deref()).transpose().ok()?;
    let unwanted = names(filter.except_session()).transpose().ok()?;
    let here = |(position, exchange): &&(Position, Exchange)| {
        session.is_none_or(|session| session == position.session)
            && unwanted != Some(position.session)
            && filter.matches(exchange)
    };
    Some(all.iter().filter(here).collect())
}

/// Checks the places of about so many matches of a filter.
fn check_places(log: &Log, filter: &Filter, matches: &[&(Position, Exchange)], places: usize) {
    let total = matches.len() as u64;
    let ends = [0, 1, total / 2, total.saturating_sub(1), total, total + 1];
    for number in (0..total).step_by(1 + total as usize / places).chain(ends) {
        let place = log.seek(filter, Start::At(number)).unwrap();
        assert_eq!((place.total, place.from), (total, number.min(total)), "{filter:?} {number}");
        let query = Query { filter: filter.clone(), after: place.after, limit: Some(2), ..Query::default() };
        let found: Vec<_> = log.query(query).unwrap().map(|exchange| exchange.unwrap().id).collect();
        let expected = matches.iter().skip(place.from as usize).take(2);
        assert_eq!(found, expected.map(|(_, exchange)| exchange.id).collect::<Vec<_>>(), "{filter:?} {number}");
        if let Some((position, _)) = matches.get(number as usize) {
            assert_eq!(log.rank(filter, *position).unwrap(), Some(number), "{filter:?} {number}");
        }
    }
    assert_eq!(log.seek(filter, Start::Newest(7)).unwrap().from, total.saturating_sub(7));
}

fn check(log: &Log, filters: &[Filter]) {
    let all = everything(log);
    for filter in filters {
        let Some(matches) = matching(log, &all, filter) else {
            assert!(log.seek(filter, Start::At(0)).is_err());
            continue;
        };
        check_places(log, filter, &matches, 15);
        let is_match =
            |(position, _): &&(Position, Exchange)| matches.binary_search_by_key(position, |hit| hit.0).is_ok();
        let others = all.iter().filter(|known| !is_match(known));
        for (position, _) in others.step_by(501) {
            assert_eq!(log.rank(filter, *position).unwrap(), None, "{filter:?}");
        }
        let (mut timeline, mut values) = (Timeline::default(), FacetCounts::default());
        matches.iter().for_each(|(_, exchange)| {
            timeline.add(exchange);
            values.add(exchange);
        });
        for buckets in [1, 10, 600] {
            let expected = timeline.histogram(filter.since, filter.until, buckets);
            assert_eq!(log.histogram(filter, buckets).unwrap(), expected, "{filter:?}");
        }
        assert_eq!(log.facets(filter).unwrap(), values.facets(), "{filter:?}");
    }
}

#[test]
fn what_the_index_answers_is_what_the_exchanges_say() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let noon = 1_795_435_200_000_000;
    let (since, until) = (Timestamp::from_micros(noon + 1_000_000), Timestamp::from_micros(noon + 2_500_000));
    let (since, until) = (since.to_string(), until.to_string());
    let filters = [
        filter(&[]),
        filter(&[("session", "one")]),
        filter(&[("session!", "one")]),
        filter(&[("operation", "customers/*")]),
        filter(&[("status", "400"), ("session", "two")]),
        filter(&[("outcome", "refused")]),
        filter(&[("since", &since), ("until", &until)]),
        filter(&[("request-id", "REQ-1234")]),
        filter(&[("request-id!", "req-1234"), ("client", "Kiosk 2")]),
        filter(&[("slower-than", "83ms")]),
        filter(&[("status", "404")]),
        filter(&[("slower-than!", "83ms"), ("operation!", "customers/*"), ("since", &since)]),
        filter(&[("client!", "Kiosk 2"), ("status!", "400"), ("slower-than", "82ms")]),
    ];
    check(&log, &filters);
    // Two sessions that take turns, in blocks and exchange by exchange; more than is worth keeping, then a little more.
    record_alternately(&log, 0..1500, 100);
    check(&log, &filters);
    record_alternately(&log, 1500..1560, 1);
    record_alternately(&log, 1560..5200, 260);
    check(&log, &filters);
    record_alternately(&log, 5200..5210, 5);
    check(&log, &filters);
    // In the index of another process, full chunks are stored, and unfinished ones, too.
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    check(&log, &filters);
    record_alternately(&log, 5210..5300, 3);
    check(&log, &filters);
    // What was kept is of no use once a session is gone.
    let generation = log.generation();
    log.end_session("one").unwrap();
    log.delete_session("one").unwrap();
    assert_ne!(log.generation(), generation);
    check(&log, &filters);
    drop(log);
    // A reader has a copy of the index, or makes one.
    check(&Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap(), &filters[2..]);
}

#[test]
fn after_the_last_match_there_is_nothing_to_search() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let [none, all] = [filter(&[("status", "404")]), filter(&[])];
    assert_eq!(log.seek(&none, Start::At(0)).unwrap().after, None);
    for numbers in [0..10, 10..1500] {
        record_alternately(&log, numbers, 100);
        let end = everything(&log).last().map(|(position, _)| *position);
        for (filter, start) in [(&none, Start::At(0)), (&none, Start::Newest(100)), (&all, Start::Newest(0))] {
            assert_eq!(log.seek(filter, start).unwrap().after, end, "{filter:?}");
        }
    }
}

#[test]
fn what_groups_of_chunks_count_is_what_the_exchanges_say() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    let noon = 1_795_435_200_000_000;
    let (since, until) = (Timestamp::from_micros(noon + 1_000_000), Timestamp::from_micros(noon + 14_000_000));
    let (since, until) = (since.to_string(), until.to_string());
    let filters = [
        filter(&[("operation", "customers/*")]),
        filter(&[("status", "400"), ("session", "one")]),
        filter(&[("client!", "Kiosk 2"), ("since", &since), ("until", &until)]),
        filter(&[("outcome", "refused"), ("slower-than", "82ms")]),
    ];
    // Two groups and a few more, within the second of which another session is recorded.
    record_alternately(&log, 0..9000, 9000);
    record_alternately(&log, 9000..9600, 100);
    record_alternately(&log, 0..8000, 8000);
    let all = everything(&log);
    let check = |log: &Log, filters: &[Filter]| {
        filters.iter().for_each(|filter| check_places(log, filter, &matching(log, &all, filter).unwrap(), 2));
    };
    check(&log, &filters);
    drop(log);
    let rows = |end: &str| {
        let files = std::fs::read_dir(dir.path().join("index/rows")).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.to_string_lossy().ends_with(end)).collect::<Vec<_>>()
    };
    let [groups] = &rows(".groups")[..] else { panic!("one session has groups") };
    let whole = std::fs::read(groups).unwrap();
    // Without some or all of them, and with some that were made of other rows.
    let broken = [&whole[..whole.len() / 2], &whole[..], &whole[3..], b""];
    let twice = [&whole[..], &whole[..]].concat();
    for groups_now in broken.into_iter().chain([&twice[..]]) {
        std::fs::write(groups, groups_now).unwrap();
        let log = Log::open(config(dir.path())).unwrap();
        check(&log, &filters[..1]);
    }
    std::fs::remove_file(groups).unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    check(&log, &filters[..1]);
    log.end_session("one").unwrap();
    log.delete_session("one").unwrap();
    assert_eq!(rows(".groups").len(), 0);
}

#[test]
fn a_long_session_is_the_same_after_the_log_was_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    // The texts of a chunk are bounded, so that these have a few exchanges each, and the session hundreds of them.
    let kiosk = |number: u64| format!("Kiosk {number:04} {}", "x".repeat(6000));
    let long = |number: u64| {
        let mut capture = capture(number);
        capture.session = Some(if number % 700 == 699 { "two" } else { "one" }.into());
        capture.envelope.client = Some(kiosk(number).into());
        capture
    };
    (0..3500).step_by(700).for_each(|start| record_all(&log, (start..start + 700).map(long)));
    let newest = |log: &Log| -> Vec<_> {
        let query = Query { order: Order::Newest, ..Query::default() };
        log.query(query).unwrap().map(|exchange| exchange.unwrap()).collect()
    };
    let sessions = |log: &Log| {
        let sessions = log.sessions().into_iter();
        sessions.map(|session| (session.name, session.exchanges, session.first, session.last)).collect::<Vec<_>>()
    };
    let (all, sessions_before) = (everything(&log), sessions(&log));
    let backwards: Vec<Exchange> = all.iter().rev().map(|(_, exchange)| exchange.clone()).collect();
    assert!(all.len() == 3500 && newest(&log) == backwards);
    drop(log);
    let summaries = std::fs::read_dir(dir.path().join("index/rows")).unwrap().map(|file| file.unwrap());
    let summaries = summaries.filter(|file| file.file_name().to_string_lossy().ends_with(".summaries"));
    assert!(summaries.map(|file| file.metadata().unwrap().len()).max() > Some(300 * 100), "the chunks are few");

    let noon = 1_795_435_200_000_000;
    let since = Timestamp::from_micros(noon + 1_000_000).to_string();
    let filters = [
        filter(&[("operation", "customers/*")]),
        filter(&[("status", "400"), ("session", "one")]),
        filter(&[("status", "418")]),
        filter(&[("client", "Kiosk 0005*")]),
        filter(&[("since", &since), ("slower-than", "82ms")]),
    ];
    let same = |log: &Log, first: usize| {
        // In another order each time: some commands read all of the index, and what they have read stays.
        let mut checks: [&dyn Fn(); 5] = [
            &|| assert!(newest(log) == backwards),
            &|| assert!(everything(log) == all),
            &|| assert_eq!(sessions(log), sessions_before),
            &|| {
                for number in [3000, 3499, 0, 2345, 699] {
                    let found = log.get(id(number)).unwrap();
                    assert_eq!(found.map(|found| found.envelope.client), Some(Some(kiosk(number))), "{number}");
                }
                assert!(log.missing().is_empty());
            },
            &|| filters.iter().for_each(|filter| check_places(log, filter, &matching(log, &all, filter).unwrap(), 3)),
        ];
        checks.rotate_left(first);
        checks.iter().for_each(|check| check());
    };
    for first in 0..5 {
        let log = if first % 2 == 0 {
            Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap()
        } else {
            Log::open(config(dir.path())).unwrap()
        };
        same(&log, first);
    }
    // It goes on, and is kept, whatever of it was read.
    let log = Log::open(config(dir.path())).unwrap();
    record_all(&log, (3500..3600).map(long));
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    let now = everything(&log);
    assert!(now[..3500] == all && now.len() == 3600);
    filters.iter().for_each(|filter| check_places(&log, filter, &matching(&log, &now, filter).unwrap(), 3));
    log.end_session("one").unwrap();
    log.delete_session("one").unwrap();
    assert_eq!(everything(&log).len(), 5);
}
