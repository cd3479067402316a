//! Walks a body with a serde visitor that builds no tree.

use std::{borrow::Cow, fmt};

use nightaudit_exchange::Pseudonym;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{BodySummary, List, MailDomains, hash, mix, name_bit, personal_data};

/// The most filters of a request that are distinguished.
const MOST_FIELDS: usize = 32;

/// The longest time unit, a month, in microseconds. How long those of a request are isn't known.
const LONGEST_UNIT: i64 = 31 * 86_400_000_000;

/// Ids of a property's configuration, as opposed to a request's subject.
const SET_UP: &[&str] = &[
    "EnterpriseId",
    "ChainId",
    "ServiceId",
    "RateId",
    "RateGroupId",
    "ProductId",
    "ProductCategoryId",
    "CategoryId",
    "ResourceCategoryId",
    "RequestedCategoryId",
    "RequestedResourceCategoryId",
    "AccountingCategoryId",
    "AgeCategoryId",
    "BusinessSegmentId",
    "OutletId",
    "CounterId",
    "CashierId",
    "DepartmentId",
    "TaxRateId",
    "VoucherId",
];

/// Whether the values are from a fixed list, and so the same in many requests.
fn is_common(key: &str) -> bool {
    ["Currency", "Code", "Codes", "Type", "State", "States", "Title", "Sex", "Utc"].iter().any(|end| key.ends_with(end))
}

/// The body's top-level object.
pub(super) struct Top<'a, 'b> {
    pub(super) asked: &'a mut BodySummary<'b>,
    pub(super) mail: &'a MailDomains,
}

impl<'b> DeserializeSeed<'b> for Top<'_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Top<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(key)) = map.next_key()? {
            let mut value =
                Value { asked: &mut *self.asked, mail: self.mail, key: &key, parent: "", context: Context::Inside };
            match &*key {
                "AccessToken" | "ClientToken" | "Client" | "LanguageCode" | "CultureCode" => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                    continue;
                }
                "Limitation" => value.context = Context::Limitation,
                "Extent" => value.context = Context::Extent,
                _ => {}
            }
            let is_filter = value.context != Context::Limitation;
            let summary = map.next_value_seed(value)?;
            let name = hash(key.as_bytes());
            let asked = &mut *self.asked;
            asked.question = asked.question.wrapping_add(mix(name, summary.hash));
            if is_filter && !summary.is_empty {
                asked.names |= name_bit(name);
                if summary.items > 0 && key.ends_with("Ids") && asked.lists.len() < MOST_FIELDS {
                    let is_set_up = SET_UP.contains(&key.trim_end_matches('s'));
                    asked.lists.push(List { name, ids: summary.items, is_set_up });
                }
                if asked.fields.len() < MOST_FIELDS {
                    asked.fields.push(key);
                }
            }
        }
        personal_data::look_at_person(self.asked, 0);
        Ok(())
    }
}

/// A name, borrowed unless it has escapes.
struct Name<'b>(Cow<'b, str>);

impl<'b> serde::Deserialize<'b> for Name<'b> {
    fn deserialize<D: Deserializer<'b>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'b> Visitor<'b> for Borrow {
            type Value = Name<'b>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'b str) -> Result<Name<'b>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'b>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// The context of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Inside,
    Limitation,
    Extent,
}

/// A value and the innermost name for it.
struct Value<'a, 'b, 'k> {
    asked: &'a mut BodySummary<'b>,
    mail: &'a MailDomains,
    key: &'k str,
    /// The name of the enclosing object or array.
    parent: &'k str,
    context: Context,
}

/// What was read of a value.
struct Summary {
    hash: u64,
    is_empty: bool,
    /// The number of items, for an array.
    items: u64,
}

impl Summary {
    fn full(hash: u64) -> Self {
        Self { hash, is_empty: false, items: 0 }
    }
}

impl<'b> DeserializeSeed<'b> for Value<'_, 'b, '_> {
    type Value = Summary;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Summary, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Value<'_, 'b, '_> {
    type Value = Summary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Summary, E> {
        Ok(Summary { hash: 0, is_empty: true, items: 0 })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Summary, E> {
        if value && self.context == Context::Extent {
            self.asked.extents += 1;
        }
        Ok(Summary::full(1 + u64::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Summary, E> {
        if value >= 1_000_000_000_000 {
            personal_data::look(&value.to_string(), self.key, self.mail, &mut self.asked.suspicions);
        }
        if self.context == Context::Limitation && self.key == "Count" {
            self.asked.count = Some(value);
        }
        Ok(Summary::full(mix(3, value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Summary, E> {
        Ok(Summary::full(mix(4, value.unsigned_abs())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Summary, E> {
        Ok(Summary::full(mix(5, value.to_bits())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Summary, E> {
        let hashed = hash(value.as_bytes());
        if self.context == Context::Limitation {
            if self.key != "Cursor" {
                return Ok(Summary::full(hashed));
            }
            self.asked.cursor = hashed.max(1);
            // The page isn't part of the question.
            return Ok(Summary::full(0));
        }
        match self.key {
            "StartUtc" | "FirstTimeUnitStartUtc" => self.asked.reach(false, value, 0),
            "EndUtc" => self.asked.reach(true, value, 0),
            // The last unit is part of the interval.
            "LastTimeUnitStartUtc" => self.asked.reach(true, value, LONGEST_UNIT),
            _ => {}
        }
        self.asked.is_masked |= value.contains(Pseudonym::PREFIX);
        personal_data::look(value, self.key, self.mail, &mut self.asked.suspicions);
        personal_data::look_at_property(value, self.key, self.parent, self.asked);
        if !value.is_empty() && !self.key.is_empty() {
            let key = self.key.strip_suffix('s').unwrap_or(self.key);
            let subject = &mut self.asked.subject;
            if !key.ends_with("Id") {
                if !is_common(self.key) {
                    subject.texts.add(mix(hash(key.as_bytes()), hashed));
                } else if self.key.ends_with("Utc") {
                    subject.time_names |= name_bit(hash(self.key.as_bytes()));
                    if self.parent.ends_with("Utc") {
                        subject.time_names |= name_bit(hash(self.parent.as_bytes()));
                    }
                }
            } else if SET_UP.contains(&key) {
                subject.set_up.add(hashed);
            } else {
                subject.ids.add(hashed);
                subject.id_names |= name_bit(hash(self.key.as_bytes()));
            }
        }
        Ok(Summary { hash: hashed, is_empty: value.is_empty(), items: 0 })
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<Summary, A::Error> {
        let (mut hash, mut count) = (6, 0_u64);
        let (asked, mail) = (self.asked, self.mail);
        while let Some(summary) = items.next_element_seed(Value {
            asked: &mut *asked,
            mail,
            key: self.key,
            parent: self.parent,
            context: Context::Inside,
        })? {
            (hash, count) = (mix(hash, summary.hash), count + 1);
        }
        Ok(Summary { hash: mix(hash, count), is_empty: count == 0, items: count })
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Summary, A::Error> {
        let (mut sum, mut is_empty, mut is_wrapper) = (7_u64, true, false);
        let (around, known) = (std::mem::take(&mut self.asked.person), self.asked.suspicions.len());
        while let Some(Name(key)) = map.next_key()? {
            // The `Value` of an update object is named by the object.
            is_wrapper |= key == "Value";
            let (name, parent) = if key == "Value" { (self.key, self.parent) } else { (&*key, self.key) };
            let value = Value { asked: &mut *self.asked, mail: self.mail, key: name, parent, context: self.context };
            let summary = map.next_value_seed(value)?;
            // A null property counts as absent.
            if !(summary.is_empty && summary.hash == 0) {
                is_empty = false;
                let name = hash(key.as_bytes());
                if self.context == Context::Inside && !summary.is_empty && key != "Value" {
                    self.asked.names |= name_bit(name);
                }
                if !(self.context == Context::Limitation && key == "Cursor") {
                    sum = sum.wrapping_add(mix(name, summary.hash));
                }
            }
        }
        if !is_wrapper {
            personal_data::look_at_person(self.asked, known);
        }
        let inner = std::mem::replace(&mut self.asked.person, around);
        if is_wrapper {
            self.asked.person.merge(inner);
        }
        Ok(Summary { hash: sum, is_empty, items: 0 })
    }
}
