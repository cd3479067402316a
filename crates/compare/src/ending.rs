//! How a call ended.

use std::fmt;

use nightaudit_exchange::{Decision, Exchange, Outcome};

/// How a call ended: by the status from Mews, or by what became of it without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ending {
    /// Mews responded.
    Status(u16),
    /// No response from Mews: why, as in `X-Nightaudit-Error`.
    Failed(&'static str),
    /// Anything else.
    Other(Outcome),
    /// A limit delayed it; counted besides how it ended.
    Delayed,
}

impl Ending {
    pub(crate) fn of(exchange: &Exchange) -> Self {
        match (exchange.outcome, exchange.status()) {
            (Outcome::Answered, Some(status)) => Self::Status(status),
            (Outcome::Failed, _) => {
                Self::Failed(exchange.error.as_ref().map_or("unknown", |error| error.kind.as_str()))
            }
            (outcome, _) => Self::Other(outcome),
        }
    }

    /// Whether a limit delayed the call.
    pub(crate) fn is_delayed(exchange: &Exchange) -> bool {
        exchange.limit.as_ref().is_some_and(|limit| limit.decision == Decision::Delayed)
    }

    /// Whether the call did not do what it was meant to.
    pub(crate) const fn is_failure(self) -> bool {
        match self {
            Self::Status(status) => status >= 400,
            Self::Failed(_) | Self::Other(_) => true,
            Self::Delayed => false,
        }
    }

    /// Whether it is about request limits.
    pub(crate) const fn is_limit(self) -> bool {
        matches!(self, Self::Status(429) | Self::Other(Outcome::Refused) | Self::Delayed)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Failed(kind) => write!(f, "failed: {kind}"),
            Self::Other(outcome) => write!(f, "{outcome}"),
            Self::Delayed => f.write_str("delayed"),
        }
    }
}
