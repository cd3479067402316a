//! Writes what was read from the documentation in the format of this crate's data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::deprecations;
use super::page::{Operation, Page, Row, Type, links};
use super::prose;
use super::rules;
use super::types::{Types, UPDATES};
use crate::anchor::{page_of, slug};

/// The envelope of every request; its two codes are in the guidelines, not in the tables.
const ENVELOPE: &str = r#"
[object.Envelope]
fields = """
ClientToken string required
AccessToken string required
Client string required
LanguageCode string with CultureCode
CultureCode string with LanguageCode
"""
"#;

/// The envelope's properties that the tables have.
const ENVELOPE_FIELDS: [&str; 3] = ["ClientToken", "AccessToken", "Client"];

/// Writes all operations and the types they use.
pub(super) fn write(
    pages: &BTreeMap<&str, Page>,
    groups: &BTreeMap<(String, String), String>,
    deprecations: &[deprecations::Row],
) -> String {
    let types = Types::of(pages);
    let mut writer = Writer { types: &types, pages, deprecations, used: BTreeSet::new(), text: ENVELOPE.into() };
    for (page, content) in pages {
        for operation in &content.operations {
            let group = groups.get(&((*page).to_owned(), slug(&operation.title)));
            writer.operation(page, operation, group.map_or("", |group| group));
        }
    }
    writer.used_types();
    writer.text
}

struct Writer<'a> {
    types: &'a Types<'a>,
    pages: &'a BTreeMap<&'a str, Page>,
    deprecations: &'a [deprecations::Row],
    /// The types referenced so far.
    used: BTreeSet<String>,
    text: String,
}

impl Writer<'_> {
    fn operation(&mut self, page: &str, operation: &Operation, group: &str) {
        let _ = write!(self.text, "\n[operation.{}]\ntitle = {}\n", quoted(&operation.path), quoted(&operation.title));
        if !group.is_empty() {
            let _ = writeln!(self.text, "group = {}", quoted(group));
        }
        let page_name = page.trim_end_matches(".md");
        if page_name != page_of(&operation.path) {
            let _ = writeln!(self.text, "page = {}", quoted(page_name));
        }
        let says = |text: &str| operation.description.contains(text);
        for (name, is) in [
            ("paginated", says("uses [Pagination]")),
            ("portfolio", says("[Portfolio Access Tokens]")),
            ("restricted", operation.restricted),
        ] {
            if is {
                let _ = writeln!(self.text, "{name} = true");
            }
        }
        let here = (page.to_owned(), slug(&operation.title));
        self.lifecycle(&here, operation);
        let mut rows = operation.request.clone();
        for row in operation.sets.iter().flatten() {
            let rows = rows.get_or_insert_default();
            if !rows.iter().any(|known| known.name == row.name) {
                // What only one set requires becomes a rule.
                let is_common = operation.sets.iter().all(|set| set.iter().any(|other| other.name == row.name));
                let contract =
                    if is_common { row.contract.clone() } else { row.contract.replace("required", "optional") };
                rows.push(Row { contract, ..row.clone() });
            }
        }
        let Some(rows) = rows else { return };
        let is_own = |row: &Row| !ENVELOPE_FIELDS.contains(&&*row.name);
        let own: Vec<Row> = rows.into_iter().filter(is_own).collect();
        self.fields(page, &own, &|listed| listed.targets.contains(&here));
        let mut rules = rules::of(self.types, page, &own, &operation.description);
        rules.extend(rules::sets(&operation.sets));
        self.write_rules(&rules);
    }

    fn lifecycle(&mut self, here: &(String, String), operation: &Operation) {
        let is_it = |row: &&deprecations::Row| {
            row.title == operation.title && (row.targets.is_empty() || row.targets.contains(here))
                || row.names.is_empty() && row.targets.contains(here)
        };
        let Some(row) = self.deprecations.iter().find(is_it) else {
            if operation.deprecated || here.0 == "discontinued.md" {
                self.text.push_str("discontinued = true\n");
            }
            return;
        };
        for (name, day) in [("deprecated_on", row.since), ("discontinued_on", row.ends)] {
            if let Some(day) = day {
                let _ = writeln!(self.text, "{name} = {day}");
            }
        }
        let replaced: Vec<String> = self.operations_at(&row.replaced_by).iter().map(|path| quoted(path)).collect();
        if !replaced.is_empty() {
            let _ = writeln!(self.text, "replaced_by = [{}]", replaced.join(", "));
        }
    }

    /// The paths of the operations at these anchors.
    fn operations_at(&self, targets: &[(String, String)]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (page, anchor) in targets {
            let Some(page) = self.pages.get(&**page) else { continue };
            for operation in page.operations.iter().filter(|operation| slug(&operation.title) == *anchor) {
                if !found.contains(&operation.path) {
                    found.push(operation.path.clone());
                }
            }
        }
        found
    }

    /// Writes the lines of properties. `concerns` says which rows of the list of deprecations are about their owner.
    fn fields(&mut self, page: &str, rows: &[Row], concerns: &dyn Fn(&deprecations::Row) -> bool) {
        self.text.push_str("fields = \"\"\"\n");
        for row in rows {
            let kind = self.types.kind(row, page);
            let bare = kind.trim_end_matches("[]");
            self.used.insert(bare.to_owned());
            let is_interval = self.types.get(bare).is_some_and(|(_, known)| Types::is_interval(known));
            let mut line = format!("{} {kind}", row.name);
            if row.contract.contains("required") && !row.deprecated {
                line.push_str(" required");
            }
            // A limit is meaningless for a type that no page has.
            if kind != "object" && kind != "any" {
                line.push_str(&prose::limits(&row.contract));
            }
            line.push_str(&prose::bounds(row, bare, is_interval));
            if row.deprecated {
                line.push_str(" deprecated");
                let named = || self.deprecations.iter().filter(|listed| listed.names.contains(&row.name));
                let listed = named()
                    .find(|listed| concerns(listed))
                    .or_else(|| named().find(|listed| self.is_below(listed, page, &row.name)));
                line.push_str(&self.deprecation(&row.description, listed));
            }
            self.text.push_str(&line);
            self.text.push('\n');
        }
        self.text.push_str("\"\"\"\n");
        self.disputed(rows);
    }

    /// Writes the disputed properties.
    fn disputed(&mut self, rows: &[Row]) {
        let mut lines = Vec::new();
        for row in rows {
            if let Some((inner, reason)) = prose::dispute(row) {
                let path = inner.map_or_else(|| row.name.clone(), |inner| format!("{}.{inner}", row.name));
                lines.push(format!("{} = {}", quoted(&path), quoted(reason)));
            } else if ENVELOPE_FIELDS.contains(&&*row.name) {
                // Those of operations' own tables are handled elsewhere.
                lines.push(format!(
                    "{} = {}",
                    quoted(&row.name),
                    quoted("the tables repeat the envelope, no sample does")
                ));
            }
        }
        if !lines.is_empty() {
            let _ = writeln!(self.text, "disputed = {{ {} }}", lines.join(", "));
        }
    }

    /// Whether a row of the list is about an operation of this page with the property in one of its types.
    fn is_below(&self, listed: &deprecations::Row, page: &str, name: &str) -> bool {
        let Some(content) = self.pages.get(page) else { return false };
        listed.targets.iter().filter(|(target, _)| target == page).any(|(_, anchor)| {
            let operation = content.operations.iter().find(|operation| slug(&operation.title) == *anchor);
            operation.is_some_and(|operation| !operation.request.iter().flatten().any(|row| row.name == name))
        })
    }

    fn deprecation(&self, description: &str, listed: Option<&deprecations::Row>) -> String {
        let mut line = String::new();
        for (word, day) in [("since", listed.and_then(|row| row.since)), ("ends", listed.and_then(|row| row.ends))] {
            if let Some(day) = day {
                let _ = write!(line, " {word} {day}");
            }
        }
        let mut instead = prose::instead(description);
        if let Some((_, note)) = description.rsplit_once("**Deprecated!**") {
            instead.extend(self.operations_at(&links(note)));
        }
        if let Some(listed) = listed.filter(|_| instead.is_empty()) {
            instead.extend(listed.instead.iter().cloned());
            instead.extend(self.operations_at(&listed.replaced_by));
        }
        let is_name = |name: &&str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_graphic());
        let mut names: Vec<&str> = Vec::new();
        for name in instead.iter().map(String::as_str).filter(is_name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            let _ = write!(line, " instead {}", names.join(" or "));
        }
        line
    }

    fn write_rules(&mut self, rules: &[String]) {
        if !rules.is_empty() {
            let _ = write!(self.text, "rules = \"\"\"\n{}\n\"\"\"\n", rules.join("\n"));
        }
    }

    /// Writes the used types, transitively.
    fn used_types(&mut self) {
        let mut written = BTreeSet::new();
        while let Some(name) = self.used.iter().find(|name| !written.contains(*name)).cloned() {
            written.insert(name.clone());
            if let Some((kind, _)) = UPDATES.iter().find(|(_, update)| *update == name) {
                let _ = write!(self.text, "\n[object.{name}]\nfields = \"\"\"\nValue {kind}\n\"\"\"\n");
            } else if let Some((page, known)) = self.types.get(&name) {
                self.type_of(&name, page, known);
            }
        }
    }

    fn type_of(&mut self, name: &str, page: &str, known: &Type) {
        let here = (page.to_owned(), slug(&known.title));
        if known.rows.is_empty() {
            return self.values(name, known, &here);
        }
        let _ = write!(self.text, "\n[object.{name}]\n");
        if Types::is_interval(known) {
            self.text.push_str("interval = true\n");
        }
        self.fields(page, &known.rows, &|listed| listed.targets.contains(&here));
        let rules = rules::of(self.types, page, &known.rows, "");
        self.write_rules(&rules);
    }

    fn values(&mut self, name: &str, known: &Type, here: &(String, String)) {
        let _ = write!(self.text, "\n[enum.{name}]\n");
        if known.open {
            self.text.push_str("open = true\n");
        }
        let values: Vec<String> = known.values.iter().map(|(value, _)| quoted(value)).collect();
        let _ = writeln!(self.text, "values = [{}]", values.join(", "));
        let mut deprecated = Vec::new();
        for (value, is_called_so) in &known.values {
            let listed = self.deprecations.iter().find(|row| row.names.contains(value) && row.targets.contains(here));
            if *is_called_so || listed.is_some() {
                deprecated.push(quoted(&format!("{value}{}", self.deprecation("", listed))));
            }
        }
        if !deprecated.is_empty() {
            let _ = writeln!(self.text, "deprecated = [{}]", deprecated.join(", "));
        }
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}
