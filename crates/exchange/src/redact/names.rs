//! Secrets found by the name that stands before them.

use memchr::{memchr_iter, memchr2};

/// The names whose values are tokens, in JSON, in cookies and in a query alike.
const TOKENS: [&str; 2] = ["AccessToken", "ClientToken"];

/// Field names of JSON whose values are replaced, compared without regard to the case of ASCII letters.
#[derive(Debug)]
pub(crate) struct Names {
    names: Vec<Box<[u8]>>,
    /// Of the names the first are the tokens' own.
    tokens: usize,
    /// For each byte, whether a name ends with it.
    ends: Box<[bool; 256]>,
}

impl Names {
    /// The names of the tokens, and these.
    pub(crate) fn tokens_and(fields: &[String]) -> Self {
        Self::new(TOKENS.len(), TOKENS.iter().copied().chain(fields.iter().map(String::as_str)))
    }

    /// These names alone.
    pub(crate) fn only<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(0, fields)
    }

    fn new<'a>(tokens: usize, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<Box<[u8]>> = names.into_iter().map(|name| name.as_bytes().into()).collect();
        let mut ends = Box::new([false; 256]);
        for last in names.iter().filter_map(|name| name.last()) {
            ends[usize::from(last.to_ascii_lowercase())] = true;
            ends[usize::from(last.to_ascii_uppercase())] = true;
        }
        Self { names, tokens, ends }
    }

    /// Calls `found` with the place of the closing quote of every one of the names that a colon follows, and whether
    /// the name is a token's.
    ///
    /// It looks back from each colon and keeps no state, so that nothing broken before a field can hide it. Colons are
    /// rarer than quotes, and one search for a single byte is faster than one for many names in either case.
    pub(crate) fn fields(&self, text: &[u8], mut found: impl FnMut(usize, bool)) {
        for colon in memchr_iter(b':', text) {
            let Some(before) = text[..colon].trim_ascii_end().strip_suffix(b"\"") else { continue };
            if !before.last().is_some_and(|&last| self.ends[usize::from(last)]) {
                continue;
            }
            let stands = |name: &[u8]| {
                before.len() > name.len() && {
                    let (rest, tail) = before.split_at(before.len() - name.len());
                    rest.ends_with(b"\"") && tail.eq_ignore_ascii_case(name)
                }
            };
            if let Some(index) = self.names.iter().position(|name| stands(name)) {
                found(before.len(), index < self.tokens);
            }
        }
    }
}

/// Where the value begins of the field whose name's closing quote stands at `close`; none where no colon follows.
pub(crate) fn value_at(text: &[u8], close: usize) -> Option<usize> {
    let colon = skip_space(text, close + 1);
    (text.get(colon) == Some(&b':')).then(|| skip_space(text, colon + 1))
}

/// A value of JSON, which may be cut or broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    /// Where it begins; for a string, behind the quote.
    pub(crate) start: usize,
    /// Where it ends; for a string, before the quote.
    pub(crate) end: usize,
    /// Whether it is a string.
    pub(crate) string: bool,
}

/// The value that begins at `start`; none where there is none, or `null`.
pub(crate) fn value(text: &[u8], start: usize) -> Option<Value> {
    let end = match text.get(start)? {
        b'"' => {
            let end = string_end(text, start + 1);
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

/// The first quote from `at` on that no backslash precedes; the text's end where there is none.
pub(crate) fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(next) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if text[at + next] == b'"' {
            return at + next;
        }
        at += next + 2;
    }
    text.len()
}

fn nested_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at + 1),
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

fn skip_space(text: &[u8], at: usize) -> usize {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    text.get(at..).map_or(text.len(), |rest| at + rest.iter().take_while(|byte| space(byte)).count())
}

/// Calls `found` with the place of the `=` of every `AccessToken=` and `ClientToken=`.
pub(crate) fn pairs(text: &[u8], mut found: impl FnMut(usize)) {
    for equals in memchr_iter(b'=', text) {
        if ends_with_token_name(&text[..equals]) {
            found(equals);
        }
    }
}

/// Whether this is the name of a token.
pub(crate) fn is_token_name(name: &[u8]) -> bool {
    TOKENS.iter().any(|token| name.eq_ignore_ascii_case(token.as_bytes()))
}

fn ends_with_token_name(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    TOKENS.iter().any(|token| {
        text.len() >= token.len() && text[text.len() - token.len()..].eq_ignore_ascii_case(token.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        let mut values = Vec::new();
        Names::tokens_and(&["Note".to_owned()]).fields(text.as_bytes(), |close, _| {
            let start = value_at(text.as_bytes(), close).unwrap();
            values.extend(value(text.as_bytes(), start).map(|value| &text[value.start..value.end]));
        });
        values
    }

    #[test]
    fn fields_are_found_at_any_depth_in_any_case_and_any_type() {
        let text =
            r#"{"accesstoken" : "a\"b", "x": [{"NOTE":{"c":["}"]}},{"Note":-1.5e3},{"note":null}], "note":true}"#;
        assert_eq!(values(text), [r#"a\"b"#, r#"{"c":["}"]}"#, "-1.5e3", "true"]);
    }

    #[test]
    fn what_is_broken_or_cut_before_or_after_hides_nothing() {
        assert_eq!(values(r#"{"a": "x" y" , "ClientToken":"secret"#), ["secret"]);
        assert_eq!(values(r#"{"AccessToken"accesstoken":"secret"#), ["secret"]);
        assert_eq!(values(r#"{"FootNote":"no","Note":"yes","Notes":"no"}"#), ["yes"]);
        assert_eq!(values(r#"}}]"AccessToken":"secret\"#), [r"secret\"]);
        assert_eq!(values(r#"{"Note":{"a":["b"#), [r#"{"a":["b"#]);
        for nothing in [r#""AccessToken"#, r#""AccessToken""#, r#""AccessToken":"#, r#""AccessToken": ,"#] {
            assert_eq!(values(nothing), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn a_pair_is_found_by_its_name() {
        let mut found = Vec::new();
        pairs(b"/x?a=1&accessTOKEN=2; ClientToken =3&Token=4", |equals| found.push(equals));
        assert_eq!(found, [18, 34]);
    }
}
