//! A really full disk, before and after space is freed.

use std::{fs, path::Path, process::Command};

use nightaudit_exchange::{Capture, CapturedBody, CapturedResponse, Filter, Timestamp};
use nightaudit_store::{DeleteTarget, Log, OnFailure, OpenError, Query, SessionError, StoreConfig};

use crate::support::{capture, config, numbers, poll, record, record_all, started, wait};

/// An in-memory file system of a few MiB, unmounted on drop.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` if this process may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a small file system can't be mounted here (root is needed)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk.
    fn fill(&self) {
        let mut size = 1 << 20;
        let mut filler = Vec::new();
        while size > 0 {
            filler.resize(filler.len() + size, 1);
            if fs::write(self.path().join("filler"), &filler).is_err() {
                filler.truncate(filler.len() - size);
                size /= 2;
            }
        }
    }

    fn free_space(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Opens a log that this process has just closed. A child that another test is starting may hold the lock until it
/// execs.
fn open_again(data: &Path) -> Log {
    loop {
        match Log::open(config(data)) {
            Err(OpenError::Locked { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// A capture that does not compress: 40 KB.
fn large(number: u64) -> Capture {
    let noise = |at: u64| (at ^ number << 20).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    let body = CapturedBody::whole((0..5000).flat_map(noise).collect::<Vec<u8>>().into());
    let capture = capture(number);
    let response = capture.response.map(|response| CapturedResponse { body, ..response });
    Capture { response, ..capture }
}

#[test]
fn a_full_disk_refuses_and_recovers_once_there_is_space() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    record(&log, 0..10);
    disk.fill();
    let mut taken = 10;
    let mut waiting = Vec::new();
    // One at a time: a queue of thousands would hold more than the disk.
    let refusal = loop {
        match wait(log.recorder().reserve()) {
            Ok(permit) => {
                let mut receipt = permit.record(large(taken));
                taken += 1;
                while poll(&mut receipt).is_none() {
                    if log.status().failing.is_some() {
                        waiting.push(receipt);
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            Err(refusal) => break refusal.to_string(),
        }
        assert!(taken < 100, "the disk is never full");
    };
    assert!(!waiting.is_empty());
    assert!(refusal.contains("No space left"), "{refusal}");
    disk.free_space();
    waiting.into_iter().for_each(wait);
    record(&log, taken..taken + 3);
    assert_eq!(log.close().recorded, taken + 3);
    drop(log);
    let log = open_again(&data);
    assert_eq!(numbers(&log, Query::default()), (0..taken + 3).collect::<Vec<_>>());
    assert_eq!(log.check(&mut |_| {}).unwrap().damage, []);
    assert!(!log.session("certification").unwrap().incomplete);
}

#[test]
fn a_full_disk_forwards_if_configured_and_the_log_stays_intact() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(StoreConfig { on_failure: OnFailure::Forward, ..config(&data) }).unwrap();
    record(&log, 0..10);
    disk.fill();
    let mut taken = 10;
    while log.status().unrecorded == 0 {
        record_all(&log, [large(taken)]);
        taken += 1;
        assert!(taken < 4000, "the disk is never full");
    }
    disk.free_space();
    let mut after = 10_000;
    while log.status().failing.is_some() {
        record(&log, after..after + 1);
        after += 1;
    }
    let (closed, unrecorded) = (log.close(), log.status().unrecorded);
    drop(log);
    let log = open_again(&data);
    let there = numbers(&log, Query::default());
    assert_eq!(there.len() as u64, closed.recorded);
    assert!(there.is_sorted() && there.contains(&(after - 1)));
    let check = log.check(&mut |_| {}).unwrap();
    assert_eq!((check.damage, check.exchanges), (vec![], closed.recorded));
    let session = log.session("certification").unwrap();
    assert_eq!((session.incomplete, session.unrecorded), (true, unrecorded));
}

#[test]
fn a_full_disk_can_be_read_and_freed_with_and_without_an_owner() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    let of = |session: &str, number| Capture { session: Some(session.into()), ..large(number) };
    for session in ["one", "two", "open"] {
        record_all(&log, (0..32).map(|number| of(session, number)));
    }
    log.end_session("one").unwrap();
    log.end_session("two").unwrap();
    record(&log, 100..110);
    disk.fill();
    // The next exchange does not fit.
    let waiting = (200..600).find_map(|number| {
        let mut receipt = wait(log.recorder().reserve()).unwrap().record(large(number));
        while poll(&mut receipt).is_none() {
            if log.status().failing.is_some() {
                return Some(receipt);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        None
    });
    assert!(log.start_session("other").is_err());
    // The session being recorded can't be ended, and the error suggests what to do.
    let refused = log.delete_session("certification").unwrap_err();
    assert!(matches!(refused, SessionError::Current { .. }) && refused.to_string().contains("stop `nightaudit serve`"));
    let deleted = log.delete_session("one").unwrap();
    assert!(deleted.exchanges == 32 && !data.join("sessions").join(deleted.id.to_string()).exists());
    // Pending exchanges are written now that there is space.
    wait(waiting.expect("the disk is never full"));
    log.close();
    drop(log);
    fs::remove_file(disk.path().join("filler")).unwrap();
    disk.fill();
    assert!(Log::open(config(&data)).is_err());
    let reader = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
    let count = reader.count(&Filter::default()).unwrap();
    assert!(reader.check(&mut |_| {}).unwrap().is_whole());
    drop(reader);
    let deleted = Log::delete_unopened(&config(&data), DeleteTarget::Session("two")).unwrap();
    assert_eq!((deleted.sessions.len(), deleted.exchanges), (1, 32));
    let log = Log::open(config(&data)).unwrap();
    assert_eq!((log.missing(), log.count(&Filter::default()).unwrap()), (vec![], count - 32));
    drop(log);
    let deleted =
        Log::delete_unopened(&config(&data), DeleteTarget::EndedBefore(Timestamp::from_micros(i64::MAX))).unwrap();
    assert_eq!(deleted.exchanges, 0);
}

#[test]
fn a_read_only_file_system_is_readable_with_or_without_an_index() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    record(&log, 0..50);
    let mut permit = wait(log.recorder().reserve()).unwrap();
    permit.begin(&started(60)).unwrap();
    crate::disks::copy(&data, &disk.path().join("killed"));
    crate::disks::copy(&data, &disk.path().join("bare"));
    for file in ["lock", "ledger", "journal"] {
        fs::remove_file(disk.path().join("bare").join(file)).unwrap();
    }
    fs::remove_dir_all(disk.path().join("bare/index")).unwrap();
    drop(permit);
    drop(log);
    // A child that another test is starting may hold the log's files until it execs.
    let remount = || Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!((0..200).any(|_| remount().success()), "it stays busy");
    for (copy, exchanges, interrupted) in [("data", 50, 0), ("killed", 51, 1), ("bare", 50, 0)] {
        let log = Log::open_read_only(&disk.path().join(copy), &nightaudit_mews::API).unwrap();
        assert_eq!((log.opened().exchanges, log.opened().interrupted), (exchanges, interrupted), "{copy}");
        let check = log.check(&mut |_| {}).unwrap();
        assert!(check.is_whole() && check.exchanges == 50, "{copy}: {check:?}");
        assert_eq!(numbers(&log, Query { limit: Some(50), ..Query::default() }), (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn regression_an_open_session_could_not_be_deleted_on_a_full_disk() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    let of = |session: &str, number| Capture { session: Some(session.into()), ..large(number) };
    record_all(&log, (0..32).map(|number| of("suite", number)));
    record_all(&log, (100..110).map(|number| of("other", number)));
    record(&log, 200..210);
    disk.fill();
    // Exchanges of the session to delete wait for the disk, and so does one of another session.
    let mut waiting = Vec::new();
    let mut number = 300;
    while log.status().failing.is_none() {
        let mut receipt = wait(log.recorder().reserve()).unwrap().record(of("suite", number));
        while poll(&mut receipt).is_none() {
            if log.status().failing.is_some() {
                waiting.push(receipt);
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        number += 1;
        assert!(number < 600, "the disk is never full");
    }
    let before = log.session("suite").unwrap();
    assert!(before.open && before.exchanges >= 32);
    let deleted = log.delete_session("suite").unwrap();
    assert_eq!(deleted.id, before.id);
    assert!(!data.join("sessions").join(before.id.to_string()).exists());
    // The pending exchanges went with it, and no waiter remains. The name is free for a new session.
    waiting.into_iter().for_each(wait);
    record_all(&log, [of("suite", 700), of("other", 701)]);
    record(&log, 702..703);
    let after = log.session("suite").unwrap();
    assert!(after.id != before.id && after.exchanges == 1, "{after:?}");
    assert_eq!((log.session("other").unwrap().exchanges, log.status().unrecorded), (11, 0));
    assert!(log.status().failing.is_none());
    // As after a kill now: deleted requests don't come back as interrupted.
    let killed = disk.path().join("killed");
    fs::remove_file(disk.path().join("filler")).unwrap();
    crate::disks::copy(&data, &killed);
    let reader = Log::open_read_only(&killed, &nightaudit_mews::API).unwrap();
    let found = reader.check(&mut |_| {}).unwrap();
    assert!(found.is_whole() && found.interrupted == 0 && found.exchanges == 11 + 11 + 1, "{found:?}");
    drop(reader);
    log.close();
    drop(log);
    let log = open_again(&data);
    assert_eq!((log.missing(), log.count(&Filter::default()).unwrap()), (vec![], 23));
}
