//! Reading and changing the sessions of a log.

use nightaudit_log::{MAX_DECLARATION, Session, SessionError, is_session_name};

use crate::log::Log;

impl Log {
    /// All sessions, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.list()
    }

    /// A session by its name, its id, or a unique prefix or suffix of its id.
    ///
    /// Among sessions of the same name an open one is preferred, then the newest.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if there is none or there are several.
    pub fn session(&self, which: &str) -> Result<Session, SessionError> {
        let id = self.shared.resolve(which)?;
        self.shared.view(id).ok_or_else(|| SessionError::NotFound(which.to_owned()))
    }

    /// The session for exchanges that name none; `None` before the first of them.
    #[must_use]
    pub fn current_session(&self) -> Option<Session> {
        if !self.is_writable() {
            return None;
        }
        let current = self.shared.sessions().values().find(|e| e.meta.current && e.meta.ended.is_none())?.meta.id;
        self.shared.view(current)
    }

    /// Makes the open session of this name the current one, starting it if there is none.
    ///
    /// A token in the name is replaced by its pseudonym. The previously current session can be continued later, unless
    /// it was started without a name.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the name is invalid or the log can't be written.
    pub fn start_session(&self, name: &str) -> Result<Session, SessionError> {
        let name = self.valid(name)?;
        self.control(move |writer| writer.start_session(&name))
    }

    /// Ends a session. If it is the current one, the next exchange that names none starts another.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the session doesn't exist or the log can't be written.
    pub fn end_session(&self, which: &str) -> Result<Session, SessionError> {
        let which = which.to_owned();
        self.control(move |writer| writer.end_session(&which))
    }

    /// Renames a session, with tokens redacted. Exchanges recorded before keep the old name.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the session doesn't exist, the name is invalid, or the log can't be written.
    pub fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError> {
        let (which, name) = (which.to_owned(), self.valid(name)?);
        self.control(move |writer| writer.rename_session(&which, name))
    }

    /// Sets a session's note, with tokens redacted; an empty note removes it.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the session doesn't exist or the log can't be written.
    pub fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError> {
        let (which, note) = (which.to_owned(), self.shared.cleaned(note));
        self.control(move |writer| writer.note_session(&which, &note))
    }

    /// Sets a session's declaration, with tokens redacted; an empty one removes it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Declaration`] if it is longer than [`MAX_DECLARATION`]; otherwise if the session doesn't exist
    /// or the log can't be written.
    pub fn declare_session(&self, which: &str, declaration: &str) -> Result<Session, SessionError> {
        if declaration.len() > MAX_DECLARATION {
            return Err(SessionError::Declaration(declaration.len()));
        }
        let (which, declaration) = (which.to_owned(), self.shared.cleaned(declaration));
        self.control(move |writer| writer.declare_session(&which, declaration))
    }

    /// Deletes a session and all its exchanges. An ended one can be deleted even while the disk is full.
    ///
    /// # Errors
    ///
    /// [`SessionError::Recording`] for the current session, [`SessionError::Importing`] for one of a running import;
    /// otherwise if it doesn't exist or can't be deleted.
    pub fn delete_session(&self, which: &str) -> Result<Session, SessionError> {
        let which = which.to_owned();
        self.rescue(move |writer| writer.delete_session(&which))
    }

    fn valid(&self, name: &str) -> Result<String, SessionError> {
        let name = self.shared.cleaned(name);
        if is_session_name(&name) { Ok(name) } else { Err(SessionError::Name(name)) }
    }
}
