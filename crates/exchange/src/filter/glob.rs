//! Patterns with `*` and `?`.

use std::{fmt, str::FromStr};

use super::InvalidFilter;

/// A pattern in which `*` matches any text and `?` any one character; case-insensitive.
///
/// ```
/// use nightaudit_exchange::Glob;
///
/// let glob: Glob = "reservations/*/2023-??-??".parse()?;
/// assert!(glob.matches("reservations/getAll/2023-06-06"));
/// assert!(!glob.matches("reservations/getAll"));
/// # Ok::<(), nightaudit_exchange::InvalidFilter>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// Maximum pattern length, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Whether the pattern matches the whole of `text`.
    ///
    /// Takes time proportional to the product of both lengths at worst, usually to their sum.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        matches(&self.0, text)
    }

    /// Whether one of the comma-separated patterns matches the whole of `text`, which must not contain a comma.
    #[must_use]
    pub fn matches_any(&self, text: &str) -> bool {
        self.alternatives().any(|pattern| matches(pattern, text))
    }

    /// The comma-separated patterns.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim)
    }

    /// The pattern as literal text; `None` if it contains `*` or `?`.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(&self.0)
    }

    /// The prefix of every matching text, case aside.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.split(['*', '?']).next().unwrap_or_default()
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut rest) = (pattern.chars(), text.chars());
    // Where to resume when the part after the latest `*` does not match: the pattern after it, and the text not yet
    // consumed. Earlier `*` never need a retry, since the latest can absorb whatever they would.
    let mut retry = None;
    loop {
        let before = rest.clone();
        match (pattern.next(), rest.next()) {
            (Some('*'), _) => {
                rest = before;
                retry = Some((pattern.clone(), rest.clone()));
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted.eq_ignore_ascii_case(&found) => {}
            _ => {
                let Some((after_star, untaken)) = &mut retry else { return false };
                if untaken.next().is_none() {
                    return false;
                }
                (pattern, rest) = (after_star.clone(), untaken.clone());
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Glob {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(InvalidFilter::glob(text));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(pattern: &str) -> Glob {
        pattern.parse().unwrap()
    }

    #[test]
    fn the_whole_text_must_match() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("a*", "A", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXcXb", false),
            ("configuration/get", "Configuration/Get", true),
            ("configuration/get", "configuration/getAll", false),
            ("**?**", "x", true),
        ] {
            assert_eq!(glob(pattern).matches(text), fits, "{pattern} on {text}");
        }
    }

    #[test]
    fn pathological_patterns_stay_fast() {
        let pattern = glob(&"a*".repeat(500));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(499))));
        assert!(!glob(&format!("{}b", "*a".repeat(500))).matches(&"a".repeat(2_000)));
    }

    #[test]
    fn empty_and_overlong_patterns_are_rejected() {
        assert!("".parse::<Glob>().is_err());
        assert!("*".repeat(Glob::MAX_LEN + 1).parse::<Glob>().is_err());
    }

    /// The naive definition, exponential.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', after @ ..] => (0..=text.len()).any(|taken| by_definition(after, &text[taken..])),
            ['?', after @ ..] => !text.is_empty() && by_definition(after, &text[1..]),
            [wanted, after @ ..] => {
                text.first().is_some_and(|found| found.eq_ignore_ascii_case(wanted)) && by_definition(after, &text[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(pattern in "[aB*?é]{1,8}", text in "[abBé]{0,10}") {
            let (by, on): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(glob(&pattern).matches(&text), by_definition(&by, &on));
        }
    }
}
