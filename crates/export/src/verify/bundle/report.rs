//! A bundle's report held against the one that its exchanges give.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
};

use nightaudit_exchange::ExchangeId;

use super::BundleCheck;
use crate::{
    bundle::names,
    verify::{VerifyError, finding::FindingKind},
};

impl BundleCheck {
    /// Finds where the report leaves what the exchanges give.
    pub(super) fn compare_report(&mut self, mut due: BufReader<File>) -> Result<(), VerifyError> {
        let mut there = BufReader::new(self.container.read(names::REPORT)?);
        let (mut ours, mut theirs, mut at) = (Vec::new(), Vec::new(), None);
        let differs = loop {
            ours.clear();
            theirs.clear();
            due.read_until(b'\n', &mut ours)?;
            // A line may be as long as theirs should be, and no longer.
            if (&mut there).take(ours.len() as u64 + 1).read_until(b'\n', &mut theirs).is_err() || ours != theirs {
                break true;
            }
            if ours.is_empty() {
                break false;
            }
            if ours.starts_with(b"<details class=\"x\"") {
                at = place(&ours);
            }
        };
        let at = if ours.starts_with(b"<details class=\"x\"") { place(&ours) } else { at };
        drop(there);
        if differs {
            let place = at.map_or_else(|| "before the exchanges".to_owned(), |id| format!("at or after exchange {id}"));
            let what = format_args!("it does not agree with the exchanges, from {place} on");
            self.findings.add(FindingKind::Altered, Some(names::REPORT), what);
        }
        Ok(())
    }
}

/// The exchange whose line of the report this is.
fn place(line: &[u8]) -> Option<ExchangeId> {
    let line = str::from_utf8(line).ok()?;
    line.split_once("id=\"x-")?.1.get(..26)?.parse().ok()
}
