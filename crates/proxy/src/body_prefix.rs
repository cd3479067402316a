//! The prefix of a request's body, which is read before the limits are asked.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use crate::{
    body_recorder::BodyRecorder,
    budget::{Budget, FREE, PATIENCE, Reservation},
    headers,
    local_response::LocalResponse,
    pace::BodyPace,
    request_body::{Pieces, RequestBody, Upload, failed},
};

/// The limits wait for the envelope as long as it may be within this prefix of a body.
pub(crate) const ENVELOPE_SPAN: usize = 1 << 20;

/// The prefix of a request body.
pub(crate) struct BodyPrefix {
    pieces: Pieces,
    trailers: Option<Box<HeaderMap>>,
    /// Whether it had trailers, be they forwarded or not.
    had_trailers: bool,
    /// The unread rest; `None` if the prefix is the whole body.
    rest: Option<Incoming>,
    hint: SizeHint,
    /// Memory for the prefix, beyond what is kept for the record.
    reserved: Option<Arc<Reservation>>,
    pace: BodyPace,
}

impl BodyPrefix {
    fn new(hint: SizeHint, pace: BodyPace) -> Self {
        Self { pieces: Pieces::new(), trailers: None, had_trailers: false, rest: None, hint, reserved: None, pace }
    }

    /// Reads a body until it ends, [`ENVELOPE_SPAN`] bytes were read, or the data so far `is_enough` to forward the
    /// request, which is asked with each piece once, and no more is available yet.
    ///
    /// Available data is always read, so that the prefix of an ordinary request is its whole body. If the budget is
    /// exhausted, reading waits without holding memory: until the request must be refused if the data is not enough,
    /// otherwise only as long as that may keep the record complete.
    pub(crate) async fn read(
        mut body: Incoming,
        body_recorder: &mut BodyRecorder,
        pace: BodyPace,
        budget: &Arc<Budget>,
        is_enough: impl FnMut(&[Bytes]) -> bool,
    ) -> Result<Self, LocalResponse> {
        let hint = body.size_hint();
        let mut prefix = Self::new(hint, pace);
        let mut examined = Examined { is_enough, seen: 0, enough: false };
        let mut length = 0;
        while length < ENVELOPE_SPAN {
            if body.is_end_stream() {
                return Ok(prefix);
            }
            let mut next = poll_now(&mut body).await;
            if next.is_pending() && examined.is_enough(&prefix.pieces) {
                // The connection yields one chunk at a time, and may already have the next.
                tokio::task::yield_now().await;
                next = poll_now(&mut body).await;
                if next.is_pending() {
                    break;
                }
            }
            let frame = match next {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let begun = Instant::now();
                    let frame = timeout(prefix.pace.left(), poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
                    prefix.pace.waited(begun.elapsed());
                    frame.map_err(|_| prefix.pace.exhausted())?
                }
            };
            match frame {
                None => return Ok(prefix),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if piece.is_empty() => {}
                    Ok(piece) => {
                        length += piece.len();
                        prefix.pace.received(piece.len());
                        prefix.pieces.push(piece.clone());
                        let granted = prefix.granted(length, body_recorder, budget, &mut examined).await;
                        body_recorder.push(&piece);
                        if !granted? {
                            break;
                        }
                    }
                    Err(frame) => {
                        prefix.had_trailers = true;
                        prefix.trailers = frame.into_trailers().ok().and_then(headers::trailers).map(Box::new);
                    }
                },
                Some(Err(error)) => return Err(failed(&error)),
            }
        }
        // What made the prefix long enough may have been the end.
        if !body.is_end_stream() {
            prefix.rest = Some(body);
        }
        Ok(prefix)
    }

    /// Waits for memory for the prefix once it exceeds the uncounted allowance. Returns false if the body should be
    /// forwarded as it arrives.
    async fn granted(
        &mut self,
        length: usize,
        body_recorder: &mut BodyRecorder,
        budget: &Arc<Budget>,
        examined: &mut Examined<impl FnMut(&[Bytes]) -> bool>,
    ) -> Result<bool, LocalResponse> {
        if length <= FREE || self.reserved.is_some() {
            return Ok(true);
        }
        // All at once, so that two bodies can't deadlock.
        let all = self.hint.upper().and_then(|all| usize::try_from(all).ok());
        let all = all.unwrap_or(ENVELOPE_SPAN).min(ENVELOPE_SPAN).max(length) - FREE;
        let granted = match budget.try_reserve(all) {
            Some(granted) => granted,
            None if examined.is_enough(&self.pieces) => {
                if !body_recorder.needs_memory() || budget.is_stuck() {
                    return Ok(false);
                }
                let Some(granted) = Arc::clone(budget).reserve(all, PATIENCE).await else { return Ok(false) };
                granted
            }
            None => Arc::clone(budget).reserve(all, self.pace.timeout()).await.ok_or_else(Budget::exhausted)?,
        };
        self.reserved = Some(Arc::new(body_recorder.cover(granted)));
        Ok(true)
    }

    /// Returns the bytes, to parse the envelope; copied only if they arrived in several chunks.
    pub(crate) fn bytes(&self) -> Bytes {
        match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces[0].clone(),
            _ => {
                let mut whole = Vec::with_capacity(self.pieces.iter().map(Bytes::len).sum());
                self.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.into()
            }
        }
    }

    /// Returns the bytes one by one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        self.pieces.iter().flatten().copied()
    }

    /// Returns whether it has no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns whether it had trailers.
    pub(crate) fn had_trailers(&self) -> bool {
        self.had_trailers
    }

    /// Returns whether the prefix is the whole body.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// Returns whether it is sent chunked over HTTP/1.1.
    pub(crate) fn is_chunked(&self) -> bool {
        self.hint.exact().is_none()
    }

    /// Treats an empty body as no body: HTTP/2 may announce one and end it immediately.
    pub(crate) fn remove_if_empty(&mut self) {
        if self.is_whole() && self.pieces.is_empty() && self.trailers.is_none() && self.is_chunked() {
            self.hint = SizeHint::with_exact(0);
        }
    }

    /// Returns the body to forward. The unread rest is collected in `upload` as it is streamed.
    pub(crate) fn into_body(self, upload: Option<Arc<Upload>>) -> RequestBody {
        let Self { pieces, trailers, had_trailers: _, rest, hint, reserved, pace } = self;
        RequestBody::new(pieces, trailers, rest.zip(upload), hint, pace, reserved)
    }
}
/// Whether the limits need no more of the body.
struct Examined<F> {
    is_enough: F,
    /// How many pieces it was told.
    seen: usize,
    enough: bool,
}

impl<F: FnMut(&[Bytes]) -> bool> Examined<F> {
    fn is_enough(&mut self, pieces: &[Bytes]) -> bool {
        if !self.enough && pieces.len() > self.seen {
            self.enough = (self.is_enough)(&pieces[self.seen..]);
            self.seen = pieces.len();
        }
        self.enough
    }
}

/// Returns the next frame of a body if it is available.
async fn poll_now(body: &mut Incoming) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
}
