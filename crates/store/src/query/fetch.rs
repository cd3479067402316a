//! Exchanges read from their blocks.

use std::{fs, io, sync::Arc};

use nightaudit_exchange::{Exchange, SessionId};

use crate::{
    block::{Fault, Salt, Unpacker},
    error::{Damage, ReadError},
    index::BlockAt,
    record,
    segment::{self, Block},
    shared::Shared,
};

/// The blocks kept unpacked. Sessions that were recorded at once are read in turns, a block of each at a time.
const KEPT: usize = 4;

/// Reads exchanges, keeping the last blocks.
#[derive(Debug)]
pub(crate) struct Fetch {
    shared: Arc<Shared>,
    unpacker: Option<Unpacker>,
    file: Option<((SessionId, u32), fs::File)>,
    kept: Vec<(SessionId, BlockAt, Block)>,
}

impl Fetch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, unpacker: None, file: None, kept: Vec::new() }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The exchange with this sequence number, which the index places at `at`; none if its session is no more.
    pub(crate) fn exchange(
        &mut self,
        session: SessionId,
        sequence: u64,
        at: BlockAt,
    ) -> Result<Option<Exchange>, ReadError> {
        let error = match self.read(session, sequence, at) {
            Ok(exchange) => return Ok(Some(exchange)),
            Err(error) => error,
        };
        if self.shared.index.is_detached() {
            return self.search(session, sequence, at).unwrap_or(Err(error));
        }
        // Compacting may have moved the block since the index was asked.
        match self.shared.locate(session, sequence)? {
            Some(moved) => {
                self.kept.clear();
                self.file = None;
                if moved == at { Err(error) } else { self.read(session, sequence, moved).map(Some) }
            }
            None if self.shared.sessions().contains_key(&session) => Err(error),
            None => Ok(None),
        }
    }

    /// Looks for an exchange in its segment, which somebody may have compacted since the index was copied; none where it is
    /// not there either.
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
        self.kept.clear();
        self.file = None;
        let offset = segment::find(&segment::path(&folder, at.segment), sequence).ok()??;
        (offset != at.offset).then(|| self.read(session, sequence, BlockAt { offset, ..at }).map(Some))
    }

    fn read(&mut self, session: SessionId, sequence: u64, at: BlockAt) -> Result<Exchange, ReadError> {
        let path = segment::path(&self.shared.folder(session), at.segment);
        let shown = self.shared.shown(&path);
        let damaged = |what| Damage { path: shown.clone(), offset: at.offset, what };
        let place = match self.kept.iter().position(|(known, place, _)| (*known, *place) == (session, at)) {
            Some(place) => place,
            None => {
                let block = self.block(session, at).map_err(|fault| match fault {
                    Fault::Io(source) => ReadError::Io { path: shown.clone(), source },
                    Fault::Bytes(what) => ReadError::Damaged(damaged(what)),
                })?;
                self.kept.truncate(KEPT - 1);
                self.kept.insert(0, (session, at, block));
                0
            }
        };
        let block = &self.kept[place].2;
        let record = block.records.binary_search_by_key(&sequence, |record| record.sequence);
        let record = record.map_err(|_| damaged(format!("the block does not hold exchange {sequence}")))?;
        let exchange = block.records[record].exchange(&block.raw).map_err(damaged)?;
        Ok(exchange)
    }

    fn block(&mut self, session: SessionId, at: BlockAt) -> Result<Block, Fault> {
        let key = (session, at.segment);
        if self.file.as_ref().is_none_or(|(known, _)| *known != key) {
            let file = fs::File::open(segment::path(&self.shared.folder(session), at.segment)).map_err(Fault::Io)?;
            self.file = Some((key, file));
        }
        let unpacker = match &mut self.unpacker {
            Some(unpacker) => unpacker,
            none => none.insert(Unpacker::new().map_err(Fault::Io)?),
        };
        let Some((_, file)) = &self.file else { return Err(Fault::Io(io::ErrorKind::NotFound.into())) };
        let length = file.metadata().map_err(Fault::Io)?.len();
        let head = unpacker.read(file, length, at.offset, Salt::new(session, at.segment))?;
        let raw = unpacker.unpack(head)?;
        let records = record::split(&raw, head.count, head.first).map_err(Fault::Bytes)?;
        Ok(Block { offset: at.offset, end: at.offset + head.length(), raw, records })
    }
}
