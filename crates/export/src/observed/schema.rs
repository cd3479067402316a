//! A shape as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses).

use nightaudit_shape::{Kind, Property, Step};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

/// Properties whose redacted values are known to be strings.
const TOKENS: [&str; 2] = ["AccessToken", "ClientToken"];

/// The schema of what was seen at a place.
pub(super) struct Schema<'s> {
    pub(super) property: Property<'s>,
    /// How often it was there, of how often it could have been; `None` if it always was.
    pub(super) share: Option<(u64, u64)>,
}

impl Serialize for Schema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = self.property;
        let mut map = serializer.serialize_map(None)?;
        let types = types(own);
        match &types[..] {
            [] => {}
            [one] => map.serialize_entry("type", one)?,
            several => map.serialize_entry("type", several)?,
        }
        if own.count_of(Kind::String) > 0
            && let Some(format) = own.formats().name()
        {
            map.serialize_entry("format", format)?;
        }
        if own.count_of(Kind::Redacted) > 0 {
            map.serialize_entry("description", "Redacted: recorded values are pseudonyms.")?;
        }
        let objects = own.count_of(Kind::Object);
        if objects > 0 {
            let properties = Properties { of: own, objects };
            if properties.all().next().is_some() {
                map.serialize_entry("properties", &properties)?;
            }
            let required = Required(&properties);
            if required.names().next().is_some() {
                map.serialize_entry("required", &required)?;
            }
            if let Some(any) = own.at(&Step::Key) {
                map.serialize_entry("additionalProperties", &Schema { property: any, share: None })?;
            }
        }
        if let Some(items) = own.items() {
            map.serialize_entry("items", &Schema { property: items, share: None })?;
        }
        if let Some((count, of)) = self.share {
            map.serialize_entry("x-nightaudit-observed", &Share { count, of })?;
        }
        map.end()
    }
}

/// So many of so many.
#[derive(Serialize)]
struct Share {
    count: u64,
    of: u64,
}

/// The types of a value, by their names in JSON Schema.
pub(super) fn types(property: Property<'_>) -> Vec<&'static str> {
    let is_token = || matches!(property.step(), Step::Property(name) if TOKENS.contains(&&**name));
    let mut types: Vec<&str> = property
        .kinds()
        .filter_map(|kind| match kind {
            Kind::Redacted => is_token().then_some("string"),
            // A whole number is a number.
            Kind::Integer if property.count_of(Kind::Number) > 0 => None,
            kind => Some(kind.name()),
        })
        .collect();
    // Something else stood there as well, and nothing is known of its type.
    if property.count_of(Kind::Redacted) > 0 && !is_token() {
        types.clear();
    }
    types.dedup();
    types
}

/// The properties of an object.
struct Properties<'s> {
    of: Property<'s>,
    objects: u64,
}

impl<'s> Properties<'s> {
    fn all(&self) -> impl Iterator<Item = (&'s str, Property<'s>)> {
        self.of.children().filter_map(|child| match child.step() {
            Step::Property(name) => Some((&**name, child)),
            _ => None,
        })
    }
}

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, property) in self.all() {
            let count = property.count().min(self.objects);
            let share = (count < self.objects).then_some((count, self.objects));
            map.serialize_entry(name, &Schema { property, share })?;
        }
        map.end()
    }
}

/// The properties that every object had.
struct Required<'p, 's>(&'p Properties<'s>);

impl<'s> Required<'_, 's> {
    fn names(&self) -> impl Iterator<Item = &'s str> {
        let objects = self.0.objects;
        self.0.all().filter(move |(_, property)| property.count() >= objects).map(|(name, _)| name)
    }
}

impl Serialize for Required<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for name in self.names() {
            list.serialize_element(name)?;
        }
        list.end()
    }
}
