//! Responses to the client: the upstream's, or local ones.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, Version, header::CONTENT_LENGTH};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use nightaudit_exchange::{Api, CapturedBody, CapturedResponse, FailureKind, Head, Note, Outcome};
use nightaudit_fault::Ending;
use nightaudit_limit::Admit;

use super::{Forwarded, Proxy, faults};
use crate::{
    Origin,
    body_recorder::BodyRecorder,
    cookies,
    headers::{self, Hop},
    local_response::LocalResponse,
    pending::PendingExchange,
    recorder::{self, RecordPermit, Recorder, recorded},
    response_body::ProxyBody,
    response_head::{self, ProxyAddress},
};

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// Relays the response of Mews.
    pub(super) async fn relay(
        &self,
        mut pending: PendingExchange<R::Permit>,
        version: Version,
        host: &Origin,
        proxy_address: &ProxyAddress,
        forwarded: Forwarded,
    ) -> Response<ProxyBody<R::Permit>> {
        let Forwarded { mut response, framing, lease, upgrade, plan } = forwarded;
        if let Some(plan) = plan.as_deref().filter(|plan| plan.ending == Some(Ending::Reset)) {
            return faults::reset(pending, plan, response.status());
        }
        let now = pending.elapsed();
        let head = match lease.take_head() {
            Some(head) => {
                if let Some(reason) = response_head::lost_reason(&head) {
                    response.extensions_mut().insert(reason);
                }
                // A copy, so that the connection can use its buffer again.
                let mut memory = pending.take_memory();
                let head = Head::Wire(memory.copy(&head));
                pending.note(|capture| capture.memory = memory);
                head
            }
            None => Head::from(response.headers()),
        };
        pending.note(|capture| {
            capture.response_head = Some(now);
            capture.response = Some(CapturedResponse {
                status: response.status(),
                version: response.version(),
                head,
                body: CapturedBody::default(),
            });
        });
        let (mut parts, body) = response.into_parts();
        // hyper responds with the version of the client.
        parts.version = Version::HTTP_11;
        let mut notes = Vec::new();
        let mut note = |applies: bool, note| notes.extend(applies.then_some(note));
        if self.shared.config.rewrite_redirects {
            note(cookies::rewrite_cookies(&mut parts.headers, host, proxy_address), Note::CookiesRewritten);
        }
        if parts.status == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(downstream), Some(upstream)) = (upgrade, parts.extensions.remove::<OnUpgrade>())
        {
            parts.headers = headers::returned(parts.headers, Hop::WebSocket, false);
            pending.note(|capture| capture.notes.extend(notes));
            // Boxed: it is large, and the future of every request would have room for it.
            if !Box::pin(self.open_tunnel(pending, &parts.headers, downstream, upstream)).await {
                return not_recorded(self.api(), self.shared.config.timeouts.record);
            }
            return Response::from_parts(parts, ProxyBody::whole(Bytes::new()));
        }
        note(framing.ambiguous, Note::LengthIgnored);
        note(parts.headers.keys().any(headers::is_own), Note::OwnHeadersRemoved);
        note(parts.headers.keys().any(headers::is_for_its_origin), Note::OriginHeadersRemoved);
        let is_http1 = version < Version::HTTP_2;
        parts.headers = headers::returned(parts.headers, Hop::EndToEnd, framing.chunked && is_http1);
        if self.shared.config.rewrite_redirects {
            let hosts = [self.api.origin(), self.events.origin()];
            note(response_head::rewrite_redirects(&mut parts.headers, hosts, proxy_address), Note::RedirectRewritten);
        }
        if !notes.is_empty() {
            pending.note(|capture| capture.notes.extend(notes));
        }
        let is_empty = !framing.has_body || framing.length == Some(0) || body.is_end_stream();
        let fault =
            plan.and_then(|plan| faults::announce(&mut pending, &mut parts.headers, &plan, !is_empty, framing.length));
        let body = if is_empty {
            if pending.is_request_sent() {
                lease.give_back();
            }
            if let Some(receipt) = pending.finish_with_body(CapturedBody::default(), Outcome::Answered, None)
                && !recorded(receipt, self.shared.config.timeouts.record).await
            {
                return not_recorded(self.api(), self.shared.config.timeouts.record);
            }
            // HTTP/2 has its own end of message.
            ProxyBody::none(framing.length.filter(|_| is_http1 && parts.headers.contains_key(CONTENT_LENGTH)))
        } else {
            let content_length = framing.length;
            let timeouts = &self.shared.config.timeouts;
            let body_timeouts = (timeouts.response_body, timeouts.record);
            let body_recorder =
                BodyRecorder::expecting(self.shared.config.keep_body, content_length, &self.shared.budget)
                    .packing(self.recorder.spill())
                    .with_memory(pending.take_memory());
            let mut body = ProxyBody::relayed(body, pending, body_recorder, content_length, lease, body_timeouts)
                .with_fault(fault);
            body.with_head().await;
            body
        };
        Response::from_parts(parts, body)
    }

    /// Sends a local response.
    pub(super) async fn respond_locally(
        &self,
        mut pending: PendingExchange<R::Permit>,
        version: Version,
        local_response: LocalResponse,
    ) -> Response<ProxyBody<R::Permit>> {
        // Its message may quote the request, and tokens that it shares with earlier ones.
        let local_response = local_response.redacted(|message| {
            let envelope = pending.capture().map(|capture| &capture.envelope);
            let tokens = envelope.map(|envelope| [&envelope.access_token, &envelope.client_token]);
            let tokens = tokens.map(|tokens| tokens.map(|token| token.as_deref().unwrap_or_default()));
            pending.redact(message, &tokens.unwrap_or_default())
        });
        let response = local_response.response(self.api());
        let now = pending.elapsed();
        pending.note(|capture| {
            capture.response_head = Some(now);
            capture.response = Some(CapturedResponse {
                status: response.status(),
                version,
                head: local_head(&response, version),
                body: CapturedBody::default(),
            });
        });
        // A response to HEAD has the headers of its body, but not the body, which hyper leaves out.
        let is_head = pending.capture().is_some_and(|capture| capture.request.method == Method::HEAD);
        let body = if is_head { CapturedBody::default() } else { CapturedBody::whole(response.body().clone()) };
        let outcome = local_response.outcome();
        // If the log can't be written now, the exchange is queued and the client is told immediately.
        let waits = !matches!(&local_response, LocalResponse::Failed(failure) if failure.kind == FailureKind::Store);
        let error = match local_response {
            LocalResponse::Failed(failure) => Some(failure),
            LocalResponse::Limited { .. } | LocalResponse::Injected { .. } => None,
        };
        if let Some(receipt) = pending.finish_with_body(body, outcome, error).filter(|_| waits)
            && !recorded(receipt, self.shared.config.timeouts.record).await
        {
            return not_recorded(self.api(), self.shared.config.timeouts.record);
        }
        response.map(ProxyBody::whole)
    }
}

/// The local response if the exchange could not be recorded in time.
fn not_recorded<P: RecordPermit>(api: &'static Api, timeout: Duration) -> Response<ProxyBody<P>> {
    LocalResponse::failed(FailureKind::Store, recorder::not_recorded(api, timeout)).response(api).map(ProxyBody::whole)
}

/// Returns the head of a local response; for HTTP/1 with the status line that hyper writes.
fn local_head(response: &Response<Bytes>, version: Version) -> Head {
    let status = response.status();
    match (Head::from(response.headers()), status.canonical_reason()) {
        (Head::Parsed(fields), Some(reason)) if version < Version::HTTP_2 => {
            Head::Wire([format!("{version:?} {} {reason}\r\n", status.as_str()).as_bytes(), &fields].concat().into())
        }
        (head, _) => head,
    }
}
