//! A request's body: its beginning read for the envelope, the rest streamed.

use std::{
    collections::VecDeque,
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use nightaudit_exchange::{CapturedBody, FailureKind};
use tokio::time::{Instant, Sleep, timeout};

use crate::{
    body_recorder::BodyRecorder,
    budget::{Budget, FREE, Held, PATIENCE},
    headers,
    local_response::LocalResponse,
    pace::Pace,
};

/// The envelope must be within this prefix of a body.
pub(crate) const ENVELOPE_SPAN: usize = 1 << 20;

/// How many bytes beyond its beginning are kept of a body on its way to an upstream that may yet say that it has not
/// processed the request.
const MAX_REPEATED: usize = 1 << 20;

/// How many bytes are read again and again for the envelope of one body that comes in small pieces. After that the
/// whole span is read first.
const MAX_EXAMINED: usize = 4 * ENVELOPE_SPAN;

/// The beginning of a request's body.
pub(crate) struct BodyPrefix {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// What comes after it; none where it is the whole.
    rest: Option<Incoming>,
    hint: SizeHint,
    /// Memory for what is held here, where that is more than is kept for the record.
    room: Option<Arc<Held>>,
    pace: Pace,
}

impl BodyPrefix {
    /// Reads a body to its end, for [`ENVELOPE_SPAN`] bytes, or, where more is yet to come, for as long as `is_enough`
    /// says of what came that the request can't be forwarded on its ground.
    ///
    /// What has arrived already is always read, so that an ordinary request has its whole body here. Where the budget has
    /// no memory for it, reading waits while nothing is held of it: what isn't enough until it has to be refused, what is
    /// only as long as it may help to keep the record whole.
    pub(crate) async fn read(
        mut body: Incoming,
        body_recorder: &mut BodyRecorder,
        pace: Pace,
        budget: &Arc<Budget>,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, LocalResponse> {
        let hint = body.size_hint();
        let mut beginning = Self { pieces: VecDeque::new(), trailers: None, rest: None, hint, room: None, pace };
        // The bytes read so far, how many of them were there at the last look for the envelope, and how many bytes all
        // those looks took.
        let (mut length, mut seen, mut examined, mut enough) = (0, 0, 0, false);
        while length < ENVELOPE_SPAN {
            if body.is_end_stream() {
                return Ok(beginning);
            }
            let mut next = arrived(&mut body).await;
            if next.is_pending() && !enough && length > seen && examined + length <= MAX_EXAMINED {
                (seen, examined) = (length, examined + length);
                enough = is_enough(&beginning.bytes());
            }
            if next.is_pending() && enough {
                // The connection hands out one piece at a time, and may have the next.
                tokio::task::yield_now().await;
                next = arrived(&mut body).await;
                if next.is_pending() {
                    break;
                }
            }
            let frame = match next {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let begun = Instant::now();
                    let frame = timeout(beginning.pace.left(), poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
                    beginning.pace.waited(begun.elapsed());
                    frame.map_err(|_| beginning.pace.exhausted())?
                }
            };
            match frame {
                None => return Ok(beginning),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if piece.is_empty() => {}
                    Ok(piece) => {
                        length += piece.len();
                        beginning.pace.came(piece.len());
                        beginning.pieces.push_back(piece.clone());
                        let granted = beginning.granted(length, body_recorder, budget, &is_enough).await;
                        body_recorder.push(&piece);
                        if !granted? {
                            if body.is_end_stream() {
                                return Ok(beginning);
                            }
                            break;
                        }
                    }
                    Err(frame) => beginning.trailers = frame.into_trailers().ok().and_then(headers::trailers),
                },
                Some(Err(error)) => return Err(broken(&error)),
            }
        }
        beginning.rest = Some(body);
        Ok(beginning)
    }

    /// Waits for memory for what is read, and will be, once that is more than is held without being counted. False where
    /// the body is to be forwarded as it comes.
    async fn granted(
        &mut self,
        length: usize,
        body_recorder: &mut BodyRecorder,
        budget: &Arc<Budget>,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, LocalResponse> {
        if length <= FREE || self.room.is_some() {
            return Ok(true);
        }
        // All of it at once, so that no two bodies wait for each other.
        let all = self.hint.upper().and_then(|all| usize::try_from(all).ok());
        let all = all.unwrap_or(ENVELOPE_SPAN).min(ENVELOPE_SPAN).max(length) - FREE;
        let granted = match budget.at_once(all) {
            Some(granted) => granted,
            None if is_enough(&self.bytes()) => {
                if !body_recorder.needs_memory() || budget.is_stuck() {
                    return Ok(false);
                }
                let Some(granted) = Arc::clone(budget).wait(all, PATIENCE).await else { return Ok(false) };
                granted
            }
            None => Arc::clone(budget).wait(all, self.pace.patience()).await.ok_or_else(Budget::exhausted)?,
        };
        self.room = Some(Arc::new(body_recorder.cover(granted)));
        Ok(true)
    }

    /// The bytes, for reading the envelope; copied only where they came in several pieces.
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

    /// Whether the body ends here.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// Whether it goes out in chunks towards HTTP/1.1.
    pub(crate) fn is_chunked(&self) -> bool {
        self.hint.exact().is_none()
    }

    /// Takes a body of which nothing came for none: HTTP/2 may announce one and end it at once.
    pub(crate) fn forget_if_empty(&mut self) {
        if self.is_whole() && self.pieces.is_empty() && self.trailers.is_none() && self.is_chunked() {
            self.hint = SizeHint::with_exact(0);
        }
    }

    /// The body to forward. What is not read yet is gathered in `upload` as it flows.
    pub(crate) fn into_body(self, upload: Option<Arc<Upload>>) -> RequestBody {
        let rest = self.rest.zip(upload);
        let ended = rest.is_none() && self.pieces.is_empty() && self.trailers.is_none() && self.hint.exact() == Some(0);
        RequestBody {
            ended,
            pieces: self.pieces,
            trailers: self.trailers,
            rest,
            // Of a length of 0 hyper would make a `content-length` that the client has not sent.
            hint: if ended { SizeHint::new() } else { self.hint },
            room: self.room,
            pace: self.pace,
            timer: None,
        }
    }
}

/// What of a body is there, without waiting for more.
async fn arrived(body: &mut Incoming) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
}

fn broken(error: &hyper::Error) -> LocalResponse {
    // hyper says of an invalid chunk and of a client that left alike that the body can't be read; the guard before it
    // says which by the kind of the I/O error.
    let invalid =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>()).is_some_and(
            |error| matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput),
        );
    let http2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    if let Some(error) = http2.filter(|error| error.is_library()) {
        // Longer or shorter than its length, mostly; the library has reset its stream.
        LocalResponse::failed(FailureKind::Framing, format!("the request's body is not as HTTP/2 wants it: {error}"))
    } else if invalid || error.is_parse() {
        LocalResponse::failed(FailureKind::Framing, "the request's body is not chunked as HTTP wants it")
    } else {
        LocalResponse::failed(
            FailureKind::ClientLeft,
            "the integration closed the connection within the request's body",
        )
    }
}

/// What has passed of a body that is still being sent.
pub(crate) struct Upload(Mutex<Progress>);

struct Progress {
    body_recorder: BodyRecorder,
    /// When something last passed.
    last: Instant,
    /// Whether the whole has passed.
    ended: bool,
    /// Why the integration's side of the body broke off.
    broken: Option<LocalResponse>,
    /// What has passed beyond the body's beginning, where and for as long as it could be sent again.
    passed: Option<Passed>,
    /// What has not passed, once the body that was being sent is dropped.
    returned: Option<Incoming>,
    /// A piece that has come and waits for memory.
    waiting: Option<Bytes>,
    budget: Arc<Budget>,
}

/// The pieces that have passed of a body, up to [`MAX_REPEATED`] bytes.
#[derive(Default)]
struct Passed {
    pieces: Vec<Bytes>,
    length: usize,
    trailers: Option<HeaderMap>,
    /// For the pieces, where they are large.
    room: Option<Held>,
}

impl Progress {
    /// Keeps a frame that passes, so that it can be sent again; the body_recorder has it already.
    fn pass(&mut self, frame: &Frame<Bytes>) {
        let Some(passed) = &mut self.passed else { return };
        if let Some(piece) = frame.data_ref() {
            passed.length += piece.len();
            // What is kept for the record needs no memory of its own.
            let counts = passed.length > FREE && !self.body_recorder.keeps_all();
            if counts && passed.room.is_none() {
                passed.room = self.budget.at_once(MAX_REPEATED);
            }
            if passed.length > MAX_REPEATED || (counts && passed.room.is_none()) {
                self.passed = None;
                return;
            }
            passed.pieces.push(piece.clone());
        } else if let Some(trailers) = frame.trailers_ref() {
            passed.trailers = headers::trailers(trailers.clone());
        }
    }
}

impl Upload {
    /// Goes on from what `body_recorder` has of the body's beginning.
    pub(crate) fn new(body_recorder: BodyRecorder, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Progress {
            body_recorder,
            last: Instant::now(),
            ended: false,
            broken: None,
            passed: None,
            returned: None,
            waiting: None,
            budget,
        })))
    }

    pub(crate) fn take(&self) -> CapturedBody {
        self.lock().body_recorder.take()
    }

    /// When something last passed.
    pub(crate) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Whether the whole has passed, so that nothing of it is left in the connection to Mews.
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// The request has been taken: what has passed of its body will not be needed again.
    pub(crate) fn forget(&self) {
        let mut progress = self.lock();
        (progress.passed, progress.returned) = (None, None);
    }

    /// Why the integration's side of the body broke off, if it did.
    pub(crate) fn broken(&self) -> Option<LocalResponse> {
        self.lock().broken.take()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body on its way to Mews.
pub(crate) struct RequestBody {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<(Incoming, Arc<Upload>)>,
    /// Of the body as it came, so that one of unknown length goes on in chunks as it came in chunks.
    hint: SizeHint,
    ended: bool,
    room: Option<Arc<Held>>,
    pace: Pace,
    /// Since when the client is waited for, and for how long it is.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some((rest, upload)) = self.rest.take() {
            let mut progress = upload.lock();
            if progress.passed.is_some() {
                progress.returned = Some(rest);
            }
        }
    }
}

/// What is needed to send a body again of which the upstream has processed nothing.
pub(crate) struct ReplayBody {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    upload: Option<Arc<Upload>>,
    hint: SizeHint,
    ended: bool,
    room: Option<Arc<Held>>,
    pace: Pace,
}

impl ReplayBody {
    /// Of a body that is about to be sent.
    pub(crate) fn of(body: &RequestBody) -> Self {
        if let Some((_, upload)) = &body.rest {
            upload.lock().passed.get_or_insert_default();
        }
        Self {
            pieces: body.pieces.clone(),
            trailers: body.trailers.clone(),
            upload: body.rest.as_ref().map(|(_, upload)| Arc::clone(upload)),
            hint: body.hint,
            ended: body.ended,
            room: body.room.clone(),
            pace: body.pace.clone(),
        }
    }

    /// The same body from its beginning, once the other is dropped. None where more of it has passed than was kept, or
    /// it broke off.
    pub(crate) fn into_body(mut self) -> Option<RequestBody> {
        let mut rest = None;
        if let Some(upload) = self.upload {
            let mut progress = upload.lock();
            if progress.broken.is_some() {
                return None;
            }
            let passed = progress.passed.take()?;
            let returned = progress.returned.take();
            if returned.is_none() && !progress.ended {
                return None;
            }
            self.pieces.extend(passed.pieces);
            self.trailers = passed.trailers;
            progress.passed = Some(Passed { length: passed.length, room: passed.room, ..Passed::default() });
            drop(progress);
            rest = returned.map(|rest| (rest, upload));
        }
        Some(RequestBody {
            pieces: self.pieces,
            trailers: self.trailers,
            rest,
            hint: self.hint,
            ended: self.ended,
            room: self.room,
            pace: self.pace,
            timer: None,
        })
    }
}

/// The integration's side of a body broke off; why is noted in the [`Upload`].
#[derive(Debug, thiserror::Error)]
#[error("the request's body broke off")]
pub(crate) struct BrokeOff;

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let this = self.get_mut();
        if let Some(piece) = this.pieces.pop_front() {
            this.ended = this.pieces.is_empty() && this.rest.is_none() && this.trailers.is_none();
            if this.pieces.is_empty() {
                this.room = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some((rest, upload)) = &mut this.rest {
            let waited = upload.lock().waiting.take().map(|piece| Some(Ok(Frame::data(piece))));
            let next = waited.map_or_else(|| Pin::new(rest).poll_frame(cx), Poll::Ready);
            let Poll::Ready(frame) = next else {
                let left = this.pace.left();
                let (begun, timer) =
                    this.timer.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
                ready!(timer.as_mut().poll(cx));
                this.pace.waited(begun.elapsed());
                upload.lock().broken = Some(this.pace.exhausted());
                this.ended = true;
                return Poll::Ready(Some(Err(BrokeOff)));
            };
            if let Some((begun, _)) = this.timer.take() {
                this.pace.waited(begun.elapsed());
            }
            match frame {
                Some(Ok(frame)) => {
                    let mut progress = upload.lock();
                    if let Some(piece) = frame.data_ref() {
                        if progress.body_recorder.poll_room(cx, piece.len()).is_pending() {
                            progress.waiting = frame.into_data().ok();
                            return Poll::Pending;
                        }
                        this.pace.came(piece.len());
                        progress.body_recorder.push(piece);
                        progress.last = Instant::now();
                        // Of a body of known length nothing is asked for after its last piece.
                        progress.ended = this.hint.exact() == Some(progress.body_recorder.length());
                    }
                    progress.pass(&frame);
                    if frame.is_trailers() {
                        progress.ended = true;
                        drop(progress);
                        (this.rest, this.ended) = (None, true);
                        let trailers = frame.into_trailers().ok().and_then(headers::trailers);
                        return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                    }
                    drop(progress);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => {
                    upload.lock().broken = Some(broken(&error));
                    this.ended = true;
                    return Poll::Ready(Some(Err(BrokeOff)));
                }
                None => {
                    upload.lock().ended = true;
                    this.rest = None;
                }
            }
        }
        this.ended = true;
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        // hyper asks once, before it reads.
        self.hint
    }
}
