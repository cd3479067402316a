//! When those who wait will pass, were each to go as soon as possible and nobody to come in between.

use std::num::NonZeroU32;

use crate::bucket::Bucket;
use crate::window::Span;

/// Reckons for one request after the other.
///
/// It is exact but for the requests that are pending. When they will be sent nobody knows; they are taken to be sent
/// now, and so hold their places at least until the instant reckoned with.
pub(crate) struct Forecast<'a, I> {
    span: &'a Span,
    bucket: &'a Bucket,
    point: Point<I>,
    /// The instants and units of those who have gone.
    gone: Vec<(u64, u64)>,
}

/// How far the reckoning has come.
#[derive(Clone)]
struct Point<I> {
    /// What holds a place and is to leave, the earliest first.
    leaving: I,
    /// How many of those who have gone have left since.
    left: usize,
    used: u64,
    full_at: u64,
    at: u64,
}

impl<'a, I: Iterator<Item = (u64, u64)> + Clone> Forecast<'a, I> {
    /// From a window that is in use to `used` units, of which `leaving` tells when they were sent, and a bucket that is
    /// full at `full_at`. Nobody passes before `at`.
    pub(crate) fn new(span: &'a Span, bucket: &'a Bucket, leaving: I, used: u64, full_at: u64, at: u64) -> Self {
        Self { span, bucket, point: Point { leaving, left: 0, used, full_at, at }, gone: Vec::new() }
    }

    /// The first instant at which a request of so many units may pass. It goes then, if `goes` says so of the instant;
    /// where it does not, it is as though it had never been there.
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
