//! Enforcement of one rule.

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
    pub(crate) refused_by_host: AtomicU64,
    /// Most units in use by any key since the last [`Limiter::totals`](crate::Limiter::totals).
    peak: AtomicU64,
}

impl Gate {
    /// The gate of a [valid](crate::Config::validate) rule.
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
                // The extra nanosecond makes the window closed: two sends exactly one window apart both count. However
                // the host treats that instant, it never sees more than the limit.
                hold: nanos(rule.window + slack) + 1,
                capacity: capacity.get(),
                plain: units(1),
            },
            bucket: Bucket::new(units(rule.burst.unwrap_or(rule.requests)), capacity, rule.window),
            key: rule.key,
            table: Table::new(),
            refused: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            refused_by_host: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }
    }

    /// The arrival's key at this gate. `now` is called only for a new key.
    #[inline]
    pub(crate) fn key(&self, arrival: &AdmissionRequest<'_>, now: impl FnOnce() -> u64) -> Arc<Key> {
        self.table.key(&arrival.parts(self.key), || now() + self.span.hold)
    }

    /// Whether this gate would pass a request at `now`.
    #[inline]
    pub(crate) fn is_open(&self, state: &mut State, paginated: bool, now: u64) -> bool {
        state.window.expire(&self.span, now);
        let units = self.span.units(paginated);
        state.closure.until <= now
            && state.used() + u64::from(units.get()) <= u64::from(self.span.capacity)
            && self.bucket.has(self.bucket.after(state.full_at, state.pending, now), units, now).is_ok()
    }

    /// The first instant at which a request may pass, if everything `ahead` (each paginated or not) goes as soon as
    /// possible, and nothing else.
    pub(crate) fn opens_at(&self, state: &State, ahead: impl Iterator<Item = bool>, paginated: bool, now: u64) -> u64 {
        let mut forecast = self.forecast(state, now);
        for ahead in ahead {
            forecast.next(self.span.units(ahead), |_| true);
        }
        forecast.next(self.span.units(paginated), |_| false)
    }

    /// Evicts and notifies the waiters whose turn would come after their deadline.
    pub(crate) fn evict_late(&self, state: &mut State, now: u64) {
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
        // The head may be new, and only the head watches the clock.
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

    /// Takes a permit whose request is not sent yet.
    #[inline]
    pub(crate) fn take(&self, state: &mut State, paginated: bool) {
        state.pending += u64::from(self.span.units(paginated).get());
        // Usually only a load: worker threads write this line to each other while the peak grows, not at each request.
        let used = state.used();
        if used > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// Most units in use by any key since the last call, and now.
    pub(crate) fn take_peak(&self, now: u64) -> u64 {
        let used = |key: Arc<Key>| {
            let mut state = key.state.lock();
            state.window.expire(&self.span, now);
            state.used()
        };
        self.peak.swap(0, Ordering::Relaxed).max(self.table.keys().map(used).max().unwrap_or(0))
    }

    /// Releases a permit as if it had never been taken.
    pub(crate) fn release(&self, state: &mut State, paginated: bool) {
        state.pending -= u64::from(self.span.units(paginated).get());
    }

    /// Notes a send.
    #[inline]
    pub(crate) fn note_send(&self, state: &mut State, paginated: bool, at: u64) {
        state.window.expire(&self.span, at);
        state.window.push(&self.span, at, paginated);
        state.full_at = self.bucket.after_send(state.full_at, u64::from(self.span.units(paginated).get()), at);
    }

    /// Turns a send back into a pending permit: it did not happen.
    pub(crate) fn undo_send(&self, state: &mut State, paginated: bool, at: u64) {
        let units = u64::from(self.span.units(paginated).get());
        // If the window no longer has it, it no longer counts either; the request proceeds as if just admitted.
        state.window.remove(&self.span, at, paginated);
        state.full_at = self.bucket.before(state.full_at, units);
        state.pending += units;
    }

    /// Counts a refusal at this gate.
    pub(crate) fn count_refusal(&self, state: &mut State) {
        state.refused += 1;
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a rejection by the host of a request that passed this gate.
    pub(crate) fn count_host_refusal(&self, state: &mut State) {
        state.refused_by_host += 1;
        self.refused_by_host.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a delay at this gate.
    pub(crate) fn count_delay(&self, state: &mut State) {
        state.delayed += 1;
        self.delayed.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a bounded number of idle keys.
    #[inline]
    pub(crate) fn forget_idle(&self, now: u64) {
        self.table.forget_idle(now, |key| {
            let mut state = key.state.lock();
            state.window.expire(&self.span, now);
            let last_send = state.window.newest().map_or(0, |newest| newest + self.span.hold);
            let in_use = state.pending > 0 || !state.waiting.is_empty();
            let in_use = if in_use { now + self.span.hold } else { 0 };
            last_send.max(state.full_at).max(state.closure.forgettable_at()).max(in_use)
        });
    }
}
