//! The order in which exchanges are recorded: that in which they ended.
//!
//! nightaudit records an exchange when it ends, and readers of the log rely on ends that don't go back. Other tools write
//! theirs by their starts, or as the user had sorted them.

use std::{cmp::Reverse, collections::BinaryHeap};

use nightaudit_exchange::Exchange;

/// The most exchanges, and bytes of their bodies, held back to be put in order. A file of fewer is in order as a whole.
const CAPACITY: (usize, usize) = (8_192, 32 << 20);

/// Exchanges held back.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// End, number of arrival and slot of each.
    waiting: BinaryHeap<Reverse<(i64, u64, usize)>>,
    slots: Vec<Option<Exchange>>,
    free: Vec<usize>,
    bytes: usize,
    arrived: u64,
}

impl Order {
    pub(crate) fn push(&mut self, exchange: Exchange) {
        self.arrived += 1;
        self.bytes += size(&exchange);
        let end = exchange.started_at.plus(exchange.duration()).micros();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(exchange);
        self.waiting.push(Reverse((end, self.arrived, slot)));
    }

    /// The one that ended first, if so many are held that one must go.
    pub(crate) fn pop(&mut self) -> Option<Exchange> {
        if self.waiting.len() > CAPACITY.0 || self.bytes > CAPACITY.1 { self.take() } else { None }
    }

    /// The one that ended first.
    pub(crate) fn take(&mut self) -> Option<Exchange> {
        let Reverse((.., slot)) = self.waiting.pop()?;
        self.free.push(slot);
        let exchange = self.slots[slot].take()?;
        self.bytes -= size(&exchange);
        Some(exchange)
    }
}

/// What an exchange holds, about.
fn size(exchange: &Exchange) -> usize {
    const REST: usize = 2 << 10;
    exchange.bodies().map(|body| body.bytes.len()).sum::<usize>() + REST
}
