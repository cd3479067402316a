//! A request's body, looked at in one pass without building it.

mod hash;
mod person;
mod personal_data;
mod summary;
mod walk;

use serde::de::DeserializeSeed as _;

pub(crate) use hash::{hash, mix};
pub(crate) use personal_data::{MailDomains, mask_text};
pub(crate) use summary::{BodySummary, Hashes, List, Subject, name_bit};

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
