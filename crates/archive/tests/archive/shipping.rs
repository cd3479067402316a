//! Each exchange arrives once and in its order, whatever is killed.

use std::{sync::Arc, time::Duration};

use nightaudit_exchange::{Filter, Missing, Timestamp};
use nightaudit_log::{
    FollowFrom, Followed, Order, Query, ReadLog,
    testing::{MemoryLog, exchange, exchanges, session_id},
};
use nightaudit_testkit::Postgres;

use crate::support::{Node, Place, until, wait};

/// The number of rounds of kills: few by default, and `NIGHTAUDIT_TEST_KILLS` in the long lane of `.ci/run`.
fn rounds() -> u64 {
    std::env::var("NIGHTAUDIT_TEST_KILLS").ok().map_or(3, |kills| kills.parse().unwrap())
}

/// Pseudorandom numbers, the same in every run.
fn scramble(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The sequence numbers of a session, by node, in the archive's order.
fn sequences(log: &dyn ReadLog, session: u64) -> Vec<u64> {
    let filter = Filter { session: Some(session_id(session).to_string()), ..Filter::default() };
    let query = Query { filter, ..Query::default() };
    log.query(query).unwrap().map(|exchange| exchange.unwrap().sequence).collect()
}

#[test]
fn a_killed_postgresql_has_every_exchange_once() {
    let Some(postgres) = Postgres::start() else { return };
    let place = Place::new(&postgres);
    let log = Arc::new(MemoryLog::default());
    let node = Node::start(&place.url("node"), "a", Arc::clone(&log));
    let mut recorded = [0u64; 2];
    for round in 0..rounds() {
        for number in 0..200 + scramble(round) % 600 {
            let which = usize::from(scramble(number).is_multiple_of(3));
            recorded[which] += 1;
            log.record(exchange(which as u64 + 1, ["x", "y"][which], recorded[which]));
        }
        // Not waiting for anything: the instant of the kill is the experiment.
        std::thread::sleep(Duration::from_millis(scramble(round + 1000) % 120));
        postgres.kill();
        postgres.run();
    }
    for (which, count) in recorded.iter().enumerate() {
        node.shipped(session_id(which as u64 + 1), *count);
    }
    let archive = place.archive();
    for (which, count) in recorded.iter().enumerate() {
        assert_eq!(sequences(&archive, which as u64 + 1), (1..=*count).collect::<Vec<_>>());
    }
    let check = archive.check(&mut |_| {}).unwrap();
    assert!(check.is_whole(), "{check:?}");
    assert_eq!(check.exchanges, recorded.iter().sum::<u64>());
}

#[test]
fn what_was_recorded_while_nothing_shipped_is_shipped_at_the_next_start() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    // The same log, as the local one is the same after a restart.
    let log = Arc::new(MemoryLog::default());
    let mut recorded = 0;
    for round in 0..4 {
        for _ in 0..300 {
            recorded += 1;
            log.record(exchange(1, "x", recorded));
        }
        let node = Node::start(&place.url("node"), "a", Arc::clone(&log));
        if round == 3 {
            node.shipped(session_id(1), recorded);
            // Dropping the last one closes the log.
            assert_eq!(sequences(&place.archive(), 1), (1..=recorded).collect::<Vec<_>>());
            return;
        }
        // Abandoned wherever it is.
        std::thread::sleep(Duration::from_millis(scramble(round) % 60));
        node.abandon();
    }
}

#[test]
fn an_exchange_that_the_node_lost_is_named_with_its_node() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let log = Arc::new(MemoryLog::default());
    let mut before = nightaudit_exchange::chain::genesis(session_id(1));
    for mut exchange in exchanges(1, "x", 9) {
        exchange.previous_hash = Some(before);
        exchange.hash = Some(nightaudit_exchange::chain::hash(before, &exchange));
        before = exchange.hash.unwrap();
        // Read from the disk, these two are damaged.
        if ![4, 5].contains(&exchange.sequence) {
            log.record(exchange);
        }
    }
    let node = Node::start(&place.url("node"), "prague", log);
    node.shipped(session_id(1), 9);
    let archive = place.archive();
    let Missing { session_name, ranges, count, .. } = archive.missing().unwrap().remove(0);
    assert_eq!((session_name.as_str(), &ranges[..], count), ("x on prague", &[(4, 5)][..], 2));
    let session = archive.session("x").unwrap();
    assert_eq!((session.exchanges, session.missing, session.incomplete), (7, 2, true));
    let check = archive.check(&mut |_| {}).unwrap();
    assert!(check.damage.is_empty(), "{check:?}");
    assert_eq!(check.missing[0].ranges, [(4, 5)]);
}

#[test]
fn an_edited_or_deleted_record_is_found() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let node = place.node("prague");
    exchanges(1, "x", 9).into_iter().for_each(|exchange| node.log.record(exchange));
    node.shipped(session_id(1), 9);
    // Only the owner can.
    let alter = |sql: &str| drop(postgres.sql(&place.database, sql));
    alter("DELETE FROM nightaudit.exchanges WHERE sequence IN (3, 4)");
    alter(
        "UPDATE nightaudit.exchanges a SET record = b.record, hash = b.hash FROM nightaudit.exchanges b WHERE a.sequence = 7 AND b.sequence = 6",
    );
    alter("UPDATE nightaudit.exchanges SET record = substring(record from 1 for 40) WHERE sequence = 9");
    let archive = place.archive();
    let check = archive.check(&mut |_| {}).unwrap();
    let found: Vec<_> = check.damage.iter().map(ToString::to_string).collect();
    assert!(found.iter().all(|damage| damage.contains("x on prague")), "{found:?}");
    assert!(found.iter().any(|damage| damage.contains("exchanges 3 to 4 are missing")), "{found:?}");
    assert!(found.len() >= 3, "{found:?}");
    let read: Vec<_> = archive.query(Query::default()).unwrap().collect();
    assert_eq!((read.len(), read.iter().filter(|exchange| exchange.is_err()).count()), (7, 1));
}

#[test]
fn a_follower_gets_what_a_node_ships_late_and_a_node_that_joins_later() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let archive = place.archive();
    let first = place.node("a");
    first.log.record(exchange(2, "x", 1));
    first.shipped(session_id(2), 1);
    let of_x = Filter { session: Some("x".to_owned()), ..Filter::default() };
    let mut followers = [Filter::default(), of_x].map(|filter| archive.follow(filter, FollowFrom::Now).unwrap());
    // Its exchanges are older than the first node's.
    let second = place.node("b");
    exchanges(1, "x", 3).into_iter().for_each(|exchange| second.log.record(exchange));
    second.shipped(session_id(1), 3);
    first.log.record(exchange(2, "x", 2));
    first.shipped(session_id(2), 2);
    wait(async {
        for follower in &mut followers {
            let mut seen = Vec::new();
            while seen.len() < 4 {
                let next = tokio::time::timeout(Duration::from_secs(60), follower.next()).await.unwrap();
                let Some(Followed::Exchange(exchange)) = next else { panic!("{next:?}") };
                seen.push((exchange.session, exchange.sequence));
            }
            let [one, two] = [session_id(1), session_id(2)];
            assert_eq!(seen, [(one, 1), (one, 2), (one, 3), (two, 2)]);
        }
    });
    // In the archive they are in the order of their times.
    let newest = archive.query(Query { order: Order::Newest, limit: Some(1), ..Query::default() }).unwrap();
    assert_eq!(newest.last().unwrap().unwrap().session, session_id(2));
}

#[test]
fn retention_drops_whole_weeks_and_nothing_comes_back() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let log = Arc::new(MemoryLog::default());
    let node = Node::start(&place.url("node"), "a", Arc::clone(&log));
    const DAY: Duration = Duration::from_secs(86_400);
    let first = exchange(1, "old", 1).started_at.minus(DAY * 100);
    let mut at = first;
    for sequence in 1..=6 {
        let mut exchange = exchange(1, "old", sequence);
        exchange.started_at = at;
        log.record(exchange);
        at = at.plus(DAY * 7);
    }
    node.shipped(session_id(1), 6);
    let archive = place.archive();
    let generation = archive.seek(&Filter::default(), nightaudit_log::Start::At(0)).unwrap().generation;
    let drop = |before: Timestamp| wait(nightaudit_archive::drop_older_than(&place.owner(), before));
    let nothing = drop(first.minus(DAY)).unwrap();
    assert_eq!((nothing.partitions, nothing.before), (0, None));
    let done = drop(at.minus(DAY * 7 * 3)).unwrap();
    assert_eq!((done.partitions, done.exchanges), (3, 3), "{done:?}");
    assert_eq!(sequences(&archive, 1), [4, 5, 6]);
    let session = archive.session("old").unwrap();
    assert_eq!((session.exchanges, session.missing), (3, 0));
    assert!(archive.check(&mut |_| {}).unwrap().is_whole());
    assert_ne!(archive.seek(&Filter::default(), nightaudit_log::Start::At(0)).unwrap().generation, generation);
    // The node goes on, and ships nothing again.
    node.abandon();
    let mut more = exchange(1, "old", 7);
    more.started_at = at;
    log.record(more);
    let node = Node::start(&place.url("node"), "a", log);
    node.shipped(session_id(1), 7);
    assert_eq!(sequences(&archive, 1), [4, 5, 6, 7]);
    assert_eq!(node.status.state().shipped, 1);
    until(|| archive.session("old").unwrap().exchanges == 4, || "the session has another count".to_owned());
    let all = drop(Timestamp::from_micros(i64::MAX)).unwrap();
    assert_eq!(all.exchanges, 4);
    assert!(archive.sessions().unwrap().is_empty());
    let reader: nightaudit_archive::Address = place.url("reader").parse().unwrap();
    assert!(matches!(wait(nightaudit_archive::drop_older_than(&reader, at)).map(|done| done.partitions), Ok(0)));
}
