//! A request's body held against what its operation takes.
//!
//! One pass of a serde visitor over the bytes, steered by the contract: nothing of the body is built, and what the
//! contract doesn't know is skipped. How deep the visitor goes is bounded by the contract, not by the body.

mod finding;
mod place;
mod time;

use std::fmt;

use jiff::civil::DateTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::catalogue::{Field, Kind, Object, Operation};
pub use finding::{Finding, FindingKind};
use finding::{Report, allowed, shown};
use place::Place;

/// Everything in `body` that doesn't fit what `operation` takes, in the order in which it stands there.
///
/// A null is as good as nothing, so it is fine for what is optional. After broken JSON nothing more is found; what
/// stands before it is. Of a flood of findings the first hundred are given and the rest counted, by a last finding of
/// the kind [`FindingKind::More`]. No finding holds the value of a token, nor any text of the body but names, times,
/// numbers and values out of an enum, each cut to a readable length.
///
/// The contracts are Mews' documentation, which contradicts itself in places: a finding deserves a person's attention
/// and proves nothing.
///
/// ```
/// use nightaudit_mews::{FindingKind, check_request, operation};
///
/// let operation = operation("accountNotes/delete").expect("it is documented");
/// let body = br#"{"ClientToken": "C", "AccessToken": "A", "Client": "Acme Kiosk 2.1.0", "AccountNoteIds": "1"}"#;
/// let findings = check_request(operation, body);
/// assert_eq!(findings[0].kind, FindingKind::WrongType);
/// assert_eq!(findings[0].to_string(), "/AccountNoteIds: expected an array of strings, found a string");
/// ```
pub fn check_request(operation: &Operation, body: &[u8]) -> Vec<Finding> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut report = Report::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = Value { report: &mut report, shape: Shape::Object(&operation.request), place: &Place::Root };
    let read = request.deserialize(&mut json).and_then(|met| json.end().map(|()| met));
    match read {
        Ok(Met::Null) => report.wrong_type(&Place::Root, Shape::Object(&operation.request), "null"),
        Ok(_) => {}
        Err(error) => report.broken(&error),
    }
    report.into_findings()
}

/// What a value is expected to be.
#[derive(Clone, Copy)]
enum Shape<'c> {
    /// A field's value inside of so many of its arrays.
    Field(&'c Field, u8),
    /// The request itself.
    Object(&'c Object),
}

/// What a value turned out to be, as far as its surroundings have to know.
#[derive(Clone, Copy)]
enum Met {
    Null,
    Time(DateTime),
    Other,
}

/// A value about to be checked: seed and visitor in one.
struct Value<'a> {
    report: &'a mut Report,
    shape: Shape<'a>,
    place: &'a Place<'a>,
}

impl<'a> Value<'a> {
    /// The kind of a single value; `None` where an array is expected.
    fn kind(&self) -> Option<(&'a Field, &'a Kind)> {
        match self.shape {
            Shape::Field(field, inside) if inside == field.array => Some((field, &field.kind)),
            _ => None,
        }
    }

    fn wrong(self, found: &str) -> Met {
        self.report.wrong_type(self.place, self.shape, found);
        Met::Other
    }

    fn number(self, value: f64, found: &str, fits: impl FnOnce(&Kind) -> bool) -> Met {
        let Some((field, _)) = self.kind().filter(|(_, kind)| fits(kind)) else { return self.wrong(found) };
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
        let Some((field, kind)) = self.kind() else { return self.wrong("a string") };
        let Self { report, place, .. } = self;
        match kind {
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
                let parsed = if matches!(kind, Kind::Utc) { time::utc(text) } else { time::date(text) };
                if let Some(time) = parsed {
                    return Met::Time(time);
                }
                report.add(
                    FindingKind::MalformedTime,
                    place,
                    || Shape::Field(field, field.array).to_string(),
                    || shown(text),
                );
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
            _ => Self { report, shape: self.shape, place }.wrong("a string"),
        }
    }

    fn array<'de, A: SeqAccess<'de>>(self, mut items: A) -> Result<Met, A::Error> {
        let Shape::Field(field, inside) = self.shape else { return Self::skip(self.wrong("an array"), items) };
        if inside == field.array {
            return Self::skip(self.wrong("an array"), items);
        }
        let shape = Shape::Field(field, inside + 1);
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
        if let Some(max) = field.max_items.filter(|&max| inside == 0 && count > max as usize) {
            let expected = || format!("at most {max} items");
            self.report.add(FindingKind::TooManyItems, self.place, expected, || format!("{count} items"));
        }
        Ok(Met::Other)
    }

    fn skip<'de, A: SeqAccess<'de>>(met: Met, mut items: A) -> Result<Met, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(met)
    }

    fn object<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Met, A::Error> {
        let object = match self.shape {
            Shape::Object(object) => object,
            Shape::Field(field, inside) if inside == field.array => match &field.kind {
                Kind::Object(object) => {
                    let times = fields(object, &mut map, self.report, self.place)?;
                    check_length(field, times, self.report, self.place);
                    return Ok(Met::Other);
                }
                Kind::Texts => return texts(map, self.report, self.place),
                Kind::AnyObject => {
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    return Ok(Met::Other);
                }
                _ => return Self::skip_object(self.wrong("an object"), map),
            },
            Shape::Field(..) => return Self::skip_object(self.wrong("an object"), map),
        };
        fields(object, &mut map, self.report, self.place)?;
        Ok(Met::Other)
    }

    fn skip_object<'de, A: MapAccess<'de>>(met: Met, mut map: A) -> Result<Met, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(met)
    }
}

/// Checks the fields of an object; the times of its first two, if they are there and are times.
fn fields<'de, A: MapAccess<'de>>(
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
fn texts<'de, A: MapAccess<'de>>(mut map: A, report: &mut Report, place: &Place<'_>) -> Result<Met, A::Error> {
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
    while let Some(language) = map.next_key::<std::borrow::Cow<'_, str>>()? {
        let place = Place::Field(place, &language);
        map.next_value_seed(Value { report: &mut *report, shape: Shape::Field(&text, 0), place: &place })?;
    }
    Ok(Met::Other)
}

fn check_length(field: &Field, times: [Option<DateTime>; 2], report: &mut Report, place: &Place<'_>) {
    let (Some(months), [Some(start), Some(end)]) = (field.max_months, times) else { return };
    if time::is_longer(start, end, months) {
        let expected = || format!("at most {months} month{}", if months == 1 { "" } else { "s" });
        report.add(FindingKind::IntervalTooLong, place, expected, || format!("{start} to {end}"));
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
        Ok(match self.kind() {
            Some((_, Kind::Boolean)) => Met::Other,
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

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, arrays) = match self {
            Self::Object(_) => return f.write_str("an object"),
            Self::Field(field, inside) => (&field.kind, field.array - inside),
        };
        let (one, many) = match kind {
            Kind::String => ("a string", "strings"),
            Kind::Utc => ("a time in UTC, as 2026-01-31T13:00:00Z", "times in UTC"),
            Kind::Date => ("a date, as 2026-01-31", "dates"),
            Kind::Boolean => ("a boolean", "booleans"),
            Kind::Integer => ("an integer", "integers"),
            Kind::Number => ("a number", "numbers"),
            Kind::Texts => ("an object of strings by language", "objects of strings by language"),
            Kind::AnyObject | Kind::Object(_) => ("an object", "objects"),
            Kind::Enum(_) => ("a string", "strings"),
        };
        match arrays {
            0 => f.write_str(one),
            1 => write!(f, "an array of {many}"),
            _ => write!(f, "an array of arrays of {many}"),
        }
    }
}
