//! Why a request may not be sent, and when it may.

use std::sync::Arc;
use std::time::Duration;

/// A request is over a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule with the longest wait.
    pub rule: Arc<str>,
    /// Requests that count under that rule for its key.
    pub used: u32,
    /// Requests allowed per window.
    pub limit: u32,
    /// Whether the key is closed because the host rejected a request, regardless of the window.
    pub closed: bool,
    /// The exact time until the request would be admitted, if no other request gets there first. Permits whose requests
    /// have not been sent yet count as sent now.
    pub retry_after: Duration,
    /// The same in whole seconds, rounded up, at least 1.
    pub retry_after_secs: u64,
}
