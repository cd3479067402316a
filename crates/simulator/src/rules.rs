//! The kinds of properties, by their names.

use serde::Deserialize;
use thiserror::Error;

use crate::kind::{Field, InvalidKind, Kind};
use crate::name::fits;

/// Default kinds of properties, by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    name: Vec<NameRule>,
    pub(crate) words: Words,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameRule {
    pattern: String,
    kind: String,
}

impl Rules {
    /// Parses properties, each `Name` or `Name:kind`.
    pub(crate) fn fields(&self, owner: &str, text: &str) -> Result<Vec<Field>, InvalidData> {
        text.split_whitespace().map(|word| self.field(owner, word)).collect()
    }

    fn field(&self, owner: &str, word: &str) -> Result<Field, InvalidData> {
        let (name, kind) = match word.split_once(':') {
            Some((name, kind)) => (name, kind),
            None => {
                let rule = self.name.iter().find(|rule| fits(&rule.pattern, word));
                (word, rule.map_or("null", |rule| &rule.kind))
            }
        };
        let known = Kind::parse(kind).map_err(|error| InvalidData::Kind(format!("{owner}: {word}"), error))?;
        Ok(Field { name: name.into(), kind: known })
    }
}

/// Vocabulary of generated texts.
#[derive(Debug, Deserialize)]
pub(crate) struct Words {
    pub(crate) first: Vec<String>,
    pub(crate) last: Vec<String>,
    pub(crate) cities: Vec<String>,
    pub(crate) streets: Vec<String>,
    pub(crate) countries: Vec<String>,
    pub(crate) languages: Vec<String>,
    pub(crate) adjectives: Vec<String>,
    pub(crate) nouns: Vec<String>,
    pub(crate) sentences: Vec<String>,
}

/// An error in the data.
#[derive(Debug, Error)]
pub(crate) enum InvalidData {
    #[error("{0}: {1}")]
    Toml(&'static str, toml::de::Error),
    #[error("{0}: {1}")]
    Kind(String, InvalidKind),
    #[error("{0} names `{1}`, which is not defined")]
    Unknown(String, String),
}
