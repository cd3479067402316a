//! The last exchanges recorded, in memory for followers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use nightaudit_exchange::Exchange;
use nightaudit_log::Position;
use tokio::sync::watch;

/// Maximum number of exchanges kept.
const MAX_EXCHANGES: usize = 1024;
/// Maximum bytes kept: of bodies, WebSocket messages and headers.
const MAX_BYTES: usize = 4 << 20;

/// Shorter bodies are copied for followers; longer ones fill most of the buffers they are in.
const SMALL: usize = 32 << 10;

/// The last exchanges, shared by all followers: a further follower costs next to nothing, and none makes the log hold
/// more than this.
#[derive(Debug)]
pub(crate) struct Ring {
    kept: Mutex<Kept>,
    /// The position of the last exchange recorded; changes wake the followers.
    last: watch::Sender<Last>,
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Last {
    pub(crate) position: Option<Position>,
    /// Exchanges recorded since the log was opened.
    pub(crate) count: u64,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct Kept {
    exchanges: VecDeque<(Position, u64, Arc<Exchange>)>,
    bytes: usize,
    /// The position of the last exchange evicted.
    dropped: Option<Position>,
}

/// What the ring has after a position.
pub(crate) enum After {
    /// The next exchange, and its count.
    Next(Position, u64, Arc<Exchange>),
    /// Nothing yet.
    Nothing,
    /// Evicted; read it from disk.
    Gone,
}

impl Ring {
    /// A ring for a log whose last exchange is at `position`.
    pub(crate) fn new(position: Option<Position>) -> Self {
        let kept = Kept { dropped: position, ..Kept::default() };
        Self { kept: Mutex::new(kept), last: watch::Sender::new(Last { position, count: 0, closed: false }) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Last> {
        self.last.subscribe()
    }

    /// Whether there are followers; if not, exchanges need not be kept.
    pub(crate) fn is_followed(&self) -> bool {
        self.last.receiver_count() > 0
    }

    /// Adds recorded exchanges, in order.
    pub(crate) fn push(&self, exchanges: Vec<(Position, Arc<Exchange>)>) {
        let Some(position) = exchanges.last().map(|(position, _)| *position) else { return };
        let mut count = self.last.borrow().count;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (position, mut exchange) in exchanges {
            // It is not shared yet.
            if let Some(exchange) = Arc::get_mut(&mut exchange) {
                detach(exchange);
            }
            count += 1;
            kept.bytes += exchange.memory();
            kept.exchanges.push_back((position, count, exchange));
        }
        while kept.exchanges.len() > MAX_EXCHANGES || kept.bytes > MAX_BYTES {
            let Some((position, _, exchange)) = kept.exchanges.pop_front() else { break };
            kept.bytes -= exchange.memory();
            kept.dropped = Some(position);
        }
        drop(kept);
        self.last.send_modify(|last| (last.position, last.count) = (Some(position), count));
    }

    /// Records that exchanges up to this position were recorded without followers.
    pub(crate) fn pass(&self, position: Position, exchanges: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { dropped: Some(position), ..Kept::default() };
        drop(kept);
        self.last.send_modify(|last| {
            last.position = Some(position);
            last.count += exchanges as u64;
        });
    }

    pub(crate) fn close(&self) {
        self.last.send_modify(|last| last.closed = true);
    }

    /// What comes after a position.
    pub(crate) fn after(&self, position: Option<Position>) -> After {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if position < kept.dropped {
            return After::Gone;
        }
        let next = kept.exchanges.partition_point(|(known, ..)| Some(*known) <= position);
        match kept.exchanges.get(next) {
            Some((position, count, exchange)) => After::Next(*position, *count, Arc::clone(exchange)),
            None => After::Nothing,
        }
    }
}

/// Copies an exchange's small bodies into buffers of their own.
///
/// A body is a slice of its connection's read buffer: a body of some hundred bytes would keep thousands alive, which
/// [`MAX_BYTES`] doesn't count.
fn detach(exchange: &mut Exchange) {
    for body in exchange.bodies_mut() {
        if body.bytes.len() < SMALL {
            body.bytes = Bytes::copy_from_slice(&body.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange { response: None, ..nightaudit_log::testing::exchange(1, "a", 1) }
    }

    fn position(exchange: &Exchange, sequence: u64) -> Position {
        Position { written: sequence, session: exchange.session, sequence }
    }

    fn message(bytes: Bytes) -> nightaudit_exchange::Message {
        nightaudit_exchange::Message {
            time: nightaudit_exchange::Timestamp::from_micros(0),
            direction: nightaudit_exchange::Direction::Receive,
            opcode: 1,
            body: nightaudit_exchange::Body::whole(bytes),
        }
    }

    fn part(messages: Vec<nightaudit_exchange::Message>) -> Exchange {
        let mut part = exchange();
        part.web_socket = Some(nightaudit_exchange::WebSocket {
            handshake: part.id,
            part: 1,
            messages,
            omitted: nightaudit_exchange::Omitted::default(),
            unreadable_bytes: 0,
            ended: false,
        });
        part
    }

    /// How many of a hundred such exchanges the ring keeps.
    fn kept(exchange: &Exchange) -> usize {
        let ring = Ring::new(None);
        for sequence in 1..=100 {
            ring.push(vec![(position(exchange, sequence), Arc::new(exchange.clone()))]);
        }
        let kept = ring.kept.lock().unwrap();
        assert!(kept.bytes <= MAX_BYTES);
        kept.exchanges.len()
    }

    #[test]
    fn regression_the_messages_of_a_websocket_were_kept_without_being_counted() {
        // As many as a part can hold: one of a megabyte, thousands of a few bytes, none at all.
        assert_eq!(kept(&part(vec![message(vec![b'x'; 1 << 20].into())])), 3);
        let short = kept(&part((0..5000).map(|_| message(Bytes::from_static(b"{}"))).collect()));
        assert!((1..10).contains(&short), "{short}");
        assert_eq!(kept(&part(Vec::new())), 100);
    }

    #[test]
    fn headers_and_the_url_are_counted_too() {
        let mut long = exchange();
        long.request.url = "x".repeat(1 << 20);
        assert_eq!(kept(&long), 3);
        let mut wide = exchange();
        let header = nightaudit_exchange::Header { name: "a".into(), value: "b".repeat(1 << 10).into() };
        wide.request.headers = vec![header; 1 << 10];
        assert_eq!(kept(&wide), 3);
    }

    #[test]
    fn a_kept_small_body_does_not_hold_the_connection_buffer() {
        let mut exchange = part(vec![message(Bytes::new())]);
        let buffer = Bytes::from(vec![b'x'; SMALL]);
        exchange.request.body.bytes = buffer.slice(..100);
        exchange.web_socket.as_mut().unwrap().messages[0].body.bytes = buffer.slice(100..200);
        let position = position(&exchange, 1);
        let ring = Ring::new(None);
        ring.push(vec![(position, Arc::new(exchange))]);
        let After::Next(_, _, kept) = ring.after(None) else { panic!("it is not kept") };
        assert_eq!(kept.request.body.bytes, buffer.slice(..100));
        assert!(buffer.is_unique());
    }
}
