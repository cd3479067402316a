//! OpenAPI documents and Postman collections of what was observed: whatever was recorded fits them.

use nightaudit_exchange::{Body, CallDirection, Exchange, Outcome};
use nightaudit_export::Format;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::samples::{exchange, hostile, said, session};

fn written(format: Format, exchanges: &[Exchange]) -> Value {
    let mut out = Vec::new();
    let mut writer = format.writer(&mut out);
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// An exchange of this operation with these bodies.
fn call(number: u64, operation: &str, status: u16, request: &Value, response: &Value) -> Exchange {
    let mut own = exchange(number);
    own.operation = operation.to_owned();
    own.request.url = format!("https://api.mews-demo.com/api/connector/v1/{operation}");
    own.request.body = Body::whole(request.to_string().into());
    let answer = own.response.as_mut().unwrap();
    (answer.status, answer.body) = (status, Body::whole(response.to_string().into()));
    own
}

/// Where `value` violates `schema`, by the keywords of JSON Schema that are written here.
fn misfit(schema: &Value, value: &Value) -> Option<String> {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |name: &Value| name == kind || (kind == "integer" && name == "number");
    match &schema["type"] {
        Value::Array(names) if !names.iter().any(fits) => return Some(format!("{value} is none of {names:?}")),
        name @ Value::String(_) if !fits(name) => return Some(format!("{value} is no {name}")),
        _ => {}
    }
    match value {
        Value::Object(object) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                if !object.contains_key(name.as_str().unwrap()) {
                    return Some(format!("{name} is missing in {value}"));
                }
            }
            object.iter().find_map(|(name, value)| {
                let own = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                own.map_or_else(|| Some(format!("{name} is not in {schema}")), |schema| misfit(schema, value))
            })
        }
        Value::Array(items) => items.iter().find_map(|item| misfit(&schema["items"], item)),
        _ => None,
    }
}

fn operation<'d>(document: &'d Value, operation: &str) -> &'d Value {
    &document["paths"][format!("/api/connector/v1/{operation}")]["post"]
}

#[test]
fn an_operation_is_merged_over_all_that_was_recorded() {
    let id = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
    let exchanges = [
        call(
            1,
            "rates/getAll",
            200,
            &json!({"Ids": [id]}),
            &json!({"Rates": [{"Id": id, "Price": 1}, {"Id": id, "Price": 1.5}]}),
        ),
        call(2, "rates/getAll", 200, &json!({"Ids": []}), &json!({"Rates": [], "Cursor": null})),
        call(3, "rates/getAll", 400, &json!({}), &json!({"Message": "No."})),
    ];
    let document = written(Format::OpenApi, &exchanges);
    assert_eq!(document["openapi"], "3.1.1");
    assert_eq!(
        (&document["x-nightaudit"]["observed"], &document["x-nightaudit"]["exchanges"]),
        (&json!(true), &json!(3))
    );
    let own = operation(&document, "rates/getAll");
    let request = &own["requestBody"]["content"]["application/json"];
    let ids = json!({"type": "array", "items": {"type": "string", "format": "uuid"}, "x-nightaudit-observed": {"count": 2, "of": 3}});
    assert_eq!(request["schema"], json!({"type": "object", "properties": {"Ids": ids}}));
    assert_eq!(request["example"], json!({"Ids": [id]}));
    let response = &own["responses"]["200"];
    assert_eq!(response["description"], "Observed in 2 of 3 calls.");
    let rate = &response["content"]["application/json"]["schema"]["properties"]["Rates"]["items"];
    assert_eq!((&rate["properties"]["Price"]["type"], &rate["required"]), (&json!("number"), &json!(["Id", "Price"])));
    assert_eq!(own["responses"]["400"]["content"]["application/json"]["schema"]["required"], json!(["Message"]));
}

#[test]
fn a_collection_has_a_request_for_each_operation_and_variables_for_tokens() {
    let exchanges = [exchange(1), exchange(2), call(3, "rates/getAll", 200, &json!({}), &json!({"Rates": []}))];
    let collection = written(Format::Postman, &exchanges);
    let names = |items: &Value| items.as_array().unwrap().iter().map(|own| own["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&collection["item"]), ["configuration", "rates"]);
    let item = &collection["item"][0]["item"][0];
    assert_eq!((&item["name"], &item["request"]["method"]), (&json!("configuration/get"), &json!("POST")));
    assert_eq!(item["request"]["url"]["host"], json!(["{{baseUrl}}"]));
    let raw = item["request"]["body"]["raw"].as_str().unwrap();
    assert!(raw.contains("{{ACCESS_TOKEN_") && !raw.contains("REDACTED:"), "{raw}");
    let response = &item["response"][0];
    assert_eq!((&response["code"], &response["name"]), (&json!(200), &json!("200, observed in 2 of 2 calls")));
    let text = collection.to_string();
    for variable in collection["variable"].as_array().unwrap() {
        assert!(text.contains(&format!("{{{{{}}}}}", variable["key"].as_str().unwrap())), "{variable} isn't used");
    }
    assert_eq!(collection["variable"][0]["value"], "https://api.mews-demo.com");
    assert_eq!(collection["variable"].as_array().unwrap().len(), 3);
}

#[test]
fn hostile_and_other_exchanges_break_neither() {
    for format in [Format::OpenApi, Format::Postman] {
        let mut rejected = exchange(7);
        rejected.outcome = Outcome::Rejected;
        let document = written(format, &[hostile(), said(), rejected]);
        assert!(!document.to_string().contains("touch /tmp/x"), "{document}");
        written(format, &session());
        written(format, &[]);
    }
    let mut braces = exchange(1);
    braces.request.url = "https://api.mews-demo.com/a/{b}/c".to_owned();
    assert!(written(Format::OpenApi, &[braces])["paths"].get("/a/%7Bb%7D/c").is_some());
}

#[test]
fn regression_webhooks_were_shown_as_operations_of_the_api() {
    let mut webhook = exchange(1);
    webhook.direction = CallDirection::Incoming;
    webhook.request.url = "http://127.0.0.1:3000/hook".to_owned();
    let document = written(Format::OpenApi, &[exchange(2), webhook.clone()]);
    assert_eq!(document["paths"].as_object().unwrap().len(), 1);
    assert_eq!(document["servers"].as_array().unwrap().len(), 1);
    for format in [Format::OpenApi, Format::Postman] {
        assert!(!written(format, &[exchange(2), webhook.clone()]).to_string().contains("/hook"));
    }
}

#[test]
fn regression_a_request_too_long_for_an_example_was_left_out_silently() {
    let long = json!({"Ids": vec!["3fa85f64-5717-4562-b3fc-2c963f66afa6"; 1_000]});
    let description = |requests: &[&Value]| {
        let exchanges: Vec<Exchange> =
            requests.iter().zip(1..).map(|(own, number)| call(number, "rates/getAll", 200, own, &json!({}))).collect();
        let collection = written(Format::Postman, &exchanges);
        collection["item"][0]["item"][0]["request"]["description"].as_str().unwrap().to_owned()
    };
    let text = description(&[&long]);
    assert!(text.contains("No recorded request is shown: it is too long for an example."), "{text}");
    let text = description(&[&json!({}), &long]);
    assert!(text.contains("A recorded request shows more than this one: it is too long for an example."), "{text}");
    // What was recorded in part only can't be sent again either.
    let mut cut = call(1, "rates/getAll", 200, &json!({"Ids": []}), &json!({}));
    cut.request.body.truncated = true;
    let text = written(Format::Postman, &[cut]).to_string();
    assert!(text.contains("No recorded request is shown: its body wasn't recorded in full."), "{text}");
    let text = description(&[&json!({"Ids": []}), &json!({})]);
    assert!(!text.contains("shown") && !text.contains("shows"), "{text}");
}

#[test]
fn regression_a_document_left_out_examples_and_responses_silently() {
    let long = json!({"Ids": vec!["3fa85f64-5717-4562-b3fc-2c963f66afa6"; 1_000]});
    let own = |exchanges: &[Exchange]| {
        let document = written(Format::OpenApi, exchanges);
        let own = operation(&document, "rates/getAll").clone();
        (own["requestBody"]["content"]["application/json"].clone(), own, document)
    };
    let key = "x-nightaudit-example";
    let (content, ..) = own(&[call(1, "rates/getAll", 200, &long, &json!({}))]);
    assert_eq!(
        (content.get("example"), &content[key]),
        (None, &json!("None is shown: it is too long for an example."))
    );
    let both = [call(1, "rates/getAll", 200, &json!({}), &json!({})), call(2, "rates/getAll", 200, &long, &json!({}))];
    let (content, _, document) = own(&both);
    assert_eq!(content["example"], json!({}));
    assert_eq!(content[key], "Another shows more than this one: it is too long for an example.");
    let description = document["info"]["description"].as_str().unwrap();
    assert!(description.contains("Examples that are left out, or aren't the fullest: 1;"), "{description}");
    let mut cut = call(1, "rates/getAll", 200, &json!({"Ids": []}), &json!({}));
    cut.request.body.truncated = true;
    assert_eq!(own(&[cut]).0[key], "None is shown: its body wasn't recorded in full.");
    let mut binary = call(1, "rates/getAll", 200, &json!({}), &json!({}));
    binary.request.body = Body::whole(vec![0xff, 0].into());
    assert_eq!(own(&[binary]).0[key], "None is shown: it is not JSON.");
    let (content, _, document) = own(&both[..1]);
    assert_eq!(content.get(key), None);
    assert!(!document["info"]["description"].as_str().unwrap().contains("Examples"));

    // Statuses beyond those that are listed, and those that a document can't have.
    let many: Vec<Exchange> =
        (0..20).map(|number| call(number + 1, "rates/getAll", 200 + number as u16, &json!({}), &json!({}))).collect();
    assert_eq!(own(&many).1["x-nightaudit-observed"]["unlistedResponses"], 4);
    assert_eq!(
        own(&[call(1, "rates/getAll", 999, &json!({}), &json!({}))]).1["x-nightaudit-observed"]["unlistedResponses"],
        1
    );
    // So is a method.
    let mut other = call(2, "rates/getAll", 200, &json!({}), &json!({}));
    other.request.method = "PROPFIND".into();
    let document = own(&[call(1, "rates/getAll", 200, &json!({}), &json!({})), other]).2;
    assert_eq!(document["x-nightaudit"]["unlisted"], 1);
}

#[test]
fn redacted_values_have_no_type_but_for_tokens() {
    let request = json!({"AccessToken": "REDACTED:b1946ac92492", "Door": "REDACTED:b1946ac92492"});
    let document = written(Format::OpenApi, &[call(1, "a/b", 200, &request, &json!({}))]);
    let schema = &operation(&document, "a/b")["requestBody"]["content"]["application/json"]["schema"]["properties"];
    assert_eq!((&schema["AccessToken"]["type"], schema["Door"].get("type")), (&json!("string"), None));
}

#[test]
fn operations_without_end_are_counted_and_not_kept() {
    let exchanges: Vec<Exchange> =
        (0..1_100).map(|number| call(number + 1, &format!("wrong/{number}"), 404, &json!({}), &json!({}))).collect();
    let document = written(Format::OpenApi, &exchanges);
    assert_eq!(document["paths"].as_object().unwrap().len(), 1_000);
    assert_eq!(document["x-nightaudit"]["unlisted"], 100);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) + 0.5)),
        "[a-z]{0,6}|2026-11-[0-9]{2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[A-D]{1,2}|[0-9]{1,3}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_recorded_body_fits_its_schema(bodies in prop::collection::vec((any_json(), any_json(), 200_u16..203), 1..12)) {
        let exchanges: Vec<Exchange> = bodies.iter().zip(1..).map(|((request, response, status), number)| {
            call(number, "rates/getAll", *status, request, response)
        }).collect();
        let document = written(Format::OpenApi, &exchanges);
        let own = operation(&document, "rates/getAll");
        let of = |message: &Value| message["content"]["application/json"].clone();
        for (request, response, status) in &bodies {
            for (message, body) in [(of(&own["requestBody"]), request), (of(&own["responses"][status.to_string()]), response)] {
                prop_assert_eq!(misfit(&message["schema"], body), None, "{}", message);
                // So does the example, which is one of them.
                prop_assert_eq!(misfit(&message["schema"], &message["example"]), None);
            }
        }
        written(Format::Postman, &exchanges);
    }
}
