//! Reads exchanges from NDJSON in bounded memory.

use std::io::{self, BufRead, Read as _};

use nightaudit_exchange::{Exchange, Missing};
use serde::Deserialize;

use super::{
    chain::ChainCheck,
    finding::{FindingKind, Findings, shown},
};

/// Maximum line length in bytes: two bodies of 64 MiB in base64.
const MAX_LINE: u64 = 192 << 20;

/// A line that lists missing exchanges.
#[derive(Deserialize)]
struct Lost {
    missing: Missing,
}

/// Checks every line and the hash chain, and passes each exchange to `each`.
///
/// Returns the number of exchanges, and whether the file was read to the end; reading stops at too many findings.
pub(super) fn check_lines(
    reader: &mut dyn BufRead,
    file: Option<&str>,
    chain: &mut ChainCheck<'_>,
    findings: &mut Findings,
    each: &mut dyn FnMut(&Exchange) -> io::Result<()>,
) -> io::Result<(u64, bool)> {
    let (mut line, mut rewritten) = (Vec::new(), Vec::new());
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
            unreadable("is truncated: it has no line feed".to_owned());
        }
        let mut exchange: Exchange = match serde_json::from_slice(&line) {
            Ok(exchange) => exchange,
            Err(error) => {
                if let Ok(Lost { missing }) = serde_json::from_slice(&line) {
                    let what = format_args!("{missing}: already lost from the log when the file was written");
                    findings.add(FindingKind::Missing, file, what);
                    continue;
                }
                let mut unreadable = |what: String| {
                    findings.add(FindingKind::Unreadable, file, format_args!("line {number} {what}"));
                };
                unreadable(format!("is not an exchange: {}", shown(&error.to_string())));
                continue;
            }
        };
        exchanges += 1;
        // The chain covers the exchange as parsed, so its line must hold nothing else.
        rewritten.clear();
        if serde_json::to_writer(&mut rewritten, &exchange).is_err() || rewritten != line {
            let what = format_args!("was altered: line {number} is not as nightaudit wrote it");
            chain.blame(&exchange, FindingKind::Altered, what, findings);
        }
        chain.check(&mut exchange, findings);
        each(&exchange)?;
    }
    Ok((exchanges, true))
}
