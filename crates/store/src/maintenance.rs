//! Maintenance of a log, for the `log` commands.

mod check;
mod compact;
mod delete;
mod import;

use std::sync::mpsc;

pub use self::{
    delete::{DeleteError, DeleteTarget},
    import::ImportError,
};

use nightaudit_exchange::Timestamp;
use nightaudit_log::{ReadError, Session, SessionError};

use crate::{
    index::Listing,
    log::Log,
    recover::CatchUp,
    results::{Deleted, Info, Opened, Progress},
    segment,
    writer::Writer,
};

impl Log {
    /// Totals of a log.
    #[must_use]
    pub fn info(&self) -> Info {
        let sessions = self.shared.list();
        let segments = |session: &Session| {
            // A session that was deleted in the meantime has none.
            segment::list(&self.shared.folder(session.id)).map_or(0, |list| list.len() as u64)
        };
        Info {
            sessions: sessions.len() as u64,
            open_sessions: sessions.iter().filter(|session| session.open).count() as u64,
            exchanges: sessions.iter().map(|session| session.exchanges).sum(),
            missing: sessions.iter().map(|session| session.missing).sum(),
            segments: sessions.iter().map(segments).sum(),
            segment_bytes: sessions.iter().map(|session| session.bytes).sum(),
            index_bytes: self.shared.index.size(),
        }
    }

    /// Rebuilds the index from the segments and returns its number of exchanges. Recording pauses meanwhile.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the segments can't be read or the index can't be written.
    pub fn reindex(&self, progress: &mut dyn FnMut(Progress)) -> Result<u64, ReadError> {
        let shared = &self.shared;
        self.paused(|| {
            let known: Vec<_> = shared.index.listings().keys().copied().collect();
            for session in known {
                shared.index.remove(session)?;
            }
            let mut opened = Opened::default();
            let mut catch_up = CatchUp {
                shared,
                truncate: false,
                deleted: &[],
                ledger: None,
                opened: &mut opened,
                progress,
                at: Progress::default(),
            };
            catch_up.all().map_err(|source| ReadError::Io { path: "sessions".into(), source })?;
            shared.index.store(true)?;
            shared.index.flush()?;
            Ok(shared.index.listings().values().map(Listing::exchanges).sum())
        })?
    }

    /// Deletes the sessions that ended before this instant.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if the log is read-only, or they can't be deleted.
    pub fn delete_older_than(&self, ended_before: Timestamp) -> Result<Deleted, SessionError> {
        self.rescue(move |writer| writer.delete_older_than(ended_before))
    }

    /// Runs `work` while the writer is paused.
    fn paused<T>(&self, work: impl FnOnce() -> T) -> Result<T, SessionError> {
        if !self.is_writable() {
            return Ok(work());
        }
        let (paused, pausing) = mpsc::sync_channel(0);
        let (resume, resumed) = mpsc::sync_channel::<()>(0);
        self.start_control(move |writer: Result<&mut Writer, SessionError>| {
            let _ = paused.send(writer.map(drop));
            // The other end is dropped when the work is done, even if it panics.
            let _ = resumed.recv();
        })?;
        pausing.recv().unwrap_or(Err(SessionError::ReadOnly))?;
        let done = work();
        drop(resume);
        Ok(done)
    }
}
