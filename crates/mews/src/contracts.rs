//! What requests are held against: the catalogue, or a document that somebody supplies.

#[cfg(feature = "openapi")]
use std::sync::Arc;

use crate::catalogue;
use jiff::civil::DateTime;

use crate::check::{Finding, check_sent};
#[cfg(feature = "openapi")]
use crate::openapi::{InvalidOpenApi, OpenApi};

/// The contracts of all operations. Cheap to clone: clones share what was read.
///
/// ```
/// use nightaudit_mews::{Contracts, FindingKind};
///
/// let contracts = Contracts::built_in();
/// let findings = contracts.check("accountNotes/delete", b"{}");
/// assert!(findings.iter().all(|finding| finding.kind == FindingKind::MissingField));
/// assert_eq!(findings.len(), 4);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Contracts {
    #[cfg(feature = "openapi")]
    supplied: Option<Arc<OpenApi>>,
}

impl Contracts {
    /// Those of the built-in catalogue.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Those of an OpenAPI document, in JSON or YAML, and for operations that it doesn't have the built-in ones: those
    /// of Mews' betas may be missing from its document.
    ///
    /// # Errors
    ///
    /// [`InvalidOpenApi`] says in one line why the document can't be used.
    #[cfg(feature = "openapi")]
    pub fn from_openapi(document: &[u8]) -> Result<Self, InvalidOpenApi> {
        Ok(Self { supplied: Some(Arc::new(OpenApi::read(document)?)) })
    }

    /// Whether there is an operation at exactly `operation`, which is what follows `/api/connector/v1/`.
    pub fn has(&self, operation: &str) -> bool {
        #[cfg(feature = "openapi")]
        if self.supplied.as_ref().is_some_and(|supplied| supplied.has(operation)) {
            return true;
        }
        catalogue::operation(operation).is_some()
    }

    /// Everything in `body` that doesn't fit what `operation` takes: see [`check_request`](crate::check_request).
    ///
    /// Of an operation that isn't known nothing can be said, so there are no findings.
    pub fn check(&self, operation: &str, body: &[u8]) -> Vec<Finding> {
        self.check_sent(operation, body, None)
    }

    /// As [`check`](Self::check), of a request that was sent at `sent`, a time in UTC: some times may not be too late
    /// for it.
    pub fn check_sent(&self, operation: &str, body: &[u8], sent: Option<DateTime>) -> Vec<Finding> {
        #[cfg(feature = "openapi")]
        if let Some(findings) = self.supplied.as_ref().and_then(|supplied| supplied.check_request(operation, body)) {
            return findings;
        }
        catalogue::operation(operation).map(|operation| check_sent(operation, body, sent)).unwrap_or_default()
    }
}
