//! Types as written in the data, and errors in the data.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::field::InvalidLine;

/// An error in the data.
#[derive(Debug, Error)]
pub(crate) enum InvalidData {
    #[error("{file}: {error}")]
    Toml { file: String, error: Box<toml::de::Error> },
    #[error("`{0}` is defined twice")]
    Twice(String),
    #[error("`{0}` is defined and never used")]
    Unused(String),
    #[error("{owner}: the line `{line}` can't be read: {error}")]
    Line { owner: String, line: String, error: InvalidLine },
    #[error("{owner}: {field} has the kind `{kind}`, which is defined nowhere")]
    UnknownKind { owner: String, field: String, kind: String },
    #[error("{owner}: {field} has the rule `{rule}`, which its kind can't have")]
    Misplaced { owner: String, field: String, rule: &'static str },
    #[error("`{0}` contains itself")]
    Recursive(String),
    #[error("`{0}` has more fields than can be checked")]
    TooManyFields(String),
    #[error("`{0}` has more rules than can be checked")]
    TooManyRules(String),
    #[error("{owner} names the operation `{path}`, which there is not")]
    UnknownOperation { owner: String, path: String },
    #[error("{0} has a date that there is not, or a date of the end without one of the deprecation")]
    Dates(String),
}

impl InvalidData {
    pub(super) fn line((owner, line): (String, String), error: InvalidLine) -> Self {
        Self::Line { owner, line, error }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectSource {
    #[serde(default)]
    pub(super) interval: bool,
    pub(super) fields: String,
    #[serde(default)]
    pub(super) rules: String,
    #[serde(default)]
    pub(super) disputed: BTreeMap<String, Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnumSource {
    pub(super) values: Vec<Box<str>>,
    #[serde(default)]
    pub(super) deprecated: Vec<Box<str>>,
    #[serde(default)]
    pub(super) open: bool,
}
