//! The provenance of imported exchanges.

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

/// Import summary of a session, kept as long as its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Import {
    /// Exchanges imported.
    pub exchanges: u64,
    /// Those that did not match their hash: [`Alteration::Edited`].
    pub edited: u64,
    /// Those with masked values: [`Alteration::Masked`].
    pub masked: u64,
}

impl Import {
    /// Counts an exchange.
    pub fn add(&mut self, alteration: Option<Alteration>) {
        self.exchanges += 1;
        match alteration {
            Some(Alteration::Edited) => self.edited += 1,
            Some(Alteration::Masked) => self.masked += 1,
            None => {}
        }
    }

    /// Exchanges that differ from what was recorded.
    #[must_use]
    pub const fn altered(&self) -> u64 {
        self.edited + self.masked
    }
}

/// `imported; 99 of 99 exchanges are not as they were recorded`
impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { exchanges, edited, masked } = self;
        match (edited, masked) {
            (0, 0) => f.write_str("imported; its hashes match"),
            (0, masked) => write!(f, "imported; values are masked in {masked} of {exchanges} exchanges"),
            (edited, 0) => write!(f, "imported; {edited} of {exchanges} exchanges are not as they were recorded"),
            (edited, masked) => write!(
                f,
                "imported; {edited} of {exchanges} exchanges are not as they were recorded, and values are masked in \
                 {masked}"
            ),
        }
    }
}
