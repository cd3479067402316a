//! Contracts out of an OpenAPI document, for somebody who has Mews' current one.

use std::collections::HashMap;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, JsonType, Registry, ValidationError, Validator};
use serde_json::{Value, json};
use thiserror::Error;

use crate::address::OPERATION_PREFIX;
use crate::check::{Finding, FindingKind, Report, without_mark};

/// The name under which the document's parts refer to each other. Nothing is ever fetched.
const DOCUMENT: &str = "urn:nightaudit:openapi";

/// The contracts of an OpenAPI document, in place of the catalogue's.
///
/// Each request's schema is compiled once, when the document is read. To check a request, its body is built as a tree,
/// which the catalogue's own contracts don't need.
#[derive(Debug)]
pub struct OpenApi {
    /// By what follows `/api/connector/v1/`.
    requests: HashMap<String, Validator>,
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
    /// It can't be understood as a whole.
    #[error("the OpenAPI document can't be used: {0}")]
    Document(String),
    /// The schema of a request can't be understood.
    #[error("the OpenAPI document's schema of the request to {operation} can't be used: {reason}")]
    Schema {
        /// The operation whose request it is.
        operation: String,
        /// What is wrong with its schema.
        reason: String,
    },
}

impl OpenApi {
    /// Reads a document of OpenAPI 3, in JSON or YAML.
    ///
    /// # Errors
    ///
    /// See [`InvalidOpenApi`]. Schemas outside of the document are never fetched: a reference to one is an error.
    pub fn read(document: &[u8]) -> Result<Self, InvalidOpenApi> {
        let mut document = tree(document)?;
        // Up to 3.0 a schema is a draft 4 with a null of its own, since 3.1 it is one of 2020-12.
        let draft = if document["openapi"].as_str().is_some_and(|version| version.starts_with("3.0")) {
            allow_nulls(&mut document);
            Draft::Draft4
        } else {
            Draft::Draft202012
        };
        let schemas: Vec<(String, String)> =
            document["paths"].as_object().into_iter().flatten().filter_map(schema).collect();
        if schemas.is_empty() {
            return Err(InvalidOpenApi::NoOperations);
        }
        let unusable = |error: jsonschema::ReferencingError| InvalidOpenApi::Document(error.to_string());
        let registry =
            Registry::new().draft(draft).add(DOCUMENT, document).map_err(unusable)?.prepare().map_err(unusable)?;
        let options = jsonschema::options().with_draft(draft).with_registry(&registry).should_validate_formats(true);
        let mut requests = HashMap::new();
        for (operation, pointer) in schemas {
            match options.build(&json!({ "$ref": format!("{DOCUMENT}#{pointer}") })) {
                Ok(validator) => drop(requests.insert(operation, validator)),
                Err(error) => return Err(InvalidOpenApi::Schema { operation, reason: error.to_string() }),
            }
        }
        Ok(Self { requests })
    }

    /// The paths of the operations that the document has, in no order.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.requests.keys().map(String::as_str)
    }

    /// Whether the document has the operation at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.requests.contains_key(path)
    }

    /// Everything in `body` that doesn't fit what the operation at `path` takes; `None` where the document doesn't
    /// have the operation.
    ///
    /// As with [`check_request`](crate::check_request), findings are bounded in number and hold no values of the body.
    pub fn check_request(&self, path: &str, body: &[u8]) -> Option<Vec<Finding>> {
        let validator = self.requests.get(path)?;
        let mut report = Report::default();
        match serde_json::from_slice::<Value>(without_mark(body)) {
            Ok(body) => validator.iter_errors(&body).for_each(|error| tell(&error, &mut report)),
            Err(error) => report.broken(&error),
        }
        Some(report.into_findings())
    }
}

/// The document as a tree. What is JSON is read as such: most documents are, and it takes a tenth of the time.
fn tree(document: &[u8]) -> Result<Value, InvalidOpenApi> {
    let document = without_mark(document);
    if document.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(document).map_err(InvalidOpenApi::Json);
    }
    // The library's own bounds are for configurations; those on depth, aliases and their copies stay as they are.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 10_000_000, max_nodes: 5_000_000 },
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(document, options)
        .map_err(|error| InvalidOpenApi::Yaml(error.to_string().lines().next().unwrap_or_default().to_owned()))
}

/// An operation and the JSON pointer of its request's schema.
fn schema((address, methods): (&String, &Value)) -> Option<(String, String)> {
    let operation = address.strip_prefix(OPERATION_PREFIX)?;
    methods.pointer("/post/requestBody/content/application~1json/schema")?;
    let address = percent(&address.replace('~', "~0").replace('/', "~1"));
    Some((operation.to_owned(), format!("/paths/{address}/post/requestBody/content/application~1json/schema")))
}

/// Escapes what may not stand in the fragment of a URI.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Says `nullable: true` in the words of JSON Schema. As deep as the document, which serde_json bounds.
fn allow_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(allow_nulls),
        Value::Object(map) => {
            map.values_mut().for_each(allow_nulls);
            if map.get("nullable").and_then(Value::as_bool) == Some(true) {
                map.remove("nullable");
                let schema = Value::Object(std::mem::take(map));
                map.insert("anyOf".to_owned(), json!([{ "type": "null" }, schema]));
            }
        }
        _ => {}
    }
}

/// Adds what a validator has found. Values of the body are masked, as they may be secrets.
fn tell(error: &ValidationError<'_>, report: &mut Report) {
    let pointer = error.instance_path().to_string();
    let below = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    let masked = || error.masked_with("it").to_string();
    let found = || type_of(error.instance().as_ref()).to_owned();
    let kind = match error.kind() {
        // Of a value that may be null, the errors of what it else has to be say more than that it is not null.
        ValidationErrorKind::AnyOf { context } if context.len() == 2 => {
            let mut branches = context.iter().filter(|branch| !is_not_null(branch));
            if let (Some(branch), None) = (branches.next(), branches.next()) {
                return branch.iter().for_each(|error| tell(error, report));
            }
            FindingKind::Schema
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            return report.add_at(FindingKind::MissingField, || below(name), || "a field".into(), || "nothing".into());
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            for name in unexpected {
                let expected = || "no field of this name".to_owned();
                report.add_at(FindingKind::UnknownField, || below(name), expected, || "a field".to_owned());
            }
            return;
        }
        ValidationErrorKind::Type { .. } => FindingKind::WrongType,
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => FindingKind::UnknownValue,
        ValidationErrorKind::MaxItems { .. } => FindingKind::TooManyItems,
        ValidationErrorKind::MaxLength { .. } => FindingKind::TooManyCharacters,
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. } => FindingKind::OutOfRange,
        ValidationErrorKind::Format { format } if format.starts_with("date") => FindingKind::MalformedTime,
        _ => FindingKind::Schema,
    };
    report.add_at(kind, || pointer.clone(), masked, found);
}

/// Whether a branch only wanted a null.
fn is_not_null(branch: &[ValidationError<'static>]) -> bool {
    let [error] = branch else { return false };
    matches!(error.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
