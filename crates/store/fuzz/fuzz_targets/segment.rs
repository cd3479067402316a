//! Arbitrary bytes as a segment: as they are, and with corrected checksums, without which hardly any would be parsed.

#![no_main]

use std::{cell::RefCell, fs::File, os::unix::fs::FileExt as _};

use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

/// The lengths of the parts with a checksum; see `FORMAT.md`.
const HEADER: usize = 64;
const BLOCK: usize = 28;
const FOOTER: usize = 60;
/// Blocks that claim to unpack to more are skipped: the fuzzer would only find that memory is finite.
const MOST: u32 = 16 << 20;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a temporary file"));
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    FILE.with_borrow(|file| {
        read(file, &bytes);
        fix_checksums(&mut bytes);
        read(file, &bytes);
    });
});

fn read(file: &NamedTempFile, bytes: &[u8]) {
    let written = |file: &File| file.set_len(0).and_then(|()| file.write_all_at(bytes, 0));
    written(file.as_file()).expect("a temporary file");
    nightaudit_store::fuzzing::segment(file.path()).expect("no bytes are an error of the operating system");
}

/// Corrects the checksums of the header and of everything that starts like a block or footer.
fn fix_checksums(bytes: &mut [u8]) {
    if bytes.len() < HEADER {
        return;
    }
    let sum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&sum.to_le_bytes());
    let salt = crc32c::crc32c_append(crc32c::crc32c(&bytes[16..32]), &bytes[12..16]);
    let mut at = HEADER;
    while at + BLOCK <= bytes.len() {
        let rest = &mut bytes[at..];
        let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let end = BLOCK.saturating_add(number(4) as usize);
        if rest.starts_with(b"NAB1") && end <= rest.len() && number(8) <= MOST {
            let sum = crc32c::crc32c_append(crc32c::crc32c_append(salt, &rest[..24]), &rest[BLOCK..end]);
            rest[24..28].copy_from_slice(&sum.to_le_bytes());
            at += end;
        } else if rest.starts_with(b"NAF1") && rest.len() >= FOOTER {
            let sum = crc32c::crc32c_append(salt, &rest[..56]);
            rest[56..60].copy_from_slice(&sum.to_le_bytes());
            at += FOOTER;
        } else {
            at += 1;
        }
    }
}
