//! The folder of a session while it is deleted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nightaudit_exchange::SessionId;

use crate::disk::Disk;

/// The prefix of a session's folder while it is deleted.
pub(crate) const DELETED: &str = ".deleted-";

/// The folder of a session while it is deleted.
pub(crate) fn path(dir: &Path, session: SessionId) -> PathBuf {
    dir.join("sessions").join(format!("{DELETED}{session}"))
}

/// Removes the contents of a deleted session's folder, records the deletion in the ledger, and removes the folder.
///
/// In this order a full disk has space for the ledger's line, and until that is written the folder's name records the
/// deletion.
pub(crate) fn finish(disk: &dyn Disk, deletion: &Path, record: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(deletion)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            disk.remove_file(&entry.path())?;
        }
    }
    if let Err(error) = record() {
        tracing::warn!(%error, "the ledger will record the deletion when the log is opened next");
        return Ok(());
    }
    disk.remove_dir(deletion)
}
