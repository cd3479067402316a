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
fn no_token_of_the_body_is_in_a_finding() {
    let secret = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453DC66EF7AA";
    let body = format!(r#"{{"AccessToken":"{secret}","States":["{secret}"],"Limitation":{{"Cursor":["{secret}"]}}}}"#);
    for api in both() {
        let findings = api.check_request("orders/getAll/2023-06-06", body.as_bytes()).expect("it has the operation");
        assert_eq!(findings.len(), 4, "{findings:?}");
        assert!(findings.iter().all(|finding| !finding.to_string().contains("C66EF7")), "{findings:?}");
    }
}

/// The values that a finding quotes are those that no enum has and no format allows, up to 60 characters of them: without
/// them nobody would know what is meant. All others are told by their type, their length or their name alone.
#[test]
fn a_finding_quotes_no_value_but_what_an_enum_or_a_format_refuses() {
    let secret = "SECRET".repeat(20);
    let places = [
        ("AccessToken", format!(r#"["{secret}"]"#)),
        ("AccessToken", format!(r#""{secret}""#)),
        ("Limitation", format!(r#""{secret}""#)),
        ("Limitation", format!(r#"{{"Count":"{secret}"}}"#)),
        ("Limitation", format!(r#"{{"Count":1,"Cursor":["{secret}"]}}"#)),
        ("Limitation", format!(r#"{{"Count":0,"Other":"{secret}"}}"#)),
        ("States", format!(r#""{secret}""#)),
        ("Codes", format!(r#"["{secret}","{secret}"]"#)),
        ("UpdatedUtc", format!(r#"["{secret}"]"#)),
        ("Unknown", format!(r#"{{"Name":"{secret}"}}"#)),
    ];
    for api in both() {
        for (name, value) in &places {
            let token = if *name == "AccessToken" { "" } else { r#""AccessToken":"A","# };
            let body = format!(r#"{{{token}"{name}":{value}}}"#);
            let findings =
                api.check_request("orders/getAll/2023-06-06", body.as_bytes()).expect("it has the operation");
            assert!(!findings.is_empty(), "{body}");
            let quotes = findings.iter().find(|finding| finding.to_string().contains("SECRET"));
            assert_eq!(quotes, None, "{body}");
        }
        for (field, pointer) in [
            (format!(r#""States":["{secret}"]"#), "/States/0"),
            (format!(r#""UpdatedUtc":{{"StartUtc":"{secret}"}}"#), "/UpdatedUtc/StartUtc"),
        ] {
            let body = format!(r#"{{"AccessToken":"A",{field}}}"#);
            let findings =
                api.check_request("orders/getAll/2023-06-06", body.as_bytes()).expect("it has the operation");
            let found: Vec<_> = findings.iter().map(|own| (&*own.pointer, &*own.found)).collect();
            assert_eq!(found, [(pointer, &*format!("\"{}\"…", &secret[..60]))]);
            assert!(!findings[0].expected.contains("SECRET"), "{findings:?}");
        }
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
  /api/connector/v1/parcels/add:
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
    assert_eq!(api.check_request("parcels/add", br#"{"ServiceId":"1","Notes":null}"#), Some(vec![]));
    let findings = api.check_request("parcels/add", br#"{"AccountId":"123456"}"#).expect("it has the operation");
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
        assert!(matches!(error, InvalidOpenApi::Schema { .. }), "{schema}: {error:?}");
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

/// A request's schema in Mews' own style, as the document of an operation at `path`.
fn mews(path: &str, request: Value, schemas: Value) -> OpenApi {
    let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}});
    let mut schemas = schemas;
    schemas["Request"] = request;
    let document = json!({
        "openapi": "3.0.4",
        "paths": {format!("/api/connector/v1/{path}"): {"post": {"requestBody": {"content": content}}}},
        "components": {"schemas": schemas},
    });
    OpenApi::read(document.to_string().as_bytes()).expect("the document is good")
}

/// A filter's request, as Mews' document has it: less than the tables and the guidelines say.
fn customers(more: Value) -> OpenApi {
    let mut properties = json!({
        "ClientToken": {"type": "string", "minLength": 1},
        "AccessToken": {"type": "string", "minLength": 1},
        "Client": {"type": "string", "minLength": 1},
        "Limitation": {"allOf": [{"$ref": "#/components/schemas/Limitation"}]},
        "Extent": {"allOf": [{"$ref": "#/components/schemas/CustomerExtent"}]},
        "UpdatedUtc": {
            "allOf": [{"$ref": "#/components/schemas/TimeFilterInterval"}], "nullable": true, "x-max-interval-in-months": 3,
        },
        "CreatedUtc": {"allOf": [{"$ref": "#/components/schemas/TimeFilterInterval"}], "nullable": true},
        "CustomerIds": {"type": "array", "maxItems": 1000, "items": {"type": "string", "format": "uuid"}, "nullable": true},
    });
    for (name, schema) in more.as_object().into_iter().flatten() {
        properties[name] = schema.clone();
    }
    let request = json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "required": ["AccessToken", "Client", "ClientToken", "Extent", "Limitation"],
    });
    let time = json!({"type": "string", "format": "date-time", "nullable": true});
    let schemas = json!({
        "Limitation": {
            "type": "object", "required": ["Count"], "additionalProperties": false,
            "properties": {"Count": {"type": "integer", "format": "int32"}, "Cursor": {"type": "string", "nullable": true}},
        },
        "CustomerExtent": {
            "type": "object", "additionalProperties": false,
            "properties": {"Customers": {"type": "boolean"}, "Documents": {"type": "boolean", "deprecated": true,
                "x-deprecatedMessage": "Use [other things](https://example.com) of `identityDocuments/getAll`."}},
        },
        "TimeFilterInterval": {
            "type": "object", "additionalProperties": false, "properties": {"StartUtc": time, "EndUtc": time},
        },
    });
    mews("customers/getAll", request, schemas)
}

fn customer_findings(api: &OpenApi, fields: &str) -> Vec<String> {
    let body = format!(
        r#"{{"ClientToken":"C","AccessToken":"A","Client":"Acme 1.0","Extent":{{"Customers":true}},"CustomerIds":["{ID}"],"Limitation":{{"Count":100}}{fields}}}"#
    );
    let findings = api.check_request("customers/getAll", body.as_bytes()).expect("it has the operation");
    findings.iter().map(|finding| format!("{:?} {finding}", finding.kind)).collect()
}

const ID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

/// What the document doesn't say stays as it is built in, and the findings are those of the built-in contracts.
#[test]
fn a_document_adds_to_what_is_built_in_and_replaces_only_what_it_says() {
    let api = customers(json!({}));
    let built_in = nightaudit_mews::operation("customers/getAll").expect("it is documented");
    for fields in [
        "",
        r#","LanguageCode":"en-GB","CultureCode":"en-GB""#,
        r#","LanguageCode":"en-GB""#,
        r#","UpdatedUtc":{"StartUtc":"2026-01-01T00:00:00Z","EndUtc":"2026-06-01T00:00:00Z"}"#,
        r#","CreatedUtc":{"StartUtc":"2026-01-01T00:00:00Z","EndUtc":"2026-06-01T00:00:00Z"}"#,
        r#","CreatedUtc":{"StartUtc":"2026-02-01T00:00:00Z","EndUtc":"2026-01-01T00:00:00Z"}"#,
        r#","UpdatedUtc":{"StartUtc":"2026-01-01T00:00:00+01:00","EndUtc":"2026-01-02T00:00:00Z"}"#,
        r#","Limitation":{"Count":5000}"#,
        r#","Extent":{"Documents":true}"#,
        r#","CustomerIds":["12345"]"#,
        r#","Emails":["a@example.com"],"Whatever":1"#,
        r#","ActivityStates":["Gone"]"#,
    ] {
        let body = format!(
            r#"{{"ClientToken":"C","AccessToken":"A","Client":"Acme 1.0","Extent":{{"Customers":true}},"CustomerIds":["{ID}"],"Limitation":{{"Count":100}}{fields}}}"#
        );
        let expected = nightaudit_mews::check_request(built_in, body.as_bytes());
        assert_eq!(api.check_request("customers/getAll", body.as_bytes()), Some(expected), "{fields}");
    }
    let findings = customer_findings(&api, r#","Limitation":{"Count":5000}"#);
    assert_eq!(findings, ["OutOfRange /Limitation/Count: expected 1 to 1000, found 5000"]);
}

#[test]
fn what_a_document_says_replaces_what_is_built_in() {
    let api = customers(json!({
        "CreatedUtc": {
            "allOf": [{"$ref": "#/components/schemas/TimeFilterInterval"}], "nullable": true, "x-max-interval-in-months": 6,
        },
        "Emails": {"type": "array", "maxItems": 1, "items": {"type": "string"}, "nullable": true},
        "Nicknames": {"type": "array", "items": {"type": "string"}, "nullable": true},
        "CompanyIds": {"type": "array", "items": {"type": "string", "format": "uuid"}, "deprecated": true,
            "x-deprecatedMessage": "Use `CustomerIds` instead."},
    }));
    assert_eq!(
        customer_findings(&api, r#","CreatedUtc":{"StartUtc":"2026-01-01T00:00:00Z","EndUtc":"2026-06-01T00:00:00Z"}"#),
        [""; 0]
    );
    assert_eq!(customer_findings(&api, r#","Nicknames":["Ann"]"#), [""; 0]);
    assert_eq!(
        customer_findings(&api, r#","Emails":["a","b"]"#),
        ["TooManyItems /Emails: expected at most 1 item, found 2 items"]
    );
    assert_eq!(
        customer_findings(&api, &format!(r#","CompanyIds":["{ID}"]"#)),
        ["DeprecatedField /CompanyIds: expected CustomerIds instead, found `CompanyIds`"]
    );
}

/// Regression: a document's faults were told as the expectation, "expected it is greater than the maximum".
#[test]
fn an_expectation_is_what_is_expected() {
    let number = json!({"type": "integer", "minimum": 1, "maximum": 10});
    let request = json!({"type": "object", "additionalProperties": false, "properties": {
        "A": number, "B": {"type": "string", "minLength": 2}, "C": {"type": "array", "minItems": 1, "items": {}}, "D": {"type": "number", "exclusiveMinimum": 0},
    }});
    let api = mews("parcels/add", request, json!({}));
    let findings =
        api.check_request("parcels/add", br#"{"A":11,"B":"x","C":[],"D":-1}"#).expect("it has the operation");
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "/A: expected 1 to 10, found 11",
            "/B: expected at least 2 characters, found 1 characters",
            "/C: expected at least 1 item, found 0 items",
            "/D: expected at least 0, found -1",
        ]
    );
}

/// Regression: YAML's `NO` was read as false, so that Norway was no country.
#[test]
fn no_is_a_string_in_yaml() {
    let yaml = br##"
openapi: 3.0.4
paths:
  /api/connector/v1/parcels/add:
    post:
      requestBody: { content: { application/json: { schema: { $ref: '#/components/schemas/Parcel' } } } }
components:
  schemas:
    Parcel:
      type: object
      additionalProperties: false
      properties:
        Country: { type: string, enum: [SE, NO, ON, Y, off] }
"##;
    let api = OpenApi::read(yaml).expect("it is good");
    for country in ["NO", "ON", "Y", "off"] {
        let body = format!(r#"{{"Country":"{country}"}}"#);
        assert_eq!(api.check_request("parcels/add", body.as_bytes()), Some(vec![]), "{country}");
    }
    let findings = api.check_request("parcels/add", br#"{"Country":"false"}"#).expect("it has the operation");
    assert_eq!(findings[0].to_string(), r#"/Country: expected one of SE, NO, ON, Y, off, found "false""#);
}

#[test]
fn forms_are_told_apart_by_a_discriminator_or_by_what_they_require() {
    let form = |name: &str| {
        json!({"type": "object", "required": ["Discriminator", name], "additionalProperties": false,
            "properties": {"Discriminator": {"type": "string", "enum": ["Iban", "Card"]}, name: {"type": "string"}}})
    };
    let schemas = json!({"Iban": form("Number"), "Card": form("Token"), "Data": {
        "oneOf": [{"$ref": "#/components/schemas/Iban"}, {"$ref": "#/components/schemas/Card"}],
        "discriminator": {"propertyName": "Discriminator", "mapping": {
            "Iban": "#/components/schemas/Iban", "Card": "#/components/schemas/Card"}},
    }});
    let data = json!({"type": "object", "additionalProperties": false, "properties": {"Data": {"$ref": "#/components/schemas/Data"}}});
    let api = mews("parcels/pay", data, schemas);
    let check = |body: &str| {
        let findings = api.check_request("parcels/pay", body.as_bytes()).expect("it has the operation");
        findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect::<Vec<_>>()
    };
    assert_eq!(check(r#"{"Data":{"Discriminator":"Card","Token":"x"}}"#), [""; 0]);
    assert_eq!(check(r#"{"Data":{"Discriminator":"Card"}}"#), ["MissingField /Data/Token"]);
    assert_eq!(check(r#"{"Data":{"Discriminator":"Iban","Number":"1"}}"#), [""; 0]);
    assert_eq!(check(r#"{"Data":{"Number":"1"}}"#), ["MissingField /Data/Discriminator"]);

    let set = |name: &str| json!({"type": "object", "required": [name], "properties": {name: {"type": "string"}}, "additionalProperties": false});
    let api = mews("parcels/find", json!({"oneOf": [set("Id"), set("Name")]}), json!({}));
    let check = |body: &str| api.check_request("parcels/find", body.as_bytes()).map(|found| found.len());
    assert_eq!(check(r#"{"Id":"1"}"#), Some(0));
    assert_eq!(check(r#"{"Id":"1","Name":"x"}"#), Some(1));
    assert_eq!(check("{}"), Some(1));
}

/// Regression: forty schemas that each take the next one twice took for ever.
#[test]
fn doubling_schemas_are_read_in_bounded_time() {
    let doubling = |word: &str, levels: usize| {
        let mut schemas = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({"$ref": format!("#/components/schemas/S{}", level + 1)});
            schemas.insert(format!("S{level}"), json!({word: [next, next]}));
        }
        schemas.insert(format!("S{levels}"), json!({"type": "object", "properties": {"A": {"type": "string"}}}));
        json!({
            "openapi": "3.0.4",
            "paths": {"/api/connector/v1/parcels/add": {"post": {"requestBody": {"content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}}}},
            "components": {"schemas": schemas},
        })
        .to_string()
    };
    let api = OpenApi::read(doubling("allOf", 40).as_bytes()).expect("each schema is read once");
    assert_eq!(api.check_request("parcels/add", br#"{"A":1}"#).map(|found| found.len()), Some(1));
    // Forms of forms can't be told apart without looking at all of them: there is a bound, which is said.
    for word in ["oneOf", "anyOf"] {
        match OpenApi::read(doubling(word, 40).as_bytes()) {
            Err(InvalidOpenApi::TooMuch) => {}
            other => panic!("{word}: {other:?}"),
        }
    }
    let deep = doubling("allOf", 5000);
    assert!(matches!(OpenApi::read(deep.as_bytes()), Err(InvalidOpenApi::Schema { .. })));
    // Objects that lie in each other twice, too, each with the next.
    let mut schemas = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/components/schemas/S{}", level + 1)});
        schemas.insert(format!("S{level}"), json!({"type": "object", "properties": {"A": next, "B": next}}));
    }
    schemas.insert("S40".to_owned(), json!({"type": "object"}));
    mews("parcels/add", json!({"$ref": "#/components/schemas/S0"}), Value::Object(schemas));
}

#[test]
fn a_schema_that_holds_itself_is_an_object_of_which_nothing_more_is_known() {
    let node = json!({"type": "object", "additionalProperties": false, "properties": {
        "Name": {"type": "string"}, "Next": {"$ref": "#/components/schemas/Node"}}});
    let api = mews("parcels/add", json!({"$ref": "#/components/schemas/Node"}), json!({"Node": node}));
    let findings =
        api.check_request("parcels/add", br#"{"Name":"a","Next":{"Name":1}}"#).expect("it has the operation");
    assert!(findings.len() <= 1, "{findings:?}");
    let endless = json!({"allOf": [{"$ref": "#/components/schemas/Request"}]});
    let document = json!({
        "openapi": "3.0.4",
        "paths": {"/api/connector/v1/a/b": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}}}}}},
        "components": {"schemas": {"Request": endless}},
    });
    assert!(matches!(OpenApi::read(document.to_string().as_bytes()), Err(InvalidOpenApi::Schema { .. })));
}

/// Regression: what a schema requires and none of its properties describes was not asked for.
#[test]
fn a_field_that_is_required_by_name_alone_is_asked_for() {
    let check = |api: &OpenApi, body: &str| {
        let findings = api.check_request("parcels/add", body.as_bytes()).expect("it has the operation");
        findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect::<Vec<_>>()
    };
    let bare = json!({"type": "object", "required": ["Whatever"]});
    let api = mews("parcels/add", bare.clone(), json!({}));
    assert_eq!(check(&api, "{}"), ["MissingField /Whatever"]);
    for value in ["1", r#""a""#, "[{}]", r#"{"A":1}"#] {
        assert_eq!(check(&api, &format!(r#"{{"Whatever":{value},"Other":1}}"#)), [""; 0]);
    }
    // Inside of another object, of a list's items, and where another schema has the name.
    let properties = json!({"One": bare, "Many": {"type": "array", "items": bare}});
    let api = mews("parcels/add", json!({"type": "object", "properties": properties}), json!({}));
    assert_eq!(
        check(&api, r#"{"One":{},"Many":[{"Whatever":1},{}]}"#),
        ["MissingField /One/Whatever", "MissingField /Many/1/Whatever"]
    );
    let named = json!({"type": "object", "properties": {"Whatever": {"type": "integer"}}});
    let api = mews("parcels/add", json!({"allOf": [bare, named]}), json!({}));
    assert_eq!(check(&api, "{}"), ["MissingField /Whatever"]);
    assert_eq!(check(&api, r#"{"Whatever":"a"}"#), ["WrongType /Whatever"]);
    // Forms that differ by names alone.
    let form = |name: &str| json!({"type": "object", "required": [name]});
    let api = mews("parcels/add", json!({"oneOf": [form("Id"), form("Name")]}), json!({}));
    assert_eq!(check(&api, r#"{"Id":1}"#), [""; 0]);
    assert_eq!(check(&api, "{}").len(), 1);
}

#[test]
fn patterns_are_held_as_far_as_they_can_be() {
    let document = |pattern: &str| {
        let code = json!({"type": "string", "pattern": pattern});
        let schema = json!({"type": "object", "properties": {"Code": code, "Codes": {"type": "array", "items": code}}});
        let post = json!({"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}});
        json!({"openapi": "3.0.4", "paths": {"/api/connector/v1/parcels/add": post}}).to_string().into_bytes()
    };
    let found = |pattern: &str, body: &str| {
        let api = OpenApi::read(&document(pattern)).expect("the document is good");
        let findings = api.check_request("parcels/add", body.as_bytes()).expect("it has the operation");
        findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect::<Vec<_>>()
    };
    assert_eq!(found("^[A-Z]{3}$", r#"{"Code":"eur"}"#), ["MalformedText /Code"]);
    assert_eq!(found("^[A-Z]{3}$", r#"{"Code":"EUR"}"#), [""; 0]);
    assert_eq!(found("[0-9]", r#"{"Codes":["a1","b"]}"#), ["MalformedText /Codes/1"], "it need not be all of the text");
    // What can't be matched in linear time, or is no expression or far too large, is held against nobody.
    for pattern in ["^(?=x)y", "(", r"(a)\1", "^(?:a{1000}){1000}$"] {
        assert_eq!(found(pattern, r#"{"Code":"z"}"#), [""; 0], "{pattern}");
    }
    let slow = format!(r#"{{"Code":"{}!"}}"#, "a".repeat(10_000));
    assert_eq!(found("^(a+)+$", &slow), ["MalformedText /Code"], "an expression that others take for ever to match");
}
