//! The engine that admits requests: in this process, or one budget for many.
//!
//! What waits for Redis is boxed: its futures are large, and the future of each request would have room for them.

use nightaudit_limit::{
    Admission, AdmissionRequest, Admit, History, KeyParts, KeyState, LimitSignal, Limiter, LocalPermit, Permit, Totals,
    Unavailable,
};
use nightaudit_limit_redis::{Budget, BudgetConfig, BudgetPermit};

use crate::{config::Settings, error::StartError};

/// The configured engine.
#[derive(Debug, Clone)]
pub(crate) enum Limits {
    /// In memory.
    Local(Limiter),
    /// In Redis.
    Shared(Budget),
}

impl Limits {
    /// The engine that the settings name.
    pub(crate) fn new(settings: &Settings) -> Result<Self, StartError> {
        let limits = settings.limit.clone();
        Ok(match &settings.limit_store {
            None => Self::Local(Limiter::new(limits)?),
            Some(store) => Self::Shared(Budget::new(BudgetConfig {
                limits,
                address: store.address.clone(),
                ca: store.ca.clone(),
                timeout: store.timeout,
                node: store.node.clone(),
                on_failure: store.on_failure,
            })?),
        })
    }
}

/// The permit of either.
pub(crate) enum LimitPermit {
    Local(LocalPermit),
    Shared(BudgetPermit),
}

impl Admit for Limits {
    type Permit = LimitPermit;

    fn key(&self) -> KeyParts {
        match self {
            Self::Local(limiter) => Admit::key(limiter),
            Self::Shared(budget) => budget.key(),
        }
    }

    fn counts_pages(&self) -> bool {
        match self {
            Self::Local(limiter) => Admit::counts_pages(limiter),
            Self::Shared(budget) => budget.counts_pages(),
        }
    }

    async fn admit(&self, arrival: &AdmissionRequest<'_>) -> Result<Admission<LimitPermit>, Unavailable> {
        match self {
            Self::Local(limiter) => Ok(map(Admit::admit(limiter, arrival).await?, LimitPermit::Local)),
            Self::Shared(budget) => Ok(map(Box::pin(budget.admit(arrival)).await?, LimitPermit::Shared)),
        }
    }

    async fn restore(&self, history: History) -> Result<(), Unavailable> {
        match self {
            Self::Local(limiter) => Admit::restore(limiter, history).await,
            Self::Shared(budget) => budget.restore(history).await,
        }
    }

    async fn report(&self) -> Result<Vec<KeyState>, Unavailable> {
        match self {
            Self::Local(limiter) => Admit::report(limiter).await,
            Self::Shared(budget) => budget.report().await,
        }
    }

    async fn totals(&self) -> Result<Totals, Unavailable> {
        match self {
            Self::Local(limiter) => Admit::totals(limiter).await,
            Self::Shared(budget) => budget.totals().await,
        }
    }
}

fn map<P, Q>(admission: Admission<P>, permit_of: impl FnOnce(P) -> Q) -> Admission<Q> {
    match admission {
        Admission::Admitted { permit, usage, waited } => {
            Admission::Admitted { permit: permit_of(permit), usage, waited }
        }
        Admission::Observed { permit, refusal } => Admission::Observed { permit: permit_of(permit), refusal },
        Admission::Refused(refusal) => Admission::Refused(refusal),
    }
}

impl Permit for LimitPermit {
    async fn sent(&mut self) -> Result<(), Unavailable> {
        match self {
            Self::Local(permit) => permit.sent().await,
            Self::Shared(permit) => Box::pin(permit.sent()).await,
        }
    }

    async fn unsent(&mut self) -> Result<(), Unavailable> {
        match self {
            Self::Local(permit) => permit.unsent().await,
            Self::Shared(permit) => Box::pin(permit.unsent()).await,
        }
    }

    async fn responded(self, signal: Option<LimitSignal>) {
        match self {
            Self::Local(permit) => permit.responded(signal).await,
            Self::Shared(permit) => Box::pin(permit.responded(signal)).await,
        }
    }
}
