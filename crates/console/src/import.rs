//! Import of a file of exchanges, as it arrives.

use std::{
    cell::Cell,
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
use nightaudit_import::{Format, Options, Reader, Summary, session_of_file};
use nightaudit_log::{Session, SessionError, is_session_name};
use nightaudit_store::{ImportError, Imported};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{Shared, disk, error::ApiError, pairs, take};

/// How long the client may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the rest of a file is read that is of no use, so that the client gets to read the response.
const DRAINING: Duration = Duration::from_secs(60);

/// What the client asks for.
struct Wanted {
    /// The name of the imported session, if it is one.
    name: Option<String>,
    options: Options,
}

impl Wanted {
    fn of(shared: &Shared, uri: &Uri) -> Result<Self, ApiError> {
        let mut pairs = pairs(shared, uri)?;
        let name = take(&mut pairs, "name");
        let file = take(&mut pairs, "file");
        let lenient = flag(take(&mut pairs, "lenient"), "lenient")?;
        let all_hosts = flag(take(&mut pairs, "all-hosts"), "all-hosts")?;
        if let Some((other, _)) = pairs.first() {
            let known = "`name`, `file`, `lenient` and `all-hosts`";
            return Err(ApiError::bad_request(format!("unknown parameter `{other}`: {known} are known here")));
        }
        if let Some(name) = name.as_deref().filter(|name| !is_session_name(name)) {
            return Err(SessionError::Name(name.to_owned()).into());
        }
        let of_file = file.as_deref().and_then(session_of_file).filter(|name| is_session_name(name));
        let session = name.clone().or(of_file);
        Ok(Self { name, options: Options { lenient, all_hosts, session } })
    }
}

fn flag(value: Option<String>, name: &str) -> Result<bool, ApiError> {
    match value.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ApiError::bad_request(format!("`{name}` is `{other}`: use true or false"))),
    }
}

/// `POST /api/v1/import`: the sessions of an NDJSON export, or one session of what another tool recorded.
pub(crate) async fn import(State(shared): State<Arc<Shared>>, uri: Uri, body: Body) -> Result<Response, ApiError> {
    let wanted = Wanted::of(&shared, &uri)?;
    if shared.gauges.import.is_none() {
        let why = "nothing can be imported here: use `nightaudit log import`";
        return Err(shared.gauges.read_only.map_or_else(|| ApiError::conflict(why), |_| shared.unchangeable()));
    }
    let permit = shared.bounds.import()?;
    let mut file = Arriving::new(body, shared.stopping.clone());
    let importing = Arc::clone(&shared);
    let work = move || {
        let _permit = permit;
        let done = run(&importing, &mut file, wanted);
        (done, file.body)
    };
    let (done, rest) = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    // Also of one that failed, which may have deleted what it had begun.
    shared.reviews.note_change();
    // A client that is still sending when the connection closes may never see the response.
    tokio::spawn(drain(rest, shared.stopping.clone()));
    let (mut sessions, imported, summary) = done?;
    let mut told = json!(sessions.remove(0));
    told["also"] = json!(sessions);
    told["rehashed"] = json!(imported.rehashed);
    told["file"] = described(&summary);
    let location = format!("/api/v1/sessions/{}", told["id"].as_str().unwrap_or_default());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(told)).into_response())
}

/// What a file had.
fn described(summary: &Summary) -> Value {
    let format = match summary.format {
        Format::Har => "har",
        Format::Flows => "flows",
        _ => "ndjson",
    };
    let reasons = summary.reasons.iter().map(|skipped| format!("{}: {}", skipped.place, skipped.reason));
    json!({
        "format": format,
        "tool": summary.tool,
        "entries": summary.entries,
        "skipped": summary.skipped,
        "reasons": reasons.collect::<Vec<_>>(),
        "otherHosts": summary.other_hosts,
        "notHttp": summary.not_http,
    })
}

/// Imports; blocks for as long as the client sends.
fn run(shared: &Shared, file: &mut Arriving, wanted: Wanted) -> Result<(Vec<Session>, Imported, Summary), ApiError> {
    let Some(import) = &shared.gauges.import else { return Err(shared.unchangeable()) };
    let folder = shared.gauges.evidence.as_ref().map(|tools| tools.folder.clone());
    let full = Cell::new(None);
    let mut due = 0;
    let check_disk = |read: u64| {
        if let Some(folder) = folder.as_deref().filter(|_| read >= due) {
            due = read + disk::STEP as u64;
            disk::check(folder).inspect_err(|error| full.set(Some(error.to_string())))?;
        }
        Ok(())
    };
    let done = Reader::open_with(&mut *file, wanted.options, check_disk)
        .map_err(|error| ApiError::bad_request(error.to_string()))
        .and_then(|mut reader| Ok((import(&mut reader)?, reader.summary().clone())));
    let (imported, summary) = match (done, file.failure.take(), full.take()) {
        (Ok(done), ..) => done,
        // What the client did is said by the reader.
        (Err(_), Some(failure), _) => return Err(failure),
        (Err(_), _, Some(full)) => return Err(ApiError::new(StatusCode::INSUFFICIENT_STORAGE, full)),
        (Err(error), ..) => return Err(error),
    };
    if let ([only], Some(name), Some(manage)) = (&imported.sessions[..], wanted.name, shared.log.manage()) {
        manage.rename_session(&only.to_string(), &name)?;
    }
    let sessions = imported.sessions.iter().map(|id| shared.log.session(&id.to_string()));
    let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
    if sessions.is_empty() {
        return Err(ApiError::bad_request("the file has no exchanges"));
    }
    Ok((sessions, imported, summary))
}

/// Reads what the client still sends, for a while.
async fn drain(mut body: Body, stopping: CancellationToken) {
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DRAINING, stopping.run_until_cancelled(reading)).await;
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
struct Arriving {
    body: Body,
    chunk: Bytes,
    runtime: Handle,
    stopping: CancellationToken,
    /// Why the body could not be read to its end.
    failure: Option<ApiError>,
}

impl Arriving {
    fn new(body: Body, stopping: CancellationToken) -> Self {
        Self { body, chunk: Bytes::new(), runtime: Handle::current(), stopping, failure: None }
    }

    fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let frame = async {
            let frame = self.stopping.run_until_cancelled(self.body.frame());
            tokio::time::timeout(PATIENCE, frame).await
        };
        let stopped = || ApiError::shutting_down("nothing was imported");
        let silent = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "no data within 30 s: nothing was imported");
        match self.runtime.block_on(frame).map_err(silent)?.ok_or_else(stopped)? {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(_)) => Err(ApiError::bad_request("the body broke off: nothing was imported")),
        }
    }
}

impl BufRead for Arriving {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() {
            match self.next() {
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

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}
