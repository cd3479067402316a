//! One file of evidence.

use std::{
    fs::File,
    io::BufWriter,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nightaudit_exchange::{Filter, Gaps, Timestamp};
use nightaudit_export::{Evidence, ExchangeWriter, ExportError, ExportMask, Fingerprint, Format, Made, default_name};
use nightaudit_log::{Holes, Query, Session};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempPath};
use tokio_util::sync::CancellationToken;

use super::meter::Meter;
use crate::{Shared, disk, error::ApiError, gauges::EvidenceTools, review};

/// What a file of evidence contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Report,
    Har,
    Bundle,
    Ndjson,
    Csv,
}

impl Kind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Report => "html",
            Self::Har => Format::Har.extension(),
            Self::Bundle => "zip",
            Self::Ndjson => Format::Ndjson.extension(),
            Self::Csv => Format::Csv.extension(),
        }
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            // A page of its own would run in the console's origin.
            Self::Report => "application/octet-stream",
            Self::Har => Format::Har.media_type(),
            Self::Bundle => "application/zip",
            Self::Ndjson => Format::Ndjson.media_type(),
            Self::Csv => Format::Csv.media_type(),
        }
    }
}

/// Exchanges between two looks at the disk: report and bundle also write temporary files.
const STEP: u64 = 4096;

/// A file that is being written, or was.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    kind: Kind,
    session: Session,
    pub(super) file_name: String,
    at: Timestamp,
    exchanges: AtomicU64,
    bytes: AtomicU64,
    state: Mutex<Progress>,
    stop: CancellationToken,
}

#[derive(Debug)]
enum Progress {
    Running,
    Done { file: TempPath, fingerprint: Option<Fingerprint>, missing: u64 },
    Failed(String),
}

/// What was written.
struct Written {
    file: TempPath,
    fingerprint: Option<Fingerprint>,
    /// Exchanges that were recorded and are not in it.
    missing: u64,
}

impl Job {
    /// A job that ends with `stopping`, too.
    pub(super) fn new(
        kind: Kind,
        session: Session,
        at: Timestamp,
        stopping: &CancellationToken,
    ) -> Result<Self, ApiError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(ApiError::internal)?;
        Ok(Self {
            id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            kind,
            file_name: default_name(Some(&session.name), at, kind.extension()),
            session,
            at,
            exchanges: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            state: Mutex::new(Progress::Running),
            stop: stopping.child_token(),
        })
    }

    pub(super) fn media_type(&self) -> &'static str {
        self.kind.media_type()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(*self.state(), Progress::Running)
    }

    /// Notes that the thread that wrote it panicked.
    pub(super) fn fail(&self, error: &tokio::task::JoinError) {
        tracing::error!(%error, "a file of evidence could not be written");
        *self.state() = Progress::Failed("internal error; see the log of `nightaudit serve`".to_owned());
    }

    /// Ends the writing, if it isn't done.
    pub(super) fn cancel(&self) {
        self.stop.cancel();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its state as the API has it.
    pub(super) fn view(&self) -> Value {
        let (state, error, fingerprint, missing) = match &*self.state() {
            Progress::Running => ("running", None, None, 0),
            Progress::Done { fingerprint, missing, .. } => ("done", None, fingerprint.clone(), *missing),
            Progress::Failed(error) => ("failed", Some(error.clone()), None, 0),
        };
        json!({
            "id": self.id,
            "session": self.session.id,
            "sessionName": self.session.name,
            "format": self.kind,
            "state": state,
            "exchanges": self.exchanges.load(Ordering::Relaxed),
            "of": self.session.exchanges,
            "missing": missing,
            "bytes": self.bytes.load(Ordering::Relaxed),
            "error": error,
            "fileName": self.file_name,
            "fingerprint": fingerprint,
            "at": self.at,
        })
    }

    /// The finished file and its length. An open file can be read after it was removed.
    pub(super) fn open(&self) -> Result<(File, u64), ApiError> {
        let state = self.state();
        match &*state {
            Progress::Done { file, .. } => {
                let file = File::open(file).map_err(ApiError::internal)?;
                let length = file.metadata().map_err(ApiError::internal)?.len();
                Ok((file, length))
            }
            Progress::Running => Err(ApiError::conflict("the file is still being written")),
            Progress::Failed(error) => Err(ApiError::conflict(format!("the file could not be written: {error}"))),
        }
    }

    /// Writes the file; blocks for as long as that takes.
    pub(super) fn run(&self, shared: &Shared, folder: &Path, tools: &EvidenceTools) {
        let result = self.write(shared, folder, tools);
        *self.state() = match result {
            // Removed meanwhile: the file goes with this.
            Ok(_) | Err(_) if self.stop.is_cancelled() => Progress::Failed("cancelled".to_owned()),
            Ok(Written { file, fingerprint, missing }) => Progress::Done { file, fingerprint, missing },
            Err(error) => {
                tracing::warn!(session = %self.session.id, "evidence could not be written: {error}");
                Progress::Failed(error)
            }
        };
    }

    fn write(&self, shared: &Shared, folder: &Path, tools: &EvidenceTools) -> Result<Written, String> {
        let basis = review::basis(shared).map_err(|error| error.message().to_owned())?;
        let mask = tools.mask();
        let signing = || (tools.signing_key)().map_err(|error| crate::error::chain(&*error));
        let key = match self.kind {
            Kind::Report | Kind::Bundle => Some(signing()?),
            Kind::Har | Kind::Ndjson | Kind::Csv => None,
        };
        let fingerprint = key.as_ref().map(nightaudit_export::SigningKey::fingerprint);
        // People know a session by its name, if that is its own, and of all its nodes.
        let exactly = self.session.filter_text();
        let is_own = shared.log.session(&self.session.name).is_ok_and(|named| named.filter_text() == exactly);
        let which = if is_own { self.session.name.clone() } else { exactly };
        let filter = Filter { session: Some(which), ..Filter::default() };
        let evidence = Evidence {
            declaration: self.session.declaration.clone(),
            filter: filter.clone(),
            masked_fields: mask.fields().to_vec(),
            basis: (*basis).clone(),
            made: fingerprint.clone().map(|key| Made { at: self.at, key }),
            scratch: folder.to_owned(),
            ..Evidence::default()
        }
        .with_sessions(std::slice::from_ref(&self.session));

        let mut file = NamedTempFile::new_in(folder).map_err(|error| error.to_string())?;
        let missing = {
            let out =
                BufWriter::with_capacity(64 << 10, Meter::new(file.as_file_mut(), folder, &self.bytes, &self.stop));
            let writer = match (self.kind, key) {
                (Kind::Har, _) => Ok(Format::Har.writer(out)),
                (Kind::Bundle, Some(key)) => evidence.bundle(out, key, self.at),
                (Kind::Report, _) => evidence.report(out),
                (Kind::Csv, _) => Ok(Format::Csv.writer(out)),
                (Kind::Ndjson | Kind::Bundle, _) => Ok(Format::Ndjson.writer(out)),
            };
            self.copy(shared, writer.map_err(told)?, filter, &mask, folder)?
        };
        let length = file.as_file().metadata().map_err(|error| error.to_string())?.len();
        self.bytes.store(length, Ordering::Relaxed);
        let fingerprint = fingerprint.filter(|_| self.kind == Kind::Bundle);
        Ok(Written { file: file.into_temp_path(), fingerprint, missing })
    }

    /// Passes the session's exchanges to the writer; returns how many are missing.
    fn copy(
        &self,
        shared: &Shared,
        mut writer: Box<dyn ExchangeWriter + Send + '_>,
        filter: Filter,
        mask: &ExportMask,
        folder: &Path,
    ) -> Result<u64, String> {
        let session = &self.session;
        let mut gaps = Gaps::new(session.all_missing());
        let mut holes = Holes::of(std::slice::from_ref(session));
        let name = |id| {
            let node = session.chains.iter().find(|chain| chain.session == id && session.chains.len() > 1);
            node.map_or_else(|| session.name.clone(), |chain| format!("{} on {}", session.name, chain.node))
        };
        let query = Query { filter, ..Query::default() };
        let exchanges = shared.log.query(query).map_err(|error| error.to_string())?;
        for exchange in exchanges {
            if self.stop.is_cancelled() {
                return Err("cancelled".to_owned());
            }
            match exchange {
                Ok(mut exchange) => {
                    if let Some(gap) = holes.read(&exchange) {
                        gaps.add_range(exchange.session, gap, || name(exchange.session));
                    }
                    mask.apply(&mut exchange);
                    writer.write(&exchange).map_err(told)?;
                    if self.exchanges.fetch_add(1, Ordering::Relaxed).is_multiple_of(STEP) {
                        disk::check(folder).map_err(|error| error.to_string())?;
                    }
                }
                Err(error) => {
                    let Some((chain, first, last)) = error.exchanges() else { return Err(error.to_string()) };
                    holes.unreadable(chain, last);
                    gaps.add(chain, (first, last), || name(chain));
                }
            }
        }
        if self.exchanges.load(Ordering::Relaxed) == 0 {
            return Err("the session has no readable exchange".to_owned());
        }
        holes.at_ends().for_each(|(chain, range)| gaps.add_range(chain, range, || name(chain)));
        let missing = gaps.into_list();
        if !missing.is_empty() {
            writer.missing(&missing).map_err(told)?;
        }
        writer.finish().map_err(told)?;
        Ok(missing.iter().map(|missing| missing.count).sum())
    }
}

/// The output's own error, which says most.
fn told(error: ExportError) -> String {
    match error {
        ExportError::Write(error) => error.to_string(),
        error => error.to_string(),
    }
}
