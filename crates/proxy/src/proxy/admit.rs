//! From a request's body to its admission: what the limits ask for is read from it, and waited for.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use http::{Version, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use nightaudit_exchange::{AdmissionRecord, FailureKind, as_utf8};
use nightaudit_limit::{AdmissionRequest, Admit};
use nightaudit_listen::HalfClose;
use nightaudit_mews::envelope;

use super::{Admitted, Proxy, sender::Sender};
use crate::{
    admission,
    body_recorder::BodyRecorder,
    local_response::LocalResponse,
    pace::BodyPace,
    pending::PendingExchange,
    recorder::Recorder,
    request_body::{BodyPrefix, Upload},
};

/// What the limits decide by.
struct Asked<'a> {
    access_key: Arc<str>,
    client_key: Arc<str>,
    operation: Cow<'a, str>,
    paginated: bool,
}

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// Reads as much of the body as the limits need, and waits until they admit the request.
    pub(super) async fn admit(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        peer: SocketAddr,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Admitted<A::Permit>, LocalResponse> {
        let (mut prefix, body_recorder) = self.read_prefix(pending, body).await?;
        if parts.version == Version::HTTP_2 {
            prefix.remove_if_empty();
        }
        let asked = {
            let Sender { envelope, access_key, client_key } =
                Sender::new(&parts.headers, &prefix.bytes(), peer, &self.recent_tokens);
            let paginated = envelope.paginated;
            pending.note(|capture| capture.envelope = envelope);
            Asked { access_key, client_key, operation: self.operation(pending, parts.uri.path()), paginated }
        };
        let upload = self.note_body(pending, &prefix, body_recorder);
        let (note, permit) = self.ask(&asked, pending.half_close()).await?;
        pending.note(|capture| capture.limit = note);
        let permit = permit?;
        let plan = self.plan_faults(pending, &asked.operation);
        if let Some(plan) = &plan {
            // Boxed, because hardly any request has one.
            Box::pin(self.inject(pending, plan)).await?;
        }
        Ok(Admitted { prefix, upload, permit, plan })
    }

    /// Reads the part of the body that has arrived, and as much more as its envelope needs.
    async fn read_prefix(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        body: Incoming,
    ) -> Result<(BodyPrefix, BodyRecorder), LocalResponse> {
        let (config, budget) = (&self.shared.config, &self.shared.request_budget);
        let mut body_recorder = BodyRecorder::expecting(config.keep_body, body.size_hint().exact(), budget)
            .with_memory(pending.take_memory());
        let pace = BodyPace::new(config.timeouts.request_body, config.min_body_rate);
        let read = BodyPrefix::read(body, &mut body_recorder, pace, budget, |prefix| self.is_enough(prefix)).await;
        let memory = body_recorder.take_memory();
        pending.note(|capture| capture.memory = memory);
        match read {
            Ok(prefix) => Ok((prefix, body_recorder)),
            Err(local_response) => {
                pending.note(|capture| capture.request.body = body_recorder.take_unfinished());
                Err(local_response)
            }
        }
    }

    /// Whether the limits need no more of the body than this.
    fn is_enough(&self, prefix: &[u8]) -> bool {
        let limiter = &self.shared.limiter;
        let prefix = as_utf8(prefix);
        let (envelope, is_final) = envelope::read_prefix(&prefix);
        let tokens =
            envelope.access_token.is_some() && (envelope.client_token.is_some() || !limiter.key().client_token);
        is_final || (tokens && (envelope.paginated || !limiter.counts_pages()))
    }

    /// The operation as the limits know it.
    fn operation<'a>(&self, pending: &PendingExchange<R::Permit>, path: &'a str) -> Cow<'a, str> {
        let operation = self.api().operation_of(path).unwrap_or(path);
        if self.shared.limiter.key().operation {
            // The limiter's key is displayed, and a path may contain anything.
            let envelope = pending.capture().map(|capture| &capture.envelope);
            let tokens =
                envelope.map(|envelope| [&envelope.access_token, &envelope.client_token]).unwrap_or([&None; 2]);
            let tokens = tokens.map(|token| token.as_deref().unwrap_or_default());
            if let Cow::Owned(redacted) = pending.redact(operation.as_bytes(), &tokens) {
                return Cow::Owned(String::from_utf8_lossy(&redacted).into_owned());
            }
        }
        Cow::Borrowed(operation)
    }

    /// Notes the body if it is known, or who will know it: the upload of its rest.
    fn note_body(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        prefix: &BodyPrefix,
        mut body_recorder: BodyRecorder,
    ) -> Option<Arc<Upload>> {
        if prefix.is_whole() {
            pending.note(|capture| capture.request.body = body_recorder.take());
            return None;
        }
        let upload = Upload::new(body_recorder, Arc::clone(&self.shared.request_budget));
        pending.await_upload(Arc::clone(&upload));
        Some(upload)
    }

    /// Asks the limits. Returns their decision to record, and the permit or the local response; an error if the client leaves
    /// meanwhile.
    async fn ask(
        &self,
        asked: &Asked<'_>,
        client: Option<HalfClose>,
    ) -> Result<(Option<AdmissionRecord>, Result<A::Permit, LocalResponse>), LocalResponse> {
        let wanted = AdmissionRequest {
            access_token: &asked.access_key,
            client_token: &asked.client_key,
            operation: &asked.operation,
            paginated: asked.paginated,
        };
        let admission = admission::ask(&self.shared.limiter, &wanted, &self.shared.config.environment);
        let Some(client) = client.filter(|client| !client.has_happened()) else {
            return Ok(admission.await);
        };
        tokio::select! {
            biased;
            admission = admission => Ok(admission),
            // A client that closes its side while the request is delayed may have given up and retried: the request
            // would be processed twice.
            () = client.happened() => {
                let message = "the client closed its side of the connection while the request was delayed by a limit";
                Err(LocalResponse::failed(FailureKind::ClientLeft, message))
            }
        }
    }
}
