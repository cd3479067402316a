//! A pattern with `*` and `?`.

use std::{fmt, str::FromStr};

use super::InvalidFilter;

/// A pattern in which `*` stands for any text and `?` for any one character; letters match in either case.
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
    /// The longest pattern, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Whether the pattern stands for the whole of `text`.
    ///
    /// Takes at most the product of both lengths, usually their sum.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        stands_for(&self.0, text)
    }

    /// Whether one of the patterns between commas stands for the whole of `text`, which itself has no comma.
    #[must_use]
    pub fn matches_any(&self, text: &str) -> bool {
        self.alternatives().any(|pattern| stands_for(pattern, text))
    }

    /// The patterns between commas.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim)
    }

    /// The text that the pattern stands for; none where it has a `*` or `?`.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(&self.0)
    }

    /// What every text begins with that the pattern stands for, but for the case of its letters.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.split(['*', '?']).next().unwrap_or_default()
    }
}

fn stands_for(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut rest) = (pattern.chars(), text.chars());
    // Where to go on when what follows the latest `*` does not fit: the pattern after it, and the text it has not
    // yet taken. An earlier `*` never needs another try, since the latest can take whatever that would give up.
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
    fn the_whole_text_must_fit() {
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
    fn what_makes_backtracking_matchers_explode_does_not() {
        let pattern = glob(&"a*".repeat(500));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(499))));
        assert!(!glob(&format!("{}b", "*a".repeat(500))).matches(&"a".repeat(2_000)));
    }

    #[test]
    fn an_empty_and_an_endless_pattern_are_refused() {
        assert!("".parse::<Glob>().is_err());
        assert!("*".repeat(Glob::MAX_LEN + 1).parse::<Glob>().is_err());
    }

    /// The definition itself, exponential and all.
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
