//! Every operation, and the shapes of responses.

use std::collections::{BTreeMap, BTreeSet};

use nightaudit_mews::{Kind, Rule, operation, operations};
use nightaudit_simulator::Config;
use serde_json::{Value, json};

use crate::support::{Mews, minimal_request};

#[tokio::test]
async fn every_operation_accepts_its_minimal_request() {
    let mews = Mews::start().await;
    for operation in operations() {
        let response = mews.ask(&operation.path, minimal_request(operation), "").await;
        assert_eq!(response.status, 200, "{}: {}", operation.path, String::from_utf8_lossy(&response.body));
        assert!(response.json().is_object(), "{}", operation.path);
        assert!(response.header("request-id").is_some_and(|id| id.len() == 36), "{}", operation.path);
        assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_responses() {
    let config =
        || Config { seed: 7, limit: None, now: || "2026-01-31T13:00:00Z".parse().unwrap(), ..Config::default() };
    let (one, other) = (Mews::with(config()).await, Mews::with(config()).await);
    let different = Mews::with(Config { seed: 8, ..config() }).await;
    let mut differs = 0;
    for operation in operations() {
        let request = minimal_request(operation);
        let response = one.call(&operation.path, request.clone()).await;
        assert_eq!(response, other.call(&operation.path, request.clone()).await, "{}", operation.path);
        differs += u32::from(response != different.call(&operation.path, request).await);
    }
    assert!(differs > 100, "only {differs} responses depend on the seed");
}

#[tokio::test]
async fn paging_terminates_for_every_operation() {
    let mews = Mews::start().await;
    for operation in operations().iter().filter(|operation| operation.paginated) {
        let mut request = minimal_request(operation);
        // Filters by an unknown id are only for operations that require a filter.
        request.as_object_mut().unwrap().retain(|name, _| !name.ends_with("Ids") && !name.ends_with("Utc"));
        let contract_wants_more = mews.ask(&operation.path, request.clone(), "").await.status != 200;
        if contract_wants_more {
            request = minimal_request(operation);
        }
        let (mut seen, mut pages, mut cursor) = (BTreeSet::new(), 0, Value::Null);
        loop {
            request["Limitation"] = json!({ "Count": 7, "Cursor": cursor });
            let page = mews.call(&operation.path, request.clone()).await;
            let name = operation.path.split('/').next().unwrap();
            let own = page.get(format!("{}{}", name[..1].to_uppercase(), &name[1..]));
            let items = own.or(page.as_object().unwrap().values().find(|value| value.is_array()));
            let items = items.unwrap().as_array().unwrap();
            assert!(items.len() <= 7, "{}", operation.path);
            for item in items {
                assert!(seen.insert(item.to_string()), "{}: twice: {item}", operation.path);
            }
            pages += 1;
            cursor = page["Cursor"].clone();
            // Only an empty page has no cursor; a partial page is the last.
            assert_eq!(cursor.is_null(), items.is_empty(), "{}", operation.path);
            if items.len() < 7 {
                break;
            }
        }
        assert!(contract_wants_more || !seen.is_empty() && pages == seen.len() / 7 + 1, "{}", operation.path);
    }
}

/// Properties in the documentation's samples but not in the simulator's responses, and vice versa. The golden file
/// lists both, so that changes to the data are visible.
#[tokio::test]
async fn responses_have_the_documented_shapes() {
    let mews = Mews::start().await;
    let (mut report, mut places, mut alike, mut samples) = (String::new(), 0, 0, 0);
    for (path, documented) in shapes() {
        samples += 1;
        let response = mews.call(&path, fruitful(&path)).await;
        let mut ours = BTreeMap::new();
        shape(&response, String::new(), "", &mut ours);
        let mut lines = Vec::new();
        for (place, types) in &documented {
            places += 1;
            let null = |types: &BTreeSet<String>| types.contains("null");
            match ours.get(place) {
                Some(found) if found.is_subset(types) || null(found) || null(types) => alike += 1,
                Some(found) => lines.push(format!("  {place}: {} where {} is documented", join(found), join(types))),
                // Anything below a nullable value or an empty list may be absent.
                None if is_below_nothing(place, &ours) => alike += 1,
                None => lines.push(format!("  {place} is missing")),
            }
        }
        let known = |place: &&String| documented.contains_key(*place) || is_below_nothing(place, &documented);
        lines.extend(ours.keys().filter(|place| !known(place)).map(|place| format!("  {place} is not in the sample")));
        if !lines.is_empty() {
            report.push_str(&format!("{path}\n{}\n", lines.join("\n")));
        }
    }
    report.push_str(&format!("\n{alike} of {places} documented places of {samples} samples agree\n"));
    insta::assert_snapshot!(report);
}

/// A request with a non-empty response: existing ids are not known here, so none are named unless required.
fn fruitful(path: &str) -> Value {
    let mut request = minimal_request(operation(path).unwrap());
    if path.ends_with("getAll") || path.contains("getAll/") {
        request.as_object_mut().unwrap().retain(|name, _| name == "Limitation" || name == "Extent" || name == "Date");
        if request.get("Limitation").is_some() {
            request["Limitation"] = json!({ "Count": 1000 });
        }
    }
    for field in operation(path).unwrap().request.fields.iter().filter(|field| field.required) {
        if request.get(&*field.name).is_none() && !["ClientToken", "AccessToken", "Client"].contains(&&*field.name) {
            request[&*field.name] = minimal_request(operation(path).unwrap())[&*field.name].clone();
        }
    }
    // A required filter is an interval that contains something, if there is one.
    let known = &operation(path).unwrap().request;
    for rule in &known.rules {
        let fields = match rule {
            Rule::AnyOf(fields) => fields,
            Rule::Sets(sets) => &sets[0],
            _ => continue,
        };
        let fields: Vec<_> = fields.iter().map(|&at| &known.fields[at]).collect();
        let interval = fields.iter().find(|field| matches!(&field.kind, Kind::Object(object) if object.interval));
        match interval {
            Some(field) => request[&*field.name] = json!({ "StartUtc": day(-80), "EndUtc": day(9) }),
            None => request[&*fields[0].name] = minimal_request(operation(path).unwrap())[&*fields[0].name].clone(),
        }
    }
    request
}

/// The start of the day `days` from today.
fn day(days: i64) -> String {
    let then = jiff::Timestamp::now().saturating_add(jiff::SignedDuration::from_hours(24 * days)).unwrap();
    format!("{}T00:00:00Z", &then.to_string()[..10])
}

type Shape = BTreeMap<String, BTreeSet<String>>;

fn shapes() -> Vec<(String, Shape)> {
    let mut shapes: Vec<(String, Shape)> = Vec::new();
    for line in include_str!("../data/shapes.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            None => shapes.push((line.to_owned(), Shape::new())),
            Some(place) => {
                let (place, types) = place.rsplit_once(' ').unwrap();
                let types = types.split('|').map(str::to_owned).collect();
                shapes.last_mut().unwrap().1.insert(place.to_owned(), types);
            }
        }
    }
    shapes
}

fn shape(value: &Value, place: String, name: &str, shape_of: &mut Shape) {
    const TEXTS: [&str; 6] = ["Names", "ShortNames", "Descriptions", "ExternalNames", "Directions", "Texts"];
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !place.is_empty() {
        shape_of.entry(place.clone()).or_default().insert(kind.to_owned());
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| shape(item, format!("{place}[]"), "", shape_of)),
        Value::Object(object) if !TEXTS.contains(&name) => {
            for (name, value) in object {
                let place = if place.is_empty() { name.clone() } else { format!("{place}/{name}") };
                shape(value, place, name, shape_of);
            }
        }
        _ => {}
    }
}

fn is_below_nothing(place: &str, ours: &Shape) -> bool {
    let mut above = place;
    while let Some(end) = above.rfind('/').max(above.rfind("[]")) {
        above = &above[..end];
        match ours.get(above) {
            Some(found) if found.contains("array") => return !ours.contains_key(&format!("{above}[]")),
            Some(found) => return found.contains("null"),
            None => {}
        }
    }
    false
}

fn join(types: &BTreeSet<String>) -> String {
    types.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}
