//! `GET /api/v1/compare`

use std::sync::Arc;

use axum::{
    Json,
    extract::State as Extracted,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use nightaudit_review::Comparison;
use serde_json::json;

use super::{State, up_to_date};
use crate::{Shared, error::ApiError, pairs, take};

/// `GET /api/v1/compare?a=…&b=…`: what changed from the review of session `a` to that of session `b`; 202 with
/// `building` while one of them is first read.
pub(crate) async fn compare(Extracted(shared): Extracted<Arc<Shared>>, uri: Uri) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let mut named = |name: &str| {
        take(&mut pairs, name).ok_or_else(|| ApiError::bad_request(format!("`{name}` is missing: name a session")))
    };
    let (a, b) = (named("a")?, named("b")?);
    if let Some((other, _)) = pairs.first() {
        return Err(ApiError::bad_request(format!("unknown parameter `{other}`: only `a` and `b` are known here")));
    }
    let (earlier, from) = up_to_date(&shared, &a).await?;
    let (later, to) = up_to_date(&shared, &b).await?;
    let told = match (from, to) {
        (State::Made(from), State::Made(to)) => {
            let comparison = Comparison::of(&from.review, &to.review);
            return Ok(Json(json!({ "a": earlier, "b": later, "comparison": comparison })).into_response());
        }
        (State::Building(building), _) => json!({ "session": earlier.id, "name": earlier.name, "building": building }),
        (_, State::Building(building)) => json!({ "session": later.id, "name": later.name, "building": building }),
    };
    Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], Json(told)).into_response())
}
