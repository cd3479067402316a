//! Text in UTF-16 and UTF-32, which JSON is allowed to come in by older standards, and which some clients send.

use std::borrow::Cow;

use memchr::memchr;

/// How much of a text is looked at to tell its encoding.
const SAMPLE: usize = 4096;

/// The bytes as UTF-8 where they are UTF-16 or UTF-32, with a byte order mark or without; else as they stand.
///
/// Without a mark the encoding is told by where the zeros stand: of a text whose punctuation is ASCII, as that of JSON,
/// forms and XML is, every other byte is zero in UTF-16, three of four in UTF-32. What is no character becomes U+FFFD;
/// what a cut leaves of one is dropped. A mark at the beginning is left out.
///
/// ```
/// let utf_16: Vec<u8> = "{\"Client\":\"Café\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
/// assert_eq!(&*nightaudit_exchange::as_utf8(&utf_16), "{\"Client\":\"Café\"}".as_bytes());
/// assert_eq!(&*nightaudit_exchange::as_utf8(b"{}"), b"{}");
/// ```
#[must_use]
pub fn as_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    // What begins with ASCII in UTF-8, as nearly everything does, is told by that alone.
    if bytes.first().is_some_and(u8::is_ascii) && bytes.iter().take(4).all(|byte| *byte != 0) {
        return Cow::Borrowed(bytes);
    }
    decode(bytes).map_or(Cow::Borrowed(bytes), |text| Cow::Owned(text.into_bytes()))
}

/// The text of bytes in UTF-16 or UTF-32; none where they are neither.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let (encoding, mark) = by_mark(bytes).or_else(|| Some((by_zeros(bytes)?, 0)))?;
    let bytes = &bytes[mark..];
    let text: String = match encoding {
        Encoding::Utf16(order) => {
            let units = bytes.as_chunks::<2>().0.iter().map(|unit| match order {
                Order::Little => u16::from_le_bytes(*unit),
                Order::Big => u16::from_be_bytes(*unit),
            });
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        Encoding::Utf32(order) => {
            let units = bytes.as_chunks::<4>().0.iter().map(|unit| match order {
                Order::Little => u32::from_le_bytes(*unit),
                Order::Big => u32::from_be_bytes(*unit),
            });
            units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
    };
    // A guess by the zeros must come out as text.
    let is_text = mark > 0 || {
        let strange = |character: &char| *character == char::REPLACEMENT_CHARACTER || is_control(*character);
        !text.is_empty() && text.chars().filter(strange).take(2).count() < 2
    };
    is_text.then_some(text)
}

fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{c}' | '\u{b}')
}

#[derive(Clone, Copy)]
enum Encoding {
    Utf16(Order),
    Utf32(Order),
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// The encoding that a byte order mark tells, and the mark's length.
fn by_mark(bytes: &[u8]) -> Option<(Encoding, usize)> {
    match bytes {
        // First, since it begins as UTF-16's does.
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
    for (place, _) in sample.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        zeros[place % 4] += 1;
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
    fn both_encodings_are_read_in_both_orders_with_and_without_a_mark() {
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
    fn what_is_neither_stays() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0\x1f\xf3\xffa";
        for bytes in [&b""[..], b"{}", b"\0", b"a\0", b"\xef\xbb\xbf{}", &[0; 64], png, "日本語".as_bytes()] {
            // A single character of UTF-16 is one, too.
            if bytes != b"a\0" {
                assert_eq!(decode(bytes), None, "{bytes:?}");
            }
            let _ = as_utf8(bytes);
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_is_read_as_far_as_it_goes(cut in 8_usize..60) {
            let whole = encoded("{\"AccessToken\":\"abcdefghijklmnop\"}", 2, false);
            let read = decode(&whole[..cut]).unwrap();
            let is_beginning = "{\"AccessToken\":\"abcdefghijklmnop\"}".starts_with(&read);
            prop_assert!(is_beginning);
            prop_assert_eq!(read.len(), cut / 2);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = as_utf8(&bytes);
        }
    }
}
