//! What is read page by page, from several chains, and decoded by other threads.

use bytes::Bytes;
use nightaudit_exchange::{Body, Exchange, ExchangeId, Filter, Timestamp};
use nightaudit_log::{Order, Query, ReadLog, testing};
use nightaudit_testkit::Postgres;

use crate::support::Place;

/// Exchanges of each of two nodes.
const EACH: u64 = 1_500;

/// Bytes that can't be compressed.
fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// The exchanges of a node, which begin and end between those of the other. Pages of them end by their bytes, and some
/// are larger than what is decoded ahead.
fn exchanges(node: u64) -> Vec<Exchange> {
    let all = testing::exchanges(node, "ci", EACH).into_iter();
    let changed = all.map(|mut exchange| {
        let at = 1_795_435_200_000_000 + (exchange.sequence * 2 + node) * 1_000;
        exchange.started_at = Timestamp::from_micros(at.cast_signed());
        let length = match exchange.sequence {
            700 => 3 << 20,
            number if number % 400 == 7 => 600 << 10,
            number => (number * 37 % 4_000) as usize,
        };
        exchange.request.body = Body::whole(noise(exchange.sequence * 2 + node, length));
        exchange
    });
    changed.collect()
}

#[test]
fn what_two_nodes_shipped_is_read_whole_and_in_order_in_both_directions_from_anywhere() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let nodes = [("a", 1), ("b", 2)].map(|(name, session)| (place.node(name), session, exchanges(session)));
    let mut all: Vec<Exchange> = Vec::new();
    for (node, _, exchanges) in &nodes {
        exchanges.iter().for_each(|exchange| node.log.record(exchange.clone()));
        all.extend(exchanges.iter().cloned());
    }
    for (node, session, _) in &nodes {
        node.shipped(testing::session_id(*session), EACH);
    }
    all.sort_by_key(|exchange| exchange.started_at);
    let ids = |all: &[Exchange]| all.iter().map(|exchange| exchange.id).collect::<Vec<ExchangeId>>();
    let of_node = |number: u64| -> Vec<Exchange> {
        all.iter().filter(|exchange| exchange.session == testing::session_id(number)).cloned().collect()
    };
    let archive = place.archive();
    let filter = |name: &str, value: &str| Filter::from_query([(name, value)], Timestamp::from_micros(0)).unwrap();
    let of_operation: Vec<Exchange> =
        all.iter().filter(|exchange| exchange.operation == "customers/search").cloned().collect();
    for (filter, due) in [
        (Filter::default(), all.clone()),
        (filter("session", "ci"), all.clone()),
        (filter("session", "ci@b"), of_node(2)),
        (filter("operation", "customers/*"), of_operation),
        (filter("contains", "nothing"), Vec::new()),
    ] {
        for order in [Order::Oldest, Order::Newest] {
            let mut due = due.clone();
            if order == Order::Newest {
                due.reverse();
            }
            let query = |after, limit| Query { filter: filter.clone(), order, after, limit };
            let mut read = archive.query(query(None, None)).unwrap();
            let mut found = Vec::new();
            let mut middle = None;
            while let Some(exchange) = read.next() {
                let exchange = exchange.unwrap();
                assert_eq!(exchange.request.body.bytes.len(), due[found.len()].request.body.bytes.len());
                assert!(exchange.request.body.bytes == due[found.len()].request.body.bytes);
                found.push(exchange.id);
                if found.len() == due.len() / 3 {
                    middle = read.last_position();
                }
            }
            assert_eq!(found, ids(&due), "{filter:?} {order:?}");
            // A part from the middle; positions are those of what was taken, not of what was read ahead.
            for limit in [1, 100, 101, 700] {
                let part = archive.query(query(middle, Some(limit))).unwrap();
                let part: Vec<ExchangeId> = part.map(|exchange| exchange.unwrap().id).collect();
                let from = due.len() / 3;
                assert_eq!(part, ids(&due[from..due.len().min(from + limit)]), "{filter:?} {order:?} {limit}");
            }
        }
    }
    // A reader that loses interest leaves nothing behind that others wait for.
    for _ in 0..20 {
        assert!(archive.query(Query::default()).unwrap().next().unwrap().is_ok());
    }
    assert_eq!(archive.query(Query::default()).unwrap().count(), all.len());
}

#[test]
fn a_damaged_record_is_told_at_its_place_among_those_that_are_decoded_ahead() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let node = place.node("a");
    testing::exchanges(1, "ci", 600).into_iter().for_each(|exchange| node.log.record(exchange));
    node.shipped(testing::session_id(1), 600);
    let damage = "UPDATE nightaudit.exchanges SET record = '\\x00000000ff'::bytea WHERE sequence IN (1, 222, 600)";
    postgres.sql(&place.database, damage);
    let read: Vec<_> = place.archive().query(Query::default()).unwrap().collect();
    assert_eq!(read.len(), 600);
    for (exchange, number) in read.into_iter().zip(1..) {
        match exchange {
            Ok(exchange) => assert!(exchange.sequence == number && ![1, 222, 600].contains(&number)),
            Err(error) => {
                assert_eq!(error.exchanges(), Some((testing::session_id(1), number, number)), "{error}");
                assert!([1, 222, 600].contains(&number), "{error}");
            }
        }
    }
}

#[test]
fn regression_an_imported_copy_hid_the_exchange_that_was_recorded() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let node = place.node("a");
    let sessions = [1, 2].map(testing::session_id);
    let all: Vec<Exchange> = testing::exchanges(1, "ci", 3);
    for (session, day) in sessions.into_iter().zip(0..) {
        for exchange in &all {
            let started_at = Timestamp::from_micros(exchange.started_at.micros() + day * 86_400_000_000);
            node.log.record(Exchange { session, started_at, ..exchange.clone() });
        }
        node.shipped(session, 3);
    }
    // Whether the copy comes before what was recorded or after it.
    for (imported, recorded) in [(sessions[1], sessions[0]), (sessions[0], sessions[1])] {
        let id: String = imported.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let mark = format!(
            "UPDATE nightaudit.chains SET state = \
             jsonb_set(state, '{{imported}}', CASE encode(session, 'hex') WHEN '{id}' THEN '{{}}' ELSE 'null' END::jsonb)"
        );
        postgres.sql(&place.database, &mark);
        let archive = place.archive();
        for Exchange { id, .. } in &all {
            assert_eq!(archive.find(&id.to_string()).unwrap().session, recorded);
            assert_eq!(archive.fetcher().fetch(*id).unwrap().unwrap().session, recorded);
            assert_eq!(archive.position(*id).unwrap().unwrap().session, recorded);
        }
    }
}

#[test]
fn an_exchange_that_cant_be_encoded_is_named_and_what_came_before_is_shipped() {
    use nightaudit_exchange::{Direction, Message, Omitted, WebSocket};

    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let node = place.node("a");
    let mut all = testing::exchanges(1, "ci", 3);
    // More than 3 GiB, which share their bytes here.
    let body = Body { bytes: Bytes::from(vec![0; 64 << 20]), ..Body::empty() };
    let message = Message { time: all[1].started_at, direction: Direction::Send, opcode: 2, body };
    all[1].web_socket = Some(WebSocket {
        handshake: all[0].id,
        part: 1,
        messages: vec![message; 49],
        omitted: Omitted::default(),
        unreadable_bytes: 0,
        ended: true,
    });
    node.log.record(all[0].clone());
    node.shipped(testing::session_id(1), 1);
    all[1..].iter().for_each(|exchange| node.log.record(exchange.clone()));
    let failure = node.failure();
    assert!(failure.contains(&format!("exchange {} can't be shipped: it has 3288334", all[1].id)), "{failure}");
    // The node's own log is unharmed.
    assert_eq!(node.log.query(Query::default()).unwrap().count(), 3);
    assert_eq!(place.archive().query(Query::default()).unwrap().count(), 1);
}
