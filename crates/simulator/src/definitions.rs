//! Definitions of Mews' responses, from `data/*.toml` of this crate, whose README describes the format.

use std::collections::HashMap;
use std::sync::LazyLock;

use nightaudit_mews::operations;
use serde::Deserialize;

use crate::collection::{Collection, CollectionSource};
use crate::kind::{Field, Kind};
use crate::operation_spec::{OperationSpec, ResponseSpec, SpecSource};
use crate::rules::{InvalidData, Rules, Words};

/// All definitions.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) collections: HashMap<Box<str>, Collection>,
    pub(crate) objects: HashMap<Box<str>, Vec<Field>>,
    pub(crate) operations: HashMap<Box<str>, OperationSpec>,
    pub(crate) words: Words,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::singular;
    use crate::operation_spec::Effect;

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
