//! Batches into segments.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{Arc, atomic::Ordering},
};

use nightaudit_exchange::{Digest, Exchange, SessionId, chain};

use super::{Item, Source, Writer};
use crate::{
    block::{self, Salt},
    config::Durability,
    disk::DiskFile,
    index::{BlockAt, Facts},
    meta::random,
    query::Resume,
    record,
    segment::{self, Footer, HEADER, Header},
    shared::Shared,
};

/// The most segments kept open for writing.
const MAX_OPEN: usize = 32;

/// A session that is being written to.
pub(super) struct Active {
    file: Box<dyn DiskFile>,
    number: u32,
    generation: u64,
    /// Where the next block goes.
    end: u64,
    /// Whether there may be bytes of a failed write behind `end`.
    dirty: bool,
    hash: Digest,
    last: u64,
    turn: u64,
}

/// What a batch adds to one session, before it is written.
struct Staged {
    session: SessionId,
    bytes: Vec<u8>,
    /// Each exchange, and where its block begins in `bytes`.
    exchanges: Vec<(Exchange, usize)>,
    hash: Digest,
    last: u64,
}

impl Writer {
    /// Writes a batch and answers those who wait for it.
    pub(super) fn commit(&mut self, batch: Vec<Item>) {
        self.turn += 1;
        let mut groups: BTreeMap<SessionId, Vec<Item>> = BTreeMap::new();
        for item in batch {
            let mut session = None;
            let found = self.insist(&mut |writer| {
                session = Some(writer.session_of(&item)?);
                Ok(())
            });
            match session.filter(|_| found) {
                Some(session) => groups.entry(session).or_default().push(item),
                None => self.drop_items(None, vec![item]),
            }
        }
        let now = u64::try_from((self.shared.now)().micros()).unwrap_or(0);
        // Never twice the same, and never backwards, whatever the clock does.
        self.written = now.max(self.written + 1);
        for (session, items) in groups {
            if self.insist(&mut |writer| writer.prepare(session)) {
                self.commit_to(session, items);
            } else {
                self.drop_items(Some(session), items);
            }
        }
    }

    /// As [`commit`](Self::commit); returns how many were written.
    pub(crate) fn append(&mut self, batch: Vec<Item>) -> u64 {
        let recorded = |writer: &Self| writer.shared.recorded.load(Ordering::Relaxed);
        let before = recorded(self);
        self.commit(batch);
        recorded(self) - before
    }

    fn commit_to(&mut self, session: SessionId, items: Vec<Item>) {
        let mut sources = Vec::with_capacity(items.len());
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            sources.push(item.source);
            answers.push((item.permit, item.slot, item.done));
        }
        let Some(staged) = self.stage(session, sources) else { return };
        if self.insist(&mut |writer| writer.write(&staged)) {
            self.settle(staged);
        } else {
            self.count_dropped(Some(session), answers.len());
            answers.clear();
        }
        for (permit, slot, done) in answers {
            if let (Some(journal), Some(slot)) = (self.shared.journal.get(), slot) {
                journal.free(slot);
            }
            if let Some(done) = done {
                let _ = done.send(());
            }
            drop(permit);
        }
    }

    /// Makes sure that there is a segment of the session to write to.
    fn prepare(&mut self, session: SessionId) -> io::Result<()> {
        let turn = self.turn;
        if !self.active.contains_key(&session) {
            while self.active.len() >= MAX_OPEN {
                let Some(oldest) = self.active.iter().min_by_key(|(_, active)| active.turn).map(|(id, _)| *id) else {
                    break;
                };
                self.active.remove(&oldest);
            }
            let active = self.open(session)?;
            self.active.insert(session, active);
        }
        let full = self.active.get_mut(&session).is_some_and(|active| {
            active.turn = turn;
            active.end >= self.segment_size
        });
        if full { self.seal(session, true) } else { Ok(()) }
    }

    /// Makes sure that the session's last segment is open, without beginning another one if it is sealed.
    pub(super) fn reopen(&mut self, session: SessionId) -> io::Result<()> {
        if !self.active.contains_key(&session) {
            let active = self.open(session)?;
            self.active.insert(session, active);
        }
        Ok(())
    }

    /// Opens the last segment of a session, or begins its first.
    fn open(&self, session: SessionId) -> io::Result<Active> {
        let folder = self.shared.folder(session);
        let Some(number) = segment::list(&folder)?.pop() else {
            return self.begin(session, 1, chain::genesis(session), 0);
        };
        let path = segment::path(&folder, number);
        let (hash, last) = self.shared.last_of(session)?;
        let known = self.shared.index.listings().get(&session).and_then(|listing| listing.segments.last().copied());
        let file = fs::File::open(&path)?;
        let length = file.metadata()?.len();
        if segment::is_sealed(&file, length, Salt::new(session, number))? {
            return self.begin(session, number + 1, hash, last);
        }
        let known = known.filter(|known| known.number == number);
        match (Header::read(&file), known) {
            (Ok(header), Some(known)) if known.length >= HEADER as u64 => Ok(Active {
                file: self.shared.disk.open(&path)?,
                number,
                generation: header.generation,
                end: known.length,
                dirty: known.length != length,
                hash,
                last,
                turn: self.turn,
            }),
            // Nothing is added to a segment that can't be read to its end, or of which nothing was ever finished.
            _ if length <= HEADER as u64 => self.begin(session, number, hash, last),
            _ => self.begin(session, number + 1, hash, last),
        }
    }

    /// Begins a segment.
    fn begin(&self, session: SessionId, number: u32, hash: Digest, last: u64) -> io::Result<Active> {
        let folder = self.shared.folder(session);
        let file = self.shared.disk.open(&segment::path(&folder, number))?;
        let header = Header { number, session, first: last + 1, generation: random() };
        file.set_len(0)?;
        file.write_at(&header.to_bytes(), 0)?;
        if self.shared.durability == Durability::Sync {
            file.sync()?;
            self.shared.disk.sync_dir(&folder)?;
        }
        let generation = header.generation;
        if let Some(listing) = self.shared.index.listings().get_mut(&session) {
            listing.reached(number, generation, HEADER as u64);
        }
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.bytes += HEADER as u64;
        }
        Ok(Active { file, number, generation, end: HEADER as u64, dirty: false, hash, last, turn: self.turn })
    }

    /// Ends a session's last segment, and begins the next one if there is to be one.
    pub(super) fn seal(&mut self, session: SessionId, go_on: bool) -> io::Result<()> {
        let Some(active) = self.active.get_mut(&session) else { return Ok(()) };
        let footer = Footer { at: active.end, last: active.last, hash: active.hash };
        let bytes = footer.to_bytes(Salt::new(session, active.number));
        active.file.set_len(active.end)?;
        active.file.write_at(&bytes, active.end)?;
        active.file.sync()?;
        let end = active.end + bytes.len() as u64;
        let (number, generation, hash, last) = (active.number, active.generation, active.hash, active.last);
        if let Some(listing) = self.shared.index.listings().get_mut(&session) {
            listing.reached(number, generation, end);
        }
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.bytes += bytes.len() as u64;
        }
        self.active.remove(&session);
        if go_on {
            let next = self.begin(session, number + 1, hash, last)?;
            self.active.insert(session, next);
            self.enforce_quota();
        }
        Ok(())
    }

    /// Makes the bytes of a batch.
    fn stage(&mut self, session: SessionId, sources: Vec<Source>) -> Option<Staged> {
        let name = self.shared.sessions().get(&session).map(|entry| entry.meta.name.clone())?;
        let active = self.active.get(&session)?;
        let salt = Salt::new(session, active.number);
        let mut staged =
            Staged { session, bytes: Vec::new(), exchanges: Vec::new(), hash: active.hash, last: active.last };
        let followed = self.shared.ring.is_followed();
        let mut raw = Vec::new();
        let (mut count, mut first) = (0, 0);
        let mut sources = sources.into_iter().peekable();
        while let Some(source) = sources.next() {
            let mut exchange = match source {
                Source::Capture(capture) => self.redactor.exchange(*capture, session, &name, staged.last + 1),
                Source::Exchange(mut exchange) => {
                    exchange.sequence = exchange.sequence.max(staged.last + 1);
                    *exchange
                }
            };
            if count == 0 {
                first = exchange.sequence;
            }
            count += 1;
            let hash = record::encode(&mut exchange, self.written, staged.hash, &mut raw);
            if followed {
                (exchange.previous_hash, exchange.hash) = (Some(staged.hash), Some(hash));
            } else {
                // Only what the index needs is kept until the batch is written.
                exchange.request.body.bytes.clear();
                exchange.request.headers.clear();
                if let Some(response) = &mut exchange.response {
                    response.body.bytes.clear();
                    response.headers.clear();
                }
            }
            staged.hash = hash;
            staged.last = exchange.sequence;
            let at = staged.bytes.len();
            staged.exchanges.push((exchange, at));
            if raw.len() >= block::TARGET || sources.peek().is_none() {
                if let Err(error) = self.packer.pack(salt, &raw, count, first, &mut staged.bytes) {
                    // Out of memory for zstd, or a body above 4 GiB: nothing that trying again would mend.
                    tracing::error!(%error, "a batch can't be compressed");
                    self.count_dropped(Some(session), staged.exchanges.len());
                    return None;
                }
                raw.clear();
                count = 0;
            }
        }
        Some(staged)
    }

    fn write(&mut self, staged: &Staged) -> io::Result<()> {
        let Some(active) = self.active.get_mut(&staged.session) else {
            return Err(io::Error::other("its session was closed"));
        };
        if active.dirty {
            active.file.set_len(active.end)?;
        }
        active.dirty = true;
        // After a failed sync nobody knows what has reached the disk, so each try writes everything again.
        active.file.write_at(&staged.bytes, active.end)?;
        if self.shared.durability == Durability::Sync {
            active.file.sync()?;
        }
        active.dirty = false;
        Ok(())
    }

    /// Shows a written batch to those who read.
    fn settle(&mut self, staged: Staged) {
        let Some(active) = self.active.get_mut(&staged.session) else { return };
        let (written, session) = (self.written, staged.session);
        let start = active.end;
        active.end += staged.bytes.len() as u64;
        (active.hash, active.last) = (staged.hash, staged.last);
        let mut filled = false;
        {
            let mut listings = self.shared.index.listings();
            let listing = listings.entry(session).or_default();
            for (exchange, at) in &staged.exchanges {
                let block = BlockAt { segment: active.number, offset: start + *at as u64 };
                filled |= listing.push(&Facts::of(exchange), exchange.sequence, written, block);
            }
            listing.reached(active.number, active.generation, active.end);
        }
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.bytes += staged.bytes.len() as u64;
        }
        let count = staged.exchanges.len();
        Shared::count(&self.shared.recorded, count);
        let place = Resume { written, session, sequence: staged.last };
        if self.shared.ring.is_followed() && staged.exchanges.iter().all(|(exchange, _)| exchange.hash.is_some()) {
            let place = |exchange: &Exchange| Resume { written, session, sequence: exchange.sequence };
            let exchanges = staged.exchanges.into_iter().map(|(exchange, _)| (place(&exchange), Arc::new(exchange)));
            self.shared.ring.push(exchanges.collect());
        } else {
            self.shared.ring.pass(place, count);
        }
        if filled {
            let _ = self.index.send(());
        }
    }

    fn drop_items(&mut self, session: Option<SessionId>, items: Vec<Item>) {
        self.count_dropped(session, items.len());
    }

    /// Counts exchanges that will not be in the log, and marks their session.
    fn count_dropped(&mut self, session: Option<SessionId>, exchanges: usize) {
        if self.closing {
            Shared::count(&self.shared.lost, exchanges);
        } else {
            Shared::count(&self.shared.unrecorded, exchanges);
        }
        if let Some(session) = session.or(self.current) {
            self.mark_incomplete(session, exchanges as u64);
        }
        tracing::error!(exchanges, "exchanges passed unrecorded");
    }

    /// Makes what was written to a session survive a power failure.
    pub(super) fn sync(&mut self, session: SessionId) -> io::Result<()> {
        self.active.get(&session).map_or(Ok(()), |active| active.file.sync())
    }
}
