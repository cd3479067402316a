//! Carries out what fault rules have planned for a request.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use nightaudit_exchange::{FailureKind, FaultEnding, InjectedFault, Outcome};
use nightaudit_fault::{Ending, Plan};
use nightaudit_limit::Admit;

use super::Proxy;
use crate::{
    body_fault::BodyFault,
    headers,
    local_response::LocalResponse,
    pending::PendingExchange,
    recorder::{RecordPermit, Recorder},
    response_body::ProxyBody,
};

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// What is to be done to an admitted request; `None` for nothing, at the cost of a load if there are no rules.
    pub(super) fn plan_faults(&self, pending: &PendingExchange<R::Permit>, operation: &str) -> Option<Box<Plan>> {
        let faults = &self.shared.config.faults;
        if faults.is_empty() {
            return None;
        }
        let session = pending.capture().and_then(|capture| capture.session.as_deref());
        faults.plan(operation, session, Instant::now())
    }

    /// Holds an admitted request back, and returns the response that is made up instead of forwarding it, if any.
    pub(super) async fn inject(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        plan: &Plan,
    ) -> Result<(), LocalResponse> {
        if let Some(latency) = plan.latency {
            let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
            pending.note_fault(&plan.rules, |fault| fault.delayed_ms = Some(millis));
            let held = tokio::time::sleep(latency);
            match pending.half_close().filter(|client| !client.has_happened()) {
                None => held.await,
                Some(client) => tokio::select! {
                    biased;
                    () = held => {}
                    // As for a request that a limit delays: it may have been sent again.
                    () = client.happened() => {
                        let message = "the client closed its side of the connection while a fault rule held the request back";
                        return Err(LocalResponse::failed(FailureKind::ClientLeft, message));
                    }
                },
            }
        }
        let Some(Ending::Status { status, retry_after }) = plan.ending else { return Ok(()) };
        // Rules have no other statuses.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut fault = String::new();
        pending.note_fault(&plan.rules, |injected| {
            injected.ending = Some(FaultEnding::Status(status.as_u16()));
            fault = injected.to_string();
        });
        Err(LocalResponse::Injected { status, retry_after_secs: retry_after, fault })
    }
}

/// Records that the client's connection is reset although Mews has responded, and returns what makes the server do it.
pub(super) fn reset<P: RecordPermit>(
    mut pending: PendingExchange<P>,
    plan: &Plan,
    upstream_status: StatusCode,
) -> Response<ProxyBody<P>> {
    let now = pending.elapsed();
    pending.note(|capture| capture.response_head = Some(now));
    pending.note_fault(&plan.rules, |fault| {
        fault.ending = Some(FaultEnding::Reset);
        fault.upstream_status = Some(upstream_status.as_u16());
    });
    // The client gets no response, so nothing waits for the record.
    drop(pending.finish(Outcome::Faulted, None));
    let mut response = Response::new(ProxyBody::none(None));
    response.extensions_mut().insert(nightaudit_listen::Reset);
    response
}

/// Notes a fault of the body and names all faults in the response's head. Returns the body's.
pub(super) fn announce<P: RecordPermit>(
    pending: &mut PendingExchange<P>,
    headers: &mut HeaderMap,
    plan: &Plan,
    has_body: bool,
    content_length: Option<u64>,
) -> Option<Box<BodyFault>> {
    let body = if has_body { BodyFault::of(plan, content_length) } else { None };
    let rate = body.as_ref().and_then(BodyFault::rate);
    if rate.is_some() {
        pending.note_fault(&plan.rules, |fault| fault.bytes_per_second = rate);
    }
    // That it breaks off is recorded once it does, but there is no header to say it later.
    let mut announced = pending.capture().and_then(|capture| capture.fault.as_deref().cloned()).unwrap_or_default();
    announced.ending = body.as_ref().filter(|body| body.is_cut()).map(|_| FaultEnding::Truncated);
    if announced != (InjectedFault { rules: announced.rules.clone(), ..InjectedFault::default() })
        && let Ok(value) = HeaderValue::from_str(&announced.to_string())
    {
        headers.insert(headers::FAULT, value);
    }
    body.map(Box::new)
}
