//! The proxy's current state.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use crate::{
    Shared, blocking,
    error::ApiError,
    gauges::{LimitHistory, LimitStoreState, MAX_MINUTES},
    pairs, take,
};

/// `GET /api/v1/status`: what the page says in its bar and its notices.
pub(crate) async fn status(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    let (read_only, session) = blocking(&shared, |shared| match shared.log.manage() {
        Some(sessions) => (false, sessions.current_session()),
        None => (true, None),
    })
    .await?;
    let recording = shared.log.status();
    let proxy = (shared.gauges.proxy)();
    let upstream = proxy.as_ref();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started": shared.gauges.started,
        "readOnly": read_only,
        "proxy": proxy.as_ref().map(|proxy| json!({
            "address": proxy.addresses.first(),
            "addresses": proxy.addresses,
            "environment": proxy.environment,
            "upstream": proxy.upstream,
        })),
        "session": session,
        "recording": {
            "recorded": recording.recorded,
            "unrecorded": recording.unrecorded,
            "waiting": recording.waiting,
            "missing": recording.missing,
            "failing": recording.failing.as_deref(),
        },
        "archive": shared.gauges.archive.as_ref().map(|archive| archive()),
        "limitStore": shared.gauges.limit_store.as_ref().map(|store| limit_store(&store())),
        "upstream": {
            "reachable": upstream.and_then(|proxy| proxy.reachable),
            "since": upstream.and_then(|proxy| proxy.since),
            "lastError": upstream.and_then(|proxy| proxy.last_error.as_deref()),
        },
    })))
}

fn limit_store(store: &LimitStoreState) -> Value {
    let LimitStoreState { address, failing, share_of, sharing } = store;
    json!({ "address": address, "failing": failing, "shareOf": share_of, "sharing": sharing, "notice": store.told() })
}

/// `GET /api/v1/limits/history?minutes=30`
pub(crate) async fn limit_history(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Json<LimitHistory>, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let minutes = match take(&mut pairs, "minutes") {
        None => 30,
        Some(text) => text.parse().ok().filter(|minutes| (1..=MAX_MINUTES).contains(minutes)).ok_or_else(|| {
            ApiError::bad_request(format!("invalid minutes `{text}`: a whole number from 1 to {MAX_MINUTES}"))
        })?,
    };
    if let Some((name, _)) = pairs.first() {
        return Err(ApiError::bad_request(format!("unknown parameter `{name}`: only `minutes`")));
    }
    Ok(Json((shared.gauges.limit_history)(minutes)))
}

/// `GET /api/v1/limits`
pub(crate) async fn limits(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "limits": crate::shared::limits(&shared).await? })))
}

/// `GET /api/v1/health`: says only whether it works, because it needs no token.
pub(crate) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let status = shared.log.status();
    match status.failing {
        None if status.missing > 0 => Json(json!({ "status": "incomplete" })).into_response(),
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "failing" }))).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{ask, console};

    #[tokio::test]
    async fn the_status_of_a_console_without_a_proxy_says_so() {
        let (status, body) = ask(&console(), "GET", "/api/v1/status", true).await;
        assert_eq!(status, StatusCode::OK);
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&told["proxy"], &told["upstream"]["reachable"]), (&Value::Null, &Value::Null));
        assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(told["recording"]["failing"], Value::Null);
    }

    #[tokio::test]
    async fn minutes_are_a_whole_number_in_their_range() {
        let opened = console();
        for wrong in ["0", "61", "-1", "1.5", "x", "", "99999999999999999999"] {
            let (status, body) = ask(&opened, "GET", &format!("/api/v1/limits/history?minutes={wrong}"), true).await;
            assert!(status == StatusCode::BAD_REQUEST && body.contains("1 to 60"), "{wrong}: {body}");
        }
        for right in ["?minutes=1", "?minutes=60", ""] {
            let (status, body) = ask(&opened, "GET", &format!("/api/v1/limits/history{right}"), true).await;
            assert_eq!(status, StatusCode::OK, "{body}");
        }
        let (status, body) = ask(&opened, "GET", "/api/v1/limits/history?seconds=5", true).await;
        assert!(status == StatusCode::BAD_REQUEST && body.contains("seconds"), "{body}");
    }
}
