//! Full chunks in files, one for each session: written once, and read by whoever has the file open.
//!
//! sled's table holds where they are. So readers need no copy of them to let go of the table.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nightaudit_exchange::SessionId;

use super::chunk::take;
use crate::private;

/// The most files open at once. A reader that has released the table copies what is in others.
pub(super) const MAX_OPEN: usize = 64;

/// Ends the name of an empty file that marks a damaged one.
const DAMAGED: &str = ".damaged";

/// Where bytes are in a file, with their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    offset: u64,
    length: u32,
    sum: u32,
}

impl Extent {
    fn of(offset: u64, bytes: &[u8]) -> Option<Self> {
        Some(Self { offset, length: u32::try_from(bytes.len()).ok()?, sum: crc32c::crc32c(bytes) })
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }

    fn read(&self, file: &fs::File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        file.read_exact_at(&mut bytes, self.offset)?;
        if crc32c::crc32c(&bytes) == self.sum { Ok(bytes) } else { Err(io::Error::other("the checksum is wrong")) }
    }
}

/// Where a chunk and its columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: Extent,
    pub(super) columns: Extent,
}

impl Place {
    /// Where the chunk (`c`) or its columns (`k`) are.
    pub(super) fn of(&self, kind: u8) -> Extent {
        if kind == b'c' { self.chunk } else { self.columns }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for Extent { offset, length, sum } in [self.chunk, self.columns] {
            out.extend(offset.to_le_bytes());
            out.extend(length.to_le_bytes());
            out.extend(sum.to_le_bytes());
        }
    }

    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut extent = || {
            Some(Extent {
                offset: u64::from_le_bytes(take(&mut bytes)?),
                length: u32::from_le_bytes(take(&mut bytes)?),
                sum: u32::from_le_bytes(take(&mut bytes)?),
            })
        };
        Some(Self { chunk: extent()?, columns: extent()? })
    }

    /// Whether both are within a file of this length, of which nothing longer can be read.
    fn fits(&self, length: u64) -> bool {
        self.chunk.end() <= length && self.columns.end() <= length
    }
}

/// The files of one index.
#[derive(Debug)]
pub(super) struct RowFiles {
    dir: PathBuf,
    /// Most recently used first.
    open: Mutex<VecDeque<(SessionId, Arc<fs::File>)>>,
    /// Held while a file is appended to.
    appending: Mutex<()>,
    /// Files with data that has not been synced.
    unsynced: Mutex<BTreeMap<SessionId, Arc<fs::File>>>,
    /// Whether files are opened when they are needed: not by a reader, from under whom they may be replaced.
    opens: bool,
}

impl RowFiles {
    /// The files in this folder, which is created if it doesn't exist.
    pub(super) fn new(dir: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir, open: Mutex::default(), appending: Mutex::default(), unsynced: Mutex::default(), opens: true })
    }

    /// The same files for a reader, who keeps those of these sessions open.
    pub(super) fn detached(self, sessions: impl Iterator<Item = SessionId>) -> io::Result<Self> {
        self.lock(&self.open).clear();
        for session in sessions.take(MAX_OPEN) {
            self.file(session, false)?;
        }
        Ok(Self { opens: false, ..self })
    }

    /// Whether this reader has the file of a session open.
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.opens || self.lock(&self.open).iter().any(|(known, _)| *known == session)
    }

    /// Appends chunks, each with its columns; returns where they are.
    pub(super) fn append(&self, session: SessionId, chunks: &[(Vec<u8>, Vec<u8>)]) -> io::Result<Vec<Place>> {
        let _appending = self.lock(&self.appending);
        let file = self.file(session, true)?;
        // What a killed process has left after the last place is skipped.
        let end = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(chunks.iter().map(|(chunk, columns)| chunk.len() + columns.len()).sum());
        let mut places = Vec::with_capacity(chunks.len());
        for (chunk, columns) in chunks {
            let mut add = |part: &[u8]| {
                let extent = Extent::of(end + bytes.len() as u64, part);
                bytes.extend_from_slice(part);
                extent.ok_or_else(|| io::Error::other("a chunk is larger than 4 GiB"))
            };
            places.push(Place { chunk: add(chunk)?, columns: add(columns)? });
        }
        if self.lock(&self.unsynced).len() >= MAX_OPEN {
            // An index of many sessions that is made anew must not have all their files open.
            self.sync()?;
        }
        self.lock(&self.unsynced).insert(session, Arc::clone(&file));
        file.write_all_at(&bytes, end)?;
        Ok(places)
    }

    /// Reads what is there.
    pub(super) fn read(&self, session: SessionId, extent: Extent) -> io::Result<Vec<u8>> {
        extent.read(&*self.file(session, false)?)
    }

    /// Marks the file of a session as damaged, so that whoever opens the index next makes it anew.
    pub(super) fn mark_damaged(&self, session: SessionId) {
        let mut options = fs::OpenOptions::new();
        // Without a mark, the next reader sees the same damage.
        let _ = private::open(options.write(true).create(true).mode(0o600), &self.mark(session));
    }

    /// Makes what was appended survive a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        let files = std::mem::take(&mut *self.lock(&self.unsynced));
        for (session, file) in &files {
            if let Err(error) = file.sync_data() {
                self.lock(&self.unsynced).insert(*session, Arc::clone(file));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether all these places are in the session's file. The contents of the last few are checked, too: after a power
    /// failure, what was appended last may be missing.
    pub(super) fn have(&self, session: SessionId, places: &[Place]) -> bool {
        const CHECKED: usize = 64;

        if self.mark(session).exists() {
            return false;
        }
        let Ok(file) = self.file(session, false) else { return false };
        let Ok(length) = file.metadata().map(|file| file.len()) else { return false };
        places.iter().all(|place| place.fits(length))
            && places
                .iter()
                .rev()
                .take(CHECKED)
                .all(|Place { chunk, columns }| chunk.read(&file).is_ok() && columns.read(&file).is_ok())
    }

    /// Deletes the file of a session. Who has it open can still read it.
    pub(super) fn remove(&self, session: SessionId) -> io::Result<()> {
        self.lock(&self.open).retain(|(known, _)| *known != session);
        self.lock(&self.unsynced).remove(&session);
        for path in [self.path(session), self.mark(session)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes the files of sessions that are not known.
    pub(super) fn retain(&self, is_known: impl Fn(SessionId) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if let Ok(session) = name.strip_suffix(DAMAGED).unwrap_or(&name).parse::<SessionId>()
                && !is_known(session)
            {
                self.remove(session)?;
            }
        }
        Ok(())
    }

    /// The size of all files, in bytes.
    pub(super) fn size(&self) -> u64 {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.dir.join(session.to_string())
    }

    fn mark(&self, session: SessionId) -> PathBuf {
        self.dir.join(format!("{session}{DAMAGED}"))
    }

    /// The file of a session, created if it doesn't exist and `creates`.
    fn file(&self, session: SessionId, creates: bool) -> io::Result<Arc<fs::File>> {
        let mut open = self.lock(&self.open);
        if let Some(at) = open.iter().position(|(known, _)| *known == session)
            && let Some(used) = open.remove(at)
        {
            let file = Arc::clone(&used.1);
            open.push_front(used);
            return Ok(file);
        }
        if !self.opens {
            return Err(io::ErrorKind::NotFound.into());
        }
        drop(open);
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create(creates).truncate(false).mode(0o600);
        let file = Arc::new(private::open(options, &self.path(session))?);
        open = self.lock(&self.open);
        open.truncate(MAX_OPEN - 1);
        open.push_front((session, Arc::clone(&file)));
        Ok(file)
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of the files in that of an index.
pub(super) fn dir(index: &Path) -> PathBuf {
    index.join("rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u64) -> SessionId {
        SessionId::from_parts(number, 1)
    }

    fn files(dir: &Path) -> RowFiles {
        RowFiles::new(dir.join("rows")).unwrap()
    }

    #[test]
    fn what_was_appended_is_read_until_its_session_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let all: Vec<_> = (0..MAX_OPEN as u64 + 5)
            .map(|number| {
                let chunks: Vec<_> = (0..3).map(|at| (vec![at; 100], vec![at + 100; 10])).collect();
                (session(number), rows.append(session(number), &chunks).unwrap())
            })
            .collect();
        assert!(rows.lock(&rows.unsynced).len() <= MAX_OPEN);
        rows.sync().unwrap();
        assert!(rows.lock(&rows.open).len() <= MAX_OPEN && rows.size() == 330 * all.len() as u64);
        for (session, places) in &all {
            assert!(rows.have(*session, places));
            for (place, at) in places.iter().zip(0..) {
                assert_eq!(rows.read(*session, place.chunk).unwrap(), [at; 100]);
                assert_eq!(rows.read(*session, place.columns).unwrap(), [at + 100; 10]);
                let mut stored = Vec::new();
                place.write(&mut stored);
                assert_eq!(Place::parse(&stored), Some(*place));
                assert_eq!(Place::parse(&stored[1..]), None);
            }
        }
        rows.retain(|known| known != session(0)).unwrap();
        rows.remove(session(1)).unwrap();
        assert!(!rows.have(session(0), &all[0].1) && !rows.have(session(1), &all[1].1));
        assert!(rows.read(session(1), all[1].1[0].chunk).is_err() && !rows.path(session(1)).exists());
        assert!(rows.have(session(2), &all[2].1));
    }

    #[test]
    fn a_reader_keeps_what_is_removed_and_opens_nothing_new() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let place = rows.append(session(1), &[(vec![1; 9], vec![2; 9])]).unwrap()[0];
        rows.append(session(2), &[(vec![1; 9], vec![2; 9])]).unwrap();
        let reader = files(dir.path()).detached([session(1)].into_iter()).unwrap();
        rows.remove(session(1)).unwrap();
        assert_eq!(reader.read(session(1), place.chunk).unwrap(), [1; 9]);
        assert!(reader.has(session(1)) && !reader.has(session(2)) && reader.read(session(2), place.chunk).is_err());
    }

    #[test]
    fn what_is_damaged_or_cut_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let places = rows.append(session(1), &[(vec![1; 50], vec![2; 50]), (vec![3; 50], vec![4; 50])]).unwrap();
        let path = rows.path(session(1));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let read = places.iter().flat_map(|place| [place.chunk, place.columns]);
            assert_eq!(read.filter(|extent| rows.read(session(1), *extent).is_err()).count(), 1, "{at}");
            rows.mark_damaged(session(1));
            fs::write(&path, &whole).unwrap();
            assert!(!rows.have(session(1), &places));
            fs::remove_file(rows.mark(session(1))).unwrap();
            assert!(rows.have(session(1), &places));
            for damaged in [&damaged[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                assert!(!rows.have(session(1), &places));
            }
        }
        fs::write(&path, &whole).unwrap();
        assert!(rows.have(session(1), &places));
        // What a killed process has left is skipped.
        fs::write(&path, [&whole[..], b"left"].concat()).unwrap();
        let next = rows.append(session(1), &[(vec![5; 50], vec![6; 50])]).unwrap();
        assert!(rows.have(session(1), &[places, next].concat()));
    }
}
