//! Reasons for failed calls, and what to do about them.

use nightaudit_exchange::{FailureKind, Outcome};

use crate::fact::Fact;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The request is wrong: 400, 413, 415, 422 and every other status below 500 without a reason of its own.
    Request,
    /// Unknown path or wrong method: 404, 405.
    Address,
    /// Invalid or unauthorised token: 401.
    Token,
    /// Forbidden by a business rule: 403.
    Business,
    /// The data changed in the meantime: 409.
    Changed,
    /// The request takes Mews too long: 408.
    TooHeavy,
    /// Over the limit: 429, from Mews or nightaudit.
    TooMany,
    /// Mews failed: 5xx.
    Server,
    /// No connection, so Mews never received the request.
    Unreachable,
    /// Mews may have received the request, but there was no complete response.
    NoAnswer,
}

impl Reason {
    /// Why this call failed; `None` if it didn't, or if nightaudit rejected it (which has a rule of its own).
    pub(super) fn of(fact: &Fact) -> Option<Self> {
        let failure = fact.failure.as_ref()?;
        Some(match (fact.outcome, fact.status) {
            (Outcome::Rejected, _) => return None,
            (Outcome::Failed, _) => match failure.kind {
                Some(
                    FailureKind::Resolve
                    | FailureKind::Connect
                    | FailureKind::ConnectTimeout
                    | FailureKind::Tls
                    | FailureKind::UpstreamProxy
                    | FailureKind::Store
                    | FailureKind::LimitStore
                    | FailureKind::Overloaded,
                ) => Self::Unreachable,
                _ => Self::NoAnswer,
            },
            (Outcome::Refused, _) | (_, 429) => Self::TooMany,
            // Reset or truncated by a fault rule.
            (Outcome::Faulted, 0..=399) => Self::NoAnswer,
            (_, 401) => Self::Token,
            (_, 403) => Self::Business,
            (_, 404 | 405) => Self::Address,
            (_, 408) => Self::TooHeavy,
            (_, 409) => Self::Changed,
            (_, 500..) => Self::Server,
            _ => Self::Request,
        })
    }

    /// For a message: `ended in 401`.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Request => "ended in 400 or a similar status",
            Self::Address => "ended in 404 or 405",
            Self::Token => "ended in 401",
            Self::Business => "ended in 403",
            Self::Changed => "ended in 409",
            Self::TooHeavy => "ended in 408",
            Self::TooMany => "ended in 429",
            Self::Server => "ended in 5xx",
            Self::Unreachable => "could not connect to Mews",
            Self::NoAnswer => "got no response from Mews",
        }
    }

    /// The share of an operation's calls, in percent, at which failures for this reason are reported; `None` if another
    /// rule judges them (429s: limits and retries).
    pub(super) fn bound(self) -> Option<u64> {
        match self {
            // A correct integration doesn't cause these.
            Self::Request | Self::Address | Self::Token => Some(10),
            // These happen to correct ones too, but not in every second call.
            Self::Business | Self::Changed | Self::TooHeavy | Self::Server | Self::Unreachable | Self::NoAnswer => {
                Some(50)
            }
            Self::TooMany => None,
        }
    }

    /// What to do about an unresolved call. Mentions Mews' `Request-Id` if there is one.
    pub(super) fn advice(self, has_request_id: bool) -> String {
        let report = if has_request_id { " Report the `Request-Id` to Mews if" } else { "" };
        match self {
            Self::Request if has_request_id => {
                format!("Fix what the message names and send the request again.{report} the request is correct.")
            }
            Self::Request => "Fix what the message names and send the request again.".to_owned(),
            Self::Address => {
                "Call the documented path with POST: case counts, and a trailing slash is a 404.".to_owned()
            }
            Self::Token => {
                "Use a valid access token of this environment that may call the operation, and send the call \
                            again with it; Mews or the property's settings show whether it is active."
                    .to_owned()
            }
            Self::Business => "Show Mews' message to the user, follow it, and send the call again.".to_owned(),
            Self::Changed => "Read the data again, and apply the change to its current state.".to_owned(),
            Self::TooHeavy => {
                "Ask for less and send the call again: fewer extents, a shorter interval, a smaller page.".to_owned()
            }
            Self::TooMany => "Send the call again once `Retry-After` has passed.".to_owned(),
            Self::Server if has_request_id => {
                "Send the call again after a pause, each longer than the one before; if it keeps failing, report the \
                 `Request-Id` to Mews."
                    .to_owned()
            }
            Self::Server => "Send the call again after a pause, each longer than the one before.".to_owned(),
            Self::Unreachable => {
                "The request is fine, but no connection could be made. Check the network, DNS and proxy of this \
                 machine, and send the call again once the host is reachable."
                    .to_owned()
            }
            Self::NoAnswer => {
                "Whether the call took effect is unknown. Read the current state from Mews, and send the call \
                 again if it had no effect."
                    .to_owned()
            }
        }
    }
}
