//! A cursor over the rows of one session, in either direction.

use std::sync::Arc;

use nightaudit_exchange::SessionId;
use nightaudit_log::{Order, Position, ReadError};

use crate::{
    index::{BlockAt, Chunk, Index, Old, Part, Parts, Summary},
    row_filter::RowFilter,
};

/// A matching row, and its location.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) position: Position,
    pub(crate) at: BlockAt,
}

/// Iterates over a session's rows.
#[derive(Debug)]
pub(crate) struct Cursor {
    session: SessionId,
    /// The parts not started, the next one last.
    parts: Vec<Part>,
    /// Those that come before them if the oldest come first, otherwise after them.
    old: Option<Arc<Old>>,
    order: Order,
    after: Option<Position>,
    /// The current chunk, and how many of its rows are done.
    chunk: Option<(Arc<Chunk>, usize)>,
}

impl Cursor {
    pub(crate) fn new(session: SessionId, parts: Parts, order: Order, after: Option<Position>) -> Self {
        let (old, mut parts) = parts.split();
        if order == Order::Oldest {
            parts.reverse();
        }
        Self { session, parts, old, order, after, chunk: None }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    fn next_part(&mut self, filter: &RowFilter) -> Option<Part> {
        if (self.order == Order::Oldest || self.parts.is_empty())
            && let Some(old) = self.old.take()
            && !self.has_passed(old.summary())
            && filter.may_match(old.summary())
        {
            let mut parts = old.parts().to_vec();
            if self.order == Order::Oldest {
                parts.reverse();
            }
            self.parts.extend(parts);
        }
        self.parts.pop()
    }

    /// Whether all rows that are summarized come at or before the start.
    fn has_passed(&self, summary: &Summary) -> bool {
        let Some(after) = self.after else { return false };
        match self.order {
            Order::Oldest => summary.written.1 < after.written,
            Order::Newest => summary.written.0 > after.written,
        }
    }

    /// The next row that the filter matches.
    pub(crate) fn next(&mut self, index: &Index, filter: &mut RowFilter, failed: &mut Vec<ReadError>) -> Option<Hit> {
        loop {
            if let Some((chunk, done)) = &mut self.chunk {
                while *done < chunk.rows.len() {
                    let row = match self.order {
                        Order::Oldest => *done,
                        Order::Newest => chunk.rows.len() - 1 - *done,
                    };
                    *done += 1;
                    let row = &chunk.rows[row];
                    let position = Position { written: row.written, session: self.session, sequence: row.sequence };
                    let passed = match self.order {
                        Order::Oldest => self.after.is_some_and(|after| position <= after),
                        Order::Newest => self.after.is_some_and(|after| position >= after),
                    };
                    if !passed
                        && filter.matches(row, chunk)
                        && let Some(at) = chunk.block(row)
                    {
                        return Some(Hit { position, at });
                    }
                }
                self.chunk = None;
            }
            let part = self.next_part(filter)?;
            let summary = &part.summary;
            if self.has_passed(summary) || filter.rules_out(index, self.session, &part) {
                continue;
            }
            match index.chunk(self.session, &part) {
                Ok(chunk) => self.chunk = Some((chunk, 0)),
                Err(broken) => failed.push(ReadError::Rows {
                    session: self.session,
                    first: summary.first,
                    last: summary.last,
                    reason: broken.0,
                }),
            }
        }
    }
}
