//! Space that is left for the log.

use std::{io, path::Path};

use rustix::fs::statvfs;

/// Space that files of evidence and imports leave free, in bytes.
const SPARE: u64 = 256 << 20;

/// Bytes written between two looks at the disk.
pub(crate) const STEP: usize = 16 << 20;

/// Fails if less than [`SPARE`] is free on the disk of this folder or file.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let disk = statvfs(path)?;
    check_free(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn check_free(free: u64) -> io::Result<()> {
    if free >= SPARE {
        return Ok(());
    }
    let message = format!("only {} MiB are free on the disk; {} MiB are left for recording", free >> 20, SPARE >> 20);
    Err(io::Error::new(io::ErrorKind::StorageFull, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_takes_nothing() {
        check(Path::new("/")).unwrap();
        check_free(SPARE).unwrap();
        let error = check_free(SPARE - 1).unwrap_err();
        assert_eq!(error.to_string(), "only 255 MiB are free on the disk; 256 MiB are left for recording");
        assert_eq!(check(Path::new("/nowhere/at/all")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
