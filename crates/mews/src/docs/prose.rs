//! Rules from descriptions of properties, in recurring forms.

use super::page::{Row, code};

/// A string's kind by its description; `string` if unspecified.
pub(super) fn format(row: &Row) -> &'static str {
    let (name, text) = (&*row.name, row.description.to_ascii_lowercase());
    if text.contains("iso 8601 duration") {
        "duration"
    } else if text.contains("yyyy-mm`") || text.contains("yyyy-mm'") {
        "month"
    } else if name.ends_with("Utc") || (text.contains("in utc timezone") && !name.ends_with("Date")) {
        "utc"
    } else if text.contains("iso 8601") || text.contains("iso-8601") {
        "date"
    } else if is_id(name) && !text.contains("external") && !text.contains("code of") {
        "guid"
    } else {
        "string"
    }
}

/// Whether a name is that of a Mews id.
fn is_id(name: &str) -> bool {
    (name == "Id" || name.ends_with("Id") || name == "Ids" || name.ends_with("Ids") || name.ends_with("IdsToRemove"))
        && !name.starts_with("External")
        && !name.starts_with("Provider")
        // The documentation's samples have `FM-001` as one.
        && name != "FiscalMachineId"
}

/// The maximum items, characters or months that a contract names, as rules of the data.
pub(super) fn limits(contract: &str) -> String {
    let mut rules = String::new();
    for part in contract.split(',').map(str::trim) {
        let words: Vec<&str> = part.split_whitespace().collect();
        match words[..] {
            ["max", count, "item" | "items"] if is_number(count) => rules.push_str(&format!(" max {count}")),
            ["max", "length", count, "characters" | "character"] if is_number(count) => {
                rules.push_str(&format!(" max {count}"));
            }
            ["max", "length", count, unit] if is_number(count) && unit.starts_with("month") => {
                let unit = if count == "1" { "month" } else { "months" };
                rules.push_str(&format!(" within {count} {unit}"));
            }
            _ => {}
        }
    }
    rules
}

/// A description's limits of numbers and intervals, as rules of the data.
pub(super) fn bounds(row: &Row, kind: &str, is_interval: bool) -> String {
    let text = row.description.to_ascii_lowercase();
    let is_number = matches!(kind, "integer" | "number" | "IntegerUpdateValue" | "NumberUpdateValue");
    let mut rules = String::new();
    if is_number {
        if let (Some(from), Some(to)) = (number_after(&text, "minimum "), number_after(&text, "maximum ")) {
            rules.push_str(&format!(" from {from} to {to}"));
        } else if let Some((from, to)) = number_after(&text, "must be between ").zip(number_after(&text, " and ")) {
            rules.push_str(&format!(" from {from} to {to}"));
        } else if kind.starts_with("Integer") || kind == "integer" {
            if text.contains("must be a positive") || text.contains("only positive value") {
                rules.push_str(" from 1");
            } else if text.contains("non-negative") || text.contains("must not be negative") {
                rules.push_str(" from 0");
            }
        }
    }
    if is_interval && let Some(days) = number_after(&text, "maximum interval is ") {
        rules.push_str(&format!(" within {days} days"));
    }
    if let Some(minutes) = number_after(&text, "no later than ").filter(|_| text.contains("minutes in the past")) {
        rules.push_str(&format!(" latest -{minutes} minutes"));
    }
    if let Some(days) = number_after(&text, "must be within ").filter(|_| kind == "utc" && text.contains(" days of ")) {
        rules.push_str(&format!(" latest {days} days"));
    }
    rules
}

/// The maximum days and months of a span of time units, if the description has them.
pub(super) fn span(text: &str) -> Option<(u32, u32)> {
    let text = text.to_ascii_lowercase().replace("__", "");
    let (_, rest) = text.split_once("maximum size of time interval")?;
    let counts = |unit: &str| {
        let (before, _) = rest.split_once(unit)?;
        before.split_whitespace().last()?.parse().ok()
    };
    Some((counts(" days")?, counts(" months").unwrap_or(0)))
}

/// How a property depends on the presence of others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Required if there is no other filter.
    Required,
    /// Required if one other property is absent.
    RequiredWithout(String),
    /// Not a filter by itself.
    NotAlone,
}

/// A property's role as a filter, by its description.
pub(super) fn filter(text: &str) -> Option<Filter> {
    let text = text.to_ascii_lowercase();
    if text.contains("required if no other filter") {
        Some(Filter::Required)
    } else if let Some((_, rest)) = text.split_once("required if ")
        && let Some((name, _)) = rest.split_once(" filter is not provided")
    {
        Some(Filter::RequiredWithout(name.trim_matches('`').to_owned()))
    } else if text.contains("together with at least one another filter") || text.contains("to be used standalone") {
        Some(Filter::NotAlone)
    } else {
        None
    }
}

/// Why the integration isn't at fault for omitting a property documented as required; the property may be one of the row's
/// type, and is named then.
pub(super) fn dispute(row: &Row) -> Option<(Option<&str>, &'static str)> {
    let text = row.description.to_ascii_lowercase();
    if let Some(at) = text.find("is not required") {
        let inner = code(row.description.get(..at)?).last()?;
        return Some((Some(inner), "the description of the list says that it is not required"));
    }
    let says = text.contains("if not specified, the operation") || text.contains("if not provided");
    (says && row.contract.contains("required")).then_some((None, "its description says what holds without it"))
}

/// The property that excludes this one.
pub(super) fn excludes(text: &str) -> Option<&str> {
    let at = text.find("annot be used with ")?;
    code(&text[at..]).next()
}

/// The property and values that make this one required: `Required when `Discriminator` is `Customer``.
pub(super) fn condition(text: &str) -> Option<(String, Vec<String>)> {
    let lower = text.to_ascii_lowercase();
    let starts = ["required when ", "required if ", "required only if ", "required for "];
    let (at, start) = starts.iter().find_map(|start| lower.find(start).map(|at| (at, *start)))?;
    let sentence = text.get(at + start.len()..)?;
    let end = [". ", ", ignored", ", or used", " ("]
        .iter()
        .filter_map(|end| sentence.find(end))
        .min()
        .unwrap_or(sentence.len());
    let sentence = sentence.get(..end)?;
    let mut names = code(sentence).map(str::to_owned);
    if start == "required for " {
        // `Required for Type of `PartnerCompany` or `TravelAgency``.
        let on = sentence.split_whitespace().next()?.to_owned();
        let values: Vec<String> = names.collect();
        return (!values.is_empty() && sentence.contains(" of ")).then_some((on, values));
    }
    match names.next() {
        Some(on) => {
            let mut values: Vec<String> = names.collect();
            if values.is_empty() {
                let is = sentence.rsplit(" is ").next()?.trim_end_matches('.');
                values.push(is.to_owned());
            }
            Some((on, values))
        }
        None => {
            let (on, value) = sentence.trim_end_matches('.').split_once(" set to ")?;
            Some((on.trim().to_owned(), vec![value.trim().to_owned()]))
        }
    }
}

/// The replacements that a deprecation note names, except for the operations that it links to.
pub(super) fn instead(text: &str) -> Vec<String> {
    let Some((_, note)) = text.rsplit_once("**Deprecated!**") else { return Vec::new() };
    let mut names: Vec<String> = code(note).map(str::to_owned).collect();
    if names.is_empty()
        && let Some(word) = note.trim().strip_prefix("Use ").and_then(|rest| rest.split([' ', '.']).next())
        && word.starts_with(|letter: char| letter.is_ascii_uppercase())
        && !note.contains("](")
    {
        names.push(word.to_owned());
    }
    names
}

fn number_after(text: &str, before: &str) -> Option<i64> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '-').unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_understood_in_the_forms_that_recur() {
        let read = |text: &str| condition(text).map(|(on, values)| format!("{on}={}", values.join("|")));
        for (text, expected) in [
            ("Data. Required when `Discriminator` is `Customer`.", Some("Discriminator=Customer")),
            ("This is required if the `TriggerType` is set to `Reccuring`.", Some("TriggerType=Reccuring")),
            ("Required only if `RouteType` value is `Selected`.", Some("RouteType=Selected")),
            ("Required if the `TriggerType` is recurring. Can be null.", Some("TriggerType=recurring")),
            ("Required if `S` is set to `F`, or used when `S` is unspecified.", Some("S=F")),
            ("Required if AllowOpenBalance set to true. Used for more.", Some("AllowOpenBalance=true")),
            ("This is required for Type of `A` or `B`. Use `null` if not.", Some("Type=A|B")),
            ("Required for France LE.", None),
            ("An id.", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn filters_spans_and_bounds_are_understood() {
        assert_eq!(filter("Ids. Required if no other filter is provided."), Some(Filter::Required));
        assert_eq!(
            filter("Required if ServiceIds filter is not provided."),
            Some(Filter::RequiredWithout("serviceids".into()))
        );
        assert_eq!(filter("Not possible to be used standalone, and so on."), Some(Filter::NotAlone));
        assert_eq!(excludes("Time. Cannot be used with `ActualStartUtc`. More."), Some("ActualStartUtc"));
        let text =
            "The maximum size of time interval depends: 367 hours if hours, 367 days if days, or 60 months if months.";
        assert_eq!(span(text), Some((367, 60)));
        assert_eq!(span("The maximum size of time interval depends on the unit: 367 days."), Some((367, 0)));
        let row = |description: &str| Row { description: description.to_owned(), ..Row::default() };
        assert_eq!(bounds(&row("Count, minimum 1, maximum 1000."), "number", false), " from 1 to 1000");
        assert_eq!(bounds(&row("Value must be between -1 and 1."), "number", false), " from -1 to 1");
        assert_eq!(bounds(&row("Must be a positive number."), "integer", false), " from 1");
        assert_eq!(limits("optional, max length 3 months"), " within 3 months");
        assert_eq!(limits("required, max 1 item"), " max 1");
    }
}
