//! What the console shows and the log doesn't have.

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc};

use nightaudit_exchange::{Outcome, PseudonymKey, Timestamp};
use nightaudit_export::{ExportMask, SigningKey};
use nightaudit_fault::Faults;
use nightaudit_import::Reader;
use nightaudit_mews::Contracts;
use nightaudit_review::Basis;
use nightaudit_store::{ImportError, Imported};
use serde::{Deserialize, Serialize};

use crate::resending::Resending;

/// The current state of one key under one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitState {
    /// The rule's name.
    pub rule: String,
    /// The key: the pseudonyms and operation that the rule counts by.
    pub key: String,
    /// Requests allowed per window; 0 from a `serve` that doesn't say.
    #[serde(default)]
    pub limit: u32,
    /// The window's length in milliseconds; 0 from a `serve` that doesn't say.
    #[serde(default)]
    pub window_ms: u64,
    /// Permits used in the window.
    pub used: u32,
    /// Permits left in the window.
    pub left: u32,
    /// Milliseconds until the next permit is free; 0 if one is free now.
    pub next_free_ms: u64,
    /// Requests refused by this proxy so far.
    pub refused: u64,
    /// Requests refused by Mews with 429 so far; those of earlier runs don't count.
    #[serde(default)]
    pub refused_by_mews: u64,
    /// Requests delayed so far.
    pub delayed: u64,
    /// Milliseconds until the key is open again after a 429 from Mews; `None` if it is open.
    pub closed_for_ms: Option<u64>,
    /// The nodes' shares of `used`, if several share the limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeUsage>,
}

/// What one of several nodes uses of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// The node's name.
    pub node: String,
    /// Permits that it uses.
    pub used: u32,
}

/// The store of the limits that several machines share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitStoreState {
    /// Its address, without user and password.
    pub address: String,
    /// Why it can't be reached, while that is so.
    pub failing: Option<String>,
    /// Of how many machines each goes on with its share of every limit while the store can't be reached; `None` if none does.
    pub share_of: Option<u32>,
    /// Whether this machine goes on with its share now.
    pub sharing: bool,
}

impl LimitStoreState {
    /// What is done and why, while the store can't be reached.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let failing = self.failing.as_deref()?;
        let done = match self.share_of {
            Some(nodes) if self.sharing => format!("this machine goes on with 1/{nodes} of every limit"),
            Some(nodes) => format!("requests get 503 until this machine may go on with 1/{nodes} of every limit"),
            None => "requests get 503".to_owned(),
        };
        Some(format!("{done}: the limits in {} can't be reached: {failing}", self.address))
    }
}

/// Tells how the store of the limits is reached.
pub type LimitStoreReport = dyn Fn() -> LimitStoreState + Send + Sync;

/// The limits' state, possibly from elsewhere; an error if it is unavailable.
pub type LimitReport =
    Pin<Box<dyn Future<Output = Result<Vec<LimitState>, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// Minutes of [`LimitHistory`] that are kept.
pub const MAX_MINUTES: u32 = 60;

/// How full the windows were, step by step. `None` where nothing was measured, because the machine was suspended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitHistory {
    /// When the first step began; `None` if there is none.
    pub from: Option<Timestamp>,
    /// A step's length in milliseconds.
    pub step_ms: u64,
    /// The rules.
    pub rules: Vec<RuleHistory>,
    /// Requests refused by this proxy in each step.
    pub refused: Vec<Option<u64>>,
    /// Requests refused by Mews with 429 in each step.
    pub refused_by_mews: Vec<Option<u64>>,
}

/// How full the windows of a rule were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleHistory {
    /// The rule's name.
    pub rule: String,
    /// Requests allowed per window.
    pub limit: u32,
    /// The window's length in milliseconds.
    pub window_ms: u64,
    /// The most requests that counted for any key at any time in each step.
    pub points: Vec<Option<u32>>,
}

/// The running proxy and its way to Mews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyState {
    /// The base URLs for the integration; at least one.
    pub addresses: Vec<String>,
    /// The environment's name.
    pub environment: String,
    /// The host it forwards to, as `https://host`.
    pub upstream: String,
    /// Whether a connection to that host could be opened when one was last tried; `None` if none was.
    pub reachable: Option<bool>,
    /// Since when that is so.
    pub since: Option<Timestamp>,
    /// Why it can't be reached, or the last time couldn't.
    pub last_error: Option<String>,
}

/// How shipping to the archive goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveState {
    /// Exchanges shipped since start.
    pub shipped: u64,
    /// Exchanges of this log that the archive doesn't have yet.
    pub behind: u64,
    /// How long the oldest of them has waited, or had when it arrived within the last two seconds, in milliseconds.
    pub lag_ms: u64,
    /// Failed attempts since start.
    pub failures: u64,
    /// Why nothing can be shipped, while that is so.
    pub failing: Option<String>,
}

/// Tells how shipping to the archive goes.
pub type ArchiveReport = dyn Fn() -> ArchiveState + Send + Sync;

/// Reads what sessions are reviewed against.
pub type BasisReader = dyn Fn() -> Result<Arc<Basis>, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;

/// The installation's key can't be used.
pub type KeyResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What evidence needs besides the log.
pub struct EvidenceTools {
    /// The folder in whose `evidence/` files are written; no other process uses it.
    pub folder: PathBuf,
    /// The data folder, which has the keys.
    pub keys: PathBuf,
    /// The JSON properties whose values are masked in bodies.
    pub masked_fields: Vec<String>,
    /// The key that makes the pseudonyms of masked values. May block.
    pub mask_key: Box<dyn Fn() -> PseudonymKey + Send + Sync>,
    /// The installation's signing key, created if there is none. May block.
    pub signing_key: Box<dyn Fn() -> KeyResult<SigningKey> + Send + Sync>,
}

impl EvidenceTools {
    /// The mask of every export. May block.
    pub(crate) fn mask(&self) -> ExportMask {
        ExportMask::new(self.masked_fields.clone(), &self.mask_key)
    }
}

impl fmt::Debug for EvidenceTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvidenceTools").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Imports the exchanges of a file; as [`Log::import`](nightaudit_store::Log::import).
pub type Importer = dyn Fn(&mut Reader<'_>) -> Result<Imported, ImportError> + Send + Sync;

/// State that only the running proxy has.
pub struct Gauges {
    /// The limits' state.
    pub limits: Box<dyn Fn() -> LimitReport + Send + Sync>,
    /// The store of the limits; `None` if they are this machine's own.
    pub limit_store: Option<Box<LimitStoreReport>>,
    /// The limits of the last so many minutes.
    pub limit_history: Box<dyn Fn(u32) -> LimitHistory + Send + Sync>,
    /// When it started; `None` if nothing is being recorded.
    pub started: Option<Timestamp>,
    /// The proxy; `None` if there is none, because the console shows a log that nothing is recorded into.
    pub proxy: Box<dyn Fn() -> Option<ProxyState> + Send + Sync>,
    /// Requests by outcome since start.
    pub outcomes: Box<dyn Fn() -> Vec<(Outcome, u64)> + Send + Sync>,
    /// How shipping to the archive goes; `None` if there is none.
    pub archive: Option<Box<ArchiveReport>>,
    /// The fault rules; `None` if no requests are served.
    pub faults: Option<Faults>,
    /// The contracts that requests are checked against.
    pub contracts: Contracts,
    /// What evidence needs; `None` if it isn't made here.
    pub evidence: Option<EvidenceTools>,
    /// Why nothing in the log can be changed from here, with the remedy; `None` if that is up to the log.
    pub read_only: Option<&'static str>,
    /// Imports sessions into the log; `None` if nothing can be imported here. May block.
    pub import: Option<Box<Importer>>,
    /// Sends requests again; `None` if nothing can be sent from here.
    pub resend: Option<Resending>,
    /// What sessions are reviewed against; the same `Arc` while it is unchanged. May block.
    pub basis: Box<BasisReader>,
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            limits: Box::new(|| Box::pin(async { Ok(Vec::new()) })),
            limit_store: None,
            limit_history: Box::new(|_| LimitHistory::default()),
            started: None,
            proxy: Box::new(|| None),
            outcomes: Box::new(Vec::new),
            archive: None,
            faults: None,
            contracts: Contracts::built_in(),
            evidence: None,
            read_only: None,
            import: None,
            resend: None,
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
