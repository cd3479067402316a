//! The memory of a long body while it passes.

use std::{fmt, io, sync::Arc};

use bytes::{Bytes, BytesMut};

/// How much is packed at once, in bytes.
const BLOCK: usize = 128 << 10;

/// zstd's fastest regular level: blocks are packed on the way of a response.
const LEVEL: i32 = 1;

/// So many blocks that can't be packed show that the rest can't either: an image, say, or what is compressed already.
const MISSES: usize = 2;

/// Takes blocks of long bodies that can't be compressed, so that they need no memory until they are recorded.
pub trait Spill: fmt::Debug + Send + Sync {
    /// Takes a block of at most [`PackedBytes::BLOCK`] bytes; `None` if it can't, so that the block stays in memory.
    fn write(&self, block: &[u8]) -> Option<Box<dyn Spilled>>;
}

/// A block that was taken. Dropping it makes room for others.
pub trait Spilled: Send + Sync {
    /// Reads it back.
    ///
    /// # Errors
    ///
    /// The I/O error, or that the block isn't what was written.
    fn read(&self) -> io::Result<Bytes>;
}

/// Bytes in blocks, each compressed where that saves memory. If most can't be, they are spilled, where there is a place.
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
    spill: Option<Arc<dyn Spill>>,
    /// The block that is being filled.
    open: Vec<u8>,
    length: usize,
    misses: usize,
}

enum Block {
    Zstd(Box<[u8]>),
    Plain(Bytes),
    Spilled(Box<dyn Spilled>),
}

impl PackedBytes {
    /// How much is packed at once, in bytes.
    pub const BLOCK: usize = BLOCK;

    /// No bytes yet; what can't be compressed goes to `spill`.
    #[must_use]
    pub fn spilling(spill: Option<Arc<dyn Spill>>) -> Self {
        Self { spill, ..Self::default() }
    }

    /// Whether the next [`push`](Self::push) may spill. Before the first of these, all bytes are in memory.
    #[must_use]
    pub fn may_spill(&self) -> bool {
        self.misses >= MISSES && self.spill.is_some()
    }

    /// Appends a copy of these bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        let spill = self.spill.clone().filter(|_| self.may_spill());
        while !bytes.is_empty() {
            if self.open.capacity() == 0 {
                self.open = Vec::with_capacity(BLOCK);
            }
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK - self.open.len()));
            self.open.extend_from_slice(fits);
            bytes = rest;
            if self.open.len() == BLOCK {
                self.close(spill.as_deref());
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
            Block::Spilled(_) => 0,
        };
        self.open.capacity() + self.blocks.iter().map(block).sum::<usize>()
    }

    /// Passes all bytes to `read`, block by block, up to one that can't be read back.
    pub fn read(&self, mut read: impl FnMut(&[u8])) {
        if self.blocks.iter().all(|block| block.read(&mut read)) {
            read(&self.open);
        }
    }

    /// The bytes, up to a block that can't be read back.
    #[must_use]
    pub fn unpack(self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.length);
        self.append_to(&mut whole);
        whole.freeze()
    }

    /// Appends the bytes, and drops each block once it is appended, so that a large body is not held twice.
    pub(crate) fn append_to(self, out: &mut BytesMut) {
        if self.blocks.into_iter().all(|block| block.read(|bytes| out.extend_from_slice(bytes))) {
            out.extend_from_slice(&self.open);
        }
    }

    fn close(&mut self, spill: Option<&dyn Spill>) {
        if let Some(spilled) = spill.and_then(|spill| spill.write(&self.open)) {
            self.blocks.push(Block::Spilled(spilled));
            self.open.clear();
            return;
        }
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
    /// Passes its bytes to `read`; returns false if they can't be read back.
    fn read(&self, mut read: impl FnMut(&[u8])) -> bool {
        match self {
            Self::Plain(bytes) => read(bytes),
            Self::Zstd(packed) => match zstd::bulk::decompress(packed, BLOCK) {
                Ok(bytes) => read(&bytes),
                Err(_) => return false,
            },
            Self::Spilled(spilled) => match spilled.read() {
                Ok(bytes) => read(&bytes),
                Err(_) => return false,
            },
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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

    /// Takes so many blocks, and can read back so many.
    #[derive(Debug, Default)]
    struct Place {
        takes: usize,
        reads: usize,
        taken: Mutex<usize>,
    }

    struct Taken(io::Result<Bytes>);

    impl Spill for Place {
        fn write(&self, block: &[u8]) -> Option<Box<dyn Spilled>> {
            let mut taken = self.taken.lock().unwrap();
            *taken += 1;
            let bytes =
                if *taken <= self.reads { Ok(Bytes::copy_from_slice(block)) } else { Err(io::ErrorKind::Other.into()) };
            (*taken <= self.takes).then(|| Box::new(Taken(bytes)) as _)
        }
    }

    impl Spilled for Taken {
        fn read(&self) -> io::Result<Bytes> {
            self.0.as_ref().map(Bytes::clone).map_err(|error| error.kind().into())
        }
    }

    #[test]
    fn what_cannot_be_compressed_is_spilled_while_there_is_a_place_for_it() {
        let noise = noise(20 * BLOCK + 5);
        for takes in [0, 3, 100] {
            let place = Arc::new(Place { takes, reads: 100, ..Place::default() });
            let mut packed = PackedBytes::spilling(Some(place));
            let mut before = Vec::new();
            for piece in noise.chunks(BLOCK / 2) {
                if !packed.may_spill() {
                    before.extend_from_slice(piece);
                }
                packed.push(piece);
            }
            assert_eq!(before.len(), 2 * BLOCK, "the first blocks show that the rest is noise");
            assert_eq!(packed.memory(), packed.open.capacity() + (20 - takes.min(18)) * BLOCK, "{takes}");
            assert_eq!(packed.unpack(), noise);
        }
    }

    #[test]
    fn what_cannot_be_read_back_ends_the_bytes_there() {
        let noise = noise(9 * BLOCK + 5);
        let mut packed = PackedBytes::spilling(Some(Arc::new(Place { takes: 100, reads: 4, ..Place::default() })));
        noise.chunks(1000).for_each(|piece| packed.push(piece));
        let mut read = Vec::new();
        packed.read(|bytes| read.extend_from_slice(bytes));
        assert_eq!(read, &noise[..6 * BLOCK]);
        assert_eq!(packed.unpack(), &noise[..6 * BLOCK]);
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
