//! The catalogue as it is written down, and how it becomes one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;
use thiserror::Error;

use super::field::{InvalidLine, Line};
use super::{Catalogue, Enum, Field, Kind, Lifecycle, Object, Operation, Section, UseCase};

macro_rules! data {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../data/", $name)))),*]
    };
}

/// The files of operations and their types, by name.
pub(super) const FILES: &[(&str, &str)] = data![
    "accounts.toml",
    "billing-automations.toml",
    "configuration.toml",
    "customer-messaging.toml",
    "customers.toml",
    "device-integration.toml",
    "enterprises.toml",
    "exports.toml",
    "finance.toml",
    "loyalty.toml",
    "rates.toml",
    "reservations.toml",
    "routing-rules.toml",
    "service-orders.toml",
    "services.toml",
    "shared.toml",
];

/// The file of use cases.
pub(super) const USE_CASES: &str = include_str!("../../data/use-cases.toml");

/// How many fields an object may have: a bit for each is kept while a body is checked.
const MOST_FIELDS: usize = u128::BITS as usize;

/// What is wrong with the data.
#[derive(Debug, Error)]
pub(super) enum InvalidData {
    #[error("{file}: {error}")]
    Toml { file: String, error: Box<toml::de::Error> },
    #[error("`{0}` is defined twice")]
    Twice(String),
    #[error("`{0}` is defined and never used")]
    Unused(String),
    #[error("{owner}: the line `{line}` can't be read: {error}")]
    Line { owner: String, line: String, error: InvalidLine },
    #[error("{owner}: {field} has the kind `{kind}`, which is defined nowhere")]
    UnknownKind { owner: String, field: String, kind: String },
    #[error("{owner}: {field} has the rule `{rule}`, which its kind can't have")]
    Misplaced { owner: String, field: String, rule: &'static str },
    #[error("`{0}` contains itself")]
    Recursive(String),
    #[error("`{0}` has more fields than can be checked")]
    TooManyFields(String),
    #[error("{owner} names the operation `{path}`, which there is not")]
    UnknownOperation { owner: String, path: String },
    #[error("{0} has a date that there is not, or a date of the end without one of the deprecation")]
    Dates(String),
}

/// Reads the whole catalogue.
pub(super) fn read(files: &[(&str, &str)], use_cases: &str) -> Result<Catalogue, InvalidData> {
    let mut types = Types::default();
    let mut operations = Vec::new();
    for (name, text) in files {
        let file: File = toml(name, text)?;
        let group = file.group.unwrap_or_default();
        operations.extend(file.operation.into_iter().map(|(path, source)| (path, group.clone(), source)));
        for (name, source) in file.object {
            types.add(name, Source::Object(source))?;
        }
        for (name, source) in file.r#enum {
            types.add(name, Source::Enum(source))?;
        }
    }
    let envelope = types.object("Envelope")?;
    let mut operations = operations
        .into_iter()
        .map(|(path, group, source)| source.build(path, group, &envelope, &mut types))
        .collect::<Result<Vec<_>, _>>()?;
    operations.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(twice) = operations.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(InvalidData::Twice(twice[0].path.to_string()));
    }
    if let Some(unused) = types.sources.into_keys().min() {
        return Err(InvalidData::Unused(unused));
    }

    let use_cases: UseCaseFile = toml("use-cases.toml", use_cases)?;
    let use_cases = use_cases.use_case.into_iter().map(|(name, source)| source.build(name)).collect();
    let catalogue = Catalogue { operations, use_cases };
    check_paths(&catalogue)?;
    Ok(catalogue)
}

/// Every path that is referred to is the path of an operation.
fn check_paths(catalogue: &Catalogue) -> Result<(), InvalidData> {
    let replacements = catalogue
        .operations
        .iter()
        .flat_map(|operation| operation.replaced_by.iter().map(move |path| (&operation.path, path)));
    let steps = catalogue.use_cases.iter().flat_map(|use_case| {
        let paths = use_case.sections.iter().flat_map(|section| &section.operations);
        paths.map(move |path| (&use_case.name, path))
    });
    for (owner, path) in replacements.chain(steps) {
        if catalogue.operation(path).is_none() {
            return Err(InvalidData::UnknownOperation { owner: owner.to_string(), path: path.to_string() });
        }
    }
    Ok(())
}

fn toml<T: for<'de> Deserialize<'de>>(file: &str, text: &str) -> Result<T, InvalidData> {
    toml::from_str(text).map_err(|error| InvalidData::Toml { file: file.to_owned(), error: Box::new(error) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Option<String>,
    #[serde(default)]
    operation: BTreeMap<String, OperationSource>,
    #[serde(default)]
    object: BTreeMap<String, ObjectSource>,
    #[serde(default)]
    r#enum: BTreeMap<String, EnumSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationSource {
    title: Box<str>,
    #[serde(default)]
    paginated: bool,
    #[serde(default)]
    portfolio: bool,
    #[serde(default)]
    restricted: bool,
    deprecated_on: Option<toml::value::Datetime>,
    discontinued_on: Option<toml::value::Datetime>,
    #[serde(default)]
    discontinued: bool,
    #[serde(default)]
    replaced_by: Vec<Box<str>>,
    /// Missing where the request isn't documented.
    fields: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectSource {
    #[serde(default)]
    interval: bool,
    fields: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnumSource {
    values: Vec<Box<str>>,
    #[serde(default)]
    deprecated: Vec<Box<str>>,
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UseCaseFile {
    use_case: BTreeMap<String, UseCaseSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UseCaseSource {
    title: Box<str>,
    sections: Vec<SectionSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SectionSource {
    title: Box<str>,
    operations: Vec<Box<str>>,
}

impl OperationSource {
    fn build(
        self,
        path: String,
        group: String,
        envelope: &Object,
        types: &mut Types,
    ) -> Result<Operation, InvalidData> {
        let date = |date: toml::value::Datetime| {
            let date = date.date.and_then(|date| {
                Date::new(i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?)
                    .ok()
            });
            date.ok_or_else(|| InvalidData::Dates(path.clone()))
        };
        let discontinued = self.discontinued_on.map(date).transpose()?;
        let lifecycle = match (self.deprecated_on.map(date).transpose()?, discontinued) {
            (None, None) if self.discontinued => Lifecycle::Discontinued,
            (None, None) => Lifecycle::Current,
            (Some(since), discontinued) => Lifecycle::Deprecated { since, discontinued },
            (None, Some(_)) => return Err(InvalidData::Dates(path)),
        };
        let mut fields = envelope.fields.clone();
        fields.extend(types.fields(&path, self.fields.as_deref().unwrap_or_default())?);
        let request =
            Object { name: path.as_str().into(), fields, open: self.fields.is_none(), interval: false }.checked()?;
        Ok(Operation {
            path: path.into(),
            title: self.title,
            group: group.into(),
            paginated: self.paginated,
            portfolio: self.portfolio,
            restricted: self.restricted,
            lifecycle,
            replaced_by: self.replaced_by,
            request: Arc::new(request),
        })
    }
}

impl UseCaseSource {
    fn build(self, name: String) -> UseCase {
        let section = |source: SectionSource| Section { title: source.title, operations: source.operations };
        UseCase { name: name.into(), title: self.title, sections: self.sections.into_iter().map(section).collect() }
    }
}

enum Source {
    Object(ObjectSource),
    Enum(EnumSource),
}

/// Types by name: as they are written, until one is first used, and then as they are.
#[derive(Default)]
struct Types {
    sources: HashMap<String, Source>,
    built: HashMap<String, Kind>,
}

impl Types {
    fn add(&mut self, name: String, source: Source) -> Result<(), InvalidData> {
        match self.sources.insert(name.clone(), source) {
            Some(_) => Err(InvalidData::Twice(name)),
            None => Ok(()),
        }
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

    fn object(&mut self, name: &str) -> Result<Arc<Object>, InvalidData> {
        match self.kind(name)? {
            Some(Kind::Object(object)) => Ok(object),
            _ => Err(InvalidData::UnknownKind { owner: "a request".into(), field: "all".into(), kind: name.into() }),
        }
    }

    fn fields(&mut self, owner: &str, lines: &str) -> Result<Vec<Field>, InvalidData> {
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
    fn checked(self) -> Result<Self, InvalidData> {
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
