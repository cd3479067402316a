//! Encoding exchanges into the records of a block.

use std::sync::Arc;

use bytes::Bytes;
use nightaudit_exchange::{Exchange, SessionId};

use crate::{
    block,
    index::NewRow,
    record::{self, Unchained},
};

/// Bodies of this size or more, in bytes, are not copied.
const LARGE: usize = 1 << 20;

/// Where a session ends.
#[derive(Debug, Clone)]
pub(crate) struct SessionTail {
    pub(crate) session: SessionId,
    pub(crate) name: Arc<str>,
    /// The sequence number of its last exchange.
    pub(crate) last: u64,
}

/// The records of one block, not yet chained or compressed: another thread does that.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) session: SessionId,
    /// The concatenated records, except for `tail`.
    pub(crate) raw: Vec<u8>,
    /// The bodies of the last record if they are large, which follow `raw`; kept apart to avoid a copy.
    pub(crate) tail: Vec<Bytes>,
    /// What is needed to chain each record.
    pub(crate) links: Vec<Unchained>,
    /// The sequence number of the exchange that must precede them.
    pub(crate) after: u64,
    /// The sequence number of the first record.
    pub(crate) first: u64,
    /// The stamp of their batch.
    pub(crate) written: u64,
    /// The index row of each record.
    pub(crate) rows: Vec<NewRow>,
    /// The exchanges themselves, if there are followers.
    pub(crate) followed: Vec<Exchange>,
}

/// Builds the blocks of a session.
pub(crate) struct BlockBuilder {
    tail: SessionTail,
    records: Option<Records>,
    /// The largest number of exchanges in a block so far, as a capacity hint.
    capacity: usize,
}

impl BlockBuilder {
    pub(crate) fn new(tail: SessionTail) -> Self {
        Self { tail, records: None, capacity: 0 }
    }

    pub(crate) fn tail(&self) -> &SessionTail {
        &self.tail
    }

    /// Adds an exchange, whose sequence number must be above the last. Returns the records once they fill a block.
    ///
    /// A new block takes its buffer from `spare`.
    pub(crate) fn add(
        &mut self,
        exchange: Exchange,
        written: u64,
        followed: bool,
        spare: &mut Vec<Vec<u8>>,
    ) -> Option<Records> {
        let (tail, capacity) = (&mut self.tail, self.capacity);
        let records = self.records.get_or_insert_with(|| Records {
            session: tail.session,
            raw: spare.pop().unwrap_or_default(),
            tail: Vec::new(),
            links: Vec::with_capacity(capacity),
            after: tail.last,
            first: exchange.sequence,
            written,
            rows: Vec::with_capacity(capacity),
            followed: Vec::new(),
        });
        let link = if exchange.bodies().map(|body| body.bytes.len()).sum::<usize>() >= LARGE {
            let (link, bodies) = record::encode_apart(&exchange, written, &mut records.raw);
            records.tail.extend(bodies);
            link
        } else {
            record::encode(&exchange, written, &mut records.raw)
        };
        records.links.push(link);
        tail.last = exchange.sequence;
        if followed {
            records.rows.push(NewRow::of(&exchange, written));
            records.followed.push(exchange);
        } else {
            records.rows.push(NewRow::from(exchange, written));
        }
        if records.raw.len() >= block::TARGET || !records.tail.is_empty() { self.take() } else { None }
    }

    /// The records of the unfinished block.
    pub(crate) fn take(&mut self) -> Option<Records> {
        let records = self.records.take()?;
        self.capacity = self.capacity.max(records.rows.len());
        Some(records)
    }
}
