//! Reading exchanges from their blocks.

use std::{path::PathBuf, sync::Arc};

use nightaudit_exchange::{Exchange, SessionId};
use nightaudit_log::{Damage, ReadError};

use super::read_ahead::{BlockKey, Blocks, ReadAhead};
use crate::{
    block::BlockError,
    index::BlockAt,
    interrupted,
    segment::{self, Block},
    shared::Shared,
};

/// Number of blocks cached unpacked. Sessions recorded at the same time are read alternately, a block of each.
const MAX_CACHED: usize = 4;
/// Number of blocks read before the read-ahead thread starts: for a few it isn't worth it.
const READ_AHEAD_AFTER: usize = 4;
/// Smaller unpacked blocks, in bytes, are not worth handing between threads.
const MIN_READ_AHEAD: usize = 48 << 10;

/// Reads exchanges, caching the last blocks.
#[derive(Debug)]
pub(crate) struct Fetch {
    shared: Arc<Shared>,
    blocks: Option<Blocks>,
    pub(super) ahead: Option<ReadAhead>,
    /// The number of blocks read.
    read: usize,
    /// Their recent average size, in bytes.
    size: usize,
    cached: Vec<(BlockKey, Block)>,
}

impl Fetch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, blocks: None, ahead: None, read: 0, size: 0, cached: Vec::new() }
    }

    /// Whether to [`prepare`](Self::prepare) another block.
    pub(crate) fn is_idle(&self) -> bool {
        self.size >= MIN_READ_AHEAD && self.ahead.as_ref().is_some_and(ReadAhead::is_idle)
    }

    /// Requests a block in advance, once it is clear that many are read.
    pub(crate) fn prepare(&mut self, session: SessionId, at: BlockAt) {
        let key = (session, at);
        if let Some(ahead) = &mut self.ahead
            && self.size >= MIN_READ_AHEAD
            && at.segment != interrupted::SEGMENT
            && !self.cached.iter().any(|(known, _)| *known == key)
        {
            ahead.request(key);
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The exchange with this sequence number, at `at` according to the index; `None` if its session is gone.
    pub(crate) fn exchange(
        &mut self,
        session: SessionId,
        sequence: u64,
        at: BlockAt,
    ) -> Result<Option<Exchange>, ReadError> {
        if at.segment == interrupted::SEGMENT {
            return Ok(self.shared.interrupted.get(&(session, sequence)).cloned());
        }
        let mut read = self.read(session, sequence, at);
        if read.is_err() && self.ahead.is_some() {
            // The other thread may have had a segment open that was replaced meanwhile.
            self.forget();
            read = self.read(session, sequence, at);
        }
        let error = match read {
            Ok(exchange) => return Ok(Some(exchange)),
            Err(error) => error,
        };
        if self.shared.index.is_detached() {
            return self.search(session, sequence, at).unwrap_or(Err(error));
        }
        // Compaction may have moved the block since the index was read.
        match self.shared.locate(session, sequence)? {
            Some(moved) => {
                self.forget();
                if moved == at { Err(error) } else { self.read(session, sequence, moved).map(Some) }
            }
            None if self.shared.sessions().contains_key(&session) => Err(error),
            None => Ok(None),
        }
    }

    /// Searches an exchange in its segment, which may have been compacted since the index was copied; `None` if it
    /// isn't there either.
    fn search(
        &mut self,
        session: SessionId,
        sequence: u64,
        at: BlockAt,
    ) -> Option<Result<Option<Exchange>, ReadError>> {
        let folder = self.shared.folder(session);
        if !folder.exists() {
            return Some(Ok(None));
        }
        self.forget();
        let offset = segment::find(&segment::path(&folder, at.segment), sequence).ok()??;
        (offset != at.offset).then(|| self.read(session, sequence, BlockAt { offset, ..at }).map(Some))
    }

    fn read(&mut self, session: SessionId, sequence: u64, at: BlockAt) -> Result<Exchange, ReadError> {
        let key = (session, at);
        let cached = match self.cached.iter().position(|(known, _)| *known == key) {
            Some(cached) => cached,
            None => {
                let block = self.block(key).map_err(|fault| match fault {
                    BlockError::Io(source) => ReadError::Io { path: self.shown(key), source },
                    BlockError::Bytes(what) => self.damage(key, what),
                })?;
                self.size = (3 * self.size + block.raw.len()) / 4;
                self.cached.truncate(MAX_CACHED - 1);
                self.cached.insert(0, (key, block));
                0
            }
        };
        let block = &self.cached[cached].1;
        let record = block.records.binary_search_by_key(&sequence, |record| record.sequence);
        let exchange = match record {
            Ok(record) => block.records[record].exchange(&block.raw),
            Err(_) => Err(format!("the block does not hold exchange {sequence}")),
        };
        exchange.map_err(|what| self.damage(key, what))
    }

    fn block(&mut self, key: BlockKey) -> Result<Block, BlockError> {
        self.read += 1;
        if self.read > READ_AHEAD_AFTER && self.size >= MIN_READ_AHEAD && self.ahead.is_none() {
            self.ahead = ReadAhead::start(self.shared.dir.clone());
        }
        if let Some(block) = self.ahead.as_mut().and_then(|ahead| ahead.take(key)) {
            return Ok(block);
        }
        let blocks = match &mut self.blocks {
            Some(blocks) => blocks,
            none => none.insert(Blocks::new(self.shared.dir.clone())?),
        };
        blocks.read(key)
    }

    /// Drops all cached blocks and files.
    fn forget(&mut self) {
        self.cached.clear();
        (self.blocks, self.ahead, self.read) = (None, None, 0);
    }

    fn damage(&self, key: BlockKey, what: String) -> ReadError {
        ReadError::Damaged(Damage { path: self.shown(key), offset: key.1.offset, what })
    }

    fn shown(&self, (session, at): BlockKey) -> PathBuf {
        self.shared.shown(&segment::path(&self.shared.folder(session), at.segment))
    }
}
