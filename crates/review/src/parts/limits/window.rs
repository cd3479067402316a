//! A sliding window over the times of sending.

use std::collections::VecDeque;

/// The most sends that a window holds: 8 MiB of them.
const MOST: usize = 1 << 20;

/// The sends of the last while, as of the newest.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Its length in microseconds: sent at `t`, a request is in every window that ends from `t` until before `t + length`.
    length: i64,
    sends: VecDeque<i64>,
    overfull: bool,
}

impl Window {
    pub(crate) fn new(length: i64) -> Self {
        Self { length, sends: VecDeque::new(), overfull: false }
    }

    /// Takes in a send. Returns how many are in the window that ends with the newest one, and when the first was.
    ///
    /// One that comes later than its time is put in its place, if the window still reaches there.
    pub(crate) fn push(&mut self, at: i64) -> (u32, i64) {
        match self.sends.back() {
            Some(newest) if at < *newest => {
                if at.saturating_add(self.length) > *newest {
                    let place = self.sends.partition_point(|send| *send <= at);
                    self.sends.insert(place, at);
                }
            }
            _ => self.sends.push_back(at),
        }
        let newest = self.sends.back().copied().unwrap_or(at);
        while self.sends.front().is_some_and(|oldest| oldest.saturating_add(self.length) <= newest) {
            self.sends.pop_front();
        }
        if self.sends.len() > MOST {
            self.sends.pop_front();
            self.overfull = true;
        }
        if self.sends.capacity() > 1024 && self.sends.len() * 8 < self.sends.capacity() {
            self.sends.shrink_to(self.sends.len() * 2);
        }
        (u32::try_from(self.sends.len()).unwrap_or(u32::MAX), self.sends.front().copied().unwrap_or(at))
    }

    /// Whether there were more sends than are kept.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overfull
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fullest window, counted the long way.
    fn brute_force(sends: &[i64], length: i64) -> usize {
        let ending_at = |end: i64| sends.iter().filter(|send| **send > end - length && **send <= end).count();
        sends.iter().map(|end| ending_at(*end)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn the_fullest_window_is_the_one_that_counting_finds(
            mut sends in prop::collection::vec(0_i64..3000, 1..120), length in 1_i64..400,
        ) {
            sends.sort_unstable();
            let mut window = Window::new(length);
            let fullest = sends.iter().map(|send| window.push(*send).0).max().unwrap();
            prop_assert_eq!(fullest as usize, brute_force(&sends, length));
        }
    }

    #[test]
    fn a_send_leaves_when_its_place_is_free() {
        let mut window = Window::new(30);
        assert_eq!(window.push(0), (1, 0));
        assert_eq!(window.push(29), (2, 0));
        assert_eq!(window.push(30), (2, 29));
        // Late, but still in the window.
        assert_eq!(window.push(10), (3, 10));
        // Too late for any window that can be told.
        assert_eq!(window.push(0), (3, 10));
    }
}
