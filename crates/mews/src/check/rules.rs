//! Rules between the properties of an object, checked after all of it was read.

use jiff::civil::DateTime;

use super::finding::{FindingKind, Report};
use super::location::Location;
use super::partners;
use super::summary::{Seen, Summary, names};
use super::time;
use crate::catalogue::{Need, Object, Rule};

/// Checks an object against its rules.
pub(super) fn check_rules(object: &Object, seen: &Seen, report: &mut Report, location: &Location<'_>) {
    for rule in &object.rules {
        match rule {
            Rule::AnyOf(fields) if !seen.has_any(fields) => {
                let expected = || format!("at least one of {}", names(object, fields, ", "));
                report.add(FindingKind::MissingFilter, location, expected, || "none of them".to_owned());
            }
            Rule::SomeOf(fields) if seen.count(fields) == 0 => {
                let expected = || format!("at least one of {}", names(object, fields, ", "));
                report.add(FindingKind::MissingField, location, expected, || "none of them".to_owned());
            }
            Rule::OneOf(fields) if seen.count(fields) > 1 => {
                let there: Vec<usize> = fields.iter().copied().filter(|&at| seen.has(at)).collect();
                let Some(last) = there.last().and_then(|&at| object.fields.get(at)) else { continue };
                let location = Location::Field(location, &last.name);
                let expected = || format!("only one of {}", names(object, fields, ", "));
                report.add(FindingKind::ExclusiveFields, &location, expected, || names(object, &there, " and "));
            }
            Rule::Beside { field, others } if seen.has(*field) && !seen.has_any(others) => {
                let Some(field) = object.fields.get(*field) else { continue };
                let location = Location::Field(location, &field.name);
                let expected = || format!("another filter as well: {}", names(object, others, ", "));
                report.add(FindingKind::MissingFilter, &location, expected, || format!("`{}` alone", field.name));
            }
            Rule::When { .. } => check_when(object, seen, rule, report, location),
            Rule::With { field, inner, others } => {
                partners::check_with(object, seen, (*field, *inner, others), report, location)
            }
            Rule::Only { field, on, values } => {
                partners::check_only(object, seen, (*field, *on, values), report, location)
            }
            Rule::Value { .. } => partners::check_value(object, seen, rule, report, location),
            Rule::Has { field, array, value } => {
                partners::check_has(object, seen, (*field, *array, *value), report, location)
            }
            Rule::AtMost { field, count, beside } => {
                partners::check_at_most(object, seen, (*field, *count, *beside), report, location)
            }
            Rule::Sum { field, inner, of } => partners::check_sum(object, seen, (*field, inner, *of), report, location),
            Rule::Sets(sets) => check_sets(object, seen, sets, report, location),
            Rule::Order(from, to) => {
                let (Some(start), Some(end)) = (seen.time(object, *from), seen.time(object, *to)) else { continue };
                if end >= start {
                    continue;
                }
                let Some(last) = object.fields.get(*to) else { continue };
                let at_end = Location::Field(location, &last.name);
                let location = if object.interval { location } else { &at_end };
                let expected = || "an end not before the start".to_owned();
                report.add(FindingKind::ReversedInterval, location, expected, || format!("{start} to {end}"));
            }
            Rule::Span { from, to, days, months } => {
                let (Some(start), Some(end)) = (seen.time(object, *from), seen.time(object, *to)) else { continue };
                check_span(object, (start, end, *to), (*days, *months), report, location);
            }
            _ => {}
        }
    }
}

fn check_when(object: &Object, seen: &Seen, rule: &Rule, report: &mut Report, location: &Location<'_>) {
    let Rule::When { field: position, inner, on, values, need } = rule else { return };
    let (position, inner, on) = (*position, *inner, *on);
    let Some(Summary::Constant(value)) = seen.summary(object, on) else { return };
    let (Some(field), Some(decides)) = (object.fields.get(position), object.fields.get(on)) else { return };
    if !values.contains(&value) {
        return;
    }
    let mut name = &field.name;
    let outer = Location::Field(location, &field.name);
    let mut at = &outer;
    let within;
    if let Some(inner) = inner {
        let known = match &field.kind {
            crate::catalogue::Kind::Object(object) => object.fields.get(inner),
            _ => None,
        };
        let Some(known) = known else { return };
        if matches!(seen.summary(object, position), Some(Summary::Fields(fields)) if fields & (1 << inner) != 0) {
            return;
        }
        if seen.has(position) {
            name = &known.name;
            within = Location::Field(&outer, name);
            at = &within;
        }
    } else {
        let is_met = match need {
            Need::Present => seen.has(position),
            Need::Filled => seen.has_any(&[position]),
            Need::FilledIfPresent => !seen.has(position) || seen.has_any(&[position]),
        };
        if is_met {
            return;
        }
    }
    let expected = || format!("`{name}`, as `{}` is {}", decides.name, decides.constant_name(value));
    let found = if inner.is_none() && seen.has(position) { "an empty array" } else { "nothing" };
    report.add(FindingKind::MissingField, at, expected, || found.to_owned());
}

fn check_sets(object: &Object, seen: &Seen, sets: &[Vec<usize>], report: &mut Report, location: &Location<'_>) {
    // The set with the most properties present is probably the intended one.
    let Some(meant) = sets.iter().max_by_key(|set| (seen.count(set), std::cmp::Reverse(set.len()))) else { return };
    if seen.count(meant) == 0 {
        let all: Vec<_> = sets.iter().map(|set| names(object, set, " with ")).collect();
        report.add(
            FindingKind::MissingFilter,
            location,
            || format!("either {}", all.join(" or ")),
            || "none of them".to_owned(),
        );
        return;
    }
    for at in meant.iter().filter(|&&at| !seen.has(at)) {
        let Some(field) = object.fields.get(*at) else { continue };
        let location = Location::Field(location, &field.name);
        let beside: Vec<usize> = meant.iter().copied().filter(|&other| seen.has(other)).collect();
        let expected = || format!("`{}` together with {}", field.name, names(object, &beside, " and "));
        report.add(FindingKind::MissingField, &location, expected, || "nothing".to_owned());
    }
    for at in sets.iter().flatten().filter(|at| !meant.contains(at) && seen.has(**at)) {
        let Some(field) = object.fields.get(*at) else { continue };
        let location = Location::Field(location, &field.name);
        let expected = || {
            format!("either {}", sets.iter().map(|set| names(object, set, " with ")).collect::<Vec<_>>().join(" or "))
        };
        report.add(FindingKind::ExclusiveFields, &location, expected, || {
            format!("`{}` together with the others", field.name)
        });
    }
}

fn check_span(
    object: &Object,
    (start, end, to): (DateTime, DateTime, usize),
    (days, months): (u16, u8),
    report: &mut Report,
    location: &Location<'_>,
) {
    if !time::is_longer_than_days(start, end, days) {
        return;
    }
    let Some(field) = object.fields.get(to) else { return };
    let location = Location::Field(location, &field.name);
    // The request doesn't tell the service's time unit, but only monthly units start at the start of a month.
    let may_be_months = months > 0
        && !time::is_longer(start, end, months)
        && time::may_begin_month(start)
        && time::may_begin_month(end);
    let reason = may_be_months.then_some("correct for a service whose time unit is a month");
    let texts = || {
        let by_month =
            if months > 0 { format!(", or {months} months if the time unit is a month") } else { String::new() };
        (format!("at most {days} days after the first time unit{by_month}"), format!("{start} to {end}"))
    };
    report.add_disputed(FindingKind::IntervalTooLong, &location, texts, reason);
}
