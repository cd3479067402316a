//! How a webhook was answered.

use std::collections::BTreeMap;

use nightaudit_exchange::{Digest, Exchange, ExchangeId, FailureKind, Outcome, Timestamp};

use crate::{
    findings::{Findings, count_of, counted_as},
    review::Evidence,
    rule::Rule,
};

/// How long Mews waits for the response to a webhook, in microseconds (Webhooks FAQ).
const PATIENCE_US: u64 = 5_000_000;

/// The most messages that wait to come again.
const MOST_OPEN: usize = 1000;

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Accepted in time.
    Accepted,
    /// Accepted, but too late.
    AcceptedLate,
    /// No response in time.
    Late,
    /// Not accepted: a status, or why there was no response.
    Failed(String),
    /// Not the integration's doing.
    Unknown,
}

impl Delivery {
    pub(super) fn of(exchange: &Exchange) -> Self {
        let is_late = exchange.times_us.response_head.is_some_and(|took| took > PATIENCE_US);
        // Mews follows redirects that keep the method.
        let is_accepted = matches!(exchange.status(), Some(200..=299 | 307 | 308));
        match (exchange.outcome, exchange.error.as_ref().map(|failure| failure.kind)) {
            (Outcome::Answered, _) => match (is_late, is_accepted) {
                (false, true) => Self::Accepted,
                (true, true) => Self::AcceptedLate,
                (true, false) => Self::Late,
                (false, false) => Self::Failed(exchange.status().map_or_else(String::new, |status| status.to_string())),
            },
            (Outcome::Aborted, Some(FailureKind::ClientLeft)) if exchange.times_us.forwarded.is_some() => Self::Late,
            (Outcome::Failed, Some(FailureKind::ResponseTimeout)) => Self::Late,
            (
                Outcome::Failed,
                Some(FailureKind::Store | FailureKind::LimitStore | FailureKind::Overloaded | FailureKind::Interrupted),
            ) => Self::Unknown,
            (Outcome::Failed, Some(kind)) => Self::Failed(format!("no response ({kind})")),
            _ => Self::Unknown,
        }
    }

    /// Whether the integration said that it has the message.
    pub(super) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedLate)
    }
}

/// Follows each message until it is accepted.
#[derive(Debug, Clone, Default)]
pub(super) struct Deliveries {
    late: Evidence,
    /// Messages that were not accepted yet, by their digest.
    open: BTreeMap<Digest, Open>,
    pub(super) accepted_later: u64,
    /// Messages beyond the bound.
    unfollowed: u64,
}

/// A message that was not accepted.
#[derive(Debug, Clone)]
struct Open {
    /// When it first came.
    at: Timestamp,
    exchange: ExchangeId,
    /// How it failed; `None` if it was late.
    failed: Option<String>,
}

impl Deliveries {
    pub(super) fn note(&mut self, exchange: &Exchange, delivery: &Delivery) {
        let message = exchange.request.body.sha256;
        if matches!(delivery, Delivery::Late | Delivery::AcceptedLate) {
            self.late.add(exchange.id, exchange.started_at);
        }
        let failed = match delivery {
            Delivery::Accepted | Delivery::AcceptedLate => {
                self.accepted_later += u64::from(self.open.remove(&message).is_some());
                return;
            }
            Delivery::Unknown => return,
            Delivery::Late => None,
            Delivery::Failed(how) => Some(how.clone()),
        };
        if let Some(open) = self.open.get_mut(&message) {
            open.failed = open.failed.take().or(failed);
        } else if self.open.len() < MOST_OPEN {
            self.open.insert(message, Open { at: exchange.started_at, exchange: exchange.id, failed });
        } else {
            self.unfollowed += 1;
        }
    }

    pub(super) fn report(&self, findings: &mut Findings<'_>) {
        if self.late.count > 0 {
            let message = format!("{} had no response within 5 s.", count_of(self.late.count, "webhook"));
            findings.raise(Rule::EventsLate, None, message, &self.late);
        }
        let mut open: Vec<&Open> = self.open.values().collect();
        open.sort_unstable_by_key(|open| (open.at, open.exchange));
        let mut failed: BTreeMap<&str, Evidence> = BTreeMap::new();
        for open in open {
            // Those that were only late are in the other finding.
            if let Some(how) = &open.failed {
                failed.entry(how).or_default().add(open.exchange, open.at);
            }
        }
        for (how, evidence) in failed {
            let message = format!("{} got {how}, and no 2xx later.", count_of(evidence.count, "message"));
            findings.raise(Rule::EventsFailed, None, message, &evidence);
        }
        if self.unfollowed > 0 {
            let webhooks =
                counted_as(self.unfollowed, "webhook was accepted when it", "webhooks were accepted when they");
            findings.bounds.push(format!("whether {webhooks} came again was not checked"));
        }
    }
}
