//! Sessions that an import makes: sealed, finished together, or undone.

use std::io;

use nightaudit_exchange::{Import, SessionId, Timestamp};

use super::Writer;
use crate::meta::Importing;

impl Writer {
    /// Seals an imported session and marks it as whole.
    pub(crate) fn seal_import(
        &mut self,
        session: SessionId,
        ended: Timestamp,
        incomplete: bool,
        import: Import,
    ) -> io::Result<()> {
        self.change(session, |meta| {
            meta.ended = Some(ended);
            meta.incomplete = incomplete;
            meta.imported = Some(import);
        })?;
        self.end(session)?;
        self.change(session, |meta| {
            meta.importing = meta.importing.map(|importing| Importing { whole: true, ..importing });
        })
    }

    /// Turns the sessions of a complete import into ordinary ones.
    pub(crate) fn finish_import(&mut self, sessions: &[SessionId]) -> io::Result<()> {
        for session in sessions {
            self.change(*session, |meta| meta.importing = None)?;
            self.watched.lost.remove(session);
            self.shared.find_again(*session);
        }
        self.write_ledger(true);
        Ok(())
    }

    /// Deletes the sessions of imports that were unfinished when the log was opened.
    pub(crate) fn undo_imports(&mut self) -> io::Result<()> {
        while let Some(session) = self.unfinished.pop() {
            if self.shared.sessions().contains_key(&session) {
                tracing::warn!(%session, "deleting a session whose import was unfinished");
                self.delete(session)?;
                self.note_vanished(session)?;
            }
        }
        Ok(())
    }

    /// Whether a running import still needs the session.
    pub(super) fn is_being_imported(&self, session: SessionId) -> bool {
        let is_marked = self.shared.sessions().get(&session).is_some_and(|entry| entry.meta.importing.is_some());
        is_marked && !self.unfinished.contains(&session)
    }

    /// Deletes the sessions of an import that failed. Those that can't be deleted are left to the next import.
    pub(crate) fn undo_import(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            let undone = self.delete(*session).and_then(|()| self.note_vanished(*session));
            if let Err(error) = undone {
                tracing::warn!(%error, %session, "a session whose import failed can't be deleted");
                self.unfinished.push(*session);
            }
        }
    }

    /// Notes that a session is still missing whose import was undone.
    fn note_vanished(&self, session: SessionId) -> io::Result<()> {
        let note = self.shared.vanished().get(&session).cloned();
        self.shared.note(note, true)
    }
}
