//! A disk that is really full, and then has room again.

use std::{fs, path::Path, process::Command};

use nightaudit_exchange::{Capture, CapturedBody, CapturedResponse};
use nightaudit_store::{Config, Log, OnFailure, Query};

use crate::support::{capture, config, numbers, record, record_all, wait};

/// A file system of a few MiB in memory; it is gone when this is dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// None where this process may not mount anything.
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

    /// Takes all the room that is left.
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

    fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
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
fn a_full_disk_refuses_and_goes_on_by_itself_when_there_is_room() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    record(&log, 0..10);
    disk.fill();
    let mut taken = 10;
    let mut waiting = Vec::new();
    let refusal = loop {
        match wait(log.recorder().reserve()) {
            Ok(place) => {
                waiting.push(place.record(large(taken)));
                taken += 1;
            }
            Err(refusal) => break refusal.to_string(),
        }
        assert!(taken < 4000, "the disk is never full");
    };
    assert!(refusal.contains("No space left"), "{refusal}");
    disk.make_room();
    waiting.into_iter().for_each(wait);
    record(&log, taken..taken + 3);
    assert_eq!(log.close().recorded, taken + 3);
    drop(log);
    let log = Log::open(config(&data)).unwrap();
    assert_eq!(numbers(&log, Query::default()), (0..taken + 3).collect::<Vec<_>>());
    assert_eq!(log.check(&mut |_| {}).unwrap().damage, []);
    assert!(!log.session("certification").unwrap().incomplete);
}

#[test]
fn a_full_disk_forwards_if_told_and_what_is_there_is_whole() {
    let Some(disk) = Small::mount() else { return };
    let data = disk.path().join("data");
    let log = Log::open(Config { on_failure: OnFailure::Forward, ..config(&data) }).unwrap();
    record(&log, 0..10);
    disk.fill();
    let mut taken = 10;
    while log.status().unrecorded == 0 {
        record_all(&log, [large(taken)]);
        taken += 1;
        assert!(taken < 4000, "the disk is never full");
    }
    disk.make_room();
    let mut after = 10_000;
    while log.status().failing.is_some() {
        record(&log, after..after + 1);
        after += 1;
    }
    let (closed, unrecorded) = (log.close(), log.status().unrecorded);
    drop(log);
    let log = Log::open(config(&data)).unwrap();
    let there = numbers(&log, Query::default());
    assert_eq!(there.len() as u64, closed.recorded);
    assert!(there.is_sorted() && there.contains(&(after - 1)));
    let check = log.check(&mut |_| {}).unwrap();
    assert_eq!((check.damage, check.exchanges), (vec![], closed.recorded));
    let session = log.session("certification").unwrap();
    assert_eq!((session.incomplete, session.unrecorded), (true, unrecorded));
}
