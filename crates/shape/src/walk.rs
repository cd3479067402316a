//! Reads a body into a shape, in one pass and without building it.

use std::fmt;

use nightaudit_exchange::{Body, ExchangeId};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{
    kind::Kind,
    shape::{NONE, Room, Shape, StepRef},
};

/// How a redacted value begins.
const PSEUDONYM: &str = "REDACTED:";

impl Shape {
    /// Adds the body of an exchange. Returns at how many places it has something; 0 if it isn't JSON.
    pub fn add(&mut self, body: &Body, from: ExchangeId, room: &mut Room) -> u64 {
        self.places = 0;
        if body.truncated || body.withheld.is_some() {
            self.bodies.unread += 1;
            return 0;
        }
        if body.bytes.is_empty() {
            self.bodies.empty += 1;
            return 0;
        }
        match body.decoded() {
            (bytes, true) if read(self, &bytes, from, room) => {
                self.bodies.json += 1;
                return self.places;
            }
            (_, true) => self.bodies.other += 1,
            (_, false) => self.bodies.unread += 1,
        }
        0
    }
}

/// Adds a body; returns whether it is JSON. What stands before a mistake in it is noted all the same.
fn read(shape: &mut Shape, body: &[u8], from: ExchangeId, room: &mut Room) -> bool {
    // Some editors and servers add a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let node = shape.rooted();
    let stamp = shape.bodies.json + shape.bodies.other + 1;
    let mut walk = Walk { shape, room, from, stamp };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Value { walk: &mut walk, node }.deserialize(&mut json);
    read.is_ok() && json.end().is_ok()
}

struct Walk<'w> {
    shape: &'w mut Shape,
    room: &'w mut Room,
    from: ExchangeId,
    stamp: u64,
}

impl Walk<'_> {
    fn see(&mut self, node: u32, kind: Kind) {
        self.shape.see(node, kind, self.stamp, self.from);
    }
}

/// A value at a place.
struct Value<'v, 'w> {
    walk: &'v mut Walk<'w>,
    node: u32,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.walk.see(self.node, Kind::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.walk.see(self.node, Kind::Boolean);
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.walk.see(self.node, Kind::Integer);
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.walk.see(self.node, Kind::Integer);
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.walk.see(self.node, Kind::Number);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if text.starts_with(PSEUDONYM) {
            self.walk.see(self.node, Kind::Redacted);
        } else {
            self.walk.see(self.node, Kind::String);
            self.walk.shape.nodes[self.node as usize].formats.keep(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut node = NONE;
        while items.next_element_seed(Item { walk: self.walk, parent: self.node, node: &mut node })?.is_some() {}
        self.walk.see(self.node, Kind::Array);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { walk, node } = self;
        // Objects mostly have the same properties in the same order.
        let mut expected = walk.shape.nodes[node as usize].first;
        while let Some(child) = map.next_key_seed(Name { walk, parent: node, expected })? {
            match child {
                Some(child) => {
                    map.next_value_seed(Value { walk, node: child })?;
                    expected = walk.shape.nodes[child as usize].next;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    walk.shape.unlisted += 1;
                }
            }
        }
        walk.see(node, Kind::Object);
        Ok(())
    }
}

/// An item of an array. The place is created with the first one.
struct Item<'v, 'w> {
    walk: &'v mut Walk<'w>,
    parent: u32,
    node: &'v mut u32,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if *self.node == NONE {
            match self.walk.shape.child(self.parent, StepRef::Items, self.walk.room) {
                Some(node) => *self.node = node,
                None => {
                    self.walk.shape.unlisted += 1;
                    return IgnoredAny::deserialize_in(deserializer);
                }
            }
        }
        Value { walk: self.walk, node: *self.node }.deserialize(deserializer)
    }
}

/// Reads a value and drops it.
trait Ignore: Sized {
    fn deserialize_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error>;
}

impl Ignore for IgnoredAny {
    fn deserialize_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_ignored_any(Self).map(drop)
    }
}

/// The name of a property, which becomes its place.
struct Name<'v, 'w> {
    walk: &'v mut Walk<'w>,
    parent: u32,
    expected: u32,
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u32>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<u32>, E> {
        let step = StepRef::named(name);
        if let Some(node) = self.walk.shape.nodes.get(self.expected as usize)
            && step.is(&node.step)
        {
            return Ok(Some(self.expected));
        }
        Ok(self.walk.shape.child(self.parent, step, self.walk.room))
    }
}
