//! What the console shows and the log doesn't have.

use std::{fmt, pin::Pin, sync::Arc};

use nightaudit_exchange::Outcome;
use nightaudit_mews::Contracts;
use nightaudit_review::Basis;
use serde::{Deserialize, Serialize};

/// The current state of one key under one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitState {
    /// The rule's name.
    pub rule: String,
    /// The key: the pseudonyms and operation that the rule counts by.
    pub key: String,
    /// Permits used in the window.
    pub used: u32,
    /// Permits left in the window.
    pub left: u32,
    /// Milliseconds until the next permit is free; 0 if one is free now.
    pub next_free_ms: u64,
    /// Requests refused so far.
    pub refused: u64,
    /// Requests delayed so far.
    pub delayed: u64,
    /// Milliseconds until the key is open again after a 429 from Mews; `None` if it is open.
    pub closed_for_ms: Option<u64>,
}

/// The limits' state, possibly from elsewhere; an error if it is unavailable.
pub type LimitReport =
    Pin<Box<dyn Future<Output = Result<Vec<LimitState>, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// The result of [`Gauges::log_check`].
pub type CheckResult = Result<serde_json::Value, Box<dyn std::error::Error + Send + Sync>>;

/// Verifies every byte of the log, calling the function it is given every now and then. Blocks for as long as reading takes.
pub type LogCheck = dyn Fn(&mut dyn FnMut()) -> CheckResult + Send + Sync;

/// Reads what sessions are reviewed against.
pub type BasisReader = dyn Fn() -> Result<Arc<Basis>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;

/// State that only the running proxy has.
pub struct Gauges {
    /// The limits' state.
    pub limits: Box<dyn Fn() -> LimitReport + Send + Sync>,
    /// Requests by outcome since start.
    pub outcomes: Box<dyn Fn() -> Vec<(Outcome, u64)> + Send + Sync>,
    /// Totals of the log. May block.
    pub log_info: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Checks the log while it is being written.
    pub log_check: Box<LogCheck>,
    /// The contracts that requests are checked against.
    pub contracts: Contracts,
    /// What sessions are reviewed against; the same `Arc` while it is unchanged. May block.
    pub basis: Box<BasisReader>,
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            limits: Box::new(|| Box::pin(async { Ok(Vec::new()) })),
            outcomes: Box::new(Vec::new),
            log_info: Box::new(|| serde_json::json!({})),
            log_check: Box::new(|_| Err("this log can't be checked here".into())),
            contracts: Contracts::built_in(),
            basis: {
                let built_in = Arc::<Basis>::default();
                Box::new(move || Ok(Arc::clone(&built_in)))
            },
        }
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}
