//! What the log had and has no more: what it is known to have had, compared with what the segments have.

use nightaudit_exchange::{Missing, SessionId};

use crate::{
    index::{Listing, Part},
    ledger::{Head, Note},
    log::Log,
    shared::{Entry, Shared},
};

/// The most ranges of missing exchanges that are told apart; the last one may hold some that are there.
const MOST_RANGES: usize = 1000;

impl Log {
    /// What was recorded and is not in the log any more, session by session. What was deleted through this program is not
    /// missing. Exchanges that are there and can't be read are not counted here: reading them is an error each.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        self.shared.missing()
    }
}

impl Shared {
    /// See [`Log::missing`].
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

    /// How many exchanges that are.
    pub(crate) fn missing_count(&self) -> u64 {
        let here: u64 = self.sessions().values().map(|entry| entry.missing).sum();
        here + self.vanished().values().map(|note| note.head.count).sum::<u64>()
    }

    /// Notes that a session has had what this listing of it has.
    pub(crate) fn witness(&self, session: SessionId, listing: &Listing) {
        let Some(head) = self.sessions().get(&session).map(|entry| entry.head) else { return };
        let new = self.rows_after(session, &listing.parts, head.last);
        let Some(last) = listing.parts.last().map(|part| part.summary.last).filter(|_| new > 0) else { return };
        if let Some(entry) = self.sessions().get_mut(&session) {
            entry.head = Head { count: head.count + new, last, hash: None };
        }
    }

    /// Compares what a session has with what it had.
    pub(crate) fn compare(&self, session: SessionId) {
        let parts = self.index.listings().get(&session).map(|listing| listing.parts.clone()).unwrap_or_default();
        let here: u64 = parts.iter().map(|part| u64::from(part.summary.rows)).sum();
        let Some(head) = self.sessions().get(&session).map(|entry| entry.head) else { return };
        let missing = head.count.saturating_sub(here);
        let gaps = if missing > 0 { self.gaps(session, &parts, head.last) } else { Vec::new() };
        // What was imported from an export with a filter had gaps of its own, which nobody can tell from these.
        let exact = gaps.iter().map(|(first, last)| last - first + 1).sum::<u64>() == missing;
        if let Some(entry) = self.sessions().get_mut(&session) {
            entry.missing = missing;
            entry.gaps = if exact || gaps.len() >= MOST_RANGES { gaps } else { Vec::new() };
        }
    }

    /// How many rows of a session come after this sequence number.
    fn rows_after(&self, session: SessionId, parts: &[Part], sequence: u64) -> u64 {
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

    /// The sequence numbers up to `last` that no row has.
    fn gaps(&self, session: SessionId, parts: &[Part], last: u64) -> Vec<(u64, u64)> {
        let (mut gaps, mut due) = (Vec::<(u64, u64)>::new(), 1);
        let mut run = |first: u64, last: u64| {
            if first > due {
                match gaps.len() {
                    MOST_RANGES => gaps[MOST_RANGES - 1].1 = first - 1,
                    _ => gaps.push((due, first - 1)),
                }
            }
            due = due.max(last + 1);
        };
        for part in parts {
            let summary = &part.summary;
            let is_dense = summary.last - summary.first + 1 == u64::from(summary.rows);
            let chunk = if is_dense { None } else { self.index.chunk(session, part).ok() };
            match chunk {
                Some(chunk) => chunk.rows.iter().for_each(|row| run(row.sequence, row.sequence)),
                // A chunk that can't be read is an error to those who want its exchanges.
                None => run(summary.first, summary.last),
            }
        }
        run(last + 1, last);
        gaps
    }

    /// The notes of all sessions for the ledger. One that is being imported has none until it is whole.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let sessions = self.sessions();
        let known = sessions.values().filter(|entry| entry.meta.importing.is_none());
        known.map(|entry| Note::new(entry.meta.id, &entry.meta.name, entry.head)).collect()
    }
}
