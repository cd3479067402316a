//! Timeouts of the guard.

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

/// How much, and for how long, is still read from a client whose connection is closed early. Closing with unread bytes
/// makes the kernel reset the connection, which may destroy the response in transit (RFC 9112, section 9.6).
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// A timeout that costs one clock reading per wait, and a timer only if the wait is pending.
#[derive(Default)]
pub(super) struct WaitTimeout {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl WaitTimeout {
    /// Ready once the wait has lasted for `limit`, not counting time in which the connection is `busy`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration, busy: impl Fn() -> bool) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(since + limit)));
        // The timer may belong to an earlier wait or a longer limit.
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

    pub(super) fn reset(&mut self) {
        self.since = None;
    }
}

/// A lingering close: reads and discards, for a while, what the client still sends.
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
