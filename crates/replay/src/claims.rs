//! Which recordings have been served.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

/// A bit for each recording, and where to look next in large groups.
#[derive(Debug)]
pub(crate) struct Claims {
    bits: Box<[AtomicU64]>,
    /// How many at the beginning of a group are served, by the address of the group's first entry.
    served: Mutex<HashMap<usize, usize>>,
}

/// Groups up to this size are searched from their beginning.
const SMALL: usize = 32;

impl Claims {
    pub(crate) fn new(recordings: usize) -> Self {
        let bits = std::iter::repeat_with(AtomicU64::default).take(recordings.div_ceil(64)).collect();
        Self { bits, served: Mutex::default() }
    }

    /// Takes the next of a group of recordings that is not served yet; `None` if all are. `group` identifies it.
    pub(crate) fn next(&self, group: usize, length: usize, member: impl Fn(usize) -> u32) -> Option<u32> {
        let is_large = length > SMALL;
        let start = if is_large { self.served.lock().get(&group).copied().unwrap_or(0) } else { 0 };
        let place = (start..length).find(|place| self.take(member(*place)));
        if is_large {
            self.advance(group, place.map_or(length, |place| place + 1));
        }
        place.map(member)
    }

    /// The one that [`next`](Self::next) would take.
    pub(crate) fn peek(&self, group: usize, length: usize, member: impl Fn(usize) -> u32) -> Option<u32> {
        let is_large = length > SMALL;
        let start = if is_large { self.served.lock().get(&group).copied().unwrap_or(0) } else { 0 };
        let place = (start..length).find(|place| !self.is_served(member(*place)));
        if is_large {
            self.advance(group, place.unwrap_or(length));
        }
        place.map(member)
    }

    /// Notes that so many at the beginning of a group are served.
    fn advance(&self, group: usize, upto: usize) {
        let mut served = self.served.lock();
        let known = served.entry(group).or_default();
        *known = (*known).max(upto);
    }

    /// Whether a recording has been served.
    pub(crate) fn is_served(&self, recording: u32) -> bool {
        let (word, bit) = place(recording);
        self.bits[word].load(Ordering::Relaxed) & bit != 0
    }

    /// Marks a recording as served; returns whether it wasn't.
    pub(crate) fn take(&self, recording: u32) -> bool {
        let (word, bit) = place(recording);
        self.bits[word].fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

fn place(recording: u32) -> (usize, u64) {
    (recording as usize / 64, 1 << (recording % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_is_taken_once_and_in_order() {
        for length in [1, SMALL, SMALL + 1, 200] {
            let claims = Claims::new(400);
            let member = |place: usize| u32::try_from(2 * place).unwrap();
            // One that another group took first.
            assert!(claims.take(member(length / 2)));
            let take = || {
                let expected = claims.peek(7, length, member);
                let taken = claims.next(7, length, member);
                assert_eq!(taken, expected);
                taken
            };
            let taken: Vec<u32> = std::iter::from_fn(take).collect();
            let wanted: Vec<u32> = (0..length).filter(|place| *place != length / 2).map(member).collect();
            assert_eq!(taken, wanted);
            assert!((0..length).all(|place| claims.is_served(member(place))) && !claims.is_served(1));
        }
    }

    #[test]
    fn threads_take_different_members() {
        let claims = Claims::new(4000);
        let mut taken: Vec<u32> = std::thread::scope(|scope| {
            let work = || std::iter::from_fn(|| claims.next(0, 4000, |place| place as u32)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..4000));
    }
}
