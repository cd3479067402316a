//! A page of the documentation: its operations, tables and lists.

use std::collections::BTreeMap;

use crate::anchor::slug;

/// A parsed page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) operations: Vec<Operation>,
    /// The types described on the page, by anchor.
    pub(super) types: BTreeMap<String, Type>,
}

/// An operation as described on its page.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) title: String,
    pub(super) path: String,
    pub(super) description: String,
    pub(super) deprecated: bool,
    pub(super) restricted: bool,
    /// Missing if the request has no table.
    pub(super) request: Option<Vec<Row>>,
    /// The mutually exclusive sets of parameters, if the request is one of several.
    pub(super) sets: Vec<Vec<Row>>,
    /// Whether the request is one of several sets, and the heading of the last one.
    has_sets: bool,
    optional_interval: bool,
    set: Option<String>,
}

/// A type: a table of properties, or a list of values.
#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
    /// The values, and whether the list calls them deprecated.
    pub(super) values: Vec<(String, bool)>,
    /// Whether the list may be incomplete.
    pub(super) open: bool,
}

/// A row of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) contract: String,
    pub(super) description: String,
    pub(super) deprecated: bool,
}

/// The section being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    None,
    Description,
    Request,
    Response,
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let (mut part, mut fenced, mut anchor) = (Part::None, false, None::<String>);
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
                continue;
            }
            if fenced {
                continue;
            }
            if let Some(title) = line.strip_prefix("## ") {
                let deprecated = title.contains("~~");
                let title = plain(title);
                page.operations.push(Operation { title, deprecated, ..Operation::default() });
                (part, anchor) = (Part::Description, None);
            } else if line.starts_with("### Request") {
                (part, anchor) = (Part::Request, None);
            } else if line.starts_with("### Response") {
                (part, anchor) = (Part::Response, None);
            } else if let Some(title) = line.strip_prefix("#### ").or_else(|| line.strip_prefix("### ")) {
                let title = plain(title);
                let slug = slug(&title);
                // Pages of objects have no operations; elsewhere the first of two with the same name counts.
                page.types.entry(slug.clone()).or_insert_with(|| Type { title, ..Type::default() });
                anchor = Some(slug);
            } else {
                page.line(line, part, anchor.as_deref());
            }
        }
        page.operations.retain(|operation| !operation.path.is_empty());
        page.types.retain(|_, known| !known.rows.is_empty() || !known.values.is_empty());
        page
    }

    fn line(&mut self, line: &str, part: Part, anchor: Option<&str>) {
        let row = row(line);
        if let Some(operation) = self.operations.last_mut() {
            match part {
                Part::Description if line.starts_with("> ### Restricted") => operation.restricted = true,
                Part::Description if line.starts_with("> ### Deprecated") => operation.deprecated = true,
                Part::Description => {
                    operation.description.push_str(line);
                    operation.description.push('\n');
                }
                Part::Request => {
                    if let Some(path) = line.strip_prefix("`[PlatformAddress]/api/connector/v1/") {
                        operation.path = path.trim_end().trim_end_matches('`').to_owned();
                    }
                    operation.has_sets |= line.contains("mutually exclusive parameter sets");
                    if let (Some(row), None) = (&row, anchor) {
                        operation.request.get_or_insert_default().push(row.clone());
                    }
                    // A set's prose says what is optional.
                    operation.optional_interval = match &row {
                        None if !line.trim().is_empty() && !line.starts_with('|') => {
                            line.contains("optional") && line.contains("interval")
                        }
                        _ => operation.optional_interval,
                    };
                    if let (Some(row), Some(anchor), true) = (&row, anchor, operation.has_sets) {
                        if row.name == "ClientToken" {
                            operation.sets.push(Vec::new());
                            operation.set = Some(anchor.to_owned());
                        }
                        if let Some(set) =
                            operation.sets.last_mut().filter(|_| operation.set.as_deref() == Some(anchor))
                        {
                            let is_optional = operation.optional_interval && row.kind.contains("interval");
                            let contract = if is_optional {
                                row.contract.replace("required", "optional")
                            } else {
                                row.contract.clone()
                            };
                            set.push(Row { contract, ..row.clone() });
                        }
                    }
                }
                Part::None | Part::Response => {}
            }
        }
        let Some(known) = anchor.and_then(|anchor| self.types.get_mut(anchor)) else { return };
        if let Some(row) = row {
            if !known.rows.iter().any(|other| other.name == row.name) {
                known.rows.push(row);
            }
        } else if line.contains("not exhaustive") {
            known.open = true;
        } else if let Some(item) = line.strip_prefix("* ").or_else(|| line.strip_prefix("- ")) {
            let mut parts = item.splitn(3, '`');
            if let (Some(""), Some(value), Some(rest)) = (parts.next(), parts.next(), parts.next())
                && !known.values.iter().any(|(other, _)| other == value)
            {
                known.values.push((value.to_owned(), rest.to_ascii_lowercase().contains("deprecated")));
            }
        }
    }
}

/// A row of a property table; `None` for its header, separator, and other lines.
fn row(line: &str) -> Option<Row> {
    let mut cells = line.strip_prefix('|')?.splitn(4, '|').map(str::trim);
    let (name, kind, contract, description) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
    let deprecated = name.contains("~~");
    let name = name.trim_matches('~').strip_prefix('`')?.strip_suffix('`')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let bare = |text: &str| text.replace("~~", "").trim().to_owned();
    is_name.then(|| Row {
        name: name.to_owned(),
        kind: bare(kind),
        contract: bare(contract),
        description: bare(description.trim_end_matches('|')),
        deprecated,
    })
}

/// The groups of operations, by page and anchor.
pub(super) fn groups(text: &str) -> BTreeMap<(String, String), String> {
    let mut groups = BTreeMap::new();
    let mut group = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            group = title.trim().to_owned();
        } else if line.starts_with('|')
            && let Some(target) = links(line).into_iter().next()
        {
            groups.insert(target, group.clone());
        }
    }
    groups
}

/// A text's links: pages and anchors.
pub(super) fn links(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rest in text.split("](").skip(1) {
        let Some(target) = rest.split(')').next() else { continue };
        if let Some((page, anchor)) = target.split_once('#') {
            let page = page.rsplit('/').next().unwrap_or_default();
            found.push((page.to_owned(), anchor.to_ascii_lowercase()));
        }
    }
    found
}

/// The texts in backticks.
pub(super) fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A heading's text.
fn plain(title: &str) -> String {
    title.replace("~~", "").replace('\\', "").trim().to_owned()
}
