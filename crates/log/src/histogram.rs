//! Matches over time, counted as they come.

use std::collections::VecDeque;

use nightaudit_exchange::{Exchange, Outcome, Timestamp};

const MILLISECOND: i64 = 1000;
const SECOND: i64 = 1000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The widths that counts are kept in, in microseconds. Each divides the next, so that counts can be added up.
const KEPT: [i64; 26] = [
    MILLISECOND,
    2 * MILLISECOND,
    10 * MILLISECOND,
    20 * MILLISECOND,
    100 * MILLISECOND,
    200 * MILLISECOND,
    SECOND,
    2 * SECOND,
    10 * SECOND,
    20 * SECOND,
    MINUTE,
    2 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    10 * DAY,
    20 * DAY,
    100 * DAY,
    200 * DAY,
    1000 * DAY,
    // From the year 0 to 9999 these are 1,827 slots, so there are always enough.
    2000 * DAY,
];

/// The widths of a histogram's buckets, which people can read off an axis.
const SHOWN: [i64; 34] = [
    MILLISECOND,
    2 * MILLISECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    20 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    200 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    20 * DAY,
    50 * DAY,
    100 * DAY,
    1000 * DAY,
];

/// Maximum number of slots; with more, they are made wider. At least a fifth of them is in use then.
const MAX_SLOTS: i64 = 4096;

/// Maximum number of a histogram's buckets.
pub const MAX_BUCKETS: usize = 600;

/// How many matches started when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// The number of matches.
    pub total: u64,
    /// When the earliest of them started.
    pub first: Option<Timestamp>,
    /// When the latest of them started.
    pub last: Option<Timestamp>,
    /// Where the first bucket starts; the others follow.
    pub from: Timestamp,
    /// The width of a bucket in milliseconds.
    pub bucket_ms: u64,
    /// The buckets, which cover all matches, and the filter's span if it has one. Empty without either.
    pub buckets: Vec<Bucket>,
}

/// The matches that started in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// All of them.
    pub requests: u64,
    /// Those without a response from Mews or with a status of 400 and above, unless by nightaudit's own decision.
    pub failed: u64,
    /// Those that the limiter refused, and those whose response a fault rule made up or broke off.
    pub refused: u64,
}

/// How an exchange ended, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a response below 400.
    Good,
    /// Without a response, or with a status of 400 and above.
    Failed,
    /// By nightaudit's own decision: refused by the limiter, or ended by an injected fault.
    Refused,
}

impl Ending {
    /// How an exchange with this outcome and status ended.
    #[must_use]
    pub fn of(outcome: Outcome, status: Option<u16>) -> Self {
        match outcome {
            Outcome::Refused | Outcome::Faulted => Self::Refused,
            Outcome::Failed | Outcome::Aborted | Outcome::Interrupted => Self::Failed,
            Outcome::Answered | Outcome::Rejected if status.is_none_or(|status| status >= 400) => Self::Failed,
            Outcome::Answered | Outcome::Rejected => Self::Good,
        }
    }
}

/// Counts exchanges by when they started; holds at most 48 KiB, however many there are and however long it took.
#[derive(Debug, Clone)]
pub struct Timeline {
    total: u64,
    first: i64,
    last: i64,
    /// An index into [`KEPT`].
    width: usize,
    /// Where the first slot starts.
    start: i64,
    slots: VecDeque<[u32; 3]>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { total: 0, first: i64::MAX, last: i64::MIN, width: 0, start: 0, slots: VecDeque::new() }
    }
}

impl Timeline {
    /// Counts an exchange.
    pub fn add(&mut self, exchange: &Exchange) {
        self.count(exchange.started_at, Ending::of(exchange.outcome, exchange.status()));
    }

    /// Counts an exchange that started at this time.
    pub fn count(&mut self, started: Timestamp, ending: Ending) {
        let started = started.micros();
        self.total += 1;
        self.first = self.first.min(started);
        self.last = self.last.max(started);
        self.make_room();
        let at = usize::try_from((started - self.start).div_euclid(KEPT[self.width])).unwrap_or(0);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let kind = match ending {
            Ending::Good => 0,
            Ending::Failed => 1,
            Ending::Refused => 2,
        };
        slot[kind] = slot[kind].saturating_add(1);
    }

    /// Makes the slots cover everything from the first to the last.
    fn make_room(&mut self) {
        let mut width = self.width;
        while width + 1 < KEPT.len() && slots(self.first, self.last, KEPT[width]) > MAX_SLOTS {
            width += 1;
        }
        if width != self.width {
            let mut wider = Self { width, start: floor(self.start, KEPT[width]), ..Self::default() };
            for (index, slot) in self.slots.iter().enumerate() {
                let at = self.start + index as i64 * KEPT[self.width];
                let at = usize::try_from((at - wider.start) / KEPT[width]).unwrap_or(0);
                wider.slots.resize(wider.slots.len().max(at + 1), [0; 3]);
                (0..3).for_each(|kind| wider.slots[at][kind] = wider.slots[at][kind].saturating_add(slot[kind]));
            }
            (self.width, self.start, self.slots) = (width, wider.start, wider.slots);
        }
        let width = KEPT[self.width];
        if self.slots.is_empty() {
            self.start = floor(self.first, width);
        }
        while self.start > self.first {
            self.start -= width;
            self.slots.push_front([0; 3]);
        }
        let wanted = usize::try_from(slots(self.start, self.last, width)).unwrap_or(0);
        if self.slots.len() < wanted {
            self.slots.resize(wanted, [0; 3]);
        }
    }

    /// The counts in at most this many buckets, from 1 to [`MAX_BUCKETS`], over the matches and this span. The width is
    /// the shortest round one that suffices and that the counts allow.
    #[must_use]
    pub fn histogram(&self, since: Option<Timestamp>, until: Option<Timestamp>, buckets: usize) -> Histogram {
        let buckets = buckets.clamp(1, MAX_BUCKETS) as i64;
        let seen = (self.total > 0).then_some((self.first, self.last));
        let first = since.map(Timestamp::micros).into_iter().chain(seen.map(|(first, _)| first)).min();
        // `until` itself is no part of the span.
        let before = |until: Timestamp| Timestamp::from_micros(until.micros() - 1).micros();
        let last = until.map(before).into_iter().chain(seen.map(|(_, last)| last)).max();
        let (first, last) = match (first, last) {
            (Some(first), Some(last)) => (first, last.max(first)),
            (Some(only), None) | (None, Some(only)) => (only, only),
            (None, None) => (0, -1),
        };
        let kept = KEPT[self.width];
        let fits = |width: &i64| width % kept == 0 && slots(first, last, *width) <= buckets;
        let wider = std::iter::successors(Some(kept * 2), |width| (*width < 8000 * 1000 * DAY).then_some(width * 2));
        let width = SHOWN.into_iter().chain(wider.filter(|width| *width > SHOWN[SHOWN.len() - 1])).find(fits);
        let width = width.unwrap_or(8000 * 1000 * DAY);
        let from = floor(first, width);
        let count = if last < first { 0 } else { slots(first, last, width) };
        let mut filled = vec![Bucket::default(); usize::try_from(count).unwrap_or(0)];
        for (index, slot) in self.slots.iter().enumerate() {
            let at = (self.start + index as i64 * kept - from).div_euclid(width);
            let Some(bucket) = usize::try_from(at).ok().and_then(|at| filled.get_mut(at)) else { continue };
            let [good, failed, refused] = slot.map(u64::from);
            bucket.requests += good + failed + refused;
            bucket.failed += failed;
            bucket.refused += refused;
        }
        Histogram {
            total: self.total,
            first: seen.map(|(first, _)| Timestamp::from_micros(first)),
            last: seen.map(|(_, last)| Timestamp::from_micros(last)),
            from: Timestamp::from_micros(from),
            bucket_ms: (width / MILLISECOND).unsigned_abs(),
            buckets: filled,
        }
    }
}

/// Microseconds from the first instant there is, the midnight at which the year 0 began. Slots are counted from it, so that
/// no time is before the first one; days and their parts start when those of today do.
fn since_ever(time: i64) -> i64 {
    time - Timestamp::from_micros(i64::MIN).micros()
}

fn floor(time: i64, width: i64) -> i64 {
    time - since_ever(time) % width
}

/// How many slots of a width a span touches.
fn slots(first: i64, last: i64, width: i64) -> i64 {
    since_ever(last) / width - since_ever(first) / width + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn timeline(times: &[(i64, Ending)]) -> Timeline {
        let mut timeline = Timeline::default();
        times.iter().for_each(|(time, ending)| timeline.count(at(*time), *ending));
        timeline
    }

    #[test]
    fn widths_divide_each_other_and_grow() {
        assert!(KEPT.windows(2).all(|pair| pair[1] % pair[0] == 0 && pair[1] / pair[0] <= 5));
        assert!(SHOWN.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(slots(at(i64::MIN).micros(), at(i64::MAX).micros(), KEPT[KEPT.len() - 1]) <= MAX_SLOTS);
    }

    #[test]
    fn buckets_are_round_and_cover_everything() {
        let noon = 1_795_435_200_000_000;
        let timeline = timeline(&[
            (noon, Ending::Good),
            (noon + 59 * SECOND, Ending::Failed),
            (noon + 60 * SECOND, Ending::Refused),
            (noon + 3 * MINUTE + 1, Ending::Good),
        ]);
        let histogram = timeline.histogram(None, None, 4);
        assert_eq!((histogram.total, histogram.bucket_ms, histogram.from), (4, 60_000, at(noon)));
        let counts: Vec<_> = histogram.buckets.iter().map(|it| (it.requests, it.failed, it.refused)).collect();
        assert_eq!(counts, [(2, 1, 0), (1, 0, 1), (0, 0, 0), (1, 0, 0)]);
        assert_eq!((histogram.first, histogram.last), (Some(at(noon)), Some(at(noon + 3 * MINUTE + 1))));
        assert_eq!(timeline.histogram(None, None, 3).bucket_ms, 120_000);
        // A span that was asked for is covered, empty or not.
        let hour = timeline.histogram(Some(at(noon)), Some(at(noon + HOUR)), 60);
        assert_eq!((hour.bucket_ms, hour.buckets.len(), hour.buckets[0].requests), (60_000, 60, 2));
    }

    #[test]
    fn nothing_has_no_buckets_and_an_empty_span_has_empty_ones() {
        let nothing = Timeline::default().histogram(None, None, 10);
        assert_eq!((nothing.total, nothing.first, nothing.buckets.len()), (0, None, 0));
        let span = Timeline::default().histogram(Some(at(0)), Some(at(10 * SECOND)), 10);
        assert_eq!((span.buckets, span.bucket_ms), (vec![Bucket::default(); 10], 1000));
    }

    #[test]
    fn how_it_ended_depends_on_who_refused() {
        for (outcome, status, ending) in [
            (Outcome::Answered, Some(200), Ending::Good),
            (Outcome::Answered, Some(429), Ending::Failed),
            (Outcome::Refused, Some(429), Ending::Refused),
            (Outcome::Faulted, Some(503), Ending::Refused),
            (Outcome::Faulted, None, Ending::Refused),
            (Outcome::Rejected, Some(400), Ending::Failed),
            (Outcome::Failed, Some(502), Ending::Failed),
            (Outcome::Aborted, Some(200), Ending::Failed),
            (Outcome::Interrupted, None, Ending::Failed),
        ] {
            assert_eq!(Ending::of(outcome, status), ending, "{outcome} {status:?}");
        }
    }

    proptest! {
        #[test]
        fn no_match_is_lost_and_each_is_in_its_bucket(
            times in prop::collection::vec((any::<i64>(), 0..1_000_000_000_i64, any::<bool>()), 1..60),
            buckets in 1_usize..700,
            far in any::<bool>(),
        ) {
            let endings = [Ending::Good, Ending::Failed, Ending::Refused];
            let time = |(any, near, _): (i64, i64, bool)| at(if far { any } else { 1_795_435_200_000_000 + near }).micros();
            let times: Vec<_> =
                times.iter().enumerate().map(|(index, it)| (time(*it), endings[index % 3])).collect();
            let timeline = timeline(&times);
            prop_assert!(timeline.slots.len() as i64 <= MAX_SLOTS);
            let histogram = timeline.histogram(None, None, buckets);
            prop_assert!(histogram.buckets.len() <= buckets.clamp(1, MAX_BUCKETS));
            let width = histogram.bucket_ms.cast_signed() * MILLISECOND;
            for (index, bucket) in histogram.buckets.iter().enumerate() {
                let start = histogram.from.micros() + index as i64 * width;
                let here = || times.iter().filter(|(time, _)| (start..start + width).contains(time));
                let of = |wanted: Ending| here().filter(|(_, ending)| *ending == wanted).count() as u64;
                let expected = Bucket {
                    requests: here().count() as u64,
                    failed: of(Ending::Failed),
                    refused: of(Ending::Refused),
                };
                prop_assert_eq!(*bucket, expected);
            }
            let sum: u64 = histogram.buckets.iter().map(|bucket| bucket.requests).sum();
            prop_assert_eq!(sum, times.len() as u64);
        }
    }
}
