//! Bodies of responses, at once or as slowly as they were recorded.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// The body of a response.
#[derive(Debug)]
pub struct ReplayBody(Kind);

#[derive(Debug)]
enum Kind {
    Bytes { left: Bytes, has_length: bool },
    Paced { left: Bytes, has_length: bool, pace: Pace, next: Pin<Box<Sleep>> },
    Forwarded(Incoming),
}

/// Pieces of this size are sent apart.
const PIECE: usize = 16 << 10;

impl ReplayBody {
    /// All of it at once; without `has_length` in chunks.
    pub(crate) fn whole(bytes: Bytes, has_length: bool) -> Self {
        Self(Kind::Bytes { left: bytes, has_length })
    }

    /// Spread evenly, so that its end is sent after this time.
    pub(crate) fn paced(bytes: Bytes, has_length: bool, time: Duration) -> Self {
        if time.is_zero() || bytes.is_empty() {
            return Self::whole(bytes, has_length);
        }
        let pace = Pace::new(Instant::now(), bytes.len(), time);
        let next = Box::pin(sleep_until(pace.due(0)));
        Self(Kind::Paced { left: bytes, has_length, pace, next })
    }

    /// As another server sends it.
    pub(crate) fn forwarded(body: Incoming) -> Self {
        Self(Kind::Forwarded(body))
    }
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Kind::Bytes { left, .. } => {
                let bytes = std::mem::take(left);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Paced { left, pace, next, .. } => {
                if left.is_empty() {
                    return Poll::Ready(None);
                }
                ready!(next.as_mut().poll(cx));
                let piece = left.split_to(left.len().min(PIECE));
                next.as_mut().reset(pace.due(pace.length - left.len()));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Kind::Forwarded(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Bytes { left, .. } | Kind::Paced { left, .. } => left.is_empty(),
            Kind::Forwarded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Bytes { left, has_length: true } | Kind::Paced { left, has_length: true, .. } => {
                SizeHint::with_exact(left.len() as u64)
            }
            Kind::Bytes { .. } | Kind::Paced { .. } => SizeHint::new(),
            Kind::Forwarded(body) => body.size_hint(),
        }
    }
}

/// When which byte is due.
#[derive(Debug, Clone, Copy)]
struct Pace {
    start: Instant,
    length: usize,
    time: Duration,
}

impl Pace {
    fn new(start: Instant, length: usize, time: Duration) -> Self {
        Self { start, length, time }
    }

    /// When the piece after this many bytes is due: the last one at the end.
    fn due(&self, sent: usize) -> Instant {
        let end = (sent + PIECE).min(self.length);
        self.start + self.time.mul_f64(end as f64 / self.length.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paced_body_ends_when_it_did() {
        let bytes = Bytes::from(vec![7; 4 * PIECE]);
        let start = Instant::now();
        let mut body = ReplayBody::paced(bytes.clone(), true, Duration::from_secs(8));
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let mut arrived = Vec::new();
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            received.extend_from_slice(frame.unwrap().data_ref().unwrap());
            arrived.push(start.elapsed().as_secs());
        }
        assert_eq!((received, arrived), (bytes.to_vec(), vec![2, 4, 6, 8]));
        assert!(body.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_body_comes_at_its_end() {
        let start = Instant::now();
        let body = ReplayBody::paced(Bytes::from_static(b"{}"), false, Duration::from_millis(80));
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
        assert_eq!(start.elapsed().as_millis(), 80);
        let nothing = ReplayBody::paced(Bytes::new(), true, Duration::from_secs(9));
        assert!(nothing.is_end_stream());
    }
}
