//! Which secrets are searched by value.

use crate::Pseudonym;

/// Shorter secrets are replaced only where their name or position identifies them: by value they would mangle innocent
/// text.
pub(super) const MIN_LEN: usize = 16;
/// Longer secrets are replaced only where their name or position identifies them, so that a hostile one can't slow the
/// search.
pub(super) const MAX_LEN: usize = 4096;

/// Whether a value is already a pseudonym.
pub(super) fn is_pseudonym(value: &[u8]) -> bool {
    value.len() == Pseudonym::LEN
        && value.starts_with(Pseudonym::PREFIX.as_bytes())
        && str::from_utf8(value).is_ok_and(|text| text.parse::<Pseudonym>().is_ok())
}

/// Whether this consists of words, like an identifier: `ClientToken`, `reservation_group`. Random letters do not, since
/// some of their capitals lack a following lower-case letter.
pub(super) fn is_words(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && (0..value.len())
            .all(|at| !value[at].is_ascii_uppercase() || value.get(at + 1).is_some_and(u8::is_ascii_lowercase))
}

/// Whether this reads like a program's name and version, or a sentence, rather than a token.
pub(super) fn is_phrase(value: &[u8]) -> bool {
    let version = |part: &[u8]| {
        let mut numbers = part.split(|byte| *byte == b'.');
        let is_number = |number: &[u8]| (1..=4).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
        part.contains(&b'.') && numbers.all(is_number)
    };
    value.iter().any(u8::is_ascii_whitespace)
        || value.split(|byte| !byte.is_ascii_digit() && *byte != b'.').any(version)
}
