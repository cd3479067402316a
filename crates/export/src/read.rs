//! Reads the exchanges of exported files: bundles, NDJSON and HAR.
//!
//! Nothing is verified here beyond what reading needs: [`verify`](crate::verify()) does that.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom},
};

use nightaudit_exchange::{Exchange, Missing};
use serde::Deserialize;

use crate::{
    bundle::names,
    verify::{Container, MAX_LINE, VerifyError, shown},
};

/// Why a file's exchanges could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// The file can't be read.
    #[error("it can't be read")]
    Io(#[from] io::Error),
    /// It is none of the formats.
    #[error("{0}: use a bundle, an NDJSON export or a HAR")]
    Unknown(String),
    /// A place in it is damaged.
    #[error("{place} {what}")]
    Damaged {
        /// `line 7`, `entry 3`
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A line that lists missing exchanges.
#[derive(Deserialize)]
struct Lost {
    missing: Missing,
}

/// Passes the exchanges of a bundle, an NDJSON export or a HAR to `each`, one by one, and returns what the file says to be
/// missing from it. The format is detected from the content.
///
/// # Errors
///
/// [`ReadFileError`] if it is none of them, or damaged; the error names the place.
pub fn read_exchanges(mut file: File, each: &mut dyn FnMut(Exchange)) -> Result<Vec<Missing>, ReadFileError> {
    let mut prefix = Vec::new();
    (&mut file).take(4096).read_to_end(&mut prefix)?;
    file.seek(SeekFrom::Start(0))?;
    if prefix.starts_with(b"PK") {
        let mut container = Container::open(file).map_err(not_a_bundle)?;
        if !container.has(names::EXCHANGES) {
            return Err(ReadFileError::Unknown(format!("a zip without {}", names::EXCHANGES)));
        }
        let lines = container.read(names::EXCHANGES)?;
        return read_lines(&mut BufReader::with_capacity(256 << 10, lines), each);
    }
    let text = prefix.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&prefix);
    let mark = (prefix.len() - text.len()) as u64;
    file.seek(SeekFrom::Start(mark))?;
    let mut reader = BufReader::with_capacity(256 << 10, file);
    match text.trim_ascii_start() {
        [] => Err(ReadFileError::Unknown("it is empty".to_owned())),
        text if text.starts_with(b"{\"id\"") || text.starts_with(b"{\"missing\"") => read_lines(&mut reader, each),
        _ => Err(ReadFileError::Unknown("unknown file type".to_owned())),
    }
}

fn not_a_bundle(error: VerifyError) -> ReadFileError {
    match error {
        VerifyError::Io(error) => error.into(),
        error => ReadFileError::Unknown(error.to_string()),
    }
}

/// Reads NDJSON.
fn read_lines(reader: &mut dyn BufRead, each: &mut dyn FnMut(Exchange)) -> Result<Vec<Missing>, ReadFileError> {
    let mut missing = Vec::new();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        (&mut *reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let damaged = |what: String| ReadFileError::Damaged { place: format!("line {number}"), what };
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            return Err(damaged(format!("is longer than {MAX_LINE} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(exchange) => each(exchange),
            Err(error) => match serde_json::from_slice::<Lost>(&line) {
                Ok(lost) => missing.push(lost.missing),
                Err(_) => return Err(damaged(format!("is not an exchange: {}", shown(&error.to_string())))),
            },
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8]) -> Result<(usize, usize), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut count = 0;
        let missing = read_exchanges(file, &mut |_| count += 1).map_err(|error| error.to_string())?;
        Ok((count, missing.len()))
    }

    #[test]
    fn what_is_no_export_is_named() {
        assert_eq!(read(b"").unwrap_err(), "it is empty: use a bundle, an NDJSON export or a HAR");
        assert!(read(b"\xef\xbb\xbf  ").unwrap_err().starts_with("it is empty"));
        assert!(read(b"PK\x03\x04").unwrap_err().contains("use a bundle"));
        assert!(read(b"a,b\n").unwrap_err().starts_with("unknown file type"));
        assert!(read(b"{\"id\":1}\n").unwrap_err().starts_with("line 1 is not an exchange: "));
    }
}
