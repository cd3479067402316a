//! Definitions of Mews' responses, from `data/*.toml` of this crate, whose README describes the format.

use std::collections::HashMap;
use std::sync::LazyLock;

use nightaudit_mews::operations;
use serde::Deserialize;
use thiserror::Error;

use crate::kind::{Field, InvalidKind, Kind};
use crate::name::{capitalised, fits};
use crate::operation_spec::SpecSource;

/// All definitions.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) collections: HashMap<Box<str>, Collection>,
    pub(crate) objects: HashMap<Box<str>, Vec<Field>>,
    pub(crate) operations: HashMap<Box<str>, OperationSpec>,
    pub(crate) words: Words,
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

/// A collection of items.
#[derive(Debug)]
pub(crate) struct Collection {
    /// Its name in responses: `Resources`.
    pub(crate) title: Box<str>,
    /// The initial number of items.
    pub(crate) items: usize,
    pub(crate) fields: Vec<Field>,
    /// The object published over WebSockets when an item changes.
    pub(crate) event: Option<Box<str>>,
    /// The discriminator of the webhook event.
    pub(crate) webhook: Option<Box<str>>,
}

/// What an operation does, and its response.
#[derive(Debug, Clone)]
pub(crate) struct OperationSpec {
    pub(crate) step: Step,
    /// Further steps.
    pub(crate) then: Vec<Step>,
    pub(crate) response: ResponseSpec,
    /// An event published in addition to those of the collections.
    pub(crate) event: Option<Box<str>>,
    /// A webhook discriminator that overrides the collection's.
    pub(crate) webhook: Option<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) enum ResponseSpec {
    /// The affected item.
    Item,
    Fields(Vec<Field>),
}

/// One step of an operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) effect: Effect,
    /// The request's property with the items; `None` for the request itself.
    pub(crate) from: Option<Box<str>>,
    /// The request's properties with ids, and the item's properties they are compared with.
    pub(crate) by: Vec<(Box<str>, Box<str>)>,
    /// Properties named differently in the item.
    pub(crate) rename: Vec<(Box<str>, Box<str>)>,
    pub(crate) set: Vec<Field>,
    /// Values that found items must have, in addition to the request's filters.
    pub(crate) require: Vec<Field>,
    /// A property of the request that must be a prefix of the item's.
    pub(crate) begins: Option<(Box<str>, Box<str>)>,
}

/// The effect of a step on a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    #[default]
    None,
    Reads(Box<str>),
    Adds(Box<str>),
    Changes(Box<str>),
    Removes(Box<str>),
}

impl Effect {
    pub(crate) fn collection(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Reads(name) | Self::Adds(name) | Self::Changes(name) | Self::Removes(name) => Some(name),
        }
    }
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

impl Definitions {
    /// The built-in definitions.
    pub(crate) fn built_in() -> &'static Self {
        // The data is constant and a test parses all of it, so this can't fail at run time.
        static BUILT_IN: LazyLock<Definitions> =
            LazyLock::new(|| Definitions::read().expect("a test parses the built-in data"));
        &BUILT_IN
    }

    fn read() -> Result<Self, InvalidData> {
        let rules: Rules = read("rules.toml", include_str!("../data/rules.toml"))?;
        let objects: HashMap<Box<str>, String> = read("objects.toml", include_str!("../data/objects.toml"))?;
        let collections: HashMap<Box<str>, CollectionSource> =
            read("collections.toml", include_str!("../data/collections.toml"))?;
        let mut sources: HashMap<Box<str>, SpecSource> =
            read("operations.toml", include_str!("../data/operations.toml"))?;
        let objects = objects
            .into_iter()
            .map(|(name, text)| rules.fields(&name, &text).map(|fields| (name, fields)))
            .collect::<Result<_, _>>()?;
        let collections = collections
            .into_iter()
            .map(|(name, source)| source.collection(&rules, &name).map(|collection| (name, collection)))
            .collect::<Result<_, _>>()?;
        let operations = operations()
            .iter()
            .map(|operation| {
                let source = sources.remove(&operation.path).unwrap_or_default();
                let spec = source.resolve(&rules, &collections, operation)?;
                Ok((operation.path.clone(), spec))
            })
            .collect::<Result<_, InvalidData>>()?;
        if let Some(left) = sources.into_keys().next() {
            return Err(InvalidData::Unknown("operations.toml".to_owned(), left.into()));
        }
        let definitions = Self { collections, objects, operations, words: rules.words };
        definitions.check().map(|()| definitions)
    }

    /// Rejects references to undefined collections and objects.
    fn check(&self) -> Result<(), InvalidData> {
        let objects = self.objects.iter().map(|(name, fields)| (name, &fields[..]));
        let collections = self.collections.iter().map(|(name, collection)| (name, &collection.fields[..]));
        let answers = self.operations.iter().map(|(path, spec)| match &spec.response {
            ResponseSpec::Fields(fields) => (path, &fields[..]),
            ResponseSpec::Item => (path, &[][..]),
        });
        let effects = self.operations.iter().flat_map(|(path, spec)| {
            let steps = std::iter::once(&spec.step).chain(&spec.then);
            steps.filter_map(move |step| Some((path, step.effect.collection()?)))
        });
        let events = self.collections.values().filter_map(|collection| collection.event.as_ref());
        let events = events.chain(self.operations.values().filter_map(|spec| spec.event.as_ref()));
        for (owner, fields) in objects.chain(collections).chain(answers) {
            for field in fields {
                self.check_kind(owner, &field.kind)?;
            }
        }
        for (path, collection) in effects {
            self.check_kind(path, &Kind::Reference(collection.into()))?;
        }
        for event in events {
            self.check_kind("event", &Kind::Object(event.clone()))?;
        }
        Ok(())
    }

    fn check_kind(&self, owner: &str, kind: &Kind) -> Result<(), InvalidData> {
        let known = match kind {
            Kind::Reference(name) => self.collections.contains_key(name),
            Kind::Object(name) | Kind::Each(name) | Kind::OfEach(_, name) => self.objects.contains_key(name),
            Kind::Optional(kind) | Kind::List(kind, _) | Kind::PerUnit(kind) => return self.check_kind(owner, kind),
            _ => true,
        };
        if known { Ok(()) } else { Err(InvalidData::Unknown(owner.to_owned(), format!("{kind:?}"))) }
    }
}

fn read<T: for<'de> Deserialize<'de>>(name: &'static str, text: &str) -> Result<T, InvalidData> {
    toml::from_str(text).map_err(|error| InvalidData::Toml(name, error))
}

/// Default kinds of properties, by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    name: Vec<NameRule>,
    words: Words,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameRule {
    pattern: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CollectionSource {
    #[serde(rename = "as")]
    title: Option<Box<str>>,
    items: usize,
    fields: String,
    event: Option<String>,
    webhook: Option<Box<str>>,
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

impl CollectionSource {
    fn collection(self, rules: &Rules, name: &str) -> Result<Collection, InvalidData> {
        Ok(Collection {
            title: self.title.unwrap_or_else(|| capitalised(name).into()),
            items: self.items,
            fields: rules.fields(name, &self.fields)?,
            event: self.event.map(|event| format!("{event}Event").into()),
            webhook: self.webhook,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::singular;

    #[test]
    fn the_data_is_consistent() {
        let definitions = Definitions::read().unwrap();
        assert_eq!(definitions.operations.len(), operations().len());
    }

    #[test]
    fn every_get_all_reads_a_collection() {
        for (path, spec) in &Definitions::built_in().operations {
            let verb = path.split('/').nth(1).unwrap();
            let without = ["customers/getOpenItems", "customers/getRelationships"].contains(&&**path);
            if verb == "getAll" && !without {
                assert!(matches!(spec.step.effect, Effect::Reads(_)), "{path}: {:?}", spec.step.effect);
            }
        }
    }

    /// Generated values are among those that requests may set: the catalogue's enums contain them.
    #[test]
    fn generated_values_are_known_to_the_catalogue() {
        let definitions = Definitions::built_in();
        let mut compared = 0;
        for operation in operations() {
            let step = &definitions.operations[&operation.path].step;
            let Some(collection) = step.effect.collection().map(|name| &definitions.collections[name]) else {
                continue;
            };
            let nested = operation.request.fields.iter().filter(|field| field.array > 0);
            let nested = nested.filter_map(|field| match &field.kind {
                nightaudit_mews::Kind::Object(object) => Some(&object.fields),
                _ => None,
            });
            for asked in operation.request.fields.iter().chain(nested.flatten()) {
                let nightaudit_mews::Kind::Enum(known) = &asked.kind else { continue };
                let is_it = |field: &&Field| *field.name == *asked.name || *field.name == singular(&asked.name);
                let renamed = step.rename.iter().any(|(theirs, _)| *theirs == asked.name);
                let field = collection.fields.iter().find(is_it).filter(|_| !known.open && !renamed);
                for value in field.into_iter().flat_map(|field| values(&field.kind)) {
                    assert!(
                        known.has(value),
                        "{}: {}: {value} is none of {:?}",
                        operation.path,
                        asked.name,
                        known.values
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared > 100, "only {compared} values were compared");
    }

    fn values(kind: &Kind) -> Vec<&str> {
        match kind {
            Kind::OneOf(values) => values.iter().map(|value| &**value).collect(),
            Kind::Literal(value) => value.as_str().into_iter().collect(),
            Kind::Optional(kind) | Kind::List(kind, _) => values(kind),
            _ => Vec::new(),
        }
    }
}
