//! The in-memory log passes the conformance tests.

// Clippy allows it in test functions, and this file holds nothing but tests and what they share.
#![allow(clippy::unwrap_used)]

use nightaudit_exchange::Exchange;
use nightaudit_log::{
    FindError, Query, ReadError, ReadLog,
    testing::{MemoryLog, conformance, exchanges},
};

struct Memory(MemoryLog);

impl conformance::Engine for Memory {
    fn log(&self) -> &dyn ReadLog {
        &self.0
    }

    fn add(&self, session: Vec<Exchange>) {
        session.into_iter().for_each(|exchange| self.0.record(exchange));
    }
}

#[test]
fn the_in_memory_log_conforms() {
    conformance::run(|| Memory(MemoryLog::default()));
}

#[test]
fn a_damaged_exchange_is_an_error_in_its_position() {
    let log = MemoryLog::default();
    let all = exchanges(1, "a", 3);
    all.iter().cloned().for_each(|exchange| log.record(exchange));
    log.damage(all[1].id);
    let read: Vec<_> = log.query(Query::default()).unwrap().map(|result| result.map_err(|e| e.exchanges())).collect();
    assert_eq!(read[0].as_ref().unwrap().sequence, 1);
    assert_eq!(read[1].as_ref().unwrap_err(), &Some((all[1].session, 2, 2)));
    assert_eq!(read[2].as_ref().unwrap().sequence, 3);
    assert!(matches!(log.find(&all[1].id.to_string()), Err(FindError::Read(ReadError::Damaged(_)))));
}
