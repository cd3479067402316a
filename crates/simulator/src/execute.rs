//! What an operation does to the property, and what it answers.

use jiff::Timestamp;
use nightaudit_mews::{Kind as RequestKind, Operation, operation};
use serde_json::{Map, Value};

use crate::definitions::{Definitions, Effect, OperationSpec, ResponseSpec, Step};
use crate::events::Event;
use crate::generator::{Context, Generator, amount};
use crate::kind::Kind;
use crate::name::{capitalised, singular};
use crate::property::{Item, Property};
use crate::query::{self, Page, UnknownCursor};

/// Items and the parts of the request that affected them.
type Affected = Vec<(Map<String, Value>, Option<Value>)>;

/// What an operation answered, and what changed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// JSON.
    pub(crate) body: Vec<u8>,
    /// Whether it is an empty page, or nothing but braces.
    pub(crate) is_empty: bool,
    pub(crate) events: Vec<Event>,
}

/// Answers a request that reads only; none where it would change something.
pub(crate) fn read(
    property: &Property,
    path: &str,
    request: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Outcome>, UnknownCursor> {
    let Some(spec) = Definitions::built_in().operations.get(path) else {
        // One that only a user's OpenAPI document has.
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

/// Does what a request asks for, and answers it.
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

/// One step; `first` is what the step before it has affected.
#[allow(clippy::too_many_arguments, reason = "a step is told everything of the request it belongs to")]
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
                (_, Some(id)) => change.changed(property, id),
                (_, None) => Some(change.added(property)),
            };
            if let Some(item) = item {
                events.extend(Event::of(collection, spec, &item, property, now));
                affected.push((item.fields.clone(), Some(Value::Object(part.clone()))));
            }
        }
    }
    affected
}

/// The parts of a request that are each about one item.
fn parts<'a>(step: &Step, request: &'a Map<String, Value>) -> Vec<&'a Map<String, Value>> {
    match &step.from {
        Some(field) => {
            let list = request.get(&**field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_object).collect()
        }
        None => vec![request],
    }
}

/// The ids of the items that a part of a request is about.
fn targets(property: &Property, collection: &str, step: &Step, part: &Map<String, Value>) -> Vec<String> {
    let Some(table) = property.table(collection) else { return Vec::new() };
    if step.by.is_empty() {
        // `ResourceId` of a resource; where it is called otherwise, any id that is known.
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
            let is_meant = |item: &Item| {
                wanted.iter().all(|(own, ids)| {
                    item.fields.get(&***own).and_then(Value::as_str).is_some_and(|value| ids.contains(&value))
                })
            };
            let items = table.newest(None).into_iter().flatten();
            items.filter(|item| is_meant(item)).map(|item| item.id().to_owned()).collect()
        }
    }
}

/// How one part of a request changes one item.
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
    fn added(&self, property: &mut Property) -> std::sync::Arc<Item> {
        let index = property.next_index(self.collection);
        let Some(collection) = Definitions::built_in().collections.get(self.collection) else {
            return property.put(self.collection, Map::new());
        };
        let mut generator = Generator::new(&property.seed, self.collection, index, index, self.now);
        let mut item = generator.object(&collection.fields, Context::default());
        // What could have been said and wasn't is not known. Whose it is, Mews knows all the same.
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

    fn changed(&self, property: &mut Property, id: &str) -> Option<std::sync::Arc<Item>> {
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

    /// The names that the request's contract has for an item.
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

    /// What the item calls the field that the request calls `name`.
    fn item_property<'n>(&'n self, name: &'n str) -> &'n str {
        let renamed = self.step.rename.iter().find(|(theirs, _)| **theirs == *name);
        renamed.map_or(name, |(_, own)| own)
    }

    /// Lays what the request says over the item, and what the operation sets over that.
    fn overlay(&self, item: &mut Map<String, Value>, generator: &mut Generator<'_>) {
        for (name, value) in self.part {
            let own = self.item_property(name);
            if own != "Id"
                && let Some(place) = item.get_mut(own)
            {
                lay(place, value);
            }
        }
        // A reservation has its times twice, under their old and their new names.
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

/// Lays a value of a request over one of an item. Updates say `{"Value": …}`, and null where nothing is to change.
fn lay(place: &mut Value, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(object) if object.len() == 1 && object.contains_key("Value") => {
            place.clone_from(&object["Value"]);
        }
        Value::Object(object) if object.contains_key("Currency") && place.get("GrossValue").is_some() => {
            let number = |name: &str| object.get(name).and_then(Value::as_f64);
            let gross =
                number("GrossValue").or_else(|| number("NetValue").map(|net| net * 1.2)).or_else(|| number("Value"));
            let currency = object.get("Currency").and_then(Value::as_str).unwrap_or("EUR");
            *place = amount(gross.unwrap_or_default(), currency);
        }
        Value::Object(object) => match place {
            Value::Object(there) => {
                for (name, value) in object {
                    if let Some(place) = there.get_mut(name) {
                        lay(place, value);
                    }
                }
            }
            _ => place.clone_from(value),
        },
        _ => place.clone_from(value),
    }
}

/// Writes what an operation answers.
fn respond(
    spec: &OperationSpec,
    page: &Page,
    generator: &mut Generator<'_>,
    request: &Map<String, Value>,
    affected: &Affected,
) -> Outcome {
    let item = affected.first().map(|(item, _)| item);
    // Items that were read are only made into values where an answer is made of more than their JSON.
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
            // Of an id that is nowhere something is made up, as the answer is to be one all the same.
            let made_up = |collection| Definitions::built_in().collections.get(collection);
            let item = match (item, spec.step.effect.collection().and_then(made_up)) {
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
    // A value has no way to fail as JSON, nor has a vector as a writer.
    let _ = serde_json::to_writer(body, value);
}
