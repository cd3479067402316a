//! The file layer: everything the log writes goes through it, so that tests can inject failures.

use std::{
    fmt, fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use self::identity::Identity;
use crate::private;

/// Where the log writes: [`OsDisk`] in production; tests lose unsynced writes or fail.
///
/// Reads bypass it: an implementation keeps the real files in the state it pretends.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file for writing at any offset, creating it with mode 0600 if it doesn't exist. Links are not followed.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a folder and its missing parents, with mode 0700.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Renames a file atomically, replacing any other of that name.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes changes to a folder's entries survive a power failure.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Deletes a folder and its contents.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Deletes a file.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// A file opened for writing.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes all these bytes at this offset.
    ///
    /// # Errors
    ///
    /// The error of the operating system; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes previous writes survive a power failure.
    ///
    /// # Errors
    ///
    /// The error of the operating system; nothing written since the last success is certain then.
    fn sync(&self) -> io::Result<()>;

    /// Truncates or extends the file.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Whether this path still names the file. Writes to a file that was deleted while open are lost, and those to one
    /// whose folder was moved end up where nobody looks.
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(true)
    }
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = private::open(fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600), path)?;
        let identity = identity::of_file(&file)?;
        Ok(Box::new(OsFile { file, identity }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        private::create_private_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

/// A file of the operating system. Its identity never changes while it is open, and so is read once.
#[derive(Debug)]
struct OsFile {
    file: fs::File,
    identity: Identity,
}

impl DiskFile for OsFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        match identity::at(path) {
            Ok(there) => Ok(there == self.identity),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The device and inode of a file, and nothing else.
///
/// Linux 6.13 and later give a file a new timestamp at the first write after the old one was queried. `fstat` queries
/// it, so every write after it would go through the filesystem's journal: that cost a quarter of the rate of synced
/// appends. `statx` can leave the timestamps out.
#[cfg(target_os = "linux")]
mod identity {
    use std::{fs, io, path::Path};

    use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};

    pub(super) type Identity = (u32, u32, u64);

    pub(super) fn of_file(file: &fs::File) -> io::Result<Identity> {
        Ok(identity(&statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::INO)?))
    }

    pub(super) fn at(path: &Path) -> io::Result<Identity> {
        Ok(identity(&statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?))
    }

    fn identity(found: &Statx) -> Identity {
        (found.stx_dev_major, found.stx_dev_minor, found.stx_ino)
    }
}

/// The device and inode of a file.
#[cfg(not(target_os = "linux"))]
mod identity {
    use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

    pub(super) type Identity = (u64, u64);

    pub(super) fn of_file(file: &fs::File) -> io::Result<Identity> {
        file.metadata().map(|found| (found.dev(), found.ino()))
    }

    pub(super) fn at(path: &Path) -> io::Result<Identity> {
        fs::metadata(path).map(|found| (found.dev(), found.ino()))
    }
}

/// Whether the path exists.
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    match identity::at(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Replaces a small file atomically: after a crash it holds the old bytes or the new ones.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let file = disk.open(&temporary)?;
    file.set_len(0)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(path))
}

/// Writes a small file and removes it, to see whether the folder can be written.
pub(crate) fn probe(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    const SIZE: usize = 64 << 10;
    let path = dir.join("probe.new");
    let file = disk.open(&path)?;
    let written = file.write_at(&[0; SIZE], 0).and_then(|()| file.sync());
    disk.remove_file(&path)?;
    written
}

/// The error for a file that is no longer where it was opened.
pub(crate) fn gone(path: &Path) -> io::Error {
    let message = format!(
        "{} was deleted or moved while it was being written: restore it, or restart `nightaudit serve`",
        path.display()
    );
    io::Error::new(io::ErrorKind::NotFound, message)
}

/// Checks that a folder has space for what the index may have to write.
pub(crate) fn try_room(dir: &Path) -> io::Result<()> {
    const ROOM: usize = 1 << 20;
    let path = dir.join("room.new");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all_at(&[0; ROOM], 0);
    fs::remove_file(&path)?;
    written
}
