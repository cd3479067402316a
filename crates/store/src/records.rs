//! Exchanges made into blocks' worths of records.

use std::sync::Arc;

use nightaudit_exchange::{Digest, Exchange, SessionId};

use crate::{block, index::Noted, record};

/// Where a session's chain has come to.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) session: SessionId,
    pub(crate) name: Arc<str>,
    /// The hash of its last exchange.
    pub(crate) hash: Digest,
    /// The sequence number of its last exchange.
    pub(crate) last: u64,
}

/// The records of one block, not packed yet.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) session: SessionId,
    /// The records, one after the other.
    pub(crate) raw: Vec<u8>,
    /// The sequence number of the first.
    pub(crate) first: u64,
    /// The hash of the exchange before them, to which they are chained.
    pub(crate) previous: Digest,
    /// The hash of the last.
    pub(crate) hash: Digest,
    /// The stamp of their batch.
    pub(crate) written: u64,
    /// What the index notes of each.
    pub(crate) noted: Vec<Noted>,
    /// The exchanges themselves, where somebody follows.
    pub(crate) followed: Vec<Arc<Exchange>>,
}

/// A session's records as they grow.
pub(crate) struct Open {
    chain: Chain,
    records: Option<Records>,
    /// How large the largest block was, in bytes and in exchanges, to have room for the next.
    size: (usize, usize),
}

impl Open {
    pub(crate) fn new(chain: Chain) -> Self {
        Self { chain, records: None, size: (0, 0) }
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Adds an exchange, whose sequence number is above the chain's last. Returns the records if they fill a block.
    pub(crate) fn add(&mut self, mut exchange: Exchange, written: u64, followed: bool) -> Option<Records> {
        let (chain, size) = (&mut self.chain, self.size);
        let records = self.records.get_or_insert_with(|| Records {
            session: chain.session,
            raw: Vec::with_capacity(size.0),
            first: exchange.sequence,
            previous: chain.hash,
            hash: chain.hash,
            written,
            noted: Vec::with_capacity(size.1),
            followed: Vec::new(),
        });
        let hash = record::encode(&mut exchange, written, chain.hash, &mut records.raw);
        let previous = std::mem::replace(&mut chain.hash, hash);
        chain.last = exchange.sequence;
        records.hash = hash;
        if followed {
            records.noted.push(Noted::of(&exchange, written));
            (exchange.previous_hash, exchange.hash) = (Some(previous), Some(hash));
            records.followed.push(Arc::new(exchange));
        } else {
            records.noted.push(Noted::from(exchange, written));
        }
        if records.raw.len() >= block::TARGET { self.take() } else { None }
    }

    /// The records that fill no block yet.
    pub(crate) fn take(&mut self) -> Option<Records> {
        let records = self.records.take()?;
        let (bytes, exchanges) = self.size;
        self.size = (bytes.max(records.raw.len()).min(block::TARGET + ROOM), exchanges.max(records.noted.len()));
        Some(records)
    }
}

/// A block is closed by the record that crosses its size, for which a little room is left.
const ROOM: usize = 16 << 10;
