//! A request's body, looked at in one pass without building it.

mod hash;
mod person;
mod personal_data;
mod walk;

use std::borrow::Cow;

use nightaudit_exchange::Timestamp;
use serde::de::DeserializeSeed as _;
use smallvec::SmallVec;

pub(crate) use hash::{hash, mix};
use person::Person;
pub(crate) use personal_data::{MailDomains, Suspicion, mask_text};

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
    person: Person,
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
    fn reach(&mut self, is_end: bool, time: &str) {
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
pub(crate) struct Hashes([u32; 8]);

impl Hashes {
    fn add(&mut self, hash: u64) {
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

/// Reads a body. What stands before a mistake in its JSON is found.
pub(crate) fn read<'b>(body: &'b [u8], mail: &MailDomains) -> BodySummary<'b> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut asked = BodySummary::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = walk::Top { asked: &mut asked, mail }.deserialize(&mut json);
    asked.is_object = read.is_ok() && json.end().is_ok();
    asked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(body: &str) -> BodySummary<'_> {
        read(body.as_bytes(), &MailDomains::default())
    }

    #[test]
    fn the_question_is_the_body_without_envelope_order_and_page() {
        let one = asked(r#"{"AccessToken":"A","Client":"x","States":["Open"],"Limitation":{"Count":10,"Cursor":"a"}}"#);
        let same = asked(r#"{ "Limitation":{"Cursor":null,"Count":10}, "States" : ["Open"], "AccessToken":"B"}"#);
        let other = asked(r#"{"States":["Closed"],"Limitation":{"Count":10}}"#);
        assert!(one.is_object);
        assert_eq!(one.question, same.question);
        assert_ne!(one.question, other.question);
        assert!(one.cursor != 0 && same.cursor == 0);
        assert_eq!(one.fields.as_slice(), ["States"]);
    }

    #[test]
    fn only_fields_that_say_something_are_filters() {
        let asked =
            asked(r#"{"Ids":[],"States":null,"UpdatedUtc":{},"Name":"","Number":0,"Flag":false,"Extent":{"A":true}}"#);
        assert_eq!(asked.fields.as_slice(), ["Number", "Flag", "Extent"]);
        assert_eq!(asked.extents, 1);
    }

    #[test]
    fn a_change_is_about_the_ids_in_it() {
        let one = asked(r#"{"ReservationIds":["r1"],"Notes":"late","ServiceId":"s"}"#).subject;
        let other = asked(r#"{"ReservationIds":["r2","r1"],"Notes":"other"}"#).subject;
        // A service is set up; it is not what a request is about.
        assert_eq!((one.ids.len(), other.ids.len(), one.ids.shared(&other.ids)), (1, 2, 1));
        assert_eq!((one.texts.len(), one.texts.shared(&other.texts)), (1, 0));
        assert_eq!(one.id_names, name_bit(hash(b"ReservationIds")));
        let mut rest = other.ids;
        rest.remove(&one.ids);
        assert_eq!((rest.len(), rest.shared(&one.ids)), (1, 0));
    }

    #[test]
    fn names_lists_pages_and_intervals_are_noted() {
        let body = r#"{"Client":"x","Limitation":{"Count":7},"Extent":{"A":true},"CustomerIds":["a","b"],"States":[],
            "UpdatedUtc":{"StartUtc":"1970-01-01T00:00:01Z","EndUtc":"1970-01-01T00:00:03Z"},"Gone":null}"#;
        let asked = asked(body);
        let names = ["Extent", "CustomerIds", "UpdatedUtc", "StartUtc", "EndUtc"];
        let bits = names.iter().fold(0, |bits, name| bits | name_bit(hash(name.as_bytes())));
        assert_eq!((asked.names, asked.count), (bits, Some(7)));
        assert_eq!(asked.lists.as_slice(), [List { name: hash(b"CustomerIds"), ids: 2, is_set_up: false }]);
        assert_eq!(asked.interval, (1_000_000, 3_000_000));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&body, &MailDomains::default());
        }

        #[test]
        fn what_is_shared_is_what_counting_finds(one in prop::collection::vec(0_u64..30, 0..12), two in prop::collection::vec(0_u64..30, 0..12)) {
            let hashes = |numbers: &[u64]| {
                let mut hashes = Hashes::default();
                numbers.iter().for_each(|number| hashes.add((number + 1) << 32));
                hashes
            };
            let (one, two) = (hashes(&one), hashes(&two));
            let count = one.0.iter().filter(|own| **own != 0 && two.0.contains(own)).count();
            prop_assert_eq!(one.shared(&two), count);
            prop_assert!(count == 0 || one.mask() & two.mask() != 0);
        }

        #[test]
        fn the_smallest_hashes_are_kept(hashes in prop::collection::vec(any::<u64>(), 0..40)) {
            let mut kept = Hashes::default();
            hashes.iter().for_each(|hash| kept.add(*hash));
            let mut all: Vec<u32> = hashes.iter().map(|hash| ((hash >> 32) as u32).max(1)).collect();
            all.sort_unstable();
            all.dedup();
            all.truncate(8);
            prop_assert_eq!(&kept.0[..kept.len()], &all[..]);
        }
    }
}
