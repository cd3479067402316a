//! The lock on the data folder.

use std::{
    fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{error::OpenError, private};

/// The file with the address of the owner's console.
const CONSOLE: &str = "console";

/// The lock on a data folder: a file that is locked while this value lives and names its owner.
///
/// It is an operating system lock, so a killed owner leaves none behind. The address of the owner's console is in a second
/// file, `console`. Its owner overwrites what a killed one left there before locking it, so the address in a locked file is
/// always its owner's. With a single file, a new owner would hold the lock on a killed one's address for a moment, and a
/// command could send the token to whoever listens there now.
#[derive(Debug)]
pub(crate) struct Lock {
    dir: PathBuf,
    /// Locked until it is closed.
    _file: fs::File,
    console: Mutex<Option<fs::File>>,
}

/// How often locking `console` is tried, 10 ms apart.
const TRIES: u32 = 200;

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
            Err(fs::TryLockError::WouldBlock) => return Err(Self::locked(dir, &file)),
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        let text = format!("{}\n", std::process::id());
        // In this order no new block is needed, so this works on a full disk.
        match file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(text.len() as u64)) {
            // The lock is what matters: its holder may have to free space on a full disk.
            Err(source) if source.kind() != io::ErrorKind::StorageFull => Err(failed("write", source)),
            _ => Ok(Self::of(dir, file)),
        }
    }

    fn of(dir: &Path, file: fs::File) -> Self {
        Self { dir: dir.to_owned(), _file: file, console: Mutex::new(None) }
    }

    fn locked(dir: &Path, file: &fs::File) -> OpenError {
        let pid = first_line(file).and_then(|pid| pid.parse().ok());
        OpenError::Locked { dir: dir.to_owned(), pid, console: Self::console(dir).ok().flatten() }
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
            Ok(()) => Ok(Some(Self::of(dir, file))),
            Err(fs::TryLockError::WouldBlock) => Err(Self::locked(dir, &file)),
            Err(fs::TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The console of the folder's owner; `None` if there is no owner or it has no console (yet).
    ///
    /// The lock is tried before the file is read: without an owner, its content is that of a killed one.
    pub(crate) fn console(dir: &Path) -> io::Result<Option<String>> {
        let file = match private::open(fs::OpenOptions::new().read(true), &dir.join(CONSOLE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            // Released at once, with the file.
            Ok(()) => Ok(None),
            Err(fs::TryLockError::WouldBlock) => Ok(first_line(&file)),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes the address of the owner's console, where commands find it.
    pub(crate) fn write(&self, console: &str) -> io::Result<()> {
        let mut kept = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match kept.take() {
            Some(file) => file,
            None => private::open(
                fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600),
                &self.dir.join(CONSOLE),
            )?,
        };
        // Removes a killed owner's address: a blank first line means no address. Truncating would free a block that a full
        // disk may not give back.
        file.write_all_at(b"\n", 0)?;
        lock(&file)?;
        let text = format!("{console}\n");
        let (first, rest) = text.as_bytes().split_at(1);
        file.write_all_at(rest, 1)?;
        file.set_len(text.len() as u64)?;
        // The first byte last: the address is there as a whole, or not at all.
        file.write_all_at(first, 0)?;
        *kept = Some(file);
        Ok(())
    }
}

/// Locks the file. Commands that look for a console hold a shared lock for a moment.
fn lock(file: &fs::File) -> io::Result<()> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has locked it"))
}

/// The first line of the file, unless it is blank.
fn first_line(file: &fs::File) -> Option<String> {
    let mut text = [0; 4096];
    let length = file.read_at(&mut text, 0).ok()?;
    let line = str::from_utf8(&text[..length]).ok()?.lines().next()?.trim();
    Some(line.to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    const ADDRESS: &str = "http://127.0.0.1:8081";

    #[test]
    fn only_the_lock_holder_has_a_console() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::console(dir.path()).unwrap(), None);
        let lock = Lock::take(dir.path()).unwrap();
        assert_eq!(Lock::console(dir.path()).unwrap(), None);
        lock.write("http://127.0.0.1:65535").unwrap();
        lock.write(ADDRESS).unwrap();
        assert_eq!(Lock::console(dir.path()).unwrap().as_deref(), Some(ADDRESS));
        let Err(OpenError::Locked { pid, console, .. }) = Lock::take(dir.path()) else { panic!("locked twice") };
        assert_eq!((pid, console.as_deref()), (Some(std::process::id()), Some(ADDRESS)));
        // As after a kill: the file keeps its content.
        drop(lock);
        assert_eq!(fs::read_to_string(dir.path().join(CONSOLE)).unwrap(), format!("{ADDRESS}\n"));
        assert_eq!(Lock::console(dir.path()).unwrap(), None);
    }

    #[test]
    fn what_a_killed_owner_left_is_gone_before_the_file_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        fs::write(dir.path().join(CONSOLE), "http://127.0.0.1:65535\n").unwrap();
        // A command looking for a console keeps the new owner from locking the file.
        let command = fs::File::open(dir.path().join(CONSOLE)).unwrap();
        command.lock_shared().unwrap();
        std::thread::scope(|scope| {
            let written = scope.spawn(|| lock.write(ADDRESS));
            let gone = (0..TRIES / 2).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                first_line(&command).is_none()
            });
            assert!(gone, "it is still there");
            drop(command);
            written.join().unwrap().unwrap();
        });
        assert_eq!(Lock::console(dir.path()).unwrap().as_deref(), Some(ADDRESS));
    }

    #[test]
    fn regression_a_new_owner_had_the_console_of_a_killed_one_for_a_moment() {
        const OWNERS: usize = 400;
        let dir = tempfile::tempdir().unwrap();
        // The number of the owner, which is also in its address. All before it are gone.
        let owner = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while owner.load(SeqCst) < OWNERS {
                        let first = owner.load(SeqCst);
                        let Some(console) = Lock::console(dir.path()).unwrap() else { continue };
                        let number: usize = console.strip_prefix("http://localhost/").unwrap().parse().unwrap();
                        assert!(number >= first, "{console} while {first} or a later one is the owner");
                    }
                });
            }
            for number in 0..OWNERS {
                owner.store(number, SeqCst);
                // As after a kill, the files keep their content. Every other owner has no console, such as `sessions delete`.
                let lock = Lock::take(dir.path()).unwrap();
                if number % 2 == 0 {
                    lock.write(&format!("http://localhost/{number}")).unwrap();
                }
            }
            owner.store(OWNERS, SeqCst);
        });
    }
}
