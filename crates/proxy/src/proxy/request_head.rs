//! Creates pending exchanges from request heads.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{Version, request::Parts};
use nightaudit_exchange::{
    CallDirection, Capture, CapturedBody, CapturedEnvelope, CapturedRequest, Head, Outcome, Timestamp,
};
use nightaudit_limit::Admit;
use nightaudit_listen::RequestContext;

use super::{
    Proxy,
    request_target::{start_line, target},
};
use crate::{headers, pending::PendingExchange, recorder::Recorder, shares::Share, upstream::Upstream};

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// Creates the pending exchange for a request head.
    pub(super) fn pending(
        &self,
        (permit, share): (R::Permit, Share),
        context: &mut RequestContext,
        parts: &Parts,
        host: &Upstream,
    ) -> PendingExchange<R::Permit> {
        let (started, received) = (Instant::now(), Timestamp::from_system(SystemTime::now()));
        let mut spare = self.recorder.spare();
        let mut memory = spare.as_mut().map(|spare| std::mem::take(&mut spare.memory)).unwrap_or_default();
        let refused = context.refusal.as_ref();
        let head = match (context.wire.take(), refused) {
            // A copy, so that the guard can use its buffer again.
            (Some(wire), _) => Head::Wire(memory.copy(&wire)),
            (None, Some(refusal)) if parts.version < Version::HTTP_2 => Head::Wire(refusal.wire.clone()),
            (None, _) => Head::from(&parts.headers),
        };
        let (method, target) = match (&head, refused) {
            // hyper only saw the guard's placeholder.
            (Head::Wire(wire), Some(_)) => start_line(wire),
            _ => (parts.method.clone(), memory.copy(target(&parts.uri))),
        };
        // Whoever can send a webhook must not choose sessions.
        let (direction, session) = match self.shared.config.webhook {
            None => (CallDirection::Outgoing, parts.headers.get(headers::SESSION)),
            Some(_) => (CallDirection::Incoming, None),
        };
        let capture = Capture {
            id: self.shared.ids.next(received),
            session: session.and_then(|name| name.to_str().ok()).map(Into::into),
            environment: Arc::clone(&self.shared.config.environment),
            received,
            forwarded: None,
            response_head: None,
            response_end: None,
            peer: context.peer,
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
            fault: None,
            direction,
            web_socket: None,
            resent_from: None,
            destination: None,
            notes: Vec::new(),
            memory,
        };
        let capture = match spare {
            Some(mut spare) => {
                *spare = capture;
                spare
            }
            None => Box::new(capture),
        };
        PendingExchange::new(self.api(), (permit, share), capture, started, context.progress.clone())
            .watch(context.half_close.take())
    }
}
