//! The sliding window of a key: the instants of its recent sends.

use std::collections::VecDeque;
use std::num::NonZeroU32;

/// What all windows of a rule share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Nanoseconds for which a send counts: sent at `t`, it is released at `t + hold`.
    pub(crate) hold: u64,
    /// Capacity in units.
    pub(crate) capacity: u32,
    /// Units of a request without pagination; a paginated one takes one unit.
    pub(crate) plain: NonZeroU32,
}

impl Span {
    /// Units of a request.
    #[inline]
    pub(crate) fn units(&self, paginated: bool) -> NonZeroU32 {
        if paginated { NonZeroU32::MIN } else { self.plain }
    }

    /// Converts units to requests without pagination, rounded up.
    pub(crate) fn requests(&self, units: u64) -> u32 {
        u32::try_from(units.div_ceil(u64::from(self.plain.get()))).unwrap_or(u32::MAX)
    }
}

/// The instants of the sends that still count, oldest first.
///
/// Eight bytes per request, at most twice that with the deque's spare capacity.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// The instant in nanoseconds times two, plus one if paginated.
    sends: VecDeque<u64>,
    /// The sum of the units of `sends`.
    units: u64,
}

impl Window {
    /// Units in use as of the last [`expire`](Self::expire).
    #[inline]
    pub(crate) fn units(&self) -> u64 {
        self.units
    }

    /// Removes the sends that no longer count at `now`.
    #[inline]
    pub(crate) fn expire(&mut self, span: &Span, now: u64) {
        while let Some(&oldest) = self.sends.front() {
            if (oldest >> 1) + span.hold > now {
                return;
            }
            self.pop(span);
        }
        if self.sends.capacity() > 64 {
            self.sends = VecDeque::new();
        }
    }

    /// Records a send. Usually the newest; an older one (restored from the log) is inserted in order.
    #[inline]
    pub(crate) fn push(&mut self, span: &Span, at: u64, paginated: bool) {
        let send = at << 1 | u64::from(paginated);
        if self.sends.back().is_none_or(|&newest| newest <= send) {
            self.sends.push_back(send);
        } else {
            let index = self.sends.partition_point(|&other| other <= send);
            self.sends.insert(index, send);
        }
        self.units += u64::from(span.units(paginated).get());
        // Only `observe` sends more than fits. Sends in excess of a full window change no decision: while the rest
        // counts the window is full, and by the time the rest expires the excess has expired too.
        while let Some(&oldest) = self.sends.front()
            && self.units - u64::from(span.units(oldest & 1 == 1).get()) >= u64::from(span.capacity)
        {
            self.pop(span);
        }
    }

    /// Removes one send at this instant, if present.
    pub(crate) fn remove(&mut self, span: &Span, at: u64, paginated: bool) {
        let send = at << 1 | u64::from(paginated);
        if let Ok(index) = self.sends.binary_search(&send) {
            self.sends.remove(index);
            self.units -= u64::from(span.units(paginated).get());
        }
    }

    /// The sends, oldest first, as instant and units.
    pub(crate) fn iter<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = (u64, u64)> + Clone + use<'a> {
        self.sends.iter().map(|send| (send >> 1, u64::from(span.units(send & 1 == 1).get())))
    }

    /// The instant of the last send.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.sends.back().map(|send| send >> 1)
    }

    #[inline]
    fn pop(&mut self, span: &Span) {
        if let Some(oldest) = self.sends.pop_front() {
            self.units -= u64::from(span.units(oldest & 1 == 1).get());
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.sends.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { hold: 100, capacity: 20, plain: NonZeroU32::new(10).unwrap() };

    #[test]
    fn a_send_counts_up_to_the_last_nanosecond() {
        let mut window = Window::default();
        window.push(&SPAN, 7, false);
        window.expire(&SPAN, 106);
        assert_eq!(window.units(), 10);
        window.expire(&SPAN, 107);
        assert_eq!(window.units(), 0);
    }

    #[test]
    fn late_sends_are_inserted_in_order() {
        let mut window = Window::default();
        for at in [5, 9, 3, 7] {
            window.push(&SPAN, at, true);
        }
        let instants: Vec<_> = window.iter(&SPAN).map(|(at, _)| at).collect();
        assert_eq!(instants, [3, 5, 7, 9]);
    }

    #[test]
    fn remove_takes_a_single_send() {
        let mut window = Window::default();
        for at in [5, 7, 7, 9] {
            window.push(&SPAN, at, at == 9);
        }
        window.remove(&SPAN, 7, false);
        window.remove(&SPAN, 8, false);
        assert_eq!(window.iter(&SPAN).collect::<Vec<_>>(), [(7, 10), (9, 1)]);
        assert_eq!(window.units(), 11);
    }

    #[test]
    fn excess_sends_are_dropped() {
        let mut window = Window::default();
        for at in 0..1000 {
            window.push(&SPAN, at, at % 2 == 0);
        }
        assert!(window.units() >= 20 && window.units() < 30, "{}", window.units());
        assert!(window.sends.len() <= 5);
    }

    #[test]
    fn a_request_takes_at_most_sixteen_bytes() {
        let span = Span { hold: u64::MAX >> 2, capacity: 100_000, plain: NonZeroU32::MIN };
        let mut window = Window::default();
        for at in 0..100_000 {
            window.push(&span, at, false);
            let requests = usize::try_from(at + 1).unwrap();
            // A deque allocates at least four elements.
            assert!(window.bytes() <= 16 * requests.max(4), "{} bytes for {requests}", window.bytes());
        }
    }
}
