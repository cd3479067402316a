//! Why a declaration can't be read.

/// An invalid declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map_or_else(String::new, |line| format!("line {line}: ")))]
pub struct DeclarationError {
    /// The line, from 1, if known.
    pub line: Option<usize>,
    /// What is wrong, and what would be valid.
    pub message: String,
}
