//! The parts of a session's listing, of which most commands need the last ones only.

use std::{
    fs,
    sync::{Arc, OnceLock},
};

use super::{
    chunk::{BlockAt, Chunk, Summary},
    rows::{self, Filed, Place},
};

/// How many parts are in memory from the beginning.
const RECENT: usize = 64;
/// The least number of others that is worth a second look at their file.
const MIN_OLD: usize = 192;

/// A chunk, in memory or stored.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) summary: Summary,
    pub(super) chunk: Option<Arc<Chunk>>,
    /// How many rows the chunk may have.
    pub(super) capacity: usize,
    /// How many of its rows are stored.
    pub(super) stored: u32,
    /// Where it is in the session's file, once it is full and stored.
    pub(super) place: Option<Place>,
}

impl Part {
    /// A part that is stored whole.
    pub(super) fn stored(summary: Summary, place: Option<Place>) -> Self {
        Self { summary, chunk: None, capacity: 0, stored: summary.rows, place }
    }

    /// Where its last row is, if its chunk is in memory.
    pub(super) fn last_block(&self) -> Option<BlockAt> {
        let chunk = self.chunk.as_ref()?;
        chunk.block(chunk.rows.last()?)
    }

    /// The rows that this part has of the chunk that is stored for it: since the part was seen, the chunk may have got more, or
    /// the session's index been made anew. `None` if it hasn't all of them.
    pub(super) fn rows_of(&self, mut chunk: Chunk) -> Option<Chunk> {
        chunk.rows.truncate(self.summary.rows as usize);
        let ends = chunk.rows.first().zip(chunk.rows.last()).map(|(first, last)| (first.sequence, last.sequence));
        let is_whole = chunk.rows.len() == self.summary.rows as usize;
        (is_whole && ends == Some((self.summary.first, self.summary.last))).then_some(chunk)
    }

    /// Whether its chunk is in memory and takes no more rows.
    pub(super) fn is_full(&self) -> bool {
        self.chunk.as_ref().is_some_and(|chunk| chunk.is_full(self.capacity))
    }
}

/// Parts in order. Of a long session, those before the last ones are read again when they are needed.
///
/// Cheap to clone: who reads them long, or from a file, does so without the lock of the listings. A change meanwhile copies
/// those in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    old: Option<Arc<Old>>,
    /// At least one if there are old ones.
    new: Arc<Vec<Part>>,
}

/// Stored parts that are in memory once one of them is needed.
#[derive(Debug)]
pub(crate) struct Old {
    count: usize,
    rows: u64,
    /// The file that has them, up to where it was read when the index was opened; nothing before that changes.
    file: fs::File,
    filed: Filed,
    /// Those that are not in the file.
    others: Vec<Part>,
    parts: OnceLock<Vec<Part>>,
    /// All of them as one, whose rows can't be read.
    as_one: [Part; 1],
}

impl Old {
    /// What is known of all of them together.
    pub(crate) fn summary(&self) -> &Summary {
        &self.as_one[0].summary
    }

    /// The parts. If their file was damaged meanwhile, it is one whose rows can't be read.
    pub(crate) fn parts(&self) -> &[Part] {
        if let Some(parts) = self.parts.get() {
            return parts;
        }
        match self.read() {
            Some(parts) => self.parts.get_or_init(|| parts),
            // It may be read the next time.
            None => {
                tracing::warn!(
                    first = self.summary().first,
                    last = self.summary().last,
                    "the index of a session can't be read; if it is damaged, it is made anew when the log is opened next"
                );
                &self.as_one
            }
        }
    }

    fn read(&self) -> Option<Vec<Part>> {
        let filed = self.count - self.others.len();
        let mut parts = Vec::with_capacity(self.count);
        let is_whole = rows::read_summaries(&self.file, self.filed, |summary, place| {
            if parts.len() < filed {
                parts.push(Part::stored(summary, Some(place)));
            }
        });
        parts.extend_from_slice(&self.others);
        parts.sort_unstable_by_key(|part| part.summary.first);
        is_whole.then_some(parts)
    }
}

impl Parts {
    /// Whether a file stays open for them.
    pub(super) fn has_file(&self) -> bool {
        self.old.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.old.as_ref().map_or(0, |old| old.count) + self.new.len()
    }

    /// How many rows they have.
    pub(crate) fn rows(&self) -> u64 {
        let new: u64 = self.new.iter().map(|part| u64::from(part.summary.rows)).sum();
        self.old.as_ref().map_or(0, |old| old.rows) + new
    }

    /// The first and last stamp.
    pub(crate) fn written(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.new.first()?, self.new.last()?);
        let first = self.old.as_ref().map_or(&first.summary, |old| old.summary());
        Some((first.written.0, last.summary.written.1))
    }

    /// What is known of all of them together.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let old = self.old.iter().map(|old| *old.summary());
        old.chain(self.new.iter().map(|part| part.summary)).reduce(Summary::joined)
    }

    pub(crate) fn last(&self) -> Option<&Part> {
        self.new.last()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Part> {
        Arc::make_mut(&mut self.new).last_mut()
    }

    pub(super) fn push(&mut self, part: Part) {
        Arc::make_mut(&mut self.new).push(part);
    }

    /// All parts. The old ones are read when it comes to them.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.old.iter().flat_map(|old| old.parts()).chain(&*self.new)
    }

    /// The parts that may have what is looked for, which is also asked of the old ones together, before they are read.
    pub(crate) fn candidates<'p>(&'p self, may: impl Fn(&Part) -> bool + Copy + 'p) -> impl Iterator<Item = &'p Part> {
        let old = self.old.iter().filter(move |old| may(&old.as_one[0]));
        old.flat_map(|old| old.parts()).chain(&*self.new).filter(move |part| may(part))
    }

    /// The parts after those that are `passed`, which are the first ones.
    pub(crate) fn after(&self, passed: impl Fn(&Part) -> bool) -> Vec<Part> {
        if self.old.is_none() || self.new.first().is_some_and(&passed) {
            self.new[self.new.partition_point(passed)..].to_vec()
        } else {
            self.iter().skip_while(|part| passed(part)).cloned().collect()
        }
    }

    /// The first part after those that are `passed`.
    pub(crate) fn first_after(&self, passed: impl Fn(&Part) -> bool) -> Option<&Part> {
        let old = self.old.as_ref().filter(|_| !self.new.first().is_some_and(&passed));
        let old = old.and_then(|old| old.parts().get(old.parts().partition_point(&passed)));
        old.or_else(|| self.new.get(self.new.partition_point(&passed)))
    }

    /// The old ones, and the others.
    pub(crate) fn split(self) -> (Option<Arc<Old>>, Vec<Part>) {
        (self.old, Arc::unwrap_or_clone(self.new))
    }

    /// Those that are in memory anyway: all that aren't stored, and more.
    pub(super) fn recent(&self) -> &[Part] {
        &self.new
    }

    pub(super) fn recent_mut(&mut self) -> &mut [Part] {
        Arc::make_mut(&mut self.new).as_mut_slice()
    }
}

/// Takes the parts of a session from its file, as they are read when the index is opened.
#[derive(Debug, Default)]
pub(super) struct Loading {
    left: usize,
    old: usize,
    rows: u64,
    whole: Option<Summary>,
    new: Vec<Part>,
    /// The end of what the places refer to.
    end: u64,
}

impl Loading {
    /// Of so many parts, all of which are kept in memory unless their file may stay open.
    pub(super) fn of(count: usize, stays_open: bool) -> Self {
        let old = count.saturating_sub(RECENT);
        let old = if old < MIN_OLD || !stays_open { 0 } else { old };
        Self { left: old, old, ..Self::default() }
    }

    pub(super) fn add(&mut self, summary: Summary, place: Place) {
        self.end = self.end.max(place.end());
        if self.left == 0 {
            self.new.push(Part::stored(summary, Some(place)));
            return;
        }
        self.left -= 1;
        self.rows += u64::from(summary.rows);
        self.whole = Some(self.whole.map_or(summary, |whole| whole.joined(summary)));
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The places of those that are in memory.
    pub(super) fn places(&self) -> impl DoubleEndedIterator<Item = Place> + Clone {
        self.new.iter().filter_map(|part| part.place)
    }

    /// The parts, with others that are stored elsewhere: chunks that weren't full when the log was closed come between.
    pub(super) fn done(self, file: Option<fs::File>, filed: Filed, mut others: Vec<Part>) -> Parts {
        let Self { old: count, mut rows, whole, mut new, .. } = self;
        let (Some(mut whole), Some(file)) = (whole, file) else {
            new.append(&mut others);
            new.sort_unstable_by_key(|part| part.summary.first);
            return Parts { old: None, new: Arc::new(new) };
        };
        let first = new.first().map_or(u64::MAX, |part| part.summary.first);
        let (old, mut later): (Vec<Part>, Vec<Part>) = others.into_iter().partition(|part| part.summary.first < first);
        new.append(&mut later);
        new.sort_unstable_by_key(|part| part.summary.first);
        for part in &old {
            rows += u64::from(part.summary.rows);
            whole = whole.joined(part.summary);
        }
        let count = count + old.len();
        let as_one = [Part::stored(whole, None)];
        let old = Old { count, rows, file, filed, others: old, parts: OnceLock::new(), as_one };
        Parts { old: Some(Arc::new(old)), new: Arc::new(new) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nightaudit_exchange::SessionId;

    use super::*;
    use crate::index::{
        row::{ROW, Row},
        rows::{FullChunk, RowFiles},
    };

    const COUNT: u64 = (RECENT + MIN_OLD + 50) as u64;

    /// What is known of a chunk of ten rows, with gaps between them.
    fn summary(number: u64) -> Summary {
        let row = |at: u64| Row {
            sequence: number * 20 + at,
            written: number * 100 + at,
            started: ((number * 7919 + at) % 5000).cast_signed(),
            ..Row::read(&[0; ROW]).unwrap()
        };
        let mut summary = Summary::of(&row(0));
        (1..10).for_each(|at| summary.add(&row(at)));
        summary
    }

    fn session() -> SessionId {
        SessionId::from_parts(1, 1)
    }

    /// Files with so many chunks.
    fn files(dir: &Path, count: u64) -> (RowFiles, Filed) {
        let (rows, mut filed) = (RowFiles::new(dir.join("rows")).unwrap(), Filed::default());
        let chunks: Vec<_> = (0..count).map(|number| FullChunk::of(summary(number), &Chunk::default())).collect();
        rows.append(session(), &mut filed, &chunks).unwrap();
        (rows, filed)
    }

    /// The parts as they are loaded, and as the file has them.
    fn loaded(rows: &RowFiles, filed: Filed, others: &[Summary]) -> (Parts, Vec<Part>) {
        let (mut loading, mut all) = (Loading::of(filed.count(), true), Vec::new());
        let (is_whole, file) = rows.summaries(session(), filed, |summary, place| {
            loading.add(summary, place);
            all.push(Part::stored(summary, Some(place)));
        });
        assert!(is_whole);
        let others: Vec<Part> = others.iter().map(|summary| Part::stored(*summary, None)).collect();
        all.extend(others.clone());
        all.sort_by_key(|part| part.summary.first);
        (loading.done(file, filed, others), all)
    }

    fn known<'p>(parts: impl Iterator<Item = &'p Part>) -> Vec<(Summary, Option<Place>)> {
        parts.map(|part| (part.summary, part.place)).collect()
    }

    /// One that comes right after that chunk.
    fn between(number: u64) -> Summary {
        Summary { first: number * 20 + 12, last: number * 20 + 15, rows: 3, ..summary(number) }
    }

    #[test]
    fn parts_are_the_same_whether_they_are_in_memory_or_not() {
        let others = [between(3), between(COUNT / 2), between(COUNT - 2), between(COUNT - 1)];
        for (count, others) in [(0, &others[..0]), (5, &others[..1]), (COUNT, &others[..0]), (COUNT, &others)] {
            let dir = tempfile::tempdir().unwrap();
            let (rows, filed) = files(dir.path(), count);
            let (parts, all) = loaded(&rows, filed, others);
            assert_eq!(parts.old.is_some(), count == COUNT);
            // Before the old ones are read.
            assert_eq!((parts.len(), parts.is_empty()), (all.len(), all.is_empty()));
            assert_eq!(parts.rows(), all.iter().map(|part| u64::from(part.summary.rows)).sum::<u64>());
            assert_eq!(parts.last().map(|part| part.summary), all.last().map(|part| part.summary));
            let whole = parts.summary();
            assert_eq!(whole.map(|whole| whole.started.0), all.iter().map(|part| part.summary.started.0).min());
            assert_eq!(whole.map(|whole| whole.started.1), all.iter().map(|part| part.summary.started.1).max());
            let written = all.first().map(|first| (first.summary.written.0, all[all.len() - 1].summary.written.1));
            assert_eq!((parts.written(), whole.map(|whole| whole.written)), (written, written));
            let last = known(parts.iter().rev().take(RECENT));
            assert_eq!(last, known(all.iter().rev().take(RECENT)));
            assert!(parts.old.as_ref().is_none_or(|old| old.parts.get().is_none()), "they were read");
            // Whatever is asked for first.
            for sequence in (0..count * 20 + 20).step_by(7) {
                let (parts, _) = loaded(&rows, filed, others);
                let passed = |part: &Part| part.summary.last < sequence;
                let at = all.partition_point(passed);
                assert_eq!(known(parts.first_after(passed).into_iter()), known(all[at..].iter().take(1)), "{sequence}");
                assert_eq!(known(parts.after(passed).iter()), known(all[at..].iter()), "{sequence}");
            }
            assert_eq!(known(parts.iter()), known(all.iter()));
            assert_eq!(known(parts.iter().rev()), known(all.iter().rev()));
        }
    }

    #[test]
    fn old_parts_are_read_from_the_file_that_was_opened_and_are_unreadable_if_it_was_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let (rows, filed) = files(dir.path(), COUNT);
        let (parts, all) = loaded(&rows, filed, &[]);
        let path = dir.path().join("rows").join(format!("{}.summaries", session()));
        // More is appended to it, and it is replaced.
        rows.append(session(), &mut filed.clone(), &[FullChunk::of(summary(COUNT), &Chunk::default())]).unwrap();
        let bytes = fs::read(&path).unwrap();
        rows.remove(session()).unwrap();
        assert_eq!(known(parts.iter()), known(all.iter()));
        fs::write(&path, bytes).unwrap();
        for at in [0, 1000, 20_000] {
            let (parts, _) = loaded(&rows, filed, &[]);
            let whole = fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            let old: Vec<&Part> = parts.iter().take(parts.iter().count() - RECENT).collect();
            let [lost] = old[..] else { panic!("{} parts", old.len()) };
            assert!(lost.place.is_none() && lost.chunk.is_none());
            assert_eq!(u64::from(lost.summary.rows), 10 * (COUNT - RECENT as u64));
            fs::write(&path, whole).unwrap();
        }
    }
}
