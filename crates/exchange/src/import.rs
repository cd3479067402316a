//! The provenance of imported exchanges.

use std::fmt;

use nightaudit_units::{by_number, counted};
use serde::{Deserialize, Serialize};

use crate::{Alteration, Exchange, Missing};

/// What a file of exchanges has, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An exchange that nightaudit recorded and exported: with session, sequence and hashes as in the file, which may
    /// not match.
    Recorded(Box<Exchange>),
    /// An exchange that another tool recorded: it has no hash, and the reader gave it session, sequence and id. Its
    /// texts and bodies may contain secrets; [`Redactor::redact`](crate::Redactor::redact) replaces them.
    Foreign(Box<Exchange>),
    /// Exchanges that were missing when the file was written.
    Missing(Missing),
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
    /// Those that another tool recorded; see [`Exchange::recorded_by`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign: u64,
}

impl Import {
    /// Counts an exchange.
    pub fn add(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        match exchange.alteration {
            Some(Alteration::Edited) => self.edited += 1,
            Some(Alteration::Masked) => self.masked += 1,
            None => {}
        }
        self.foreign += u64::from(exchange.recorded_by.is_some());
    }

    /// Both together: several nodes' imports of one session.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            exchanges: self.exchanges.saturating_add(other.exchanges),
            edited: self.edited.saturating_add(other.edited),
            masked: self.masked.saturating_add(other.masked),
            foreign: self.foreign.saturating_add(other.foreign),
        }
    }

    /// Exchanges that differ from what was recorded.
    #[must_use]
    pub const fn altered(&self) -> u64 {
        self.edited + self.masked
    }
}

/// `imported; 99 of 99 exchanges are not as they were recorded`
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchanges, edited, masked, foreign } = *self;
        f.write_str("imported")?;
        if edited == 0 && masked == 0 && foreign == 0 {
            return f.write_str("; its hashes match");
        }
        // The total once is enough.
        let mut of = format!(" of {}", counted(exchanges, "exchange"));
        let mut joint = "; ";
        let mut clause = |f: &mut fmt::Formatter<'_>, count: u64, before: &str, after: &str| {
            if count == 0 {
                return Ok(());
            }
            write!(f, "{joint}{before}{}{}{after}", nightaudit_units::count(count), std::mem::take(&mut of))?;
            joint = ", and ";
            Ok(())
        };
        match foreign {
            0 => {}
            // Most imports are one file of one tool.
            _ if foreign == exchanges && edited == 0 && masked == 0 => f.write_str("; recorded by another tool")?,
            _ => clause(
                f,
                foreign,
                "",
                by_number(foreign, " was recorded by another tool", " were recorded by another tool"),
            )?,
        }
        clause(f, edited, "", by_number(edited, " is not as it was recorded", " are not as they were recorded"))?;
        clause(f, masked, "values are masked in ", "")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "required by serde")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_in_one_sentence() {
        let said = |edited, masked, foreign| Import { exchanges: 9, edited, masked, foreign }.to_string();
        assert_eq!(said(0, 0, 0), "imported; its hashes match");
        assert_eq!(said(9, 0, 0), "imported; 9 of 9 exchanges are not as they were recorded");
        assert_eq!(said(1, 0, 0), "imported; 1 of 9 exchanges is not as it was recorded");
        let alone = Import { exchanges: 1, edited: 1, masked: 0, foreign: 1 }.to_string();
        assert_eq!(alone, "imported; 1 of 1 exchange was recorded by another tool, and 1 is not as it was recorded");
        assert_eq!(said(0, 2, 0), "imported; values are masked in 2 of 9 exchanges");
        assert_eq!(
            said(7, 2, 0),
            "imported; 7 of 9 exchanges are not as they were recorded, and values are masked in 2"
        );
        assert_eq!(said(0, 0, 9), "imported; recorded by another tool");
        assert_eq!(said(0, 0, 4), "imported; 4 of 9 exchanges were recorded by another tool");
        assert_eq!(
            said(1, 2, 9),
            "imported; 9 of 9 exchanges were recorded by another tool, and 1 is not as it was recorded, and values \
             are masked in 2"
        );
    }

    #[test]
    fn earlier_versions_read_what_has_nothing_of_other_tools() {
        let import = Import { exchanges: 2, edited: 1, ..Import::default() };
        let json = r#"{"exchanges":2,"edited":1,"masked":0}"#;
        assert_eq!(serde_json::to_string(&import).unwrap(), json);
        assert_eq!(serde_json::from_str::<Import>(json).unwrap(), import);
        let mut exchange = crate::testing::sample();
        exchange.recorded_by = Some("Charles Proxy 4.6.3".into());
        let mut import = Import::default();
        import.add(&exchange);
        assert_eq!((import.exchanges, import.altered(), import.foreign), (1, 0, 1));
    }
}
