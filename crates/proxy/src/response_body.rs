//! Response bodies: streamed while handles to the data are kept; the end waits for the receipt.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use nightaudit_exchange::{Api, Failure, FailureKind, FaultEnding, Outcome};
use tokio::time::Sleep;

use crate::{
    body_fault::{BodyFault, Next},
    body_recorder::BodyRecorder,
    headers,
    pending::PendingExchange,
    recorder::{self, RecordPermit},
    upstream::{self, Lease},
};

/// How long the head of a response that arrived complete waits for the receipt, so that both leave in one write, which
/// also wakes the client once less. A slower disk does not delay the head.
const HEAD_DELAY: Duration = Duration::from_millis(5);

/// The response body of a [`Proxy`](crate::Proxy).
pub struct ProxyBody<P: RecordPermit>(Kind<P>);

enum Kind<P: RecordPermit> {
    /// Recorded before it is sent: local responses, and those without a body.
    Whole(Option<Bytes>),
    /// No body, but a `Content-Length`: that of a 304 or a response to HEAD, or 0.
    Announced(u64),
    RelayedBody(Box<RelayedBody<P>>),
}

/// A response body failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(String);

struct RelayedBody<P: RecordPermit> {
    body: upstream::Body,
    pending: PendingExchange<P>,
    body_recorder: BodyRecorder,
    /// The `Content-Length` of the response.
    content_length: Option<u64>,
    /// A frame received with the head, or waiting for memory, and not kept yet.
    first: Option<Option<Result<Frame<Bytes>, Broken>>>,
    /// A fault to inject.
    fault: Option<Box<BodyFault>>,
    /// The upstream connection, for the next request.
    lease: Option<Lease>,
    timeout: Duration,
    record_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    end: End<P>,
}

/// Why a body ends early.
enum Broken {
    Upstream(upstream::Error),
    /// A fault rule breaks it off.
    Fault,
}

enum End<P: RecordPermit> {
    /// The body is being streamed.
    Open,
    /// The last frame, if any, waits for the receipt.
    AwaitingReceipt(Option<P::Receipt>, Option<Frame<Bytes>>),
    Ended,
}

impl<P: RecordPermit> ProxyBody<P> {
    /// A body that is sent as is.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self(Kind::Whole((!body.is_empty()).then_some(body)))
    }

    /// No body, with this `Content-Length`, if any.
    pub(crate) fn none(announced: Option<u64>) -> Self {
        Self(announced.map_or(Kind::Whole(None), Kind::Announced))
    }

    /// A body relayed from Mews, with the timeouts between two frames and for the receipt.
    pub(crate) fn relayed(
        body: upstream::Body,
        pending: PendingExchange<P>,
        body_recorder: BodyRecorder,
        content_length: Option<u64>,
        lease: Lease,
        (timeout, record_timeout): (Duration, Duration),
    ) -> Self {
        Self(Kind::RelayedBody(Box::new(RelayedBody {
            body,
            pending,
            body_recorder,
            content_length,
            first: None,
            fault: None,
            lease: Some(lease),
            timeout,
            record_timeout,
            timer: None,
            end: End::Open,
        })))
    }

    /// The same with a fault, if any.
    pub(crate) fn with_fault(mut self, fault: Option<Box<BodyFault>>) -> Self {
        if let Kind::RelayedBody(relayed) = &mut self.0 {
            relayed.fault = fault;
        }
        self
    }

    /// Returns immediately, unless the response is already complete, by its length or by END_STREAM. Then it is
    /// recorded, and waits up to [`HEAD_DELAY`] for the receipt before the head is sent ahead of the body.
    pub(crate) async fn with_head(&mut self) {
        let Kind::RelayedBody(relayed) = &mut self.0 else { return };
        poll_fn(|cx| {
            relayed.read_available(cx);
            Poll::Ready(())
        })
        .await;
        if let End::AwaitingReceipt(receipt, _) = &mut relayed.end
            && let Some(waiting) = receipt
            && tokio::time::timeout(HEAD_DELAY, waiting).await.is_ok()
        {
            *receipt = None;
        }
    }
}

impl<P: RecordPermit> RelayedBody<P> {
    /// Reads the available data, and records the exchange if the body is complete.
    fn read_available(&mut self, cx: &mut Context<'_>) {
        match self.poll_body(cx) {
            Poll::Ready(Some(Ok(frame))) if self.is_last(&frame) && self.has_room(cx, &frame) => self.end_with(frame),
            Poll::Ready(next) => self.first = Some(next),
            Poll::Pending => {}
        }
    }

    /// Polls the next frame, filtering trailers.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match &mut self.fault {
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
            Some(fault) => match ready!(fault.poll(&mut self.body, cx)) {
                Next::Frame(frame) => frame,
                Next::Cut => return Poll::Ready(Some(Err(Broken::Fault))),
            },
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) if frame.is_trailers() => {
                self.pending.note_trailers();
                frame.into_trailers().ok().and_then(headers::trailers).map(|trailers| Ok(Frame::trailers(trailers)))
            }
            frame => frame.map(|frame| frame.map_err(Broken::Upstream)),
        })
    }

    fn is_last(&self, frame: &Frame<Bytes>) -> bool {
        let length = self.body_recorder.length() + frame.data_ref().map_or(0, |piece| piece.len() as u64);
        let has_rest = self.fault.as_ref().is_some_and(|fault| fault.has_rest());
        frame.is_trailers() || (self.body.is_end_stream() && !has_rest) || self.content_length == Some(length)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.end {
                End::Ended => return Poll::Ready(None),
                End::AwaitingReceipt(receipt, frame) => {
                    if let Some(receipt) = receipt
                        && Pin::new(receipt).poll(cx).is_pending()
                    {
                        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.record_timeout)));
                        ready!(timer.as_mut().poll(cx));
                        // Drops the receipt; the exchange stays queued.
                        self.end = End::Ended;
                        return Poll::Ready(Some(Err(BodyError(recorder::not_recorded(
                            self.pending.api(),
                            self.record_timeout,
                        )))));
                    }
                    let frame = frame.take();
                    self.end = End::Ended;
                    return Poll::Ready(frame.map(Ok));
                }
                End::Open => {}
            }
            let next = match self.first.take() {
                Some(first) => Poll::Ready(first),
                None => self.poll_body(cx),
            };
            let Poll::Ready(next) = next else {
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.timeout)));
                ready!(timer.as_mut().poll(cx));
                let message = format!("{} response stalled for {:?}", self.pending.api().possessive, self.timeout);
                return Poll::Ready(Some(Err(self.fail(FailureKind::BodyTimeout, message))));
            };
            self.timer = None;
            match next {
                Some(Ok(frame)) if !self.has_room(cx, &frame) => {
                    self.first = Some(Some(Ok(frame)));
                    return Poll::Pending;
                }
                Some(Ok(frame)) if self.is_last(&frame) => self.end_with(frame),
                Some(Ok(frame)) => {
                    self.keep(&frame);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(Broken::Fault)) => return Poll::Ready(Some(Err(self.break_off()))),
                Some(Err(Broken::Upstream(error))) => {
                    let (kind, message) = failure(&error, self.pending.api());
                    return Poll::Ready(Some(Err(self.fail(kind, message))));
                }
                None => self.finish(None),
            }
        }
    }

    /// Returns whether a frame can be kept now, or never; otherwise the frame waits.
    fn has_room(&mut self, cx: &mut Context<'_>, frame: &Frame<Bytes>) -> bool {
        frame.data_ref().is_none_or(|piece| self.body_recorder.poll_room(cx, piece.len()).is_ready())
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(piece) = frame.data_ref() {
            self.body_recorder.push(piece);
        }
    }

    fn end_with(&mut self, last: Frame<Bytes>) {
        self.keep(&last);
        self.finish(Some(last));
    }

    fn finish(&mut self, last: Option<Frame<Bytes>>) {
        // A connection that is still sending this request's body must not delay another request.
        if let Some(lease) = self.lease.take().filter(|_| self.pending.is_request_sent()) {
            lease.give_back();
        }
        let (memory, body) = (self.body_recorder.take_memory(), self.body_recorder.take());
        self.pending.note(|capture| capture.memory = memory);
        let receipt = self.pending.finish_with_body(body, Outcome::Answered, None);
        self.end = End::AwaitingReceipt(receipt, last);
    }

    /// Ends the body as a fault rule demands.
    fn break_off(&mut self) -> BodyError {
        self.end = End::Ended;
        let rules = self.fault.as_ref().map_or(&[][..], |fault| fault.rules());
        self.pending.note_fault(rules, |fault| fault.ending = Some(FaultEnding::Truncated));
        // The client sees the incomplete response, which needs no durable record.
        drop(self.pending.finish_with_body(self.body_recorder.take(), Outcome::Faulted, None));
        BodyError("a fault rule broke the response off".to_owned())
    }

    fn fail(&mut self, kind: FailureKind, message: String) -> BodyError {
        self.end = End::Ended;
        let failure = Failure { kind, message: message.clone() };
        // The client sees the failed response, which needs no durable record.
        drop(self.pending.finish_with_body(self.body_recorder.take(), Outcome::Failed, Some(failure)));
        BodyError(message)
    }
}

impl<P: RecordPermit> Drop for RelayedBody<P> {
    fn drop(&mut self) {
        if matches!(self.end, End::Open) {
            let gone = self.pending.client_gone();
            drop(self.pending.finish_with_body(self.body_recorder.take(), Outcome::Aborted, Some(gone)));
        }
    }
}

fn failure(error: &upstream::Error, api: &Api) -> (FailureKind, String) {
    let (whose, reason) = (api.possessive, error.reason());
    if error.is_invalid() {
        (FailureKind::InvalidResponse, format!("{whose} response is not valid HTTP: {reason}"))
    } else {
        (FailureKind::Incomplete, format!("{whose} response is incomplete: {reason}"))
    }
}

impl<P: RecordPermit> Body for ProxyBody<P> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Announced(_) => Poll::Ready(None),
            Kind::RelayedBody(relayed) => relayed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(body) => body.is_none(),
            // For a body that has ended, hyper would drop the length.
            Kind::Announced(_) => false,
            Kind::RelayedBody(relayed) => matches!(relayed.end, End::Ended),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Announced(length) => SizeHint::with_exact(*length),
            Kind::RelayedBody(relayed) => match (&relayed.end, relayed.content_length) {
                (_, None) => SizeHint::new(),
                (End::Open, Some(content_length)) => {
                    SizeHint::with_exact(content_length.saturating_sub(relayed.body_recorder.length()))
                }
                (End::AwaitingReceipt(_, last), _) => {
                    let last = last.as_ref().and_then(Frame::data_ref);
                    SizeHint::with_exact(last.map_or(0, |piece| piece.len() as u64))
                }
                (End::Ended, _) => SizeHint::with_exact(0),
            },
        }
    }
}

impl<P: RecordPermit> Unpin for ProxyBody<P> {}
