//! The catalogue's files and their parsing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;

use super::data::{EnumSource, InvalidData, ObjectSource};
use super::types::{Source, Types};
use super::{Lifecycle, Object, Operation, Section, UseCase};
use crate::anchor::{address, page_of};

macro_rules! data {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../data/", $name)))),*]
    };
}

/// The files with operations and types, by name.
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

/// The operations, sorted by path, and the use cases.
type Contents = (Vec<Operation>, Vec<UseCase>);

/// Parses a catalogue from one text, which may have unused types and lack operations of the use cases.
pub(super) fn read_one(data: &str) -> Result<Contents, InvalidData> {
    build(&[("contracts", data)], USE_CASES, false)
}

/// Parses the whole catalogue.
pub(super) fn read(files: &[(&str, &str)], use_cases: &str) -> Result<Contents, InvalidData> {
    build(files, use_cases, true)
}

fn build(files: &[(&str, &str)], use_cases: &str, strict: bool) -> Result<Contents, InvalidData> {
    let mut types = Types::default();
    let mut operations = Vec::new();
    for (name, text) in files {
        let file: File = toml(name, text)?;
        let group = file.group.unwrap_or_default();
        let group = |source: &OperationSource| source.group.clone().unwrap_or_else(|| group.clone());
        operations.extend(file.operation.into_iter().map(|(path, source)| (path, group(&source), source)));
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
    if let Some(unused) = types.unused().filter(|_| strict) {
        return Err(InvalidData::Unused(unused));
    }

    let use_cases: UseCaseFile = toml("use-cases.toml", use_cases)?;
    let use_cases: Vec<UseCase> = use_cases.use_case.into_iter().map(|(name, source)| source.build(name)).collect();
    let known: HashSet<Box<str>> = operations.iter().map(|operation| operation.path.clone()).collect();
    if strict {
        check_paths(&operations, &use_cases, &known)?;
    } else {
        operations.iter_mut().for_each(|operation| operation.replaced_by.retain(|path| known.contains(path)));
    }
    Ok((operations, use_cases))
}

/// Checks that every referenced path is an operation's.
fn check_paths(operations: &[Operation], use_cases: &[UseCase], known: &HashSet<Box<str>>) -> Result<(), InvalidData> {
    let replacements =
        operations.iter().flat_map(|operation| operation.replaced_by.iter().map(move |path| (&operation.path, path)));
    let steps = use_cases.iter().flat_map(|use_case| {
        let paths = use_case.sections.iter().flat_map(|section| &section.operations);
        paths.map(move |path| (&use_case.name, path))
    });
    for (owner, path) in replacements.chain(steps) {
        if !known.contains(path) {
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
    /// The section of the documentation, if it isn't the file's.
    group: Option<String>,
    /// The documentation's page, if it isn't the resource's.
    page: Option<String>,
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
    /// Missing if the request isn't documented.
    fields: Option<String>,
    #[serde(default)]
    rules: String,
    #[serde(default)]
    disputed: BTreeMap<String, Box<str>>,
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
            (Some(since), discontinued) => Lifecycle::Deprecated { since: Some(since), discontinued },
            (None, Some(_)) => return Err(InvalidData::Dates(path)),
        };
        let mut fields = envelope.fields.clone();
        fields.extend(types.fields(&path, self.fields.as_deref().unwrap_or_default())?);
        let mut request = Object::new(path.as_str(), fields, false).disputed(&self.disputed)?;
        request.open = self.fields.is_none();
        let request = request.checked()?.with_rules(&self.rules)?;
        let page = self.page.unwrap_or_else(|| page_of(&path));
        Ok(Operation {
            documentation: Some(address(&page, &self.title).into()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Kind;

    const ENVELOPE: &str = "[object.Envelope]\nfields = ''\n";

    fn mistake(data: &str, use_cases: &str) -> String {
        read(&[("shared.toml", ENVELOPE), ("test.toml", data)], use_cases).unwrap_err().to_string()
    }

    fn operation(rest: &str) -> String {
        format!("[operation.\"a/b\"]\ntitle = 'A'\n{rest}")
    }

    #[test]
    fn the_built_in_data_is_good() {
        if let Err(mistake) = read(FILES, USE_CASES) {
            panic!("{mistake}");
        }
    }

    #[test]
    fn every_data_file_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
        let mut there: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "use-cases.toml" && name != "patterns.toml")
            .collect();
        there.sort();
        assert_eq!(there, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn a_mistake_in_the_data_is_named() {
        for (rest, expected) in [
            ("fields = 'X Missing'", "a/b: X has the kind `Missing`, which is defined nowhere"),
            ("fields = 'X'", "a/b: the line `X` can't be read: it needs a name and a kind"),
            ("fields = '''\nX string\nX utc'''", "`a/b.X` is defined twice"),
            ("fields = 'X boolean max 3'", "a/b: X has the rule `max`, which its kind can't have"),
            ("fields = 'X string within 3 months'", "a/b: X has the rule `within`, which its kind can't have"),
            ("fields = 'X string from 1 to 2'", "a/b: X has the rule `from`, which its kind can't have"),
            ("fields = 'X string with Y'", "a/b: X has the kind `Y`, which is defined nowhere"),
            ("replaced_by = ['c/d']", "a/b names the operation `c/d`, which there is not"),
            (
                "discontinued_on = 2026-01-10",
                "a/b has a date that there is not, or a date of the end without one of the deprecation",
            ),
            ("fields = 'X A'\n[object.A]\nfields = 'Y B[]'\n[object.B]\nfields = 'Z A'", "`A` contains itself"),
            ("[enum.E]\nvalues = ['x']", "`E` is defined and never used"),
            ("[object.Envelope]\nfields = ''", "`Envelope` is defined twice"),
        ] {
            assert_eq!(mistake(&operation(rest), "[use-case]"), expected);
        }
        let steps = "[use-case.kiosk]\ntitle = 'K'\nsections = [{ title = 'S', operations = ['c/d'] }]";
        assert_eq!(mistake(&operation(""), steps), "kiosk names the operation `c/d`, which there is not");
        assert!(mistake(&operation("titel = 'X'"), "[use-case]").starts_with("test.toml: TOML parse error"));
        let many: String = (0..129).map(|count| format!("F{count} string\n")).collect();
        let many = operation(&format!("fields = '''\n{many}'''"));
        assert_eq!(mistake(&many, "[use-case]"), "`a/b` has more fields than can be checked");
    }

    #[test]
    fn a_limit_on_an_update_is_one_on_its_value() {
        let data =
            operation("fields = '''\nName Update max 10\nOther Update'''\n[object.Update]\nfields = 'Value string'");
        let (operations, _) = read(&[("shared.toml", ENVELOPE), ("test.toml", &data)], "[use-case]").unwrap();
        let limit = |name| match &operations[0].request.field(name).unwrap().kind {
            Kind::Object(update) => update.field("Value").unwrap().max_chars,
            other => panic!("{other:?}"),
        };
        assert_eq!((limit("Name"), limit("Other")), (Some(10), None));
    }
}
