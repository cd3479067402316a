//! Any byte of any file may be wrong: never a panic, never a wrong exchange, and the rest stays readable.

use std::{collections::BTreeMap, fs};

use nightaudit_exchange::{Digest, ExchangeId};
use nightaudit_store::{Log, Query};
use proptest::prelude::*;

use crate::{
    disks::{copy, segments},
    support::{capture, config, record, record_all, started, wait},
};

#[derive(Debug, Clone)]
enum Harm {
    Flip,
    Zero(usize),
    Cut,
    Remove(usize),
    Repeat(usize),
}

fn harm(bytes: &mut Vec<u8>, offset: usize, harm: &Harm) {
    if bytes.is_empty() {
        return;
    }
    let at = offset % bytes.len();
    let end = |length: usize| (at + length).min(bytes.len());
    match harm {
        Harm::Flip => bytes[at] ^= 1 << (offset % 8),
        Harm::Zero(length) => {
            let end = end(*length);
            bytes[at..end].fill(0);
        }
        Harm::Cut => bytes.truncate(at),
        Harm::Remove(length) => drop(bytes.drain(at..end(*length))),
        Harm::Repeat(length) => {
            let piece = bytes[at..end(*length)].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

fn harms() -> impl Strategy<Value = Harm> {
    prop_oneof![
        Just(Harm::Flip),
        (1..600_usize).prop_map(Harm::Zero),
        Just(Harm::Cut),
        (1..600_usize).prop_map(Harm::Remove),
        (1..6000_usize).prop_map(Harm::Repeat),
    ]
}

#[test]
fn damage_is_survived_reported_and_contained() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(nightaudit_store::StoreConfig { segment_size: 4000, ..config(&data) }).unwrap();
    for round in 0..12 {
        record(&log, round * 5..round * 5 + 5);
        let other = |number| nightaudit_exchange::Capture { session: Some("other".into()), ..capture(number) };
        record_all(&log, (1000 + round * 2..1002 + round * 2).map(other));
    }
    log.end_session("other").unwrap();
    let mut permit = wait(log.recorder().reserve()).unwrap();
    permit.begin(&started(500)).unwrap();
    let truth: BTreeMap<ExchangeId, Digest> =
        log.query(Query::default()).unwrap().map(Result::unwrap).map(|e| (e.id, e.hash.unwrap())).collect();
    assert_eq!(truth.len(), 84);
    let original = dir.path().join("original");
    copy(&data, &original);
    let files = segments(&original);
    assert!(files.len() > 3, "{files:?}");

    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    let strategy = (0..files.len() + 3, any::<usize>(), harms(), any::<bool>());
    runner
        .run(&strategy, |(file, offset, what, with_index)| {
            let copied = dir.path().join("copied");
            let _ = fs::remove_dir_all(&copied);
            copy(&original, &copied);
            let others = [copied.join("index/db"), copied.join("journal"), files[0].with_file_name("session.json")];
            let path = files.get(file).cloned().unwrap_or_else(|| others[file - files.len()].clone());
            let path = copied.join(path.strip_prefix(&original).unwrap_or(&path));
            let mut bytes = fs::read(&path).unwrap();
            harm(&mut bytes, offset, &what);
            fs::write(&path, bytes).unwrap();
            if !with_index {
                fs::remove_dir_all(copied.join("index")).unwrap();
            }
            let log = Log::open(config(&copied)).unwrap();
            let mut right = 0;
            let mut unreadable = 0;
            for exchange in log.query(Query::default()).unwrap() {
                match exchange {
                    Ok(exchange) if exchange.outcome == nightaudit_exchange::Outcome::Interrupted => {}
                    Ok(exchange) => {
                        prop_assert_eq!(Some(&exchange.hash.unwrap()), truth.get(&exchange.id));
                        right += 1;
                    }
                    Err(_) => unreadable += 1,
                }
            }
            let check = log.check(&mut |_| {}).unwrap();
            let torn = log.opened().torn_bytes;
            // Losses are reported: by the check, as truncated, or as unreadable.
            prop_assert!(
                right == truth.len()
                    || unreadable > 0
                    || torn > 0
                    || !check.damage.is_empty()
                    || matches!(what, Harm::Cut),
                "{right} of {}",
                truth.len()
            );
            // One spot is damaged, so at most one block or the truncated rest of one segment is gone.
            if !matches!(what, Harm::Cut) {
                prop_assert!(right >= truth.len() - 40, "{right} of {}", truth.len());
            }
            record(&log, 7000..7003);
            Ok(())
        })
        .unwrap();
}

#[test]
fn damaged_rows_of_the_index_are_made_anew() {
    const ROUNDS: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    for round in 0..ROUNDS {
        record(&log, round * 512..(round + 1) * 512);
    }
    let session = log.sessions()[0].id;
    drop(log);
    let rows = data.join("index/rows").join(session.to_string());
    let summaries = rows.with_extension("summaries");
    let count = || Log::open_read_only(&data, &nightaudit_mews::API).unwrap().opened().exchanges;
    for path in [&rows, &summaries] {
        let whole = fs::read(path).unwrap();
        let cut = whole[..whole.len() - 1].to_vec();
        let flipped = [&cut[..], &[whole[whole.len() - 1] ^ 1]].concat();
        // What a power failure leaves of a write.
        let zeros = [&whole[..whole.len() - 100], &[0; 100]].concat();
        for (number, harmed) in [cut, Vec::new(), flipped, zeros].iter().enumerate() {
            assert_eq!(fs::read(path).unwrap().len(), whole.len(), "{number}");
            fs::write(path, harmed).unwrap();
            let log = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
            assert!(log.opened().rebuilt.as_ref().unwrap().contains("does not match the index"), "{number}");
            assert_eq!(count(), ROUNDS * 512, "{number}");
            let log = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
            assert!(log.opened().rebuilt.is_none(), "{number}: it is rebuilt only once");
            assert_eq!(
                log.query(Query::default()).unwrap().filter_map(Result::ok).count(),
                ROUNDS as usize * 512,
                "{number}"
            );
        }
    }
    // What is damaged further up is noticed when it is read, and made anew when the log is opened next.
    let mut bytes = fs::read(&rows).unwrap();
    assert!(bytes.len() > (1 << 20) + (64 << 10), "the first chunk is checked when the log is opened: {}", bytes.len());
    bytes[10] ^= 1;
    fs::write(&rows, bytes).unwrap();
    let log = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
    assert!(log.opened().rebuilt.is_none());
    let failed = log.query(Query::default()).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(failed.contains("checksum"), "{failed}");
    let log = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
    assert!(log.opened().rebuilt.as_ref().unwrap().contains("does not match the index"));
    assert_eq!(log.query(Query::default()).unwrap().filter_map(Result::ok).count(), ROUNDS as usize * 512);
}
