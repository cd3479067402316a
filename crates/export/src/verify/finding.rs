//! What a verification finds.

use std::fmt;

use nightaudit_exchange::{Exchange, ExchangeId};
use serde::Serialize;

/// Something that is not as it was when it was recorded or exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was done to it, as far as one can tell.
    pub kind: FindingKind,
    /// The file in which it shows; none for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The exchange, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
    /// A sentence for a person.
    pub what: String,
}

/// The kinds of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// It has another content than it had.
    Altered,
    /// It was there and is no longer.
    Missing,
    /// It was not there, or not there twice.
    Inserted,
    /// It stood in another place.
    Reordered,
    /// It can't be read.
    Unreadable,
    /// It is not signed, or not by the key that was asked for.
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

/// The findings, up to a bound: a file of which nothing is right has no end of them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// The most that are kept; the verification ends there.
    pub(super) const MOST: usize = 1_000;

    pub(super) fn add(&mut self, kind: FindingKind, file: Option<&str>, what: impl fmt::Display) {
        self.push(Finding { kind, file: file.map(str::to_owned), exchange: None, what: what.to_string() });
    }

    /// Of an exchange; `what` goes on after its name.
    pub(super) fn of(&mut self, kind: FindingKind, file: Option<&str>, named: &Named, what: impl fmt::Display) {
        let what = format!("exchange {named} {what}");
        self.push(Finding { kind, file: file.map(str::to_owned), exchange: Some(named.id), what });
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

/// An exchange as a person finds it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: ExchangeId,
    sequence: u64,
    session: String,
}

impl Named {
    pub(super) fn of(exchange: &Exchange) -> Self {
        Self { id: exchange.id, sequence: exchange.sequence, session: shown(&exchange.session_name) }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {})", self.id, self.sequence, self.session)
    }
}

/// A text from a file on one line of a terminal, whoever wrote it.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = crate::text::printable(text).chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
