//! A text with its escapes decoded, repeatedly, and a mapping back to the original positions.

use std::cell::OnceCell;

use memchr::{memchr, memchr3};

use super::bounds::{Bounds, TooComplex};

/// Of a text this long, in bytes, only one layer is kept at a time beside the text itself: the bodies of many exchanges may
/// be in memory meanwhile.
const LARGE: usize = 1 << 20;
/// How many times escapes are decoded, that is, how deeply JSON strings may nest. Each level doubles the backslashes.
const MAX_DEPTH: usize = 8;

/// How a text escapes characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// `\n`, `\/` and `\u0041`, as in JSON.
    Json,
    /// `%41`, as in URLs.
    Percent,
    /// Both, and `&#65;` and `&quot;` as in XML and HTML, anywhere.
    Any,
}

/// A text as it is (layer 0), with its escapes decoded (layer 1), with the escapes in that decoded (layer 2), …
///
/// A text without escapes has one layer and is not copied. Of a large one, all layers' seams are kept, but only the text of
/// the layer that is visited, and of those that were looked at meanwhile.
pub(super) struct Layers<'a> {
    text: &'a [u8],
    above: Vec<Layer>,
    keeps_all: bool,
    /// What is left of the bounds.
    left: Bounds,
    too_complex: bool,
}

struct Layer {
    /// Decoded when it is needed, unless it is kept.
    text: OnceCell<Vec<u8>>,
    seams: Vec<Seam>,
}

/// A decoded escape: the position of its meaning, and of the escape itself in the layer below.
#[derive(Clone, Copy)]
struct Seam {
    // Half the memory of `usize`, since a text may be all escapes. Texts never reach 4 GiB.
    at: u32,
    below: u32,
    len: u8,
    len_below: u8,
}

impl Seam {
    fn at(self) -> usize {
        self.at as usize
    }

    fn below(self) -> usize {
        self.below as usize
    }

    fn end(self) -> usize {
        self.at() + usize::from(self.len)
    }

    fn end_below(self) -> usize {
        self.below() + usize::from(self.len_below)
    }
}

impl<'a> Layers<'a> {
    /// Maximum number of layers.
    pub(super) const MAX: usize = MAX_DEPTH + 1;

    /// The layers of a text; if they exceed the bounds, there is only the text itself.
    pub(super) fn new(text: &'a [u8], escapes: Escapes, bounds: Bounds) -> Self {
        Self::decoded(text, escapes, text.len() < LARGE, bounds)
    }

    fn decoded(text: &'a [u8], escapes: Escapes, keeps_all: bool, bounds: Bounds) -> Self {
        let mut layers = Self { keeps_all, ..Self::plain(text, bounds) };
        while layers.above.len() < MAX_DEPTH {
            let below = layers.text(layers.above.len());
            let layer = match Layer::above(below, escapes, keeps_all, layers.left) {
                Ok(Some(layer)) => layer,
                Ok(None) => break,
                Err(TooComplex) => return Self { too_complex: true, ..Self::plain(text, bounds) },
            };
            layers.left.bytes -= below.len();
            layers.left.escapes -= layer.seams.len();
            layers.above.push(layer);
            layers.visit(layers.above.len());
        }
        layers
    }

    /// A text without escapes.
    pub(super) fn plain(text: &'a [u8], bounds: Bounds) -> Self {
        Self { text, above: Vec::new(), keeps_all: true, left: bounds, too_complex: false }
    }

    /// Whether there are more layers than may be decoded.
    pub(super) fn is_too_complex(&self) -> bool {
        self.too_complex
    }

    /// What is left of the bounds.
    pub(super) fn left(&self) -> Bounds {
        self.left
    }

    /// Releases the texts of all other layers if the text is large. They are decoded again when they are needed.
    pub(super) fn visit(&mut self, layer: usize) {
        if self.keeps_all {
            return;
        }
        let nearest =
            self.above[..layer].iter_mut().enumerate().rev().find_map(|(at, layer)| Some((at + 1, layer.text.take()?)));
        self.above.iter_mut().for_each(|layer| layer.text = OnceCell::new());
        if let Some(above) = layer.checked_sub(1) {
            let (from, text) = nearest.unwrap_or_else(|| (0, self.text.to_vec()));
            self.above[above].text = OnceCell::from(self.decode_on(text, from, layer));
        }
    }

    /// The text of a layer, from that of one below.
    fn decode_on(&self, mut text: Vec<u8>, from: usize, layer: usize) -> Vec<u8> {
        self.above[from..layer].iter().for_each(|layer| decode_in_place(&mut text, &layer.seams));
        // Shrinking by little would copy the text, and hold both copies meanwhile.
        if text.len() < text.capacity() / 2 {
            text.shrink_to_fit();
        }
        text
    }

    /// Drops all layers but the text itself.
    pub(super) fn release(&mut self) {
        self.above = Vec::new();
    }

    /// The number of layers, at least one.
    pub(super) fn count(&self) -> usize {
        1 + self.above.len()
    }

    pub(super) fn text(&self, layer: usize) -> &[u8] {
        let Some(above) = layer.checked_sub(1) else { return self.text };
        self.above[above].text.get_or_init(|| {
            let is_there = |layer: &usize| *layer == 0 || self.above[layer - 1].text.get().is_some();
            let from = (0..layer).rev().find(is_there).unwrap_or_default();
            self.decode_on(self.text(from).to_vec(), from, layer)
        })
    }

    /// The position in layer 0 of the bytes `start..end` of a layer.
    pub(super) fn position(&self, layer: usize, start: usize, end: usize) -> (usize, usize) {
        self.above[..layer].iter().rev().fold((start, end), |(start, end), layer| (layer.start(start), layer.end(end)))
    }

    /// The bytes `start..end` of layer 0, extended to whole escapes.
    pub(super) fn whole_escapes(&self, start: usize, end: usize) -> (usize, usize) {
        let Some(above) = self.above.first() else { return (start, end) };
        let around = |at: usize| {
            let seam = above.seams[..above.seams.partition_point(|seam| seam.below() < at)].last()?;
            (at < seam.end_below()).then_some((seam.below(), seam.end_below()))
        };
        (around(start).map_or(start, |(start, _)| start), around(end).map_or(end, |(_, end)| end))
    }

    /// The lowest layer in which the byte at `at` is unescaped, and its position there.
    pub(super) fn lowest(&self, layer: usize, at: usize) -> (usize, usize) {
        let (mut layer, mut at) = (layer, at);
        while layer > 0 && !self.above[layer - 1].is_escape(at) {
            at = self.above[layer - 1].start(at);
            layer -= 1;
        }
        (layer, at)
    }
}

impl Layer {
    /// The layer above a text; `None` if that has no escapes.
    fn above(below: &[u8], escapes: Escapes, is_kept: bool, left: Bounds) -> Result<Option<Self>, TooComplex> {
        let (mut decoding, mut seams) = (Decoding::of(below), Vec::new());
        each_escape(below, escapes, |seam, meaning| {
            if seams.len() == left.escapes || below.len() > left.bytes {
                return Err(TooComplex);
            }
            if is_kept {
                decoding.put(seam, meaning);
            }
            seams.push(seam);
            Ok(())
        })?;
        let text = if is_kept { decoding.finish().map(OnceCell::from) } else { Some(OnceCell::new()) };
        Ok(text.filter(|_| !seams.is_empty()).map(|text| Self { text, seams }))
    }

    fn seam(&self, at: usize) -> Option<Seam> {
        self.seams[..self.seams.partition_point(|seam| seam.at() <= at)].last().copied()
    }

    fn is_escape(&self, at: usize) -> bool {
        self.seam(at).is_some_and(|seam| at < seam.end())
    }

    fn start(&self, at: usize) -> usize {
        match self.seam(at) {
            None => at,
            Some(seam) if at < seam.end() => seam.below(),
            Some(seam) => seam.end_below() + (at - seam.end()),
        }
    }

    fn end(&self, end: usize) -> usize {
        let Some(last) = end.checked_sub(1) else { return 0 };
        match self.seam(last) {
            Some(seam) if last < seam.end() => seam.end_below(),
            _ => self.start(last) + 1,
        }
    }
}

/// A text being decoded. Invalid escapes stay, truncated ones are dropped.
struct Decoding<'a> {
    text: &'a [u8],
    decoded: Vec<u8>,
    copied: usize,
}

impl<'a> Decoding<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, decoded: Vec::new(), copied: 0 }
    }

    fn put(&mut self, seam: Seam, meaning: Meaning) {
        if self.decoded.capacity() == 0 {
            self.decoded.reserve(self.text.len());
        }
        self.decoded.extend_from_slice(&self.text[self.copied..seam.below()]);
        self.decoded.extend_from_slice(meaning.as_bytes());
        self.copied = seam.end_below();
    }

    /// The decoded text; `None` if nothing was put.
    fn finish(mut self) -> Option<Vec<u8>> {
        if self.copied == 0 {
            return None;
        }
        self.decoded.extend_from_slice(&self.text[self.copied..]);
        Some(self.decoded)
    }
}

/// Decodes the escapes at these seams. What they mean is never longer than they are.
fn decode_in_place(text: &mut Vec<u8>, seams: &[Seam]) {
    let (mut from, mut to) = (0, 0);
    for seam in seams {
        // Nothing behind `from` has been overwritten yet.
        let Escape::Means { meaning, .. } = escape(&text[seam.below()..]) else { continue };
        text.copy_within(from..seam.below(), to);
        to += seam.below() - from;
        text[to..to + meaning.as_bytes().len()].copy_from_slice(meaning.as_bytes());
        to += meaning.as_bytes().len();
        from = seam.end_below();
    }
    text.copy_within(from.., to);
    text.truncate(text.len() - (from - to));
}

/// Calls `found` with each escape in a text and its meaning, until that says that there are too many.
fn each_escape(
    text: &[u8],
    escapes: Escapes,
    mut found: impl FnMut(Seam, Meaning) -> Result<(), TooComplex>,
) -> Result<(), TooComplex> {
    let mark = |from: usize| {
        let rest = &text[from..];
        let found = match escapes {
            Escapes::Json => memchr(b'\\', rest),
            Escapes::Percent => memchr(b'%', rest),
            Escapes::Any => memchr3(b'\\', b'%', b'&', rest),
        };
        found.map(|found| from + found)
    };
    let (mut next, mut dropped) = (mark(0), 0);
    if u32::try_from(text.len()).is_err() {
        return Ok(());
    }
    while let Some(below) = next {
        let mut behind = below + 1;
        if let Escape::Means { len, meaning } = escape(&text[below..]) {
            let at = (below - dropped) as u32;
            let seam = Seam { at, below: below as u32, len: meaning.len, len_below: len };
            found(seam, meaning)?;
            dropped += usize::from(len - meaning.len);
            behind = seam.end_below();
        }
        next = mark(behind);
    }
    Ok(())
}

/// The escape that a text starts with.
fn escape(text: &[u8]) -> Escape {
    match text[0] {
        b'%' => percent_escape(text),
        b'&' => entity(text),
        _ => json_escape(text),
    }
}

/// What a text starts with.
enum Escape {
    None,
    Means { len: u8, meaning: Meaning },
}

/// The up to four bytes that an escape stands for; empty for a truncated one.
#[derive(Clone, Copy, Default)]
struct Meaning {
    bytes: [u8; 4],
    len: u8,
}

impl Meaning {
    fn byte(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], len: 1 }
    }

    fn character(code: u32) -> Self {
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut meaning = Self::default();
        // UTF-8 takes one to four bytes.
        meaning.len = character.encode_utf8(&mut meaning.bytes).len() as u8;
        meaning
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

fn json_escape(text: &[u8]) -> Escape {
    let simple = |byte| Escape::Means { len: 2, meaning: Meaning::byte(byte) };
    match text.get(1) {
        None => Escape::Means { len: 1, meaning: Meaning::default() },
        Some(byte @ (b'"' | b'\\' | b'/')) => simple(*byte),
        Some(b'b') => simple(8),
        Some(b'f') => simple(12),
        Some(b'n') => simple(b'\n'),
        Some(b'r') => simple(b'\r'),
        Some(b't') => simple(b'\t'),
        Some(b'u') => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                Escape::Means { len: 12, meaning: Meaning::character(code) }
            }
            (Some(code), _) => Escape::Means { len: 6, meaning: Meaning::character(code) },
            (None, _) if text.len() < 6 && text[2..].iter().all(u8::is_ascii_hexdigit) => {
                // At most five bytes, as checked above.
                Escape::Means { len: text.len() as u8, meaning: Meaning::default() }
            }
            (None, _) => Escape::None,
        },
        Some(_) => Escape::None,
    }
}

/// The number in `\u0041`.
fn unit(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.first_chunk::<6>()? else { return None };
    digits.iter().try_fold(0, |number, &digit| Some(number << 4 | char::from(digit).to_digit(16)?))
}

fn percent_escape(text: &[u8]) -> Escape {
    let digit = |at: usize| text.get(at).and_then(|&digit| char::from(digit).to_digit(16));
    match (digit(1), digit(2)) {
        // Two hexadecimal digits make a byte.
        (Some(high), Some(low)) => Escape::Means { len: 3, meaning: Meaning::byte((high << 4 | low) as u8) },
        (Some(_), None) if text.len() == 2 => Escape::Means { len: 2, meaning: Meaning::default() },
        (None, _) if text.len() == 1 => Escape::Means { len: 1, meaning: Meaning::default() },
        _ => Escape::None,
    }
}

/// A character reference, by number or by one of XML's five names. A truncated one stays.
fn entity(text: &[u8]) -> Escape {
    const MAX: usize = 10;
    let shown = &text[..text.len().min(MAX)];
    let Some(end) = memchr(b';', shown) else { return Escape::None };
    let code = match &text[1..end] {
        b"quot" => Some(u32::from(b'"')),
        b"apos" => Some(u32::from(b'\'')),
        b"amp" => Some(u32::from(b'&')),
        b"lt" => Some(u32::from(b'<')),
        b"gt" => Some(u32::from(b'>')),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => None,
    };
    // At most `MAX` bytes, as checked above.
    code.map_or(Escape::None, |code| Escape::Means { len: end as u8 + 1, meaning: Meaning::character(code) })
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let add = |number: u32, digit: &u8| number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?);
    digits.iter().try_fold(0, add)
}

/// The text with its escapes decoded once.
pub(super) fn unescape(text: &[u8], escapes: Escapes) -> std::borrow::Cow<'_, [u8]> {
    let mut decoding = Decoding::of(text);
    let decoded = each_escape(text, escapes, |seam, meaning| {
        decoding.put(seam, meaning);
        Ok(())
    });
    decoded.ok().and_then(|()| decoding.finish()).map_or(text.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_decoded_one_layer_at_a_time() {
        let text = br#"{"a":"{\"b\":\"\\u0041\\\/\"}"}"#;
        let layers = Layers::new(text, Escapes::Json, Bounds::USUAL);
        assert_eq!(layers.text(1), br#"{"a":"{"b":"\u0041\/"}"}"#);
        assert_eq!(layers.text(2), br#"{"a":"{"b":"A/"}"}"#);
        assert_eq!(layers.count(), 3);
        let at = memchr(b'A', layers.text(2)).unwrap();
        let (start, end) = layers.position(2, at, at + 1);
        assert_eq!(&text[start..end], br"\\u0041");
        let (layer, quote) = layers.lowest(2, at - 1);
        assert_eq!((layer, layers.text(1)[quote]), (1, b'"'));
    }

    #[test]
    fn invalid_escapes_stay_and_truncated_ones_are_dropped() {
        for (text, meaning) in [
            (&br"\x41"[..], &br"\x41"[..]),
            (br"a\u12g4", br"a\u12g4"),
            (br"ab\", b"ab"),
            (br"ab\u00", b"ab"),
            (br"\ud83d\ude00", "\u{1f600}".as_bytes()),
            (br"\ud83d!", "\u{fffd}!".as_bytes()),
        ] {
            assert_eq!(&*unescape(text, Escapes::Json), meaning, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(&*unescape(b"%41%2fb%zz%4", Escapes::Percent), b"A/b%zz");
        let mixed = br#"%7B&quot;&#65;&#x42;\u0043&amp;lt; &nosuch; & &#x;"#;
        assert_eq!(&*unescape(mixed, Escapes::Any), b"{\"ABC&lt; &nosuch; & &#x;");
    }

    #[test]
    fn regression_a_text_full_of_escapes_took_a_hundred_times_its_memory() {
        let kept = |text: &[u8]| {
            let layers = Layers::new(text, Escapes::Any, Bounds::USUAL);
            let seams: usize = layers.above.iter().map(|layer| layer.seams.len()).sum();
            assert!(seams <= Bounds::USUAL.escapes && (layers.count() == 1 || !layers.is_too_complex()));
            !layers.is_too_complex()
        };
        assert!(!kept(&vec![b'\\'; 8 << 20]));
        assert!(kept(&vec![b'\\'; 1 << 20]));
        // Ordinary bodies of 8 MiB.
        assert!(kept(r#"\"Id\":\"8a5c2f\",\"Name\":\"Single room\","#.repeat(200_000).as_bytes()));
        assert!(kept(r"\u0411\u043e\u0433".repeat(460_000).as_bytes()));
        // Nine layers of a long text.
        let deep = |length: usize| [&b"\\".repeat(256)[..], &vec![b'a'; length]].concat();
        assert!(kept(&deep(8 << 20)) && !kept(&deep(60 << 20)));
    }

    proptest! {
        #[test]
        fn decodes_as_serde_json_does(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let content = &json.as_bytes()[1..json.len() - 1];
            prop_assert_eq!(&*unescape(content, Escapes::Json), text.as_bytes());
        }

        #[test]
        fn a_large_text_has_the_same_layers(
            text in r#"(\\u00[46][1-9]|\\u0|\\|\\ud83d\\ude00|[a-zé"%]|%4[0-9]|%5c|&#6[5-9];|&amp;|&#x5c;|\\"){0,40}"#,
            looks in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..12),
        ) {
            for escapes in [Escapes::Json, Escapes::Percent, Escapes::Any] {
                let all = Layers::decoded(text.as_bytes(), escapes, true, Bounds::USUAL);
                let mut some = Layers::decoded(text.as_bytes(), escapes, false, Bounds::USUAL);
                prop_assert_eq!(all.count(), some.count());
                for (visits, layer) in &looks {
                    let layer = layer.index(all.count());
                    if *visits {
                        some.visit(layer);
                        prop_assert_eq!(some.above.iter().filter(|layer| layer.text.get().is_some()).count(), layer.min(1));
                    }
                    prop_assert_eq!(all.text(layer), some.text(layer));
                    for at in 0..all.text(layer).len() {
                        prop_assert_eq!(all.position(layer, at, at + 1), some.position(layer, at, at + 1));
                        prop_assert_eq!(all.lowest(layer, at), some.lowest(layer, at));
                    }
                }
            }
        }

        #[test]
        fn every_byte_maps_to_a_position_below(text in r#"(\\u00[46][1-9]|\\|[a-z"%]|%4[0-9]|&#6[5-9];|&lt;|\\"){0,40}"#) {
            for escapes in [Escapes::Json, Escapes::Percent, Escapes::Any] {
                let layers = Layers::new(text.as_bytes(), escapes, Bounds::USUAL);
                for layer in 1..layers.count() {
                    let mut last = (0, 0);
                    for at in 0..layers.text(layer).len() {
                        let (start, end) = layers.position(layer, at, at + 1);
                        // The bytes of one character share the position of its escape.
                        prop_assert!(last.1 <= start || last == (start, end));
                        prop_assert!(start < end && end <= text.len());
                        let raw = &text.as_bytes()[start..end];
                        prop_assert!(raw == &layers.text(layer)[at..=at] || matches!(raw[0], b'\\' | b'%' | b'&'));
                        last = (start, end);
                    }
                }
            }
        }
    }
}
