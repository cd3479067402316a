//! JSON formatting.

/// Whether a text is JSON.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The deepest indentation. JSON may be nested as deep as it is long, and indenting all levels would exhaust memory.
const DEEPEST: usize = 64;

/// Indents valid JSON. Only white space changes: keys keep their order and numbers their digits.
pub fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
    };
    let mut letters = json.chars().filter(|letter| letter != &'\r').peekable();
    while let Some(letter) = letters.next() {
        if in_text {
            out.push(letter);
            in_text = letter != '"' || escaped;
            escaped = letter == '\\' && !escaped;
            continue;
        }
        match letter {
            '"' => {
                in_text = true;
                out.push(letter);
            }
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match letters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            letter if letter.is_ascii_whitespace() => {}
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_without_end_stays_small() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(indent(&deep).len() < 100_000 * 2 * (2 * DEEPEST + 2));
    }

    #[test]
    fn json_is_indented_and_nothing_else() {
        let json = r#"{ "b":1.50,"a" : ["x,{\"\\",{}, [ ] ],"n":12345678901234567890123}"#;
        let expected = "{\n  \"b\": 1.50,\n  \"a\": [\n    \"x,{\\\"\\\\\",\n    {},\n    []\n  ],\n  \"n\": 12345678901234567890123\n}";
        assert_eq!(indent(json), expected);
    }
}
