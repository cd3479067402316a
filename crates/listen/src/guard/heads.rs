//! What the guard shares with the service.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{link::Link, refusal::Refusal};

/// A head that the guard accepted.
#[derive(Debug)]
pub(crate) struct AcceptedHead {
    /// The head as it was on the wire.
    pub(crate) wire: Bytes,
    /// Whether the request opens a WebSocket, after which the guard inspects nothing.
    pub(crate) opens_web_socket: bool,
}

/// Accepted and refused heads, in the order in which hyper will yield their requests.
#[derive(Debug)]
pub(crate) struct Heads {
    heads: Mutex<VecDeque<Result<AcceptedHead, Refusal>>>,
    /// Requests without a complete response. While there are any, the connection is not idle.
    in_flight: AtomicUsize,
    /// Counts requests started and responses finished.
    events: AtomicUsize,
    link: Arc<Link>,
    /// Completed flushes.
    flushes: AtomicUsize,
    /// Whether the client has closed its side of the connection.
    half_closed: AtomicBool,
    half_close: Notify,
    /// Woken when the last response after that is finished.
    drain_waker: Mutex<Option<Waker>>,
}

impl Heads {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            heads: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            events: AtomicUsize::new(0),
            link,
            flushes: AtomicUsize::new(0),
            half_closed: AtomicBool::new(false),
            half_close: Notify::new(),
            drain_waker: Mutex::default(),
        }
    }

    pub(super) fn push(&self, head: Result<AcceptedHead, Refusal>) {
        self.request_started();
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).push_back(head);
    }

    /// The head of the request that hyper is yielding now.
    pub(crate) fn pop(&self) -> Option<Result<AcceptedHead, Refusal>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Returns whether a request has no complete response.
    pub(super) fn has_in_flight(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Called when a request starts.
    pub(crate) fn request_started(&self) {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.link.set_busy();
        }
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Called when a response is finished.
    pub(crate) fn response_finished(&self) {
        if self.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.link.set_idle();
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        if self.has_half_closed()
            && let Some(waker) = self.drain_waker.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waker.wake();
        }
    }

    /// Whether the client has closed its side of the connection.
    pub(crate) fn has_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Acquire)
    }

    /// Waits until the client has closed its side.
    pub(crate) async fn half_close(&self) {
        let closed = self.half_close.notified();
        if !self.has_half_closed() {
            closed.await;
        }
    }

    /// Notes that the client has closed its side. Ready once all responses are finished.
    pub(super) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.half_closed.swap(true, Ordering::AcqRel) {
            self.half_close.notify_waiters();
        }
        *self.drain_waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.has_in_flight() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Called when a flush has completed.
    pub(super) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of completed flushes.
    pub(crate) fn flushes(&self) -> usize {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Waits until the connection has been idle for `limit`. May take up to twice as long.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let seen = self.events.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            if self.events.load(Ordering::Relaxed) == seen && self.in_flight.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}
