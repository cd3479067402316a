//! What the index stores is compressed.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::Decompressor;

/// Maximum unpacked size of a stored chunk, in bytes: full lists of rows, blocks and texts, one of them oversized.
const MAX_UNPACKED: usize = 64 << 20;

pub(super) fn pack(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap_or_default()
}

/// Unpacks with a context that is kept: creating one takes longer than using it.
#[derive(Default)]
pub(super) struct Unpacker(Mutex<Option<Decompressor<'static>>>);

impl Unpacker {
    /// `None` if the bytes are damaged.
    pub(super) fn unpack(&self, packed: &[u8]) -> Option<Vec<u8>> {
        let capacity = Decompressor::upper_bound(packed).unwrap_or(MAX_UNPACKED).min(MAX_UNPACKED);
        // Who comes while it is in use gets a context of their own.
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut zstd = kept.map_or_else(Decompressor::new, Ok).ok()?;
        let raw = zstd.decompress(packed, capacity).ok();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(zstd);
        raw
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}
