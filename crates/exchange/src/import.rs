//! What is known of exchanges that were not recorded where they are.

use serde::{Deserialize, Serialize};

/// How an imported exchange differs from the one that was recorded. It is part of what the chain covers, so that exporting
/// and importing it again doesn't remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alteration {
    /// Values in its bodies were masked on the way out; all else fitted its hash.
    Masked,
    /// It did not fit its hash, had none, or was not chained to the one before it.
    Edited,
}

/// What is known of a session that was imported, for as long as there is a log of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Import {
    /// How many exchanges were imported.
    pub exchanges: u64,
    /// How many of them did not fit their hash: [`Alteration::Edited`].
    pub edited: u64,
    /// How many of them had masked values: [`Alteration::Masked`].
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

    /// How many exchanges are not as they were recorded.
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
            (0, 0) => f.write_str("imported; its hashes fit"),
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
