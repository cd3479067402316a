//! Reorders exchanges from the order of the record to the order of sending.
//!
//! A session's sequence is the order in which exchanges ended; windows, retries and pages need the order of sending.
//! [`Order`] restores it in bounded memory: it buffers items until [`HORIZON`] of recorded time has passed, or until it
//! holds [`CAPACITY`] of them. Exchanges that were in flight for longer arrive late, and are counted.
//!
//! [`Clock`] keeps time monotonic if the machine's clock was set back.

use std::{cmp::Reverse, collections::BinaryHeap};

use nightaudit_exchange::{Exchange, ExchangeId, Outcome, Timestamp};

use crate::review::ClockStep;

/// How long an exchange may be in flight and still be ordered, in microseconds: 10 minutes.
pub(crate) const HORIZON: i64 = 600_000_000;

/// How many items are buffered.
pub(crate) const CAPACITY: usize = 1 << 16;

/// An item that can be ordered.
pub(crate) trait Timed {
    /// The time of sending and the sequence.
    fn key(&self) -> (i64, u64);
}

/// A reorder buffer for items that arrive almost in order.
#[derive(Debug, Clone)]
pub(crate) struct Order<T> {
    waiting: BinaryHeap<Reverse<(i64, u64, u32)>>,
    /// Buffered items; the heap moves only keys.
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    newest: i64,
    given: i64,
    late: u64,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            waiting: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: i64::MIN,
            given: i64::MIN,
            late: 0,
        }
    }
}

impl<T: Timed> Order<T> {
    /// Adds an item.
    pub(crate) fn push(&mut self, item: T) {
        let (at, sequence) = item.key();
        if at < self.given {
            self.late += 1;
        }
        self.newest = self.newest.max(at);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(item);
        }
        self.waiting.push(Reverse((at, sequence, slot)));
    }

    /// Adds an item unless its place has passed, which then is no loss.
    pub(crate) fn push_in_time(&mut self, item: T) {
        if item.key().0 >= self.given {
            self.push(item);
        }
    }

    /// The next item, if no earlier one can still arrive.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let Reverse((at, ..)) = self.waiting.peek()?;
        if *at > self.newest.saturating_sub(HORIZON) && self.waiting.len() <= CAPACITY {
            return None;
        }
        self.take()
    }

    /// The next item, unconditionally.
    pub(crate) fn take(&mut self) -> Option<T> {
        let Reverse((at, _, slot)) = self.waiting.pop()?;
        self.given = self.given.max(at);
        self.free.push(slot);
        self.slots.get_mut(slot as usize)?.take()
    }

    /// The buffered items, in order.
    pub(crate) fn waiting(&self) -> Vec<&T> {
        let mut keys: Vec<_> = self.waiting.iter().map(|Reverse(key)| *key).collect();
        keys.sort_unstable();
        keys.iter().filter_map(|(.., slot)| self.slots.get(*slot as usize)?.as_ref()).collect()
    }

    /// How many items arrived too late to be ordered.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }
}

/// Monotonic time from a clock that may be set back.
///
/// Exchanges are recorded as they end, so their ends never go back unless the clock does. Exchanges in flight when the
/// clock was set still carry times by the old setting, so the last two settings are both tried, and the better fit wins.
///
/// How much time passed while the clock was set is unknown. [`UNKNOWN`] is assumed, so that no window spans the step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    settings: [Option<Setting>; 2],
    /// The index of the setting used last.
    used: usize,
    steps: Vec<ClockStep>,
    stepped: u64,
}

/// A setting of the clock.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// Microseconds to add to the clock's times.
    offset: i64,
    /// The latest end by it, on the corrected clock.
    last: i64,
    /// The first end by it since it was last selected.
    taken: i64,
}

/// How far ends may go back without implying a clock step, in microseconds: threads hand exchanges over slightly out of
/// order.
const TOLERANCE: i64 = 2_000_000;

/// The time assumed to have passed while the clock was set, in microseconds: a minute.
const UNKNOWN: i64 = 60_000_000;

/// The most steps reported.
const STEPS: usize = 10;

impl Clock {
    /// The offset to add to the times of this exchange, in microseconds.
    pub(crate) fn offset(&mut self, exchange: &Exchange) -> i64 {
        let started = exchange.started_at.micros();
        // Without a complete response the end is unknown.
        let end = match (exchange.outcome, exchange.times_us.response_end) {
            (Outcome::Answered, Some(end)) => on_clock(started, i64::try_from(end).unwrap_or(i64::MAX)),
            _ => return self.settings[self.used].map_or(0, |setting| setting.offset),
        };
        let since = |setting: Setting| end.saturating_add(setting.offset).saturating_sub(setting.last);
        // As much time must have passed by the other setting as by this one; otherwise the clock merely caught up with it.
        let passed = self.settings[self.used].map_or(0, |setting| setting.last - setting.taken);
        let least = |index: usize| if index == self.used { -TOLERANCE } else { passed - TOLERANCE };
        let fitting = (0..self.settings.len())
            .filter_map(|index| Some((since(self.settings[index]?), index)))
            .filter(|(since, index)| *since >= least(*index))
            .min_by_key(|(since, index)| (since.abs(), *index != self.used));
        let before = self.used;
        let offset = match (fitting, self.settings[self.used]) {
            (Some((_, index)), _) => {
                self.used = index;
                self.settings[index].map_or(0, |setting| setting.offset)
            }
            (None, None) => 0,
            (None, Some(setting)) => {
                let back = since(setting).saturating_neg();
                self.stepped += 1;
                if self.steps.len() < STEPS {
                    let back_ms = u64::try_from(back / 1000).unwrap_or(0);
                    self.steps.push(ClockStep { exchange: exchange.id, back_ms });
                }
                self.used = 1 - self.used;
                self.settings[self.used] = None;
                setting.offset.saturating_add(back).saturating_add(UNKNOWN)
            }
        };
        let last = on_clock(end, offset);
        let setting = self.settings[self.used].get_or_insert(Setting { offset, last, taken: last });
        setting.last = setting.last.max(last);
        if before != self.used {
            setting.taken = last;
        }
        offset
    }

    /// The first steps back.
    pub(crate) fn steps(&self) -> &[ClockStep] {
        &self.steps
    }

    /// The number of steps back.
    pub(crate) fn stepped(&self) -> u64 {
        self.stepped
    }
}

/// A time that is shifted, within what a [`Timestamp`] can express: the difference of two such times never overflows,
/// whatever times a file has.
pub(crate) fn on_clock(micros: i64, shift: i64) -> i64 {
    Timestamp::from_micros(micros.saturating_add(shift)).micros()
}

/// The process that made an exchange's id: ids of one process share 40 random bits.
pub(crate) fn process_of(id: ExchangeId) -> u64 {
    id.to_bytes()[6..11].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// Counts starts of nightaudit by exchange ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starts {
    random: Vec<u64>,
    exchanges: u64,
    unknown: bool,
}

/// The most starts counted.
const MOST_STARTS: usize = 1000;

impl Starts {
    pub(crate) fn note(&mut self, id: ExchangeId) {
        let random = process_of(id);
        self.exchanges += 1;
        if self.unknown || self.random.last() == Some(&random) || self.random.contains(&random) {
            return;
        }
        if self.random.len() == MOST_STARTS {
            self.unknown = true;
            return;
        }
        self.random.push(random);
    }

    /// The number of starts; `None` if the ids were not generated by nightaudit.
    pub(crate) fn count(&self) -> Option<u64> {
        let count = self.random.len() as u64;
        // Foreign ids have fresh random bits each.
        (!self.unknown && (count * 2 <= self.exchanges || count <= 1)).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Timed for (i64, u64) {
        fn key(&self) -> (i64, u64) {
            *self
        }
    }

    fn in_order(items: &[(i64, u64)]) -> Vec<(i64, u64)> {
        let mut order = Order::default();
        let mut given = Vec::new();
        for item in items {
            order.push(*item);
            given.extend(std::iter::from_fn(|| order.pop()));
        }
        given.extend(std::iter::from_fn(|| order.take()));
        given
    }

    #[test]
    fn items_come_in_the_order_of_sending() {
        let minute = 60_000_000;
        assert_eq!(in_order(&[(5, 1), (2, 2), (5, 0), (minute, 3)]), [(2, 2), (5, 0), (5, 1), (minute, 3)]);
    }

    #[test]
    fn late_items_are_counted() {
        let mut order = Order::default();
        order.push((0, 1));
        order.push((2 * HORIZON, 2));
        assert_eq!((order.pop(), order.pop()), (Some((0, 1)), None));
        order.push((HORIZON / 2, 3));
        assert_eq!((order.late(), order.pop()), (0, Some((HORIZON / 2, 3))));
        order.push((HORIZON / 4, 4));
        assert_eq!((order.late(), order.pop()), (1, Some((HORIZON / 4, 4))));
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut order = Order::default();
        for sequence in 0..CAPACITY as u64 {
            order.push((1, sequence));
        }
        assert_eq!(order.pop(), None);
        order.push((0, u64::MAX));
        assert_eq!(order.pop(), Some((0, u64::MAX)));
        assert_eq!(order.slots.len(), CAPACITY + 1);
    }

    /// An exchange by this clock, in seconds.
    fn ended(started: i64, took: i64) -> Exchange {
        let json = format!(
            r#"{{"id": "01KAS00000000000000000000A", "session": "01KAS000000000000000000000", "sessionName": "s",
                "sequence": 1, "environment": "demo", "operation": "x", "startedAt": "2026-11-23T12:00:00Z",
                "timesUs": {{"forwarded": 1, "responseHead": 1, "responseEnd": {}}}, "peer": null,
                "envelope": {{"client": null, "clientToken": null, "accessToken": null, "paginated": false}},
                "request": {{"method": "POST", "url": "/", "httpVersion": "HTTP/1.1", "headers": [],
                    "bodyLength": 0, "bodySha256": "{sha}", "truncated": false}},
                "response": null, "limit": null, "outcome": "answered", "error": null}}"#,
            took * 1_000_000,
            sha = "0".repeat(64),
        );
        let mut exchange: Exchange = serde_json::from_str(&json).unwrap();
        exchange.started_at = nightaudit_exchange::Timestamp::from_micros(started * 1_000_000);
        exchange
    }

    fn offsets(exchanges: &[Exchange]) -> (Vec<i64>, usize) {
        let mut clock = Clock::default();
        let offsets = exchanges.iter().map(|exchange| clock.offset(exchange) / 1_000_000).collect();
        (offsets, clock.steps().len())
    }

    #[test]
    fn a_clock_set_back_is_corrected() {
        assert_eq!(offsets(&[ended(1000, 1), ended(1002, 1), ended(2, 1), ended(9, 1)]), (vec![0, 0, 1060, 1060], 1));
    }

    #[test]
    fn exchanges_in_flight_keep_the_old_setting() {
        let exchanges = [ended(1000, 1), ended(5, 1), ended(1001, 6), ended(8, 1)];
        assert_eq!(offsets(&exchanges), (vec![0, 1055, 0, 1055], 1));
    }

    #[test]
    fn a_clock_set_forward_is_no_step() {
        let (offsets, steps) = offsets(&[ended(0, 1), ended(5000, 1), ended(1, 6), ended(5010, 1), ended(5020, 1)]);
        assert_eq!((offsets[0], offsets[1], &offsets[3..], steps), (0, 0, &[0, 0][..], 1));
    }

    #[test]
    fn slightly_unordered_ends_are_no_step() {
        assert_eq!(offsets(&[ended(10, 1), ended(8, 2), ended(11, 1)]), (vec![0, 0, 0], 0));
    }

    #[test]
    fn foreign_ids_give_no_starts() {
        let mut ours = Starts::default();
        let mut others = Starts::default();
        for n in 0..100_u128 {
            ours.note(ExchangeId::from_parts(n as u64, (n / 50) << 40 | n));
            others.note(ExchangeId::from_parts(n as u64, n << 40));
        }
        assert_eq!((ours.count(), others.count()), (Some(2), None));
    }
}
