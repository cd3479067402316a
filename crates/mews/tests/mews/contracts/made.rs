//! Requests made from the contracts, so that they are right by all that these say.

use nightaudit_mews::{Date, Field, Kind, Need, Object, Rule};
use serde_json::{Map, Value, json};

/// A stream of choices, so that what is made from it shrinks with it: out of choices, everything is as small as allowed.
pub(crate) struct Choices(Box<dyn Iterator<Item = u16>>);

impl Choices {
    pub(crate) fn of(choices: Vec<u16>) -> Self {
        Self(Box::new(choices.into_iter()))
    }

    /// Chooses everything that may be there.
    pub(crate) fn all() -> Self {
        Self(Box::new(std::iter::repeat(u16::MAX)))
    }

    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % (most + 1)
    }
}

pub(crate) fn object(object: &Object, choices: &mut Choices) -> Value {
    let mut map = Map::new();
    for field in object.fields.iter().filter(|field| field.deprecated.is_none()) {
        let value = match choices.up_to(3) {
            _ if field.required => value(field, choices),
            0 => continue,
            1 => Value::Null,
            _ => value(field, choices),
        };
        map.insert(field.name.to_string(), value);
    }
    for field in &object.fields {
        let is_there = |name: &str| map.get(name).is_some_and(|value| !value.is_null());
        if field.with.as_deref().is_some_and(|with| !is_there(with)) {
            map.remove(&*field.name);
        }
    }
    keep_rules(object, &mut map, choices);
    Value::Object(map)
}

/// Makes an object right by its rules, too.
fn keep_rules(object: &Object, map: &mut Map<String, Value>, choices: &mut Choices) {
    let name = |at: usize| object.fields[at].name.to_string();
    let is_there = |map: &Map<String, Value>, at: usize| map.get(&name(at)).is_some_and(|value| !value.is_null());
    let put = |map: &mut Map<String, Value>, at: usize| {
        map.insert(name(at), filled(&object.fields[at]));
    };
    for rule in &object.rules {
        match rule {
            Rule::SomeOf(fields) if !fields.iter().any(|&at| is_there(map, at)) => {
                put(map, fields[choices.up_to(fields.len() - 1)]);
            }
            Rule::With { field, inner, others } if is_there(map, *field) => {
                let asks = inner.is_none_or(|inner| {
                    let Kind::Object(within) = &object.fields[*field].kind else { return false };
                    let name_of = &within.fields[inner].name;
                    let has = |item: &Value| item.get(&**name_of).is_some_and(|value| !value.is_null());
                    map[&name(*field)].as_array().map_or_else(|| has(&map[&name(*field)]), |all| all.iter().any(has))
                });
                others
                    .iter()
                    .filter(|_| asks)
                    .filter(|&&at| !is_there(map, at))
                    .copied()
                    .collect::<Vec<_>>()
                    .iter()
                    .for_each(|&at| put(map, at));
            }
            Rule::Only { field, on, values } if is_there(map, *field) && !has_one_of(object, map, *on, values) => {
                map.remove(&name(*field));
            }
            Rule::Value { field, allowed, on, values }
                if has_one_of(object, map, *on, values)
                    && !has_one_of(object, map, *field, allowed)
                    && is_there(map, *field) =>
            {
                set_constant(object, map, *field, allowed[0]);
            }
            Rule::Has { field, array, value } if is_there(map, *field) => {
                map.insert(name(*array), json!([constants(&object.fields[*array])[*value]]));
            }
            Rule::AtMost { field, count, beside } if is_there(map, *beside) => {
                if let Some(items) = map.get_mut(&name(*field)).and_then(Value::as_array_mut) {
                    items.truncate(*count as usize);
                }
            }
            Rule::Sum { field, inner, of } => {
                let items = map.get(&name(*field)).and_then(Value::as_array).filter(|items| !items.is_empty());
                if let Some(items) = items {
                    let sum: i64 = items.iter().map(|item| item[&**inner].as_i64().unwrap_or(0)).sum();
                    // The sum of a relative adjustment is told without its sign, which no negative sum can be.
                    let items: Vec<Value> = items.clone();
                    if sum < 0 {
                        let turned = items.into_iter().map(|mut item| {
                            item[&**inner] = json!(-item[&**inner].as_i64().unwrap_or(0));
                            item
                        });
                        map.insert(name(*field), turned.collect());
                    }
                    map.insert(name(*of), json!({ "Value": -sum }));
                }
            }
            Rule::AnyOf(fields)
                if !fields.iter().any(|&at| is_there(map, at) && map.get(&name(at)) != Some(&json!([]))) =>
            {
                put(map, fields[choices.up_to(fields.len() - 1)]);
            }
            Rule::OneOf(fields) => {
                for &at in fields.iter().filter(|&&at| is_there(map, at)).collect::<Vec<_>>().iter().skip(1) {
                    map.remove(&name(*at));
                }
            }
            Rule::Beside { field, others }
                if is_there(map, *field)
                    && !others.iter().any(|&at| is_there(map, at) && map[&name(at)] != json!([])) =>
            {
                put(map, others[choices.up_to(others.len() - 1)]);
            }
            Rule::Sets(sets) => {
                let chosen = &sets[choices.up_to(sets.len() - 1)];
                for &at in sets.iter().flatten() {
                    map.remove(&name(at));
                }
                chosen.iter().for_each(|&at| put(map, at));
            }
            _ => {}
        }
    }
    for rule in &object.rules {
        match rule {
            Rule::Order(from, to) | Rule::Span { from, to, .. } => {
                if let (true, true, Some(start)) =
                    (is_there(map, *from), is_there(map, *to), map.get(&name(*from)).cloned())
                {
                    map.insert(name(*to), start);
                }
            }
            Rule::When { field, inner, on, values, need } if has_one_of(object, map, *on, values) => {
                let is_empty = map.get(&name(*field)) == Some(&json!([]));
                match need {
                    Need::Present if is_there(map, *field) => {}
                    Need::Filled if is_there(map, *field) && !is_empty => {}
                    Need::FilledIfPresent if !is_there(map, *field) => {}
                    _ => put(map, *field),
                }
                let Some(inner) = inner else { continue };
                let Kind::Object(within) = &object.fields[*field].kind else { continue };
                let inner = &within.fields[*inner];
                map[&name(*field)][&*inner.name] = filled(inner);
            }
            _ => {}
        }
    }
}

/// Whether a field has one of some values, which are told by their positions.
pub(crate) fn has_one_of(object: &Object, map: &Map<String, Value>, on: usize, values: &[usize]) -> bool {
    let field = &object.fields[on];
    let value = map.get(&*field.name).map(|value| value.get("Value").unwrap_or(value));
    let constants: Vec<Value> = constants(field);
    values.iter().any(|&at| value.is_some_and(|value| Some(value) == constants.get(at)))
}

/// Gives a field a value, or its update.
pub(crate) fn set_constant(object: &Object, map: &mut Map<String, Value>, at: usize, value: usize) {
    let field = &object.fields[at];
    let value = constants(field)[value].clone();
    let is_update = matches!(field.kind, Kind::Object(_));
    map.insert(field.name.to_string(), if is_update { json!({ "Value": value }) } else { value });
}

/// The values of an enum, or of an update's; of a boolean false and true.
pub(crate) fn constants(field: &Field) -> Vec<Value> {
    match &field.kind {
        Kind::Enum(values) => values.values.iter().map(|value| json!(value)).collect(),
        Kind::Object(object) => constants(&object.fields[0]),
        _ => vec![json!(false), json!(true)],
    }
}

/// A string of each pattern.
const FORMS: [(&str, &str); 8] = [
    ("country", "GB"),
    ("country-alpha-2", "CZ"),
    ("currency", "EUR"),
    ("duns", "123456789"),
    ("iban", "GB29NWBK60161331926819"),
    ("masked-card", "411111******1111"),
    ("month-year", "10/2031"),
    ("subdivision", "AU-NSW"),
];

/// A value that holds something.
pub(crate) fn filled(field: &Field) -> Value {
    let value = single(field, &mut Choices::of(vec![]));
    (0..field.array).fold(value, |value, _| json!([value]))
}

pub(crate) fn value(field: &Field, choices: &mut Choices) -> Value {
    if field.array == 0 {
        return single(field, choices);
    }
    let most = field.max_items.unwrap_or(3).min(3) as usize;
    let least = field.min_items as usize;
    let count = least + choices.up_to(most - least);
    let mut items: Vec<Value> = (0..count).map(|_| single(field, choices)).collect();
    if let Some(name) = &field.distinct {
        items.iter_mut().enumerate().for_each(|(at, item)| item[&**name] = json!(at + 1));
    }
    // Deeper arrays than lists there are not in the catalogue.
    assert_eq!(field.array, 1);
    Value::Array(items)
}

pub(crate) fn single(field: &Field, choices: &mut Choices) -> Value {
    match &field.kind {
        Kind::String if field.pattern.is_some() => {
            let pattern = field.pattern.as_ref().map_or("", |pattern| &pattern.name);
            let (_, text) = FORMS.iter().find(|(name, _)| *name == pattern).expect("each pattern has an example");
            (*text).into()
        }
        Kind::String => {
            let length = choices.up_to(field.max_chars.unwrap_or(20).min(20) as usize);
            let letters = ['a', 'é', '😀', '"', '\\', '/', '\n', '\u{0}'];
            (0..length).map(|_| letters[choices.up_to(letters.len() - 1)]).collect::<String>().into()
        }
        Kind::Utc if field.time_unit => format!("{}T23:45:00Z", day(choices.up_to(20_000) as i32)).into(),
        Kind::Utc => time(choices.up_to(20_000) as i32).into(),
        Kind::Date => day(choices.up_to(20_000) as i32).to_string().into(),
        Kind::Boolean => (choices.up_to(1) == 1).into(),
        Kind::Integer | Kind::Number => match &field.range {
            Some(range) => {
                let span = usize::try_from(range.end() - range.start()).unwrap_or(0);
                (range.start() + choices.up_to(span) as i64).into()
            }
            None if matches!(field.kind, Kind::Number) => (choices.up_to(1000) as f64 / 4.0 - 100.0).into(),
            None => (choices.up_to(1000) as i64 - 500).into(),
        },
        Kind::Texts => json!({"en-GB": "Children", "cs-CZ": null}),
        Kind::Month => "2026-01".into(),
        Kind::Duration => ["P1D", "PT30M", "-P1DT12H", "P0Y0M2DT0H0M0S"][choices.up_to(3)].into(),
        Kind::Guid => format!("3fa85f64-5717-4562-b3fc-{:012x}", choices.up_to(1000)).into(),
        Kind::Any | Kind::AnyObject => json!({"Anything": [{"it": "takes"}]}),
        Kind::Object(object) if object.interval => {
            let most = field.max_months.map_or(1000, |months| usize::from(months) * 28);
            let days = choices.up_to(field.max_days.map_or(most, usize::from)) as i32;
            interval(object, days)
        }
        Kind::Object(inner) => object(inner, choices),
        Kind::Enum(values) => {
            let current: Vec<_> = values.values.iter().filter(|value| !values.is_deprecated(value)).collect();
            current[choices.up_to(current.len() - 1)].to_string().into()
        }
    }
}

pub(crate) fn day(days: i32) -> Date {
    Date::constant(2020, 1, 1).saturating_add(jiff::Span::new().days(days))
}

pub(crate) fn time(days: i32) -> String {
    format!("{}T23:59:59.5Z", day(days))
}

pub(crate) fn interval(object: &Object, days: i32) -> Value {
    let write = |days| if matches!(object.fields[0].kind, Kind::Utc) { time(days) } else { day(days).to_string() };
    json!({ &*object.fields[0].name: write(0), &*object.fields[1].name: write(days) })
}
