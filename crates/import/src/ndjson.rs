//! nightaudit's own export, line by line.

use nightaudit_exchange::{Exchange, Incoming, Missing};
use serde::Deserialize;

use crate::{
    Place,
    error::{Damage, Failed},
    input::Input,
};

/// The longest line, in bytes: two bodies of 64 MiB in base64.
const MAX_LINE: usize = 192 << 20;

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
            if length > MAX_LINE {
                skip_line(input)?;
                return Err(damage(format!("it is longer than {MAX_LINE} bytes")));
            }
            let read = incoming(&input.bytes()[..length], self.line == 1);
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
    // Some editors write a byte order mark.
    let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_first).unwrap_or(line);
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

/// The length of the line at the position, without and with its end; `None` at the end of the file. A line that is too
/// long is reported once that is known.
fn line_length(input: &mut Input<'_>) -> Result<Option<(usize, usize)>, Failed> {
    let mut searched = 0;
    loop {
        if let Some(end) = memchr::memchr(b'\n', &input.bytes()[searched..]) {
            return Ok(Some((searched + end, searched + end + 1)));
        }
        searched = input.bytes().len();
        if searched > MAX_LINE {
            return Ok(Some((searched, searched)));
        }
        if !input.more()? {
            return Ok((searched > 0).then_some((searched, searched)));
        }
    }
}

fn skip_line(input: &mut Input<'_>) -> Result<(), Failed> {
    loop {
        let end = memchr::memchr(b'\n', input.bytes());
        input.advance(end.map_or(usize::MAX, |end| end + 1));
        if end.is_some() || !input.more()? {
            return Ok(());
        }
    }
}
