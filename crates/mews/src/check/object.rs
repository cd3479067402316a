//! An object and the rules on its fields.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::DateTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::finding::{FindingKind, Report};
use super::place::Place;
use super::shape::Shape;
use super::time;
use super::value::{Met, Value};
use crate::catalogue::{Field, Kind, Object};

/// Checks the fields of an object; the times of its first two, if they are there and are times.
pub(super) fn check_fields<'de, A: MapAccess<'de>>(
    object: &Object,
    map: &mut A,
    report: &mut Report,
    place: &Place<'_>,
) -> Result<[Option<DateTime>; 2], A::Error> {
    let mut times = [None; 2];
    // A bit for each field: the catalogue sees to it that there are enough.
    let (mut present, mut null) = (0_u128, 0_u128);
    let mut likely = 0;
    while let Some(name) = map.next_key_seed(Name { object, likely, report: &mut *report, place })? {
        let known = name.and_then(|position| Some((position, object.fields.get(position)?)));
        let Some((position, field)) = known else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        let place = Place::Field(place, &field.name);
        let value = Value { report: &mut *report, shape: Shape::Field(field, 0), place: &place };
        likely = position + 1;
        let met = map.next_value_seed(value)?;
        if let Met::Null = met {
            null |= 1 << position;
            continue;
        }
        present |= 1 << position;
        if let (Met::Time(time), Some(slot)) = (met, times.get_mut(position)) {
            *slot = Some(time);
        }
        if field.deprecated {
            let expected = || "a field that is not deprecated".to_owned();
            report.add(FindingKind::DeprecatedField, &place, expected, || format!("`{}`", field.name));
        }
    }
    for (position, field) in object.fields.iter().enumerate() {
        let is_present = present & (1 << position) != 0;
        let place = Place::Field(place, &field.name);
        if field.required && !is_present {
            let found = if null & (1 << position) != 0 { "null" } else { "nothing" };
            report.add(FindingKind::MissingField, &place, || Shape::Field(field, 0).to_string(), || found.to_owned());
        }
        let Some(with) = field.with.as_deref().filter(|_| is_present) else { continue };
        if object.position(with, 0).is_some_and(|other| present & (1 << other) == 0) {
            let expected = || format!("`{with}` beside it");
            report.add(FindingKind::MissingPartner, &place, expected, || format!("`{}` alone", field.name));
        }
    }
    Ok(times)
}

/// Checks an object of strings by language.
pub(super) fn check_texts<'de, A: MapAccess<'de>>(
    mut map: A,
    report: &mut Report,
    place: &Place<'_>,
) -> Result<Met, A::Error> {
    let text = Field {
        name: Box::default(),
        kind: Kind::String,
        array: 0,
        required: false,
        max_items: None,
        max_chars: None,
        max_months: None,
        range: None,
        with: None,
        deprecated: false,
    };
    while let Some(language) = map.next_key::<Cow<'_, str>>()? {
        let place = Place::Field(place, &language);
        map.next_value_seed(Value { report: &mut *report, shape: Shape::Field(&text, 0), place: &place })?;
    }
    Ok(Met::Other)
}

pub(super) fn check_length(field: &Field, times: [Option<DateTime>; 2], report: &mut Report, place: &Place<'_>) {
    let (Some(months), [Some(start), Some(end)]) = (field.max_months, times) else { return };
    if time::is_longer(start, end, months) {
        let expected = || format!("at most {months} month{}", if months == 1 { "" } else { "s" });
        report.add(FindingKind::IntervalTooLong, place, expected, || format!("{start} to {end}"));
    }
}

/// The name of a field: where it stands in the object, or a finding and `None`.
struct Name<'a> {
    object: &'a Object,
    likely: usize,
    report: &'a mut Report,
    place: &'a Place<'a>,
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
            self.report.unknown_field(self.place, self.object, name);
        }
        Ok(position)
    }
}
