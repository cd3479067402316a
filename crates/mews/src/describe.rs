//! Descriptions of contracts for people.

use std::fmt::{self, Write as _};

use crate::catalogue::{Delay, DelayUnit, Deprecation, Enum, Field, Kind, Need, Object, Operation, Rule};

impl Kind {
    /// A short name for a value: `string`, `GUID`, `TimeInterval`, `one of ActivityState`.
    pub fn name(&self) -> &str {
        match self {
            Self::String => "string",
            Self::Utc => "time in UTC",
            Self::Date => "date",
            Self::Month => "month",
            Self::Duration => "duration",
            Self::Guid => "GUID",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Texts => "texts by language",
            Self::AnyObject => "object",
            Self::Any => "any value",
            Self::Object(object) => &object.name,
            Self::Enum(values) => &values.name,
        }
    }
}

impl Field {
    /// The kind of its value, such as `GUID[]`.
    pub fn type_name(&self) -> String {
        format!("{}{}", self.kind.name(), "[]".repeat(usize::from(self.array)))
    }

    /// Its rules in words, in a fixed order; empty for an optional property with no further rules.
    pub fn rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.required {
            rules.push("required".to_owned());
        }
        let plural = |count: u32, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        if self.min_items > 0 {
            rules.push(format!("at least {}", plural(self.min_items, "item")));
        }
        let value = self.updated();
        if let Some(most) = self.max_items.or(value.max_items) {
            rules.push(format!("at most {}", plural(most, "item")));
        }
        if self.unique {
            rules.push("no item twice".to_owned());
        }
        if self.min_chars > 0 {
            rules.push(format!("at least {}", plural(self.min_chars, "character")));
        }
        if let Some(most) = self.max_chars.or(value.max_chars) {
            rules.push(format!("at most {}", plural(most, "character")));
        }
        if let Some(months) = self.max_months {
            rules.push(format!("at most {}", plural(months.into(), "month")));
        }
        if let Some(days) = self.max_days {
            rules.push(format!("at most {}", plural(days.into(), "day")));
        }
        if let Some(range) = self.range.as_ref().or(value.range.as_ref()) {
            rules.push(match *range.end() {
                i64::MAX => format!("at least {}", range.start()),
                end => format!("{} to {end}", range.start()),
            });
        }
        if let Some(delay) = self.latest {
            rules.push(format!("at the latest {delay} the request"));
        }
        if self.future {
            rules.push("after the month of the request".to_owned());
        }
        if self.time_unit || value.time_unit {
            rules.push("the start of a time unit".to_owned());
        }
        if let Some(pattern) = self.pattern.as_ref().or(value.pattern.as_ref()) {
            rules.push(pattern.text.to_string());
        }
        if let Some(name) = &self.distinct {
            rules.push(format!("distinct {name}"));
        }
        if let Some(with) = &self.with {
            rules.push(format!("with {with}"));
        }
        rules.extend(self.deprecated.as_ref().map(|deprecation| deprecation.describe()));
        rules.extend(self.disputed.as_ref().map(|reason| format!("in doubt: {reason}")));
        rules
    }
}

impl fmt::Display for Delay {
    /// As a phrase before its reference point: `5 minutes before`, `1 year after`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            DelayUnit::Minutes => "minute",
            DelayUnit::Days => "day",
            DelayUnit::Years => "year",
        };
        let count = self.count.unsigned_abs();
        let relation = if self.count < 0 { "before" } else { "after" };
        write!(f, "{count} {unit}{} {relation}", if count == 1 { "" } else { "s" })
    }
}

impl Deprecation {
    /// In words: `deprecated since 2025-01-09, discontinued on 2026-01-10, instead: AccountId`.
    pub fn describe(&self) -> String {
        let mut text = "deprecated".to_owned();
        if let Some(since) = self.since {
            let _ = write!(text, " since {since}");
        }
        if let Some(ends) = self.ends {
            let _ = write!(text, ", discontinued on {ends}");
        }
        if let Some(instead) = &self.instead {
            let _ = write!(text, ", instead: {instead}");
        }
        text
    }
}

impl Enum {
    /// Its values in words, with deprecations.
    pub fn describe(&self) -> Vec<String> {
        let describe = |value: &str| match self.deprecation(value) {
            Some(deprecation) => format!("{value} ({})", deprecation.describe()),
            None => value.to_owned(),
        };
        self.values.iter().map(|value| describe(value)).collect()
    }
}

impl Object {
    /// The rules between its properties, in words. The order of start and end times is left out.
    pub fn describe_rules(&self) -> Vec<String> {
        let name = |at: &usize| self.fields.get(*at).map_or("", |field| &field.name);
        let names = |all: &[usize], between: &str| all.iter().map(name).collect::<Vec<_>>().join(between);
        let is = |on: usize, values: &[usize]| {
            let decides = self.fields.get(on)?;
            let values: Vec<&str> = values.iter().map(|&at| decides.constant_name(at)).collect();
            Some(format!("{} is {}", decides.name, values.join(" or ")))
        };
        let path = |field: usize, inner: Option<usize>| {
            let outer = self.fields.get(field)?;
            Some(match (inner, &outer.kind) {
                (Some(inner), Kind::Object(object)) => format!("{}.{}", outer.name, object.fields.get(inner)?.name),
                _ => outer.name.to_string(),
            })
        };
        let rule = |rule: &Rule| {
            Some(match rule {
                Rule::AnyOf(fields) => format!("at least one of {}", names(fields, ", ")),
                Rule::SomeOf(fields) => format!("at least one of {}", names(fields, ", ")),
                Rule::OneOf(fields) => format!("only one of {}", names(fields, ", ")),
                Rule::Beside { field, others } => {
                    format!("{} only together with one of {}", name(field), names(others, ", "))
                }
                Rule::When { field, inner, on, values, need } => {
                    let required = match need {
                        Need::Present => "required",
                        Need::Filled => "required with an item",
                        Need::FilledIfPresent => "not empty",
                    };
                    format!("{} {required} if {}", path(*field, *inner)?, is(*on, values)?)
                }
                Rule::With { field, inner, others } => {
                    format!("{} only with {}", path(*field, *inner)?, names(others, " and "))
                }
                Rule::Only { field, on, values } => format!("{} only if {}", name(field), is(*on, values)?),
                Rule::Value { field, allowed, on, values } => {
                    format!("{} if {}", is(*field, allowed)?, is(*on, values)?)
                }
                Rule::Has { field, array, value } => {
                    let value = self.fields.get(*array)?.constant_name(*value);
                    format!("{} only with {value} among {}", name(field), name(array))
                }
                Rule::AtMost { field, count, beside } => {
                    format!("at most {count} of {} together with {}", name(field), name(beside))
                }
                Rule::Sum { field, inner, of } => {
                    format!("{}.{inner} of all items adds up to the absolute value of {}", name(field), name(of))
                }
                Rule::Sets(sets) => {
                    let sets: Vec<_> = sets.iter().map(|set| names(set, " with ")).collect();
                    format!("either {}", sets.join(", or "))
                }
                Rule::Order(..) => return None,
                Rule::Span { from, to, days, months: 0 } => {
                    format!("at most {days} days from {} to {}", name(from), name(to))
                }
                Rule::Span { from, to, days, months } => {
                    format!(
                        "at most {days} time units from {} to {}, or {months} if they are months",
                        name(from),
                        name(to)
                    )
                }
            })
        };
        self.rules.iter().filter_map(rule).collect()
    }

    /// Every nested property in order, with its path (`Reservations.CustomerId`) and its object. At most 100,000: objects of a
    /// supplied document can nest endlessly.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&str, &'a Self, &'a Field)) {
        self.walk_below("", &mut 100_000, visit);
    }

    fn walk_below<'a>(&'a self, path: &str, left: &mut u32, visit: &mut impl FnMut(&str, &'a Self, &'a Field)) {
        for field in &self.fields {
            let Some(still) = left.checked_sub(1) else { return };
            *left = still;
            let path = if path.is_empty() { field.name.to_string() } else { format!("{path}.{}", field.name) };
            visit(&path, self, field);
            if let Kind::Object(inner) = &field.kind {
                inner.walk_below(&path, left, visit);
            }
        }
    }
}

impl Operation {
    /// Its attributes in words: pagination, portfolio tokens, beta, deprecation.
    pub fn describe(&self) -> Vec<String> {
        use crate::catalogue::Lifecycle;
        let mut words = Vec::new();
        for (is, word) in [
            (self.paginated, "answers in pages"),
            (self.portfolio, "takes portfolio access tokens"),
            (self.restricted, "restricted beta"),
        ] {
            if is {
                words.push(word.to_owned());
            }
        }
        match self.lifecycle {
            Lifecycle::Current => {}
            Lifecycle::Deprecated { since, discontinued } => {
                let end = discontinued.map_or_else(String::new, |day| format!(", discontinued on {day}"));
                let since = since.map_or_else(String::new, |day| format!(" since {day}"));
                words.push(format!("deprecated{since}{end}"));
            }
            Lifecycle::Discontinued => words.push("discontinued".to_owned()),
        }
        if !self.replaced_by.is_empty() {
            words.push(format!("instead: {}", self.replaced_by.join(" or ")));
        }
        words
    }
}
