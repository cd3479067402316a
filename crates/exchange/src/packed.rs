//! The memory of a long body while it passes.

use bytes::{Bytes, BytesMut};

/// How much is packed at once, in bytes.
const BLOCK: usize = 128 << 10;

/// zstd's fastest regular level: blocks are packed on the way of a response.
const LEVEL: i32 = 1;

/// So many blocks that can't be packed show that the rest can't either: an image, say, or what is compressed already.
const MISSES: usize = 2;

/// Bytes in blocks, each compressed where that saves memory.
///
/// ```
/// # use nightaudit_exchange::PackedBytes;
/// let mut packed = PackedBytes::default();
/// (0..10_000).for_each(|_| packed.push(br#"{"Name":"Single room"},"#));
/// assert_eq!(packed.len(), 230_000);
/// assert_eq!(packed.unpack().len(), 230_000);
/// ```
#[derive(Default)]
pub struct PackedBytes {
    blocks: Vec<Block>,
    /// The block that is being filled.
    open: Vec<u8>,
    length: usize,
    misses: usize,
}

enum Block {
    Zstd(Box<[u8]>),
    Plain(Bytes),
}

impl PackedBytes {
    /// Appends a copy of these bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            if self.open.capacity() == 0 {
                self.open = Vec::with_capacity(BLOCK);
            }
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK - self.open.len()));
            self.open.extend_from_slice(fits);
            bytes = rest;
            if self.open.len() == BLOCK {
                self.close();
            }
        }
    }

    /// How many bytes there are, unpacked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How much memory the bytes take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let block = |block: &Block| match block {
            Block::Zstd(packed) => packed.len(),
            Block::Plain(bytes) => bytes.len(),
        };
        self.open.capacity() + self.blocks.iter().map(block).sum::<usize>()
    }

    /// Passes all bytes to `read`, block by block.
    pub fn read(&self, mut read: impl FnMut(&[u8])) {
        self.blocks.iter().for_each(|block| block.read(&mut read));
        read(&self.open);
    }

    /// The bytes.
    #[must_use]
    pub fn unpack(self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.length);
        self.append_to(&mut whole);
        whole.freeze()
    }

    /// Appends the bytes, and drops each block once it is appended, so that a large body is not held twice.
    pub(crate) fn append_to(self, out: &mut BytesMut) {
        for block in self.blocks {
            block.read(|bytes| out.extend_from_slice(bytes));
        }
        out.extend_from_slice(&self.open);
    }

    fn close(&mut self) {
        let packed = if self.misses < MISSES { zstd::bulk::compress(&self.open, LEVEL).ok() } else { None };
        match packed.filter(|packed| packed.len() < BLOCK / 8 * 7) {
            Some(packed) => {
                self.misses = 0;
                self.blocks.push(Block::Zstd(packed.into()));
                self.open.clear();
            }
            None => {
                self.misses += 1;
                self.blocks.push(Block::Plain(std::mem::take(&mut self.open).into()));
            }
        }
    }
}

impl Block {
    fn read(&self, mut read: impl FnMut(&[u8])) {
        match self {
            Self::Plain(bytes) => read(bytes),
            // What was packed here a moment ago can be unpacked.
            Self::Zstd(packed) => read(&zstd::bulk::decompress(packed, BLOCK).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that can't be compressed.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn json_takes_a_fraction_and_noise_no_more_than_itself() {
        let json = br#"{"Id":"8a5c2f","Name":"Single room"},"#.repeat(100_000);
        let mut packed = PackedBytes::default();
        json.chunks(5000).for_each(|piece| packed.push(piece));
        assert!(packed.memory() < json.len() / 10 + BLOCK, "{} of {}", packed.memory(), json.len());
        assert_eq!(packed.unpack(), json);
        let noise = noise(3_000_000);
        let mut packed = PackedBytes::default();
        noise.chunks(70_000).for_each(|piece| packed.push(piece));
        assert!(packed.memory() <= noise.len() + BLOCK, "{}", packed.memory());
        assert_eq!(packed.unpack(), noise);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]
        #[test]
        fn what_is_unpacked_is_what_was_pushed(parts in prop::collection::vec((any::<bool>(), 1_usize..400_000), 0..8)) {
            let (mut packed, mut whole) = (PackedBytes::default(), Vec::new());
            for (is_noise, length) in parts {
                let part = if is_noise { noise(length) } else { b"abc".repeat(length / 3 + 1) };
                packed.push(&part);
                whole.extend(part);
            }
            prop_assert_eq!(packed.len(), whole.len());
            let mut read = Vec::new();
            packed.read(|bytes| read.extend_from_slice(bytes));
            prop_assert!(read == whole && packed.unpack() == whole);
        }
    }
}
