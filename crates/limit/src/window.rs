//! The sliding window of a key: when its last requests were sent.

use std::collections::VecDeque;
use std::num::NonZeroU32;

/// What a rule's windows have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Nanoseconds for which a send holds its place: sent at `t`, the place is free again at `t + hold`.
    pub(crate) hold: u64,
    /// Units that fit.
    pub(crate) capacity: u32,
    /// Units of a request without pagination; one with pagination takes one unit.
    pub(crate) plain: NonZeroU32,
}

impl Span {
    /// Units of a request.
    #[inline]
    pub(crate) fn units(&self, paginated: bool) -> NonZeroU32 {
        if paginated { NonZeroU32::MIN } else { self.plain }
    }

    /// Units as a number of requests without pagination, rounded up.
    pub(crate) fn requests(&self, units: u64) -> u32 {
        u32::try_from(units.div_ceil(u64::from(self.plain.get()))).unwrap_or(u32::MAX)
    }
}

/// The instants of the sends that still hold a place, oldest first.
///
/// Eight bytes a request, and no more than twice that with the room a growing deque keeps.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Each the instant in nanoseconds times two, plus one for a request with pagination.
    sends: VecDeque<u64>,
    /// The sum of the units of `sends`.
    units: u64,
}

impl Window {
    /// Units that are taken, as of the last [`expire`](Self::expire).
    #[inline]
    pub(crate) fn units(&self) -> u64 {
        self.units
    }

    /// Forgets the sends that no longer hold a place at `now`.
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

    /// Notes a send. The newest is the normal case; an older one (from the log) is put in its place.
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
        // More than fits is sent under `observe` alone. The sends in excess of a full window change no decision: as
        // long as the rest holds its places the window is full, and by the time the rest goes the excess has gone.
        while let Some(&oldest) = self.sends.front()
            && self.units - u64::from(span.units(oldest & 1 == 1).get()) >= u64::from(span.capacity)
        {
            self.pop(span);
        }
    }

    /// Forgets one send of this instant, if it is there.
    pub(crate) fn remove(&mut self, span: &Span, at: u64, paginated: bool) {
        let send = at << 1 | u64::from(paginated);
        if let Ok(index) = self.sends.binary_search(&send) {
            self.sends.remove(index);
            self.units -= u64::from(span.units(paginated).get());
        }
    }

    /// The sends, oldest first: the instant and its units.
    pub(crate) fn iter<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = (u64, u64)> + Clone + use<'a> {
        self.sends.iter().map(|send| (send >> 1, u64::from(span.units(send & 1 == 1).get())))
    }

    /// When the last send was.
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
    fn a_send_holds_its_place_up_to_the_last_nanosecond() {
        let mut window = Window::default();
        window.push(&SPAN, 7, false);
        window.expire(&SPAN, 106);
        assert_eq!(window.units(), 10);
        window.expire(&SPAN, 107);
        assert_eq!(window.units(), 0);
    }

    #[test]
    fn what_comes_late_is_put_in_order() {
        let mut window = Window::default();
        for at in [5, 9, 3, 7] {
            window.push(&SPAN, at, true);
        }
        let instants: Vec<_> = window.iter(&SPAN).map(|(at, _)| at).collect();
        assert_eq!(instants, [3, 5, 7, 9]);
    }

    #[test]
    fn one_send_of_an_instant_is_taken_out() {
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
    fn an_excess_is_not_kept() {
        let mut window = Window::default();
        for at in 0..1000 {
            window.push(&SPAN, at, at % 2 == 0);
        }
        assert!(window.units() >= 20 && window.units() < 30, "{}", window.units());
        assert!(window.sends.len() <= 5);
    }

    #[test]
    fn a_request_costs_sixteen_bytes_or_less() {
        let span = Span { hold: u64::MAX >> 2, capacity: 100_000, plain: NonZeroU32::MIN };
        let mut window = Window::default();
        for at in 0..100_000 {
            window.push(&span, at, false);
            let requests = usize::try_from(at + 1).unwrap();
            // Four is the least a deque allocates.
            assert!(window.bytes() <= 16 * requests.max(4), "{} bytes for {requests}", window.bytes());
        }
    }
}
