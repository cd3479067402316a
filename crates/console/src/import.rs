//! Import of an NDJSON export, as it arrives.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use nightaudit_log::{Session, SessionError, is_session_name};
use nightaudit_store::{ImportError, Imported};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{Shared, disk, error::ApiError, pairs, take};

/// How long the client may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// `POST /api/v1/import`: the sessions of an NDJSON export. `name` renames the imported session, if it is one.
pub(crate) async fn import(State(shared): State<Arc<Shared>>, uri: Uri, body: Body) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let name = take(&mut pairs, "name");
    if let Some((other, _)) = pairs.first() {
        return Err(ApiError::bad_request(format!("unknown parameter `{other}`: only `name` is known here")));
    }
    if let Some(name) = name.as_deref().filter(|name| !is_session_name(name)) {
        return Err(SessionError::Name(name.to_owned()).into());
    }
    if shared.gauges.import.is_none() {
        return Err(ApiError::conflict("nothing can be imported here: use `nightaudit log import`"));
    }
    let permit = shared.bounds.import()?;
    let lines = Lines::new(body, shared.stopping.clone());
    let importing = Arc::clone(&shared);
    let work = move || {
        let _permit = permit;
        run(&importing, lines, name.as_deref())
    };
    let sessions = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    // Also of one that failed, which may have deleted what it had begun.
    shared.reviews.note_change();
    let (mut sessions, imported) = sessions?;
    let mut told = json!(sessions.remove(0));
    told["also"] = json!(sessions);
    told["rehashed"] = json!(imported.rehashed);
    let location = format!("/api/v1/sessions/{}", told["id"].as_str().unwrap_or_default());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(told)).into_response())
}

/// Imports; blocks for as long as the client sends.
fn run(shared: &Shared, mut lines: Lines, name: Option<&str>) -> Result<(Vec<Session>, Imported), ApiError> {
    let Some(import) = &shared.gauges.import else { return Err(SessionError::ReadOnly.into()) };
    lines.check_disk = shared.gauges.evidence.as_ref().map(|tools| tools.folder.clone());
    let imported = match import(&mut lines) {
        Ok(imported) => imported,
        // What the client did is said by the reader.
        Err(error) => return Err(lines.failure.take().unwrap_or_else(|| error.into())),
    };
    if let ([only], Some(name), Some(manage)) = (&imported.sessions[..], name, shared.log.manage()) {
        manage.rename_session(&only.to_string(), name)?;
    }
    let sessions = imported.sessions.iter().map(|id| shared.log.session(&id.to_string()));
    let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
    if sessions.is_empty() {
        return Err(ApiError::bad_request("the file has no exchanges"));
    }
    Ok((sessions, imported))
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Session(error) => error.into(),
            ImportError::Present(_) => Self::conflict(error.to_string()),
            error => Self::bad_request(error.to_string()),
        }
    }
}

/// A request's body, read on a blocking thread as it arrives.
struct Lines {
    body: Body,
    chunk: Bytes,
    runtime: Handle,
    stopping: CancellationToken,
    /// The folder on whose disk the log is.
    check_disk: Option<std::path::PathBuf>,
    /// Bytes until the next look at the disk.
    due: usize,
    /// Why the body could not be read to its end.
    failure: Option<ApiError>,
}

impl Lines {
    fn new(body: Body, stopping: CancellationToken) -> Self {
        let (chunk, runtime) = (Bytes::new(), Handle::current());
        Self { body, chunk, runtime, stopping, check_disk: None, due: 0, failure: None }
    }

    fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let frame = async {
            let frame = self.stopping.run_until_cancelled(self.body.frame());
            tokio::time::timeout(PATIENCE, frame).await
        };
        let stopped =
            || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "`serve` is shutting down: nothing was imported");
        let silent = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "no data within 30 s: nothing was imported");
        match self.runtime.block_on(frame).map_err(silent)?.ok_or_else(stopped)? {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(_)) => Err(ApiError::bad_request("the body broke off: nothing was imported")),
        }
    }

    fn check(&mut self, count: usize) -> Result<(), ApiError> {
        if let Some(folder) = self.check_disk.as_deref().filter(|_| self.due == 0) {
            let full = |error: io::Error| ApiError::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string());
            disk::check(folder).map_err(full)?;
            self.due = disk::STEP;
        }
        self.due = self.due.saturating_sub(count);
        Ok(())
    }
}

impl BufRead for Lines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() {
            let next = self.next().and_then(|next| {
                self.check(next.as_ref().map_or(0, Bytes::len))?;
                Ok(next)
            });
            match next {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => break,
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        self.chunk = self.chunk.split_off(count);
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}
