//! The log as a whole.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use nightaudit_log::Info;
use serde_json::json;

use crate::{Shared, blocking, error::ApiError, stream::written};

/// How often a running check sends a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// `GET /api/v1/log`: totals of the log.
pub(crate) async fn info(State(shared): State<Arc<Shared>>) -> Result<Json<Info>, ApiError> {
    Ok(Json(blocking(&shared, |shared| shared.log.info()).await??))
}

/// `GET /api/v1/log/check`: the result of verifying every byte. While that runs, an empty line is sent each second, which
/// is white space to a JSON parser. A client that leaves doesn't stop the check.
pub(crate) async fn check(State(shared): State<Arc<Shared>>) -> Result<Response, ApiError> {
    let permit = shared.bounds.export()?;
    let body = written(permit, move |out| {
        let mut last = Instant::now();
        let mut sent = Ok(());
        let result = shared.log.check(&mut |_| {
            if sent.is_ok() && last.elapsed() >= HEARTBEAT {
                sent = out.write_all(b"\n").and_then(|()| out.flush());
                last = Instant::now();
            }
        });
        sent?;
        match result {
            Ok(check) => serde_json::to_writer(&mut *out, &check)?,
            Err(error) => serde_json::to_writer(&mut *out, &json!({ "error": error.to_string() }))?,
        }
        out.write_all(b"\n")
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
