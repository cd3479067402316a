//! Full chunks in files, one for each session: written once, and read by whoever has the file open. A second file of the
//! session has their summaries and where they are, which are read whole when the log is opened.
//!
//! sled's table holds how many of these there are. So opening a log reads little of the table, and readers need no copy of it
//! to let go of it.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nightaudit_exchange::SessionId;

use super::{
    chunk::{Chunk, SUMMARY, Summary, take},
    columns::Columns,
    group::{Grouping, Groups},
};
use crate::private;

/// The most files of chunks open at once. A reader that has released the table copies what is in others.
pub(super) const MAX_OPEN: usize = 64;

/// Ends the name of an empty file that marks a damaged one.
const DAMAGED: &str = ".damaged";
/// Ends the name of the file with the summaries of a session's chunks.
const SUMMARIES: &str = ".summaries";
/// Ends the name of the file with the groups of a session's chunks.
const GROUPS: &str = ".groups";

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

/// The size of a [`Place`] in a file, in bytes.
const PLACE: usize = 2 * 16;
/// The size of a summary with its place, in bytes.
const ENTRY: usize = SUMMARY + PLACE;

/// How many summaries are in a session's file, and their checksum. What a killed process has left behind them is not
/// counted, and is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Filed {
    count: u32,
    sum: u32,
    /// How many rows they are of, and the last one's sequence number.
    pub(super) rows: u64,
    pub(super) last: u64,
}

impl Filed {
    /// Its size, in bytes.
    pub(super) const SIZE: usize = 24;

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_le_bytes());
        out.extend(self.sum.to_le_bytes());
        out.extend(self.rows.to_le_bytes());
        out.extend(self.last.to_le_bytes());
    }

    pub(super) fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let (count, sum) = (u32::from_le_bytes(take(bytes)?), u32::from_le_bytes(take(bytes)?));
        Some(Self { count, sum, rows: u64::from_le_bytes(take(bytes)?), last: u64::from_le_bytes(take(bytes)?) })
    }

    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// The end of what is counted, in bytes.
    fn end(&self) -> u64 {
        u64::from(self.count) * ENTRY as u64
    }
}

/// A full chunk as it is stored.
pub(super) struct FullChunk {
    pub(super) summary: Summary,
    pub(super) rows: Vec<u8>,
    pub(super) columns: Vec<u8>,
    /// The columns as their group counts them.
    pub(super) counted: Columns,
}

impl FullChunk {
    pub(super) fn of(summary: Summary, chunk: &Chunk) -> Self {
        let counted = Columns::of(chunk);
        Self { summary, rows: chunk.to_bytes(), columns: counted.to_bytes(), counted }
    }
}

impl Place {
    /// Where the chunk (`c`) or its columns (`k`) are.
    pub(super) fn of(&self, kind: u8) -> Extent {
        if kind == b'c' { self.chunk } else { self.columns }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for Extent { offset, length, sum } in [self.chunk, self.columns] {
            out.extend(offset.to_le_bytes());
            out.extend(length.to_le_bytes());
            out.extend(sum.to_le_bytes());
        }
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut extent = || {
            Some(Extent {
                offset: u64::from_le_bytes(take(&mut bytes)?),
                length: u32::from_le_bytes(take(&mut bytes)?),
                sum: u32::from_le_bytes(take(&mut bytes)?),
            })
        };
        Some(Self { chunk: extent()?, columns: extent()? })
    }

    /// The end of both.
    pub(super) fn end(&self) -> u64 {
        self.chunk.end().max(self.columns.end())
    }
}

/// The files of one index.
#[derive(Debug)]
pub(super) struct RowFiles {
    dir: PathBuf,
    /// Most recently used first.
    open: Mutex<VecDeque<(SessionId, Arc<fs::File>)>>,
    /// Files with data that has not been synced.
    unsynced: Mutex<BTreeMap<SessionId, Unsynced>>,
    grouping: Mutex<Grouping>,
    /// Whether files are opened when they are needed: not by a reader, from under whom they may be replaced.
    opens: bool,
}

/// The files of one session with data that has not been synced.
#[derive(Debug, Clone)]
struct Unsynced {
    rows: Arc<fs::File>,
    summaries: Arc<fs::File>,
}

impl RowFiles {
    /// The files in this folder, which is created if it doesn't exist.
    pub(super) fn new(dir: PathBuf) -> io::Result<Self> {
        private::create_private_folder(&dir)?;
        Ok(Self { dir, open: Mutex::default(), unsynced: Mutex::default(), grouping: Mutex::default(), opens: true })
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

    /// Appends chunks, and their summaries to the other file; returns where the chunks are. Not for two threads at once.
    pub(super) fn append(&self, session: SessionId, filed: &mut Filed, chunks: &[FullChunk]) -> io::Result<Vec<Place>> {
        let file = self.file(session, true)?;
        // What a killed process has left after the last place is skipped.
        let end = file.metadata()?.len();
        let mut bytes = Vec::new();
        let mut summaries = Vec::with_capacity(chunks.len() * ENTRY);
        let mut places = Vec::with_capacity(chunks.len());
        for FullChunk { summary, rows, columns, .. } in chunks {
            let mut add = |part: &[u8]| {
                let extent = Extent::of(end + bytes.len() as u64, part);
                bytes.extend_from_slice(part);
                extent.ok_or_else(|| io::Error::other("a chunk is larger than 4 GiB"))
            };
            let place = Place { chunk: add(rows)?, columns: add(columns)? };
            summaries.extend(summary.to_bytes());
            place.write(&mut summaries);
            places.push(place);
        }
        let files = self.to_sync(session, &file)?;
        file.write_all_at(&bytes, end)?;
        files.summaries.write_all_at(&summaries, filed.end())?;
        filed.sum = crc32c::crc32c_append(filed.sum, &summaries);
        filed.count += chunks.len() as u32;
        filed.rows += chunks.iter().map(|chunk| u64::from(chunk.summary.rows)).sum::<u64>();
        filed.last = chunks.last().map_or(filed.last, |chunk| chunk.summary.last);
        if let Err(error) = self.group(session, chunks) {
            tracing::debug!(%error, %session, "counts of the index can't be written; it is only slower without them");
        }
        Ok(places)
    }

    /// Appends the groups that are complete with these chunks to the third file. It need not survive a power failure.
    fn group(&self, session: SessionId, chunks: &[FullChunk]) -> io::Result<()> {
        for FullChunk { summary, counted, .. } in chunks {
            let Some(group) = self.lock(&self.grouping).add(session, summary, counted) else { continue };
            let mut options = fs::OpenOptions::new();
            let options = options.append(true).create(true).mode(0o600);
            private::open(options, &self.groups_path(session))?.write_all(&group)?;
        }
        Ok(())
    }

    /// The groups of a session's chunks.
    pub(super) fn groups(&self, session: SessionId) -> Groups {
        Groups::of(private::open(fs::OpenOptions::new().read(true), &self.groups_path(session)).ok())
    }

    /// Notes that a session's files are written to.
    fn to_sync(&self, session: SessionId, rows: &Arc<fs::File>) -> io::Result<Unsynced> {
        if let Some(files) = self.lock(&self.unsynced).get(&session) {
            return Ok(files.clone());
        }
        if self.lock(&self.unsynced).len() >= MAX_OPEN {
            // An index of many sessions that is made anew must not have all their files open.
            self.sync()?;
        }
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let summaries = Arc::new(private::open(options, &self.summaries_path(session))?);
        let files = Unsynced { rows: Arc::clone(rows), summaries };
        self.lock(&self.unsynced).insert(session, files.clone());
        Ok(files)
    }

    /// Passes on the summaries of a session's chunks, and where these are. Returns whether all are there as they were written;
    /// nothing of what was passed on counts if not.
    ///
    /// The file is passed on, too, if there are any.
    pub(super) fn summaries(
        &self,
        session: SessionId,
        filed: Filed,
        each: impl FnMut(Summary, Place),
    ) -> (bool, Option<fs::File>) {
        if filed.count == 0 {
            return (true, None);
        }
        let Ok(file) = private::open(fs::OpenOptions::new().read(true), &self.summaries_path(session)) else {
            return (false, None);
        };
        if file.metadata().map_or(true, |file| file.len() < filed.end()) {
            return (false, None);
        }
        (read_summaries(&file, filed, each), Some(file))
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
        let mut synced = Ok(());
        for (session, files) in files {
            if synced.is_ok() {
                synced = files.rows.sync_data().and_then(|()| files.summaries.sync_data());
            }
            if synced.is_err() {
                self.lock(&self.unsynced).insert(session, files);
            }
        }
        synced
    }

    /// Whether the session's file has all places up to `end`, of which these are the last. The contents of the last few are
    /// checked, too: after a power failure, what was appended last may be missing.
    pub(super) fn have(&self, session: SessionId, end: u64, places: impl DoubleEndedIterator<Item = Place>) -> bool {
        /// How much of the end is read, in bytes: some 30,000 rows.
        const CHECKED: u64 = 1 << 20;

        if self.mark(session).exists() {
            return false;
        }
        let Ok(file) = self.file(session, false) else { return false };
        let Ok(length) = file.metadata().map(|file| file.len()) else { return false };
        let mut checked = 0;
        let is_due = |place: &Place| {
            let is_due = checked < CHECKED;
            checked += u64::from(place.chunk.length) + u64::from(place.columns.length);
            is_due
        };
        end <= length
            && places
                .rev()
                .take_while(is_due)
                .all(|Place { chunk, columns }| chunk.read(&file).is_ok() && columns.read(&file).is_ok())
    }

    /// Deletes the file of a session. Who has it open can still read it.
    pub(super) fn remove(&self, session: SessionId) -> io::Result<()> {
        // Locked until it is gone, so that nobody opens it meanwhile and what comes next is written to it.
        let mut open = self.lock(&self.open);
        open.retain(|(known, _)| *known != session);
        self.lock(&self.unsynced).remove(&session);
        self.lock(&self.grouping).forget(session);
        for path in [self.path(session), self.summaries_path(session), self.groups_path(session), self.mark(session)] {
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
            let bare = [DAMAGED, SUMMARIES, GROUPS].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            if let Ok(session) = bare.parse::<SessionId>()
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

    fn summaries_path(&self, session: SessionId) -> PathBuf {
        self.dir.join(format!("{session}{SUMMARIES}"))
    }

    fn groups_path(&self, session: SessionId) -> PathBuf {
        self.dir.join(format!("{session}{GROUPS}"))
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
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create(creates).truncate(false).mode(0o600);
        let file = Arc::new(private::open(options, &self.path(session))?);
        open.truncate(MAX_OPEN - 1);
        open.push_front((session, Arc::clone(&file)));
        Ok(file)
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on the summaries in a file of those, and where their chunks are. Returns whether all are there as they were written.
pub(super) fn read_summaries(file: &fs::File, filed: Filed, mut each: impl FnMut(Summary, Place)) -> bool {
    // Piece by piece: memory for all of them would be used only once.
    let mut piece = vec![0; ENTRY * filed.count().min(512)];
    let (mut at, mut sum) = (0, 0);
    while at < filed.end() {
        let length = usize::try_from(filed.end() - at).map_or(piece.len(), |left| left.min(piece.len()));
        let entries = &mut piece[..length];
        if file.read_exact_at(entries, at).is_err() {
            return false;
        }
        at += length as u64;
        sum = crc32c::crc32c_append(sum, entries);
        for entry in entries.chunks_exact(ENTRY) {
            let (summary, place) = entry.split_at(SUMMARY);
            let (Some(summary), Some(place)) = (Summary::from_bytes(summary), Place::parse(place)) else {
                return false;
            };
            each(summary, place);
        }
    }
    sum == filed.sum
}

/// The folder of the files in that of an index.
pub(super) fn dir(index: &Path) -> PathBuf {
    index.join("rows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::row::{ROW, Row};

    fn session(number: u64) -> SessionId {
        SessionId::from_parts(number, 1)
    }

    /// A chunk with these bytes for its rows and columns.
    fn full(rows: Vec<u8>, columns: Vec<u8>) -> FullChunk {
        let row = Row { sequence: u64::from(rows[0]) + 1, ..Row::read(&[0; ROW]).unwrap() };
        FullChunk { summary: Summary::of(&row), rows, columns, counted: Columns::default() }
    }

    fn append(rows: &RowFiles, session: SessionId, chunks: &[FullChunk]) -> Vec<Place> {
        rows.append(session, &mut Filed::default(), chunks).unwrap()
    }

    fn have(rows: &RowFiles, session: SessionId, places: &[Place]) -> bool {
        rows.have(session, places.iter().map(Place::end).max().unwrap_or(0), places.iter().copied())
    }

    fn has(rows: &RowFiles, places: &[Place]) -> bool {
        have(rows, session(1), places)
    }

    /// What is in the file of the first session's summaries; `None` if it isn't what was written.
    fn summaries(rows: &RowFiles, filed: Filed) -> Option<Vec<(Summary, Place)>> {
        let mut all = Vec::new();
        rows.summaries(session(1), filed, |summary, place| all.push((summary, place))).0.then_some(all)
    }

    fn files(dir: &Path) -> RowFiles {
        RowFiles::new(dir.join("rows")).unwrap()
    }

    #[test]
    fn regression_a_file_removed_while_a_reader_opened_it_was_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let files = RowFiles::new(dir.path().to_owned()).unwrap();
        let (ends, mut astray) = (std::sync::atomic::AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = files.file(session(1), false);
                }
            });
            for _ in 0..5000 {
                files.file(session(1), true).unwrap();
                astray += usize::from(!files.path(session(1)).exists());
                files.remove(session(1)).unwrap();
            }
            ends.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(astray, 0);
    }

    #[test]
    fn what_was_appended_is_read_until_its_session_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let all: Vec<_> = (0..MAX_OPEN as u64 + 5)
            .map(|number| {
                let chunks: Vec<_> = (0..3).map(|at| full(vec![at; 100], vec![at + 100; 10])).collect();
                (session(number), append(&rows, session(number), &chunks))
            })
            .collect();
        assert!(rows.lock(&rows.unsynced).len() <= MAX_OPEN);
        rows.sync().unwrap();
        assert!(rows.lock(&rows.open).len() <= MAX_OPEN && rows.size() == (330 + 3 * ENTRY as u64) * all.len() as u64);
        for (session, places) in &all {
            assert!(have(&rows, *session, places));
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
        assert!(!have(&rows, session(0), &all[0].1) && !has(&rows, &all[1].1));
        assert!(rows.read(session(1), all[1].1[0].chunk).is_err());
        for gone in [0, 1] {
            assert!(!rows.path(session(gone)).exists() && !rows.summaries_path(session(gone)).exists());
        }
        assert!(have(&rows, session(2), &all[2].1));
    }

    #[test]
    fn a_reader_keeps_what_is_removed_and_opens_nothing_new() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let place = append(&rows, session(1), &[full(vec![1; 9], vec![2; 9])])[0];
        append(&rows, session(2), &[full(vec![1; 9], vec![2; 9])]);
        let reader = files(dir.path()).detached([session(1)].into_iter()).unwrap();
        rows.remove(session(1)).unwrap();
        assert_eq!(reader.read(session(1), place.chunk).unwrap(), [1; 9]);
        assert!(reader.has(session(1)) && !reader.has(session(2)) && reader.read(session(2), place.chunk).is_err());
    }

    #[test]
    fn what_is_damaged_or_cut_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let places = append(&rows, session(1), &[full(vec![1; 50], vec![2; 50]), full(vec![3; 50], vec![4; 50])]);
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
            assert!(!has(&rows, &places));
            fs::remove_file(rows.mark(session(1))).unwrap();
            assert!(has(&rows, &places));
            for damaged in [&damaged[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                assert!(!has(&rows, &places));
            }
        }
        fs::write(&path, &whole).unwrap();
        assert!(has(&rows, &places));
        // What a killed process has left is skipped.
        fs::write(&path, [&whole[..], b"left"].concat()).unwrap();
        let next = append(&rows, session(1), &[full(vec![5; 50], vec![6; 50])]);
        assert!(has(&rows, &[places, next].concat()));
    }
    #[test]
    fn summaries_are_read_as_far_as_they_are_counted_and_only_if_whole() {
        let dir = tempfile::tempdir().unwrap();
        let rows = files(dir.path());
        let mut filed = Filed::default();
        assert_eq!(summaries(&rows, filed), Some(Vec::new()));
        let mut all = Vec::new();
        for round in 0..4 {
            let chunks: Vec<_> = (0..round + 1).map(|at| full(vec![round * 10 + at; 5], vec![1; 5])).collect();
            let places = rows.append(session(1), &mut filed, &chunks).unwrap();
            all.extend(chunks.iter().map(|chunk| chunk.summary).zip(places));
            let mut stored = Vec::new();
            filed.write(&mut stored);
            assert_eq!((stored.len(), Filed::parse(&mut &stored[..])), (Filed::SIZE, Some(filed)));
            // By another process, too.
            for rows in [&rows, &files(dir.path())] {
                assert_eq!(summaries(rows, filed).as_ref(), Some(&all));
            }
            // What a killed process has left is overwritten.
            rows.append(session(1), &mut filed.clone(), &[full(vec![99; 5], vec![99; 5])]).unwrap();
            assert_eq!(summaries(&rows, filed).as_ref(), Some(&all));
        }
        let path = rows.summaries_path(session(1));
        let whole = fs::read(&path).unwrap();
        for at in 0..filed.end() as usize {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            for damaged in [&damaged[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                assert_eq!(summaries(&rows, filed), None, "{at}");
            }
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(summaries(&rows, filed), None);
    }
}
