//! The log as the proxy's recorder.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nightaudit_exchange::{Capture, Outcome, Spill};
use nightaudit_proxy::{RecordPermit, Recorder, Unrecordable};
use nightaudit_store::{Notifier, Receipt, StoreFailure};

use crate::reachability::Reachability;

/// Requests by outcome since the start, in the order of [`Outcome::ALL`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes(Arc<[AtomicU64; Outcome::ALL.len()]>);

impl Outcomes {
    /// The outcomes with their counts.
    pub(crate) fn list(&self) -> Vec<(Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }

    fn count(&self, outcome: Outcome) {
        if let Some(place) = Outcome::ALL.iter().position(|known| *known == outcome) {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Passes the proxy's exchanges to the log.
#[derive(Clone)]
pub(crate) struct LogRecorder {
    log: nightaudit_store::Recorder,
    outcomes: Outcomes,
    upstream: Reachability,
}

impl LogRecorder {
    pub(crate) fn new(log: nightaudit_store::Recorder, outcomes: Outcomes, upstream: Reachability) -> Self {
        Self { log, outcomes, upstream }
    }

    /// See [`nightaudit_store::Recorder::with_notifier`].
    pub(crate) fn with_notifier(&self) -> (Self, Notifier) {
        let (log, notifier) = self.log.with_notifier();
        (Self { log, outcomes: self.outcomes.clone(), upstream: self.upstream.clone() }, notifier)
    }
}

impl Recorder for LogRecorder {
    type Permit = LogPermit;

    async fn reserve(&self) -> Result<LogPermit, Unrecordable> {
        let permit = self.log.reserve().await.map_err(unrecordable)?;
        Ok(LogPermit { permit, outcomes: self.outcomes.clone(), upstream: self.upstream.clone() })
    }

    fn spare(&self) -> Option<Box<Capture>> {
        self.log.spare()
    }

    fn spill(&self) -> Option<Arc<dyn Spill>> {
        Some(self.log.spill())
    }
}

/// A permit in the log's queue.
pub(crate) struct LogPermit {
    permit: nightaudit_store::QueuePermit,
    outcomes: Outcomes,
    upstream: Reachability,
}

impl RecordPermit for LogPermit {
    type Receipt = Receipt;

    fn begin(&mut self, capture: &Capture) -> Result<(), Unrecordable> {
        let started = self.permit.journal_entry(capture);
        self.permit.begin(&started).map_err(unrecordable)
    }

    fn redact<'a>(&self, text: &'a [u8], tokens: &[&str]) -> Cow<'a, [u8]> {
        self.permit.redact(text, tokens)
    }

    fn record(self, capture: Box<Capture>) -> Receipt {
        if capture.direction.is_outgoing() {
            self.outcomes.count(capture.outcome);
        }
        self.upstream.note(&capture);
        self.permit.record(capture)
    }
}

fn unrecordable(failure: StoreFailure) -> Unrecordable {
    Unrecordable { cause: failure.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_apart() {
        let outcomes = Outcomes::default();
        outcomes.count(Outcome::Failed);
        outcomes.count(Outcome::Failed);
        outcomes.count(Outcome::Answered);
        let counted: Vec<_> = outcomes.list().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(Outcome::Answered, 1), (Outcome::Failed, 2)]);
    }
}
