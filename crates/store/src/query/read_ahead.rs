//! Reading blocks, directly and ahead of sequential readers.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use nightaudit_exchange::SessionId;

use crate::{
    block::{BlockError, Salt, Unpacker},
    index::BlockAt,
    meta, record,
    segment::{self, Block},
};

/// The location of a block.
pub(super) type BlockKey = (SessionId, BlockAt);

/// Reads blocks from the data folder; keeps the last segment open.
#[derive(Debug)]
pub(super) struct Blocks {
    dir: PathBuf,
    unpacker: Unpacker,
    file: Option<((SessionId, u32), fs::File)>,
}

impl Blocks {
    pub(super) fn new(dir: PathBuf) -> Result<Self, BlockError> {
        Ok(Self { dir, unpacker: Unpacker::new().map_err(BlockError::Io)?, file: None })
    }

    pub(super) fn read(&mut self, (session, at): BlockKey) -> Result<Block, BlockError> {
        let key = (session, at.segment);
        let file = match self.file.take() {
            Some((known, file)) if known == key => file,
            _ => {
                fs::File::open(segment::path(&meta::folder(&self.dir, session), at.segment)).map_err(BlockError::Io)?
            }
        };
        let (_, file) = self.file.insert((key, file));
        let length = file.metadata().map_err(BlockError::Io)?.len();
        let head = self.unpacker.read(file, length, at.offset, Salt::new(session, at.segment))?;
        let raw = self.unpacker.unpack(head)?;
        let records = record::split(&raw, head.count, head.first).map_err(BlockError::Bytes)?;
        Ok(Block { offset: at.offset, end: at.offset + head.length(), raw, records })
    }
}

/// A thread that unpacks the next blocks, and starts their hashes, while the previous ones are decoded.
#[derive(Debug)]
pub(super) struct ReadAhead {
    requests: Sender<BlockKey>,
    ready: Receiver<(BlockKey, Option<Block>)>,
    /// Requested blocks not taken yet, in order.
    in_flight: VecDeque<BlockKey>,
}

impl ReadAhead {
    /// Maximum number of blocks in flight: one being unpacked and one waiting.
    const MAX_IN_FLIGHT: usize = 2;

    /// `None` if no thread can be started.
    pub(super) fn start(dir: PathBuf) -> Option<Self> {
        let (requests, keys) = mpsc::channel();
        let (blocks, ready) = mpsc::channel();
        let work = move || {
            let Ok(mut reader) = Blocks::new(dir) else { return };
            while let Ok(key) = keys.recv() {
                let mut block = reader.read(key).ok();
                if let Some(Block { raw, records, .. }) = &mut block {
                    records.iter_mut().for_each(|record| record.begin_hash(raw));
                }
                if blocks.send((key, block)).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("log-ahead".to_owned()).spawn(work).ok()?;
        Some(Self { requests, ready, in_flight: VecDeque::new() })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.len() < Self::MAX_IN_FLIGHT
    }

    pub(super) fn request(&mut self, key: BlockKey) {
        if !self.in_flight.contains(&key) && self.requests.send(key).is_ok() {
            self.in_flight.push_back(key);
        }
    }

    /// A requested block; `None` if it was not requested or can't be read.
    pub(super) fn take(&mut self, key: BlockKey) -> Option<Block> {
        if !self.in_flight.contains(&key) {
            return None;
        }
        // Blocks before it were requested for exchanges that were skipped.
        while self.in_flight.pop_front().is_some() {
            match self.ready.recv() {
                Ok((found, block)) if found == key => return block,
                Ok(_) => {}
                Err(_) => self.in_flight.clear(),
            }
        }
        None
    }
}
