//! Contracts out of an OpenAPI document.

use nightaudit_mews::{Contracts, FindingKind, InvalidOpenApi, OpenApi};
use proptest::prelude::*;
use serde_json::{Value, json};

fn document(version: &str, note: Value) -> Vec<u8> {
    let limitation = json!({"type": "object", "required": ["Count"], "properties": {
        "Count": {"type": "integer", "minimum": 1, "maximum": 1000},
        "Cursor": note,
    }});
    let interval = json!({"type": "object", "properties": {"StartUtc": {"type": "string", "format": "date-time"}}});
    let request = json!({"type": "object", "required": ["AccessToken"], "additionalProperties": false, "properties": {
        "AccessToken": {"type": "string", "maxLength": 70},
        "Limitation": {"$ref": "#/components/schemas/Limitation"},
        "States": {"type": "array", "maxItems": 2, "items": {"enum": ["Open", "Closed"]}},
        "UpdatedUtc": {"$ref": "#/components/schemas/Interval"},
        "Codes": {"type": "array", "uniqueItems": true},
    }});
    let operation = |schema| json!({"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}});
    json!({
        "openapi": version,
        "paths": {
            "/api/connector/v1/orders/getAll/2023-06-06": operation(json!({"$ref": "#/components/schemas/Request"})),
            "/api/connector/v1/orders/a~b c{d}": operation(json!({"type": "object"})),
            "/api/other/v1/orders/getAll": operation(json!({"type": "object"})),
        },
        "components": {"schemas": {"Request": request, "Limitation": limitation, "Interval": interval}},
    })
    .to_string()
    .into_bytes()
}

/// The same document, in the words of either version of OpenAPI.
fn both() -> [OpenApi; 2] {
    let old = document("3.0.4", json!({"type": "string", "nullable": true}));
    let new = document("3.1.0", json!({"type": ["string", "null"]}));
    [old, new].map(|document| OpenApi::read(&document).expect("the document is good"))
}

fn findings(api: &OpenApi, body: &str) -> Vec<(FindingKind, String)> {
    let findings = api.check_request("orders/getAll/2023-06-06", body.as_bytes()).expect("it has the operation");
    findings.into_iter().map(|finding| (finding.kind, finding.pointer)).collect()
}

#[test]
fn the_operations_are_those_below_the_connector_api() {
    for api in both() {
        let mut operations: Vec<_> = api.operations().collect();
        operations.sort_unstable();
        assert_eq!(operations, ["orders/a~b c{d}", "orders/getAll/2023-06-06"]);
        assert_eq!(api.check_request("orders/a~b c{d}", b"{}"), Some(vec![]));
        assert_eq!(api.check_request("orders/getAll", b"{}"), None);
    }
}

#[test]
fn a_request_that_fits_has_no_findings() {
    let body = r#"{"AccessToken":"A","States":["Open"],"Limitation":{"Count":1000,"Cursor":null},
        "UpdatedUtc":{"StartUtc":"2026-01-31T13:00:00Z"}}"#;
    for api in both() {
        assert_eq!(findings(&api, body), []);
    }
}

#[test]
fn each_mistake_has_its_kind_and_place() {
    for (body, kind, pointer) in [
        (r#"{"AccessToken":"A""#, FindingKind::BrokenJson, ""),
        ("[]", FindingKind::WrongType, ""),
        ("{}", FindingKind::MissingField, "/AccessToken"),
        (r#"{"AccessToken":"A","a/b":1}"#, FindingKind::UnknownField, "/a~1b"),
        (r#"{"AccessToken":1}"#, FindingKind::WrongType, "/AccessToken"),
        (r#"{"AccessToken":"A","Limitation":{"Count":1,"Cursor":5}}"#, FindingKind::WrongType, "/Limitation/Cursor"),
        (r#"{"AccessToken":"A","Limitation":{"Count":1001}}"#, FindingKind::OutOfRange, "/Limitation/Count"),
        (r#"{"AccessToken":"A","States":["Open","Shut"]}"#, FindingKind::UnknownValue, "/States/1"),
        (r#"{"AccessToken":"A","States":["Open","Open","Open"]}"#, FindingKind::TooManyItems, "/States"),
        (
            r#"{"AccessToken":"A","UpdatedUtc":{"StartUtc":"today"}}"#,
            FindingKind::MalformedTime,
            "/UpdatedUtc/StartUtc",
        ),
        (r#"{"AccessToken":"A","Codes":[1,1]}"#, FindingKind::Schema, "/Codes"),
    ] {
        for api in both() {
            assert_eq!(findings(&api, body), [(kind, pointer.to_owned())], "{body}");
        }
    }
}

#[test]
fn no_value_of_the_body_is_in_a_finding() {
    let secret = "SECRET".repeat(20);
    let body = format!(r#"{{"AccessToken":"{secret}","States":["{secret}"],"Limitation":{{"Cursor":["{secret}"]}}}}"#);
    for api in both() {
        let findings = api.check_request("orders/getAll/2023-06-06", body.as_bytes()).expect("it has the operation");
        assert_eq!(findings.len(), 4, "{findings:?}");
        assert!(findings.iter().all(|finding| !finding.to_string().contains("SECRET")), "{findings:?}");
    }
}

#[test]
fn a_flood_of_findings_is_counted() {
    let names: Vec<_> = (0..1000).map(|count| format!(r#""F{count}":1"#)).collect();
    for api in both() {
        let findings = findings(&api, &format!(r#"{{"AccessToken":"A",{}}}"#, names.join(",")));
        assert_eq!(findings.len(), 101);
        assert_eq!(findings[100].0, FindingKind::More);
    }
}

#[test]
fn a_document_in_yaml_says_the_same() {
    let yaml = br##"
# Comments, anchors and keys that are numbers are YAML's own.
openapi: 3.0.4
paths:
  /api/connector/v1/orders/add:
    post:
      requestBody:
        content:
          application/json:
            schema: { $ref: '#/components/schemas/Order' }
      responses: { 200: { description: Added } }
components:
  schemas:
    Order:
      type: object
      required: [ServiceId]
      additionalProperties: false
      properties:
        ServiceId: &id { type: string, maxLength: 5 }
        AccountId: *id
        Notes: { type: string, nullable: true }
"##;
    let api = OpenApi::read(yaml).expect("it is good");
    assert_eq!(api.check_request("orders/add", br#"{"ServiceId":"1","Notes":null}"#), Some(vec![]));
    let findings = api.check_request("orders/add", br#"{"AccountId":"123456"}"#).expect("it has the operation");
    let mut kinds: Vec<_> = findings.iter().map(|finding| (&*finding.pointer, finding.kind)).collect();
    kinds.sort_unstable_by_key(|(pointer, _)| *pointer);
    assert_eq!(kinds, [("/AccountId", FindingKind::TooManyCharacters), ("/ServiceId", FindingKind::MissingField)]);
}

#[test]
fn a_small_document_cannot_become_a_large_one() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(matches!(OpenApi::read(bomb.as_bytes()), Err(InvalidOpenApi::Yaml(_))));
}

#[test]
fn contracts_are_the_documents_and_else_the_catalogues() {
    let document = document("3.1.0", json!({}));
    let contracts = Contracts::from_openapi(&document).expect("the document is good").clone();
    let supplied = "orders/getAll/2023-06-06";
    assert!(contracts.has(supplied) && !Contracts::built_in().has(supplied));
    assert_eq!(contracts.check(supplied, b"{}").len(), 1);
    assert_eq!(Contracts::built_in().check(supplied, b"{}"), []);
    for contracts in [&contracts, &Contracts::built_in()] {
        assert!(contracts.has("accountNotes/delete") && !contracts.has("accountNotes/delete/"));
        assert_eq!(contracts.check("accountNotes/delete", b"{}").len(), 4);
    }
}

#[test]
fn findings_can_be_read_back() {
    let findings = Contracts::built_in().check("accountNotes/delete", br#"{"AccountNoteIds":1}"#);
    let text = serde_json::to_string(&findings).expect("findings are data");
    assert_eq!(serde_json::from_str::<Vec<nightaudit_mews::Finding>>(&text).expect("they are"), findings);
}

#[test]
fn a_document_that_cannot_serve_is_refused() {
    let refused = |document: &str| OpenApi::read(document.as_bytes()).expect_err("it is bad");
    assert!(matches!(refused("openapi: 3.0.4\n"), InvalidOpenApi::NoOperations));
    assert!(matches!(refused("{\"openapi\": 3"), InvalidOpenApi::Json(_)));
    assert!(matches!(refused("a: [b\n"), InvalidOpenApi::Yaml(_)));
    for nothing in ["{}", "[]", r#"{"openapi":"3.0.4","paths":{"/api/other/v1/x":{}}}"#, r#"{"paths":[]}"#] {
        assert!(matches!(refused(nothing), InvalidOpenApi::NoOperations), "{nothing}");
    }
    for schema in
        [r##"{"$ref":"#/components/schemas/Missing"}"##, r#"{"$ref":"https://example.com/x.json"}"#, r#"{"type":5}"#]
    {
        let document = format!(
            r#"{{"openapi":"3.0.4","paths":{{"/api/connector/v1/a/b":{{"post":{{"requestBody":{{"content":{{
                "application/json":{{"schema":{schema}}}}}}}}}}}}}}}"#
        );
        let error = refused(&document);
        assert!(matches!(error, InvalidOpenApi::Schema { .. } | InvalidOpenApi::Document(_)), "{schema}: {error:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(OpenApi::read(&bytes).is_err());
        let [api, _] = both();
        let findings = api.check_request("orders/getAll/2023-06-06", &bytes).expect("it has the operation");
        prop_assert!(!findings.is_empty());
    }
}
