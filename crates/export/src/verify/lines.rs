//! Exchanges read from lines, in bounded memory whatever the lines are.

use std::io::{self, BufRead, Read as _};

use nightaudit_exchange::{Exchange, Missing};
use serde::Deserialize;

use super::{
    chain::ChainCheck,
    finding::{FindingKind, Findings, Named, shown},
};

/// The longest line that is read, in bytes: two bodies of 64 MiB in base64.
const MAX_LINE: u64 = 192 << 20;

/// A line that names what is missing.
#[derive(Deserialize)]
struct Lost {
    missing: Missing,
}

/// Reads all lines, checks each by itself and the chain from each to the next, and hands the exchanges on.
///
/// Returns how many exchanges there were, and whether the file was read to its end: it is not where too much is wrong.
pub(super) fn check_lines(
    reader: &mut dyn BufRead,
    file: Option<&str>,
    chain: &mut ChainCheck<'_>,
    findings: &mut Findings,
    each: &mut dyn FnMut(&Exchange) -> io::Result<()>,
) -> io::Result<(u64, bool)> {
    let (mut line, mut again) = (Vec::new(), Vec::new());
    let mut exchanges = 0;
    for number in 1_u64.. {
        line.clear();
        (&mut *reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        if findings.is_full() {
            return Ok((exchanges, false));
        }
        let mut unreadable = |what: String| {
            findings.add(FindingKind::Unreadable, file, format_args!("line {number} {what}"));
        };
        if line.pop_if(|last| *last == b'\n').is_none() {
            if line.len() as u64 == MAX_LINE {
                unreadable(format!("is longer than {MAX_LINE} bytes"));
                return Ok((exchanges, false));
            }
            unreadable("is cut: no line feed ends it".to_owned());
        }
        let mut exchange: Exchange = match serde_json::from_slice(&line) {
            Ok(exchange) => exchange,
            Err(error) => {
                if let Ok(Lost { missing }) = serde_json::from_slice(&line) {
                    let what = format_args!("{missing}: the log had lost that when the file was written");
                    findings.add(FindingKind::Missing, file, what);
                    continue;
                }
                let mut unreadable = |what: String| {
                    findings.add(FindingKind::Unreadable, file, format_args!("line {number} {what}"));
                };
                unreadable(format!("is no exchange: {}", shown(&error.to_string())));
                continue;
            }
        };
        exchanges += 1;
        // What the chain covers is the exchange as it is read: nothing else may stand in its line.
        again.clear();
        if serde_json::to_writer(&mut again, &exchange).is_err() || again != line {
            let what = format_args!("was altered: line {number} is not as it was written");
            findings.of(FindingKind::Altered, file, &Named::of(&exchange), what);
        }
        chain.check(&mut exchange, findings);
        each(&exchange)?;
    }
    Ok((exchanges, true))
}
