//! Where exchanges are, by the index.

use nightaudit_exchange::{ExchangeId, SessionId};
use nightaudit_log::{Position, ReadError};

use crate::{
    index::{BlockAt, IndexError, Part, Parts, Row},
    shared::{Entry, Shared},
};

/// Maximum number of candidates listed.
const MAX_CANDIDATES: usize = 8;

/// The length of an id.
pub(crate) const ID_LENGTH: usize = 26;

/// The location of an exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) id: ExchangeId,
    pub(crate) position: Position,
    pub(crate) at: BlockAt,
}

impl From<IndexError> for ReadError {
    fn from(broken: IndexError) -> Self {
        Self::Index(broken.0)
    }
}

impl Shared {
    /// The exchanges with ids in this inclusive range; at most `limit`.
    pub(crate) fn between(&self, ids: (ExchangeId, ExchangeId), limit: usize) -> Result<Vec<Found>, ReadError> {
        let may = |part: &Part| part.summary.ids.0 <= ids.1 && part.summary.ids.1 >= ids.0;
        self.select(may, |row| (ids.0..=ids.1).contains(&row.id), limit)
    }

    /// The exchanges of the rows that match; at most `limit`.
    fn select(
        &self,
        may: impl Fn(&Part) -> bool,
        wanted: impl Fn(&Row) -> bool,
        limit: usize,
    ) -> Result<Vec<Found>, ReadError> {
        let mut found = Vec::new();
        let parts = self.all_parts();
        for (session, part) in parts.iter().flat_map(|(id, parts)| parts.candidates(&may).map(move |part| (*id, part)))
        {
            let chunk = self.index.chunk(session, part)?;
            for row in chunk.rows.iter().filter(|row| wanted(row)) {
                let Some(at) = chunk.block(row) else { continue };
                found.push(Found { id: row.id, position: position(session, row), at });
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The parts of all sessions, to be read without the lock of the listings.
    fn all_parts(&self) -> Vec<(SessionId, Parts)> {
        self.index.listings().iter().map(|(session, listing)| (*session, listing.parts.clone())).collect()
    }

    /// The first exchanges with this prefix of their ids.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Result<Vec<Found>, ReadError> {
        let bound = |filler: &str| format!("{prefix}{}", filler.repeat(ID_LENGTH - prefix.len())).parse().ok();
        // The first character of an id has three bits, so 7 is the highest.
        match (bound("0"), bound("Z")) {
            (Some(first), Some(last)) => self.between((first, last), MAX_CANDIDATES),
            _ => Ok(Vec::new()),
        }
    }

    /// The first exchanges with this suffix of their ids. Scans the index, which is not sorted by suffix.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Result<Vec<Found>, ReadError> {
        let Ok(wanted) = format!("{suffix:0>ID_LENGTH$}").parse::<ExchangeId>() else { return Ok(Vec::new()) };
        // Each character has five bits.
        let (wanted, mask) = (u128::from_be_bytes(wanted.to_bytes()), (1u128 << (5 * suffix.len())) - 1);
        self.select(|_| true, |row| u128::from_be_bytes(row.id.to_bytes()) & mask == wanted, MAX_CANDIDATES)
    }

    /// The exchange with this id: the one that was recorded here, if others of that id were imported. A file may say
    /// whatever it likes of its exchanges, so it must not hide what was recorded.
    pub(crate) fn with_id(&self, id: ExchangeId) -> Result<Option<Found>, ReadError> {
        let found = self.between((id, id), usize::MAX)?;
        let sessions = self.sessions();
        let is_imported = |session| sessions.get(&session).is_some_and(|entry: &Entry| entry.meta.imported.is_some());
        Ok(found.into_iter().min_by_key(|found| is_imported(found.position.session)))
    }

    /// The position of an exchange.
    pub(crate) fn position_of(&self, id: ExchangeId) -> Result<Option<Position>, ReadError> {
        Ok(self.with_id(id)?.map(|found| found.position))
    }

    /// The block that holds an exchange.
    pub(crate) fn locate(&self, session: SessionId, sequence: u64) -> Result<Option<BlockAt>, ReadError> {
        let Some(parts) = self.index.parts(session) else { return Ok(None) };
        let Some(part) = parts.first_after(|part| part.summary.last < sequence) else { return Ok(None) };
        let chunk = self.index.chunk(session, part)?;
        let row = chunk.rows.binary_search_by_key(&sequence, |row| row.sequence);
        Ok(row.ok().and_then(|row| chunk.block(&chunk.rows[row])))
    }

    /// The number of exchanges after `after` and up to `upto`.
    pub(crate) fn rows_between(&self, after: Option<Position>, upto: Option<Position>) -> u64 {
        let Some(upto) = upto else { return 0 };
        let mut count = 0;
        let mut edges = Vec::new();
        let may = |part: &Part| {
            let (first, last) = part.summary.written;
            after.is_none_or(|after| last >= after.written) && first <= upto.written
        };
        for (session, parts) in self.all_parts() {
            for part in parts.candidates(&may) {
                let (first, last) = part.summary.written;
                if after.is_none_or(|after| first > after.written) && last < upto.written {
                    count += u64::from(part.summary.rows);
                } else {
                    edges.push((session, part.clone()));
                }
            }
        }
        for (session, part) in edges {
            let Ok(chunk) = self.index.chunk(session, &part) else { continue };
            let within = |row: &&Row| Some(position(session, row)) > after && position(session, row) <= upto;
            count += chunk.rows.iter().filter(within).count() as u64;
        }
        count
    }
}

fn position(session: SessionId, row: &Row) -> Position {
    Position { written: row.written, session, sequence: row.sequence }
}
