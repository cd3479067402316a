//! Reads exchanges from NDJSON in bounded memory.

use std::io::{self, BufRead, BufReader, Cursor, Read as _};

use nightaudit_exchange::{Exchange, JsonLine, Missing};
use serde::Deserialize;

use super::{
    chain::ChainCheck,
    finding::{FindingKind, Findings, already_lost, shown},
};
use crate::hashed::Hashed;

/// A line that is longer is parsed while it is read: in JSON a body may be six times as long.
const LONG: u64 = 16 << 20;

/// A line that lists missing exchanges.
#[derive(Deserialize)]
struct Lost {
    missing: Missing,
}

/// What a line is.
enum Line {
    /// An exchange, and whether the line is what nightaudit writes for it.
    Exchange(Box<Exchange>, bool),
    Missing(Missing),
    Unreadable(String),
    /// It holds more than an exchange can; what follows isn't read.
    TooLong,
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
    let mut line = Vec::new();
    let mut exchanges = 0;
    for number in 1_u64.. {
        line.clear();
        (&mut *reader).take(LONG).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        if findings.is_full() {
            return Ok((exchanges, false));
        }
        let (read, has_end) = if line.pop_if(|last| *last == b'\n').is_some() {
            (short(&line), true)
        } else if (line.len() as u64) < LONG {
            (short(&line), false)
        } else {
            long(&line, reader)?
        };
        let mut unreadable = |what: &str| {
            findings.add(FindingKind::Unreadable, file, format_args!("line {number} {what}"));
        };
        if !has_end && !matches!(read, Line::TooLong) {
            unreadable("is truncated: it has no line feed");
        }
        let (mut exchange, is_verbatim) = match read {
            Line::Exchange(exchange, is_verbatim) => (exchange, is_verbatim),
            Line::Missing(missing) => {
                findings.add(FindingKind::Missing, file, already_lost(missing));
                continue;
            }
            Line::Unreadable(error) => {
                unreadable(&format!("is not an exchange: {error}"));
                continue;
            }
            Line::TooLong => {
                unreadable("holds more than an exchange can");
                return Ok((exchanges, false));
            }
        };
        exchanges += 1;
        // The chain covers the exchange as parsed, so its line must hold nothing else.
        if !is_verbatim {
            let what = format_args!("was altered: line {number} is not as nightaudit wrote it");
            chain.blame(&exchange, FindingKind::Altered, what, findings);
        }
        chain.check(&mut exchange, findings);
        each(&exchange)?;
    }
    Ok((exchanges, true))
}

/// Reads a line that was read whole.
fn short(line: &[u8]) -> Line {
    match serde_json::from_slice::<Exchange>(line) {
        Ok(exchange) => {
            let mut rest = Rest(line);
            let is_verbatim = serde_json::to_writer(&mut rest, &exchange).is_ok() && rest.0.is_empty();
            Line::Exchange(Box::new(exchange), is_verbatim)
        }
        Err(error) => match serde_json::from_slice(line) {
            Ok(Lost { missing }) => Line::Missing(missing),
            Err(_) => Line::Unreadable(shown(&error.to_string())),
        },
    }
}

/// Reads a line of which only this beginning was read; also whether it has an end.
fn long(begun: &[u8], reader: &mut dyn BufRead) -> io::Result<(Line, bool)> {
    let mut rest = JsonLine::new(reader, begun);
    let mut read = Hashed::new(Cursor::new(begun).chain(&mut rest));
    let parsed = serde_json::from_reader::<_, Exchange>(BufReader::with_capacity(64 << 10, &mut read));
    let (_, read) = read.finish();
    let line = match parsed {
        _ if rest.is_too_long() => return Ok((Line::TooLong, false)),
        Err(error) if error.is_io() => return Err(error.into()),
        Err(error) => Line::Unreadable(shown(&error.to_string())),
        Ok(exchange) => {
            // Not kept, but hashed: the line may be six times as long as what was parsed.
            let mut rewritten = Hashed::new(io::sink());
            let is_verbatim = serde_json::to_writer(&mut rewritten, &exchange).is_ok() && rewritten.finish().1 == read;
            Line::Exchange(Box::new(exchange), is_verbatim)
        }
    };
    Ok((line, rest.skip()?))
}

/// Compares what is written with these bytes, of which the part that wasn't written yet is left.
struct Rest<'a>(&'a [u8]);

impl io::Write for Rest<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
