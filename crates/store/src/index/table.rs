//! The only module that uses sled: one ordered table of bytes on disk.

use std::{
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::private;

/// The layout of the index; one of another version is rebuilt.
const VERSION: &[u8] = b"nightaudit index 5";

/// The bytes of pages that sled may cache, in addition to the last page of each of its 256 lists, whatever its size.
const CAPACITY: u64 = 2 << 20;

/// The size of sled's segments, in bytes. Whenever it is opened, it overwrites the rest of the last one and all that are free,
/// and syncs them. A large index has more free ones; with sled's own size of 512 KiB that was 1.15 MiB each time. A page of more
/// than a quarter of it gets a file of its own, and a page may be a chunk of 2,048 rows, which takes some 50 KiB.
const SEGMENT: usize = 256 << 10;

/// Why the table can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexError(pub(crate) String);

impl IndexError {
    /// The error of a change to a read-only log.
    pub(crate) fn read_only() -> Self {
        Self("the log was opened for reading".to_owned())
    }

    /// The error of the files with rows.
    pub(super) fn of_rows(error: io::Error) -> Self {
        Self(format!("its files can't be used: {error}"))
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An atomic batch of changes.
#[derive(Default)]
pub(crate) struct Batch(sled::Batch);

impl Batch {
    pub(crate) fn insert(&mut self, key: &[u8], value: Vec<u8>) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

pub(crate) struct Table {
    db: sled::Db,
    path: PathBuf,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

/// Runs a call to sled, which panics on some damaged files and returns an error on others.
fn guarded<T>(work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError(error.to_string())),
        Err(_) => Err(IndexError("sled panicked on its own files".to_owned())),
    }
}

impl Table {
    /// Opens or creates the table. The second value is false if it is new.
    pub(crate) fn open(path: &Path) -> Result<(Self, bool), IndexError> {
        let io = |error: io::Error| IndexError(error.to_string());
        let known = path.join("db").exists();
        wait_until_free(path);
        let segment = segment_size(path).unwrap_or(SEGMENT);
        let config = sled::Config::new().path(path).cache_capacity(CAPACITY).flush_every_ms(None).segment_size(segment);
        let db = guarded(|| config.open())?;
        let table = Self { db, path: path.to_owned() };
        // sled creates its files with the process's umask.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)?;
        for entry in fs::read_dir(path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let mode = if entry.file_type().map_err(io)?.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).map_err(io)?;
        }
        if known {
            match table.get(b"version")? {
                Some(version) if version == VERSION => {}
                Some(_) => return Err(IndexError("it has another version".to_owned())),
                None => return Err(IndexError("it is incomplete".to_owned())),
            }
        } else {
            let mut batch = Batch::default();
            batch.insert(b"version", VERSION.to_vec());
            table.apply(batch)?;
        }
        Ok((table, known))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, IndexError> {
        guarded(|| self.db.get(key))
    }

    pub(crate) fn apply(&self, batch: Batch) -> Result<(), IndexError> {
        guarded(|| self.db.apply_batch(batch.0))
    }

    /// Visits all entries with this key prefix, in order.
    pub(crate) fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), IndexError> {
        guarded(|| {
            for item in self.db.scan_prefix(prefix) {
                let (key, value) = item?;
                each(&key, &value);
            }
            Ok(())
        })
    }

    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        guarded(|| self.db.flush().map(|_| ()))
    }

    pub(crate) fn size(&self) -> u64 {
        guarded(|| self.db.size_on_disk()).unwrap_or(0)
    }

    /// Closes the table, so that another process can open it.
    pub(crate) fn close(self) -> Result<(), IndexError> {
        self.flush()?;
        let path = self.path.clone();
        drop(self);
        wait_until_free(&path);
        Ok(())
    }
}

/// The size of the segments of a table that exists, as sled noted it; another one is refused.
fn segment_size(path: &Path) -> Option<usize> {
    let conf = private::open(fs::OpenOptions::new().read(true), &path.join("conf")).ok()?;
    let mut text = Vec::new();
    conf.take(4096).read_to_end(&mut text).ok()?;
    let size =
        String::from_utf8_lossy(&text).lines().find_map(|line| line.strip_prefix("segment_size: ")?.parse().ok());
    size.filter(|size: &usize| size.is_power_of_two() && (SEGMENT..=1 << 20).contains(size))
}

/// Waits until sled's file is unlocked: its threads may hold it for a moment after the table was dropped, and an index
/// in use must not be taken for a broken one.
fn wait_until_free(path: &Path) {
    const PAUSE: Duration = Duration::from_millis(2);
    const ATTEMPTS: u32 = 2500;

    let Ok(file) = fs::File::open(path.join("db")) else { return };
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            // Dropping the file unlocks it.
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_the_size_of_its_segments() {
        for (size, conf) in [(SEGMENT, None), (512 << 10, Some(512 << 10))] {
            let dir = tempfile::tempdir().unwrap();
            if let Some(size) = conf {
                drop(sled::Config::new().path(dir.path()).segment_size(size).open().unwrap());
                wait_until_free(dir.path());
                fs::remove_file(dir.path().join("db")).unwrap();
            }
            for is_known in [false, true] {
                let (table, known) = Table::open(dir.path()).unwrap();
                assert_eq!((known, segment_size(dir.path())), (is_known, Some(size)));
                table.close().unwrap();
            }
        }
    }

    #[test]
    fn whatever_is_in_the_file_with_the_size_of_segments_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        Table::open(dir.path()).unwrap().0.close().unwrap();
        for conf in
            ["", "segment_size: 0", "segment_size: 3", "segment_size: 18446744073709551616", "segment_size: 8388608"]
        {
            fs::write(dir.path().join("conf"), conf).unwrap();
            assert_eq!(segment_size(dir.path()), None, "{conf}");
            // Without panic.
            let _ = Table::open(dir.path());
        }
    }

    #[test]
    fn opening_a_table_that_much_was_written_to_overwrites_little() {
        let dir = tempfile::tempdir().unwrap();
        let (table, _) = Table::open(dir.path()).unwrap();
        for number in 0..4000_u64 {
            let mut batch = Batch::default();
            batch.insert(b"s", [&number.to_le_bytes()[..], &[7; 2000]].concat());
            table.apply(batch).unwrap();
            // As it is every second.
            if number % 16 == 0 {
                table.flush().unwrap();
            }
        }
        table.close().unwrap();
        let (table, _) = Table::open(dir.path()).unwrap();
        assert_eq!(table.get(b"s").unwrap().unwrap()[..8], 3999_u64.to_le_bytes());
        // Three to five segments, depending on when sled's own thread ran; with twice as long ones it is more.
        assert!(table.size() < 7 << 18, "{}", table.size());
    }
}
