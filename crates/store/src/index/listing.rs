//! The index of one session: its chunks, and how far its segments are in them.

use std::sync::Arc;

use super::{
    chunk::{BlockAt, Chunk, Summary},
    parts::{Part, Parts},
    row::{NewRow, Row},
    rows::Filed,
};
use crate::ledger::Head;

/// A segment as of when the index last stored rows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownSegment {
    pub(crate) number: u32,
    pub(crate) generation: u64,
    /// The end of the last block whose rows are all stored.
    pub(crate) length: u64,
}

/// The index of one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) parts: Parts,
    pub(crate) segments: Vec<KnownSegment>,
    /// The summaries in the session's file.
    pub(super) filed: Filed,
    /// Whether stored chunks are not where they were, so that the segments have to be read again.
    pub(crate) is_broken: bool,
}

impl Listing {
    /// The first and last stamp of the session's exchanges.
    pub(crate) fn written(&self) -> Option<(u64, u64)> {
        self.parts.written()
    }

    pub(crate) fn exchanges(&self) -> u64 {
        self.parts.rows()
    }

    /// The number of exchanges, and the last sequence number.
    pub(crate) fn head(&self) -> Head {
        let last = self.parts.last().map_or(0, |part| part.summary.last);
        // Also if the summaries can't be read.
        Head { count: self.exchanges().max(self.filed.rows), last: last.max(self.filed.last), hash: None }
    }

    /// Adds the row of a recorded exchange; returns whether that filled a chunk.
    pub(crate) fn push(&mut self, new: &NewRow, block: BlockAt) -> bool {
        self.add(new.row(), new.texts(), block)
    }

    /// Adds a row; returns whether that filled a chunk.
    pub(crate) fn add(&mut self, row: Row, texts: (&str, Option<&str>), block: BlockAt) -> bool {
        if let Some(part) = self.parts.last_mut()
            && !part.is_full()
            && let Some(chunk) = &mut part.chunk
        {
            part.summary.add(&Arc::make_mut(chunk).push(row, texts, block));
            return part.is_full();
        }
        let mut chunk = Chunk::default();
        let row = chunk.push(row, texts, block);
        let (capacity, chunk) = (Chunk::capacity(self.parts.len()), Some(Arc::new(chunk)));
        self.parts.push(Part { summary: Summary::of(&row), chunk, capacity, stored: 0, place: None });
        false
    }

    /// What to store: full chunks, and with `all` also the unfinished one.
    pub(super) fn unstored(&self, all: bool) -> Option<Unstored> {
        let new = |part: &&Part| part.stored < part.summary.rows && part.chunk.is_some() && (all || part.is_full());
        let recent = self.parts.recent();
        let known = recent.iter().rposition(|part| part.stored == part.summary.rows).map_or(0, |at| at + 1);
        let parts: Vec<Part> = recent[known..].iter().filter(new).cloned().collect();
        let mut segments = self.segments.clone();
        if !all {
            // The last chunk may end within a block, and more blocks may follow, also in later segments: read them again.
            if let Some(at) = parts.last().and_then(Part::last_block) {
                segments.retain(|segment| segment.number <= at.segment);
            }
            if let Some(last) = segments.last_mut() {
                last.length = 0;
            }
        }
        (all || !parts.is_empty()).then_some(Unstored { parts, segments, filed: self.filed })
    }

    /// Notes that these were stored.
    pub(super) fn stored(&mut self, new: Unstored) {
        self.filed = new.filed;
        for part in new.parts {
            let recent = self.parts.recent_mut();
            let index = recent.partition_point(|known| known.summary.first < part.summary.first);
            let Some(known) = recent.get_mut(index) else { continue };
            known.stored = part.summary.rows;
            known.place = part.place;
            if known.summary == part.summary && part.is_full() {
                known.chunk = None;
            }
        }
    }

    /// Records up to which offset a segment's rows are in the listing.
    pub(crate) fn reached(&mut self, number: u32, generation: u64, length: u64) {
        match self.segments.last_mut() {
            Some(known) if known.number == number => *known = KnownSegment { number, generation, length },
            _ => self.segments.push(KnownSegment { number, generation, length }),
        }
    }
}

/// The part of a listing to store.
pub(super) struct Unstored {
    pub(super) parts: Vec<Part>,
    pub(super) segments: Vec<KnownSegment>,
    pub(super) filed: Filed,
}
