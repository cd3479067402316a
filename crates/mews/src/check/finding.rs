//! Findings of a check and their wording.

use std::fmt;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::{Location, Shape};
use crate::catalogue::{Deprecation, Enum, Object, nearest};

/// Maximum findings per body; further ones are only counted.
const MAX_FINDINGS: usize = 100;

/// Maximum characters of the body quoted in a finding.
const MAX_QUOTE: usize = 60;

/// Maximum enum values listed in a finding.
const MAX_VALUES: usize = 12;

/// A mismatch between a body and its contract.
///
/// `Display` gives a line for a person: `/Limitation/Count: expected 1 to 1000, found 5000`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The kind of mismatch.
    pub kind: FindingKind,
    /// Its position as a JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What the contract expects there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// Why it may be correct after all, where Mews' sources contradict each other. Such a finding is a note at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed: Option<String>,
    /// For deprecated properties and values: the announced date of removal, as `2026-01-10`, if any. May be in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
}

/// The kinds of mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// The body is not JSON, or truncated.
    BrokenJson,
    /// A required property is missing or null.
    MissingField,
    /// A property unknown to the operation; its value isn't checked.
    UnknownField,
    /// A value of the wrong JSON type.
    WrongType,
    /// A string that is not among the values of a closed enum.
    UnknownValue,
    /// An array with more items than allowed.
    TooManyItems,
    /// A string with more characters than allowed.
    TooManyCharacters,
    /// An interval of more months than allowed.
    IntervalTooLong,
    /// A time that is not ISO 8601, or not in UTC where UTC is required.
    MalformedTime,
    /// A number out of range, such as a `Limitation.Count` above 1000.
    OutOfRange,
    /// A deprecated property.
    DeprecatedField,
    /// A deprecated enum value.
    DeprecatedValue,
    /// A property without the one it requires, such as `LanguageCode` without `CultureCode`.
    MissingPartner,
    /// None of several filters of which at least one is required, or a filter that isn't sufficient on its own.
    MissingFilter,
    /// Mutually exclusive properties.
    ExclusiveFields,
    /// An interval that ends before it starts.
    ReversedInterval,
    /// A duration that is not ISO 8601.
    MalformedDuration,
    /// An id that is not a GUID.
    MalformedId,
    /// An array with fewer items than required.
    TooFewItems,
    /// A string with fewer characters than required.
    TooFewCharacters,
    /// A string in the wrong format, such as a currency code in lower case.
    MalformedText,
    /// A property or value that conflicts with another.
    Conflict,
    /// Any other violation of the contract, such as duplicate items.
    Schema,
    /// Too many findings; the rest was only counted.
    More,
}

impl Finding {
    fn new(kind: FindingKind, pointer: String, expected: String, found: String) -> Self {
        Self { kind, pointer, expected, found, disputed: None, ends: None }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "body" } else { &self.pointer };
        write!(f, "{pointer}: expected {}, found {}", self.expected, self.found)
    }
}

/// Collects findings.
#[derive(Default)]
pub(crate) struct Report {
    /// When the request was sent, in UTC; `None` disables checks relative to it.
    pub(super) sent: Option<DateTime>,
    findings: Vec<Finding>,
    omitted: usize,
    stopped_at: Option<String>,
}

impl Report {
    /// Adds a finding; the texts are built only if it is kept.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        location: &Location<'_>,
        expected: impl FnOnce() -> String,
        found: impl FnOnce() -> String,
    ) {
        self.add_at(kind, || location.pointer(), expected, found);
    }

    /// Like [`add`](Self::add), with the pointer given directly.
    pub(crate) fn add_at(
        &mut self,
        kind: FindingKind,
        pointer: impl FnOnce() -> String,
        expected: impl FnOnce() -> String,
        found: impl FnOnce() -> String,
    ) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding::new(kind, pointer(), expected(), found()));
        } else {
            self.omitted += 1;
        }
    }

    /// Like [`add`](Self::add), for contracts that may be disputed.
    pub(super) fn add_disputed(
        &mut self,
        kind: FindingKind,
        location: &Location<'_>,
        texts: impl FnOnce() -> (String, String),
        reason: Option<&str>,
    ) {
        if self.findings.len() < MAX_FINDINGS {
            let (expected, found) = texts();
            let disputed = reason.map(str::to_owned);
            self.findings.push(Finding { disputed, ..Finding::new(kind, location.pointer(), expected, found) });
        } else {
            self.omitted += 1;
        }
    }

    /// Adds a finding about a deprecated property or value, named in `found`.
    pub(super) fn deprecated(&mut self, kind: FindingKind, location: &Location<'_>, what: &Deprecation, found: String) {
        if self.findings.len() < MAX_FINDINGS {
            let what_else = if kind == FindingKind::DeprecatedField { "a property" } else { "a value" };
            let expected = what
                .instead
                .as_deref()
                .map_or_else(|| format!("{what_else} that is not deprecated"), |instead| format!("{instead} instead"));
            let mut found = found;
            match (what.since, what.ends) {
                (Some(since), Some(ends)) => {
                    found.push_str(&format!(", deprecated since {since}, discontinued on {ends}"))
                }
                (Some(since), None) => found.push_str(&format!(", deprecated since {since}")),
                (None, Some(ends)) => found.push_str(&format!(", discontinued on {ends}")),
                (None, None) => {}
            }
            let ends = what.ends.map(|day| day.to_string());
            self.findings.push(Finding { ends, ..Finding::new(kind, location.pointer(), expected, found) });
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn wrong_type(&mut self, location: &Location<'_>, expected: Shape<'_>, found: &str) {
        let reason = expected.single().and_then(|field| field.disputed.as_deref());
        self.add_disputed(FindingKind::WrongType, location, || (expected.to_string(), found.to_owned()), reason);
    }

    pub(super) fn unknown_field(&mut self, location: &Location<'_>, object: &Object, name: &str) {
        let expected = || match nearest(name, &object.fields, |field| &field.name) {
            Some(field) => format!("`{}`, the nearest known name", field.name),
            None => "no property of this name".to_owned(),
        };
        let location = Location::Field(location, name);
        self.add(FindingKind::UnknownField, &location, expected, || format!("the property {}", shown(name)));
    }

    /// Records where parsing stopped. The first call wins: it comes from the innermost value.
    pub(super) fn stopped_at(&mut self, location: &Location<'_>) {
        self.stopped_at.get_or_insert_with(|| location.pointer());
    }

    pub(crate) fn broken(&mut self, error: &serde_json::Error) {
        let pointer = self.stopped_at.take().unwrap_or_default();
        let broken = Finding::new(FindingKind::BrokenJson, pointer, "JSON".to_owned(), error.to_string());
        // Added even beyond the maximum: it says that the rest was not parsed.
        self.findings.push(broken);
    }

    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        if self.omitted > 0 {
            let (expected, found) = (format!("at most {MAX_FINDINGS} findings"), format!("{} more", self.omitted));
            self.findings.push(Finding::new(FindingKind::More, String::new(), expected, found));
        }
        self.findings
    }
}

/// A quoted piece of the body, truncated to a readable length; replaced if it looks like a token.
pub(super) fn shown(text: &str) -> String {
    if is_token(text) {
        return "a token".to_owned();
    }
    match text.char_indices().nth(MAX_QUOTE) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// The nearest known value to `text`, or the allowed values.
pub(super) fn allowed(values: &Enum, text: &str) -> String {
    if let Some(value) = nearest(text, &values.values, |value| value) {
        return format!("`{value}`, the nearest known value");
    }
    let mut list = values.values.iter().take(MAX_VALUES).map(|value| &**value).collect::<Vec<_>>().join(", ");
    if values.values.len() > MAX_VALUES {
        list.push_str(", …");
    }
    format!("one of {list}")
}

/// Tokens are two groups of about 32 hex digits; one in the wrong property is still a secret.
fn is_token(text: &str) -> bool {
    text.len() >= 60 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_short_and_never_a_token() {
        assert_eq!(shown("Opn\n"), r#""Opn\n""#);
        assert_eq!(shown(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        assert_eq!(shown("E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D"), "a token");
    }
}
