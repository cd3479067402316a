//! Checking, compacting, deleting, importing.

use std::fs;

use nightaudit_exchange::{Exchange, Filter, Timestamp};
use nightaudit_store::{Config, ImportError, Log, Query};

use crate::{
    disks::segments,
    support::{capture, config, record, record_all},
};

fn all(log: &Log) -> Vec<Exchange> {
    log.query(Query::default()).unwrap().map(Result::unwrap).collect()
}

#[test]
fn compacting_makes_large_blocks_and_changes_no_exchange() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(Config { segment_size: 20_000, ..config(dir.path()) }).unwrap();
    for number in 0..200 {
        record(&log, number..number + 1);
    }
    log.end_session("certification").unwrap();
    record(&log, 500..510);
    let before = all(&log);
    let info = log.info();
    let compacted = log.compact(&mut |_| {}).unwrap();
    assert!(compacted.segments > 1 && compacted.after * 2 < compacted.before, "{compacted:?}");
    assert_eq!(log.info().segment_bytes, info.segment_bytes - compacted.before + compacted.after);
    assert_eq!(all(&log), before);
    assert_eq!(log.compact(&mut |_| {}).unwrap().segments, 0);
    record(&log, 510..520);
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    assert_eq!(log.opened().rebuilt, None);
    assert_eq!(all(&log)[..210], before);
    let check = log.check(&mut |_| {}).unwrap();
    assert_eq!((check.exchanges, check.index_faults, check.damage), (220, 0, vec![]));
}

#[test]
fn a_check_names_the_place_of_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    for round in 0..10 {
        record(&log, round * 10..round * 10 + 10);
    }
    log.close();
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let check = log.check(&mut |_| {}).unwrap();
    // Gone is the block, which has what came together: one exchange at least, and two rounds at most.
    let missing: u64 = check.missing.iter().map(|missing| missing.count).sum();
    assert!((1..=20).contains(&missing) && check.exchanges + missing == 100, "{check:?}");
    assert_eq!(check.damage.len(), 2, "{check:?}");
    assert!(check.damage[1].what.ends_with("are missing"), "{check:?}");
    let damage = check.damage[0].to_string();
    assert!(damage.starts_with("sessions/") && damage.contains("000001.seg is damaged at byte "), "{damage}");
    assert!((check.damage[0].offset as usize) < middle);
}

#[test]
fn an_export_is_imported_with_the_same_hashes() {
    let tempdir = tempfile::tempdir().unwrap();
    let log = Log::open(config(&tempdir.path().join("one"))).unwrap();
    record(&log, 0..700);
    record_all(&log, [nightaudit_exchange::Capture { session: Some("other".into()), ..capture(29) }]);
    let before = all(&log);
    let lines: Vec<String> = before.iter().map(|exchange| serde_json::to_string(exchange).unwrap()).collect();
    let text = lines.join("\n");
    let unnamed = |dir: &str| Config { session: None, ..config(&tempdir.path().join(dir)) };
    let other = Log::open(unnamed("two")).unwrap();
    let imported = other.import(&mut text.as_bytes()).unwrap();
    assert_eq!((imported.exchanges, imported.rehashed, imported.sessions.len()), (701, 0, 2));
    let mut after = all(&other);
    after.sort_by_key(|exchange| (exchange.session, exchange.sequence));
    let mut due = before;
    due.sort_by_key(|exchange| (exchange.session, exchange.sequence));
    assert_eq!(after, due);
    assert!(other.sessions().iter().all(|session| !session.open && !session.incomplete), "{:#?}", other.sessions());
    assert_eq!(other.check(&mut |_| {}).unwrap().damage, []);
    assert!(matches!(other.import(&mut text.as_bytes()), Err(ImportError::Present(_))));

    let third = Log::open(unnamed("three")).unwrap();
    let broken = format!("{}\n\nnonsense\n", lines[0]);
    assert!(matches!(third.import(&mut broken.as_bytes()), Err(ImportError::Line { line: 3, .. })));
    assert_eq!(third.sessions(), []);
    let edited = lines[0].replace("guest", "giest") + "\n" + &lines[5];
    assert_eq!(third.import(&mut edited.as_bytes()).unwrap().rehashed, 2);
    assert!(third.sessions()[0].incomplete);
    assert_eq!(third.check(&mut |_| {}).unwrap().damage, []);
}

#[test]
fn a_quota_deletes_whole_ended_sessions_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let now = || Timestamp::from_micros(1_795_435_200_000_000);
    let log = Log::open(config(dir.path())).unwrap();
    for round in 0..5 {
        log.start_session(&format!("run {round}")).unwrap();
        record(&log, round * 300..round * 300 + 300);
        if round < 3 {
            log.end_session(&format!("run {round}")).unwrap();
        }
    }
    let bytes = log.info().segment_bytes;
    assert_eq!(log.delete_older_than(now()).unwrap().sessions, []);
    drop(log);
    let log = Log::open(Config { max_size: Some(bytes * 3 / 4), ..config(dir.path()) }).unwrap();
    log.start_session("more").unwrap();
    let names: Vec<_> = log.sessions().into_iter().map(|session| session.name).collect();
    assert!(names.contains(&"run 3".to_owned()) && names.contains(&"run 4".to_owned()), "{names:?}");
    // The last two ran on, the configured one and "more" are new, and one of the ended ones fits in.
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(log.delete_older_than(Timestamp::from_micros(i64::MAX)).unwrap().exchanges, 300);
    assert_eq!(log.count(&Filter::default()).unwrap(), 600);
    drop(log);
    let later = || Timestamp::from_micros(1_895_435_200_000_000);
    let day = std::time::Duration::from_secs(86_400);
    let log = Log::open(Config { max_age: Some(day), now: later, ..config(dir.path()) }).unwrap();
    log.end_session("run 3").unwrap();
    assert_eq!(log.session("run 3").unwrap().exchanges, 300);
}

/// `cargo test -p nightaudit-store -- --ignored keep_a_log` writes what the next test reads; done once per format.
#[test]
#[ignore = "writes into the source tree"]
fn keep_a_log() {
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(Config { segment_size: 4000, ..config(dir.path()) }).unwrap();
    for round in 0..8 {
        record(&log, round * 5..round * 5 + 5);
    }
    let hash = all(&log)[39].hash.unwrap();
    log.end_session("certification").unwrap();
    log.close();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    crate::disks::copy(dir.path(), &kept.join("log-1"));
    fs::write(kept.join("log-1.hash"), format!("{hash}\n")).unwrap();
}

#[test]
fn a_log_of_this_version_opens_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/log-1");
    crate::disks::copy(&kept, dir.path());
    let log = Log::open(config(dir.path())).unwrap();
    let exchanges = all(&log);
    assert_eq!(exchanges.len(), 40);
    assert_eq!(exchanges[39].hash.unwrap().to_string(), include_str!("../data/log-1.hash").trim());
    let check = log.check(&mut |_| {}).unwrap();
    assert_eq!((check.exchanges, check.damage), (40, vec![]));
}
