//! What the limiter says, and what Mews says about it afterwards.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use nightaudit_exchange::{Decision, LimitNote};
use nightaudit_limit::{Admission, Arrival, Limiter, Note, Place, Refusal, Sent};

use crate::{fields, reply::Stop};

/// A request's place in the windows: taken, then used up by sending.
pub(crate) struct Ticket(Stage);

enum Stage {
    Taken(Place),
    Sent(Sent),
    /// Between the two.
    Changing,
}

/// Asks the limiter; what is to be recorded of its answer, and the place or the refusal.
pub(crate) async fn ask(
    limiter: &Limiter,
    arrival: &Arrival<'_>,
    environment: &str,
) -> (Option<LimitNote>, Result<Ticket, Stop>) {
    match limiter.admit(arrival).await {
        Admission::Admitted { place, note, waited } => {
            (note.map(|note| admitted(note, waited)), Ok(Ticket(Stage::Taken(place))))
        }
        Admission::Observed { place, refusal } => {
            (Some(refused(&refusal, Decision::Observed)), Ok(Ticket(Stage::Taken(place))))
        }
        Admission::Refused(refusal) => {
            let stop = Stop::Limited {
                environment: environment.to_owned(),
                rule: refusal.rule.to_string(),
                used: refusal.used,
                limit: refusal.limit,
                closed: refusal.closed,
                retry_after_secs: refusal.retry_after_secs,
            };
            (Some(refused(&refusal, Decision::Refused)), Err(stop))
        }
    }
}

fn admitted(note: Note, waited: Duration) -> LimitNote {
    LimitNote {
        decision: if waited.is_zero() { Decision::Admitted } else { Decision::Delayed },
        rule: note.rule.to_string(),
        used: note.used,
        limit: note.limit,
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        retry_after_s: None,
    }
}

fn refused(refusal: &Refusal, decision: Decision) -> LimitNote {
    LimitNote {
        decision,
        rule: refusal.rule.to_string(),
        used: refusal.used,
        limit: refusal.limit,
        waited_ms: 0,
        retry_after_s: Some(refusal.retry_after_secs),
    }
}

impl Ticket {
    /// The request is handed to a connection at this instant.
    pub(crate) fn sent(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, Stage::Changing) {
            Stage::Taken(place) => Stage::Sent(place.sent()),
            other => other,
        };
    }

    /// Nothing of the request was sent after all.
    pub(crate) fn unsent(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, Stage::Changing) {
            Stage::Sent(sent) => Stage::Taken(sent.undo()),
            other => other,
        };
    }

    /// Mews has answered.
    pub(crate) fn answered(self, status: StatusCode, fields: &HeaderMap) {
        if let Stage::Sent(sent) = self.0 {
            if status == StatusCode::TOO_MANY_REQUESTS {
                sent.too_many_requests(fields::retry_after(fields, SystemTime::now()));
            } else if status.is_success() {
                sent.succeeded();
            }
        }
    }
}
