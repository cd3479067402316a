//! What is found in a body, and how it is told.

use std::fmt;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::{Place, Shape};
use crate::catalogue::{Deprecation, Enum, Object, nearest};

/// How many findings one body may have before they are only counted.
const MOST: usize = 100;

/// The longest piece of a body that a finding shows, in characters.
const LONGEST: usize = 60;

/// The most values of an enum that a finding lists.
const MOST_VALUES: usize = 12;

/// Something in a body that doesn't fit.
///
/// `Display` gives a line for a person: `/Limitation/Count: expected 1 to 1000, found 5000`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What kind of mistake it is.
    pub kind: FindingKind,
    /// Where it is: a JSON pointer (RFC 6901), empty for the whole body.
    pub pointer: String,
    /// What the contract wants there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// Why an integration is not to blame for it, where Mews' sources contradict each other: it deserves a note at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed: Option<String>,
    /// Of what is deprecated: the day from which it no longer works, as `2026-01-10`, where one is set. May lie in the
    /// past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
}

/// The kinds of mistakes that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// The body is not JSON, or ends too early.
    BrokenJson,
    /// A required field is missing or null.
    MissingField,
    /// A field that the operation doesn't take; its value isn't looked at.
    UnknownField,
    /// A value of another JSON type.
    WrongType,
    /// A string that is none of the values of a closed enum.
    UnknownValue,
    /// An array with more items than allowed.
    TooManyItems,
    /// A string with more characters than allowed.
    TooManyCharacters,
    /// An interval of more months than allowed.
    IntervalTooLong,
    /// A time that is not in ISO 8601, or not in UTC where it has to be.
    MalformedTime,
    /// A number outside of what is allowed, as a `Limitation.Count` above 1000.
    OutOfRange,
    /// A field that is not to be used any more.
    DeprecatedField,
    /// A value of an enum that is not to be used any more.
    DeprecatedValue,
    /// A field without the other that has to be with it: `LanguageCode` and `CultureCode`.
    MissingPartner,
    /// None of several filters of which at least one must be there, or a filter that is none on its own.
    MissingFilter,
    /// Fields that exclude each other.
    ExclusiveFields,
    /// An interval that ends before it starts.
    ReversedInterval,
    /// A duration that is not in ISO 8601.
    MalformedDuration,
    /// An id that is no GUID.
    MalformedId,
    /// An array with fewer items than asked for.
    TooFewItems,
    /// A string with fewer characters than asked for.
    TooFewCharacters,
    /// A string that doesn't have the form that is asked for, as a currency code in small letters.
    MalformedText,
    /// A field or a value that doesn't go with another's.
    Conflict,
    /// Something else that the contract doesn't allow, as the same item twice.
    Schema,
    /// There were so many findings that the rest was only counted.
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

/// Findings as they are gathered.
#[derive(Default)]
pub(crate) struct Report {
    /// When the request was sent, in UTC; without it, nothing is said of times that are too late for it.
    pub(super) sent: Option<DateTime>,
    findings: Vec<Finding>,
    omitted: usize,
    stopped_at: Option<String>,
}

impl Report {
    /// Adds a finding; the texts are made only where there is still room for it.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        place: &Place<'_>,
        expected: impl FnOnce() -> String,
        found: impl FnOnce() -> String,
    ) {
        self.add_at(kind, || place.pointer(), expected, found);
    }

    /// As [`add`](Self::add), where the pointer is known otherwise.
    pub(crate) fn add_at(
        &mut self,
        kind: FindingKind,
        pointer: impl FnOnce() -> String,
        expected: impl FnOnce() -> String,
        found: impl FnOnce() -> String,
    ) {
        if self.findings.len() < MOST {
            self.findings.push(Finding::new(kind, pointer(), expected(), found()));
        } else {
            self.omitted += 1;
        }
    }

    /// As [`add`](Self::add), where the contract is not sure of itself.
    pub(super) fn add_disputed(
        &mut self,
        kind: FindingKind,
        place: &Place<'_>,
        texts: impl FnOnce() -> (String, String),
        reason: Option<&str>,
    ) {
        if self.findings.len() < MOST {
            let (expected, found) = texts();
            let disputed = reason.map(str::to_owned);
            self.findings.push(Finding { disputed, ..Finding::new(kind, place.pointer(), expected, found) });
        } else {
            self.omitted += 1;
        }
    }

    /// Adds what is not to be used any more, named in `found`.
    pub(super) fn deprecated(&mut self, kind: FindingKind, place: &Place<'_>, what: &Deprecation, found: String) {
        if self.findings.len() < MOST {
            let what_else = if kind == FindingKind::DeprecatedField { "a field" } else { "a value" };
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
            self.findings.push(Finding { ends, ..Finding::new(kind, place.pointer(), expected, found) });
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn wrong_type(&mut self, place: &Place<'_>, expected: Shape<'_>, found: &str) {
        let reason = expected.single().and_then(|field| field.disputed.as_deref());
        self.add_disputed(FindingKind::WrongType, place, || (expected.to_string(), found.to_owned()), reason);
    }

    pub(super) fn unknown_field(&mut self, place: &Place<'_>, object: &Object, name: &str) {
        let expected = || match nearest(name, &object.fields, |field| &field.name) {
            Some(field) => format!("`{}`, the nearest known name", field.name),
            None => "no field of this name".to_owned(),
        };
        let place = Place::Field(place, name);
        self.add(FindingKind::UnknownField, &place, expected, || format!("the field {}", shown(name)));
    }

    /// Notes where the reading stopped. The first note counts: it comes from the innermost value.
    pub(super) fn stopped_at(&mut self, place: &Place<'_>) {
        self.stopped_at.get_or_insert_with(|| place.pointer());
    }

    pub(crate) fn broken(&mut self, error: &serde_json::Error) {
        let pointer = self.stopped_at.take().unwrap_or_default();
        let broken = Finding::new(FindingKind::BrokenJson, pointer, "JSON".to_owned(), error.to_string());
        // However many findings there are: that the rest was not read must be said.
        self.findings.push(broken);
    }

    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        if self.omitted > 0 {
            let (expected, found) = (format!("at most {MOST} findings"), format!("{} more", self.omitted));
            self.findings.push(Finding::new(FindingKind::More, String::new(), expected, found));
        }
        self.findings
    }
}

/// A piece of the body in quotes: cut to a readable length, and hidden where it has the form of a token.
pub(super) fn shown(text: &str) -> String {
    if is_token(text) {
        return "a token".to_owned();
    }
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// The values that would have been right, the one most like `text` first.
pub(super) fn allowed(values: &Enum, text: &str) -> String {
    if let Some(value) = nearest(text, &values.values, |value| value) {
        return format!("`{value}`, the nearest known value");
    }
    let mut list = values.values.iter().take(MOST_VALUES).map(|value| &**value).collect::<Vec<_>>().join(", ");
    if values.values.len() > MOST_VALUES {
        list.push_str(", …");
    }
    format!("one of {list}")
}

/// Tokens are two groups of about 32 hex digits; one that got into the wrong field is still a secret.
fn is_token(text: &str) -> bool {
    text.len() >= 60 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_no_token() {
        assert_eq!(shown("Opn\n"), r#""Opn\n""#);
        assert_eq!(shown(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        assert_eq!(shown("E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D"), "a token");
    }
}
