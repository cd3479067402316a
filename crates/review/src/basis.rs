//! What a session is reviewed against, and what its log knows of it besides its exchanges.

use nightaudit_exchange::{Digest, Import, Missing};
use nightaudit_log::Session;
use nightaudit_mews::Contracts;

use crate::{Declaration, RequestLimit, Reviewer};

/// What every session is reviewed against. With the same basis, declaration and record, all reviews are equal, wherever
/// they are made.
///
/// The default is the built-in documentation and no limits besides the one that Mews publishes.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// The documentation that requests are checked against.
    pub contracts: Contracts,
    /// The SHA-256 of newer documentation that `contracts` were read from; `None` for the built-in one.
    pub updated: Option<Digest>,
    /// The SHA-256 of the OpenAPI document on top of it; `None` without one.
    pub openapi: Option<Digest>,
    /// Limits that requests are checked against, besides the one that Mews publishes.
    pub limits: Vec<RequestLimit>,
}

/// What a log knows of a session besides its exchanges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// How many exchanges are known to have passed unrecorded.
    pub unrecorded: u64,
    /// What its import found; `None` if it was recorded here.
    pub imported: Option<Import>,
    /// The recorded exchanges that are no longer in the log; `None` for none.
    pub missing: Option<Missing>,
}

impl From<&Session> for SessionFacts {
    fn from(session: &Session) -> Self {
        let missing = (session.missing > 0).then(|| session.missing_exchanges());
        Self { unrecorded: session.unrecorded, imported: session.imported, missing }
    }
}

impl Basis {
    /// A reviewer for a session with this declaration, of which the log knows these facts.
    #[must_use]
    pub fn reviewer(&self, declaration: Declaration, facts: &SessionFacts) -> Reviewer {
        let reviewer = Reviewer::new(declaration).with_contracts(self.contracts.clone());
        let mut reviewer = reviewer.with_limits(self.limits.iter().cloned());
        reviewer.set_facts(facts);
        reviewer
    }
}
