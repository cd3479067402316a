//! What requests are held against: the built-in catalogue, one that was brought up to date, or a document over either.

use std::sync::Arc;

use jiff::civil::DateTime;

use crate::REVISION;
use crate::catalogue::{Catalogue, Operation, Suggestion};
use crate::check::{Finding, check_sent};
use crate::docs::InvalidDocs;
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
    /// `None` for the built-in one.
    catalogue: Option<Arc<Catalogue>>,
    revision: Option<Arc<str>>,
}

impl Contracts {
    /// Those of the built-in catalogue.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Those of a text in the form of this crate's data, as [`Docs::data`](crate::docs::Docs::data) gives it, with the
    /// revision that they are of. What the built-in catalogue has in doubt stays so, and so does what it knows out of
    /// sentences of the documentation, of fields that are still there.
    ///
    /// # Errors
    ///
    /// [`InvalidDocs`] says in one line why the text can't be used.
    pub fn from_data(data: &str, revision: &str) -> Result<Self, InvalidDocs> {
        let mut catalogue = Catalogue::from_data(data)?;
        catalogue.keep_words_of(Catalogue::built_in());
        Ok(Self { catalogue: Some(Arc::new(catalogue)), revision: Some(revision.into()) })
    }

    /// Those of an OpenAPI document, in JSON or YAML, over the built-in ones: the document adds to them and replaces only
    /// what it says.
    ///
    /// # Errors
    ///
    /// [`InvalidOpenApi`] says in one line why the document can't be used.
    #[cfg(feature = "openapi")]
    pub fn from_openapi(document: &[u8]) -> Result<Self, InvalidOpenApi> {
        Self::built_in().with_openapi(document)
    }

    /// These contracts with those of an OpenAPI document over them.
    ///
    /// # Errors
    ///
    /// As [`from_openapi`](Self::from_openapi).
    #[cfg(feature = "openapi")]
    pub fn with_openapi(&self, document: &[u8]) -> Result<Self, InvalidOpenApi> {
        let read = OpenApi::read_over(document, self.catalogue())?;
        Ok(Self { catalogue: Some(Arc::new(read.into_catalogue())), revision: self.revision.clone() })
    }

    /// The same contracts, said to be of `revision`.
    #[must_use]
    pub fn of_revision(self, revision: &str) -> Self {
        Self { revision: Some(revision.into()), ..self }
    }

    /// The operations, and what they take.
    pub fn catalogue(&self) -> &Catalogue {
        self.catalogue.as_deref().unwrap_or_else(|| Catalogue::built_in())
    }

    /// The revision of the documentation that they are of: a day, or what somebody called it.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(REVISION)
    }

    /// The operation at exactly `path`.
    pub fn operation(&self, path: &str) -> Option<&Operation> {
        self.catalogue().operation(path)
    }

    /// The operation that somebody who called the unknown `path` is likely to have meant.
    pub fn suggest(&self, path: &str) -> Option<Suggestion<'_>> {
        self.catalogue().suggest(path)
    }

    /// Whether there is an operation at exactly `operation`, which is what follows `/api/connector/v1/`.
    pub fn has(&self, operation: &str) -> bool {
        self.operation(operation).is_some()
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
        self.operation(operation).map(|operation| check_sent(operation, body, sent)).unwrap_or_default()
    }
}
