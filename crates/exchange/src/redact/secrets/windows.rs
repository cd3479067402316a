//! Multi-pattern search.

use std::hash::{BuildHasher as _, RandomState};

use crate::redact::bounds::TooComplex;

/// Window size in bytes.
const WINDOW: usize = 8;
/// Search strides: for a few long texts, and for all others. Each text contributes as many windows as the stride.
const LONG_STRIDE: usize = 32;
const SHORT_STRIDE: usize = 8;
/// The most texts that count as few.
const FEW: usize = 64;
/// End of a chain.
const END: u32 = u32::MAX;
/// Buckets of the smallest table, whose filter takes 8 KiB.
const MIN_BUCKETS: usize = 1 << 12;
/// Filter bits per bucket.
const FILTER_BITS: usize = 16;

/// A table of eight-byte windows such that checking every `stride`-th window of a text meets at least one of any
/// occurrence.
///
/// A bit filter rules out nearly all windows. Texts with a common prefix share entries, so no window has more of them
/// than the stride. The caller verifies which text, if any, is at a reported position.
pub(super) struct Windows {
    texts: usize,
    stride: usize,
    entries: Vec<Entry>,
    /// The first entry of each chain; a power of two in number.
    buckets: Vec<u32>,
    filter: Vec<u64>,
    /// A random odd multiplier, so that chosen texts can't provoke collisions.
    factor: u64,
}

struct Entry {
    window: u64,
    next: u32,
    /// The window's offset in its text.
    offset: u8,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            texts: 0,
            stride: LONG_STRIDE,
            entries: Vec::new(),
            buckets: Vec::new(),
            filter: Vec::new(),
            factor: RandomState::new().hash_one(WINDOW) | 1,
        }
    }
}

impl Windows {
    /// Adds a text of at least 16 bytes; returns whether the table is still valid. If not, it must be rebuilt.
    pub(super) fn add(&mut self, value: &[u8]) -> bool {
        self.texts += 1;
        let too_short = value.len() < LONG_STRIDE + WINDOW - 1;
        if self.stride == LONG_STRIDE && (too_short || self.texts > FEW) {
            return false;
        }
        self.put(value);
        true
    }

    /// Rebuilds the table from all texts; empty ones are skipped.
    pub(super) fn rebuild<'a>(&mut self, values: impl Iterator<Item = &'a [u8]> + Clone) {
        let shortest = values.clone().filter(|value| !value.is_empty()).map(<[u8]>::len).min();
        self.texts = values.clone().count();
        let few = self.texts <= FEW && shortest.is_none_or(|shortest| shortest >= LONG_STRIDE + WINDOW - 1);
        self.stride = if few { LONG_STRIDE } else { SHORT_STRIDE };
        self.entries.clear();
        self.buckets.clear();
        self.filter.clear();
        values.filter(|value| !value.is_empty()).for_each(|value| self.put(value));
    }

    /// Calls `verify` with each position in `searched` where a text may start; it returns the end of an actual match, or that
    /// there are too many.
    pub(super) fn search(
        &self,
        searched: &[u8],
        mut verify: impl FnMut(usize) -> Result<Option<usize>, TooComplex>,
    ) -> Result<(), TooComplex> {
        if self.entries.is_empty() {
            return Ok(());
        }
        // Ordinary text needs far less.
        let mut left = 4096 + searched.len();
        let mut at = 0;
        while let Some(window) = searched.get(at..).and_then(|rest| rest.first_chunk()) {
            let window = u64::from_le_bytes(*window);
            let mut next = at + self.stride;
            let hash = self.hash(window);
            if self.filter[(hash & (self.filter_bits() - 1)) / 64] >> (hash % 64) & 1 == 1 {
                let mut entry = self.buckets[hash & (self.buckets.len() - 1)];
                while let Some(Entry { window: other, next: following, offset }) = self.entries.get(entry as usize) {
                    entry = *following;
                    if *other == window
                        && let Some(start) = at.checked_sub(usize::from(*offset))
                    {
                        left = left.checked_sub(1).ok_or(TooComplex)?;
                        if let Some(end) = verify(start)? {
                            next = next.max(end.next_multiple_of(self.stride));
                        }
                    }
                }
            }
            at = next;
        }
        Ok(())
    }

    fn put(&mut self, value: &[u8]) {
        for (offset, window) in (0..).zip(value.windows(WINDOW)).take(self.stride) {
            let Some(window) = window.first_chunk().map(|window| u64::from_le_bytes(*window)) else { break };
            if !self.has(window, offset) {
                self.insert(Entry { window, next: END, offset });
            }
        }
    }

    fn has(&self, window: u64, offset: u8) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let mut entry = self.buckets[self.hash(window) & (self.buckets.len() - 1)];
        while let Some(found) = self.entries.get(entry as usize) {
            if found.window == window && found.offset == offset {
                return true;
            }
            entry = found.next;
        }
        false
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() >= self.buckets.len() {
            let buckets = (self.buckets.len() * 2).max(MIN_BUCKETS);
            self.buckets.clear();
            self.buckets.resize(buckets, END);
            self.filter.clear();
            self.filter.resize(buckets * FILTER_BITS / 64, 0);
            for offset in 0..self.entries.len() {
                self.link(offset);
            }
        }
        self.entries.push(entry);
        self.link(self.entries.len() - 1);
    }

    fn link(&mut self, offset: usize) {
        let hash = self.hash(self.entries[offset].window);
        let bit = hash % self.filter_bits();
        self.filter[bit / 64] |= 1 << (bit % 64);
        let bucket = hash & (self.buckets.len() - 1);
        self.entries[offset].next = self.buckets[bucket];
        self.buckets[bucket] = offset as u32;
    }

    fn filter_bits(&self) -> usize {
        self.buckets.len() * FILTER_BITS
    }

    fn hash(&self, window: u64) -> usize {
        // The upper bits of a product depend on all its input.
        (window.wrapping_mul(self.factor) >> 32) as usize
    }
}
