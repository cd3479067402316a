//! How many rows of each kind consecutive full chunks have, so that a filter is counted without their columns.
//!
//! A group is an aid: what it says is used only if it was made of exactly the chunks that the index lists, and a missing or
//! damaged one only costs time.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    io::{self, BufReader, Read as _},
};

use nightaudit_exchange::{Outcome, Pseudonym, SessionId};

use super::{
    chunk::{Chunk, Summary, take},
    columns::Columns,
    packed::{self, Unpacker},
};

/// A group is complete with so many chunks, or as soon as they have so many rows.
const CHUNKS: usize = 16;
const ROWS: u64 = 8192;
/// A group of more kinds is not kept, since it would hardly be shorter than the columns.
const MAX_KINDS: usize = 1024;
/// Nor one whose operations and clients take more bytes.
const MAX_TEXT: usize = 64 << 10;
/// The most groups that are begun at once; that of the session which was stored the longest ago is given up.
const MAX_BEGUN: usize = 16;
/// Maximum size of a stored group, in bytes, so that a damaged length allocates no more.
const MAX_STORED: usize = 4 << 20;

/// What rows of one kind have in common: operation, client, status, outcome, whether they were delayed, and tokens.
type Kind = (u16, u16, u16, Outcome, bool, Option<Pseudonym>, Option<Pseudonym>);

/// The kinds of the rows of consecutive chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// A row for each kind; see [`Columns`].
    pub(crate) kinds: Chunk,
    /// How many rows there are of each kind.
    pub(crate) counts: Vec<u32>,
}

/// A group that is not complete.
#[derive(Debug, Default)]
struct Begun {
    group: Group,
    known: HashMap<Kind, usize>,
    chunks: usize,
    rows: u64,
    first: u64,
    last: u64,
    /// The checksum of their summaries.
    sum: u32,
    is_too_wide: bool,
}

/// The groups that are begun, the one that was added to last at the end.
#[derive(Debug, Default)]
pub(super) struct Grouping(VecDeque<(SessionId, Begun)>);

impl Grouping {
    /// Adds a chunk that comes after the others of its session; returns what to store of a group that is complete with it.
    pub(super) fn add(&mut self, session: SessionId, summary: &Summary, columns: &Columns) -> Option<Vec<u8>> {
        let mut begun = self.take(session).unwrap_or_default();
        if begun.chunks > 0 && summary.first <= begun.last {
            begun = Begun::default();
        }
        begun.add(summary, columns);
        if is_complete(begun.chunks, begun.rows) {
            return (!begun.is_too_wide).then(|| begun.to_bytes());
        }
        if self.0.len() >= MAX_BEGUN {
            self.0.pop_front();
        }
        self.0.push_back((session, begun));
        None
    }

    /// Gives up the group of a session.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.take(session);
    }

    fn take(&mut self, session: SessionId) -> Option<Begun> {
        let at = self.0.iter().position(|(known, _)| *known == session)?;
        self.0.remove(at).map(|(_, begun)| begun)
    }
}

fn is_complete(chunks: usize, rows: u64) -> bool {
    chunks >= CHUNKS || rows >= ROWS
}

/// How many of these consecutive chunks make a group; `None` if they are too few.
pub(crate) fn group_length<'s>(summaries: impl Iterator<Item = &'s Summary>) -> Option<usize> {
    let mut rows = 0;
    let mut chunks = 0;
    for summary in summaries {
        (chunks, rows) = (chunks + 1, rows + u64::from(summary.rows));
        if is_complete(chunks, rows) {
            return Some(chunks);
        }
    }
    None
}

impl Begun {
    fn add(&mut self, summary: &Summary, columns: &Columns) {
        if self.chunks == 0 {
            self.first = summary.first;
        }
        self.chunks += 1;
        self.rows += u64::from(summary.rows);
        self.last = summary.last;
        self.sum = crc32c::crc32c_append(self.sum, &summary.to_bytes());
        if self.is_too_wide {
            return;
        }
        let mut counts = vec![0; columns.kinds.rows.len()];
        for kind in &columns.kind {
            if let Some(count) = counts.get_mut(usize::from(*kind)) {
                *count += 1;
            }
        }
        let Group { kinds, counts: totals } = &mut self.group;
        for (row, count) in columns.kinds.rows.iter().zip(counts) {
            let row = kinds.adopt(*row, &columns.kinds);
            let kind =
                (row.operation, row.client, row.status, row.outcome, row.delayed, row.access_token, row.client_token);
            let at = *self.known.entry(kind).or_insert_with(|| {
                kinds.rows.push(row);
                totals.push(0);
                totals.len() - 1
            });
            totals[at] += count;
        }
        if kinds.rows.len() > MAX_KINDS || kinds.text() > MAX_TEXT {
            self.is_too_wide = true;
            (self.group, self.known) = Default::default();
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        self.group.kinds.write(&mut raw);
        self.group.counts.iter().for_each(|count| raw.extend(count.to_le_bytes()));
        let packed = packed::pack(&raw);
        let mut out = Vec::with_capacity(HEAD + packed.len());
        out.extend(self.first.to_le_bytes());
        out.extend(self.last.to_le_bytes());
        out.extend(self.sum.to_le_bytes());
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
        let sum = crc32c::crc32c(&out);
        out.extend(sum.to_le_bytes());
        out
    }
}

impl Group {
    fn from_bytes(mut raw: &[u8]) -> Option<Self> {
        let kinds = Chunk::read(&mut raw)?;
        let (counts, rest) = raw.as_chunks();
        let counts: Vec<u32> = counts.iter().map(|count| u32::from_le_bytes(*count)).collect();
        (rest.is_empty() && counts.len() == kinds.rows.len()).then_some(Self { kinds, counts })
    }
}

/// What comes before a stored group, in bytes: the sequence numbers of its first and last row, the checksum of its chunks'
/// summaries, and how many bytes it has.
const HEAD: usize = 8 + 8 + 4 + 4;

/// A stored group, of which only is known which chunks it has.
#[derive(Debug)]
pub(crate) struct StoredGroup {
    pub(crate) first: u64,
    last: u64,
    sum: u32,
    packed: Vec<u8>,
}

impl StoredGroup {
    /// Whether it was made of chunks with these summaries.
    pub(crate) fn is_of<'s>(&self, summaries: impl Iterator<Item = &'s Summary>) -> bool {
        let (mut sum, mut last) = (0, 0);
        for summary in summaries {
            sum = crc32c::crc32c_append(sum, &summary.to_bytes());
            last = summary.last;
        }
        (last, sum) == (self.last, self.sum)
    }

    /// Unpacks it; `None` if it is not what was written.
    pub(super) fn unpack(&self, unpacker: &Unpacker) -> Option<Group> {
        Group::from_bytes(&unpacker.unpack(&self.packed)?)
    }

    fn read(file: &mut impl io::Read) -> Option<Self> {
        let mut head = [0; HEAD];
        file.read_exact(&mut head).ok()?;
        let mut rest = &head[..];
        let (first, last) = (u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?));
        let (sum_of_chunks, length) =
            (u32::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?) as usize);
        if length > MAX_STORED {
            return None;
        }
        let mut packed = vec![0; length];
        let mut sum = [0; 4];
        file.read_exact(&mut packed).and_then(|()| file.read_exact(&mut sum)).ok()?;
        let is_whole = crc32c::crc32c_append(crc32c::crc32c(&head), &packed) == u32::from_le_bytes(sum);
        is_whole.then_some(Self { first, last, sum: sum_of_chunks, packed })
    }
}

/// The groups of a session, in the order of its rows; up to one that is damaged, or the end.
#[derive(Debug)]
pub(crate) struct Groups(Option<BufReader<fs::File>>);

impl Groups {
    pub(super) fn of(file: Option<fs::File>) -> Self {
        Self(file.map(BufReader::new))
    }
}

impl Iterator for Groups {
    type Item = StoredGroup;

    fn next(&mut self) -> Option<StoredGroup> {
        let group = self.0.as_mut().and_then(|file| StoredGroup::read(&mut file.by_ref()));
        if group.is_none() {
            self.0 = None;
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::ExchangeId;

    use super::*;
    use crate::index::{
        chunk::{BlockAt, MIN_ROWS},
        row::{ROW, Row},
    };

    const SESSION: SessionId = SessionId::from_parts(1, 1);

    /// A full chunk whose rows have so many statuses and operations.
    fn chunk(number: u64, statuses: u64, operations: u64) -> (Summary, Columns) {
        let mut chunk = Chunk::default();
        let mut summary: Option<Summary> = None;
        for at in 0..MIN_ROWS as u64 {
            let number = number * MIN_ROWS as u64 + at;
            let mut row = Row::read(&[0; ROW]).unwrap();
            (row.sequence, row.id) = (number + 1, ExchangeId::from_parts(number, 1));
            row.status = (number % statuses) as u16;
            row.access_token = (!number.is_multiple_of(3)).then_some(Pseudonym([number as u8 % 3; 6]));
            let operation = format!("operation/{}", number % operations);
            let client = format!("client {}", number % 2);
            let row = chunk.push(
                row,
                (&operation, (!number.is_multiple_of(5)).then_some(&client)),
                BlockAt { segment: 1, offset: 0 },
            );
            match &mut summary {
                Some(summary) => summary.add(&row),
                None => summary = Some(Summary::of(&row)),
            }
        }
        (summary.unwrap(), Columns::of(&chunk))
    }

    /// Adds chunks, and returns the bytes of the groups.
    fn grouped(grouping: &mut Grouping, chunks: &[(Summary, Columns)]) -> Vec<u8> {
        chunks.iter().filter_map(|(summary, columns)| grouping.add(SESSION, summary, columns)).flatten().collect()
    }

    fn read(bytes: &[u8]) -> Vec<StoredGroup> {
        let mut rest = bytes;
        std::iter::from_fn(|| StoredGroup::read(&mut rest)).collect()
    }

    /// How many rows there are of each kind, by its texts.
    fn totals<'c>(kinds: &'c Chunk, counts: &[u32]) -> HashMap<(&'c str, &'c str, u16, Option<Pseudonym>), u32> {
        let mut totals = HashMap::new();
        for (row, count) in kinds.rows.iter().zip(counts) {
            let client = usize::from(row.client).checked_sub(1).map_or("", |client| &kinds.clients[client]);
            let kind = (&*kinds.operations[usize::from(row.operation)], client, row.status, row.access_token);
            *totals.entry(kind).or_default() += count;
        }
        totals
    }

    #[test]
    fn a_group_counts_what_its_chunks_have() {
        let chunks: Vec<_> = (0..CHUNKS as u64 * 2 + 5).map(|number| chunk(number, 7, 4 + number % 3)).collect();
        let mut grouping = Grouping::default();
        let bytes = grouped(&mut grouping, &chunks);
        let stored = read(&bytes);
        assert_eq!(stored.len(), 2);
        for (group, chunks) in stored.iter().zip(chunks.chunks(CHUNKS)) {
            assert_eq!(group.first, chunks[0].0.first);
            let summaries = || chunks.iter().map(|(summary, _)| summary);
            assert!(group.is_of(summaries()) && !group.is_of(summaries().take(CHUNKS - 1)));
            // The same sequence numbers, written at another time.
            let mut others: Vec<Summary> = summaries().copied().collect();
            others[3].written.0 += 1;
            assert!(!group.is_of(others.iter()));
            let group = group.unpack(&Unpacker::default()).unwrap();
            assert_eq!(group.counts.iter().sum::<u32>() as usize, CHUNKS * MIN_ROWS);
            let mut expected = HashMap::new();
            for (_, columns) in chunks {
                let mut counts = vec![0; columns.kinds.rows.len()];
                columns.kind.iter().for_each(|kind| counts[usize::from(*kind)] += 1);
                for (kind, count) in totals(&columns.kinds, &counts) {
                    *expected.entry(kind).or_default() += count;
                }
            }
            assert_eq!(totals(&group.kinds, &group.counts), expected);
        }
        // Five chunks are of a group that isn't complete.
        assert_eq!(grouping.0[0].1.chunks, 5);
        grouping.forget(SESSION);
        assert!(grouping.0.is_empty());
    }

    #[test]
    fn a_group_of_larger_chunks_has_fewer() {
        let of = |rows: u32| Summary { rows, ..Summary::of(&Row::read(&[0; ROW]).unwrap()) };
        let lengths = |rows: &[u32]| {
            let summaries: Vec<Summary> = rows.iter().map(|rows| of(*rows)).collect();
            group_length(summaries.iter())
        };
        assert_eq!(lengths(&[512; 20]), Some(16));
        assert_eq!(lengths(&[1024; 20]), Some(8));
        assert_eq!(lengths(&[2048; 20]), Some(4));
        assert_eq!(lengths(&[100; 20]), Some(16));
        assert_eq!(lengths(&[1024, 2048, 2048, 2048, 2048]), Some(5));
        assert_eq!((lengths(&[512; 15]), lengths(&[])), (None, None));
        // It is written when as many were added.
        let (_, columns) = chunk(0, 3, 2);
        for rows in [100, 512, 1024, 2048] {
            let mut grouping = Grouping::default();
            let mut add =
                |number: u64| grouping.add(SESSION, &Summary { first: number, last: number, ..of(rows) }, &columns);
            let added = (1..20).find(|number| add(*number).is_some());
            assert_eq!(added, lengths(&[rows; 20]).map(|length| length as u64));
        }
    }

    #[test]
    fn a_damaged_group_ends_the_list() {
        let chunks: Vec<_> = (0..CHUNKS as u64 * 2).map(|number| chunk(number, 3, 2)).collect();
        let bytes = grouped(&mut Grouping::default(), &chunks);
        let length = bytes.len() / 2;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x11;
            assert!(read(&damaged).len() <= at / length, "{at}");
            assert!(read(&bytes[..at]).len() <= at / length, "{at}");
        }
        assert_eq!(read(&bytes).len(), 2);
    }

    #[test]
    fn what_has_too_many_kinds_is_not_kept_and_few_groups_are_begun() {
        let mut grouping = Grouping::default();
        let wide: Vec<_> = (0..CHUNKS as u64).map(|number| chunk(number, 997, 512)).collect();
        assert!(grouped(&mut grouping, &wide).is_empty());
        let chunks: Vec<_> = (CHUNKS as u64..CHUNKS as u64 * 2).map(|number| chunk(number, 3, 2)).collect();
        assert_eq!(read(&grouped(&mut grouping, &chunks)).len(), 1);
        for session in 0..MAX_BEGUN as u64 * 2 {
            assert_eq!(grouping.add(SessionId::from_parts(session, 2), &chunks[0].0, &chunks[0].1), None);
            assert!(grouping.0.len() <= MAX_BEGUN);
        }
        // What was stored before begins a group anew.
        let mut grouping = Grouping::default();
        grouped(&mut grouping, &chunks[..10]);
        grouped(&mut grouping, &chunks[..3]);
        assert_eq!(grouping.0[0].1.chunks, 3);
    }
}
