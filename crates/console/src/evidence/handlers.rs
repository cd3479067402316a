//! `/api/v1/evidence` and `/api/v1/key`.

use std::{io::Read as _, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    LIFETIME,
    job::{Job, Kind},
};
use crate::{Shared, blocking, error::ApiError, now, sessions, stream::written};

type Which = Result<Path<String>, PathRejection>;

/// Which session, and as what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    session: String,
    format: Kind,
}

/// `POST /api/v1/evidence` with `{"session": …, "format": …}`
pub(crate) async fn begin(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response, ApiError> {
    let Begin { session, format } = sessions::read_up_to(4 << 10, body).await?;
    let (folder, session) = blocking(&shared, move |shared| {
        let session = shared.log.session(&session)?;
        Ok::<_, ApiError>((shared.jobs.folder()?.to_owned(), session))
    })
    .await??;
    if session.exchanges == 0 {
        return Err(ApiError::conflict(format!("session `{}` has no exchanges yet", session.name)));
    }
    let job = Arc::new(Job::new(format, session, now(), &shared.stopping)?);
    shared.jobs.add(Arc::clone(&job))?;
    let view = job.view();
    let location = format!("/api/v1/evidence/{}", job.id);
    let running = Arc::clone(&shared);
    tokio::spawn(async move {
        let (own, writing) = (Arc::clone(&job), Arc::clone(&running));
        let write = move || {
            if let Some(tools) = &writing.gauges.evidence {
                own.run(&writing, &folder, tools);
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(write).await {
            job.fail(&error);
        }
        // It can be downloaded for a while.
        let id = job.id.clone();
        drop(job);
        let _ = running.stopping.run_until_cancelled(tokio::time::sleep(LIFETIME)).await;
        running.jobs.remove(&id);
    });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response())
}

/// `GET /api/v1/evidence`
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let jobs: Vec<_> = shared.jobs.all().iter().map(|job| job.view()).collect();
    Json(json!({ "evidence": jobs }))
}

/// `GET /api/v1/evidence/{id}`
pub(crate) async fn one(State(shared): State<Arc<Shared>>, id: Which) -> Result<Json<Value>, ApiError> {
    let Path(id) = id?;
    Ok(Json(shared.jobs.find(&id)?.view()))
}

/// `DELETE /api/v1/evidence/{id}`: cancels the writing, or removes the file.
pub(crate) async fn remove(State(shared): State<Arc<Shared>>, id: Which) -> Result<StatusCode, ApiError> {
    let Path(id) = id?;
    // Looked up first, for the error.
    shared.jobs.find(&id)?;
    // Removing a file may block.
    blocking(&shared, move |shared| drop(shared.jobs.remove(&id))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/evidence/{id}/file`
pub(crate) async fn download(State(shared): State<Arc<Shared>>, id: Which) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let job = shared.jobs.find(&id)?;
    let permit = shared.bounds.export()?;
    let opened = Arc::clone(&job);
    let (mut file, length) = blocking(&shared, move |_| opened.open()).await??;
    let body = written(permit, move |out| {
        let mut chunk = vec![0; 64 << 10];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(()),
                count => out.write_all(&chunk[..count])?,
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, job.media_type().to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, attachment(&job.file_name)),
    ];
    Ok((headers, body).into_response())
}

/// `GET /api/v1/key`: the fingerprint of the key that signs evidence; null before the first.
pub(crate) async fn key(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    let fingerprint = blocking(&shared, |shared| {
        let Some(tools) = &shared.gauges.evidence else { return Ok(None) };
        let key = nightaudit_export::SigningKey::load(&tools.keys);
        key.map(|key| key.map(|key| key.fingerprint())).map_err(|error| ApiError::conflict(error.to_string()))
    });
    Ok(Json(json!({ "fingerprint": fingerprint.await?? })))
}

/// A `Content-Disposition` with this name (RFC 6266): as it is where it is ASCII, and in UTF-8 besides.
fn attachment(name: &str) -> String {
    let plain: String = name.chars().map(|letter| if letter.is_ascii() { letter } else { '-' }).collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    // Of what a name can have, only letters outside ASCII need encoding.
    let encoded: String = name
        .bytes()
        .map(|byte| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_ascii_is_encoded() {
        assert_eq!(attachment("a-1.zip"), "attachment; filename=\"a-1.zip\"");
        assert_eq!(attachment("né.zip"), "attachment; filename=\"n-.zip\"; filename*=UTF-8''n%C3%A9.zip");
    }
}
