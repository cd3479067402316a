//! The two recordings: sessions of the log, or files.

use std::{
    io::{BufRead, BufReader, Seek as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use anyhow::{Context as _, anyhow, bail};
use nightaudit_app::config::Settings;
use nightaudit_client::{Losses, Source, Stream, log_exchanges};
use nightaudit_compare::Recording;
use nightaudit_exchange::{Filter, Incoming, PseudonymKey, Redactor};
use nightaudit_export::Bundle;
use nightaudit_import::{Options, Reader};
use nightaudit_log::ReadLog;
use nightaudit_mews::{API, Contracts};
use nightaudit_store::{Order, Session};
use nightaudit_text::{counted, plain};

use crate::{
    commands::review::find,
    error::{Usage, open_input},
    place::place,
    progress::Bar,
};

/// How files of exchanges end.
const EXTENSIONS: [&str; 8] = [".ndjson", ".jsonl", ".har", ".zhar", ".zip", ".json", ".gz", ".mitm"];

/// How a bundle begins.
const ZIP: &[u8] = b"PK";

/// How much of a file is read at once.
const BUFFER: usize = 256 << 10;

/// Exchanges between two updates of the progress bar.
const INTERVAL: u64 = 256;

/// What is read of both sides.
pub(super) struct Sides<'a> {
    pub(super) settings: &'a Settings,
    pub(super) filter: &'a Filter,
    pub(super) contracts: &'a Contracts,
    /// Skips damaged entries of files.
    pub(super) lenient: bool,
    /// Reads other hosts than Mews' from other tools' files, too.
    pub(super) all_hosts: bool,
}

/// One side.
enum Which {
    Session(Box<Session>),
    File(PathBuf),
}

/// What both threads read sessions from: one log, or a connection each to the console that has it open.
#[derive(Clone, Copy)]
enum Origin<'s> {
    Log(&'s dyn ReadLog),
    Console,
}

impl Sides<'_> {
    /// Reads both at the same time; the third is whether no exchange is missing.
    pub(super) fn read(&self, a: &str, b: &str) -> anyhow::Result<(Recording, Recording, bool)> {
        // Files need no log.
        let is_file = |text: &str| is_path(text) && Path::new(text).is_file();
        let source = match is_file(a) && is_file(b) {
            true => None,
            false => Some(Source::open(place(self.settings))),
        };
        let (which_a, which_b) = (which(a, source.as_ref())?, which(b, source.as_ref())?);
        let origin = match &source {
            Some(Ok(Source::Log(log))) => Origin::Log(&**log),
            _ => Origin::Console,
        };
        let (bar, read) = (Bar::new(), AtomicU64::new(0));
        let total = [&which_a, &which_b].into_iter().try_fold(0, |total, which| match which {
            Which::Session(session) => Some(total + session.exchanges),
            Which::File(_) => None,
        });
        let side = |name: &str, which: &Which| {
            let mut count = 0_u64;
            let mut note = || {
                count += 1;
                if count.is_multiple_of(INTERVAL) {
                    bar.show(read.fetch_add(INTERVAL, Ordering::Relaxed) + INTERVAL, total);
                }
            };
            self.side(name, which, origin, &mut note)
        };
        let sides = thread::scope(|scope| {
            let first = scope.spawn(|| side(a, &which_a));
            let second = side(b, &which_b);
            (first.join().unwrap_or_else(|_| Err(anyhow!("reading {a} failed"))), second)
        });
        bar.clear();
        let ((a, whole_a), (b, whole_b)) = (sides.0?, sides.1?);
        Ok((a, b, whole_a && whole_b))
    }

    /// Reads a side; the second is whether no exchange is missing from it.
    fn side(
        &self,
        name: &str,
        which: &Which,
        origin: Origin<'_>,
        note: &mut dyn FnMut(),
    ) -> anyhow::Result<(Recording, bool)> {
        let (recording, is_whole) = match which {
            Which::Session(session) => self.session(session, origin, note)?,
            Which::File(path) => self.file(path, note)?,
        };
        if recording.exchanges() == 0 {
            let what = match which {
                Which::Session(_) => format!("session `{}`", plain(name)),
                Which::File(_) => plain(name),
            };
            let why =
                if *self.filter == Filter::default() { "has no exchanges" } else { "has no exchanges that match" };
            bail!("{what} {why}");
        }
        Ok((recording, is_whole))
    }

    fn session(
        &self,
        session: &Session,
        origin: Origin<'_>,
        note: &mut dyn FnMut(),
    ) -> anyhow::Result<(Recording, bool)> {
        let filter = Filter { session: Some(session.filter_text()), ..self.filter.clone() };
        let mut losses = Losses::new(std::slice::from_ref(session));
        let mut recording = Recording::new(&plain(&session.name), self.contracts.clone());
        let exchanges: Stream = match origin {
            Origin::Log(log) => log_exchanges(log, &filter, Order::Oldest, None)?,
            Origin::Console => Source::open(place(self.settings))?.exchanges(&filter, Order::Oldest, None)?,
        };
        for exchange in exchanges {
            match exchange {
                Ok(exchange) => recording.push(&exchange),
                Err(error) => {
                    losses.note(error).with_context(|| format!("reading session {}", plain(&session.name)))?
                }
            }
            note();
        }
        let is_whole = losses.is_empty();
        losses.tell();
        Ok((recording, is_whole))
    }

    fn file(&self, path: &Path, note: &mut dyn FnMut()) -> anyhow::Result<(Recording, bool)> {
        let mut recording = Recording::new(&plain(&path.display().to_string()), self.contracts.clone());
        let mut file = BufReader::with_capacity(BUFFER, open_input(path)?);
        let read = match file.fill_buf() {
            Ok(begins) if begins.starts_with(ZIP) => {
                let mut file = file.into_inner();
                file.rewind()?;
                Bundle::open(file)
                    .map_err(anyhow::Error::from)
                    .and_then(|mut bundle| self.entries(bundle.exchanges()?, &mut recording, note))
            }
            Ok(_) => self.entries(file, &mut recording, note),
            Err(error) => Err(error.into()),
        };
        let is_whole = read.with_context(|| plain(&path.display().to_string()))?;
        Ok((recording, is_whole))
    }

    /// Reads the exchanges of a file; returns whether none is missing. Other tools' are redacted as on import.
    fn entries(&self, file: impl BufRead, recording: &mut Recording, note: &mut dyn FnMut()) -> anyhow::Result<bool> {
        let options = Options { lenient: self.lenient, all_hosts: self.all_hosts, session: None };
        let mut redactor = Redactor::new(&API, &self.settings.store.redact_fields, PseudonymKey::ephemeral());
        let mut reader = Reader::open(file, options)?;
        let mut is_whole = true;
        for incoming in reader.by_ref() {
            let exchange = match incoming? {
                Incoming::Recorded(exchange) => exchange,
                Incoming::Foreign(mut exchange) => {
                    redactor.redact(&mut exchange);
                    exchange
                }
                Incoming::Missing(missing) => {
                    tracing::warn!("{}: {missing}", recording.name());
                    is_whole = false;
                    continue;
                }
            };
            if self.filter.matches(&exchange) {
                recording.push(&exchange);
            }
            note();
        }
        let summary = reader.summary();
        for skipped in &summary.reasons {
            tracing::warn!("{}: skipped {}: {}", recording.name(), skipped.place, skipped.reason);
        }
        if summary.skipped > 0 {
            let entries = if summary.skipped == 1 { "entry" } else { "entries" };
            tracing::warn!("{}: {} damaged {entries} skipped", recording.name(), summary.skipped);
        }
        if summary.other_hosts > 0 {
            let requests = counted(summary.other_hosts, "request");
            tracing::warn!("{}: {requests} to other hosts left out", recording.name());
        }
        Ok(is_whole)
    }
}

/// Whether this looks like a file.
fn is_path(text: &str) -> bool {
    text.contains('/') || EXTENSIONS.iter().any(|end| text.to_ascii_lowercase().ends_with(end))
}

/// A session, or else a file.
fn which(text: &str, source: Option<&Result<Source, nightaudit_client::Error>>) -> anyhow::Result<Which> {
    let file = || Which::File(PathBuf::from(text));
    let is_file = Path::new(text).is_file();
    if is_path(text) && is_file {
        return Ok(file());
    }
    let source = match source {
        Some(Ok(source)) => source,
        // If it isn't there, opening it says so.
        _ if is_file || is_path(text) => return Ok(file()),
        Some(Err(error)) => bail!("{} is no file, and the log can't be read: {error}", plain(text)),
        None => bail!("{} is no file", plain(text)),
    };
    match find(source, Some(text)) {
        Ok(session) => Ok(Which::Session(Box::new(session))),
        Err(_) if is_file => Ok(file()),
        Err(error) => Err(Usage::new(format!("{error}, and no file has that name")).into()),
    }
}
