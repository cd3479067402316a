//! Keeping a body for the record while it flows by.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use nightaudit_exchange::{CapturedBody, Digest, FailureKind};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reply::Stop;

/// So much of each body is kept whatever the others take, so that small ones cost no accounting.
pub(crate) const FREE: usize = 16 << 10;

/// The memory that all bodies together may take which are kept for the record, beyond the first 16 KiB of each.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }
}

/// The memory for what is held of requests until it can be forwarded, or for as long as it may have to be sent again,
/// beyond the first 16 KiB of each.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    all: u32,
}

impl Room {
    /// Room beside what is kept for the record: a quarter as much, and never too little for a few bodies.
    pub(crate) fn beside(kept: usize) -> Self {
        let all = u32::try_from((kept / 4).max(4 << 20)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    fn cost(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.all)
    }

    /// Room for so many bytes, if it is there.
    pub(crate) fn at_once(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(self.cost(bytes)).ok()
    }

    /// Waits for room for so many bytes, first come first served.
    ///
    /// # Errors
    ///
    /// [`FailureKind::Overloaded`] where there is none in time.
    pub(crate) async fn wait(&self, bytes: usize, patience: Duration) -> Result<OwnedSemaphorePermit, Stop> {
        let room = Arc::clone(&self.free).acquire_many_owned(self.cost(bytes));
        match tokio::time::timeout(patience, room).await {
            Ok(Ok(room)) => Ok(room),
            _ => {
                let message = "too many requests have large bodies without a token at the beginning: there was no memory \
                               for this one in time (`body.keep_total`)";
                Err(Stop::failed(FailureKind::Overloaded, message))
            }
        }
    }
}

/// What a body takes of the budget.
struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    fn grow(&mut self, bytes: usize) -> bool {
        let taken =
            self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A piece of up to this many bytes is copied. A handle to it would keep the buffer that it was read into, so that the
/// connection would have to allocate another for its next message, which costs more than the copy.
const COPIED: usize = 4096;

/// Gathers the pieces of a body: the first `limit` bytes, mostly as handles, and of a longer body the digest.
pub(crate) struct Keeper {
    kept: Vec<Bytes>,
    length: u64,
    limit: usize,
    /// What of `limit` is left.
    room: usize,
    held: Held,
    /// Made only when a body turns out longer than what is kept: the recorder's thread hashes all others.
    hasher: Option<Sha256>,
}

impl Keeper {
    pub(crate) fn new(limit: usize, budget: &Arc<Budget>) -> Self {
        let held = Held { budget: Arc::clone(budget), bytes: 0 };
        Self { kept: Vec::new(), length: 0, limit, room: limit, held, hasher: None }
    }

    /// A body of which it is known beforehand that it is `length` bytes long: hashed from the start where it won't be
    /// kept whole, rather than all at once when the limit is passed.
    pub(crate) fn expecting(limit: usize, length: Option<u64>, budget: &Arc<Budget>) -> Self {
        let mut keeper = Self::new(limit, budget);
        if length.is_some_and(|length| length > limit as u64) {
            keeper.hasher = Some(Sha256::new());
        }
        keeper
    }

    pub(crate) fn push(&mut self, piece: &Bytes) {
        let kept = self.limit - self.room + piece.len().min(self.room);
        if kept > FREE + self.held.bytes && !self.held.grow(kept - FREE - self.held.bytes) {
            // Nothing is left for it: what is kept ends here, and the rest is counted and hashed.
            self.room = 0;
        }
        self.length += piece.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        } else if piece.len() > self.room {
            let mut hasher = Sha256::new();
            for kept in &self.kept {
                hasher.update(kept);
            }
            hasher.update(piece);
            self.hasher = Some(hasher);
        }
        let fits = piece.len().min(self.room);
        if fits > 0 {
            let piece = if fits <= COPIED { Bytes::copy_from_slice(&piece[..fits]) } else { piece.slice(..fits) };
            self.kept.push(piece);
            self.room -= fits;
        }
    }

    /// How many bytes have passed.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What was gathered, leaving nothing.
    pub(crate) fn take(&mut self) -> CapturedBody {
        let budget = Arc::clone(&self.held.budget);
        let done = std::mem::replace(self, Self::new(self.limit, &budget));
        // A body that was announced as too long and broke off before that is kept whole; its digest holds all the same.
        CapturedBody {
            kept: done.kept,
            length: done.length,
            sha256: done.hasher.map(|hasher| Digest(hasher.finalize().into())),
            held: (done.held.bytes > 0).then(|| Box::new(done.held) as _),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn regression_the_bodies_of_many_connections_together_took_memory_without_bound() {
        let budget = Budget::new(100 << 10);
        let keep = |size: usize| {
            let mut keeper = Keeper::new(8 << 20, &budget);
            (0..size / 1024).for_each(|_| keeper.push(&Bytes::from_static(&[b'x'; 1024])));
            keeper.take()
        };
        let kept = |body: &CapturedBody| body.kept.iter().map(Bytes::len).sum::<usize>() >> 10;
        let (first, second) = (keep(90 << 10), keep(90 << 10));
        assert_eq!((kept(&first), kept(&second)), (90, 16 + 100 - 74));
        assert_eq!((second.length, second.sha256), (90 << 10, Some(Digest::of(&[b'x'; 90 << 10]))));
        assert_eq!(kept(&keep(16 << 10)), 16);
        // What was recorded makes room.
        drop((first, second));
        assert_eq!(kept(&keep(90 << 10)), 90);
        assert_eq!(budget.left.load(Ordering::Relaxed), 100 << 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_until_it_can_be_forwarded_has_a_bound_and_is_waited_for() {
        let room = Room::beside(16 << 20);
        let held: Vec<_> = (0..4).map(|_| room.at_once(1 << 20).unwrap()).collect();
        assert!(room.at_once(1).is_none());
        let Err(Stop::Failed(failure)) = room.wait(1 << 20, Duration::from_secs(30)).await else { panic!("room") };
        assert_eq!(failure.kind, FailureKind::Overloaded);
        drop(held);
        assert!(room.wait(1 << 20, Duration::from_secs(30)).await.is_ok());
        // However little is kept, and however large a body is.
        assert!(Room::beside(0).at_once(100 << 20).is_some());
    }

    proptest! {
        #[test]
        fn the_beginning_is_kept_and_the_whole_is_counted_and_hashed(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12),
            limit in 0_usize..100,
            announced in any::<bool>(),
        ) {
            let whole = pieces.concat();
            let mut keeper = Keeper::expecting(limit, announced.then_some(whole.len() as u64), &Budget::new(100));
            for piece in pieces {
                keeper.push(&piece.into());
            }
            let body = keeper.take();
            prop_assert_eq!(body.length, whole.len() as u64);
            prop_assert_eq!(body.kept.concat(), &whole[..whole.len().min(limit)]);
            prop_assert_eq!(body.sha256, (whole.len() > limit).then(|| Digest::of(&whole)));
        }
    }
}
