//! Pending exchanges.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use nightaudit_exchange::{
    Api, Capture, CaptureMemory, CapturedBody, Failure, FailureKind, InjectedFault, Note, Outcome,
};
use nightaudit_listen::{ClientProgress, HalfClose};

use crate::{body_watch::Watched, proxy::captured, recorder::RecordPermit, request_body::Upload, shares::Share};

/// An exchange that is not recorded yet, with its recorder permit.
///
/// It is recorded exactly once: by [`finish`](Self::finish), or as aborted when the future or body that owns it is
/// dropped, which is how hyper signals that the client has left.
pub(crate) struct PendingExchange<P: RecordPermit> {
    api: &'static Api,
    /// `None` once recorded.
    open: Option<(P, Box<Capture>)>,
    started: Instant,
    /// Collects the rest of a request body that is forwarded while it is received.
    upload: Option<Arc<Upload>>,
    progress: ClientProgress,
    half_close: Option<HalfClose>,
    /// The client's share of in-flight capacity, held for the life of the exchange.
    _share: Share,
}

impl<P: RecordPermit> PendingExchange<P> {
    pub(crate) fn new(
        api: &'static Api,
        (permit, share): (P, Share),
        capture: Box<Capture>,
        started: Instant,
        progress: ClientProgress,
    ) -> Self {
        Self { api, open: Some((permit, capture)), started, upload: None, progress, half_close: None, _share: share }
    }

    /// Returns what is particular to the API.
    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    /// Returns the half-close state of the client, if it is to be noted.
    pub(crate) fn half_close(&self) -> Option<HalfClose> {
        self.half_close.clone()
    }

    /// Notes in the record whether the client has closed its side.
    pub(crate) fn watch(mut self, half_close: Option<HalfClose>) -> Self {
        self.half_close = half_close;
        self
    }

    /// Returns the failure if the client is the reason why the response is incomplete.
    pub(crate) fn client_gone(&self) -> Failure {
        let (kind, message) = if self.progress.has_stalled() {
            (FailureKind::ClientStalled, "the client did not read the response in time (`timeouts.response_taken`)")
        } else if self.open.as_ref().is_some_and(|(_, capture)| capture.response.is_some()) {
            (FailureKind::ClientLeft, "the client closed the connection during the response")
        } else {
            (FailureKind::ClientLeft, "the client closed the connection before the response")
        };
        Failure { kind, message: message.to_owned() }
    }

    /// Returns the time since the request head was received.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Updates the capture.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut Capture)) {
        if let Some((_, capture)) = &mut self.open {
            change(capture);
        }
    }

    /// Takes the capture's memory, to copy to.
    pub(crate) fn take_memory(&mut self) -> CaptureMemory {
        self.open.as_mut().map(|(_, capture)| std::mem::take(&mut capture.memory)).unwrap_or_default()
    }

    /// Notes that one of the messages had trailers.
    pub(crate) fn note_trailers(&mut self) {
        self.note(|capture| add_note(capture, Note::TrailersNotRecorded));
    }

    /// Updates what is recorded of the faults that these rules inject.
    pub(crate) fn note_fault(&mut self, rules: &[String], change: impl FnOnce(&mut InjectedFault)) {
        self.note(|capture| {
            let first = || Box::new(InjectedFault { rules: rules.to_vec(), ..InjectedFault::default() });
            change(capture.fault.get_or_insert_with(first));
        });
    }

    /// Returns the capture so far; `None` once recorded.
    pub(crate) fn capture(&self) -> Option<&Capture> {
        self.open.as_ref().map(|(_, capture)| &**capture)
    }

    /// Collects the rest of the request body from `upload`.
    pub(crate) fn await_upload(&mut self, upload: Arc<Upload>) {
        self.upload = Some(upload);
    }

    /// Redacts these tokens, and those the recorder knows, from a text of the request.
    pub(crate) fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        match &self.open {
            Some((permit, _)) => permit.redact(text, tokens),
            None => nightaudit_exchange::redact_text(self.api, text, tokens),
        }
    }

    /// Tells the recorder that the request is about to be sent.
    pub(crate) fn begin(&mut self) -> Result<(), crate::Unrecordable> {
        match &mut self.open {
            Some((permit, capture)) => {
                // The best estimate before sending: the request may have been delayed by the limiter.
                capture.forwarded = Some(self.started.elapsed());
                let begun = permit.begin(capture);
                capture.forwarded = None;
                begun
            }
            None => Ok(()),
        }
    }

    /// Returns whether the request has been sent completely. Mews may respond before that.
    pub(crate) fn is_request_sent(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.is_ended())
    }

    /// Returns how much of the request's body has been sent.
    pub(crate) fn sent_length(&self) -> u64 {
        let whole = || self.capture().map_or(0, |capture| capture.request.body.length);
        self.upload.as_ref().map_or_else(whole, |upload| upload.length())
    }

    /// Records the exchange; `None` if it already was.
    pub(crate) fn finish(&mut self, outcome: Outcome, error: Option<Failure>) -> Option<P::Receipt> {
        let (permit, mut capture) = self.open.take()?;
        if let Some(upload) = self.upload.take() {
            let (body, watched, had_trailers) = upload.take();
            capture.request.body = body;
            if had_trailers {
                add_note(&mut capture, Note::TrailersNotRecorded);
            }
            if let Some(watched) = watched {
                note_watched(&mut capture, watched, self.started);
            }
        }
        if outcome != Outcome::Aborted && self.half_close.take().is_some_and(|client| client.has_happened()) {
            capture.notes.push(Note::ClientHalfClosed);
        }
        capture.outcome = outcome;
        capture.error = error;
        Some(permit.record(capture))
    }

    /// Adds the response body and records the exchange.
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

fn add_note(capture: &mut Capture, note: Note) {
    if !capture.notes.contains(&note) {
        capture.notes.push(note);
    }
}

/// Notes what the rest of a body said of its sender, and what the limits said to that.
fn note_watched(capture: &mut Capture, watched: Watched, started: Instant) {
    let Watched { envelope, limit, admitted, refused } = watched;
    capture.envelope = captured(envelope);
    if let Some(limit) = limit {
        capture.limit = Some(limit);
    }
    if refused {
        // Mews never got it whole, so that it doesn't count.
        (capture.forwarded, capture.destination) = (None, None);
    } else if let Some(admitted) = admitted.filter(|_| capture.forwarded.is_some()) {
        // From when on it counts.
        let admitted = admitted.into_std().saturating_duration_since(started);
        capture.forwarded = Some(capture.response_head.map_or(admitted, |head| admitted.min(head)));
    }
}

impl<P: RecordPermit> Drop for PendingExchange<P> {
    fn drop(&mut self) {
        if self.open.is_some() {
            let gone = self.client_gone();
            drop(self.finish(Outcome::Aborted, Some(gone)));
        }
    }
}
