//! A schema with its references and compositions resolved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use serde_json::Value;

/// Maximum depth of references between schemas; Mews' own are at most a dozen deep.
const DEEPEST: u32 = 100;

/// A schema that can't be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Reading exceeds the maximum number of steps.
    TooMuch,
    /// A reason that the user can fix.
    Because(String),
}

impl Unusable {
    pub(super) fn because<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self::Because(reason.into()))
    }
}

/// A schema with everything it is composed of.
#[derive(Debug, Clone, Default)]
pub(super) struct Flat<'d> {
    /// The allowed types other than null; empty if unspecified.
    pub(super) types: BTreeSet<&'d str>,
    /// Whether null is allowed; `None` if unspecified.
    pub(super) nullable: Option<bool>,
    /// The properties, in the document's order.
    pub(super) properties: Vec<(&'d str, &'d Value)>,
    /// The required properties; `None` if unspecified.
    pub(super) required: Option<BTreeSet<&'d str>>,
    /// Whether other properties are allowed; `None` if unspecified.
    pub(super) additional: Option<&'d Value>,
    pub(super) items: Option<&'d Value>,
    pub(super) values: Option<Vec<String>>,
    /// The values' descriptions, in order.
    pub(super) descriptions: Option<&'d Vec<Value>>,
    pub(super) open: bool,
    pub(super) format: Option<&'d str>,
    pub(super) pattern: Option<&'d str>,
    pub(super) name: Option<&'d str>,
    pub(super) numbers: BTreeMap<&'static str, f64>,
    pub(super) unique: bool,
    pub(super) deprecated: bool,
    pub(super) message: Option<&'d str>,
    /// The alternative forms of a value, if there are several.
    pub(super) alternatives: Vec<Rc<Flat<'d>>>,
    /// The discriminator, and its value for each form.
    pub(super) discriminator: Option<(&'d str, Vec<String>)>,
}

/// The keywords whose numbers are kept.
const NUMBERS: [&str; 9] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "x-max-interval-in-months",
];

/// Reads a document's schemas, each referenced one once.
pub(super) struct Schemas<'d> {
    document: &'d Value,
    known: HashMap<&'d str, Rc<Flat<'d>>>,
    /// The references being followed, to detect a schema that contains itself.
    pending: Vec<&'d str>,
    steps: u32,
}

impl<'d> Schemas<'d> {
    pub(super) fn new(document: &'d Value, steps: u32) -> Self {
        Self { document, known: HashMap::new(), pending: Vec::new(), steps }
    }

    /// Counts a step.
    pub(super) fn step(&mut self) -> Result<(), Unusable> {
        self.steps = self.steps.checked_sub(1).ok_or(Unusable::TooMuch)?;
        Ok(())
    }

    /// The schema that `reference` points to, shared by all references.
    pub(super) fn number_of(&self, reference: &str) -> Option<usize> {
        let target = self.document.pointer(&percent_decoded(reference.strip_prefix('#')?)?)?;
        Some(std::ptr::from_ref(target).addr())
    }

    /// `schema`, flattened.
    pub(super) fn flat(&mut self, schema: &'d Value) -> Result<Flat<'d>, Unusable> {
        self.flat_at(schema, 0)
    }

    fn referred(&mut self, reference: &'d str, depth: u32) -> Result<Rc<Flat<'d>>, Unusable> {
        if let Some(known) = self.known.get(reference) {
            return Ok(Rc::clone(known));
        }
        if self.pending.contains(&reference) {
            return Unusable::because(format!("{reference} is put together of itself"));
        }
        let Some(pointer) = reference.strip_prefix('#') else {
            return Unusable::because(format!("{reference} is not in the document, and nothing is fetched"));
        };
        let target = match percent_decoded(pointer) {
            Some(pointer) => self.document.pointer(&pointer),
            None => None,
        };
        let Some(target) = target else { return Unusable::because(format!("there is no {reference}")) };
        self.pending.push(reference);
        let flat = self.flat_at(target, depth + 1);
        self.pending.pop();
        let flat = Rc::new(flat?);
        self.known.insert(reference, Rc::clone(&flat));
        Ok(flat)
    }

    fn flat_at(&mut self, schema: &'d Value, depth: u32) -> Result<Flat<'d>, Unusable> {
        self.step()?;
        if depth > DEEPEST {
            return Unusable::because(format!("its schemas refer to each other more than {DEEPEST} deep"));
        }
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(_) => return Ok(Flat::default()),
            _ => return Unusable::because("a schema is neither an object nor a boolean"),
        };
        let mut flat = Flat::default();
        if let Some(reference) = map.get("$ref") {
            let Some(reference) = reference.as_str() else { return Unusable::because("a $ref is no string") };
            let referred = self.referred(reference, depth)?;
            self.take(&mut flat, &referred)?;
        }
        for part in map.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let part = self.flat_at(part, depth + 1)?;
            self.take(&mut flat, &part)?;
        }
        for word in ["anyOf", "oneOf"] {
            let Some(parts) = map.get(word).and_then(Value::as_array) else { continue };
            self.one_of(&mut flat, parts, map.get("discriminator"), depth)?;
        }
        let own = own(map)?;
        self.take(&mut flat, &own)?;
        Ok(flat)
    }

    fn one_of(
        &mut self,
        flat: &mut Flat<'d>,
        parts: &'d [Value],
        discriminator: Option<&'d Value>,
        depth: u32,
    ) -> Result<(), Unusable> {
        let mut forms = Vec::new();
        for part in parts {
            let form = self.flat_at(part, depth + 1)?;
            if form.types.is_empty()
                && form.nullable == Some(true)
                && form.properties.is_empty()
                && form.values.is_none()
            {
                flat.nullable = Some(true);
            } else {
                forms.push((part, form));
            }
        }
        if let [(_, form)] = &forms[..] {
            return self.take(flat, form);
        }
        if let Some(name) = discriminator.and_then(|told| told.get("propertyName")).and_then(Value::as_str) {
            let mapping = discriminator.and_then(|told| told.get("mapping")).and_then(Value::as_object);
            let value =
                |part: &Value| {
                    let target = part.get("$ref").and_then(Value::as_str)?;
                    let mapped = mapping.and_then(|map| map.iter().find(|(_, to)| to.as_str() == Some(target)));
                    Some(mapped.map_or_else(
                        || target.rsplit('/').next().unwrap_or_default().to_owned(),
                        |(key, _)| key.clone(),
                    ))
                };
            let values: Option<Vec<String>> = forms.iter().map(|(part, _)| value(part)).collect();
            flat.discriminator = values.map(|values| (name, values));
        }
        flat.alternatives = forms.into_iter().map(|(_, form)| Rc::new(form)).collect();
        Ok(())
    }

    /// Adds another schema, which takes precedence.
    fn take(&mut self, flat: &mut Flat<'d>, other: &Flat<'d>) -> Result<(), Unusable> {
        let copied = other.properties.len() + other.values.as_ref().map_or(0, Vec::len) + other.alternatives.len();
        let left = u32::try_from(copied).ok().and_then(|count| self.steps.checked_sub(count));
        self.steps = left.ok_or(Unusable::TooMuch)?;
        if !other.types.is_empty() {
            flat.types.clone_from(&other.types);
        }
        let mut places: HashMap<&str, usize> =
            flat.properties.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
        for &(name, schema) in &other.properties {
            match places.get(name).and_then(|&at| flat.properties.get_mut(at)) {
                Some(known) => known.1 = schema,
                None => {
                    places.insert(name, flat.properties.len());
                    flat.properties.push((name, schema));
                }
            }
        }
        if let Some(required) = &other.required {
            flat.required.get_or_insert_default().extend(required);
        }
        flat.nullable = other.nullable.or(flat.nullable);
        flat.additional = other.additional.or(flat.additional);
        flat.items = other.items.or(flat.items);
        flat.values = other.values.clone().or(flat.values.take());
        flat.descriptions = other.descriptions.or(flat.descriptions);
        flat.open |= other.open;
        flat.format = other.format.or(flat.format);
        flat.pattern = other.pattern.or(flat.pattern);
        flat.name = other.name.or(flat.name);
        flat.numbers.extend(&other.numbers);
        flat.unique |= other.unique;
        flat.deprecated |= other.deprecated;
        flat.message = other.message.or(flat.message);
        if !other.alternatives.is_empty() {
            flat.alternatives.extend(other.alternatives.iter().cloned());
            flat.discriminator = other.discriminator.clone();
        }
        Ok(())
    }
}

/// A schema without its references.
fn own(map: &serde_json::Map<String, Value>) -> Result<Flat<'_>, Unusable> {
    let mut flat = Flat::default();
    match map.get("type") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) => flat.add_type(name)?,
        Some(Value::Array(names)) => {
            for name in names {
                let Some(name) = name.as_str() else { return Unusable::because("a type is no string") };
                flat.add_type(name)?;
            }
            flat.nullable.get_or_insert(false);
        }
        Some(_) => return Unusable::because("a type is neither a string nor a list"),
    }
    if let Some(nullable) = map.get("nullable").and_then(Value::as_bool) {
        flat.nullable = Some(nullable);
    }
    if let Some(properties) = map.get("properties") {
        let Some(properties) = properties.as_object() else { return Unusable::because("its properties are no object") };
        flat.properties = properties.iter().map(|(name, schema)| (name.as_str(), schema)).collect();
    }
    // A boolean up to draft 3.
    if let Some(required) = map.get("required").and_then(Value::as_array) {
        flat.required = Some(required.iter().filter_map(Value::as_str).collect());
    }
    flat.additional = map.get("additionalProperties");
    flat.items = map.get("items");
    let values = map.get("enum").and_then(Value::as_array).map(Vec::as_slice);
    if let Some(values) = values.or_else(|| map.get("const").map(std::slice::from_ref)) {
        if values.iter().any(Value::is_null) {
            flat.nullable = Some(true);
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        flat.values = Some(values.iter().filter(|value| !value.is_null()).map(text).collect());
        flat.descriptions = map.get("x-enumDescriptions").and_then(Value::as_array);
    }
    let text = |name: &str| map.get(name).and_then(Value::as_str);
    flat.open = map.get("x-extensible").and_then(Value::as_bool).unwrap_or(false);
    flat.format = text("format");
    flat.pattern = text("pattern");
    flat.name = text("x-schema-id").or_else(|| text("title"));
    flat.message = text("x-deprecatedMessage");
    flat.deprecated = map.get("deprecated").and_then(Value::as_bool).unwrap_or(false);
    flat.unique = map.get("uniqueItems").and_then(Value::as_bool).unwrap_or(false);
    for name in NUMBERS {
        if let Some(number) = map.get(name).and_then(Value::as_f64) {
            flat.numbers.insert(name, number);
        }
    }
    // Up to OpenAPI 3.0, exclusive bounds are flags of the bound.
    for (word, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if map.get(word).and_then(Value::as_bool) == Some(true)
            && let Some(number) = flat.numbers.remove(bound)
        {
            flat.numbers.insert(word, number);
        }
    }
    Ok(flat)
}

impl<'d> Flat<'d> {
    fn add_type(&mut self, name: &'d str) -> Result<(), Unusable> {
        match name {
            "null" => self.nullable = Some(true),
            "string" | "boolean" | "integer" | "number" | "array" | "object" => drop(self.types.insert(name)),
            other => return Unusable::because(format!("there is no type {other:?}")),
        }
        Ok(())
    }
}

/// A URI fragment, decoded; `None` if it is invalid.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
