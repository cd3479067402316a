//! What can be wrong in a request, done to one that is right: the finding's pointer is told by where it was done.

use nightaudit_mews::{Field, FindingKind, Kind, Need, Object, Rule};
use serde_json::{Map, Value, json};

use super::made::{Choices, constants, day, filled, interval, set_constant, single, time, value};

/// A field of an object that stands in a request.
pub(crate) struct Site<'a> {
    pub(crate) object: &'a Object,
    pub(crate) field: &'a Field,
    /// The pointer of the object.
    pub(crate) parent: String,
}

pub(crate) fn sites<'a>(object: &'a Object, body: &Value, parent: &str, found: &mut Vec<Site<'a>>) {
    for field in &object.fields {
        found.push(Site { object, field, parent: parent.to_owned() });
        let Kind::Object(inner) = &field.kind else { continue };
        let pointer = format!("{parent}/{}", field.name);
        match body.get(&*field.name) {
            Some(Value::Array(items)) => {
                let items = items.iter().enumerate().take(1);
                items.for_each(|(index, item)| sites(inner, item, &format!("{pointer}/{index}"), found));
            }
            Some(value @ Value::Object(_)) => sites(inner, value, &pointer, found),
            _ => {}
        }
    }
}

pub(crate) const DAMAGES: [FindingKind; 16] = [
    FindingKind::MissingField,
    FindingKind::UnknownField,
    FindingKind::WrongType,
    FindingKind::UnknownValue,
    FindingKind::TooManyItems,
    FindingKind::TooManyCharacters,
    FindingKind::IntervalTooLong,
    FindingKind::MalformedTime,
    FindingKind::OutOfRange,
    FindingKind::DeprecatedField,
    FindingKind::MissingPartner,
    FindingKind::ReversedInterval,
    FindingKind::MalformedDuration,
    FindingKind::MalformedId,
    FindingKind::MalformedText,
    FindingKind::TooFewItems,
];

/// Does one kind of damage to a body that passes; where the finding has to be, or `None` if the site can't have it.
pub(crate) fn damage(body: &mut Value, site: &Site<'_>, kind: FindingKind) -> Option<String> {
    let Site { object, field, parent } = site;
    if field.deprecated.is_some() != (kind == FindingKind::DeprecatedField) {
        return None;
    }
    let map = body.pointer_mut(parent)?.as_object_mut()?;
    // What excludes the field, or asks for it by another value, would have a finding of its own.
    for rule in &object.rules {
        let position = object.fields.iter().position(|known| known.name == field.name)?;
        match rule {
            Rule::OneOf(fields) if fields.contains(&position) => {
                fields.iter().filter(|&&at| at != position).for_each(|&at| drop(map.remove(&*object.fields[at].name)));
            }
            Rule::Sets(sets) if sets.iter().flatten().any(|&at| at == position) && !map.contains_key(&*field.name) => {
                return None;
            }
            // An empty list is no filter, so that nothing but it would be beside the field.
            Rule::Beside { field, .. } if *field == position && !map.contains_key(&*object.fields[position].name) => {
                return None;
            }
            Rule::With { field, .. } | Rule::Only { field, .. } | Rule::Has { field, .. }
                if *field == position && !map.contains_key(&*object.fields[position].name) =>
            {
                return None;
            }
            Rule::AtMost { beside, .. } if *beside == position && !map.contains_key(&*object.fields[position].name) => {
                return None;
            }
            Rule::Has { array, .. } if *array == position => return None,
            Rule::Only { on, .. } if *on == position => return None,
            Rule::When { on, .. } if *on == position => return None,
            Rule::When { field, .. } if *field == position => return None,
            _ => {}
        }
    }
    // A field that stands alone where two belong together has that finding too.
    let alone = field.with.as_deref().is_some_and(|partner| map.get(partner).is_none_or(Value::is_null));
    if alone && kind != FindingKind::MissingPartner {
        return None;
    }
    let mut pointer = format!("{parent}/{}", field.name);
    let (item, list) = (single(field, &mut Choices::of(vec![])), field.array > 0);
    let wrapped = |value: Value, pointer: &mut String| {
        if list {
            pointer.push_str("/0");
            json!([value])
        } else {
            value
        }
    };
    let damaged = match (kind, &field.kind) {
        (FindingKind::MissingField, _) if field.required => {
            map.remove(&*field.name);
            return Some(pointer);
        }
        (FindingKind::UnknownField, _) if !object.open => {
            map.insert("Zzyzx/Road".to_owned(), json!({"whatever": [1]}));
            return Some(format!("{parent}/Zzyzx~1Road"));
        }
        (FindingKind::WrongType, Kind::Boolean) => json!("true"),
        (FindingKind::WrongType, _) => json!(true),
        (FindingKind::UnknownValue, Kind::Enum(values)) if !values.open => wrapped(json!("Zzyzx Road"), &mut pointer),
        (FindingKind::TooFewItems, _) if field.min_items > 0 => json!([]),
        (FindingKind::MalformedText, _) => {
            field.pattern.as_ref()?;
            wrapped(json!("Zzyzx!"), &mut pointer)
        }
        // The items would have to differ, and to add up.
        (FindingKind::TooManyItems, _) if field.distinct.is_some() => return None,
        (FindingKind::TooManyItems, _) => json!(vec![item; field.max_items? as usize + 1]),
        (FindingKind::TooManyCharacters, _) => json!("é".repeat(field.max_chars? as usize + 1)),
        (FindingKind::IntervalTooLong, Kind::Object(inner)) => {
            let days = field.max_days.map(i32::from).or_else(|| Some(i32::from(field.max_months?) * 31));
            interval(inner, days? + 1)
        }
        (FindingKind::ReversedInterval, Kind::Object(inner)) if inner.interval => interval(inner, -1),
        (FindingKind::MalformedTime, Kind::Month) => wrapped(json!("01/2026"), &mut pointer),
        (FindingKind::MalformedDuration, Kind::Duration) => wrapped(json!("1.12:00:00"), &mut pointer),
        (FindingKind::MalformedId, Kind::Guid) => wrapped(json!("12345"), &mut pointer),
        (FindingKind::MalformedTime, Kind::Utc) => wrapped(json!("2026-01-31T13:00:00+01:00"), &mut pointer),
        (FindingKind::MalformedTime, Kind::Date) => wrapped(json!("31.1.2026"), &mut pointer),
        (FindingKind::OutOfRange, _) => {
            let range = field.range.as_ref()?;
            json!(range.end().checked_add(1).unwrap_or(range.start() - 1))
        }
        (FindingKind::DeprecatedField, _) => value(field, &mut Choices::of(vec![1])),
        (FindingKind::MissingPartner, _) => {
            map.remove(field.with.as_deref()?);
            json!("en-GB")
        }
        _ => return None,
    };
    map.insert(field.name.to_string(), damaged);
    Some(pointer)
}

/// Breaks a rule; the finding that it has to give, below the object.
pub(crate) fn break_rule(object: &Object, map: &mut Map<String, Value>, rule: &Rule) -> Option<(FindingKind, String)> {
    let name = |at: usize| object.fields[at].name.to_string();
    let time_at = |at: usize, days: i32| {
        let field = &object.fields[at];
        match &field.kind {
            Kind::Utc => json!(time(days).replace("59:59.5", "45:00")),
            Kind::Date => json!(day(days).to_string()),
            _ => json!({ "Value": time(days).replace("59:59.5", "45:00") }),
        }
    };
    match rule {
        Rule::AnyOf(fields) => {
            fields.iter().for_each(|&at| drop(map.remove(&name(at))));
            Some((FindingKind::MissingFilter, String::new()))
        }
        Rule::SomeOf(fields) => {
            fields.iter().for_each(|&at| drop(map.remove(&name(at))));
            Some((FindingKind::MissingField, String::new()))
        }
        Rule::With { field, inner, others } => {
            others.iter().for_each(|&at| drop(map.remove(&name(at))));
            let value = match (inner, &object.fields[*field].kind) {
                (Some(inner), Kind::Object(within)) => {
                    let inner = &within.fields[*inner];
                    json!([{ &*inner.name: filled(inner) }])
                }
                _ => filled(&object.fields[*field]),
            };
            map.insert(name(*field), value);
            Some((FindingKind::MissingPartner, format!("/{}", name(*field))))
        }
        Rule::Only { field, on, values } => {
            let other = (0..constants(&object.fields[*on]).len()).find(|at| !values.contains(at))?;
            set_constant(object, map, *on, other);
            map.insert(name(*field), filled(&object.fields[*field]));
            Some((FindingKind::Conflict, format!("/{}", name(*field))))
        }
        Rule::Value { field, allowed, on, values } => {
            let other = (0..constants(&object.fields[*field]).len()).find(|at| !allowed.contains(at))?;
            set_constant(object, map, *on, values[0]);
            set_constant(object, map, *field, other);
            Some((FindingKind::Conflict, format!("/{}", name(*field))))
        }
        Rule::Has { field, array, .. } => {
            map.remove(&name(*array));
            map.insert(name(*field), filled(&object.fields[*field]));
            Some((FindingKind::MissingPartner, format!("/{}", name(*field))))
        }
        Rule::AtMost { field, count, beside } => {
            map.insert(name(*beside), filled(&object.fields[*beside]));
            let item = single(&object.fields[*field], &mut Choices::of(vec![]));
            map.insert(name(*field), json!(vec![item; *count as usize + 1]));
            Some((FindingKind::TooManyItems, format!("/{}", name(*field))))
        }
        Rule::Sum { field, inner, of } => {
            map.insert(name(*field), json!([{ &**inner: 3 }]));
            map.insert(name(*of), json!({ "Value": -2 }));
            Some((FindingKind::Conflict, format!("/{}", name(*field))))
        }
        Rule::OneOf(fields) => {
            fields.iter().for_each(|&at| drop(map.insert(name(at), filled(&object.fields[at]))));
            Some((FindingKind::ExclusiveFields, format!("/{}", name(*fields.last()?))))
        }
        Rule::Beside { field, others } => {
            others.iter().for_each(|&at| drop(map.remove(&name(at))));
            map.insert(name(*field), filled(&object.fields[*field]));
            Some((FindingKind::MissingFilter, format!("/{}", name(*field))))
        }
        Rule::When { field, inner, on, values, need } => {
            set_constant(object, map, *on, values[0]);
            match inner {
                None if *need == Need::FilledIfPresent => {
                    map.insert(name(*field), json!({ "Value": [] }));
                    Some((FindingKind::MissingField, format!("/{}", name(*field))))
                }
                None if *need == Need::Filled => {
                    map.insert(name(*field), json!([]));
                    Some((FindingKind::MissingField, format!("/{}", name(*field))))
                }
                None => {
                    map.remove(&name(*field));
                    Some((FindingKind::MissingField, format!("/{}", name(*field))))
                }
                Some(inner) => {
                    map.insert(name(*field), json!({}));
                    let Kind::Object(within) = &object.fields[*field].kind else { return None };
                    Some((FindingKind::MissingField, format!("/{}/{}", name(*field), within.fields[*inner].name)))
                }
            }
        }
        Rule::Sets(sets) => {
            sets.iter().flatten().for_each(|&at| drop(map.insert(name(at), filled(&object.fields[at]))));
            Some((FindingKind::ExclusiveFields, format!("/{}", name(sets[0][0]))))
        }
        Rule::Order(from, to) if !object.interval => {
            map.insert(name(*from), time_at(*from, 10));
            map.insert(name(*to), time_at(*to, 9));
            Some((FindingKind::ReversedInterval, format!("/{}", name(*to))))
        }
        Rule::Order(..) => None,
        Rule::Span { from, to, days, .. } => {
            map.insert(name(*from), time_at(*from, 10));
            map.insert(name(*to), time_at(*to, 11 + i32::from(*days)));
            Some((FindingKind::IntervalTooLong, format!("/{}", name(*to))))
        }
    }
}
