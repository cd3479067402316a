//! Filtering and paging.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::generator::utc;
use crate::kind::Kind;
use crate::name::{capitalised, singular};
use crate::operation_spec::Step;
use crate::property::{Item, Table};

/// Default and maximum page size.
const PAGE: usize = 1000;

/// Request properties that are not filters.
const NOT_FILTERS: [&str; 8] =
    ["AccessToken", "ClientToken", "Client", "LanguageCode", "CultureCode", "Limitation", "Extent", "Currency"];

/// One page of results.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Item>>,
    /// The id of the oldest item, after which the next page starts. Present on the last page, too; only an empty page
    /// has none.
    pub(crate) cursor: Option<String>,
}

/// The cursor names an unknown item.
#[derive(Debug, Error)]
#[error("Invalid Limitation: the Cursor is unknown.")]
pub(crate) struct UnknownCursor;

/// The page of a table that a request selects.
pub(crate) fn page(
    table: &Table,
    collection: &str,
    step: &Step,
    request: &Map<String, Value>,
) -> Result<Page, UnknownCursor> {
    let limitation = request.get("Limitation").and_then(Value::as_object);
    let cursor = limitation.and_then(|limitation| limitation.get("Cursor")?.as_str());
    let count = limitation.and_then(|limitation| limitation.get("Count")?.as_f64());
    // The contract bounds it; a value that passed a different OpenAPI document is bounded here.
    let count = count.map_or(PAGE, |count| (count as usize).clamp(1, PAGE));
    let filters = filters(collection, step, request);
    let found = table
        .newest(cursor)
        .ok_or(UnknownCursor)?
        .filter(|item| filters.iter().all(|filter| filter.passes(item)) && has_required(item, step));
    let items: Vec<_> = found.take(count).cloned().collect();
    let cursor = items.last().map(|last| last.id().to_owned()).filter(|id| !id.is_empty());
    Ok(Page { items, cursor })
}

enum Filter<'a> {
    /// The property is one of these values. Items without the property pass.
    OneOf(Box<str>, Vec<&'a Value>),
    Begins(&'a str, String),
    Active(Vec<&'a str>),
    /// The property's time is within the interval.
    Within(&'a str, String, String),
    /// The item's interval overlaps this one.
    Colliding(String, String),
}

fn filters<'a>(collection: &str, step: &'a Step, request: &'a Map<String, Value>) -> Vec<Filter<'a>> {
    let own = singular(&capitalised(collection));
    let mut filters: Vec<_> = request.iter().filter_map(|(name, value)| filter(&own, step, name, value)).collect();
    if let Some((start, end)) = interval(request) {
        filters.push(Filter::Colliding(start, end));
    }
    filters
}

fn filter<'a>(own: &str, step: &'a Step, name: &'a str, value: &'a Value) -> Option<Filter<'a>> {
    if NOT_FILTERS.contains(&name) {
        return None;
    }
    if let Some((field, of_item)) = &step.begins
        && **field == *name
    {
        return Some(Filter::Begins(of_item, value.as_str()?.to_lowercase()));
    }
    match value {
        Value::Array(values) if name == "ActivityStates" => {
            Some(Filter::Active(values.iter().filter_map(Value::as_str).collect()))
        }
        Value::Array(values) => {
            let is_own = name == "Ids" || name.strip_suffix("Ids").is_some_and(|of| own == of);
            let field = if is_own { "Id".to_owned() } else { singular(name) };
            Some(Filter::OneOf(field.into(), values.iter().collect()))
        }
        Value::Object(interval_of) => {
            let (start, end) = interval(interval_of)?;
            Some(if name == "CollidingUtc" { Filter::Colliding(start, end) } else { Filter::Within(name, start, end) })
        }
        Value::String(_) if !name.ends_with("Utc") && name != "TimeFilter" => {
            Some(Filter::OneOf(name.into(), vec![value]))
        }
        _ => None,
    }
}

/// Start and end in Mews' time format, which compares as text.
fn interval(object: &Map<String, Value>) -> Option<(String, String)> {
    let time = |name: &str| object.get(name)?.as_str()?.parse::<Timestamp>().ok().map(utc);
    time("StartUtc").zip(time("EndUtc"))
}

impl Filter<'_> {
    fn passes(&self, item: &Item) -> bool {
        let text = |field: &str| item.fields.get(field).and_then(Value::as_str);
        match self {
            Self::OneOf(field, values) => item.fields.get(&**field).is_none_or(|value| values.contains(&value)),
            Self::Begins(field, start) => text(field).is_some_and(|text| text.to_lowercase().starts_with(start)),
            Self::Active(states) => {
                let active = item.fields.get("IsActive").and_then(Value::as_bool).unwrap_or(true);
                states.contains(&if active { "Active" } else { "Deleted" })
            }
            Self::Within(field, start, end) => {
                !item.fields.contains_key(*field) || text(field).is_some_and(|at| (&**start..=&**end).contains(&at))
            }
            Self::Colliding(start, end) => {
                let first = text("ScheduledStartUtc").or(text("StartUtc"));
                let last = text("ScheduledEndUtc").or(text("EndUtc"));
                first.zip(last).is_none_or(|(first, last)| first < &**end && last > &**start)
            }
        }
    }
}

/// Whether an item meets the operation's fixed conditions.
fn has_required(item: &Item, step: &Step) -> bool {
    step.require.iter().all(|field| match &field.kind {
        Kind::OneOf(values) => {
            let value = item.fields.get(&*field.name).and_then(Value::as_str);
            value.is_some_and(|value| values.iter().any(|known| **known == *value))
        }
        _ => true,
    })
}
