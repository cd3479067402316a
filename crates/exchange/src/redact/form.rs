//! Recognising tokens by their form.
//!
//! A [`TokenForm`] such as 32 hexadecimal digits, a hyphen and 31 more. Nothing else in messages looks like that: a UUID
//! has at most 12 digits in a row, a digest has no hyphen, and a trace id has 32 digits before and 16 after the hyphen.

use crate::TokenForm;

/// Sampling stride and window, in bytes. Wherever a token of [`TokenForm::SHORTEST`] bytes or more lies, one sampled
/// window of 16 bytes is all digits: with 32 digits before the hyphen and 31 after it, such windows start at its bytes 0
/// to 16 or 33 to 48, and any 24 consecutive offsets include one.
const STRIDE: usize = 24;
const WINDOW: usize = 16;

/// At the end of a truncated text, a run of this many digits and hyphens may be the prefix of a token.
const MIN_PREFIX: usize = 13;

/// Whether a byte is a hexadecimal digit.
const IS_DIGIT: [bool; 256] = {
    let mut digits = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = (byte as u8).is_ascii_hexdigit();
        byte += 1;
    }
    digits
};

/// Calls `found` with the start and end of each token.
pub(super) fn tokens(form: TokenForm, text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk::<WINDOW>()) {
        let mut next = at + STRIDE;
        // One of three bytes rules out nearly all windows.
        let is_digit = |at: usize| IS_DIGIT[usize::from(window[at])];
        if is_digit(0) && is_digit(WINDOW / 2) && is_digit(WINDOW - 1) && all_digits(window) {
            let (start, end) = run(text, at);
            if let Some((start, end)) = token_in(form, text, start, end) {
                found(start, end);
            }
            next = next.max(end);
        }
        at = next;
    }
}

/// The start of a token's prefix at the end of a truncated text.
pub(super) fn prefix_at_end(form: TokenForm, text: &[u8]) -> Option<usize> {
    let run = text.iter().rev().take(form.length()).take_while(|byte| is_part(**byte)).count();
    let start = text.len() - run;
    // The first run of a token has no hyphen.
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    (digits == run && run >= MIN_PREFIX || digits >= form.before()).then_some(start)
}

/// The run of digits and hyphens around a byte.
fn run(text: &[u8], at: usize) -> (usize, usize) {
    let before = text[..at].iter().rev().take_while(|byte| is_part(**byte)).count();
    let after = text[at..].iter().take_while(|byte| is_part(**byte)).count();
    (at - before, at + after)
}

/// The part of a run that consists of tokens.
fn token_in(form: TokenForm, text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let run = &text[start..end];
    let mut span: Option<(usize, usize)> = None;
    for hyphen in memchr::memchr_iter(b'-', run) {
        let digits = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| **byte != b'-').count();
        let before = digits(&mut run[..hyphen].iter().rev());
        let after = digits(&mut run[hyphen + 1..].iter());
        if before >= form.before() && after >= form.after() {
            let (from, to) = (start + hyphen - before, start + hyphen + 1 + after);
            span = Some(span.map_or((from, to), |(first, _)| (first, to)));
        }
    }
    span
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

/// Whether all of these bytes are hexadecimal digits.
fn all_digits(window: &[u8; WINDOW]) -> bool {
    // No early exit, so that the compiler can vectorize it.
    window.iter().fold(true, |all, byte| {
        let (digit, letter) = (byte.wrapping_sub(b'0') < 10, (byte | 0x20).wrapping_sub(b'a') < 6);
        all & (digit | letter)
    })
}

/// Whether the value is exactly one token.
pub(super) fn is_token(form: TokenForm, value: &[u8]) -> bool {
    value.len() == form.length() && token_in(form, value, 0, value.len()) == Some((0, value.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: TokenForm = TokenForm::new(32, 31);
    const TOKEN: &str = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        tokens(FORM, text.as_bytes(), |start, end| all.push(&text[start..end]));
        all
    }

    #[test]
    fn other_text_is_left_alone() {
        for text in [
            "0c19d2e4-bb3e-4d9c-9b3c-b1f0008a3b9d",
            "0c19d2e4bb3e4d9c9b3cb1f0008a3b9d",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "4bf92f3577b34da6a3ce929d0e0e4736-4bf92f3577b34da6a3ce929d0e0e47",
            "00000000000000000000000000000000000000000000000000000000000000000000000000000",
        ] {
            assert_eq!(found(&format!("{text} {text},{text}")), [""; 0], "{text}");
            assert!(!is_token(FORM, text.as_bytes()));
        }
        assert!(is_token(FORM, TOKEN.as_bytes()) && !is_token(FORM, format!("{TOKEN}0").as_bytes()));
    }

    #[test]
    fn a_truncated_token_is_found_at_the_end() {
        for length in [MIN_PREFIX, 32, 33, 40, 63] {
            let text = format!("\"{}", &TOKEN[..length]);
            assert_eq!(prefix_at_end(FORM, text.as_bytes()), Some(1), "{length}");
        }
        assert_eq!(prefix_at_end(FORM, b"\"0c19d2e4-bb3e-4d9c-9b3c-b1f0008a3b9"), None);
        assert_eq!(prefix_at_end(FORM, b"abc"), None);
    }

    proptest! {
        #[test]
        fn a_token_is_found_anywhere(before in "[ -~]{0,60}[^0-9a-fA-F-]", after in "([^0-9a-fA-F-][ -~]{0,40})?") {
            let text = format!("{before}{TOKEN}{after}");
            prop_assert!(found(&text).contains(&TOKEN), "{}", text);
            let text = format!("{before}{}{after}", TOKEN.to_lowercase());
            prop_assert_eq!(found(&text).len(), 1);
        }
    }
}
