//! The permit of a request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nightaudit_limit::{LimitSignal, LocalPermit, Permit, Unavailable};

use crate::clock;
use crate::engine::{Answer, Engine, Granted, Wish};
use crate::plan::Keys;
use crate::share::Share;

/// A permit of a [`Budget`](crate::Budget).
#[derive(Debug)]
pub struct BudgetPermit {
    engine: Arc<Engine>,
    granted: Option<Granted>,
    stage: Stage,
    /// A place in this node's own share instead, and the keys of the request.
    own: Option<(LocalPermit, Arc<Keys>)>,
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
        Self { engine, granted: Some(granted), stage: Stage::Taken, own: None }
    }

    /// A place in this node's share.
    pub(crate) fn local(engine: Arc<Engine>, keys: Arc<Keys>, permit: LocalPermit) -> Self {
        Self { engine, granted: None, stage: Stage::Taken, own: Some((permit, keys)) }
    }

    /// Asks Redis for a request that was admitted when it was out of reach.
    async fn ask(&mut self, keys: &Arc<Keys>) -> Result<(), Unavailable> {
        match self.engine.ask(keys, Wish::TRY).await? {
            Answer::Admitted { granted, .. } => {
                (self.granted, self.own, self.stage) = (Some(granted), None, Stage::Taken);
                Ok(())
            }
            _ => Err(Unavailable {
                cause: "the request was admitted by this node's share of the limits, which has ended, and there is no place"
                    .to_owned(),
            }),
        }
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
        if let Some((permit, keys)) = &mut self.own {
            if self.engine.node.share.as_ref().is_some_and(Share::is_open) {
                self.stage = Stage::Sent;
                return permit.sent().await;
            }
            let keys = Arc::clone(keys);
            self.ask(&keys).await?;
        }
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
        if let Some((permit, _)) = &mut self.own {
            self.stage = Stage::Taken;
            return permit.unsent().await;
        }
        if self.stage == Stage::Sent {
            self.stage = Stage::Unsent;
            if let Some(granted) = &mut self.granted {
                granted.not_sent();
            }
        }
        Ok(())
    }

    async fn responded(self, signal: Option<LimitSignal>) {
        if let Some((permit, _)) = self.own {
            return permit.responded(signal).await;
        }
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
