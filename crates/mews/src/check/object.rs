//! Checks objects and the rules on their properties.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::DateTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::finding::{FindingKind, Report};
use super::location::Location;
use super::rules::check_rules;
use super::shape::Shape;
use super::summary::{Seen, Summary};
use super::time;
use super::value::Value;
use crate::catalogue::{Field, Kind, Object};

/// Checks an object's properties; returns what was summary, and the times of the first two properties of an interval.
pub(super) fn check_fields<'de, A: MapAccess<'de>>(
    object: &Object,
    map: &mut A,
    report: &mut Report,
    location: &Location<'_>,
) -> Result<(Summary, [Option<DateTime>; 2]), A::Error> {
    let mut seen = Seen::new();
    let mut last = Summary::Other;
    let mut likely = 0;
    while let Some(name) = map.next_key_seed(Name { object, likely, report: &mut *report, location })? {
        let known = name.and_then(|position| Some((position, object.fields.get(position)?)));
        let Some((position, field)) = known else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let location = Location::Field(location, &field.name);
        let value = Value { report: &mut *report, shape: Shape::Field(field, 0), location: &location };
        likely = position + 1;
        let summary = map.next_value_seed(value)?;
        match summary {
            Summary::Null => {
                seen.null |= 1 << position;
                continue;
            }
            Summary::Items(0, _) => seen.empty |= 1 << position,
            _ => {}
        }
        seen.present |= 1 << position;
        last = summary;
        if !object.watched.is_empty()
            && let Some(slot) = object.watched.iter().position(|&watched| watched == position)
            && let Some(slot) = seen.watched.get_mut(slot)
        {
            *slot = summary;
        }
        if let Some(deprecation) = &field.deprecated {
            report.deprecated(FindingKind::DeprecatedField, &location, deprecation, format!("`{}`", field.name));
        }
    }
    for (position, field) in object.fields.iter().enumerate() {
        let is_present = seen.has(position);
        if field.required && !is_present {
            let location = Location::Field(location, &field.name);
            let found = if seen.null & (1 << position) != 0 { "null" } else { "nothing" };
            let texts = || (Shape::Field(field, 0).to_string(), found.to_owned());
            report.add_disputed(FindingKind::MissingField, &location, texts, field.disputed.as_deref());
        }
        let Some(with) = field.with.as_deref().filter(|_| is_present) else { continue };
        if object.position(with, 0).is_some_and(|other| !seen.has(other)) {
            let location = Location::Field(location, &field.name);
            let expected = || format!("`{with}` as well");
            report.add(FindingKind::MissingPartner, &location, expected, || format!("`{}` alone", field.name));
        }
    }
    if !object.rules.is_empty() {
        check_rules(object, &seen, report, location);
    }
    let times = if object.interval { [seen.time(object, 0), seen.time(object, 1)] } else { [None; 2] };
    // An update object stands for its value.
    let is_update = matches!(&object.fields[..], [value] if *value.name == *"Value");
    let summary = if is_update { last } else { Summary::Fields(seen.present) };
    Ok((summary, times))
}

/// Checks an object of strings by language.
pub(super) fn check_texts<'de, A: MapAccess<'de>>(
    mut map: A,
    report: &mut Report,
    location: &Location<'_>,
) -> Result<Summary, A::Error> {
    let text = Field::new("", Kind::String);
    while let Some(language) = map.next_key::<Cow<'_, str>>()? {
        let location = Location::Field(location, &language);
        map.next_value_seed(Value { report: &mut *report, shape: Shape::Field(&text, 0), location: &location })?;
    }
    Ok(Summary::Other)
}

/// Checks the length and the latest end of an interval.
pub(super) fn check_length(field: &Field, times: [Option<DateTime>; 2], report: &mut Report, location: &Location<'_>) {
    let [Some(start), Some(end)] = times else { return };
    let (most, unit, is_longer) = match (field.max_months, field.max_days) {
        (Some(months), _) => (u16::from(months), "month", time::is_longer(start, end, months)),
        (None, Some(days)) => (days, "day", time::is_longer_than_days(start, end, days)),
        (None, None) => (0, "", false),
    };
    if is_longer {
        let expected = || format!("at most {most} {unit}{}", if most == 1 { "" } else { "s" });
        report.add(FindingKind::IntervalTooLong, location, expected, || format!("{start} to {end}"));
    }
    check_latest(field, end, report, location);
}

/// Checks the latest allowed time, relative to when the request was sent.
pub(super) fn check_latest(field: &Field, time: DateTime, report: &mut Report, location: &Location<'_>) {
    let (Some(delay), Some(sent)) = (field.latest, report.sent) else { return };
    if time::later(sent, delay).is_some_and(|latest| time > latest) {
        let expected = || format!("at the latest {delay} the request of {sent}");
        report.add(FindingKind::OutOfRange, location, expected, || time.to_string());
    }
}

/// Deserializes a property name into its position in the object; `None`, with a finding, if unknown.
struct Name<'a> {
    object: &'a Object,
    likely: usize,
    report: &'a mut Report,
    location: &'a Location<'a>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        let position = self.object.position(name, self.likely);
        if position.is_none() && !self.object.open {
            self.report.unknown_field(self.location, self.object, name);
        }
        Ok(position)
    }
}
