//! How much of what is wrong is found, and how much is found that isn't: counted over all operations, with a seed.

use std::collections::BTreeMap;

use nightaudit_mews::{FindingKind, operations};
use serde_json::{Value, json};

use super::check;
use super::damage::{DAMAGES, Site, damage, sites};
use super::made::{Choices, object, single};

/// Choices out of a seed: SplitMix64.
fn choices(seed: u64) -> Choices {
    let mut state = seed;
    let next = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u16
    });
    Choices::of(next.take(2000).collect())
}

/// A null where there must be a value: a required field, or an item of a list.
fn null(body: &mut Value, site: &Site<'_>) -> Option<String> {
    let pointer = format!("{}/{}", site.parent, site.field.name);
    let map = body.pointer_mut(&site.parent)?.as_object_mut()?;
    if site.field.required {
        map.insert(site.field.name.to_string(), Value::Null);
        return Some(pointer);
    }
    let is_plain = site.field.array == 1 && site.field.deprecated.is_none() && site.field.distinct.is_none();
    let list = map.get_mut(&*site.field.name).and_then(Value::as_array_mut).filter(|_| is_plain)?;
    match list.first_mut() {
        Some(item) => *item = Value::Null,
        None => list.push(Value::Null),
    }
    Some(format!("{pointer}/0"))
}

/// A single value where there must be a list, and a list where there must be a single value.
fn wrong_list(body: &mut Value, site: &Site<'_>) -> Option<String> {
    let pointer = format!("{}/{}", site.parent, site.field.name);
    let map = body.pointer_mut(&site.parent)?.as_object_mut()?;
    if matches!(site.field.kind, nightaudit_mews::Kind::Any) || site.field.deprecated.is_some() {
        return None;
    }
    let single = single(site.field, &mut Choices::all());
    map.insert(site.field.name.to_string(), if site.field.array == 0 { json!([single]) } else { single });
    Some(pointer)
}

#[test]
fn planted_damages_are_found_where_they_were_planted_and_good_requests_raise_nothing() {
    const SEED: u64 = 20_260_807;
    let (mut planted, mut found, mut elsewhere) = (0_u32, 0_u32, 0_u32);
    let mut missed: BTreeMap<String, u32> = BTreeMap::new();
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    let (mut good, mut false_findings) = (0_u32, 0_u32);
    for (number, operation) in operations().iter().enumerate() {
        for request in 0..20 {
            let body = object(&operation.request, &mut choices(SEED + 1000 * number as u64 + request));
            good += 1;
            false_findings += u32::try_from(check(operation, &body).len()).unwrap_or(u32::MAX);
        }
        // Whatever can be there is, so that all of it can be damaged.
        let body = object(&operation.request, &mut Choices::all());
        let mut all = Vec::new();
        sites(&operation.request, &body, "", &mut all);
        for site in &all {
            let mut plant = |name: &str, done: &dyn Fn(&mut Value) -> Option<String>| {
                let mut damaged = body.clone();
                let Some(pointer) = done(&mut damaged) else { return };
                planted += 1;
                *kinds.entry(name.to_owned()).or_default() += 1;
                let findings = check(operation, &damaged);
                if findings.iter().any(|finding| finding.pointer == pointer) {
                    found += 1;
                } else {
                    *missed.entry(format!("{name}: {}{pointer}", operation.path)).or_default() += 1;
                }
                let below = |other: &str| other.starts_with(&*pointer) || pointer.starts_with(other);
                elsewhere += u32::try_from(findings.iter().filter(|finding| !below(&finding.pointer)).count())
                    .unwrap_or(u32::MAX);
            };
            for kind in DAMAGES {
                // Once for each object is enough: the field has no part in it.
                let is_first = site.object.fields.first().is_some_and(|first| first.name == site.field.name);
                if kind != FindingKind::UnknownField || is_first {
                    plant(&format!("{kind:?}"), &|body| damage(body, site, kind));
                }
            }
            plant("null", &|body| null(body, site));
            plant("a list or none", &|body| wrong_list(body, site));
        }
    }
    println!("{planted} damages in {} operations, {found} found at their pointers:", operations().len());
    kinds.iter().for_each(|(kind, count)| println!("  {count:5} {kind}"));
    println!("{elsewhere} findings in other places; {good} good requests, {false_findings} findings");
    println!("missed: {missed:?}");
    assert!(planted >= 8_970, "{planted}");
    assert!(u64::from(found) * 1000 >= u64::from(planted) * 998, "{found} of {planted}: {missed:?}");
    assert_eq!(false_findings, 0, "in {good} good requests");
}
