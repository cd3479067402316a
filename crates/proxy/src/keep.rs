//! Keeping a body for the record while it flows by.

use bytes::Bytes;
use nightaudit_exchange::{CapturedBody, Digest};
use sha2::{Digest as _, Sha256};

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
    /// Made only when a body turns out longer than what is kept: the recorder's thread hashes all others.
    hasher: Option<Sha256>,
}

impl Keeper {
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), length: 0, limit, room: limit, hasher: None }
    }

    /// A body of which it is known beforehand that it is `length` bytes long: hashed from the start where it won't be
    /// kept whole, rather than all at once when the limit is passed.
    pub(crate) fn expecting(limit: usize, length: Option<u64>) -> Self {
        let mut keeper = Self::new(limit);
        if length.is_some_and(|length| length > limit as u64) {
            keeper.hasher = Some(Sha256::new());
        }
        keeper
    }

    pub(crate) fn push(&mut self, piece: &Bytes) {
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
        let done = std::mem::replace(self, Self::new(self.limit));
        // A body that was announced as too long and broke off before that is kept whole; its digest holds all the same.
        CapturedBody {
            kept: done.kept,
            length: done.length,
            sha256: done.hasher.map(|hasher| Digest(hasher.finalize().into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_beginning_is_kept_and_the_whole_is_counted_and_hashed(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12),
            limit in 0_usize..100,
            announced in any::<bool>(),
        ) {
            let whole = pieces.concat();
            let mut keeper = Keeper::expecting(limit, announced.then_some(whole.len() as u64));
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
