//! Checks a declaration's keys before its values, so that an error can name the line of an unknown key.

use toml::de::{DeTable, DeValue};

use super::DeclarationError;
use crate::rule::Rule;

const KEYS: &[&str] = &[
    "partner",
    "contact",
    "kind",
    "integration",
    "client",
    "use_case",
    "pilot",
    "webhooks",
    "websocket",
    "every_hours",
    "domains",
    "operations",
    "leave_out",
    "rules",
];
const RULE_KEYS: &[&str] = &["severity", "silence", "operations", "reason"];

/// Checks that all keys are known.
pub(super) fn check(text: &str) -> Result<(), DeclarationError> {
    let document = DeTable::parse(text).map_err(|error| DeclarationError {
        line: error.span().map(|span| line_of(text, span.start)),
        message: error.message().trim_end().replace('\n', " "),
    })?;
    for (key, value) in document.get_ref() {
        known(text, key.get_ref(), key.span().start, KEYS, "a declaration")?;
        if let ("rules", DeValue::Table(rules)) = (&**key.get_ref(), value.get_ref()) {
            for (key, change) in rules {
                let rule = key.get_ref().parse::<Rule>();
                rule.map_err(|error| DeclarationError {
                    line: Some(line_of(text, key.span().start)),
                    message: error.to_string(),
                })?;
                if let DeValue::Table(change) = change.get_ref() {
                    for key in change.keys() {
                        known(text, key.get_ref(), key.span().start, RULE_KEYS, "a rule")?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn known(text: &str, key: &str, at: usize, keys: &[&str], of: &str) -> Result<(), DeclarationError> {
    if keys.contains(&key) {
        return Ok(());
    }
    let likeness = |own: &&str| strsim::jaro_winkler(key, own);
    let nearest = keys.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|own| likeness(own) > 0.8);
    let message = match nearest {
        Some(nearest) => format!("`{key}` is not a key of {of}: did you mean `{nearest}`?"),
        None => format!("`{key}` is not a key of {of}; valid ones are {}", keys.join(", ")),
    };
    Err(DeclarationError { line: Some(line_of(text, at)), message })
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// The first line that contains a key.
pub(super) fn line_with(text: &str, key: &str) -> Option<usize> {
    text.lines().position(|line| !line.trim_start().starts_with('#') && line.contains(key)).map(|line| line + 1)
}
