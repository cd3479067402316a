//! Requests made from the contracts themselves: they pass, and each kind of damage gives exactly its finding.

mod damage;
mod figures;
mod made;

use std::collections::HashSet;

use nightaudit_mews::{Finding, FindingKind, Operation, check_request, operations};
use proptest::prelude::*;
use serde_json::Value;

use damage::{DAMAGES, break_rule, damage, sites};
use made::{Choices, object};

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
