//! Names that identify secrets.

use memchr::{memchr_iter, memchr2, memchr2_iter, memchr3_iter};

use crate::Api;

/// Prefixes of `token` in names that are usual whatever the API.
const USUAL: [&str; 3] = ["refresh", "auth", "bearer"];
/// Prefixes of `key`.
const KEYS: [&str; 2] = ["api", "subscription"];
/// The name of credentials.
const AUTHORIZATION: &str = "authorization";

/// What a name says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A token: `AccessToken`, `client_token`, `X-Api-Key`, …
    Token,
    /// A scheme and credentials: `Authorization`.
    Credentials,
    /// A configured property.
    Field,
}

/// An occurrence of a name in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

/// The names to search for, in any notation: ignoring ASCII case, `_` and `-`.
#[derive(Debug)]
pub(crate) struct Names {
    /// The API whose token names, and the usual ones, are searched for; `None` if they aren't.
    tokens: Option<&'static Api>,
    /// Configured names, verbatim.
    fields: Vec<Box<[u8]>>,
    /// Configured names in lower case, without `_` and `-`.
    plain: Vec<Box<[u8]>>,
    /// For each byte, whether a configured name ends with it.
    ends: Box<[bool; 256]>,
}

impl Names {
    /// Token names of this API plus these.
    pub(crate) fn tokens_and(api: &'static Api, fields: &[String]) -> Self {
        Self::new(Some(api), fields.iter().map(String::as_str))
    }

    /// Only these names.
    pub(crate) fn only<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(None, fields)
    }

    fn new<'a>(tokens: Option<&'static Api>, names: impl IntoIterator<Item = &'a str>) -> Self {
        let fields: Vec<Box<[u8]>> = names.into_iter().map(|name| name.as_bytes().into()).collect();
        let mut ends = Box::new([false; 256]);
        for last in fields.iter().filter_map(|name| name.last()) {
            ends[usize::from(last.to_ascii_lowercase())] = true;
            ends[usize::from(last.to_ascii_uppercase())] = true;
        }
        let plain = fields.iter().map(|name| plain(name)).filter(|name| !name.is_empty()).collect();
        Self { tokens, fields, plain, ends }
    }

    /// Whether any names are configured.
    pub(super) fn has_fields(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Calls `found` with every name, whatever its context.
    ///
    /// Keeps no state, so that malformed text before a name can't hide it. Every token name contains a `k`, which is so
    /// rare that a search for a few bytes finds little else.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(Name)) {
        if let Some(api) = self.tokens {
            for at in memchr3_iter(b'k', b'K', b'z', text) {
                if let Some(name) = token_name(api, text, at) {
                    found(name);
                }
            }
        }
        if !self.plain.is_empty() {
            for separator in memchr3_iter(b':', b'=', b'>', text) {
                if let Some((start, end)) = self.field_before(text, separator) {
                    found(Name { start, end, kind: Kind::Field });
                }
                if let Some((start, end)) = self.form_field(text, separator) {
                    found(Name { start, end, kind: Kind::Field });
                }
            }
        }
    }

    /// Whether a text contains a token name.
    pub(super) fn has_token_name(&self, text: &[u8]) -> bool {
        self.tokens.is_some_and(|api| has_token_name(api, text))
    }

    /// Whether this is the name of a header whose entire value is a token.
    pub(super) fn is_token_name(&self, name: &[u8]) -> bool {
        let is = |api, at| token_name(api, name, at).is_some_and(|found| found.end == name.len());
        self.tokens.is_some_and(|api| memchr2_iter(b'k', b'K', name).any(|at| is(api, at)))
    }

    /// The span of the configured name before a separator.
    fn field_before(&self, text: &[u8], separator: usize) -> Option<(usize, usize)> {
        let before = text[..separator].trim_ascii_end();
        let before = if before.ends_with(b"]") {
            let open = before.iter().rev().take(16).position(|byte| *byte == b'[')?;
            &before[..before.len() - open - 1]
        } else {
            before
        };
        let before = before.strip_suffix(b"\\").unwrap_or(before);
        let quote = before.last().copied().filter(|byte| is_quote(*byte));
        let before = if quote.is_some() { &before[..before.len() - 1] } else { before };
        let before = before.strip_suffix(b"\\").unwrap_or(before);
        if !before.last().is_some_and(|last| self.ends[usize::from(*last)]) {
            return None;
        }
        let start = self.plain.iter().find_map(|name| plain_start(before, name))?;
        let matches = match (quote, before[..start].last()) {
            (Some(quote), Some(open)) => *open == quote,
            (Some(_), None) => false,
            (None, None) => true,
            (None, Some(byte)) => match text[separator] {
                b':' => {
                    let indent = |byte: &&u8| !matches!(byte, b' ' | b'\t' | b'-' | b'?');
                    let begins = before[..start].iter().rev().take(256).find(indent);
                    begins.is_none_or(|byte| *byte == b'\n')
                        || matches!(before[..start].trim_ascii_end().last(), Some(b'{' | b',' | b'('))
                }
                b'=' => !is_name_byte(*byte),
                _ => matches!(byte, b'<' | b':'),
            },
        };
        matches.then_some((start, before.len()))
    }

    /// The span of a configured name after `name=`, as in a multipart body.
    fn form_field(&self, text: &[u8], equals: usize) -> Option<(usize, usize)> {
        if text[equals] != b'=' || !ends_with_name(&text[..equals]) {
            return None;
        }
        let start = equals + 1 + text[equals + 1..].iter().take(1).take_while(|byte| is_quote(**byte)).count();
        let length = text[start..].iter().take(256).take_while(|byte| !is_quote(**byte) && **byte >= b' ').count();
        let name = plain(&text[start..start + length]);
        self.plain.iter().any(|known| **known == *name).then_some((start, start + length))
    }

    /// Calls `found` with the position of the closing quote of each configured name followed by a colon, as in JSON.
    ///
    /// Looks back from each colon and keeps no state, so that malformed text before a property can't hide it. Colons
    /// are rarer than quotes, and searching for one byte is faster than for many names in either case.
    pub(crate) fn fields(&self, text: &[u8], mut found: impl FnMut(usize)) {
        for colon in memchr_iter(b':', text) {
            let Some(before) = text[..colon].trim_ascii_end().strip_suffix(b"\"") else { continue };
            if !before.last().is_some_and(|&last| self.ends[usize::from(last)]) {
                continue;
            }
            let matches = |name: &[u8]| {
                before.len() > name.len() && {
                    let (rest, tail) = before.split_at(before.len() - name.len());
                    rest.ends_with(b"\"") && tail.eq_ignore_ascii_case(name)
                }
            };
            if self.fields.iter().any(|name| matches(name)) {
                found(before.len());
            }
        }
    }
}

/// The start of the value of the property whose closing quote is at `close`; `None` without a colon.
pub(crate) fn value_at(text: &[u8], close: usize) -> Option<usize> {
    let colon = skip_space(text, close + 1);
    (text.get(colon) == Some(&b':')).then(|| skip_space(text, colon + 1))
}

/// A JSON value, possibly truncated or malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    /// Its start; for a string, after the quote.
    pub(crate) start: usize,
    /// Its end; for a string, before the quote.
    pub(crate) end: usize,
    /// Whether it is a string.
    pub(crate) string: bool,
}

/// The value at `start`; `None` if there is none, or `null`.
pub(crate) fn value(text: &[u8], start: usize) -> Option<Value> {
    let end = match text.get(start)? {
        b'"' => {
            let end = string_end(text, start + 1, b'"');
            return Some(Value { start: start + 1, end, string: true });
        }
        b'{' | b'[' => nested_end(text, start),
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
            start + text[start..].iter().position(ends).unwrap_or(text.len() - start)
        }
    };
    (end > start && &text[start..end] != b"null").then_some(Value { start, end, string: false })
}

/// The first unescaped quote at or after `at`; the end of the text if there is none.
pub(super) fn string_end(text: &[u8], mut at: usize, quote: u8) -> usize {
    while let Some(next) = text.get(at..).and_then(|rest| memchr2(quote, b'\\', rest)) {
        if text[at + next] == quote {
            return at + next;
        }
        at += next + 2;
    }
    text.len()
}

pub(super) fn nested_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at + 1, b'"'),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

pub(super) fn skip_space(text: &[u8], at: usize) -> usize {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    text.get(at..).map_or(text.len(), |rest| at + rest.iter().take_while(|byte| space(byte)).count())
}

/// The token name, or `Authorization`, that contains the letter at `at`.
fn token_name(api: &'static Api, text: &[u8], at: usize) -> Option<Name> {
    let matches = |start: usize, word: &str| {
        text.get(start..start + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    let ends = |end: usize| {
        // `AccessTokens` contains tokens, `AccessTokenId` does not.
        let end = end + usize::from(matches!(text.get(end), Some(b's' | b'S')));
        let value = text.get(end..end + 5).is_some_and(|rest| rest.eq_ignore_ascii_case(b"value"));
        let end = if value { end + 5 } else { end };
        (!text.get(end).is_some_and(u8::is_ascii_alphanumeric)).then_some(end)
    };
    let named = |start: usize, end: usize| Some(Name { start, end: ends(end)?, kind: Kind::Token });
    match text[at] {
        b'z' => {
            let start = at.checked_sub(7)?;
            let end = start + AUTHORIZATION.len();
            let ends = !text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            (matches(start, AUTHORIZATION) && ends).then_some(Name { start, end, kind: Kind::Credentials })
        }
        _ if at >= 2 && matches(at - 2, "token") => {
            let before = without_separators(&text[..at - 2]);
            named(word_before(before, api.token_words).or_else(|| word_before(before, &USUAL))?, at + 3)
        }
        _ if matches(at, "key") => named(word_before(without_separators(&text[..at]), &KEYS)?, at + 3),
        _ => None,
    }
}

/// A text without the `_`, `-`, `.` or spaces at its end, of which two at most separate the words of a name.
fn without_separators(text: &[u8]) -> &[u8] {
    let separators = text.iter().rev().take(2).take_while(|byte| matches!(byte, b'_' | b'-' | b'.' | b' ')).count();
    &text[..text.len() - separators]
}

/// The start of the one of these words, in lower case, with which a text ends.
fn word_before(text: &[u8], words: &[&str]) -> Option<usize> {
    let last = text.last()?.to_ascii_lowercase();
    words.iter().find_map(|word| {
        let start = text.len().checked_sub(word.len()).filter(|_| word.as_bytes().last() == Some(&last))?;
        text[start..].eq_ignore_ascii_case(word.as_bytes()).then_some(start)
    })
}

/// A name in lower case, without `_` and `-`.
fn plain(name: &[u8]) -> Box<[u8]> {
    name.iter().filter(|byte| !matches!(byte, b'_' | b'-')).map(u8::to_ascii_lowercase).collect()
}

/// The start of a name at the end of a text, in any notation.
fn plain_start(text: &[u8], plain: &[u8]) -> Option<usize> {
    let mut at = text.len();
    for wanted in plain.iter().rev() {
        while at > 0 && at < text.len() && matches!(text[at - 1], b'_' | b'-') {
            at -= 1;
        }
        at = at.checked_sub(1)?;
        if text[at].to_ascii_lowercase() != *wanted {
            return None;
        }
    }
    (at == 0 || !is_name_byte(text[at - 1])).then_some(at)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || byte >= 0x80
}

/// Whether a text ends with `name`, or `name*` (RFC 8187).
pub(super) fn ends_with_name(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b"*").unwrap_or(text);
    text.len() >= 4
        && text[text.len() - 4..].eq_ignore_ascii_case(b"name")
        && !text[..text.len() - 4].last().is_some_and(u8::is_ascii_alphanumeric)
}

pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Whether a text contains a token name of this API.
pub(super) fn has_token_name(api: &'static Api, text: &[u8]) -> bool {
    memchr2_iter(b'k', b'K', text).any(|at| token_name(api, text, at).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SAMPLE;

    fn names(text: &str) -> Vec<&str> {
        let mut names = Vec::new();
        let fields = ["LastName".to_owned()];
        Names::tokens_and(&SAMPLE, &fields).find(text.as_bytes(), |name| names.push(&text[name.start..name.end]));
        names
    }

    #[test]
    fn a_name_is_found_in_any_notation() {
        for name in [
            "AccessToken",
            "access_token",
            "ACCESS-TOKEN",
            "accessTOKEN",
            "client.token",
            "Connection Token",
            "API_KEY",
            "apikey",
            "Subscription-Key",
            "Authorization",
            "AccessTokens",
            "refreshToken",
            "AUTHORIzATION",
        ] {
            assert_eq!(names(&format!("{{\"{name}\":1}}")), [name]);
        }
        assert_eq!(names("X-Mews-Access-Token: 1"), ["Access-Token"]);
        for none in
            ["AccessTokenId", "Token", "Tokenizer", "key", "Keyboard", "apiKeyId", "token access", "AuthorizationCode"]
        {
            assert_eq!(names(&format!("{{\"{none}\":1}}")), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_configured_name_is_found_only_as_a_name() {
        for text in [
            r#"{"lastname":1}"#,
            r#"{"Last_Name" : 1}"#,
            "{'last-name':1}",
            "a=b&LastName=1",
            "<LastName>1",
            "<x:LASTNAME>1",
            "LastName: 1",
            "- lastName: 1",
            "{lastName:1}",
            "name=\"LastName\"",
            "lastname[]=1",
        ] {
            assert_eq!(names(text).len(), 1, "{text}");
        }
        for text in
            [r#"{"FootLastName":1}"#, "the LastName: 1", "LastNames=1", "myLastName=1", "LastName", "a>LastName"]
        {
            assert_eq!(names(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn json_values_may_be_truncated_or_malformed() {
        let values = |text: &'static str| {
            let mut values = Vec::new();
            Names::only(["Note"]).fields(text.as_bytes(), |close| {
                let start = value_at(text.as_bytes(), close).unwrap();
                values.extend(value(text.as_bytes(), start).map(|value| &text[value.start..value.end]));
            });
            values
        };
        assert_eq!(
            values(r#"{"note" : "a\"b", "x": [{"NOTE":{"c":["}"]}},{"Note":-1.5e3},{"note":null}], "note":true}"#),
            [r#"a\"b"#, r#"{"c":["}"]}"#, "-1.5e3", "true"]
        );
        assert_eq!(values(r#"{"Note"note":"secret"#), ["secret"]);
        assert_eq!(values(r#"{"FootNote":"no","Note":"yes","Notes":"no"}"#), ["yes"]);
        assert_eq!(values(r#"}}]"Note":"secret\"#), [r"secret\"]);
        assert_eq!(values(r#"{"Note":{"a":["b"#), [r#"{"a":["b"#]);
        assert_eq!(values(r#""Note": ,"#), [""; 0]);
    }

    #[test]
    fn a_token_header_is_recognised_by_its_suffix() {
        for name in ["AccessToken", "x-access-token", "X-Api-Key", "Ocp-Apim-Subscription-Key"] {
            assert!(Names::tokens_and(&SAMPLE, &[]).is_token_name(name.as_bytes()), "{name}");
        }
        for name in ["X-Token", "Access-Token-Id", "Idempotency-Key", "Sec-WebSocket-Key"] {
            assert!(!Names::tokens_and(&SAMPLE, &[]).is_token_name(name.as_bytes()), "{name}");
        }
    }
}
