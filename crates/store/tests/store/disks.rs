//! Disks that fail and disks that forget.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use nightaudit_store::disk::{Disk, DiskFile, OsDisk};

/// What the disks know of each other's files.
#[derive(Debug, Default)]
struct State {
    /// The error that every change meets, by its number.
    error: Option<i32>,
    /// What each file held when it was last synced; nothing before.
    synced: BTreeMap<PathBuf, Vec<u8>>,
}

/// A disk that fails when it is told to, and knows what would survive a power failure.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl TestDisk {
    /// Lets every change fail with this error of the operating system, or none.
    pub(crate) fn fail(&self, error: Option<i32>) {
        self.state().error = error;
    }

    /// Copies a folder as a power failure leaves it: of the files written through this disk what was synced.
    pub(crate) fn after_power_failure(&self, from: &Path, to: &Path) {
        copy(from, to);
        for (path, bytes) in &self.state().synced {
            if let Ok(path) = path.strip_prefix(from)
                && to.join(path).exists()
            {
                fs::write(to.join(path), bytes).unwrap();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn check(&self) -> io::Result<()> {
        self.state().error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        let known = path.exists().then(|| fs::read(path)).transpose()?;
        let file = OsDisk.open(path)?;
        self.state().synced.entry(path.to_owned()).or_insert(known.unwrap_or_default());
        Ok(Box::new(TestFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.rename(from, to)?;
        let mut state = self.state();
        if let Some(bytes) = state.synced.remove(from) {
            state.synced.insert(to.to_owned(), bytes);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.sync_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.remove_dir(path)
    }
}

impl DiskFile for TestFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.disk.check() {
            // A disk that is full takes what fits.
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.check()?;
        let bytes = fs::read(&self.path)?;
        self.disk.state().synced.insert(self.path.clone(), bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.check()?;
        self.file.set_len(length)
    }
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// The segments under a data folder.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for session in fs::read_dir(dir.join("sessions")).unwrap() {
        let files = fs::read_dir(session.unwrap().path()).unwrap().map(|entry| entry.unwrap().path());
        found.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")));
    }
    found.sort();
    found
}
