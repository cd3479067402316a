//! Import of exported exchanges.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, Read as _},
};

use nightaudit_exchange::{
    Alteration, Body, Digest, Exchange, Import, Missing, PseudonymKey, Redactor, SessionId, Timestamp, chain,
};
use nightaudit_log::SessionError;
use serde::Deserialize;

use crate::{
    log::Log,
    meta::{Importing, Meta, random},
    results::Imported,
    writer::sessions::failed,
};

/// The maximum length of a line, in bytes: two bodies of 64 MiB in base64.
const MAX_LINE: u64 = 192 << 20;
/// The number of exchanges, and bytes of lines, after which a batch is written.
const BATCH: (usize, usize) = (256, 2 << 20);

/// A file that can't be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file can't be read.
    #[error("can't read: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not an exchange.
    #[error("line {line} is not an exchange: {reason}")]
    Line {
        /// The line number, from 1.
        line: u64,
        /// The cause.
        reason: String,
    },
    /// The file is a bundle.
    #[error(
        "this is a bundle, but only NDJSON can be imported: `unzip -p BUNDLE exchanges.ndjson | nightaudit log import -` \
         takes its exchanges"
    )]
    Bundle,
    /// The file is a HAR.
    #[error(
        "this is a HAR, but only NDJSON can be imported; a HAR doesn't have everything that was recorded: export the \
         exchanges as NDJSON"
    )]
    Har,
    /// A session of the file is already in the log.
    #[error("session {0} is already in the log: delete it first, or import into another data folder")]
    Present(SessionId),
    /// The exchanges can't be stored.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl ImportError {
    /// The error for a file that begins so, if it is of another known format.
    #[must_use]
    pub fn of_other_format(begins: &[u8]) -> Option<Self> {
        let object = begins.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
        if begins.starts_with(b"PK\x03\x04") {
            return Some(Self::Bundle);
        }
        object.is_some_and(|object| object.starts_with(b"\"log\"")).then_some(Self::Har)
    }
}

/// A session being imported.
struct Incoming {
    hash: Digest,
    /// The hash of the previous exchange, as exported.
    exported: Option<Digest>,
    import: Import,
    last: u64,
    name: String,
    ended: Timestamp,
    /// Whether exchanges are missing or altered.
    incomplete: bool,
}

/// A line of an export that lists missing exchanges.
#[derive(Deserialize)]
struct MissingLine {
    missing: Missing,
}

impl Log {
    /// Imports an NDJSON export: the same sessions, exchanges and hashes as exported, unless something was left out or
    /// masked. Tokens in the file are redacted as in live traffic, which counts as masked.
    ///
    /// # Errors
    ///
    /// [`ImportError`] names the line that is not an exchange, or the session that is already in the log. Nothing is
    /// imported then. If the process ends before that, the sessions are marked as unfinished and removed by the next
    /// import.
    pub fn import(&self, lines: &mut dyn BufRead) -> Result<Imported, ImportError> {
        if let Some(error) = ImportError::of_other_format(lines.fill_buf()?) {
            return Err(error);
        }
        self.undo_unfinished()?;
        let mut imported = Imported::default();
        let mut sessions = BTreeMap::new();
        let read = self.take_in(lines, random(), &mut sessions, &mut imported);
        let finished = read.and_then(|()| self.finish_import(&sessions));
        imported.sessions = sessions.keys().copied().collect();
        match finished {
            Ok(()) => Ok(imported),
            Err(error) => {
                for session in imported.sessions {
                    // They were created by this call; if the disk fails they stay, and the next start shows them.
                    let _ = self.delete_session(&session.to_string());
                }
                Err(error)
            }
        }
    }

    /// Deletes the remains of imports that were unfinished when the log was opened.
    fn undo_unfinished(&self) -> Result<(), ImportError> {
        Ok(self.control(|writer| writer.undo_imports().map_err(failed))?)
    }

    fn take_in(
        &self,
        lines: &mut dyn BufRead,
        import: u64,
        sessions: &mut BTreeMap<SessionId, Incoming>,
        imported: &mut Imported,
    ) -> Result<(), ImportError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        // The file may come from anywhere.
        let mut redactor = Redactor::new(self.shared.api, &[], PseudonymKey::ephemeral());
        for number in 1.. {
            let mut line = Vec::new();
            (&mut *lines).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            // Some editors write a byte order mark.
            let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line);
            let wrong = |reason: String| ImportError::Line { line: number, reason };
            if line.len() as u64 == MAX_LINE {
                return Err(wrong(format!("it is longer than {MAX_LINE} bytes")));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let mut exchange: Exchange = match serde_json::from_slice(line) {
                Ok(exchange) => exchange,
                Err(error) => match serde_json::from_slice::<MissingLine>(line) {
                    Ok(MissingLine { missing }) => {
                        sessions.get_mut(&missing.session).into_iter().for_each(|session| session.incomplete = true);
                        continue;
                    }
                    Err(_) => return Err(wrong(error.to_string())),
                },
            };
            let read = exchange.clone();
            let had_tokens = redactor.rescan(&mut exchange);
            let session = match sessions.entry(exchange.session) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    self.begin_import(&exchange, import)?;
                    entry.insert(Incoming {
                        hash: chain::genesis(exchange.session),
                        exported: Some(chain::genesis(exchange.session)),
                        import: Import::default(),
                        last: 0,
                        name: exchange.session_name.to_string(),
                        ended: exchange.started_at,
                        incomplete: false,
                    })
                }
            };
            if exchange.sequence <= session.last {
                return Err(wrong(format!("exchange {} comes after exchange {}", exchange.sequence, session.last)));
            }
            session.incomplete |= exchange.sequence != session.last + 1;
            exchange.alteration = alteration(&read, session).max(had_tokens.then_some(Alteration::Masked));
            session.import.add(exchange.alteration);
            imported.import.add(exchange.alteration);
            session.incomplete |= exchange.alteration.is_some();
            session.exported = read.hash;
            exchange.bodies_mut().for_each(unmask);
            let hash = chain::hash(session.hash, &exchange);
            if exchange.hash.is_some_and(|exported| exported != hash) {
                imported.rehashed += 1;
                session.incomplete = true;
            }
            (session.hash, session.last) = (hash, exchange.sequence);
            session.ended = session.ended.max(exchange.started_at.plus(exchange.duration()));
            imported.exchanges += 1;
            bytes += line.len();
            batch.push(exchange);
            if batch.len() >= BATCH.0 || bytes >= BATCH.1 {
                self.append(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.append(batch)
    }

    fn begin_import(&self, exchange: &Exchange, import: u64) -> Result<(), ImportError> {
        let (id, name) = (exchange.session, exchange.session_name.to_string());
        if self.shared.sessions().contains_key(&id) {
            return Err(ImportError::Present(id));
        }
        let meta = Meta { id, ..Meta::new(name, &exchange.environment, exchange.started_at) };
        // Ended from the start, so that nothing recorded meanwhile is added to it, and marked, so that the remains of
        // an interrupted import are not taken for a recording.
        let importing = Some(Importing { import, whole: false });
        let imported = Some(Import::default());
        let meta = Meta { ended: Some(exchange.started_at), importing, imported, ..meta };
        Ok(self.control(move |writer| writer.create(meta).map(drop).map_err(failed))?)
    }

    fn append(&self, exchanges: Vec<Exchange>) -> Result<(), ImportError> {
        Ok(self.control(move |writer| match writer.append_or_fail(exchanges) {
            true => Ok(()),
            false => Err(writer.failure().map_or(SessionError::ReadOnly, SessionError::Store)),
        })?)
    }

    fn finish_import(&self, sessions: &BTreeMap<SessionId, Incoming>) -> Result<(), ImportError> {
        let names: BTreeSet<&str> = sessions.values().map(|session| &session.name[..]).collect();
        tracing::debug!(sessions = sessions.len(), ?names, "imported");
        for (id, session) in sessions {
            let (id, ended, incomplete, import) = (*id, session.ended, session.incomplete, session.import);
            self.control(move |writer| writer.seal_import(id, ended, incomplete, import).map_err(failed))?;
        }
        // Now that each session is complete, the import is.
        let ids: Vec<SessionId> = sessions.keys().copied().collect();
        Ok(self.control(move |writer| writer.finish_import(&ids).map_err(failed))?)
    }
}

/// How an exchange differs from the recorded one, as far as the file's hashes tell: whether it matches its own hash,
/// and whether that is chained to the one before it.
///
/// The finding of an earlier import is kept.
fn alteration(exchange: &Exchange, session: &Incoming) -> Option<Alteration> {
    let fits = match (exchange.previous_hash, exchange.hash) {
        (Some(previous), Some(hash)) => chain::hash(previous, exchange) == hash,
        _ => false,
    };
    // If exchanges were left out, the one this is chained to is absent.
    let is_chained = exchange.sequence != session.last + 1 || exchange.previous_hash == session.exported;
    let is_kept = |body: &Body| Digest::of(&body.bytes) == body.stored_digest();
    if !fits || !is_chained || !exchange.bodies().all(|body| body.masked || is_kept(body)) {
        return Some(Alteration::Edited);
    }
    let masked = (!exchange.bodies().all(is_kept)).then_some(Alteration::Masked);
    exchange.alteration.max(masked)
}

/// Makes the body verifiable: once masked, it no longer matches the exported digest.
fn unmask(body: &mut Body) {
    let stored = Digest::of(&body.bytes);
    if stored != body.stored_digest() {
        body.stored_sha256 = Some(stored);
    }
    body.masked = false;
}
