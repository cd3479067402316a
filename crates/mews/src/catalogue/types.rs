//! The types in requests, parsed from the data.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::data::{EnumSource, InvalidData, ObjectSource};
use super::field::{InvalidLine, Line, deprecation};
use super::pattern;
use super::{Enum, Field, Kind, MOST_FIELDS, Object};

/// A type as written in the data.
pub(super) enum Source {
    Object(ObjectSource),
    Enum(EnumSource),
}

/// Types by name: as written until first used, then parsed.
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

    /// An unused type.
    pub(super) fn unused(self) -> Option<String> {
        self.sources.into_keys().min()
    }

    /// The kind `name`, if it exists.
    fn kind(&mut self, name: &str) -> Result<Option<Kind>, InvalidData> {
        let simple = match name {
            "string" => Kind::String,
            "utc" => Kind::Utc,
            "date" => Kind::Date,
            "month" => Kind::Month,
            "duration" => Kind::Duration,
            "guid" => Kind::Guid,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "texts" => Kind::Texts,
            "object" => Kind::AnyObject,
            "any" => Kind::Any,
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
                let deprecated = deprecated
                    .iter()
                    .map(|line| {
                        let mut words = line.split_whitespace();
                        let value = words.next().unwrap_or_default();
                        let owner = || (name.to_owned(), line.to_string());
                        match deprecation(&mut words) {
                            Ok(_) if !values.iter().any(|known| **known == *value) => {
                                Err(InvalidData::line(owner(), InvalidLine::UnknownValue(value.to_owned())))
                            }
                            Ok(deprecation) => Ok((value.into(), deprecation)),
                            Err(error) => Err(InvalidData::line(owner(), error)),
                        }
                    })
                    .collect::<Result<_, _>>()?;
                Kind::Enum(Arc::new(Enum { name: name.into(), values, deprecated, open }))
            }
            Some(Source::Object(source)) => {
                let fields = self.fields(name, &source.fields).map_err(|error| match error {
                    // Its source is taken out while its properties are built, so a type can't contain itself.
                    InvalidData::UnknownKind { kind, .. } if kind == name => InvalidData::Recursive(kind),
                    other => other,
                })?;
                let object = Object::new(name, fields, source.interval).disputed(&source.disputed)?;
                Kind::Object(Arc::new(object.checked()?.with_rules(&source.rules)?))
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
            array: line.array,
            required: line.required,
            unique: line.unique,
            max_months: line.months,
            max_days: line.days,
            latest: line.latest,
            future: line.future,
            time_unit: line.time_unit,
            distinct: line.distinct.map(Box::from),
            with: line.with.map(Box::from),
            deprecated: line.deprecated.map(Box::new),
            ..Field::new(line.name, kind)
        };
        let misplaced = |rule| InvalidData::Misplaced { owner: owner.to_owned(), field: line.name.to_owned(), rule };
        if let Some(max) = line.max {
            field.limit(max).ok_or_else(|| misplaced("max"))?;
        }
        match (line.min, &field.kind) {
            (0, _) => {}
            (min, _) if field.array > 0 => field.min_items = min,
            (min, Kind::String) => field.min_chars = min,
            _ => return Err(misplaced("min")),
        }
        let is_interval = matches!(&field.kind, Kind::Object(object) if object.interval);
        if (field.max_months.is_some() || field.max_days.is_some()) && !is_interval {
            return Err(misplaced("within"));
        }
        if line.range.is_some() {
            field.bound(line.range).ok_or_else(|| misplaced("from"))?;
        }
        if field.latest.is_some() && !is_interval && !matches!(field.kind, Kind::Utc | Kind::Date) {
            return Err(misplaced("latest"));
        }
        if field.unique && field.array == 0 {
            return Err(misplaced("unique"));
        }
        if field.future && !matches!(field.kind, Kind::Month) {
            return Err(misplaced("future"));
        }
        if field.time_unit {
            match &mut field.kind {
                Kind::Utc => {}
                Kind::Object(_) => field
                    .value_mut()
                    .filter(|value| matches!(value.kind, Kind::Utc))
                    .map(|value| value.time_unit = true)
                    .ok_or_else(|| misplaced("time-unit"))?,
                _ => return Err(misplaced("time-unit")),
            }
        }
        if let Some(name) = line.form {
            let pattern = pattern::known().get(name).cloned().ok_or_else(|| misplaced("form"))?;
            match &mut field.kind {
                Kind::String => field.pattern = Some(pattern),
                _ => field
                    .value_mut()
                    .filter(|value| matches!(value.kind, Kind::String))
                    .map(|value| value.pattern = Some(pattern))
                    .ok_or_else(|| misplaced("form"))?,
            }
        }
        let is_item = |name: &str| matches!(&field.kind, Kind::Object(object) if object.field(name).is_some());
        if line.distinct.is_some_and(|name| field.array == 0 || !is_item(name)) {
            return Err(misplaced("distinct"));
        }
        Ok(field)
    }
}

impl Field {
    /// An optional property without further rules.
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            array: 0,
            required: false,
            min_items: 0,
            max_items: None,
            unique: false,
            min_chars: 0,
            max_chars: None,
            max_months: None,
            max_days: None,
            range: None,
            latest: None,
            future: false,
            time_unit: false,
            pattern: None,
            distinct: None,
            total: None,
            with: None,
            deprecated: None,
            disputed: None,
        }
    }

    /// The `Value` of an update, for this property only.
    fn value_mut(&mut self) -> Option<&mut Self> {
        match &mut self.kind {
            Kind::Object(object) if self.array == 0 => {
                Arc::make_mut(object).fields.iter_mut().find(|field| *field.name == *"Value")
            }
            _ => None,
        }
    }

    /// Sets the range of its number, or of an update's `Value`.
    fn bound(&mut self, range: Option<RangeInclusive<i64>>) -> Option<()> {
        match &mut self.kind {
            Kind::Integer | Kind::Number => self.range = range,
            _ => self.value_mut()?.bound(range)?,
        }
        Some(())
    }

    /// Sets its maximum length: items, or characters, also of an update's `Value`.
    fn limit(&mut self, max: u32) -> Option<()> {
        if self.array > 0 {
            self.max_items = Some(max);
            return Some(());
        }
        match &mut self.kind {
            Kind::String => self.max_chars = Some(max),
            _ => self.value_mut()?.limit(max)?,
        }
        Some(())
    }
}

impl Object {
    /// An object without unknown properties.
    pub(crate) fn new(name: impl Into<Box<str>>, fields: Vec<Field>, interval: bool) -> Self {
        Self { name: name.into(), fields, open: false, interval, rules: Vec::new(), watched: Vec::new() }
    }

    /// Notes which properties are disputed, and why.
    pub(super) fn disputed(mut self, reasons: &BTreeMap<String, Box<str>>) -> Result<Self, InvalidData> {
        for (path, reason) in reasons {
            if self.dispute(path, reason).is_none() {
                let line = (self.name.to_string(), "disputed".to_owned());
                return Err(InvalidData::line(line, InvalidLine::UnknownField(path.clone())));
            }
        }
        Ok(self)
    }

    /// Notes why the property at `path` is disputed; within this object only, as others may use the same types.
    pub(crate) fn dispute(&mut self, path: &str, reason: &str) -> Option<()> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let position = self.position(name, 0)?;
        let field = self.fields.get_mut(position)?;
        match (rest, &mut field.kind) {
            (None, _) => field.disputed = Some(reason.into()),
            (Some(rest), Kind::Object(object)) => Arc::make_mut(object).dispute(rest, reason)?,
            (Some(_), _) => return None,
        }
        Some(())
    }

    /// Rejects too many properties, duplicates, and references to unknown ones.
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
