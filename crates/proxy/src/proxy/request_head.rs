//! What the head of a request tells of its exchange.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Uri, Version, header::HOST, request::Parts, uri::PathAndQuery};
use nightaudit_exchange::{Capture, CapturedBody, CapturedEnvelope, CapturedRequest, Head, Outcome, Timestamp};
use nightaudit_limit::Admit;
use nightaudit_listen::Arrival;

use super::Proxy;
use crate::{draft::Draft, fields, recorder::Recorder, shares::Share, upstream::Upstream};

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// The exchange as far as a request's head tells it.
    pub(super) fn draft(
        &self,
        (place, share): (R::Place, Share),
        arrival: &mut Arrival,
        parts: &Parts,
        host: &Upstream,
    ) -> Draft<R::Place> {
        let (started, received) = (Instant::now(), Timestamp::from_system(SystemTime::now()));
        let refused = arrival.refusal.as_ref();
        let head = match (arrival.wire.take(), refused) {
            (Some(wire), _) => Head::Wire(wire),
            (None, Some(refusal)) if parts.version < Version::HTTP_2 => Head::Wire(refusal.wire.clone()),
            (None, _) => Head::from(&parts.headers),
        };
        let (method, target) = match (&head, refused) {
            // What hyper was given in its place says nothing.
            (Head::Wire(wire), Some(_)) => start_line(wire),
            _ => (parts.method.clone(), target(&parts.uri)),
        };
        let capture = Capture {
            id: self.shared.ids.next(received),
            session: parts.headers.get(fields::SESSION).and_then(|name| name.to_str().ok()).map(Into::into),
            environment: Arc::clone(&self.shared.config.environment),
            received,
            forwarded: None,
            response_head: None,
            response_end: None,
            peer: arrival.peer,
            envelope: CapturedEnvelope::default(),
            request: CapturedRequest {
                method,
                origin: Arc::clone(host.origin().text()),
                target,
                version: parts.version,
                head,
                body: CapturedBody::default(),
            },
            response: None,
            limit: None,
            outcome: Outcome::Aborted,
            error: None,
            web_socket: None,
            destination: None,
            notes: Vec::new(),
        };
        Draft::new(place, share, capture, started, arrival.progress.clone()).watch(arrival.half_close.take())
    }
}

/// An address in absolute form that has a query and no path, with the path that it means: as it is, the target of the
/// forwarded request would begin with the query (RFC 9112, section 3.2.1).
pub(super) fn with_slash(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query().map(PathAndQuery::as_str).filter(|target| target.starts_with('?'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("/{target}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// By what name the client addresses the proxy.
pub(super) fn authority(parts: &Parts) -> Option<HeaderValue> {
    match parts.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_str(parts.uri.authority()?.as_str()).ok(),
    }
}

/// Path and query as they were sent.
fn target(uri: &Uri) -> Bytes {
    Bytes::copy_from_slice(uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes())
}

/// What stands in the places of method and target in a head that is no request's.
fn start_line(wire: &[u8]) -> (Method, Bytes) {
    const SHOWN: usize = 256;
    let line = wire.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().and_then(|word| Method::from_bytes(word).ok());
    let target = words.next().filter(|_| method.is_some()).unwrap_or_default();
    let shown = &target[..target.len().min(SHOWN)];
    (method.filter(|method| method.as_str().len() <= 32).unwrap_or_default(), Bytes::copy_from_slice(shown))
}
