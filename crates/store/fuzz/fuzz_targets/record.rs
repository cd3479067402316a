//! Arbitrary bytes as the records of a block.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// The offsets of a record's three lengths and of their end; see `FORMAT.md`.
const LENGTHS: usize = 49;
const HEAD: usize = 61;

fuzz_target!(|bytes: &[u8]| {
    nightaudit_store::fuzzing::records(&Bytes::copy_from_slice(bytes));
    if let Some(record) = whole(bytes) {
        nightaudit_store::fuzzing::records(&record);
    }
});

/// The bytes as one record with the length of its metadata corrected: otherwise hardly any mutation that inserts or
/// removes bytes would get past the lengths.
fn whole(bytes: &[u8]) -> Option<Bytes> {
    let rest = bytes.len().checked_sub(HEAD)?;
    let mut record = bytes.to_vec();
    record[0] = 1;
    let length = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]) as usize;
    let (request, answer) = (length(LENGTHS + 4), length(LENGTHS + 8));
    let metadata = rest.checked_sub(request.checked_add(answer)?)?;
    record[LENGTHS..LENGTHS + 4].copy_from_slice(&u32::try_from(metadata).ok()?.to_le_bytes());
    Some(record.into())
}
