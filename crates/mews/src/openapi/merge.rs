//! Merges schemas into the contracts already known.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::flat::{Flat, Schemas, Unusable};
use crate::catalogue::{
    Catalogue, Deprecation, Enum, Field, Kind, Lifecycle, MOST_FIELDS, Need, Object, Operation, Pattern, Rule,
};

/// Maximum nesting of objects; deeper ones are objects of unknown content.
const DEEPEST: usize = 24;

/// The schema of an undescribed property.
static ANYTHING: Value = Value::Bool(true);

/// The types made from the document's schemas.
pub(super) struct Reader<'d> {
    schemas: Schemas<'d>,
    /// Objects by the addresses of their schema and of what it was merged with.
    objects: HashMap<(usize, usize), Arc<Object>>,
    /// The schemas being merged, to detect one that contains itself.
    pending: Vec<usize>,
    patterns: HashMap<&'d str, Arc<Pattern>>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Value, steps: u32) -> Self {
        Self {
            schemas: Schemas::new(document, steps),
            objects: HashMap::new(),
            pending: Vec::new(),
            patterns: HashMap::new(),
        }
    }

    /// The operation at `path` as described, on top of the one in `base`.
    pub(super) fn operation(
        &mut self,
        path: &str,
        described: &'d Value,
        schema: &'d Value,
        base: &Catalogue,
    ) -> Result<Operation, Unusable> {
        let known = base.operation(path);
        let flat = self.schemas.flat(schema)?;
        let mut request = (*self.object(path, &flat, known.map(|known| &*known.request))?).clone();
        // Every request may have the two codes, which neither Mews' document nor its tables list.
        for code in base.codes() {
            if request.position(&code.name, 0).is_none() && request.fields.len() < MOST_FIELDS {
                request.fields.push(code.clone());
            }
        }
        let text = |name: &str| described.get(name).and_then(Value::as_str);
        let flag = |name: &str| described.get(name).and_then(Value::as_bool).unwrap_or(false);
        let group = described.pointer("/tags/0").and_then(Value::as_str);
        let lifecycle = known.map_or(Lifecycle::Current, |known| known.lifecycle);
        let lifecycle = match lifecycle {
            Lifecycle::Current if flag("deprecated") => Lifecycle::Deprecated { since: None, discontinued: None },
            lifecycle => lifecycle,
        };
        Ok(Operation {
            path: path.into(),
            title: text("summary")
                .map_or_else(|| known.map_or_else(|| path.into(), |known| known.title.clone()), Box::from),
            group: known.map(|known| known.group.clone()).or_else(|| group.map(Box::from)).unwrap_or_default(),
            documentation: known.and_then(|known| known.documentation.clone()),
            paginated: known.map_or_else(|| request.field("Limitation").is_some(), |known| known.paginated),
            portfolio: known.is_some_and(|known| known.portfolio),
            restricted: described
                .get("x-restricted")
                .and_then(Value::as_bool)
                .unwrap_or_else(|| known.is_some_and(|known| known.restricted)),
            lifecycle,
            replaced_by: known.map(|known| known.replaced_by.clone()).unwrap_or_default(),
            request: Arc::new(request),
        })
    }

    fn object(&mut self, name: &str, flat: &Flat<'d>, known: Option<&Object>) -> Result<Arc<Object>, Unusable> {
        self.schemas.step()?;
        let mut flat = flat.clone();
        let rules = self.join(&mut flat, 0)?;
        let required: Vec<&str> = flat.required.iter().flatten().copied().collect();
        self.require(&mut flat, &required)?;
        let mut object =
            Object::new(known.map_or(name, |known| &known.name), Vec::new(), known.is_some_and(|known| known.interval));
        object.open = match flat.additional {
            Some(Value::Bool(false)) => false,
            Some(_) => true,
            // An unspecified schema allows everything, but known limits stay.
            None => known.is_none_or(|known| known.open),
        };
        object.fields = known.map(|known| known.fields.clone()).unwrap_or_default();
        for (name, schema) in flat.properties.clone() {
            // Mews' document has a few names in lower case that its API capitalises.
            let position = object.position(name, 0).or_else(|| {
                let same = |field: &Field| {
                    field.name.eq_ignore_ascii_case(name) && name.starts_with(|first: char| first.is_ascii_lowercase())
                };
                object.fields.iter().position(same)
            });
            let known_field = position.and_then(|at| object.fields.get(at));
            let mut field = self.field(name, schema, known_field)?;
            if let Some(required) = &flat.required {
                field.required = required.contains(name);
            }
            // Deprecated properties aren't required, whatever the list says.
            field.required &= field.deprecated.is_none();
            match position.and_then(|at| object.fields.get_mut(at)) {
                Some(place) => *place = field,
                None => object.fields.push(field),
            }
        }
        if object.fields.len() > MOST_FIELDS {
            return Unusable::because(format!("{name} has more than {MOST_FIELDS} fields"));
        }
        let names: Vec<&str> = object.fields.iter().map(|field| &*field.name).collect();
        if known.is_none() && matches!(names[..], ["EndUtc", "StartUtc"] | ["End", "Start"]) {
            // An interval's start comes first; documents are sorted by name.
            object.fields.reverse();
            object.interval = true;
        }
        if let Some(known) = known {
            object.rules = known.rules.iter().filter_map(|rule| rule.moved(known, &object)).collect();
        }
        for rule in rules {
            if let Some(rule) = rule.placed(&object)
                && !object.rules.contains(&rule)
            {
                object.rules.push(rule);
            }
        }
        object.pair();
        if object.watch().is_err() {
            return Unusable::because(format!("{name} has more rules than can be checked"));
        }
        Ok(Arc::new(object))
    }

    /// Adds properties that are only named as required: a schema may require some that it doesn't describe.
    fn require(&mut self, flat: &mut Flat<'d>, names: &[&'d str]) -> Result<(), Unusable> {
        let mut known: HashSet<&str> = flat.properties.iter().map(|(name, _)| *name).collect();
        for &name in names {
            self.schemas.step()?;
            if known.insert(name) {
                flat.properties.push((name, &ANYTHING));
            }
        }
        Ok(())
    }

    /// Merges a schema's forms into one, with rules for their differences.
    fn join(&mut self, flat: &mut Flat<'d>, depth: usize) -> Result<Vec<Told>, Unusable> {
        let mut rules = Vec::new();
        let mut forms = Vec::new();
        for form in std::mem::take(&mut flat.alternatives) {
            self.schemas.step()?;
            let mut form = (*form).clone();
            if depth < DEEPEST {
                rules.extend(self.join(&mut form, depth + 1)?);
            }
            forms.push(form);
        }
        if forms.is_empty() {
            return Ok(rules);
        }
        let required = |form: &Flat<'d>| form.required.clone().unwrap_or_default();
        let common =
            forms.iter().map(required).reduce(|a, b| a.intersection(&b).copied().collect()).unwrap_or_default();
        let own: Vec<BTreeSet<&str>> =
            forms.iter().map(|form| required(form).difference(&common).copied().collect()).collect();
        for form in &forms {
            for &(name, schema) in &form.properties {
                self.schemas.step()?;
                if !flat.properties.iter().any(|(known, _)| *known == name) {
                    flat.properties.push((name, schema));
                }
            }
            flat.types.extend(&form.types);
        }
        for fields in &own {
            let names: Vec<&str> = fields.iter().copied().collect();
            self.require(flat, &names)?;
        }
        // Closed only if every form is.
        let is_closed = |form: &Flat<'d>| matches!(form.additional, Some(Value::Bool(false)));
        if flat.additional.is_none() && forms.iter().all(is_closed) {
            flat.additional = forms.first().and_then(|form| form.additional);
        }
        if forms.iter().any(|form| form.required.is_some()) {
            flat.required.get_or_insert_default().extend(&common);
        }
        match &flat.discriminator {
            Some((on, values)) if values.len() == own.len() => {
                for (fields, value) in own.iter().zip(values) {
                    let when = |field: &&str| Told::When(field.to_string(), (*on).to_owned(), value.clone());
                    rules.extend(fields.iter().filter(|field| *field != on).map(when));
                }
            }
            _ if own.len() > 1 && own.iter().all(|fields| !fields.is_empty()) => {
                rules.push(Told::Sets(
                    own.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect()).collect(),
                ));
            }
            _ => {}
        }
        Ok(rules)
    }

    fn field(&mut self, name: &str, schema: &'d Value, known: Option<&Field>) -> Result<Field, Unusable> {
        let flat = self.schemas.flat(schema)?;
        let mut field = known.cloned().unwrap_or_else(|| Field::new(name, Kind::Any));
        let (mut single, mut array) = (flat.clone(), 0_u8);
        let mut place = schema;
        while (single.types.contains("array") || single.items.is_some()) && array < 8 {
            array += 1;
            let Some(items) = single.items else {
                single = Flat::default();
                break;
            };
            single = self.schemas.flat(items)?;
            place = items;
        }
        let same = known.filter(|known| known.array == array).map(|known| &known.kind);
        // Without a type, the known one stays.
        let says_nothing = array == 0
            && flat.types.is_empty()
            && flat.properties.is_empty()
            && flat.values.is_none()
            && flat.alternatives.is_empty();
        if !(says_nothing && known.is_some()) {
            field.kind = self.kind(name, place, &single, same)?;
            field.array = array;
        }
        if flat.nullable == Some(true) {
            field.required = false;
        }
        let number = |flat: &Flat<'d>, name: &str| flat.numbers.get(name).map(|number| number.clamp(0.0, 4e9) as u32);
        if array > 0 {
            field.max_items = number(&flat, "maxItems").or(field.max_items);
            field.min_items = number(&flat, "minItems").unwrap_or(field.min_items);
            field.unique |= flat.unique;
        } else if matches!(field.kind, Kind::String) {
            field.max_chars = number(&flat, "maxLength").or(field.max_chars);
            field.min_chars = number(&flat, "minLength").unwrap_or(field.min_chars);
        }
        if matches!(field.kind, Kind::String)
            && let Some(pattern) = single.pattern
        {
            let known = self.patterns.entry(pattern).or_insert_with(|| Arc::new(Pattern::of_document(pattern)));
            field.pattern = Some(Arc::clone(known));
        }
        if let Some(months) = flat.numbers.get("x-max-interval-in-months") {
            field.max_months = Some(months.clamp(1.0, 255.0) as u8);
        }
        if matches!(field.kind, Kind::Integer | Kind::Number) {
            field.range = range(&single, field.range.take());
        }
        if flat.deprecated {
            let mut deprecation = field.deprecated.take().map(|known| *known).unwrap_or_default();
            if let Some(message) = flat.message.filter(|_| deprecation.instead.is_none()) {
                deprecation.instead = instead(message);
            }
            field.deprecated = Some(Box::new(deprecation));
        }
        Ok(field)
    }

    fn kind(&mut self, name: &str, place: &'d Value, flat: &Flat<'d>, known: Option<&Kind>) -> Result<Kind, Unusable> {
        if let Some(values) = &flat.values
            && (flat.types.is_empty() || flat.types.contains("string"))
        {
            return Ok(Kind::Enum(Arc::new(values_of(name, flat, values, known))));
        }
        let is_object = flat.types.contains("object") || !flat.properties.is_empty() || !flat.alternatives.is_empty();
        if is_object && flat.types.iter().all(|name| *name == "object") {
            return self.object_kind(name, place, flat, known);
        }
        let mut types = flat.types.iter();
        Ok(match (types.next().copied(), types.next()) {
            (Some("string"), None) => match flat.format {
                Some("uuid") => Kind::Guid,
                Some("date-time") if matches!(known, Some(Kind::Date)) => Kind::Date,
                Some("date-time") => Kind::Utc,
                Some("date") => Kind::Date,
                Some("duration") => Kind::Duration,
                _ if flat.name == Some("HybridIdentifier") => Kind::String,
                // Less specific than what is known, which stays.
                _ => known.filter(|known| is_text(known)).cloned().unwrap_or(Kind::String),
            },
            (Some("boolean"), None) => Kind::Boolean,
            (Some("integer"), None) => match known {
                Some(Kind::Number) => Kind::Number,
                _ => Kind::Integer,
            },
            (Some("number"), None) | (Some("integer"), Some(&"number")) => Kind::Number,
            _ => Kind::Any,
        })
    }

    fn object_kind(
        &mut self,
        name: &str,
        place: &'d Value,
        flat: &Flat<'d>,
        known: Option<&Kind>,
    ) -> Result<Kind, Unusable> {
        let asks = flat.required.as_ref().is_some_and(|names| !names.is_empty());
        if flat.properties.is_empty() && flat.alternatives.is_empty() && !asks {
            let are_texts =
                flat.additional.and_then(|schema| schema.get("type")).and_then(Value::as_str) == Some("string");
            return Ok(match known {
                Some(known @ (Kind::Texts | Kind::Object(_) | Kind::AnyObject)) => known.clone(),
                _ if are_texts => Kind::Texts,
                _ => Kind::AnyObject,
            });
        }
        let known = match known {
            Some(Kind::Object(object)) => Some(&**object),
            _ => None,
        };
        // A referenced schema has one address for all references.
        let referred = target(place).and_then(|reference| self.schemas.number_of(reference));
        let schema = referred.unwrap_or_else(|| std::ptr::from_ref(place).addr());
        let key = (schema, known.map_or(0, |known| std::ptr::from_ref(known).addr()));
        if let Some(object) = self.objects.get(&key) {
            return Ok(Kind::Object(Arc::clone(object)));
        }
        if self.pending.contains(&schema) || self.pending.len() >= DEEPEST {
            return Ok(Kind::AnyObject);
        }
        self.pending.push(schema);
        let object = self.object(flat.name.unwrap_or(name), flat, known);
        self.pending.pop();
        let object = object?;
        self.objects.insert(key, Arc::clone(&object));
        Ok(Kind::Object(object))
    }
}

/// The schema that this one is an alias of.
fn target(schema: &Value) -> Option<&str> {
    let direct = schema.get("$ref").and_then(Value::as_str);
    let wrapped = || {
        let parts = ["allOf", "anyOf", "oneOf"].into_iter().find_map(|word| schema.get(word))?.as_array()?;
        let mut references = parts.iter().filter_map(|part| part.get("$ref").and_then(Value::as_str));
        let first = references.next()?;
        (references.next().is_none() && schema.get("properties").is_none()).then_some(first)
    };
    direct.or_else(wrapped)
}

/// Whether values of a kind are strings.
fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::String | Kind::Utc | Kind::Date | Kind::Month | Kind::Duration | Kind::Guid)
}

fn values_of(name: &str, flat: &Flat<'_>, values: &[String], known: Option<&Kind>) -> Enum {
    let known = match known {
        Some(Kind::Enum(known)) => Some(&**known),
        _ => None,
    };
    // Known ones keep their positions.
    let mut all: Vec<Box<str>> = known
        .map(|known| {
            known.values.iter().filter(|value| values.iter().any(|told| **told == ***value)).cloned().collect()
        })
        .unwrap_or_default();
    all.extend(
        values.iter().filter(|value| known.is_none_or(|known| !known.has(value))).map(|value| value.as_str().into()),
    );
    let says_deprecated = |value: &str| {
        let at = values.iter().position(|known| known == value)?;
        let said = flat.descriptions?.get(at)?.as_str()?;
        said.to_ascii_lowercase().contains("deprecated").then_some(())
    };
    let deprecated = all.iter().filter_map(|value| {
        let deprecation = known.and_then(|known| known.deprecation(value)).cloned();
        let deprecation = deprecation.or_else(|| says_deprecated(value).map(|()| Deprecation::default()))?;
        Some((value.clone(), deprecation))
    });
    Enum {
        name: known.map_or_else(|| flat.name.unwrap_or(name).into(), |known| known.name.clone()),
        deprecated: deprecated.collect(),
        open: flat.open || known.is_some_and(|known| known.open),
        values: all,
    }
}

/// The allowed range of a number; fractional bounds are rounded outwards.
fn range(flat: &Flat<'_>, known: Option<std::ops::RangeInclusive<i64>>) -> Option<std::ops::RangeInclusive<i64>> {
    let bound = |name: &str| flat.numbers.get(name).copied();
    let least = bound("minimum").map(|least| least.floor() as i64);
    let least = least.or_else(|| {
        bound("exclusiveMinimum").map(|below| below.floor() as i64 + i64::from(flat.types.contains("integer")))
    });
    let most = bound("maximum").map(|most| most.ceil() as i64);
    let most = most.or_else(|| {
        bound("exclusiveMaximum").map(|above| above.ceil() as i64 - i64::from(flat.types.contains("integer")))
    });
    if least.is_none() && most.is_none() {
        return known;
    }
    let (from, to) = known.map_or((i64::MIN, i64::MAX), |known| known.into_inner());
    Some(least.unwrap_or(from)..=most.unwrap_or(to))
}

/// The replacement that a deprecation message names, or else its first words.
fn instead(message: &str) -> Option<Box<str>> {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).filter(|name| !name.is_empty()).collect();
    if !names.is_empty() {
        return Some(names.join(" or ").into());
    }
    let short: String = message.trim().trim_end_matches('.').chars().take(100).collect();
    (!short.is_empty()).then(|| short.into())
}

/// A rule between a schema's forms, by names.
enum Told {
    When(String, String, String),
    Sets(Vec<Vec<String>>),
}

impl Told {
    fn placed(&self, object: &Object) -> Option<Rule> {
        let at = |name: &String| object.position(name, 0);
        match self {
            Self::When(field, on, value) => {
                let (field, on) = (at(field)?, at(on)?);
                let value = object.fields.get(on)?.constant(value)?;
                Some(Rule::When { field, inner: None, on, values: vec![value], need: Need::Present })
            }
            Self::Sets(sets) => {
                let sets: Option<Vec<Vec<usize>>> = sets.iter().map(|set| set.iter().map(at).collect()).collect();
                sets.map(Rule::Sets)
            }
        }
    }
}
