//! What the limits say, and what Mews says about them afterwards.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};
use nightaudit_exchange::{AdmissionRecord, Decision, Destination, FailureKind};
use nightaudit_limit::{Admission, AdmissionRequest, Admit, LimitSignal, Permit, Refusal, Unavailable, Usage};

use crate::{
    headers, local_response::LocalResponse, pending::PendingExchange, recorder::RecordPermit, upstream::Handover,
};

/// Asks whether a request may be sent; what is to be recorded of the answer, and the permit or why there is none.
pub(crate) async fn ask<A: Admit>(
    limits: &A,
    wanted: &AdmissionRequest<'_>,
    environment: &str,
) -> (Option<AdmissionRecord>, Result<A::Permit, LocalResponse>) {
    match limits.admit(wanted).await {
        Ok(Admission::Admitted { permit, usage, waited }) => (usage.map(|usage| admitted(usage, waited)), Ok(permit)),
        Ok(Admission::Observed { permit, refusal }) => (Some(refused(&refusal, Decision::Observed)), Ok(permit)),
        Ok(Admission::Refused(refusal)) => {
            let stop = LocalResponse::Limited {
                environment: environment.to_owned(),
                rule: refusal.rule.to_string(),
                used: refusal.used,
                limit: refusal.limit,
                closed: refusal.closed,
                retry_after_secs: refusal.retry_after_secs,
            };
            (Some(refused(&refusal, Decision::Refused)), Err(stop))
        }
        Err(unavailable) => (None, Err(stopped(unavailable))),
    }
}

/// Without knowing the limits nothing is sent.
fn stopped(unavailable: Unavailable) -> LocalResponse {
    LocalResponse::failed(FailureKind::LimitStore, unavailable.cause)
}

fn admitted(usage: Usage, waited: Duration) -> AdmissionRecord {
    AdmissionRecord {
        decision: if waited.is_zero() { Decision::Admitted } else { Decision::Delayed },
        rule: usage.rule.to_string(),
        used: usage.used,
        limit: usage.limit,
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        retry_after_s: None,
    }
}

fn refused(refusal: &Refusal, decision: Decision) -> AdmissionRecord {
    AdmissionRecord {
        decision,
        rule: refusal.rule.to_string(),
        used: refusal.used,
        limit: refusal.limit,
        waited_ms: 0,
        retry_after_s: Some(refusal.retry_after_secs),
    }
}

/// What a response says about Mews' limits, if anything.
pub(crate) fn limit_signal(status: StatusCode, headers: &HeaderMap) -> Option<LimitSignal> {
    if status == StatusCode::TOO_MANY_REQUESTS {
        Some(LimitSignal::TooManyRequests(headers::retry_after(headers, SystemTime::now())))
    } else {
        status.is_success().then_some(LimitSignal::Accepted)
    }
}

/// Notes where it must be noted that a request is being sent: in the journal, the limits and the record.
pub(crate) struct Sends<'a, P: RecordPermit, L> {
    pub(crate) pending: &'a mut PendingExchange<P>,
    pub(crate) permit: &'a mut L,
}

impl<P: RecordPermit, L: Permit> Handover for Sends<'_, P, L> {
    async fn now(&mut self, destination: Arc<Destination>) -> Result<(), LocalResponse> {
        // Not before there is a connection: what a crash interrupts counts from when it went out.
        self.pending.begin().map_err(|failure| LocalResponse::failed(FailureKind::Store, failure.cause))?;
        self.permit.sent().await.map_err(stopped)?;
        let now = self.pending.elapsed();
        self.pending.note(|capture| (capture.forwarded, capture.destination) = (Some(now), Some(destination)));
        Ok(())
    }

    async fn undone(&mut self) -> Result<(), LocalResponse> {
        self.pending.note(|capture| (capture.forwarded, capture.destination) = (None, None));
        self.permit.unsent().await.map_err(stopped)
    }
}
