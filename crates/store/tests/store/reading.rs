//! Long reads and recording don't block each other.

use std::sync::Arc;

use nightaudit_exchange::Capture;
use nightaudit_store::{Durability, Log, OpenError, Query, StoreConfig};

use crate::{
    disks::TestDisk,
    support::{capture, config, poll, record, record_all, wait},
};

#[test]
fn a_reader_continues_while_another_process_owns_compacts_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path())).unwrap();
    for number in 0..700 {
        // Small blocks, which compaction will move.
        if number % 7 == 0 {
            record(&log, number..number + 7);
        }
    }
    let other = |number| Capture { session: Some("other".into()), ..capture(number) };
    record_all(&log, (2000..2010).map(other));
    log.end_session("certification").unwrap();
    drop(log);

    let reader = Log::open_read_only(dir.path(), &nightaudit_mews::API).unwrap();
    let mut exchanges = reader.query(Query::default()).unwrap();
    let mut seen: Vec<u64> = Vec::new();
    let number = |exchange: &nightaudit_exchange::Exchange| exchange.request_id().unwrap()[4..].parse().unwrap();
    seen.extend(exchanges.by_ref().take(100).map(|exchange| number(&exchange.unwrap())));

    let owner = Log::open(config(dir.path())).unwrap();
    assert_eq!(owner.opened().rebuilt, None);
    assert!(matches!(Log::open_read_only(dir.path(), &nightaudit_mews::API), Err(OpenError::Locked { .. })));
    record(&owner, 3000..3010);
    assert!(owner.compact(&mut |_| {}).unwrap().segments > 0);
    owner.end_session("other").unwrap();
    owner.delete_session("other").unwrap();

    seen.extend(exchanges.map(|exchange| number(&exchange.unwrap())));
    assert_eq!(seen, (0..700).collect::<Vec<_>>());
    assert_eq!(reader.get(crate::support::id(555)).unwrap().map(|exchange| number(&exchange)), Some(555));
    assert!(reader.get(crate::support::id(2003)).unwrap().is_none());
    assert_eq!(owner.check(&mut |_| {}).unwrap().damage, []);
    // Nothing is left behind but what the format lists.
    assert!(!dir.path().join("index.copy").exists());
    assert!(!dir.path().join("index.broken").exists());
}

#[test]
fn the_backlog_of_a_slow_disk_is_bounded_in_bytes_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let config = StoreConfig {
        disk: Arc::new(disk.clone()),
        max_backlog: 100_000,
        durability: Durability::Sync,
        ..config(dir.path())
    };
    let log = Log::open(config).unwrap();
    record(&log, 0..1);
    disk.hold();
    let large = |number: u64| {
        let body = nightaudit_exchange::CapturedBody::whole(vec![b'x'; 60_000].into());
        let capture = capture(number);
        let response = capture.response.map(|response| nightaudit_exchange::CapturedResponse { body, ..response });
        Capture { response, ..capture }
    };
    let recorder = log.recorder();
    // Exchanges that already have a permit are recorded, whatever their size.
    let permits: Vec<_> = (0..4).map(|_| wait(recorder.reserve()).unwrap()).collect();
    let receipts: Vec<_> = permits.into_iter().zip(1..).map(|(permit, number)| permit.record(large(number))).collect();
    let mut reserving = Box::pin(recorder.reserve());
    assert!(poll(&mut reserving).is_none(), "admitted above the backlog limit");
    disk.release();
    wait(wait(reserving).unwrap().record(large(5)));
    receipts.into_iter().for_each(wait);
    assert_eq!(log.close().recorded, 6);
}
