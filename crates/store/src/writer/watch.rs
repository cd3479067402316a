//! Detects missing files of sessions, and goes on without them.

use std::{io, path::PathBuf};

use nightaudit_exchange::SessionId;

use super::{Writer, watched::SegmentKey};
use crate::{disk, ledger::Note, recover, segment, shared::Entry};

/// Maximum number of files per check, which runs once a second.
const MAX_FILES: usize = 64;

impl Writer {
    /// Checks the next few files of sessions that are not being written, and reports missing ones.
    pub(super) fn check_sessions(&mut self) {
        let keys = self.next_keys();
        self.watched.at = (keys.len() == MAX_FILES).then(|| keys.last().copied()).flatten();
        for (session, number) in keys {
            if self.is_there(session, number) {
                if let Some(ranges) = self.watched.gone.remove(&(session, number)) {
                    self.restore_segment(session, number, &ranges);
                }
            } else if !self.is_there(session, 0) {
                self.lose_session(session);
            } else if !self.watched.gone.contains_key(&(session, number)) {
                let ranges = self.lose_segment(session, number);
                self.watched.gone.insert((session, number), ranges);
            }
        }
    }

    /// The next files to check. Those being written are checked by their writers.
    fn next_keys(&self) -> Vec<SegmentKey> {
        let listings = self.shared.index.listings();
        let begin = self.watched.at.unwrap_or((SessionId::from_bytes([0; 16]), 0));
        let mut keys = Vec::with_capacity(MAX_FILES);
        for (session, listing) in listings.range(begin.0..) {
            let written = self.active.get(session).map(|active| active.number);
            let folder = listing.segments.is_empty().then_some(0);
            let numbers = listing.segments.iter().map(|known| known.number).chain(folder);
            let next = numbers.filter(|number| Some(*number) != written).map(|number| (*session, number));
            keys.extend(next.filter(|key| self.watched.at.is_none_or(|at| *key > at)).take(MAX_FILES - keys.len()));
            if keys.len() == MAX_FILES {
                break;
            }
        }
        keys
    }

    /// Whether a segment, or the folder, exists. If in doubt, it does.
    pub(super) fn is_there(&self, session: SessionId, number: u32) -> bool {
        let path = self.path_of(session, number);
        disk::exists(&path).unwrap_or(true)
    }

    fn path_of(&self, session: SessionId, number: u32) -> PathBuf {
        let folder = self.shared.folder(session);
        if number == 0 { folder } else { segment::path(&folder, number) }
    }

    /// Removes a session whose folder is gone from the log, and reports it as missing.
    pub(super) fn lose_session(&mut self, session: SessionId) {
        if self.current == Some(session) || self.active.contains_key(&session) {
            // If anything waits to be written to it, that is written elsewhere.
            return;
        }
        let Some(entry) = self.shared.sessions().get(&session).cloned() else { return };
        let name = &entry.meta.name;
        tracing::error!(
            %session,
            name,
            exchanges = entry.head.count,
            "the folder of a session was deleted or moved: restore it and restart `nightaudit serve`, or forget the \
             session with `nightaudit sessions delete`"
        );
        if entry.head.count > 0 && entry.meta.importing.is_none() {
            let note = Note::new(session, name, entry.head);
            if let Err(error) = self.shared.note([note.clone()], true) {
                tracing::warn!(%error, "the ledger can't be written");
            }
            self.shared.vanished().insert(session, note);
        }
        self.forget(session);
        if entry.meta.ended.is_none() {
            self.watched.lost.insert(session, entry.meta);
        }
    }

    /// Whether the segment that a session is written to is no longer where it was opened. If in doubt, it is.
    pub(super) fn is_lost(&self, session: SessionId) -> bool {
        self.active.get(&session).is_some_and(|active| matches!(active.is_there(), Ok(false)))
    }

    /// Whether a session is recorded even if what it had is gone. An import is to fail then, and the current session stops
    /// everything.
    pub(super) fn goes_on_without_files(&self, session: SessionId) -> bool {
        let is_recorded = |entry: &Entry| entry.meta.importing.is_none();
        self.current != Some(session) && self.shared.sessions().get(&session).is_some_and(is_recorded)
    }

    /// Gives up the segments that are gone, unless something waits to be written to them or it is that of the current
    /// session. The next exchange of such a session starts another segment, or another session if its folder is gone.
    pub(super) fn give_up_lost(&mut self) {
        let may_go = |session: &SessionId| self.current != Some(*session) && !self.pending.contains_key(session);
        let lost: Vec<SessionId> =
            self.active.keys().copied().filter(|session| may_go(session) && self.is_lost(*session)).collect();
        for session in lost {
            self.active.remove(&session);
            self.lose_if_gone(session);
        }
    }

    /// Removes a session from the log that isn't being written if its folder is gone. Returns whether it was.
    pub(super) fn lose_if_gone(&mut self, session: SessionId) -> bool {
        let is_written = self.current == Some(session) || self.active.contains_key(&session);
        let is_gone = !is_written && self.check_folder().is_ok() && !self.is_there(session, 0);
        if is_gone {
            self.lose_session(session);
        }
        is_gone
    }

    /// Begins the last segment of a session again that was deleted or moved while blocks waited to be written to it:
    /// nothing that waits is lost with what was there.
    pub(super) fn begin_again(&mut self, session: SessionId) -> io::Result<()> {
        self.check_folder()?;
        let Some((number, (hash, last))) = self.active.get(&session).map(|active| (active.number, active.reached()))
        else {
            return Ok(());
        };
        self.restore_folder(session)?;
        if self.is_there(session, number) {
            // Another file has its name, such as a copy, which nothing overwrites.
            return Err(disk::gone(&self.shared.shown(&self.path_of(session, number))));
        }
        self.find_lost(session)?;
        let active = self.begin(session, number, hash, last)?;
        self.active.insert(session, active);
        Ok(())
    }

    /// Takes a session back into the log that was given up because its folder is gone, for exchanges that it is to have.
    pub(super) fn take_back(&mut self, session: SessionId) -> io::Result<()> {
        let Some(meta) = self.watched.lost.get(&session).cloned() else { return Ok(()) };
        let head = self.shared.vanished().get(&session).map(|note| note.head).unwrap_or_default();
        self.shared.sessions().insert(session, Entry { head, ..Entry::new(meta) });
        let there = self.check_folder().and_then(|()| self.restore_folder(session));
        let there = there.and_then(|()| self.find_lost(session));
        if there.is_err() {
            self.shared.sessions().remove(&session);
            return there;
        }
        self.shared.vanished().remove(&session);
        self.watched.lost.remove(&session);
        Ok(())
    }

    /// Creates the folder of a session that is gone anew.
    pub(super) fn restore_folder(&self, session: SessionId) -> io::Result<()> {
        let folder = self.shared.folder(session);
        if disk::exists(&folder)? {
            return Ok(());
        }
        tracing::error!(%session, "the folder of a session was deleted or moved while it was recorded: it goes on in another");
        let meta = self.shared.sessions().get(&session).map(|entry| entry.meta.clone());
        self.shared.disk.create_dir(&folder)?;
        meta.map_or(Ok(()), |meta| meta.write(&*self.shared.disk, &self.shared.dir))?;
        self.shared.disk.sync_dir(&self.shared.dir.join("sessions"))
    }

    /// Finds what is left of a session, and what is missing.
    pub(super) fn find_lost(&mut self, session: SessionId) -> io::Result<()> {
        self.watched.forget(session);
        recover::session(&self.shared, session)
    }

    /// Counts the exchanges of a segment that is gone as missing.
    fn lose_segment(&self, session: SessionId, number: u32) -> Vec<(u64, u64)> {
        let parts = self.shared.index.parts(session).unwrap_or_default();
        let mut ranges = Vec::<(u64, u64)>::new();
        for part in parts.iter() {
            let Ok(chunk) = self.shared.index.chunk(session, part) else { continue };
            for row in chunk.rows.iter().filter(|row| chunk.block(row).is_some_and(|block| block.segment == number)) {
                match ranges.last_mut() {
                    Some((_, last)) if *last + 1 == row.sequence => *last = row.sequence,
                    _ => ranges.push((row.sequence, row.sequence)),
                }
            }
        }
        let path = self.shared.shown(&self.path_of(session, number));
        let exchanges = count(&ranges);
        tracing::error!(path = %path.display(), exchanges, "a segment was deleted or moved: restore it");
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.missing += exchanges;
            entry.gaps.extend(&ranges);
            entry.gaps.sort_unstable();
        }
        ranges
    }

    /// Counts the exchanges of a restored segment as no longer missing.
    fn restore_segment(&self, session: SessionId, number: u32, ranges: &[(u64, u64)]) {
        let path = self.shared.shown(&self.path_of(session, number));
        tracing::warn!(path = %path.display(), "a missing segment was restored");
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.missing = entry.missing.saturating_sub(count(ranges));
            entry.gaps.retain(|range| !ranges.contains(range));
        }
    }
}

fn count(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(first, last)| last - first + 1).sum()
}
