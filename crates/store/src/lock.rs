//! The lock on the data folder.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{error::OpenError, private};

/// The lock on a data folder: a file that is locked while this value lives and names its owner.
///
/// It is an operating system lock, so a killed owner leaves none behind.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Mutex<fs::File>,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let failed = |what, source| OpenError::Io { what, path: path.clone(), source };
        let file = private::open(
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600),
            &path,
        )
        .map_err(|source| failed("write", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let (pid, console) = owner(&file);
                return Err(OpenError::Locked { dir: PathBuf::from(dir), pid, console });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        let lock = Self { file: Mutex::new(file) };
        match lock.write(None) {
            // The lock is what matters: its holder may have to free space on a full disk.
            Err(source) if source.kind() != io::ErrorKind::StorageFull => Err(failed("write", source)),
            _ => Ok(lock),
        }
    }

    /// A shared lock for a reader that can't write: it excludes owners but not other readers. `None` if there is no
    /// lock file or it can't be locked.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] if the folder has an owner.
    pub(crate) fn share(dir: &Path) -> Result<Option<Self>, OpenError> {
        let Ok(file) = private::open(fs::OpenOptions::new().read(true), &dir.join("lock")) else { return Ok(None) };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { file: Mutex::new(file) })),
            Err(fs::TryLockError::WouldBlock) => {
                let (pid, console) = owner(&file);
                Err(OpenError::Locked { dir: PathBuf::from(dir), pid, console })
            }
            Err(fs::TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The console of the folder's owner; `None` if there is no owner or it has no console (yet).
    ///
    /// The lock tells whether there is an owner. A killed owner's address is ignored and removed, so that no token is
    /// sent to whoever listens there now, and the next call need not try the lock.
    pub(crate) fn console(dir: &Path) -> io::Result<Option<String>> {
        let path = dir.join("lock");
        // A folder that can't be written has no owner, or one with other rights: reading is enough to tell.
        let opened = private::open(fs::OpenOptions::new().read(true).write(true), &path)
            .or_else(|_| private::open(fs::OpenOptions::new().read(true), &path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(console) = owner(&file).1 else { return Ok(None) };
        match file.try_lock() {
            // Released at once, with the file.
            Ok(()) => {
                let _ = file.set_len(0);
                Ok(None)
            }
            Err(fs::TryLockError::WouldBlock) => Ok(Some(console)),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes the address of the owner's console, where commands find it.
    pub(crate) fn write(&self, console: Option<&str>) -> io::Result<()> {
        let file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = std::process::id().to_string();
        if let Some(console) = console {
            text.push('\n');
            text.push_str(console);
        }
        text.push('\n');
        // In this order no new block is needed, so this works on a full disk.
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    }
}

fn owner(file: &fs::File) -> (Option<u32>, Option<String>) {
    let mut text = String::new();
    if file.take(4096).read_to_string(&mut text).is_err() {
        return (None, None);
    }
    let mut lines = text.lines().map(str::trim);
    (lines.next().and_then(|pid| pid.parse().ok()), lines.next().filter(|line| !line.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lock_holder_has_a_console() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::console(dir.path()).unwrap(), None);
        let lock = Lock::take(dir.path()).unwrap();
        assert_eq!(Lock::console(dir.path()).unwrap(), None);
        lock.write(Some("http://127.0.0.1:8081")).unwrap();
        assert_eq!(Lock::console(dir.path()).unwrap().as_deref(), Some("http://127.0.0.1:8081"));
        // As after a kill: the file keeps its content.
        drop(lock);
        assert_eq!(Lock::console(dir.path()).unwrap(), None);
        assert_eq!(fs::read_to_string(dir.path().join("lock")).unwrap(), "");
        Lock::take(dir.path()).unwrap();
    }
}
