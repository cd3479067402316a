//! Rule ids, as used in JSON, in declarations and by `--explain`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Rule;

/// An unknown rule id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown rule `{given}`{} `nightaudit review --explain all` lists them", nearest.map_or_else(|| ":".to_owned(), |rule| format!(": did you mean `{rule}`?")))]
pub struct UnknownRule {
    /// The given text.
    pub given: String,
    /// The most similar id.
    pub nearest: Option<Rule>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        if let Some(rule) = Self::ALL.iter().find(|rule| rule.id() == text) {
            return Ok(*rule);
        }
        // People remember the part after the slash.
        let likeness = |rule: &Rule| {
            let tail = rule.id().split_once('/').map_or("", |(_, tail)| tail);
            strsim::jaro_winkler(text, rule.id()).max(strsim::jaro_winkler(text, tail))
        };
        let nearest = Self::ALL.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        Err(UnknownRule { given: text.to_owned(), nearest: nearest.filter(|rule| likeness(rule) > 0.75) })
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_round_trip_and_are_unique() {
        let ids: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            assert_eq!(rule.id().parse(), Ok(*rule));
            assert!(rule.why().contains("Raised") || *rule == Rule::RecordBounds, "{rule} doesn't say what raises it");
            for text in [rule.title(), rule.why(), rule.advice()] {
                assert!(!text.contains("  "), "{rule}: {text}");
            }
        }
    }

    #[test]
    fn the_nearest_rule_is_suggested() {
        for (given, meant) in
            [("limit/over", "limits/over"), ("hammering", "retry/hammering"), ("run-short", "run/short")]
        {
            let error = given.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{given}`: did you mean `{meant}`?")), "{error}");
        }
        assert_eq!("xyz".parse::<Rule>().unwrap_err().nearest, None);
    }
}
