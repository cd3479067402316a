//! Response bodies on their way to hyper.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::{guard::Heads, link::ClientProgress};

/// Keeps the connection busy until dropped.
pub(super) struct InFlight(pub(super) Arc<Heads>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.response_finished();
    }
}

pin_project_lite::pin_project! {
    /// A response body that keeps its connection busy. If it fails, everything before is written first: hyper drops
    /// unwritten data, including the head, when a body fails.
    pub(super) struct ResponseBody<B: Body> {
        #[pin]
        pub(super) body: B,
        // For an HTTP/2 stream only; HTTP/1 progress is seen by writes.
        pub(super) progress: Option<ClientProgress>,
        pub(super) in_flight: InFlight,
        pub(super) failing: Option<(Failing, B::Error)>,
    }
}

/// A body that has failed, before the error is passed to hyper.
pub(super) enum Failing {
    /// HTTP/1: until another flush after this many.
    Flushes(usize),
    /// HTTP/2, where another task writes.
    Delay(Pin<Box<Sleep>>),
}

/// How long the connection task has to write the head of a failed HTTP/2 response before the stream is reset.
const FAILURE_DELAY: Duration = Duration::from_millis(20);

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.failing.is_none() {
            let polled = this.body.poll_frame(cx);
            if let Some(progress) = this.progress {
                match &polled {
                    Poll::Ready(_) => progress.data_available(),
                    Poll::Pending => progress.data_consumed(),
                }
            }
            match ready!(polled) {
                Some(Err(error)) => {
                    let failing = if this.progress.is_some() {
                        Failing::Delay(Box::pin(tokio::time::sleep(FAILURE_DELAY)))
                    } else {
                        // hyper flushes whenever a body is pending, and then polls it again.
                        Failing::Flushes(this.in_flight.0.flushes())
                    };
                    *this.failing = Some((failing, error));
                }
                frame => return Poll::Ready(frame),
            }
        }
        match this.failing {
            Some((Failing::Flushes(before), _)) if this.in_flight.0.flushes() == *before => return Poll::Pending,
            Some((Failing::Delay(delay), _)) => ready!(delay.as_mut().poll(cx)),
            _ => {}
        }
        Poll::Ready(this.failing.take().map(|(_, error)| Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
