//! Comparison of a bundle's report with the one rebuilt from its exchanges.

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
    /// Finds where the report first differs from the rebuilt one.
    pub(super) fn compare_report(&mut self, mut expected: BufReader<File>) -> Result<(), VerifyError> {
        let mut actual = BufReader::new(self.container.read(names::REPORT)?);
        let (mut ours, mut theirs, mut at) = (Vec::new(), Vec::new(), None);
        let differs = loop {
            ours.clear();
            theirs.clear();
            expected.read_until(b'\n', &mut ours)?;
            // Read at most one byte more than the line should have.
            if (&mut actual).take(ours.len() as u64 + 1).read_until(b'\n', &mut theirs).is_err() || ours != theirs {
                break true;
            }
            if ours.is_empty() {
                break false;
            }
            if ours.starts_with(b"<details class=\"x\"") {
                at = exchange_on(&ours);
            }
        };
        let at = if ours.starts_with(b"<details class=\"x\"") { exchange_on(&ours) } else { at };
        drop(actual);
        if differs {
            let place = at.map_or_else(|| "before the exchanges".to_owned(), |id| format!("at or after exchange {id}"));
            let what = format_args!("doesn't match the exchanges, starting {place}");
            self.findings.add(FindingKind::Altered, Some(names::REPORT), what);
        }
        Ok(())
    }
}

/// The id of the exchange on this line of the report.
fn exchange_on(line: &[u8]) -> Option<ExchangeId> {
    let line = str::from_utf8(line).ok()?;
    line.split_once("id=\"x-")?.1.get(..26)?.parse().ok()
}
