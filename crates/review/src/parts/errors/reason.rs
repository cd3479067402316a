//! Why a call failed, and what to do about it.

use nightaudit_exchange::{FailureKind, Outcome};

use crate::fact::Fact;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The request is wrong: 400, 413, 415, 422 and what else below 500 has no reason of its own.
    Request,
    /// There is nothing at the address, or not for this method: 404, 405.
    Address,
    /// The token is wrong, or may not do this: 401.
    Token,
    /// A rule of the business doesn't allow it: 403.
    Business,
    /// The data has changed meanwhile: 409.
    Changed,
    /// The request takes Mews too long: 408.
    TooHeavy,
    /// Over the limit: 429, of Mews or of nightaudit.
    TooMany,
    /// Mews failed: 5xx.
    Server,
    /// There was no connection, so that Mews had nothing of it.
    Unreachable,
    /// Mews may have had the request, and gave no response, or not the whole.
    NoAnswer,
}

impl Reason {
    /// Why this call failed; none where it didn't, or where it never was a call: what nightaudit rejected is told of by
    /// itself.
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
            (_, 401) => Self::Token,
            (_, 403) => Self::Business,
            (_, 404 | 405) => Self::Address,
            (_, 408) => Self::TooHeavy,
            (_, 409) => Self::Changed,
            (_, 500..) => Self::Server,
            _ => Self::Request,
        })
    }

    /// What stands in a message: `answered 400`.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Request => "answered 400 or the like",
            Self::Address => "answered 404 or 405",
            Self::Token => "answered 401",
            Self::Business => "answered 403",
            Self::Changed => "answered 409",
            Self::TooHeavy => "answered 408",
            Self::TooMany => "answered 429",
            Self::Server => "answered 5xx",
            Self::Unreachable => "without a connection to Mews",
            Self::NoAnswer => "without a response from Mews",
        }
    }

    /// The share of an operation's calls from which on failures for this reason are many, in percent; none where they are
    /// judged elsewhere: 429s by the limits and retries.
    pub(super) fn bound(self) -> Option<u64> {
        match self {
            // What a right integration doesn't send.
            Self::Request | Self::Address | Self::Token => Some(10),
            // What happens to right ones too, and not in every second call.
            Self::Business | Self::Changed | Self::TooHeavy | Self::Server | Self::Unreachable | Self::NoAnswer => {
                Some(50)
            }
            Self::TooMany => None,
        }
    }

    /// What to do about a call that was never made good. Mews' `Request-Id` is spoken of where there is one.
    pub(super) fn advice(self, has_request_id: bool) -> String {
        let tell = if has_request_id { " Tell Mews the `Request-Id` if" } else { "" };
        match self {
            Self::Request if has_request_id => {
                format!("Mend what the message names and send the request again.{tell} the request is right.")
            }
            Self::Request => "Mend what the message names and send the request again.".to_owned(),
            Self::Address => {
                "Call the documented address, with POST: case counts, and a trailing slash is a 404.".to_owned()
            }
            Self::Token => {
                "Use a valid access token of this environment that may call the operation, and send the call \
                            again with it; Mews or the property's settings say whether it is active."
                    .to_owned()
            }
            Self::Business => {
                "Show Mews' message to the user, do what it asks for, and send the call again.".to_owned()
            }
            Self::Changed => "Read the data again, and repeat the change on what is there now.".to_owned(),
            Self::TooHeavy => {
                "Ask for less at once, and send it again: fewer extents, a shorter interval, a smaller page.".to_owned()
            }
            Self::TooMany => "Send the call again once `Retry-After` has passed.".to_owned(),
            Self::Server if has_request_id => {
                "Send the call again after a pause, each longer than the one before; if it keeps failing, report the \
                 `Request-Id` to Mews."
                    .to_owned()
            }
            Self::Server => "Send the call again after a pause, each longer than the one before.".to_owned(),
            Self::Unreachable => {
                "Nothing is wrong with the request: there was no connection. Look at the network, DNS \
                                  and proxy of this machine, and let the integration send the call again once the host \
                                  can be reached."
                    .to_owned()
            }
            Self::NoAnswer => {
                "Whether the call had an effect isn't known. Ask Mews for the state of what it was about, \
                               and send it again if it had none."
                    .to_owned()
            }
        }
    }
}
