//! Recovery when a log is opened: removing leftovers, truncating torn ends, updating the index.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use nightaudit_exchange::{Digest, SessionId, chain};
use nightaudit_log::Damage;

use crate::{
    deletion::DELETED,
    disk,
    error::OpenError,
    index::{BlockAt, Facts, Index, IndexError, Listing},
    ledger::{self, Head, Ledger, Note},
    meta::Meta,
    results::{Opened, Progress},
    segment::{self, HEADER, Header, Step, Walk},
    shared::{Entry, Shared},
};

/// What was found in the folder of sessions.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) sessions: BTreeMap<SessionId, Entry>,
    /// Sessions whose deletion was interrupted.
    pub(crate) deleted: Vec<SessionId>,
    /// Empty folders, whose creation was interrupted.
    pub(crate) empty: Vec<PathBuf>,
}

/// The sessions found in a data folder.
pub(crate) fn sessions(dir: &Path) -> Result<Found, OpenError> {
    let path = dir.join("sessions");
    let failed = |source| OpenError::Io { what: "read", path: path.clone(), source };
    let mut found = Found::default();
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        found.deleted.extend(name.strip_prefix(DELETED).and_then(|id| id.parse::<SessionId>().ok()));
        let Ok(id) = name.parse::<SessionId>() else { continue };
        if !entry.path().is_dir() {
            continue;
        }
        let has_file = entry.path().join("session.json").exists();
        if !has_file && segment::list(&entry.path()).map_err(failed)?.is_empty() {
            found.empty.push(entry.path());
            continue;
        }
        found.sessions.insert(id, Entry::new(Meta::read(dir, id)));
    }
    Ok(found)
}

/// Opens the index of a data folder, and returns why it was created anew, if it was.
pub(crate) fn index(dir: &Path) -> Result<(Index, Option<String>), OpenError> {
    let path = dir.join("index");
    let failed = |reason: String| OpenError::Index { path: path.clone(), reason };
    let IndexError(reason) = match Index::open(&path) {
        Ok((index, true)) => return Ok((index, None)),
        Ok((index, false)) => return Ok((index, Some("there was none".to_owned()))),
        Err(broken) => broken,
    };
    // If the disk can't be written, the index is not to blame.
    disk::try_room(dir).map_err(|error| failed(format!("{reason}; and nothing can be written: {error}")))?;
    let aside = dir.join("index.broken");
    let moved = match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(&path, &aside),
    };
    moved.map_err(|error| failed(format!("{reason}; and it can't be moved aside: {error}")))?;
    let (index, _) = Index::open(&path).map_err(|broken| failed(broken.0))?;
    Ok((index, Some(reason)))
}

/// The segments of a session.
#[derive(Debug, Default)]
struct Files {
    /// The number, generation and length of each that something was written to, in order.
    segments: Vec<(u32, u64, u64)>,
    /// The size of all of them, in bytes.
    bytes: u64,
}

/// Brings the listings up to date with the segments.
pub(crate) struct CatchUp<'a> {
    pub(crate) shared: &'a Shared,
    /// Whether to truncate torn ends.
    pub(crate) truncate: bool,
    /// Sessions that were deleted, and so are not missing.
    pub(crate) deleted: &'a [SessionId],
    /// The ledger, if it may be written.
    pub(crate) ledger: Option<&'a mut ledger::Read>,
    pub(crate) opened: &'a mut Opened,
    pub(crate) progress: &'a mut dyn FnMut(Progress),
    pub(crate) at: Progress,
}

/// Brings the index up to date with the files of one session while the log is open.
pub(crate) fn session(shared: &Shared, session: SessionId) -> io::Result<()> {
    CatchUp {
        shared,
        truncate: false,
        deleted: &[],
        ledger: None,
        opened: &mut Opened::default(),
        progress: &mut |_| {},
        at: Progress::default(),
    }
    .session(session)
}

impl CatchUp<'_> {
    /// All sessions.
    pub(crate) fn all(&mut self) -> io::Result<()> {
        let sessions: Vec<SessionId> = self.shared.sessions().keys().copied().collect();
        let sessions: Vec<(SessionId, Files)> =
            sessions.into_iter().map(|id| Ok((id, self.files(id)?))).collect::<io::Result<_>>()?;
        self.at.total = sessions.iter().map(|(_, files)| files.bytes).sum();
        let gone: Vec<(SessionId, Head)> = {
            let known = self.shared.sessions();
            let listings = self.shared.index.listings();
            let gone = listings.iter().filter(|(id, _)| !known.contains_key(id));
            gone.map(|(id, listing)| (*id, listing.head())).collect()
        };
        for (session, head) in gone {
            if !self.deleted.contains(&session) && head.count > 0 {
                // The ledger takes over what the index knew of it.
                let new = || Note::new(session, &session.to_string(), head);
                let mut vanished = self.shared.vanished();
                let note = vanished.entry(session).or_insert_with(new);
                if note.head.last < head.last {
                    note.head = Head { count: note.head.count.max(head.count), ..head };
                }
                let note = note.clone();
                drop(vanished);
                self.remember(note)?;
            }
            self.forget(session)?;
        }
        for (session, files) in sessions {
            let before = self.at.done;
            self.catch_up(session, &files)?;
            self.at.done = before + files.bytes;
            (self.progress)(self.at);
        }
        Ok(())
    }

    /// Writes to the ledger what a session had recorded, before the index forgets it: the next one to open the log would
    /// not know that anything is missing.
    fn remember(&mut self, note: Note) -> io::Result<()> {
        let Some(ledger) = self.ledger.as_deref_mut() else { return Ok(()) };
        let known = ledger.notes.get(&note.session).map(|known| known.head).unwrap_or_default();
        if known.last >= note.head.last && known.count >= note.head.count {
            return Ok(());
        }
        let Shared { disk, dir, .. } = self.shared;
        // Its damage stays, to be reported until the log has an owner.
        let mut read = ledger.clone();
        read.damage.clear();
        Ledger::open(disk, dir, read, false)?.write([note], true)?;
        *ledger = ledger::read(dir)?;
        Ok(())
    }

    /// As [`remember`](Self::remember), for a session that has a folder. One that is being imported has no note.
    fn remember_head(&mut self, session: SessionId) -> io::Result<()> {
        let entry = self.shared.sessions().get(&session).cloned();
        match entry.filter(|entry| entry.meta.importing.is_none() && entry.head.count > 0) {
            Some(entry) => self.remember(Note::new(session, &entry.meta.name, entry.head)),
            None => Ok(()),
        }
    }

    fn forget(&self, session: SessionId) -> io::Result<()> {
        self.shared.index.remove(session).map_err(|broken| io::Error::other(broken.0))
    }

    /// One session.
    pub(crate) fn session(&mut self, session: SessionId) -> io::Result<()> {
        let files = self.files(session)?;
        self.catch_up(session, &files)
    }

    /// The session's segments. Each is looked at once: a long session has many.
    fn files(&self, session: SessionId) -> io::Result<Files> {
        let folder = self.shared.folder(session);
        let mut files = Files::default();
        let numbers = segment::list(&folder)?;
        for number in &numbers {
            let file = fs::File::open(segment::path(&folder, *number))?;
            let length = file.metadata()?.len();
            let header = Header::read(&file);
            let is_last = numbers.last() == Some(number);
            files.bytes += length;
            if header.is_err() && is_last && self.is_open(session) && !segment::is_begun(&file, length)? {
                continue;
            }
            // An unreadable header has no generation, and is reported as damage by `check`.
            files.segments.push((*number, header.map_or(0, |header| header.generation), length));
        }
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.bytes = files.bytes;
        }
        Ok(files)
    }

    /// Brings one session's listing up to date with its segments.
    fn catch_up(&mut self, session: SessionId, files: &Files) -> io::Result<()> {
        let files = &files.segments;
        let mut listing = self.shared.index.listings().remove(&session).unwrap_or_default();
        self.shared.raise_head(session, &listing);
        let last = listing.segments.len();
        let fits = !listing.is_broken
            && listing.segments.iter().enumerate().all(|(index, known)| {
                files.get(index).is_some_and(|(number, generation, length)| {
                    (*number, *generation) == (known.number, known.generation)
                    // A segment with a successor can't have gained or lost blocks.
                    && if index + 1 == last { *length >= known.length } else { *length == known.length }
                })
            });
        // Only the last one can be behind.
        if fits && self.follow(session, &mut listing, files)? {
            self.add(session, listing);
            return Ok(());
        }
        if listing.is_broken || !listing.parts.is_empty() {
            self.opened.rebuilt.get_or_insert_with(|| format!("session {session} does not match the index"));
        }
        self.remember_head(session)?;
        self.forget(session)?;
        let mut listing = Listing::default();
        self.follow(session, &mut listing, files)?;
        self.add(session, listing);
        // Store what was rebuilt at once: memory holds no more than one session's rows.
        self.shared.index.store(true).map_err(|broken| io::Error::other(broken.0))
    }

    /// Adds a listing to the index, and finds what it lacks compared with the session's head.
    fn add(&self, session: SessionId, listing: Listing) {
        self.shared.raise_head(session, &listing);
        self.shared.index.listings().insert(session, listing);
        self.shared.find_missing(session);
    }

    /// Adds what comes after the listing's end. Returns false if the listing doesn't match the segments.
    fn follow(&mut self, session: SessionId, listing: &mut Listing, files: &[(u32, u64, u64)]) -> io::Result<bool> {
        let known = listing.segments.last().copied();
        let sequence = listing.parts.last().map_or(0, |part| part.summary.last);
        let mut resumed = None;
        if let Some(known) = known {
            let (_, _, length) = files[listing.segments.len() - 1];
            if known.length != length || known.length == 0 {
                resumed = Some(match listing.parts.last() {
                    Some(part) => {
                        let Ok(chunk) = self.shared.index.chunk(session, part) else { return Ok(false) };
                        let at = chunk.rows.last().and_then(|row| chunk.block(row));
                        at.filter(|at| at.segment == known.number).map_or(HEADER as u64, |at| at.offset)
                    }
                    None => HEADER as u64,
                });
            }
        }
        let mut reader = Follow { session, last: sequence, damage: Vec::new(), listing };
        for (index, (number, generation, _)) in files.iter().enumerate() {
            let offset = match known {
                Some(known) if *number < known.number => continue,
                Some(known) if *number == known.number => match resumed {
                    Some(offset) => offset,
                    None => continue,
                },
                _ => 0,
            };
            let is_last = index + 1 == files.len();
            match self.segment(&mut reader, *number, *generation, offset, is_last)? {
                // The offset in the index is not a block: nothing in it can be trusted.
                Some(end) if end == offset && offset > HEADER as u64 && known.is_some() => return Ok(false),
                _ => {}
            }
        }
        self.opened.damage.append(&mut reader.damage);
        Ok(true)
    }

    /// Reads a segment from `offset`. Returns the end of its readable part.
    fn segment(
        &mut self,
        reader: &mut Follow<'_>,
        number: u32,
        generation: u64,
        offset: u64,
        is_last: bool,
    ) -> io::Result<Option<u64>> {
        let path = segment::path(&self.shared.folder(reader.session), number);
        let mut walk = Walk::new(&path, reader.session, number, offset)?;
        let mut end = walk.at();
        let shown = self.shared.shown(&path);
        reader.listing.reached(number, generation, end);
        while let Some(step) = walk.step()? {
            let damaged = |offset, what| Damage { path: shown.clone(), offset, what };
            match step {
                Step::Block(block) => {
                    let added = reader.take(&block, number, offset);
                    self.at.exchanges += added.as_ref().copied().unwrap_or(0);
                    if let Err(what) = added {
                        reader.damage.push(damaged(block.offset, what));
                    }
                    // Store what was rebuilt as it grows: memory holds a chunk at a time.
                    let stored = self.shared.index.store_listing(reader.session, reader.listing);
                    stored.map_err(|broken| io::Error::other(broken.0))?;
                    end = block.end;
                    self.at.done += block.end - block.offset;
                    (self.progress)(self.at);
                }
                Step::Footer(_) => end = walk.at(),
                // The last block in the index is gone.
                Step::Damage(at, _) | Step::Tail(at, _) | Step::Space(at) if at == offset && offset > HEADER as u64 => {
                    return Ok(Some(offset));
                }
                Step::Damage(at, what) => reader.damage.push(damaged(at, what)),
                Step::Space(at) if is_last && self.is_open(reader.session) => {
                    self.truncate(reader.session, &path, at..walk.at())?;
                }
                Step::Tail(at, _) if is_last && self.is_open(reader.session) && !self.lacks(reader) => {
                    self.opened.torn_bytes += walk.last_byte(at)? - at;
                    self.truncate(reader.session, &path, at..walk.at())?;
                }
                Step::Tail(at, what) => {
                    reader.damage.push(damaged(at, what));
                    end = walk.at();
                }
                Step::Space(at) => {
                    reader.damage.push(damaged(at, "zeros instead of the segment's end".to_owned()));
                    end = walk.at();
                }
            }
        }
        reader.listing.reached(number, generation, end);
        Ok(Some(u64::MAX))
    }

    fn is_open(&self, session: SessionId) -> bool {
        self.shared.sessions().get(&session).is_some_and(|entry| entry.meta.ended.is_none())
    }

    /// Whether the session recorded more than was read, so that an unreadable tail is not an incomplete write.
    fn lacks(&self, reader: &Follow<'_>) -> bool {
        self.shared.sessions().get(&reader.session).is_some_and(|entry| entry.head.last > reader.last)
    }

    /// Truncates a segment after its last block, if this is the owner.
    fn truncate(&self, session: SessionId, path: &Path, rest: Range<u64>) -> io::Result<()> {
        if self.truncate {
            self.shared.disk.open(path)?.set_len(rest.start)?;
        }
        if let Some(entry) = self.shared.sessions().get_mut(&session) {
            entry.bytes = entry.bytes.saturating_sub(rest.end - rest.start);
        }
        Ok(())
    }
}

/// The rows of a session, as read from its segments.
struct Follow<'a> {
    session: SessionId,
    last: u64,
    damage: Vec<Damage>,
    listing: &'a mut Listing,
}

impl Follow<'_> {
    /// Adds a block's exchanges; returns how many, or what is wrong with the block.
    fn take(&mut self, block: &segment::Block, number: u32, resumed: u64) -> Result<u64, String> {
        let mut added = 0;
        let mut repeats = false;
        for record in &block.records {
            if record.sequence <= self.last {
                // The block where the index stopped has rows it already knows.
                repeats |= block.offset != resumed;
                continue;
            }
            let facts = Facts::parse(record.metadata(&block.raw))
                .map_err(|error| format!("the metadata of record {} can't be read: {error}", record.sequence))?;
            self.last = record.sequence;
            let at = BlockAt { segment: number, offset: block.offset };
            self.listing.add(facts.row(record.sequence, record.written), facts.texts(), at);
            added += 1;
        }
        if repeats { Err("a block repeats exchanges that come before it".to_owned()) } else { Ok(added) }
    }
}

impl Shared {
    /// The hash and sequence number to continue a session from: those of its last exchange, even if that is missing or
    /// unreadable and only the ledger knows it.
    pub(crate) fn reached(&self, session: SessionId) -> io::Result<(Digest, u64)> {
        let head = self.sessions().get(&session).map(|entry| entry.head).unwrap_or_default();
        let there = self.last_of(session);
        match (&there, head.hash) {
            (Ok((_, last)), Some(hash)) if *last < head.last => Ok((hash, head.last)),
            (Ok((hash, last)), None) if *last < head.last => Ok((*hash, head.last)),
            (Err(_), Some(hash)) => Ok((hash, head.last)),
            _ => there,
        }
    }

    /// The hash and sequence number of a session's last readable exchange.
    pub(crate) fn last_of(&self, session: SessionId) -> io::Result<(Digest, u64)> {
        let part = self.index.listings().get(&session).and_then(|listing| listing.parts.last().cloned());
        let Some(part) = part else { return Ok((chain::genesis(session), 0)) };
        let chunk = self.index.chunk(session, &part).map_err(|broken| io::Error::other(broken.0))?;
        let Some((row, at)) = chunk.rows.last().and_then(|row| Some((row, chunk.block(row)?))) else {
            return Ok((chain::genesis(session), 0));
        };
        let mut walk = Walk::new(&segment::path(&self.folder(session), at.segment), session, at.segment, at.offset)?;
        let damaged = || io::Error::other(format!("the last block of session {session} can't be read"));
        let Some(Step::Block(block)) = walk.step()? else { return Err(damaged()) };
        let record = block.records.last().filter(|record| record.sequence == row.sequence).ok_or_else(damaged)?;
        let exchange = record.exchange(&block.raw).map_err(io::Error::other)?;
        Ok((exchange.hash.unwrap_or(record.previous), row.sequence))
    }
}
