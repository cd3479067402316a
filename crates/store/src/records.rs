//! Exchanges made into blocks' worths of records.

use std::sync::Arc;

use bytes::Bytes;
use nightaudit_exchange::{Exchange, SessionId};

use crate::{
    block,
    index::Noted,
    record::{self, Unchained},
};

/// The bytes of bodies from which on they are not copied.
const LARGE: usize = 1 << 20;

/// How far a session has come.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) session: SessionId,
    pub(crate) name: Arc<str>,
    /// The sequence number of its last exchange.
    pub(crate) last: u64,
}

/// The records of one block, neither chained nor packed yet: both are left to another thread than the one that makes
/// them.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) session: SessionId,
    /// The records, one after the other, but for what is in `tail`.
    pub(crate) raw: Vec<u8>,
    /// What belongs behind them: the bodies of the last, where they are large. So these are not there twice.
    pub(crate) tail: Vec<Bytes>,
    /// What chaining them takes.
    pub(crate) links: Vec<Unchained>,
    /// The sequence number of the exchange before them, after which alone they can be written.
    pub(crate) after: u64,
    /// The sequence number of the first.
    pub(crate) first: u64,
    /// The stamp of their batch.
    pub(crate) written: u64,
    /// What the index notes of each.
    pub(crate) noted: Vec<Noted>,
    /// The exchanges themselves, where somebody follows.
    pub(crate) followed: Vec<Exchange>,
}

/// A session's records as they grow.
pub(crate) struct Open {
    reached: Reached,
    records: Option<Records>,
    /// How many exchanges the largest block had, to have room for as many in the next.
    most: usize,
}

impl Open {
    pub(crate) fn new(reached: Reached) -> Self {
        Self { reached, records: None, most: 0 }
    }

    pub(crate) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Adds an exchange, whose sequence number is above the last. Returns the records if they fill a block.
    ///
    /// A new block takes its memory from `spare`.
    pub(crate) fn add(
        &mut self,
        exchange: Exchange,
        written: u64,
        followed: bool,
        spare: &mut Vec<Vec<u8>>,
    ) -> Option<Records> {
        let (reached, most) = (&mut self.reached, self.most);
        let records = self.records.get_or_insert_with(|| Records {
            session: reached.session,
            raw: spare.pop().unwrap_or_default(),
            tail: Vec::new(),
            links: Vec::with_capacity(most),
            after: reached.last,
            first: exchange.sequence,
            written,
            noted: Vec::with_capacity(most),
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
        reached.last = exchange.sequence;
        if followed {
            records.noted.push(Noted::of(&exchange, written));
            records.followed.push(exchange);
        } else {
            records.noted.push(Noted::from(exchange, written));
        }
        if records.raw.len() >= block::TARGET || !records.tail.is_empty() { self.take() } else { None }
    }

    /// The records that fill no block yet.
    pub(crate) fn take(&mut self) -> Option<Records> {
        let records = self.records.take()?;
        self.most = self.most.max(records.noted.len());
        Some(records)
    }
}
