//! The pages of lists, aligned by the request that they belong to.
//!
//! A run starts with a request without a cursor; a request with the cursor of a response reads the page after it. Two runs
//! read the same list if their requests are equal but for tokens, `Client`, `Limitation` and times, which differ from
//! day to day.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    hash::{DefaultHasher, Hasher as _},
};

use nightaudit_exchange::{Exchange, ExchangeId, Outcome};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::difference::Run;

/// The most lists of one operation, and of all.
const MOST_LISTS: usize = 1_000;
const MOST_LISTS_IN_ALL: usize = 20_000;
/// The most pages of a list whose items are counted.
const MOST_PAGES: usize = 100;
/// The most cursors that a next page may still be asked for with.
const MOST_CURSORS: usize = 50_000;
/// The longest request that is read for its list.
const LONGEST: usize = 64 << 10;

/// Properties of a request that say nothing about which list it reads.
const NOT_THE_LIST: [&str; 4] = ["AccessToken", "ClientToken", "Client", "Limitation"];

/// The lists that an operation read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub(crate) lists: BTreeMap<u64, List>,
}

/// A list.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// The properties that select it: `States, UpdatedUtc`.
    pub(crate) named: Box<str>,
    pub(crate) first: ExchangeId,
    pub(crate) runs: u64,
    items: Vec<(u64, u64)>,
    pages: u64,
}

/// The cursors of the pages that were read, over all operations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors {
    next: HashMap<u64, (u64, u64)>,
    order: VecDeque<u64>,
    lists: usize,
    /// Runs through lists that there was no room for.
    pub(crate) unlisted: u64,
}

impl List {
    pub(crate) fn run(&self) -> Run {
        Run { runs: self.runs, items: self.items.clone(), pages: self.pages }
    }
}

impl Run {
    /// Whether the runs of two recordings differ: in their longest, or in a page whose items never were as many in the
    /// one as in the other.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let apart =
            |((least, most), (own_least, own_most)): (&(u64, u64), &(u64, u64))| most < own_least || own_most < least;
        self.pages != other.pages || self.items.iter().zip(&other.items).any(apart)
    }

    /// How many items the longest run may have had in all.
    pub(crate) fn most(&self) -> u64 {
        self.items.iter().map(|(_, most)| most).fold(0, |sum, most| sum.saturating_add(*most))
    }
}

impl Lists {
    /// Notes a page of a list; `operation` tells the cursors of several operations apart. Not the lists: each operation has
    /// its own, and has another number in another recording.
    pub(crate) fn note(&mut self, operation: u32, exchange: &Exchange, cursors: &mut Cursors) {
        let Some(response) = exchange.response.as_ref().filter(|response| response.status == 200) else { return };
        if exchange.outcome != Outcome::Answered || response.body.truncated || response.body.withheld.is_some() {
            return;
        }
        let Some(asked) = Asked::read(operation, exchange) else { return };
        let (body, true) = response.body.decoded() else { return };
        let Ok(page) = serde_json::from_slice::<Page<'_>>(&body) else { return };
        let (list, number) = match asked.cursor {
            None => (asked.list, 0),
            // A cursor from before the recording belongs to a run that isn't all there.
            Some(cursor) => match cursors.next.get(&cursor) {
                Some(found) => *found,
                None => return,
            },
        };
        if !self.lists.contains_key(&list) {
            if number > 0 {
                return;
            }
            if self.lists.len() >= MOST_LISTS || cursors.lists >= MOST_LISTS_IN_ALL {
                cursors.unlisted += 1;
                return;
            }
            cursors.lists += 1;
        }
        let own = self.lists.entry(list).or_insert_with(|| List {
            named: asked.named.into(),
            first: exchange.id,
            runs: 0,
            items: Vec::new(),
            pages: 0,
        });
        own.runs += u64::from(number == 0);
        own.pages = own.pages.max(number + 1);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some((least, most)) = own.items.get_mut(index) {
            (*least, *most) = ((*least).min(page.items), (*most).max(page.items));
        } else if index == own.items.len() && index < MOST_PAGES {
            own.items.push((page.items, page.items));
        }
        if let Some(cursor) = page.cursor {
            cursors.note(hash(&(operation, &*cursor)), (list, number + 1));
        }
    }
}

impl Cursors {
    fn note(&mut self, cursor: u64, page: (u64, u64)) {
        if self.next.insert(cursor, page).is_none() {
            self.order.push_back(cursor);
            if self.order.len() > MOST_CURSORS
                && let Some(oldest) = self.order.pop_front()
            {
                self.next.remove(&oldest);
            }
        }
    }
}

/// What a request asks for.
struct Asked {
    list: u64,
    named: String,
    cursor: Option<u64>,
}

impl Asked {
    /// `None` if the request isn't one for a page, or isn't whole.
    fn read(operation: u32, exchange: &Exchange) -> Option<Self> {
        let body = &exchange.request.body;
        if !exchange.envelope.paginated || body.truncated || body.bytes.len() > LONGEST {
            return None;
        }
        let (bytes, true) = body.decoded() else { return None };
        let Value::Object(mut asked) = serde_json::from_slice(&bytes).ok()? else { return None };
        let cursor = asked.get("Limitation").and_then(|limitation| limitation.get("Cursor")?.as_str());
        let cursor = cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| hash(&(operation, cursor)));
        asked.retain(|name, value| !NOT_THE_LIST.contains(&&**name) && !value.is_null());
        let named = asked.keys().map(|name| name.chars().take(40).collect::<String>()).take(8);
        let named = named.collect::<Vec<_>>().join(", ");
        Some(Self { list: of(&Value::Object(asked)), named, cursor })
    }
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The hash of a value, whatever the order of its properties and items, and whichever times it has.
fn of(value: &Value) -> u64 {
    match value {
        Value::Null => 1,
        Value::Bool(is) => hash(&(2, is)),
        Value::Number(number) => hash(&(3, number.to_string())),
        Value::String(text) if is_time(text) => 4,
        Value::String(text) => hash(&(5, text)),
        Value::Array(items) => hash(&(6, items.iter().map(of).fold(0_u64, u64::wrapping_add))),
        Value::Object(properties) => {
            let each = properties.iter().map(|(name, value)| hash(&(name, of(value))));
            hash(&(7, each.fold(0_u64, u64::wrapping_add)))
        }
    }
}

/// Whether a text begins as a date does.
fn is_time(text: &str) -> bool {
    let like = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    text.len() >= 10 && text.as_bytes().iter().zip(b"0000-00-00").all(like)
}

/// A page: the number of items of its longest list, and the cursor of the next page.
struct Page<'b> {
    items: u64,
    cursor: Option<Cow<'b, str>>,
}

impl<'de> Deserialize<'de> for Page<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Page<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<'de>, A::Error> {
                let mut page = Page { items: 0, cursor: None };
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match map.next_value()? {
                        Entry::Items(items) => page.items = page.items.max(items),
                        Entry::Text(text) if name == "Cursor" && !text.is_empty() => page.cursor = Some(text),
                        _ => {}
                    }
                }
                Ok(page)
            }
        }
        deserializer.deserialize_map(Top)
    }
}

/// A property of a page.
enum Entry<'b> {
    Items(u64),
    Text(Cow<'b, str>),
    Other,
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Entry<'de>, A::Error> {
                let mut count = 0;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Entry::Items(count))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Entry::Other)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Entry<'de>, E> {
                Ok(Entry::Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Entry<'de>, E> {
                Ok(Entry::Text(text.to_owned().into()))
            }

            fn visit_unit<E>(self) -> Result<Entry<'de>, E> {
                Ok(Entry::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Entry<'de>, E> {
                Ok(Entry::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Entry<'de>, E> {
                Ok(Entry::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Entry<'de>, E> {
                Ok(Entry::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Entry<'de>, E> {
                Ok(Entry::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_its_request_without_order_and_times() {
        let list = |text: &str| of(&serde_json::from_str(text).unwrap());
        let one = list(r#"{"States":["Open","Closed"],"UpdatedUtc":{"StartUtc":"2026-11-23T00:00:00Z"}}"#);
        let same = list(r#"{"UpdatedUtc":{"StartUtc":"2026-12-24T18:00:00Z"},"States":["Closed","Open"]}"#);
        assert_eq!(one, same);
        for other in [r#"{"States":["Open"]}"#, r#"{"States":"Open"}"#, r#"{"state":["Open"]}"#, "{}", "[]", "null"] {
            assert_ne!(list(other), one, "{other}");
        }
    }

    #[test]
    fn a_page_has_the_items_of_its_longest_list_and_a_cursor() {
        let page = |text: &'static str| {
            let page: Page<'_> = serde_json::from_str(text).unwrap();
            (page.items, page.cursor.map(Cow::into_owned))
        };
        assert_eq!(page(r#"{"A":[1],"B":[{},[],"x"],"C":{"D":[1,2,3,4]},"Cursor":"c"}"#), (3, Some("c".to_owned())));
        assert_eq!(page(r#"{"A":[],"Cursor":null}"#), (0, None));
        assert_eq!(page(r#"{"Cursor":"","Note":"x","N":-1,"F":1.5,"B":true}"#), (0, None));
        assert!(serde_json::from_str::<Page<'_>>("[]").is_err());
    }
}
