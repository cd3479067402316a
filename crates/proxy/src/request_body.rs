//! Request bodies: a prefix is read for the envelope, the rest is streamed.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use nightaudit_exchange::{CapturedBody, FailureKind};
use smallvec::SmallVec;
use tokio::time::{Instant, Sleep, timeout};

use crate::{
    body_recorder::BodyRecorder,
    budget::{Budget, FREE, PATIENCE, Reservation},
    headers,
    local_response::LocalResponse,
    pace::BodyPace,
};

/// The envelope must be within this prefix of a body.
pub(crate) const ENVELOPE_SPAN: usize = 1 << 20;

/// Bytes beyond the prefix that are kept for a retry while the upstream may still report the request as unprocessed.
const MAX_REPLAY: usize = 1 << 20;

/// Bytes that may be parsed repeatedly for the envelope of a body that arrives in small chunks. After that the whole
/// span is read first.
const MAX_EXAMINED: usize = 4 * ENVELOPE_SPAN;

/// Usually a body that arrived at once.
type Pieces = SmallVec<[Bytes; 1]>;

/// The prefix of a request body.
pub(crate) struct BodyPrefix {
    pieces: Pieces,
    trailers: Option<Box<HeaderMap>>,
    /// The unread rest; `None` if the prefix is the whole body.
    rest: Option<Incoming>,
    hint: SizeHint,
    /// Memory for the prefix, beyond what is kept for the record.
    reserved: Option<Arc<Reservation>>,
    pace: BodyPace,
}

impl BodyPrefix {
    /// Reads a body until it ends, [`ENVELOPE_SPAN`] bytes were read, or the data so far `is_enough` to forward the
    /// request and no more is available yet.
    ///
    /// Available data is always read, so that the prefix of an ordinary request is its whole body. If the budget is
    /// exhausted, reading waits without holding memory: until the request must be refused if the data is not enough,
    /// otherwise only as long as that may keep the record complete.
    pub(crate) async fn read(
        mut body: Incoming,
        body_recorder: &mut BodyRecorder,
        pace: BodyPace,
        budget: &Arc<Budget>,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, LocalResponse> {
        let hint = body.size_hint();
        let mut prefix = Self { pieces: Pieces::new(), trailers: None, rest: None, hint, reserved: None, pace };
        // Bytes read so far, bytes available when the envelope was last parsed, and bytes parsed in total.
        let (mut length, mut seen, mut examined, mut enough) = (0, 0, 0, false);
        while length < ENVELOPE_SPAN {
            if body.is_end_stream() {
                return Ok(prefix);
            }
            let mut next = poll_now(&mut body).await;
            if next.is_pending() && !enough && length > seen && examined + length <= MAX_EXAMINED {
                (seen, examined) = (length, examined + length);
                enough = is_enough(&prefix.bytes());
            }
            if next.is_pending() && enough {
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
                        let granted = prefix.granted(length, body_recorder, budget, &is_enough).await;
                        body_recorder.push(&piece);
                        if !granted? {
                            break;
                        }
                    }
                    Err(frame) => {
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
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, LocalResponse> {
        if length <= FREE || self.reserved.is_some() {
            return Ok(true);
        }
        // All at once, so that two bodies can't deadlock.
        let all = self.hint.upper().and_then(|all| usize::try_from(all).ok());
        let all = all.unwrap_or(ENVELOPE_SPAN).min(ENVELOPE_SPAN).max(length) - FREE;
        let granted = match budget.try_reserve(all) {
            Some(granted) => granted,
            None if is_enough(&self.bytes()) => {
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
        let pace = self.pace;
        let rest = self.rest.zip(upload).map(|(body, upload)| Box::new(Rest { body, upload, pace, timer: None }));
        let is_ended =
            rest.is_none() && self.pieces.is_empty() && self.trailers.is_none() && self.hint.exact() == Some(0);
        RequestBody {
            is_ended,
            pieces: self.pieces,
            sent: 0,
            trailers: self.trailers,
            rest,
            // With a length of 0 hyper would add a `content-length` that the client did not send.
            hint: if is_ended { SizeHint::new() } else { self.hint },
            reserved: self.reserved,
        }
    }
}

/// Returns the next frame of a body if it is available.
async fn poll_now(body: &mut Incoming) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
}

fn failed(error: &hyper::Error) -> LocalResponse {
    // hyper reports an invalid chunk and a disconnect alike; the kind of the guard's I/O error tells which.
    let invalid =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>()).is_some_and(
            |error| matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput),
        );
    let http2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    if let Some(error) = http2.filter(|error| error.is_library()) {
        // Mostly a body that does not match its Content-Length; the library has reset the stream.
        LocalResponse::failed(FailureKind::Framing, format!("the request body violates HTTP/2: {error}"))
    } else if invalid || error.is_parse() {
        LocalResponse::failed(FailureKind::Framing, "the request body is not validly chunked")
    } else {
        LocalResponse::failed(FailureKind::ClientLeft, "the client closed the connection during the request body")
    }
}

/// A request body that is still being sent.
pub(crate) struct Upload(Mutex<Progress>);

struct Progress {
    body_recorder: BodyRecorder,
    /// When data was last forwarded.
    last: Instant,
    /// Whether the whole body has been forwarded.
    is_ended: bool,
    /// Whether the exchange has been recorded, so that no more of the body can be.
    is_recorded: bool,
    /// Why the client's body failed.
    failed: Option<LocalResponse>,
    /// Data forwarded beyond the prefix, as long as it may be needed for a retry.
    replay: Option<Replay>,
    /// The unread rest, once the body being sent was dropped.
    returned: Option<Incoming>,
    /// A chunk that waits for memory, and who waits for it.
    waiting: Option<(Bytes, Waker)>,
    budget: Arc<Budget>,
}

/// Forwarded chunks kept for a retry, up to [`MAX_REPLAY`] bytes.
#[derive(Default)]
struct Replay {
    pieces: Vec<Bytes>,
    length: usize,
    trailers: Option<HeaderMap>,
    /// Memory for the chunks, if they are large.
    reserved: Option<Reservation>,
}

impl Progress {
    /// Keeps a forwarded frame for a retry; the body recorder already has it.
    fn keep_for_replay(&mut self, frame: &Frame<Bytes>) {
        let Some(replay) = &mut self.replay else { return };
        if let Some(piece) = frame.data_ref() {
            replay.length += piece.len();
            // Data kept for the record is already counted.
            let counts = replay.length > FREE && !self.body_recorder.keeps_all();
            if counts && replay.reserved.is_none() {
                replay.reserved = self.budget.try_reserve(MAX_REPLAY);
            }
            if replay.length > MAX_REPLAY || (counts && replay.reserved.is_none()) {
                self.replay = None;
                return;
            }
            replay.pieces.push(piece.clone());
        } else if let Some(trailers) = frame.trailers_ref() {
            replay.trailers = headers::trailers(trailers.clone());
        }
    }
}

impl Upload {
    /// Continues after the prefix that `body_recorder` already has.
    pub(crate) fn new(body_recorder: BodyRecorder, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Progress {
            body_recorder,
            last: Instant::now(),
            is_ended: false,
            is_recorded: false,
            failed: None,
            replay: None,
            returned: None,
            waiting: None,
            budget,
        })))
    }

    /// Takes the body for the record. What is not forwarded yet never will be.
    pub(crate) fn take(&self) -> CapturedBody {
        let mut progress = self.lock();
        progress.is_recorded = true;
        if let Some((_, waker)) = &progress.waiting {
            // No memory is needed any more.
            waker.wake_by_ref();
        }
        if progress.is_ended { progress.body_recorder.take() } else { progress.body_recorder.take_unfinished() }
    }

    /// When data was last forwarded.
    pub(crate) fn last(&self) -> Instant {
        self.lock().last
    }

    /// How much of the body has been forwarded.
    pub(crate) fn length(&self) -> u64 {
        self.lock().body_recorder.length()
    }

    /// Returns whether the whole body has been forwarded, so that none of it is left for the connection.
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().is_ended
    }

    /// Drops the data kept for a retry, which is no longer needed.
    pub(crate) fn discard_replay(&self) {
        let mut progress = self.lock();
        (progress.replay, progress.returned) = (None, None);
    }

    /// Why the client's body failed, if it did.
    pub(crate) fn failed(&self) -> Option<LocalResponse> {
        self.lock().failed.take()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // No code under the lock can panic halfway through an update.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request body being sent to Mews. What most lack is boxed, because hyper moves a body a dozen times, and has room for 32 for
/// each connection.
pub(crate) struct RequestBody {
    pieces: Pieces,
    /// How many of the pieces have been sent.
    sent: usize,
    trailers: Option<Box<HeaderMap>>,
    rest: Option<Box<Rest>>,
    /// Size hint of the original body, so that one received chunked is sent chunked.
    hint: SizeHint,
    is_ended: bool,
    reserved: Option<Arc<Reservation>>,
}

/// What comes after the prefix.
struct Rest {
    body: Incoming,
    upload: Arc<Upload>,
    pace: BodyPace,
    /// Start and timer of the current wait for the client.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            let Rest { body, upload, .. } = *rest;
            let mut progress = upload.lock();
            if progress.replay.is_some() {
                progress.returned = Some(body);
            }
        }
    }
}

/// What is needed to resend a body that the upstream has not processed.
pub(crate) struct ReplayBody {
    pieces: Pieces,
    trailers: Option<Box<HeaderMap>>,
    rest: Option<(Arc<Upload>, BodyPace)>,
    hint: SizeHint,
    is_ended: bool,
    reserved: Option<Arc<Reservation>>,
}

impl ReplayBody {
    /// Prepares to resend a body that is about to be sent.
    pub(crate) fn of(body: &RequestBody) -> Self {
        if let Some(rest) = &body.rest {
            rest.upload.lock().replay.get_or_insert_default();
        }
        Self {
            pieces: body.pieces.clone(),
            trailers: body.trailers.clone(),
            rest: body.rest.as_ref().map(|rest| (Arc::clone(&rest.upload), rest.pace.clone())),
            hint: body.hint,
            is_ended: body.is_ended,
            reserved: body.reserved.clone(),
        }
    }

    /// Returns the same body from the start, after the original was dropped. `None` if more was sent than kept, or the
    /// body failed.
    pub(crate) fn into_body(mut self) -> Option<RequestBody> {
        let mut rest = None;
        if let Some((upload, pace)) = self.rest {
            let mut progress = upload.lock();
            if progress.failed.is_some() {
                return None;
            }
            let replay = progress.replay.take()?;
            let returned = progress.returned.take();
            if returned.is_none() && !progress.is_ended {
                return None;
            }
            self.pieces.extend(replay.pieces);
            self.trailers = replay.trailers.map(Box::new);
            progress.replay = Some(Replay { length: replay.length, reserved: replay.reserved, ..Replay::default() });
            drop(progress);
            rest = returned.map(|body| Box::new(Rest { body, upload, pace, timer: None }));
        }
        Some(RequestBody {
            pieces: self.pieces,
            sent: 0,
            trailers: self.trailers,
            rest,
            hint: self.hint,
            is_ended: self.is_ended,
            reserved: self.reserved,
        })
    }
}

/// Passes over what the client still sends after its exchange was recorded, which happens if the response, or what is made
/// of it, came first. Forwarding it would send what no record has. But a client that writes its whole request before it
/// reads would lose the response if its connection were closed, so it is read to its end, within the time it has for it.
fn discard(
    frame: &Frame<Bytes>,
    pace: &mut BodyPace,
    cx: &Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
    pace.received(frame.data_ref().map_or(0, Bytes::len));
    // One frame at a time, as others on the connection's thread have their turn.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The client's body failed, or can't be recorded any more; the [`Upload`] has the reason.
#[derive(Debug, thiserror::Error)]
#[error("the request body failed")]
pub(crate) struct UploadFailed;

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        let this = self.get_mut();
        if let Some(piece) = this.pieces.get_mut(this.sent).map(std::mem::take) {
            this.sent += 1;
            if this.sent == this.pieces.len() {
                (this.sent, this.pieces) = (0, Pieces::new());
            }
            this.is_ended = this.pieces.is_empty() && this.rest.is_none() && this.trailers.is_none();
            if this.pieces.is_empty() {
                this.reserved = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(rest) = &mut this.rest {
            let Rest { body, upload, pace, timer } = &mut **rest;
            let waited = upload.lock().waiting.take().map(|(piece, _)| Some(Ok(Frame::data(piece))));
            let next = waited.map_or_else(|| Pin::new(&mut *body).poll_frame(cx), Poll::Ready);
            let Poll::Ready(frame) = next else {
                let left = pace.left();
                let (begun, sleep) = timer.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
                ready!(sleep.as_mut().poll(cx));
                pace.waited(begun.elapsed());
                upload.lock().failed = Some(pace.exhausted());
                this.is_ended = true;
                return Poll::Ready(Some(Err(UploadFailed)));
            };
            if let Some((begun, _)) = timer.take() {
                pace.waited(begun.elapsed());
            }
            match frame {
                Some(Ok(frame)) => {
                    let mut progress = upload.lock();
                    if progress.is_recorded {
                        drop(progress);
                        this.is_ended = body.is_end_stream();
                        return if this.is_ended {
                            Poll::Ready(Some(Err(UploadFailed)))
                        } else {
                            discard(&frame, pace, cx)
                        };
                    }
                    if let Some(piece) = frame.data_ref() {
                        if progress.body_recorder.poll_room(cx, piece.len()).is_pending() {
                            progress.waiting = frame.into_data().ok().map(|piece| (piece, cx.waker().clone()));
                            return Poll::Pending;
                        }
                        pace.received(piece.len());
                        progress.body_recorder.push(piece);
                        progress.last = Instant::now();
                        // A body of known length is not polled after its last chunk.
                        progress.is_ended = this.hint.exact() == Some(progress.body_recorder.length());
                    }
                    progress.keep_for_replay(&frame);
                    if frame.is_trailers() {
                        progress.is_ended = true;
                        drop(progress);
                        (this.rest, this.is_ended) = (None, true);
                        let trailers = frame.into_trailers().ok().and_then(headers::trailers);
                        return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                    }
                    drop(progress);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => {
                    upload.lock().failed = Some(failed(&error));
                    this.is_ended = true;
                    return Poll::Ready(Some(Err(UploadFailed)));
                }
                None => {
                    let mut progress = upload.lock();
                    if progress.is_recorded && !progress.is_ended {
                        drop(progress);
                        this.is_ended = true;
                        return Poll::Ready(Some(Err(UploadFailed)));
                    }
                    progress.is_ended = true;
                    drop(progress);
                    this.rest = None;
                }
            }
        }
        this.is_ended = true;
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }

    fn size_hint(&self) -> SizeHint {
        // hyper asks once, before reading.
        self.hint
    }
}
