//! The exchanges recorded last, kept in memory for followers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use nightaudit_exchange::Exchange;
use tokio::sync::watch;

use crate::query::Resume;

/// The most exchanges kept.
const MAX_EXCHANGES: usize = 1024;
/// The most bytes of bodies kept.
const MAX_BYTES: usize = 4 << 20;

/// The last exchanges, shared by all followers, so that each further follower costs next to nothing and none can make
/// the log hold more than this.
#[derive(Debug)]
pub(crate) struct Ring {
    kept: Mutex<Kept>,
    /// The place of the last exchange recorded; its change wakes the followers.
    last: watch::Sender<Last>,
}

/// How far the log has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Last {
    pub(crate) place: Option<Resume>,
    /// Exchanges recorded since the log was opened.
    pub(crate) count: u64,
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
struct Kept {
    exchanges: VecDeque<(Resume, u64, Arc<Exchange>)>,
    bytes: usize,
    /// The place of the last exchange that is kept no more.
    dropped: Option<Resume>,
}

/// What the ring has after a place.
pub(crate) enum After {
    /// The next exchange, and its number.
    Next(Resume, u64, Arc<Exchange>),
    /// Nothing yet.
    Nothing,
    /// It keeps that no more: it is to be read from disk.
    Gone,
}

impl Ring {
    /// A ring for a log whose last exchange stands at `place`.
    pub(crate) fn new(place: Option<Resume>) -> Self {
        let kept = Kept { dropped: place, ..Kept::default() };
        Self { kept: Mutex::new(kept), last: watch::Sender::new(Last { place, count: 0, closed: false }) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Last> {
        self.last.subscribe()
    }

    /// Whether anybody follows; if not, exchanges need not be kept.
    pub(crate) fn is_followed(&self) -> bool {
        self.last.receiver_count() > 0
    }

    /// Takes in recorded exchanges, in their order.
    pub(crate) fn push(&self, exchanges: Vec<(Resume, Arc<Exchange>)>) {
        let Some(place) = exchanges.last().map(|(place, _)| *place) else { return };
        let mut count = self.last.borrow().count;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, exchange) in exchanges {
            count += 1;
            kept.bytes += size(&exchange);
            kept.exchanges.push_back((place, count, exchange));
        }
        while kept.exchanges.len() > MAX_EXCHANGES || kept.bytes > MAX_BYTES {
            let Some((place, _, exchange)) = kept.exchanges.pop_front() else { break };
            kept.bytes -= size(&exchange);
            kept.dropped = Some(place);
        }
        drop(kept);
        self.last.send_modify(|last| (last.place, last.count) = (Some(place), count));
    }

    /// Notes that exchanges up to this place were recorded while nobody followed.
    pub(crate) fn pass(&self, place: Resume, exchanges: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { dropped: Some(place), ..Kept::default() };
        drop(kept);
        self.last.send_modify(|last| {
            last.place = Some(place);
            last.count += exchanges as u64;
        });
    }

    pub(crate) fn close(&self) {
        self.last.send_modify(|last| last.closed = true);
    }

    /// What comes after a place.
    pub(crate) fn after(&self, place: Option<Resume>) -> After {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if place < kept.dropped {
            return After::Gone;
        }
        let next = kept.exchanges.partition_point(|(known, ..)| Some(*known) <= place);
        match kept.exchanges.get(next) {
            Some((place, count, exchange)) => After::Next(*place, *count, Arc::clone(exchange)),
            None => After::Nothing,
        }
    }
}

fn size(exchange: &Exchange) -> usize {
    // Beside the bodies an exchange takes a few hundred bytes and its header fields.
    const REST: usize = 2048;
    REST + exchange.request.body.bytes.len()
        + exchange.response.as_ref().map_or(0, |response| response.body.bytes.len())
}
