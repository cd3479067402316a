//! A summary of a request's body.

use std::borrow::Cow;

use nightaudit_exchange::Timestamp;
use smallvec::SmallVec;

use super::person::Person;
use crate::review::DataKind;

/// A request's body, as far as the review needs it.
#[derive(Debug, Default)]
pub(crate) struct BodySummary<'b> {
    /// Whether it is a complete JSON object.
    pub(crate) is_object: bool,
    /// The top-level names whose values are neither null nor empty, without the envelope and `Limitation`.
    pub(crate) fields: SmallVec<[Cow<'b, str>; 8]>,
    /// Equal for bodies that differ only in the envelope's tokens, the order of names, and the page.
    pub(crate) question: u64,
    /// The requested page; 0 for the first.
    pub(crate) cursor: u64,
    /// The page size, if `Limitation` has one.
    pub(crate) count: Option<u64>,
    /// The names of its properties, each as one of 64 bits, without the envelope, `Limitation`, extents, and null or empty
    /// values.
    pub(crate) names: u64,
    /// The top-level lists of ids.
    pub(crate) lists: SmallVec<[List; 4]>,
    /// From the earliest `StartUtc` to the latest `EndUtc`, in microseconds; 0 for none. Time units reach a month beyond the
    /// start of the last one.
    pub(crate) interval: (i64, i64),
    /// The number of requested extents.
    pub(crate) extents: u32,
    /// Its subject.
    pub(crate) subject: Subject,
    /// Whether a value was replaced by a pseudonym, so that nobody can tell what it looked like.
    pub(crate) is_masked: bool,
    /// What may be personal data.
    pub(crate) suspicions: Vec<Suspicion>,
    /// The person in the object being read.
    pub(super) person: Person,
}

/// A top-level list of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    /// The hash of its name.
    pub(crate) name: u64,
    /// The number of ids.
    pub(crate) ids: u64,
    /// Whether they are ids of a property's configuration, such as services.
    pub(crate) is_set_up: bool,
}

impl BodySummary<'_> {
    /// Whether its subject is exactly one id, apart from configuration.
    pub(crate) fn is_single(&self) -> bool {
        let mut lists = self.lists.iter().filter(|list| !list.is_set_up);
        lists.next().is_some_and(|list| list.ids == 1) && lists.next().is_none()
    }

    /// Adds an end of an interval, so many microseconds after this time.
    pub(super) fn reach(&mut self, is_end: bool, time: &str, after: i64) {
        let Ok(at) = time.parse::<Timestamp>() else { return };
        let at = at.micros().saturating_add(after);
        let (from, until) = &mut self.interval;
        if is_end {
            *until = at.max(*until);
        } else if *from == 0 || at < *from {
            *from = at;
        }
    }
}

/// The subject of a change: hashes of its ids and its other texts. Of many, the smallest are kept, so that equal bodies keep
/// the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) ids: Hashes,
    pub(crate) texts: Hashes,
    /// Ids of configuration. Without other ids and texts, these are the subject, such as a price's rate.
    pub(crate) set_up: Hashes,
    /// The names of the ids' properties, a bit each as in [`BodySummary::names`].
    pub(crate) id_names: u64,
    /// The names of times' properties, likewise.
    pub(crate) time_names: u64,
}

/// The smallest hashes, sorted; 0 means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hashes(pub(super) [u32; 8]);

impl Hashes {
    /// A hash as it is kept.
    pub(crate) fn key(hash: u64) -> u32 {
        u32::try_from(hash >> 32).unwrap_or(1).max(1)
    }

    pub(super) fn add(&mut self, hash: u64) {
        let hash = Self::key(hash);
        if self.0.contains(&hash) {
            return;
        }
        let place = self.0.iter().position(|own| *own == 0 || *own > hash);
        if let Some(place) = place {
            self.0[place..].rotate_right(1);
            self.0[place] = hash;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().filter(|own| **own != 0).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    /// Whether there may be more than are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.0.iter().all(|own| *own != 0)
    }

    /// Whether this [`key`](Self::key) is among them.
    pub(crate) fn contains(&self, key: u32) -> bool {
        key != 0 && self.0.contains(&key)
    }

    /// Removes those in the other.
    pub(crate) fn remove(&mut self, other: &Self) {
        let mut kept = [0; 8];
        let rest = self.0.iter().filter(|own| **own != 0 && !other.0.contains(own));
        kept.iter_mut().zip(rest).for_each(|(place, own)| *place = *own);
        self.0 = kept;
    }

    /// The number in both.
    pub(crate) fn shared(&self, other: &Self) -> usize {
        // Both are sorted.
        let (mut left, mut right, mut count) = (0, 0, 0);
        while let (Some(own), Some(others)) = (self.0.get(left), other.0.get(right)) {
            if *own == 0 || *others == 0 {
                break;
            }
            count += usize::from(own == others);
            (left, right) = (left + usize::from(own <= others), right + usize::from(others <= own));
        }
        count
    }

    /// A bit for each. Two without a common bit share nothing.
    pub(crate) fn mask(&self) -> u64 {
        self.0.iter().filter(|own| **own != 0).fold(0, |mask, own| mask | 1 << (own & 63))
    }
}

/// A property's bit in [`BodySummary::names`], by the hash of its name.
pub(crate) fn name_bit(hash: u64) -> u64 {
    1 << (hash >> 58)
}

/// A value that may be personal, masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspicion {
    pub(crate) kind: DataKind,
    /// Its property.
    pub(crate) field: String,
    /// Its masked form.
    pub(crate) masked: String,
}
