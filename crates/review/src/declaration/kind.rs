//! The kinds of integrations.

use serde::{Deserialize, Serialize};

/// Whether an integration is listed in the Marketplace; the requirements differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntegrationKind {
    /// Listed: 48 hours of activity are required.
    #[default]
    Public,
    /// For one customer: no minimum duration, but each declared operation must have been called.
    Private,
}
