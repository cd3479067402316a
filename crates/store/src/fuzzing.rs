//! Entry points to the readers of segments and records for the fuzz targets in `fuzz/`, which could open a whole log
//! only a few dozen times a second. They panic if an invariant is violated, whatever the bytes.

use std::{fs, io, path::Path};

use bytes::Bytes;
use nightaudit_exchange::{Exchange, SessionId};

use crate::{
    block::Salt,
    index::Facts,
    record::{self, Record},
    segment::{self, HEADER, Header, Step, Walk},
};

/// Reads a segment from start to end, as opening and checking a log do.
///
/// # Errors
///
/// The error of the operating system; never caused by the bytes.
pub fn segment(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let header = Header::read(&file).ok();
    let (session, number) = header.map_or((SessionId::from_parts(0, 0), 1), |header| (header.session, header.number));
    segment::is_sealed(&file, length, Salt::new(session, number))?;
    let mut walk = Walk::new(path, session, number, 0)?;
    let mut before = walk.at();
    while let Some(step) = walk.step()? {
        let at = walk.at();
        assert!(at > before && at <= length, "from {before} to {at} of {length}: {step:?}");
        match step {
            Step::Block(block) => {
                assert_eq!((block.offset, block.end), (before, at));
                for record in &block.records {
                    one(record, &block.raw);
                    segment::find(path, record.sequence)?;
                }
            }
            Step::Footer(_) => {}
            Step::Damage(from, _) => assert_eq!(from, before),
            Step::Space(from) | Step::Tail(from, _) => {
                assert_eq!((from, at), (before, length));
                assert!((from..=length).contains(&walk.last_byte(from)?));
            }
        }
        before = at;
    }
    assert_eq!(before, length.max(HEADER as u64));
    Ok(())
}

/// Reads the records of an unpacked block.
pub fn records(block: &Bytes) {
    let first = block.get(1..9).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
    // The block's count is not under test: with the right number they are all read.
    for count in 0..8 {
        for record in record::split(block, count, first).unwrap_or_default() {
            one(&record, block);
        }
    }
}

/// Reads a record's exchange, and checks that it round-trips and that the index has the same data.
fn one(record: &Record, block: &Bytes) {
    let facts = Facts::parse(record.metadata(block)).map(|facts| facts.row(record.sequence, record.written));
    let exchange = record.exchange(block);
    let mut begun = record.clone();
    begun.begin_hash(block);
    assert_eq!(begun.exchange(block), exchange);
    let Ok(mut exchange) = exchange else { return };
    assert_eq!(facts, Ok(Facts::of(&exchange).row(record.sequence, record.written)));
    assert_eq!((exchange.sequence, exchange.previous_hash), (record.sequence, Some(record.previous)));
    // Only exports mask; the log never says that a body is masked.
    exchange.bodies_mut().for_each(|body| body.masked = false);
    let mut written = Vec::new();
    let hash = record::encode(&exchange, record.written, &mut written).chain(record.previous, &mut written);
    let written = Bytes::from(written);
    let again = record::split(&written, 1, record.sequence).and_then(|records| records[0].exchange(&written));
    // Unknown properties are dropped, so the metadata, and with it the hash, may differ.
    assert_eq!(again, Ok(Exchange { hash: Some(hash), ..exchange }));
}
