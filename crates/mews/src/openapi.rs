//! Contracts from an OpenAPI document, such as Mews' current one.
//!
//! The document is read into the built-in model. It adds to that, and replaces only what it states: a property's type,
//! whether it is required, and its limits. Properties, rules and dates that it lacks stay.

mod flat;
mod merge;

use std::collections::BTreeSet;

use serde_json::Value;
use thiserror::Error;

use crate::address::OPERATION_PREFIX;
use crate::catalogue::Catalogue;
use crate::check::{Finding, check_request, without_mark};
use flat::Unusable;

/// The contracts of an OpenAPI document on top of a catalogue's.
#[derive(Debug)]
pub struct OpenApi {
    catalogue: Catalogue,
    /// The paths of the document's own operations.
    own: BTreeSet<Box<str>>,
}

/// A document that can't be used as contracts.
#[derive(Debug, Error)]
pub enum InvalidOpenApi {
    /// It starts like JSON and isn't valid JSON.
    #[error("the OpenAPI document is broken JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// It is neither JSON nor YAML; the reason, on one line.
    #[error("the OpenAPI document is neither JSON nor YAML: {0}")]
    Yaml(String),
    /// It has no path below `/api/connector/v1/` that takes JSON.
    #[error("the OpenAPI document has no operation below {OPERATION_PREFIX}; is it that of the Connector API?")]
    NoOperations,
    /// Its schemas reference each other so often that reading them would take too long.
    #[error("the OpenAPI document can't be used: its schemas take more than {MOST_STEPS} steps to read")]
    TooMuch,
    /// The schema of a request can't be used.
    #[error("the OpenAPI document's schema of the request to {operation} can't be used: {reason}")]
    Schema {
        /// The request's operation.
        operation: String,
        /// What is wrong with its schema.
        reason: String,
    },
}

/// The most schemas that are visited, counting each reference. Mews' own document takes about ten thousand.
const MOST_STEPS: u32 = 500_000;

impl OpenApi {
    /// Reads an OpenAPI 3 document, in JSON or YAML, on top of the built-in catalogue.
    ///
    /// # Errors
    ///
    /// See [`InvalidOpenApi`]. Schemas outside of the document are never fetched: a reference to one is an error.
    pub fn read(document: &[u8]) -> Result<Self, InvalidOpenApi> {
        Self::read_over(document, Catalogue::built_in())
    }

    /// Like [`read`](Self::read), on top of another catalogue.
    pub(crate) fn read_over(document: &[u8], base: &Catalogue) -> Result<Self, InvalidOpenApi> {
        let document = tree(document)?;
        let paths = document.get("paths").and_then(Value::as_object);
        let mut reader = merge::Reader::new(&document, MOST_STEPS);
        let mut operations = Vec::new();
        for (address, methods) in paths.into_iter().flatten() {
            let Some(path) = address.strip_prefix(OPERATION_PREFIX).filter(|path| !path.is_empty()) else { continue };
            let Some(described) = methods.get("post") else { continue };
            let Some(schema) = described.pointer("/requestBody/content/application~1json/schema") else { continue };
            match reader.operation(path, described, schema, base) {
                Ok(operation) => operations.push(operation),
                Err(Unusable::TooMuch) => return Err(InvalidOpenApi::TooMuch),
                Err(Unusable::Because(reason)) => {
                    return Err(InvalidOpenApi::Schema { operation: path.to_owned(), reason });
                }
            }
        }
        if operations.is_empty() {
            return Err(InvalidOpenApi::NoOperations);
        }
        let own = operations.iter().map(|operation| operation.path.clone()).collect();
        Ok(Self { catalogue: base.with(operations), own })
    }

    /// The paths of the document's operations, in its order.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(|path| &**path)
    }

    /// Whether the document has the operation at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.own.contains(path)
    }

    /// Everything in `body` that violates the operation at `path`; `None` if the document lacks the
    /// operation. The findings are those of [`check_request`].
    pub fn check_request(&self, path: &str, body: &[u8]) -> Option<Vec<Finding>> {
        self.catalogue.operation(path).filter(|_| self.has(path)).map(|operation| check_request(operation, body))
    }

    /// The document's operations, and those of the underlying catalogue that it lacks.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    pub(crate) fn into_catalogue(self) -> Catalogue {
        self.catalogue
    }
}

/// The document as a tree. JSON is parsed as JSON: most documents are, and it takes a tenth of the time.
fn tree(document: &[u8]) -> Result<Value, InvalidOpenApi> {
    let document = without_mark(document);
    if document.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(document).map_err(InvalidOpenApi::Json);
    }
    // The library's default size limits are meant for configuration files; those on depth and aliases stay. Booleans are
    // those of YAML 1.2, in which the country code `NO` is a string.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 10_000_000, max_nodes: 5_000_000 },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(document, options)
        .map_err(|error| InvalidOpenApi::Yaml(error.to_string().lines().next().unwrap_or_default().to_owned()))
}
