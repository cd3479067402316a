//! The ledger: how many exchanges each session has recorded, and the end of its chain.
//!
//! A file of its own, so that truncating or removing segments does not remove it. Each line is chained to the previous
//! one. Specified in `FORMAT.md`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nightaudit_exchange::{Digest, SessionId};
use nightaudit_log::Damage;
use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk, DiskFile};

/// The file's name, relative to the data folder.
pub(crate) const FILE: &str = "ledger";
/// What the first line is chained to.
const GENESIS: &[u8] = b"nightaudit ledger 1";
/// The maximum size read, in bytes: a thousand times that of a large log.
const MAX_BYTES: u64 = 64 << 20;
/// The maximum length of a session's name, in characters.
const MAX_NAME: usize = 200;
/// The length of a line's digest in hexadecimal digits and the space after it.
const PREFIX: usize = 65;
/// The file is rewritten when more lines than this are out of date: whoever opens the log reads all of them.
const MAX_STALE: usize = 256;

/// How many exchanges a session has recorded, and the end of its chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Exchanges recorded.
    pub(crate) count: u64,
    /// The sequence number of the last one.
    pub(crate) last: u64,
    /// The hash of the last one, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<Digest>,
}

/// A line of the ledger: what a session had recorded when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) session: SessionId,
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) head: Head,
    /// Whether the session was deleted by this program, and so is not missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
}

impl Note {
    pub(crate) fn new(session: SessionId, name: &str, head: Head) -> Self {
        Self { session, name: name.chars().take(MAX_NAME).collect(), head, deleted: false }
    }

    pub(crate) fn deleted(session: SessionId) -> Self {
        Self { session, name: String::new(), head: Head::default(), deleted: true }
    }
}

/// A ledger as read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// Whether the file exists.
    pub(crate) is_there: bool,
    /// The last line of each session.
    pub(crate) notes: BTreeMap<SessionId, Note>,
    /// Its damage. An incomplete last line is not damage.
    pub(crate) damage: Vec<Damage>,
    lines: usize,
    /// The end of the last complete line, and its digest.
    end: u64,
    digest: Digest,
}

/// Reads the ledger of a data folder.
///
/// A damaged line is skipped: the following lines are chained to the digest it states.
pub(crate) fn read(dir: &Path) -> io::Result<Read> {
    let mut read = Read {
        is_there: false,
        notes: BTreeMap::new(),
        damage: Vec::new(),
        lines: 0,
        end: 0,
        digest: Digest::of(GENESIS),
    };
    let mut bytes = Vec::new();
    match crate::private::open(fs::OpenOptions::new().read(true), &dir.join(FILE)) {
        Ok(file) => io::Read::read_to_end(&mut io::Read::take(file, MAX_BYTES), &mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(read),
        Err(error) => return Err(error),
    };
    read.is_there = true;
    let (mut at, mut previous) = (0, read.digest);
    // An error counts only once a valid line follows: at the end it is an incomplete write.
    let mut wrong: Option<(u64, &str)> = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let start = at as u64;
        at += line.len();
        let Some((digest, json)) = split(line) else {
            wrong.get_or_insert((start, "a line of the ledger can't be read"));
            continue;
        };
        let Ok(note) = serde_json::from_slice::<Note>(json) else {
            wrong.get_or_insert((start, "a line of the ledger can't be read"));
            continue;
        };
        // After an unreadable line the digest can't be verified.
        if wrong.is_none() && Digest::of_parts([&previous.0[..], json]) != digest {
            wrong = Some((start, "a line of the ledger is not chained to the previous one"));
            if is_altered(&bytes[at..], digest) {
                // The next line continues from the digest that this one states, so this one was altered.
                previous = digest;
                continue;
            }
        }
        if let Some((offset, what)) = wrong.take() {
            read.damage.push(Damage { path: FILE.into(), offset, what: what.to_owned() });
        }
        read.lines += 1;
        (previous, read.digest) = (digest, digest);
        read.end = at as u64;
        read.notes.insert(note.session, note);
    }
    Ok(read)
}

/// Whether the next line is chained to this digest.
fn is_altered(rest: &[u8], digest: Digest) -> bool {
    let next = rest.split_inclusive(|byte| *byte == b'\n').next().and_then(split);
    next.is_none_or(|(stated, json)| Digest::of_parts([&digest.0[..], json]) == stated)
}

fn split(line: &[u8]) -> Option<(Digest, &[u8])> {
    let line = line.strip_suffix(b"\n")?;
    let (prefix, json) = line.split_at_checked(PREFIX)?;
    let digest = str::from_utf8(prefix).ok()?.strip_suffix(' ')?.parse().ok()?;
    Some((digest, json))
}

/// The file with these notes and no others, and the digest of its last line.
fn contents<'n>(notes: impl Iterator<Item = &'n Note>) -> (Digest, String) {
    notes.fold((Digest::of(GENESIS), String::new()), |(digest, text), note| {
        let (digest, line) = line(digest, note);
        (digest, text + &line)
    })
}

fn line(previous: Digest, note: &Note) -> (Digest, String) {
    // Strings and numbers always serialize.
    let json = serde_json::to_string(note).unwrap_or_default();
    let digest = Digest::of_parts([&previous.0[..], json.as_bytes()]);
    (digest, format!("{digest} {json}\n"))
}

/// The ledger, open for writing.
#[derive(Debug)]
pub(crate) struct Ledger {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    lines: usize,
    end: u64,
    digest: Digest,
    /// The last note of each session, also of deleted ones that the index may still list: only that tells that they are not
    /// missing.
    written: BTreeMap<SessionId, Note>,
    /// How many lines it must have for the next attempt to rewrite it, if the last one failed.
    tidy_at: usize,
    /// Whether some writes might not survive a power failure.
    unsynced: bool,
    /// Whether the file is being replaced, and so may be another than the one that is open.
    replacing: bool,
}

impl Ledger {
    /// Continues the ledger that was read, or creates it. It is rewritten if most of it is out of date or it is
    /// damaged; deletions are kept unless the index is known to be stored without them.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path, read: Read, forgets_deleted: bool) -> io::Result<Self> {
        let path = path(dir);
        let Read { is_there, notes, damage, mut lines, mut end, mut digest } = read;
        let written: BTreeMap<_, _> =
            notes.into_iter().filter(|(_, note)| !(note.deleted && forgets_deleted)).collect();
        if !is_there || !damage.is_empty() || is_stale(lines, &written) {
            let (last, text) = contents(written.values());
            (lines, end, digest) = (written.len(), text.len() as u64, last);
            disk::replace(&**disk, &path, text.as_bytes())?;
        }
        let (disk, file) = (Arc::clone(disk), disk.open(&path)?);
        Ok(Self { disk, file, path, lines, end, digest, written, tidy_at: 0, unsynced: false, replacing: false })
    }

    /// Writes the notes that are new. With `sync` they survive a power failure.
    pub(crate) fn write(&mut self, notes: impl IntoIterator<Item = Note>, sync: bool) -> io::Result<()> {
        self.tidy()?;
        let mut text = String::new();
        let (mut digest, mut new) = (self.digest, Vec::new());
        for note in notes {
            if self.written.get(&note.session) == Some(&note) {
                continue;
            }
            let (next, line) = line(digest, &note);
            digest = next;
            text.push_str(&line);
            new.push(note);
        }
        if !new.is_empty() {
            // On failure the next attempt overwrites it; until then it is an incomplete line.
            self.file.write_at(text.as_bytes(), self.end)?;
            self.lines += new.len();
            self.end += text.len() as u64;
            self.digest = digest;
            self.unsynced = true;
            self.written.extend(new.into_iter().map(|note| (note.session, note)));
        }
        if sync && self.unsynced {
            self.file.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Rewrites the file if most of it is out of date: it gains a line a second while something is recorded.
    fn tidy(&mut self) -> io::Result<()> {
        let is_due = self.lines >= self.tidy_at && is_stale(self.lines, &self.written);
        // One that was deleted is reported, not created anew.
        self.replacing |= is_due && self.file.is_at(&self.path).unwrap_or(false);
        if !self.replacing {
            return Ok(());
        }
        let rewritten = self.rewrite();
        // It can be appended to as before if it is still the same, as on a full disk. There the next attempt has time.
        self.replacing = rewritten.is_err() && !self.file.is_at(&self.path)?;
        self.tidy_at = if rewritten.is_err() { self.lines + MAX_STALE } else { 0 };
        if self.replacing { rewritten } else { Ok(()) }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let (digest, text) = contents(self.written.values());
        disk::replace(&*self.disk, &self.path, text.as_bytes())?;
        self.file = self.disk.open(&self.path)?;
        (self.lines, self.end, self.digest) = (self.written.len(), text.len() as u64, digest);
        self.unsynced = false;
        Ok(())
    }

    /// Whether the file is still where it was opened.
    pub(crate) fn is_there(&self) -> io::Result<bool> {
        Ok(self.replacing || self.file.is_at(&self.path)?)
    }
}

/// Whether most of so many lines are out of date.
fn is_stale(lines: usize, notes: &BTreeMap<SessionId, Note>) -> bool {
    lines > 2 * notes.len() + MAX_STALE
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::OsDisk;

    fn note(session: u64, count: u64) -> Note {
        let hash = Some(Digest::of(&count.to_le_bytes()));
        Note::new(SessionId::from_parts(session, 7), &format!("session {session}"), Head { count, last: count, hash })
    }

    fn open(dir: &Path) -> Ledger {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        Ledger::open(&disk, dir, read(dir).unwrap(), true).unwrap()
    }

    fn write(dir: &Path, notes: impl IntoIterator<Item = Note>) {
        open(dir).write(notes, true).unwrap();
    }

    #[test]
    fn the_last_line_of_a_session_counts_across_openings() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!read(dir.path()).unwrap().is_there);
        for count in 1..4 {
            write(dir.path(), [note(1, count), note(2, 10 * count)]);
        }
        write(dir.path(), [Note::deleted(note(2, 0).session)]);
        let read = read(dir.path()).unwrap();
        assert_eq!((read.lines, &read.damage), (7, &vec![]));
        assert_eq!(read.notes[&note(1, 0).session], note(1, 3));
        assert!(read.notes[&note(2, 0).session].deleted);
    }

    #[test]
    fn it_is_rewritten_before_it_grows_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), (0..MAX_STALE as u64 + 3).map(|count| note(1, count)));
        write(dir.path(), []);
        let read = read(dir.path()).unwrap();
        assert_eq!((read.lines, read.notes.len()), (1, 1));
        assert_eq!(read.notes[&note(1, 0).session], note(1, MAX_STALE as u64 + 2));
    }

    #[test]
    fn it_is_rewritten_while_it_is_open_and_keeps_what_it_knows() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = open(dir.path());
        ledger.write([note(2, 5), note(3, 1), Note::deleted(note(3, 0).session)], true).unwrap();
        let mut longest = 0;
        for count in 0..5 * MAX_STALE as u64 {
            ledger.write([note(1, count)], false).unwrap();
            // At any time, as after a kill.
            let read = read(dir.path()).unwrap();
            assert_eq!((read.damage, &read.notes[&note(1, 0).session]), (vec![], &note(1, count)));
            assert_eq!(read.notes[&note(2, 0).session], note(2, 5));
            assert!(read.notes[&note(3, 0).session].deleted && ledger.is_there().unwrap());
            longest = longest.max(read.lines);
        }
        assert!(longest > MAX_STALE && longest <= MAX_STALE + 2 * 3 + 1, "{longest}");
        assert!(!dir.path().join("ledger.new").exists());
    }

    #[test]
    fn deletions_are_kept_until_the_index_is_known_to_be_without_them() {
        let dir = tempfile::tempdir().unwrap();
        let deleted = Note::deleted(note(2, 0).session);
        write(dir.path(), (0..MAX_STALE as u64 + 9).map(|count| note(1, count)).chain([note(2, 5), deleted.clone()]));
        for forgets in [false, true] {
            let disk: Arc<dyn Disk> = Arc::new(OsDisk);
            let mut ledger = Ledger::open(&disk, dir.path(), read(dir.path()).unwrap(), forgets).unwrap();
            let known = read(dir.path()).unwrap();
            assert_eq!(
                (known.lines, known.notes.get(&deleted.session)),
                (2 - usize::from(forgets), (!forgets).then_some(&deleted))
            );
            ledger.write((0..MAX_STALE as u64 + 9).map(|count| note(1, count)), true).unwrap();
        }
    }

    #[test]
    fn one_that_can_not_be_rewritten_is_continued_and_one_that_is_gone_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = open(dir.path());
        // In the way of the new file.
        let blocked = dir.path().join("ledger.new");
        fs::create_dir(&blocked).unwrap();
        let count = 2 * MAX_STALE as u64;
        (0..count).for_each(|count| ledger.write([note(1, count)], true).unwrap());
        let known = read(dir.path()).unwrap();
        assert_eq!((known.lines as u64, &known.notes[&note(1, 0).session]), (count, &note(1, count - 1)));
        fs::remove_dir(&blocked).unwrap();
        fs::remove_file(dir.path().join(FILE)).unwrap();
        let _ = ledger.write([note(1, count)], true);
        assert!(!ledger.is_there().unwrap() && !read(dir.path()).unwrap().is_there);
    }

    proptest! {
        #[test]
        fn any_damage_costs_one_line_and_is_reported_unless_it_is_the_last(
            at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(FILE);
            let notes: Vec<Note> = (0..6).map(|number| note(number, 100 + number)).collect();
            write(dir.path(), notes.clone());
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            let harmed = bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            fs::write(&path, &bytes).unwrap();
            let damaged = read(dir.path()).unwrap();
            for (number, note) in notes.iter().enumerate() {
                let known = damaged.notes.get(&note.session);
                // The line feed that ends a line joins two of them.
                let may_lack = if cut { number >= harmed } else { number == harmed || number == harmed + 1 };
                prop_assert!(known == Some(note) || (may_lack && known.is_none()), "{number}: {known:?}");
            }
            let lacks = notes.len() - damaged.notes.len();
            prop_assert!(cut || lacks == 0 || harmed >= 4 || !damaged.damage.is_empty());
            // It can be continued, and keeps what it knows.
            write(dir.path(), [note(9, 1)]);
            let again = read(dir.path()).unwrap();
            prop_assert_eq!(again.damage, vec![]);
            prop_assert_eq!(again.notes.len(), damaged.notes.len() + 1);
        }
    }
}
