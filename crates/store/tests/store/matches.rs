//! Places, counts and values of a filter's matches, against what reading every exchange gives.

use nightaudit_exchange::{Capture, Exchange, Filter, Outcome, Timestamp};
use nightaudit_log::{FacetCounts, Position, ReadLog, Start, Timeline};
use nightaudit_store::{Log, Query};

use crate::support::{capture, config, record_all};

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

fn check(log: &Log, filters: &[Filter]) {
    let all = everything(log);
    for filter in filters {
        let names = |side: Option<&str>| side.map(|name| ReadLog::session(log, name).map(|session| session.id));
        let (session, unwanted) = (names(filter.session.as_deref()), names(filter.except_session()));
        let (Ok(session), Ok(unwanted)) = (session.transpose(), unwanted.transpose()) else {
            assert!(log.seek(filter, Start::At(0)).is_err());
            continue;
        };
        let here = |(position, exchange): &&(Position, Exchange)| {
            session.is_none_or(|session| session == position.session)
                && unwanted != Some(position.session)
                && filter.matches(exchange)
        };
        let matches: Vec<_> = all.iter().filter(here).collect();
        let total = matches.len() as u64;
        let ends = [0, 1, total / 2, total.saturating_sub(1), total, total + 1];
        for number in (0..total).step_by(1 + total as usize / 15).chain(ends) {
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
        let newest = log.seek(filter, Start::Newest(7)).unwrap();
        assert_eq!(newest.from, total.saturating_sub(7));
        for (position, _) in all.iter().filter(|known| !here(known)).step_by(501) {
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
