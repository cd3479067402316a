//! Locating the value of a name, in any notation.

use memchr::{memchr, memmem};

use super::{
    names::{self, Kind, Name, is_quote, skip_space, string_end},
    syntax::Syntax,
};

/// How far after a name its value may be if no `:` or `=` connects them.
const MAX_GAP: usize = 200;
/// Maximum length of an XML start tag, or of the headers of a multipart part.
const MAX_HEAD: usize = 1024;
/// The shortest word taken for a secret without other evidence.
const MIN_WORD: usize = 16;

/// The context of a name.
#[derive(Clone, Copy)]
pub(super) struct Context {
    kind: Kind,
    syntax: Syntax,
    /// Whether it is an XML element.
    element: bool,
    /// Whether it follows `name=`.
    part: bool,
    /// Whether it starts a line.
    line: bool,
}

/// A value, possibly truncated or malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In quotes.
    Quoted,
    /// A JSON number, literal, object or array, which becomes a string when replaced.
    Json,
    /// Verbatim, after `=`.
    Pair,
    /// Verbatim.
    Bare,
    /// Between tags.
    Element,
}

impl Context {
    pub(super) fn of(text: &[u8], name: &Name, syntax: Syntax) -> Self {
        let before = &text[..name.start];
        // A namespace prefix is part of the name.
        let prefix = before
            .iter()
            .rev()
            .take(64)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.'));
        let element = before[..before.len() - prefix.count()].ends_with(b"<");
        let unquoted = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
        let part = unquoted.strip_suffix(b"=").is_some_and(names::ends_with_name);
        let line =
            before.iter().rev().take(256).find(|byte| !matches!(byte, b' ' | b'\t' | b'-' | b'?' | b'"' | b'\''));
        let line = line.is_none_or(|byte| matches!(byte, b'\n' | b'\r'));
        Self { kind: name.kind, syntax, element, part, line }
    }
}

/// The value of the name that ends at `at`; `None` if there is none.
pub(super) fn value(text: &[u8], at: usize, context: &Context) -> Option<Value> {
    let mut at = skip_index(text, at);
    let quote = text.get(at).copied().filter(|byte| is_quote(*byte));
    if quote.is_some() {
        at = skip_index(text, at + 1);
    }
    let after = skip(text, at, context);
    match *text.get(after)? {
        separator @ (b':' | b'=') => {
            let more = text[after + 1..].iter().take(2).take_while(|byte| matches!(byte, b'=' | b'>' | b':')).count();
            bound(text, skip(text, after + 1 + more, context), separator, quote, context)
        }
        _ if context.element && quote.is_none() => element(text, at),
        _ if context.part => part(text, at),
        b'"' | b'\'' | b'`' | b',' | b'<' | b')' => unbound(text, at, false),
        _ if quote.is_some() || after > at => unbound(text, at, false),
        _ => None,
    }
    .filter(|value| value.end > value.start)
}

/// Skips white space, which queries and forms write as `+`.
fn skip(text: &[u8], at: usize, context: &Context) -> usize {
    let at = skip_space(text, at);
    match context.syntax {
        Syntax::Form | Syntax::Target => {
            at + text[at.min(text.len())..].iter().take_while(|byte| matches!(byte, b'+' | b' ')).count()
        }
        _ => at,
    }
}

/// Skips `[]`, `[0]` and `['a']`.
fn skip_index(text: &[u8], at: usize) -> usize {
    match text.get(at..) {
        Some(rest @ [b'[', ..]) => rest.iter().take(16).position(|byte| *byte == b']').map_or(at, |end| at + end + 1),
        _ => at,
    }
}

/// The value after a separator.
fn bound(text: &[u8], at: usize, separator: u8, quote: Option<u8>, context: &Context) -> Option<Value> {
    // String prefixes as in Python and C#, and YAML tags.
    let letters = text[at.min(text.len())..].iter().take(2).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let mut start = match text.get(at + letters) {
        Some(byte) if letters > 0 && is_quote(*byte) => at + letters,
        _ => at,
    };
    if text.get(start..)?.starts_with(b"!!") {
        let tag = text[start..].iter().take(32).take_while(|byte| !byte.is_ascii_whitespace()).count();
        start = skip_space(text, start + tag);
    }
    let json = separator == b':' && quote.is_some();
    let found = match *text.get(start)? {
        open if is_quote(open) => {
            let triple = text[start..].starts_with(&[open; 3]);
            let start = start + if triple { 3 } else { 1 };
            let end = string_end(text, start, open);
            Value { start, end, form: Form::Quoted }
        }
        b'{' | b'[' if json => Value { start, end: names::nested_end(text, start), form: Form::Json },
        // A YAML or configuration list.
        b'[' => {
            let inner = skip_space(text, start + 1);
            return bound(text, inner, separator, None, context).filter(|_| text.get(inner) != Some(&b'['));
        }
        b'|' | b'>' if separator == b':' && !json => {
            // A YAML block scalar, whose lines may have been joined.
            let indicator = |byte: &&u8| matches!(byte, b'|' | b'>' | b'-' | b'+' | b' ' | b'\r' | b'\n' | b'0'..=b'9');
            let start = start + text[start..].iter().take(MAX_GAP).take_while(indicator).count();
            Value { start, end: bare_end(text, start, separator, context), form: Form::Bare }
        }
        _ => {
            let near = &text[..text.len().min(start + MAX_CREDENTIALS)];
            let end = match bare_end(near, start, separator, context) {
                end if end < near.len() || context.kind == Kind::Credentials => end,
                _ => bare_end(text, start, separator, context),
            };
            let form = match (json, separator) {
                (true, _) => Form::Json,
                (_, b'=') => Form::Pair,
                _ => Form::Bare,
            };
            let trimmed = text[start..end].trim_ascii_end().len();
            Value { start, end: start + trimmed, form }
        }
    };
    let content = &text[found.start..found.end];
    match context.kind {
        // A value this long counts as credentials, whatever it looks like.
        Kind::Credentials if found.form != Form::Quoted && content.len() + 1 >= MAX_CREDENTIALS => {
            Some(Value { end: bare_end(text, found.start, separator, context), ..found })
        }
        Kind::Credentials => credentials(text, found),
        _ if found.form != Form::Quoted && is_null(content) => None,
        // In prose a colon introduces no value.
        Kind::Token if found.form == Form::Bare && !context.line && !looks_secret(content) => None,
        _ => Some(found),
    }
}

/// The end of an unquoted value.
fn bare_end(text: &[u8], start: usize, separator: u8, context: &Context) -> usize {
    let whole =
        context.kind == Kind::Credentials || (context.kind == Kind::Field && (separator == b'=' || context.line));
    let ends = |at: usize| {
        let byte = text[at];
        match context.syntax {
            _ if matches!(byte, b'\r' | b'\n') => true,
            Syntax::Cookie => byte == b';',
            Syntax::Form | Syntax::Target => matches!(byte, b'&' | b'#'),
            _ if byte == b'\\' => ends_at_escape(&text[at + 1..]),
            _ if whole => matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | b'&' | b';' | b'}'),
            _ => matches!(
                byte,
                b'"' | b'\'' | b'`' | b'<' | b'>' | b'&' | b'#' | b';' | b',' | b'}' | b']' | b')' | b' ' | b'\t'
            ),
        }
    };
    (start..text.len()).find(|at| ends(*at)).unwrap_or(text.len())
}

/// How many bytes of credentials are inspected: a line may repeat the word many times.
const MAX_CREDENTIALS: usize = 1024;

/// Whether a JSON escape stands for a character that ends a value. Slashes, pluses and letters do not.
fn ends_at_escape(escape: &[u8]) -> bool {
    match escape {
        [b'"' | b'\'' | b'n' | b'r' | b't' | b'\\', ..] | [] => true,
        [b'u', b'0', b'0', digits @ ..] => {
            let ends = [b"22", b"26", b"27", b"3c", b"3C", b"3e", b"3E", b"0a", b"0A", b"0d", b"0D", b"20"];
            digits.first_chunk::<2>().is_some_and(|digits| ends.contains(&digits))
        }
        _ => false,
    }
}

/// The credentials after their scheme.
///
/// In prose the scheme proves nothing: what follows must look like credentials.
fn credentials(text: &[u8], value: Value) -> Option<Value> {
    let content = &text[value.start..value.end];
    let scheme = content.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let space = content[scheme..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let known = [&b"basic"[..], b"bearer", b"digest", b"token", b"apikey", b"negotiate", b"hmac", b"key"];
    let is_known = known.iter().any(|known| content[..scheme].eq_ignore_ascii_case(known));
    let start = if space > 0 { value.start + scheme + space } else { value.start };
    let form = if value.form == Form::Json && space > 0 { Form::Bare } else { value.form };
    (space > 0 && is_known || looks_random(&text[start..value.end])).then_some(Value { start, form, ..value })
}

/// The text of an element whose start tag continues at `at`.
fn element(text: &[u8], at: usize) -> Option<Value> {
    let tag = &text[at..text.len().min(at + MAX_HEAD)];
    let close = memchr(b'>', tag)?;
    if tag[..close].ends_with(b"/") || tag[..close].contains(&b'<') {
        return None;
    }
    let mut start = skip_space(text, at + close + 1);
    let end = if text[start..].starts_with(b"<![CDATA[") {
        start += b"<![CDATA[".len();
        start + memmem::find(&text[start..], b"]]>").unwrap_or(text.len() - start)
    } else {
        start + memchr(b'<', &text[start..]).unwrap_or(text.len() - start)
    };
    let content = text[start..end].trim_ascii();
    let start = start + (text[start..end].len() - text[start..end].trim_ascii_start().len());
    Some(Value { start, end: start + content.len(), form: Form::Element })
}

/// The content of a multipart part whose headers continue at `at`; for an HTML field its value.
fn part(text: &[u8], at: usize) -> Option<Value> {
    let head = &text[at..text.len().min(at + MAX_HEAD)];
    let empty = memmem::find(head, b"\r\n\r\n").map(|empty| empty + 4);
    let empty = empty.or_else(|| memmem::find(head, b"\n\n").map(|empty| empty + 2));
    let is_head = |end: usize| !head[..end].contains(&b'<') && memmem::find(&head[..end], b"\n--").is_none();
    let Some(start) = empty.filter(|end| is_head(*end)).map(|empty| at + empty) else { return unbound(text, at, true) };
    let end = start + memmem::find(&text[start..], b"\n--").unwrap_or(text.len() - start);
    let content = text[start..end].strip_suffix(b"\r").unwrap_or(&text[start..end]);
    Some(Value { start, end: start + content.len(), form: Form::Bare })
}

/// A value related to its name only by following it, as in `("AccessToken", "…")`, in
/// `"name":"AccessToken","value":"…"` and in `<key>AccessToken</key><string>…</string>`. If `is_part`, other words may
/// come between.
fn unbound(text: &[u8], at: usize, is_part: bool) -> Option<Value> {
    const FILLERS: [&str; 18] = [
        "value", "val", "string", "str", "text", "content", "type", "data", "key", "name", "b", "u", "default", "body",
        "hidden", "input", "secret", "is",
    ];
    let end = text.len().min(at + MAX_GAP);
    let mut at = at;
    while at < end {
        match text[at] {
            b'+' => at += 1,
            byte if is_word_byte(byte) => {
                let length = text[at..].iter().take(4 * MAX_HEAD).take_while(|byte| is_word_byte(**byte)).count();
                let word = &text[at..at + length];
                if looks_random(word) && !is_uuid(word) {
                    let more = text[at + length..]
                        .iter()
                        .take_while(|byte| is_word_byte(**byte) || matches!(byte, b'/' | b'='))
                        .count();
                    return Some(Value { start: at, end: at + length + more, form: Form::Bare });
                }
                if !is_part && !FILLERS.iter().any(|filler| word.eq_ignore_ascii_case(filler.as_bytes())) {
                    return None;
                }
                at += length;
            }
            b'"' | b'\'' | b'`' | b',' | b':' | b'=' | b'<' | b'>' | b'/' | b'(' | b')' | b'[' | b'{' | b';' | b' '
            | b'\t' | b'\r' | b'\n' => at += 1,
            _ => return None,
        }
    }
    None
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.' | b'~')
}

/// Whether a word is too long and mixed to be natural language.
fn looks_random(word: &[u8]) -> bool {
    word.len() >= MIN_WORD && word.iter().any(u8::is_ascii_digit)
}

/// Whether a value in prose is a secret rather than the next word.
fn looks_secret(value: &[u8]) -> bool {
    value.len() >= MIN_WORD || value.len() >= 8 && value.iter().any(u8::is_ascii_digit)
}

fn is_uuid(word: &[u8]) -> bool {
    word.len() == 36
        && word.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether this denotes the absence of a value.
fn is_null(value: &[u8]) -> bool {
    ["", "null", "none", "nil", "undefined", "~"].iter().any(|null| value.eq_ignore_ascii_case(null.as_bytes()))
}
