//! Executing operations on the property.

use jiff::Timestamp;
use nightaudit_mews::{Kind as RequestKind, Operation, operation};
use serde_json::{Map, Value};

use crate::definitions::Definitions;
use crate::events::Event;
use crate::generator::{Context, Generator, amount};
use crate::kind::Kind;
use crate::name::{capitalised, singular};
use crate::operation_spec::{Effect, OperationSpec, ResponseSpec, Step};
use crate::property::{Item, Property};
use crate::query::{self, Page, UnknownCursor};

/// Affected items, with the parts of the request that affected them.
type Affected = Vec<(Map<String, Value>, Option<Value>)>;

/// The result of an operation: its response and its events.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// JSON.
    pub(crate) body: Vec<u8>,
    /// Whether it is an empty page or an empty object.
    pub(crate) is_empty: bool,
    pub(crate) events: Vec<Event>,
}

/// Executes a read-only request; `None` if it would change something.
pub(crate) fn read(
    property: &Property,
    path: &str,
    request: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Outcome>, UnknownCursor> {
    let Some(spec) = Definitions::built_in().operations.get(path) else {
        // Known only from a user's OpenAPI document.
        return Ok(Some(Outcome { body: b"{}".to_vec(), is_empty: true, events: Vec::new() }));
    };
    let page = match &spec.step.effect {
        Effect::Reads(collection) => match property.table(collection) {
            Some(table) => query::page(table, collection, &spec.step, request)?,
            None => Page::default(),
        },
        Effect::None if spec.event.is_none() => Page::default(),
        _ => return Ok(None),
    };
    let mut generator = Generator::new(&property.seed, path, 0, 1, now);
    Ok(Some(respond(spec, &page, &mut generator, request, &Vec::new())))
}

/// Executes a request that changes the property.
pub(crate) fn perform(property: &mut Property, path: &str, request: &Map<String, Value>, now: Timestamp) -> Outcome {
    let Some(spec) = Definitions::built_in().operations.get(path) else { return Outcome::default() };
    let mut events = Vec::new();
    let affected = step(property, path, spec, &spec.step, request, None, now, &mut events);
    let first = affected.first().map(|(item, _)| item);
    for further in &spec.then {
        step(property, path, spec, further, request, first, now, &mut events);
    }
    if let Some(event) = &spec.event {
        let mut generator = Generator::new(&property.seed, path, 0, 1, now);
        let context = Context { request: Some(request), ..Context::default() };
        events.push(Event { socket: Some(generator.value(&Kind::Object(event.clone()), context)), hook: None });
    }
    let index = property.next_index(path);
    let mut generator = Generator::new(&property.seed, path, index, 1, now);
    let page = Page::default();
    Outcome { events, ..respond(spec, &page, &mut generator, request, &affected) }
}

/// Executes one step; `first` is the item affected by the first step.
#[allow(clippy::too_many_arguments, reason = "a step needs the whole context of its request")]
fn step(
    property: &mut Property,
    path: &str,
    spec: &OperationSpec,
    step: &Step,
    request: &Map<String, Value>,
    first: Option<&Map<String, Value>>,
    now: Timestamp,
    events: &mut Vec<Event>,
) -> Affected {
    let Some(collection) = step.effect.collection() else { return Vec::new() };
    let mut affected = Vec::new();
    for part in parts(step, request) {
        let ids = match &step.effect {
            Effect::Adds(_) => vec![None],
            Effect::Changes(_) | Effect::Removes(_) => {
                targets(property, collection, step, part).into_iter().map(Some).collect()
            }
            Effect::None | Effect::Reads(_) => Vec::new(),
        };
        for id in ids {
            let change = Change { collection, path, step, request, part, first, now };
            let item = match (&step.effect, &id) {
                (Effect::Removes(_), Some(id)) => property.remove(collection, id),
                (_, Some(id)) => change.update(property, id),
                (_, None) => Some(change.add(property)),
            };
            if let Some(item) = item {
                events.extend(Event::of(collection, spec, &item, property, now));
                affected.push((item.fields.clone(), Some(Value::Object(part.clone()))));
            }
        }
    }
    affected
}

/// The parts of a request, one per item.
fn parts<'a>(step: &Step, request: &'a Map<String, Value>) -> Vec<&'a Map<String, Value>> {
    match &step.from {
        Some(field) => {
            let list = request.get(&**field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_object).collect()
        }
        None => vec![request],
    }
}

/// The ids of the items that a part of a request targets.
fn targets(property: &Property, collection: &str, step: &Step, part: &Map<String, Value>) -> Vec<String> {
    let Some(table) = property.table(collection) else { return Vec::new() };
    if step.by.is_empty() {
        // `ResourceId` for a resource; if named differently, any known id.
        let own = format!("{}Id", singular(&capitalised(collection)));
        let named = part.get(&own).or_else(|| part.get("Id")).and_then(Value::as_str);
        let ids = part.iter().filter(|(name, _)| name.ends_with("Id")).filter_map(|(_, id)| id.as_str());
        return named
            .into_iter()
            .chain(ids)
            .find(|id| table.get(id).is_some())
            .map(str::to_owned)
            .into_iter()
            .collect();
    }
    let given = |field: &str| -> Vec<&str> {
        match part.get(field) {
            Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(id)) => vec![id],
            _ => Vec::new(),
        }
    };
    match &step.by[..] {
        [(field, own)] if **own == *"Id" => {
            given(field).into_iter().filter(|id| table.get(id).is_some()).map(str::to_owned).collect()
        }
        by => {
            let wanted: Vec<_> = by.iter().map(|(field, own)| (own, given(field))).collect();
            let is_target = |item: &Item| {
                wanted.iter().all(|(own, ids)| {
                    item.fields.get(&***own).and_then(Value::as_str).is_some_and(|value| ids.contains(&value))
                })
            };
            let items = table.newest(None).into_iter().flatten();
            items.filter(|item| is_target(item)).map(|item| item.id().to_owned()).collect()
        }
    }
}

/// A change of one item by one part of a request.
struct Change<'a> {
    collection: &'a str,
    path: &'a str,
    step: &'a Step,
    request: &'a Map<String, Value>,
    part: &'a Map<String, Value>,
    first: Option<&'a Map<String, Value>>,
    now: Timestamp,
}

impl Change<'_> {
    fn add(&self, property: &mut Property) -> std::sync::Arc<Item> {
        let index = property.next_index(self.collection);
        let Some(collection) = Definitions::built_in().collections.get(self.collection) else {
            return property.put(self.collection, Map::new());
        };
        let mut generator = Generator::new(&property.seed, self.collection, index, index, self.now);
        let mut item = generator.object(&collection.fields, Context::default());
        // Optional properties that the request leaves out are unset, except for the owner, which Mews knows anyway.
        for name in self.request_properties() {
            let own = self.item_property(name);
            if self.part.contains_key(name) || ["EnterpriseId", "ChainId"].contains(&own) {
                continue;
            }
            if let Some(value) = item.get_mut(own) {
                *value = if value.is_array() { Value::Array(Vec::new()) } else { Value::Null };
            }
        }
        self.overlay(&mut item, &mut generator);
        for name in ["CreatedUtc", "UpdatedUtc"] {
            self.stamp(&mut item, name);
        }
        property.put(self.collection, item)
    }

    fn update(&self, property: &mut Property, id: &str) -> Option<std::sync::Arc<Item>> {
        let mut item = property.table(self.collection)?.get(id)?.fields.clone();
        let index = property.next_index(self.collection);
        let mut generator = Generator::new(&property.seed, self.collection, index, index, self.now);
        self.overlay(&mut item, &mut generator);
        self.stamp(&mut item, "UpdatedUtc");
        Some(property.put(self.collection, item))
    }

    fn stamp(&self, item: &mut Map<String, Value>, name: &str) {
        if let Some(time) = item.get_mut(name) {
            *time = crate::generator::utc(self.now).into();
        }
    }

    /// The names that the request's contract allows for an item.
    fn request_properties(&self) -> Vec<&'static str> {
        let Some(operation) = operation(self.path) else { return Vec::new() };
        let fields = |operation: &'static Operation| match &self.step.from {
            Some(from) => match operation.request.field(from).map(|field| &field.kind) {
                Some(RequestKind::Object(object)) => &object.fields[..],
                _ => &[],
            },
            None => &operation.request.fields[..],
        };
        fields(operation).iter().map(|field| &*field.name).collect()
    }

    /// The item's name for the request's property `name`.
    fn item_property<'n>(&'n self, name: &'n str) -> &'n str {
        let renamed = self.step.rename.iter().find(|(theirs, _)| **theirs == *name);
        renamed.map_or(name, |(_, own)| own)
    }

    /// Applies the request's values to the item, then the operation's own.
    fn overlay(&self, item: &mut Map<String, Value>, generator: &mut Generator<'_>) {
        for (name, value) in self.part {
            let own = self.item_property(name);
            if own != "Id"
                && let Some(target) = item.get_mut(own)
            {
                merge(target, value);
            }
        }
        // A reservation has its times under both old and new names.
        for (old, new) in [("StartUtc", "ScheduledStartUtc"), ("EndUtc", "ScheduledEndUtc")] {
            if let Some(time) = item.get(new).cloned()
                && item.contains_key(old)
            {
                item.insert(old.to_owned(), time);
            }
        }
        let context = Context { request: Some(self.request), item: self.first, ..Context::default() };
        for field in &self.step.set {
            let given =
                matches!(field.kind, Kind::GivenOr(_)) && self.part.get(&*field.name).is_some_and(|v| !v.is_null());
            if !given {
                item.insert(field.name.to_string(), generator.value(&field.kind, context));
            }
        }
    }
}

/// Merges a request's value into an item's. Updates are written `{"Value": …}`, with null for no change.
fn merge(target: &mut Value, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(object) if object.len() == 1 && object.contains_key("Value") => {
            target.clone_from(&object["Value"]);
        }
        Value::Object(object) if object.contains_key("Currency") && target.get("GrossValue").is_some() => {
            let number = |name: &str| object.get(name).and_then(Value::as_f64);
            let gross =
                number("GrossValue").or_else(|| number("NetValue").map(|net| net * 1.2)).or_else(|| number("Value"));
            let currency = object.get("Currency").and_then(Value::as_str).unwrap_or("EUR");
            *target = amount(gross.unwrap_or_default(), currency);
        }
        Value::Object(object) => match target {
            Value::Object(existing) => {
                for (name, value) in object {
                    if let Some(target) = existing.get_mut(name) {
                        merge(target, value);
                    }
                }
            }
            _ => target.clone_from(value),
        },
        _ => target.clone_from(value),
    }
}

/// Builds an operation's response.
fn respond(
    spec: &OperationSpec,
    page: &Page,
    generator: &mut Generator<'_>,
    request: &Map<String, Value>,
    affected: &Affected,
) -> Outcome {
    let item = affected.first().map(|(item, _)| item);
    // Read items are only turned into values if the response needs more than their JSON.
    let read: Affected = match &spec.response {
        ResponseSpec::Fields(fields) if fields.iter().any(|field| matches!(field.kind, Kind::Each(_))) => {
            page.items.iter().map(|item| (item.fields.clone(), None)).collect()
        }
        _ => Vec::new(),
    };
    let items = if affected.is_empty() { &read } else { affected };
    let context = Context { request: Some(request), item, items, nth: None };
    let mut body = Vec::with_capacity(256 + page.items.iter().map(|item| item.json.len() + 1).sum::<usize>());
    let fields = match &spec.response {
        ResponseSpec::Item => {
            // For an unknown id an item is generated, so that there is a response.
            let definition = |collection| Definitions::built_in().collections.get(collection);
            let item = match (item, spec.step.effect.collection().and_then(definition)) {
                (Some(item), _) => item.clone(),
                (None, Some(collection)) => generator.object(&collection.fields, context),
                (None, None) => Map::new(),
            };
            write(&mut body, &Value::Object(item));
            return Outcome { body, ..Outcome::default() };
        }
        ResponseSpec::Fields(fields) => fields,
    };
    let is_page = matches!(spec.step.effect, Effect::Reads(_)) && page.items.is_empty();
    body.push(b'{');
    for (position, field) in fields.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        write(&mut body, &Value::from(&*field.name));
        body.push(b':');
        match &field.kind {
            Kind::Items if matches!(spec.step.effect, Effect::Reads(_)) => {
                body.push(b'[');
                for (position, item) in page.items.iter().enumerate() {
                    if position > 0 {
                        body.push(b',');
                    }
                    body.extend_from_slice(&item.json);
                }
                body.push(b']');
            }
            Kind::Cursor => write(&mut body, &page.cursor.as_deref().into()),
            kind => write(&mut body, &generator.value(kind, context)),
        }
    }
    body.push(b'}');
    Outcome { body, is_empty: fields.is_empty() || is_page, events: Vec::new() }
}

fn write(body: &mut Vec<u8>, value: &Value) {
    // Serializing a value into a vector can't fail.
    let _ = serde_json::to_writer(body, value);
}
