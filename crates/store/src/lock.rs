//! Who has the data folder.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::error::OpenError;

/// The lock on a data folder: a file locked for as long as this lives, in which its owner is named.
///
/// The lock is the operating system's, so that an owner who was killed leaves none behind.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Mutex<fs::File>,
    console: Mutex<Option<String>>,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let failed = |what, source| OpenError::Io { what, path: path.clone(), source };
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("write", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let (pid, console) = owner(&file);
                return Err(OpenError::Locked { dir: PathBuf::from(dir), pid, console });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        let lock = Self { file: Mutex::new(file), console: Mutex::default() };
        lock.write(None).map_err(|source| failed("write", source))?;
        Ok(lock)
    }

    /// Names the owner's console, so that commands find it.
    pub(crate) fn write(&self, console: Option<&str>) -> io::Result<()> {
        let file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = std::process::id().to_string();
        if let Some(console) = console {
            text.push('\n');
            text.push_str(console);
        }
        text.push('\n');
        *self.console.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = console.map(str::to_owned);
        file.set_len(0)?;
        file.write_all_at(text.as_bytes(), 0)
    }

    /// The owner's console, as it stands in the file.
    pub(crate) fn console(&self) -> Option<String> {
        self.console.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
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
