//! Opening, writing, sealing and starting segments.

use std::{fs, io, path::Path, sync::PoisonError};

use nightaudit_exchange::{Digest, SessionId};

use super::{Writer, active::Active};
use crate::{
    block::Salt,
    config::Durability,
    disk, ledger,
    meta::random,
    segment::{self, Footer, HEADER, Header},
};

/// Maximum number of segments kept open for writing.
const MAX_OPEN: usize = 32;
/// How much space is preallocated with zeros: a later write into it changes nothing but its own bytes, so its sync has
/// no file system metadata to write.
const PREALLOCATION: u64 = 1 << 20;
/// Batches of this size or more, in bytes, are not worth preallocating for: each would need more.
const LARGE: usize = 64 << 10;

impl Writer {
    /// Makes sure the session has a segment to write to.
    pub(super) fn prepare(&mut self, session: SessionId) -> io::Result<()> {
        self.reopen(session)?;
        let (turn, size) = (self.turn, self.segment_size);
        let full = self.active.get_mut(&session).is_some_and(|active| {
            active.turn = turn;
            active.end >= size
        });
        if full { self.seal(session, true) } else { Ok(()) }
    }

    /// Makes sure the session's last segment is open, without starting another if it is full.
    pub(super) fn reopen(&mut self, session: SessionId) -> io::Result<()> {
        if self.active.contains_key(&session) {
            return Ok(());
        }
        while self.active.len() >= MAX_OPEN {
            let unused = self.active.iter().filter(|(session, _)| !self.pending.contains_key(session));
            let Some(oldest) = unused.min_by_key(|(_, active)| active.turn).map(|(id, _)| *id) else { break };
            self.leave(oldest)?;
            self.active.remove(&oldest);
        }
        if self.goes_on_without_files(session) && !self.is_there(session, 0) {
            self.restore_folder(session)?;
            self.find_lost(session)?;
        }
        let active = self.open(session)?;
        self.active.insert(session, active);
        Ok(())
    }

    /// Opens the last segment of a session, or starts its first.
    fn open(&self, session: SessionId) -> io::Result<Active> {
        let folder = self.shared.folder(session);
        let number = segment::list(&folder)?.pop();
        let (hash, last) = self.shared.reached(session)?;
        let known = self.shared.index.listings().get(&session).and_then(|listing| listing.segments.last().copied());
        if let Some(known) = known.filter(|known| Some(known.number) > number) {
            // The place of one that is gone is left to its copy.
            return self.begin(session, known.number + 1, hash, last);
        }
        let Some(number) = number else { return self.begin(session, 1, hash, last) };
        let path = segment::path(&folder, number);
        let file = fs::File::open(&path)?;
        let length = file.metadata()?.len();
        if segment::is_sealed(&file, length, Salt::new(session, number))? {
            return self.begin(session, number + 1, hash, last);
        }
        // Nothing is written after missing exchanges: what remains is left as it is.
        let is_whole = self.shared.sessions().get(&session).is_some_and(|entry| {
            let listings = self.shared.index.listings();
            listings.get(&session).map_or(0, |listing| listing.head().last) >= entry.head.last
        });
        let known = known.filter(|known| known.number == number && is_whole);
        match (Header::read(&file), known) {
            // It may have been replaced by an older copy, which is left as it is.
            (Ok(header), Some(known))
                if known.generation == header.generation && (HEADER as u64..=length).contains(&known.length) =>
            {
                Ok(Active {
                    file: self.shared.disk.open(&path)?,
                    path,
                    number,
                    generation: header.generation,
                    end: known.length,
                    space: length,
                    dirty: known.length != length,
                    hash,
                    last,
                    turn: self.turn,
                })
            }
            // Don't append to a segment that can't be read to its end, or that never had a complete block.
            _ if is_whole && (length <= HEADER as u64 || !segment::is_begun(&file, length)?) => {
                self.begin(session, number, hash, last)
            }
            _ => self.begin(session, number + 1, hash, last),
        }
    }

    /// Starts a segment.
    pub(super) fn begin(&self, session: SessionId, number: u32, hash: Digest, last: u64) -> io::Result<Active> {
        let folder = self.shared.folder(session);
        let path = segment::path(&folder, number);
        let file = self.shared.disk.open(&path)?;
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
        let end = HEADER as u64;
        Ok(Active { path, file, number, generation, end, space: end, dirty: false, hash, last, turn: self.turn })
    }

    /// Checks that the files that everything waits for are still where they were opened.
    pub(super) fn check_paths(&self) -> io::Result<()> {
        self.check_folder()?;
        let current = self.current.and_then(|current| self.active.get(&current));
        current.map_or(Ok(()), |active| there(active.is_there(), &self.shared.shown(&active.path)))
    }

    /// Checks that the data folder is where it was.
    pub(super) fn check_folder(&self) -> io::Result<()> {
        let shared = &self.shared;
        there(disk::exists(&shared.dir.join("sessions")), Path::new("sessions"))?;
        if let Some(journal) = shared.journal.get() {
            there(journal.is_there(), Path::new("journal"))?;
        }
        if let Some(ledger) = shared.ledger.get() {
            let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            there(ledger.is_there(), Path::new(ledger::FILE))?;
        }
        Ok(())
    }

    /// Writes packed blocks of a session, also if its last segment was deleted or moved since the last ones.
    pub(super) fn write_on(&mut self, session: SessionId, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.is_lost(session) && self.goes_on_without_files(session) {
            self.begin_again(session)?;
        }
        self.write(session, bytes)
    }

    /// Writes packed blocks after the last one. `bytes` is left unchanged.
    pub(super) fn write(&mut self, session: SessionId, bytes: &mut Vec<u8>) -> io::Result<()> {
        let Some(active) = self.active.get_mut(&session) else {
            return Err(io::Error::other("its session was closed"));
        };
        if active.dirty {
            active.trim()?;
        }
        let length = bytes.len();
        let end = active.end + length as u64;
        let is_synced = self.shared.durability == Durability::Sync;
        if is_synced && end > active.space && length < LARGE {
            // In one write with the blocks: with two, the syncs would wait for each other.
            let preallocated = PREALLOCATION.min(self.segment_size.saturating_sub(end));
            bytes.resize(length + usize::try_from(preallocated).unwrap_or(0), 0);
        }
        active.dirty = true;
        // After a failed sync it is unknown what reached the disk, so each retry writes everything again.
        let mut written = active.file.write_at(bytes, active.end);
        let mut reached = active.end + bytes.len() as u64;
        if bytes.len() > length && written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            // There may be space for the blocks but not for the preallocation.
            bytes.truncate(length);
            reached = end;
            written = active.file.set_len(active.end).and_then(|()| active.file.write_at(bytes, active.end));
        }
        bytes.truncate(length);
        written?;
        if is_synced {
            active.file.sync()?;
        }
        // A file that was unlinked counts as not written.
        if !active.file.is_at(&active.path)? {
            return Err(disk::gone(&self.shared.shown(&active.path)));
        }
        active.space = active.space.max(reached);
        active.dirty = false;
        Ok(())
    }

    /// Seals a session's last segment, and starts the next one if `go_on`.
    pub(super) fn seal(&mut self, session: SessionId, go_on: bool) -> io::Result<()> {
        let Some(active) = self.active.get_mut(&session) else { return Ok(()) };
        let footer = Footer { at: active.end, last: active.last, hash: active.hash };
        let bytes = footer.to_bytes(active.salt(session));
        active.dirty = true;
        active.trim()?;
        active.dirty = true;
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
        self.write_ledger(true);
        if go_on {
            let next = self.begin(session, number + 1, hash, last)?;
            self.active.insert(session, next);
            self.enforce_quota();
        }
        Ok(())
    }

    /// Leaves a session's last segment clean: truncated after the last block, and synced.
    pub(super) fn leave(&mut self, session: SessionId) -> io::Result<()> {
        let Some(active) = self.active.get_mut(&session) else { return Ok(()) };
        active.trim()?;
        active.file.sync()
    }
}

fn there(is_there: io::Result<bool>, path: &Path) -> io::Result<()> {
    if is_there? { Ok(()) } else { Err(disk::gone(path)) }
}
