//! What was read of a value and of an object, as far as rules need it.

use jiff::civil::DateTime;

use crate::catalogue::{MOST_WATCHED, Object};

/// What a value turned out to be, as far as rules of enclosing objects need it.
#[derive(Clone, Copy)]
pub(super) enum Summary {
    Null,
    /// An array: its length, and a bit set of the properties its objects have or of the enum values among its items.
    Items(u32, u128),
    /// A number, or the sum over an array's items.
    Number(f64),
    Time(DateTime),
    /// The position of a value in its enum; for booleans, 1 is true.
    Constant(usize),
    /// A bit set of the properties present in an object.
    Fields(u128),
    Other,
}

/// What was read of an object.
pub(super) struct Seen {
    /// A bit set of the properties that are present and not null; the catalogue has no larger objects.
    pub(super) present: u128,
    /// A bit set of the properties that are null.
    pub(super) null: u128,
    /// A bit set of the empty arrays.
    pub(super) empty: u128,
    /// The values that rules refer to, in the order of [`Object::watched`].
    pub(super) watched: [Summary; MOST_WATCHED],
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { present: 0, null: 0, empty: 0, watched: [Summary::Other; MOST_WATCHED] }
    }

    /// Whether the property at `position` is present.
    pub(super) fn has(&self, position: usize) -> bool {
        self.present & (1 << position) != 0
    }

    pub(super) fn count(&self, positions: &[usize]) -> usize {
        positions.iter().filter(|&&at| self.has(at)).count()
    }

    /// Whether one of these properties is present and not an empty array.
    pub(super) fn has_any(&self, positions: &[usize]) -> bool {
        positions.iter().any(|&at| self.has(at) && self.empty & (1 << at) == 0)
    }

    pub(super) fn summary(&self, object: &Object, position: usize) -> Option<Summary> {
        let slot = object.watched.iter().position(|&watched| watched == position)?;
        self.watched.get(slot).copied()
    }

    pub(super) fn time(&self, object: &Object, position: usize) -> Option<DateTime> {
        match self.summary(object, position)? {
            Summary::Time(time) => Some(time),
            _ => None,
        }
    }
}

pub(super) fn names(object: &Object, positions: &[usize], between: &str) -> String {
    let names: Vec<_> =
        positions.iter().filter_map(|&at| object.fields.get(at)).map(|field| format!("`{}`", field.name)).collect();
    names.join(between)
}
