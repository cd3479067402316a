//! Text that arrives in pieces, as UTF-8.

use std::borrow::Cow;

use super::{Encoding, Order, by_mark};

/// Converts JSON in UTF-16 and UTF-32 to UTF-8 while it arrives; what is in UTF-8 passes as it is.
///
/// Its first bytes tell, as JSON starts with an ASCII character: a byte order mark, or where the zeros are (RFC 4627,
/// section 3). Invalid units become U+FFFD. A leading mark of UTF-16 or UTF-32 is removed.
///
/// ```
/// let mut text = nightaudit_exchange::Utf8Stream::default();
/// assert_eq!(&*text.push(b"{\0\""), b"");
/// assert_eq!(&*text.push(b"\0A\0"), b"{\"A");
/// ```
#[derive(Debug, Default)]
pub struct Utf8Stream {
    known: Known,
    /// Bytes of an unfinished unit, or fewer than tell the encoding.
    left: Vec<u8>,
    /// The first half of a character.
    high: Option<u16>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Known {
    #[default]
    Nothing,
    Utf8,
    Other(Encoding),
}

impl Utf8Stream {
    /// Returns the text of the next bytes, as far as it is complete.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match self.known {
            Known::Utf8 => return Cow::Borrowed(bytes),
            Known::Nothing if self.left.is_empty() && matches!(detect(bytes), Some((Known::Utf8, _))) => {
                self.known = Known::Utf8;
                return Cow::Borrowed(bytes);
            }
            Known::Nothing | Known::Other(_) => {}
        }
        let mut all = std::mem::take(&mut self.left);
        all.extend_from_slice(bytes);
        if matches!(self.known, Known::Nothing) {
            let Some((known, mark)) = detect(&all) else {
                self.left = all;
                return Cow::Borrowed(&[]);
            };
            self.known = known;
            all.drain(..mark);
        }
        let Known::Other(encoding) = self.known else { return Cow::Owned(all) };
        let mut text = String::new();
        let left = match encoding {
            Encoding::Utf16(order) => {
                let (units, left) = all.as_chunks::<2>();
                units.iter().for_each(|unit| self.unit(order.unit_16(*unit), &mut text));
                left
            }
            Encoding::Utf32(order) => {
                let (units, left) = all.as_chunks::<4>();
                let character =
                    |unit: &[u8; 4]| char::from_u32(order.unit_32(*unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend(units.iter().map(character));
                left
            }
        };
        self.left = left.to_vec();
        Cow::Owned(text.into_bytes())
    }

    fn unit(&mut self, unit: u16, text: &mut String) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(character)) = char::decode_utf16([high, unit]).next() {
                text.push(character);
                return;
            }
            text.push(char::REPLACEMENT_CHARACTER);
        }
        match char::decode_utf16([unit]).next() {
            Some(Ok(character)) => text.push(character),
            // Its second half is yet to come.
            _ if (0xd800..0xdc00).contains(&unit) => self.high = Some(unit),
            _ => text.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// The encoding by the first bytes, and the length of the byte order mark; `None` if they are too few to tell.
fn detect(first: &[u8]) -> Option<(Known, usize)> {
    let could_be = match first {
        [] | [_] => return None,
        [0xff, 0xfe, ..] | [0, 0, ..] | [_, 0, ..] => first.len() >= 4,
        _ => true,
    };
    if !could_be {
        return None;
    }
    if let Some((encoding, mark)) = by_mark(first) {
        return Some((Known::Other(encoding), mark));
    }
    let known = match first {
        [0, 0, 0, ..] => Known::Other(Encoding::Utf32(Order::Big)),
        [0, 0, ..] => Known::Utf8,
        [0, ..] => Known::Other(Encoding::Utf16(Order::Big)),
        [_, 0, 0, 0, ..] => Known::Other(Encoding::Utf32(Order::Little)),
        [_, 0, ..] => Known::Other(Encoding::Utf16(Order::Little)),
        _ => Known::Utf8,
    };
    Some((known, 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str, unit: usize, big: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |number: u32| {
            let number = number.to_be_bytes();
            let number = &number[4 - unit..];
            if big { bytes.extend(number) } else { bytes.extend(number.iter().rev()) }
        };
        match unit {
            2 => text.encode_utf16().for_each(|unit| put(unit.into())),
            _ => text.chars().for_each(|character| put(character.into())),
        }
        bytes
    }

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut text = Utf8Stream::default();
        pieces.into_iter().flat_map(|piece| text.push(piece).into_owned()).collect()
    }

    proptest! {
        #[test]
        fn pieces_give_the_text(text in "[{ ][\\[a\"}][a{}é語😀]{0,20}", piece in 1_usize..9, mark in any::<bool>()) {
            for (unit, big) in [(2, false), (2, true), (4, false), (4, true)] {
                let marked = if mark { format!("\u{feff}{text}") } else { text.clone() };
                let bytes = encoded(&marked, unit, big);
                prop_assert_eq!(read(bytes.chunks(piece)), text.as_bytes(), "{} {}", unit, big);
            }
            prop_assert_eq!(read(text.as_bytes().chunks(piece)), text.as_bytes());
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0xfe), Just(0xd8)], 0..60)) {
            read(bytes.chunks(3));
        }
    }

    #[test]
    fn halves_of_characters_without_the_other_are_replaced() {
        let units = [0x7b_u16, 0xd83d, 0x61, 0xdc00, 0xd83d, 0xd83d, 0xde00];
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        assert_eq!(String::from_utf8(read(bytes.chunks(1))).unwrap(), "{\u{fffd}a\u{fffd}\u{fffd}😀");
    }
}
