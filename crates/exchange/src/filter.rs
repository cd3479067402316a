//! Which exchanges somebody wants to see.

use std::time::Duration;

use crate::{Exchange, Outcome, Pseudonym, Timestamp};

/// A condition on exchanges; every part that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// `--session`: a session's name, its id or a unique beginning of the id.
    pub session: Option<String>,
}

/// A filter that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFilter(String);
