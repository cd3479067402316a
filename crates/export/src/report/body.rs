//! A body as a person reads it.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, Render, html};
use nightaudit_exchange::Body;
use serde::de::IgnoredAny;

use crate::text::is_hidden;

/// The most bytes of a body that are no text and are shown.
const DUMPED: usize = 256;

/// A text from the network: escaped, and with what can't be seen made visible.
///
/// Nothing is dropped: a character that is shown as its number stands for itself.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Render for Text<'_> {
    fn render_to(&self, out: &mut String) {
        for character in self.0.chars() {
            push(out, character);
        }
    }
}

fn push(out: &mut String, character: char) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\n' | '\t' => out.push(character),
        hidden if is_hidden(hidden) => {
            let _ = write!(out, "<i class=\"u\">U+{:04X}</i>", u32::from(hidden));
        }
        other => out.push(other),
    }
}

/// Shows the body's text, JSON set out in lines, at most `room` bytes of it; says how many it took.
pub(super) fn show(body: &Body, room: usize) -> (Markup, usize) {
    let (decoded, complete) = body.decoded();
    if let Some(withheld) = body.withheld {
        return (html! { p.cut { (body.length) " bytes withheld: " (withheld.reason()) "." } }, 0);
    }
    if decoded.is_empty() {
        return (html! { p.none { "No body" } }, 0);
    }
    let (shown, taken, cut) = match str::from_utf8(&decoded) {
        Ok(text) if text.bytes().filter(|byte| *byte == 0).count() * 10 <= text.len() => {
            let json = matches!(text.trim_ascii_start().as_bytes().first(), Some(b'{' | b'['))
                && serde_json::from_str::<IgnoredAny>(text).is_ok();
            let set = if json { Laid::json(text, room) } else { Laid::plain(text, room) };
            (html! { pre tabindex="0" { (PreEscaped(set.out)) } }, set.length, set.cut)
        }
        _ => {
            let dump = dump(&decoded[..decoded.len().min(DUMPED)]);
            let length = dump.len();
            (html! { pre tabindex="0" { (dump) } }, length, decoded.len() > DUMPED)
        }
    };
    let markup = html! {
        (shown)
        @if cut { p.cut { "The rest is left out here; " code { "exchanges.ndjson" } " of the bundle has all that was recorded." } }
        @if body.truncated { p.cut { "Only the beginning was recorded." } }
        @if !complete { p.cut { "Its content coding can't be undone to the end." } }
        @if body.masked { p.cut { "Fields were masked on the way out." } }
    };
    (markup, taken)
}

/// A text on its way into `<pre>`.
struct Laid {
    out: String,
    /// Characters of the text that were set, in bytes, and what was added to lay it out.
    length: usize,
    room: usize,
    cut: bool,
}

impl Laid {
    fn new(room: usize) -> Self {
        Self { out: String::new(), length: 0, room, cut: false }
    }

    fn plain(text: &str, room: usize) -> Self {
        let mut laid = Self::new(room);
        laid.put(text);
        laid
    }

    /// Sets valid JSON out in lines. Its tokens stay as they are: no number is rounded, no escape undone, no field
    /// lost that is there twice.
    fn json(text: &str, room: usize) -> Self {
        let mut laid = Self::new(room);
        let (mut depth, mut rest) = (0_usize, text.trim_ascii());
        while let Some(first) = rest.bytes().next() {
            if laid.cut {
                break;
            }
            let length = match first {
                b'"' => string_length(rest),
                b' ' | b'\t' | b'\r' | b'\n' => {
                    rest = &rest[1..];
                    continue;
                }
                b'{' | b'[' | b'}' | b']' | b',' | b':' => 1,
                _ => rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(length);
            let after = after.trim_ascii_start();
            match first {
                b'{' | b'[' => {
                    laid.put(token);
                    let empty = after.starts_with(['}', ']']);
                    depth += 1;
                    if !empty {
                        laid.line(depth);
                    }
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if !laid.out.ends_with(['{', '[']) {
                        laid.line(depth);
                    }
                    laid.put(token);
                }
                b',' => {
                    laid.put(token);
                    laid.line(depth);
                }
                b':' => laid.put(": "),
                b'"' if after.starts_with(':') => laid.span("k", token),
                b'"' => laid.span("s", token),
                _ => laid.span("n", token),
            }
            rest = after;
        }
        laid
    }

    fn span(&mut self, class: &str, token: &str) {
        let _ = write!(self.out, "<span class=\"{class}\">");
        self.put(token);
        self.out.push_str("</span>");
    }

    fn line(&mut self, depth: usize) {
        self.put("\n");
        for _ in 0..depth {
            self.put("  ");
        }
    }

    fn put(&mut self, text: &str) {
        let mut fits = text.len().min(self.room.saturating_sub(self.length));
        self.cut |= fits < text.len();
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.length += fits;
        Text(&text[..fits]).render_to(&mut self.out);
    }
}

/// The length of the JSON string with which the text begins, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Bytes in hexadecimal digits and as far as possible in letters, 16 a line.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:06x}  ", line * 16);
        for place in 0..16 {
            match bytes.get(place) {
                Some(byte) => {
                    let _ = write!(out, "{byte:02x} ");
                }
                None => out.push_str("   "),
            }
        }
        out.push(' ');
        out.extend(bytes.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn shown(body: &'static [u8], room: usize) -> String {
        show(&Body::whole(Bytes::from_static(body)), room).0.into_string()
    }

    /// What a browser makes of the markup's text.
    fn read(markup: &str) -> String {
        let mut text = String::new();
        let mut rest = markup;
        while let Some(at) = rest.find('<') {
            text.push_str(&rest[..at]);
            rest = rest[at..].split_once('>').unwrap().1;
        }
        (text + rest).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
    }

    #[test]
    fn json_is_set_out_and_no_token_of_it_is_another() {
        let laid = Laid::json(r#" {"a":1.0e+10,"a":[ ],"b":{"c":"\u00e9\"}, {","d":[1, null]},"e":{}} "#, 1000);
        let expected = r#"{
  "a": 1.0e+10,
  "a": [],
  "b": {
    "c": "\u00e9\"}, {",
    "d": [
      1,
      null
    ]
  },
  "e": {}
}"#;
        assert_eq!(read(&laid.out), expected);
    }

    #[test]
    fn nothing_breaks_out_and_what_is_hidden_is_shown() {
        let markup = shown("</pre><script>\u{202e}\0\r&é".as_bytes(), 1000);
        assert!(markup.contains("&lt;/pre&gt;&lt;script&gt;<i class=\"u\">U+202E</i><i class=\"u\">U+0000</i><i class=\"u\">U+000D</i>&amp;é"), "{markup}");
    }

    #[test]
    fn what_is_no_text_is_shown_byte_by_byte() {
        let markup = shown(b"\x89PNG\r\n\x1a\n\0\xff", 1000);
        assert!(markup.contains("000000  89 50 4e 47 0d 0a 1a 0a 00 ff"), "{markup}");
        assert!(markup.contains(".PNG"), "{markup}");
    }

    #[test]
    fn a_long_body_is_cut_and_says_so() {
        let (markup, taken) = show(&Body::whole(Bytes::from("é".repeat(1000))), 101);
        assert_eq!(taken, 100);
        assert!(markup.into_string().contains("The rest is left out here"));
        // Lines in lines would make much of little.
        let deep = format!("{}{}{}", "[".repeat(100), ["1"; 5000].join(","), "]".repeat(100));
        let (markup, taken) = show(&Body::whole(Bytes::from(deep)), 10_000);
        assert!(taken <= 10_000 && markup.0.len() < 200_000, "{taken} {}", markup.0.len());
    }

    /// The text with what can't be seen by its number.
    fn marked(text: &str) -> String {
        let mark = |c| if is_hidden(c) { format!("U+{:04X}", u32::from(c)) } else { c.to_string() };
        text.chars().map(mark).collect()
    }

    /// Found by chance: U+2028 is no control character, and hidden.
    #[test]
    fn a_line_separator_is_shown_by_its_number() {
        assert_eq!(read(&Laid::plain("\u{2028}", 1000).out), marked("\u{2028}"));
        assert_eq!(marked("\u{2028}"), "U+2028");
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was(text in "\\PC{0,60}|[<>&\"'a-z/ ]{0,60}") {
            let laid = Laid::plain(&text, 1000);
            prop_assert_eq!(read(&laid.out), marked(&text));
        }

        #[test]
        fn json_keeps_all_but_its_white_space(value in any::<Vec<(String, Vec<Option<i64>>)>>()) {
            let text = serde_json::to_string(&value).unwrap();
            let laid = Laid::json(&text, 1 << 20);
            let marks = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(marks(&read(&laid.out)), marks(&marked(&text)));
        }
    }
}
