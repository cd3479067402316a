//! Check, compaction, deletion and import.

use std::{fs, sync::Arc};

use nightaudit_exchange::{Body, Exchange, Filter, Header, SessionId, Timestamp};
use nightaudit_log::ReadLog as _;
use nightaudit_store::{ImportError, Keeper, Log, Query, StoreConfig};

use crate::{
    disks::{TestDisk, blocks, segments},
    support::{ACCESS, capture, config, ndjson, record, record_all},
};

fn all(log: &Log) -> Vec<Exchange> {
    log.query(Query::default()).unwrap().map(Result::unwrap).collect()
}

#[test]
fn compaction_merges_blocks_and_changes_no_exchange() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreConfig { segment_size: 20_000, ..config(dir.path()) }).unwrap();
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

/// Two ended sessions of several segments with small blocks.
fn log_of_small_blocks(config: StoreConfig) -> Log {
    let log = Log::open(StoreConfig { segment_size: 20_000, ..config }).unwrap();
    for name in ["certification", "other"] {
        log.start_session(name).unwrap();
        (0..100).for_each(|number| record(&log, number..number + 1));
    }
    log.start_session("current").unwrap();
    ["certification", "other"].iter().for_each(|name| drop(log.end_session(name).unwrap()));
    log
}

fn files(folder: &std::path::Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

#[test]
fn regression_a_compaction_that_failed_left_its_files_on_the_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let log = log_of_small_blocks(StoreConfig { disk: Arc::new(disk.clone()), ..config(dir.path()) });
    let folder = dir.path().join("sessions").join(log.session("certification").unwrap().id.to_string());
    let before = all(&log);
    log.compact(&mut |_| disk.fail(Some(28))).unwrap_err();
    assert_eq!(files(&folder, "new"), Vec::<std::path::PathBuf>::new());
    disk.fail(None);
    assert_eq!(all(&log), before);
    assert!(log.compact(&mut |_| {}).unwrap().segments > 2);
    assert_eq!(all(&log), before);
}

#[test]
fn regression_a_running_log_could_not_read_a_session_of_which_a_part_was_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of_small_blocks(config(dir.path()));
    let folder = dir.path().join("sessions").join(log.session("certification").unwrap().id.to_string());
    let before = all(&log);
    // The last one can't be renamed.
    let many = files(&folder, "seg").len();
    let failed = log.compact(&mut |_| {
        let new = files(&folder, "new");
        new.get(many - 1).into_iter().for_each(|last| fs::remove_file(last).unwrap());
    });
    failed.unwrap_err();
    assert_eq!(all(&log), before);
    assert_eq!(log.check(&mut |_| {}).unwrap().index_faults, 0);
}

#[test]
fn regression_a_session_deleted_while_it_was_checked_or_compacted_failed_the_rest() {
    for compacts in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let log = log_of_small_blocks(config(dir.path()));
        let mut deleted = None;
        let mut delete = |_| {
            deleted.get_or_insert_with(|| log.delete_session("certification").unwrap());
        };
        if compacts {
            assert!(log.compact(&mut delete).unwrap().segments > 1);
        } else {
            let check = log.check(&mut delete).unwrap();
            assert!(check.is_whole(), "{check:?}");
            assert_eq!((check.sessions, check.exchanges), (2, 100));
        }
        assert_eq!(all(&log).len(), 100);
    }
}

#[test]
fn a_check_reports_where_the_damage_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    for round in 0..10 {
        record(&log, round * 10..round * 10 + 10);
    }
    log.close();
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    // The middle block is lost, with however many exchanges happened to share it.
    let block = blocks(&bytes).into_iter().find(|block| block.bytes.end > bytes.len() / 2).unwrap();
    let middle = block.bytes.start + 28;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let check = log.check(&mut |_| {}).unwrap();
    let missing = (block.last - block.first + 1, vec![(block.first, block.last)]);
    assert_eq!((check.missing[0].count, check.missing[0].ranges.clone()), missing, "{check:?}");
    assert_eq!((check.missing.len(), check.exchanges), (1, 100 - missing.0), "{check:?}");
    assert_eq!(check.damage.len(), 2, "{check:?}");
    assert!(check.damage[1].what.ends_with("are missing"), "{check:?}");
    let damage = check.damage[0].to_string();
    assert!(damage.starts_with("sessions/") && damage.contains("000001.seg is damaged at byte "), "{damage}");
    assert_eq!(check.damage[0].offset as usize, block.bytes.start);
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
    let unnamed = |dir: &str| StoreConfig { session: None, ..config(&tempdir.path().join(dir)) };
    let other = Log::open(unnamed("two")).unwrap();
    let imported = other.import(ndjson(text.as_bytes())).unwrap();
    assert_eq!((imported.exchanges, imported.rehashed, imported.sessions.len()), (701, 0, 2));
    assert_eq!(other.status().recorded, 0, "imported, not recorded");
    let mut after = all(&other);
    after.sort_by_key(|exchange| (exchange.session, exchange.sequence));
    let mut due = before;
    due.sort_by_key(|exchange| (exchange.session, exchange.sequence));
    assert_eq!(after, due);
    assert!(other.sessions().iter().all(|session| !session.open && !session.incomplete), "{:#?}", other.sessions());
    assert_eq!(other.check(&mut |_| {}).unwrap().damage, []);
    assert!(matches!(other.import(ndjson(text.as_bytes())), Err(ImportError::Present(_))));

    let third = Log::open(unnamed("three")).unwrap();
    let broken = format!("{}\n\nnonsense\n", lines[0]);
    let Err(ImportError::Source(error)) = third.import(ndjson(broken.as_bytes())) else { panic!() };
    assert!(matches!(error.downcast_ref(), Some(nightaudit_import::Error::Line { line: 3, .. })), "{error}");
    assert_eq!(third.sessions(), []);
    let edited = lines[0].replace("guest", "giest") + "\n" + &lines[5];
    assert_eq!(third.import(ndjson(edited.as_bytes())).unwrap().rehashed, 2);
    assert!(third.sessions()[0].incomplete);
    assert_eq!(third.check(&mut |_| {}).unwrap().damage, []);
}

#[test]
fn a_quota_deletes_ended_sessions_oldest_first() {
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
    let log = Log::open(StoreConfig { max_size: Some(bytes * 3 / 4), ..config(dir.path()) }).unwrap();
    log.start_session("more").unwrap();
    let names: Vec<_> = log.sessions().into_iter().map(|session| session.name).collect();
    assert!(names.contains(&"run 3".to_owned()) && names.contains(&"run 4".to_owned()), "{names:?}");
    // The last two continued, the configured one and "more" are new, and one of the ended ones fits in.
    assert_eq!(names.len(), 5, "{names:?}");
    assert_eq!(log.delete_older_than(Timestamp::from_micros(i64::MAX)).unwrap().exchanges, 300);
    assert_eq!(log.count(&Filter::default()).unwrap(), 600);
    drop(log);
    let later = || Timestamp::from_micros(1_895_435_200_000_000);
    let day = std::time::Duration::from_secs(86_400);
    let log = Log::open(StoreConfig { max_age: Some(day), now: later, ..config(dir.path()) }).unwrap();
    log.end_session("run 3").unwrap();
    assert_eq!(log.session("run 3").unwrap().exchanges, 300);
}

#[test]
fn neither_size_nor_age_deletes_what_the_keeper_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    for round in 0..4 {
        log.start_session(&format!("run {round}")).unwrap();
        record(&log, round * 50..round * 50 + 50);
        log.end_session(&format!("run {round}")).unwrap();
    }
    let ids: Vec<_> = log.sessions().into_iter().map(|session| (session.id, session.name)).collect();
    let id = |name: &str| ids.iter().find(|(_, known)| known == name).unwrap().0;
    drop(log);
    let later = || Timestamp::from_micros(1_895_435_200_000_000);
    let day = std::time::Duration::from_secs(86_400);
    // All of the second is kept elsewhere, and of the third all but one.
    let (second, third) = (id("run 1"), id("run 2"));
    let has = move |session, exchanges| session == second || (session == third && exchanges < 50);
    let keeper = || Some(Keeper(std::sync::Arc::new(has)));
    for bounds in [
        StoreConfig { max_age: Some(day), now: later, keeper: keeper(), ..config(dir.path()) },
        StoreConfig { max_size: Some(1), keeper: keeper(), ..config(dir.path()) },
    ] {
        let log = Log::open(bounds).unwrap();
        log.start_session("more").unwrap();
        let names: Vec<_> = log.sessions().into_iter().map(|session| session.name).collect();
        let left = |name: &str| names.iter().any(|known| known == name);
        assert!(left("run 0") && !left("run 1") && left("run 2") && left("run 3"), "{names:?}");
        log.end_session("more").unwrap();
    }
    // Whoever deletes a session by name means it.
    let log = Log::open(StoreConfig { keeper: keeper(), ..config(dir.path()) }).unwrap();
    log.delete_session("run 0").unwrap();
}

/// `cargo test -p nightaudit-store -- --ignored keep_a_log` writes the data of the next test; done once per format.
#[test]
#[ignore = "writes into the source tree"]
fn keep_a_log() {
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreConfig { segment_size: 4000, ..config(dir.path()) }).unwrap();
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
fn a_log_of_format_1_still_opens() {
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

#[test]
fn regression_tokens_in_an_imported_file_were_stored() {
    const OWN: &str = "kQ7own-secret.Token_42";
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(&dir.path().join("one"))).unwrap();
    record(&log, 0..4);
    let mut exchanges = all(&log);
    // Written by hand or by another program: in a body, an address, a header, and in names.
    exchanges[1].request.body = Body::whole(format!(r#"{{"AccessToken":"{ACCESS}","Client":"Kiosk"}}"#).into());
    exchanges[2].request.url = format!("https://api.mews-demo.com/x?access_token={OWN}");
    exchanges[2].envelope.client = Some(format!("Kiosk {OWN}"));
    exchanges[3].request.headers.push(Header { name: "X-Trace".into(), value: format!("by {OWN}").as_str().into() });
    exchanges.iter_mut().for_each(|exchange| exchange.session_name = format!("run of {ACCESS}").as_str().into());
    let lines: Vec<_> = exchanges.iter().map(|exchange| serde_json::to_string(exchange).unwrap()).collect();
    let data = dir.path().join("two");
    let log = Log::open(StoreConfig { session: None, ..config(&data) }).unwrap();
    let imported = log.import(ndjson(lines.join("\n").as_bytes())).unwrap();
    assert_eq!((imported.exchanges, imported.import.altered()), (4, 4));
    let there = all(&log);
    let json = serde_json::to_string(&there).unwrap();
    assert!(!json.contains(OWN) && !json.contains(ACCESS), "{json}");
    assert!(there[3].request.headers.last().unwrap().value.starts_with("by REDACTED:"), "{json}");
    assert!(there.iter().all(|exchange| exchange.session_name.starts_with("run of REDACTED:")), "{json}");
    assert!(log.session(&format!("run of {ACCESS}")).unwrap().incomplete);
    assert!(log.check(&mut |_| {}).unwrap().is_whole());
    drop(log);
    for entry in fs::read_dir(data.join("sessions")).unwrap() {
        let meta = fs::read_to_string(entry.unwrap().path().join("session.json")).unwrap();
        assert!(!meta.contains(ACCESS), "{meta}");
    }
    assert!(!fs::read_to_string(data.join("ledger")).unwrap().contains(ACCESS));
}

/// The lines of an export of so many exchanges, and the log they are from.
fn exported(dir: &std::path::Path, numbers: std::ops::Range<u64>) -> (Vec<String>, Log) {
    let log = Log::open(config(dir)).unwrap();
    record(&log, numbers);
    let lines = all(&log).iter().map(|exchange| serde_json::to_string(exchange).unwrap()).collect();
    (lines, log)
}

#[test]
fn regression_deleting_a_session_that_was_being_imported_stopped_all_recording() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, from) = exported(&dir.path().join("from"), 0..700);
    let (text, session) = (lines.join("\n"), from.sessions()[0].id);
    for how in ["by its id", "by age", "by the quota"] {
        let max_size = (how == "by the quota").then_some(1);
        let small =
            StoreConfig { session: Some("now".into()), max_size, segment_size: 4000, ..config(&dir.path().join(how)) };
        let log = Log::open(small).unwrap();
        record(&log, 5000..5001);
        let meanwhile = |read: usize| match how {
            _ if read != 600 => {}
            "by its id" => {
                let refused = log.delete_session(&session.to_string()).unwrap_err().to_string();
                assert!(refused.contains("is being imported"), "{refused}");
            }
            "by age" => {
                let all_ended = Timestamp::from_micros(i64::MAX);
                assert_eq!(log.delete_older_than(all_ended).unwrap().sessions, []);
            }
            _ => record(&log, 6000..6050),
        };
        let exchanges = ndjson(text.as_bytes()).enumerate().map(|(read, exchange)| {
            meanwhile(read);
            exchange
        });
        assert_eq!(log.import(exchanges).unwrap().exchanges, 700, "{how}");
        assert_eq!(log.status().failing, None, "{how}");
        assert_eq!(log.session(&session.to_string()).unwrap().exchanges, 700, "{how}");
        record(&log, 7000..7001);
        assert!(log.check(&mut |_| {}).unwrap().is_whole(), "{how}");
    }
}

#[test]
fn regression_an_import_whose_folder_was_removed_stopped_all_recording() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, from) = exported(&dir.path().join("from"), 0..700);
    let (text, session) = (lines.join("\n"), from.sessions()[0].id);
    let data = dir.path().join("data");
    let log = Log::open(StoreConfig { session: Some("now".into()), ..config(&data) }).unwrap();
    let exchanges = ndjson(text.as_bytes()).enumerate().map(|(read, exchange)| {
        if read == 600 {
            fs::remove_dir_all(data.join("sessions").join(session.to_string())).unwrap();
        }
        exchange
    });
    assert!(log.import(exchanges).is_err());
    while log.status().failing.is_some() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    record(&log, 7000..7001);
    assert_eq!((log.missing(), log.sessions().len()), (vec![], 1));
    // It can be imported again.
    assert_eq!(log.import(ndjson(text.as_bytes())).unwrap().exchanges, 700);
    drop(log);
    assert!(Log::open(config(&data)).unwrap().check(&mut |_| {}).unwrap().is_whole());
}

#[test]
fn regression_after_an_import_that_the_disk_failed_nothing_was_recorded_until_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, _from) = exported(&dir.path().join("from"), 0..700);
    let text = lines.join("\n");
    let disk = TestDisk::default();
    let small =
        StoreConfig { session: Some("now".into()), disk: Arc::new(disk.clone()), ..config(&dir.path().join("data")) };
    let log = Log::open(small).unwrap();
    record(&log, 5000..5001);
    let exchanges = ndjson(text.as_bytes()).enumerate().map(|(read, exchange)| {
        if read == 600 {
            disk.fail(Some(28));
        }
        exchange
    });
    let refused = log.import(exchanges).unwrap_err().to_string();
    assert!(refused.contains("No space left"), "{refused}");
    disk.fail(None);
    // On failure the test hangs until its time limit.
    while log.status().failing.is_some() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    record(&log, 7000..7001);
    // What is left of the import is undone by the next one.
    assert_eq!(log.import(ndjson(text.as_bytes())).unwrap().exchanges, 700);
    assert!(log.check(&mut |_| {}).unwrap().is_whole());
}

#[test]
fn regression_numbers_that_an_import_lacked_were_counted_as_missing_once_others_were() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, _from) = exported(&dir.path().join("from"), 0..40);
    let half: Vec<String> = lines.into_iter().skip(1).step_by(2).collect();
    let data = dir.path().join("data");
    let log = Log::open(StoreConfig { session: None, ..config(&data) }).unwrap();
    log.import(ndjson(half.join("\n").as_bytes())).unwrap();
    assert!(log.check(&mut |_| {}).unwrap().is_whole());
    drop(log);
    fs::remove_file(segments(&data).remove(0)).unwrap();
    for owner in [false, true] {
        let log = match owner {
            true => Log::open(StoreConfig { session: None, ..config(&data) }).unwrap(),
            false => Log::open_read_only(&data, &nightaudit_mews::API).unwrap(),
        };
        let found = log.check(&mut |_| {}).unwrap();
        let counted: Vec<u64> = found.missing.iter().map(|missing| missing.count).collect();
        assert_eq!((counted, log.status().missing, log.sessions()[0].missing), (vec![20], 20, 20));
        assert_eq!(log.missing()[0].count, 20);
    }
}

#[test]
fn regression_a_lost_session_that_was_imported_again_was_still_called_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, from) = exported(&dir.path().join("from"), 0..40);
    let (text, session) = (lines.join("\n"), from.sessions()[0].id.to_string());
    let data = dir.path().join("data");
    let log = Log::open(StoreConfig { session: Some("now".into()), ..config(&data) }).unwrap();
    record(&log, 5000..5001);
    log.import(ndjson(text.as_bytes())).unwrap();
    fs::remove_dir_all(data.join("sessions").join(&session)).unwrap();
    while log.status().missing == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    log.import(ndjson(text.as_bytes())).unwrap();
    assert_eq!((log.status().missing, log.missing(), log.sessions().len()), (0, vec![], 2));
    assert!(log.check(&mut |_| {}).unwrap().is_whole());
    log.delete_session(&session).unwrap();
    assert_eq!((log.missing(), log.sessions().len()), (vec![], 1));
}

#[test]
fn regression_an_imported_copy_made_the_full_id_of_a_recorded_exchange_ambiguous() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log) = exported(&dir.path().join("data"), 0..3);
    let here = all(&log);
    // In the order of sessions, one copy comes before what was recorded and one after it.
    for first in [0, 7] {
        let copy = |mut exchange: Exchange| {
            let mut bytes = exchange.session.to_bytes();
            bytes[0] = first;
            (exchange.session, exchange.session_name) = (SessionId::from_bytes(bytes), "copy".into());
            serde_json::to_string(&exchange).unwrap()
        };
        let copies: Vec<String> = here.iter().cloned().map(copy).collect();
        log.import(ndjson(copies.join("\n").as_bytes())).unwrap();
    }
    for exchange in here {
        let id = exchange.id.to_string();
        assert_eq!(log.find(&id).unwrap().session, exchange.session);
        assert_eq!(log.find(&id.to_lowercase()).unwrap().session, exchange.session);
        assert_eq!(log.get(exchange.id).unwrap().unwrap().session, exchange.session);
        assert_eq!(log.position(exchange.id).unwrap().unwrap().session, exchange.session);
        assert_eq!(log.fetcher().fetch(exchange.id).unwrap().unwrap().session, exchange.session);
    }
}
