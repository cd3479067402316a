//! Text search in an exchange.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::{Body, Exchange, Header};

/// A search text, matched case-insensitively, whether JSON writes it literally or with escapes.
///
/// Time and memory are proportional to the longest text searched.
pub(super) struct Needle {
    lower: String,
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        Self { lower: text.to_lowercase() }
    }

    /// Whether the URL, a header or a decoded body contains it.
    pub(super) fn is_in(&self, exchange: &Exchange) -> bool {
        let finder = memmem::Finder::new(&self.lower);
        let found = |text: &[u8]| self.is_within(&finder, text);
        let in_headers = |headers: &[Header]| {
            headers.iter().any(|header| found(header.name.as_bytes()) || found(header.value.as_bytes()))
        };
        let in_body = |body: &Body| {
            let decoded = body.decoded().0;
            found(&decoded) || memchr(b'\\', &decoded).is_some_and(|first| found(&unescaped(&decoded, first)))
        };
        found(exchange.request.url.as_bytes())
            || in_headers(&exchange.request.headers)
            || exchange.response.as_ref().is_some_and(|response| in_headers(&response.headers))
            || exchange.bodies().any(in_body)
    }

    fn is_within(&self, finder: &memmem::Finder<'_>, text: &[u8]) -> bool {
        // An ASCII needle needs only ASCII case folding, which is far faster.
        let folded: Cow<'_, [u8]> = if self.lower.is_ascii() {
            text.to_ascii_lowercase().into()
        } else {
            String::from_utf8_lossy(text).to_lowercase().into_bytes().into()
        };
        finder.find(&folded).is_some()
    }
}

/// The text with its JSON escapes decoded, from its first backslash; anything that is not an escape stays.
fn unescaped(text: &[u8], first: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (before, mut rest) = text.split_at(first);
    out.extend_from_slice(before);
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(letter) = rest.first() else {
            out.push(b'\\');
            return out;
        };
        let plain = match letter {
            b'"' | b'\\' | b'/' => Some(*letter),
            b'b' => Some(0x08),
            b'f' => Some(0x0c),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            _ => None,
        };
        if let Some(plain) = plain {
            out.push(plain);
            rest = &rest[1..];
        } else if let Some((letter, length)) = code_point(rest) {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[length..];
        } else {
            out.push(b'\\');
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The character of `uXXXX` or of a surrogate pair, and its length in bytes after the backslash (RFC 8259, section 7).
fn code_point(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| -> Option<u32> {
        let digits = std::str::from_utf8(text.strip_prefix(b"u")?.get(..4)?).ok()?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let high = unit(text)?;
    if let Some(letter) = char::from_u32(high) {
        return Some((letter, 5));
    }
    let low = unit(text.get(5..)?.strip_prefix(b"\\")?)?;
    let pair = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
    let letter = pair.then(|| char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)))??;
    Some((letter, 11))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sample;

    fn found(needle: &str, body: &str) -> bool {
        let mut exchange = sample();
        exchange.request.body = Body::whole(body.to_owned().into());
        Needle::new(needle).is_in(&exchange)
    }

    #[test]
    fn regression_letters_that_json_escapes_were_not_found() {
        for (needle, body) in [
            ("é", r#"{"Name":"caf\u00e9"}"#),
            ("CAFÉ", r#"{"Name":"caf\u00E9"}"#),
            ("café", r#"{"Name":"CAF\u00c9"}"#),
            ("café", r#"{"Name":"Café"}"#),
            ("😀", r#"{"Note":"\ud83d\ude00"}"#),
            ("Müller & Söhne", r#"{"Name":"M\u00fcller \u0026 S\u00f6hne"}"#),
            ("a/b", r#"{"Url":"a\/b"}"#),
            (r"\u00e9", r#"{"Name":"caf\u00e9"}"#),
            (r#"say "hi""#, r#"{"Note":"say \"hi\""}"#),
            ("smith", r#"{"LastName":"SMITH"}"#),
            ("ŽIŽKOV", r#"{"City":"žižkov"}"#),
        ] {
            assert!(found(needle, body), "{needle} in {body}");
        }
        for (needle, body) in [
            ("é", r#"{"Name":"cafe"}"#),
            ("é", r#"{"Name":"caf\\u00e"}"#),
            ("😀", r#"{"Note":"\ud83d"}"#),
            ("a z", "a\\"),
        ] {
            assert!(!found(needle, body), "{needle} in {body}");
        }
    }

    proptest! {
        #[test]
        fn text_is_found_however_json_escapes_it(text in "[ -~éžß😀]{1,12}", ascii in any::<bool>()) {
            let mut body = serde_json::to_string(&text).unwrap();
            if ascii {
                let units = |letter: char| {
                    letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
                };
                body = body.chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c) }).collect();
            }
            prop_assert!(found(&text, &body));
        }

        #[test]
        fn never_panics(body in proptest::collection::vec(prop_oneof![Just(b'\\'), Just(b'u'), any::<u8>()], 0..40)) {
            let _ = memchr(b'\\', &body).map(|first| unescaped(&body, first));
        }
    }
}
