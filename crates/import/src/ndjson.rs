//! nightaudit's own export, line by line.

use std::io::BufReader;

use nightaudit_exchange::{Exchange, Incoming, JsonLine, Missing};
use serde::Deserialize;

use crate::{
    Place,
    error::{Damage, Failed},
    input::Input,
};

/// A line that is longer is parsed while it is read: in JSON a body may be six times as long.
const LONG: usize = 16 << 20;

/// Some editors write it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of an export.
#[derive(Debug, Default)]
pub(crate) struct Ndjson {
    /// The number of the last line, from 1.
    line: u64,
}

/// A line that lists missing exchanges.
#[derive(Deserialize)]
struct MissingLine {
    missing: Missing,
}

impl Ndjson {
    pub(crate) fn next(&mut self, input: &mut Input<'_>) -> Option<Result<Incoming, Failed>> {
        self.read(input).transpose()
    }

    fn read(&mut self, input: &mut Input<'_>) -> Result<Option<Incoming>, Failed> {
        loop {
            let offset = input.position();
            let Some((length, end)) = line_length(input)? else { return Ok(None) };
            self.line += 1;
            let line = self.line;
            let damage = |reason: String| Failed::Damage(Damage { place: Place::Line(line), offset, reason });
            if length > LONG {
                return long(input, line == 1).map(Some).map_err(|failed| match failed {
                    NotRead::Io(error) => error.into(),
                    NotRead::Damaged(reason) => damage(reason),
                });
            }
            let read = incoming(&input.buffered()[..length], self.line == 1);
            input.advance(end);
            match read {
                Ok(None) => {}
                Ok(read) => return Ok(read),
                Err(error) => return Err(damage(error.to_string())),
            }
        }
    }
}

/// What a line has; `None` for an empty one.
fn incoming(line: &[u8], is_first: bool) -> Result<Option<Incoming>, serde_json::Error> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line);
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Exchange>(line) {
        Ok(exchange) => Ok(Some(Incoming::Recorded(Box::new(exchange)))),
        Err(error) => match serde_json::from_slice::<MissingLine>(line) {
            Ok(MissingLine { missing }) => Ok(Some(Incoming::Missing(missing))),
            Err(_) => Err(error),
        },
    }
}

/// Why a long line isn't read.
enum NotRead {
    Io(std::io::Error),
    Damaged(String),
}

/// Reads an exchange whose line isn't held as a whole.
fn long(input: &mut Input<'_>, is_first: bool) -> Result<Incoming, NotRead> {
    if is_first && input.buffered().starts_with(BYTE_ORDER_MARK) {
        input.advance(BYTE_ORDER_MARK.len());
    }
    let mut line = JsonLine::new(input, b"");
    let read = serde_json::from_reader::<_, Exchange>(BufReader::with_capacity(64 << 10, &mut line));
    let incoming = match read {
        Ok(exchange) => Ok(Incoming::Recorded(Box::new(exchange))),
        Err(_) if line.is_too_long() => Err("it holds more than an exchange can".to_owned()),
        Err(error) if error.is_io() => return Err(NotRead::Io(error.into())),
        Err(error) => Err(error.to_string()),
    };
    line.skip().map_err(NotRead::Io)?;
    incoming.map_err(NotRead::Damaged)
}

/// The length of the line at the position, without and with its end; `None` at the end of the file. That a line is long
/// is reported once it is known.
fn line_length(input: &mut Input<'_>) -> Result<Option<(usize, usize)>, Failed> {
    let mut searched = 0;
    loop {
        if let Some(end) = memchr::memchr(b'\n', &input.buffered()[searched..]) {
            return Ok(Some((searched + end, searched + end + 1)));
        }
        searched = input.buffered().len();
        if searched > LONG {
            return Ok(Some((searched, searched)));
        }
        if !input.more()? {
            return Ok((searched > 0).then_some((searched, searched)));
        }
    }
}
