//! Operations and their requests as plain data.

use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::civil::Date;

use super::Pattern;

/// One operation of the Connector API.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The path after `/api/connector/v1/`: `customers/getAll`.
    pub path: Box<str>,
    /// Its title: `Get all customers`.
    pub title: Box<str>,
    /// Its section of the documentation: `Customers`.
    pub group: Box<str>,
    /// The URL of its description in Mews' public documentation, if it has one.
    pub documentation: Option<Box<str>>,
    /// Whether its results are paginated.
    pub paginated: bool,
    /// Whether it accepts portfolio access tokens, which are valid for several enterprises.
    pub portfolio: bool,
    /// Whether it is in restricted beta, for selected partners.
    pub restricted: bool,
    /// Whether it should still be used.
    pub lifecycle: Lifecycle,
    /// The paths of its replacements, if any.
    pub replaced_by: Vec<Box<str>>,
    /// Its request, including the envelope.
    pub request: Arc<Object>,
}

/// Whether an operation should still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// It should.
    Current,
    /// It works but should no longer be used.
    Deprecated {
        /// The day of its deprecation, if known.
        since: Option<Date>,
        /// The day from which it no longer works, if set; may be in the past.
        discontinued: Option<Date>,
    },
    /// It no longer works.
    Discontinued,
}

impl Lifecycle {
    /// Whether the operation is deprecated or discontinued.
    pub fn is_deprecated(self) -> bool {
        self != Self::Current
    }

    /// Whether the operation no longer works on `today`.
    pub fn is_discontinued(self, today: Date) -> bool {
        match self {
            Self::Current => false,
            Self::Deprecated { discontinued, .. } => discontinued.is_some_and(|day| day <= today),
            Self::Discontinued => true,
        }
    }
}

/// An object with named properties.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its name in the catalogue: `TimeInterval`; for a whole request, the operation's path.
    pub name: Box<str>,
    /// Its properties, in the documentation's order; at most 128.
    pub fields: Vec<Field>,
    /// Whether it may have unknown properties, as requests of undocumented operations may.
    pub open: bool,
    /// Whether its first two properties are the start and end of an interval.
    pub interval: bool,
    /// Rules between its properties.
    pub rules: Vec<Rule>,
    /// The positions of the properties whose values rules refer to; at most [`MOST_WATCHED`].
    pub(crate) watched: Vec<usize>,
}

/// The most properties of an object: each takes a bit while a body is checked.
pub(crate) const MOST_FIELDS: usize = u128::BITS as usize;

/// The most values of an object that its rules may refer to: these are kept while a body is checked.
pub(crate) const MOST_WATCHED: usize = 8;

impl Object {
    /// The property with exactly this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name, 0).and_then(|position| self.fields.get(position))
    }

    /// The position of the property `name`, trying `likely` first: most bodies keep the documented order.
    pub(crate) fn position(&self, name: &str, likely: usize) -> Option<usize> {
        let (before, after) = self.fields.split_at(likely.min(self.fields.len()));
        let is_it = |field: &Field| *field.name == *name;
        after.iter().position(is_it).map(|position| before.len() + position).or_else(|| before.iter().position(is_it))
    }
}

/// A property of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name, as in JSON.
    pub name: Box<str>,
    /// The kind of its value; with [`array`](Self::array), of the items.
    pub kind: Kind,
    /// How many arrays enclose the value: 0 for a single value, 1 for a list.
    pub array: u8,
    /// Whether it must be present and not null; never for a deprecated property.
    pub required: bool,
    /// Minimum number of items of an array; 0 if unspecified.
    pub min_items: u32,
    /// Maximum number of items of an array.
    pub max_items: Option<u32>,
    /// Whether the items of an array must be unique.
    pub unique: bool,
    /// Minimum length of a string in characters; 0 if unspecified.
    pub min_chars: u32,
    /// Maximum length of a string in characters.
    pub max_chars: Option<u32>,
    /// Maximum length of an interval in calendar months.
    pub max_months: Option<u8>,
    /// Maximum length of an interval in days.
    pub max_days: Option<u16>,
    /// The allowed range of a number; without an upper bound it ends at [`i64::MAX`].
    pub range: Option<RangeInclusive<i64>>,
    /// The latest time, or end of an interval, relative to when the request is sent.
    pub latest: Option<Delay>,
    /// Whether a month must not have started when the request is sent.
    pub future: bool,
    /// Whether a time must be the start of a time unit: on the hour in some time zone, all of which differ from UTC by a
    /// multiple of 15 minutes.
    pub time_unit: bool,
    /// The form of a string.
    pub pattern: Option<Arc<Pattern>>,
    /// The property by which all items of an array must differ.
    pub distinct: Option<Box<str>>,
    /// The property of an array's items whose sum a rule refers to.
    pub(crate) total: Option<Box<str>>,
    /// The property that must be present if this one is.
    pub with: Option<Box<str>>,
    /// Set if it should no longer be used.
    pub deprecated: Option<Box<Deprecation>>,
    /// Why the integration isn't at fault for omitting the property, or for sending it: Mews' sources contradict each
    /// other. A finding about its presence is a note at most.
    pub disputed: Option<Box<str>>,
}

/// A time relative to when a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// How many units after the request; negative for before.
    pub count: i32,
    /// The unit.
    pub unit: DelayUnit,
}

/// The unit of a [`Delay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayUnit {
    /// Minutes.
    Minutes,
    /// Days of 24 hours.
    Days,
    /// Calendar years.
    Years,
}

/// The deprecation of a property or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deprecation {
    /// The day of its deprecation, if known.
    pub since: Option<Date>,
    /// The day from which it no longer works, if set; may be in the past.
    pub ends: Option<Date>,
    /// What to use instead: names of properties, values and operations.
    pub instead: Option<Box<str>>,
}

/// A rule between the properties of an object, which are given by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// At least one of these filters must be present; an empty array is no filter.
    AnyOf(Vec<usize>),
    /// At least one of these properties must be present.
    SomeOf(Vec<usize>),
    /// At most one of these properties may be present.
    OneOf(Vec<usize>),
    /// The property requires at least one of the others.
    Beside {
        /// The property.
        field: usize,
        /// Those of which one must be present.
        others: Vec<usize>,
    },
    /// The property is required if another has one of some values.
    When {
        /// The required property.
        field: usize,
        /// A property of its object, if that is the required one.
        inner: Option<usize>,
        /// The property whose value decides.
        on: usize,
        /// The values, as positions in its enum; for a boolean, 1 is true.
        values: Vec<usize>,
        /// What is required.
        need: Need,
    },
    /// If the property is present, all of the others must be.
    With {
        /// The property.
        field: usize,
        /// A property of its object or items, if that is what requires the others.
        inner: Option<usize>,
        /// The others.
        others: Vec<usize>,
    },
    /// The property is allowed only if another has one of some values.
    Only {
        /// The property.
        field: usize,
        /// The property whose value decides.
        on: usize,
        /// The values, as positions in its enum.
        values: Vec<usize>,
    },
    /// If another property has one of some values, this one, if present, must have one of some values.
    Value {
        /// The property.
        field: usize,
        /// Its allowed values, as positions in its enum.
        allowed: Vec<usize>,
        /// The property whose value decides.
        on: usize,
        /// The values, as positions in its enum.
        values: Vec<usize>,
    },
    /// If the property is present, an array of the same object must contain a value.
    Has {
        /// The property.
        field: usize,
        /// The array.
        array: usize,
        /// The value, as a position in its enum.
        value: usize,
    },
    /// If another property is present, an array has a maximum number of items.
    AtMost {
        /// The array.
        field: usize,
        /// The maximum.
        count: u32,
        /// The other property.
        beside: usize,
    },
    /// A number in the items of an array must add up to another number, ignoring its sign.
    Sum {
        /// The array.
        field: usize,
        /// The number's name in the items.
        inner: Box<str>,
        /// The property with the sum.
        of: usize,
    },
    /// The request must match one of these sets: all properties of the set, and none that only another set has.
    Sets(Vec<Vec<usize>>),
    /// The second time must not be before the first.
    Order(usize, usize),
    /// The maximum number of time units from the first to the last.
    Span {
        /// The property with the start of the first time unit.
        from: usize,
        /// The property with the start of the last one.
        to: usize,
        /// Maximum days, for services by the day.
        days: u16,
        /// Maximum months, for services by the month; 0 if unspecified.
        months: u8,
    },
}

/// How a property is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must be present.
    Present,
    /// It must be present, and not an empty array.
    Filled,
    /// It may be omitted, but must not be an empty array.
    FilledIfPresent,
}

/// The kind of a value.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A string.
    String,
    /// A UTC time in ISO 8601: `2026-01-31T13:00:00Z`.
    Utc,
    /// A date or a time in ISO 8601: `2026-01-31`.
    Date,
    /// A month in ISO 8601: `2026-01`.
    Month,
    /// A duration in ISO 8601: `P1DT12H`, optionally signed.
    Duration,
    /// A unique identifier: `3fa85f64-5717-4562-b3fc-2c963f66afa6`.
    Guid,
    /// True or false.
    Boolean,
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// An object of strings by language: `{"en-GB": "Children"}`.
    Texts,
    /// An object of unknown content.
    AnyObject,
    /// Any value.
    Any,
    /// An object with named properties.
    Object(Arc<Object>),
    /// One of several strings.
    Enum(Arc<Enum>),
}

/// A set of strings.
#[derive(Debug, Clone)]
pub struct Enum {
    /// Its name in the catalogue: `ActivityState`.
    pub name: Box<str>,
    /// The known values, in the documentation's order.
    pub values: Vec<Box<str>>,
    /// The values that should no longer be used.
    pub deprecated: Vec<(Box<str>, Deprecation)>,
    /// Whether there may be unknown values.
    pub open: bool,
}

impl Enum {
    /// Whether `value` is one of the known values.
    pub fn has(&self, value: &str) -> bool {
        self.values.iter().any(|known| **known == *value)
    }

    /// Whether `value` should no longer be used.
    pub fn is_deprecated(&self, value: &str) -> bool {
        self.deprecation(value).is_some()
    }

    /// The deprecation of `value`, if it should no longer be used.
    pub fn deprecation(&self, value: &str) -> Option<&Deprecation> {
        self.deprecated.iter().find(|(known, _)| **known == *value).map(|(_, deprecation)| deprecation)
    }
}

/// A documented use case: what an integration of this kind is expected to do.
#[derive(Debug, Clone)]
pub struct UseCase {
    /// A name for commands and files: `kiosk`.
    pub name: Box<str>,
    /// Its title.
    pub title: Box<str>,
    /// Its steps, in the documentation's order.
    pub sections: Vec<Section>,
}

/// A step of a use case.
#[derive(Debug, Clone)]
pub struct Section {
    /// The step's purpose.
    pub title: Box<str>,
    /// The paths of the operations that the documentation names for it.
    pub operations: Vec<Box<str>>,
}
