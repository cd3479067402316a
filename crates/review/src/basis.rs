//! What a session is reviewed against.

use nightaudit_exchange::Digest;
use nightaudit_mews::Contracts;

use crate::{Declaration, RequestLimit, Reviewer, SessionFacts};

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
