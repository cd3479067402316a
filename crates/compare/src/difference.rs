//! A difference between two recordings.

use std::fmt;

use nightaudit_exchange::ExchangeId;
use nightaudit_review::Severity;
use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// What a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// An operation that only one side calls.
    Operation,
    /// How often an operation is called.
    Calls,
    /// How calls end: by status, or without a response from Mews.
    Statuses,
    /// Messages of failed calls.
    Errors,
    /// How long Mews takes.
    Latency,
    /// Properties of requests.
    Requests,
    /// Properties of responses.
    Responses,
    /// Properties of WebSocket messages.
    Messages,
    /// What contradicts Mews' documentation in requests.
    Findings,
    /// Request limits: requests refused, delayed, or answered with 429, and the rules themselves.
    Limits,
    /// The pages of lists.
    Pages,
}

impl DifferenceKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Operation,
        Self::Calls,
        Self::Statuses,
        Self::Errors,
        Self::Latency,
        Self::Requests,
        Self::Responses,
        Self::Messages,
        Self::Findings,
        Self::Limits,
        Self::Pages,
    ];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Calls => "calls",
            Self::Statuses => "statuses",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Requests => "requests",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Findings => "findings",
            Self::Limits => "limits",
            Self::Pages => "pages",
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How the later recording differs from the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only the later one has it.
    New,
    /// Only the earlier one has it.
    Gone,
    /// The later one has more of it.
    More,
    /// The later one has less of it.
    Fewer,
    /// It takes longer in the later one.
    Slower,
    /// It takes less time in the later one.
    Faster,
    /// It has other types in the later one.
    Type,
    /// It is otherwise different in the later one.
    Different,
}

impl Change {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::More => "more",
            Self::Fewer => "fewer",
            Self::Slower => "slower",
            Self::Faster => "faster",
            Self::Type => "type",
            Self::Different => "different",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a property is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// In requests.
    Request,
    /// In responses with this status.
    Response(u16),
    /// In messages from Mews.
    Received,
    /// In messages to Mews.
    Sent,
}

impl Place {
    /// What is there one of, and several of.
    pub(crate) const fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Request => ("request", "requests"),
            Self::Response(_) => ("response", "responses"),
            Self::Received | Self::Sent => ("message", "messages"),
        }
    }

    /// The kind of differences there.
    pub(crate) const fn kind(self) -> DifferenceKind {
        match self {
            Self::Request => DifferenceKind::Requests,
            Self::Response(_) => DifferenceKind::Responses,
            Self::Received | Self::Sent => DifferenceKind::Messages,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Response(status) => write!(f, "response {status}"),
            Self::Received => f.write_str("message received"),
            Self::Sent => f.write_str("message sent"),
        }
    }
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What it is about.
    pub kind: DifferenceKind,
    /// How it changed.
    pub change: Change,
    /// How much it matters: an error is likely to break the integration, a warning is worth a look.
    pub severity: Severity,
    /// Whether it can't be chance: see [`Differences::METHOD`](crate::Differences::METHOD). What may be chance is rare on
    /// one side, and may merely not have come up on the other. Numbers of calls and pages are facts.
    pub certain: bool,
    /// The operation; `None` if it concerns all.
    pub operation: Option<String>,
    /// Where the property is; `None` if it isn't about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What differs: a JSON pointer with `*` for items, a status, an outcome, a limit's rule, or the kind and place of a
    /// finding; empty where the operation says it all.
    pub subject: String,
    /// The difference in a sentence.
    pub message: String,
    /// What the earlier recording has.
    pub a: Figure,
    /// What the later recording has.
    pub b: Figure,
    /// Exchanges that show it, at most three.
    pub examples: Vec<Example>,
}

/// An exchange that shows a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// The side that it is of: `a` is the earlier one.
    pub side: char,
    /// The exchange.
    pub exchange: ExchangeId,
}

/// What one side has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Figure {
    /// So many of so many.
    Share {
        /// How many have it.
        count: u64,
        /// How many there are.
        of: u64,
    },
    /// A number.
    Count(u64),
    /// Latencies; `None` without calls.
    Latency(Option<Latency>),
    /// The types of a value, as in JSON Schema.
    Types(Vec<String>),
    /// Runs through the pages of a list.
    Pages(Run),
}

/// Runs through the pages of a list: the same request, page by page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// How often the first page was read.
    pub runs: u64,
    /// For each page the fewest and the most items it had, at most the first hundred pages.
    pub items: Vec<(u64, u64)>,
    /// How many pages the longest run had.
    pub pages: u64,
}
