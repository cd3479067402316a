//! Where the responses came from, and whether the record is unaltered.

use std::collections::BTreeMap;

use nightaudit_exchange::{Destination, ExchangeId, FaultEnding, Import};
use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// Where a session's responses came from, and whether that is proven.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The origin.
    pub standing: OriginStatus,
    /// The origin in words: `Answered by api.mews-demo.com over TLS`, `Not Mews: http://127.0.0.1:8090`.
    pub statement: String,
    /// Hosts that requests were sent to, most used first. At most 20.
    pub hosts: Vec<HostReview>,
    /// Requests that were sent, including responses without a recorded origin.
    pub sent: u64,
    /// Responses without a recorded origin.
    pub untold: u64,
    /// What the import found, by the log or the exchanges; `None` if recorded here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Import>,
    /// Exchanges with injected faults; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultReview>,
    /// Recorded times compared with Mews' `Date`.
    pub dates: DateReview,
    /// Why the record proves less than it claims, a sentence each. Empty if there are no doubts.
    pub doubts: Vec<String>,
}

impl Provenance {
    /// The provenance of exchanges from an unsigned file: their origin is only a claim.
    #[must_use]
    pub fn claimed(mut self) -> Self {
        if matches!(self.standing, OriginStatus::Demo | OriginStatus::Mews) {
            self.standing = OriginStatus::Claimed;
            self.statement = self.statement.replacen("Answered by", "Claims to be answered by", 1);
            self.doubts.push("The file is not signed, so anyone could have recomputed its hashes.".to_owned());
        }
        self
    }

    /// Whether it is proven: all responses came from Mews, and there are no doubts.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.standing, OriginStatus::Demo | OriginStatus::Mews) && self.doubts.is_empty()
    }
}

/// The origin of a session's responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginStatus {
    /// Nothing was sent, or nothing that was sent to Mews was answered: there is no response whose origin could be told.
    #[default]
    Nobody,
    /// All from Mews Demo, over TLS with certificates of public authorities.
    Demo,
    /// All from Mews, not only from its demo environment.
    Mews,
    /// Some from a host that isn't Mews'.
    NotMews,
    /// From Mews' host names, but not all certificates are from public authorities.
    NotVouched,
    /// The exchanges name Mews, but were imported or come from an unsigned file: anyone who can edit it can write that.
    Claimed,
    /// Some responses have no recorded origin: an earlier version recorded them.
    NotRecorded,
}

/// A host that requests were sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReview {
    /// The connection: address, TLS, corporate proxy. The TCP peer is that of the first one.
    pub destination: Destination,
    /// The host's Mews environment; `None` if it isn't Mews'.
    pub environment: Option<String>,
    /// Requests sent to it.
    pub calls: u64,
    /// The first of them.
    pub exchange: ExchangeId,
}

/// Exchanges with injected faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultReview {
    /// All of them.
    pub exchanges: u64,
    /// How many were delayed before they were sent or got their made-up response.
    pub delayed: u64,
    /// How many had the body of their response slowed down.
    pub slowed: u64,
    /// How many got what instead of Mews' response or of the rest of it: a status, `reset` or `truncated`.
    pub endings: BTreeMap<FaultEnding, u64>,
}

/// Recorded times compared with the `Date` header of responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DateReview {
    /// Responses with a `Date`.
    pub checked: u64,
    /// Those whose `Date` differs from the recorded time by more than the tolerance.
    pub off: u64,
    /// The largest difference in seconds; positive if `Date` is later than the recorded time.
    pub most_s: i64,
    /// The tolerance in seconds.
    pub tolerance_s: u64,
}

/// A point that Mews checks, and whether the session passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its id: `limits`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether it passed.
    pub state: CheckState,
    /// The figure it was judged by, or why it was not judged.
    pub figure: String,
    /// The rules of warnings and errors that fail it, including silenced ones.
    pub rules: Vec<Rule>,
    /// The silenced ones of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silenced: Vec<Rule>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// No warnings or errors.
    Passed,
    /// At least one warning or error, silenced or not.
    Failed,
    /// Nothing to judge it by.
    NotJudged,
}
