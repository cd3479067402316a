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
    block::{Fault, Salt, Unpacker},
    index::BlockAt,
    meta, record,
    segment::{self, Block},
};

/// The location of a block.
pub(super) type Place = (SessionId, BlockAt);

/// Reads blocks from the data folder; keeps the last segment open.
#[derive(Debug)]
pub(super) struct Blocks {
    dir: PathBuf,
    unpacker: Unpacker,
    file: Option<((SessionId, u32), fs::File)>,
}

impl Blocks {
    pub(super) fn new(dir: PathBuf) -> Result<Self, Fault> {
        Ok(Self { dir, unpacker: Unpacker::new().map_err(Fault::Io)?, file: None })
    }

    pub(super) fn read(&mut self, (session, at): Place) -> Result<Block, Fault> {
        let key = (session, at.segment);
        let file = match self.file.take() {
            Some((known, file)) if known == key => file,
            _ => fs::File::open(segment::path(&meta::folder(&self.dir, session), at.segment)).map_err(Fault::Io)?,
        };
        let (_, file) = self.file.insert((key, file));
        let length = file.metadata().map_err(Fault::Io)?.len();
        let head = self.unpacker.read(file, length, at.offset, Salt::new(session, at.segment))?;
        let raw = self.unpacker.unpack(head)?;
        let records = record::split(&raw, head.count, head.first).map_err(Fault::Bytes)?;
        Ok(Block { offset: at.offset, end: at.offset + head.length(), raw, records })
    }
}

/// A thread that unpacks the next blocks, and starts their hashes, while the previous ones are decoded.
#[derive(Debug)]
pub(super) struct Ahead {
    wanted: Sender<Place>,
    ready: Receiver<(Place, Option<Block>)>,
    /// Requested blocks not taken yet, in order.
    under_way: VecDeque<Place>,
}

impl Ahead {
    /// Maximum number of blocks in flight: one being unpacked and one waiting.
    const MOST: usize = 2;

    /// `None` if no thread can be started.
    pub(super) fn start(dir: PathBuf) -> Option<Self> {
        let (wanted, places) = mpsc::channel();
        let (blocks, ready) = mpsc::channel();
        let work = move || {
            let Ok(mut reader) = Blocks::new(dir) else { return };
            while let Ok(place) = places.recv() {
                let mut block = reader.read(place).ok();
                if let Some(Block { raw, records, .. }) = &mut block {
                    records.iter_mut().for_each(|record| record.begin_hash(raw));
                }
                if blocks.send((place, block)).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("log-ahead".to_owned()).spawn(work).ok()?;
        Some(Self { wanted, ready, under_way: VecDeque::new() })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.len() < Self::MOST
    }

    pub(super) fn want(&mut self, place: Place) {
        if !self.under_way.contains(&place) && self.wanted.send(place).is_ok() {
            self.under_way.push_back(place);
        }
    }

    /// A requested block; `None` if it was not requested or can't be read.
    pub(super) fn take(&mut self, place: Place) -> Option<Block> {
        if !self.under_way.contains(&place) {
            return None;
        }
        // Blocks before it were requested for exchanges that were skipped.
        while self.under_way.pop_front().is_some() {
            match self.ready.recv() {
                Ok((found, block)) if found == place => return block,
                Ok(_) => {}
                Err(_) => self.under_way.clear(),
            }
        }
        None
    }
}
