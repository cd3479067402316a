//! The contracts that requests are checked against: the built-in catalogue, an updated one, or an OpenAPI document on top.

use std::sync::Arc;

use jiff::civil::DateTime;
use nightaudit_exchange::{Exchange, Pseudonym};

use crate::REVISION;
use crate::catalogue::{Catalogue, Operation, Suggestion};
use crate::check::{Finding, check_sent};
use crate::docs::InvalidDocs;
#[cfg(feature = "openapi")]
use crate::openapi::{InvalidOpenApi, OpenApi};

/// The contracts of all operations. Cheap to clone.
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
    /// `None` for the built-in catalogue.
    catalogue: Option<Arc<Catalogue>>,
    revision: Option<Arc<str>>,
}

impl Contracts {
    /// The built-in contracts.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Contracts from a text in the format of this crate's data, as [`Docs::data`](crate::docs::Docs::data) returns it, and
    /// their revision. For properties that still exist, disputes and rules that the built-in catalogue took from prose are
    /// kept.
    ///
    /// # Errors
    ///
    /// [`InvalidDocs`] with the reason in one line.
    pub fn from_data(data: &str, revision: &str) -> Result<Self, InvalidDocs> {
        let mut catalogue = Catalogue::from_data(data)?;
        catalogue.keep_words_of(Catalogue::built_in());
        Ok(Self { catalogue: Some(Arc::new(catalogue)), revision: Some(revision.into()) })
    }

    /// Contracts of an OpenAPI document (JSON or YAML) on top of the built-in ones: the document adds to them and replaces
    /// only what it describes.
    ///
    /// # Errors
    ///
    /// [`InvalidOpenApi`] with the reason in one line.
    #[cfg(feature = "openapi")]
    pub fn from_openapi(document: &[u8]) -> Result<Self, InvalidOpenApi> {
        Self::built_in().with_openapi(document)
    }

    /// These contracts with an OpenAPI document on top.
    ///
    /// # Errors
    ///
    /// As [`from_openapi`](Self::from_openapi).
    #[cfg(feature = "openapi")]
    pub fn with_openapi(&self, document: &[u8]) -> Result<Self, InvalidOpenApi> {
        let read = OpenApi::read_over(document, self.catalogue())?;
        Ok(Self { catalogue: Some(Arc::new(read.into_catalogue())), revision: self.revision.clone() })
    }

    /// The same contracts, labeled with `revision`.
    #[must_use]
    pub fn of_revision(self, revision: &str) -> Self {
        Self { revision: Some(revision.into()), ..self }
    }

    /// The catalogue of operations.
    pub fn catalogue(&self) -> &Catalogue {
        self.catalogue.as_deref().unwrap_or_else(|| Catalogue::built_in())
    }

    /// The documentation's revision: a date, or a name given by the user.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(REVISION)
    }

    /// The operation at exactly `path`.
    pub fn operation(&self, path: &str) -> Option<&Operation> {
        self.catalogue().operation(path)
    }

    /// The operation most likely meant by the unknown `path`.
    pub fn suggest(&self, path: &str) -> Option<Suggestion<'_>> {
        self.catalogue().suggest(path)
    }

    /// Whether there is an operation at exactly `operation`, which is what follows `/api/connector/v1/`.
    pub fn has(&self, operation: &str) -> bool {
        self.operation(operation).is_some()
    }

    /// Every mismatch between `body` and `operation`: see [`check_request`](crate::check_request).
    ///
    /// Unknown operations have no findings.
    pub fn check(&self, operation: &str, body: &[u8]) -> Vec<Finding> {
        self.check_sent(operation, body, None)
    }

    /// Every mismatch of a recorded request, relative to the time at which it was sent. A request that isn't recorded whole has
    /// none.
    pub fn check_exchange(&self, exchange: &Exchange) -> Vec<Finding> {
        if !exchange.has_whole_request() {
            return Vec::new();
        }
        let sent = exchange.started_at.to_string().strip_suffix('Z').and_then(|sent| sent.parse().ok());
        let mut findings = self.check_sent(&exchange.operation, &exchange.request.body.decoded().0, sent);
        // Text with a redacted part is not what was sent.
        findings.retain(|finding| !finding.found.contains(Pseudonym::PREFIX));
        findings
    }

    /// Like [`check`](Self::check), for a request sent at `sent` (UTC), relative to which some times are limited.
    pub fn check_sent(&self, operation: &str, body: &[u8], sent: Option<DateTime>) -> Vec<Finding> {
        self.operation(operation).map(|operation| check_sent(operation, body, sent)).unwrap_or_default()
    }
}
