//! Request bodies as they are sent.

use std::{
    collections::VecDeque,
    future::Future as _,
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
use tokio::time::{Instant, Sleep};

use crate::{
    body_recorder::BodyRecorder,
    body_watch::{BodyWatch, Watched},
    budget::{Budget, FREE, Reservation},
    discard::discard,
    headers,
    local_response::LocalResponse,
    pace::BodyPace,
};

/// Bytes beyond the prefix that are kept for a retry while the upstream may still report the request as unprocessed.
const MAX_REPLAY: usize = 1 << 20;

/// Usually a body that arrived at once.
pub(crate) type Pieces = SmallVec<[Bytes; 1]>;

/// Bytes that are read ahead while the limits hold a chunk back, since only who reads notices that the client left.
const MAX_AHEAD: usize = 64 << 10;

/// Frames that are read ahead, which may be empty.
const MAX_AHEAD_FRAMES: usize = 64;

/// A request body that is still being sent.
pub(crate) struct Upload(Mutex<Progress>);

struct Progress {
    body_recorder: BodyRecorder,
    /// When data was last forwarded.
    last: Instant,
    /// Whether the whole body has been forwarded.
    is_ended: bool,
    /// Whether it had trailers.
    had_trailers: bool,
    /// Whether the exchange has been recorded, so that no more of the body can be.
    is_recorded: bool,
    /// Why the client's body failed.
    failed: Option<LocalResponse>,
    /// Data forwarded beyond the prefix, as long as it may be needed for a retry.
    replay: Option<Replay>,
    /// The unread rest, once the body being sent was dropped.
    returned: Option<Incoming>,
    /// A chunk that waits for memory or for the limits, and who waits with it.
    waiting: Option<(Bytes, Waker)>,
    /// What was read after that.
    ahead: VecDeque<Frame<Bytes>>,
    /// What the body says of its sender, unless its end can't change that.
    watch: Option<Box<BodyWatch>>,
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
    /// What was read and isn't forwarded yet.
    fn next_read(&mut self) -> Option<Frame<Bytes>> {
        self.waiting.take().map(|(piece, _)| Frame::data(piece)).or_else(|| self.ahead.pop_front())
    }

    /// Reads ahead in a body; an error if it failed.
    fn read_ahead(&mut self, cx: &mut Context<'_>, body: &mut Incoming) -> Result<(), LocalResponse> {
        let length =
            |ahead: &VecDeque<Frame<Bytes>>| ahead.iter().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
        while self.ahead.len() < MAX_AHEAD_FRAMES && length(&self.ahead) < MAX_AHEAD {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(frame)) => self.ahead.push_back(frame.map_err(|error| failed(&error))?),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Waits until the limits admit the request for the sender that it has with this piece.
    fn poll_admitted(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<Result<(), LocalResponse>> {
        self.watch.as_mut().map_or(Poll::Ready(Ok(())), |watch| watch.poll(cx, piece))
    }

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
    /// Continues after the prefix that `body_recorder` already has, and that `watch` has read.
    pub(crate) fn new(body_recorder: BodyRecorder, watch: Option<Box<BodyWatch>>, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Progress {
            body_recorder,
            last: Instant::now(),
            is_ended: false,
            had_trailers: false,
            is_recorded: false,
            failed: None,
            replay: None,
            returned: None,
            waiting: None,
            ahead: VecDeque::new(),
            watch,
            budget,
        })))
    }

    /// Takes the body for the record, what it said of its sender, and whether it had trailers. What is not forwarded yet never
    /// will be.
    pub(crate) fn take(&self) -> (CapturedBody, Option<Watched>, bool) {
        let mut progress = self.lock();
        progress.is_recorded = true;
        if let Some((_, waker)) = &progress.waiting {
            // Neither memory nor a permit is needed any more.
            waker.wake_by_ref();
        }
        let body =
            if progress.is_ended { progress.body_recorder.take() } else { progress.body_recorder.take_unfinished() };
        let (watch, had_trailers) = (progress.watch.take(), progress.had_trailers);
        drop(progress);
        (body, watch.map(|watch| watch.into_watched()), had_trailers)
    }

    /// When data was last forwarded; now, if the limits hold it back.
    pub(crate) fn last(&self) -> Instant {
        let progress = self.lock();
        if progress.watch.as_ref().is_some_and(|watch| watch.is_asking()) { Instant::now() } else { progress.last }
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

impl RequestBody {
    /// A body whose unread `rest` is collected in an upload as it is streamed.
    pub(crate) fn new(
        pieces: Pieces,
        trailers: Option<Box<HeaderMap>>,
        rest: Option<(Incoming, Arc<Upload>)>,
        hint: SizeHint,
        pace: BodyPace,
        reserved: Option<Arc<Reservation>>,
    ) -> Self {
        let rest = rest.map(|(body, upload)| Box::new(Rest { body, upload, pace, timer: None }));
        let is_ended = rest.is_none() && pieces.is_empty() && trailers.is_none() && hint.exact() == Some(0);
        // With a length of 0 hyper would add a `content-length` that the client did not send.
        let hint = if is_ended { SizeHint::new() } else { hint };
        Self { pieces, sent: 0, trailers, rest, hint, is_ended, reserved }
    }
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
            let waited = upload.lock().next_read().map(|frame| Some(Ok(frame)));
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
                        if this.is_ended {
                            return Poll::Ready(Some(Err(UploadFailed)));
                        }
                        discard(&frame, pace, cx);
                        return Poll::Pending;
                    }
                    if let Some(piece) = frame.data_ref() {
                        if progress.body_recorder.poll_room(cx, piece.len()).is_pending() {
                            progress.waiting = frame.into_data().ok().map(|piece| (piece, cx.waker().clone()));
                            return Poll::Pending;
                        }
                        let admitted = match progress.poll_admitted(cx, piece) {
                            Poll::Ready(admitted) => admitted,
                            Poll::Pending => {
                                progress.waiting = frame.data_ref().map(|piece| (piece.clone(), cx.waker().clone()));
                                match progress.read_ahead(cx, body) {
                                    Ok(()) => return Poll::Pending,
                                    Err(failed) => Err(failed),
                                }
                            }
                        };
                        if let Err(failed) = admitted {
                            progress.failed = Some(failed);
                            drop(progress);
                            this.is_ended = true;
                            return Poll::Ready(Some(Err(UploadFailed)));
                        }
                        pace.received(piece.len());
                        progress.body_recorder.push(piece);
                        progress.last = Instant::now();
                        // A body of known length is not polled after its last chunk.
                        progress.is_ended = this.hint.exact() == Some(progress.body_recorder.length());
                    }
                    progress.keep_for_replay(&frame);
                    if frame.is_trailers() {
                        (progress.is_ended, progress.had_trailers) = (true, true);
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

pub(crate) fn failed(error: &hyper::Error) -> LocalResponse {
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
