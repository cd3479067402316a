//! The keys of a rule: lookup without allocation, idle keys forgotten.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::key::Key;

/// Enough that threads seldom contend, few enough to cost nothing when empty.
const SHARDS: usize = 64;
/// Maximum number of keys examined per arrival. An arrival adds at most one key, so two keep up.
const FORGET_PER_ARRIVAL: usize = 2;

/// The keys of a rule.
///
/// Lock order: `idle`, shard, key; a key's lock is never held while taking another.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Box<[Mutex<HashTable<Arc<Key>>>]>,
    /// Randomly seeded, since clients choose the keys.
    hasher: RandomState,
    /// Every key of the shards once, by the instant from which it may be idle.
    idle: Mutex<BinaryHeap<Due>>,
    /// The earliest instant in `idle`, so that arrivals can skip its lock.
    next_idle: AtomicU64,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            idle: Mutex::default(),
            next_idle: AtomicU64::new(u64::MAX),
        }
    }

    /// The key with these parts. A new one may be idle from `idle_at`.
    #[inline]
    pub(crate) fn key(&self, parts: &[&str; 3], idle_at: impl FnOnce() -> u64) -> Arc<Key> {
        let mut hasher = self.hasher.build_hasher();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            part.hash(&mut hasher);
        }
        let hash = hasher.finish();
        let mut shard = self.shard(hash).lock();
        if let Some(key) = shard.find(hash, |key| key.is(parts)) {
            return Arc::clone(key);
        }
        let key = Arc::new(Key::new(hash, parts));
        shard.insert_unique(hash, Arc::clone(&key), |key| key.hash);
        drop(shard);
        self.push_due(&mut self.idle.lock(), Due { at: idle_at(), key: Arc::clone(&key) });
        key
    }

    /// Forgets a bounded number of keys that are idle at `now`. `busy_until` returns until when a key is in use.
    #[inline]
    pub(crate) fn forget_idle(&self, now: u64, busy_until: impl Fn(&Key) -> u64) {
        if self.next_idle.load(atomic::Ordering::Relaxed) <= now {
            self.forget_due(now, busy_until);
        }
    }

    #[cold]
    fn forget_due(&self, now: u64, busy_until: impl Fn(&Key) -> u64) {
        // The holder of the lock is already doing this.
        let Some(mut idle) = self.idle.try_lock() else { return };
        for _ in 0..FORGET_PER_ARRIVAL {
            if idle.peek().is_none_or(|due| due.at > now) {
                break;
            }
            let Some(Due { key, .. }) = idle.pop() else { break };
            let mut shard = self.shard(key.hash).lock();
            // Keys are only handed out under their shard's lock. With no reference but the shard's and this one, none
            // can appear before the key is removed.
            let handed_out = Arc::strong_count(&key) > 2;
            let busy_until = busy_until(&key);
            if handed_out || busy_until > now {
                drop(shard);
                idle.push(Due { at: busy_until.max(now + 1), key });
                continue;
            }
            if let Ok(entry) = shard.find_entry(key.hash, |other| Arc::ptr_eq(other, &key)) {
                entry.remove();
            }
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                let keep = shard.len() * 2;
                shard.shrink_to(keep, |key| key.hash);
            }
        }
        if idle.capacity() > 1024 && idle.len() < idle.capacity() / 8 {
            let keep = idle.len() * 2;
            idle.shrink_to(keep);
        }
        self.note_next(&idle);
    }

    /// All keys, one shard at a time.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Arc<Key>> {
        self.shards.iter().flat_map(|shard| shard.lock().iter().map(Arc::clone).collect::<Vec<_>>())
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<HashTable<Arc<Key>>> {
        // Other bits than the table's own lookup starts with.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    fn push_due(&self, idle: &mut BinaryHeap<Due>, due: Due) {
        idle.push(due);
        self.note_next(idle);
    }

    fn note_next(&self, idle: &BinaryHeap<Due>) {
        let next = idle.peek().map_or(u64::MAX, |due| due.at);
        self.next_idle.store(next, atomic::Ordering::Relaxed);
    }
}

/// When a key may be idle. Reversed, so that the heap yields the earliest.
#[derive(Debug)]
struct Due {
    at: u64,
    key: Arc<Key>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}
