//! What an operation is, as plain data.

use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::civil::Date;

use super::Pattern;

/// One operation of the Connector API.
#[derive(Debug, Clone)]
pub struct Operation {
    /// What follows `/api/connector/v1/`: `customers/getAll`.
    pub path: Box<str>,
    /// The name that people know it by: `Get all customers`.
    pub title: Box<str>,
    /// The part of the documentation where it stands: `Customers`.
    pub group: Box<str>,
    /// The address of its description in Mews' public documentation; `None` if it isn't there.
    pub documentation: Option<Box<str>>,
    /// Whether it answers in pages.
    pub paginated: bool,
    /// Whether it takes an AccessToken that is valid for several enterprises.
    pub portfolio: bool,
    /// Whether it is in restricted beta, for chosen partners only.
    pub restricted: bool,
    /// Whether it is still to be used.
    pub lifecycle: Lifecycle,
    /// The paths of the operations that are to be used instead; empty unless there are any.
    pub replaced_by: Vec<Box<str>>,
    /// What its request takes, the envelope included.
    pub request: Arc<Object>,
}

/// Whether an operation is still to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// It is.
    Current,
    /// It works, but is not to be used any more.
    Deprecated {
        /// The day on which it was declared so, where it is known.
        since: Option<Date>,
        /// The day from which it no longer works, where one is set. May lie in the past.
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

    /// Whether the operation no longer works on the day `today`.
    pub fn is_discontinued(self, today: Date) -> bool {
        match self {
            Self::Current => false,
            Self::Deprecated { discontinued, .. } => discontinued.is_some_and(|day| day <= today),
            Self::Discontinued => true,
        }
    }
}

/// An object with named fields.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its name in the catalogue: `TimeInterval`; the operation's path for a whole request.
    pub name: Box<str>,
    /// Its fields, in the order of the documentation. At most 128.
    pub fields: Vec<Field>,
    /// Whether it may have fields that aren't known: the request of an operation that isn't documented.
    pub open: bool,
    /// Whether its first two fields are the start and the end of an interval.
    pub interval: bool,
    /// What holds between its fields.
    pub rules: Vec<Rule>,
    /// The positions of the fields whose values the rules ask for. At most [`MOST_WATCHED`].
    pub(crate) watched: Vec<usize>,
}

/// How many fields an object may have: a bit for each is kept while a body is checked.
pub(crate) const MOST_FIELDS: usize = u128::BITS as usize;

/// How many values of an object its rules may ask for: as many are kept while a body is checked.
pub(crate) const MOST_WATCHED: usize = 8;

impl Object {
    /// The field called `name`, exactly.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name, 0).and_then(|position| self.fields.get(position))
    }

    /// Where the field called `name` stands, trying the one at `likely` first: most bodies keep the documented order.
    pub(crate) fn position(&self, name: &str, likely: usize) -> Option<usize> {
        let (before, after) = self.fields.split_at(likely.min(self.fields.len()));
        let is_it = |field: &Field| *field.name == *name;
        after.iter().position(is_it).map(|position| before.len() + position).or_else(|| before.iter().position(is_it))
    }
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name, exactly as in JSON.
    pub name: Box<str>,
    /// What kind of value it takes; with [`array`](Self::array), what kind of items.
    pub kind: Kind,
    /// How many arrays lie around the value: 0 for a single value, 1 for a list.
    pub array: u8,
    /// Whether it must be there, and not null. Never so for a deprecated field.
    pub required: bool,
    /// The fewest items that an array may have; 0 where nothing is said.
    pub min_items: u32,
    /// The most items that an array may have.
    pub max_items: Option<u32>,
    /// Whether an array may hold no value twice.
    pub unique: bool,
    /// The fewest characters that a string may have; 0 where nothing is said.
    pub min_chars: u32,
    /// The most characters that a string may have.
    pub max_chars: Option<u32>,
    /// The longest that an interval may be, in calendar months.
    pub max_months: Option<u8>,
    /// The longest that an interval may be, in days.
    pub max_days: Option<u16>,
    /// The numbers that are allowed. Without an upper end it ends at [`i64::MAX`].
    pub range: Option<RangeInclusive<i64>>,
    /// The latest that a time may be, or an interval's end, as seen from when the request is sent.
    pub latest: Option<Delay>,
    /// Whether a month must be one that has not begun when the request is sent.
    pub future: bool,
    /// Whether a time must be the start of a time unit, at least on the hour by some clock: all of them are set a
    /// multiple of 15 minutes apart from UTC.
    pub time_unit: bool,
    /// The form that a string must have.
    pub pattern: Option<Arc<Pattern>>,
    /// The field by which the items of an array must all differ.
    pub distinct: Option<Box<str>>,
    /// The field of an array's items whose sum a rule asks for.
    pub(crate) total: Option<Box<str>>,
    /// The field that must be there where this one is.
    pub with: Option<Box<str>>,
    /// Set where it is not to be used any more.
    pub deprecated: Option<Box<Deprecation>>,
    /// Why an integration is not to blame for leaving the field out, or for sending it: Mews' sources contradict each
    /// other. What is found about its being there deserves a note at most.
    pub disputed: Option<Box<str>>,
}

/// A time as seen from when a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// How many of them after the request; negative for a time before it.
    pub count: i32,
    /// What is counted.
    pub unit: DelayUnit,
}

/// What a [`Delay`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayUnit {
    /// Minutes.
    Minutes,
    /// Days of 24 hours.
    Days,
    /// Calendar years.
    Years,
}

/// What is known of the end of a field, or of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deprecation {
    /// The day on which it was declared deprecated, where it is known.
    pub since: Option<Date>,
    /// The day from which it no longer works, where one is set. May lie in the past.
    pub ends: Option<Date>,
    /// What is to be used instead, in a few words: names of fields, values and operations.
    pub instead: Option<Box<str>>,
}

/// Something that holds between the fields of an object. Fields are given by their positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// At least one of these filters must be there. An empty array is no filter.
    AnyOf(Vec<usize>),
    /// At least one of these fields must be there.
    SomeOf(Vec<usize>),
    /// At most one of these fields may be there.
    OneOf(Vec<usize>),
    /// The field asks for at least one of the others beside it.
    Beside {
        /// The field.
        field: usize,
        /// Those of which one must be there.
        others: Vec<usize>,
    },
    /// The field must be there where another has one of some values.
    When {
        /// The field that must be there.
        field: usize,
        /// A field of that one's object, where it is this that must be there.
        inner: Option<usize>,
        /// The field whose value decides.
        on: usize,
        /// The values, as positions in its enum; of a boolean 1 is true.
        values: Vec<usize>,
        /// What is asked for.
        need: Need,
    },
    /// Where the field is, all of the others must be.
    With {
        /// The field.
        field: usize,
        /// A field of that one's object, or of its items, where it is this by which the others are asked for.
        inner: Option<usize>,
        /// The others.
        others: Vec<usize>,
    },
    /// The field may be there only where another has one of some values.
    Only {
        /// The field.
        field: usize,
        /// The field whose value decides.
        on: usize,
        /// The values, as positions in its enum.
        values: Vec<usize>,
    },
    /// The field, where it is there, has one of some values where another has one of some values.
    Value {
        /// The field.
        field: usize,
        /// The values that it may have, as positions in its enum.
        allowed: Vec<usize>,
        /// The field whose value decides.
        on: usize,
        /// The values, as positions in its enum.
        values: Vec<usize>,
    },
    /// Where the field is, an array beside it must have a value among its items.
    Has {
        /// The field.
        field: usize,
        /// The array.
        array: usize,
        /// The value, as a position in its enum.
        value: usize,
    },
    /// Where another field is, an array has at most so many items.
    AtMost {
        /// The array.
        field: usize,
        /// The most items.
        count: u32,
        /// The field beside which that holds.
        beside: usize,
    },
    /// A number of all items of an array adds up to another number, whatever the sign of that.
    Sum {
        /// The array.
        field: usize,
        /// The name of the number in its items.
        inner: Box<str>,
        /// The field with the sum.
        of: usize,
    },
    /// The requests fit one of these sets of fields: all of a set must be there, and none of another set's own.
    Sets(Vec<Vec<usize>>),
    /// The second time doesn't come before the first.
    Order(usize, usize),
    /// From the first time unit to the last there are at most so many.
    Span {
        /// The field with the start of the first time unit.
        from: usize,
        /// The field with the start of the last.
        to: usize,
        /// The most days, for a service by the day.
        days: u16,
        /// The most months, for a service by the month; 0 where nothing is said of such services.
        months: u8,
    },
}

/// How a field is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must be there.
    Present,
    /// It must be there, and be no empty array.
    Filled,
    /// It may be left out, and must be no empty array.
    FilledIfPresent,
}

/// What kind of value a field takes.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A string.
    String,
    /// A time in UTC, in ISO 8601: `2026-01-31T13:00:00Z`.
    Utc,
    /// A day, or a time, in ISO 8601: `2026-01-31`.
    Date,
    /// A month, in ISO 8601: `2026-01`.
    Month,
    /// A duration, in ISO 8601: `P1DT12H`, with or without a sign before it.
    Duration,
    /// A unique identifier: `3fa85f64-5717-4562-b3fc-2c963f66afa6`.
    Guid,
    /// True or false.
    Boolean,
    /// A number without a fraction.
    Integer,
    /// A number.
    Number,
    /// An object of strings by language: `{"en-GB": "Children"}`.
    Texts,
    /// An object of which nothing more is known.
    AnyObject,
    /// Any value: nothing is known of it.
    Any,
    /// An object with named fields.
    Object(Arc<Object>),
    /// One of several strings.
    Enum(Arc<Enum>),
}

/// A set of strings of which a field takes one.
#[derive(Debug, Clone)]
pub struct Enum {
    /// Its name in the catalogue: `ActivityState`.
    pub name: Box<str>,
    /// The known values, in the order of the documentation.
    pub values: Vec<Box<str>>,
    /// Those of the values that are not to be used any more.
    pub deprecated: Vec<(Box<str>, Deprecation)>,
    /// Whether there may be more values than the known ones.
    pub open: bool,
}

impl Enum {
    /// Whether `value` is one of the known values.
    pub fn has(&self, value: &str) -> bool {
        self.values.iter().any(|known| **known == *value)
    }

    /// Whether `value` is one of those that are not to be used any more.
    pub fn is_deprecated(&self, value: &str) -> bool {
        self.deprecation(value).is_some()
    }

    /// What is known of the end of `value`, where it is not to be used any more.
    pub fn deprecation(&self, value: &str) -> Option<&Deprecation> {
        self.deprecated.iter().find(|(known, _)| **known == *value).map(|(_, deprecation)| deprecation)
    }
}

/// A use case that Mews documents: what an integration of that kind is expected to do.
#[derive(Debug, Clone)]
pub struct UseCase {
    /// A name for commands and files: `kiosk`.
    pub name: Box<str>,
    /// The name that people know it by.
    pub title: Box<str>,
    /// Its steps, in the order of the documentation.
    pub sections: Vec<Section>,
}

/// A step of a use case.
#[derive(Debug, Clone)]
pub struct Section {
    /// What the step is for.
    pub title: Box<str>,
    /// The paths of the operations that the documentation names for it.
    pub operations: Vec<Box<str>>,
}
