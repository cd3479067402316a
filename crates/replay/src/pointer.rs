//! Places in a body that are not compared.

use std::{fmt, str::FromStr};

/// A JSON pointer (RFC 6901) in which `*` stands for any one property or element: `/Limitation/Cursor`, `/Items/*/Id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<Segment>);

/// A step of a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A property or an element's number.
    Named(String),
    /// Any.
    Any,
}

impl Segment {
    pub(crate) fn is(&self, name: &str) -> bool {
        match self {
            Self::Named(own) => own == name,
            Self::Any => true,
        }
    }
}

/// The most steps of a pointer: JSON that is nested more deeply is refused by most readers, and takes a stack to write.
const MAX_STEPS: usize = 100;

/// Text that is not such a pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// It isn't one at all.
    #[error("`{0}` is not a JSON pointer: name a property like /UpdatedUtc, /Limitation/Cursor or /Items/*/Id")]
    Form(String),
    /// It leads too deep.
    #[error("a JSON pointer of {0} steps leads too deep: {MAX_STEPS} are the most")]
    TooDeep(usize),
}

impl Pointer {
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPointer::Form(text.to_owned());
        // The empty pointer is the whole body: nothing would be compared.
        let names = text.strip_prefix('/').ok_or_else(invalid)?;
        let segment = |name: &str| match name {
            "*" => Some(Segment::Any),
            _ => unescape(name).map(Segment::Named),
        };
        let segments = names.split('/').map(segment).collect::<Option<Vec<_>>>().ok_or_else(invalid)?;
        if segments.len() > MAX_STEPS { Err(InvalidPointer::TooDeep(segments.len())) } else { Ok(Self(segments)) }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Named(name) => write!(f, "/{}", escape(name)),
            Segment::Any => f.write_str("/*"),
        })
    }
}

/// A name as a segment of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The name of a segment; `None` if a `~` is followed by anything but 0 or 1.
fn unescape(segment: &str) -> Option<String> {
    let mut name = String::with_capacity(segment.len());
    let mut letters = segment.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '~' => match letters.next()? {
                '0' => name.push('~'),
                '1' => name.push('/'),
                _ => return None,
            },
            _ => name.push(letter),
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn regression_a_pointer_of_thousands_of_steps_overflowed_the_stack() {
        assert!("/a".repeat(MAX_STEPS).parse::<Pointer>().is_ok());
        let refused = "/a".repeat(15_000).parse::<Pointer>().unwrap_err();
        assert_eq!(refused.to_string(), "a JSON pointer of 15000 steps leads too deep: 100 are the most");
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for wrong in ["", "UpdatedUtc", "Limitation/Cursor", "/a~", "/a~2b"] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
        assert_eq!("/".parse(), Ok(Pointer(vec![Segment::Named(String::new())])));
        assert_eq!("/a~1b/*".parse(), Ok(Pointer(vec![Segment::Named("a/b".into()), Segment::Any])));
    }

    proptest! {
        #[test]
        fn pointers_round_trip(text in "(/[a-z~/*]{0,4}){1,4}") {
            if let Ok(pointer) = text.parse::<Pointer>() {
                prop_assert_eq!(pointer.to_string().parse(), Ok(pointer));
            }
        }
    }
}
