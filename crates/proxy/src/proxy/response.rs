//! What the client gets: the upstream's response, or one of the proxy's own.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, Version, header::CONTENT_LENGTH};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use nightaudit_exchange::{CapturedBody, CapturedResponse, FailureKind, Head, Note, Outcome};
use nightaudit_limit::Admit;

use super::{Forwarded, Proxy};
use crate::{
    Origin,
    body_recorder::BodyRecorder,
    cookies,
    headers::{self, Hop},
    local_response::LocalResponse,
    pending::PendingExchange,
    recorder::{self, RecordPermit, Recorder, recorded},
    response_body::ProxyBody,
    response_head::{self, Addressed},
    upstream::WireHead,
};

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// What the integration gets for Mews' answer.
    pub(super) async fn answer(
        &self,
        mut pending: PendingExchange<R::Permit>,
        version: Version,
        host: &Origin,
        addressed: &Addressed,
        forwarded: Forwarded,
    ) -> Response<ProxyBody<R::Permit>> {
        let Forwarded { mut response, framing, lease, upgrade } = forwarded;
        let now = pending.elapsed();
        let head = match response.extensions_mut().remove() {
            Some(WireHead(head)) => {
                if let Some(reason) = response_head::lost_reason(&head) {
                    response.extensions_mut().insert(reason);
                }
                Head::Wire(head)
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
        // The integration's side has the version that it speaks itself.
        parts.version = Version::HTTP_11;
        let mut notes = Vec::new();
        let mut note = |is_so: bool, note| notes.extend(is_so.then_some(note));
        if self.shared.config.rewrite_redirects {
            note(cookies::set_here(&mut parts.headers, host, addressed), Note::CookiesRewritten);
        }
        if parts.status == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(downstream), Some(upstream)) = (upgrade, parts.extensions.remove::<OnUpgrade>())
        {
            parts.headers = headers::returned(parts.headers, Hop::WebSocket, false);
            pending.note(|capture| capture.notes = notes);
            if !self.open_tunnel(pending, &parts.headers, downstream, upstream).await {
                return not_recorded(self.shared.config.timeouts.record);
            }
            return Response::from_parts(parts, ProxyBody::whole(Bytes::new()));
        }
        note(framing.ambiguous, Note::LengthIgnored);
        note(parts.headers.keys().any(headers::is_own), Note::OwnHeadersRemoved);
        note(parts.headers.keys().any(headers::is_for_its_origin), Note::OriginHeadersRemoved);
        let is_http1 = version < Version::HTTP_2;
        parts.headers = headers::returned(parts.headers, Hop::Ends, framing.chunked && is_http1);
        if self.shared.config.rewrite_redirects {
            let hosts = [self.api.origin(), self.events.origin()];
            note(response_head::redirect_here(&mut parts.headers, hosts, addressed), Note::RedirectRewritten);
        }
        if !notes.is_empty() {
            pending.note(|capture| capture.notes = notes);
        }
        let body = if !framing.has_body || framing.length == Some(0) || body.is_end_stream() {
            if pending.is_sent_whole() {
                lease.give_back();
            }
            if let Some(receipt) = pending.finish_with_body(CapturedBody::default(), Outcome::Answered, None)
                && !recorded(receipt, self.shared.config.timeouts.record).await
            {
                return not_recorded(self.shared.config.timeouts.record);
            }
            // HTTP/2 tells the end of a message by itself.
            ProxyBody::none(framing.length.filter(|_| is_http1 && parts.headers.contains_key(CONTENT_LENGTH)))
        } else {
            let promised = framing.length;
            let timeouts = &self.shared.config.timeouts;
            let patience = (timeouts.response_body, timeouts.record);
            let body_recorder = BodyRecorder::expecting(self.shared.config.keep_body, promised, &self.shared.budget);
            let mut body = ProxyBody::flowing(body, pending, body_recorder, promised, lease, patience);
            body.with_head().await;
            body
        };
        Response::from_parts(parts, body)
    }

    /// What the integration gets in place of Mews' answer.
    pub(super) async fn stop(
        &self,
        mut pending: PendingExchange<R::Permit>,
        version: Version,
        stop: LocalResponse,
    ) -> Response<ProxyBody<R::Permit>> {
        let response = stop.response();
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
        let body = CapturedBody::whole(response.body().clone());
        let outcome = stop.outcome();
        // What can't be written now is written when it can be; the integration is told so at once.
        let waits = !matches!(&stop, LocalResponse::Failed(failure) if failure.kind == FailureKind::Store);
        let error = match stop {
            LocalResponse::Failed(failure) => Some(failure),
            LocalResponse::Limited { .. } => None,
        };
        if let Some(receipt) = pending.finish_with_body(body, outcome, error).filter(|_| waits)
            && !recorded(receipt, self.shared.config.timeouts.record).await
        {
            return not_recorded(self.shared.config.timeouts.record);
        }
        response.map(ProxyBody::whole)
    }
}

/// What the client gets whose exchange could not be recorded in time.
fn not_recorded<P: RecordPermit>(longest: Duration) -> Response<ProxyBody<P>> {
    LocalResponse::failed(FailureKind::Store, recorder::not_recorded(longest)).response().map(ProxyBody::whole)
}

/// The head of the proxy's own response: of HTTP/1 with the start line that hyper writes.
fn local_head(response: &Response<Bytes>, version: Version) -> Head {
    let status = response.status();
    match (Head::from(response.headers()), status.canonical_reason()) {
        (Head::Parsed(fields), Some(reason)) if version < Version::HTTP_2 => {
            Head::Wire([format!("{version:?} {} {reason}\r\n", status.as_str()).as_bytes(), &fields].concat().into())
        }
        (head, _) => head,
    }
}
