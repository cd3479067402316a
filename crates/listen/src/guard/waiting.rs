//! How long the guard waits for a client.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep},
};

/// What is still read from a client whose connection is closed early, and for how long: closing with unread bytes makes
/// the kernel reset the connection, which may destroy the answer on its way (RFC 9112, section 9.6).
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// A time-out that costs a reading of the clock per wait, and a timer only where the wait is real.
#[derive(Default)]
pub(super) struct Waiting {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    /// Ready when the wait has lasted for `limit`, not counting the time in which the connection is `busy`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration, busy: impl Fn() -> bool) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(since + limit)));
        // The timer may have been set for an earlier wait or a longer limit; what counts is this wait.
        if timer.deadline() > since + limit {
            timer.as_mut().reset(since + limit);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let deadline = if busy() {
                self.since = Some(now);
                now + limit
            } else {
                self.since.unwrap_or(now) + limit
            };
            if deadline <= now {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    pub(super) fn over(&mut self) {
        self.since = None;
    }
}

/// Reading, for a while, what a client sends to a connection that is closed for writing.
pub(super) struct Linger {
    left: usize,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { left: LINGER_BYTES, timer: Box::pin(tokio::time::sleep(LINGER)) }
    }

    pub(super) fn poll<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, inner: &mut S) -> Poll<()> {
        let mut scratch = [0; 4096];
        while self.left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}
