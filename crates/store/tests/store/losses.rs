//! Losses are detected, whatever caused them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use nightaudit_exchange::{Capture, Digest, Exchange, ExchangeId, Missing, Outcome, Timestamp};
use nightaudit_store::{Check, DeleteTarget, Log, Query, SessionError, StoreConfig};

use crate::{
    disks::{blocks, copy, segments},
    support::{capture, config, ndjson, record, record_all, started, wait},
};

fn of(session: &str, number: u64) -> Capture {
    Capture { session: Some(session.into()), ..capture(number) }
}

/// The readable exchanges, and the number of unreadable ones.
fn whole(log: &Log) -> (Vec<Exchange>, usize) {
    let (whole, failed): (Vec<_>, Vec<_>) = log.query(Query::default()).unwrap().partition(Result::is_ok);
    (whole.into_iter().map(Result::unwrap).collect(), failed.len())
}

fn check(dir: &Path) -> Check {
    Log::open_read_only(dir, &nightaudit_mews::API).unwrap().check(&mut |_| {}).unwrap()
}

/// A session's name, its number of missing exchanges, and their ranges.
type Reported = (String, u64, Vec<(u64, u64)>);

fn reported(missing: &[Missing]) -> Vec<Reported> {
    missing.iter().map(|m| (m.session_name.clone(), m.count, m.ranges.clone())).collect()
}

/// A closed log with an open session of 60 exchanges in several segments, and a closed one of 24.
fn log_of_two(dir: &Path) {
    let log = Log::open(StoreConfig { segment_size: 4000, ..config(dir) }).unwrap();
    for round in 0..12 {
        record(&log, round * 5..round * 5 + 5);
        record_all(&log, (1000 + round * 2..1002 + round * 2).map(|number| of("other", number)));
    }
    log.end_session("other").unwrap();
    assert_eq!(log.close().recorded, 84);
}

fn folder(dir: &Path, name: &str) -> PathBuf {
    let log = Log::open_read_only(dir, &nightaudit_mews::API).unwrap();
    dir.join("sessions").join(log.session(name).unwrap().id.to_string())
}

#[test]
fn regression_a_truncated_segment_of_an_open_session_was_called_intact() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    (0..20).for_each(|round| record(&log, round * 5..round * 5 + 5));
    log.close();
    drop(log);
    let path = segments(&data).remove(0);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let found = check(&data);
    let here = found.exchanges;
    assert!(here > 0 && here < 100, "{found:?}");
    let due = [("certification".to_owned(), 100 - here, vec![(here + 1, 100)])];
    assert_eq!(reported(&found.missing), due);
    // The owner reports it too, truncates nothing, and continues after the missing numbers.
    for round in 0..2 {
        let log = Log::open(config(&data)).unwrap();
        assert_eq!(reported(&log.opened().missing), due);
        let session = log.session("certification").unwrap();
        assert_eq!((session.missing, session.incomplete), (100 - here, true));
        record(&log, 200 + round..201 + round);
        assert_eq!(reported(&log.missing()), due);
        assert_eq!(reported(&log.check(&mut |_| {}).unwrap().missing), due);
        assert_eq!(whole(&log).0.last().unwrap().sequence, 101 + round);
        log.close();
    }
    assert_eq!(fs::read(&path).unwrap(), &bytes[..bytes.len() / 2]);
    // Once the file is restored nothing is missing.
    fs::write(&path, &bytes).unwrap();
    let found = check(&data);
    assert_eq!((found.is_whole(), found.exchanges), (true, 102), "{found:?}");
}

#[test]
fn regression_a_removed_segment_or_session_was_not_reported_missing() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    log_of_two(&original);
    assert!(check(&original).is_whole());
    let (certification, other) = (folder(&original, "certification"), folder(&original, "other"));
    let count = fs::read_dir(&certification).unwrap().count() - 1;
    for number in 1..=count {
        let data = dir.path().join(format!("without-{number}"));
        copy(&original, &data);
        let gone = certification.join(format!("{number:06}.seg"));
        fs::remove_file(data.join(gone.strip_prefix(&original).unwrap())).unwrap();
        let log = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
        let (there, failed) = whole(&log);
        let missing: u64 = log.check(&mut |_| {}).unwrap().missing.iter().map(|missing| missing.count).sum();
        assert_eq!((there.len() as u64 + missing, failed), (84, 0), "{number}");
        assert!(missing > 0 && log.session("certification").unwrap().missing == missing, "{number}");
    }
    let data = dir.path().join("without-other");
    copy(&original, &data);
    fs::remove_dir_all(data.join(other.strip_prefix(&original).unwrap())).unwrap();
    for _ in 0..2 {
        let log = Log::open_read_only(&data, &nightaudit_mews::API).unwrap();
        assert_eq!(reported(&log.missing()), [("other".to_owned(), 24, vec![(1, 24)])]);
        assert!(matches!(log.session("other"), Err(SessionError::Gone { exchanges: 24, .. })));
        assert_eq!(log.check(&mut |_| {}).unwrap().missing, log.missing());
        assert_eq!(whole(&log).0.len(), 60);
        drop(Log::open(config(&data)).unwrap());
    }
    // Deleting a missing session forgets it.
    let log = Log::open(config(&data)).unwrap();
    assert_eq!(log.delete_session("other").unwrap().missing, 24);
    assert_eq!(log.missing(), []);
    drop(log);
    assert!(check(&data).is_whole());
}

#[test]
fn deleted_sessions_are_not_reported_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    log_of_two(&data);
    let killed = dir.path().join("killed");
    copy(&data, &killed);
    let log = Log::open(config(&data)).unwrap();
    log.delete_session("other").unwrap();
    drop(log);
    let found = check(&data);
    assert_eq!((found.is_whole(), found.exchanges), (true, 60));
    // As after a kill following the first step.
    let other = folder(&killed, "other");
    let name = format!(".deleted-{}", other.file_name().unwrap().to_string_lossy());
    fs::rename(&other, other.with_file_name(&name)).unwrap();
    for _ in 0..2 {
        let found = check(&killed);
        assert_eq!((found.is_whole(), found.exchanges), (true, 60));
        drop(Log::open(config(&killed)).unwrap());
        assert!(!other.with_file_name(&name).exists());
    }
}

#[test]
fn regression_a_flipped_bit_in_the_last_block_lost_exchanges_silently() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(config(&data)).unwrap();
    (0..10).for_each(|round| record(&log, round * 5..round * 5 + 5));
    let end = log.info().segment_bytes as usize;
    let killed = dir.path().join("killed");
    // The ledger learns of exchanges within a second; closing the log completes it.
    log.close();
    drop(log);
    copy(&data, &killed);
    for with_index in [true, false] {
        let data = dir.path().join(format!("flipped-{with_index}"));
        copy(&killed, &data);
        if !with_index {
            fs::remove_dir_all(data.join("index")).unwrap();
        }
        let path = segments(&data).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        bytes[end - 3] ^= 4;
        fs::write(&path, &bytes).unwrap();
        for round in 0..2 {
            let log = Log::open(config(&data)).unwrap();
            record(&log, 100 + round..101 + round);
            let found = log.check(&mut |_| {}).unwrap();
            // How many exchanges of the last round share a block depends on timing.
            let lost = found.missing[0].count;
            let due = [("certification".to_owned(), lost, vec![(51 - lost, 50)])];
            assert!((1..=5).contains(&lost) && reported(&found.missing) == due, "{found:?}");
            let (there, failed) = whole(&log);
            assert_eq!((there.len() as u64, failed as u64), (51 - lost + round, if with_index { lost } else { 0 }));
            assert_eq!(there.last().unwrap().sequence, 51 + round);
        }
    }
}

#[test]
fn a_log_without_a_ledger_opens_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    log_of_two(&data);
    fs::remove_file(data.join("ledger")).unwrap();
    for session in fs::read_dir(data.join("sessions")).unwrap() {
        let path = session.unwrap().path().join("session.json");
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert!(json.as_object_mut().unwrap().remove("head").is_some());
        fs::write(&path, json.to_string()).unwrap();
    }
    assert!(check(&data).is_whole());
    drop(Log::open(config(&data)).unwrap());
    // From now on its content is known.
    let last = segments(&data).pop().unwrap();
    fs::remove_file(last).unwrap();
    assert!(!check(&data).missing.is_empty());
}

#[test]
fn interrupted_requests_are_the_same_before_and_after_they_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = Log::open(StoreConfig { session: None, ..config(&data) }).unwrap();
    let begin = |number: u64, session: Option<&str>| {
        let mut permit = wait(log.recorder().reserve()).unwrap();
        let session = session.map(Into::into);
        permit.begin(&nightaudit_store::JournalEntry { session, ..started(number) }).unwrap();
        permit
    };
    // Before anything was recorded there is no session they could belong to.
    let _alone = [begin(1, None), begin(2, Some("suite"))];
    let (early, killed) = (dir.path().join("early"), dir.path().join("killed"));
    copy(&data, &early);
    record(&log, 100..103);
    let _later = [begin(3, None), begin(4, Some("suite")), begin(5, None)];
    copy(&data, &killed);
    for (killed, recorded) in [(early, 0), (killed, 3)] {
        let reader = Log::open_read_only(&killed, &nightaudit_mews::API).unwrap();
        let (shown, _) = whole(&reader);
        let interrupted = shown.iter().filter(|exchange| exchange.outcome == Outcome::Interrupted).count() as u64;
        assert_eq!((interrupted, shown.len()), (reader.opened().interrupted, recorded + interrupted as usize));
        assert_eq!(interrupted, if recorded == 0 { 2 } else { 5 });
        assert!(reader.sessions().iter().all(|session| !session.current), "no session is being recorded");
        let found = reader.check(&mut |_| {}).unwrap();
        assert_eq!((found.is_whole(), found.interrupted), (true, interrupted), "{found:?}");
        let last_position = |log: &Log| {
            let mut all = log.query(Query::default()).unwrap();
            all.by_ref().for_each(drop);
            all.last_position().unwrap().to_string()
        };
        let (sessions, last) = (reader.sessions(), last_position(&reader));
        assert_eq!(reader.get(shown[0].id).unwrap().as_ref(), Some(&shown[0]));
        drop(reader);
        let log = Log::open(StoreConfig { session: None, ..config(&killed) }).unwrap();
        assert_eq!(log.opened().interrupted, interrupted);
        // Same positions, same hashes.
        assert_eq!(whole(&log).0, shown);
        assert_eq!(last_position(&log), last);
        let named = |sessions: &[nightaudit_store::Session]| -> Vec<_> {
            sessions.iter().map(|session| (session.id, session.name.clone(), session.exchanges)).collect()
        };
        assert_eq!(named(&log.sessions()), named(&sessions));
        assert!(log.check(&mut |_| {}).unwrap().is_whole());
    }
}

/// Lines that end early, with a hook at the end.
struct Broken<'a> {
    lines: &'a [u8],
    at_end: &'a dyn Fn(),
}

impl io::Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = io::Read::read(&mut self.lines, buffer)?;
        if read == 0 {
            (self.at_end)();
        }
        Ok(read)
    }
}

#[test]
fn regression_a_killed_import_passed_for_a_complete_one_and_could_not_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(&dir.path().join("one"))).unwrap();
    record(&log, 0..700);
    record_all(&log, (1000..1020).map(|number| of("other", number)));
    let before = whole(&log).0;
    let lines: Vec<String> = before.iter().map(|exchange| serde_json::to_string(exchange).unwrap()).collect();
    let text = lines.join("\n");
    let (data, killed) = (dir.path().join("two"), dir.path().join("killed"));
    let other = Log::open(StoreConfig { session: None, ..config(&data) }).unwrap();
    record(&other, 5000..5003);
    // As after a kill with half of it read.
    let at_end = || {
        let _ = fs::remove_dir_all(&killed);
        copy(&data, &killed);
    };
    let first = lines[..600].join("\n");
    let half = io::BufReader::new(Broken { lines: first.as_bytes(), at_end: &at_end });
    other.import(ndjson(half)).unwrap();
    drop(other);
    let reader = Log::open_read_only(&killed, &nightaudit_mews::API).unwrap();
    let unfinished: Vec<_> = reader.sessions().into_iter().filter(|session| session.importing).collect();
    assert_eq!(unfinished.len(), 1);
    assert!(unfinished[0].incomplete && unfinished[0].exchanges < 700);
    assert_eq!(reader.check(&mut |_| {}).unwrap().unfinished_imports, 1);
    drop(reader);
    for again in [false, true] {
        let log = Log::open(StoreConfig { session: None, ..config(&killed) }).unwrap();
        assert_eq!(log.sessions().iter().filter(|session| session.importing).count(), usize::from(!again));
        let imported = log.import(ndjson(text.as_bytes()));
        if again {
            assert!(imported.is_err());
        } else {
            assert_eq!(imported.unwrap().exchanges, 720);
        }
        drop(log);
        let log = Log::open_read_only(&killed, &nightaudit_mews::API).unwrap();
        let mut there = whole(&log).0;
        there.retain(|exchange| exchange.request_id().is_some_and(|id| id.len() < "req-5000".len() || id < "req-5000"));
        assert_eq!(there.len(), 720);
        assert!(log.check(&mut |_| {}).unwrap().is_whole());
        assert!(log.sessions().iter().all(|session| !session.importing && !session.incomplete));
    }
}

/// Pseudorandom numbers, the same in every run.
fn scramble(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Damages a copy in one of several ways, and describes it.
fn harm(data: &Path, seed: u64) -> String {
    let files = segments(data);
    let choose = |n: u64, of: usize| scramble(seed * 16 + n) as usize % of;
    let path = &files[choose(0, files.len())];
    let shown = path.strip_prefix(data).unwrap().display().to_string();
    let mut bytes = fs::read(path).unwrap();
    let at = choose(1, bytes.len());
    match seed % 8 {
        0 => bytes.truncate(at),
        1 | 2 => bytes[at] ^= 1 << choose(2, 8),
        3 => {
            let end = (at + 1 + choose(2, 2000)).min(bytes.len());
            bytes[at..end].fill(0);
        }
        4 => {
            let end = (at + 1 + choose(2, 2000)).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            fs::remove_file(path).unwrap();
            return format!("{shown} removed");
        }
        6 => {
            let folder = path.parent().unwrap();
            fs::remove_dir_all(folder).unwrap();
            return format!("{} removed", folder.strip_prefix(data).unwrap().display());
        }
        _ => {
            // Two segments, or two sessions, swap names.
            let other = &files[choose(2, files.len())];
            let (one, two) = match (choose(3, 2), path.parent() == other.parent()) {
                (0, false) => (path.parent().unwrap(), other.parent().unwrap()),
                _ => (path.as_path(), other.as_path()),
            };
            if one == two {
                return "nothing".to_owned();
            }
            let aside = data.join("aside");
            fs::rename(one, &aside).unwrap();
            fs::rename(two, one).unwrap();
            fs::rename(&aside, two).unwrap();
            return format!("{shown} and {} swapped", other.strip_prefix(data).unwrap().display());
        }
    }
    fs::write(path, bytes).unwrap();
    format!("{shown} harmed at {at} ({})", seed % 8)
}

/// Damaged copies: few by default, and as many as `NIGHTAUDIT_TEST_COPIES` says in the long lane of `.ci/run`.
fn copies() -> u64 {
    std::env::var("NIGHTAUDIT_TEST_COPIES").map_or(50, |copies| copies.parse().unwrap())
}

#[test]
fn in_damaged_copies_every_loss_is_reported_and_everything_intact_is_readable() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    log_of_two(&original);
    // A session of several blocks in one open segment, in addition to those of several segments.
    let log =
        Log::open(StoreConfig { segment_size: 64 << 20, session: Some("third".into()), ..config(&original) }).unwrap();
    (0..10).for_each(|round| record(&log, 2000 + round * 3..2003 + round * 3));
    drop(log);
    let reader = Log::open_read_only(&original, &nightaudit_mews::API).unwrap();
    let all = whole(&reader).0;
    let truth: BTreeMap<ExchangeId, Digest> = all.iter().map(|e| (e.id, e.hash.unwrap())).collect();
    assert_eq!(truth.len(), 114);
    drop(reader);
    // Each block by its file, with its bytes and exchanges: these alone tell what is intact in a copy.
    let mut kept: Vec<(PathBuf, Vec<u8>, Vec<ExchangeId>)> = Vec::new();
    for path in segments(&original) {
        let bytes = fs::read(&path).unwrap();
        let session = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        for block in blocks(&bytes) {
            let in_it =
                |e: &&Exchange| e.session.to_string() == session && (block.first..=block.last).contains(&e.sequence);
            let ids = all.iter().filter(in_it).map(|e| e.id).collect();
            kept.push((path.strip_prefix(&original).unwrap().to_owned(), bytes[block.bytes].to_vec(), ids));
        }
    }
    assert_eq!(kept.iter().map(|(_, _, ids)| ids.len()).sum::<usize>(), 114);
    let whole_in = |data: &Path| -> BTreeSet<ExchangeId> {
        let stands = |(path, block, _): &&(PathBuf, Vec<u8>, Vec<ExchangeId>)| {
            fs::read(data.join(path)).is_ok_and(|bytes| bytes.windows(block.len()).any(|window| window == block))
        };
        kept.iter().filter(stands).flat_map(|(_, _, ids)| ids.iter().copied()).collect()
    };
    let mut lossy = 0;
    for seed in 0..copies() {
        let data = dir.path().join("copy");
        let _ = fs::remove_dir_all(&data);
        copy(&original, &data);
        let what = format!("copy {seed}: {}", harm(&data, seed));
        let due = whole_in(&data);
        if scramble(seed).is_multiple_of(3) {
            fs::remove_dir_all(data.join("index")).unwrap();
        }
        for owner in [false, true] {
            let log = match owner {
                true => Log::open(config(&data)).unwrap(),
                false => Log::open_read_only(&data, &nightaudit_mews::API).unwrap(),
            };
            let found = log.check(&mut |_| {}).unwrap();
            let (there, failed) = whole(&log);
            let read: BTreeSet<ExchangeId> = there.iter().map(|exchange| exchange.id).collect();
            for exchange in &there {
                assert_eq!(truth.get(&exchange.id), exchange.hash.as_ref(), "{what}: {} was altered", exchange.id);
            }
            assert_eq!(read, due, "{what}: exactly the intact exchanges are read");
            let lost = truth.len() - due.len();
            let named: u64 = found.missing.iter().map(|missing| missing.count).sum();
            assert_eq!(named, lost as u64, "{what}: {found:?}");
            assert!(failed <= lost, "{what}");
            // Losses are reported, and nothing intact is called damaged.
            assert!(lost == 0 || !found.is_whole(), "{what}: {found:?}");
            assert_eq!(found.exchanges as usize, read.len(), "{what}: {found:?}");
            lossy += usize::from(lost > 0);
        }
    }
    assert!(lossy as u64 * 5 > copies() * 7, "hardly anything was lost: {lossy}");
}

#[test]
fn regression_the_first_block_behind_a_header_that_lost_bytes_was_not_read() {
    for cut in [1, 20, 54] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        log_of_two(&data);
        let all = whole(&Log::open_read_only(&data, &nightaudit_mews::API).unwrap()).0.len();
        for path in segments(&data) {
            let mut bytes = fs::read(&path).unwrap();
            bytes.drain(9..9 + cut);
            fs::write(path, bytes).unwrap();
        }
        // Twice as a reader: the second one has the index of the first.
        for owner in [false, false, true, false] {
            let log = match owner {
                true => Log::open(config(&data)).unwrap(),
                false => Log::open_read_only(&data, &nightaudit_mews::API).unwrap(),
            };
            let found = log.check(&mut |_| {}).unwrap();
            assert_eq!(whole(&log).0.len(), all, "{cut}, {owner}: {found:?}");
            assert!(!found.is_whole() && found.missing.is_empty(), "{cut}, {owner}: {found:?}");
        }
    }
}

#[test]
fn regression_sessions_and_segments_removed_under_an_owner_were_noticed_only_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    log_of_two(&data);
    // More files than one check covers.
    let log = Log::open(StoreConfig { session: Some("now".into()), segment_size: 4000, ..config(&data) }).unwrap();
    for number in 0..80 {
        record_all(&log, [of(&format!("small {number}"), 3000 + number)]);
        log.end_session(&format!("small {number}")).unwrap();
    }
    record(&log, 5000..5001);
    let wait_for = |missing: u64| {
        while log.status().missing != missing {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    wait_for(0);
    let of_session = |name: &str| data.join("sessions").join(log.session(name).unwrap().id.to_string());
    let (certification, other, last) = (of_session("certification"), of_session("other"), of_session("small 79"));
    // A segment in the middle of an idle session; it is restored.
    let (segment, aside) = (certification.join("000002.seg"), dir.path().join("aside"));
    fs::rename(&segment, &aside).unwrap();
    while log.status().missing == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let missing = log.status().missing;
    let there = whole(&log).0.iter().filter(|exchange| &*exchange.session_name == "certification").count();
    assert_eq!(there as u64 + missing, 60);
    let missing_now = reported(&log.missing());
    assert!(
        missing_now.len() == 1 && missing_now[0].0 == "certification" && missing_now[0].1 == missing,
        "{missing_now:?}"
    );
    assert!(log.session("certification").unwrap().incomplete);
    fs::rename(&aside, &segment).unwrap();
    wait_for(0);
    assert_eq!(log.missing(), []);
    // Whole sessions.
    fs::rename(&other, &aside).unwrap();
    fs::remove_dir_all(&last).unwrap();
    wait_for(25);
    let mut names: Vec<_> = reported(&log.missing()).into_iter().map(|(name, count, _)| (name, count)).collect();
    names.sort();
    assert_eq!(names, [("other".to_owned(), 24), ("small 79".to_owned(), 1)]);
    assert!(matches!(log.session("other"), Err(SessionError::Gone { exchanges: 24, .. })));
    assert!(log.status().failing.is_none(), "others are still recorded");
    record(&log, 5001..5002);
    // Deleting it forgets it; a later session of its name is a new one.
    assert_eq!(log.delete_session("small 79").unwrap().missing, 1);
    wait_for(24);
    record_all(&log, [of("other", 6000)]);
    assert_eq!(log.session("other").unwrap().exchanges, 1);
    drop(log);
    fs::rename(&aside, &other).unwrap();
    let found = check(&data);
    assert!(found.is_whole() && found.exchanges == 84 + 79 + 2 + 1, "{found:?}");
}

#[test]
fn regression_sessions_that_were_deleted_one_after_another_were_called_missing() {
    const SESSIONS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let [data, killed, again] = ["data", "killed", "again"].map(|name| dir.path().join(name));
    let log = Log::open(config(&data)).unwrap();
    for number in 0..SESSIONS {
        let name = format!("session {number:03}");
        record_all(&log, [of(&name, number)]);
        log.end_session(&name).unwrap();
    }
    drop(log);
    copy(&data, &killed);

    // The index still has them when it is opened next.
    let deleted = Log::delete_unopened(&config(&data), DeleteTarget::EndedBefore(Timestamp::from_micros(i64::MAX)));
    assert_eq!(deleted.unwrap().exchanges, SESSIONS);
    assert_eq!(Log::open(config(&data)).unwrap().missing(), []);

    // And it may have them again, if the process is killed before the index is on the disk, and the next one, too.
    let log = Log::open(config(&killed)).unwrap();
    (0..SESSIONS).for_each(|number| drop(log.delete_session(&format!("session {number:03}")).unwrap()));
    copy(&killed, &again);
    drop(log);
    let log = Log::open(config(&again)).unwrap();
    assert_eq!(log.missing(), []);
    let last = dir.path().join("last");
    copy(&again, &last);
    drop(log);
    assert_eq!(Log::open(config(&last)).unwrap().missing(), []);
}

#[test]
fn regression_a_removed_folder_of_an_open_session_that_was_not_the_current_one_stopped_all_recording() {
    for (what, is_noticed) in [("folder", true), ("folder", false), ("segment", true), ("segment", false)] {
        let dir = tempfile::tempdir().unwrap();
        let (data, aside) = (dir.path().join("data"), dir.path().join("aside"));
        let log = Log::open(config(&data)).unwrap();
        record(&log, 0..3);
        record_all(&log, (100..103).map(|number| of("suite", number)));
        let folder = data.join("sessions").join(log.session("suite").unwrap().id.to_string());
        let gone = if what == "folder" { folder.clone() } else { folder.join("000001.seg") };
        fs::rename(&gone, &aside).unwrap();
        while is_noticed && log.status().missing == 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        record_all(&log, [of("suite", 200)]);
        record(&log, 3..4);
        record_all(&log, [of("suite", 201)]);
        assert_eq!(log.status().failing, None, "{what}");
        assert_eq!((log.status().missing, log.status().unrecorded), (3, 0), "{what}");
        let found = log.check(&mut |_| {}).unwrap();
        assert_eq!(reported(&found.missing), [("suite".to_owned(), 3, vec![(1, 3)])], "{what}: {found:?}");
        assert_eq!(log.close().recorded, 9, "{what}");
        drop(log);
        for owner in [false, true, false] {
            let log = match owner {
                true => Log::open(config(&data)).unwrap(),
                false => Log::open_read_only(&data, &nightaudit_mews::API).unwrap(),
            };
            let (there, failed) = whole(&log);
            let ids: Vec<_> = there.iter().map(|exchange| exchange.id).collect();
            let due: Vec<_> = [0, 1, 2, 200, 3, 201].map(crate::support::id).into();
            assert_eq!((ids, failed), (due, 0), "{what}");
            let missing: u64 = log.check(&mut |_| {}).unwrap().missing.iter().map(|missing| missing.count).sum();
            assert_eq!((missing, log.status().missing), (3, 3), "{what}");
        }
    }
}

#[test]
fn regression_a_session_got_the_id_of_one_that_was_lost_and_hid_the_loss() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    // All in one millisecond: the more there are, the more likely a new one has the id after the newest.
    for number in 0..20 {
        record_all(&log, [of(&format!("session {number}"), number)]);
    }
    let lost = log.session("session 19").unwrap().id;
    fs::remove_dir_all(dir.path().join("sessions").join(lost.to_string())).unwrap();
    while log.status().missing == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    record_all(&log, [of("session 19", 20)]);
    assert_ne!(log.session("session 19").unwrap().id, lost);
    drop(log);
    let log = Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap();
    assert_eq!(log.missing().iter().map(|missing| missing.session).collect::<Vec<_>>(), [lost]);
}

#[test]
fn regression_the_first_reader_reported_a_loss_and_later_ones_called_the_log_whole() {
    for what in ["a truncated segment", "a session"] {
        let dir = tempfile::tempdir().unwrap();
        let (data, killed) = (dir.path().join("data"), dir.path().join("killed"));
        let log = Log::open(config(&data)).unwrap();
        record(&log, 0..5);
        log.start_session("certification").unwrap();
        let ledger = fs::read(data.join("ledger")).unwrap();
        (1..20).for_each(|round| record(&log, round * 5..round * 5 + 5));
        let end = log.info().segment_bytes;
        copy(&data, &killed);
        // As if it was killed before the ledger followed; only the index knows what comes after.
        fs::write(killed.join("ledger"), ledger).unwrap();
        assert_eq!(check(&killed).exchanges, 100);
        let segment = segments(&killed).remove(0);
        match what {
            "a session" => fs::remove_dir_all(segment.parent().unwrap()).unwrap(),
            _ => fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(end / 2).unwrap(),
        }
        let first = check(&killed);
        assert_eq!(first.exchanges + first.missing.iter().map(|missing| missing.count).sum::<u64>(), 100, "{first:?}");
        for owner in [false, false, true, false] {
            let found = match owner {
                true => Log::open(config(&killed)).unwrap().check(&mut |_| {}).unwrap(),
                false => check(&killed),
            };
            assert_eq!(reported(&found.missing), reported(&first.missing), "{what}: {found:?}");
            assert!(!found.is_whole() && found.exchanges == first.exchanges, "{what}: {found:?}");
        }
    }
}
