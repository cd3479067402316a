//! Where the answers came from, and whether the record is what was recorded.

use nightaudit_exchange::{Destination, ExchangeId, Import};
use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// Where the answers of a session came from, and whether that can be believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What it comes to.
    pub standing: OriginStatus,
    /// The same in words: `Answered by api.mews-demo.com over TLS`, `Not Mews: http://127.0.0.1:8090`.
    pub statement: String,
    /// Each host that requests were sent to, the most used first. At most 20.
    pub hosts: Vec<HostReview>,
    /// Requests that were sent, and answers whose origin isn't recorded.
    pub sent: u64,
    /// Answers whose origin isn't recorded.
    pub untold: u64,
    /// What was found when the session was imported, as its log or the exchanges say; none for what was recorded here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Import>,
    /// The recorded times held against Mews' `Date`.
    pub dates: DateReview,
    /// Why the record proves less than it seems to, a sentence each. Empty where there is nothing to doubt.
    pub doubts: Vec<String>,
}

impl Provenance {
    /// The same of exchanges that come in a file which nobody signed: what they say of their origin is a claim.
    #[must_use]
    pub fn claimed(mut self) -> Self {
        if matches!(self.standing, OriginStatus::Demo | OriginStatus::Mews) {
            self.standing = OriginStatus::Claimed;
            self.statement = self.statement.replacen("Answered by", "Said to be answered by", 1);
            self.doubts.push("The file is not signed, and its hashes can be made anew by anybody.".to_owned());
        }
        self
    }

    /// Whether it proves what it says: Mews answered each request, and nothing speaks against the record.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.standing, OriginStatus::Demo | OriginStatus::Mews) && self.doubts.is_empty()
    }
}

/// Who answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginStatus {
    /// Nothing was sent.
    #[default]
    Nobody,
    /// Each request went to Mews Demo, over TLS that public authorities vouch for.
    Demo,
    /// The same of Mews, not only of its demo environment.
    Mews,
    /// Some requests went to a host that isn't Mews'.
    NotMews,
    /// Mews' names, but no public authority vouches for all of the certificates.
    NotVouched,
    /// The exchanges name Mews, and were imported, or stand in a file that nobody signed: whoever can edit it can write
    /// that, too.
    Claimed,
    /// Some answers don't say where they came from: an earlier version recorded them.
    NotRecorded,
}

/// A host that requests were sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReview {
    /// The connection: address, TLS, corporate proxy. What it was connected to by TCP is that of the first.
    pub destination: Destination,
    /// Mews' environment that the host belongs to; none where it isn't Mews'.
    pub environment: Option<String>,
    /// Requests that were sent there.
    pub calls: u64,
    /// The first of them.
    pub exchange: ExchangeId,
}

/// The recorded times, held against the header `Date` of the responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DateReview {
    /// Responses that have a `Date`.
    pub checked: u64,
    /// Those of them whose `Date` is more than the tolerance away from the recorded time.
    pub off: u64,
    /// The most that any was away, in seconds; positive where `Date` is later than the recorded time.
    pub most_s: i64,
    /// The tolerance in seconds.
    pub tolerance_s: u64,
}

/// Something that Mews judges, and whether the session passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What it is called in data: `limits`.
    pub id: String,
    /// What it is called by people.
    pub title: String,
    /// Whether it is passed.
    pub state: CheckState,
    /// The figure that it was judged by, or why it was not.
    pub figure: String,
    /// The rules of warnings and errors that fail it, those that the partner silenced among them.
    pub rules: Vec<Rule>,
    /// Those of them that the partner silenced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silenced: Vec<Rule>,
}

/// Whether a check is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// No warning and no error was raised for it.
    Passed,
    /// At least one was, whether it stands or was silenced.
    Failed,
    /// There was nothing to judge it by.
    NotJudged,
}
