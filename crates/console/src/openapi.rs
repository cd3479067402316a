//! The OpenAPI document.

use axum::response::{IntoResponse, Response};
use http::header;

/// The OpenAPI 3.1 document, maintained by hand; tests compare it with the routes and with real responses.
const DOCUMENT: &str = include_str!("../openapi.json");

/// `GET /api/v1/openapi.json`
pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.oai.openapi+json;version=3.1")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        routes::routes,
        tests::{Opened, ask, console, send},
    };

    fn read() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn described() -> BTreeSet<(String, String)> {
        let document = read();
        let paths = document["paths"].as_object().unwrap().iter();
        let methods = ["get", "post", "put", "patch", "delete"];
        paths
            .flat_map(|(path, item)| {
                let item = item.as_object().unwrap().keys().filter(|key| methods.contains(&key.as_str()));
                item.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_document_has_exactly_the_routes() {
        let routed: BTreeSet<_> =
            routes().iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(described(), routed);
        assert_eq!(read()["info"]["version"], env!("CARGO_PKG_VERSION"));
        for route in routes() {
            let open = read()["paths"][route.path][route.method.to_lowercase()]["security"] == json!([]);
            assert_eq!(open, !route.guarded, "{}", route.path);
        }
    }

    #[tokio::test]
    async fn each_path_accepts_exactly_the_documented_methods() {
        let described = described();
        for path in described.iter().map(|(_, path)| path.clone()).collect::<BTreeSet<_>>() {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let opened = console();
                let here = path.replace("{id}", "01KAS").replace("{session}", "none").replace("{number}", "1");
                // A follower's response never ends.
                if (method, here.as_str()) == ("GET", "/api/v1/follow") {
                    continue;
                }
                let (status, body) = ask(&opened, method, &here, true).await;
                // `/sessions/current/end` also matches the path of a session.
                let known = described.contains(&(method.to_owned(), path.clone()));
                assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, known, "{method} {here}: {status} {body}");
                assert!(!body.contains("no such path"), "{method} {here}");
            }
        }
    }

    #[test]
    fn every_reference_resolves() {
        fn references<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }

        let document = read();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    /// Checks a response against its schema in the document.
    async fn fits(opened: &Opened, method: &str, path: &str, described: &str, body: &str) -> Value {
        let (status, text) = send(opened, method, path, body).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let document = read();
        let responses = &document["paths"][described][method.to_lowercase()]["responses"];
        let mut response = responses.get(status.as_str()).unwrap_or_else(|| panic!("{method} {path}: {status} {text}"));
        if let Some(reference) = response["$ref"].as_str() {
            response = document.pointer(reference.trim_start_matches('#')).unwrap();
        }
        let schema = &response["content"]["application/json"]["schema"];
        let errors = misfits(&document, schema, &answer, "");
        assert!(errors.is_empty(), "{method} {path}: {errors:?} in {text}");
        answer
    }

    /// Where `value` violates `schema`. Supports the JSON Schema keywords that the document uses; others panic.
    fn misfits(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Value::Object(words) = schema else { panic!("{at}: {schema} is no schema") };
        let mut found = Vec::new();
        let mut add = |what: String| found.push(format!("{at}: {what}"));
        for (word, told) in words {
            match (word.as_str(), told) {
                ("$ref", Value::String(reference)) => {
                    let target = document.pointer(reference.trim_start_matches('#')).unwrap();
                    misfits(document, target, value, at).into_iter().for_each(&mut add);
                }
                ("type", told) => {
                    let is = |name: &Value| match name.as_str().unwrap() {
                        "null" => value.is_null(),
                        "boolean" => value.is_boolean(),
                        "string" => value.is_string(),
                        "integer" => value.is_i64() || value.is_u64(),
                        "number" => value.is_number(),
                        "array" => value.is_array(),
                        "object" => value.is_object(),
                        other => panic!("{at}: there is no type {other}"),
                    };
                    if !told.as_array().map_or_else(|| is(told), |names| names.iter().any(is)) {
                        add(format!("{value} is not {told}"));
                    }
                }
                ("enum", Value::Array(values)) if !values.contains(value) => add(format!("{value} is none of {told}")),
                ("const", told) if told != value => add(format!("{value} is not {told}")),
                ("required", Value::Array(names)) => {
                    let is_missing = |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
                    names.iter().filter(is_missing).for_each(|name| add(format!("{name} is missing")));
                }
                ("properties", Value::Object(properties)) => {
                    for (name, schema) in properties {
                        let Some(inner) = value.get(name) else { continue };
                        misfits(document, schema, inner, &format!("{at}/{name}")).into_iter().for_each(&mut add);
                    }
                }
                ("additionalProperties", told) => {
                    let known = words.get("properties").and_then(Value::as_object);
                    for (name, inner) in value.as_object().into_iter().flatten() {
                        match told {
                            _ if known.is_some_and(|known| known.contains_key(name)) => {}
                            Value::Bool(true) => {}
                            Value::Bool(false) => add(format!("{name} is not described")),
                            schema => {
                                misfits(document, schema, inner, &format!("{at}/{name}")).into_iter().for_each(&mut add)
                            }
                        }
                    }
                }
                ("items", schema) => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        misfits(document, schema, item, &format!("{at}/{index}")).into_iter().for_each(&mut add);
                    }
                }
                ("allOf", Value::Array(parts)) => {
                    parts.iter().flat_map(|part| misfits(document, part, value, at)).for_each(&mut add);
                }
                ("oneOf" | "anyOf", Value::Array(parts)) => {
                    let fits = parts.iter().filter(|part| misfits(document, part, value, at).is_empty()).count();
                    if fits == 0 || (word == "oneOf" && fits > 1) {
                        add(format!("{fits} of {word} fit {value}"));
                    }
                }
                ("minimum", told) if value.is_number() && value.as_f64() < told.as_f64() => {
                    add(format!("{value} is below {told}"))
                }
                ("maximum", told) if value.as_f64() > told.as_f64() && value.is_number() => {
                    add(format!("{value} is above {told}"));
                }
                ("pattern", Value::String(pattern)) => {
                    if let Some(text) = value.as_str().filter(|text| !has_form(text, pattern)) {
                        add(format!("{text} is not {pattern}"));
                    }
                }
                ("enum" | "const" | "minimum" | "maximum" | "description" | "format" | "contentEncoding", _) => {}
                (other, _) => panic!("{at}: the word {other} is not looked at"),
            }
        }
        found
    }

    /// Whether a text has the form of one of the patterns that the document uses.
    fn has_form(text: &str, pattern: &str) -> bool {
        let is_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match pattern {
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$" => text
                .bytes()
                .map(|byte| if byte.is_ascii_digit() { b'0' } else { byte })
                .eq(*b"0000-00-00T00:00:00.000000Z"),
            "^[0-9a-f]{64}$" => is_hex(text, 64),
            "^REDACTED:[0-9a-f]{12}$" => text.strip_prefix("REDACTED:").is_some_and(|rest| is_hex(rest, 12)),
            other => panic!("the pattern {other} is not known here"),
        }
    }

    #[test]
    fn a_misfit_is_found() {
        let document = read();
        let schema = serde_json::json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {"a": {"type": ["integer", "null"], "minimum": 1}, "b": {"type": "array", "items": {"enum": ["x"]}}},
        });
        let misfits = |value: Value| misfits(&document, &schema, &value, "");
        assert_eq!(misfits(serde_json::json!({"a": null, "b": ["x"]})), [""; 0]);
        assert_eq!(misfits(serde_json::json!({"a": 0, "b": ["y"], "c": 1})).len(), 3);
        assert_eq!(misfits(serde_json::json!([])).len(), 1);
        assert_eq!(misfits(serde_json::json!({})), [": \"a\" is missing"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn real_answers_are_as_the_document_says() {
        let opened = console();
        let exchange = opened.record();
        let page = fits(&opened, "GET", "/api/v1/exchanges", "/api/v1/exchanges", "").await;
        assert_eq!(page["exchanges"].as_array().map(Vec::len), Some(1));
        fits(&opened, "GET", &format!("/api/v1/exchanges/{exchange}"), "/api/v1/exchanges/{id}", "").await;
        fits(&opened, "GET", "/api/v1/exchanges/01KAS", "/api/v1/exchanges/{id}", "").await;
        let row = fits(&opened, "GET", "/api/v1/exchanges/01KAS/row", "/api/v1/exchanges/{id}/row", "").await;
        let rows = fits(&opened, "GET", "/api/v1/rows", "/api/v1/rows", "").await;
        assert_eq!(rows["rows"], json!([row]));
        fits(&opened, "GET", "/api/v1/rows?contains=x", "/api/v1/rows", "").await;
        for (path, described) in [
            ("/api/v1/histogram?buckets=10", "/api/v1/histogram"),
            ("/api/v1/histogram?status=599", "/api/v1/histogram"),
            ("/api/v1/facets", "/api/v1/facets"),
            ("/api/v1/exchanges/last/position", "/api/v1/exchanges/{id}/position"),
            ("/api/v1/exchanges/last/neighbours", "/api/v1/exchanges/{id}/neighbours"),
            ("/api/v1/exchanges/last/contract", "/api/v1/exchanges/{id}/contract"),
        ] {
            fits(&opened, "GET", path, described, "").await;
        }
        fits(&opened, "GET", "/api/v1/exchanges?status=often", "/api/v1/exchanges", "").await;
        fits(&opened, "GET", "/", "/", "").await;
        fits(&opened, "GET", "/api/v1/health", "/api/v1/health", "").await;
        let limits = fits(&opened, "GET", "/api/v1/limits", "/api/v1/limits", "").await;
        assert_eq!(limits["limits"].as_array().map(Vec::len), Some(1));
        fits(&opened, "GET", "/api/v1/status", "/api/v1/status", "").await;
        fits(&opened, "GET", "/api/v1/limits/history?minutes=5", "/api/v1/limits/history", "").await;
        fits(&opened, "GET", "/api/v1/limits/history?minutes=0", "/api/v1/limits/history", "").await;
        let (all, one) = ("/api/v1/faults", "/api/v1/faults/{number}");
        fits(&opened, "POST", all, all, r#"{"rule":"429=2%, count=5, for=1m"}"#).await;
        fits(&opened, "POST", all, all, r#"{"rule":"lattency=1s"}"#).await;
        let listed = fits(&opened, "GET", all, all, "").await;
        assert_eq!(listed["faults"].as_array().map(Vec::len), Some(1));
        fits(&opened, "DELETE", "/api/v1/faults/1", one, "").await;
        fits(&opened, "DELETE", "/api/v1/faults/1", one, "").await;
        fits(&opened, "DELETE", all, all, "").await;
        fits(&opened, "POST", "/api/v1/tickets", "/api/v1/tickets", "").await;
        let (all, one) = ("/api/v1/sessions", "/api/v1/sessions/{session}");
        fits(&opened, "POST", all, all, r#"{"name":"a"}"#).await;
        fits(&opened, "POST", all, all, "").await;
        let sessions = fits(&opened, "GET", all, all, "").await;
        assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(2));
        for part in ["review", "run", "declaration"] {
            let path = format!("{one}/{part}");
            fits(&opened, "GET", &format!("/api/v1/sessions/certification/{part}"), &path, "").await;
            fits(&opened, "GET", &format!("/api/v1/sessions/none/{part}"), &path, "").await;
        }
        let declaration = "/api/v1/sessions/{session}/declaration";
        for body in [r#"{"toml":"pilot = 'A'"}"#, r#"{"toml":"pilt = 'A'"}"#, r#"{"declaration":{"pilot":"B"}}"#] {
            fits(&opened, "PUT", "/api/v1/sessions/certification/declaration", declaration, body).await;
        }
        let run = "/api/v1/sessions/current/run";
        fits(&opened, "GET", run, run, "").await;
        fits(&opened, "GET", "/api/v1/catalogue", "/api/v1/catalogue", "").await;
        fits(&opened, "GET", "/api/v1/compare?a=certification&b=a", "/api/v1/compare", "").await;
        fits(&opened, "GET", "/api/v1/compare?a=certification", "/api/v1/compare", "").await;
        fits(&opened, "GET", "/api/v1/differences?a=certification&b=certification", "/api/v1/differences", "").await;
        fits(&opened, "GET", "/api/v1/differences?a=certification&b=none", "/api/v1/differences", "").await;
        fits(&opened, "POST", "/api/v1/import", "/api/v1/import", "").await;
        fits(&opened, "GET", "/api/v1/key", "/api/v1/key", "").await;
        fits(&opened, "GET", "/api/v1/evidence", "/api/v1/evidence", "").await;
        let body = r#"{"session":"certification","format":"har"}"#;
        fits(&opened, "POST", "/api/v1/evidence", "/api/v1/evidence", body).await;
        for method in ["GET", "DELETE"] {
            fits(&opened, method, "/api/v1/evidence/none", "/api/v1/evidence/{id}", "").await;
        }
        fits(&opened, "PATCH", "/api/v1/sessions/a", one, r#"{"note":"x"}"#).await;
        fits(&opened, "DELETE", "/api/v1/sessions/a", one, "").await;
        fits(&opened, "POST", "/api/v1/sessions/current/end", "/api/v1/sessions/current/end", "").await;
        fits(&opened, "POST", "/api/v1/sessions/a/end", "/api/v1/sessions/{session}/end", "").await;
        fits(&opened, "GET", "/api/v1/sessions/a", one, "").await;
        fits(&opened, "DELETE", "/api/v1/sessions/a", one, "").await;
        fits(&opened, "DELETE", "/api/v1/sessions/a", one, "").await;
    }

    #[test]
    fn the_filter_is_described_whole() {
        let document = read();
        let parameters = document["components"]["parameters"].as_object().unwrap();
        let described: BTreeSet<&str> =
            parameters.values().filter_map(|parameter| parameter["name"].as_str()).collect();
        let query = "session=a&operation=a&status=200&outcome=failed&since=1m&until=1m&client=a\
            &token=REDACTED:b1946ac92492&request-id=a&contains=a&slower-than=1s";
        let pairs = form_urlencoded::parse(query.as_bytes());
        let filter = nightaudit_exchange::Filter::from_query(pairs, crate::now()).unwrap();
        for (name, _) in filter.to_query() {
            assert!(described.contains(name.as_str()), "{name}");
        }
    }
}
