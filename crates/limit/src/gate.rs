//! One rule at work.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::bucket::Bucket;
use crate::clock::nanos;
use crate::config::{KeyParts, Rule};
use crate::forecast::Forecast;
use crate::key::{AdmissionRequest, Key, State, Waiter};
use crate::table::Table;
use crate::window::Span;

/// A rule, its keys, and the decision for one of them.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) name: Arc<str>,
    pub(crate) requests: u32,
    pub(crate) window: Duration,
    pub(crate) span: Span,
    bucket: Bucket,
    key: KeyParts,
    pub(crate) table: Table,
    pub(crate) refused: AtomicU64,
    pub(crate) delayed: AtomicU64,
}

impl Gate {
    /// Of a rule that is [valid](crate::Config::validate).
    pub(crate) fn new(rule: &Rule, slack: Duration) -> Self {
        // The configuration's bounds keep each product within 32 bits.
        let units =
            |requests: u32| NonZeroU32::new(requests.saturating_mul(rule.paginated_factor)).unwrap_or(NonZeroU32::MIN);
        let capacity = units(rule.requests);
        Self {
            name: rule.name.as_str().into(),
            requests: rule.requests,
            window: rule.window,
            span: Span {
                // The nanosecond makes the window a closed one: of two sends that are exactly a window apart, both are
                // in it. Whichever way the host looks at that instant, it finds no more than the limit.
                hold: nanos(rule.window + slack) + 1,
                capacity: capacity.get(),
                plain: units(1),
            },
            bucket: Bucket::new(units(rule.burst.unwrap_or(rule.requests)), capacity, rule.window),
            key: rule.key,
            table: Table::new(),
            refused: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
        }
    }

    /// The arrival's key at this gate. The time is asked for only if the key is new.
    #[inline]
    pub(crate) fn key(&self, arrival: &AdmissionRequest<'_>, now: impl FnOnce() -> u64) -> Arc<Key> {
        self.table.key(&arrival.parts(self.key), || now() + self.span.hold)
    }

    /// Whether a request may pass at `now`, as far as this gate is concerned.
    #[inline]
    pub(crate) fn is_open(&self, state: &mut State, paginated: bool, now: u64) -> bool {
        state.window.expire(&self.span, now);
        let units = self.span.units(paginated);
        state.closure.until <= now
            && state.used() + u64::from(units.get()) <= u64::from(self.span.capacity)
            && self.bucket.has(self.bucket.after(state.full_at, state.pending, now), units, now).is_ok()
    }

    /// The first instant at which a request may pass, were everybody who is ahead (each paginated or not) to go as
    /// soon as possible, and nobody else.
    pub(crate) fn opens_at(&self, state: &State, ahead: impl Iterator<Item = bool>, paginated: bool, now: u64) -> u64 {
        let mut forecast = self.forecast(state, now);
        for ahead in ahead {
            forecast.next(self.span.units(ahead), |_| true);
        }
        forecast.next(self.span.units(paginated), |_| false)
    }

    /// Takes those out of the queue whose turn would come after they may wait, and has them told.
    pub(crate) fn turn_away(&self, state: &mut State, now: u64) {
        let mut forecast = self.forecast(state, now);
        let stays = |waiter: &Waiter| {
            let mut in_time = true;
            forecast.next(self.span.units(waiter.paginated), |at| {
                in_time = at <= waiter.deadline;
                in_time
            });
            in_time
        };
        let stay: Vec<bool> = state.waiting.iter().map(stays).collect();
        drop(forecast);
        let mut stay = stay.into_iter();
        state.waiting.retain(|waiter| {
            let stays = stay.next().unwrap_or(true);
            if !stays {
                waiter.wake.notify_one();
            }
            stays
        });
        // Who is first now may not have been, and only the first watches the clock.
        if let Some(first) = state.first_waiting() {
            first.notify_one();
        }
    }

    fn forecast<'a>(
        &'a self,
        state: &'a State,
        now: u64,
    ) -> Forecast<'a, impl Iterator<Item = (u64, u64)> + Clone + use<'a>> {
        let pending = (state.pending > 0).then_some((now, state.pending));
        let leaving = state.window.iter(&self.span).chain(pending);
        let full_at = self.bucket.after(state.full_at, state.pending, now);
        Forecast::new(&self.span, &self.bucket, leaving, state.used(), full_at, now.max(state.closure.until))
    }

    /// Takes a place that is not yet anybody's send.
    #[inline]
    pub(crate) fn take(&self, state: &mut State, paginated: bool) {
        state.pending += u64::from(self.span.units(paginated).get());
    }

    /// Gives a place back as though it had never been taken.
    pub(crate) fn give_back(&self, state: &mut State, paginated: bool) {
        state.pending -= u64::from(self.span.units(paginated).get());
    }

    /// Notes a send.
    #[inline]
    pub(crate) fn note_send(&self, state: &mut State, paginated: bool, at: u64) {
        state.window.expire(&self.span, at);
        state.window.push(&self.span, at, paginated);
        state.full_at = self.bucket.after_send(state.full_at, u64::from(self.span.units(paginated).get()), at);
    }

    /// Makes a send a place that is taken again: it did not happen.
    pub(crate) fn undo_send(&self, state: &mut State, paginated: bool, at: u64) {
        let units = u64::from(self.span.units(paginated).get());
        // One that is no longer there holds no place either; the request goes on as though it were just admitted.
        state.window.remove(&self.span, at, paginated);
        state.full_at = self.bucket.before(state.full_at, units);
        state.pending += units;
    }

    /// The request was turned away here.
    pub(crate) fn count_refusal(&self, state: &mut State) {
        state.refused += 1;
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The request has to wait here.
    pub(crate) fn count_delay(&self, state: &mut State) {
        state.delayed += 1;
        self.delayed.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets idle keys, a bounded number of them.
    #[inline]
    pub(crate) fn forget_idle(&self, now: u64) {
        self.table.forget_idle(now, |key| {
            let mut state = key.state.lock();
            state.window.expire(&self.span, now);
            let last_send = state.window.newest().map_or(0, |newest| newest + self.span.hold);
            let in_use = state.pending > 0 || !state.waiting.is_empty();
            let in_use = if in_use { now + self.span.hold } else { 0 };
            last_send.max(state.full_at).max(state.closure.matters_until()).max(in_use)
        });
    }
}
