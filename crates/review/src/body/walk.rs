//! The walk through a body: a serde visitor that builds nothing.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{BodySummary, List, MailDomains, hash, mix, name_bit, personal_data};

/// The most filters that are told apart in one request.
const MOST_FIELDS: usize = 32;

/// Ids of what a property has set up rather than of what a request is about.
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

/// Texts that are out of a list, and alike in many requests.
fn is_common(key: &str) -> bool {
    ["Currency", "Code", "Codes", "Type", "State", "States", "Title", "Sex", "Utc"].iter().any(|end| key.ends_with(end))
}

/// The object that is the body.
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
                Value { asked: &mut *self.asked, mail: self.mail, key: &key, parent: "", place: Place::Inside };
            match &*key {
                "AccessToken" | "ClientToken" | "Client" | "LanguageCode" | "CultureCode" => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                    continue;
                }
                "Limitation" => value.place = Place::Limitation,
                "Extent" => value.place = Place::Extent,
                _ => {}
            }
            let is_filter = value.place != Place::Limitation;
            let met = map.next_value_seed(value)?;
            let name = hash(key.as_bytes());
            let asked = &mut *self.asked;
            asked.question = asked.question.wrapping_add(mix(name, met.hash));
            if is_filter && !met.is_empty {
                asked.names |= name_bit(name);
                if met.items > 0 && key.ends_with("Ids") && asked.lists.len() < MOST_FIELDS {
                    let is_set_up = SET_UP.contains(&key.trim_end_matches('s'));
                    asked.lists.push(List { name, ids: met.items, is_set_up });
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

/// A name, borrowed where it has no escapes.
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

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    Limitation,
    Extent,
}

/// A value, under the name that is nearest to it.
struct Value<'a, 'b, 'k> {
    asked: &'a mut BodySummary<'b>,
    mail: &'a MailDomains,
    key: &'k str,
    /// The name of the object or array that it stands in.
    parent: &'k str,
    place: Place,
}

/// What was met.
struct Met {
    hash: u64,
    is_empty: bool,
    /// How many items there are, where it is an array.
    items: u64,
}

impl Met {
    fn full(hash: u64) -> Self {
        Self { hash, is_empty: false, items: 0 }
    }
}

impl<'b> DeserializeSeed<'b> for Value<'_, 'b, '_> {
    type Value = Met;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Met, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Value<'_, 'b, '_> {
    type Value = Met;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Met, E> {
        Ok(Met { hash: 0, is_empty: true, items: 0 })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Met, E> {
        if value && self.place == Place::Extent {
            self.asked.extents += 1;
        }
        Ok(Met::full(1 + u64::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Met, E> {
        if value >= 1_000_000_000_000 {
            personal_data::look(&value.to_string(), self.key, self.mail, &mut self.asked.suspicions);
        }
        if self.place == Place::Limitation && self.key == "Count" {
            self.asked.count = Some(value);
        }
        Ok(Met::full(mix(3, value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Met, E> {
        Ok(Met::full(mix(4, value.unsigned_abs())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Met, E> {
        Ok(Met::full(mix(5, value.to_bits())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Met, E> {
        let hashed = hash(value.as_bytes());
        if self.place == Place::Limitation {
            if self.key != "Cursor" {
                return Ok(Met::full(hashed));
            }
            self.asked.cursor = hashed.max(1);
            // The page is no part of the question.
            return Ok(Met::full(0));
        }
        match self.key {
            "StartUtc" | "FirstTimeUnitStartUtc" => self.asked.reach(false, value),
            "EndUtc" | "LastTimeUnitStartUtc" => self.asked.reach(true, value),
            _ => {}
        }
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
        Ok(Met { hash: hashed, is_empty: value.is_empty(), items: 0 })
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<Met, A::Error> {
        let (mut hash, mut count) = (6, 0_u64);
        let (asked, mail) = (self.asked, self.mail);
        while let Some(met) = items.next_element_seed(Value {
            asked: &mut *asked,
            mail,
            key: self.key,
            parent: self.parent,
            place: Place::Inside,
        })? {
            (hash, count) = (mix(hash, met.hash), count + 1);
        }
        Ok(Met { hash: mix(hash, count), is_empty: count == 0, items: count })
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Met, A::Error> {
        let (mut sum, mut is_empty, mut is_wrapper) = (7_u64, true, false);
        let (around, known) = (std::mem::take(&mut self.asked.person), self.asked.suspicions.len());
        while let Some(Name(key)) = map.next_key()? {
            // An update object's `Value` says nothing of what it is; the name of the object does.
            is_wrapper |= key == "Value";
            let (name, parent) = if key == "Value" { (self.key, self.parent) } else { (&*key, self.key) };
            let value = Value { asked: &mut *self.asked, mail: self.mail, key: name, parent, place: self.place };
            let met = map.next_value_seed(value)?;
            // A field that is null is as good as none.
            if !(met.is_empty && met.hash == 0) {
                is_empty = false;
                let name = hash(key.as_bytes());
                if self.place == Place::Inside && !met.is_empty && key != "Value" {
                    self.asked.names |= name_bit(name);
                }
                if !(self.place == Place::Limitation && key == "Cursor") {
                    sum = sum.wrapping_add(mix(name, met.hash));
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
        Ok(Met { hash: sum, is_empty, items: 0 })
    }
}
