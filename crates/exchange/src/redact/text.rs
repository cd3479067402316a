//! What is replaced in one text, and the text with it replaced.

use bytes::Bytes;

use super::{
    layers::{Escapes, Layers, undone},
    names::{self, Names},
    secrets::{Secrets, is_pseudonym},
};
use crate::Pseudonym;

/// What a text is, which says how a name stands before a value in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// A body: JSON, until it shows that it is not.
    Json,
    /// A body of `application/x-www-form-urlencoded`.
    Form,
    /// A request's target.
    Target,
    /// `Cookie` or `Set-Cookie`.
    Cookie,
    /// `Authorization` or `Proxy-Authorization`.
    Credentials,
    /// The whole text is a secret.
    Token,
    /// Any other header field, or a text that has addresses in it.
    Field,
}

impl Syntax {
    fn escapes(self) -> Escapes {
        if self == Self::Json { Escapes::Json } else { Escapes::Percent }
    }

    /// Whether a value of a `name=value` ends before this byte.
    fn ends_value(self, byte: u8) -> bool {
        match self {
            Self::Cookie => byte == b';',
            Self::Field => matches!(byte, b'&' | b'#' | b'"' | b'>' | b' ' | b'\t'),
            _ => matches!(byte, b'&' | b'#'),
        }
    }
}

/// A text and what is to be replaced in it.
pub(super) struct Text<'a> {
    layers: Layers<'a>,
    syntax: Syntax,
    edits: Vec<Edit>,
}

/// Bytes of layer 0 and what takes their place.
struct Edit {
    start: usize,
    end: usize,
    /// None where the bytes are cut off.
    pseudonym: Option<Pseudonym>,
    /// The layer in which a string's quotes have to be put around the pseudonym; none where they are there or not needed.
    quoted_in: Option<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a [u8], syntax: Syntax) -> Self {
        Self { layers: Layers::new(text, syntax.escapes()), syntax, edits: Vec::new() }
    }

    /// Finds what is told by its name or its place, and learns the tokens among it.
    pub(super) fn find_named(&mut self, names: &Names, secrets: &mut Secrets) {
        match self.syntax {
            Syntax::Json => self.find_fields(names, secrets),
            Syntax::Token => self.find_token(0, secrets),
            Syntax::Credentials => {
                let text = self.layers.text(0);
                let scheme = text.iter().position(|&byte| byte == b' ' || byte == b'\t').unwrap_or(0);
                let space = text[scheme..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                self.find_token(scheme + space, secrets);
            }
            Syntax::Form | Syntax::Target | Syntax::Cookie | Syntax::Field => self.find_pairs(secrets),
        }
    }

    /// Finds what has the shape of Mews' tokens, and learns it.
    pub(super) fn find_shaped(&mut self, secrets: &mut Secrets) {
        let Self { layers, edits, .. } = self;
        for layer in 0..layers.count() {
            let text = layers.text(layer);
            for (start, end) in shaped(text) {
                let pseudonym = secrets.learn(&text[start..end]);
                let (start, end) = layers.place(layer, start, end);
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            }
        }
    }

    /// Finds every secret that is known, wherever it stands.
    pub(super) fn find_values(&mut self, secrets: &mut Secrets) {
        let Self { layers, edits, syntax } = self;
        for layer in 0..layers.count() {
            let text = layers.text(layer);
            secrets.find(text, |mut start, mut end, pseudonym| {
                if *syntax == Syntax::Json {
                    // A quote at a secret's edge may be the string's own, without which JSON would be none.
                    let quotes = |byte: &&u8| **byte == b'"';
                    start += text[start..end].iter().take_while(quotes).count();
                    end -= text[start..end].iter().rev().take_while(quotes).count();
                }
                let (start, end) = match layer {
                    0 => layers.whole_escapes(start, end),
                    _ => layers.place(layer, start, end),
                };
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            });
        }
    }

    /// Finds the beginning of a secret at the very end of a text that is cut.
    pub(super) fn find_beginning_at_end(&mut self, secrets: &Secrets) {
        let whole = self.layers.text(0).len();
        for layer in 0..self.layers.count() {
            let text = self.layers.text(layer);
            if let Some(start) = secrets.beginning_at_end(text) {
                let (start, _) = self.layers.place(layer, start, text.len());
                self.edits.push(Edit { start, end: whole, pseudonym: None, quoted_in: None });
            }
        }
    }

    /// The text as it stands.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.layers.text(0)
    }

    /// The text with everything replaced that was found; none where nothing was.
    pub(super) fn redacted(&mut self) -> Option<Bytes> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_unstable_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end), edit.quoted_in.is_none()));
        let text = self.layers.text(0);
        let begins_json = |byte: &u8| matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9');
        let is_json = self.syntax == Syntax::Json && text.trim_ascii_start().first().is_some_and(begins_json);
        let mut quotes = Quotes { text, at: 0, inside: false };
        let mut redacted = Vec::with_capacity(text.len() + 16);
        let mut copied = 0;
        let mut edits = std::mem::take(&mut self.edits).into_iter().peekable();
        while let Some(mut edit) = edits.next() {
            if is_json && edit.quoted_in.is_none() && edit.pseudonym.is_some() {
                quotes.widen_to_number(&mut edit, copied);
            }
            // Where finds overlap, all that they cover goes.
            while let Some(next) = edits.next_if(|next| next.start < edit.end) {
                edit.end = edit.end.max(next.end);
                edit.pseudonym = edit.pseudonym.or(next.pseudonym);
            }
            redacted.extend_from_slice(&text[copied..edit.start]);
            edit.write(&mut redacted);
            copied = edit.end;
        }
        redacted.extend_from_slice(&text[copied..]);
        Some(redacted.into())
    }

    fn find_fields(&mut self, names: &Names, secrets: &mut Secrets) {
        let Self { layers, edits, .. } = self;
        for found_in in 0..layers.count() {
            // Where the latest value ends in each layer: a name inside of it is replaced with it, and following each
            // one to its end would take quadratic time.
            let mut covered = [0; Layers::MOST];
            names.fields(layers.text(found_in), |close, is_token| {
                // A value ends where a quote stands as plain as the one behind its name. A layer further up, an escaped
                // quote inside the value would look like its end.
                let (layer, at) = match layers.lowest(found_in, close) {
                    (layer, at) if names::value_at(layers.text(layer), at).is_some() => (layer, at),
                    _ => (found_in, close),
                };
                if at < covered[layer] {
                    return;
                }
                let text = layers.text(layer);
                let Some(value) = names::value_at(text, at).and_then(|start| names::value(text, start)) else { return };
                covered[layer] = value.end;
                let raw = &text[value.start..value.end];
                if raw.is_empty() || is_pseudonym(raw) {
                    return;
                }
                let content = if value.string { undone(raw, Escapes::Json) } else { raw.into() };
                let pseudonym = match (value.end == text.len(), is_token) {
                    (true, true) => secrets.pseudonym_of_beginning(&content),
                    // An object is no token, and to replace it elsewhere by its text would leave what is no JSON.
                    (false, true) if value.string || !matches!(raw[0], b'{' | b'[') => secrets.learn(&content),
                    _ => Pseudonym::of(&content),
                };
                let (start, end) = layers.place(layer, value.start, value.end);
                let quoted_in = (!value.string).then_some(layer);
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in });
            });
        }
    }

    fn find_pairs(&mut self, secrets: &mut Secrets) {
        let Self { layers, edits, syntax } = self;
        for found_in in 0..layers.count() {
            let mut covered = [0; Layers::MOST];
            names::pairs(layers.text(found_in), |equals| {
                let (layer, equals) = layers.lowest(found_in, equals);
                if equals < covered[layer] {
                    return;
                }
                let rest = &layers.text(layer)[equals + 1..];
                let rest = &rest[..rest.iter().position(|&byte| syntax.ends_value(byte)).unwrap_or(rest.len())];
                covered[layer] = equals + 1 + rest.len();
                let start = equals + 1 + (rest.len() - rest.trim_ascii_start().len());
                let value = rest.trim_ascii();
                let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
                let (start, value) = quoted.map_or((start, value), |value| (start + 1, value));
                if value.is_empty() || is_pseudonym(value) {
                    return;
                }
                let pseudonym = match *syntax {
                    // A cookie's value means itself, whatever percent signs it has.
                    Syntax::Cookie => secrets.learn(value),
                    _ => secrets.learn(&undone(value, Escapes::Percent)),
                };
                let (start, end) = layers.place(layer, start, start + value.len());
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            });
        }
    }

    fn find_token(&mut self, start: usize, secrets: &mut Secrets) {
        let text = self.layers.text(0);
        let token = &text[start..];
        if !token.is_empty() && !is_pseudonym(token) {
            let (end, pseudonym) = (text.len(), secrets.learn(token));
            self.edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
        }
    }
}

/// Where something has the shape of Mews' tokens: hexadecimal digits and hyphens, 31 digits or more of them in a row.
/// An identifier (UUID) has no more than twelve.
fn shaped(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    const DIGITS: usize = 31;
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.iter().position(u8::is_ascii_hexdigit)?;
            let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b'-';
            let length = text[start..].iter().take_while(is_part).count();
            at = start + length;
            let run = &text[start..at];
            if run.split(|byte| *byte == b'-').any(|digits| digits.len() >= DIGITS) {
                return Some((start, start + run.len()));
            }
        }
    })
}

/// Whether there is anything of that shape, without looking at escapes.
pub(super) fn has_shaped(text: &[u8]) -> bool {
    shaped(text).next().is_some()
}

impl Edit {
    fn write(&self, text: &mut Vec<u8>) {
        let Some(pseudonym) = self.pseudonym else { return };
        // In a string of JSON a quote needs a backslash; in a string in that string, three.
        let backslashes = self.quoted_in.map_or(0, |layer| (1 << layer) - 1);
        let quote = |text: &mut Vec<u8>| {
            if self.quoted_in.is_some() {
                text.resize(text.len() + backslashes, b'\\');
                text.push(b'"');
            }
        };
        quote(text);
        text.extend_from_slice(pseudonym.to_string().as_bytes());
        quote(text);
    }
}

/// Tells what stands in a string of JSON, from the beginning to the end once.
struct Quotes<'a> {
    text: &'a [u8],
    at: usize,
    inside: bool,
}

impl Quotes<'_> {
    /// Where a secret is (part of) a number, the number becomes a string, so that JSON stays JSON.
    ///
    /// It widens no further back than `floor`.
    fn widen_to_number(&mut self, edit: &mut Edit, floor: usize) {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        if !self.text[edit.start..edit.end].iter().all(digit) {
            return;
        }
        while let Some(next) = memchr::memchr2(b'"', b'\\', &self.text[self.at.min(edit.start)..edit.start]) {
            let at = self.at + next;
            let quote = self.text[at] == b'"';
            self.at = at + if quote { 1 } else { 2 };
            self.inside ^= quote;
        }
        if !self.inside {
            let before = self.text[floor..edit.start].iter().rev().take_while(|byte| digit(byte)).count();
            let after = self.text[edit.end..].iter().take_while(|byte| digit(byte)).count();
            edit.start -= before;
            edit.end += after;
            edit.quoted_in = Some(0);
        }
    }
}
