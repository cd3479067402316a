//! The expected shape of a value.

use std::fmt;

use crate::catalogue::{Field, Kind, Object};

/// The expected shape of a value.
#[derive(Clone, Copy)]
pub(super) enum Shape<'c> {
    /// A property's value, inside this many of its arrays.
    Field(&'c Field, u8),
    /// The request itself.
    Object(&'c Object),
}

impl<'c> Shape<'c> {
    /// The property of which a single value is expected; `None` for an array or the request.
    pub(super) fn single(self) -> Option<&'c Field> {
        match self {
            Self::Field(field, inside) if inside == field.array => Some(field),
            _ => None,
        }
    }

    /// The expected object; `None` for anything else, or if its properties are unknown.
    pub(super) fn object(self) -> Option<&'c Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Field(..) => match &self.single()?.kind {
                Kind::Object(object) => Some(object),
                _ => None,
            },
        }
    }

    /// The shape and maximum number of items if an array is expected.
    pub(super) fn items(self) -> Option<(Self, Option<u32>)> {
        match self {
            // In nested arrays the maximum applies to the outermost.
            Self::Field(field, inside) if inside < field.array => {
                Some((Self::Field(field, inside + 1), field.max_items.filter(|_| inside == 0)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, arrays) = match self {
            Self::Object(_) => return f.write_str("an object"),
            Self::Field(field, inside) => (&field.kind, field.array - inside),
        };
        let (one, many) = match kind {
            Kind::String => ("a string", "strings"),
            Kind::Utc => ("a time in UTC, such as 2026-01-31T13:00:00Z", "times in UTC"),
            Kind::Date => ("a date, such as 2026-01-31", "dates"),
            Kind::Month => ("a month, such as 2026-01", "months"),
            Kind::Duration => ("an ISO 8601 duration, such as P1DT12H", "ISO 8601 durations"),
            Kind::Guid => ("a GUID, such as 3fa85f64-5717-4562-b3fc-2c963f66afa6", "GUIDs"),
            Kind::Boolean => ("a boolean", "booleans"),
            Kind::Integer => ("an integer", "integers"),
            Kind::Number => ("a number", "numbers"),
            Kind::Texts => ("an object of strings by language", "objects of strings by language"),
            Kind::Any => ("any value", "any values"),
            Kind::AnyObject | Kind::Object(_) => ("an object", "objects"),
            Kind::Enum(_) => ("a string", "strings"),
        };
        match arrays {
            0 => f.write_str(one),
            1 => write!(f, "an array of {many}"),
            _ => write!(f, "an array of arrays of {many}"),
        }
    }
}
