//! A cursor over the rows of one session, in either direction.

use std::sync::Arc;

use nightaudit_exchange::SessionId;
use nightaudit_log::{Order, Position, ReadError};

use crate::{
    index::{BlockAt, Chunk, Index, Old, Part, Parts},
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
    /// Those that come after them if the newest come first.
    old: Option<Arc<Old>>,
    order: Order,
    after: Option<Position>,
    /// The current chunk, and how many of its rows are done.
    chunk: Option<(Arc<Chunk>, usize)>,
}

impl Cursor {
    pub(crate) fn new(session: SessionId, parts: Parts, order: Order, after: Option<Position>) -> Self {
        let (mut old, mut parts) = parts.split();
        if order == Order::Oldest {
            parts.reverse();
            let passed = |old: &Arc<Old>| after.is_some_and(|after| old.whole().written.1 < after.written);
            if let Some(old) = old.take().filter(|old| !passed(old)) {
                parts.extend(old.parts().iter().rev().cloned());
            }
        }
        Self { session, parts, old, order, after, chunk: None }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    fn next_part(&mut self) -> Option<Part> {
        if self.parts.is_empty()
            && let Some(old) = self.old.take()
        {
            self.parts = old.parts().to_vec();
        }
        self.parts.pop()
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
            let part = self.next_part()?;
            let summary = &part.summary;
            let passed = match self.order {
                Order::Oldest => self.after.is_some_and(|after| summary.written.1 < after.written),
                Order::Newest => self.after.is_some_and(|after| summary.written.0 > after.written),
            };
            if passed || filter.rules_out(index, self.session, &part) {
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
