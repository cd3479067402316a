//! The types that requests are made of, from what is written of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::field::Line;
use super::source::{EnumSource, InvalidData, ObjectSource};
use super::{Enum, Field, Kind, Object};

/// How many fields an object may have: a bit for each is kept while a body is checked.
const MOST_FIELDS: usize = u128::BITS as usize;

/// What is written of a type.
pub(super) enum Source {
    Object(ObjectSource),
    Enum(EnumSource),
}

/// Types by name: as they are written, until one is first used, and then as they are.
#[derive(Default)]
pub(super) struct Types {
    sources: HashMap<String, Source>,
    built: HashMap<String, Kind>,
}

impl Types {
    pub(super) fn add(&mut self, name: String, source: Source) -> Result<(), InvalidData> {
        match self.sources.insert(name.clone(), source) {
            Some(_) => Err(InvalidData::Twice(name)),
            None => Ok(()),
        }
    }

    /// A type that nothing has used.
    pub(super) fn unused(self) -> Option<String> {
        self.sources.into_keys().min()
    }

    /// The kind called `name`; `None` where there is none.
    fn kind(&mut self, name: &str) -> Result<Option<Kind>, InvalidData> {
        let simple = match name {
            "string" => Kind::String,
            "utc" => Kind::Utc,
            "date" => Kind::Date,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "texts" => Kind::Texts,
            "object" => Kind::AnyObject,
            _ => return self.defined(name),
        };
        Ok(Some(simple))
    }

    fn defined(&mut self, name: &str) -> Result<Option<Kind>, InvalidData> {
        if let Some(kind) = self.built.get(name) {
            return Ok(Some(kind.clone()));
        }
        let kind = match self.sources.remove(name) {
            None => return Ok(None),
            Some(Source::Enum(EnumSource { values, deprecated, open })) => {
                Kind::Enum(Arc::new(Enum { name: name.into(), values, deprecated, open }))
            }
            Some(Source::Object(source)) => {
                let fields = self.fields(name, &source.fields).map_err(|error| match error {
                    // Its source is taken while its fields are built, so within itself it isn't there.
                    InvalidData::UnknownKind { kind, .. } if kind == name => InvalidData::Recursive(kind),
                    other => other,
                })?;
                let object = Object { name: name.into(), fields, open: false, interval: source.interval };
                Kind::Object(Arc::new(object.checked()?))
            }
        };
        self.built.insert(name.to_owned(), kind.clone());
        Ok(Some(kind))
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Arc<Object>, InvalidData> {
        match self.kind(name)? {
            Some(Kind::Object(object)) => Ok(object),
            _ => Err(InvalidData::UnknownKind { owner: "a request".into(), field: "all".into(), kind: name.into() }),
        }
    }

    pub(super) fn fields(&mut self, owner: &str, lines: &str) -> Result<Vec<Field>, InvalidData> {
        lines.lines().filter(|line| !line.trim().is_empty()).map(|line| self.field(owner, line)).collect()
    }

    fn field(&mut self, owner: &str, text: &str) -> Result<Field, InvalidData> {
        let line = Line::parse(text).map_err(|error| InvalidData::Line {
            owner: owner.to_owned(),
            line: text.to_owned(),
            error,
        })?;
        let kind = self.kind(line.kind)?.ok_or_else(|| InvalidData::UnknownKind {
            owner: owner.to_owned(),
            field: line.name.to_owned(),
            kind: line.kind.to_owned(),
        })?;
        let mut field = Field {
            name: line.name.into(),
            kind,
            array: line.array,
            required: line.required,
            max_items: None,
            max_chars: None,
            max_months: line.months,
            range: line.range,
            with: line.with.map(Box::from),
            deprecated: line.deprecated,
        };
        let misplaced = |rule| InvalidData::Misplaced { owner: owner.to_owned(), field: line.name.to_owned(), rule };
        if let Some(max) = line.max {
            field.limit(max).ok_or_else(|| misplaced("max"))?;
        }
        if field.max_months.is_some() && !matches!(&field.kind, Kind::Object(object) if object.interval) {
            return Err(misplaced("within"));
        }
        if field.range.is_some() && !matches!(field.kind, Kind::Integer | Kind::Number) {
            return Err(misplaced("from"));
        }
        Ok(field)
    }
}

impl Field {
    /// Sets the longest that it may be: in items, or characters, or those of the `Value` of an update.
    fn limit(&mut self, max: u32) -> Option<()> {
        if self.array > 0 {
            self.max_items = Some(max);
            return Some(());
        }
        match &mut self.kind {
            Kind::String => self.max_chars = Some(max),
            Kind::Object(object) => {
                let value = Arc::make_mut(object).fields.iter_mut().find(|field| *field.name == *"Value")?;
                value.limit(max)?;
            }
            _ => return None,
        }
        Some(())
    }
}

impl Object {
    /// Refuses more fields than can be checked, two of one name, and a partner that is none.
    pub(super) fn checked(self) -> Result<Self, InvalidData> {
        if self.fields.len() > MOST_FIELDS {
            return Err(InvalidData::TooManyFields(self.name.into()));
        }
        for (position, field) in self.fields.iter().enumerate() {
            if self.position(&field.name, 0) != Some(position) {
                return Err(InvalidData::Twice(format!("{}.{}", self.name, field.name)));
            }
            if let Some(with) = field.with.as_deref().filter(|with| self.field(with).is_none()) {
                let (owner, field) = (self.name.to_string(), field.name.to_string());
                return Err(InvalidData::UnknownKind { owner, field, kind: with.to_owned() });
            }
        }
        Ok(self)
    }
}
