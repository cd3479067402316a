//! The description of the API for programs.

use axum::response::{IntoResponse, Response};
use http::header;

/// The API as an OpenAPI 3.1 document, kept by hand; the tests hold it against the routes and against real answers.
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
    fn the_document_has_the_routes_and_no_others() {
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
    async fn each_address_takes_the_methods_that_the_document_has_and_no_others() {
        let described = described();
        for path in described.iter().map(|(_, path)| path.clone()).collect::<BTreeSet<_>>() {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let opened = console();
                let here = path.replace("{id}", "01KAS").replace("{session}", "none");
                // A follower's answer does not end of itself.
                if (method, here.as_str()) == ("GET", "/api/v1/follow") {
                    continue;
                }
                let (status, body) = ask(&opened, method, &here, true).await;
                // The address of one session stands beside that of the current one.
                let known = described.contains(&(method.to_owned(), path.clone()));
                assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, known, "{method} {here}: {status} {body}");
                assert!(!body.contains("no address"), "{method} {here}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
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

    /// Holds an answer against the schema that the document has for it.
    async fn fits(opened: &Opened, method: &str, path: &str, described: &str, body: &str) -> Value {
        let (status, text) = send(opened, method, path, body).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let document = read();
        let responses = &document["paths"][described][method.to_lowercase()]["responses"];
        let mut response = responses.get(status.as_str()).unwrap_or_else(|| panic!("{method} {path}: {status} {text}"));
        if let Some(reference) = response["$ref"].as_str() {
            response = document.pointer(reference.trim_start_matches('#')).unwrap();
        }
        let mut schema = response["content"]["application/json"]["schema"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{method} {path}: {errors:?} in {text}");
        answer
    }

    #[tokio::test]
    async fn real_answers_are_as_the_document_says() {
        let opened = console();
        let exchange = opened.record().await;
        let page = fits(&opened, "GET", "/api/v1/exchanges", "/api/v1/exchanges", "").await;
        assert_eq!(page["exchanges"].as_array().map(Vec::len), Some(1));
        fits(&opened, "GET", &format!("/api/v1/exchanges/{exchange}"), "/api/v1/exchanges/{id}", "").await;
        fits(&opened, "GET", "/api/v1/exchanges/01KAS", "/api/v1/exchanges/{id}", "").await;
        fits(&opened, "GET", "/api/v1/exchanges?status=often", "/api/v1/exchanges", "").await;
        fits(&opened, "GET", "/", "/", "").await;
        fits(&opened, "GET", "/api/v1/health", "/api/v1/health", "").await;
        let limits = fits(&opened, "GET", "/api/v1/limits", "/api/v1/limits", "").await;
        assert_eq!(limits["limits"].as_array().map(Vec::len), Some(1));
        let (all, one) = ("/api/v1/sessions", "/api/v1/sessions/{session}");
        fits(&opened, "POST", all, all, r#"{"name":"a"}"#).await;
        fits(&opened, "POST", all, all, "").await;
        let sessions = fits(&opened, "GET", all, all, "").await;
        assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(2));
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
