//! The format of a file, by its first bytes.

use crate::{Error, har::scan::Scanner};

/// What a file of exchanges is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// nightaudit's own export, one exchange per line.
    Ndjson,
    /// An HTTP Archive, by whatever tool.
    Har,
    /// A flow file of mitmproxy.
    Flows,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    /// As mitmproxy's `.zhar`.
    Zlib,
}

impl Compression {
    pub(crate) fn of(begins: &[u8]) -> Option<Self> {
        match begins {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // RFC 1950, section 2.2: deflate with a window of 32 KiB, and a check of both bytes.
            [0x78, flags, ..] if (0x7800 + u16::from(*flags)) % 31 == 0 => Some(Self::Zlib),
            _ => None,
        }
    }
}

/// Checks a file by its first bytes, before anything is done with it.
///
/// # Errors
///
/// As [`Format::of`]; what is compressed can only be told later.
pub fn check_beginning(begins: &[u8]) -> Result<(), Error> {
    if Compression::of(begins).is_some() { Ok(()) } else { Format::of(begins).map(drop) }
}

impl Format {
    /// The format of a file that begins so.
    ///
    /// # Errors
    ///
    /// [`Error::Bundle`] for a bundle, [`Error::Empty`] for nothing but white space, and [`Error::Unknown`] for what is no
    /// such file.
    pub fn of(begins: &[u8]) -> Result<Self, Error> {
        if begins.starts_with(b"PK\x03\x04") {
            return Err(Error::Bundle);
        }
        // Some editors write a byte order mark.
        let text = begins.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begins).trim_ascii_start();
        match text.first() {
            None => Err(Error::Empty),
            Some(b'{') if has_log(text) => Ok(Self::Har),
            Some(b'{') => Ok(Self::Ndjson),
            // A netstring's length.
            Some(b'0'..=b'9') if begins.len() == text.len() && begins.iter().take(13).any(|byte| *byte == b':') => {
                Ok(Self::Flows)
            }
            Some(_) => Err(Error::Unknown),
        }
    }
}

/// Whether an object has the property `log` at its top level, as far as is known of it, before any that an export's line
/// begins with.
fn has_log(text: &[u8]) -> bool {
    let mut rest = text[1..].trim_ascii_start();
    while rest.first() == Some(&b'"') {
        let Some(end) = Scanner::default().feed(rest) else { return false };
        let (name, after) = rest.split_at(end);
        match name {
            b"\"log\"" => return true,
            b"\"id\"" | b"\"session\"" | b"\"missing\"" => return false,
            _ => {}
        }
        let Some(value) = after.trim_ascii_start().strip_prefix(b":") else { return false };
        let value = value.trim_ascii_start();
        let Some(end) = Scanner::default().feed(value) else { return false };
        let Some(next) = value[end..].trim_ascii_start().strip_prefix(b",") else { return false };
        rest = next.trim_ascii_start();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        for (begins, format) in [
            (&b"{\"log\":{"[..], Format::Har),
            (b"\xef\xbb\xbf {\n \"log\" : {", Format::Har),
            (b"{\"$schema\": \"x\", \"a\": {\"log\": 1}, \"log\": {", Format::Har),
            (b"{\"id\":\"01KAS\", \"log\": 1}", Format::Ndjson),
            (b"{\"missing\":{}}", Format::Ndjson),
            (b"{\"a\":{\"log\":{}}}\n", Format::Ndjson),
            (b"{", Format::Ndjson),
            (b"2134:5:error,0:~", Format::Flows),
        ] {
            assert_eq!(Format::of(begins).unwrap(), format, "{}", String::from_utf8_lossy(begins));
        }
        assert!(matches!(Format::of(b"PK\x03\x04"), Err(Error::Bundle)));
        assert!(matches!(Format::of(b" \n"), Err(Error::Empty)));
        for begins in [&b"<html>"[..], b"12345", b" 12:", b"[{\"log\":{}}]", b"\0", b"123456789012345:"] {
            assert!(matches!(Format::of(begins), Err(Error::Unknown)), "{begins:?}");
        }
    }

    #[test]
    fn compression_is_told_by_two_bytes() {
        for level in [0x01, 0x5e, 0x9c, 0xda] {
            assert_eq!(Compression::of(&[0x78, level, 0]), Some(Compression::Zlib));
        }
        assert_eq!(Compression::of(&[0x1f, 0x8b]), Some(Compression::Gzip));
        assert_eq!((Compression::of(b"x:"), Compression::of(b"{"), Compression::of(b"")), (None, None, None));
    }
}
