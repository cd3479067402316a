//! Starting, ending, changing and deleting sessions.

use std::{io, sync::atomic::Ordering};

use nightaudit_exchange::{SessionId, Timestamp};
use nightaudit_log::{Session, SessionError, StoreFailure};

use super::Writer;
use crate::{
    config::Keeper,
    deletion, disk,
    interrupted::{self, Interrupted},
    ledger::{Head, Note},
    meta::{self, Meta},
    results::Deleted,
    shared::Entry,
};

impl Writer {
    /// The open session of this name, started if there is none.
    pub(crate) fn named(&mut self, name: &str) -> io::Result<SessionId> {
        match self.open_of_name(name) {
            Some(session) => Ok(session),
            None => self.create(self.new_session(name.to_owned(), (self.shared.now)())),
        }
    }

    /// A new session. Its id sorts after those of earlier sessions, even within a millisecond; lost ones keep theirs.
    fn new_session(&self, name: String, now: Timestamp) -> Meta {
        let mut meta = Meta::new(name, &self.environment, now);
        let newest = self.shared.sessions().keys().next_back().copied();
        let newest = newest.max(self.shared.vanished().keys().next_back().copied());
        if let Some(newest) =
            newest.filter(|newest| newest.milliseconds() == meta.id.milliseconds() && *newest > meta.id)
        {
            meta.id = SessionId::from_bytes((u128::from_be_bytes(newest.to_bytes()) + 1).to_be_bytes());
        }
        meta
    }

    /// As [`named`](Self::named), but falls back to the current session once exchanges have started the maximum number:
    /// a client that names a new one with each request must not fill the disk with folders.
    pub(super) fn named_by_exchange(&mut self, name: &str) -> io::Result<SessionId> {
        if let Some(session) = self.open_of_name(name) {
            return Ok(session);
        }
        if self.sessions_left == 0 {
            return self.current();
        }
        let session = self.named(name)?;
        self.sessions_left -= 1;
        if self.sessions_left == 0 {
            tracing::warn!(
                "requests have started the maximum number of sessions (`max_sessions`): further ones that they name go \
                 to the current session"
            );
        }
        Ok(session)
    }

    fn open_of_name(&self, name: &str) -> Option<SessionId> {
        let sessions = self.shared.sessions();
        let open = sessions.values().rev().find(|entry| entry.meta.name == name && entry.meta.ended.is_none());
        open.map(|entry| entry.meta.id)
    }

    /// The session for exchanges that name none.
    pub(crate) fn current(&mut self) -> io::Result<SessionId> {
        if let Some(current) = self.current {
            return Ok(current);
        }
        let session = match self.configured.clone() {
            Some(name) => self.named(&name)?,
            None => {
                let now = (self.shared.now)();
                let meta = self.new_session(meta::automatic_name(now), now);
                self.create(Meta { automatic: true, ..meta })?
            }
        };
        self.make_current(session)?;
        Ok(session)
    }

    /// Records the requests of a journal that were in flight, and resumes the sessions.
    ///
    /// Returns their number.
    pub(crate) fn recover(&mut self, left: Vec<crate::journal::Entry<'_>>) -> io::Result<u64> {
        self.end_unreadable()?;
        for session in self.shared.imported() {
            self.change(session, |meta| meta.importing = None)?;
            self.shared.find_again(session);
        }
        let unfinished = |entry: &&Entry| entry.meta.importing.is_some();
        self.unfinished = self.shared.sessions().values().filter(unfinished).map(|entry| entry.meta.id).collect();
        let was_current = {
            let sessions = self.shared.sessions();
            sessions.values().rev().find(|e| e.meta.current && e.meta.ended.is_none()).map(|e| e.meta.id)
        };
        let mut interrupted = Vec::new();
        for Interrupted { exchange, started } in
            interrupted::from_journal(&self.shared, left).map_err(io::Error::other)?
        {
            if let Some(meta) = started {
                self.create(meta)?;
            }
            interrupted.push(exchange);
        }
        let count = interrupted.len() as u64;
        // Nothing waits for these: if the disk fails now, opening the log fails.
        self.no_retry = true;
        let written = match count {
            0 => 0,
            _ => self.append_at(interrupted, self.shared.stamp_after_last()),
        };
        self.no_retry = false;
        self.shared.recorded.store(0, Ordering::Relaxed);
        if written != count {
            let failure = self.shared.failing.send_replace(None);
            return Err(io::Error::other(failure.as_deref().unwrap_or("the journal can't be recovered").to_owned()));
        }
        // A session that was started without a name ended with its process.
        let ended: Vec<SessionId> = {
            let sessions = self.shared.sessions();
            let left = |e: &&Entry| e.meta.automatic && e.meta.ended.is_none() && Some(e.meta.id) != self.current;
            sessions.values().filter(left).map(|e| e.meta.id).collect()
        };
        for session in ended {
            self.end(session)?;
        }
        if let Some(session) = was_current.filter(|session| Some(*session) != self.current) {
            self.change(session, |meta| meta.current = false)?;
        }
        Ok(count)
    }

    /// Ends open sessions whose last exchange can't be read, because nothing can be chained to it.
    fn end_unreadable(&mut self) -> io::Result<()> {
        let open: Vec<SessionId> = {
            let sessions = self.shared.sessions();
            sessions.values().filter(|e| e.meta.ended.is_none()).map(|e| e.meta.id).collect()
        };
        let now = (self.shared.now)();
        for session in open {
            if let Err(error) = self.shared.reached(session) {
                tracing::warn!(%error, %session, "a session can't be continued");
                self.change(session, |meta| {
                    meta.ended = Some(now);
                    meta.incomplete = true;
                })?;
            }
        }
        Ok(())
    }

    fn make_current(&mut self, session: SessionId) -> io::Result<()> {
        let others: Vec<SessionId> = {
            let sessions = self.shared.sessions();
            sessions
                .values()
                .filter(|entry| entry.meta.current && entry.meta.id != session)
                .map(|e| e.meta.id)
                .collect()
        };
        for other in others {
            self.change(other, |meta| meta.current = false)?;
        }
        self.change(session, |meta| meta.current = true)?;
        self.current = Some(session);
        Ok(())
    }

    /// Creates a session's folder.
    pub(crate) fn create(&mut self, meta: Meta) -> io::Result<SessionId> {
        let folder = self.shared.folder(meta.id);
        self.shared.disk.create_dir(&folder)?;
        meta.write(&*self.shared.disk, &self.shared.dir)?;
        if let Some(sessions) = folder.parent() {
            self.shared.disk.sync_dir(sessions)?;
        }
        let session = meta.id;
        self.shared.sessions().insert(session, Entry::new(meta));
        self.shared.index.listings().entry(session).or_default();
        Ok(session)
    }

    pub(super) fn change(&mut self, session: SessionId, change: impl FnOnce(&mut Meta)) -> io::Result<()> {
        let Some(before) = self.shared.sessions().get(&session).map(|entry| entry.meta.clone()) else { return Ok(()) };
        let mut meta = before.clone();
        change(&mut meta);
        if meta == before {
            return Ok(());
        }
        meta.write(&*self.shared.disk, &self.shared.dir)?;
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.meta = meta;
        }
        Ok(())
    }

    pub(super) fn is_automatic(&self, session: SessionId) -> bool {
        self.shared.sessions().get(&session).is_some_and(|entry| entry.meta.automatic)
    }

    /// Ends a session: seals its last segment and stores the time.
    pub(crate) fn end(&mut self, session: SessionId) -> io::Result<()> {
        let known = self.shared.index.listings().get(&session).is_some_and(|listing| !listing.segments.is_empty());
        if known {
            self.reopen(session)?;
            self.seal(session, false)?;
        }
        let now = (self.shared.now)();
        let head = self.head(session);
        self.change(session, |meta| {
            meta.ended.get_or_insert(now);
            meta.current = false;
            meta.head = head;
        })?;
        self.write_ledger(true);
        if self.current == Some(session) {
            self.current = None;
            self.configured = None;
        }
        let _ = self.index.send(());
        Ok(())
    }

    /// What a session has recorded; `None` if nothing.
    fn head(&self, session: SessionId) -> Option<Head> {
        self.shared.sessions().get(&session).map(|entry| entry.head).filter(|head| head.count > 0)
    }

    /// Leaves a session so that it can be continued, and stores its head in its own file.
    pub(super) fn close_session(&mut self, session: SessionId) -> io::Result<()> {
        self.leave(session)?;
        let head = self.head(session);
        self.change(session, |meta| meta.head = head)
    }

    /// Brings the ledger up to date. On failure the next batch retries.
    pub(super) fn write_ledger(&self, sync: bool) {
        if let Err(error) = self.shared.note(self.shared.notes(), sync) {
            tracing::warn!(%error, "the ledger can't be written: losses would go unnoticed for now");
        }
    }

    /// Marks a session as incomplete.
    pub(super) fn mark_incomplete(&mut self, session: SessionId, exchanges: u64) {
        let mark = |meta: &mut Meta| {
            meta.unrecorded += exchanges;
            meta.incomplete = true;
        };
        if self.change(session, mark).is_err() {
            // The disk that failed for the exchanges fails for the note, too; it is written with the next change.
            if let Some(entry) = self.shared.sessions().get_mut(&session) {
                mark(&mut entry.meta);
            }
            self.unsaved.insert(session);
        }
    }

    /// Writes the session files that could not be written before.
    pub(super) fn save(&mut self) -> io::Result<()> {
        while let Some(session) = self.unsaved.first().copied() {
            let meta = self.shared.sessions().get(&session).map(|entry| entry.meta.clone());
            if let Some(meta) = meta {
                meta.write(&*self.shared.disk, &self.shared.dir)?;
            }
            self.unsaved.remove(&session);
        }
        Ok(())
    }

    pub(crate) fn failure(&self) -> Option<StoreFailure> {
        self.shared.failure()
    }

    fn seen(&self, session: SessionId) -> Result<Session, SessionError> {
        self.shared.view(session).ok_or_else(|| SessionError::NotFound(session.to_string()))
    }

    /// Makes the session of this name the current one, if anything is recorded.
    pub(crate) fn start_session(&mut self, name: &str) -> Result<Session, SessionError> {
        let before = self.current;
        let session = self.named(name).map_err(failed)?;
        if !self.records {
            return self.seen(session);
        }
        self.make_current(session).map_err(failed)?;
        if let Some(before) = before.filter(|before| *before != session && self.is_automatic(*before)) {
            self.end(before).map_err(failed)?;
            self.current = Some(session);
        }
        self.seen(session)
    }

    pub(crate) fn end_session(&mut self, which: &str) -> Result<Session, SessionError> {
        let session = self.shared.resolve(which)?;
        self.end(session).map_err(failed)?;
        self.seen(session)
    }

    pub(crate) fn rename_session(&mut self, which: &str, name: String) -> Result<Session, SessionError> {
        let session = self.shared.resolve(which)?;
        self.change(session, |meta| (meta.name, meta.automatic) = (name, false)).map_err(failed)?;
        self.seen(session)
    }

    pub(crate) fn note_session(&mut self, which: &str, note: &str) -> Result<Session, SessionError> {
        let session = self.shared.resolve(which)?;
        let note = Some(note.trim()).filter(|note| !note.is_empty()).map(str::to_owned);
        self.change(session, |meta| meta.note = note).map_err(failed)?;
        self.seen(session)
    }

    pub(crate) fn declare_session(&mut self, which: &str, declaration: String) -> Result<Session, SessionError> {
        let session = self.shared.resolve(which)?;
        let declaration = Some(declaration).filter(|text| !text.trim().is_empty());
        self.change(session, |meta| meta.declaration = declaration).map_err(failed)?;
        self.seen(session)
    }

    pub(crate) fn delete_session(&mut self, which: &str) -> Result<Session, SessionError> {
        let session = match self.shared.resolve(which) {
            Err(SessionError::Gone { id, .. }) => return self.forget_session(id),
            found => found?,
        };
        let seen = self.seen(session)?;
        if self.current == Some(session) {
            let name = seen.name;
            return Err(match self.failure() {
                Some(StoreFailure { cause }) => SessionError::Current { name, cause },
                None => SessionError::Recording(name),
            });
        }
        if self.is_being_imported(session) {
            return Err(SessionError::Importing(seen.name));
        }
        self.delete(session).map_err(failed)?;
        Ok(seen)
    }

    /// Stops reporting a session that is gone as missing.
    fn forget_session(&mut self, session: SessionId) -> Result<Session, SessionError> {
        let seen = self.shared.list().into_iter().find(|known| known.id == session);
        let seen = seen.ok_or_else(|| SessionError::NotFound(session.to_string()))?;
        self.shared.note([Note::deleted(session)], true).map_err(failed)?;
        self.shared.vanished().remove(&session);
        self.watched.lost.remove(&session);
        Ok(seen)
    }

    pub(crate) fn delete(&mut self, session: SessionId) -> io::Result<()> {
        if let Some(journal) = self.shared.journal.get() {
            journal.wipe_free()?;
        }
        let folder = self.shared.folder(session);
        let deletion = deletion::path(&self.shared.dir, session);
        // The rename removes it from the log atomically; if the process ends during the rest, the next start finishes
        // it.
        match self.shared.disk.rename(&folder, &deletion) {
            Err(_) if !disk::exists(&folder)? => {
                // Another process deleted it.
                self.forget(session);
                return self.shared.note([Note::deleted(session)], true);
            }
            renamed => renamed?,
        }
        self.forget(session);
        deletion::finish(&*self.shared.disk, &deletion, || self.shared.note([Note::deleted(session)], true))
    }

    /// Forgets a session whose files are gone.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.active.remove(&session);
        self.watched.forget(session);
        self.shared.sessions().remove(&session);
        // Before the caller learns that it is gone: an exchange after that starts a new session of its name.
        self.shared.deletions.fetch_add(1, Ordering::Release);
        if let Err(error) = self.shared.index.remove(session) {
            tracing::warn!(%error, %session, "the index keeps a deleted session until it is rebuilt");
        }
    }

    /// Deletes the sessions that ended before this instant.
    pub(crate) fn delete_older_than(&mut self, ended_before: Timestamp) -> Result<Deleted, SessionError> {
        let old = self.ended_before(ended_before);
        self.delete_all(old)
    }

    fn ended_before(&self, instant: Timestamp) -> Vec<SessionId> {
        self.deletable(|entry| entry.meta.ended.is_some_and(|ended| ended < instant))
    }

    /// The sessions to which this applies, without those that a running import still needs.
    fn deletable(&self, applies: impl Fn(&Entry) -> bool) -> Vec<SessionId> {
        let chosen: Vec<SessionId> = {
            let sessions = self.shared.sessions();
            sessions.values().filter(|entry| applies(entry)).map(|entry| entry.meta.id).collect()
        };
        chosen.into_iter().filter(|session| !self.is_being_imported(*session)).collect()
    }

    fn delete_all(&mut self, sessions: Vec<SessionId>) -> Result<Deleted, SessionError> {
        let mut deleted = Deleted::default();
        for session in sessions {
            let seen = self.seen(session)?;
            self.delete(session).map_err(failed)?;
            deleted.sessions.push(session);
            deleted.exchanges += seen.exchanges;
            deleted.bytes += seen.bytes;
        }
        Ok(deleted)
    }

    /// Whether the session must stay because it isn't all where it is to be kept.
    fn is_held(&self, session: SessionId) -> bool {
        let Some(Keeper(has)) = &self.keeper else { return false };
        let count = self.shared.sessions().get(&session).map_or(0, |entry| entry.head.count);
        !has(session, count)
    }

    /// Deletes ended sessions, oldest first, until the log is within its size and age limits.
    pub(super) fn enforce_quota(&mut self) {
        if let Some(age) = self.max_age {
            let mut old = self.ended_before((self.shared.now)().minus(age));
            let ended = old.len();
            old.retain(|session| !self.is_held(*session));
            let held = ended - old.len();
            if held > 0 {
                tracing::warn!("{held} sessions above the maximum age are kept: the archive doesn't have them yet");
            }
            if let Err(error) = self.delete_all(old) {
                tracing::warn!(%error, "sessions above the maximum age can't be deleted");
            }
        }
        let Some(max_size) = self.max_size else { return };
        loop {
            if self.shared.sessions().values().map(|entry| entry.bytes).sum::<u64>() <= max_size {
                return;
            }
            let ended = self.deletable(|entry| entry.meta.ended.is_some());
            let Some(oldest) = ended.iter().copied().find(|session| !self.is_held(*session)) else {
                if !ended.is_empty() {
                    tracing::warn!(
                        sessions = ended.len(),
                        "the log exceeds its maximum size, and nothing is deleted: the archive doesn't have the ended sessions yet"
                    );
                }
                return;
            };
            tracing::info!(session = %oldest, "deleting the oldest ended session: the log exceeds its maximum size");
            if let Err(error) = self.delete(oldest) {
                tracing::warn!(%error, session = %oldest, "a session can't be deleted");
                return;
            }
        }
    }
}

pub(crate) fn failed(error: io::Error) -> SessionError {
    SessionError::Store(StoreFailure { cause: error.to_string().into() })
}
