//! Requests made from the contracts themselves: they pass, and each kind of damage gives exactly its finding.

use std::collections::HashSet;

use nightaudit_mews::{Date, Field, Finding, FindingKind, Kind, Object, Operation, Rule, check_request, operations};
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
            Rule::When { field, inner, on, .. } if decides(object, map, rule) => {
                if !is_there(map, *field) {
                    put(map, *field);
                }
                let _ = on;
                let Some(inner) = inner else { continue };
                let Kind::Object(within) = &object.fields[*field].kind else { continue };
                let inner = &within.fields[*inner];
                map[&name(*field)][&*inner.name] = filled(inner);
            }
            _ => {}
        }
    }
}

/// Whether the value is there by which a field must be.
fn decides(object: &Object, map: &Map<String, Value>, rule: &Rule) -> bool {
    let Rule::When { on, values, .. } = rule else { return false };
    let field = &object.fields[*on];
    let value = map.get(&*field.name).map(|value| value.get("Value").unwrap_or(value));
    let constants: Vec<Value> = constants(field);
    values.iter().any(|&at| value.is_some_and(|value| Some(value) == constants.get(at)))
}

/// The values of an enum, or of an update's; of a boolean false and true.
fn constants(field: &Field) -> Vec<Value> {
    match &field.kind {
        Kind::Enum(values) => values.values.iter().map(|value| json!(value)).collect(),
        Kind::Object(object) => constants(&object.fields[0]),
        _ => vec![json!(false), json!(true)],
    }
}

/// A value that holds something.
fn filled(field: &Field) -> Value {
    let value = single(field, &mut Choices::of(vec![]));
    (0..field.array).fold(value, |value, _| json!([value]))
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

const DAMAGES: [FindingKind; 14] = [
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
];

/// Does one kind of damage to a body that passes; where the finding has to be, or `None` if the site can't have it.
fn damage(body: &mut Value, site: &Site<'_>, kind: FindingKind) -> Option<String> {
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

/// Each rule that holds between fields, broken wherever it stands.
#[test]
fn each_broken_rule_gives_its_finding() {
    let mut broken = 0;
    for operation in operations() {
        let body = object(&operation.request, &mut Choices::all());
        let mut objects = vec![(&*operation.request, String::new())];
        let mut found = Vec::new();
        sites(&operation.request, &body, "", &mut found);
        for site in &found {
            if !objects.iter().any(|(_, parent)| *parent == site.parent) {
                objects.push((site.object, site.parent.clone()));
            }
        }
        for (object, parent) in objects {
            for rule in &object.rules {
                let mut body = body.clone();
                let map = body.pointer_mut(&parent).and_then(Value::as_object_mut).expect("the object is there");
                let Some((kind, pointer)) = break_rule(object, map, rule) else { continue };
                let expected = (kind, format!("{parent}{pointer}"));
                let findings = check(operation, &body);
                let got: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.pointer.clone())).collect();
                assert!(got.contains(&expected), "{}: {rule:?}: {expected:?} in {got:?} of {body}", operation.path);
                broken += 1;
            }
        }
    }
    assert!(broken > 70, "{broken}");
}

/// Breaks a rule; the finding that it has to give, below the object.
fn break_rule(object: &Object, map: &mut Map<String, Value>, rule: &Rule) -> Option<(FindingKind, String)> {
    let name = |at: usize| object.fields[at].name.to_string();
    let time_at = |at: usize, days: i32| {
        let field = &object.fields[at];
        match &field.kind {
            Kind::Utc => json!(time(days)),
            Kind::Date => json!(day(days).to_string()),
            _ => json!({ "Value": time(days) }),
        }
    };
    match rule {
        Rule::AnyOf(fields) => {
            fields.iter().for_each(|&at| drop(map.remove(&name(at))));
            Some((FindingKind::MissingFilter, String::new()))
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
        Rule::When { field, inner, on, values } => {
            let value = constants(&object.fields[*on]).get(values[0])?.clone();
            let is_update = matches!(object.fields[*on].kind, Kind::Object(_));
            map.insert(name(*on), if is_update { json!({ "Value": value }) } else { value });
            match inner {
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
