//! Counts over all matches: in time, and by value.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::Uri;
use nightaudit_exchange::Filter;
use nightaudit_log::{Facet, MAX_BUCKETS, ReadError};
use serde_json::{Value, json};

use crate::{Shared, error::ApiError, now, pairs, reading, take};

/// Default number of buckets.
const BUCKETS: usize = 120;

/// `GET /api/v1/histogram`: how many matches started when.
pub(crate) async fn histogram(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let buckets = match take(&mut pairs, "buckets") {
        None => BUCKETS,
        Some(text) => text.parse().ok().filter(|buckets| (1..=MAX_BUCKETS).contains(buckets)).ok_or_else(|| {
            ApiError::bad_request(format!("invalid buckets `{text}`: use a number from 1 to {MAX_BUCKETS}"))
        })?,
    };
    let filter = indexed(Filter::from_query(pairs, now())?)?;
    let permit = shared.bounds.page().await?;
    let histogram = reading(&shared, move |shared| {
        let _permit = permit;
        shared.log.histogram(&filter, buckets)
    })
    .await??;
    let span = Duration::from_millis(histogram.bucket_ms.saturating_mul(histogram.buckets.len() as u64));
    let is_empty = histogram.buckets.is_empty();
    let buckets = histogram.buckets.iter();
    let buckets: Vec<_> =
        buckets.map(|it| json!({ "requests": it.requests, "failed": it.failed, "refused": it.refused })).collect();
    Ok(Json(json!({
        "total": histogram.total,
        "first": histogram.first,
        "last": histogram.last,
        "from": (!is_empty).then_some(histogram.from),
        "until": (!is_empty).then(|| histogram.from.plus(span)),
        "bucketMs": histogram.bucket_ms,
        "buckets": buckets,
    })))
}

/// `GET /api/v1/facets`: the values that matches have, and how often.
pub(crate) async fn facets(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let filter = indexed(Filter::from_query(pairs(&shared, &uri)?, now())?)?;
    let permit = shared.bounds.page().await?;
    let (facets, sessions) = reading(&shared, move |shared| {
        let _permit = permit;
        Ok::<_, ReadError>((shared.log.facets(&filter)?, shared.log.sessions()?))
    })
    .await??;
    let name = |id| sessions.iter().find(|session| session.id == id).map(|session| session.name.as_str());
    let mut more = serde_json::Map::new();
    let mut uncounted = serde_json::Map::new();
    let mut kinds = serde_json::Map::new();
    let mut add = |kind: &str, values: Vec<Value>, cut: (u64, u64)| {
        kinds.insert(kind.to_owned(), values.into());
        [(&mut more, cut.0), (&mut uncounted, cut.1)].into_iter().filter(|(_, count)| *count > 0).for_each(
            |(map, count)| {
                map.insert(kind.to_owned(), count.into());
            },
        );
    };
    let listed = &facets.sessions;
    add("sessions", list(listed, |id| json!({ "id": id, "name": name(*id) })), cut(listed));
    let listed = &facets.operations;
    add("operations", list(listed, |operation| json!({ "name": operation })), cut(listed));
    let listed = &facets.statuses;
    add("statuses", list(listed, |status| json!({ "status": status })), cut(listed));
    let listed = &facets.outcomes;
    add("outcomes", list(listed, |outcome| json!({ "name": outcome })), cut(listed));
    let listed = &facets.tokens;
    add("tokens", list(listed, |token| json!({ "pseudonym": token })), cut(listed));
    let listed = &facets.clients;
    add("clients", list(listed, |client| json!({ "name": client })), cut(listed));
    kinds.insert("more".to_owned(), more.into());
    kinds.insert("uncounted".to_owned(), uncounted.into());
    Ok(Json(kinds.into()))
}

fn cut<T>(facet: &Facet<T>) -> (u64, u64) {
    (facet.more, facet.uncounted)
}

fn list<T>(facet: &Facet<T>, describe: impl Fn(&T) -> Value) -> Vec<Value> {
    let entry = |(value, count): &(T, u64)| {
        let mut entry = describe(value);
        entry["count"] = json!(count);
        entry
    };
    facet.values.iter().map(entry).collect()
}

/// A filter that the index decides alone.
pub(crate) fn indexed(filter: Filter) -> Result<Filter, ApiError> {
    if filter.needs_body() {
        let message = "`contains` can't be used here, as it reads bodies and this is answered from the index";
        return Err(ApiError::bad_request(message));
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use nightaudit_exchange::Outcome;
    use nightaudit_log::testing::{exchange, exchanges};

    use super::*;
    use crate::tests::{Opened, ask, console};

    fn opened() -> Opened {
        let opened = console();
        exchanges(1, "a", 30).into_iter().for_each(|exchange| opened.log.record(exchange));
        for sequence in 1..=4 {
            let mut exchange = exchange(2, "b", sequence);
            (exchange.outcome, exchange.response) = (Outcome::Failed, None);
            if sequence == 4 {
                exchange.outcome = Outcome::Refused;
            }
            opened.log.record(exchange);
        }
        opened
    }

    async fn get(opened: &Opened, path: &str) -> Value {
        let (status, body) = ask(opened, "GET", &format!("/api/v1/{path}"), true).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    #[tokio::test]
    async fn the_histogram_counts_failures_and_refusals_apart() {
        let opened = opened();
        // Session 1 lasts 30 ms, session 2 starts 100 s later.
        let all = get(&opened, "histogram?buckets=2").await;
        let bucket = |requests, failed, refused| json!({ "requests": requests, "failed": failed, "refused": refused });
        assert_eq!(all["buckets"], json!([bucket(30, 0, 0), bucket(4, 3, 1)]));
        assert_eq!((&all["total"], &all["bucketMs"]), (&json!(34), &json!(120_000)));
        assert_eq!(all["first"], json!(exchange(1, "a", 1).started_at));
        assert_eq!(all["last"], json!(exchange(2, "b", 4).started_at));
        let first = get(&opened, "histogram?session=a&buckets=600").await;
        assert_eq!((&first["total"], &first["bucketMs"]), (&json!(30), &json!(1)));
        assert_eq!(first["buckets"].as_array().map(Vec::len), Some(30));
        let (since, until) = ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z");
        let empty = get(&opened, &format!("histogram?since={since}&until={until}&buckets=60")).await;
        assert_eq!(
            (&empty["from"], &empty["until"]),
            (&json!("2026-11-23T12:00:00.000000Z"), &json!("2026-11-23T13:00:00.000000Z"))
        );
        let nothing = get(&opened, "histogram?status=599").await;
        assert_eq!((&nothing["total"], &nothing["from"], &nothing["buckets"]), (&json!(0), &Value::Null, &json!([])));
    }

    #[tokio::test]
    async fn facets_list_values_by_frequency() {
        let opened = opened();
        let facets = get(&opened, "facets").await;
        let id = |session| json!(nightaudit_log::testing::session_id(session));
        assert_eq!(
            facets["sessions"],
            json!([{ "id": id(1), "name": "a", "count": 30 }, { "id": id(2), "name": "b", "count": 4 }])
        );
        assert_eq!(facets["statuses"], json!([{ "status": 200, "count": 30 }, { "status": null, "count": 4 }]));
        assert_eq!(facets["outcomes"][1], json!({ "name": "failed", "count": 3 }));
        assert_eq!(facets["operations"][0], json!({ "name": "reservations/getAll", "count": 12 }));
        assert_eq!(facets["clients"], json!([{ "name": "Kiosk 1", "count": 34 }]));
        assert_eq!((&facets["tokens"], &facets["more"], &facets["uncounted"]), (&json!([]), &json!({}), &json!({})));
        let failed = get(&opened, "facets?outcome=failed").await;
        assert_eq!(failed["sessions"], json!([{ "id": id(2), "name": "b", "count": 3 }]));
    }

    #[tokio::test]
    async fn what_only_bodies_tell_is_refused_with_a_reason() {
        let opened = opened();
        for (path, named) in [
            ("histogram?contains=x", "`contains`"),
            ("histogram?contains=!x", "`contains`"),
            ("facets?contains=x", "`contains`"),
            ("histogram?buckets=0", "1 to 600"),
            ("histogram?buckets=601", "1 to 600"),
            ("histogram?buckets=x", "1 to 600"),
            ("facets?buckets=1", "buckets"),
        ] {
            let (status, body) = ask(&opened, "GET", &format!("/api/v1/{path}"), true).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
            assert!(body.contains(named), "{path}: {body}");
        }
        assert_eq!(ask(&opened, "GET", "/api/v1/facets?session=none", true).await.0, StatusCode::NOT_FOUND);
    }
}
