//! A segment: a file of blocks. Specified in `FORMAT.md`.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nightaudit_exchange::{Digest, SessionId};

use crate::{
    block::{self, BlockError, Head, Salt, Unpacker},
    record::{self, Record},
};

/// The magic number of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"NAUDLOG\n";
/// The version of the format written.
pub(crate) const FORMAT: u16 = 1;
/// The size of a segment's header, in bytes.
pub(crate) const HEADER: usize = 64;
/// The magic number of a footer.
const FOOTER_MAGIC: [u8; 4] = *b"NAF1";
/// The size of a footer, in bytes.
pub(crate) const FOOTER: usize = 60;

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) session: SessionId,
    pub(crate) first: u64,
    /// Unique to each file that ever had this segment's name, so that the index notices a new one.
    pub(crate) generation: u64,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.session.to_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.generation.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a file's header; the error says what is wrong with it.
    pub(crate) fn read(file: &fs::File) -> Result<Self, String> {
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, 0).map_err(|error| format!("the header can't be read: {error}"))?;
        let eight = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        if bytes[..8] != MAGIC {
            return Err("this is not a segment of a log".to_owned());
        }
        if bytes[60..] != crc32c::crc32c(&bytes[..60]).to_le_bytes() {
            return Err("the header's checksum is wrong".to_owned());
        }
        let format = u16::from_le_bytes([bytes[8], bytes[9]]);
        if format != FORMAT {
            return Err(format!("format {format}, which only a later version of this program reads"));
        }
        Ok(Self {
            number: u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
            session: SessionId::from_bytes(bytes[16..32].try_into().unwrap_or_default()),
            first: eight(32),
            generation: eight(40),
        })
    }
}

/// A segment's footer, which seals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The footer's own offset, so that lost or inserted bytes are noticed.
    pub(crate) at: u64,
    /// The last sequence number.
    pub(crate) last: u64,
    /// The last exchange's hash.
    pub(crate) hash: Digest,
}

impl Footer {
    pub(crate) fn to_bytes(self, salt: Salt) -> [u8; FOOTER] {
        let mut bytes = [0; FOOTER];
        bytes[..4].copy_from_slice(&FOOTER_MAGIC);
        bytes[8..16].copy_from_slice(&self.at.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.last.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.hash.0);
        let sum = salt.sum([&bytes[..56], &[]]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8; FOOTER], salt: Salt) -> Option<Self> {
        let eight = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        (bytes[..4] == FOOTER_MAGIC && bytes[56..] == salt.sum([&bytes[..56], &[]]).to_le_bytes()).then(|| Self {
            at: eight(8),
            last: eight(16),
            hash: Digest(bytes[24..56].try_into().unwrap_or_default()),
        })
    }
}

/// Whether the file of this length ends with a footer.
pub(crate) fn is_sealed(file: &fs::File, length: u64, salt: Salt) -> io::Result<bool> {
    let Some(at) = length.checked_sub(FOOTER as u64).filter(|at| *at >= HEADER as u64) else { return Ok(false) };
    let mut bytes = [0; FOOTER];
    file.read_exact_at(&mut bytes, at)?;
    Ok(Footer::parse(&bytes, salt).is_some_and(|footer| footer.at == at))
}

/// Whether more was written to the file of this length than zeros or a part of the header: if not, the disk was full or
/// a crash came before anything was recorded in it.
pub(crate) fn is_begun(file: &fs::File, length: u64) -> io::Result<bool> {
    Ok(length >= HEADER as u64 && !is_space(file, 0, length)?)
}

/// Whether there are only zeros from `from` to the end of the file of this length.
fn is_space(file: &fs::File, from: u64, length: u64) -> io::Result<bool> {
    let mut window = vec![0; 64 << 10];
    let mut start = from;
    while start < length {
        let read = usize::try_from(length - start).map_or(window.len(), |left| left.min(window.len()));
        file.read_exact_at(&mut window[..read], start)?;
        if window[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        start += read as u64;
    }
    Ok(true)
}

/// The offset of the block that should hold an exchange, by the blocks' headers; `None` if none should.
pub(crate) fn find(path: &Path, sequence: u64) -> io::Result<Option<u64>> {
    let file = fs::File::open(path)?;
    let (length, mut at, mut found) = (file.metadata()?.len(), HEADER as u64, None);
    let mut bytes = [0; block::HEAD];
    while at + block::HEAD as u64 <= length {
        file.read_exact_at(&mut bytes, at)?;
        let Some(head) = Head::parse(&bytes).filter(|head| head.first <= sequence) else { break };
        found = Some(at);
        at += head.length();
    }
    Ok(found)
}

/// The path of a session's segment.
pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:06}.seg"))
}

/// The numbers of the segments in a session's folder, in order.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        numbers.extend(number.filter(|digits| digits.len() == 6).and_then(|digits| digits.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A block found in a segment.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) raw: Bytes,
    pub(crate) records: Vec<Record>,
}

/// What a [`Walk`] finds.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole block.
    Block(Block),
    /// The footer.
    Footer(Footer),
    /// Bytes that belong to no block, from this offset to the next block.
    Damage(u64, String),
    /// Zeros from this offset to the file's end: preallocated space.
    Space(u64),
    /// Bytes that belong to no block, from this offset to the file's end.
    Tail(u64, String),
}

/// Reads a segment from start to end, skipping damage.
#[derive(Debug)]
pub(crate) struct Walk {
    file: fs::File,
    length: u64,
    salt: Salt,
    at: u64,
    unpacker: Unpacker,
}

impl Walk {
    /// Starts at `offset`, or after the header if that is 0.
    pub(crate) fn new(path: &Path, session: SessionId, number: u32, offset: u64) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let at = if offset == 0 { HEADER as u64 } else { offset };
        let mut walk = Self { file, length, salt: Salt::new(session, number), at, unpacker: Unpacker::new()? };
        if offset == 0 && Header::read(&walk.file).is_err() {
            // Of a header that has lost bytes, the first block begins sooner.
            walk.at = walk.resume(1)?.unwrap_or(at).min(at);
        }
        Ok(walk)
    }

    /// The end of the last nonzero byte; `from` if there is none after it.
    pub(crate) fn last_byte(&self, from: u64) -> io::Result<u64> {
        let mut window = vec![0; 64 << 10];
        let (mut start, mut last) = (from, from);
        while start < self.length {
            let length = usize::try_from(self.length - start).map_or(window.len(), |left| left.min(window.len()));
            self.file.read_exact_at(&mut window[..length], start)?;
            if let Some(index) = window[..length].iter().rposition(|byte| *byte != 0) {
                last = start + index as u64 + 1;
            }
            start += length as u64;
        }
        Ok(last)
    }

    /// The current offset.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// What is at the current offset; `None` at the file's end.
    pub(crate) fn step(&mut self) -> io::Result<Option<Step>> {
        if self.at >= self.length {
            return Ok(None);
        }
        let at = self.at;
        let what = match self.block(at) {
            Ok(block) => {
                self.at = block.end;
                return Ok(Some(Step::Block(block)));
            }
            Err(BlockError::Io(error)) => return Err(error),
            Err(BlockError::Bytes(what)) => what,
        };
        if let Some(footer) = self.footer(at)? {
            self.at = at + FOOTER as u64;
            return Ok(Some(Step::Footer(footer)));
        }
        if is_space(&self.file, at, self.length)? {
            self.at = self.length;
            return Ok(Some(Step::Space(at)));
        }
        match self.resume(at + 1)? {
            Some(next) => {
                self.at = next;
                Ok(Some(Step::Damage(at, what)))
            }
            None => {
                self.at = self.length;
                Ok(Some(Step::Tail(at, what)))
            }
        }
    }

    fn block(&mut self, at: u64) -> Result<Block, BlockError> {
        let head = self.unpacker.read(&self.file, self.length, at, self.salt)?;
        let raw = self.unpacker.unpack(head)?;
        let records = record::split(&raw, head.count, head.first).map_err(BlockError::Bytes)?;
        Ok(Block { offset: at, end: at + head.length(), raw, records })
    }

    fn footer(&self, at: u64) -> io::Result<Option<Footer>> {
        let mut bytes = [0; FOOTER];
        if self.length - at < FOOTER as u64 {
            return Ok(None);
        }
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Footer::parse(&bytes, self.salt))
    }

    /// The offset of the next intact block or footer at or after `from`.
    fn resume(&mut self, from: u64) -> io::Result<Option<u64>> {
        const WINDOW: usize = 256 << 10;
        let mut window = vec![0; WINDOW];
        let mut start = from;
        while start < self.length {
            let length = usize::try_from(self.length - start).unwrap_or(WINDOW).min(WINDOW);
            self.file.read_exact_at(&mut window[..length], start)?;
            for index in 0..length.saturating_sub(3) {
                let at = start + index as u64;
                let found = match &window[index..index + 4] {
                    magic if magic == block::MAGIC => match self.block(at) {
                        Ok(_) => true,
                        Err(BlockError::Io(error)) => return Err(error),
                        Err(BlockError::Bytes(_)) => false,
                    },
                    magic if magic == FOOTER_MAGIC => self.footer(at)?.is_some(),
                    _ => false,
                };
                if found {
                    return Ok(Some(at));
                }
            }
            if length < WINDOW {
                break;
            }
            // A magic number may straddle two windows.
            start += (WINDOW - 3) as u64;
        }
        Ok(None)
    }
}
