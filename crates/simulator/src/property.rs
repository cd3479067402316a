//! The simulated property: its initial items, and what was added, changed and removed since.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::definitions::Definitions;
use crate::generator::{Context, Generator, Seed};

/// Maximum size of added or changed items, as JSON. Beyond it the oldest are evicted.
const MAX_CHANGED_BYTES: usize = 64 << 20;

/// An item of a collection: a resource, a reservation.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) fields: Map<String, Value>,
    /// The same as JSON, which most responses are assembled from.
    pub(crate) json: Bytes,
}

impl Item {
    fn new(fields: Map<String, Value>) -> Arc<Self> {
        // Serializing a map with string keys can't fail.
        let json = serde_json::to_vec(&fields).unwrap_or_default().into();
        Arc::new(Self { fields, json })
    }

    pub(crate) fn id(&self) -> &str {
        self.fields.get("Id").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The items of a collection, in order of creation.
#[derive(Debug, Default)]
pub(crate) struct Table {
    items: BTreeMap<u64, Arc<Item>>,
    positions: HashMap<Box<str>, u64>,
    next: u64,
}

impl Table {
    /// The item with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Item>> {
        self.positions.get(id).and_then(|position| self.items.get(position))
    }

    /// Items from newest to oldest, or only those older than the given id; `None` if that id is unknown.
    pub(crate) fn newest(&self, before: Option<&str>) -> Option<impl Iterator<Item = &Arc<Item>>> {
        let before = match before {
            Some(id) => *self.positions.get(id)?,
            None => u64::MAX,
        };
        Some(self.items.range(..before).rev().map(|(_, item)| item))
    }

    fn put(&mut self, item: Arc<Item>) {
        let id: Box<str> = item.id().into();
        let position = self.positions.get(&id).copied().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        // Items without an id, such as currencies, can't be changed.
        if !id.is_empty() {
            self.positions.insert(id, position);
        }
        self.items.insert(position, item);
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Item>> {
        self.positions.remove(id).and_then(|position| self.items.remove(&position))
    }
}

/// The state of the property.
#[derive(Debug)]
pub(crate) struct Property {
    pub(crate) seed: Seed,
    tables: HashMap<&'static str, Table>,
    /// Added or changed items with their sizes, oldest first.
    changes: VecDeque<(&'static str, Box<str>, usize)>,
    changed_bytes: usize,
    max_changed_bytes: usize,
    added: usize,
}

impl Property {
    pub(crate) fn new(seed: Seed, now: Timestamp) -> Self {
        let mut tables = HashMap::new();
        for (name, collection) in &Definitions::built_in().collections {
            let table: &mut Table = tables.entry(&**name).or_default();
            for index in 0..collection.items {
                let mut generator = Generator::new(&seed, name, index, collection.items, now);
                table.put(Item::new(generator.object(&collection.fields, Context::default())));
            }
        }
        Self {
            seed,
            tables,
            changes: VecDeque::new(),
            changed_bytes: 0,
            max_changed_bytes: MAX_CHANGED_BYTES,
            added: 0,
        }
    }

    pub(crate) fn table(&self, collection: &str) -> Option<&Table> {
        self.tables.get(collection)
    }

    /// A unique index for an added item.
    pub(crate) fn next_index(&mut self, collection: &str) -> usize {
        self.added += 1;
        let initial = Definitions::built_in().collections.get(collection).map_or(0, |collection| collection.items);
        initial + self.added
    }

    /// Inserts an item, replacing the one with the same id.
    pub(crate) fn put(&mut self, collection: &str, fields: Map<String, Value>) -> Arc<Item> {
        let item = Item::new(fields);
        let Some((&name, _)) = self.tables.get_key_value(collection) else { return item };
        self.changes.push_back((name, item.id().into(), item.json.len()));
        self.changed_bytes += item.json.len();
        if let Some(table) = self.tables.get_mut(name) {
            table.put(Arc::clone(&item));
        }
        while self.changed_bytes > self.max_changed_bytes
            && let Some((name, id, size)) = self.changes.pop_front()
        {
            self.changed_bytes -= size;
            let changed_since = self.changes.iter().any(|(other, later, _)| *other == name && *later == id);
            if !changed_since && let Some(table) = self.tables.get_mut(name) {
                table.remove(&id);
            }
        }
        item
    }

    pub(crate) fn remove(&mut self, collection: &str, id: &str) -> Option<Arc<Item>> {
        self.tables.get_mut(collection)?.remove(id)
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
        let mut names: Vec<_> = property.tables.keys().collect();
        names.sort();
        let tables = names.into_iter().map(|name| &property.tables[name]);
        tables.flat_map(|table| table.newest(None).unwrap().map(|item| item.json.clone())).collect()
    }

    #[test]
    fn the_same_seed_generates_the_same_property() {
        assert_eq!(all(&property(1)), all(&property(1)));
        assert_ne!(all(&property(1)), all(&property(2)));
    }

    #[test]
    fn references_resolve_to_items() {
        let property = property(1);
        let reservations = property.table("reservations").unwrap();
        for reservation in reservations.newest(None).unwrap() {
            for (field, collection) in
                [("ServiceId", "services"), ("AccountId", "customers"), ("AssignedResourceId", "resources")]
            {
                let id = reservation.fields[field].as_str().unwrap();
                assert!(property.table(collection).unwrap().get(id).is_some(), "{field}");
            }
            assert!(reservation.fields["CreatedUtc"].as_str() <= reservation.fields["UpdatedUtc"].as_str());
            assert!(reservation.fields["StartUtc"].as_str() < reservation.fields["EndUtc"].as_str());
        }
    }

    #[test]
    fn additions_are_bounded_and_the_oldest_evicted_first() {
        let mut property = property(1);
        property.max_changed_bytes = 64_000;
        let notes = "x".repeat(1000);
        let put = |property: &mut Property, id: &str| {
            let fields = json!({ "Id": id, "Notes": notes });
            property.put("bills", fields.as_object().unwrap().clone());
        };
        for count in 0..200 {
            put(&mut property, &count.to_string());
            // Changed repeatedly, so never among the oldest.
            put(&mut property, "busy");
        }
        let bills = property.table("bills").unwrap();
        assert!(bills.get("0").is_none() && bills.get("199").is_some() && bills.get("busy").is_some());
        assert!(property.changed_bytes <= 64_000);
        let first = property.seed.id("bills", 0);
        assert!(bills.get(&first).is_some(), "initial items stay");
    }
}
