//! Asks the limiter for admission, and reports Mews' own limits back to it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use compact_str::CompactString;
use http::{HeaderMap, StatusCode};
use nightaudit_exchange::{AdmissionRecord, Decision, Destination, FailureKind};
use nightaudit_limit::{Admission, AdmissionRequest, Admit, LimitSignal, Permit, Refusal, Unavailable, Usage};

use crate::{
    headers, late_permit::LatePermit, local_response::LocalResponse, pending::PendingExchange, recorder::RecordPermit,
    upstream::SendObserver,
};

/// Requests admission. Returns the decision to record, and the permit or the local response.
pub(crate) async fn ask<A: Admit>(
    limits: &A,
    wanted: &AdmissionRequest<'_>,
    environment: &str,
) -> (Option<AdmissionRecord>, Result<A::Permit, LocalResponse>) {
    match limits.admit(wanted).await {
        Ok(Admission::Admitted { permit, usage, waited }) => (usage.map(|usage| admitted(usage, waited)), Ok(permit)),
        Ok(Admission::Observed { permit, refusal }) => (Some(refused(&refusal, Decision::Observed)), Ok(permit)),
        Ok(Admission::Refused(refusal)) => {
            let local_response = LocalResponse::Limited {
                environment: environment.to_owned(),
                rule: refusal.rule.to_string(),
                used: refusal.used,
                limit: refusal.limit,
                closed: refusal.closed,
                retry_after_secs: refusal.retry_after_secs,
            };
            (Some(refused(&refusal, Decision::Refused)), Err(local_response))
        }
        Err(error) => (None, Err(unavailable(error))),
    }
}

/// Without the limiter nothing is sent.
pub(crate) fn unavailable(error: Unavailable) -> LocalResponse {
    LocalResponse::failed(FailureKind::LimitStore, error.cause)
}

fn admitted(usage: Usage, waited: Duration) -> AdmissionRecord {
    AdmissionRecord {
        decision: if waited.is_zero() { Decision::Admitted } else { Decision::Delayed },
        rule: CompactString::from(&*usage.rule),
        used: usage.used,
        limit: usage.limit,
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        retry_after_s: None,
    }
}

fn refused(refusal: &Refusal, decision: Decision) -> AdmissionRecord {
    AdmissionRecord {
        decision,
        rule: CompactString::from(&*refusal.rule),
        used: refusal.used,
        limit: refusal.limit,
        waited_ms: 0,
        retry_after_s: Some(refusal.retry_after_secs),
    }
}

/// Returns what a response says about Mews' own limits, if anything.
pub(crate) fn limit_signal(status: StatusCode, headers: &HeaderMap) -> Option<LimitSignal> {
    if status == StatusCode::TOO_MANY_REQUESTS {
        Some(LimitSignal::TooManyRequests(headers::retry_after(headers, SystemTime::now())))
    } else {
        status.is_success().then_some(LimitSignal::Accepted)
    }
}

/// Notes in the journal, the limiter and the record that a request is being sent.
pub(crate) struct SendNotes<'a, P: RecordPermit, L> {
    pub(crate) pending: &'a mut PendingExchange<P>,
    pub(crate) permit: &'a mut L,
    /// The permit for what the rest of the body names, which matters if the request is sent again.
    pub(crate) late: Option<&'a LatePermit<L>>,
}

impl<P: RecordPermit, L: Permit> SendObserver for SendNotes<'_, P, L> {
    async fn sending(&mut self, destination: Arc<Destination>) -> Result<(), LocalResponse> {
        // Only once there is a connection: after a crash, a journaled request counts as sent.
        self.pending.begin().map_err(|failure| LocalResponse::failed(FailureKind::Store, failure.cause))?;
        self.permit.sent().await.map_err(unavailable)?;
        if let Some(late) = self.late {
            late.sent().await.map_err(unavailable)?;
        }
        let now = self.pending.elapsed();
        self.pending.note(|capture| (capture.forwarded, capture.destination) = (Some(now), Some(destination)));
        Ok(())
    }

    async fn not_sent(&mut self) -> Result<(), LocalResponse> {
        self.pending.note(|capture| (capture.forwarded, capture.destination) = (None, None));
        if let Some(late) = self.late {
            late.unsent().await.map_err(unavailable)?;
        }
        self.permit.unsent().await.map_err(unavailable)
    }
}
