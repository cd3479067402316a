//! Text in UTF-16 and UTF-32, which older JSON standards allow and some clients send.

mod stream;

use std::borrow::Cow;

use memchr::memchr;

pub use self::stream::Utf8Stream;

/// Sample size for detecting the encoding, in bytes.
const SAMPLE: usize = 4096;

/// Converts UTF-16 and UTF-32, with or without a byte order mark, to UTF-8; other bytes are returned as they are.
///
/// Without a mark, the positions of zero bytes indicate the encoding: in text with ASCII punctuation, such as JSON,
/// forms and XML, every other byte is zero in UTF-16, and three in four in UTF-32. Invalid units become U+FFFD; a
/// truncated unit at the end is dropped. A leading mark is removed.
///
/// ```
/// let utf_16: Vec<u8> = "{\"Client\":\"Café\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
/// assert_eq!(&*nightaudit_exchange::as_utf8(&utf_16), "{\"Client\":\"Café\"}".as_bytes());
/// assert_eq!(&*nightaudit_exchange::as_utf8(b"{}"), b"{}");
/// ```
#[must_use]
pub fn as_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    // Text that starts with ASCII in UTF-8, as nearly all does, is recognised by that alone.
    if bytes.first().is_some_and(u8::is_ascii) && bytes.iter().take(4).all(|byte| *byte != 0) {
        return Cow::Borrowed(bytes);
    }
    decode(bytes).map_or(Cow::Borrowed(bytes), |text| Cow::Owned(text.into_bytes()))
}

/// The text of bytes in UTF-16 or UTF-32; `None` for anything else.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let (encoding, mark) = by_mark(bytes).or_else(|| Some((by_zeros(bytes)?, 0)))?;
    let bytes = &bytes[mark..];
    let text: String = match encoding {
        Encoding::Utf16(order) => {
            let units = bytes.as_chunks::<2>().0.iter().map(|unit| order.unit_16(*unit));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        Encoding::Utf32(order) => {
            let units = bytes.as_chunks::<4>().0.iter().map(|unit| order.unit_32(*unit));
            units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
    };
    // A guess from zero bytes must decode to text.
    let is_text = mark > 0 || {
        let strange = |character: &char| *character == char::REPLACEMENT_CHARACTER || is_control(*character);
        !text.is_empty() && text.chars().filter(strange).take(2).count() < 2
    };
    is_text.then_some(text)
}

fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{c}' | '\u{b}')
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Utf16(Order),
    Utf32(Order),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn unit_16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn unit_32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// The encoding indicated by a byte order mark, and the mark's length.
fn by_mark(bytes: &[u8]) -> Option<(Encoding, usize)> {
    match bytes {
        // First, since UTF-16's mark is a prefix of it.
        [0xff, 0xfe, 0, 0, ..] => Some((Encoding::Utf32(Order::Little), 4)),
        [0, 0, 0xfe, 0xff, ..] => Some((Encoding::Utf32(Order::Big), 4)),
        [0xff, 0xfe, ..] => Some((Encoding::Utf16(Order::Little), 2)),
        [0xfe, 0xff, ..] => Some((Encoding::Utf16(Order::Big), 2)),
        _ => None,
    }
}

fn by_zeros(bytes: &[u8]) -> Option<Encoding> {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    memchr(0, sample)?;
    let mut zeros = [0_usize; 4];
    for (index, _) in sample.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        zeros[index % 4] += 1;
    }
    let quarter = sample.len().div_ceil(4);
    let [most, few] = [|zeros: usize, of: usize| zeros * 10 >= of, |zeros: usize, of: usize| zeros * 20 < of.max(20)];
    let all = |zeros: usize| zeros * 10 >= quarter * 9;
    let (even, odd, half) = (zeros[0] + zeros[2], zeros[1] + zeros[3], quarter * 2);
    if all(zeros[2]) && all(zeros[3]) && most(zeros[1], quarter) && few(zeros[0], quarter) {
        Some(Encoding::Utf32(Order::Little))
    } else if all(zeros[0]) && all(zeros[1]) && most(zeros[2], quarter) && few(zeros[3], quarter) {
        Some(Encoding::Utf32(Order::Big))
    } else if most(odd, half) && few(even, half) {
        Some(Encoding::Utf16(Order::Little))
    } else if most(even, half) && few(odd, half) {
        Some(Encoding::Utf16(Order::Big))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str, unit: usize, big: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |number: u32, length: usize| {
            let number = number.to_be_bytes();
            let number = &number[4 - length..];
            if big { bytes.extend(number) } else { bytes.extend(number.iter().rev()) }
        };
        match unit {
            2 => text.encode_utf16().for_each(|unit| put(unit.into(), 2)),
            _ => text.chars().for_each(|character| put(character.into(), 4)),
        }
        bytes
    }

    #[test]
    fn both_encodings_decode_in_both_orders_with_and_without_a_mark() {
        for text in ["{\"AccessToken\":\"Ä\"}", "{\"a\":\"日本語のテキスト\"}", "a=b", "<a>é</a>"] {
            for unit in [2, 4] {
                for big in [false, true] {
                    assert_eq!(decode(&encoded(text, unit, big)).as_deref(), Some(text), "{text} {unit} {big}");
                    let marked = encoded(&format!("\u{feff}{text}"), unit, big);
                    assert_eq!(decode(&marked).as_deref(), Some(text), "{text} {unit} {big}, marked");
                }
            }
        }
    }

    #[test]
    fn other_bytes_are_left_alone() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0\x1f\xf3\xffa";
        for bytes in [&b""[..], b"{}", b"\0", b"a\0", b"\xef\xbb\xbf{}", &[0; 64], png, "日本語".as_bytes()] {
            // A single UTF-16 character counts too.
            if bytes != b"a\0" {
                assert_eq!(decode(bytes), None, "{bytes:?}");
            }
            let _ = as_utf8(bytes);
        }
    }

    proptest! {
        #[test]
        fn truncated_text_decodes_as_far_as_possible(cut in 8_usize..60) {
            let whole = encoded("{\"AccessToken\":\"abcdefghijklmnop\"}", 2, false);
            let read = decode(&whole[..cut]).unwrap();
            let is_prefix = "{\"AccessToken\":\"abcdefghijklmnop\"}".starts_with(&read);
            prop_assert!(is_prefix);
            prop_assert_eq!(read.len(), cut / 2);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = as_utf8(&bytes);
        }
    }
}
