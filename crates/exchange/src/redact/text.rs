//! Finding and replacing secrets in one text.

use std::ops::Range;

use bytes::Bytes;

use super::{
    bounds::{Bounds, TooComplex},
    form,
    layers::{Escapes, Layers, unescape},
    names::{Kind, Names},
    searchable::{MAX_LEN, MIN_LEN, is_pseudonym},
    secrets::Secrets,
    syntax::Syntax,
    value::{self, Context, Form},
};
use crate::{Pseudonym, TokenForm};

/// How a long text is divided, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Pieces {
    /// What each piece looks for names in.
    pub(super) size: usize,
    /// What it has before that, so that names, and passwords in URLs, are read as in the whole text.
    pub(super) before: usize,
    /// And behind it, for their values.
    pub(super) behind: usize,
}

impl Pieces {
    /// For binary data, in which names and values are short.
    pub(super) const BINARY: Self = Self { size: 1 << 20, before: 8 << 10, behind: 128 << 10 };
}

/// A text and the replacements found so far.
pub(super) struct Text<'a> {
    layers: Layers<'a>,
    syntax: Syntax,
    /// Whether nothing can be found by name or form.
    plain: bool,
    /// Of a piece, where names are to be found; the others are those of its neighbours.
    own: Range<usize>,
    edits: Edits,
    too_complex: bool,
}

/// The replacements found so far, up to a number.
struct Edits {
    found: Vec<Edit>,
    max: usize,
    too_many: bool,
}

impl Edits {
    fn push(&mut self, edit: Edit) -> Result<(), TooComplex> {
        self.too_many |= self.found.len() >= self.max;
        if self.too_many {
            return Err(TooComplex);
        }
        self.found.push(edit);
        Ok(())
    }
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
        Self::within(text, syntax, Bounds::USUAL)
    }

    /// A text that is too complex if these bounds don't suffice.
    pub(super) fn within(text: &'a [u8], syntax: Syntax, bounds: Bounds) -> Self {
        let plain = is_plain(text);
        let layers = if plain { Layers::plain(text, bounds) } else { Layers::new(text, Escapes::Any, bounds) };
        let edits = Edits { found: Vec::new(), max: bounds.edits, too_many: false };
        let too_complex = layers.is_too_complex();
        Self { layers, syntax, plain, own: 0..usize::MAX, edits, too_complex }
    }

    /// A piece of a longer text, of which only names in `own` are looked for.
    pub(super) fn piece(text: &'a [u8], syntax: Syntax, own: Range<usize>, bounds: Bounds) -> Self {
        Self { own, ..Self::within(text, syntax, bounds) }
    }

    /// What is left of the bounds for escapes and findings.
    pub(super) fn left(&self) -> Bounds {
        Bounds { edits: self.edits.max.saturating_sub(self.edits.found.len()), ..self.layers.left() }
    }

    /// Whether this is the place of a name that is looked for here.
    fn is_own(layers: &Layers<'_>, own: &Range<usize>, layer: usize, start: usize) -> bool {
        *own == (0..usize::MAX) || own.contains(&layers.position(layer, start, start + 1).0)
    }

    /// Whether searching would take too long; nothing of the text may be kept then.
    pub(super) fn is_too_complex(&self) -> bool {
        self.too_complex || self.edits.too_many
    }

    /// Whether any secret was found.
    pub(super) fn has_secrets(&self) -> bool {
        self.is_too_complex() || !self.edits.found.is_empty()
    }

    /// Finds secrets by name, position and form, and learns the tokens among them.
    pub(super) fn find_named(&mut self, names: &Names, secrets: &mut Secrets) {
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
            layers.visit(layer);
            let text = layers.text(layer);
            for (start, end) in shaped(text) {
                let pseudonym = secrets.learn(&text[start..end]);
                let (start, end) = layers.position(layer, start, end);
                if edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None }).is_err() {
                    return;
                }
            }
        }
    }

    /// Finds every known secret, wherever it occurs.
    pub(super) fn find_values(&mut self, secrets: &Secrets) {
        // Nothing of it is kept.
        if self.is_too_complex() {
            return;
        }
        let Self { layers, edits, syntax, too_complex, .. } = self;
        for layer in 0..layers.count() {
            layers.visit(layer);
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
                edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None })
            });
            *too_complex |= searched.is_err();
            if *too_complex {
                return;
            }
        }
    }

    /// Finds the prefix of a secret at the very end of a truncated text.
    pub(super) fn find_prefix_at_end(&mut self, secrets: &Secrets) {
        if self.is_too_complex() {
            return;
        }
        let (whole, form) = (self.layers.text(0).len(), secrets.form());
        for layer in 0..self.layers.count() {
            self.layers.visit(layer);
            let text = self.layers.text(layer);
            let known = secrets.prefix_at_end(text);
            if let Some(start) = known.into_iter().chain(form.and_then(|form| form::prefix_at_end(form, text))).min() {
                let (start, _) = self.layers.position(layer, start, text.len());
                self.edits.found.push(Edit { start, end: whole, pseudonym: None, quoted_in: None });
            }
        }
    }

    /// Drops the edits that only cover earlier pseudonyms, with any adjacent characters taken for part of the value.
    pub(super) fn keep_pseudonyms(&mut self) {
        let text = self.layers.text(0);
        self.edits.found.retain(|edit| {
            // In a URL, the prefix before the colon is taken for a user name.
            let prefix = if text[..edit.start].ends_with(PREFIX) { PREFIX.len() } else { 0 };
            !is_replaced(&text[edit.start - prefix..edit.end])
        });
    }

    /// Releases the decoded layers, which may take twice the memory of the text, if nothing was found in them. Nothing more
    /// may be searched for.
    pub(super) fn release(&mut self) {
        if !self.has_secrets() {
            self.layers.release();
        }
    }

    /// The text as it is.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.layers.text(0)
    }

    /// The text with all findings replaced; `None` if there are none.
    pub(super) fn redacted(&mut self) -> Option<Bytes> {
        if self.edits.found.is_empty() {
            return None;
        }
        self.edits
            .found
            .sort_unstable_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end), edit.quoted_in.is_none()));
        let text = self.layers.text(0);
        let begins_json = |byte: &u8| matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9');
        let is_json = self.syntax == Syntax::Json && text.trim_ascii_start().first().is_some_and(begins_json);
        let mut quotes = Quotes { text, at: 0, inside: false };
        let mut redacted = Vec::with_capacity(text.len() + 16);
        let mut copied = 0;
        let mut edits = std::mem::take(&mut self.edits.found).into_iter().peekable();
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
        let Self { layers, edits, syntax, own, .. } = self;
        for found_in in 0..layers.count() {
            if edits.too_many {
                return;
            }
            layers.visit(found_in);
            let layers = &*layers;
            // The end of the latest value in each layer: a name inside it is replaced with it, and following each one to its
            // end would take quadratic time. Tokens and configured names each come in the order of the text.
            let mut latest = [[0; Layers::MAX]; 2];
            names.find(layers.text(found_in), |name| {
                let covered = &mut latest[usize::from(name.kind == Kind::Field)];
                if edits.too_many || !Self::is_own(layers, own, found_in, name.start) {
                    return;
                }
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
                // One more name does nothing then.
                let _ = edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in });
            });
        }
    }

    /// Finds the password in `scheme://user:password@host`, and a token in place of both.
    fn find_passwords(&mut self, secrets: &mut Secrets) {
        // A user's name, and the longest password that is searched for. Each byte is looked at once, however many `@`
        // there are, since one is the end of what is looked at before the next.
        const MAX: usize = 256 + MAX_LEN;
        let Self { layers, edits, own, .. } = self;
        for layer in 0..layers.count() {
            layers.visit(layer);
            let text = layers.text(layer);
            for at in memchr::memchr_iter(b'@', text) {
                let ends =
                    |byte: &u8| matches!(byte, b'/' | b' ' | b'"' | b'\'' | b'<' | b'>' | b'\n' | b'?' | b'#' | b'@');
                let Some(slash) = text[..at].iter().rev().take(MAX).position(ends) else { continue };
                let start = at - slash;
                if !text[..start].ends_with(b"://") || !Self::is_own(layers, own, layer, at) {
                    continue;
                }
                let user = &text[start..at];
                let start = match memchr::memchr(b':', user) {
                    Some(colon) => start + colon + 1,
                    None if user.len() >= MIN_LEN && user.iter().any(u8::is_ascii_digit) => start,
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
                if edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None }).is_err() {
                    return;
                }
            }
        }
    }

    /// Finds anything in the form of tokens.
    fn find_tokens(&mut self, secrets: &mut Secrets) {
        let Some(form) = secrets.form() else { return };
        let Self { layers, edits, own, .. } = self;
        for layer in 0..layers.count() {
            if edits.too_many {
                return;
            }
            layers.visit(layer);
            let text = layers.text(layer);
            form::tokens(form, text, |start, end| {
                if edits.too_many || !Self::is_own(layers, own, layer, start) {
                    return;
                }
                let pseudonym = secrets.learn(&text[start..end]);
                let (start, end) = layers.position(layer, start, end);
                let _ = edits.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
            });
        }
    }

    fn find_token(&mut self, start: usize, secrets: &mut Secrets) {
        let text = self.layers.text(0);
        let token = &text[start..];
        if !token.is_empty() && !is_pseudonym(token) {
            let (end, pseudonym) = (text.len(), secrets.learn(token));
            self.edits.found.push(Edit { start, end, pseudonym: Some(pseudonym), quoted_in: None });
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

    fn redacted(text: &str) -> String {
        let mut secrets = Secrets::default().with_form(SAMPLE.token_form);
        let mut found = Text::new(text.as_bytes(), Syntax::Json);
        found.find_named(&Names::tokens_and(&SAMPLE, &["LastName".to_owned()]), &mut secrets);
        found.redacted().map_or(text.to_owned(), |redacted| String::from_utf8_lossy(&redacted).into_owned())
    }

    #[test]
    fn regression_a_name_before_another_that_is_searched_for_earlier_was_passed_over() {
        // Names of tokens are searched for before configured ones, and a text as it is before its escapes are decoded.
        for (text, secret) in [
            (r#"{"LastName": "Novotny", "AccessToken": "abc"}"#, "Novotny"),
            (r#"{"Access\u0054oken": "first-one", "ClientToken": "abc"}"#, "first-one"),
            (r#"{"Last\u004eame": "Novotny", "LastName": "x", "ClientToken": "abc"}"#, "Novotny"),
            (r#"{"AccessToken": "first-one", "LastName": "Novotny", "ClientToken": "abc"}"#, "first-one"),
        ] {
            let shown = redacted(text);
            assert!(!shown.contains(secret) && !shown.contains("abc"), "{shown}");
        }
    }

    #[test]
    fn regression_a_text_full_of_secrets_took_seconds_and_hundreds_of_megabytes() {
        let bounds = Bounds { edits: 1000, ..Bounds::USUAL };
        let names = Names::tokens_and(&SAMPLE, &[]);
        let mut secrets = Secrets::default().with_form(SAMPLE.token_form);
        secrets.learn(b"a-token-known-before");
        let digits = "0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcde,";
        for secret in [r#""apikey":"a","#, "://a:b@", "https://a:b@\\n", "a-token-known-before ", digits] {
            for (count, is_too_complex) in [(100, false), (20_000, true)] {
                let text = secret.repeat(count);
                let mut found = Text::within(text.as_bytes(), Syntax::Json, bounds);
                found.find_named(&names, &mut secrets);
                found.find_shaped(&mut secrets);
                found.find_values(&secrets);
                assert_eq!((found.is_too_complex(), found.has_secrets()), (is_too_complex, true), "{secret}");
                assert!(found.edits.found.len() <= 1000, "{secret}: {}", found.edits.found.len());
            }
        }
    }

    #[test]
    fn regression_a_long_password_in_a_url_was_not_found() {
        for length in [8, 250, 282, 4096] {
            let password = "x7".repeat(length).split_off(length);
            for user in ["", "somebody", &"u".repeat(250)] {
                let shown = redacted(&format!("see https://{user}:{password}@example.com/ or @{password}:"));
                assert!(!shown.contains(&format!("{password}@")) && shown.contains("REDACTED:"), "{length}: {shown}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_shape_is_found_anywhere(text in "[g/]{0,40}[0-9a-fA-F]{25,36}(-[0-9a-f]{27,33})?[-g]{0,40}") {
            prop_assert_eq!(has_shaped(text.as_bytes()), shaped(text.as_bytes()).next().is_some());
        }
    }
}
