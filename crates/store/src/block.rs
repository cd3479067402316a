//! A block: the records of one batch, compressed, with a checksum. Specified in `FORMAT.md`.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
};

use bytes::Bytes;
use nightaudit_exchange::SessionId;

/// The magic number of a block.
pub(crate) const MAGIC: [u8; 4] = *b"NAB1";
/// The size of a block's header, in bytes.
pub(crate) const HEAD: usize = 28;
/// The unpacked size at which a block is full, in bytes. Kept small because reading one exchange unpacks one block.
pub(crate) const TARGET: usize = 192 << 10;
/// The maximum size of an unpacked block; one exchange with two bodies can be this large.
pub(crate) const MAX_RAW: usize = 512 << 20;

/// The initial value of a segment's checksums, from the session and the segment's number: bytes inside a recorded body,
/// or a block of another segment, never pass for a block of this segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn new(session: SessionId, segment: u32) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&session.to_bytes()), &segment.to_le_bytes()))
    }

    pub(crate) fn sum(self, parts: [&[u8]; 2]) -> u32 {
        parts.iter().fold(self.0, |sum, part| crc32c::crc32c_append(sum, part))
    }
}

/// A block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) count: u32,
    pub(crate) first: u64,
    sum: u32,
}

impl Head {
    pub(crate) fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let first = u64::from(word(16)) | u64::from(word(20)) << 32;
        let head = Self { stored: word(4), raw: word(8), count: word(12), first, sum: word(24) };
        (bytes[..4] == MAGIC && head.count > 0 && head.raw as usize <= MAX_RAW).then_some(head)
    }

    /// The block's length in the file.
    pub(crate) fn length(self) -> u64 {
        HEAD as u64 + u64::from(self.stored)
    }
}

/// Packs blocks.
pub(crate) struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    level: i32,
}

impl Packer {
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(level)?, level })
    }

    /// Appends a block of the records in `raw` followed by `tail` to `out`. On failure the contents of `out` after its
    /// previous end are unspecified.
    pub(crate) fn pack(
        &mut self,
        salt: Salt,
        raw: &[u8],
        tail: &[Bytes],
        count: u32,
        first: u64,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let start = out.len();
        let length = raw.len() + tail.iter().map(Bytes::len).sum::<usize>();
        out.reserve(HEAD + zstd::zstd_safe::compress_bound(length));
        out.extend_from_slice(&[0; HEAD]);
        // Compress in place, so that a large block is not in memory twice.
        let stored = if tail.is_empty() {
            let mut payload = io::Cursor::new(&mut *out);
            payload.set_position((start + HEAD) as u64);
            self.zstd.compress_to_buffer(raw, &mut payload)?
        } else {
            let mut payload = zstd::stream::write::Encoder::new(&mut *out, self.level)?;
            payload.set_pledged_src_size(Some(length as u64))?;
            payload.write_all(raw)?;
            tail.iter().try_for_each(|part| payload.write_all(part))?;
            payload.finish()?.len() - start - HEAD
        };
        let size = |length: usize| u32::try_from(length).map_err(|_| io::Error::other("a block above 4 GiB"));
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&size(stored)?.to_le_bytes());
        head[8..12].copy_from_slice(&size(length)?.to_le_bytes());
        head[12..16].copy_from_slice(&count.to_le_bytes());
        head[16..24].copy_from_slice(&first.to_le_bytes());
        let sum = salt.sum([&head[..24], &out[start + HEAD..]]);
        head[24..28].copy_from_slice(&sum.to_le_bytes());
        out[start..start + HEAD].copy_from_slice(&head);
        Ok(())
    }
}

/// Why a block can't be read.
#[derive(Debug)]
pub(crate) enum BlockError {
    /// The file can't be read.
    Io(io::Error),
    /// The bytes are not a valid block.
    Bytes(String),
}

/// Reads blocks.
pub(crate) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
}

impl Unpacker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, stored: Vec::new() })
    }

    /// Reads the block at `offset` of a file of `length` bytes and verifies its checksum, without unpacking.
    pub(crate) fn read(&mut self, file: &fs::File, length: u64, offset: u64, salt: Salt) -> Result<Head, BlockError> {
        let truncated = || BlockError::Bytes("a block is truncated".to_owned());
        if length.saturating_sub(offset) < HEAD as u64 {
            return Err(truncated());
        }
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, offset).map_err(BlockError::Io)?;
        let parsed = Head::parse(&head).ok_or_else(|| BlockError::Bytes("no block starts there".to_owned()))?;
        if length - offset < parsed.length() {
            return Err(truncated());
        }
        self.stored.resize(parsed.stored as usize, 0);
        file.read_exact_at(&mut self.stored, offset + HEAD as u64).map_err(BlockError::Io)?;
        if salt.sum([&head[..24], &self.stored]) != parsed.sum {
            return Err(BlockError::Bytes("a block's checksum is wrong".to_owned()));
        }
        Ok(parsed)
    }

    /// Unpacks the last block read.
    pub(crate) fn unpack(&mut self, head: Head) -> Result<Bytes, BlockError> {
        let raw = self.zstd.decompress(&self.stored, head.raw as usize);
        if self.stored.capacity() > 1 << 20 {
            self.stored = Vec::new();
        }
        match raw {
            Ok(raw) if raw.len() == head.raw as usize => Ok(raw.into()),
            Ok(_) => Err(BlockError::Bytes("a block is shorter than its header says".to_owned())),
            Err(error) => Err(BlockError::Bytes(format!("a block can't be unpacked: {error}"))),
        }
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_packed_from_one_part_or_several_round_trips(
            raw in prop::collection::vec(any::<u8>(), 1..300),
            tail in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
            before in 0..40_usize,
        ) {
            let salt = Salt::new(SessionId::from_parts(1, 1), 1);
            let mut out = vec![7; before];
            let parts: Vec<Bytes> = tail.iter().cloned().map(Bytes::from).collect();
            Packer::new(1).unwrap().pack(salt, &raw, &parts, 3, 9, &mut out).unwrap();
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&out, 0).unwrap();
            let mut unpacker = Unpacker::new().unwrap();
            let head = unpacker.read(&file, out.len() as u64, before as u64, salt).unwrap();
            prop_assert_eq!((head.count, head.first, head.length()), (3, 9, (out.len() - before) as u64));
            prop_assert_eq!(&unpacker.unpack(head).unwrap()[..], [raw, tail.concat()].concat());
        }
    }
}
