//! Classifying bytes: text, a known file format, or unknown.

use memchr::memchr;

use super::{
    bounds::Bounds,
    names::{self, Names},
    secrets::Secrets,
    syntax::Syntax,
    text::{Pieces, Text},
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
    hides_secret_in(bytes, kind, names, secrets, Pieces::BINARY)
}

fn hides_secret_in(bytes: &[u8], kind: Kind, names: &Names, secrets: &mut Secrets, pieces: Pieces) -> bool {
    let named = |bytes: &[u8]| kind == Kind::Unknown && names.has_token_name(bytes);
    if named(bytes) {
        return true;
    }
    if memchr(0, bytes).is_none() {
        return false;
    }
    // Piece by piece: a whole copy, with its layers, would take several times the memory of the body.
    let mut dense = bytes.iter().copied().filter(|byte| *byte != 0).peekable();
    let mut piece: Vec<u8> = Vec::with_capacity((pieces.before + pieces.size + pieces.behind).min(bytes.len()));
    let (mut before, mut found, mut left) = (0, false, Bounds::USUAL);
    loop {
        let wanted = before + pieces.size + pieces.behind;
        piece.extend(dense.by_ref().take(wanted - piece.len()));
        let is_last = dense.peek().is_none();
        let own = before..if is_last { usize::MAX } else { before + pieces.size };
        let mut text = Text::piece(&piece, Syntax::Json, own.clone(), Bounds { bytes: Bounds::USUAL.bytes, ..left });
        text.find_named(names, secrets);
        text.find_values(secrets);
        found |= text.has_secrets();
        // All pieces together may take as much as a text.
        if text.is_too_complex() {
            return true;
        }
        left = text.left();
        if kind == Kind::Unknown && !found {
            names.find(&piece, |name| found |= name.kind == names::Kind::Token && own.contains(&name.start));
        }
        if is_last {
            return found;
        }
        let next = before + pieces.size;
        before = next.min(pieces.before);
        piece.drain(..next - before);
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
        let names = Names::tokens_and(&SAMPLE, &[]);
        let hides = |bytes: &[u8], kind| {
            let mut secrets = Secrets::default().with_form(SAMPLE.token_form);
            hides_secret_in(bytes, kind, &names, &mut secrets, Pieces { size: 200, before: 100, behind: 150 })
        };
        let wide = |text: &str| text.bytes().flat_map(|byte| [byte, 0, 0]).collect::<Vec<u8>>();
        let token = wide("C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D");
        let (name, innocent) = (wide("AccessToken"), wide("AccessTokenId"));
        for at in 0..700 {
            let rest = vec![b'.'; at];
            assert!(hides(&[&rest, &token[..], b"...."].concat(), Kind::File), "{at}");
            assert!(hides(&[&rest, &name[..], b"....\0"].concat(), Kind::Unknown), "{at}");
            for kind in [Kind::File, Kind::Unknown] {
                assert!(!hides(&[&rest, &innocent[..], b"....", &token[..60]].concat(), kind), "{at}");
            }
        }
        assert!(!hides(b"", Kind::Unknown));
        assert!(hides(&[b"\0".repeat(1000), token].concat(), Kind::File));
    }

    #[test]
    fn all_that_is_hidden_is_learned() {
        let names = Names::tokens_and(&SAMPLE, &[]);
        let mut secrets = Secrets::default();
        let said =
            ["first-secret-00001", "second-secret-00002"].map(|secret| format!("apikey={secret}&{}", "x".repeat(500)));
        let wide: Vec<u8> = said.concat().bytes().flat_map(|byte| [byte, 0]).collect();
        assert!(hides_secret_in(
            &wide,
            Kind::File,
            &names,
            &mut secrets,
            Pieces { size: 100, before: 50, behind: 100 }
        ));
        for text in ["first-secret-00001", "second-secret-00002"] {
            let mut found = Text::new(text.as_bytes(), Syntax::Json);
            found.find_values(&secrets);
            assert!(found.has_secrets(), "{text}");
        }
    }
}
