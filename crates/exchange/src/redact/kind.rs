//! Classifying bytes: text, a known file format, or unknown.

use memchr::memchr;

use super::{
    names::Names,
    secrets::Secrets,
    syntax::Syntax,
    text::{OVERLAP, PIECE, Text},
};

/// The kind of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, in UTF-8 or another ASCII-compatible encoding.
    Text,
    /// A known file format, such as an image: nothing writes tokens into it.
    File,
    /// Anything else.
    Unknown,
}

/// Magic bytes of the formats most often attached to hotel records or returned in responses.
const FORMATS: [&[u8]; 24] = [
    b"%PDF-",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\x01\0",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"BZh",
    b"\xfd7zXZ\0",
    b"OggS",
    b"ID3",
    b"fLaC",
    b"wOFF",
    b"wOF2",
    b"\0\x01\0\0\0",
    b"OTTO",
    b"\x1aE\xdf\xa3",
];

impl Kind {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if memchr(0, bytes).is_none() {
            Self::without_zeros(bytes)
        } else if is_file(bytes) {
            Self::File
        } else {
            Self::Unknown
        }
    }

    /// Like [`of`](Self::of), for bytes known to contain no zero.
    pub(super) fn without_zeros(bytes: &[u8]) -> Self {
        if is_text(bytes) {
            Self::Text
        } else if is_file(bytes) {
            Self::File
        } else {
            Self::Unknown
        }
    }
}

/// Whether bytes without zeros are text: no control characters, and either UTF-8 or mostly ASCII (which excludes
/// EBCDIC).
fn is_text(bytes: &[u8]) -> bool {
    if matches!(bytes.trim_ascii_start(), [b'{', b'"', ..] | [b'[', b'{', ..]) {
        return true;
    }
    let control = |byte: &&u8| **byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 8 | 11 | 12 | 27);
    if bytes.iter().any(|byte| control(&byte)) {
        return false;
    }
    let is_utf_8 = match str::from_utf8(bytes) {
        Ok(_) => true,
        // Truncated within a character.
        Err(error) => error.error_len().is_none(),
    };
    // Binary formats start with a length or type, whose value would be too large for a letter.
    let begins = bytes.first().is_some_and(u8::is_ascii);
    is_utf_8 || begins && bytes.iter().filter(|byte| byte.is_ascii() && **byte != 127).count() * 4 >= bytes.len() * 3
}

fn is_file(bytes: &[u8]) -> bool {
    FORMATS.iter().any(|magic| bytes.starts_with(magic))
        || bytes.starts_with(b"RIFF")
            && bytes.get(8..12).is_some_and(|form| [b"WEBP", b"WAVE", b"AVI "].iter().any(|known| form == *known))
        || bytes.get(4..8) == Some(b"ftyp")
        || bytes.get(257..262) == Some(b"ustar")
}

/// Whether binary data contains a secret interleaved with zeros, as in UTF-16 that starts somewhere inside; or, unless
/// a known file, a token name, after which the token may follow unreadably.
pub(super) fn hides_secret(bytes: &[u8], kind: Kind, names: &Names, secrets: &mut Secrets) -> bool {
    let named = |bytes: &[u8]| kind == Kind::Unknown && names.has_token_name(bytes);
    if named(bytes) {
        return true;
    }
    if memchr(0, bytes).is_none() {
        return false;
    }
    // Piece by piece: a whole copy, with its layers, would take several times the memory of the body.
    let mut dense = bytes.iter().copied().filter(|byte| *byte != 0);
    let mut piece = Vec::with_capacity(PIECE.min(bytes.len()));
    loop {
        let seen = piece.len();
        piece.extend(dense.by_ref().take(PIECE - seen));
        if piece.len() == seen {
            return false;
        }
        let mut text = Text::new(&piece, Syntax::Json);
        text.find_named(names, secrets);
        text.find_values(secrets);
        if named(&piece) || text.has_secrets() {
            return true;
        }
        piece.drain(..piece.len().saturating_sub(OVERLAP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SAMPLE;

    #[test]
    fn text_files_and_the_rest_are_distinguished() {
        let latin_1 = b"{'Name':'caf\xe9'}";
        for text in [&b""[..], b"{}", b"a=b", "日本語".as_bytes(), &"日本語".as_bytes()[..8], latin_1, b"\x1b[1mhi"]
        {
            assert_eq!(Kind::of(text), Kind::Text, "{text:?}");
        }
        for file in [&b"%PDF-1.7\n\0\xff"[..], b"\x89PNG\r\n\x1a\n\0\0", b"RIFF\0\0\0\0WEBP\0", b"\0\0\0\x18ftypmp42"] {
            assert_eq!(Kind::of(file), Kind::File, "{file:?}");
        }
        // JSON in EBCDIC, a MessagePack map, a Protocol Buffers message.
        for unknown in [&b"\xc0\x7f\xc1\x83\x83\x85\xa2\xa2"[..], b"\x81\xa1a\x01", b"\x0a\x03abc\x10\x01"] {
            assert_eq!(Kind::of(unknown), Kind::Unknown, "{unknown:?}");
        }
    }

    #[test]
    fn what_is_interleaved_with_zeros_is_found_wherever_pieces_meet() {
        const TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
        let names = Names::tokens_and(&SAMPLE, &[]);
        let hides = |bytes: &[u8]| {
            let mut secrets = Secrets::default().with_form(SAMPLE.token_form);
            hides_secret(bytes, Kind::File, &names, &mut secrets)
        };
        let wide: Vec<u8> = TOKEN.bytes().flat_map(|byte| [byte, 0, 0]).collect();
        let rest = vec![b'.'; 2 * PIECE];
        let ends = [PIECE, 2 * PIECE - OVERLAP];
        for end in ends {
            for at in (end - 80..end + 20).step_by(33).chain([end - OVERLAP - 3, end - OVERLAP + 3]) {
                let bytes = [&rest[..at], &wide, &rest[..100]].concat();
                assert!(hides(&bytes), "{at}");
            }
        }
        assert!(!hides(&[&rest[..], b"\0", &wide[..60]].concat()));
        assert!(!hides(b""));
        assert!(hides(&[b"\0".repeat(PIECE), wide].concat()));
    }
}
