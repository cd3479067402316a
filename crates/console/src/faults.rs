//! The fault rules: list, add, clear.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
};
use http::StatusCode;
use nightaudit_fault::{FaultRule, FaultState, Faults, FaultsError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Shared, error::ApiError, sessions::read};

/// Adds a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    rule: String,
}

/// `GET /api/v1/faults`
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let faults = shared.gauges.faults.as_ref().map_or_else(Vec::new, |faults| faults.list(Instant::now()));
    Json(json!({ "faults": faults }))
}

/// `POST /api/v1/faults` with `{"rule": …}`
pub(crate) async fn add(State(shared): State<Arc<Shared>>, body: Body) -> Result<Json<FaultState>, ApiError> {
    let Add { rule } = read(body).await?;
    let faults = running(&shared)?;
    let rule: FaultRule =
        rule.parse().map_err(|error: nightaudit_fault::InvalidFaultRule| ApiError::bad_request(error.to_string()))?;
    let added = faults.add(rule, Instant::now())?;
    tracing::warn!("fault rule {} added: {}", added.number, added.rule);
    Ok(Json(added))
}

/// `DELETE /api/v1/faults`
pub(crate) async fn clear(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    cleared(&shared, None)
}

/// `DELETE /api/v1/faults/{number}`
pub(crate) async fn clear_one(
    State(shared): State<Arc<Shared>>,
    number: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(number) = number?;
    let number = number.parse().map_err(|_| {
        ApiError::bad_request(format!("`{number}` is not the number of a fault rule: `GET /api/v1/faults` lists them"))
    })?;
    cleared(&shared, Some(number))
}

fn cleared(shared: &Shared, number: Option<u32>) -> Result<Json<Value>, ApiError> {
    let cleared = running(shared)?.clear(number, Instant::now())?;
    for rule in &cleared {
        tracing::info!("fault rule {} cleared: {}", rule.number, rule.rule);
    }
    Ok(Json(json!({ "cleared": cleared })))
}

fn running(shared: &Shared) -> Result<&Faults, ApiError> {
    let faults = shared.gauges.faults.as_ref();
    faults.ok_or_else(|| ApiError::conflict("nothing is being recorded: faults are injected by a running `serve`"))
}

impl From<FaultsError> for ApiError {
    fn from(error: FaultsError) -> Self {
        let status = match error {
            FaultsError::Refused(_) => StatusCode::FORBIDDEN,
            FaultsError::TooMany => StatusCode::CONFLICT,
            FaultsError::NotFound(_) => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_log::testing::MemoryLog;

    use super::*;
    use crate::{
        Gauges,
        tests::{Opened, ask, console_over, send},
    };

    fn opened(faults: impl Into<Option<Faults>>) -> Opened {
        let log = MemoryLog::default();
        console_over(log.clone(), Arc::new(log), Gauges { faults: faults.into(), ..Gauges::default() })
    }

    #[tokio::test]
    async fn rules_are_added_listed_and_cleared() {
        let faults = Faults::default();
        let opened = opened(faults.clone());
        let path = "/api/v1/faults";
        let (status, body) = send(&opened, "POST", path, r#"{"rule":"rates/*: 503, count=2"}"#).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(faults.plan("rates/getAll", None, Instant::now()).is_some());
        let (_, body) = ask(&opened, "GET", path, true).await;
        assert_eq!(
            body,
            r#"{"faults":[{"ended":false,"injected":1,"left":1,"matched":1,"number":1,"rule":"rates/*: 503, count=2"}]}"#
        );
        let (status, body) = send(&opened, "DELETE", "/api/v1/faults/2", "").await;
        assert!(status == StatusCode::NOT_FOUND && body.contains("no fault rule 2"), "{body}");
        assert_eq!(send(&opened, "DELETE", "/api/v1/faults/all", "").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(send(&opened, "DELETE", "/api/v1/faults/1", "").await.0, StatusCode::OK);
        assert!(faults.is_empty());
        assert_eq!(send(&opened, "DELETE", path, "").await.1, r#"{"cleared":[]}"#);
    }

    #[tokio::test]
    async fn a_wrong_rule_changes_nothing() {
        let faults = Faults::default();
        let opened = opened(faults.clone());
        for (body, why) in [
            (r#"{"rule":"lattency=1s"}"#, "did you mean `latency`"),
            (r#"{"rule":""}"#, "is not a fault rule"),
            (r#"{"rule":"429","count":1}"#, "unknown field"),
            ("", "the body"),
        ] {
            let (status, answer) = send(&opened, "POST", "/api/v1/faults", body).await;
            assert!(status == StatusCode::BAD_REQUEST && answer.contains(why), "{body}: {status} {answer}");
        }
        assert!(faults.is_empty());
    }

    #[tokio::test]
    async fn where_faults_are_not_allowed_or_nothing_runs_none_is_added() {
        let (status, body) =
            send(&opened(Faults::refused("not for production")), "POST", "/api/v1/faults", r#"{"rule":"429"}"#).await;
        assert!(status == StatusCode::FORBIDDEN && body.contains("not for production"), "{body}");
        let (status, body) = send(&opened(None), "POST", "/api/v1/faults", r#"{"rule":"429"}"#).await;
        assert!(status == StatusCode::CONFLICT && body.contains("a running `serve`"), "{body}");
        assert_eq!(ask(&opened(None), "GET", "/api/v1/faults", true).await.1, r#"{"faults":[]}"#);
    }
}
