//! Predicts when waiters will pass, if each goes as soon as possible and nothing comes in between.

use std::num::NonZeroU32;

use crate::bucket::Bucket;
use crate::window::Span;

/// Predicts one request after another.
///
/// Exact but for pending requests, whose send time is unknown: they are taken to be sent now, and so count at least
/// until the predicted instant.
pub(crate) struct Forecast<'a, I> {
    span: &'a Span,
    bucket: &'a Bucket,
    point: Point<I>,
    /// Instants and units of the requests predicted so far.
    gone: Vec<(u64, u64)>,
}

/// The state of the prediction.
#[derive(Clone)]
struct Point<I> {
    /// Recorded sends that are still to expire, earliest first.
    leaving: I,
    /// How many of the predicted requests have expired since.
    left: usize,
    used: u64,
    full_at: u64,
    at: u64,
}

impl<'a, I: Iterator<Item = (u64, u64)> + Clone> Forecast<'a, I> {
    /// Starts from a window with `used` units, whose sends are `leaving`, and a bucket that is full at `full_at`.
    /// Nothing passes before `at`.
    pub(crate) fn new(span: &'a Span, bucket: &'a Bucket, leaving: I, used: u64, full_at: u64, at: u64) -> Self {
        Self { span, bucket, point: Point { leaving, left: 0, used, full_at, at }, gone: Vec::new() }
    }

    /// The first instant at which a request of `units` may pass. If `goes` accepts that instant the request is counted
    /// as sent; otherwise it leaves no trace.
    pub(crate) fn next(&mut self, units: NonZeroU32, goes: impl FnOnce(u64) -> bool) -> u64 {
        let cost = u64::from(units.get());
        let before = self.point.clone();
        let point = &mut self.point;
        while point.used + cost > u64::from(self.span.capacity) {
            let Some((sent_at, units)) =
                point.leaving.next().or_else(|| self.gone.get(point.left).copied().inspect(|_| point.left += 1))
            else {
                break;
            };
            point.at = point.at.max(sent_at + self.span.hold);
            point.used -= units;
        }
        if let Err(filled_at) = self.bucket.has(point.full_at, units, point.at) {
            point.at = filled_at;
        }
        let at = point.at;
        if goes(at) {
            point.full_at = self.bucket.after(point.full_at, cost, at);
            point.used += cost;
            self.gone.push((at, cost));
        } else {
            self.point = before;
        }
        at
    }
}
