//! Exported exchanges taken back into a log.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, Read as _},
};

use nightaudit_exchange::{Alteration, Body, Digest, Exchange, Import, Missing, Redactor, SessionId, Timestamp, chain};
use nightaudit_log::SessionError;
use serde::Deserialize;

use super::{ImportError, Imported};
use crate::{
    log::Log,
    meta::{Importing, Meta, random},
    writer::sessions::failed,
};

/// The longest line that is read, in bytes: two bodies of 64 MiB in base64.
const MAX_LINE: u64 = 192 << 20;
/// The exchanges, and the bytes of lines, after which a batch is written.
const BATCH: (usize, usize) = (256, 2 << 20);

/// A session while it is imported.
struct Incoming {
    hash: Digest,
    /// The hash that the file gives the exchange before.
    exported: Option<Digest>,
    import: Import,
    last: u64,
    name: String,
    ended: Timestamp,
    /// Whether exchanges are missing or are not as they were recorded.
    incomplete: bool,
}

/// A line of an export that names what the log had lost.
#[derive(Deserialize)]
struct Lost {
    missing: Missing,
}

impl Log {
    /// Takes the lines of an NDJSON export into the log: the same sessions, exchanges and hashes come out that went in,
    /// where nothing was left out or masked. Tokens that a file holds are replaced, as in what passes live, which counts as
    /// masked.
    ///
    /// # Errors
    ///
    /// [`ImportError`] names the line that is no exchange, or the session that is here already. Nothing is imported then.
    /// Where the process ends before that, its sessions are marked as unfinished, and undone by the next import.
    pub fn import(&self, lines: &mut dyn BufRead) -> Result<Imported, ImportError> {
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
                    // They were made by this call; a failing disk keeps them, and the next start shows them.
                    let _ = self.delete_session(&session.to_string());
                }
                Err(error)
            }
        }
    }

    /// Deletes what imports left that were not finished when the log was opened.
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
        // What is imported may come from anywhere.
        let mut redactor = Redactor::default();
        for number in 1.. {
            let mut line = Vec::new();
            (&mut *lines).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            // Editors of other systems put a byte order mark before a text.
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
                Err(error) => match serde_json::from_slice::<Lost>(line) {
                    Ok(Lost { missing }) => {
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
            exchange.bodies_mut().for_each(settle);
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
        // Ended from the beginning, so that nothing that is recorded meanwhile is added to it, and marked, so that what an
        // interrupted import leaves behind is not taken for a recording.
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
        // Now that each of them is whole, all are.
        let ids: Vec<SessionId> = sessions.keys().copied().collect();
        Ok(self.control(move |writer| writer.finish_import(&ids).map_err(failed))?)
    }
}

/// How an exchange differs from the one that was recorded, as far as the file's own hashes tell: whether it fits the hash
/// that it bears, and whether that is chained to the one before it.
///
/// What an earlier import found stays.
fn alteration(exchange: &Exchange, session: &Incoming) -> Option<Alteration> {
    let fits = match (exchange.previous_hash, exchange.hash) {
        (Some(previous), Some(hash)) => chain::hash(previous, exchange) == hash,
        _ => false,
    };
    // Where exchanges were left out, what this one is chained to isn't there.
    let is_chained = exchange.sequence != session.last + 1 || exchange.previous_hash == session.exported;
    let is_kept = |body: &Body| Digest::of(&body.bytes) == body.stored_digest();
    if !fits || !is_chained || !exchange.bodies().all(|body| body.masked || is_kept(body)) {
        return Some(Alteration::Edited);
    }
    let masked = (!exchange.bodies().all(is_kept)).then_some(Alteration::Masked);
    exchange.alteration.max(masked)
}

/// Makes the body one that can be checked: with masked fields it is no longer the one whose digest the export holds.
fn settle(body: &mut Body) {
    let stored = Digest::of(&body.bytes);
    if stored != body.stored_digest() {
        body.stored_sha256 = Some(stored);
    }
    body.masked = false;
}
