//! A request's place in the windows.

use std::sync::Arc;

use crate::plan::Keys;

/// A member of the sets of its keys.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) keys: Arc<Keys>,
    pub(crate) generation: Arc<str>,
    pub(crate) member: String,
}
