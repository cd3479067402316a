//! Requests made from the contracts themselves: they pass, and each kind of damage gives exactly its finding.

use std::collections::HashSet;

use nightaudit_mews::{Date, Field, Finding, FindingKind, Kind, Object, Operation, check_request, operations};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A stream of choices, so that what is made from it shrinks with it: out of choices, everything is as small as allowed.
struct Choices(Box<dyn Iterator<Item = u16>>);

impl Choices {
    fn of(choices: Vec<u16>) -> Self {
        Self(Box::new(choices.into_iter()))
    }

    /// Chooses everything that may be there.
    fn all() -> Self {
        Self(Box::new(std::iter::repeat(u16::MAX)))
    }

    fn up_to(&mut self, most: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % (most + 1)
    }
}

fn object(object: &Object, choices: &mut Choices) -> Value {
    let mut map = Map::new();
    for field in object.fields.iter().filter(|field| !field.deprecated) {
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
    Value::Object(map)
}

fn value(field: &Field, choices: &mut Choices) -> Value {
    if field.array == 0 {
        return single(field, choices);
    }
    let most = field.max_items.unwrap_or(3).min(3) as usize;
    let items = (0..choices.up_to(most)).map(|_| single(field, choices)).collect();
    // Deeper arrays than lists there are not in the catalogue.
    assert_eq!(field.array, 1);
    Value::Array(items)
}

fn single(field: &Field, choices: &mut Choices) -> Value {
    match &field.kind {
        Kind::String => {
            let length = choices.up_to(field.max_chars.unwrap_or(20).min(20) as usize);
            let letters = ['a', 'é', '😀', '"', '\\', '/', '\n', '\u{0}'];
            (0..length).map(|_| letters[choices.up_to(letters.len() - 1)]).collect::<String>().into()
        }
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
        Kind::AnyObject => json!({"Anything": [{"it": "takes"}]}),
        Kind::Object(object) if object.interval => {
            let days = choices.up_to(field.max_months.map_or(1000, |months| usize::from(months) * 28)) as i32;
            interval(object, days)
        }
        Kind::Object(inner) => object(inner, choices),
        Kind::Enum(values) => {
            let current: Vec<_> = values.values.iter().filter(|value| !values.is_deprecated(value)).collect();
            current[choices.up_to(current.len() - 1)].to_string().into()
        }
    }
}

fn day(days: i32) -> Date {
    Date::constant(2020, 1, 1).saturating_add(jiff::Span::new().days(days))
}

fn time(days: i32) -> String {
    format!("{}T23:59:59.5Z", day(days))
}

fn interval(object: &Object, days: i32) -> Value {
    let write = |days| if matches!(object.fields[0].kind, Kind::Utc) { time(days) } else { day(days).to_string() };
    json!({ &*object.fields[0].name: write(0), &*object.fields[1].name: write(days) })
}

/// A field of an object that stands in a request.
struct Site<'a> {
    object: &'a Object,
    field: &'a Field,
    /// The pointer of the object.
    parent: String,
}

fn sites<'a>(object: &'a Object, body: &Value, parent: &str, found: &mut Vec<Site<'a>>) {
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

const DAMAGES: [FindingKind; 11] = [
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
];

/// Does one kind of damage to a body that passes; where the finding has to be, or `None` if the site can't have it.
fn damage(body: &mut Value, site: &Site<'_>, kind: FindingKind) -> Option<String> {
    let Site { object, field, parent } = site;
    if field.deprecated != (kind == FindingKind::DeprecatedField) {
        return None;
    }
    let map = body.pointer_mut(parent)?.as_object_mut()?;
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
        (FindingKind::TooManyItems, _) => json!(vec![item; field.max_items? as usize + 1]),
        (FindingKind::TooManyCharacters, _) => json!("é".repeat(field.max_chars? as usize + 1)),
        (FindingKind::IntervalTooLong, Kind::Object(inner)) => interval(inner, i32::from(field.max_months?) * 31 + 1),
        (FindingKind::MalformedTime, Kind::Utc) => wrapped(json!("2026-01-31T13:00:00+01:00"), &mut pointer),
        (FindingKind::MalformedTime, Kind::Date) => wrapped(json!("31.1.2026"), &mut pointer),
        (FindingKind::OutOfRange, _) => json!(field.range.as_ref()?.end() + 1),
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

fn check(operation: &Operation, body: &Value) -> Vec<Finding> {
    check_request(operation, body.to_string().as_bytes())
}

/// Everything that the catalogue says at all is held against a request: each field of each type, in each way.
#[test]
fn each_damage_to_each_field_gives_its_finding() {
    let mut seen = HashSet::new();
    let mut done = HashSet::new();
    for operation in operations() {
        let body = object(&operation.request, &mut Choices::all());
        assert_eq!(check(operation, &body), [], "{}", operation.path);
        let mut found = Vec::new();
        sites(&operation.request, &body, "", &mut found);
        found.retain(|site| done.insert((site.object.name.clone(), site.field.name.clone())));
        for (site, kind) in found.iter().flat_map(|site| DAMAGES.map(|kind| (site, kind))) {
            let mut body = body.clone();
            let Some(pointer) = damage(&mut body, site, kind) else { continue };
            let findings = check(operation, &body);
            let got: Vec<_> = findings.iter().map(|finding| (finding.kind, &*finding.pointer)).collect();
            assert_eq!(got, [(kind, &*pointer)], "{}: {body}", operation.path);
            seen.insert(kind);
        }
    }
    assert_eq!(seen, HashSet::from(DAMAGES));
}

fn operation() -> impl Strategy<Value = &'static Operation> {
    any::<prop::sample::Index>().prop_map(|index| &operations()[index.index(operations().len())])
}

fn request() -> impl Strategy<Value = (&'static Operation, Value)> {
    (operation(), prop::collection::vec(any::<u16>(), 0..400))
        .prop_map(|(operation, choices)| (operation, object(&operation.request, &mut Choices::of(choices))))
}

proptest! {
    #[test]
    fn a_request_made_from_its_contract_passes((operation, body) in request()) {
        prop_assert_eq!(check(operation, &body), []);
    }

    #[test]
    fn damage_to_it_gives_exactly_its_finding(
        (operation, body) in request(),
        pick in any::<prop::sample::Index>(),
        kind in prop::sample::select(&DAMAGES),
    ) {
        let mut found = Vec::new();
        sites(&operation.request, &body, "", &mut found);
        let mut damaged = body.clone();
        // Where the site that was drawn can't have this damage, the next one that can is taken.
        let pointer = found.iter().cycle().skip(pick.index(found.len())).take(found.len()).find_map(|site| {
            damaged = body.clone();
            damage(&mut damaged, site, kind)
        });
        if let Some(pointer) = pointer {
            let findings = check(operation, &damaged);
            let got: Vec<_> = findings.iter().map(|finding| (finding.kind, &*finding.pointer)).collect();
            prop_assert_eq!(got, [(kind, &*pointer)]);
        }
    }

    #[test]
    fn a_cut_request_is_broken_json_and_nothing_else((operation, body) in request(), cut in any::<prop::sample::Index>()) {
        let body = body.to_string();
        let findings = check_request(operation, &body.as_bytes()[..cut.index(body.len())]);
        prop_assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::BrokenJson]);
    }

    #[test]
    fn no_bytes_do_harm(operation in operation(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let findings = check_request(operation, &body);
        prop_assert!(!findings.is_empty());
    }
}
