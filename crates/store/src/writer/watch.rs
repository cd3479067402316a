//! Detects missing files of sessions that are not being written.

use std::path::PathBuf;

use nightaudit_exchange::SessionId;

use super::{Writer, watched::SegmentKey};
use crate::{disk, ledger::Note, segment};

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
    fn is_there(&self, session: SessionId, number: u32) -> bool {
        let path = self.path_of(session, number);
        disk::exists(&path).unwrap_or(true)
    }

    fn path_of(&self, session: SessionId, number: u32) -> PathBuf {
        let folder = self.shared.folder(session);
        if number == 0 { folder } else { segment::path(&folder, number) }
    }

    /// Removes a session whose folder is gone from the log, and reports it as missing.
    fn lose_session(&mut self, session: SessionId) {
        if self.current == Some(session) || self.active.contains_key(&session) {
            // The next write to it reports this, and retries.
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
        if entry.head.count > 0 {
            let note = Note::new(session, name, entry.head);
            if let Err(error) = self.shared.note([note.clone()], true) {
                tracing::warn!(%error, "the ledger can't be written");
            }
            self.shared.vanished().insert(session, note);
        }
        self.forget(session);
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
