//! Missing exchanges: the ledger and index compared with the segments.

use nightaudit_exchange::{Missing, SessionId};

use crate::{
    index::{Listing, Parts},
    ledger::{Head, Note},
    shared::{Entry, Shared},
};

/// Maximum number of ranges of missing exchanges; the last one may include some that are present.
const MAX_RANGES: usize = 1000;

impl Shared {
    /// See [`Log::missing`](crate::Log::missing).
    pub(crate) fn missing(&self) -> Vec<Missing> {
        let of = |entry: &Entry| Missing {
            session: entry.meta.id,
            session_name: entry.meta.name.clone(),
            count: entry.missing,
            ranges: entry.gaps.clone(),
            whole_session: false,
        };
        let mut missing: Vec<Missing> = self.sessions().values().filter(|entry| entry.missing > 0).map(of).collect();
        missing.extend(self.vanished().values().map(|note| Missing {
            session: note.session,
            session_name: note.name.clone(),
            count: note.head.count,
            ranges: vec![(1, note.head.last)],
            whole_session: true,
        }));
        missing.sort_by_key(|missing| missing.session);
        missing
    }

    /// The number of missing exchanges.
    pub(crate) fn missing_count(&self) -> u64 {
        let here: u64 = self.sessions().values().map(|entry| entry.missing).sum();
        here + self.vanished().values().map(|note| note.head.count).sum::<u64>()
    }

    /// Raises a session's head to include what this listing has.
    pub(crate) fn raise_head(&self, session: SessionId, listing: &Listing) {
        let Some(head) = self.sessions().get(&session).map(|entry| entry.head) else { return };
        let new = self.rows_after(session, &listing.parts, head.last);
        let Some(last) = listing.parts.last().map(|part| part.summary.last).filter(|_| new > 0) else { return };
        if let Some(entry) = self.sessions().get_mut(&session) {
            entry.head = Head { count: head.count + new, last, hash: None };
        }
    }

    /// Compares what a session has with what it has recorded.
    pub(crate) fn find_missing(&self, session: SessionId) {
        let here = self.index.listings().get(&session).map_or(0, Listing::exchanges);
        let Some(head) = self.sessions().get(&session).map(|entry| entry.head) else { return };
        let missing = head.count.saturating_sub(here);
        let gaps = if missing > 0 {
            let parts = self.index.parts(session).unwrap_or_default();
            self.gaps(session, &parts, head.last)
        } else {
            Vec::new()
        };
        // A session imported from a filtered export has gaps of its own, which look the same.
        let exact = gaps.iter().map(|(first, last)| last - first + 1).sum::<u64>() == missing;
        if let Some(entry) = self.sessions().get_mut(&session) {
            entry.missing = missing;
            entry.gaps = if exact || gaps.len() >= MAX_RANGES { gaps } else { Vec::new() };
        }
    }

    /// No longer reports a lost session as missing that was imported again, but for what the import lacked.
    pub(crate) fn find_again(&self, session: SessionId) {
        let Some(note) = self.vanished().remove(&session) else { return };
        if let Some(entry) = self.sessions().get_mut(&session)
            && entry.head.count < note.head.count
        {
            entry.head = note.head;
        }
        self.find_missing(session);
    }

    /// The number of a session's rows after this sequence number.
    fn rows_after(&self, session: SessionId, parts: &Parts, sequence: u64) -> u64 {
        let mut count = 0;
        for part in parts.iter().rev().take_while(|part| part.summary.last > sequence) {
            count += if part.summary.first > sequence {
                u64::from(part.summary.rows)
            } else {
                let chunk = self.index.chunk(session, part);
                chunk.map_or(0, |chunk| chunk.rows.iter().filter(|row| row.sequence > sequence).count() as u64)
            };
        }
        count
    }

    /// The ranges of sequence numbers up to `last` without a row.
    fn gaps(&self, session: SessionId, parts: &Parts, last: u64) -> Vec<(u64, u64)> {
        let (mut gaps, mut expected) = (Vec::<(u64, u64)>::new(), 1);
        let mut run = |first: u64, last: u64| {
            if first > expected {
                match gaps.len() {
                    MAX_RANGES => gaps[MAX_RANGES - 1].1 = first - 1,
                    _ => gaps.push((expected, first - 1)),
                }
            }
            expected = expected.max(last + 1);
        };
        for part in parts.iter() {
            let summary = &part.summary;
            let is_dense = summary.last - summary.first + 1 == u64::from(summary.rows);
            let chunk = if is_dense { None } else { self.index.chunk(session, part).ok() };
            match chunk {
                Some(chunk) => chunk.rows.iter().for_each(|row| run(row.sequence, row.sequence)),
                // An unreadable chunk is an error when its exchanges are read.
                None => run(summary.first, summary.last),
            }
        }
        run(last + 1, last);
        gaps
    }

    /// The ledger's notes of all sessions. A session being imported has none until it is complete.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let sessions = self.sessions();
        let known = sessions.values().filter(|entry| entry.meta.importing.is_none());
        known.map(|entry| Note::new(entry.meta.id, &entry.meta.name, entry.head)).collect()
    }
}
