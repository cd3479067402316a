//! How an imported exchange differs from the recorded one.

use serde::{Deserialize, Serialize};

/// How an imported exchange differs from the recorded one. Covered by the hash chain, so exporting and importing it
/// again does not erase it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alteration {
    /// Values in its bodies were masked on export; everything else matched its hash.
    Masked,
    /// It did not match its hash, had none, or did not follow the previous exchange.
    Edited,
}
