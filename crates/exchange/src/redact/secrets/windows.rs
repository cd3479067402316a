//! Many texts looked for at once.

use std::hash::{BuildHasher as _, RandomState};

use super::TooComplex;

/// The bytes of a window.
const WINDOW: usize = 8;
/// The strides of the search: for a few long texts, and for all others. Each text has as many windows in the table.
const LONG_STRIDE: usize = 32;
const SHORT_STRIDE: usize = 8;
/// How many texts are a few.
const FEW: usize = 64;
/// Marks the end of a chain.
const END: u32 = u32::MAX;
/// The buckets of a small table, which has a filter of 8 KiB.
const FEWEST_BUCKETS: usize = 1 << 12;
/// How many bits of the filter a bucket has.
const FILTER_BITS: usize = 16;

/// The windows of eight bytes of which one is met wherever a text stands, if every `stride`-th window is looked at.
///
/// A filter of bits says of nearly all windows that they are none of these. Texts that begin alike share their entries, so
/// that no window has more of them than a stride is long. Which text stands where a window tells that one may stand is for
/// others to find.
pub(super) struct Windows {
    texts: usize,
    stride: usize,
    entries: Vec<Entry>,
    /// The first entry of each chain; as many as a power of two.
    buckets: Vec<u32>,
    filter: Vec<u64>,
    /// An odd number unknown to those who choose the texts.
    factor: u64,
}

struct Entry {
    window: u64,
    next: u32,
    /// Where in a text the window stands.
    place: u8,
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
    /// Adds a text of 16 bytes or more; says whether the table is still good. Where not it has to be made anew.
    pub(super) fn add(&mut self, value: &[u8]) -> bool {
        self.texts += 1;
        let too_short = value.len() < LONG_STRIDE + WINDOW - 1;
        if self.stride == LONG_STRIDE && (too_short || self.texts > FEW) {
            return false;
        }
        self.put(value);
        true
    }

    /// Makes the table anew, of texts in the order of their places; empty ones are passed over.
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

    /// Calls `stands` with each place in `searched` where a text may begin; it returns the end of one that does.
    pub(super) fn search(
        &self,
        searched: &[u8],
        mut stands: impl FnMut(usize) -> Option<usize>,
    ) -> Result<(), TooComplex> {
        if self.entries.is_empty() {
            return Ok(());
        }
        // What is not made to be slow needs far less.
        let mut left = 4096 + searched.len();
        let mut at = 0;
        while let Some(window) = searched.get(at..).and_then(|rest| rest.first_chunk()) {
            let window = u64::from_le_bytes(*window);
            let mut next = at + self.stride;
            let hash = self.hash(window);
            if self.filter[(hash & (self.filter_bits() - 1)) / 64] >> (hash % 64) & 1 == 1 {
                let mut entry = self.buckets[hash & (self.buckets.len() - 1)];
                while let Some(Entry { window: other, next: following, place }) = self.entries.get(entry as usize) {
                    entry = *following;
                    if *other == window
                        && let Some(start) = at.checked_sub(usize::from(*place))
                    {
                        left = left.checked_sub(1).ok_or(TooComplex)?;
                        if let Some(end) = stands(start) {
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
        for (place, window) in (0..).zip(value.windows(WINDOW)).take(self.stride) {
            let Some(window) = window.first_chunk().map(|window| u64::from_le_bytes(*window)) else { break };
            if !self.has(window, place) {
                self.insert(Entry { window, next: END, place });
            }
        }
    }

    fn has(&self, window: u64, place: u8) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let mut entry = self.buckets[self.hash(window) & (self.buckets.len() - 1)];
        while let Some(found) = self.entries.get(entry as usize) {
            if found.window == window && found.place == place {
                return true;
            }
            entry = found.next;
        }
        false
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() >= self.buckets.len() {
            let buckets = (self.buckets.len() * 2).max(FEWEST_BUCKETS);
            self.buckets.clear();
            self.buckets.resize(buckets, END);
            self.filter.clear();
            self.filter.resize(buckets * FILTER_BITS / 64, 0);
            for place in 0..self.entries.len() {
                self.link(place);
            }
        }
        self.entries.push(entry);
        self.link(self.entries.len() - 1);
    }

    fn link(&mut self, place: usize) {
        let hash = self.hash(self.entries[place].window);
        let bit = hash % self.filter_bits();
        self.filter[bit / 64] |= 1 << (bit % 64);
        let bucket = hash & (self.buckets.len() - 1);
        self.entries[place].next = self.buckets[bucket];
        self.buckets[bucket] = place as u32;
    }

    fn filter_bits(&self) -> usize {
        self.buckets.len() * FILTER_BITS
    }

    fn hash(&self, window: u64) -> usize {
        // The upper bits of a product depend on all of it.
        (window.wrapping_mul(self.factor) >> 32) as usize
    }
}
