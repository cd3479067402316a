//! Pages of a list: whether a response may be followed by another page.
//!
//! Mews returns a cursor with every page that isn't empty, including the last one. The last page is the one with fewer
//! items than `Count`.

use std::fmt;

use nightaudit_exchange::Exchange;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    body::{BodySummary, hash},
    names::OwnLists,
};

/// The most items on a page, and the default `Count`.
const MOST: u64 = 1000;

/// The smallest item in bytes, `{"Id":""}` and a comma. A page that can't be full needs no counting.
const LEAST_ITEM: u64 = 10;

/// The hash of the next page's cursor; 0 if there is no next page or the response is truncated.
pub(crate) fn next(exchange: &Exchange, asked: &BodySummary<'_>, lists: OwnLists) -> u64 {
    let Some(response) = exchange.response.as_ref().filter(|response| response.status == 200) else { return 0 };
    if response.body.truncated || !exchange.envelope.paginated {
        return 0;
    }
    let (body, _) = response.body.decoded();
    let Some(cursor) = cursor(&body) else { return 0 };
    let count = asked.count.unwrap_or(MOST).clamp(1, MOST);
    if (body.len() as u64) < count * LEAST_ITEM {
        return 0;
    }
    let items = items(&body, lists.list_name());
    // A page with as many items as requested ids is complete.
    let own = asked.lists.iter().filter(|list| lists.is_own_ids(list.name));
    let requested = own.map(|list| list.ids).min();
    if items < count || requested.is_some_and(|ids| ids <= items) {
        return 0;
    }
    cursor
}

/// The hash of a page's cursor. It is at the top level, usually last; inside a string its quotes would be escaped.
fn cursor(body: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(body, b"\"Cursor\"")?;
    let rest = body[at + b"\"Cursor\"".len()..].trim_ascii_start();
    let value = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', value).filter(|end| *end > 0)?;
    Some(hash(&value[..end]).max(1))
}

/// The number of items in a response: the length of the array named like the list, or else of the longest one.
fn items(body: &[u8], name: &str) -> u64 {
    struct Arrays<'n> {
        name: &'n str,
    }
    impl<'b> Visitor<'b> for Arrays<'_> {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<u64, A::Error> {
            let (mut named, mut longest) = (None, 0);
            while let Some(key) = map.next_key::<std::borrow::Cow<'b, str>>()? {
                let Length(length) = map.next_value()?;
                if key.eq_ignore_ascii_case(self.name) {
                    named = Some(length);
                }
                longest = longest.max(length);
            }
            Ok(named.unwrap_or(longest))
        }
    }
    serde_json::Deserializer::from_slice(body).deserialize_map(Arrays { name }).unwrap_or(0)
}

/// The length of an array; 0 for anything else.
struct Length(u64);

impl<'b> serde::Deserialize<'b> for Length {
    fn deserialize<D: serde::Deserializer<'b>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'b> Visitor<'b> for Count {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<Length, A::Error> {
                let mut length = 0;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(Length(length))
            }

            fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Length, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Length(0))
            }

            fn visit_unit<E>(self) -> Result<Length, E> {
                Ok(Length(0))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Length, E> {
                Ok(Length(0))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Length, E> {
                Ok(Length(0))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Length, E> {
                Ok(Length(0))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Length, E> {
                Ok(Length(0))
            }

            fn visit_str<E>(self, _: &str) -> Result<Length, E> {
                Ok(Length(0))
            }
        }
        deserializer.deserialize_any(Count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_array_with_its_name() {
        let page = r#"{"Adjustments":[1,2,3],"Note":"[1,2]","AvailabilityBlocks":[{"A":[1]},{}],"Cursor":"x"}"#;
        assert_eq!(items(page.as_bytes(), "availabilityBlocks"), 2);
        // Or else the longest: `customers/getRelationships` returns `CustomerRelationships`.
        assert_eq!(items(page.as_bytes(), "customers"), 3);
        assert_eq!((items(b"[1]", "a"), items(b"{\"A\":[1", "a"), items(b"", "a")), (0, 0, 0));
    }

    #[test]
    fn a_cursor_is_read_if_present() {
        assert_eq!(cursor(br#"{"Items":[],"Cursor" : "abc"}"#), Some(hash(b"abc")));
        for none in [&br#"{"Cursor":null}"#[..], br#"{"Cursor":""}"#, br#"{"Cursor"#, br#"{"Cursor":"#, b"{}"] {
            assert_eq!(cursor(none), None);
        }
    }
}
