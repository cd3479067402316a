//! Reading ahead gives the same results as reading directly, and no thread or block outlives its reader.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nightaudit_exchange::{Body, Exchange, ExchangeId, Filter, chain};
use nightaudit_log::{Order, Query};
use tempfile::TempDir;

use super::*;
use crate::{
    block::Packer, config::StoreConfig, disk::OsDisk, log::Log, meta::Meta, query::Exchanges, segment::Header,
};

/// Records per block, and blocks per segment.
const RECORDS: u64 = 3;
const BLOCKS: u64 = 4;
/// Large enough that three of them start the thread.
const BODY: usize = 24 << 10;

fn session(number: u32) -> SessionId {
    SessionId::from_parts(1_795_435_200_000, u128::from(number))
}

fn exchange(session: SessionId, sequence: u64, operation: &str) -> Exchange {
    let id = ExchangeId::from_parts(1_795_435_200_000 + sequence, u128::from_be_bytes(session.to_bytes()));
    let mut exchange = nightaudit_log::testing::exchange(1, "a", sequence);
    (exchange.id, exchange.session, exchange.response) = (id, session, None);
    operation.clone_into(&mut exchange.operation);
    exchange.request.body = Body::whole(Bytes::from(vec![sequence as u8; BODY]));
    exchange
}

/// A data folder with sessions of this many segments, recorded at the same time, exchange by exchange, and the
/// locations of each one's blocks. In every third block no operation is `x`.
fn folder(sessions: u32, segments: u32) -> (TempDir, Vec<Vec<BlockKey>>) {
    let dir = tempfile::tempdir().unwrap();
    let keys = (1..=sessions).map(|number| write(dir.path(), session(number), segments)).collect();
    (dir, keys)
}

fn write(dir: &Path, session: SessionId, segments: u32) -> Vec<BlockKey> {
    let folder = meta::folder(dir, session);
    fs::create_dir_all(&folder).unwrap();
    let started = "2026-11-23T12:00:00Z".parse().unwrap();
    Meta { id: session, ..Meta::new(session.to_string(), "demo", started) }.write(&OsDisk, dir).unwrap();
    let (mut keys, mut previous, mut packer) = (Vec::new(), chain::genesis(session), Packer::new(1).unwrap());
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
            keys.push((session, BlockAt { segment, offset: bytes.len() as u64 }));
            packer.pack(Salt::new(session, segment), &raw, &[], RECORDS as u32, first, &mut bytes).unwrap();
        }
        fs::write(segment::path(&folder, segment), bytes).unwrap();
    }
    keys
}

fn file(dir: &Path, (session, at): BlockKey) -> PathBuf {
    segment::path(&meta::folder(dir, session), at.segment)
}

fn damage(dir: &Path, key: BlockKey) {
    let file = fs::OpenOptions::new().write(true).open(file(dir, key)).unwrap();
    file.write_all_at(b"?", key.1.offset + 40).unwrap();
}

type Read = Result<Exchange, String>;

/// A query's results one exchange at a time, so that nothing is ever read ahead.
fn direct(log: &Log, query: &Query) -> Vec<Read> {
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

/// A query's results, and the maximum number of blocks in flight.
fn scan(log: &Log, query: &Query) -> (Vec<Read>, usize) {
    let (mut read, mut most) = (Vec::new(), 0);
    let mut exchanges = log.query(query.clone()).unwrap();
    loop {
        // As the next exchange does before it takes its block: no more are ever in flight.
        exchanges.look_ahead();
        most = most.max(exchanges.fetch.ahead.as_ref().map_or(0, |ahead| ahead.in_flight.len()));
        let Some(next) = exchanges.next() else { return (read, most) };
        read.push(next.map_err(|error| error.to_string()));
    }
}

/// Both orders, all and filtered, whole and between positions within blocks.
fn queries(after: &[Read]) -> Vec<Query> {
    let key = |read: &Read| {
        let Exchange { session, sequence, .. } = read.as_ref().unwrap();
        crate::Position { written: *sequence, session: *session, sequence: *sequence }
    };
    let after = [None, Some(key(&after[after.len() / 3]))];
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
fn a_scan_gives_the_same_results_as_direct_reads_in_order() {
    // With more sessions than cached blocks, each block is read, and requested ahead, several times.
    for (sessions, segments) in [(1, 8), (3, 4), (6, 3)] {
        let (dir, keys) = folder(sessions, segments);
        let log = Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap();
        let all = direct(&log, &Query::default());
        assert_eq!(all.len() as u64, keys.concat().len() as u64 * RECORDS);
        for query in queries(&all) {
            let expected = direct(&log, &query);
            assert!(expected.iter().all(Result::is_ok));
            let (read, most) = scan(&log, &query);
            assert!(read == expected, "{sessions} sessions, {query:?}");
            assert_eq!(most, ReadAhead::MAX_IN_FLIGHT, "{sessions} sessions, {query:?}");
        }
    }
}

#[test]
fn an_error_comes_in_its_position_and_the_scan_continues() {
    for is_owner in [true, false] {
        for sessions in [1, 3] {
            let (dir, keys) = folder(sessions, 8);
            let log = match is_owner {
                true => Log::open(StoreConfig::new(dir.path(), &nightaudit_mews::API)).unwrap(),
                false => Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap(),
            };
            let all = direct(&log, &Query::default());
            // One that is read ahead, one right after it, one further on, and a missing segment.
            let keys = &keys[0];
            for block in [9, 10, 17] {
                damage(dir.path(), keys[block]);
            }
            fs::remove_file(file(dir.path(), keys[6 * BLOCKS as usize])).unwrap();
            let lost = (3 + BLOCKS) * RECORDS;
            for query in queries(&all) {
                let expected = direct(&log, &query);
                let (read, most) = scan(&log, &query);
                assert!(read == expected, "owner: {is_owner}, {sessions} sessions, {query:?}");
                assert!(most <= ReadAhead::MAX_IN_FLIGHT);
                if query.filter == Filter::default() && query.after.is_none() && query.limit.is_none() {
                    assert_eq!(read.iter().filter(|read| read.is_err()).count() as u64, lost);
                    assert_eq!((read.len(), most), (all.len(), ReadAhead::MAX_IN_FLIGHT));
                }
            }
        }
    }
}

/// A scan with blocks in flight.
fn started(log: &Log) -> Exchanges {
    let mut exchanges = log.query(Query::default()).unwrap();
    while exchanges.fetch.ahead.as_ref().is_none_or(|ahead| ahead.in_flight.len() < ReadAhead::MAX_IN_FLIGHT) {
        exchanges.next().unwrap().unwrap();
    }
    exchanges
}

#[test]
fn dropping_an_unfinished_scan_ends_its_thread() {
    let (dir, keys) = folder(1, 8);
    let log = Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap();
    let exchanges = started(&log);
    // A remaining sender does not keep it alive: it ends at the first block that is not taken.
    let requests = exchanges.fetch.ahead.as_ref().unwrap().requests.clone();
    drop(exchanges);
    while requests.send(keys[0][0]).is_ok() {
        thread::yield_now();
    }
}

#[test]
fn a_thread_without_requests_ends_and_unpacks_only_what_was_requested() {
    let (dir, _) = folder(1, 8);
    let log = Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap();
    let mut exchanges = started(&log);
    let ReadAhead { requests, ready, in_flight } = exchanges.fetch.ahead.take().unwrap();
    drop((exchanges, requests));
    // It ends only when the thread does.
    let unpacked: Vec<BlockKey> = ready.iter().map(|(key, _)| key).collect();
    assert_eq!(in_flight, unpacked);
    assert_eq!(unpacked.len(), ReadAhead::MAX_IN_FLIGHT);
}

#[test]
fn taking_a_block_drops_those_requested_before_it() {
    let (dir, keys) = folder(2, 1);
    let [first, second] = [keys[0][0], keys[1][3]];
    let mut ahead = ReadAhead::start(dir.path().to_owned()).unwrap();
    assert!(ahead.is_idle());
    // Nothing unpacked it, so it is not waited for.
    assert!(ahead.take(first).is_none());
    [first, first, second].into_iter().for_each(|key| ahead.request(key));
    assert_eq!(ahead.in_flight, [first, second]);
    assert!(!ahead.is_idle());
    let taken = ahead.take(second).unwrap();
    assert!(ahead.is_idle() && ahead.in_flight.is_empty());
    assert!(ahead.take(first).is_none());
    let read = Blocks::new(dir.path().to_owned()).unwrap().read(second).unwrap();
    assert_eq!((taken.offset, taken.end, &taken.raw), (read.offset, read.end, &read.raw));
    let exchanges =
        |block: &Block| -> Vec<_> { block.records.iter().map(|record| record.exchange(&block.raw).unwrap()).collect() };
    assert_eq!(exchanges(&taken), exchanges(&read));
}

#[test]
fn an_unreadable_block_is_none_and_the_next_one_is_available() {
    let (dir, keys) = folder(1, 2);
    damage(dir.path(), keys[0][1]);
    let mut ahead = ReadAhead::start(dir.path().to_owned()).unwrap();
    let missing = (session(9), keys[0][0].1);
    for (wrong, right) in [(keys[0][1], keys[0][2]), (missing, keys[0][5])] {
        ahead.request(wrong);
        ahead.request(right);
        assert!(ahead.take(wrong).is_none());
        assert_eq!(ahead.take(right).unwrap().offset, right.1.offset);
    }
}

#[test]
fn without_its_thread_nothing_blocks() {
    let at = |offset| (session(1), BlockAt { segment: 1, offset });
    let gone = || (mpsc::channel().0, mpsc::channel().1);
    let (requests, ready) = gone();
    let mut ahead = ReadAhead { requests, ready, in_flight: VecDeque::new() };
    ahead.request(at(64));
    assert!(ahead.is_idle() && ahead.take(at(64)).is_none());
    let (requests, ready) = gone();
    let mut ahead = ReadAhead { requests, ready, in_flight: VecDeque::from([at(64), at(65)]) };
    assert!(ahead.take(at(65)).is_none());
    assert!(ahead.in_flight.is_empty());
}
