//! Rules between properties from descriptions, as lines of the data.

use super::page::{Row, code};
use super::prose::{self, Filter};
use super::types::Types;

/// Properties that select enterprise, content and page, and are no filters.
const NO_FILTERS: [&str; 6] = ["EnterpriseIds", "EnterpriseId", "ChainIds", "Limitation", "Extent", "Currency"];

/// The rules between the properties `rows` of a request or type; `description` is the operation's.
pub(super) fn of(types: &Types<'_>, page: &str, rows: &[Row], description: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for row in rows {
        if let Some(other) = prose::excludes(&row.description)
            && rows.iter().any(|known| known.name == other)
            && !rules.contains(&format!("one of {} {other}", row.name))
            && !rules.contains(&format!("one of {other} {}", row.name))
        {
            rules.push(format!("one of {} {other}", row.name));
        }
        rules.extend(condition(types, page, rows, row, None));
        // The value that makes a type's property required may be next to its container.
        if let Some((_, inner)) = types.get(&types.kind(row, page)) {
            rules.extend(inner.rows.iter().filter_map(|field| condition(types, page, rows, field, Some(row))));
        }
    }
    rules.extend(filters(rows, description));
    if let Some(last) = rows.iter().find(|row| row.name == "LastTimeUnitStartUtc")
        && rows.iter().any(|row| row.name == "FirstTimeUnitStartUtc")
    {
        // If the operation and its property name different spans, the longer one applies.
        let spans = [prose::span(&last.description), prose::span(description)];
        if let Some((days, months)) = spans.iter().flatten().copied().reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))) {
            let months = if months > 0 { format!(" or {months} months") } else { String::new() };
            rules.push(format!("FirstTimeUnitStartUtc to LastTimeUnitStartUtc within {days} days{months}"));
        }
    }
    rules
}

/// The required filters.
fn filters(rows: &[Row], description: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    let (mut marked, mut not_alone) = (Vec::new(), Vec::new());
    for row in rows {
        match prose::filter(&row.description) {
            Some(Filter::Required) => marked.push(&*row.name),
            Some(Filter::NotAlone) => not_alone.push(&*row.name),
            Some(Filter::RequiredWithout(other)) => {
                let other = rows.iter().find(|known| known.name.eq_ignore_ascii_case(&other));
                if let Some(other) = other
                    && !rules.contains(&format!("any of {} {}", other.name, row.name))
                {
                    rules.push(format!("any of {} {}", row.name, other.name));
                }
            }
            None => {}
        }
    }
    let all = |not: &[&str]| {
        let optional = rows.iter().filter(|row| !row.deprecated && !row.contract.contains("required"));
        let names = optional.map(|row| &*row.name).filter(|name| !NO_FILTERS.contains(name) && !not.contains(name));
        names.collect::<Vec<_>>()
    };
    if let Some((_, sentence)) = description.split_once("At least one ") {
        let sentence = sentence.split('.').next().unwrap_or_default();
        let named: Vec<&str> =
            rows.iter().map(|row| &*row.name).filter(|name| code(sentence).any(|code| code == *name)).collect();
        if named.is_empty() {
            marked = all(&not_alone);
        } else {
            marked.extend(named);
        }
    }
    // If only one property is required in the absence of others, the others are all filters.
    if let [_] = marked[..] {
        marked.extend(all(&not_alone));
    }
    let in_order: Vec<&str> = rows.iter().map(|row| &*row.name).filter(|name| marked.contains(name)).collect();
    if in_order.len() > 1 {
        rules.push(format!("any of {}", in_order.join(" ")));
    } else {
        for name in not_alone {
            rules.push(format!("{name} beside {}", all(&[name]).join(" ")));
        }
    }
    rules
}

/// The rule that requires `row` if another of `rows` has a value; `within` is the enclosing property.
fn condition(types: &Types<'_>, page: &str, rows: &[Row], row: &Row, within: Option<&Row>) -> Option<String> {
    let (on, values) = prose::condition(&row.description)?;
    let decides = rows.iter().find(|known| known.name == on && known.name != row.name)?;
    let known = constants(types, page, decides);
    let is_meant =
        |known: &&String| values.iter().any(|value| known.eq_ignore_ascii_case(value) || is_slip(known, value));
    let values: Vec<&str> = known.iter().filter(is_meant).map(String::as_str).collect();
    let field = within.map_or_else(|| row.name.clone(), |outer| format!("{}.{}", outer.name, row.name));
    (!values.is_empty()).then(|| format!("{field} when {on} {}", values.join(" ")))
}

/// A property's allowed values, if known.
fn constants(types: &Types<'_>, page: &str, row: &Row) -> Vec<String> {
    let kind = types.kind(row, page);
    if kind == "boolean" {
        return vec!["false".to_owned(), "true".to_owned()];
    }
    let Some((page, known)) = types.get(&kind) else { return Vec::new() };
    match &known.rows[..] {
        [value] if value.name == "Value" => constants(types, page, value),
        _ => known.values.iter().map(|(value, _)| value.clone()).collect(),
    }
}

/// The sets of properties of which a request has one, without what all of them share.
pub(super) fn sets(sets: &[Vec<Row>]) -> Vec<String> {
    let is_common = |name: &str| sets.iter().all(|set| set.iter().any(|row| row.name == name));
    let lines = sets.iter().map(|set| {
        let own = set.iter().filter(|row| !is_common(&row.name) && row.contract.contains("required"));
        own.map(|row| &*row.name).collect::<Vec<_>>().join(" ")
    });
    lines.filter(|line| !line.is_empty()).map(|line| format!("set {line}")).collect()
}

/// Whether two names differ by a slip: the documentation doubles the wrong letter of one.
fn is_slip(known: &str, value: &str) -> bool {
    value.len() > 6 && strsim::osa_distance(&known.to_ascii_lowercase(), &value.to_ascii_lowercase()) <= 2
}
