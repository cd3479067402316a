//! Contracts out of an OpenAPI document, for somebody who has Mews' current one.
//!
//! The document is read into the same model as what is built in. It adds to that and replaces only what it says: of a
//! field that it has, its type, its being required and its limits; fields, rules and dates that it doesn't know stay.

mod flat;
mod merge;

use std::collections::BTreeSet;

use serde_json::Value;
use thiserror::Error;

use crate::address::OPERATION_PREFIX;
use crate::catalogue::Catalogue;
use crate::check::{Finding, check_request, without_mark};
use flat::Unusable;

/// The contracts of an OpenAPI document, over those of a catalogue.
#[derive(Debug)]
pub struct OpenApi {
    catalogue: Catalogue,
    /// The paths of the document's own operations.
    own: BTreeSet<Box<str>>,
}

/// Why a document can't serve as contracts.
#[derive(Debug, Error)]
pub enum InvalidOpenApi {
    /// It begins as JSON does and is none.
    #[error("the OpenAPI document is broken JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// It is neither JSON nor YAML. The reason is on one line.
    #[error("the OpenAPI document is neither JSON nor YAML: {0}")]
    Yaml(String),
    /// It has no path below `/api/connector/v1/` that takes JSON.
    #[error("the OpenAPI document has no operation below {OPERATION_PREFIX}; is it that of the Connector API?")]
    NoOperations,
    /// Its schemas refer to each other so often that reading them would not end in a reasonable time.
    #[error("the OpenAPI document can't be used: its schemas take more than {MOST_STEPS} steps to read")]
    TooMuch,
    /// The schema of a request can't be understood.
    #[error("the OpenAPI document's schema of the request to {operation} can't be used: {reason}")]
    Schema {
        /// The operation whose request it is.
        operation: String,
        /// What is wrong with its schema.
        reason: String,
    },
}

/// How many schemas are looked at, each time that one is referred to in another context counted. Mews' own document takes
/// some ten thousand.
const MOST_STEPS: u32 = 500_000;

impl OpenApi {
    /// Reads a document of OpenAPI 3, in JSON or YAML, over the built-in catalogue.
    ///
    /// # Errors
    ///
    /// See [`InvalidOpenApi`]. Schemas outside of the document are never fetched: a reference to one is an error.
    pub fn read(document: &[u8]) -> Result<Self, InvalidOpenApi> {
        Self::read_over(document, Catalogue::built_in())
    }

    /// As [`read`](Self::read), over another catalogue.
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

    /// The paths of the operations that the document has, in their order.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(|path| &**path)
    }

    /// Whether the document has the operation at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.own.contains(path)
    }

    /// Everything in `body` that doesn't fit what the operation at `path` takes; `None` where the document doesn't
    /// have the operation. The findings are those of [`check_request`].
    pub fn check_request(&self, path: &str, body: &[u8]) -> Option<Vec<Finding>> {
        self.catalogue.operation(path).filter(|_| self.has(path)).map(|operation| check_request(operation, body))
    }

    /// The document's operations, and for those that it doesn't have the ones that it was read over.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    pub(crate) fn into_catalogue(self) -> Catalogue {
        self.catalogue
    }
}

/// The document as a tree. What is JSON is read as such: most documents are, and it takes a tenth of the time.
fn tree(document: &[u8]) -> Result<Value, InvalidOpenApi> {
    let document = without_mark(document);
    if document.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(document).map_err(InvalidOpenApi::Json);
    }
    // The library's own bounds are for configurations; those on depth, aliases and their copies stay as they are. Country
    // codes stand in lists of values: the booleans are those of YAML 1.2, in which `NO` is a string.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 10_000_000, max_nodes: 5_000_000 },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(document, options)
        .map_err(|error| InvalidOpenApi::Yaml(error.to_string().lines().next().unwrap_or_default().to_owned()))
}
