//! What holds for the whole catalogue.

use std::collections::HashSet;

use nightaudit_mews::{Field, Kind, Lifecycle, Object, check_request, operation, operations, suggest, use_cases};

/// Every object that is reachable from a request, each field once.
fn each_field(object: &Object, visit: &mut impl FnMut(&Object, &Field)) {
    for field in &object.fields {
        visit(object, field);
        if let Kind::Object(inner) = &field.kind {
            each_field(inner, visit);
        }
    }
}

#[test]
fn all_documented_operations_are_there() {
    assert_eq!(operations().len(), 202);
    let paths: HashSet<_> = operations().iter().map(|operation| &operation.path).collect();
    assert_eq!(paths.len(), 202);
    for known in operations() {
        assert!(std::ptr::eq(operation(&known.path).unwrap(), known));
        assert!(suggest(&known.path).is_none());
        assert!(!known.title.is_empty() && !known.group.is_empty(), "{}", known.path);
    }
}

#[test]
fn paths_have_the_form_that_mews_gives_them() {
    for operation in operations() {
        let segments: Vec<_> = operation.path.split('/').collect();
        let camel =
            |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(char::is_alphanumeric);
        let version = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
        match segments[..] {
            [resource, action] => assert!(camel(resource) && camel(action), "{}", operation.path),
            [resource, action, date] => {
                assert!(camel(resource) && camel(action) && version(date), "{}", operation.path)
            }
            _ => panic!("{}", operation.path),
        }
    }
}

#[test]
fn every_request_begins_with_the_envelope() {
    for operation in operations() {
        let names: Vec<_> = operation.request.fields.iter().take(5).map(|field| &*field.name).collect();
        assert_eq!(
            names,
            ["ClientToken", "AccessToken", "Client", "LanguageCode", "CultureCode"],
            "{}",
            operation.path
        );
    }
}

#[test]
fn pages_are_asked_for_by_a_limitation_from_1_to_1000() {
    for operation in operations() {
        let limitation = operation.request.field("Limitation");
        assert!(!operation.paginated || limitation.is_some(), "{}", operation.path);
        let Some(Kind::Object(limitation)) = limitation.map(|field| &field.kind) else { continue };
        assert_eq!(limitation.field("Count").unwrap().range, Some(1..=1000), "{}", operation.path);
    }
}

#[test]
fn every_replacement_and_every_step_is_an_operation() {
    for known in operations() {
        assert!(known.replaced_by.is_empty() || known.lifecycle.is_deprecated(), "{}", known.path);
        for path in &known.replaced_by {
            assert!(!operation(path).unwrap().lifecycle.is_deprecated(), "{} -> {path}", known.path);
        }
    }
    assert_eq!(use_cases().len(), 18);
    for use_case in use_cases() {
        assert!(!use_case.sections.is_empty(), "{}", use_case.name);
        for section in &use_case.sections {
            assert!(!section.operations.is_empty(), "{}", section.title);
            assert!(section.operations.iter().all(|path| operation(path).is_some()), "{}", section.title);
        }
    }
}

#[test]
fn lifecycles_are_as_documented() {
    let count = |wanted: fn(&Lifecycle) -> bool| operations().iter().filter(|known| wanted(&known.lifecycle)).count();
    assert_eq!(count(|lifecycle| matches!(lifecycle, Lifecycle::Deprecated { .. })), 12);
    assert_eq!(count(|lifecycle| matches!(lifecycle, Lifecycle::Discontinued)), 0);

    let day = |text: &str| text.parse::<jiff::civil::Date>().unwrap();
    let routing = operation("routingRules/add").unwrap();
    assert_eq!(
        routing.lifecycle,
        Lifecycle::Deprecated { since: Some(day("2025-11-11")), discontinued: Some(day("2027-01-10")) }
    );
    assert!(!routing.lifecycle.is_discontinued(day("2027-01-09")));
    assert!(routing.lifecycle.is_discontinued(day("2027-01-10")));
    for operation in operations() {
        if let Lifecycle::Deprecated { since, discontinued: Some(end) } = operation.lifecycle {
            assert!(since.is_some_and(|since| since < end), "{}", operation.path);
        }
    }
}

#[test]
fn fields_and_their_rules_go_together() {
    for operation in operations() {
        each_field(&operation.request, &mut |object, field| {
            let place = format!("{}: {}.{}", operation.path, object.name, field.name);
            assert!(!(field.required && field.deprecated.is_some()), "{place}");
            assert!(field.max_items.is_none() || field.array > 0, "{place}");
            assert!(field.max_chars.is_none() || matches!(field.kind, Kind::String), "{place}");
            assert!(field.name.chars().all(|c| c.is_ascii_alphanumeric()), "{place}");
            if let Kind::Enum(values) = &field.kind {
                let distinct: HashSet<_> = values.values.iter().collect();
                assert!(!distinct.is_empty() && distinct.len() == values.values.len(), "{place}");
                assert!(values.deprecated.iter().all(|(value, _)| values.has(value)), "{place}");
            }
            if object.interval {
                assert_eq!(object.fields.len(), 2, "{place}");
                assert!(matches!(field.kind, Kind::Utc | Kind::Date), "{place}");
            }
            // A time without a check would be an oversight: Mews names its times so.
            assert!(!field.name.ends_with("Utc") || !matches!(field.kind, Kind::String), "{place}");
        });
    }
}

#[test]
fn every_request_is_documented() {
    for operation in operations() {
        assert!(!operation.request.open, "{}", operation.path);
    }
}

#[test]
fn fiscal_machine_commands_are_asked_for_by_one_of_two_sets() {
    let known = operation("fiscalMachineCommands/getAll").unwrap();
    let check = |fields: &str| {
        let body = format!(
            r#"{{"ClientToken":"C","AccessToken":"A","Client":"Acme 1.0","EnterpriseIds":["{ID}"],"Limitation":{{"Count":1}}{fields}}}"#
        );
        let findings = check_request(known, body.as_bytes());
        findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect::<Vec<_>>()
    };
    let ids = format!(r#","CommandIds":["{ID}"]"#);
    let devices = format!(r#","DeviceIds":["{ID}"]"#);
    assert_eq!(check(&ids), [""; 0]);
    assert_eq!(check(&format!(r#"{devices},"States":["Pending"]"#)), [""; 0]);
    assert_eq!(check(&devices), ["MissingField /States"]);
    assert_eq!(check(""), ["MissingFilter "]);
    assert_eq!(check(&format!(r#"{ids}{devices},"States":["Pending"]"#)), ["ExclusiveFields /CommandIds"]);
}

const ID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

#[test]
fn every_operation_has_its_address_in_the_documentation() {
    let addresses: Vec<_> = nightaudit_mews::operations()
        .iter()
        .map(|operation| format!("{}  {}", operation.path, operation.documentation.as_deref().unwrap_or("none")))
        .collect();
    insta::assert_snapshot!(addresses.join("\n"));
}
