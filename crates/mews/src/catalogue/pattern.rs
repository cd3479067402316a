//! Forms of strings, as regular expressions.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

/// Maximum memory of a compiled expression in bytes: a supplied document can have any number of them.
const LARGEST: usize = 256 << 10;

/// A form of strings.
#[derive(Debug)]
pub struct Pattern {
    /// Its name in the catalogue; empty for one from a document.
    pub name: Box<str>,
    /// Its description: `a currency code of ISO 4217, as EUR`.
    pub text: Box<str>,
    /// The regular expression.
    pub regex: Box<str>,
    /// Compiled on first use; `None` if that fails.
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A document's expression for a property.
    ///
    /// Only expressions that match in linear time are checked; with look-around, back references or Unicode classes,
    /// everything matches.
    #[cfg(feature = "openapi")]
    pub(crate) fn of_document(regex: &str) -> Self {
        let shown: String = regex.chars().take(100).collect();
        Self {
            name: Box::default(),
            text: format!("a string that matches /{shown}/").into(),
            regex: regex.into(),
            compiled: OnceLock::new(),
        }
    }

    /// Whether `text` matches.
    pub fn fits(&self, text: &str) -> bool {
        let compile = || RegexBuilder::new(&self.regex).size_limit(LARGEST).build().ok();
        self.compiled.get_or_init(compile).as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    text: Box<str>,
    regex: Box<str>,
}

/// The data's patterns by name.
pub(super) fn known() -> &'static BTreeMap<Box<str>, Arc<Pattern>> {
    // A constant, all of which a test below reads.
    static KNOWN: LazyLock<BTreeMap<Box<str>, Arc<Pattern>>> = LazyLock::new(|| {
        let sources: BTreeMap<Box<str>, Source> =
            toml::from_str(include_str!("../../data/patterns.toml")).expect("the built-in patterns are read by a test");
        let pattern = |(name, Source { text, regex }): (Box<str>, Source)| {
            (name.clone(), Arc::new(Pattern { name, text, regex, compiled: OnceLock::new() }))
        };
        sources.into_iter().map(pattern).collect()
    });
    &KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_patterns_are_good_and_anchored() {
        for pattern in known().values() {
            assert!(Regex::new(&pattern.regex).is_ok(), "{}", pattern.name);
            assert!(pattern.regex.starts_with('^') && pattern.regex.ends_with('$'), "{}", pattern.name);
        }
    }

    #[test]
    fn forms_are_told_from_others() {
        for (name, good, bad) in [
            ("currency", &["EUR", "GBP"][..], &["eur", "EURO", "\u{20ac}", "EU", "EUR ", ""][..]),
            ("country", &["GB", "CZE"], &["gb", "G", "England", "G1"]),
            ("country-alpha-2", &["GB"], &["GBR", "gb", ""]),
            ("subdivision", &["AU-NSW", "FR-75", "GB-LND"], &["NSW", "AUNSW", "AU-", "au-nsw", "AU-ABCD"]),
            ("duns", &["123456789"], &["12345678", "1234567890", "12-345-6789", "12345678A"]),
            ("month-year", &["10/2026", "01/2030"], &["13/2026", "1/2026", "10/26", "2026-10"]),
            (
                "masked-card",
                &["411111******1111", "************1111", "4111 11** **** 1111", "1111"],
                &["4111111111111111", "4111111*****1111", "411111****11111", "4111 1111 1111 1111"],
            ),
            (
                "iban",
                &["GB29NWBK60161331926819", "DE89 3704 0044 0532 0130 00"],
                &["", "29NWBK60161331926819", "GB29", "GB29-NWBK-6016-1331-9268-19"],
            ),
        ] {
            let pattern = &known()[name];
            good.iter().for_each(|text| assert!(pattern.fits(text), "{name}: {text}"));
            bad.iter().for_each(|text| assert!(!pattern.fits(text), "{name}: {text}"));
        }
        assert_eq!(known().len(), 8, "each pattern has a line above");
    }
}
