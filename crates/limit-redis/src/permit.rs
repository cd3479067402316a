//! The permit of a request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nightaudit_limit::{LimitSignal, Permit, Unavailable};

use crate::clock;
use crate::engine::{Answer, Engine, Granted, Wish};

/// A permit of a [`Budget`](crate::Budget).
#[derive(Debug)]
pub struct BudgetPermit {
    engine: Arc<Engine>,
    granted: Option<Granted>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Taken,
    Sent,
    /// It was sent and was not: what has been told of it no longer fits, so that it needs another place.
    Unsent,
}

impl BudgetPermit {
    pub(crate) fn new(engine: Arc<Engine>, granted: Granted) -> Self {
        Self { engine, granted: Some(granted), stage: Stage::Taken }
    }

    /// A place that may be sent now.
    async fn renew(&mut self) -> Result<(), Unavailable> {
        let Some(granted) = &self.granted else { return Ok(()) };
        let renewed = match self.engine.renew(granted).await? {
            Some(renewed) => renewed,
            // It no longer counts, so that it is a new request.
            None => match self.engine.ask(&granted.place.keys, Wish::TRY).await? {
                Answer::Admitted { granted, .. } => granted,
                _ => {
                    return Err(Unavailable {
                        cause:
                            "the request waited so long for a connection that its place in the limits expired, and now \
                                there is none"
                                .to_owned(),
                    });
                }
            },
        };
        if let Some(old) = self.granted.replace(renewed) {
            old.replaced();
        }
        Ok(())
    }
}

impl Permit for BudgetPermit {
    async fn sent(&mut self) -> Result<(), Unavailable> {
        // Another process may have got the place if this one was slow, or stood still.
        let is_fresh = |permit: &Self| permit.granted.as_ref().is_some_and(|granted| clock::now() < granted.expires());
        while self.stage != Stage::Sent {
            if self.stage == Stage::Taken && is_fresh(self) {
                if let Some(granted) = &mut self.granted {
                    granted.sent();
                }
                self.stage = Stage::Sent;
            } else {
                self.renew().await?;
                self.stage = Stage::Taken;
            }
        }
        Ok(())
    }

    async fn unsent(&mut self) -> Result<(), Unavailable> {
        if self.stage == Stage::Sent {
            self.stage = Stage::Unsent;
            if let Some(granted) = &mut self.granted {
                granted.not_sent();
            }
        }
        Ok(())
    }

    async fn responded(self, signal: Option<LimitSignal>) {
        let Some(granted) = self.granted.as_ref().filter(|_| self.stage == Stage::Sent) else { return };
        match signal {
            Some(LimitSignal::TooManyRequests(retry_after)) => {
                self.engine.counts.rejected.fetch_add(1, Ordering::Relaxed);
                self.engine.signal(granted, "429", retry_after.unwrap_or(Duration::ZERO));
            }
            Some(LimitSignal::Accepted) if granted.tell_success => self.engine.signal(granted, "200", Duration::ZERO),
            _ => {}
        }
    }
}
