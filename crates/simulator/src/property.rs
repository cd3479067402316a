//! The simulated property: what there is of everything, and what was added, changed and removed since.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::knowledge::Knowledge;
use crate::made::{Generator, Scene, Seed};

/// The most bytes that items which were added or changed may take as JSON. Beyond it the oldest of them are forgotten.
const MOST_BYTES: usize = 64 << 20;

/// Something of which the property has several: a resource, a reservation.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) fields: Map<String, Value>,
    /// The same as JSON, which most answers are made of.
    pub(crate) json: Bytes,
}

impl Item {
    fn new(fields: Map<String, Value>) -> Arc<Self> {
        // A map of strings has no way to fail as JSON.
        let json = serde_json::to_vec(&fields).unwrap_or_default().into();
        Arc::new(Self { fields, json })
    }

    pub(crate) fn id(&self) -> &str {
        self.fields.get("Id").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The items of one kind, in the order in which they came to be.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    items: BTreeMap<u64, Arc<Item>>,
    places: HashMap<Box<str>, u64>,
    next: u64,
}

impl Shelf {
    /// The item of this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Item>> {
        self.places.get(id).and_then(|place| self.items.get(place))
    }

    /// The newest first, and those older than the item of this id, where one is given. None where it isn't there.
    pub(crate) fn newest(&self, before: Option<&str>) -> Option<impl Iterator<Item = &Arc<Item>>> {
        let before = match before {
            Some(id) => *self.places.get(id)?,
            None => u64::MAX,
        };
        Some(self.items.range(..before).rev().map(|(_, item)| item))
    }

    fn put(&mut self, item: Arc<Item>) {
        let id: Box<str> = item.id().into();
        let place = self.places.get(&id).copied().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        // What has no id, as a currency, is there but can't be changed.
        if !id.is_empty() {
            self.places.insert(id, place);
        }
        self.items.insert(place, item);
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Item>> {
        self.places.remove(id).and_then(|place| self.items.remove(&place))
    }
}

/// Everything that the property has.
#[derive(Debug)]
pub(crate) struct Property {
    pub(crate) soil: Seed,
    shelves: HashMap<&'static str, Shelf>,
    /// What was added or changed, oldest first, with its size.
    touched: VecDeque<(&'static str, Box<str>, usize)>,
    touched_bytes: usize,
    most_bytes: usize,
    added: usize,
}

impl Property {
    pub(crate) fn new(soil: Seed, now: Timestamp) -> Self {
        let mut shelves = HashMap::new();
        for (name, collection) in &Knowledge::built_in().collections {
            let shelf: &mut Shelf = shelves.entry(&**name).or_default();
            for index in 0..collection.items {
                let mut maker = Generator::new(&soil, name, index, collection.items, now);
                shelf.put(Item::new(maker.object(&collection.fields, Scene::default())));
            }
        }
        Self { soil, shelves, touched: VecDeque::new(), touched_bytes: 0, most_bytes: MOST_BYTES, added: 0 }
    }

    pub(crate) fn shelf(&self, collection: &str) -> Option<&Shelf> {
        self.shelves.get(collection)
    }

    /// A number that no other item that is added has.
    pub(crate) fn next_index(&mut self, collection: &str) -> usize {
        self.added += 1;
        let there = Knowledge::built_in().collections.get(collection).map_or(0, |collection| collection.items);
        there + self.added
    }

    /// Puts an item in its place, or the place of the one that has its id.
    pub(crate) fn put(&mut self, collection: &str, fields: Map<String, Value>) -> Arc<Item> {
        let item = Item::new(fields);
        let Some((&name, _)) = self.shelves.get_key_value(collection) else { return item };
        self.touched.push_back((name, item.id().into(), item.json.len()));
        self.touched_bytes += item.json.len();
        if let Some(shelf) = self.shelves.get_mut(name) {
            shelf.put(Arc::clone(&item));
        }
        while self.touched_bytes > self.most_bytes
            && let Some((name, id, size)) = self.touched.pop_front()
        {
            self.touched_bytes -= size;
            let changed_since = self.touched.iter().any(|(other, later, _)| *other == name && *later == id);
            if !changed_since && let Some(shelf) = self.shelves.get_mut(name) {
                shelf.remove(&id);
            }
        }
        item
    }

    pub(crate) fn remove(&mut self, collection: &str, id: &str) -> Option<Arc<Item>> {
        self.shelves.get_mut(collection)?.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn property(seed: u64) -> Property {
        let now = "2026-01-31T13:00:00Z".parse().unwrap();
        Property::new(Seed::new(seed, now), now)
    }

    fn all(property: &Property) -> Vec<Bytes> {
        let mut names: Vec<_> = property.shelves.keys().collect();
        names.sort();
        let shelves = names.into_iter().map(|name| &property.shelves[name]);
        shelves.flat_map(|shelf| shelf.newest(None).unwrap().map(|item| item.json.clone())).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_property() {
        assert_eq!(all(&property(1)), all(&property(1)));
        assert_ne!(all(&property(1)), all(&property(2)));
    }

    #[test]
    fn references_lead_to_items() {
        let property = property(1);
        let reservations = property.shelf("reservations").unwrap();
        for reservation in reservations.newest(None).unwrap() {
            for (field, collection) in
                [("ServiceId", "services"), ("AccountId", "customers"), ("AssignedResourceId", "resources")]
            {
                let id = reservation.fields[field].as_str().unwrap();
                assert!(property.shelf(collection).unwrap().get(id).is_some(), "{field}");
            }
            assert!(reservation.fields["CreatedUtc"].as_str() <= reservation.fields["UpdatedUtc"].as_str());
            assert!(reservation.fields["StartUtc"].as_str() < reservation.fields["EndUtc"].as_str());
        }
    }

    #[test]
    fn what_is_added_is_bounded_and_the_oldest_goes_first() {
        let mut property = property(1);
        property.most_bytes = 64_000;
        let notes = "x".repeat(1000);
        let put = |property: &mut Property, id: &str| {
            let fields = json!({ "Id": id, "Notes": notes });
            property.put("bills", fields.as_object().unwrap().clone());
        };
        for count in 0..200 {
            put(&mut property, &count.to_string());
            // Changed again and again, so never among the oldest.
            put(&mut property, "busy");
        }
        let bills = property.shelf("bills").unwrap();
        assert!(bills.get("0").is_none() && bills.get("199").is_some() && bills.get("busy").is_some());
        assert!(property.touched_bytes <= 64_000);
        let first = property.soil.id("bills", 0);
        assert!(bills.get(&first).is_some(), "what was there at the start stays");
    }
}
