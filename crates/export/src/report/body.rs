//! Bodies, rendered for people.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, Render, html};
use nightaudit_exchange::Body;
use serde::de::IgnoredAny;

use crate::text::is_hidden;

/// Maximum bytes shown of a binary body.
const MAX_DUMP: usize = 256;

/// A text from the network: escaped, with invisible characters made visible.
///
/// Nothing is dropped: an invisible character is shown as its code point.
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

/// Renders at most `room` bytes of the body, JSON indented; returns how many bytes it took.
pub(super) fn show(body: &Body, room: usize) -> (Markup, usize) {
    let (decoded, complete) = body.decoded();
    if let Some(withheld) = body.withheld {
        return (html! { p.omitted { (body.length) " bytes withheld: " (withheld.reason()) "." } }, 0);
    }
    if decoded.is_empty() {
        return (html! { p.none { "No body" } }, 0);
    }
    let (shown, taken, truncated) = match str::from_utf8(&decoded) {
        Ok(text) if text.bytes().filter(|byte| *byte == 0).count() * 10 <= text.len() => {
            let json = matches!(text.trim_ascii_start().as_bytes().first(), Some(b'{' | b'['))
                && serde_json::from_str::<IgnoredAny>(text).is_ok();
            let set = if json { Formatted::json(text, room) } else { Formatted::plain(text, room) };
            (html! { pre tabindex="0" { (PreEscaped(set.out)) } }, set.length, set.truncated)
        }
        _ => {
            let dump = dump(&decoded[..decoded.len().min(MAX_DUMP)]);
            let length = dump.len();
            (html! { pre tabindex="0" { (dump) } }, length, decoded.len() > MAX_DUMP)
        }
    };
    let markup = html! {
        (shown)
        @if truncated { p.omitted { "The rest is omitted here; " code { "exchanges.ndjson" } " of the bundle has all that was recorded." } }
        @if body.truncated { p.omitted { "Truncated when it was recorded." } }
        @if !complete { p.omitted { "Could not be decoded to the end." } }
        @if body.masked { p.omitted { "Properties were masked by the export." } }
    };
    (markup, taken)
}

/// A text on its way into `<pre>`.
struct Formatted {
    out: String,
    /// Bytes of text written so far, indentation included.
    length: usize,
    room: usize,
    truncated: bool,
}

impl Formatted {
    fn new(room: usize) -> Self {
        Self { out: String::new(), length: 0, room, truncated: false }
    }

    fn plain(text: &str, room: usize) -> Self {
        let mut formatted = Self::new(room);
        formatted.put(text);
        formatted
    }

    /// Indents valid JSON. Its tokens stay as they are: numbers aren't rounded, escapes stay, duplicate properties are kept.
    fn json(text: &str, room: usize) -> Self {
        let mut formatted = Self::new(room);
        let (mut depth, mut rest) = (0_usize, text.trim_ascii());
        while let Some(first) = rest.bytes().next() {
            if formatted.truncated {
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
                    formatted.put(token);
                    let empty = after.starts_with(['}', ']']);
                    depth += 1;
                    if !empty {
                        formatted.line(depth);
                    }
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if !formatted.out.ends_with(['{', '[']) {
                        formatted.line(depth);
                    }
                    formatted.put(token);
                }
                b',' => {
                    formatted.put(token);
                    formatted.line(depth);
                }
                b':' => formatted.put(": "),
                b'"' if after.starts_with(':') => formatted.span("k", token),
                b'"' => formatted.span("s", token),
                _ => formatted.span("n", token),
            }
            rest = after;
        }
        formatted
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
        self.truncated |= fits < text.len();
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.length += fits;
        Text(&text[..fits]).render_to(&mut self.out);
    }
}

/// The length of the JSON string that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// A hex dump, 16 bytes per line.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:06x}  ", line * 16);
        for column in 0..16 {
            match bytes.get(column) {
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

    /// The markup's text as a browser shows it.
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
    fn json_is_indented_with_its_tokens_unchanged() {
        let formatted =
            Formatted::json(r#" {"a":1.0e+10,"a":[ ],"b":{"c":"\u00e9\"}, {","d":[1, null]},"e":{}} "#, 1000);
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
        assert_eq!(read(&formatted.out), expected);
    }

    #[test]
    fn markup_is_escaped_and_invisible_characters_are_shown() {
        let markup = shown("</pre><script>\u{202e}\0\r&é".as_bytes(), 1000);
        assert!(markup.contains("&lt;/pre&gt;&lt;script&gt;<i class=\"u\">U+202E</i><i class=\"u\">U+0000</i><i class=\"u\">U+000D</i>&amp;é"), "{markup}");
    }

    #[test]
    fn binary_bodies_are_shown_as_a_hex_dump() {
        let markup = shown(b"\x89PNG\r\n\x1a\n\0\xff", 1000);
        assert!(markup.contains("000000  89 50 4e 47 0d 0a 1a 0a 00 ff"), "{markup}");
        assert!(markup.contains(".PNG"), "{markup}");
    }

    #[test]
    fn a_long_body_is_truncated_and_marked() {
        let (markup, taken) = show(&Body::whole(Bytes::from("é".repeat(1000))), 101);
        assert_eq!(taken, 100);
        assert!(markup.into_string().contains("The rest is omitted here"));
        // Deep indentation would make a small body large.
        let deep = format!("{}{}{}", "[".repeat(100), ["1"; 5000].join(","), "]".repeat(100));
        let (markup, taken) = show(&Body::whole(Bytes::from(deep)), 10_000);
        assert!(taken <= 10_000 && markup.0.len() < 200_000, "{taken} {}", markup.0.len());
    }

    /// The text with invisible characters as code points.
    fn marked(text: &str) -> String {
        let mark = |c| if is_hidden(c) { format!("U+{:04X}", u32::from(c)) } else { c.to_string() };
        text.chars().map(mark).collect()
    }

    /// Found by proptest: U+2028 is invisible but no control character.
    #[test]
    fn a_line_separator_is_shown_as_its_code_point() {
        assert_eq!(read(&Formatted::plain("\u{2028}", 1000).out), marked("\u{2028}"));
        assert_eq!(marked("\u{2028}"), "U+2028");
    }

    proptest! {
        #[test]
        fn every_text_round_trips(text in "\\PC{0,60}|[<>&\"'a-z/ ]{0,60}") {
            let formatted = Formatted::plain(&text, 1000);
            prop_assert_eq!(read(&formatted.out), marked(&text));
        }

        #[test]
        fn formatting_json_changes_only_white_space(value in any::<Vec<(String, Vec<Option<i64>>)>>()) {
            let text = serde_json::to_string(&value).unwrap();
            let formatted = Formatted::json(&text, 1 << 20);
            let marks = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(marks(&read(&formatted.out)), marks(&marked(&text)));
        }
    }
}
