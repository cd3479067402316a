//! Finding and replacing secrets in one text.

use bytes::Bytes;

use super::{
    form,
    layers::{Escapes, Layers, unescape},
    names::{Kind, Names},
    searchable::is_pseudonym,
    secrets::Secrets,
    syntax::Syntax,
    value::{self, Context, Form},
};
use crate::{Pseudonym, TokenForm};

/// How much of bytes that are no text is searched at once.
pub(super) const PIECE: usize = 1 << 20;
/// What is searched again with the next piece, in bytes: many times as long as a name with its value, whatever its escapes.
pub(super) const OVERLAP: usize = 128 << 10;

/// A text and the replacements found so far.
pub(super) struct Text<'a> {
    layers: Layers<'a>,
    syntax: Syntax,
    /// Whether nothing can be found by name or form.
    plain: bool,
    /// Whether it is searched piece by piece.
    in_pieces: bool,
    edits: Vec<Edit>,
    too_complex: bool,
}

/// Bytes of layer 0 and their replacement.
struct Edit {
    start: usize,
    end: usize,
    /// `None` if the bytes are dropped.
    pseudonym: Option<Pseudonym>,
    /// The layer in which the pseudonym needs quotes around it; `None` if they exist or are not needed.
    quoted_in: Option<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a [u8], syntax: Syntax) -> Self {
        let plain = is_plain(text);
        let layers = if plain { Layers::plain(text) } else { Layers::new(text, Escapes::Any) };
        Self { layers, syntax, plain, in_pieces: false, edits: Vec::new(), too_complex: false }
    }

    /// Bytes that are no text, which are searched piece by piece: their layers would take several times their memory, and
    /// nothing in them depends on what is far away.
    pub(super) fn in_pieces(bytes: &'a [u8], syntax: Syntax) -> Self {
        let layers = Layers::plain(bytes);
        Self { layers, syntax, plain: false, in_pieces: true, edits: Vec::new(), too_complex: false }
    }

    /// Searches piece by piece, from the piece that has byte `from`.
    fn search_pieces(&mut self, from: usize, mut search: impl FnMut(&mut Text<'_>)) {
        let Self { layers, syntax, edits, too_complex, .. } = self;
        let (text, mut start) = (layers.text(0), from);
        loop {
            let end = text.len().min(start + PIECE);
            let mut piece = Text::new(&text[start..end], *syntax);
            search(&mut piece);
            *too_complex |= piece.too_complex;
            edits.extend(piece.edits.into_iter().map(|edit| edit.moved(start)));
            if end == text.len() {
                return;
            }
            start = end - OVERLAP;
        }
    }

    /// Whether searching would take too long; nothing of the text may be kept then.
    pub(super) fn is_too_complex(&self) -> bool {
        self.too_complex
    }

    /// Whether any secret was found.
    pub(super) fn has_secrets(&self) -> bool {
        self.too_complex || !self.edits.is_empty()
    }

    /// Finds secrets by name, position and form, and learns the tokens among them.
    pub(super) fn find_named(&mut self, names: &Names, secrets: &mut Secrets) {
        if self.in_pieces {
            return self.search_pieces(0, |piece| piece.find_named(names, secrets));
        }
        match self.syntax {
            Syntax::Token => self.find_token(0, secrets),
            Syntax::Credentials => {
                let text = self.layers.text(0);
                let scheme = text.iter().position(|&byte| byte == b' ' || byte == b'\t').unwrap_or(0);
                let space = text[scheme..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                self.find_token(scheme + space, secrets);
            }
            _ => {}
        }
        if !self.plain || names.has_fields() {
            self.find_values_of(names, secrets);
            self.find_passwords(secrets);
            self.find_tokens(secrets);
        }
    }

    /// Finds and learns anything with the shape of tokens.
    pub(super) fn find_shaped(&mut self, secrets: &mut Secrets) {
        let Self { layers, edits, .. } = self;
        for layer in 0..layers.count() {
            let text = layers.text(layer);
            for (start, end) in shaped(text) {
                let pseudonym = secrets.learn(&text[start..end]);
                let (start, end) = layers.position(layer, start, end);
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            }
        }
    }

    /// Finds every known secret, wherever it occurs.
    pub(super) fn find_values(&mut self, secrets: &Secrets) {
        if self.in_pieces {
            return self.search_pieces(0, |piece| piece.find_values(secrets));
        }
        let Self { layers, edits, syntax, too_complex, .. } = self;
        for layer in 0..layers.count() {
            let text = layers.text(layer);
            let searched = secrets.find(text, |mut start, mut end, pseudonym| {
                if *syntax == Syntax::Json {
                    // A quote at the edge of a secret may delimit the string, and removing it would break the JSON.
                    let quotes = |byte: &&u8| **byte == b'"';
                    start += text[start..end].iter().take_while(quotes).count();
                    end -= text[start..end].iter().rev().take_while(quotes).count();
                }
                let (start, end) = match layer {
                    0 => layers.whole_escapes(start, end),
                    _ => layers.position(layer, start, end),
                };
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            });
            *too_complex |= searched.is_err();
        }
    }

    /// Finds the prefix of a secret at the very end of a truncated text.
    pub(super) fn find_prefix_at_end(&mut self, secrets: &Secrets) {
        if self.in_pieces {
            let last = self.layers.text(0).len().saturating_sub(PIECE);
            return self.search_pieces(last, |piece| piece.find_prefix_at_end(secrets));
        }
        let (whole, form) = (self.layers.text(0).len(), secrets.form());
        for layer in 0..self.layers.count() {
            let text = self.layers.text(layer);
            let known = secrets.prefix_at_end(text);
            if let Some(start) = known.into_iter().chain(form.and_then(|form| form::prefix_at_end(form, text))).min() {
                let (start, _) = self.layers.position(layer, start, text.len());
                self.edits.push(Edit { start, end: whole, pseudonym: None, quoted_in: None });
            }
        }
    }

    /// Drops the edits that only cover earlier pseudonyms, with any adjacent characters taken for part of the value.
    pub(super) fn keep_pseudonyms(&mut self) {
        let text = self.layers.text(0);
        self.edits.retain(|edit| {
            // In a URL, the prefix before the colon is taken for a user name.
            let prefix = if text[..edit.start].ends_with(PREFIX) { PREFIX.len() } else { 0 };
            !is_replaced(&text[edit.start - prefix..edit.end])
        });
    }

    /// Releases the decoded layers, which may take twice the memory of the text, if nothing was found in them. Nothing more
    /// may be searched for.
    pub(super) fn release(&mut self) {
        if self.edits.is_empty() && !self.too_complex {
            self.layers.release();
        }
    }

    /// The text as it is.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.layers.text(0)
    }

    /// The text with all findings replaced; `None` if there are none.
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
            // Overlapping findings are merged.
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

    /// Finds the values of names.
    pub(super) fn find_values_of(&mut self, names: &Names, secrets: &mut Secrets) {
        let Self { layers, edits, syntax, .. } = self;
        // The end of the latest value in each layer: a name inside it is replaced with it, and following each one to
        // its end would take quadratic time.
        let mut covered = [0; Layers::MAX];
        for found_in in 0..layers.count() {
            names.find(layers.text(found_in), |name| {
                let context = Context::of(layers.text(found_in), &name, *syntax);
                // A value ends at a quote with the same level of escaping as the one after its name. One layer up, an
                // escaped quote inside the value would look like its end.
                let (lower, at) = layers.lowest(found_in, name.end);
                if at < covered[lower] || name.end < covered[found_in] {
                    return;
                }
                let found = |layer: usize, at| Some((layer, value::value(layers.text(layer), at, &context)?));
                let above = || if lower == found_in { None } else { found(found_in, name.end) };
                let Some((layer, value)) = found(lower, at).or_else(above) else { return };
                let text = layers.text(layer);
                covered[layer] = value.end;
                let raw = &text[value.start..value.end];
                if is_pseudonym(raw) {
                    return;
                }
                let content = match value.form {
                    Form::Quoted => unescape(raw, Escapes::Json),
                    // Cookie values are not percent-decoded.
                    Form::Pair if *syntax == Syntax::Cookie => raw.into(),
                    Form::Pair if *syntax == Syntax::Json => {
                        unescape(&unescape(raw, Escapes::Json), Escapes::Percent).into_owned().into()
                    }
                    Form::Pair => unescape(raw, Escapes::Percent),
                    Form::Element => unescape(raw, Escapes::Any),
                    Form::Json | Form::Bare => raw.into(),
                };
                let pseudonym = if name.kind == Kind::Field {
                    secrets.keyed(&content)
                } else if value.end == text.len() && value.form != Form::Pair {
                    secrets.pseudonym_of_prefix(&content)
                } else if matches!(raw[0], b'{' | b'[') && value.form == Form::Json {
                    // An object is not a token; replacing its text elsewhere would break JSON.
                    Pseudonym::of(&content)
                } else {
                    secrets.learn(&content)
                };
                let (start, end) = layers.position(layer, value.start, value.end);
                let quoted_in = (value.form == Form::Json).then_some(layer);
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in });
            });
        }
    }

    /// Finds the password in `scheme://user:password@host`, and a token in place of both.
    fn find_passwords(&mut self, secrets: &mut Secrets) {
        const MAX: usize = 256;
        let Self { layers, edits, .. } = self;
        for layer in 0..layers.count() {
            let text = layers.text(layer);
            for at in memchr::memchr_iter(b'@', text) {
                let ends =
                    |byte: &u8| matches!(byte, b'/' | b' ' | b'"' | b'\'' | b'<' | b'>' | b'\n' | b'?' | b'#' | b'@');
                let Some(slash) = text[..at].iter().rev().take(MAX).position(ends) else { continue };
                let start = at - slash;
                if !text[..start].ends_with(b"://") {
                    continue;
                }
                let user = &text[start..at];
                let start = match memchr::memchr(b':', user) {
                    Some(colon) => start + colon + 1,
                    None if user.len() >= super::searchable::MIN_LEN && user.iter().any(u8::is_ascii_digit) => start,
                    None => continue,
                };
                let raw = &text[start..at];
                if raw.is_empty() || is_pseudonym(raw) {
                    continue;
                }
                let content = unescape(raw, Escapes::Percent);
                secrets.learn(&content);
                // Passwords are short enough to guess.
                let pseudonym = secrets.keyed(&content);
                let (start, end) = layers.position(layer, start, at);
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            }
        }
    }

    /// Finds anything in the form of tokens.
    fn find_tokens(&mut self, secrets: &mut Secrets) {
        let Some(form) = secrets.form() else { return };
        let Self { layers, edits, .. } = self;
        for layer in 0..layers.count() {
            let text = layers.text(layer);
            form::tokens(form, text, |start, end| {
                let pseudonym = secrets.learn(&text[start..end]);
                let (start, end) = layers.position(layer, start, end);
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

const PREFIX: &[u8] = Pseudonym::PREFIX.as_bytes();

/// Whether this consists of pseudonyms and, with escapes decoded, nothing else long enough to be a secret.
fn is_replaced(text: &[u8]) -> bool {
    const DIGITS: usize = Pseudonym::LEN - PREFIX.len();
    const SHORT: usize = 8;
    let (mut rest, mut others) = (text, Vec::new());
    while let Some(at) = memchr::memmem::find(rest, PREFIX) {
        others.extend_from_slice(&rest[..at]);
        let digits = &rest[at + PREFIX.len()..];
        let Some((digits, behind)) = digits.split_at_checked(DIGITS) else { return false };
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        rest = behind;
    }
    others.extend_from_slice(rest);
    let is_edge = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.');
    others.len() < text.len() && unescape(&others, Escapes::Any).split(is_edge).all(|word| word.len() < SHORT)
}

/// Whether a text is so short that scanning its bytes proves it contains no name, password, escape or token. True
/// for most headers.
fn is_plain(text: &[u8]) -> bool {
    const TELLING: [bool; 256] = {
        let mut telling = [false; 256];
        let bytes = b"kKz@\\%&";
        let mut at = 0;
        while at < bytes.len() {
            telling[bytes[at] as usize] = true;
            at += 1;
        }
        telling
    };
    text.len() < TokenForm::SHORTEST && !text.iter().any(|byte| TELLING[usize::from(*byte)])
}

/// Consecutive hexadecimal digits that look like part of a token.
const DIGITS: usize = 31;

/// Spans with the shape of tokens: hexadecimal digits and hyphens, with 31 or more digits in a row. A UUID has at
/// most twelve.
fn shaped(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
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

/// Whether anything has that shape, ignoring escapes.
pub(super) fn has_shaped(text: &[u8]) -> bool {
    let digits = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| byte.is_ascii_hexdigit()).count();
    // A run this long always covers one of the sampled bytes.
    (DIGITS - 1..text.len()).step_by(DIGITS).any(|at| {
        text[at].is_ascii_hexdigit() && digits(&mut text[..at].iter().rev()) + digits(&mut text[at..].iter()) >= DIGITS
    })
}

impl Edit {
    /// The same so many bytes later.
    fn moved(self, by: usize) -> Self {
        Self { start: self.start + by, end: self.end + by, ..self }
    }

    fn write(&self, text: &mut Vec<u8>) {
        let Some(pseudonym) = self.pseudonym else { return };
        // Inside a JSON string a quote needs one backslash; in a string nested in that, three.
        let backslashes = self.quoted_in.map_or(0, |layer| (1 << layer) - 1);
        let quote = |text: &mut Vec<u8>| {
            if self.quoted_in.is_some() {
                text.resize(text.len() + backslashes, b'\\');
                text.push(b'"');
            }
        };
        quote(text);
        text.extend_from_slice(&pseudonym.text());
        quote(text);
    }
}

/// Tracks whether a position is inside a JSON string, in one forward pass.
struct Quotes<'a> {
    text: &'a [u8],
    at: usize,
    inside: bool,
}

impl Quotes<'_> {
    /// If a secret is (part of) a number, replaces the whole number with a string, so that the JSON stays valid.
    ///
    /// Widens no further back than `floor`.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::SAMPLE;

    const TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";

    /// What is left of bytes that are searched piece by piece.
    fn redacted_in_pieces(bytes: &[u8]) -> Option<Bytes> {
        let mut secrets = Secrets::default().with_form(SAMPLE.token_form);
        secrets.learn(b"a-secret-of-my-own-0001");
        let mut text = Text::in_pieces(bytes, Syntax::Json);
        text.find_named(&Names::tokens_and(&SAMPLE, &[]), &mut secrets);
        text.find_values(&secrets);
        text.find_prefix_at_end(&secrets);
        text.redacted()
    }

    #[test]
    fn secrets_are_replaced_wherever_pieces_meet() {
        let [token, own] = [TOKEN, "a-secret-of-my-own-0001"].map(|secret| (secret, Pseudonym::of(secret.as_bytes())));
        let rest = vec![b'.'; 2 * PIECE];
        for end in [PIECE, PIECE - OVERLAP, 2 * PIECE - OVERLAP] {
            for at in [end - 64, end - 40, end - 1, end, end + 1] {
                for (secret, pseudonym) in [token, own] {
                    let bytes = [&rest[..at], secret.as_bytes(), &rest].concat();
                    let expected = [&rest[..at], pseudonym.to_string().as_bytes(), &rest].concat();
                    assert!(
                        redacted_in_pieces(&bytes).is_some_and(|redacted| redacted == expected),
                        "{secret} at {at}"
                    );
                }
            }
        }
        assert_eq!(redacted_in_pieces(&rest), None);
        assert_eq!(redacted_in_pieces(b""), None);
        // The beginning of one at the very end.
        let cut = [&rest[..], &TOKEN.as_bytes()[..40]].concat();
        assert!(redacted_in_pieces(&cut).is_some_and(|redacted| redacted == rest));
    }

    proptest! {
        #[test]
        fn a_shape_is_found_anywhere(text in "[g/]{0,40}[0-9a-fA-F]{25,36}(-[0-9a-f]{27,33})?[-g]{0,40}") {
            prop_assert_eq!(has_shaped(text.as_bytes()), shaped(text.as_bytes()).next().is_some());
        }
    }
}
