//! Failing disks, power failures and kills.

use std::{fs, path::Path, sync::Arc, time::Duration};

use nightaudit_exchange::{Body, FailureKind, Filter, Outcome, Withheld};
use nightaudit_store::{Durability, Log, OnFailure, Query, StoreConfig};

use crate::{
    disks::{TestDisk, copy, segments},
    support::{capture, config, id, numbers, poll, record, started, wait},
};

const FULL: i32 = 28;
const BROKEN: i32 = 5;
const READ_ONLY: i32 = 30;

/// Polls until a condition holds; on failure the test hangs until its time limit.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_capture_comes_back_once_it_is_encoded_however_long_the_disk_takes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let config = StoreConfig { durability: Durability::Sync, disk: Arc::new(disk.clone()), ..config(dir.path()) };
    let log = Log::open(config).unwrap();
    record(&log, 0..1);
    let (recorder, notifier) = log.recorder().with_notifier();
    disk.hold();
    let mut receipt = wait(recorder.reserve()).unwrap().record(capture(1));
    until(|| disk.waiting() > 0);
    until(|| recorder.spare().is_some());
    assert!(poll(&mut receipt).is_none());
    disk.release();
    drop(notifier);
    wait(receipt);
    assert_eq!(log.close().recorded, 2);
}

#[test]
fn a_failing_disk_refuses_and_loses_nothing() {
    for (error, words) in
        [(FULL, "No space left"), (BROKEN, "Input/output error"), (READ_ONLY, "Read-only file system")]
    {
        let dir = tempfile::tempdir().unwrap();
        let disk = TestDisk::default();
        let log = Log::open(StoreConfig { disk: Arc::new(disk.clone()), ..config(dir.path()) }).unwrap();
        record(&log, 0..10);
        let permits: Vec<_> = (0..5).map(|_| wait(log.recorder().reserve()).unwrap()).collect();
        disk.fail(Some(error));
        let receipts: Vec<_> = permits.into_iter().zip(10..).map(|(permit, n)| permit.record(capture(n))).collect();
        until(|| log.status().failing.is_some());
        let refusal = wait(log.recorder().reserve()).unwrap_err().to_string();
        assert!(refusal.contains(words), "{refusal}");
        assert!(log.start_session("other").unwrap_err().to_string().contains(words));
        disk.fail(None);
        receipts.into_iter().for_each(wait);
        record(&log, 15..20);
        assert_eq!(log.close().recorded, 20);
        drop(log);
        let log = Log::open(config(dir.path())).unwrap();
        assert_eq!(numbers(&log, Query::default()), (0..20).collect::<Vec<_>>());
        assert_eq!(log.check(&mut |_| {}).unwrap().damage, []);
        assert!(!log.sessions()[0].incomplete);
    }
}

#[test]
fn regression_a_refused_change_of_session_put_the_first_waiting_exchange_last() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let log = Log::open(StoreConfig { disk: Arc::new(disk.clone()), ..config(dir.path()) }).unwrap();
    record(&log, 0..1);
    let mut permits: Vec<_> = (1..6).map(|_| wait(log.recorder().reserve()).unwrap()).collect();
    disk.fail(Some(FULL));
    let mut receipts = vec![permits.remove(0).record(capture(1))];
    until(|| log.status().failing.is_some());
    log.start_session("other").unwrap_err();
    receipts.extend(permits.into_iter().zip(2..).map(|(permit, number)| permit.record(capture(number))));
    // It is refused after those before it were taken from the queue.
    log.start_session("other").unwrap_err();
    disk.fail(None);
    receipts.into_iter().for_each(wait);
    assert_eq!(numbers(&log, Query::default()), (0..6).collect::<Vec<_>>());
}

#[test]
fn a_failing_disk_forwards_if_configured_and_the_session_stays_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let forward = StoreConfig { on_failure: OnFailure::Forward, disk: Arc::new(disk.clone()), ..config(dir.path()) };
    let log = Log::open(forward).unwrap();
    record(&log, 0..10);
    disk.fail(Some(FULL));
    record(&log, 10..15);
    assert_eq!(log.status().unrecorded, 5);
    assert!(log.status().failing.unwrap().contains("No space left"));
    disk.fail(None);
    // The retry comes a moment later.
    until(|| {
        record(&log, 15..16);
        log.status().failing.is_none()
    });
    let lost = log.status().unrecorded;
    assert!(log.close().recorded >= 11);
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    let session = log.session("certification").unwrap();
    assert_eq!((session.incomplete, session.unrecorded), (true, lost));
    assert_eq!(log.check(&mut |_| {}).unwrap().damage, []);
    assert_eq!(numbers(&log, Query { limit: Some(11), ..Query::default() })[9..], [9, 15]);
}

#[test]
fn regression_a_segment_that_a_full_disk_had_no_space_to_start_was_called_damaged() {
    // As the first segment of a session, and as one that follows.
    for before in [0, 20] {
        let dir = tempfile::tempdir().unwrap();
        let (data, killed) = (dir.path().join("data"), dir.path().join("killed"));
        let disk = TestDisk::default();
        let log = Log::open(StoreConfig { disk: Arc::new(disk.clone()), segment_size: 1000, ..config(&data) }).unwrap();
        record(&log, 0..before);
        disk.refuse_segments(true);
        let receipt = wait(log.recorder().reserve()).unwrap().record(capture(before));
        until(|| log.status().failing.is_some());
        copy(&data, &killed);
        disk.refuse_segments(false);
        wait(receipt);
        drop(log);
        let begun = segments(&killed).pop().unwrap();
        for (number, left) in [&fs::read(&begun).unwrap()[..], &[], &[0; 64], &[0; 4096]].into_iter().enumerate() {
            fs::write(&begun, left).unwrap();
            let found = Log::open_read_only(&killed, &nightaudit_mews::API).unwrap();
            let check = found.check(&mut |_| {}).unwrap();
            assert_eq!((check.damage, check.missing, check.exchanges), (vec![], vec![], before), "{left:?}");
            assert!(!found.session("certification").unwrap().incomplete);
            // It is used by the next owner, and the index still fits.
            let again = dir.path().join(format!("again-{number}"));
            copy(&killed, &again);
            let log = Log::open(config(&again)).unwrap();
            assert_eq!((&log.opened().rebuilt, &log.opened().damage), (&None, &vec![]), "{left:?}");
            record(&log, 100..101);
            log.close();
            drop(log);
            assert_eq!(segments(&again).len(), segments(&killed).len());
            let log = Log::open(config(&again)).unwrap();
            assert_eq!((&log.opened().rebuilt, log.check(&mut |_| {}).unwrap().damage), (&None, vec![]), "{left:?}");
            assert_eq!(numbers(&log, Query::default()).last(), Some(&100));
            // In an ended session it is damage.
            log.end_session("certification").unwrap();
            drop(log);
            fs::write(segments(&again).pop().unwrap(), left).unwrap();
            let check = Log::open_read_only(&again, &nightaudit_mews::API).unwrap().check(&mut |_| {}).unwrap();
            assert!(!check.damage.is_empty() && !check.missing.is_empty(), "{left:?}");
        }
    }
}

#[test]
fn nothing_answered_under_sync_is_lost_by_a_power_failure() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let disk = TestDisk::default();
    let log = Log::open(StoreConfig { disk: Arc::new(disk.clone()), segment_size: 3000, ..config(&data) }).unwrap();
    let mut answered: Vec<u64> = Vec::new();
    for round in 0..8 {
        record(&log, round * 7..round * 7 + 7);
        answered.extend(round * 7..round * 7 + 7);
        // One more is written, but not synced when the power fails.
        disk.hold();
        let under_way = wait(log.recorder().reserve()).unwrap().record(capture(1000 + round));
        until(|| disk.waiting() > 0);
        for seed in [None, Some(round), Some(round + 100)] {
            let copy = dir.path().join(format!("after-{round}-{seed:?}"));
            disk.after_power_failure(&data, &copy, seed);
            let after = Log::open(config(&copy)).unwrap();
            let there = numbers(&after, Query::default());
            assert_eq!(there[..answered.len()], answered);
            let rest = &there[answered.len()..];
            assert!(rest.is_empty() || *rest == [1000 + round], "{there:?}");
            let check = after.check(&mut |_| {}).unwrap();
            assert_eq!((check.damage, check.index_faults), (vec![], 0));
        }
        disk.release();
        wait(under_way);
        answered.push(1000 + round);
    }
    assert!(segments(&data).len() > 2);
}

#[test]
fn a_torn_write_is_truncated_wherever_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    record(&log, 0..5);
    let whole = log.info().segment_bytes;
    // An incomplete write is never in the ledger.
    let ledger = fs::read(data.join("ledger")).unwrap();
    record(&log, 5..6);
    let length = log.info().segment_bytes;
    let space = fs::metadata(&segments(&data)[0]).unwrap().len();
    assert!(space > length + 100_000, "no space was preallocated");
    let torn = dir.path().join("torn");
    for cut in (whole..length).step_by(7).chain([length - 1]) {
        let _ = fs::remove_dir_all(&torn);
        copy(&data, &torn);
        fs::write(torn.join("ledger"), &ledger).unwrap();
        if cut % 2 == 0 {
            fs::remove_dir_all(torn.join("index")).unwrap();
        }
        let file = fs::OpenOptions::new().write(true).open(&segments(&torn)[0]).unwrap();
        file.set_len(cut).unwrap();
        if cut % 3 == 0 {
            // As in preallocated space: what did not reach the disk is zero.
            file.set_len(space).unwrap();
        }
        let log = Log::open(config(&torn)).unwrap();
        // The last bytes written may be zeros themselves.
        assert!((0..8).contains(&(cut - whole - log.opened().torn_bytes)), "cut at {cut}");
        assert_eq!(fs::metadata(&segments(&torn)[0]).unwrap().len(), whole);
        assert_eq!(log.opened().exchanges, 5, "cut at {cut}");
        record(&log, 9..10);
        assert_eq!(numbers(&log, Query::default()), [0, 1, 2, 3, 4, 9]);
        assert_eq!(log.check(&mut |_| {}).unwrap().damage, []);
    }
}

#[test]
fn requests_in_flight_at_a_kill_show_as_interrupted_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    let mut permits: Vec<_> = (0..6).map(|_| wait(log.recorder().reserve()).unwrap()).collect();
    for (permit, number) in permits.iter_mut().zip(0..) {
        permit.begin(&started(number)).unwrap();
    }
    // Two are answered, one is dropped, three are in flight.
    wait(permits.remove(0).record(capture(0)));
    wait(permits.remove(0).record(capture(1)));
    drop(permits.remove(0));
    let mut suite = wait(log.recorder().reserve()).unwrap();
    suite.begin(&nightaudit_store::JournalEntry { session: Some("suite".into()), ..started(7) }).unwrap();
    let killed = dir.path().join("killed");
    copy(&data, &killed);
    for again in [false, true] {
        let log = Log::open(config(&killed)).unwrap();
        assert_eq!(log.opened().interrupted, if again { 0 } else { 4 });
        let interrupted = Filter::from_query([("outcome", "interrupted")], capture(0).received).unwrap();
        assert_eq!(log.count(&interrupted).unwrap(), 4);
        let exchange = log.get(id(4)).unwrap().unwrap();
        assert_eq!(exchange.outcome, Outcome::Interrupted);
        // What was not recorded is not said to be empty.
        assert_eq!(exchange.request.body, Body::unrecorded(Withheld::Interrupted));
        assert_eq!(exchange.error.unwrap().kind, FailureKind::Interrupted);
        assert_eq!(exchange.request.url, "https://api.mews-demo.com/api/connector/v1/configuration/get");
        assert_eq!(exchange.operation, "configuration/get");
        assert_eq!(log.session(&log.get(id(7)).unwrap().unwrap().session.to_string()).unwrap().name, "suite");
        assert_eq!(log.recent_sends(capture(3).received).unwrap().count(), 4);
        assert_eq!(log.check(&mut |_| {}).unwrap().damage, []);
    }
}

#[test]
fn regression_a_request_in_flight_when_the_log_was_closed_left_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    record(&log, 0..3);
    let mut permits: Vec<_> = (0..2).map(|_| wait(log.recorder().reserve()).unwrap()).collect();
    for (permit, number) in permits.iter_mut().zip(3..) {
        permit.begin(&started(number)).unwrap();
    }
    log.close();
    // One is answered too late, the other not before the next start.
    wait(permits.remove(0).record(capture(3)));
    drop(log);
    let log = Log::open(config(dir.path())).unwrap();
    assert_eq!(log.opened().interrupted, 2);
    for number in 3..5 {
        assert_eq!(log.get(id(number)).unwrap().unwrap().outcome, Outcome::Interrupted);
    }
}

#[test]
fn a_deleted_exchange_does_not_come_back_as_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    let mut permit = wait(log.recorder().reserve()).unwrap();
    permit.begin(&started(1)).unwrap();
    wait(permit.record(capture(1)));
    log.end_session("certification").unwrap();
    log.delete_session("certification").unwrap();
    copy(&data, &dir.path().join("killed"));
    assert_eq!(Log::open(config(&dir.path().join("killed"))).unwrap().opened().interrupted, 0);
}

#[test]
fn an_index_that_lags_is_missing_or_corrupt_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let open =
        || Log::open(StoreConfig { segment_size: 60_000, durability: Durability::Write, ..config(&data) }).unwrap();
    let old = dir.path().join("old");
    let log = open();
    record(&log, 0..700);
    drop(log);
    copy(&data, &old);
    let log = open();
    for round in 1..5 {
        record(&log, round * 700..round * 700 + 700);
    }
    drop(log);
    type Spoil<'a> = &'a dyn Fn(&Path);
    let spoil: [(&str, Spoil<'_>); 4] = [
        ("it lags", &|dir| {
            fs::remove_dir_all(dir.join("index")).unwrap();
            copy(&old.join("index"), &dir.join("index"));
        }),
        ("it is gone", &|dir| fs::remove_dir_all(dir.join("index")).unwrap()),
        ("it is empty", &|dir| fs::write(dir.join("index/db"), b"").unwrap()),
        ("it is garbage", &|dir| {
            fs::write(dir.join("index/db"), [0x5A; 70_000]).unwrap();
            fs::write(dir.join("index/conf"), b"what is this").unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        let copied = dir.path().join("copied");
        let _ = fs::remove_dir_all(&copied);
        copy(&data, &copied);
        spoil(&copied);
        let log = Log::open(config(&copied)).unwrap();
        assert_eq!(log.opened().exchanges, 3500, "{what}");
        let check = log.check(&mut |_| {}).unwrap();
        assert_eq!((check.exchanges, check.index_faults, check.damage), (3500, 0, vec![]), "{what}");
        assert_eq!(log.opened().rebuilt.is_some(), what != "it lags", "{what}");
    }
}

#[test]
fn regression_exchanges_were_written_to_deleted_or_moved_folders() {
    let moved = |from: &Path, to: &Path| fs::rename(from, to).unwrap();
    let deleted = |from: &Path, _: &Path| fs::remove_dir_all(from).unwrap();
    for (what, harm) in [("deleted", &deleted as &dyn Fn(&Path, &Path)), ("moved", &moved)] {
        for whole in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            let log = Log::open(config(&data)).unwrap();
            record(&log, 0..10);
            let permit = wait(log.recorder().reserve()).unwrap();
            let session = data.join("sessions").join(log.sessions()[0].id.to_string());
            let (folder, aside) = (if whole { &data } else { &session }, dir.path().join("aside"));
            harm(folder, &aside);
            // Nor does one sent at once get a receipt.
            let mut receipt = permit.record(capture(10));
            until(|| log.status().failing.is_some());
            assert!(poll(&mut receipt).is_none(), "{what}");
            let refusal = wait(log.recorder().reserve()).unwrap_err().to_string();
            assert!(refusal.contains("was deleted or moved"), "{what}: {refusal}");
            assert_eq!(log.status().recorded, 10, "{what}");
            if aside.exists() {
                fs::rename(&aside, folder).unwrap();
                wait(receipt);
                record(&log, 11..12);
                assert_eq!(numbers(&log, Query::default()), (0..12).collect::<Vec<_>>());
                assert_eq!((log.close().lost, log.status().failing), (0, None));
            } else {
                assert_eq!(log.close().lost, 1);
            }
        }
    }
}

#[test]
fn a_deleted_folder_is_noticed_while_nothing_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    fs::remove_file(data.join("journal")).unwrap();
    until(|| log.status().failing.is_some());
    assert!(log.status().failing.unwrap().contains("journal was deleted"));
}

#[test]
fn a_failing_journal_is_reported_like_a_failing_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let log = Log::open(StoreConfig { disk: Arc::new(disk.clone()), ..config(dir.path()) }).unwrap();
    let mut permit = wait(log.recorder().reserve()).unwrap();
    disk.fail(Some(FULL));
    let refusal = permit.begin(&started(1)).unwrap_err().to_string();
    assert!(refusal.contains("the journal: No space left"), "{refusal}");
    let failing = log.status().failing.unwrap();
    assert!(refusal.ends_with(&*failing), "{failing}");
    disk.fail(None);
    // Without traffic, it is still known that the next request would pass.
    until(|| log.status().failing.is_none());
    permit.begin(&started(1)).unwrap();
}
