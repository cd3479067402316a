//! A response on its way to hyper.

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

/// Marks the connection as busy until it is dropped.
pub(super) struct Unanswered(pub(super) Arc<Heads>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.answered();
    }
}

pin_project_lite::pin_project! {
    /// A response's body, which keeps its connection marked as busy. Where it breaks off, everything before that is
    /// written first: hyper drops what it has not written yet, the head among it, when a body fails.
    pub(super) struct Answer<B: Body> {
        #[pin]
        pub(super) body: B,
        // Of a stream; of a whole connection its writing tells.
        pub(super) progress: Option<ClientProgress>,
        pub(super) unanswered: Unanswered,
        pub(super) breaking: Option<(Breaking, B::Error)>,
    }
}

/// A body that has failed, as long as hyper is not told.
pub(super) enum Breaking {
    /// Of HTTP/1, until everything is written once more than so often.
    Flushes(usize),
    /// Of HTTP/2, where another task writes.
    Pause(Pin<Box<Sleep>>),
}

/// What the connection's task has to write the head of a broken response over HTTP/2 before the stream is reset.
const BREAKING_PAUSE: Duration = Duration::from_millis(20);

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.breaking.is_none() {
            let polled = this.body.poll_frame(cx);
            if let Some(progress) = this.progress {
                match &polled {
                    Poll::Ready(_) => progress.give(),
                    Poll::Pending => progress.wait(),
                }
            }
            match ready!(polled) {
                Some(Err(error)) => {
                    let breaking = if this.progress.is_some() {
                        Breaking::Pause(Box::pin(tokio::time::sleep(BREAKING_PAUSE)))
                    } else {
                        // hyper writes, and flushes, whenever a body has nothing more for now, and then asks again.
                        Breaking::Flushes(this.unanswered.0.flushes())
                    };
                    *this.breaking = Some((breaking, error));
                }
                frame => return Poll::Ready(frame),
            }
        }
        match this.breaking {
            Some((Breaking::Flushes(before), _)) if this.unanswered.0.flushes() == *before => return Poll::Pending,
            Some((Breaking::Pause(pause), _)) => ready!(pause.as_mut().poll(cx)),
            _ => {}
        }
        Poll::Ready(this.breaking.take().map(|(_, error)| Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
