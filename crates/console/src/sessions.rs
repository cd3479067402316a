//! Sessions: list, start, end, change and delete.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{Path, State, rejection::PathRejection},
};
use http::StatusCode;
use nightaudit_log::{ManageSessions, ReadLog, Session, SessionError};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Shared, blocking, error::ApiError};

/// Maximum request body in bytes.
const MAX_BODY: usize = 64 << 10;

type Which = Result<Path<String>, PathRejection>;

/// Starts a session, or continues the open one with that name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    name: String,
}

/// Changes to a session; absent properties stay as they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<String>,
    note: Option<String>,
    declaration: Option<String>,
}

/// `GET /api/v1/sessions`
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    let sessions = blocking(&shared, |shared| shared.log.sessions()).await??;
    Ok(Json(json!({ "sessions": sessions })))
}

/// `GET /api/v1/sessions/{session}`
pub(crate) async fn one(State(shared): State<Arc<Shared>>, which: Which) -> Result<Json<Session>, ApiError> {
    let Path(which) = which?;
    Ok(Json(blocking(&shared, move |shared| shared.log.session(&which)).await??))
}

/// `POST /api/v1/sessions` with `{"name": …}`
pub(crate) async fn start(State(shared): State<Arc<Shared>>, body: Body) -> Result<Json<Session>, ApiError> {
    let Start { name } = read(body).await?;
    run(shared, move |_, sessions| sessions.start_session(&name)).await
}

/// `POST /api/v1/sessions/{session}/end`
pub(crate) async fn end(State(shared): State<Arc<Shared>>, which: Which) -> Result<Json<Session>, ApiError> {
    let Path(which) = which?;
    run(shared, move |_, sessions| sessions.end_session(&which)).await
}

/// `POST /api/v1/sessions/current/end`
pub(crate) async fn end_current(State(shared): State<Arc<Shared>>) -> Result<Json<Session>, ApiError> {
    let current = blocking(&shared, |shared| shared.manage().map(ManageSessions::current_session)).await??;
    let current = current
        .ok_or_else(|| ApiError::new(StatusCode::CONFLICT, "no session is being recorded: name the session to end"))?;
    run(shared, move |_, sessions| sessions.end_session(&current.id.to_string())).await
}

/// `PATCH /api/v1/sessions/{session}` with `{"name": …, "note": …, "declaration": …}`
pub(crate) async fn change(
    State(shared): State<Arc<Shared>>,
    which: Which,
    body: Body,
) -> Result<Json<Session>, ApiError> {
    let Path(which) = which?;
    let Change { name, note, declaration } = read(body).await?;
    if name.is_none() && note.is_none() && declaration.is_none() {
        return Err(ApiError::bad_request("nothing to change: give `name`, `note` or `declaration`"));
    }
    run(shared, move |log, sessions| {
        // By id, because the name used in the path may be the one being changed.
        let id = log.session(&which)?.id.to_string();
        if let Some(name) = &name {
            sessions.rename_session(&id, name)?;
        }
        if let Some(note) = &note {
            sessions.note_session(&id, note)?;
        }
        if let Some(declaration) = &declaration {
            sessions.declare_session(&id, declaration)?;
        }
        log.session(&id)
    })
    .await
}

/// `DELETE /api/v1/sessions/{session}`: returns the deleted session.
pub(crate) async fn remove(State(shared): State<Arc<Shared>>, which: Which) -> Result<Json<Session>, ApiError> {
    let Path(which) = which?;
    run(shared, move |_, sessions| sessions.delete_session(&which)).await
}

async fn run(
    shared: Arc<Shared>,
    work: impl FnOnce(&dyn ReadLog, &dyn ManageSessions) -> Result<Session, SessionError> + Send + 'static,
) -> Result<Json<Session>, ApiError> {
    let change = move |shared: &Shared| Ok::<_, ApiError>(work(&*shared.log, shared.manage()?)?);
    let changed = blocking(&shared, change).await?;
    shared.reviews.note_change();
    Ok(Json(changed?))
}

pub(crate) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    read_up_to(MAX_BODY, body).await
}

/// A JSON body of at most `most` bytes.
pub(crate) async fn read_up_to<T: DeserializeOwned>(most: usize, body: Body) -> Result<T, ApiError> {
    let bytes = to_bytes(body, most).await.map_err(|_| {
        let message = format!("the body is incomplete, or larger than {} KiB", most >> 10);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::bad_request(format!("the body: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::tests::{ask, console, send};

    use super::*;

    fn object(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn a_session_is_started_changed_ended_and_deleted() {
        let opened = console();
        let (status, body) = send(&opened, "POST", "/api/v1/sessions", r#"{"name":"rehearsal"}"#).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!((&object(&body)["name"], &object(&body)["current"]), (&"rehearsal".into(), &true.into()));

        let at = "/api/v1/sessions/rehearsal";
        let (_, body) = send(&opened, "DELETE", at, "").await;
        assert!(body.contains("being recorded"), "{body}");
        let (_, body) = send(&opened, "PATCH", at, r#"{"name":"take 1/2","note":"a note"}"#).await;
        assert_eq!((&object(&body)["name"], &object(&body)["note"]), (&"take 1/2".into(), &"a note".into()));
        assert_eq!(ask(&opened, "GET", at, true).await.0, StatusCode::NOT_FOUND);

        let at = "/api/v1/sessions/take%201%2F2";
        let (_, body) = send(&opened, "PATCH", at, r#"{"note":""}"#).await;
        assert_eq!(object(&body)["note"], Value::Null);
        let (_, body) = send(&opened, "POST", &format!("{at}/end"), "").await;
        assert_eq!(object(&body)["open"], false);
        assert_eq!(send(&opened, "POST", "/api/v1/sessions/current/end", "").await.0, StatusCode::CONFLICT);
        assert_eq!(send(&opened, "DELETE", at, "").await.0, StatusCode::OK);
        let (_, body) = ask(&opened, "GET", "/api/v1/sessions", true).await;
        assert_eq!(body, r#"{"sessions":[]}"#);
    }

    #[tokio::test]
    async fn an_invalid_body_is_refused() {
        let opened = console();
        send(&opened, "POST", "/api/v1/sessions", r#"{"name":"a"}"#).await;
        let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(MAX_BODY));
        for (method, path, body, status) in [
            ("POST", "/api/v1/sessions", "", 400),
            ("POST", "/api/v1/sessions", r#"{"name":"a","colour":"red"}"#, 400),
            ("POST", "/api/v1/sessions", r#"{"name":"a\nb"}"#, 400),
            ("PATCH", "/api/v1/sessions/a", "{}", 400),
            ("PATCH", "/api/v1/sessions/a", &long, 413),
            ("PATCH", "/api/v1/sessions/none", r#"{"note":"x"}"#, 404),
        ] {
            let (answered, told) = send(&opened, method, path, body).await;
            assert_eq!(answered.as_u16(), status, "{method} {path} {body:.40}: {told}");
            assert!(object(&told)["error"].is_string());
        }
    }
}
