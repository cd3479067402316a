//! What the guard tells the service.

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

use crate::{head::Refusal, link::Link};

/// A head that passed the guard.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The head as it was on the wire.
    pub(crate) wire: Bytes,
    /// Whether the request opens a WebSocket, so that the guard looks at nothing that comes after it.
    pub(crate) opens_web_socket: bool,
}

/// The heads that passed the guard, in the order in which hyper will hand out their requests.
#[derive(Debug)]
pub(crate) struct Heads {
    passed: Mutex<VecDeque<Result<Passed, Refusal>>>,
    /// Requests that are not answered to the end: while there are any, silence is no idleness.
    unanswered: AtomicUsize,
    /// Counts what happens: requests that begin, and answers that end.
    events: AtomicUsize,
    link: Arc<Link>,
    /// How often everything that was to be written had been.
    flushes: AtomicUsize,
    /// Whether the client has closed its side of the connection.
    half_closed: AtomicBool,
    half_close: Notify,
    /// Who waits for the last response after that.
    waiting: Mutex<Option<Waker>>,
}

impl Heads {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            passed: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            events: AtomicUsize::new(0),
            link,
            flushes: AtomicUsize::new(0),
            half_closed: AtomicBool::new(false),
            half_close: Notify::new(),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn push(&self, head: Result<Passed, Refusal>) {
        self.begun();
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push_back(head);
    }

    /// The head of the request that hyper hands out now.
    pub(crate) fn pop(&self) -> Option<Result<Passed, Refusal>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether a request is not answered to the end.
    pub(super) fn are_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// Called when a request begins.
    pub(crate) fn begun(&self) {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) == 0 {
            self.link.busy();
        }
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Called when a request is answered to the end.
    pub(crate) fn answered(&self) {
        if self.unanswered.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.link.rest();
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        if self.has_half_closed()
            && let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waiting.wake();
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

    /// The client has closed its side. Ready when all its requests are answered.
    pub(super) fn poll_answered(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.half_closed.swap(true, Ordering::AcqRel) {
            self.half_close.notify_waiters();
        }
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.are_unanswered() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Called when everything that was to be written has been.
    pub(super) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was.
    pub(crate) fn flushes(&self) -> usize {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Waits until nothing has happened for so long, and nothing is being answered. May take twice as long to tell.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let seen = self.events.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            if self.events.load(Ordering::Relaxed) == seen && self.unanswered.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}
