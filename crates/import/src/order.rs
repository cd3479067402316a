//! The order in which exchanges are recorded: that in which they ended.
//!
//! nightaudit records an exchange when it ends, and readers of the log rely on ends that don't go back. Other tools write
//! theirs by their starts, or as the user had sorted them.

use std::{cmp::Reverse, collections::BinaryHeap};

use nightaudit_exchange::Exchange;

/// The most exchanges, and bytes of memory, held back to be put in order. A file of fewer is in order as a whole.
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
        self.bytes += exchange.memory();
        let end = exchange.started_at.plus(exchange.duration()).micros();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(exchange);
        self.waiting.push(Reverse((end, self.arrived, slot)));
    }

    /// How much memory those held back take.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.slots.iter().flatten().map(Exchange::memory).sum()
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
        self.bytes -= exchange.memory();
        Some(exchange)
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{Body, Direction, Message, Omitted, WebSocket};

    use super::*;

    fn exchange() -> Exchange {
        Exchange { response: None, ..nightaudit_exchange::testing::sample() }
    }

    /// How many of such exchanges are held back.
    fn held(exchange: &Exchange) -> usize {
        let mut order = Order::default();
        let given = (0..200).filter(|_| {
            order.push(exchange.clone());
            order.pop().is_some()
        });
        200 - given.count()
    }

    #[test]
    fn regression_exchanges_were_held_back_by_the_bytes_of_their_bodies_only() {
        let long = || "x".repeat(1 << 20);
        let mut url = exchange();
        url.request.url = long();
        let mut header = exchange();
        header.request.headers = vec![nightaudit_exchange::Header { name: "a".into(), value: long().into() }];
        let mut part = exchange();
        let message = Message { time: part.started_at, direction: Direction::Send, opcode: 1, body: Body::empty() };
        let messages = vec![message; (1 << 20) / size_of::<Message>()];
        let handshake = part.id;
        let omitted = Omitted::default();
        part.web_socket = Some(WebSocket { handshake, part: 1, messages, omitted, unreadable_bytes: 0, ended: false });
        for exchange in [url, header, part] {
            assert!((25..=32).contains(&held(&exchange)), "{}", held(&exchange));
        }
        assert_eq!(held(&exchange()), 200);
    }
}
