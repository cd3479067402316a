//! Types of JSON values, and formats of strings.

use std::fmt;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number without a fraction or exponent.
    Integer,
    /// Any other number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
    /// A pseudonym in place of a redacted value, whose type is unknown.
    Redacted,
}

impl Kind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::Null,
        Self::Boolean,
        Self::Integer,
        Self::Number,
        Self::String,
        Self::Array,
        Self::Object,
        Self::Redacted,
    ];

    /// Its name in JSON Schema; `redacted` for a pseudonym.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
            Self::Redacted => "redacted",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The formats that every string at a place has; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats(u8);

impl Formats {
    const UUID: u8 = 1;
    const DATE_TIME: u8 = 2;
    const DATE: u8 = 4;

    /// Before the first string.
    pub(crate) const ANY: Self = Self(u8::MAX);

    /// The formats of a string.
    fn of(text: &str) -> Self {
        let text = text.as_bytes();
        Self(match text.len() {
            10 if is_date(text) => Self::DATE,
            36 if is_uuid(text) => Self::UUID,
            20..=40 if is_date_time(text) => Self::DATE_TIME,
            _ => 0,
        })
    }

    /// Leaves the formats that this string has, too.
    pub(crate) fn keep(&mut self, text: &str) {
        if self.0 != 0 {
            self.0 &= Self::of(text).0;
        }
    }

    /// The format's name in JSON Schema (draft 2020-12, Validation, section 7.3); `None` if the strings have none in
    /// common, or there was none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self.0 {
            Self::UUID => Some("uuid"),
            Self::DATE_TIME => Some("date-time"),
            Self::DATE => Some("date"),
            _ => None,
        }
    }
}

/// Whether a property's name is an id rather than a name, so that the object is a map: a UUID, a ULID, a date, a number,
/// or a long run of hexadecimal digits.
pub(crate) fn is_key(name: &str) -> bool {
    let name = name.as_bytes();
    let all = |is: fn(&u8) -> bool| name.iter().all(is);
    let is_ulid = || all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) && name[0].is_ascii_digit();
    match name.len() {
        0 => false,
        1..20 if all(u8::is_ascii_digit) => true,
        10 => is_date(name),
        26 if is_ulid() => true,
        36 if is_uuid(name) => true,
        20.. => all(u8::is_ascii_hexdigit) || is_date_time(name),
        _ => false,
    }
}

fn is_uuid(text: &[u8]) -> bool {
    let is = |(index, byte): (usize, &u8)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(is)
}

/// `2026-11-23`
fn is_date(text: &[u8]) -> bool {
    fits(text, b"0000-00-00")
}

/// RFC 3339: `2026-11-23T12:00:00Z`, with any fraction and offset.
fn is_date_time(text: &[u8]) -> bool {
    let Some((start, rest)) = text.split_at_checked(19) else { return false };
    if !fits(start, b"0000-00-00T00:00:00") {
        return false;
    }
    let digits = rest.strip_prefix(b".").map(|rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let offset = match digits {
        Some(0) => return false,
        Some(digits) => &rest[digits + 1..],
        None => rest,
    };
    offset == b"Z" || fits(offset, b"+00:00") || fits(offset, b"-00:00")
}

/// Whether the text is like a pattern, in which `0` is any digit.
fn fits(text: &[u8], pattern: &[u8]) -> bool {
    let like = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    text.len() == pattern.len() && text.iter().zip(pattern).all(like)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_those_of_json_schema() {
        for (text, format) in [
            ("3fa85f64-5717-4562-b3fc-2c963f66afa6", Some("uuid")),
            ("3fa85f64-5717-4562-b3fc-2c963f66afag", None),
            ("2026-11-23T12:00:00Z", Some("date-time")),
            ("2026-11-23T12:00:00.1234567+01:00", Some("date-time")),
            ("2026-11-23T12:00:00.Z", None),
            ("2026-11-23T12:00:00", None),
            ("2026-11-23", Some("date")),
            ("2026-11-2x", None),
            ("", None),
        ] {
            assert_eq!(Formats::of(text).name(), format, "{text}");
        }
    }

    #[test]
    fn a_format_is_what_all_strings_have() {
        let mut formats = Formats::ANY;
        assert_eq!(formats.name(), None);
        formats.keep("2026-11-23");
        formats.keep("2026-11-24");
        assert_eq!(formats.name(), Some("date"));
        formats.keep("2026-11-23T12:00:00Z");
        assert_eq!(formats.name(), None);
    }

    #[test]
    fn ids_are_told_from_names() {
        for key in [
            "3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "2026-11-23",
            "2026-11-23T12:00:00Z",
            "0",
            "12345",
            "01KAS00000000000000000000A",
        ] {
            assert!(is_key(key), "{key}");
        }
        assert!(is_key("d41d8cd98f00b204e9800998ecf8427e"));
        for name in
            ["", "Id", "Addressbook", "DeadBeef", "Reservations", "en-US", "Line1", "2nd", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        {
            assert!(!is_key(name), "{name}");
        }
    }
}
