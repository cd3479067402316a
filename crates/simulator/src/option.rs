//! Options as people write them.

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
