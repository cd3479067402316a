//! Options as people write them.

use std::time::Duration;

use thiserror::Error;

/// An invalid option.
#[derive(Debug, Error)]
#[error("`{text}` is not {what}: {remedy}")]
pub struct InvalidOption {
    what: &'static str,
    text: String,
    remedy: &'static str,
}

impl InvalidOption {
    pub(crate) fn new(what: &'static str, text: &str, remedy: &'static str) -> Self {
        Self { what, text: text.to_owned(), remedy }
    }
}

/// Parses a duration: `500ms`, `30s`, `15m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.trim().parse::<jiff::SignedDuration>().ok()?).ok()
}
