//! One value and what lies in it, whatever it is.

use std::fmt;

use jiff::civil::DateTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::finding::{FindingKind, Report, allowed, shown};
use super::place::Place;
use super::shape::Shape;
use super::{object, time};
use crate::catalogue::Kind;

/// What a value turned out to be, as far as its surroundings have to know.
#[derive(Clone, Copy)]
pub(super) enum Met {
    Null,
    Time(DateTime),
    Other,
}

/// A value about to be checked: seed and visitor in one.
pub(super) struct Value<'a> {
    pub(super) report: &'a mut Report,
    pub(super) shape: Shape<'a>,
    pub(super) place: &'a Place<'a>,
}

impl<'a> Value<'a> {
    fn wrong(self, found: &str) -> Met {
        self.report.wrong_type(self.place, self.shape, found);
        Met::Other
    }

    fn number(self, value: f64, found: &str, fits: impl FnOnce(&Kind) -> bool) -> Met {
        let Some(field) = self.shape.single().filter(|field| fits(&field.kind)) else { return self.wrong(found) };
        if let Some(range) = &field.range {
            // The limits of a range are far below what an f64 holds exactly.
            let inside = *range.start() as f64 <= value && value <= *range.end() as f64;
            if !inside {
                let expected = || format!("{} to {}", range.start(), range.end());
                self.report.add(FindingKind::OutOfRange, self.place, expected, || value.to_string());
            }
        }
        Met::Other
    }

    fn text(self, text: &str) -> Met {
        let Some(field) = self.shape.single() else { return self.wrong("a string") };
        let Self { report, shape, place } = self;
        match &field.kind {
            Kind::String => {
                // No text has more characters than bytes, so that nearly all are never counted.
                if let Some(max) = field.max_chars.filter(|&max| text.len() > max as usize) {
                    let count = text.chars().count();
                    if count > max as usize {
                        let expected = || format!("at most {max} characters");
                        report.add(FindingKind::TooManyCharacters, place, expected, || format!("{count} characters"));
                    }
                }
                Met::Other
            }
            Kind::Utc | Kind::Date => {
                let parsed = if matches!(field.kind, Kind::Utc) { time::utc(text) } else { time::date(text) };
                if let Some(time) = parsed {
                    return Met::Time(time);
                }
                report.add(FindingKind::MalformedTime, place, || shape.to_string(), || shown(text));
                Met::Other
            }
            Kind::Enum(values) => {
                if !values.has(text) && !values.open {
                    report.add(FindingKind::UnknownValue, place, || allowed(values, text), || shown(text));
                } else if values.is_deprecated(text) {
                    let expected = || "a value that is not deprecated".to_owned();
                    report.add(FindingKind::DeprecatedValue, place, expected, || shown(text));
                }
                Met::Other
            }
            _ => Self { report, shape, place }.wrong("a string"),
        }
    }

    fn array<'de, A: SeqAccess<'de>>(self, mut items: A) -> Result<Met, A::Error> {
        let Some((shape, most)) = self.shape.items() else {
            let met = self.wrong("an array");
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(met);
        };
        let mut count = 0;
        loop {
            let place = Place::Item(self.place, count);
            match items.next_element_seed(Value { report: &mut *self.report, shape, place: &place })? {
                None => break,
                Some(Met::Null) => self.report.wrong_type(&place, shape, "null"),
                Some(_) => {}
            }
            count += 1;
        }
        if let Some(most) = most.filter(|&most| count > most as usize) {
            let expected = || format!("at most {most} items");
            self.report.add(FindingKind::TooManyItems, self.place, expected, || format!("{count} items"));
        }
        Ok(Met::Other)
    }

    fn object<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Met, A::Error> {
        if let Some(object) = self.shape.object() {
            let times = object::check_fields(object, &mut map, self.report, self.place)?;
            if let Shape::Field(field, _) = self.shape {
                object::check_length(field, times, self.report, self.place);
            }
            return Ok(Met::Other);
        }
        match self.shape.single().map(|field| &field.kind) {
            Some(Kind::Texts) => return object::check_texts(map, self.report, self.place),
            Some(Kind::AnyObject) => {}
            _ => {
                self.wrong("an object");
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Met::Other)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Met;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Met, D::Error> {
        let Self { report, shape, place } = self;
        let met = deserializer.deserialize_any(Value { report: &mut *report, shape, place });
        if met.is_err() {
            report.stopped_at(place);
        }
        met
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Met;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shape)
    }

    fn visit_unit<E>(self) -> Result<Met, E> {
        Ok(Met::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Met, E> {
        Ok(match self.shape.single().map(|field| &field.kind) {
            Some(Kind::Boolean) => Met::Other,
            _ => self.wrong("a boolean"),
        })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Met, E> {
        Ok(self.number(value as f64, "a number", |kind| matches!(kind, Kind::Integer | Kind::Number)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Met, E> {
        Ok(self.number(value as f64, "a number", |kind| matches!(kind, Kind::Integer | Kind::Number)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Met, E> {
        Ok(self.number(value, "a number with a fraction", |kind| matches!(kind, Kind::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Met, E> {
        Ok(self.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Met, A::Error> {
        self.array(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Met, A::Error> {
        self.object(map)
    }
}
