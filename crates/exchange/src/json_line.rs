//! Bounds for a line of JSON: by what it holds, not by how that is escaped.
//!
//! A byte of a body takes up to six bytes in an export: `\u0001`. A bound on the line's length would either refuse what
//! nightaudit itself wrote, or allow six times the memory.

use std::io::{self, BufRead, Read};

use memchr::memchr;

/// The most content of an exchange in JSON, in bytes: two bodies of 60 MiB, which redaction may make longer by a fifth,
/// each decoded and, in base64, as on the wire; or what was imported from a file with one of 192 MiB.
const MAX_CONTENT: u64 = 400 << 20;

/// Counts the content of JSON text that arrives in pieces: its bytes, of which an escape of six counts as one.
#[derive(Debug, Clone, Default)]
pub struct JsonContent {
    bytes: u64,
    /// Whether the text so far ends with a backslash that begins an escape.
    in_escape: bool,
    /// How many digits of `\u0001` are still to come.
    digits: usize,
}

impl JsonContent {
    /// Counts the next bytes of the text.
    pub fn feed(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            if std::mem::take(&mut self.in_escape) {
                self.digits = if text[0] == b'u' { 4 } else { 0 };
                text = &text[1..];
                continue;
            }
            let skipped = self.digits.min(text.len());
            self.digits -= skipped;
            text = &text[skipped..];
            let end = memchr(b'\\', text);
            self.in_escape = end.is_some();
            let plain = end.map_or(text.len(), |end| end + 1);
            self.bytes = self.bytes.saturating_add(plain as u64);
            text = &text[plain..];
        }
    }

    /// Whether this is more than an exchange can have.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.bytes > MAX_CONTENT
    }
}

/// The rest of a line, as a reader that ends where the line does.
///
/// It fails when the line holds more than an exchange can.
#[derive(Debug)]
pub struct JsonLine<R> {
    reader: R,
    content: JsonContent,
    has_ended: bool,
}

impl<R: BufRead> JsonLine<R> {
    /// A line from the reader's position on, of which `begun` was read before.
    pub fn new(reader: R, begun: &[u8]) -> Self {
        let mut content = JsonContent::default();
        content.feed(begun);
        Self { reader, content, has_ended: false }
    }

    /// Moves the reader behind the line, whatever is left of it; `false` if the file ends without a line feed.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn skip(&mut self) -> io::Result<bool> {
        while !self.has_ended {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let (length, end) = (bytes.len(), memchr(b'\n', bytes));
            self.has_ended = end.is_some();
            self.reader.consume(end.map_or(length, |end| end + 1));
        }
        Ok(true)
    }

    /// Whether the line holds more than an exchange can.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.content.is_too_much()
    }
}

impl<R: BufRead> Read for JsonLine<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_ended || buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.reader.fill_buf()?;
        let most = &bytes[..bytes.len().min(buffer.len())];
        let end = memchr(b'\n', most);
        let length = end.unwrap_or(most.len());
        buffer[..length].copy_from_slice(&most[..length]);
        self.has_ended = end.is_some();
        self.reader.consume(length + usize::from(self.has_ended));
        self.content.feed(&buffer[..length]);
        if self.is_too_long() {
            return Err(io::Error::other("the line holds more than an exchange can"));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// The content of the text, cut into two pieces anywhere.
    fn content(text: &str) -> u64 {
        let of = |cut: usize| {
            let mut content = JsonContent::default();
            content.feed(&text.as_bytes()[..cut]);
            content.feed(&text.as_bytes()[cut..]);
            content.bytes
        };
        let whole = of(text.len());
        assert!((0..text.len()).all(|cut| of(cut) == whole), "{text}");
        whole
    }

    #[test]
    fn an_escape_counts_as_one_byte() {
        assert_eq!(content(r#"{"a":"b"}"#), 9);
        assert_eq!(content(r"\u0001\u0001"), 2);
        assert_eq!(content(r#"a\"b\\u0001"#), 4 + 5);
        assert_eq!(content(r"\\\\\u0001x"), 4);
        assert_eq!(content(""), 0);
        // Not JSON, and counted anyway.
        assert_eq!(content(r"\"), 1);
    }

    #[test]
    fn a_line_is_read_to_its_end_and_no_further() {
        for size in 1..8 {
            let mut file = BufReader::with_capacity(size, &b"one\ntwo\n\nthree"[..]);
            let mut lines = Vec::new();
            loop {
                let mut text = String::new();
                let mut line = JsonLine::new(&mut file, b"");
                line.read_to_string(&mut text).unwrap();
                lines.push(text);
                if !line.skip().unwrap() {
                    break;
                }
            }
            assert_eq!(lines, ["one", "two", "", "three"], "{size}");
        }
    }

    #[test]
    fn what_is_left_of_a_line_is_skipped() {
        let mut file = BufReader::new(&b"abcdef\nnext"[..]);
        let mut line = JsonLine::new(&mut file, b"");
        line.read_exact(&mut [0; 3]).unwrap();
        assert!(line.skip().unwrap());
        assert_eq!(file.buffer(), b"next");
    }

    #[test]
    fn an_endless_line_is_an_error_however_it_is_written() {
        /// The same piece for ever.
        struct Endless(&'static [u8], usize);

        impl Read for Endless {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                unreachable!("it is buffered")
            }
        }

        impl BufRead for Endless {
            fn fill_buf(&mut self) -> io::Result<&[u8]> {
                Ok(&self.0[self.1..])
            }

            fn consume(&mut self, count: usize) {
                self.1 = (self.1 + count) % self.0.len();
            }
        }

        let plain = vec![b'x'; 1 << 20].leak();
        let mut line = JsonLine::new(Endless(plain, 0), b"");
        let mut buffer = vec![0; 1 << 20];
        let mut read = 0;
        let error = loop {
            match line.read(&mut buffer) {
                Ok(count) => read += count as u64,
                Err(error) => break error,
            }
        };
        assert!(line.is_too_long() && read <= MAX_CONTENT, "{error}");
        // What was read before counts, too.
        let mut line = JsonLine::new(Endless(plain, 0), &vec![b'x'; (MAX_CONTENT - 10) as usize]);
        assert!(line.read(&mut buffer).is_err());
    }
}
