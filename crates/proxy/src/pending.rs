//! An exchange in the making.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use nightaudit_exchange::{Capture, CapturedBody, CapturedEnvelope, Failure, FailureKind, Note, Outcome, as_utf8};
use nightaudit_listen::{ClientProgress, HalfClose};
use nightaudit_mews::envelope;

use crate::{
    proxy::captured,
    recorder::RecordPermit,
    request_body::{ENVELOPE_SPAN, Upload},
    shares::Share,
};

/// An exchange in the making, and its place with the recorder.
///
/// However its request ends, it is recorded once: by [`finish`](Self::finish), or, where the future or body that owns it
/// is dropped, as aborted. That is how hyper tells that the client has left.
pub(crate) struct PendingExchange<P: RecordPermit> {
    /// Both are there until the exchange is recorded.
    open: Option<(P, Box<Capture>)>,
    started: Instant,
    /// Where the rest of a request's body is gathered that was forwarded before its end.
    upload: Option<Arc<Upload>>,
    progress: ClientProgress,
    half_close: Option<HalfClose>,
    /// The client's share of what may be under way, for as long as any of the exchange is.
    _share: Share,
}

impl<P: RecordPermit> PendingExchange<P> {
    pub(crate) fn new(place: P, share: Share, capture: Capture, started: Instant, progress: ClientProgress) -> Self {
        Self {
            open: Some((place, Box::new(capture))),
            started,
            upload: None,
            progress,
            half_close: None,
            _share: share,
        }
    }

    /// Tells whether the client has closed its side.
    pub(crate) fn half_close(&self) -> Option<HalfClose> {
        self.half_close.clone()
    }

    /// Whether the client has closed its side will be noted.
    pub(crate) fn watch(mut self, half_close: Option<HalfClose>) -> Self {
        self.half_close = half_close;
        self
    }

    /// Why the client has not got the whole response, where that is not for us or Mews to answer for.
    pub(crate) fn client_gone(&self) -> Failure {
        let (kind, message) = if self.progress.has_stalled() {
            (FailureKind::ClientStalled, "the client did not take the response in time (`timeouts.response_taken`)")
        } else if self.open.as_ref().is_some_and(|(_, capture)| capture.response.is_some()) {
            (FailureKind::ClientLeft, "the integration closed the connection within the answer")
        } else {
            (FailureKind::ClientLeft, "the integration closed the connection before it had the answer")
        };
        Failure { kind, message: message.to_owned() }
    }

    /// Time since the request's head had arrived.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Changes what will be recorded.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut Capture)) {
        if let Some((_, capture)) = &mut self.open {
            change(capture);
        }
    }

    /// What is known of the exchange so far. None where it is recorded.
    pub(crate) fn capture(&self) -> Option<&Capture> {
        self.open.as_ref().map(|(_, capture)| &**capture)
    }

    /// The rest of the request's body will be gathered in `upload`.
    pub(crate) fn await_upload(&mut self, upload: Arc<Upload>) {
        self.upload = Some(upload);
    }

    /// A text of the request that may be shown, without these tokens and those that the recorder knows.
    pub(crate) fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        match &self.open {
            Some((place, _)) => place.redact(text, tokens),
            None => nightaudit_exchange::redact_text(text, tokens),
        }
    }

    /// Tells the recorder that the request is about to go out.
    pub(crate) fn begin(&mut self) -> Result<(), crate::Unrecordable> {
        match &mut self.open {
            Some((place, capture)) => {
                // As near to the truth as can be known before it: a request may have waited long for its turn.
                capture.forwarded = Some(self.started.elapsed());
                let begun = place.begin(capture);
                capture.forwarded = None;
                begun
            }
            None => Ok(()),
        }
    }

    /// Whether the request has been sent to its end. Mews may answer before that.
    pub(crate) fn is_sent_whole(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.is_ended())
    }

    /// Records the exchange. None where it was recorded before.
    pub(crate) fn finish(&mut self, outcome: Outcome, error: Option<Failure>) -> Option<P::Receipt> {
        let (place, mut capture) = self.open.take()?;
        if let Some(upload) = self.upload.take() {
            capture.request.body = upload.take();
            complete_envelope(&mut capture);
        }
        if outcome != Outcome::Aborted && self.half_close.take().is_some_and(|client| client.has_happened()) {
            capture.notes.push(Note::ClientHalfClosed);
        }
        capture.outcome = outcome;
        capture.error = error;
        Some(place.record(capture))
    }

    /// Notes the body of the answer and records the exchange.
    pub(crate) fn finish_with_body(
        &mut self,
        body: CapturedBody,
        outcome: Outcome,
        error: Option<Failure>,
    ) -> Option<P::Receipt> {
        let now = self.elapsed();
        self.note(|capture| {
            if let Some(response) = &mut capture.response {
                response.body = body;
                capture.response_end = Some(now);
            }
        });
        self.finish(outcome, error)
    }
}

/// Notes what the rest of a body says of its sender that was forwarded once the limiter had what it counts by.
fn complete_envelope(capture: &mut Capture) {
    let CapturedEnvelope { access_token, client_token, client, paginated } = &mut capture.envelope;
    if access_token.is_some() && client_token.is_some() && client.is_some() && *paginated {
        return;
    }
    let mut beginning = Vec::new();
    for piece in &capture.request.body.kept {
        let room = ENVELOPE_SPAN - beginning.len();
        beginning.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    let whole = captured(envelope::read(&as_utf8(&beginning)));
    *access_token = access_token.take().or(whole.access_token);
    *client_token = client_token.take().or(whole.client_token);
    *client = client.take().or(whole.client);
    *paginated |= whole.paginated;
}

impl<P: RecordPermit> Drop for PendingExchange<P> {
    fn drop(&mut self) {
        let gone = self.client_gone();
        drop(self.finish(Outcome::Aborted, Some(gone)));
    }
}
