//! Rust source as far as names need it: without comments, literals and tests.

/// A token: a name, `::`, or another character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Name(&'a str),
    PathSeparator,
    Other(char),
}

/// The tokens of a file, without those of tests.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    without_tests(&scan(text))
}

fn scan(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Name(&rest[..end]));
            end
        } else if rest.starts_with("::") {
            tokens.push(Token::PathSeparator);
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Other(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string or character that `text` starts with.
fn literal(text: &str) -> Option<usize> {
    let unprefixed = text.trim_start_matches(['b', 'c', 'r']);
    let prefix = text.len() - unprefixed.len();
    if text[..prefix].ends_with('r') {
        let hashes = unprefixed.len() - unprefixed.trim_start_matches('#').len();
        let start = unprefixed[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(prefix + hashes + 1 + start.find(&end)? + end.len());
    }
    let quote = unprefixed.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    // `'a` is a lifetime.
    if quote == '\'' && !unprefixed[1..].starts_with('\\') && unprefixed.chars().nth(2) != Some('\'') {
        return None;
    }
    let mut escaped = false;
    let end = unprefixed[1..].find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some(prefix + 1 + end + 1)
}

/// Leaves out each item that is compiled for tests only: `#[cfg(test)]`, `#[cfg(all(test, unix))]`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    use Token::{Name, Other};
    let attribute = [Other('#'), Other('['), Name("cfg"), Other('(')];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let inner = tokens[at..].strip_prefix(&attribute).unwrap_or_default();
        let end = inner.iter().position(|token| *token == Other(']')).unwrap_or_default();
        if inner[..end].contains(&Name("test")) && !inner[..end].contains(&Name("not")) {
            at = end_of_item(tokens, at + attribute.len() + end + 1);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Where the item that begins at `at` ends: after a `;`, or after its outermost braces.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Other('(' | '[' | '{') => depth += 1,
            Token::Other(end @ (')' | ']' | '}')) => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *end == '}' {
                    break;
                }
            }
            Token::Other(';') if depth == 0 => break,
            _ => {}
        }
    }
    at
}

#[test]
fn comments_literals_and_tests_are_left_out() {
    let source = "use a::b; // c::d\nlet x = \"e::f\"; let y = ('\\'', '\"', b'g', r#\"h\"::\"#);\nfn k<'l>() {}\n\
                  #[cfg(test)]\nmod m { fn n() { o::p(); } }\n#[cfg(all(test, unix))]\nmod q;\nr::s()";
    let names: Vec<&str> = tokens(source)
        .into_iter()
        .filter_map(|token| match token {
            Token::Name(name) => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["use", "a", "b", "let", "x", "let", "y", "fn", "k", "l", "r", "s"]);
}
