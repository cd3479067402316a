//! Reading the rows of all sessions in the order of recording, once.

use std::{iter::Peekable, sync::Arc};

use nightaudit_exchange::SessionId;
use nightaudit_log::Position;

use super::selection::Selection;
use crate::{
    index::{Chunk, Groups, Index, Part, Row, StoredGroup, group_length},
    row_filter::RowFilter,
};

/// What matches are counted by.
pub(crate) trait Tally: Default {
    /// Whether matches are counted by [`number`](Self::number), in the order of recording; otherwise by their
    /// [`values`](Self::values), in any order.
    const BY_NUMBER: bool;

    /// Counts matches that all come after this position, and before what is counted next.
    fn number(&mut self, _after: Position, _matches: u64) {}

    /// Counts matches of a chunk, or of the kinds of [`Columns`](crate::index::Columns): each with a row that has all its
    /// values but the start, and the start.
    fn values<'r>(&mut self, _session: SessionId, _chunk: &Chunk, _matches: impl Iterator<Item = (&'r Row, i64)>) {}
}

/// A tally, and up to where it has counted.
#[derive(Debug)]
pub(super) struct Scan<T> {
    generation: Option<u64>,
    /// The rows that were passed, matching or not.
    passed: u64,
    /// Those of them that had to be read.
    read: u64,
    /// Every row up to here was passed.
    reached: Option<Position>,
    tally: T,
}

impl<T: Default> Default for Scan<T> {
    fn default() -> Self {
        Self { generation: None, passed: 0, read: 0, reached: None, tally: T::default() }
    }
}

impl<T: Tally> Scan<T> {
    pub(super) fn tally(&self) -> &T {
        &self.tally
    }

    /// The position up to where every row was passed; `None` if there was none.
    pub(super) fn reached(&self) -> Option<Position> {
        self.reached
    }

    pub(super) fn rows_read(&self) -> u64 {
        self.read
    }

    /// Counts what was recorded since the last time; everything anew if rows were removed or came in between.
    pub(super) fn update(&mut self, index: &Index, selection: &Selection, filter: &mut RowFilter) {
        let generation = index.generation();
        if self.generation != Some(generation) {
            *self = Self { generation: Some(generation), ..Self::default() };
        }
        let (new, total) = streams(index, selection, self.reached);
        self.pass(index, new, filter);
        if self.passed != total {
            // Numbers from before are void, whoever has them.
            index.renumber();
            *self = Self { generation: Some(index.generation()), ..Self::default() };
            let (all, total) = streams(index, selection, None);
            self.pass(index, all, filter);
            // A chunk of another length than its summary says must not void the numbers again and again.
            self.passed = total;
        }
    }

    fn pass(&mut self, index: &Index, mut streams: Vec<Stream>, filter: &mut RowFilter) {
        let end = streams.iter().map(|stream| stream.end).max();
        let after = self.reached;
        loop {
            streams.retain(Stream::is_open);
            let mut next: Vec<Position> = streams.iter().map(Stream::position).collect();
            let Some(first) = (0..next.len()).min_by_key(|at| next[*at]) else { break };
            next.swap_remove(first);
            let bound = next.into_iter().min();
            self.advance(index, &mut streams[first], (after, bound), filter);
        }
        self.reached = end.max(after);
    }

    /// Passes a stream's rows up to `bound`, or its next chunk.
    fn advance(
        &mut self,
        index: &Index,
        stream: &mut Stream,
        (after, bound): (Option<Position>, Option<Position>),
        filter: &mut RowFilter,
    ) {
        let session = stream.session;
        if T::BY_NUMBER && stream.open.is_none() && self.group(index, stream, (after, bound), filter) {
            return;
        }
        let Some((chunk, at)) = &mut stream.open else {
            let Some(part) = stream.next_part() else { return };
            let summary = &part.summary;
            let position = |written, sequence| Position { written, session, sequence };
            let is_new = Some(position(summary.written.0, summary.first)) > after;
            let is_alone = !T::BY_NUMBER || bound.is_none_or(|bound| position(summary.written.1, summary.last) < bound);
            let rows = u64::from(summary.rows);
            // The order of what doesn't match is of no importance.
            let is_passed = is_new
                && match is_alone {
                    true => !filter.may_match(summary) || self.whole(index, session, &part, filter),
                    false => filter.rules_out(index, session, &part),
                };
            if is_passed {
                self.passed += rows;
                return;
            }
            match index.chunk(session, &part) {
                Ok(chunk) => {
                    let start = chunk.rows.partition_point(|row| Some(position(row.written, row.sequence)) <= after);
                    self.read += rows;
                    stream.open = Some((chunk, start));
                }
                Err(error) => {
                    // As queries do: what the index has lost can't be listed.
                    tracing::warn!(?error, %session, first = summary.first, "rows of the index can't be read");
                    self.passed += rows;
                }
            }
            return;
        };
        let rest = &chunk.rows[*at..];
        let before = |row: &Row| {
            bound.is_none_or(|bound| Position { written: row.written, session, sequence: row.sequence } < bound)
        };
        let count = rest.partition_point(before);
        let matches = rest[..count].iter().filter(|row| filter.matches(row, chunk));
        if T::BY_NUMBER {
            for row in matches {
                let position = Position { written: row.written, session, sequence: row.sequence };
                self.tally.number(position.before(), 1);
            }
        } else {
            self.tally.values(session, chunk, matches.map(|row| (row, row.started)));
        }
        self.passed += count as u64;
        *at += count;
        if *at == chunk.rows.len() {
            stream.open = None;
        }
    }

    /// Passes the parts of the group that is next, if it decides alone.
    fn group(
        &mut self,
        index: &Index,
        stream: &mut Stream,
        (after, bound): (Option<Position>, Option<Position>),
        filter: &mut RowFilter,
    ) -> bool {
        if filter.is_all() || !filter.is_decided_by_columns() {
            return false;
        }
        let session = stream.session;
        let position = |written, sequence| Position { written, session, sequence };
        let Some([Part { summary: first, .. }, .., Part { summary: last, .. }]) = stream.next_parts() else {
            return false;
        };
        let first = position(first.written.0, first.first);
        // Before a file is opened for it.
        if Some(first) <= after || bound.is_some_and(|bound| position(last.written.1, last.last) >= bound) {
            return false;
        }
        let Some((stored, parts)) = stream.next_group(index) else { return false };
        if !parts.iter().all(|part| filter.is_decided_by_kind(&part.summary)) {
            return false;
        }
        let Some(group) = index.group(&stored) else { return false };
        match filter.count_kinds(&group) {
            0 => {}
            matches => self.tally.number(first.before(), matches),
        }
        let rows: u64 = parts.iter().map(|part| u64::from(part.summary.rows)).sum();
        let length = parts.len();
        self.passed += rows;
        self.read += rows;
        stream.next += length;
        true
    }

    /// Counts all of a part without its rows, by its summary or its columns; false if the rows are needed.
    fn whole(&mut self, index: &Index, session: SessionId, part: &Part, filter: &mut RowFilter) -> bool {
        let Part { summary, .. } = part;
        let after = Position { written: summary.written.0, session, sequence: summary.first }.before();
        if T::BY_NUMBER && filter.is_all() {
            self.tally.number(after, u64::from(summary.rows));
            return true;
        }
        if !filter.is_decided_by_columns() {
            return false;
        }
        let Some(columns) = index.columns(session, part) else { return false };
        self.read += u64::from(summary.rows);
        let matches = filter.rows_of(&columns);
        if T::BY_NUMBER {
            match matches.count() as u64 {
                0 => {}
                matches => self.tally.number(after, matches),
            }
        } else {
            let value = |number: usize| Some((columns.row(number)?, *columns.started.get(number)?));
            self.tally.values(session, &columns.kinds, matches.filter_map(value));
        }
        true
    }
}

/// The rows of a session that come after some position.
struct Stream {
    session: SessionId,
    parts: Vec<Part>,
    /// How many of them were passed or opened.
    next: usize,
    /// The groups from the next part on, once one is asked for.
    groups: Option<Peekable<Groups>>,
    /// The current chunk, and how many of its rows were passed.
    open: Option<(Arc<Chunk>, usize)>,
    end: Position,
}

impl Stream {
    fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|(chunk, at)| *at < chunk.rows.len()) || self.next < self.parts.len()
    }

    fn next_part(&mut self) -> Option<Part> {
        let part = self.parts.get(self.next)?.clone();
        self.next += 1;
        Some(part)
    }

    /// As many of the next parts as make a group; `None` if there are fewer.
    fn next_parts(&self) -> Option<&[Part]> {
        of_group(self.parts.get(self.next..)?)
    }

    /// The group that was made of the next parts, and these; `None` if there is none.
    fn next_group(&mut self, index: &Index) -> Option<(StoredGroup, &[Part])> {
        let parts = of_group(self.parts.get(self.next..)?)?;
        let first = parts.first()?.summary.first;
        let groups = self.groups.get_or_insert_with(|| index.groups(self.session).peekable());
        while groups.next_if(|group| group.first < first).is_some() {}
        let group = groups.next_if(|group| group.first == first)?;
        group.is_of(parts.iter().map(|part| &part.summary)).then_some((group, parts))
    }

    /// The position of the next row, or one before it.
    fn position(&self) -> Position {
        let session = self.session;
        let of = |written, sequence| Position { written, session, sequence };
        if let Some(row) = self.open.as_ref().and_then(|(chunk, at)| chunk.rows.get(*at)) {
            return of(row.written, row.sequence);
        }
        self.parts.get(self.next).map_or(self.end, |part| of(part.summary.written.0, part.summary.first))
    }
}

/// The first of these parts, as many as make a group; `None` if they are fewer.
fn of_group(parts: &[Part]) -> Option<&[Part]> {
    parts.get(..group_length(parts.iter().map(|part| &part.summary))?)
}

/// The streams of a selection's sessions after a position, and how many rows the sessions have in all.
fn streams(index: &Index, selection: &Selection, after: Option<Position>) -> (Vec<Stream>, u64) {
    let (mut streams, mut new) = (Vec::new(), Vec::new());
    let mut total = 0;
    for (session, listing) in index.listings().iter().filter(|(session, _)| selection.has(**session)) {
        total += listing.exchanges();
        let Some(last) = listing.parts.last().map(|part| &part.summary) else { continue };
        let end = Position { written: last.written.1, session: *session, sequence: last.last };
        new.push((*session, end, listing.parts.clone()));
    }
    for (session, end, parts) in new {
        let parts = parts.after(|part| {
            let summary = &part.summary;
            Some(Position { written: summary.written.1, session, sequence: summary.last }) <= after
        });
        if !parts.is_empty() {
            streams.push(Stream { session, parts, next: 0, groups: None, open: None, end });
        }
    }
    (streams, total)
}
