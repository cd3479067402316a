//! Import of exchanges.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use nightaudit_exchange::{
    Alteration, Body, Digest, Exchange, Import, Incoming, Redactor, SessionId, Timestamp, chain,
};
use nightaudit_log::SessionError;

use crate::{
    log::Log,
    meta::{Importing, Meta, random},
    results::Imported,
    writer::sessions::failed,
};

/// The number of exchanges, and bytes of memory, after which a batch is written.
const BATCH: (usize, usize) = (256, 2 << 20);

/// Exchanges to be written together.
#[derive(Debug, Default)]
struct Batch {
    exchanges: Vec<Exchange>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, exchange: Exchange) {
        self.bytes += exchange.memory();
        self.exchanges.push(exchange);
    }

    /// All, if they are enough.
    fn full(&mut self) -> Option<Vec<Exchange>> {
        let is_full = self.exchanges.len() >= BATCH.0 || self.bytes >= BATCH.1;
        is_full.then(|| std::mem::take(self).exchanges)
    }
}

/// Exchanges that can't be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Their source failed: the file can't be read, or is damaged.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// Exchanges of a session aren't in order.
    #[error("exchange {sequence} of session {session} comes after exchange {last}")]
    Order {
        /// The session.
        session: SessionId,
        /// The sequence of the exchange that comes too late.
        sequence: u64,
        /// The sequence of the one before it.
        last: u64,
    },
    /// A session of the file is already in the log.
    #[error("session {0} is already in the log: delete it first, or import into another data folder")]
    Present(SessionId),
    /// The exchanges can't be stored.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A session being imported.
struct Session {
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

impl Session {
    /// The session of its first exchange.
    fn of(exchange: &Exchange) -> Self {
        let genesis = chain::genesis(exchange.session);
        Self {
            hash: genesis,
            exported: Some(genesis),
            import: Import::default(),
            last: 0,
            name: exchange.session_name.to_string(),
            ended: exchange.started_at,
            incomplete: false,
        }
    }
}

/// What an exchange's hashes told before it was redacted.
struct Exported {
    hash: Option<Digest>,
    previous: Option<Digest>,
    /// Whether it matches its own hash.
    fits: bool,
    /// Whether its bodies match their digests, and whether those that don't are masked.
    kept: bool,
    masked: bool,
    /// The finding of an earlier import.
    alteration: Option<Alteration>,
}

impl Exported {
    fn of(exchange: &Exchange) -> Self {
        let fits = match (exchange.previous_hash, exchange.hash) {
            (Some(previous), Some(hash)) => chain::hash(previous, exchange) == hash,
            _ => false,
        };
        let is_kept = |body: &Body| Digest::of(&body.bytes) == body.stored_digest();
        let (mut kept, mut masked) = (true, true);
        for body in exchange.bodies().filter(|body| !is_kept(body)) {
            (kept, masked) = (false, masked && body.masked);
        }
        Self {
            hash: exchange.hash,
            previous: exchange.previous_hash,
            fits,
            kept,
            masked,
            alteration: exchange.alteration,
        }
    }

    /// How the exchange differs from the recorded one, as far as the file's hashes tell: whether it matches its own hash,
    /// and whether that is chained to the one before it.
    fn alteration(&self, session: &Session, sequence: u64) -> Option<Alteration> {
        // If exchanges were left out, the one this is chained to is absent.
        let is_chained = sequence != session.last + 1 || self.previous == session.exported;
        if !self.fits || !is_chained || !self.kept && !self.masked {
            return Some(Alteration::Edited);
        }
        self.alteration.max((!self.kept).then_some(Alteration::Masked))
    }
}

impl Log {
    /// Imports exchanges: those that nightaudit recorded as the same sessions, exchanges and hashes as exported, unless
    /// something was left out or masked; those of another tool as sessions of their own. Tokens and the configured
    /// properties are redacted as in live traffic, which counts as masked.
    ///
    /// # Errors
    ///
    /// [`ImportError`] is that of the source, or names the session that is already in the log. Nothing is imported then.
    /// If the process ends before that, the sessions are marked as unfinished and removed by the next import.
    pub fn import<E>(&self, exchanges: impl IntoIterator<Item = Result<Incoming, E>>) -> Result<Imported, ImportError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let exchanges = exchanges.into_iter();
        self.import_all(&mut exchanges.map(|incoming| incoming.map_err(|error| ImportError::Source(error.into()))))
    }

    fn import_all(
        &self,
        exchanges: &mut dyn Iterator<Item = Result<Incoming, ImportError>>,
    ) -> Result<Imported, ImportError> {
        // Before anything is undone or begun: most files that can't be read fail here.
        let first = exchanges.next().transpose()?;
        self.undo_unfinished()?;
        let mut imported = Imported::default();
        let mut sessions = BTreeMap::new();
        let mut exchanges = first.into_iter().map(Ok).chain(exchanges);
        let read = self.take_in(&mut exchanges, random(), &mut sessions, &mut imported);
        let finished = read.and_then(|()| self.finish_import(&sessions));
        imported.sessions = sessions.keys().copied().collect();
        match finished {
            Ok(()) => Ok(imported),
            Err(error) => {
                let created = imported.sessions;
                // If the log is closed, the next import undoes this one.
                let _ = self.rescue(move |writer| {
                    writer.undo_import(&created);
                    Ok(())
                });
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
        exchanges: &mut dyn Iterator<Item = Result<Incoming, ImportError>>,
        import: u64,
        sessions: &mut BTreeMap<SessionId, Session>,
        imported: &mut Imported,
    ) -> Result<(), ImportError> {
        let mut batch = Batch::default();
        // The file may come from anywhere.
        let mut redactor = self.redactor();
        for incoming in exchanges {
            let (mut exchange, exported) = match incoming? {
                Incoming::Missing(missing) => {
                    sessions.get_mut(&missing.session).into_iter().for_each(|session| session.incomplete = true);
                    continue;
                }
                Incoming::Recorded(mut exchange) => {
                    let read = Exported::of(&exchange);
                    let had_tokens = redactor.rescan(&mut exchange);
                    (exchange, Some((read, had_tokens)))
                }
                Incoming::Foreign(mut exchange) => {
                    redactor.redact(&mut exchange);
                    (exchange, None)
                }
            };
            let session = match sessions.entry(exchange.session) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    self.begin_import(&exchange, import)?;
                    entry.insert(Session::of(&exchange))
                }
            };
            let (sequence, last) = (exchange.sequence, session.last);
            if sequence <= last {
                return Err(ImportError::Order { session: exchange.session, sequence, last });
            }
            session.incomplete |= sequence != last + 1;
            if let Some((exported, had_tokens)) = exported {
                exchange.alteration =
                    exported.alteration(session, sequence).max(had_tokens.then_some(Alteration::Masked));
                session.exported = exported.hash;
            }
            session.import.add(&exchange);
            imported.import.add(&exchange);
            session.incomplete |= exchange.alteration.is_some();
            exchange.bodies_mut().for_each(unmask);
            let hash = chain::hash(session.hash, &exchange);
            if exchange.hash.is_some_and(|exported| exported != hash) {
                imported.rehashed += 1;
                session.incomplete = true;
            }
            (session.hash, session.last) = (hash, sequence);
            session.ended = session.ended.max(exchange.started_at.plus(exchange.duration()));
            imported.exchanges += 1;
            batch.push(*exchange);
            if let Some(exchanges) = batch.full() {
                self.append(exchanges)?;
            }
        }
        self.append(batch.exchanges)
    }

    /// A redactor with the tokens and properties of live traffic.
    fn redactor(&self) -> Redactor {
        Redactor::new(self.shared.api, &self.redacted.fields, self.redacted.key.clone())
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
        Ok(self.control(move |writer| writer.append_or_fail(exchanges))?)
    }

    fn finish_import(&self, sessions: &BTreeMap<SessionId, Session>) -> Result<(), ImportError> {
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

/// Makes the body verifiable: once masked, it no longer matches the exported digest.
fn unmask(body: &mut Body) {
    let stored = Digest::of(&body.bytes);
    if stored != body.stored_digest() {
        body.stored_sha256 = Some(stored);
    }
    body.masked = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_a_batch_was_as_large_as_the_heads_of_its_exchanges() {
        let sample = || nightaudit_log::testing::exchange(1, "a", 1);
        let long = || "x".repeat(1 << 20);
        let mut url = sample();
        url.request.url = long();
        let mut header = sample();
        header.request.headers = vec![nightaudit_exchange::Header { name: "a".into(), value: long().into() }];
        for exchange in [url, header] {
            let mut batch = Batch::default();
            let sizes = (0..100).filter_map(|_| {
                batch.push(exchange.clone());
                batch.full().map(|exchanges| exchanges.len())
            });
            assert_eq!(sizes.collect::<Vec<_>>(), [2; 50]);
        }
        let mut batch = Batch::default();
        assert!((1..BATCH.0).all(|_| {
            batch.push(sample());
            batch.full().is_none()
        }));
        batch.push(sample());
        assert_eq!(batch.full().map(|exchanges| exchanges.len()), Some(BATCH.0));
    }
}
