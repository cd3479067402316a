//! Differences between two catalogues, for updating the data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalogue::{Catalogue, Field, Kind, Operation};

/// A difference between two catalogues.
///
/// `Display` gives one line: `bills/getAll: Extent.Items: now deprecated since 2023-10-20; was optional`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The path of the operation.
    pub operation: String,
    /// The property of its request, such as `Reservations.CustomerId`; empty for the operation itself.
    pub field: String,
    /// The kind of change.
    pub kind: ChangeKind,
    /// The description before.
    pub before: String,
    /// The description after.
    pub after: String,
}

/// The kind of change to an operation or a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was removed.
    Removed,
    /// It changed.
    Changed,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.operation)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        match self.kind {
            ChangeKind::Added => write!(f, ": new, {}", self.after),
            ChangeKind::Removed => write!(f, ": gone"),
            ChangeKind::Changed => write!(f, ": {}; was {}", self.after, self.before),
        }
    }
}

/// The changes from one catalogue to another, in the order of operations and properties.
pub fn changes(before: &Catalogue, after: &Catalogue) -> Vec<Change> {
    let mut changes = Vec::new();
    let all = |catalogue: &Catalogue| -> Vec<Box<str>> {
        catalogue.operations().iter().map(|known| known.path.clone()).collect()
    };
    let mut paths = all(before);
    paths.extend(all(after));
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let mut add = |field: &str, kind, before: String, after: String| {
            changes.push(Change { operation: path.to_string(), field: field.to_owned(), kind, before, after });
        };
        match (before.operation(&path), after.operation(&path)) {
            (None, Some(new)) => add("", ChangeKind::Added, String::new(), of_operation(new)),
            (Some(old), None) => add("", ChangeKind::Removed, of_operation(old), String::new()),
            (Some(old), Some(new)) => {
                let (old_words, new_words) = (of_operation(old), of_operation(new));
                if old_words != new_words {
                    add("", ChangeKind::Changed, old_words, new_words);
                }
                let (old, new) = (fields(old), fields(new));
                for (path, words) in &new {
                    match old.get(path) {
                        None if is_told(path, &new, &old) => {}
                        None => add(path, ChangeKind::Added, String::new(), words.clone()),
                        Some(before) if before != words => {
                            add(path, ChangeKind::Changed, before.clone(), words.clone())
                        }
                        Some(_) => {}
                    }
                }
                for path in old.keys().filter(|path| !new.contains_key(*path) && !is_told(path, &old, &new)) {
                    add(path, ChangeKind::Removed, old[path].clone(), String::new());
                }
            }
            (None, None) => {}
        }
    }
    changes
}

/// Whether the enclosing property was added or removed, which covers the nested ones.
fn is_told(path: &str, here: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> bool {
    path.rsplit_once('.').is_some_and(|(outer, _)| here.contains_key(outer) && !there.contains_key(outer))
}

fn of_operation(operation: &Operation) -> String {
    // Order is irrelevant.
    let mut operation = operation.clone();
    operation.replaced_by.sort_unstable();
    let mut words = operation.describe();
    words.extend(operation.request.describe_rules());
    if operation.request.open {
        words.push("its request isn't documented".to_owned());
    }
    if words.is_empty() { "nothing special".to_owned() } else { words.join("; ") }
}

fn fields(operation: &Operation) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    operation.request.walk(&mut |path, _, field| {
        fields.insert(path.to_owned(), of_field(field));
    });
    fields
}

/// A property in words. Types are described by content, so that a new type name alone is no change.
fn of_field(field: &Field) -> String {
    let mut words = match &field.kind {
        Kind::Object(object) => {
            let mut words = vec![format!("object{}", "[]".repeat(usize::from(field.array)))];
            words.extend(object.describe_rules());
            words
        }
        Kind::Enum(values) => {
            let open = if values.open { ", …" } else { "" };
            let mut known = values.describe();
            known.sort_unstable();
            vec![format!("one of {}{open}{}", known.join(", "), "[]".repeat(usize::from(field.array)))]
        }
        _ => vec![field.type_name()],
    };
    let rules = field.rules().into_iter().filter(|rule| !rule.starts_with("in doubt"));
    words.extend(rules);
    words.join(", ")
}
