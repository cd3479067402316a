//! Consecutive rows of one session, as the index stores them.

use nightaudit_exchange::{ExchangeId, Statuses, Timestamp};

use super::{
    packed,
    row::{ROW, Row},
};

/// Maximum number of rows in a session's first chunks.
pub(crate) const MIN_ROWS: usize = 512;
/// Maximum number of rows in any chunk.
const MAX_ROWS: usize = 2048;
/// After so many chunks, the next ones have twice as many rows.
const GROWS_AFTER: usize = 64;
/// The bytes of operations and clients above which a chunk takes no more rows.
const MAX_TEXT: usize = 64 << 10;

/// The location of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockAt {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

/// Rows, with what several of them share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) rows: Vec<Row>,
    pub(crate) blocks: Vec<BlockAt>,
    pub(crate) operations: Vec<Box<str>>,
    pub(crate) clients: Vec<Box<str>>,
    text: usize,
}

impl Chunk {
    /// How many rows the next chunk of a session may have that has so many chunks.
    ///
    /// What is known of each chunk is in memory, and read when the log is opened. Larger chunks make that less, but one is
    /// unpacked whole for a single row.
    pub(crate) fn capacity(chunks: usize) -> usize {
        (MIN_ROWS << (chunks / GROWS_AFTER).min(8)).min(MAX_ROWS)
    }

    /// Whether it takes no more rows, of which it may have `capacity`.
    pub(crate) fn is_full(&self, capacity: usize) -> bool {
        self.rows.len() >= capacity || self.text > MAX_TEXT
    }

    pub(crate) fn push(&mut self, mut row: Row, texts: (&str, Option<&str>), block: BlockAt) -> Row {
        let (operation, client) = texts;
        if self.blocks.last() != Some(&block) {
            self.blocks.push(block);
        }
        row.block = (self.blocks.len() - 1) as u16;
        row.operation = intern(&mut self.operations, &mut self.text, operation);
        if let Some(client) = client {
            row.client = intern(&mut self.clients, &mut self.text, client) + 1;
        }
        self.rows.push(row);
        row
    }

    /// A row of another chunk with its texts as they are numbered here.
    pub(super) fn adopt(&mut self, mut row: Row, of: &Self) -> Row {
        if let Some(operation) = of.operations.get(usize::from(row.operation)) {
            row.operation = intern(&mut self.operations, &mut self.text, operation);
        }
        if let Some(client) = usize::from(row.client).checked_sub(1).and_then(|client| of.clients.get(client)) {
            row.client = intern(&mut self.clients, &mut self.text, client) + 1;
        }
        row
    }

    /// The bytes of its operations and clients.
    pub(super) fn text(&self) -> usize {
        self.text
    }

    /// Its texts, without rows.
    pub(super) fn texts(&self) -> Self {
        Self { operations: self.operations.clone(), clients: self.clients.clone(), ..Self::default() }
    }

    pub(crate) fn block(&self, row: &Row) -> Option<BlockAt> {
        self.blocks.get(usize::from(row.block)).copied()
    }

    /// The chunk as stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.rows.len() * ROW + self.blocks.len() * 12 + self.text);
        self.write(&mut out);
        packed::pack(&out)
    }

    /// Parses an unpacked chunk; `None` if it is damaged.
    pub(crate) fn from_bytes(raw: &[u8]) -> Option<Self> {
        Self::read(&mut &raw[..])
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for count in [self.rows.len(), self.blocks.len(), self.operations.len(), self.clients.len()] {
            out.extend((count as u32).to_le_bytes());
        }
        for row in &self.rows {
            row.write(out);
        }
        for block in &self.blocks {
            out.extend(block.segment.to_le_bytes());
            out.extend(block.offset.to_le_bytes());
        }
        for text in self.operations.iter().chain(&self.clients) {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(super) fn read(rest: &mut &[u8]) -> Option<Self> {
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = u32::from_le_bytes(take(rest)?) as usize;
        }
        let [rows, blocks, operations, clients] = counts;
        let mut chunk = Self { rows: Vec::with_capacity(rows.min(rest.len() / ROW)), ..Self::default() };
        for _ in 0..rows {
            chunk.rows.push(Row::read(&take(rest)?)?);
        }
        for _ in 0..blocks {
            let segment = u32::from_le_bytes(take(rest)?);
            chunk.blocks.push(BlockAt { segment, offset: u64::from_le_bytes(take(rest)?) });
        }
        for index in 0..operations.checked_add(clients)? {
            let length = u32::from_le_bytes(take(rest)?) as usize;
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            let list = if index < operations { &mut chunk.operations } else { &mut chunk.clients };
            list.push(str::from_utf8(text).ok()?.into());
        }
        Some(chunk)
    }
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn intern(list: &mut Vec<Box<str>>, bytes: &mut usize, text: &str) -> u16 {
    // Clients call a few operations repeatedly; a scan of many paths is not worth a full search.
    if let Some(back) = list.iter().rev().take(64).position(|known| **known == *text) {
        return (list.len() - 1 - back) as u16;
    }
    *bytes += text.len();
    list.push(text.into());
    (list.len() - 1) as u16
}

/// Classes of statuses: a bit each for 1xx to 5xx, for 429, which is not part of 4xx here, for other statuses, and for
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusClasses(u8);

impl StatusClasses {
    /// The class of a row's status, which is 0 if there is none.
    pub(crate) fn of(status: u16) -> Self {
        Self(match status {
            0 => 1,
            429 => 1 << 6,
            100..600 => 1 << (status / 100),
            _ => 1 << 7,
        })
    }

    /// The classes that statuses of the set belong to.
    pub(crate) fn of_set(statuses: &Statuses) -> Self {
        let all = statuses.ranges().iter().flat_map(|range| range.clone().filter(|status| *status < 1000));
        all.fold(Self(0), |classes, status| classes.with(Self::of(status)))
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn overlap(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What is known of a chunk without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) rows: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) written: (u64, u64),
    pub(crate) ids: (ExchangeId, ExchangeId),
    pub(crate) started: (i64, i64),
    /// When the last of them ended, in microseconds since the epoch.
    pub(crate) ended: i64,
    pub(crate) statuses: StatusClasses,
}

/// The size of a stored summary, in bytes.
pub(super) const SUMMARY: usize = 4 + 8 * 7 + 32 + 1;

impl Summary {
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            rows: 1,
            first: row.sequence,
            last: row.sequence,
            written: (row.written, row.written),
            ids: (row.id, row.id),
            started: (row.started, row.started),
            ended: row.ended(),
            statuses: StatusClasses::of(row.status),
        }
    }

    pub(crate) fn add(&mut self, row: &Row) {
        self.rows += 1;
        self.last = row.sequence;
        self.written.1 = row.written;
        self.ids = (self.ids.0.min(row.id), self.ids.1.max(row.id));
        self.started = (self.started.0.min(row.started), self.started.1.max(row.started));
        self.ended = self.ended.max(row.ended());
        self.statuses = self.statuses.with(StatusClasses::of(row.status));
    }

    /// What is known of both chunks together.
    pub(super) fn joined(self, other: Self) -> Self {
        let (first, last) = if self.first <= other.first { (self, other) } else { (other, self) };
        Self {
            rows: self.rows.saturating_add(other.rows),
            first: first.first,
            last: last.last,
            written: (first.written.0, last.written.1),
            ids: (self.ids.0.min(other.ids.0), self.ids.1.max(other.ids.1)),
            started: (self.started.0.min(other.started.0), self.started.1.max(other.started.1)),
            ended: self.ended.max(other.ended),
            statuses: self.statuses.with(other.statuses),
        }
    }

    pub(crate) fn first_started(&self) -> Timestamp {
        Timestamp::from_micros(self.started.0)
    }

    pub(crate) fn last_started(&self) -> Timestamp {
        Timestamp::from_micros(self.started.1)
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUMMARY);
        out.extend(self.rows.to_le_bytes());
        for number in [self.first, self.last, self.written.0, self.written.1] {
            out.extend(number.to_le_bytes());
        }
        for time in [self.started.0, self.started.1, self.ended] {
            out.extend(time.to_le_bytes());
        }
        out.extend(self.ids.0.to_bytes());
        out.extend(self.ids.1.to_bytes());
        out.push(self.statuses.0);
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let rows = u32::from_le_bytes(take(&mut rest)?);
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = u64::from_le_bytes(take(&mut rest)?);
        }
        let [first, last, from, to, earliest, latest, ended] = numbers;
        let ids = (ExchangeId::from_bytes(take(&mut rest)?), ExchangeId::from_bytes(take(&mut rest)?));
        Some(Self {
            rows,
            first,
            last,
            written: (from, to),
            ids,
            started: (earliest.cast_signed(), latest.cast_signed()),
            ended: ended.cast_signed(),
            statuses: StatusClasses(u8::from_le_bytes(take(&mut rest)?)),
        })
    }
}
