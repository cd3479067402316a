//! Finding the end of a JSON value without parsing it.

use std::io;

use memchr::memchr2;

use crate::input::Input;

/// Finds the end of one JSON value in bytes that arrive in pieces. Keeps a count, whatever the nesting.
///
/// Checks nothing: a value that ends is not necessarily valid.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
    in_scalar: bool,
}

impl Scanner {
    /// The index behind the value's last byte, if it is among these bytes. A number or literal ends before the byte
    /// that can't be part of it.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                if std::mem::take(&mut self.escaped) {
                    at += 1;
                    continue;
                }
                let found = memchr2(b'"', b'\\', &bytes[at..])?;
                at += found + 1;
                match bytes[at - 1] {
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return Some(at);
                        }
                    }
                    _ => self.escaped = true,
                }
                continue;
            }
            match bytes[at] {
                b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if self.in_scalar && self.depth == 0 => {
                    return Some(at);
                }
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => self.in_scalar |= self.depth == 0,
            }
            at += 1;
        }
        None
    }
}

/// A value that has no end.
#[derive(Debug)]
pub(crate) enum Endless {
    Io(io::Error),
    /// The file ends first.
    Ended,
    /// It is longer than allowed.
    TooLong,
}

impl From<io::Error> for Endless {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The length of the value at the position, all of which is then buffered.
pub(crate) fn value_length(input: &mut Input<'_>, max: usize) -> Result<usize, Endless> {
    let mut scanner = Scanner::default();
    let mut scanned = 0;
    loop {
        if let Some(end) = scanner.feed(&input.buffered()[scanned..]) {
            return if scanned + end > max { Err(Endless::TooLong) } else { Ok(scanned + end) };
        }
        scanned = input.buffered().len();
        if scanned > max {
            return Err(Endless::TooLong);
        }
        if !input.more()? {
            return Err(Endless::Ended);
        }
    }
}

/// Moves the position behind the value, of which nothing is kept.
pub(crate) fn skip_value(input: &mut Input<'_>) -> Result<(), Endless> {
    let mut scanner = Scanner::default();
    loop {
        let end = scanner.feed(input.buffered());
        input.advance(end.unwrap_or(usize::MAX));
        if end.is_some() {
            return Ok(());
        }
        if !input.more()? {
            return Err(Endless::Ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_json_says_however_it_arrives() {
        for (value, rest) in [
            (r#"{"a":"}\"]\\","b":[{},[1,"{"]]}"#, ",1"),
            (r#""a\\""#, r#"":1"#),
            ("[]", "]"),
            ("-1.5e3", ","),
            ("null", "}"),
            ("true", "\n,"),
            (r#"{"a":1}"#, r#"{"b":2}"#),
        ] {
            let text = format!("{value}{rest}");
            for cut in 0..=text.len() {
                let (one, two) = text.as_bytes().split_at(cut);
                let mut scanner = Scanner::default();
                let end = scanner.feed(one).or_else(|| Some(cut + scanner.feed(two)?));
                assert_eq!(end, Some(value.len()), "{text} cut at {cut}");
            }
        }
        for open in ["", "{", "[1,", "\"a", "\"a\\\"", "{\"a\":{}", "12"] {
            assert_eq!(Scanner::default().feed(open.as_bytes()), None, "{open}");
        }
    }
}
