//! An answer's body: it flows on while handles to it are kept, and its end waits for the receipt.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use nightaudit_exchange::{Failure, FailureKind, Outcome};
use tokio::time::Sleep;

use crate::{
    body_recorder::BodyRecorder,
    headers,
    pending::PendingExchange,
    recorder::{self, RecordPermit},
    upstream::{self, Lease},
};

/// How long the head of an answer that came as one piece waits for the receipt, so that it leaves as one piece, too: a
/// write less, and for the integration a wake less. A disk that takes longer than this keeps no head back.
const TOGETHER: Duration = Duration::from_millis(5);

/// The body of an answer of a [`Proxy`](crate::Proxy).
pub struct ProxyBody<P: RecordPermit>(Kind<P>);

enum Kind<P: RecordPermit> {
    /// Recorded before it is sent: the proxy's own, and those without a body.
    Whole(Option<Bytes>),
    /// No body, but its length in the head: the one that a 304 or a HEAD speaks of, or 0.
    Announced(u64),
    RelayedBody(Box<RelayedBody<P>>),
}

/// An answer that broke off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(String);

struct RelayedBody<P: RecordPermit> {
    body: upstream::Body,
    pending: PendingExchange<P>,
    body_recorder: BodyRecorder,
    /// The length that the answer's head promises.
    promised: Option<u64>,
    /// What came with the head, or waits for memory, and is not kept yet.
    first: Option<Option<Result<Frame<Bytes>, upstream::Error>>>,
    /// The connection to Mews, for the next request.
    lease: Option<Lease>,
    patience: Duration,
    record: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    end: End<P>,
}

enum End<P: RecordPermit> {
    /// The body still flows.
    Open,
    /// Its last frame, if it has one of its own, waits for the receipt.
    Held(Option<P::Receipt>, Option<Frame<Bytes>>),
    Over,
}

impl<P: RecordPermit> ProxyBody<P> {
    /// A body that is sent at once.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self(Kind::Whole((!body.is_empty()).then_some(body)))
    }

    /// No body, after a head that has this `Content-Length`, if any.
    pub(crate) fn none(announced: Option<u64>) -> Self {
        Self(announced.map_or(Kind::Whole(None), Kind::Announced))
    }

    /// A body that comes from Mews, between two pieces of which so much time may pass, and so much between its end and the
    /// receipt.
    pub(crate) fn flowing(
        body: upstream::Body,
        pending: PendingExchange<P>,
        body_recorder: BodyRecorder,
        promised: Option<u64>,
        lease: Lease,
        (patience, record): (Duration, Duration),
    ) -> Self {
        Self(Kind::RelayedBody(Box::new(RelayedBody {
            body,
            pending,
            body_recorder,
            promised,
            first: None,
            lease: Some(lease),
            patience,
            record,
            timer: None,
            end: End::Open,
        })))
    }

    /// Returns at once, unless all of the answer is known to have come already, by its length or by HTTP/2's end of the
    /// stream: then it is recorded, and its receipt has [`TOGETHER`] before the head goes ahead of the body.
    pub(crate) async fn with_head(&mut self) {
        let Kind::RelayedBody(flowing) = &mut self.0 else { return };
        poll_fn(|cx| {
            flowing.look(cx);
            Poll::Ready(())
        })
        .await;
        if let End::Held(receipt, _) = &mut flowing.end
            && let Some(waiting) = receipt
            && tokio::time::timeout(TOGETHER, waiting).await.is_ok()
        {
            *receipt = None;
        }
    }
}

impl<P: RecordPermit> RelayedBody<P> {
    /// Takes what is there of the body, and records the exchange if that is all.
    fn look(&mut self, cx: &mut Context<'_>) {
        match self.poll_body(cx) {
            Poll::Ready(Some(Ok(frame))) if self.is_last(&frame) && self.has_room(cx, &frame) => self.end_with(frame),
            Poll::Ready(next) => self.first = Some(next),
            Poll::Pending => {}
        }
    }

    /// The next frame, its trailers without what is not the client's.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, upstream::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if frame.is_trailers() => {
                frame.into_trailers().ok().and_then(headers::trailers).map(|trailers| Ok(Frame::trailers(trailers)))
            }
            frame => frame,
        })
    }

    fn is_last(&self, frame: &Frame<Bytes>) -> bool {
        let length = self.body_recorder.length() + frame.data_ref().map_or(0, |piece| piece.len() as u64);
        frame.is_trailers() || self.body.is_end_stream() || self.promised == Some(length)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.end {
                End::Over => return Poll::Ready(None),
                End::Held(receipt, frame) => {
                    if let Some(receipt) = receipt
                        && Pin::new(receipt).poll(cx).is_pending()
                    {
                        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.record)));
                        ready!(timer.as_mut().poll(cx));
                        // The receipt is dropped, and the exchange stays where it waits.
                        self.end = End::Over;
                        return Poll::Ready(Some(Err(BodyError(recorder::not_recorded(self.record)))));
                    }
                    let frame = frame.take();
                    self.end = End::Over;
                    return Poll::Ready(frame.map(Ok));
                }
                End::Open => {}
            }
            let next = match self.first.take() {
                Some(first) => Poll::Ready(first),
                None => self.poll_body(cx),
            };
            let Poll::Ready(next) = next else {
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
                ready!(timer.as_mut().poll(cx));
                let message = format!("Mews' answer stopped for {:?}", self.patience);
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
                Some(Err(error)) => {
                    let (kind, message) = failure(&error);
                    return Poll::Ready(Some(Err(self.fail(kind, message))));
                }
                None => self.finish(None),
            }
        }
    }

    /// Whether a frame can be kept now, or never will be; otherwise what comes waits, and the frame is looked at again.
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
        // A connection that still takes up this request's body must not make another request wait for it.
        if let Some(lease) = self.lease.take().filter(|_| self.pending.is_sent_whole()) {
            lease.give_back();
        }
        let receipt = self.pending.finish_with_body(self.body_recorder.take(), Outcome::Answered, None);
        self.end = End::Held(receipt, last);
    }

    fn fail(&mut self, kind: FailureKind, message: String) -> BodyError {
        self.end = End::Over;
        let failure = Failure { kind, message: message.clone() };
        // The integration learns of it by the broken answer, for which nothing needs to be safe.
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

fn failure(error: &upstream::Error) -> (FailureKind, String) {
    let reason = error.reason();
    if error.is_invalid() {
        (FailureKind::InvalidResponse, format!("Mews' answer is not HTTP: {reason}"))
    } else {
        (FailureKind::Incomplete, format!("Mews' answer ended before it was complete: {reason}"))
    }
}

impl<P: RecordPermit> Body for ProxyBody<P> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Announced(_) => Poll::Ready(None),
            Kind::RelayedBody(flowing) => flowing.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(body) => body.is_none(),
            // Of a body that has ended hyper drops the length.
            Kind::Announced(_) => false,
            Kind::RelayedBody(flowing) => matches!(flowing.end, End::Over),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Announced(length) => SizeHint::with_exact(*length),
            Kind::RelayedBody(flowing) => match (&flowing.end, flowing.promised) {
                (_, None) => SizeHint::new(),
                (End::Open, Some(promised)) => {
                    SizeHint::with_exact(promised.saturating_sub(flowing.body_recorder.length()))
                }
                (End::Held(_, last), _) => {
                    let last = last.as_ref().and_then(Frame::data_ref);
                    SizeHint::with_exact(last.map_or(0, |piece| piece.len() as u64))
                }
                (End::Over, _) => SizeHint::with_exact(0),
            },
        }
    }
}

impl<P: RecordPermit> Unpin for ProxyBody<P> {}
