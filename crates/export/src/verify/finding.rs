//! Findings of a verification.

use std::fmt;

use nightaudit_exchange::{Exchange, ExchangeId, Missing};
use serde::Serialize;

pub(super) use crate::text::shown;

/// A difference from what was recorded or exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The kind of change, as far as it can be determined.
    pub kind: FindingKind,
    /// The file concerned; `None` for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The exchange concerned, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
    /// A description for people.
    pub what: String,
}

/// The kinds of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// Its content changed.
    Altered,
    /// It is no longer there.
    Missing,
    /// It was added or duplicated.
    Inserted,
    /// It was moved.
    Reordered,
    /// It can't be read.
    Unreadable,
    /// It is not signed, or not by the expected key.
    Unsigned,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Unreadable => "unreadable",
            Self::Unsigned => "unsigned",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10}  ", self.kind)?;
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What is said of exchanges that a file itself lists as missing. The name in it comes from the file.
pub(super) fn already_lost(missing: Missing) -> String {
    let missing = Missing { session_name: shown(&missing.session_name), ..missing };
    format!("{missing}: already lost from the log when the file was written")
}

/// A bounded list of findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Maximum findings; the verification stops there.
    pub(super) const MOST: usize = 1_000;

    pub(super) fn add(&mut self, kind: FindingKind, file: Option<&str>, what: impl fmt::Display) {
        self.push(Finding { kind, file: file.map(str::to_owned), exchange: None, what: what.to_string() });
    }

    /// Adds a finding about an exchange; `what` continues the sentence after its id.
    pub(super) fn of(&mut self, kind: FindingKind, file: Option<&str>, named: &Named, what: impl fmt::Display) {
        let what = format!("exchange {named} {what}");
        self.push(Finding { kind, file: file.map(str::to_owned), exchange: Some(named.id), what });
    }

    /// Adds those of another list.
    pub(super) fn append(&mut self, other: Self) {
        other.list.into_iter().for_each(|finding| self.push(finding));
    }

    fn push(&mut self, finding: Finding) {
        if !self.is_full() {
            self.list.push(finding);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= Self::MOST
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}

/// Identifies an exchange for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: ExchangeId,
    sequence: u64,
    session: String,
}

impl Named {
    /// The exchange, by what people know its session by.
    pub(super) fn of(exchange: &Exchange, session: String) -> Self {
        Self { id: exchange.id, sequence: exchange.sequence, session }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {})", self.id, self.sequence, self.session)
    }
}
