//! What a request's body says.

use std::borrow::Cow;

use nightaudit_exchange::Timestamp;
use smallvec::SmallVec;

use super::person::Person;
use crate::review::DataKind;

/// What a request's body says, as far as a review is concerned.
#[derive(Debug, Default)]
pub(crate) struct BodySummary<'b> {
    /// Whether it is a JSON object to its end.
    pub(crate) is_object: bool,
    /// The names at the top level whose values are neither null nor empty, the envelope and `Limitation` left out.
    pub(crate) fields: SmallVec<[Cow<'b, str>; 8]>,
    /// Equal for bodies that are equal in all but the envelope's tokens, the order of names, and the page.
    pub(crate) question: u64,
    /// The page that is asked for; 0 for the first one.
    pub(crate) cursor: u64,
    /// How many items a page may have; none without a `Limitation` that says so.
    pub(crate) count: Option<u64>,
    /// The names of the properties in it, each as one of 64 bits: those of the envelope, of `Limitation` and of the extents
    /// left out, as are those whose values are null or empty.
    pub(crate) names: u64,
    /// The lists of ids at the top level.
    pub(crate) lists: SmallVec<[List; 4]>,
    /// From the earliest `StartUtc` to the latest `EndUtc`, or the same of time units, in microseconds; 0 for none.
    pub(crate) interval: (i64, i64),
    /// How many extents are asked for.
    pub(crate) extents: u32,
    /// What it is about.
    pub(crate) subject: Subject,
    /// What may be real people's data.
    pub(crate) suspicions: Vec<Suspicion>,
    /// The person in the object that is being read.
    pub(super) person: Person,
}

/// A list of ids at the top level of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    /// The hash of its name.
    pub(crate) name: u64,
    /// How many ids are in it.
    pub(crate) ids: u64,
    /// Whether they are ids of what a property has set up, such as services.
    pub(crate) is_set_up: bool,
}

impl BodySummary<'_> {
    /// Whether it is about exactly one id, what a property has set up left aside.
    pub(crate) fn is_single(&self) -> bool {
        let mut lists = self.lists.iter().filter(|list| !list.is_set_up);
        lists.next().is_some_and(|list| list.ids == 1) && lists.next().is_none()
    }

    /// Takes in an end of an interval.
    pub(super) fn reach(&mut self, is_end: bool, time: &str) {
        let Ok(at) = time.parse::<Timestamp>() else { return };
        let (from, until) = &mut self.interval;
        if is_end {
            *until = at.micros().max(*until);
        } else if *from == 0 || at.micros() < *from {
            *from = at.micros();
        }
    }
}

/// What a change is about: hashes of the ids in it, and of its other texts. Of many the smallest are kept, so that equal
/// bodies keep equal ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) ids: Hashes,
    pub(crate) texts: Hashes,
    /// Ids of what a property has set up. Where there are neither ids nor texts, these are what it is about: a price's rate.
    pub(crate) set_up: Hashes,
    /// The names under which the ids stand, a bit each as in [`BodySummary::names`].
    pub(crate) id_names: u64,
    /// The names of times, likewise.
    pub(crate) time_names: u64,
}

/// The smallest of some hashes, in order. 0 stands for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hashes(pub(super) [u32; 8]);

impl Hashes {
    pub(super) fn add(&mut self, hash: u64) {
        let hash = u32::try_from(hash >> 32).unwrap_or(1).max(1);
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

    /// Takes those out that are in the other.
    pub(crate) fn remove(&mut self, other: &Self) {
        let mut kept = [0; 8];
        let rest = self.0.iter().filter(|own| **own != 0 && !other.0.contains(own));
        kept.iter_mut().zip(rest).for_each(|(place, own)| *place = *own);
        self.0 = kept;
    }

    /// How many are in both.
    pub(crate) fn shared(&self, other: &Self) -> usize {
        // Both are in order.
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

    /// A bit for each of them. Where two have none in common they share nothing.
    pub(crate) fn mask(&self) -> u64 {
        self.0.iter().filter(|own| **own != 0).fold(0, |mask, own| mask | 1 << (own & 63))
    }
}

/// The bit of a property's name in [`BodySummary::names`], by the hash of the name.
pub(crate) fn name_bit(hash: u64) -> u64 {
    1 << (hash >> 58)
}

/// A value that may be somebody's, masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspicion {
    pub(crate) kind: DataKind,
    /// The field in whose value it is.
    pub(crate) field: String,
    /// What may be shown of it.
    pub(crate) masked: String,
}
