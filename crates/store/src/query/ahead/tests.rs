//! Who reads with a thread ahead sees what who reads alone does, and no thread or block outlives its reader.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nightaudit_exchange::{Body, Digest, Exchange, ExchangeId, Filter, Request, chain};
use nightaudit_log::{Order, Query};
use tempfile::TempDir;

use super::*;
use crate::{
    block::Packer, config::StoreConfig, disk::OsDisk, log::Log, meta::Meta, query::Exchanges, segment::Header,
};

/// Records of a block, and blocks of a segment.
const RECORDS: u64 = 3;
const BLOCKS: u64 = 4;
/// So large that three of them are worth a thread.
const BODY: usize = 24 << 10;

fn session(number: u32) -> SessionId {
    SessionId::from_parts(1_795_435_200_000, u128::from(number))
}

fn exchange(session: SessionId, sequence: u64, operation: &str) -> Exchange {
    let id = ExchangeId::from_parts(1_795_435_200_000 + sequence, u128::from_be_bytes(session.to_bytes()));
    let json = format!(
        r#"{{"id":"{id}","session":"{session}","sessionName":"a","sequence":{sequence},"environment":"demo",
        "operation":"{operation}","startedAt":"2026-11-23T12:00:00Z","timesUs":{{}},"peer":null,
        "envelope":{{"paginated":false}},
        "request":{{"method":"POST","url":"/","httpVersion":"HTTP/1.1","headers":[],"bodyLength":0,"bodySha256":"{}",
        "truncated":false}},"response":null,"limit":null,"outcome":"failed","error":null}}"#,
        Digest::of(&[])
    );
    let exchange: Exchange = serde_json::from_str(&json).unwrap();
    let body = Body::whole(Bytes::from(vec![sequence as u8; BODY]));
    Exchange { request: Request { body, ..exchange.request.clone() }, ..exchange }
}

/// A data folder with sessions of so many segments, recorded at once, exchange by exchange, and where the blocks of
/// each stand. In every third block no operation is `x`.
fn folder(sessions: u32, segments: u32) -> (TempDir, Vec<Vec<Place>>) {
    let dir = tempfile::tempdir().unwrap();
    let places = (1..=sessions).map(|number| write(dir.path(), session(number), segments)).collect();
    (dir, places)
}

fn write(dir: &Path, session: SessionId, segments: u32) -> Vec<Place> {
    let folder = meta::folder(dir, session);
    fs::create_dir_all(&folder).unwrap();
    let started = "2026-11-23T12:00:00Z".parse().unwrap();
    Meta { id: session, ..Meta::new(session.to_string(), "demo", started) }.write(&OsDisk, dir).unwrap();
    let (mut places, mut previous, mut packer) = (Vec::new(), chain::genesis(session), Packer::new(1).unwrap());
    for segment in 1..=segments {
        let first = u64::from(segment - 1) * BLOCKS * RECORDS + 1;
        let mut bytes = Header { number: segment, session, first, generation: 7 }.to_bytes().to_vec();
        for block in 0..BLOCKS {
            let mut raw = Vec::new();
            let first = first + block * RECORDS;
            let operation = if first / RECORDS % 3 == 2 { "y" } else { "x" };
            for sequence in first..first + RECORDS {
                let unchained = record::encode(&exchange(session, sequence, operation), sequence, &mut raw);
                previous = unchained.chain(previous, &mut raw);
            }
            places.push((session, BlockAt { segment, offset: bytes.len() as u64 }));
            packer.pack(Salt::new(session, segment), &raw, &[], RECORDS as u32, first, &mut bytes).unwrap();
        }
        fs::write(segment::path(&folder, segment), bytes).unwrap();
    }
    places
}

fn file(dir: &Path, (session, at): Place) -> PathBuf {
    segment::path(&meta::folder(dir, session), at.segment)
}

fn damage(dir: &Path, place: Place) {
    let file = fs::OpenOptions::new().write(true).open(file(dir, place)).unwrap();
    file.write_all_at(b"?", place.1.offset + 40).unwrap();
}

type Read = Result<Exchange, String>;

/// What a query gives to who asks for one exchange at a time, so that nothing is ever read ahead.
fn alone(log: &Log, query: &Query) -> Vec<Read> {
    let (mut read, mut query) = (Vec::new(), query.clone());
    let left = query.limit.unwrap_or(usize::MAX);
    while read.iter().filter(|read: &&Read| read.is_ok()).count() < left {
        let mut one = log.query(query.clone()).unwrap();
        let Some(next) = one.next() else { break };
        assert!(one.fetch.ahead.is_none());
        read.push(next.map_err(|error| error.to_string()));
        query.after = one.last_position();
    }
    read
}

/// What a query gives, and the most blocks that were under way at once.
fn scan(log: &Log, query: &Query) -> (Vec<Read>, usize) {
    let (mut read, mut most) = (Vec::new(), 0);
    let mut exchanges = log.query(query.clone()).unwrap();
    loop {
        // As the next exchange does before it takes its block: more are never under way than now.
        exchanges.look_ahead();
        most = most.max(exchanges.fetch.ahead.as_ref().map_or(0, |ahead| ahead.under_way.len()));
        let Some(next) = exchanges.next() else { return (read, most) };
        read.push(next.map_err(|error| error.to_string()));
    }
}

/// Both orders, all and a choice, whole and from within a block to within another.
fn queries(after: &[Read]) -> Vec<Query> {
    let place = |read: &Read| {
        let Exchange { session, sequence, .. } = read.as_ref().unwrap();
        crate::Position { written: *sequence, session: *session, sequence: *sequence }
    };
    let after = [None, Some(place(&after[after.len() / 3]))];
    let mut queries = Vec::new();
    for order in [Order::Oldest, Order::Newest] {
        for operation in [None, Some("x")] {
            for (after, limit) in [(after[0], None), (after[0], Some(41)), (after[1], None)] {
                let operation = operation.map(|operation| operation.parse().unwrap());
                queries.push(Query { filter: Filter { operation, ..Filter::default() }, order, after, limit });
            }
        }
    }
    queries
}

#[test]
fn a_scan_gives_what_reading_alone_does_in_the_same_order() {
    // Of more sessions than blocks are kept, each block is read, and asked for ahead, several times.
    for (sessions, segments) in [(1, 8), (3, 4), (6, 3)] {
        let (dir, places) = folder(sessions, segments);
        let log = Log::open_read_only(dir.path()).unwrap();
        let all = alone(&log, &Query::default());
        assert_eq!(all.len() as u64, places.concat().len() as u64 * RECORDS);
        for query in queries(&all) {
            let expected = alone(&log, &query);
            assert!(expected.iter().all(Result::is_ok));
            let (read, most) = scan(&log, &query);
            assert!(read == expected, "{sessions} sessions, {query:?}");
            assert_eq!(most, Ahead::MOST, "{sessions} sessions, {query:?}");
        }
    }
}

#[test]
fn an_error_comes_in_its_place_and_what_follows_is_read() {
    for is_owner in [true, false] {
        for sessions in [1, 3] {
            let (dir, places) = folder(sessions, 8);
            let log = match is_owner {
                true => Log::open(StoreConfig::new(dir.path())).unwrap(),
                false => Log::open_read_only(dir.path()).unwrap(),
            };
            let all = alone(&log, &Query::default());
            // One that is read ahead, one right after it, one further on, and a segment that is gone.
            let places = &places[0];
            for block in [9, 10, 17] {
                damage(dir.path(), places[block]);
            }
            fs::remove_file(file(dir.path(), places[6 * BLOCKS as usize])).unwrap();
            let lost = (3 + BLOCKS) * RECORDS;
            for query in queries(&all) {
                let expected = alone(&log, &query);
                let (read, most) = scan(&log, &query);
                assert!(read == expected, "owner: {is_owner}, {sessions} sessions, {query:?}");
                assert!(most <= Ahead::MOST);
                if query.filter == Filter::default() && query.after.is_none() && query.limit.is_none() {
                    assert_eq!(read.iter().filter(|read| read.is_err()).count() as u64, lost);
                    assert_eq!((read.len(), most), (all.len(), Ahead::MOST));
                }
            }
        }
    }
}

/// A scan that has blocks under way.
fn begun(log: &Log) -> Exchanges {
    let mut exchanges = log.query(Query::default()).unwrap();
    while exchanges.fetch.ahead.as_ref().is_none_or(|ahead| ahead.under_way.len() < Ahead::MOST) {
        exchanges.next().unwrap().unwrap();
    }
    exchanges
}

#[test]
fn dropping_a_scan_in_the_middle_ends_its_thread() {
    let (dir, places) = folder(1, 8);
    let log = Log::open_read_only(dir.path()).unwrap();
    let exchanges = begun(&log);
    // What could still ask it for blocks does not keep it: it ends at the first one that nobody takes.
    let wanted = exchanges.fetch.ahead.as_ref().unwrap().wanted.clone();
    drop(exchanges);
    while wanted.send(places[0][0]).is_ok() {
        thread::yield_now();
    }
}

#[test]
fn a_thread_that_nobody_asks_any_more_ends_and_has_unpacked_no_more_than_it_was_asked_for() {
    let (dir, _) = folder(1, 8);
    let log = Log::open_read_only(dir.path()).unwrap();
    let mut exchanges = begun(&log);
    let Ahead { wanted, ready, under_way } = exchanges.fetch.ahead.take().unwrap();
    drop((exchanges, wanted));
    // It comes to an end only when the thread does.
    let unpacked: Vec<Place> = ready.iter().map(|(place, _)| place).collect();
    assert_eq!(under_way, unpacked);
    assert_eq!(unpacked.len(), Ahead::MOST);
}

#[test]
fn a_block_taken_is_the_one_asked_for_and_those_before_it_are_let_go() {
    let (dir, places) = folder(2, 1);
    let [first, second] = [places[0][0], places[1][3]];
    let mut ahead = Ahead::start(dir.path().to_owned()).unwrap();
    assert!(ahead.is_idle());
    // Nobody unpacked it, so it is not waited for.
    assert!(ahead.take(first).is_none());
    [first, first, second].into_iter().for_each(|place| ahead.want(place));
    assert_eq!(ahead.under_way, [first, second]);
    assert!(!ahead.is_idle());
    let taken = ahead.take(second).unwrap();
    assert!(ahead.is_idle() && ahead.under_way.is_empty());
    assert!(ahead.take(first).is_none());
    let read = Blocks::new(dir.path().to_owned()).unwrap().read(second).unwrap();
    assert_eq!((taken.offset, taken.end, &taken.raw), (read.offset, read.end, &read.raw));
    let exchanges =
        |block: &Block| -> Vec<_> { block.records.iter().map(|record| record.exchange(&block.raw).unwrap()).collect() };
    assert_eq!(exchanges(&taken), exchanges(&read));
}

#[test]
fn a_block_that_cannot_be_read_ahead_is_none_and_the_next_one_is_there() {
    let (dir, places) = folder(1, 2);
    damage(dir.path(), places[0][1]);
    let mut ahead = Ahead::start(dir.path().to_owned()).unwrap();
    let missing = (session(9), places[0][0].1);
    for (wrong, right) in [(places[0][1], places[0][2]), (missing, places[0][5])] {
        ahead.want(wrong);
        ahead.want(right);
        assert!(ahead.take(wrong).is_none());
        assert_eq!(ahead.take(right).unwrap().offset, right.1.offset);
    }
}

#[test]
fn without_its_thread_nothing_is_waited_for() {
    let at = |offset| (session(1), BlockAt { segment: 1, offset });
    let gone = || (mpsc::channel().0, mpsc::channel().1);
    let (wanted, ready) = gone();
    let mut ahead = Ahead { wanted, ready, under_way: VecDeque::new() };
    ahead.want(at(64));
    assert!(ahead.is_idle() && ahead.take(at(64)).is_none());
    let (wanted, ready) = gone();
    let mut ahead = Ahead { wanted, ready, under_way: VecDeque::from([at(64), at(65)]) };
    assert!(ahead.take(at(65)).is_none());
    assert!(ahead.under_way.is_empty());
}
