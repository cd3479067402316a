//! A file that counts its bytes, and that ends before it fills the disk.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::disk;

/// A file being written.
pub(super) struct Meter<'a> {
    file: &'a mut File,
    folder: &'a Path,
    written: &'a AtomicU64,
    stop: &'a CancellationToken,
    /// Bytes until the next look at the disk.
    due: usize,
    has_failed: bool,
}

impl<'a> Meter<'a> {
    /// Writes to `file`, which is in `folder`, until `stop`.
    pub(super) fn new(
        file: &'a mut File,
        folder: &'a Path,
        written: &'a AtomicU64,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { file, folder, written, stop, due: 0, has_failed: false }
    }
}

impl Meter<'_> {
    fn write_or_fail(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.due == 0 {
            disk::check(self.folder)?;
            self.due = disk::STEP;
        }
        let count = self.file.write(bytes)?;
        self.due = self.due.saturating_sub(count);
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Write for Meter<'_> {
    /// Once it has failed or is cancelled, what is written is dropped: a writer that is dropped unfinished tries to
    /// finish, and would complain on standard error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed || self.stop.is_cancelled() {
            return Ok(bytes.len());
        }
        let written = self.write_or_fail(bytes);
        self.has_failed = written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Meter<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
