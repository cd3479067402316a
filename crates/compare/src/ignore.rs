//! What a comparison leaves out.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::difference::DifferenceKind;

/// What isn't compared: kinds of differences, and properties with everything below them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    kinds: BTreeSet<DifferenceKind>,
    pointers: Vec<String>,
}

/// Something to ignore that is neither a kind of difference nor a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is nothing to ignore: use a JSON pointer such as /UpdatedUtc, or one of {}", Kinds)]
pub struct UnknownKind {
    given: String,
}

struct Kinds;

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = DifferenceKind::ALL.iter().map(|kind| kind.name()).collect();
        f.write_str(&names.join(", "))
    }
}

impl Ignore {
    /// Whether differences of this kind are left out.
    pub(crate) fn kind(&self, kind: DifferenceKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether the property at this pointer is left out. In what was given, `*` is any one name or index.
    pub(crate) fn pointer(&self, pointer: &str) -> bool {
        let is_in = |own: &String| {
            let mut steps = pointer.split('/');
            own.split('/').all(|own| steps.next().is_some_and(|step| own == "*" || own == step))
        };
        self.pointers.iter().any(is_in)
    }

    /// Adds what else is left out.
    pub fn add(&mut self, other: Self) {
        self.kinds.extend(other.kinds);
        self.pointers.extend(other.pointers);
    }
}

/// Names of kinds and JSON pointers, separated by commas: `latency,/UpdatedUtc,/Reservations/*/Notes`.
///
/// ```
/// use nightaudit_compare::Ignore;
///
/// assert!("latency,/Reservations/*/UpdatedUtc".parse::<Ignore>().is_ok());
/// assert!("speed".parse::<Ignore>().is_err());
/// ```
impl FromStr for Ignore {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let mut ignore = Self::default();
        for own in text.split(',').map(str::trim) {
            if own.starts_with('/') {
                ignore.pointers.push(own.trim_end_matches('/').to_owned());
            } else if let Some(kind) = DifferenceKind::ALL.into_iter().find(|kind| kind.name() == own) {
                ignore.kinds.insert(kind);
            } else {
                return Err(UnknownKind { given: own.chars().take(80).collect() });
            }
        }
        Ok(ignore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_pointers_are_told_apart() {
        let ignore: Ignore = "latency, /Items/*/UpdatedUtc,/Cursor/".parse().unwrap();
        assert!(ignore.kind(DifferenceKind::Latency) && !ignore.kind(DifferenceKind::Calls));
        for (pointer, is) in [
            ("/Items/*/UpdatedUtc", true),
            ("/Items/*/UpdatedUtc/StartUtc", true),
            ("/Items/*/Updated", false),
            ("/Items/*", false),
            ("/Cursor", true),
            ("/Cursors", false),
            ("", false),
        ] {
            assert_eq!(ignore.pointer(pointer), is, "{pointer}");
        }
    }

    #[test]
    fn an_unknown_word_names_what_there_is() {
        for wrong in ["speed", "", "latency,", "Latency"] {
            let error = wrong.parse::<Ignore>().unwrap_err().to_string();
            assert!(error.contains("one of operation, calls"), "{error}");
        }
    }
}
