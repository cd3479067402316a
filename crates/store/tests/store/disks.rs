//! Disks that fail and disks that forget.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use nightaudit_store::disk::{Disk, DiskFile, OsDisk};

/// State shared by clones of a disk.
#[derive(Debug, Default)]
struct State {
    /// The errno of every write, if any.
    error: Option<i32>,
    /// Whether there is no space for the first bytes of segments.
    no_segments: bool,
    /// Whether syncs block, and how many do.
    held: bool,
    waiting: usize,
    /// The file of each name now, and after a power failure: names survive by `sync_dir` only.
    names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// The folders created, and those that survive.
    folders: BTreeSet<PathBuf>,
    durable_folders: BTreeSet<PathBuf>,
    /// The content of each file as of its last sync; empty before.
    synced: BTreeMap<u64, Vec<u8>>,
}

/// A disk that fails on demand and knows what would survive a power failure.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    id: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl TestDisk {
    /// Makes every write fail with this errno, or succeed.
    pub(crate) fn fail(&self, error: Option<i32>) {
        self.state().error = error;
    }

    /// Whether segments can't be started for lack of space, though all else can be written.
    pub(crate) fn refuse_segments(&self, refuse: bool) {
        self.state().no_segments = refuse;
    }

    /// Blocks every sync until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.state().held = true;
    }

    /// The number of blocked syncs.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting
    }

    pub(crate) fn release(&self) {
        self.state().held = false;
        self.0.1.notify_all();
    }

    /// Creates a folder as a power failure leaves it: files and folders whose names were synced, with their synced
    /// content. With a `seed`, unsynced sectors survive or not depending on it.
    pub(crate) fn after_power_failure(&self, from: &Path, to: &Path, seed: Option<u64>) {
        let state = self.state();
        fs::create_dir_all(to).unwrap();
        let survives = |path: &Path| {
            path.ancestors()
                .skip(1)
                .take_while(|folder| folder.starts_with(from) && *folder != from)
                .all(|folder| state.durable_folders.contains(folder) || !state.folders.contains(folder))
        };
        for folder in state.durable_folders.iter().filter(|folder| survives(folder)) {
            if let Ok(folder) = folder.strip_prefix(from) {
                fs::create_dir_all(to.join(folder)).unwrap();
            }
        }
        for (path, id) in state.durable.iter().filter(|(path, _)| survives(path)) {
            let Ok(name) = path.strip_prefix(from) else { continue };
            let mut bytes = state.synced.get(id).cloned().unwrap_or_default();
            if let (Some(seed), Ok(written), true) = (seed, fs::read(path), state.names.get(path) == Some(id)) {
                bytes.resize(written.len().max(bytes.len()), 0);
                for (sector, at) in (0..written.len()).step_by(512).enumerate() {
                    let end = written.len().min(at + 512);
                    if (seed ^ sector as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 1 {
                        bytes[at..end].copy_from_slice(&written[at..end]);
                    }
                }
            }
            fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
            fs::write(to.join(name), bytes).unwrap();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
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
        let mut state = self.state();
        let id = match state.names.get(path) {
            Some(id) => *id,
            None => {
                let id = state.synced.len() as u64;
                state.names.insert(path.to_owned(), id);
                if known.is_some() {
                    // It existed before this disk.
                    state.durable.insert(path.to_owned(), id);
                }
                state.synced.insert(id, known.unwrap_or_default());
                id
            }
        };
        Ok(Box::new(TestFile { disk: self.clone(), id, path: path.to_owned(), file }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        OsDisk.create_dir(path)?;
        self.state().folders.extend(missing);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.rename(from, to)?;
        let mut state = self.state();
        if let Some(id) = state.names.remove(from) {
            state.names.insert(to.to_owned(), id);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.sync_dir(path)?;
        let mut state = self.state();
        let here = |name: &Path| name.parent() == Some(path);
        state.durable.retain(|name, _| !here(name));
        let names: Vec<_> = state.names.iter().filter(|(name, _)| here(name)).map(|(n, id)| (n.clone(), *id)).collect();
        state.durable.extend(names);
        let folders: Vec<_> = state.folders.iter().filter(|folder| here(folder)).cloned().collect();
        state.durable_folders.extend(folders);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        OsDisk.remove_dir(path)
    }
}

impl DiskFile for TestFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_segment = self.path.extension().is_some_and(|extension| extension == "seg");
        let refused = offset == 0 && is_segment && self.disk.state().no_segments;
        let failed = refused.then(|| io::Error::from_raw_os_error(28)).or(self.disk.check().err());
        if let Some(error) = failed {
            // A full disk writes what fits.
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.check()?;
        let mut state = self.disk.state();
        state.waiting += 1;
        state = self.disk.0.1.wait_while(state, |state| state.held).unwrap();
        state.waiting -= 1;
        drop(state);
        // A file that was renamed while open was synced before, like everything here.
        let bytes = fs::read(&self.path)?;
        self.disk.state().synced.insert(self.id, bytes);
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

/// A block of a segment, as specified in `FORMAT.md`.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) bytes: std::ops::Range<usize>,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The blocks of an intact segment whose sequence numbers have no gaps.
pub(crate) fn blocks(segment: &[u8]) -> Vec<Block> {
    let number = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let (mut blocks, mut at) = (Vec::new(), 64);
    while segment[at..].starts_with(b"NAB1") {
        let end = at + 28 + number(at + 4);
        let first = u64::from_le_bytes(segment[at + 16..at + 24].try_into().unwrap());
        blocks.push(Block { bytes: at..end, first, last: first + number(at + 12) as u64 - 1 });
        at = end;
    }
    blocks
}
