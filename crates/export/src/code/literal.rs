//! Strings in JavaScript, C# and Python.

use std::fmt::Write as _;

use nightaudit_exchange::Envelope;

use crate::{
    curl::{Piece, pieces, variable},
    text::is_hidden,
};

/// A string as JavaScript, C# and Python write it alike, on one line and without hidden characters.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            hidden if is_hidden(hidden) => escape(&mut literal, hidden),
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

/// `\u202e`. Beyond the first 65,536 characters the three languages have no form in common, and none of the hidden ones
/// there can break a line: they stay as they are.
fn escape(literal: &mut String, character: char) {
    match u32::from(character) {
        code @ ..=0xffff => {
            let _ = write!(literal, "\\u{code:04x}");
        }
        _ => literal.push(character),
    }
}

/// The text with each token's pseudonym replaced by an expression for its variable: `"a" + secret("X") + "b"`.
pub(super) fn expression(text: &str, envelope: &Envelope, secret: impl Fn(&str) -> String) -> String {
    expression_of(text, envelope, literal, secret)
}

/// As [`expression`], with another way to write strings.
pub(super) fn expression_of(
    text: &str,
    envelope: &Envelope,
    literal: impl Fn(&str) -> String,
    secret: impl Fn(&str) -> String,
) -> String {
    let parts: Vec<String> = pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => literal(text),
            Piece::Token(token) => secret(&variable(token, envelope)),
        })
        .collect();
    if parts.is_empty() { literal("") } else { parts.join(" + ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the three languages read.
    fn read(literal: &str) -> String {
        serde_json::from_str(literal).unwrap()
    }

    #[test]
    fn nothing_ends_a_string_or_a_line() {
        let text = "\"); alert(1); //\n\r\u{2028}\u{85}\u{202e}\0\\u0022 ${x} {0} '''";
        let written = literal(text);
        assert!(!written.chars().any(is_hidden), "{written}");
        assert_eq!(read(&written), text);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text: String) {
            prop_assert_eq!(read(&literal(&text)), text);
        }
    }
}
