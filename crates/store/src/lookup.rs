//! Exchanges looked up in the index.

use nightaudit_exchange::{ExchangeId, SessionId};
use nightaudit_log::{ReadError, Resume};

use crate::{
    index::{BlockAt, Broken, Part, Row},
    shared::Shared,
};

/// Where an exchange stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) id: ExchangeId,
    pub(crate) place: Resume,
    pub(crate) at: BlockAt,
}

impl From<Broken> for ReadError {
    fn from(broken: Broken) -> Self {
        Self::Index(broken.0)
    }
}

impl Shared {
    /// The exchanges whose ids lie in this range, both ends included; at most `limit`.
    pub(crate) fn between(&self, ids: (ExchangeId, ExchangeId), limit: usize) -> Result<Vec<Found>, ReadError> {
        let mut parts: Vec<(SessionId, Part)> = Vec::new();
        for (session, listing) in self.index.listings().iter() {
            let may = |part: &&Part| part.summary.ids.0 <= ids.1 && part.summary.ids.1 >= ids.0;
            parts.extend(listing.parts.iter().filter(may).map(|part| (*session, part.clone())));
        }
        let mut found = Vec::new();
        for (session, part) in parts {
            let chunk = self.index.chunk(session, &part)?;
            for row in chunk.rows.iter().filter(|row| (ids.0..=ids.1).contains(&row.id)) {
                let Some(at) = chunk.block(row) else { continue };
                found.push(Found { id: row.id, place: place(session, row), at });
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The place of an exchange.
    pub(crate) fn place_of(&self, id: ExchangeId) -> Result<Option<Resume>, ReadError> {
        Ok(self.between((id, id), 1)?.first().map(|found| found.place))
    }

    /// The block that holds an exchange.
    pub(crate) fn locate(&self, session: SessionId, sequence: u64) -> Result<Option<BlockAt>, ReadError> {
        let part = self.index.listings().get(&session).and_then(|listing| {
            let place = listing.parts.partition_point(|part| part.summary.last < sequence);
            listing.parts.get(place).cloned()
        });
        let Some(part) = part else { return Ok(None) };
        let chunk = self.index.chunk(session, &part)?;
        let row = chunk.rows.binary_search_by_key(&sequence, |row| row.sequence);
        Ok(row.ok().and_then(|row| chunk.block(&chunk.rows[row])))
    }

    /// How many exchanges stand after the one place and not after the other.
    pub(crate) fn rows_between(&self, after: Option<Resume>, upto: Option<Resume>) -> u64 {
        let Some(upto) = upto else { return 0 };
        let mut count = 0;
        let mut edges = Vec::new();
        for (session, listing) in self.index.listings().iter() {
            for part in &listing.parts {
                let (first, last) = part.summary.written;
                let inside = after.is_none_or(|after| first > after.written) && last < upto.written;
                let outside = after.is_some_and(|after| last < after.written) || first > upto.written;
                match (inside, outside) {
                    (true, _) => count += u64::from(part.summary.rows),
                    (_, true) => {}
                    _ => edges.push((*session, part.clone())),
                }
            }
        }
        for (session, part) in edges {
            let Ok(chunk) = self.index.chunk(session, &part) else { continue };
            let within = |row: &&Row| Some(place(session, row)) > after && place(session, row) <= upto;
            count += chunk.rows.iter().filter(within).count() as u64;
        }
        count
    }
}

fn place(session: SessionId, row: &Row) -> Resume {
    Resume { written: row.written, session, sequence: row.sequence }
}
