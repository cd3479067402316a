//! Names for all pages' types, and parsing of table cells that refer to them.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{Page, Row, Type, links};
use super::prose;

/// The data's name for a type of `_objects.md` and the like that has no table.
const PLAIN: [(&str, &str); 6] = [
    ("decimal-update-value", "NumberUpdateValue"),
    ("hybrid-identifier", "string"),
    ("localized-text", "texts"),
    ("dictionary", "object"),
    ("dictionary-of-numbers", "object"),
    ("dictionary-of-integer-arrays", "object"),
];

/// All pages' types.
pub(super) struct Types<'a> {
    names: BTreeMap<(String, String), String>,
    known: BTreeMap<String, (&'a str, &'a Type)>,
}

impl<'a> Types<'a> {
    pub(super) fn of(pages: &'a BTreeMap<&'a str, Page>) -> Self {
        let mut types = Self { names: BTreeMap::new(), known: BTreeMap::new() };
        for (page, content) in pages {
            for (anchor, known) in &content.types {
                let mut name = camel(&known.title);
                let differs = |name: &str| types.known.get(name).is_some_and(|(_, other)| !is_same(other, known));
                if differs(&name) {
                    name.push_str(&camel(page.trim_end_matches(".md")));
                }
                types.known.entry(name.clone()).or_insert((page, known));
                types.names.insert(((*page).to_owned(), anchor.clone()), name);
            }
        }
        types
    }

    pub(super) fn get(&self, name: &str) -> Option<(&'a str, &'a Type)> {
        self.known.get(name).copied()
    }

    /// The name of the type at `anchor` of `page`.
    pub(super) fn name(&self, page: &str, anchor: &str) -> Option<&str> {
        let at = |page: &str| self.names.get(&(page.to_owned(), anchor.to_owned()));
        // Links to pages that don't exist mean the common objects.
        at(page).or_else(|| at("_objects.md")).map(String::as_str)
    }

    /// A property's kind in the data's notation, with brackets.
    pub(super) fn kind(&self, row: &Row, page: &str) -> String {
        let mut text = row.kind.as_str();
        let mut brackets = String::new();
        while let Some(rest) = text.strip_prefix("array of ").or_else(|| text.strip_prefix("array ")) {
            text = rest;
            brackets.push_str("[]");
        }
        if text == "array,null" {
            return format!("{}[]", prose::format(row));
        }
        let kind = match links(text).into_iter().next() {
            Some((_, anchor)) if PLAIN.iter().any(|(plain, _)| *plain == anchor) => {
                PLAIN.iter().find(|(plain, _)| *plain == anchor).map_or("string", |(_, kind)| kind).to_owned()
            }
            Some((target, anchor)) => {
                let target = if target.is_empty() { page } else { &target };
                match self.name(target, &anchor) {
                    Some("StringUpdateValue") => update(prose::format(row)).to_owned(),
                    Some("ArrayOfStringsUpdateValue") if prose::format(row) == "guid" => "GuidsUpdateValue".to_owned(),
                    Some("ArrayOfStringsUpdateValue") => "StringsUpdateValue".to_owned(),
                    Some(name) => name.to_owned(),
                    None => "object".to_owned(),
                }
            }
            None => match text.trim_end_matches('s') {
                "string" => prose::format(row).to_owned(),
                "boolean" => "boolean".to_owned(),
                "integer" => "integer".to_owned(),
                "number" | "decimal" => "number".to_owned(),
                "object" => "object".to_owned(),
                _ => "any".to_owned(),
            },
        };
        format!("{kind}{brackets}")
    }

    /// Whether a type is an interval: two times, its start and its end.
    pub(super) fn is_interval(known: &Type) -> bool {
        let names: Vec<&str> = known.rows.iter().map(|row| &*row.name).collect();
        matches!(names[..], ["StartUtc", "EndUtc"] | ["Start", "End"])
    }
}

/// The update whose value has this `format`.
fn update(format: &str) -> &'static str {
    UPDATES.iter().find(|(name, _)| *name == format).map_or("StringUpdateValue", |(_, update)| update)
}

/// The updates that the tables don't distinguish: the value's format is in the property's description.
pub(super) const UPDATES: [(&str, &str); 8] = [
    ("number", "NumberUpdateValue"),
    ("string[]", "StringsUpdateValue"),
    ("guid[]", "GuidsUpdateValue"),
    ("utc", "UtcUpdateValue"),
    ("date", "DateUpdateValue"),
    ("month", "MonthUpdateValue"),
    ("duration", "DurationUpdateValue"),
    ("guid", "GuidUpdateValue"),
];

fn is_same(one: &Type, other: &Type) -> bool {
    let fields = |known: &Type| known.rows.iter().map(|row| (row.name.clone(), row.kind.clone())).collect::<Vec<_>>();
    let values = |known: &Type| known.values.iter().map(|(value, _)| value.clone()).collect::<BTreeSet<_>>();
    fields(one) == fields(other) && values(one) == values(other)
}

/// A title as a name: `Time interval` becomes `TimeInterval`.
fn camel(title: &str) -> String {
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            format!("{}{rest}", first.to_ascii_uppercase())
        })
        .collect()
}
