//! Checks a value and everything inside it.

use std::collections::HashSet;
use std::fmt;

use nightaudit_exchange::Pseudonym;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::finding::{FindingKind, Report, allowed, shown};
use super::location::Location;
use super::shape::Shape;
use super::summary::Summary;
use super::{object, time};
use crate::catalogue::Kind;

/// Checks one value: seed and visitor in one.
pub(super) struct Value<'a> {
    pub(super) report: &'a mut Report,
    pub(super) shape: Shape<'a>,
    pub(super) location: &'a Location<'a>,
}

impl<'a> Value<'a> {
    /// Whether any value is allowed.
    fn is_any(&self) -> bool {
        matches!(self.shape.single().map(|field| &field.kind), Some(Kind::Any))
    }

    fn wrong(self, found: &str) -> Summary {
        self.report.wrong_type(self.location, self.shape, found);
        Summary::Other
    }

    fn number(self, value: f64, found: &str, fits: impl FnOnce(&Kind) -> bool) -> Summary {
        if self.is_any() {
            return Summary::Other;
        }
        let Some(field) = self.shape.single().filter(|field| fits(&field.kind)) else { return self.wrong(found) };
        if let Some(range) = &field.range {
            // Bounds of ranges are small enough to be exact as f64.
            let inside = *range.start() as f64 <= value && value <= *range.end() as f64;
            if !inside {
                let expected = || match *range.end() {
                    i64::MAX => format!("at least {}", range.start()),
                    end if *range.start() == i64::MIN => format!("at most {end}"),
                    end => format!("{} to {end}", range.start()),
                };
                self.report.add(FindingKind::OutOfRange, self.location, expected, || value.to_string());
            }
        }
        Summary::Number(value)
    }

    fn text(self, text: &str) -> Summary {
        // Redacted or masked: what was sent is not known, not even its type.
        if text.strip_prefix(Pseudonym::PREFIX).is_some_and(|_| text.parse::<Pseudonym>().is_ok()) {
            return Summary::Other;
        }
        let Some(field) = self.shape.single() else { return self.wrong("a string") };
        let Self { report, shape, location } = self;
        match &field.kind {
            Kind::String => {
                if field.min_chars > 0 && text.len() < 4 * field.min_chars as usize {
                    let (min, count) = (field.min_chars, text.chars().count());
                    if count < min as usize {
                        let expected = || format!("at least {min} character{}", if min == 1 { "" } else { "s" });
                        report.add(FindingKind::TooFewCharacters, location, expected, || format!("{count} characters"));
                    }
                }
                // A text has at most as many characters as bytes, so counting is rarely needed.
                if let Some(max) = field.max_chars.filter(|&max| text.len() > max as usize) {
                    let count = text.chars().count();
                    if count > max as usize {
                        let expected = || format!("at most {max} characters");
                        report
                            .add(FindingKind::TooManyCharacters, location, expected, || format!("{count} characters"));
                    }
                }
                if let Some(pattern) = field.pattern.as_deref().filter(|pattern| !pattern.fits(text)) {
                    // Not quoted: it could be a card number.
                    let found = || "a string in a different format".to_owned();
                    report.add(FindingKind::MalformedText, location, || pattern.text.to_string(), found);
                }
                Summary::Other
            }
            Kind::Utc | Kind::Date => {
                let parsed = if matches!(field.kind, Kind::Utc) { time::utc(text) } else { time::date(text) };
                if let Some(time) = parsed {
                    object::check_latest(field, time, report, location);
                    if field.time_unit && !time::may_begin_time_unit(time) {
                        let expected = || "the start of a time unit, at least on the hour".to_owned();
                        report.add(FindingKind::MalformedTime, location, expected, || time.to_string());
                    }
                    return Summary::Time(time);
                }
                report.add(FindingKind::MalformedTime, location, || shape.to_string(), || shown(text));
                Summary::Other
            }
            Kind::Month | Kind::Duration | Kind::Guid => {
                let (fits, kind) = match field.kind {
                    Kind::Month => (time::is_month(text), FindingKind::MalformedTime),
                    Kind::Duration => (time::is_duration(text), FindingKind::MalformedDuration),
                    _ => (time::is_guid(text), FindingKind::MalformedId),
                };
                if !fits {
                    report.add(kind, location, || shape.to_string(), || shown(text));
                } else if field.future
                    && let Some(sent) = report.sent
                    && time::has_begun(text, sent)
                {
                    let expected = || format!("a month after that of the request of {sent}");
                    report.add(FindingKind::OutOfRange, location, expected, || shown(text));
                }
                Summary::Other
            }
            Kind::Enum(values) => {
                let known = values.values.iter().position(|known| **known == *text);
                if known.is_none() && !values.open {
                    report.add(FindingKind::UnknownValue, location, || allowed(values, text), || shown(text));
                } else if let Some(deprecation) = values.deprecation(text) {
                    report.deprecated(FindingKind::DeprecatedValue, location, deprecation, shown(text));
                }
                known.map_or(Summary::Other, Summary::Constant)
            }
            Kind::Any => Summary::Other,
            _ => Self { report, shape, location }.wrong("a string"),
        }
    }

    fn array<'de, A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Summary, A::Error> {
        let Some((shape, most)) = self.shape.items() else {
            let summary = if self.is_any() { Summary::Other } else { self.wrong("an array") };
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(summary);
        };
        let (mut count, mut bits, mut total) = (0, 0, None);
        if matches!(self.shape, Shape::Field(field, 0) if field.unique || field.distinct.is_some() || field.total.is_some())
        {
            (count, total) = self.whole_items(items, shape)?;
        } else {
            loop {
                let location = Location::Item(self.location, count);
                match items.next_element_seed(Value { report: &mut *self.report, shape, location: &location })? {
                    None => break,
                    Some(Summary::Null) => self.report.wrong_type(&location, shape, "null"),
                    Some(Summary::Fields(fields)) => bits |= fields,
                    Some(Summary::Constant(value)) => bits |= 1_u128.checked_shl(value as u32).unwrap_or_default(),
                    Some(_) => {}
                }
                count += 1;
            }
        }
        if let Some(most) = most.filter(|&most| count > most as usize) {
            let expected = || format!("at most {most} item{}", if most == 1 { "" } else { "s" });
            self.report.add(FindingKind::TooManyItems, self.location, expected, || format!("{count} items"));
        }
        if let Shape::Field(field, 0) = self.shape {
            let min = field.min_items;
            if count < min as usize {
                let expected = || format!("at least {min} item{}", if min == 1 { "" } else { "s" });
                self.report.add(FindingKind::TooFewItems, self.location, expected, || format!("{count} items"));
            }
        }
        Ok(match total {
            Some(total) if count > 0 => Summary::Number(total),
            _ => Summary::Items(u32::try_from(count).unwrap_or(u32::MAX), bits),
        })
    }

    /// Checks items that must be kept, for uniqueness or for a sum; returns their number and the sum.
    fn whole_items<'de, A: SeqAccess<'de>>(
        &mut self,
        mut items: A,
        shape: Shape<'_>,
    ) -> Result<(usize, Option<f64>), A::Error> {
        let field = match self.shape {
            Shape::Field(field, _) => Some(field),
            Shape::Object(_) => None,
        };
        let distinct = field.and_then(|field| field.distinct.as_deref());
        let total = field.and_then(|field| field.total.as_deref());
        let (mut seen, mut count, mut sum) = (HashSet::new(), 0, total.map(|_| 0.0));
        while let Some(item) = items.next_element::<serde_json::Value>()? {
            let location = Location::Item(self.location, count);
            if let Ok(Summary::Null) =
                (Value { report: &mut *self.report, shape, location: &location }).deserialize(&item)
            {
                self.report.wrong_type(&location, shape, "null");
            }
            // An item without the number has a finding of its own, and there is no sum.
            let number = total.and_then(|name| item.get(name)?.as_f64());
            sum = sum.zip(number).map(|(sum, number)| sum + number);
            let key = match distinct {
                Some(name) => item.get(name).map(ToString::to_string),
                None => field.is_some_and(|field| field.unique).then(|| item.to_string()),
            };
            if key.is_some_and(|key| !seen.insert(key)) {
                self.report.add(
                    FindingKind::Schema,
                    if distinct.is_some() { &location } else { self.location },
                    || distinct.map_or_else(|| "distinct items".to_owned(), |name| format!("another `{name}`")),
                    || "a duplicate item".to_owned(),
                );
            }
            count += 1;
        }
        Ok((count, sum))
    }

    fn object<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Summary, A::Error> {
        if let Some(object) = self.shape.object() {
            let (summary, times) = object::check_fields(object, &mut map, self.report, self.location)?;
            if let Shape::Field(field, _) = self.shape {
                object::check_length(field, times, self.report, self.location);
            }
            return Ok(summary);
        }
        match self.shape.single().map(|field| &field.kind) {
            Some(Kind::Texts) => return object::check_texts(map, self.report, self.location),
            Some(Kind::AnyObject | Kind::Any) => {}
            _ => {
                self.wrong("an object");
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Summary::Other)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Summary;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Summary, D::Error> {
        let Self { report, shape, location } = self;
        let summary = deserializer.deserialize_any(Value { report: &mut *report, shape, location });
        if summary.is_err() {
            report.stopped_at(location);
        }
        summary
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Summary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shape)
    }

    fn visit_unit<E>(self) -> Result<Summary, E> {
        Ok(Summary::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Summary, E> {
        Ok(match self.shape.single().map(|field| &field.kind) {
            Some(Kind::Boolean) => Summary::Constant(usize::from(value)),
            Some(Kind::Any) => Summary::Other,
            _ => self.wrong("a boolean"),
        })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Summary, E> {
        Ok(self.number(value as f64, "a number", |kind| matches!(kind, Kind::Integer | Kind::Number)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Summary, E> {
        Ok(self.number(value as f64, "a number", |kind| matches!(kind, Kind::Integer | Kind::Number)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Summary, E> {
        Ok(self.number(value, "a number with a fraction", |kind| matches!(kind, Kind::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Summary, E> {
        Ok(self.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Summary, A::Error> {
        self.array(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Summary, A::Error> {
        self.object(map)
    }
}
