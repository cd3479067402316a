//! The proxy's current state.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Shared, error::ApiError};

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
