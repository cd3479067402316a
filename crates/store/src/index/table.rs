//! The only door to sled: one ordered table of bytes on disk.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

/// What the index's layout is called; an index of another one is made again.
const VERSION: &[u8] = b"nightaudit index 1";

/// The bytes of pages that sled may keep in memory, beside the last page of each of its 256 lists, however large. The
/// index keeps itself what is read often.
const CAPACITY: u64 = 2 << 20;
/// How many uses of pages fill one of sled's lists (`MAX_QUEUE_ITEMS` in its `lru.rs`).
const USES: usize = 64;

/// Why the table could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

impl Broken {
    /// It can't be changed by one who only reads.
    pub(crate) fn read_only() -> Self {
        Self("the log was opened for reading".to_owned())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Changes that are made together or not at all.
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

/// Runs what calls sled, which panics on some damaged files where others make it fail.
fn guarded<T>(work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, Broken> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Broken(error.to_string())),
        Err(_) => Err(Broken("sled gave up on its own files".to_owned())),
    }
}

impl Table {
    /// Opens the table, or makes it. The second value is false where the table is new.
    pub(crate) fn open(path: &Path) -> Result<(Self, bool), Broken> {
        let io = |error: io::Error| Broken(error.to_string());
        let known = path.join("db").exists();
        wait_until_free(path);
        let db = guarded(|| sled::Config::new().path(path).cache_capacity(CAPACITY).flush_every_ms(None).open())?;
        let table = Self { db, path: path.to_owned() };
        // sled makes its files with the process's mask.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)?;
        for entry in fs::read_dir(path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let mode = if entry.file_type().map_err(io)?.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).map_err(io)?;
        }
        if known {
            match table.get(b"version")? {
                Some(version) if version == VERSION => {}
                Some(_) => return Err(Broken("it is of another version".to_owned())),
                None => return Err(Broken("it was never finished".to_owned())),
            }
        } else {
            let mut batch = Batch::default();
            batch.insert(b"version", VERSION.to_vec());
            table.apply(batch)?;
        }
        Ok((table, known))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, Broken> {
        guarded(|| self.db.get(key))
    }

    pub(crate) fn apply(&self, batch: Batch) -> Result<(), Broken> {
        guarded(|| self.db.apply_batch(batch.0))
    }

    /// Has sled look at what it holds in memory beyond its capacity, after this key was inserted.
    ///
    /// It notes each use of a page in one of its lists, and lets go of pages only when a list is full. An index that is
    /// written and hardly ever read would be kept in memory for millions of exchanges.
    pub(crate) fn settle(&self, key: &[u8]) {
        for _ in 0..USES {
            // What can't be read now is told to those who want it.
            let _ = self.get(key);
        }
    }

    /// All keys and values whose key begins so, in order.
    pub(crate) fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Broken> {
        guarded(|| {
            for item in self.db.scan_prefix(prefix) {
                let (key, value) = item?;
                each(&key, &value);
            }
            Ok(())
        })
    }

    pub(crate) fn flush(&self) -> Result<(), Broken> {
        guarded(|| self.db.flush().map(|_| ()))
    }

    pub(crate) fn size(&self) -> u64 {
        guarded(|| self.db.size_on_disk()).unwrap_or(0)
    }

    /// Closes the table, so that another process can open it.
    pub(crate) fn close(self) -> Result<(), Broken> {
        self.flush()?;
        let path = self.path.clone();
        drop(self);
        wait_until_free(&path);
        Ok(())
    }
}

/// Waits until nobody has sled's file locked: its threads may hold it for a moment after the table was dropped, and an
/// index that is only in use must not pass for a broken one.
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
