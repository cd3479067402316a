//! Parsing the values of filter flags.

use std::time::Duration;

use crate::Pseudonym;

/// Maximum text length, in bytes.
const MAX_TEXT: usize = 1024;

/// Filter names, which are also the flag names.
const FLAGS: [&str; 11] = [
    "session",
    "operation",
    "status",
    "outcome",
    "since",
    "until",
    "client",
    "token",
    "request-id",
    "contains",
    "slower-than",
];

/// An invalid filter: the flag, its value and the accepted forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// An invalid value.
    #[error("`--{flag}`: `{value}` is not valid: use {accepted}")]
    Value {
        /// The flag, without its dashes.
        flag: &'static str,
        /// The given value, shortened if long.
        value: String,
        /// The forms that are accepted.
        accepted: &'static str,
    },
    /// An unknown filter name.
    #[error(
        "unknown filter `{0}`: use session, operation, status, outcome, since, until, client, token, \
         request-id, contains or slower-than"
    )]
    Unknown(String),
    /// A repeated name.
    #[error("filter `{0}` is given twice: give it at most once, plus once with `!` to exclude")]
    Repeated(&'static str),
    /// A negated time bound.
    #[error("`--{0}` can't be negated with `!`: use --since and --until for the two ends")]
    Negated(&'static str),
}

impl InvalidFilter {
    pub(super) fn value(flag: &'static str, value: &str, accepted: &'static str) -> Self {
        Self::Value { flag, value: shortened(value), accepted }
    }

    pub(super) fn glob(value: &str) -> Self {
        Self::value("operation", value, "a text of up to 1024 bytes, with `*` and `?` as wildcards")
    }

    pub(super) fn status(value: &str) -> Self {
        Self::value("status", value, "429, 4xx, 500-599 or a list of these with commas")
    }

    pub(super) fn outcome(value: &str) -> Self {
        let accepted = "answered, refused, delayed, failed, faulted, interrupted, rejected or aborted";
        Self::value("outcome", value, accepted)
    }

    /// The same error for another flag with the same accepted values.
    pub(super) fn of(self, flag: &'static str) -> Self {
        match self {
            Self::Value { value, accepted, .. } => Self::Value { flag, value, accepted },
            other => other,
        }
    }
}

/// The flag with this name.
pub(super) fn flag(name: &str) -> Result<&'static str, InvalidFilter> {
    let found = FLAGS.into_iter().find(|flag| *flag == name);
    found.ok_or_else(|| InvalidFilter::Unknown(shortened(name)))
}

/// Unescapes a leading `!` that is not a negation: `\!` means `!`, `\\` a backslash.
pub(super) fn unescape(value: &str) -> &str {
    match value.strip_prefix('\\') {
        Some(rest) if rest.starts_with(['!', '\\']) => rest,
        _ => value,
    }
}

/// The inverse of [`unescape`].
pub(super) fn escape(value: &str) -> String {
    match value.starts_with('!') || unescape(value) != value {
        true => format!("\\{value}"),
        false => value.to_owned(),
    }
}

/// Parses `--slower-than`: `500ms`, `1.5s`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, InvalidFilter> {
    nightaudit_units::parse_duration(text)
        .map_err(|_| InvalidFilter::value("slower-than", text, "a time like 500ms, 1.5s or 2m"))
}

/// Parses `--token`: a pseudonym, with or without `REDACTED:`. The error does not quote the value, which may be the
/// token itself.
pub(super) fn parse_token(text: &str) -> Result<Pseudonym, InvalidFilter> {
    text.trim().parse().map_err(|_| {
        let accepted = "the pseudonym shown in the log, like REDACTED:3f9a1c0b7d24, not the token itself";
        InvalidFilter::value("token", "…", accepted)
    })
}

/// Parses a free-text flag.
pub(super) fn parse_text(flag: &'static str, text: &str) -> Result<String, InvalidFilter> {
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(InvalidFilter::value(flag, text, "a text of 1 to 1024 bytes"));
    }
    Ok(text.to_owned())
}

/// The shortest form that [`parse_duration`] parses to the same duration, to the nanosecond.
pub(super) fn write_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, length) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if nanos.is_multiple_of(length) {
            return format!("{}{unit}", nanos / length);
        }
    }
    format!("{}.{:09}s", duration.as_secs(), duration.subsec_nanos())
}

fn shortened(text: &str) -> String {
    const MAX: usize = 80;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_exact() {
        for (text, nanos) in [("500ms", 500_000_000), ("1.000000001s", 1_000_000_001), ("250us", 250_000), ("0s", 0)] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(text), Ok(duration));
            assert_eq!(write_duration(duration), text);
        }
        let longest = Duration::new(u64::MAX, 1_000);
        assert_eq!(parse_duration(&write_duration(longest)), Ok(longest));
    }
}
