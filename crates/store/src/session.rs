//! The sessions of a log, seen and changed.

use nightaudit_log::{MAX_DECLARATION, Session, SessionError, is_session_name};

use crate::log::Log;

impl Log {
    /// All sessions, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.list()
    }

    /// A session by its name, its id or a unique beginning of the id.
    ///
    /// Of several with the same name an open one is meant, else the newest.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where there is none or there are several.
    pub fn session(&self, which: &str) -> Result<Session, SessionError> {
        let id = self.shared.resolve(which)?;
        self.shared.view(id).ok_or_else(|| SessionError::NotFound(which.to_owned()))
    }

    /// The session to which exchanges go that name none; none before the first of them.
    #[must_use]
    pub fn current_session(&self) -> Option<Session> {
        if !self.is_writable() {
            return None;
        }
        let current = self.shared.sessions().values().find(|e| e.meta.current && e.meta.ended.is_none())?.meta.id;
        self.shared.view(current)
    }

    /// Makes the open session of this name the current one, and starts it if there is none.
    ///
    /// A token in the name is replaced by its pseudonym. The session that was current before can be continued later, but for one that was started without a name.
    ///
    /// # Errors
    ///
    /// [`SessionError`] for an impossible name, or where the log can't be written.
    pub fn start_session(&self, name: &str) -> Result<Session, SessionError> {
        let name = self.valid(name)?;
        self.control(move |writer| writer.start_session(&name))
    }

    /// Ends a session. If it is the current one, the next exchange that names none starts another.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where it isn't there, or the log can't be written.
    pub fn end_session(&self, which: &str) -> Result<Session, SessionError> {
        let which = which.to_owned();
        self.control(move |writer| writer.end_session(&which))
    }

    /// Gives a session another name, without tokens. Exchanges recorded before keep the old one.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where it isn't there, the name is impossible, or the log can't be written.
    pub fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError> {
        let (which, name) = (which.to_owned(), self.valid(name)?);
        self.control(move |writer| writer.rename_session(&which, name))
    }

    /// Notes something about a session, without tokens; an empty note removes the one that is there.
    ///
    /// # Errors
    ///
    /// [`SessionError`] where it isn't there, or the log can't be written.
    pub fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError> {
        let (which, note) = (which.to_owned(), self.shared.cleaned(note));
        self.control(move |writer| writer.note_session(&which, &note))
    }

    /// Keeps the integration's declaration with a session, without tokens; an empty one removes the one that is there.
    ///
    /// # Errors
    ///
    /// [`SessionError::Declaration`] for one that is longer than [`MAX_DECLARATION`]; else where the session isn't there, or
    /// the log can't be written.
    pub fn declare_session(&self, which: &str, declaration: &str) -> Result<Session, SessionError> {
        if declaration.len() > MAX_DECLARATION {
            return Err(SessionError::Declaration(declaration.len()));
        }
        let (which, declaration) = (which.to_owned(), self.shared.cleaned(declaration));
        self.control(move |writer| writer.declare_session(&which, declaration))
    }

    /// Deletes a session and all its exchanges. While the disk is full one that has ended can be deleted, too.
    ///
    /// # Errors
    ///
    /// [`SessionError::Recording`] for the current session; else where it isn't there, or can't be deleted.
    pub fn delete_session(&self, which: &str) -> Result<Session, SessionError> {
        let which = which.to_owned();
        self.rescue(move |writer| writer.delete_session(&which))
    }

    fn valid(&self, name: &str) -> Result<String, SessionError> {
        let name = self.shared.cleaned(name);
        if is_session_name(&name) { Ok(name) } else { Err(SessionError::Name(name)) }
    }
}
