//! The segment that a session is written to.

use std::{io, path::PathBuf};

use nightaudit_exchange::{Digest, SessionId};

use crate::{block::Salt, disk::DiskFile};

/// A session being written to.
pub(super) struct Active {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) number: u32,
    pub(super) generation: u64,
    /// Where the next block goes.
    pub(super) end: u64,
    /// The file's length: there are zeros after `end`.
    pub(super) space: u64,
    /// Whether a failed write may have left other bytes than zeros after `end`.
    pub(super) dirty: bool,
    pub(super) hash: Digest,
    pub(super) last: u64,
    pub(super) turn: u64,
}

impl Active {
    /// The last exchange's hash and sequence number.
    pub(super) fn reached(&self) -> (Digest, u64) {
        (self.hash, self.last)
    }

    pub(super) fn salt(&self, session: SessionId) -> Salt {
        Salt::new(session, self.number)
    }

    /// Records a write, and returns its start and end.
    pub(super) fn wrote(&mut self, bytes: u64, reached: Option<(Digest, u64)>) -> (u64, u64) {
        let start = self.end;
        self.end += bytes;
        (self.hash, self.last) = reached.unwrap_or(self.reached());
        (start, self.end)
    }

    /// Whether the file is still where it was opened.
    pub(super) fn is_there(&self) -> io::Result<bool> {
        self.file.is_at(&self.path)
    }

    /// Truncates the file after the last block.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        if self.dirty || self.space != self.end {
            self.file.set_len(self.end)?;
            (self.space, self.dirty) = (self.end, false);
        }
        Ok(())
    }
}
