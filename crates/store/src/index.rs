//! The index: the location of each exchange, and enough of it to decide most filters.
//!
//! The index of a session is a list of [`Chunk`]s. Full ones are in a file of the session, and their summaries in another
//! ([`RowFiles`]); sled has how many of these there are, and chunks that aren't full. What sled holds may lag behind the
//! segments: the rows it lacks are in memory, and are read from the segments' tail when the log is opened.

mod chunk;
mod columns;
mod group;
mod listing;
mod packed;
mod parts;
mod row;
mod rows;
mod snapshot;
mod table;

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nightaudit_exchange::SessionId;

pub(crate) use self::{
    chunk::{BlockAt, Chunk, StatusClasses, Summary},
    columns::Columns,
    group::{Group, Groups, StoredGroup, group_length},
    listing::Listing,
    parts::{Old, Part, Parts},
    row::{Facts, NewRow, Row, request_id_hash},
    table::IndexError,
};
use self::{
    listing::{KnownSegment, Unstored},
    packed::Unpacker,
    parts::Loading,
    rows::{Filed, FullChunk, Place, RowFiles},
    snapshot::Snapshot,
    table::{Batch, Table},
};

/// Number of chunks cached unpacked for readers, and of their rows.
const CACHED: usize = 16;
const CACHED_ROWS: usize = 8192;

/// Chunks by session and first sequence number, most recently read first.
type Cache = VecDeque<((SessionId, u64), Arc<Chunk>)>;

/// The listings of all sessions: new chunks in memory, old ones in sled.
#[derive(Debug)]
pub(crate) struct Index {
    stored: Stored,
    listings: Mutex<BTreeMap<SessionId, Listing>>,
    /// Held from what is to be stored until it is: by the index's thread, and by whoever makes a session's index anew.
    storing: Mutex<()>,
    cache: Mutex<Cache>,
    unpacker: Unpacker,
    /// See [`generation`](Self::generation).
    generation: AtomicU64,
}

#[derive(Debug)]
enum Stored {
    Table(Table, RowFiles),
    /// For readers: a copy of the table as of when it was released, and the files of then.
    Snapshot(Snapshot, RowFiles),
    /// Stored chunks in memory, if nothing can be written.
    Memory(Mutex<HashMap<[u8; 25], Vec<u8>>>),
}

impl Index {
    /// Opens the index; the second value is false if it is new.
    pub(crate) fn open(path: &Path) -> Result<(Self, bool), IndexError> {
        let (table, known) = Table::open(path)?;
        let rows = RowFiles::new(rows::dir(path)).map_err(IndexError::of_rows)?;
        let mut listings: BTreeMap<SessionId, Listing> = BTreeMap::new();
        let mut broken = false;
        table.scan(b"s", &mut |key, value| match (session_of(key), parse_session(value)) {
            (Some(session), Some((filed, segments))) => {
                listings.insert(session, Listing { filed, segments, ..Listing::default() });
            }
            _ => broken = true,
        })?;
        let mut others: BTreeMap<SessionId, Vec<Part>> = BTreeMap::new();
        table.scan(b"d", &mut |key, value| match (parse_key(key), Summary::from_bytes(value)) {
            (Some((session, _)), Some(summary)) => {
                others.entry(session).or_default().push(Part::stored(summary, None));
            }
            _ => broken = true,
        })?;
        let mut files = 0;
        for (session, listing) in &mut listings {
            let filed = listing.filed;
            let mut loading = Loading::of(filed.count(), files < rows::MAX_OPEN);
            let (is_whole, file) = rows.summaries(*session, filed, |summary, place| loading.add(summary, place));
            if !is_whole {
                loading = Loading::default();
            }
            let is_there = filed.count() == 0 || rows.have(*session, loading.end(), loading.places());
            listing.is_broken = !is_whole || !is_there;
            listing.parts = loading.done(file, filed, others.remove(session).unwrap_or_default());
            files += usize::from(listing.parts.has_file());
        }
        for (session, parts) in others {
            listings.entry(session).or_default().parts = Loading::default().done(None, Filed::default(), parts);
        }
        if broken {
            return Err(IndexError("it has entries that this program never wrote".to_owned()));
        }
        rows.retain(|session| listings.contains_key(&session)).map_err(IndexError::of_rows)?;
        let stored = Stored::Table(table, rows);
        Ok((Self { listings: Mutex::new(listings), ..Self::of(stored) }, known))
    }

    /// An in-memory index, for readers of a read-only folder.
    pub(crate) fn in_memory() -> Self {
        Self::of(Stored::Memory(Mutex::default()))
    }

    fn of(stored: Stored) -> Self {
        // Random, so that numbers from before the log was opened aren't taken for current ones.
        let generation = AtomicU64::new(RandomState::new().hash_one(0));
        let (listings, storing) = (Mutex::default(), Mutex::default());
        Self { stored, listings, storing, cache: Mutex::default(), unpacker: Unpacker::default(), generation }
    }

    /// Changes the [`generation`](Self::generation): rows came before others that had been seen.
    pub(crate) fn renumber(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A counter that changes when rows were removed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The listings. Don't do I/O while holding the lock.
    pub(crate) fn listings(&self) -> MutexGuard<'_, BTreeMap<SessionId, Listing>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts of a session, which may be read without the lock of the listings.
    pub(crate) fn parts(&self, session: SessionId) -> Option<Parts> {
        self.listings().get(&session).map(|listing| listing.parts.clone())
    }

    /// The rows of a part.
    pub(crate) fn chunk(&self, session: SessionId, part: &Part) -> Result<Arc<Chunk>, IndexError> {
        if let Some(chunk) = &part.chunk {
            return Ok(Arc::clone(chunk));
        }
        let key = (session, part.summary.first);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // One from before the session's index was made anew may have other rows.
        let is_it = |known: &&(_, Arc<Chunk>)| known.0 == key && known.1.rows.len() == part.summary.rows as usize;
        if let Some((_, chunk)) = cache.iter().find(is_it) {
            return Ok(Arc::clone(chunk));
        }
        drop(cache);
        let missing = || IndexError(format!("the rows of session {session} from {} are missing", part.summary.first));
        let other = || IndexError(format!("the index of session {session} was made anew while it was read: try again"));
        let stored = self.read(b'c', session, part)?;
        let chunk = stored.and_then(|stored| Chunk::from_bytes(&self.unpacker.unpack(&stored)?));
        let chunk = Arc::new(part.rows_of(chunk.ok_or_else(missing)?).ok_or_else(other)?);
        cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = chunk.rows.len();
        let fits = |known: &&(_, Arc<Chunk>)| {
            rows += known.1.rows.len();
            rows <= CACHED_ROWS
        };
        let kept = cache.iter().take(CACHED - 1).take_while(fits).count();
        cache.truncate(kept);
        cache.push_front((key, Arc::clone(&chunk)));
        Ok(chunk)
    }

    /// The columns of a part. `None` if they aren't stored or can't be read; the part's rows say the same.
    pub(crate) fn columns(&self, session: SessionId, part: &Part) -> Option<Columns> {
        if part.chunk.is_some() {
            return None;
        }
        let stored = self.read(b'k', session, part).ok()??;
        let columns = Columns::from_bytes(&self.unpacker.unpack(&stored)?)?;
        (columns.kind.len() == part.summary.rows as usize).then_some(columns)
    }

    /// The groups of a session's chunks.
    pub(crate) fn groups(&self, session: SessionId) -> Groups {
        match &self.stored {
            Stored::Table(_, rows) | Stored::Snapshot(_, rows) => rows.groups(session),
            Stored::Memory(_) => Groups::of(None),
        }
    }

    /// What a group has; `None` if it is damaged.
    pub(crate) fn group(&self, stored: &StoredGroup) -> Option<Group> {
        stored.unpack(&self.unpacker)
    }

    /// Reads a stored chunk (`c`) or its columns (`k`).
    fn read(&self, kind: u8, session: SessionId, part: &Part) -> Result<Option<Vec<u8>>, IndexError> {
        let key = chunk_key(kind, session, part.summary.first);
        match (&self.stored, part.place) {
            (Stored::Table(_, rows), Some(place)) => self.read_rows(rows, kind, session, (part, place)),
            (Stored::Snapshot(_, rows), Some(place)) if rows.has(session) => {
                self.read_rows(rows, kind, session, (part, place))
            }
            (Stored::Table(table, _), None) => Ok(table.get(&key)?.map(|stored| stored.to_vec())),
            (Stored::Snapshot(snapshot, _), _) => snapshot.get(&key),
            (Stored::Memory(chunks), _) => Ok(chunks.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()),
        }
    }

    /// Reads what is at this place, or where it is now: the file may have been replaced since the caller saw the part. `None`
    /// if it is nowhere.
    fn read_rows(
        &self,
        rows: &RowFiles,
        kind: u8,
        session: SessionId,
        (part, place): (&Part, Place),
    ) -> Result<Option<Vec<u8>>, IndexError> {
        let error = match rows.read(session, place.of(kind)) {
            Ok(stored) => return Ok(Some(stored)),
            Err(error) => error,
        };
        let now = self.parts(session).and_then(|parts| {
            let now = parts.first_after(|now| now.summary.first < part.summary.first)?;
            now.place.filter(|_| now.summary.first == part.summary.first)
        });
        match now {
            None => Ok(None),
            Some(now) if now == place => {
                rows.mark_damaged(session);
                Err(IndexError(format!(
                    "the rows of session {session} can't be read ({error}); they are made anew when the log is opened next"
                )))
            }
            Some(now) => rows.read(session, now.of(kind)).map(Some).map_err(IndexError::of_rows),
        }
    }

    /// Stores what is only in memory: full chunks, and with `all` also unfinished ones.
    pub(crate) fn store(&self, all: bool) -> Result<(), IndexError> {
        let sessions: Vec<SessionId> = self.listings().keys().copied().collect();
        for session in sessions {
            let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
            let new = self.listings().get(&session).and_then(|listing| listing.unstored(all));
            let Some(mut new) = new else { continue };
            self.write(session, &mut new)?;
            if let Some(listing) = self.listings().get_mut(&session) {
                listing.stored(new);
            }
        }
        Ok(())
    }

    /// Stores the full chunks of a listing that is not in the index yet.
    pub(crate) fn store_listing(&self, session: SessionId, listing: &mut Listing) -> Result<(), IndexError> {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut new) = listing.unstored(false) else { return Ok(()) };
        self.write(session, &mut new)?;
        listing.stored(new);
        Ok(())
    }

    /// Writes what is new of a session, and notes in it where that is now.
    fn write(&self, session: SessionId, new: &mut Unstored) -> Result<(), IndexError> {
        let (table, rows) = match &self.stored {
            Stored::Table(table, rows) => (table, rows),
            Stored::Snapshot(..) => return Err(IndexError::read_only()),
            Stored::Memory(chunks) => {
                let mut chunks = chunks.lock().unwrap_or_else(PoisonError::into_inner);
                for part in &new.parts {
                    let Some(chunk) = &part.chunk else { continue };
                    chunks.insert(chunk_key(b'c', session, part.summary.first), chunk.to_bytes());
                    chunks.insert(chunk_key(b'k', session, part.summary.first), Columns::of(chunk).to_bytes());
                }
                return Ok(());
            }
        };
        let full: Vec<&mut Part> = new.parts.iter_mut().filter(|part| part.is_full()).collect();
        let packed = full.iter().filter_map(|part| Some((part.summary, part.chunk.as_deref()?)));
        let packed: Vec<_> = packed.map(|(summary, chunk)| FullChunk::of(summary, chunk)).collect();
        if !packed.is_empty() {
            let places = rows.append(session, &mut new.filed, &packed).map_err(IndexError::of_rows)?;
            full.into_iter().zip(places).for_each(|(part, place)| part.place = Some(place));
        }
        let entry = write_session(new.filed, &new.segments);
        if new.parts.is_empty() && table.get(&session_key(session))?.is_some_and(|stored| *stored == *entry) {
            // Nothing is new, and a table that wasn't written to needs no sync when it is closed.
            return Ok(());
        }
        let mut batch = Batch::default();
        for part in &new.parts {
            let Some(chunk) = &part.chunk else { continue };
            let [rows, columns, summary] = [b'c', b'k', b'd'].map(|kind| chunk_key(kind, session, part.summary.first));
            if part.place.is_none() {
                batch.insert(&rows, chunk.to_bytes());
                batch.insert(&columns, Columns::of(chunk).to_bytes());
                batch.insert(&summary, part.summary.to_bytes());
            } else if part.stored > 0 {
                // From before it was full.
                [rows, columns, summary].iter().for_each(|key| batch.remove(key));
            }
        }
        batch.insert(&session_key(session), entry);
        table.apply(batch)
    }

    /// Releases the table for other processes, and continues reading from a copy. Nothing can be stored afterwards.
    pub(crate) fn detach(self, dir: &Path) -> Result<Self, IndexError> {
        let Stored::Table(table, rows) = self.stored else { return Ok(self) };
        let mut sizes: Vec<(u64, SessionId)> = {
            let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            let stored = listings.iter().filter(|(_, listing)| listing.filed.count() > 0);
            stored.map(|(session, listing)| (listing.exchanges(), *session)).collect()
        };
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let mut snapshot = Snapshot::of(&table, dir)?;
        for (_, session) in sizes.iter().skip(rows::MAX_OPEN) {
            let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            let parts = listings.get(session).map(|listing| listing.parts.clone()).unwrap_or_default();
            drop(listings);
            for part in parts.iter() {
                let Some(place) = part.place else { continue };
                for kind in [b'c', b'k'] {
                    let stored = rows.read(*session, place.of(kind)).map_err(IndexError::of_rows)?;
                    snapshot.add(&chunk_key(kind, *session, part.summary.first), &stored)?;
                }
            }
        }
        snapshot.finish(rows.size())?;
        // First, so that what the table refers to is there.
        rows.sync().map_err(IndexError::of_rows)?;
        let rows = rows.detached(sizes.iter().map(|(_, session)| *session)).map_err(IndexError::of_rows)?;
        table.close()?;
        Ok(Self { stored: Stored::Snapshot(snapshot, rows), ..self })
    }

    /// Whether other processes may change the log meanwhile.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self.stored, Stored::Snapshot(..) | Stored::Memory(_))
    }

    fn table(&self) -> Result<&Table, IndexError> {
        match &self.stored {
            Stored::Table(table, _) => Ok(table),
            Stored::Snapshot(..) | Stored::Memory(_) => Err(IndexError::read_only()),
        }
    }

    /// Removes a session.
    pub(crate) fn remove(&self, session: SessionId) -> Result<(), IndexError> {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        self.listings().remove(&session);
        self.generation.fetch_add(1, Ordering::Release);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).retain(|((known, _), _)| *known != session);
        if let Stored::Memory(chunks) = &self.stored {
            let mut chunks = chunks.lock().unwrap_or_else(PoisonError::into_inner);
            chunks.retain(|key, _| session_of(key) != Some(session));
            return Ok(());
        }
        let mut batch = Batch::default();
        for kind in [b'c', b'd', b'k', b's'] {
            let mut prefix = vec![kind];
            prefix.extend(session.to_bytes());
            self.table()?.scan(&prefix, &mut |key, _| batch.remove(key))?;
        }
        self.table()?.apply(batch)?;
        // Only now that nothing refers to it.
        match &self.stored {
            Stored::Table(_, rows) => rows.remove(session).map_err(IndexError::of_rows),
            Stored::Snapshot(..) | Stored::Memory(_) => Ok(()),
        }
    }

    /// Makes what is stored survive a power failure.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        if let Stored::Table(_, rows) = &self.stored {
            // First, so that what the table refers to is there.
            rows.sync().map_err(IndexError::of_rows)?;
        }
        self.table()?.flush()
    }

    /// Its size on disk, in bytes.
    pub(crate) fn size(&self) -> u64 {
        match &self.stored {
            Stored::Table(table, rows) => table.size() + rows.size(),
            Stored::Snapshot(snapshot, _) => snapshot.original_size,
            Stored::Memory(_) => 0,
        }
    }
}

fn chunk_key(kind: u8, session: SessionId, first: u64) -> [u8; 25] {
    let mut key = [kind; 25];
    key[1..17].copy_from_slice(&session.to_bytes());
    key[17..].copy_from_slice(&first.to_be_bytes());
    key
}

fn session_key(session: SessionId) -> [u8; 17] {
    let mut key = [b's'; 17];
    key[1..].copy_from_slice(&session.to_bytes());
    key
}

fn session_of(key: &[u8]) -> Option<SessionId> {
    Some(SessionId::from_bytes(key.get(1..17)?.try_into().ok()?))
}

fn parse_key(key: &[u8]) -> Option<(SessionId, u64)> {
    Some((session_of(key)?, u64::from_be_bytes(key.get(17..)?.try_into().ok()?)))
}

fn write_session(filed: Filed, segments: &[KnownSegment]) -> Vec<u8> {
    let mut out = Vec::with_capacity(Filed::SIZE + segments.len() * 20);
    filed.write(&mut out);
    for known in segments {
        out.extend(known.number.to_le_bytes());
        out.extend(known.generation.to_le_bytes());
        out.extend(known.length.to_le_bytes());
    }
    out
}

fn parse_session(mut bytes: &[u8]) -> Option<(Filed, Vec<KnownSegment>)> {
    let filed = Filed::parse(&mut bytes)?;
    let (entries, rest) = bytes.as_chunks::<20>();
    let eight = |entry: &[u8; 20], at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap_or_default());
    rest.is_empty().then(|| {
        let entry = |entry: &[u8; 20]| KnownSegment {
            number: u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]),
            generation: eight(entry, 4),
            length: eight(entry, 12),
        };
        (filed, entries.iter().map(entry).collect())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nightaudit_exchange::ExchangeId;

    use super::*;
    use crate::ledger::Head;

    /// Adds a full chunk.
    fn fill(listing: &mut Listing, chunk: u64) {
        for number in chunk * chunk::MIN_ROWS as u64..(chunk + 1) * chunk::MIN_ROWS as u64 {
            let mut row = Row::read(&[0; row::ROW]).unwrap();
            (row.sequence, row.id, row.status) = (number + 1, ExchangeId::from_parts(number, 1), (number % 7) as u16);
            listing.add(row, ("rates/getAll", None), BlockAt { segment: 1, offset: number });
        }
    }

    fn stored(index: &Index, session: SessionId) -> Part {
        let mut listing = Listing::default();
        fill(&mut listing, 0);
        index.store_listing(session, &mut listing).unwrap();
        let part = listing.parts.last().unwrap().clone();
        index.listings().insert(session, listing);
        part
    }

    fn full(summary: Summary, columns: Vec<u8>) -> FullChunk {
        FullChunk { columns, ..FullChunk::of(summary, &Chunk::default()) }
    }

    #[test]
    fn columns_are_stored_with_the_rows_and_removed_with_the_session() {
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let (index, _) = Index::open(&dir.path().join("index")).unwrap();
        let part = stored(&index, session);
        let (chunk, columns) = (index.chunk(session, &part).unwrap(), index.columns(session, &part).unwrap());
        assert_eq!((columns, chunk.rows.len()), (Columns::of(&chunk), part.summary.rows as usize));
        // A copy has them, too.
        let index = index.detach(dir.path()).unwrap();
        assert_eq!(index.columns(session, &part), Some(Columns::of(&chunk)));
        drop(index);
        let (index, known) = Index::open(&dir.path().join("index")).unwrap();
        assert!(known && index.columns(session, &part).is_some());
        index.remove(session).unwrap();
        assert!(index.columns(session, &part).is_none() && index.chunk(session, &part).is_err());
    }

    #[test]
    fn a_reader_has_the_rows_of_all_sessions_whoever_removes_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let (index, _) = Index::open(&path).unwrap();
        // More than it keeps open: what is in the others' files is copied.
        let sessions: Vec<SessionId> = (0..rows::MAX_OPEN as u64 + 3).map(|at| SessionId::from_parts(at, 1)).collect();
        let parts: Vec<Part> = sessions.iter().map(|session| stored(&index, *session)).collect();
        let index = index.detach(dir.path()).unwrap();
        let (owner, _) = Index::open(&path).unwrap();
        sessions.iter().for_each(|session| owner.remove(*session).unwrap());
        assert_eq!(fs::read_dir(rows::dir(&path)).unwrap().count(), 0);
        for (session, part) in sessions.iter().zip(&parts) {
            assert_eq!(index.chunk(*session, part).unwrap().rows.len(), part.summary.rows as usize);
            assert!(index.columns(*session, part).is_some());
            assert!(owner.chunk(*session, part).is_err());
        }
        // Who looked for rows that are gone has left nothing behind.
        assert_eq!(fs::read_dir(rows::dir(&path)).unwrap().count(), 0);
    }

    #[test]
    fn rows_are_found_where_they_are_now() {
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let path = dir.path().join("index");
        let (index, _) = Index::open(&path).unwrap();
        let before = stored(&index, session);
        // As compaction does it, with other offsets.
        index.remove(session).unwrap();
        let Stored::Table(_, rows) = &index.stored else { panic!("it has no table") };
        rows.append(session, &mut Filed::default(), &[full(before.summary, vec![0; 10])]).unwrap();
        let after = stored(&index, session);
        assert_ne!(before.place, after.place);
        assert!(index.columns(session, &before).is_some() && index.chunk(session, &before).is_ok());
        let names =
            fs::read_dir(rows::dir(&path)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|name| !name.ends_with(".damaged")), "it was taken for damaged");
    }

    #[test]
    fn regression_an_index_made_anew_could_show_rows_twice_or_leave_them_out() {
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let (index, _) = Index::open(&dir.path().join("index")).unwrap();
        let seen = stored(&index, session);
        // With chunks that end elsewhere, and after rows that are gone.
        for (rows, expected) in [(1..=512, Some(512)), (1..=700, Some(512)), (1..=300, None), (2..=513, None)] {
            let mut chunk = Chunk::default();
            for sequence in rows.clone() {
                let row = Row { sequence, ..Row::read(&[0; row::ROW]).unwrap() };
                chunk.push(row, ("rates/getAll", None), BlockAt { segment: 1, offset: 0 });
            }
            let Stored::Table(_, files) = &index.stored else { panic!("it has no table") };
            let chunk = FullChunk::of(seen.summary, &chunk);
            let place = files.append(session, &mut Filed::default(), &[chunk]).unwrap()[0];
            index.cache.lock().unwrap().clear();
            let read = index.chunk(session, &Part::stored(seen.summary, Some(place)));
            assert_eq!(read.as_ref().ok().map(|chunk| chunk.rows.len()), expected, "{rows:?}");
            assert!(
                read.is_ok_and(|chunk| chunk.rows.iter().map(|row| row.sequence).eq(1..=512)) || expected.is_none()
            );
        }
    }

    #[test]
    fn columns_of_other_rows_are_no_columns() {
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let (index, _) = Index::open(&dir.path().join("index")).unwrap();
        let part = stored(&index, session);
        let columns = part.place.unwrap().columns;
        for wrong in [Columns::default().to_bytes(), b"damaged".to_vec(), Vec::new()] {
            let rows = RowFiles::new(rows::dir(&dir.path().join("index"))).unwrap();
            let place = rows.append(session, &mut Filed::default(), &[full(part.summary, wrong)]).unwrap()[0];
            let place = Place { columns: place.columns, ..part.place.unwrap() };
            let part = Part::stored(part.summary, Some(place));
            assert_ne!(place.columns, columns);
            assert_eq!(index.columns(session, &part), None);
        }
        assert!(index.chunk(session, &part).is_ok());
    }

    #[test]
    fn a_reader_writes_nothing_of_an_index_that_is_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let (index, _) = Index::open(&path).unwrap();
        for number in 0..20 {
            stored(&index, SessionId::from_parts(number, 1));
        }
        index.store(true).unwrap();
        drop(index.detach(dir.path()).unwrap());
        let written = || fs::read(path.join("db")).unwrap();
        // sled notes that it was opened and closed, and no more than that.
        let open_and_close = |stores: bool| {
            let (index, _) = Index::open(&path).unwrap();
            if stores {
                index.store(true).unwrap();
            }
            drop(index.detach(dir.path()).unwrap());
            written()
        };
        open_and_close(false);
        let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let (before, idle) = (end(&written()), end(&open_and_close(false)));
        let after = end(&open_and_close(true));
        assert_eq!(after - idle, idle - before);
    }

    #[test]
    fn regression_rows_in_a_segment_before_the_last_were_not_read_again_after_a_kill() {
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let path = dir.path().join("index");
        let (index, _) = Index::open(&path).unwrap();
        let mut listing = Listing::default();
        fill(&mut listing, 0);
        listing.reached(1, 7, 1000);
        // The next chunk begins in the same segment, and goes on in others before the first one is stored.
        for (segment, rows) in [(1, 600..610), (2, 610..620), (3, 620..630)] {
            for number in rows {
                let mut row = Row::read(&[0; row::ROW]).unwrap();
                (row.sequence, row.id) = (number, ExchangeId::from_parts(number, 1));
                listing.add(row, ("rates/getAll", None), BlockAt { segment, offset: number });
            }
            listing.reached(segment, 7, 2000);
        }
        index.listings().insert(session, listing);
        index.store(false).unwrap();
        drop(index);
        let (index, _) = Index::open(&path).unwrap();
        let listing = index.listings().remove(&session).unwrap();
        assert_eq!(listing.parts.len(), 1);
        assert_eq!(listing.segments, [KnownSegment { number: 1, generation: 7, length: 0 }]);
    }

    #[test]
    fn a_long_session_has_larger_chunks() {
        const ROWS: u64 = 64 * 512 + 64 * 1024 + 3 * 2048 + 100;
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let path = dir.path().join("index");
        let (index, _) = Index::open(&path).unwrap();
        let mut listing = Listing::default();
        for number in 0..ROWS {
            let mut row = Row::read(&[0; row::ROW]).unwrap();
            (row.sequence, row.id) = (number + 1, ExchangeId::from_parts(number, 1));
            let is_full = listing.add(row, ("rates/getAll", None), BlockAt { segment: 1, offset: number });
            if is_full {
                index.store_listing(session, &mut listing).unwrap();
            }
        }
        let rows = |listing: &Listing| listing.parts.iter().map(|part| part.summary.rows).collect::<Vec<_>>();
        let expected = [vec![512; 64], vec![1024; 64], vec![2048; 3], vec![100]].concat();
        assert_eq!(rows(&listing), expected);
        index.listings().insert(session, listing);
        index.store(true).unwrap();
        drop(index);
        let (index, _) = Index::open(&path).unwrap();
        let listing = index.listings().remove(&session).unwrap();
        assert_eq!(rows(&listing), expected);
        let mut sequence = 0;
        for part in listing.parts.iter() {
            let (chunk, columns) = (index.chunk(session, part).unwrap(), index.columns(session, part).unwrap());
            assert_eq!(columns, Columns::of(&chunk));
            for row in &chunk.rows {
                sequence += 1;
                assert_eq!((row.sequence, chunk.block(row).unwrap().offset), (sequence, sequence - 1));
            }
        }
        assert_eq!(sequence, ROWS);
        // However large they are, few rows are kept unpacked.
        let cached: usize = index.cache.lock().unwrap().iter().map(|(_, chunk)| chunk.rows.len()).sum();
        assert!((2048..=CACHED_ROWS).contains(&cached), "{cached}");
    }

    #[test]
    fn all_chunks_of_long_sessions_are_known_however_many_sessions_there_are() {
        const CHUNKS: u64 = 300;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let (index, _) = Index::open(&path).unwrap();
        let Stored::Table(table, rows) = &index.stored else { panic!("it has no table") };
        let summary = |number| Summary::of(&Row { sequence: number + 1, ..Row::read(&[0; row::ROW]).unwrap() });
        let chunks: Vec<_> = (0..CHUNKS).map(|number| full(summary(number), vec![0; 10])).collect();
        let sessions: Vec<SessionId> = (0..rows::MAX_OPEN as u64 + 3).map(|at| SessionId::from_parts(at, 1)).collect();
        let mut batch = Batch::default();
        for session in &sessions {
            let mut filed = Filed::default();
            rows.append(*session, &mut filed, &chunks).unwrap();
            batch.insert(&session_key(*session), write_session(filed, &[]));
        }
        table.apply(batch).unwrap();
        drop(index);
        let (index, _) = Index::open(&path).unwrap();
        let listings = index.listings();
        assert_eq!(listings.values().filter(|listing| listing.parts.has_file()).count(), rows::MAX_OPEN);
        for session in &sessions {
            let listing = &listings[session];
            assert!(!listing.is_broken);
            assert_eq!((listing.exchanges(), listing.parts.len() as u64), (CHUNKS, CHUNKS));
            assert!(listing.parts.iter().map(|part| part.summary.first).eq(1..=CHUNKS));
        }
    }

    #[test]
    fn regression_two_threads_that_stored_at_once_lost_rows() {
        const CHUNKS: u64 = 40;
        let (dir, session) = (tempfile::tempdir().unwrap(), SessionId::from_parts(1, 1));
        let (index, _) = Index::open(&dir.path().join("index")).unwrap();
        index.listings().insert(session, Listing::default());
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        index.store(false).unwrap();
                    }
                });
            }
            for chunk in 0..CHUNKS {
                fill(index.listings().get_mut(&session).unwrap(), chunk);
                std::thread::yield_now();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        index.store(true).unwrap();
        drop(index);
        let (index, _) = Index::open(&dir.path().join("index")).unwrap();
        let listing = index.listings().remove(&session).unwrap();
        assert!(!listing.is_broken && listing.parts.len() as u64 == CHUNKS, "{}", listing.parts.len());
        assert_eq!(listing.head(), Head { count: CHUNKS * 512, last: CHUNKS * 512, hash: None });
        for (number, part) in listing.parts.iter().enumerate() {
            assert_eq!(index.chunk(session, part).unwrap().rows[0].sequence, number as u64 * 512 + 1);
        }
        // Its head is known even if its summaries are gone.
        drop(index);
        fs::remove_file(rows::dir(&dir.path().join("index")).join(format!("{session}.summaries"))).unwrap();
        let (index, _) = Index::open(&dir.path().join("index")).unwrap();
        let broken = &index.listings()[&session];
        assert!(broken.is_broken && broken.parts.is_empty());
        assert_eq!(broken.head(), listing.head());
    }
}
