//! A sliding window over the times of sending.

use std::collections::VecDeque;

/// The most sends in a window; 8 MiB of memory.
const MOST: usize = 1 << 20;

/// Sends within the window that ends with the newest one.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Length in microseconds: a request sent at `t` is in every window that ends in `t..t + length`.
    length: i64,
    sends: VecDeque<i64>,
    overfull: bool,
}

impl Window {
    pub(crate) fn new(length: i64) -> Self {
        Self { length, sends: VecDeque::new(), overfull: false }
    }

    /// Adds a send. Returns the number of sends in the window that ends with the newest one, and the time of the first.
    ///
    /// A late send is inserted in order if the window still covers it.
    pub(crate) fn push(&mut self, at: i64) -> (u32, i64) {
        match self.sends.back() {
            Some(newest) if at < *newest => {
                if at.saturating_add(self.length) > *newest {
                    let index = self.sends.partition_point(|send| *send <= at);
                    self.sends.insert(index, at);
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

    /// Whether sends were dropped because the window was full.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overfull
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fullest window, by brute force.
    fn brute_force(sends: &[i64], length: i64) -> usize {
        let ending_at = |end: i64| sends.iter().filter(|send| **send > end - length && **send <= end).count();
        sends.iter().map(|end| ending_at(*end)).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn the_fullest_window_matches_brute_force(
            mut sends in prop::collection::vec(0_i64..3000, 1..120), length in 1_i64..400,
        ) {
            sends.sort_unstable();
            let mut window = Window::new(length);
            let fullest = sends.iter().map(|send| window.push(*send).0).max().unwrap();
            prop_assert_eq!(fullest as usize, brute_force(&sends, length));
        }
    }

    #[test]
    fn a_send_expires_after_the_window() {
        let mut window = Window::new(30);
        assert_eq!(window.push(0), (1, 0));
        assert_eq!(window.push(29), (2, 0));
        assert_eq!(window.push(30), (2, 29));
        // Late, but still in the window.
        assert_eq!(window.push(10), (3, 10));
        // Too late for the current window.
        assert_eq!(window.push(0), (3, 10));
    }
}
